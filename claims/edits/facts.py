"""A claim as the edits see it: plain frozen facts, no ORM. Money is Decimal, codes are strings,
days are dates.

A blank string, None or an empty tuple means "unknown or not given". Enumerated facts are lower-case
words; the allowed words stand beside each field.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Address:
    line1: str = ""
    line2: str = ""
    city: str = ""
    state: str = ""
    zip: str = ""


@dataclass(frozen=True, slots=True)
class LineFacts:
    """One service line. Blank line-level provider, place or dates mean "as on the claim"."""

    code: str
    charge: Decimal
    units: Decimal = Decimal(1)
    modifiers: tuple[str, ...] = ()
    pointers: tuple[int, ...] = (1,)
    service_date: date | None = None
    service_date_to: date | None = None
    pos: str = ""
    number: int = 1
    control_number: str = ""
    description: str = ""
    rendering_npi: str = ""
    ordering_npi: str = ""
    auth_number: str = ""
    ndc: str = ""
    ndc_unit: str = ""
    ndc_quantity: Decimal | None = None
    purchased_price: Decimal | None = None
    purchased_npi: str = ""
    service_zip: str = ""
    # Where the line came from: the exam behind it.
    accession: str = ""
    performed_code: str = ""
    performed_units: Decimal | None = None
    performed_side: str = ""  # RT | LT | 50
    contrast_given: str = ""  # yes | no
    session: str = ""
    equipment: str = ""  # film | computed_radiography | ct_not_xr29 | standard
    concurrent_supervision: str = ""  # yes | no: 3D post-processing was supervised and documented
    vial: str = ""  # single_dose | multi_dose
    discarded_units: Decimal | None = None
    report_status: str = ""  # OBR-25: F | C | P | R | A | I | S | O | X
    report_signed_on: date | None = None
    reader_credentialed: str = ""  # yes | no
    read_outside_us: str = ""  # yes | no
    arrangement: str = ""  # global | split | tc_only | pc_only
    anti_markup: bool = False
    same_locality: str = ""  # yes | no: TC and PC in one payment locality
    expected_allowed: Decimal | None = None
    # The gates before this one.
    auth_requirement: str = ""  # required | not_required | unknown
    auth_verdict: str = (
        ""  # code of the four-way match: OK, OK_FAMILY, NOT_REQUIRED, AUTH_MISSING …
    )
    auth_sentence: str = ""
    denial_expected: str = ""  # necessity | frequency | excluded | none
    abn: str = ""  # signed | signed_late | refused | voluntary | none
    # What the modality-specific edits ask.
    pack_years: int | None = None
    smoking: str = ""  # current | former | never
    quit_years: int | None = None
    shared_decision: str = ""  # yes | no
    asymptomatic: str = ""  # yes | no
    trial_number: str = ""
    billed_elsewhere: tuple[str, ...] = ()  # 26, TC: components that another entity has billed


@dataclass(frozen=True, slots=True)
class PriorLine:
    """A line of another claim of the same patient: billed, pending or paid, ours or (entity
    "other") known to be another's.
    """

    code: str
    service_date: date
    modifiers: tuple[str, ...] = ()
    units: Decimal = Decimal(1)
    payer_id: str = ""
    billing_npi: str = ""
    rendering_npi: str = ""
    claim_id: str = ""
    accession: str = ""
    session: str = ""
    status: str = "pending"  # pending | sent | accepted | paid | denied | void | rejected
    entity: str = "ours"  # ours | other
    payer_icn: str = ""


@dataclass(frozen=True, slots=True)
class OtherCoverage:
    """Another policy of the patient on that day. `rank` 1 pays first."""

    payer_id: str
    rank: int
    active: str = "yes"  # yes | no | unknown
    adjudicated_on: date | None = None
    paid: Decimal | None = None
    patient_responsibility: Decimal | None = None
    line_adjudications: bool = False
    unbalanced_lines: tuple[int, ...] = ()  # payment and adjustments are not the line's charge
    product: str = ""


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """One claim before it leaves. `product` is the payer's line of business: medicare_b,
    medicare_advantage, medicaid_ffs, medicaid_mco, commercial, erisa, tricare, workers_comp, auto,
    self_pay.
    """

    claim_id: str
    lines: tuple[LineFacts, ...]
    diagnoses: tuple[str, ...]
    total: Decimal
    form: str = "837P"  # 837P | 837I | CMS1500
    frequency: str = "1"
    payer_icn: str = ""
    pos: str = "11"
    # Payer and coverage
    payer_id: str = ""
    payer_name: str = ""
    plan_id: str = ""
    product: str = ""
    mac: str = ""
    coverage_rank: int = 1
    other_coverages: tuple[OtherCoverage, ...] = ()
    eligibility: str = ""  # active | inactive | unknown
    eligibility_checked_on: date | None = None
    coverage_from: date | None = None
    coverage_to: date | None = None
    restricted_from_plan: bool = False
    msp_type: str = ""
    # People
    patient_id: str = ""
    patient_last: str = ""
    patient_first: str = ""
    patient_middle: str = ""
    patient_suffix: str = ""
    patient_dob: date | None = None
    patient_sex: str = ""  # F | M | U
    patient_address: Address = Address()
    patient_died_on: date | None = None
    relationship: str = "18"
    member_id: str = ""
    group_number: str = ""
    subscriber_last: str = ""
    subscriber_first: str = ""
    subscriber_dob: date | None = None
    subscriber_sex: str = ""
    subscriber_address: Address = Address()
    # Providers
    billing_name: str = ""
    billing_npi: str = ""
    billing_tin: str = ""
    billing_taxonomy: str = ""
    billing_address: Address = Address()
    billing_is_idtf: bool = False
    rendering_npi: str = ""
    rendering_taxonomy: str = ""
    ordering_npi: str = ""
    ordering_name: str = ""
    supervising_npi: str = ""
    facility_npi: str = ""
    facility_address: Address = Address()
    facility_state: str = ""
    # References and flags
    prior_auth_number: str = ""
    referral_number: str = ""
    mammography_certificate: str = ""
    accept_assignment: str = "A"  # A | B | C
    benefits_assigned: str = "Y"  # Y | N | W
    release_of_information: str = "Y"  # Y | I
    related_cause: str = ""  # AA | EM | OA
    accident_date: date | None = None
    accident_state: str = ""
    accident_claim_number: str = ""  # the comp or auto payer's number of the accident
    attachment_control: str = ""
    attachment_required: bool = False
    note: str = ""
    delay_reason: str = ""
    first_filed_on: date | None = None
    filing_proof: str = ""
    primary_eob_on: date | None = None
    adjudicated_on: date | None = None  # when this payer decided the claim that a 7 or 8 corrects
    history: tuple[PriorLine, ...] = ()
