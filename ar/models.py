"""Receivables: governed write-offs, refunds, patient balance, statements, snapshots of aging and
KPI (DOMAIN G).
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from rcm.accounts.tenancy import TenantModel


class RequestStatus(models.TextChoices):
    REQUESTED = "requested", "Waits for approval"
    APPROVED = "approved", "Approved and posted"
    REFUSED = "refused", "Refused"


class WriteOffRequest(TenantModel):
    """Nobody writes off silently: reason, maker, checker above the limit, documented contact
    (invariant 9).
    """

    claim = models.ForeignKey(
        "claims.Claim",
        on_delete=models.PROTECT,
        null=True,
        related_name="write_offs",
        help_text="Null: self-pay",
    )
    charge = models.ForeignKey(
        "charges.Charge", on_delete=models.PROTECT, related_name="write_offs"
    )
    reason = models.CharField(
        max_length=24, help_text="small_balance, timely, bad_debt, charity, courtesy, denial, admin"
    )
    account = models.CharField(
        max_length=20, help_text="The receivable it takes down: ar_insurance or ar_patient"
    )
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    note = models.CharField(max_length=300)
    contact = models.ForeignKey(
        "worklist.Interaction", on_delete=models.PROTECT, null=True, related_name="+"
    )
    status = models.CharField(
        max_length=9, choices=RequestStatus.choices, default=RequestStatus.REQUESTED
    )
    requested_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    decision_note = models.CharField(max_length=300, blank=True)
    transaction = models.OneToOneField(
        "ledger.LedgerTransaction", on_delete=models.PROTECT, null=True, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["charge", "account"],
                condition=Q(status="requested"),
                name="one_open_write_off",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="write_off_positive"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True)
                | Q(requested_by__isnull=True)
                | ~Q(decided_by=F("requested_by"))
                | Q(status="refused"),
                name="maker_is_not_checker",
            ),
        ]


class ReceivablePolicy(TenantModel):
    """How one organization treats small balances, statements, credits and silent claims, by date.
    Without a row the shipped defaults hold (ar/data/policy.csv).
    """

    small_balance = models.DecimalField(
        max_digits=8,
        decimal_places=2,
        help_text="Written off by rule after the statement cycle (DOMAIN G5)",
    )
    statement_days = models.JSONField(
        help_text=(
            "Days after the first statement: [0, 30, 60, 90]; the last is the final notice"
            " (DOMAIN G6)"
        )
    )
    collection_days = models.IntegerField(
        help_text="Not before so many days after the first statement"
    )
    refund_days_federal = models.IntegerField(
        help_text="Medicare and Medicaid credits, from identification (DOMAIN G8)"
    )
    refund_days_other = models.IntegerField()
    followup_grace_days = models.IntegerField(help_text="Past the payer's usual response days")
    prepayment_days = models.IntegerField(
        help_text="Money on account without a balance this old is a credit"
    )
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "effective_from"], name="one_receivable_policy"
            )
        ]


class Refund(TenantModel):
    """A credit balance to give back: to whom, why, and the 60-day clock of Medicare and Medicaid
    (DOMAIN G8).
    """

    patient = models.ForeignKey("intake.Patient", on_delete=models.PROTECT, related_name="refunds")
    charge = models.ForeignKey("charges.Charge", on_delete=models.PROTECT, related_name="refunds")
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.PROTECT, null=True, related_name="+"
    )
    to = models.CharField(max_length=8, help_text="patient or payer")
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    cause = models.CharField(max_length=30)
    identified_on = models.DateField()
    due_on = models.DateField()
    status = models.CharField(
        max_length=9, choices=RequestStatus.choices, default=RequestStatus.REQUESTED
    )
    requested_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    decision_note = models.CharField(max_length=300, blank=True)
    transaction = models.OneToOneField(
        "ledger.LedgerTransaction", on_delete=models.PROTECT, null=True, related_name="+"
    )
    issued_on = models.DateField(null=True, help_text="When the money left")
    issue_reference = models.CharField(
        max_length=40, blank=True, help_text="Check or transfer number"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["charge"], condition=Q(status="requested"), name="one_open_refund"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_positive"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True)
                | Q(requested_by__isnull=True)
                | ~Q(decided_by=F("requested_by"))
                | Q(status="refused"),
                name="refund_maker_is_not_checker",
            ),
        ]


class Statement(TenantModel):
    """One patient statement as sent: lines, balance, PDF."""

    patient = models.ForeignKey(
        "intake.Patient", on_delete=models.PROTECT, related_name="statements"
    )
    number = models.CharField(max_length=20)
    step = models.SmallIntegerField(default=1, help_text="1, 2, 3, 4 final notice")
    balance = models.DecimalField(max_digits=12, decimal_places=2)
    lines = models.JSONField(default=list)
    pdf = models.BinaryField(null=True)
    sent_on = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="one_statement")
        ]


class PatientPayment(TenantModel):
    """Money from a patient, at the desk or by mail: receipt number, method; its effect is the
    ledger transaction.
    """

    patient = models.ForeignKey("intake.Patient", on_delete=models.PROTECT, related_name="payments")
    receipt = models.CharField(max_length=20)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    method = models.CharField(max_length=10, help_text="card, cash, check")
    received_on = models.DateField()
    note = models.CharField(max_length=120, blank=True)
    voided_at = models.DateTimeField(null=True)
    void_reason = models.CharField(max_length=120, blank=True)
    transaction = models.OneToOneField(
        "ledger.LedgerTransaction", on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "receipt"], name="one_receipt"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_positive"),
        ]


class PlanStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    DONE = "done", "Paid"
    DEFAULTED = "default", "Broken"
    CANCELLED = "cancelled", "Cancelled"


PLAN_MOVES: dict[str, set[str]] = {
    PlanStatus.ACTIVE: {PlanStatus.DONE, PlanStatus.DEFAULTED, PlanStatus.CANCELLED},
    PlanStatus.DEFAULTED: {PlanStatus.ACTIVE, PlanStatus.CANCELLED},
    PlanStatus.DONE: set(),
    PlanStatus.CANCELLED: set(),
}


class PaymentPlan(TenantModel):
    """An agreement to pay in instalments: while it is kept no statement and no collection goes out
    (DOMAIN G6).
    """

    patient = models.ForeignKey("intake.Patient", on_delete=models.PROTECT, related_name="plans")
    total = models.DecimalField(max_digits=12, decimal_places=2)
    instalment = models.DecimalField(max_digits=12, decimal_places=2)
    starts_on = models.DateField(
        help_text="First instalment; the next fall on the same day of each month"
    )
    grace_days = models.SmallIntegerField(default=10)
    misses_allowed = models.SmallIntegerField(default=2)
    status = models.CharField(max_length=9, choices=PlanStatus.choices, default=PlanStatus.ACTIVE)
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["patient"], condition=Q(status="active"), name="one_active_plan"
            ),
            models.CheckConstraint(
                condition=Q(instalment__gt=0, total__gte=F("instalment")), name="plan_amounts"
            ),
        ]


class AgingSnapshot(TenantModel):
    """Open balance by payer, site and bucket at a day's end, so that last month never changes."""

    audited = False
    public_id = None  # type: ignore[assignment]

    day = models.DateField()
    basis = models.CharField(max_length=7, help_text="service or billed")
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.PROTECT, null=True, related_name="+"
    )
    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, null=True, related_name="+")
    bucket = models.CharField(max_length=8, help_text="0-30, 31-60, 61-90, 91-120, 121+, unbilled")
    insurance = models.DecimalField(max_digits=14, decimal_places=2)
    patient = models.DecimalField(max_digits=14, decimal_places=2)
    lines = models.IntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "basis", "payer", "site", "bucket"],
                nulls_distinct=False,
                name="one_aging_cell",
            )
        ]


class KpiSnapshot(TenantModel):
    """A KPI as it stood: numerator and denominator, by day and (optionally) site and payer."""

    audited = False
    public_id = None  # type: ignore[assignment]

    day = models.DateField()
    kpi = models.CharField(max_length=30)
    definition = models.SmallIntegerField(default=1, help_text="Version of the formula")
    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, null=True, related_name="+")
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.PROTECT, null=True, related_name="+"
    )
    numerator = models.DecimalField(max_digits=16, decimal_places=2)
    denominator = models.DecimalField(max_digits=16, decimal_places=2)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "kpi", "site", "payer"],
                nulls_distinct=False,
                name="one_kpi_cell",
            )
        ]
