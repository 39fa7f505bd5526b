"""Remittances: every cent of an 835 or keyed EOB, its match, its posting, variances, denials and
appeals.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from rcm.accounts.charts import PatientKey
from rcm.accounts.tenancy import TenantModel, organization_key


class RemittanceStatus(models.TextChoices):
    QUARANTINED = "quarantined", "Held"
    READY = "ready", "Ready to post"
    POSTING = "posting", "Posting"
    POSTED = "posted", "Posted"
    REVERSED = "reversed", "Reversed"


REMITTANCE_MOVES: dict[str, set[str]] = {
    RemittanceStatus.QUARANTINED: {RemittanceStatus.READY},
    RemittanceStatus.READY: {
        RemittanceStatus.POSTING,
        RemittanceStatus.POSTED,
        RemittanceStatus.QUARANTINED,
    },
    RemittanceStatus.POSTING: {RemittanceStatus.POSTED, RemittanceStatus.READY},
    RemittanceStatus.POSTED: {RemittanceStatus.REVERSED},
    # what was reversed is corrected and posted again; its deposit is unapplied cash meanwhile
    RemittanceStatus.REVERSED: {RemittanceStatus.READY},
}


class HeldFor(models.TextChoices):
    """Why a remittance is held: none of it is posted until the cause is gone."""

    BALANCE = "balance", "Does not balance"
    VERSION = "version", "Version not in force"
    PAYEE = "payee", "Not paid to us"
    DATE = "date", "No payment date"


class Remittance(TenantModel):
    """One payment: one ST of an 835, or a keyed EOB. Check = sum of 835 = posted.

    It is told from another by payer, trace, date, amount and its claims (`identity`): a check
    number comes back in another year, and the payments of nothing of one payer may all be called
    the same.
    """

    interchange = models.ForeignKey(
        "exchange.Interchange", on_delete=models.PROTECT, null=True, related_name="+"
    )
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.PROTECT, null=True, related_name="+"
    )
    payer_name = models.CharField(max_length=80)
    trace = models.CharField(max_length=50, help_text="TRN02: check or EFT number")
    payer_ref = models.CharField(max_length=30, blank=True, help_text="TRN03")
    occurrence = models.SmallIntegerField(
        default=1, help_text="Which of the different payments under one TRN02 and TRN03"
    )
    identity = models.CharField(
        max_length=64, blank=True, help_text="Digest of trace, payer, date, amount and claims"
    )
    claims_key = models.CharField(
        max_length=64, blank=True, help_text="Digest of the claim numbers alone"
    )
    resembles = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="resembled_by",
        help_text="Another payment under the same number and day about a claim of this one",
    )
    attempt = models.SmallIntegerField(
        default=1, help_text="Grows when a reversed remittance is taken up again"
    )
    payee_name = models.CharField(max_length=60, blank=True, help_text="N1*PE as received")
    payee_npi = models.CharField(max_length=10, blank=True)
    payee_tin = models.CharField(max_length=10, blank=True)
    keyed_by_id = models.BigIntegerField(null=True, help_text="Who keyed a paper EOB")
    second_for = models.CharField(
        max_length=200, blank=True, help_text="Why a second person must agree before it is posted"
    )
    agreed_by_id = models.BigIntegerField(null=True)
    agreed_by = models.CharField(max_length=120, blank=True)
    held_for = models.CharField(max_length=8, choices=HeldFor.choices, blank=True)
    dated_by = models.CharField(
        max_length=120, blank=True, help_text="Who gave the date of a payment that named none"
    )
    method = models.CharField(max_length=3, blank=True)
    paid_on = models.DateField()
    amount = models.DecimalField(max_digits=14, decimal_places=2, help_text="BPR02")
    claims_total = models.DecimalField(max_digits=14, decimal_places=2)
    plb_total = models.DecimalField(max_digits=14, decimal_places=2)
    status = models.CharField(
        max_length=12, choices=RemittanceStatus.choices, default=RemittanceStatus.READY
    )
    findings = models.JSONField(default=list)
    received_at = models.DateTimeField()
    posted_at = models.DateTimeField(null=True)
    reversed_at = models.DateTimeField(null=True)
    source = models.CharField(
        max_length=5, default="835", help_text="835 as received, or paper: an EOB keyed by a person"
    )
    segment_start = models.BigIntegerField(
        null=True, help_text="Segment number of the ST in the interchange"
    )
    deposited_on = models.DateField(null=True, help_text="Seen on the bank file")
    claim_count = models.IntegerField(default=0)
    job = models.ForeignKey("jobs.JobRun", on_delete=models.SET_NULL, null=True, related_name="+")
    version = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "trace", "payer_ref", "occurrence"], name="one_trace"
            ),
            models.UniqueConstraint(
                fields=["organization", "identity"],
                condition=~Q(identity="") & ~Q(status="quarantined"),
                name="one_payment",
            ),
        ]
        indexes = [
            models.Index(
                fields=["organization", "status", "paid_on", "id"], name="remittance_status"
            )
        ]


class EobDocument(TenantModel):
    """The paper behind a keyed EOB, as it was scanned: kept as it came."""

    append_only = True

    remittance = models.OneToOneField(Remittance, on_delete=models.PROTECT, related_name="document")
    content = models.BinaryField()
    media_type = models.CharField(max_length=20)
    file_name = models.CharField(max_length=120, blank=True)
    sha256 = models.CharField(max_length=64)
    size = models.IntegerField()

    audited = False


class PaymentState(models.TextChoices):
    MATCHED = "matched", "Matched"
    EXCEPTION = "exception", "Exception"
    UNAPPLIED = "unapplied", "Unapplied cash"
    POSTED = "posted", "Posted"
    REVERSED = "reversed", "Reversed"
    RETURNED = "returned", "Not for a claim"


class ClaimPayment(TenantModel):
    """One CLP. Key: (trace, payer, ICN, claim number, status, occurrence), never the claim number
    alone.
    """

    audited = False
    site_path = "claim__site_id"

    organization = organization_key(db_index=False)
    remittance = models.ForeignKey(
        Remittance, on_delete=models.PROTECT, related_name="payments", db_index=False
    )
    position = models.IntegerField(help_text="Order in the remittance")
    claim = models.ForeignKey(
        "claims.Claim",
        on_delete=models.PROTECT,
        null=True,
        related_name="payments",
        db_index=False,
    )
    claim_number = models.CharField(max_length=50, help_text="CLP01")
    payer_control_number = models.CharField(max_length=50, blank=True)
    status_code = models.CharField(max_length=2, help_text="CLP02")
    billed = models.DecimalField(max_digits=12, decimal_places=2)
    paid = models.DecimalField(max_digits=12, decimal_places=2)
    patient_responsibility = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    patient_name = models.CharField(max_length=120, blank=True)
    member_id = models.CharField(max_length=40, blank=True)
    service_date = models.DateField(null=True)
    frequency = models.CharField(max_length=1, blank=True)
    references = models.JSONField(default=dict, help_text="F8 and other REF")
    remarks = models.JSONField(default=list)
    state = models.CharField(
        max_length=10, choices=PaymentState.choices, default=PaymentState.MATCHED
    )
    exception = models.CharField(
        max_length=30,
        blank=True,
        help_text="no_match, reversal_without_original, over_posted, code_mismatch …",
    )
    sentence = models.CharField(max_length=200, blank=True)
    candidates = models.JSONField(default=list, help_text="Scored possible claims when unmatched")
    segment_start = models.BigIntegerField(
        null=True, help_text="First segment of the CLP loop in the interchange, counted from 1"
    )
    segment_end = models.BigIntegerField(null=True)
    reverses = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="reversals"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["remittance", "position"], name="one_clp")]
        indexes = [
            models.Index(fields=["claim"], name="payment_claim"),
            models.Index(fields=["organization", "payer_control_number"], name="payment_icn"),
            models.Index(fields=["remittance", "state", "position"], name="payment_state"),
            models.Index(
                fields=["organization", "claim_number"],
                name="payment_lone_reversal",
                condition=Q(exception="reversal_without_original"),
            ),
        ]


class ServicePayment(TenantModel):
    """One SVC: billed, paid, allowed and what we expected."""

    audited = False
    public_id = None  # type: ignore[assignment]

    # its payment's, by the key that they share, which is checked once a line instead of twice
    organization = organization_key(db_constraint=False, db_index=False)
    payment = models.ForeignKey(
        ClaimPayment, on_delete=models.PROTECT, related_name="services", db_index=False
    )
    line = models.ForeignKey(
        "claims.ClaimLine",
        on_delete=models.PROTECT,
        null=True,
        related_name="payments",
        db_index=False,
    )
    position = models.SmallIntegerField()
    code = models.CharField(max_length=48)
    modifiers = models.JSONField(default=list)
    original_code = models.CharField(max_length=48, blank=True)
    billed = models.DecimalField(max_digits=12, decimal_places=2)
    paid = models.DecimalField(max_digits=12, decimal_places=2)
    allowed = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    expected = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    units = models.DecimalField(max_digits=8, decimal_places=2, default=1)
    service_date = models.DateField(null=True)
    control = models.CharField(max_length=50, blank=True, help_text="REF*6R")
    remarks = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["payment", "position"], name="one_svc")]
        indexes = [models.Index(fields=["line"], name="service_line")]


class Adjustment(TenantModel):
    """One CAS triplet, at line or claim level."""

    append_only = True
    public_id = None  # type: ignore[assignment]

    # its payment's, by the key that they share
    organization = organization_key(db_constraint=False)
    payment = models.ForeignKey(ClaimPayment, on_delete=models.PROTECT, related_name="adjustments")
    service = models.ForeignKey(
        ServicePayment, on_delete=models.PROTECT, null=True, related_name="adjustments"
    )
    group = models.CharField(max_length=2)
    reason = models.CharField(max_length=5)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    quantity = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    klass = models.CharField(
        max_length=14,
        help_text="CARC class at posting: contractual, patient_resp, denial, cob, info, other",
    )


class ProviderAdjustment(TenantModel):
    """One PLB pair (rule `provider-adjustment`): takeback, forwarding balance, interest … posted to
    the provider-level account.
    """

    remittance = models.ForeignKey(
        Remittance, on_delete=models.PROTECT, related_name="provider_adjustments"
    )
    position = models.SmallIntegerField()
    reason = models.CharField(max_length=3)
    reference = models.CharField(max_length=50, blank=True)
    amount = models.DecimalField(
        max_digits=12, decimal_places=2, help_text="Positive reduces the payment"
    )
    claim = models.ForeignKey("claims.Claim", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["remittance", "position"], name="one_plb")]


class UnappliedCash(TenantModel):
    """Money received that is on no claim yet: it has an owner and an age, never a silence. `open`
    is derived from the ledger.
    """

    payment = models.OneToOneField(
        ClaimPayment, on_delete=models.PROTECT, null=True, related_name="unapplied"
    )
    remittance = models.ForeignKey(Remittance, on_delete=models.PROTECT, related_name="unapplied")
    amount = models.DecimalField(
        max_digits=12, decimal_places=2, help_text="What is still on no claim"
    )
    reason = models.CharField(max_length=120)
    resolved_at = models.DateTimeField(null=True)


class CashUse(TenantModel):
    """A part of unapplied cash that the payer took back: by a provider-level amount that names its
    payment. Undone with the remittance that took it.
    """

    public_id = None  # type: ignore[assignment]

    cash = models.ForeignKey(UnappliedCash, on_delete=models.PROTECT, related_name="uses")
    provider_adjustment = models.ForeignKey(
        ProviderAdjustment, on_delete=models.PROTECT, related_name="uses"
    )
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="cash_use_positive")]


class ReturnStatus(models.TextChoices):
    REQUESTED = "requested", "Waits for a second person"
    SENT = "sent", "Sent"
    REFUSED = "refused", "Refused"
    STOPPED = "stopped", "Stopped"


RETURN_MOVES: dict[str, set[str]] = {
    ReturnStatus.REQUESTED: {ReturnStatus.SENT, ReturnStatus.REFUSED, ReturnStatus.STOPPED},
    ReturnStatus.SENT: set(),
    ReturnStatus.REFUSED: set(),
    ReturnStatus.STOPPED: set(),
}


class CashReturn(TenantModel):
    """Unapplied cash that goes another way than onto a claim: back to the payer, which a second
    person approves with the check number, or onto a patient's account.
    """

    patient_keys = (PatientKey(),)

    cash = models.ForeignKey(UnappliedCash, on_delete=models.PROTECT, related_name="returns")
    to = models.CharField(max_length=8, help_text="payer or patient")
    patient = models.ForeignKey(
        "intake.Patient", on_delete=models.PROTECT, null=True, related_name="+"
    )
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    reason = models.CharField(max_length=200)
    status = models.CharField(
        max_length=9, choices=ReturnStatus.choices, default=ReturnStatus.REQUESTED
    )
    requested_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    note = models.CharField(max_length=200, blank=True)
    reference = models.CharField(
        max_length=40, blank=True, help_text="Check or transfer with which it went back"
    )
    transaction = models.OneToOneField(
        "ledger.LedgerTransaction", on_delete=models.PROTECT, null=True, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cash"], condition=Q(status="requested"), name="one_open_return"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="return_positive"),
            models.CheckConstraint(
                condition=Q(to="patient", patient__isnull=False) | Q(to="payer"),
                name="return_to_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(to="payer", status="sent")
                | (Q(decided_by__isnull=False) & ~Q(decided_by=F("requested_by"))),
                name="return_maker_is_not_checker",
            ),
        ]


class DenialStatus(models.TextChoices):
    OPEN = "open", "Open"
    CORRECTED = "corrected", "Corrected claim sent"
    APPEALED = "appealed", "Appealed"
    OVERTURNED = "overturned", "Overturned"
    PARTIAL = "partial", "Partly overturned"
    UPHELD = "upheld", "Upheld"
    WRITTEN_OFF = "written_off", "Written off"
    PARKED = "parked", "Not workable, parked"
    WITHDRAWN = "withdrawn", "Withdrawn with its remittance"


DENIAL_MOVES: dict[str, set[str]] = {
    DenialStatus.OPEN: set(DenialStatus.values) - {DenialStatus.OPEN},
    DenialStatus.CORRECTED: (
        set(DenialStatus.values) - {DenialStatus.CORRECTED, DenialStatus.PARKED}
    ),
    DenialStatus.APPEALED: (
        set(DenialStatus.values)
        - {DenialStatus.APPEALED, DenialStatus.PARKED, DenialStatus.CORRECTED}
    ),
    DenialStatus.OVERTURNED: {DenialStatus.OPEN, DenialStatus.WITHDRAWN},
    DenialStatus.PARTIAL: {
        DenialStatus.OPEN,
        DenialStatus.APPEALED,
        DenialStatus.WRITTEN_OFF,
        DenialStatus.OVERTURNED,
        DenialStatus.WITHDRAWN,
    },
    DenialStatus.UPHELD: set(DenialStatus.values) - {DenialStatus.UPHELD, DenialStatus.PARKED},
    DenialStatus.WRITTEN_OFF: {
        DenialStatus.OVERTURNED,
        DenialStatus.PARTIAL,
        DenialStatus.OPEN,
        DenialStatus.WITHDRAWN,
    },
    DenialStatus.PARKED: set(DenialStatus.values) - {DenialStatus.PARKED},
    DenialStatus.WITHDRAWN: set(),
}


class Denial(TenantModel):
    """A denied line (or claim): normalized, dated, attributed. Deadlines are computed,
    never typed.
    """

    site_path = "claim__site_id"

    claim = models.ForeignKey("claims.Claim", on_delete=models.PROTECT, related_name="denials")
    line = models.ForeignKey(
        "claims.ClaimLine", on_delete=models.PROTECT, null=True, related_name="denials"
    )
    payment = models.ForeignKey(ClaimPayment, on_delete=models.PROTECT, related_name="denials")
    payer = models.ForeignKey("reference.Payer", on_delete=models.PROTECT, related_name="+")
    service = models.ForeignKey(
        ServicePayment, on_delete=models.PROTECT, null=True, related_name="denials"
    )
    group = models.CharField(max_length=2)
    reason = models.CharField(max_length=5)
    remarks = models.JSONField(default=list)
    category = models.CharField(max_length=30)
    amount = models.DecimalField(max_digits=12, decimal_places=2, help_text="Billed amount denied")
    expected = models.DecimalField(
        max_digits=12, decimal_places=2, null=True, help_text="Dollars at risk"
    )
    status = models.CharField(
        max_length=11, choices=DenialStatus.choices, default=DenialStatus.OPEN
    )
    denied_on = models.DateField()
    appeal_by = models.DateField(null=True)
    correct_by = models.DateField(null=True)
    owner_stage = models.CharField(max_length=30, blank=True)
    preventable = models.BooleanField(null=True)
    root_cause = models.CharField(max_length=200, blank=True)
    upstream_event_id = models.BigIntegerField(null=True, help_text="Event that let it through")
    repeat = models.BooleanField(default=False)
    next_claim = models.ForeignKey(
        "claims.Claim",
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="The corrected claim",
    )
    park_reason = models.CharField(max_length=200, blank=True)
    review_on = models.DateField(
        null=True, help_text="A parked denial is looked at again on this day"
    )
    recovered = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    resolved_on = models.DateField(null=True)
    resolved_by = models.ForeignKey(
        ClaimPayment,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text="The payment that overturned or upheld it",
    )
    version = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["payment", "line", "service", "reason"],
                condition=~Q(status="withdrawn"),
                nulls_distinct=False,
                name="one_denial",
            ),
        ]
        indexes = [
            models.Index(
                fields=["organization", "status", "appeal_by", "id"], name="denial_status"
            ),
            models.Index(fields=["claim"], name="denial_claim"),
            models.Index(fields=["line"], name="denial_line"),
            models.Index(
                fields=["organization", "payer", "category", "status"], name="denial_group"
            ),
        ]


class Appeal(TenantModel):
    """One level of appeal: letter, packet, deadline, outcome."""

    denial = models.ForeignKey(Denial, on_delete=models.PROTECT, related_name="appeals")
    level = models.SmallIntegerField(default=1)
    letter = models.TextField()
    packet = models.BinaryField(null=True, help_text="Evidence packet PDF as sent")
    packet_sha256 = models.CharField(max_length=64, blank=True)
    sent_on = models.DateField()
    due_on = models.DateField(null=True)
    outcome = models.CharField(max_length=11, blank=True, help_text="overturned, partial, upheld")
    outcome_on = models.DateField(null=True)
    recovered = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["denial", "level"], name="one_appeal_level")]


class RemittancePolicy(TenantModel):
    """How one organization posts, by date. Without a row the shipped defaults hold
    (remittance/data/policy.csv).
    """

    auto_post = models.BooleanField(help_text="A remittance without exceptions posts by itself")
    variance_dollars = models.DecimalField(
        max_digits=8, decimal_places=2, help_text="A smaller difference is no variance"
    )
    variance_percent = models.DecimalField(max_digits=5, decimal_places=2)
    review_days = models.IntegerField(help_text="A parked denial comes back after so many days")
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "effective_from"], name="one_remittance_policy"
            )
        ]


class Deposit(TenantModel):
    """One credit of a bank file. Its trace finds the remittance; unmatched either way is shown."""

    deposited_on = models.DateField()
    reference = models.CharField(max_length=50)
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    description = models.CharField(max_length=120, blank=True)
    occurrence = models.SmallIntegerField(
        default=1, help_text="Equal lines of one file are several deposits"
    )
    remittance = models.ForeignKey(
        Remittance, on_delete=models.PROTECT, null=True, related_name="deposits"
    )

    near = models.ForeignKey(
        Remittance,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text="A remittance that it misses by little",
    )
    near_words = models.CharField(max_length=120, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "deposited_on", "reference", "amount", "occurrence"],
                name="one_deposit",
            ),
        ]
        indexes = [models.Index(fields=["organization", "reference"], name="deposit_reference")]


class BankLayout(TenantModel):
    """Which columns of an organization's bank file hold what, as a person mapped them once."""

    public_id = None  # type: ignore[assignment]

    columns = models.JSONField(default=dict, help_text="date, amount, reference, description")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization"], name="one_bank_layout")]


