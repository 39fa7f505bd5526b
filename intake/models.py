"""The front end: patients, ranked coverages, orders, appointments, eligibility, estimates.

An OrderedExam is one line of an order and the beginning of a thread; an Appointment carries one or
more of them to a site and time. Clearance (the gates of an appointment) is computed by
`intake.clearance` from these rows and kept on the appointment for the board.
"""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q

from rcm.accounts.charts import Follow, PatientKey, SetAside
from rcm.accounts.tenancy import TenantModel


class Sex(models.TextChoices):
    FEMALE = "F", "Female"
    MALE = "M", "Male"
    UNKNOWN = "U", "Unknown"


class Patient(TenantModel):
    patient_keys = (PatientKey("merged_into_id"),)
    shows_patient = "id"

    mrn = models.CharField(max_length=30)
    last_name = models.CharField(max_length=60)
    first_name = models.CharField(max_length=40)
    middle_name = models.CharField(max_length=40, blank=True)
    suffix = models.CharField(max_length=10, blank=True, help_text="Such as Jr or III")
    other_names = models.JSONField(
        default=list,
        blank=True,
        help_text="Aliases, nicknames and former names: kind, last, first; the legal name is above",
    )
    born_on = models.DateField()
    sex = models.CharField(max_length=1, choices=Sex.choices)
    address = models.CharField(max_length=100, blank=True)
    city = models.CharField(max_length=60, blank=True)
    state = models.CharField(max_length=2, blank=True)
    zip = models.CharField(max_length=9, blank=True)
    phone = models.CharField(max_length=10, blank=True)
    email = models.EmailField(blank=True)
    deceased_on = models.DateField(null=True, blank=True)
    look_alikes = models.JSONField(
        default=list,
        blank=True,
        help_text="Charts of others who are easily taken for this person: mrn, agrees, why",
    )
    statement_hold = models.CharField(
        max_length=30,
        blank=True,
        help_text="Why no statement goes out: dispute, bankruptcy, returned mail …",
    )
    merged_into = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="merged"
    )
    search = models.CharField(
        max_length=200,
        editable=False,
        help_text="Lower-case name, date, phone and MRN for the fuzzy index",
    )
    version = models.IntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "mrn"], name="one_mrn")]
        indexes = [
            GinIndex(fields=["search"], opclasses=["gin_trgm_ops"], name="patient_search"),
            models.Index(
                fields=["organization", "last_name", "first_name", "id"], name="patient_name"
            ),
            models.Index(fields=["organization", "born_on"], name="patient_born"),
        ]

    @property
    def name(self) -> str:
        return f"{self.last_name}, {self.first_name}"


class ChartMerge(TenantModel):
    """Two charts of one person were made one: what was moved, so that it can be given back.

    `moved`: table → ids of the rows that were given the chart that stays. `set_aside`: table → id →
    what its columns held, where both charts had what there may be once. `subjects`: ids of work
    items about the patient.
    """

    patient_keys = (
        PatientKey("keep_id", Follow.STAYS),
        PatientKey("gone_id", Follow.STAYS),
    )

    keep = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="+")
    gone = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="merges")
    reason = models.CharField(max_length=300)
    merged_at = models.DateTimeField()
    actor_name = models.CharField(max_length=120)
    moved = models.JSONField(default=dict)
    set_aside = models.JSONField(default=dict)
    subjects = models.JSONField(default=list)
    undone_at = models.DateTimeField(null=True)
    undone_by = models.CharField(max_length=120, blank=True)
    undone_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["gone"], condition=Q(undone_at__isnull=True), name="one_merge_of_a_chart"
            )
        ]


class CoverageStatus(models.TextChoices):
    UNVERIFIED = "unverified", "Not verified"
    ACTIVE = "active", "Active"
    INACTIVE = "inactive", "Inactive"
    REJECTED = "rejected", "Rejected by payer"


class Relationship(models.TextChoices):
    SELF = "18", "Self"
    SPOUSE = "01", "Spouse"
    CHILD = "19", "Child"
    OTHER = "G8", "Other"


class SecondReason(models.TextChoices):
    """Why Medicare pays second (rule `medicare-second`): the insurance type codes of SBR05, which
    are the value codes of a hospital's claim as well.
    """

    WORKING_AGED = "12", "Working, or spouse working, with a group plan (65 or older)"
    KIDNEY = "13", "Kidney disease, within the group plan's first 30 months"
    NO_FAULT = "14", "No-fault or auto insurance"
    COMP = "15", "Workers' compensation"
    PUBLIC_HEALTH = "16", "Public health service or another federal agency"
    BLACK_LUNG = "41", "Black lung program"
    VETERANS = "42", "Veterans' administration"
    DISABLED = "43", "Disabled, with a large group plan (below 65)"
    LIABILITY = "47", "Liability insurance"


