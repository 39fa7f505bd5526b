"""Payers, plans, providers and code sets: dated data with a source, loaded by `load_reference` (and
`load_starter`).

Shared by all organizations. A code that is absent is unknown and holds for review; it is never
"allowed". Rows are versioned by service date with `effective_from` / `effective_to` (both
inclusive, open end when null).
"""

from __future__ import annotations

from django.db import models

from rcm.accounts.tenancy import QuietModel, uuid7


class ReferenceLoad(QuietModel):
    """One load of one file: source, digest, counts."""

    kind = models.CharField(max_length=40)
    source = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    options = models.JSONField(
        default=dict, help_text="What the loader was told: effective date, year, complete"
    )
    rows = models.IntegerField(default=0)
    added = models.IntegerField(default=0)
    changed = models.IntegerField(default=0)
    closed = models.IntegerField(default=0)
    bad = models.JSONField(default=list, help_text="Line number and sentence of each refused row")
    loaded_at = models.DateTimeField(auto_now_add=True)
    actor_name = models.CharField(max_length=120, default="system")


class Dated(QuietModel):
    """A row valid for service dates in a range, with the load it came from."""

    effective_from = models.DateField()
    effective_to = models.DateField(null=True, blank=True)
    load = models.ForeignKey(
        ReferenceLoad, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        abstract = True


class PayerKind(models.TextChoices):
    MEDICARE = "medicare", "Original Medicare"
    ADVANTAGE = "advantage", "Medicare Advantage"
    MEDICAID = "medicaid", "Medicaid"
    COMMERCIAL = "commercial", "Commercial"
    TRICARE = "tricare", "TRICARE"
    WORKERS_COMP = "workers_comp", "Workers' compensation"
    AUTO = "auto", "Auto"
    SELF_PAY = "self_pay", "Self-pay"


class Payer(QuietModel):
    """A payer and its habits. Every limit and window is days; null means unknown: the default of
    the house assumes one (rules `filing-unknown` and `payer-appeal`) and says so.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    code = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=80)
    edi_id = models.CharField(max_length=20, unique=True, help_text="Payer id in NM1*PR")
    kind = models.CharField(max_length=14, choices=PayerKind.choices)
    claim_filing = models.CharField(
        max_length=2, default="CI", help_text="SBR09 claim filing indicator"
    )
    address = models.CharField(max_length=100, blank=True)
    city = models.CharField(max_length=60, blank=True)
    state = models.CharField(max_length=2, blank=True)
    zip = models.CharField(max_length=9, blank=True)
    phone = models.CharField(max_length=10, blank=True)
    filing_days = models.IntegerField(null=True)
    secondary_filing_days = models.IntegerField(null=True)
    corrected_days = models.IntegerField(null=True)
    appeal_days = models.IntegerField(null=True)
    retro_auth_days = models.IntegerField(null=True)
    update_window_days = models.IntegerField(
        null=True, help_text="Business days to change an authorization after the exam"
    )
    peer_to_peer_days = models.IntegerField(null=True)
    auth_decision_hours = models.IntegerField(null=True)
    response_days = models.IntegerField(
        default=21, help_text="Usual days to an 835; silence past it asks 276"
    )
    accepts_replacement = models.BooleanField(
        default=True, help_text="Frequency 7 and 8 accepted (Original Medicare: no)"
    )
    split_on_locality = models.BooleanField(default=False)
    contrast_payable = models.BooleanField(default=True)
    match_site_by_tin = models.BooleanField(default=False)
    needs_ordering_match = models.BooleanField(default=False)
    screening_needs_order = models.BooleanField(
        default=False, help_text="A screening mammogram is paid only with an order"
    )
    wants_detailed_indication = models.BooleanField(
        default=True, help_text="“Pain” or “eval” alone is refused as a reason"
    )
    member_id_pattern = models.CharField(
        max_length=80, blank=True, help_text="Shape such as A3 N9: A letters, N digits, X either"
    )
    service_types = models.JSONField(
        default=dict, help_text="Modality → X12 service type codes to ask for, in order"
    )
    reviewer = models.CharField(
        max_length=40, blank=True, help_text="Who reviews authorizations for this payer"
    )
    source = models.CharField(max_length=200, blank=True)
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Plan(QuietModel):
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    payer = models.ForeignKey(Payer, on_delete=models.PROTECT, related_name="plans")
    code = models.CharField(max_length=30)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=14, choices=PayerKind.choices)
    self_funded = models.BooleanField(null=True, help_text="ERISA self-funded; null unknown")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["payer", "code"], name="one_plan_code")]

    def __str__(self) -> str:
        return self.name


class Provider(QuietModel):
    """A physician by NPI: referring, ordering, rendering. Public registry data, shared."""

    npi = models.CharField(max_length=10, unique=True)
    last_name = models.CharField(max_length=60)
    first_name = models.CharField(max_length=40, blank=True)
    credentials = models.CharField(max_length=20, blank=True)
    taxonomy = models.CharField(max_length=10, blank=True)
    phone = models.CharField(max_length=10, blank=True)
    fax = models.CharField(max_length=10, blank=True)
    practice = models.CharField(max_length=80, blank=True)
    state = models.CharField(max_length=2, blank=True)
    active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return f"{self.last_name}, {self.first_name}".strip(", ")


class Procedure(Dated):
    """An imaging or supply code with its own short plain name and what the capture rules need
    (code_family).
    """

    code = models.CharField(max_length=5)
    name = models.CharField(max_length=60, help_text="Own short words")
    modality = models.CharField(
        max_length=6, help_text="CT MR PET NM US XR MG DXA FL CTA MRA DRUG …"
    )
    body_part = models.CharField(max_length=40, blank=True)
    family = models.CharField(max_length=40, blank=True)
    contrast = models.CharField(
        max_length=20, default="any", help_text="without, with, without_and_with, any"
    )
    extent = models.CharField(
        max_length=24,
        blank=True,
        help_text="complete, limited, whole body, skull base to mid-thigh",
    )
    views_min = models.IntegerField(null=True)
    views_max = models.IntegerField(null=True)
    laterality = models.CharField(max_length=10, blank=True, help_text="required, bilateral, none")
    unit = models.CharField(
        max_length=20, blank=True, help_text="Billing unit of a drug such as 0.1 mL"
    )
    unit_size = models.DecimalField(
        max_digits=8, decimal_places=3, null=True, help_text="mL (or mCi) in one billing unit"
    )
    kind = models.CharField(
        max_length=12,
        default="exam",
        help_text="exam, addon, contrast, radiopharm, guidance, other",
    )
    sex = models.CharField(max_length=1, blank=True)
    age_min = models.IntegerField(null=True)
    age_max = models.IntegerField(null=True)
    auth_default = models.BooleanField(
        null=True, help_text="Typically needs authorization; null unknown"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "effective_from"], name="one_procedure")
        ]


class Modifier(Dated):
    code = models.CharField(max_length=2)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=20, blank=True)
    rank = models.IntegerField(default=50, help_text="Order on the line: payment modifiers first")
    effect = models.CharField(max_length=120, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "effective_from"], name="one_modifier")
        ]


class PlaceOfService(Dated):
    code = models.CharField(max_length=2)
    name = models.CharField(max_length=80)
    facility = models.BooleanField(help_text="Facility fee column")
    tc_billable = models.BooleanField(
        null=True, help_text="TC and global payable to a professional biller here; null unknown"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["code", "effective_from"], name="one_pos")]


class AdjustmentReason(Dated):
    """CARC with own words, class and owner."""

    code = models.CharField(max_length=5)
    words = models.CharField(max_length=160, blank=True)
    klass = models.CharField(
        max_length=14, help_text="contractual patient_resp denial cob info other"
    )
    category = models.CharField(
        max_length=30, blank=True, help_text="Denial category such as prior_auth"
    )
    owner_stage = models.CharField(max_length=30, blank=True)
    preventable = models.BooleanField(null=True)
    first_action = models.CharField(max_length=160, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["code", "effective_from"], name="one_carc")]


class Remark(Dated):
    """RARC with own words."""

    code = models.CharField(max_length=5)
    words = models.CharField(max_length=160, blank=True)
    category = models.CharField(max_length=30, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["code", "effective_from"], name="one_rarc")]


class Diagnosis(Dated):
    """A billable ICD-10-CM code (leaf), without the dot."""

    code = models.CharField(max_length=7)
    name = models.CharField(max_length=240, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "effective_from"], name="one_diagnosis")
        ]


class PtpEdit(Dated):
    column1 = models.CharField(max_length=5)
    column2 = models.CharField(max_length=5)
    modifier_indicator = models.CharField(max_length=1)
    rationale = models.CharField(max_length=160, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["column1", "column2", "effective_from"], name="one_ptp")
        ]


class MueEdit(Dated):
    code = models.CharField(max_length=5)
    value = models.IntegerField()
    mai = models.CharField(max_length=1, blank=True)
    program = models.CharField(max_length=10, default="medicare")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "program", "effective_from"], name="one_mue")
        ]


class AddOn(Dated):
    addon = models.CharField(max_length=5)
    primary = models.CharField(max_length=5, help_text="CCCCC: the contractor decides")
    aoc_type = models.CharField(max_length=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["addon", "primary", "effective_from"], name="one_addon")
        ]


class CoverageRow(Dated):
    """Medical necessity: procedure × diagnosis × contractor or payer (LCD, NCD, article)."""

    code = models.CharField(max_length=5)
    diagnosis = models.CharField(max_length=7)
    covered = models.BooleanField()
    policy = models.CharField(max_length=80, blank=True)
    contractor = models.CharField(max_length=20, blank=True)
    payer = models.ForeignKey(Payer, on_delete=models.CASCADE, null=True, related_name="+")
    advisory = models.BooleanField(
        default=True, help_text="Warn only: no contractor, group or date was given"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["code", "diagnosis", "contractor", "payer", "effective_from"],
                nulls_distinct=False,
                name="one_coverage_row",
            )
        ]


class Taxonomy(Dated):
    code = models.CharField(max_length=10)
    name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "effective_from"], name="one_taxonomy")
        ]


class StateRule(Dated):
    """Per state: prompt pay (rule `prompt-pay`), interest, Medicaid limit; each with its confidence. Low confidence
    never asserts.
    """

    state = models.CharField(max_length=2)
    name = models.CharField(max_length=40)
    prompt_pay_days_electronic = models.IntegerField(null=True)
    interest_pct = models.DecimalField(max_digits=6, decimal_places=3, null=True)
    medicaid_filing_days = models.IntegerField(null=True)
    mac = models.CharField(max_length=40, blank=True)
    carrier = models.CharField(max_length=60, blank=True)
    confidence = models.CharField(max_length=10, blank=True)
    basis = models.CharField(max_length=200, blank=True)
    values = models.JSONField(default=dict, help_text="Every column of the loaded sheet")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["state", "effective_from"], name="one_state_rule")
        ]


class Holiday(QuietModel):
    """A day on which no business day counts: federal (state empty) or of one state."""

    day = models.DateField()
    name = models.CharField(max_length=60)
    state = models.CharField(max_length=2, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "state"], name="one_holiday")]