class VarianceStatus(models.TextChoices):
    OPEN = "open", "Open"
    DISPUTED = "disputed", "Disputed with payer"
    RECOVERED = "recovered", "Recovered"
    ACCEPTED = "accepted", "Accepted as correct"


VARIANCE_MOVES: dict[str, set[str]] = {
    VarianceStatus.OPEN: {
        VarianceStatus.DISPUTED,
        VarianceStatus.RECOVERED,
        VarianceStatus.ACCEPTED,
    },
    VarianceStatus.DISPUTED: {VarianceStatus.RECOVERED, VarianceStatus.ACCEPTED},
    VarianceStatus.RECOVERED: set(),
    VarianceStatus.ACCEPTED: set(),
}


class Variance(TenantModel):
    """Allowed against expected on one paid line. Negative difference is an underpayment."""

    site_path = "claim__site_id"

    service = models.OneToOneField(
        ServicePayment, on_delete=models.PROTECT, related_name="variance"
    )
    claim = models.ForeignKey("claims.Claim", on_delete=models.PROTECT, related_name="variances")
    payer = models.ForeignKey("reference.Payer", on_delete=models.PROTECT, related_name="+")
    code = models.CharField(max_length=5)
    expected = models.DecimalField(max_digits=12, decimal_places=2)
    allowed = models.DecimalField(max_digits=12, decimal_places=2)
    difference = models.DecimalField(max_digits=12, decimal_places=2)
    cause = models.CharField(
        max_length=30, blank=True, help_text="mppr, contract_rate, sequestration, unknown …"
    )
    status = models.CharField(
        max_length=9, choices=VarianceStatus.choices, default=VarianceStatus.OPEN
    )
    note = models.CharField(max_length=300, blank=True)
    recovered = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    found_on = models.DateField()
    resolved_on = models.DateField(null=True)
    version = models.IntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(fields=["organization", "status", "payer", "code"], name="variance_group")
        ]
        constraints = [models.CheckConstraint(condition=~Q(difference=0), name="variance_not_zero")]