class Coverage(TenantModel):
    """A policy of a patient, ranked 1 (primary) to 3. Dates inclusive. Subscriber fields are the
    insured's when not the patient.

    Rank 0 is the policy of one accident (workers' compensation or auto): it pays alone, and only
    for the orders that choose it (rule `coverage-of-accident`).
    """

    patient_keys = (
        PatientKey(
            set_aside=SetAside(Q(active=True, rank__gte=1), change={"active": False}, per=("rank",))
        ),
    )

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="coverages")
    payer = models.ForeignKey("reference.Payer", on_delete=models.PROTECT, related_name="+")
    plan = models.ForeignKey(
        "reference.Plan", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    rank = models.SmallIntegerField(default=1)
    member_id = models.CharField(max_length=30)
    group_number = models.CharField(max_length=30, blank=True)
    relationship = models.CharField(
        max_length=2, choices=Relationship.choices, default=Relationship.SELF
    )
    subscriber_last_name = models.CharField(max_length=60, blank=True)
    subscriber_first_name = models.CharField(max_length=40, blank=True)
    subscriber_born_on = models.DateField(null=True, blank=True)
    subscriber_sex = models.CharField(max_length=1, blank=True)
    starts_on = models.DateField(null=True, blank=True)
    ends_on = models.DateField(null=True, blank=True)
    second_reason = models.CharField(
        max_length=2,
        choices=SecondReason.choices,
        blank=True,
        help_text="Why this Medicare coverage does not pay first",
    )
    status = models.CharField(
        max_length=10, choices=CoverageStatus.choices, default=CoverageStatus.UNVERIFIED
    )
    verified_at = models.DateTimeField(null=True, blank=True)
    accident_on = models.DateField(null=True, blank=True)
    accident_state = models.CharField(max_length=2, blank=True)
    claim_number = models.CharField(
        max_length=30, blank=True, help_text="The payer's number of the accident"
    )
    adjuster_name = models.CharField(max_length=60, blank=True)
    adjuster_phone = models.CharField(max_length=10, blank=True)
    employer = models.CharField(max_length=60, blank=True)
    active = models.BooleanField(
        default=True, help_text="Off when replaced; kept for coverage discovery"
    )
    version = models.IntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["organization", "member_id"], name="coverage_member")]
        constraints = [
            models.UniqueConstraint(
                fields=["patient", "rank"],
                condition=Q(active=True, rank__gte=1),
                name="one_coverage_per_rank",
            ),
            models.CheckConstraint(condition=Q(rank__gte=0, rank__lte=3), name="rank_0_to_3"),
            models.CheckConstraint(
                condition=Q(rank__gte=1) | Q(accident_on__isnull=False), name="accident_has_day"
            ),
        ]

    @property
    def of_accident(self) -> bool:
        return self.rank == 0


class OrderStatus(models.TextChoices):
    OPEN = "open", "Open"
    SCHEDULED = "scheduled", "Scheduled"
    COMPLETED = "completed", "Completed"
    CANCELLED = "cancelled", "Cancelled"


class Order(TenantModel):
    """A practitioner's order (ORM/OMI, phone, portal). No order, no billable test (rule
    `order-required`).
    """

    patient_keys = (PatientKey(),)

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="orders")
    placer_number = models.CharField(max_length=40, blank=True)
    ordering = models.ForeignKey(
        "reference.Provider", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    ordering_npi = models.CharField(
        max_length=20, blank=True, help_text="As the sender wrote it, when it is no valid NPI"
    )
    ordering_name = models.CharField(
        max_length=110, blank=True, help_text="Who ordered, when no valid NPI says so"
    )
    site = models.ForeignKey(
        "accounts.Site",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Where it was sent, if known",
    )
    ordered_at = models.DateTimeField()
    signed = models.BooleanField(default=False)
    indication = models.CharField(max_length=300, blank=True, help_text="Verbatim from the order")
    diagnoses = models.JSONField(
        default=list, help_text="ICD-10-CM codes without dots, first is primary"
    )
    status = models.CharField(max_length=10, choices=OrderStatus.choices, default=OrderStatus.OPEN)
    source = models.CharField(max_length=10, default="screen", help_text="hl7, api, screen")
    coverage = models.ForeignKey(
        Coverage,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="orders",
        help_text="The policy chosen for this order; blank is the patient's primary",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "placer_number"],
                condition=~Q(placer_number=""),
                name="one_placer",
            )
        ]


