"""Claims: built from released charges, scrubbed, sent in batches, acknowledged, corrected."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rcm.accounts.charts import PatientKey
from rcm.accounts.tenancy import TenantModel, organization_key


class ClaimStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    BLOCKED = "blocked", "Blocked by edits"
    READY = "ready", "Ready to submit"
    SUBMITTED = "submitted", "Submitted"
    ACKNOWLEDGED = "acknowledged", "Received by clearinghouse"
    ACCEPTED = "accepted", "Accepted by payer"
    REJECTED = "rejected", "Rejected"
    DENIED = "denied", "Denied"
    PARTIAL = "partial", "Partly paid"
    PAID = "paid", "Paid"
    CLOSED = "closed", "Closed"
    REPLACED = "replaced", "Replaced"
    VOID = "void", "Void"


S = ClaimStatus
CLAIM_MOVES: dict[str, set[str]] = {
    S.DRAFT: {S.BLOCKED, S.READY, S.VOID},
    S.BLOCKED: {S.READY, S.BLOCKED, S.DRAFT, S.VOID},
    S.READY: {S.SUBMITTED, S.BLOCKED, S.DRAFT, S.VOID},
    S.SUBMITTED: {S.ACKNOWLEDGED, S.ACCEPTED, S.REJECTED, S.DENIED, S.PARTIAL, S.PAID, S.READY},
    S.ACKNOWLEDGED: {S.ACCEPTED, S.REJECTED, S.DENIED, S.PARTIAL, S.PAID},
    S.ACCEPTED: {S.DENIED, S.PARTIAL, S.PAID, S.REJECTED, S.REPLACED, S.VOID, S.CLOSED},
    S.REJECTED: {S.DRAFT, S.BLOCKED, S.READY, S.VOID, S.CLOSED},
    S.DENIED: {S.PAID, S.PARTIAL, S.REPLACED, S.VOID, S.CLOSED, S.DENIED},
    S.PARTIAL: {S.PAID, S.DENIED, S.PARTIAL, S.REPLACED, S.VOID, S.CLOSED},
    S.PAID: {S.PARTIAL, S.DENIED, S.PAID, S.REPLACED, S.VOID, S.CLOSED},
    S.CLOSED: {S.PAID, S.PARTIAL, S.DENIED, S.REPLACED},
    S.REPLACED: {S.PAID, S.PARTIAL, S.DENIED},
    S.VOID: set(),
}


class Claim(TenantModel):
    """One claim to one payer. `number` is CLM01. A correction is a new claim (frequency 7) that
    `replaces` the old one.
    """

    patient_keys = (PatientKey(derived="lines__charge__patient_id"),)

    site_path = "site_id"

    organization = organization_key(db_index=False)
    number = models.CharField(max_length=20)
    patient = models.ForeignKey(
        "intake.Patient", on_delete=models.PROTECT, related_name="claims", db_index=False
    )
    coverage = models.ForeignKey("intake.Coverage", on_delete=models.PROTECT, related_name="claims")
    payer = models.ForeignKey("reference.Payer", on_delete=models.PROTECT, related_name="+")
    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, related_name="+")
    rank = models.SmallIntegerField(default=1, help_text="1 primary, 2 secondary, 3 tertiary")
    form = models.CharField(max_length=5, default="837P")
    frequency = models.CharField(max_length=1, default="1")
    replaces = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="replacements"
    )
    primary_claim = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="later_claims"
    )
    status = models.CharField(max_length=12, choices=ClaimStatus.choices, default=ClaimStatus.DRAFT)
    pos = models.CharField(max_length=2)
    service_date = models.DateField(help_text="First date of service")
    diagnoses = models.JSONField(default=list)
    total = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    expected = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    authorization_number = models.CharField(max_length=50, blank=True)
    payer_control_number = models.CharField(
        max_length=50, blank=True, help_text="Payer's number (ICN, CLP07); REF*F8 of a correction"
    )
    referring_npi = models.CharField(max_length=10, blank=True)
    ordering_npi = models.CharField(max_length=10, blank=True)
    rendering_npi = models.CharField(max_length=10, blank=True)
    note = models.CharField(max_length=80, blank=True)
    extra = models.JSONField(
        default=dict,
        help_text="Purchased service, mammography number, attachment control, COB figures",
    )
    filing_deadline = models.DateField(null=True)
    corrected_deadline = models.DateField(null=True)
    first_submitted_at = models.DateTimeField(null=True)
    last_submitted_at = models.DateTimeField(null=True)
    accepted_at = models.DateTimeField(null=True)
    last_answer_at = models.DateTimeField(null=True)
    decided_on = models.DateField(
        null=True, help_text="Day of the payer's last decision: starts the corrected-claim window"
    )
    clean_first_pass = models.BooleanField(
        null=True, help_text="First scrub without a block, no rejection: KPI CL-1"
    )
    scrubbed_at = models.DateTimeField(null=True)
    version = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="one_claim_number")
        ]
        indexes = [
            models.Index(
                fields=["organization", "status", "service_date", "id"], name="claim_status"
            ),
            models.Index(fields=["patient", "service_date"], name="claim_patient"),
            models.Index(fields=["organization", "payer", "status"], name="claim_payer"),
            models.Index(
                fields=["organization", "payer_control_number"],
                name="claim_icn",
                condition=~Q(payer_control_number=""),
            ),
            models.Index(fields=["organization", "filing_deadline", "id"], name="claim_deadline"),
        ]

    def __str__(self) -> str:
        return self.number


class ClaimLine(TenantModel):
    """One service line. `control` is REF*6R, which comes back in the 835."""

    claim = models.ForeignKey(Claim, on_delete=models.PROTECT, related_name="lines")
    charge = models.ForeignKey(
        "charges.Charge", on_delete=models.PROTECT, related_name="claim_lines"
    )
    number = models.SmallIntegerField()
    control = models.CharField(max_length=30)
    code = models.CharField(max_length=5)
    modifiers = models.JSONField(default=list)
    units = models.DecimalField(max_digits=8, decimal_places=2)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    expected = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    pointers = models.JSONField(
        default=list, help_text="1-based positions in the claim's diagnoses"
    )
    service_date = models.DateField()
    extra = models.JSONField(default=dict, help_text="Line facility, purchased price, NDC")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["claim", "number"], name="one_line_number"),
            models.UniqueConstraint(fields=["organization", "control"], name="one_line_control"),
        ]
        indexes = [models.Index(fields=["charge"], name="line_charge")]


class ScrubFinding(TenantModel):
    """One edit that fired on a claim at its last scrub; kept with its fate for hit and prevention
    rates.
    """

    audited = False

    claim = models.ForeignKey(Claim, on_delete=models.CASCADE, related_name="findings")
    line = models.ForeignKey(
        ClaimLine, on_delete=models.CASCADE, null=True, related_name="findings"
    )
    edit = models.CharField(max_length=40)
    severity = models.CharField(max_length=1, help_text="B block, W warn")
    sentence = models.CharField(max_length=300)
    field = models.CharField(max_length=60, blank=True)
    fix = models.CharField(max_length=200, blank=True)
    owner = models.CharField(max_length=20, blank=True)
    rule = models.CharField(max_length=60, blank=True, help_text="Slug of the rule book")
    source = models.CharField(max_length=300, blank=True, help_text="Authority in words")
    found_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)
    overridden_by = models.CharField(max_length=120, blank=True)
    override_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["claim", "cleared_at"], name="finding_claim"),
            models.Index(fields=["organization", "edit"], name="finding_edit"),
        ]


class PayerRule(TenantModel):
    """A user's own rule: conditions and action on documented claim fields, versioned,
    fail-closed.
    """

    name = models.CharField(max_length=80)
    number = models.IntegerField(help_text="Same rule over its versions")
    rule_version = models.IntegerField(default=1)
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.PROTECT, null=True, related_name="+"
    )
    severity = models.CharField(max_length=1, default="B")
    sentence = models.CharField(max_length=200)
    fix = models.CharField(max_length=200, blank=True)
    definition = models.JSONField()
    active = models.BooleanField(default=False)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)
    backtest = models.JSONField(default=dict)
    author = models.CharField(max_length=120)
    author_user = models.ForeignKey(
        "accounts.User",
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text="Another person switches it on",
    )
    learned = models.JSONField(
        default=dict, help_text="Of a rule proposed from denials: payer, reason, what they share"
    )
    switched_on = models.DateTimeField(null=True, help_text="When this version was switched on")
    switched_off = models.DateTimeField(null=True, help_text="When it was switched off again")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "number", "rule_version"], name="one_rule_version"
            ),
            models.UniqueConstraint(
                fields=["organization", "number"],
                condition=Q(active=True),
                name="one_active_version",
            ),
        ]


class SubmissionStatus(models.TextChoices):
    BUILT = "built", "Built"
    SENT = "sent", "Sent"
    ACCEPTED = "accepted", "Accepted by 999"
    REJECTED = "rejected", "Rejected by 999"
    FAILED = "failed", "Could not be sent"


class ClaimPolicy(TenantModel):
    """When claims leave by themselves and when silence alarms, by date. Without a row the shipped
    defaults hold (claims/data/claim_policy.csv).
    """

    auto_submit = models.BooleanField(help_text="Clean claims leave without a person")
    missing_after_hours = models.IntegerField(
        help_text="A claim without any acknowledgement counts as missing"
    )
    work_hours = models.IntegerField(help_text="Time to work a blocked or rejected claim")
    filing_alert_days = models.IntegerField(
        help_text="Unsent claims this near their filing limit stand in a queue"
    )
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "effective_from"], name="one_claim_policy"
            )
        ]


class PaperPrinter(TenantModel):
    """A printer that prints claims on the red form, and how far its print has to be moved to meet
    the boxes. Inches; plus is right and down.
    """

    name = models.CharField(max_length=40)
    right = models.DecimalField(max_digits=4, decimal_places=2, default=0)
    down = models.DecimalField(max_digits=4, decimal_places=2, default=0)
    active = models.BooleanField(default=True)
    version = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="one_printer_name"),
            models.CheckConstraint(
                condition=Q(right__range=(-1, 1), down__range=(-1, 1)), name="printer_within_inch"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Submission(TenantModel):
    """One 837 file: claims out = accepted + rejected + missing."""

    number = models.CharField(max_length=20)
    interchange = models.OneToOneField(
        "exchange.Interchange", on_delete=models.PROTECT, related_name="+"
    )
    form = models.CharField(max_length=5, default="837P")
    status = models.CharField(
        max_length=10, choices=SubmissionStatus.choices, default=SubmissionStatus.BUILT
    )
    group_control = models.CharField(max_length=9)
    claims_count = models.IntegerField()
    total = models.DecimalField(max_digits=14, decimal_places=2)
    built_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="one_submission_number")
        ]
        indexes = [
            models.Index(fields=["organization", "group_control"], name="submission_group"),
            models.Index(fields=["organization", "-id"], name="submission_recent"),
        ]

    def __str__(self) -> str:
        return self.number


class SubmissionState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    ACCEPTED = "accepted", "Accepted"
    REJECTED = "rejected", "Rejected"
    MISSING = "missing", "Missing"


class SubmissionClaim(TenantModel):
    """A claim in a file and what became of it: waiting, accepted, rejected, missing. `sent` keeps
    what it said, so that the next submission can show what changed.
    """

    audited = False

    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="claims")
    claim = models.ForeignKey(Claim, on_delete=models.PROTECT, related_name="submissions")
    state = models.CharField(
        max_length=10, choices=SubmissionState.choices, default=SubmissionState.WAITING
    )
    sent = models.JSONField(
        default=dict,
        help_text="The claim's own fields as they left: frequency, total, numbers, lines",
    )
    answered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["submission", "claim"], name="claim_once_per_file")
        ]
        indexes = [
            models.Index(
                fields=["organization", "state", "id"],
                name="sent_open",
                condition=Q(state__in=["waiting", "missing"]),
            ),
        ]


class Acknowledgement(TenantModel):
    """One TA1, 999, 277CA or 277 statement about a file or a claim, in human words."""

    append_only = True

    kind = models.CharField(max_length=6)
    interchange = models.ForeignKey(
        "exchange.Interchange", on_delete=models.PROTECT, related_name="+"
    )
    submission = models.ForeignKey(
        Submission, on_delete=models.PROTECT, null=True, related_name="acknowledgements"
    )
    claim = models.ForeignKey(
        Claim, on_delete=models.PROTECT, null=True, related_name="acknowledgements"
    )
    accepted = models.BooleanField(null=True, help_text="null: for information (status)")
    category = models.CharField(max_length=4, blank=True)
    status_code = models.CharField(max_length=6, blank=True)
    entity = models.CharField(max_length=3, blank=True)
    sentence = models.CharField(max_length=300)
    field = models.CharField(max_length=80, blank=True)
    payer_control_number = models.CharField(max_length=50, blank=True)
    received_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["claim"], name="ack_claim")]


class RecordsStatus(models.TextChoices):
    OPEN = "open", "To send"
    SENT = "sent", "Sent"
    NEEDLESS = "needless", "Not needed"


RECORDS_MOVES: dict[str, set[str]] = {
    RecordsStatus.OPEN: {RecordsStatus.SENT, RecordsStatus.NEEDLESS},
    RecordsStatus.SENT: set(),
    RecordsStatus.NEEDLESS: set(),
}


class RecordsRequest(TenantModel):
    """A payer asks for papers to a claim (277 with P3 or R, or a denial that says so). Answered once,
    under a control number that stands in the claim's PWK as well.
    """

    claim = models.ForeignKey(Claim, on_delete=models.PROTECT, related_name="records_requests")
    source = models.CharField(max_length=3, help_text="277 or 835")
    trace = models.CharField(max_length=50, blank=True, help_text="The payer's own number of it")
    payer_control = models.CharField(max_length=50, blank=True)
    code = models.CharField(max_length=20, help_text="Category and status, or the reason code")
    words = models.CharField(max_length=300)
    control = models.CharField(max_length=50, help_text="Attachment control number")
    asked_on = models.DateField()
    due_on = models.DateField()
    status = models.CharField(
        max_length=8, choices=RecordsStatus.choices, default=RecordsStatus.OPEN
    )
    channel = models.CharField(max_length=5, blank=True, help_text="275, mail or fax")
    report_version = models.SmallIntegerField(null=True)
    sent_at = models.DateTimeField(null=True)
    sent_by = models.CharField(max_length=120, blank=True)
    note = models.CharField(max_length=200, blank=True)
    interchange = models.ForeignKey(
        "exchange.Interchange", on_delete=models.PROTECT, null=True, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["claim", "source", "code", "trace", "asked_on"], name="one_records_request"
            ),
            models.UniqueConstraint(
                fields=["organization", "control"], name="one_attachment_control"
            ),
        ]
        indexes = [models.Index(fields=["claim"], name="records_claim")]


class StatusInquiry(TenantModel):
    """One 276 and its 277, asked when a payer is silent past its usual time."""

    claim = models.ForeignKey(Claim, on_delete=models.PROTECT, related_name="inquiries")
    trace = models.CharField(max_length=50)
    request = models.ForeignKey(
        "exchange.Interchange", on_delete=models.PROTECT, null=True, related_name="+"
    )
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "trace"], name="one_276_trace")
        ]
