"""Mid-cycle: performed exams, reports, charges, and who owns the scanner and who reads (rule
`arrangement`).
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import Q

from rcm.accounts.charts import PatientKey
from rcm.accounts.tenancy import TenantModel


class ReadingGroup(TenantModel):
    """A group of readers and its relation to us: employee, reassigned, independent, purchased,
    ours_elsewhere.
    """

    name = models.CharField(max_length=80)
    npi = models.CharField(max_length=10)
    tin = models.CharField(max_length=9, blank=True)
    relation = models.CharField(max_length=14)
    address = models.CharField(max_length=100, blank=True)
    city = models.CharField(max_length=60, blank=True)
    state = models.CharField(max_length=2, blank=True)
    zip = models.CharField(
        max_length=9, blank=True, help_text="Where the reading is done: decides the PC locality"
    )
    country = models.CharField(
        max_length=2, default="US", help_text="Medicare pays no reading done abroad"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "npi"], name="one_group_npi")
        ]


class Reader(TenantModel):
    """A credentialed interpreting physician of a group."""

    group = models.ForeignKey(ReadingGroup, on_delete=models.PROTECT, related_name="readers")
    provider = models.ForeignKey("reference.Provider", on_delete=models.PROTECT, related_name="+")
    credentialed_from = models.DateField()
    credentialed_to = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "group", "provider"], name="one_reader")
        ]


class BillingArrangement(TenantModel):
    """Site × modality × reading group × payer × date ⇒ inputs of the component decision (rule
    `arrangement`). Null means any.
    """

    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, related_name="+")
    modality = models.CharField(max_length=6, blank=True)
    group = models.ForeignKey(ReadingGroup, on_delete=models.PROTECT, null=True, related_name="+")
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.PROTECT, null=True, related_name="+"
    )
    equipment_owner = models.CharField(
        max_length=10, default="ours", help_text="ours, hospital, other"
    )
    tech_employer = models.CharField(max_length=10, default="ours")
    reader_relation = models.CharField(
        max_length=14, help_text="employee, reassigned, independent, purchased"
    )
    force = models.CharField(
        max_length=24,
        blank=True,
        help_text="global_only, split_required, pc_bundled_to_hospital, capitated",
    )
    under_arrangement = models.BooleanField(default=False)
    anti_markup = models.BooleanField(
        null=True, help_text="Purchased reading under 42 CFR 414.50; null not answered"
    )
    purchase_price = models.DecimalField(
        max_digits=12, decimal_places=2, null=True, help_text="Reader's net charge when purchased"
    )
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["organization", "site", "effective_from"], name="arrangement_site")
        ]


class ContrastStock(TenantModel):
    """How a site buys a contrast agent: its billing code and whether it comes in single-dose vials
    (rule `drug-waste`; JZ or JW). Null site: all.
    """

    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, null=True, related_name="+")
    agent = models.CharField(
        max_length=40, help_text="As the technologist writes it: gadobutrol, Omnipaque 350"
    )
    code = models.CharField(max_length=5)
    single_dose = models.BooleanField(null=True)
    invoice_price = models.DecimalField(
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="What one billing unit cost by the supplier's invoice: expected where no"
        " schedule or contract sets a price",
    )
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "site", "agent", "effective_from"],
                nulls_distinct=False,
                name="one_stock",
            )
        ]


class ReleasePolicy(TenantModel):
    """When charges may leave and when a missing report alarms (rule `unsigned-clock`), by site and
    date. Null site: all. Without a row the shipped defaults hold (charges/data/release_policy.csv).
    """

    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, null=True, related_name="+")
    warn_hours = models.IntegerField()
    escalate_hours = models.IntegerField()
    director_hours = models.IntegerField()
    eligibility_days = models.IntegerField(
        null=True, help_text="Verified at most so many days from the service; null not demanded"
    )
    tc_without_report = models.BooleanField(
        help_text="A technical part may leave before the report"
    )
    auto_release = models.BooleanField(help_text="Clean exams release by themselves")
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "site", "effective_from"],
                nulls_distinct=False,
                name="one_policy",
            )
        ]


class Scanner(TenantModel):
    """An equipment record; it puts the CT, FX and FY modifiers on, not the user (rule
    `equipment-record`).
    """

    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, related_name="+")
    station = models.CharField(max_length=40, help_text="Station or AE title in MPPS and ORU")
    modality = models.CharField(max_length=6)
    name = models.CharField(max_length=60)
    film = models.BooleanField(default=False)
    computed_radiography = models.BooleanField(default=False)
    xr29 = models.BooleanField(default=True)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "station", "effective_from"], name="one_station"
            )
        ]


class MachineQuestion(TenantModel):
    """A station that messages name and no machine record covers: asked of the site once."""

    site_path = "site_id"

    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, related_name="+")
    station = models.CharField(max_length=40)
    modality = models.CharField(max_length=6)
    first_day = models.DateField(help_text="Service date of the first exam that named it")
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "site", "station"], name="one_machine_question"
            )
        ]


class ExamStatus(models.TextChoices):
    IN_PROGRESS = "in_progress", "In progress"
    PERFORMED = "performed", "Performed, not read"
    PRELIMINARY = "preliminary", "Preliminary report"
    FINAL = "final", "Final report"
    CODED = "coded", "Coded"
    RELEASED = "released", "Charges released"
    NO_BILL = "no_bill", "No bill"
    DISCONTINUED = "discontinued", "Discontinued"


EXAM_MOVES: dict[str, set[str]] = {
    ExamStatus.IN_PROGRESS: {
        ExamStatus.PERFORMED,
        ExamStatus.DISCONTINUED,
        ExamStatus.PRELIMINARY,
        ExamStatus.FINAL,
    },
    ExamStatus.PERFORMED: {
        ExamStatus.PRELIMINARY,
        ExamStatus.FINAL,
        ExamStatus.NO_BILL,
        ExamStatus.RELEASED,
        ExamStatus.CODED,
    },
    ExamStatus.PRELIMINARY: {ExamStatus.FINAL, ExamStatus.PERFORMED, ExamStatus.NO_BILL},
    ExamStatus.FINAL: {
        ExamStatus.CODED,
        ExamStatus.RELEASED,
        ExamStatus.NO_BILL,
        ExamStatus.PERFORMED,
    },
    ExamStatus.CODED: {
        ExamStatus.RELEASED,
        ExamStatus.NO_BILL,
        ExamStatus.FINAL,
        ExamStatus.PERFORMED,
    },
    ExamStatus.RELEASED: {
        ExamStatus.CODED,
        ExamStatus.FINAL,
        ExamStatus.NO_BILL,
        ExamStatus.PERFORMED,
    },
    ExamStatus.NO_BILL: {ExamStatus.FINAL, ExamStatus.CODED, ExamStatus.PERFORMED},
    ExamStatus.DISCONTINUED: {ExamStatus.PERFORMED, ExamStatus.NO_BILL, ExamStatus.CODED},
}


class Exam(TenantModel):
    """A performed exam, by accession. `performed` keeps what the modality and the report header
    said was done.
    """

    patient_keys = (PatientKey(derived="ordered_exam__patient_id"),)

    site_path = "site_id"

    patient = models.ForeignKey("intake.Patient", on_delete=models.PROTECT, related_name="exams")
    ordered_exam = models.ForeignKey(
        "intake.OrderedExam", on_delete=models.PROTECT, null=True, related_name="performed"
    )
    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, related_name="+")
    coverage = models.ForeignKey(
        "intake.Coverage", on_delete=models.PROTECT, null=True, related_name="+"
    )
    authorization = models.ForeignKey(
        "authorizations.Authorization", on_delete=models.PROTECT, null=True, related_name="exams"
    )
    accession = models.CharField(max_length=40)
    study_uid = models.CharField(max_length=64, blank=True)
    modality = models.CharField(max_length=6)
    code = models.CharField(
        max_length=5, blank=True, help_text="Performed code; blank until resolved"
    )
    laterality = models.CharField(max_length=2, blank=True)
    performed_at = models.DateTimeField()
    service_date = models.DateField(help_text="In the site's time zone")
    station = models.CharField(max_length=40, blank=True)
    performed = models.JSONField(
        default=dict, help_text="contrast {route, agent, volume_ml}, views, extent, sources"
    )
    diagnoses = models.JSONField(
        default=list, help_text="As coded from charge message or report; empty: the order's"
    )
    suggestion = models.JSONField(
        default=dict, help_text="Capture's own answer: code, modifiers, why"
    )
    decision = models.JSONField(
        default=dict,
        help_text="Coder's decision that stands over it: code, modifiers, reason, by, at",
    )
    findings = models.JSONField(
        default=list,
        help_text="Report check against the charge, last version: code, sentence, section, span",
    )
    order_change = models.JSONField(
        default=dict, help_text="What is documented about a change against the order"
    )
    status = models.CharField(
        max_length=12, choices=ExamStatus.choices, default=ExamStatus.PERFORMED
    )
    reader = models.ForeignKey(Reader, on_delete=models.PROTECT, null=True, related_name="+")
    match = models.JSONField(
        default=dict, help_text="Last four-way match: verdict, code, cell, owner, grid"
    )
    holds = models.JSONField(
        default=list, help_text="What stops release: code, sentence, fix, owner"
    )
    no_bill_reason = models.CharField(max_length=200, blank=True)
    no_bill_by = models.CharField(
        max_length=120,
        blank=True,
        help_text="Who decided; an automatic one is undone when its cause is gone",
    )
    form = models.JSONField(
        default=dict, help_text="Billing form decided: form, rule, words, others, invoice"
    )
    expected = models.DecimalField(
        max_digits=12, decimal_places=2, null=True, help_text="Expected payment of the whole exam"
    )
    filing_deadline = models.DateField(null=True)
    version = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "accession"], name="one_accession")
        ]
        indexes = [
            models.Index(
                fields=["organization", "status", "service_date", "id"], name="exam_status"
            ),
            models.Index(fields=["patient", "service_date"], name="exam_patient"),
            models.Index(fields=["organization", "service_date", "site"], name="exam_day"),
        ]

    @property
    def performed_local(self) -> datetime:
        """Wall clock at the site."""
        return self.performed_at.astimezone(ZoneInfo(self.site.time_zone))


class ReportStatus(models.TextChoices):
    PRELIMINARY = "P", "Preliminary"
    FINAL = "F", "Final"
    CORRECTED = "C", "Corrected"
    CANCELLED = "X", "Cancelled"


class Report(TenantModel):
    """One version of a report (OBR-25). Only F or C can release; never P, R, A, I (rules
    `exam-match-order` and `unsigned-clock`). Text is never edited.
    """

    append_only = True

    exam = models.ForeignKey(Exam, on_delete=models.PROTECT, related_name="reports")
    version = models.SmallIntegerField()
    status = models.CharField(max_length=1, choices=ReportStatus.choices)
    sections = models.JSONField(
        default=dict,
        help_text="indication, technique, comparison, findings, impression, signature, addendum …",
    )
    reader_npi = models.CharField(max_length=10, blank=True)
    reader_name = models.CharField(max_length=80, blank=True)
    signed_at = models.DateTimeField(null=True)
    reported_at = models.DateTimeField()
    findings = models.JSONField(
        default=list, help_text="Report check: code, sentence, section, span"
    )
    interchange_id = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["exam", "version"], name="one_report_version"),
            models.CheckConstraint(
                condition=~Q(status__in=["F", "C"]) | Q(signed_at__isnull=False),
                name="final_is_signed",
            ),
        ]


class FindingWaiver(TenantModel):
    """A coder's reasoned "this finding does not stop the charge", for the report version it was
    seen on.
    """

    append_only = True

    exam = models.ForeignKey(Exam, on_delete=models.PROTECT, related_name="waivers")
    code = models.CharField(max_length=40)
    report_version = models.SmallIntegerField(
        default=0, help_text="A later version asks again; 0: before any report"
    )
    reason = models.CharField(max_length=200)
    actor_name = models.CharField(max_length=120)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["exam", "code", "report_version"], name="one_waiver")
        ]


class UnsolicitedStatus(models.TextChoices):
    WAITING = "waiting", "Waiting for an order"
    LINKED = "linked", "Linked"
    DISMISSED = "dismissed", "Dismissed"


UNSOLICITED_MOVES: dict[str, set[str]] = {
    UnsolicitedStatus.WAITING: {UnsolicitedStatus.LINKED, UnsolicitedStatus.DISMISSED},
    UnsolicitedStatus.LINKED: set(),
    UnsolicitedStatus.DISMISSED: {UnsolicitedStatus.LINKED, UnsolicitedStatus.WAITING},
}


class Unsolicited(TenantModel):
    """A result or charge message that no order explains; it never becomes a charge by itself
    (rule `exam-match-order`).
    """

    patient_keys = (PatientKey(),)

    interchange_id = models.BigIntegerField()
    position = models.SmallIntegerField(default=0, help_text="Which record of the message")
    kind = models.CharField(max_length=6, help_text="MPPS, ORU, DFT")
    accession = models.CharField(max_length=40, blank=True)
    filler_number = models.CharField(max_length=40, blank=True)
    placer_number = models.CharField(max_length=40, blank=True)
    mrn = models.CharField(max_length=30, blank=True)
    patient = models.ForeignKey(
        "intake.Patient", on_delete=models.PROTECT, null=True, related_name="+"
    )
    code = models.CharField(max_length=5, blank=True)
    modality = models.CharField(max_length=6, blank=True)
    why = models.CharField(max_length=200)
    status = models.CharField(
        max_length=10, choices=UnsolicitedStatus.choices, default=UnsolicitedStatus.WAITING
    )
    ordered_exam = models.ForeignKey(
        "intake.OrderedExam", on_delete=models.PROTECT, null=True, related_name="+"
    )
    exam = models.ForeignKey(Exam, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=200, blank=True)
    received_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["interchange_id", "position"], name="one_unsolicited")
        ]
        indexes = [
            models.Index(
                fields=["organization", "accession"],
                name="unsolicited_open",
                condition=Q(status="waiting"),
            )
        ]


class MessageCorrection(TenantModel):
    """What a person put in place of the code and modifiers of one line of a charge message; the
    bytes of the message stay.
    """

    append_only = True

    interchange_id = models.BigIntegerField()
    line = models.SmallIntegerField(help_text="Place of the FT1 in the message, from 0")
    code = models.CharField(max_length=5)
    modifiers = models.JSONField(default=list)
    reason = models.CharField(max_length=200)
    actor_name = models.CharField(max_length=120)
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["interchange_id", "id"], name="message_correction")]


class ChargeStatus(models.TextChoices):
    HELD = "held", "Held"
    RELEASED = "released", "Released"
    BILLED = "billed", "On a claim"
    SELF_PAY = "self_pay", "Self-pay"
    VOID = "void", "Void"


CHARGE_MOVES: dict[str, set[str]] = {
    ChargeStatus.HELD: {ChargeStatus.RELEASED, ChargeStatus.VOID, ChargeStatus.SELF_PAY},
    ChargeStatus.RELEASED: {
        ChargeStatus.BILLED,
        ChargeStatus.HELD,
        ChargeStatus.VOID,
        ChargeStatus.SELF_PAY,
    },
    ChargeStatus.BILLED: {ChargeStatus.RELEASED, ChargeStatus.VOID, ChargeStatus.HELD},
    ChargeStatus.SELF_PAY: {ChargeStatus.VOID, ChargeStatus.RELEASED},
    ChargeStatus.VOID: set(),
}


class Charge(TenantModel):
    """One billable line of an exam: code, component, modifiers, units, price and expected payment
    with its derivation.
    """

    patient_keys = (PatientKey(derived="exam__patient_id", ledger="charge_id"),)

    exam = models.ForeignKey(Exam, on_delete=models.PROTECT, related_name="charges")
    patient = models.ForeignKey("intake.Patient", on_delete=models.PROTECT, related_name="charges")
    code = models.CharField(max_length=5)
    component = models.CharField(max_length=2, blank=True, help_text="blank global, 26, TC")
    modifiers = models.JSONField(default=list, help_text="In line order, component included")
    units = models.DecimalField(max_digits=8, decimal_places=2, default=1)
    pos = models.CharField(max_length=2)
    service_date = models.DateField()
    diagnoses = models.JSONField(default=list)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    expected = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    expected_patient = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    derivation = models.JSONField(default=list)
    rendering_npi = models.CharField(max_length=10, blank=True)
    bill_as = models.CharField(
        max_length=10, default="ours", help_text="ours, or who else bills it"
    )
    purchased_price = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        null=True,
        help_text="Net charge of a purchased reading (PS1)",
    )
    replaces = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="replaced_by",
        help_text="The void charge this one corrects",
    )
    arrangement = models.ForeignKey(
        BillingArrangement,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="The row that decided who bills which part",
    )
    service_zip = models.CharField(
        max_length=9, blank=True, help_text="Where this component was furnished (26: where read)"
    )
    status = models.CharField(max_length=8, choices=ChargeStatus.choices, default=ChargeStatus.HELD)
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(units__gt=0), name="charge_units_positive"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="charge_not_negative"),
        ]
        indexes = [
            models.Index(
                fields=["organization", "status", "service_date", "id"], name="charge_status"
            ),
            models.Index(fields=["exam", "status"], name="charge_exam"),
        ]


class AccessionProof(TenantModel):
    """The accession control total of one site and day as it stood when it was proven."""

    append_only = True

    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, related_name="+")
    day = models.DateField()
    proven_at = models.DateTimeField()
    performed = models.IntegerField()
    claimed = models.IntegerField(help_text="Charges released to insurance")
    self_pay = models.IntegerField()
    no_bill = models.IntegerField()
    waiting = models.IntegerField(help_text="No final report yet")
    held = models.IntegerField(help_text="Read, stopped by a named hold")
    unexplained = models.IntegerField()
    adrift = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        default=0,
        help_text="Charges that were on no claim and in nobody's hands",
    )

    class Meta:
        indexes = [models.Index(fields=["organization", "day", "site", "-id"], name="proof_day")]