class OrderedExam(TenantModel):
    """One exam as ordered: the first cell of the evidence grid."""

    patient_keys = (PatientKey(derived="order__patient_id"),)

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="exams")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="ordered_exams")
    appointment = models.ForeignKey(
        "Appointment",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="ordered_exams",
    )
    accession = models.CharField(max_length=40, blank=True)
    filler_number = models.CharField(max_length=40, blank=True)
    code = models.CharField(max_length=5)
    description = models.CharField(max_length=80, blank=True)
    modality = models.CharField(max_length=6)
    laterality = models.CharField(max_length=2, blank=True, help_text="RT, LT, 50 or blank")
    contrast_open = models.BooleanField(
        default=False, help_text="The order leaves the use of contrast to the radiologist"
    )
    views_open = models.BooleanField(
        default=False, help_text="The order leaves the number of views to the radiologist"
    )
    status = models.CharField(max_length=10, choices=OrderStatus.choices, default=OrderStatus.OPEN)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "accession"],
                condition=~Q(accession=""),
                name="one_ordered_accession",
            )
        ]
        indexes = [models.Index(fields=["organization", "filler_number"], name="ordered_filler")]


class AppointmentStatus(models.TextChoices):
    BOOKED = "booked", "Booked"
    CONFIRMED = "confirmed", "Confirmed"
    ARRIVED = "arrived", "Arrived"
    COMPLETED = "completed", "Completed"
    CANCELLED = "cancelled", "Cancelled"
    NO_SHOW = "no_show", "No show"


APPOINTMENT_MOVES: dict[str, set[str]] = {
    AppointmentStatus.BOOKED: {
        AppointmentStatus.CONFIRMED,
        AppointmentStatus.ARRIVED,
        AppointmentStatus.CANCELLED,
        AppointmentStatus.NO_SHOW,
    },
    AppointmentStatus.CONFIRMED: {
        AppointmentStatus.ARRIVED,
        AppointmentStatus.CANCELLED,
        AppointmentStatus.NO_SHOW,
    },
    AppointmentStatus.ARRIVED: {AppointmentStatus.COMPLETED, AppointmentStatus.CANCELLED},
    AppointmentStatus.COMPLETED: set(),
    AppointmentStatus.CANCELLED: {AppointmentStatus.BOOKED},
    AppointmentStatus.NO_SHOW: {AppointmentStatus.BOOKED},
}


class Appointment(TenantModel):
    patient_keys = (PatientKey(),)

    site_path = "site_id"

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="appointments")
    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, related_name="+")
    number = models.CharField(max_length=40, blank=True, help_text="The scheduler's appointment id")
    starts_at = models.DateTimeField()
    minutes = models.SmallIntegerField(default=30)
    resource = models.CharField(max_length=40, blank=True)
    modality = models.CharField(max_length=6)
    scheduled_codes = models.JSONField(
        default=list, help_text="Procedures that another scheduler booked without an order of ours"
    )
    status = models.CharField(
        max_length=10, choices=AppointmentStatus.choices, default=AppointmentStatus.BOOKED
    )
    clearance = models.CharField(
        max_length=6, default="check", help_text="Worst gate: ready, check, stop"
    )
    gates = models.JSONField(
        default=dict, help_text="Gate → {state, sentence, due, owner}; computed by intake.clearance"
    )
    version = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "number"],
                condition=~Q(number=""),
                name="one_appointment_number",
            )
        ]
        indexes = [models.Index(fields=["organization", "starts_at", "id"], name="appointment_day")]


class GateDecision(TenantModel):
    """A gate that another phase decides (authorization): state, sentence, cause, who."""

    appointment = models.ForeignKey(Appointment, on_delete=models.CASCADE, related_name="decisions")
    gate = models.CharField(max_length=20)
    state = models.CharField(max_length=6, help_text="ready, check, stop")
    sentence = models.CharField(max_length=200)
    cause = models.CharField(
        max_length=300, blank=True, help_text="What stands in the way, independent of its wording"
    )
    due_on = models.DateField(null=True, help_text="Last day to act")
    actor_name = models.CharField(max_length=120, blank=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["appointment", "gate"], name="one_decision")]


class GateOverride(TenantModel):
    """A person let a visit pass a gate. Written once and never changed or erased: the managers'
    report reads these rows. Whether it still holds is told by its end.
    """

    append_only = True
    site_path = "appointment__site_id"

    appointment = models.ForeignKey(Appointment, on_delete=models.PROTECT, related_name="overrides")
    gate = models.CharField(max_length=20)
    state = models.CharField(max_length=6, help_text="What the gate said: check, stop")
    sentence = models.CharField(max_length=200)
    cause = models.CharField(
        max_length=300, blank=True, help_text="What was overridden; another cause ends it"
    )
    reason = models.CharField(max_length=200)
    dollars = models.DecimalField(max_digits=12, decimal_places=2, help_text="At risk")
    ends_on = models.DateField(help_text="Last day on which it holds, local to the site")
    actor_name = models.CharField(max_length=120)
    user_id = models.BigIntegerField(null=True)
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["organization", "-at", "id"], name="override_newest")]


class GateOverrideEnd(TenantModel):
    """An override came to its end: by its own date, or because what it overrode changed."""

    append_only = True

    override = models.OneToOneField(GateOverride, on_delete=models.PROTECT, related_name="end")
    why = models.CharField(max_length=10, help_text="date, changed, cleared")
    sentence = models.CharField(max_length=200)
    at = models.DateTimeField()


class CheckStatus(models.TextChoices):
    WAITING = "waiting", "Waiting for the payer"
    ACTIVE = "active", "Active"
    INACTIVE = "inactive", "Inactive"
    REJECTED = "rejected", "Rejected"
    FAILED = "failed", "No answer"


class EligibilityCheck(TenantModel):
    """One 270 and its 271. The raw texts are the two interchanges."""

    patient_keys = (PatientKey(derived="coverage__patient_id"),)

    coverage = models.ForeignKey(Coverage, on_delete=models.PROTECT, related_name="checks")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="checks")
    service_date = models.DateField()
    service_type = models.CharField(max_length=3, blank=True)
    trace = models.CharField(max_length=50)
    status = models.CharField(
        max_length=10, choices=CheckStatus.choices, default=CheckStatus.WAITING
    )
    plan_name = models.CharField(max_length=80, blank=True)
    covered_from = models.DateField(null=True)
    covered_to = models.DateField(null=True)
    auth_required = models.BooleanField(null=True, help_text="Flag of the 271; null not said")
    rejection = models.JSONField(default=list, help_text="AAA in plain words with the field to fix")
    differences = models.JSONField(
        default=list, help_text="What differs from our record: field, ours, theirs"
    )
    changes = models.JSONField(
        default=list,
        help_text="What changed since the answer before: field, before, after",
    )
    seen_at = models.DateTimeField(null=True, help_text="When a person looked at the changes")
    attempt = models.SmallIntegerField(default=1, help_text="Which try of one question this is")
    retry_at = models.DateTimeField(null=True, help_text="When a worker asks a silent payer again")
    request = models.ForeignKey(
        "exchange.Interchange", on_delete=models.PROTECT, null=True, related_name="+"
    )
    response = models.ForeignKey(
        "exchange.Interchange", on_delete=models.PROTECT, null=True, related_name="+"
    )
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "trace"], name="one_270_trace")
        ]
        indexes = [models.Index(fields=["coverage", "-id"], name="check_latest")]


class Benefit(TenantModel):
    """One EB of a 271, in the patient's terms. Percent is 0 to 100; amounts are dollars."""

    append_only = True

    check_row = models.ForeignKey(
        EligibilityCheck, on_delete=models.CASCADE, related_name="benefits"
    )
    kind = models.CharField(
        max_length=20,
        help_text=(
            "active, inactive, copay, coinsurance, deductible, out_of_pocket, limitation,"
            " other_payer, note"
        ),
    )
    code = models.CharField(max_length=3)
    level = models.CharField(max_length=3, blank=True)
    service_types = models.JSONField(default=list)
    period = models.CharField(max_length=3, blank=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    percent = models.DecimalField(max_digits=6, decimal_places=2, null=True)
    in_network = models.BooleanField(null=True)
    authorization = models.BooleanField(
        null=True, help_text="Whether this row asks for an authorization; null not said"
    )
    procedure = models.CharField(max_length=10, blank=True, help_text="The code it is about")
    quantity = models.CharField(max_length=60, blank=True, help_text="A limit in words")
    contacts = models.JSONField(
        default=list, help_text="Other payers, reviewers: role, name, id, phone"
    )
    text = models.CharField(max_length=300, blank=True)


class Estimate(TenantModel):
    """Patient estimate or good-faith estimate, itemised and kept as it was given."""

    patient_keys = (PatientKey(derived="appointment__patient_id"),)

    appointment = models.ForeignKey(Appointment, on_delete=models.PROTECT, related_name="estimates")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="estimates")
    kind = models.CharField(max_length=8, default="estimate", help_text="estimate or gfe")
    as_of = models.DateTimeField()
    allowed = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    patient_share = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    lines = models.JSONField(default=list)
    hold = models.CharField(max_length=200, blank=True, help_text="Why no amount could be computed")
    coverage = models.ForeignKey(
        Coverage,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="The policy it was computed for; empty for self-pay",
    )
    member_id = models.CharField(max_length=30, blank=True, help_text="Of that policy then")
    due_on = models.DateField(null=True, help_text="Legal date of a good-faith estimate")
    actor_name = models.CharField(max_length=120)


class Settlement(models.TextChoices):
    PAID = "paid", "Paid"
    WAIVED = "waived", "Waived"
    PLANNED = "planned", "Planned"


class VisitMoney(TenantModel):
    """What settles the share that the patient is expected to pay for a visit: money taken, waived
    with a reason, or promised for a day. A void or a change of mind ends the row; it stays.
    """

    site_path = "appointment__site_id"

    appointment = models.ForeignKey(
        Appointment, on_delete=models.PROTECT, related_name="settlements"
    )
    estimate = models.ForeignKey(
        Estimate, on_delete=models.PROTECT, null=True, related_name="settlements"
    )
    kind = models.CharField(max_length=8, choices=Settlement.choices)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    reason = models.CharField(max_length=200, blank=True)
    receipt = models.CharField(max_length=20, blank=True, help_text="Of the payment")
    promised_on = models.DateField(null=True, help_text="The day for which it is promised")
    actor_name = models.CharField(max_length=120)
    at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="settlement_positive"),
            models.CheckConstraint(
                condition=~Q(kind="waived") | ~Q(reason=""), name="waiver_has_reason"
            ),
            models.CheckConstraint(
                condition=~Q(kind="planned") | Q(promised_on__isnull=False),
                name="plan_has_a_day",
            ),
            models.UniqueConstraint(
                fields=["organization", "receipt"],
                condition=~Q(receipt="") & Q(ended_at__isnull=True),
                name="one_settlement_of_a_receipt",
            ),
        ]
        indexes = [
            models.Index(
                fields=["appointment"],
                name="settlement_standing",
                condition=Q(ended_at__isnull=True),
            )
        ]


class NoticeKind(models.TextChoices):
    NECESSITY = "necessity", "Not medically necessary for this diagnosis"
    FREQUENCY = "frequency", "More often than Medicare pays"
    EXCLUDED = "excluded", "Never covered by Medicare"


class NoticeOption(models.TextChoices):
    BILL = "1", "Do the exam and bill Medicare for a decision"
    NO_BILL = "2", "Do the exam, do not bill Medicare"
    DECLINE = "3", "Do not do the exam"


class AdvanceNotice(TenantModel):
    """An advance notice of non-coverage (form CMS-R-131) for one exam, with the time of its
    signature: the only source of GA, GX, GY and GZ. Signed after the exam it is none.
    """

    site_path = "appointment__site_id"

    appointment = models.ForeignKey(Appointment, on_delete=models.PROTECT, related_name="notices")
    ordered_exam = models.ForeignKey(OrderedExam, on_delete=models.PROTECT, related_name="notices")
    code = models.CharField(max_length=5, help_text="The exam as it was when the notice was made")
    kind = models.CharField(max_length=10, choices=NoticeKind.choices)
    reason = models.CharField(max_length=300, help_text="Why Medicare may not pay")
    cost = models.DecimalField(max_digits=12, decimal_places=2)
    option = models.CharField(max_length=1, choices=NoticeOption.choices, blank=True)
    signer = models.CharField(max_length=110, blank=True)
    signed_at = models.DateTimeField(null=True)
    document = models.BinaryField(null=True, help_text="The notice as it was signed, PDF")
    actor_name = models.CharField(max_length=120)
    made_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(cost__gt=0), name="notice_has_cost"),
            models.CheckConstraint(
                condition=Q(signed_at__isnull=True) | (~Q(option="") & ~Q(signer="")),
                name="signature_is_whole",
            ),
        ]
        indexes = [models.Index(fields=["ordered_exam", "-id"], name="notice_of_exam")]
