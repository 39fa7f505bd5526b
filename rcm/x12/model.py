"""The vocabulary of the X12 room: what a transaction set says, as plain frozen facts.

Money is Decimal dollars, dates are ``datetime.date``, codes are the text that was on the wire, an
absent value is ``""``, ``None`` or ``()``. Nothing here knows the database, the wire format or the
clock. Readers return these objects and writers take them, so that ``read(write(x)) == x``;
``position`` (ordinal number of the segment in its file, from 1) and ``findings`` tell where a thing
stood and what was wrong with it, and do not take part in comparison.

Element numbers in the field comments (``CLP07``) name the X12 element the field comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TypeVar, dataclass_transform

ZERO = Decimal("0")
ONE = Decimal("1")


T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """A dataclass that nobody changes: the type checker refuses an assignment.

    It is not frozen at run time, where that makes each of the dozens of records of a claim five to
    ten times as slow to build.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


class NotX12(ValueError):
    """The bytes are no X12 interchange; the message says in a sentence what they look like
    instead.
    """


class WrongSet(NotX12):
    """X12, but not of the kind that was asked for; the message says what the file holds."""


@record
class Finding:
    """Something a person should know about a file: ``level`` is ``error``, ``warning`` or
    ``info``.
    """

    code: str
    level: str
    where: str
    message: str
    position: int = 0
    todo: str = ""


# --- parts shared by several sets -----------------------------------------------------------------


@record
class Address:
    line1: str = ""
    line2: str = ""
    city: str = ""
    state: str = ""
    zip: str = ""
    country: str = ""


@record
class Reference:
    """REF: ``qualifier`` (G1, F8, 6R …), ``value`` and the free description of REF03."""

    qualifier: str
    value: str
    description: str = ""


@record
class Contact:
    """PER: a name and its numbers as pairs (TE telephone, FX fax, EM mail, UR web, EX
    extension).
    """

    name: str = ""
    numbers: tuple[tuple[str, str], ...] = ()
    function: str = "IC"


@record
class DatePeriod:
    """DTP or DTM: ``end`` equals ``start`` for a single day; both None when the text was no
    date.
    """

    qualifier: str
    start: date | None = None
    end: date | None = None


@record
class Money:
    """AMT: a qualified amount in dollars."""

    qualifier: str
    amount: Decimal


@record
class Quantity:
    """QTY: a qualified quantity."""

    qualifier: str
    quantity: Decimal


@record
class Procedure:
    """The composite medical procedure: ``qualifier`` HC, AD, NU, ER …"""

    code: str = ""
    modifiers: tuple[str, ...] = ()
    qualifier: str = "HC"
    description: str = ""


@record
class Adjustment:
    """One CAS triplet. ``amount`` reduces the payment when positive (rule `remittance-balance`)."""

    group: str
    reason: str
    amount: Decimal
    quantity: Decimal | None = None


@record
class Party:
    """A person or organization of an NM1 or N1 loop with the segments that describe it.

    ``entity`` is the role on the wire (85 billing provider, IL subscriber, PR payer, QC patient …).
    A party is a person when ``first`` or ``person`` is given; ``name`` is then the last name.
    ``taxonomy`` is PRV03, and ``provider_role`` PRV01.
    """

    entity: str = ""
    name: str = ""
    first: str = ""
    middle: str = ""
    suffix: str = ""
    person: bool = False
    id_qualifier: str = ""
    id: str = ""
    address: Address | None = None
    taxonomy: str = ""
    provider_role: str = ""
    birth_date: date | None = None
    sex: str = ""
    refs: tuple[Reference, ...] = ()
    contacts: tuple[Contact, ...] = ()
    prefix: str = ""

    def ref(self, *qualifiers: str) -> str:
        """The first reference carrying one of ``qualifiers``, or ``""``."""
        return first_ref(self.refs, *qualifiers)

    @property
    def tax_id(self) -> str:
        return first_ref(self.refs, "EI", "TJ", "SY")

    @property
    def npi(self) -> str:
        return self.id if self.id_qualifier == "XX" else ""

    @property
    def full_name(self) -> str:
        return " ".join(part for part in (self.first, self.middle, self.name, self.suffix) if part)


def first_ref(refs: tuple[Reference, ...], *qualifiers: str) -> str:
    for ref in refs:
        if ref.qualifier in qualifiers:
            return ref.value
    return ""


# --- envelope -------------------------------------------------------------------------------------


@record
class Delimiters:
    element: str = "*"
    component: str = ":"
    repetition: str = "^"
    terminator: str = "~"


@record
class Origin:
    """Where a transaction set stood: its interchange, group and set header."""

    kind: str = ""  # 835, 837P, 837I, 837D, 270, 271, 276, 277, 277CA, 278, 999 …
    st01: str = ""
    st02: str = ""
    version: str = ""  # ST03, else GS08
    gs01: str = ""
    gs06: str = ""
    gs08: str = ""
    group_sender: str = ""
    group_receiver: str = ""
    isa13: str = ""
    sender: str = ""
    receiver: str = ""
    isa_date: str = ""
    isa_time: str = ""
    usage: str = ""  # ISA15: P production, T test
    purpose: str = ""  # BHT02: 13 request, 11 response, 00 original …
    refusal: str = (
        ""  # a sentence when the version is one that must not be worked on (4010 and older)
    )
    position: int = 0


@record
class Envelope:
    """What the writer puts around its sets (ISA, GS). Control numbers are the caller's: they must
    not repeat.

    ``date`` and ``time`` (``HHMM``) are arguments, never the clock. ``group_control`` defaults to
    the interchange's.
    """

    sender: str
    receiver: str
    control: int
    date: date
    time: str = "0000"
    usage: str = "P"
    sender_qualifier: str = "ZZ"
    receiver_qualifier: str = "ZZ"
    group_sender: str = ""
    group_receiver: str = ""
    group_control: int = 0
    set_control: int = 1
    acknowledgement_requested: bool = False
    delimiters: Delimiters = Delimiters()
    line_breaks: bool = False


@record
class WrittenSet:
    """One ST of what was written and the ids (CLM01, TRN02) it carries, to match 999 and 277CA to
    claims.
    """

    st02: str
    ids: tuple[str, ...]


@record
class Written:
    """Result of a writer: the bytes to send, what stands in which set, and what had to be changed
    in the data.
    """

    data: bytes
    sets: tuple[WrittenSet, ...]
    findings: tuple[Finding, ...] = ()


# --- 275 papers to a claim ------------------------------------------------------------------------


@record
class Attached:
    """One paper to a claim: whose, to which claim, under which control number (the PWK06 of the
    claim), and its bytes.
    """

    control: str
    payer: Party
    submitter: Party
    provider: Party
    patient: Party
    claim_id: str
    content: bytes
    payer_control: str = ""
    asked_trace: str = ""
    loinc: str = "18748-4"
    service_from: date | None = None
    service_to: date | None = None


# --- 835 remittance -------------------------------------------------------------------------------


@record
class RemittanceHeader:
    """Everything of an 835 before its first claim. ``amount`` is BPR02 with its sign (BPR03 D makes
    it negative).
    """

    amount: Decimal = ZERO  # BPR02, BPR03
    handling: str = "I"  # BPR01
    method: str = ""  # BPR04: ACH, CHK, NON, FWT
    format: str = ""  # BPR05
    payment_date: date | None = None  # BPR16
    payer_account: tuple[str, str, str, str] = ("", "", "", "")  # BPR06-09
    originator: str = ""  # BPR10
    originator_supplement: str = ""  # BPR11
    payee_account: tuple[str, str, str, str] = ("", "", "", "")  # BPR12-15
    trace: str = ""  # TRN02: check or EFT number
    trace_payer: str = ""  # TRN03
    trace_supplement: str = ""  # TRN04
    production_date: date | None = None  # DTM*405
    refs: tuple[Reference, ...] = ()
    payer: Party = Party()
    payee: Party = Party()
    origin: Origin = field(default=Origin(), compare=False)
    position: int = field(default=0, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)

    @property
    def refusal(self) -> str:
        return self.origin.refusal


@record
class ServicePayment:
    """One SVC loop. ``delta`` = charge − Σ adjustments − paid: zero when the line balances (rule
    `remittance-balance`).
    """

    procedure: Procedure
    charge: Decimal  # SVC02
    paid: Decimal  # SVC03
    revenue_code: str = ""  # SVC04
    units: Decimal | None = None  # SVC05: one when absent
    original_procedure: Procedure | None = None  # SVC06
    original_units: Decimal | None = None  # SVC07
    service_date: date | None = None  # DTM*472 or 150
    service_end: date | None = None  # DTM*151
    adjustments: tuple[Adjustment, ...] = ()
    line_control: str = ""  # REF*6R
    refs: tuple[Reference, ...] = ()
    amounts: tuple[Money, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    remarks: tuple[str, ...] = ()  # LQ*HE
    delta: Decimal = field(default=ZERO, compare=False)
    position: int = field(default=0, compare=False)

    @property
    def allowed(self) -> Decimal | None:
        """AMT*B6 as the payer states it, or None."""
        for item in self.amounts:
            if item.qualifier == "B6":
                return item.amount
        return None


@record
class ClaimPayment:
    """One CLP loop. ``index`` counts claims of the set from 0; ``delta`` = charge − Σ all
    adjustments − paid.
    """

    claim_id: str  # CLP01
    status: str  # CLP02
    charge: Decimal  # CLP03
    paid: Decimal  # CLP04
    patient_responsibility: Decimal = ZERO  # CLP05
    filing_code: str = ""  # CLP06
    payer_control: str = ""  # CLP07
    pos: str = ""  # CLP08
    frequency: str = ""  # CLP09
    drg: str = ""  # CLP11
    drg_weight: Decimal | None = None  # CLP12
    patient: Party | None = None  # NM1*QC
    insured: Party | None = None  # NM1*IL
    corrected: Party | None = None  # NM1*74
    rendering: Party | None = None  # NM1*82
    crossover: Party | None = None  # NM1*TT
    priority_payer: Party | None = None  # NM1*PR
    other_insured: Party | None = None  # NM1*GB
    statement_from: date | None = None  # DTM*232
    statement_to: date | None = None  # DTM*233
    received: date | None = None  # DTM*050
    coverage_end: date | None = None  # DTM*036
    adjustments: tuple[Adjustment, ...] = ()
    moa: tuple[str, ...] = ()  # outpatient remark codes of MOA03-07
    mia: tuple[str, ...] = ()  # inpatient remark codes of MIA05, 20-23
    refs: tuple[Reference, ...] = ()
    contacts: tuple[Contact, ...] = ()
    amounts: tuple[Money, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    services: tuple[ServicePayment, ...] = ()
    delta: Decimal = field(default=ZERO, compare=False)
    index: int = field(default=0, compare=False)
    position: int = field(default=0, compare=False)
    end_position: int = field(default=0, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)

    @property
    def balanced(self) -> bool:
        """The claim and each of its lines add up."""
        return not self.delta and all(not line.delta for line in self.services)

    @property
    def is_reversal(self) -> bool:
        return self.status == "22"

    @property
    def original_control(self) -> str:
        """REF*F8: the payer's number of the claim this one corrects."""
        return first_ref(self.refs, "F8")

    @property
    def remarks(self) -> tuple[str, ...]:
        return self.moa + self.mia


@record
class ProviderAdjustment:
    """One PLB pair. A positive ``amount`` reduces the payment (rule `remittance-balance`)."""

    provider_id: str
    fiscal_date: date | None
    reason: str
    reference: str
    amount: Decimal
    position: int = field(default=0, compare=False)


@record
class RemittanceTrailer:
    """Everything of an 835 after its last claim, with the balance of the whole set.

    ``delta`` = Σ CLP04 − Σ PLB − BPR02. A set that is not ``balanced`` is quarantined with these
    figures, never posted.
    """

    provider_adjustments: tuple[ProviderAdjustment, ...] = ()
    n_claims: int = field(default=0, compare=False)
    n_services: int = field(default=0, compare=False)
    n_reversals: int = field(default=0, compare=False)
    sum_charge: Decimal = field(default=ZERO, compare=False)
    sum_paid: Decimal = field(default=ZERO, compare=False)
    sum_patient: Decimal = field(default=ZERO, compare=False)
    sum_service_charge: Decimal = field(default=ZERO, compare=False)
    sum_service_paid: Decimal = field(default=ZERO, compare=False)
    sum_provider_adjustments: Decimal = field(default=ZERO, compare=False)
    delta: Decimal = field(default=ZERO, compare=False)
    balanced_lines: bool = field(default=True, compare=False)
    balanced_claims: bool = field(default=True, compare=False)
    balanced_transaction: bool = field(default=True, compare=False)
    readable: bool = field(
        default=True, compare=False
    )  # no amount of the set was unreadable, no segment cut off
    findings: tuple[Finding, ...] = field(default=(), compare=False)

    @property
    def balanced(self) -> bool:
        return (
            self.readable
            and self.balanced_lines
            and self.balanced_claims
            and self.balanced_transaction
        )


@record
class Remittance:
    """One 835 transaction set, whole. For files of any size use ``stream_835`` instead."""

    header: RemittanceHeader
    claims: tuple[ClaimPayment, ...]
    trailer: RemittanceTrailer = RemittanceTrailer()

    @property
    def balanced(self) -> bool:
        return self.trailer.balanced

    @property
    def postable(self) -> bool:
        """Balanced at all three levels and of a version that may be worked on."""
        return self.trailer.balanced and not self.header.origin.refusal

    @property
    def findings(self) -> tuple[Finding, ...]:
        found = list(self.header.findings)
        for claim in self.claims:
            found.extend(claim.findings)
        found.extend(self.trailer.findings)
        return tuple(found)


# --- 837 claim ------------------------------------------------------------------------------------


@record
class Diagnosis:
    code: str  # without the dot
    qualifier: str = "ABF"  # ABK principal, ABF other, ABJ admitting, APR reason for visit


@record
class Attachment:
    """PWK: ``report_type`` (OZ, RB, B4 …), ``transmission`` (BM, FX, EL …) and our attachment
    control number.
    """

    report_type: str
    transmission: str
    control: str = ""


@record
class Note:
    text: str
    code: str = "ADD"


@record
class Drug:
    """LIN*N4 and CTP: an NDC of 11 digits, the quantity and its unit (ML, UN, GR, F2, ME)."""

    ndc: str
    quantity: Decimal = ONE
    unit: str = "ML"
    prescription: str = ""


@record
class PurchasedService:
    """PS1: who sold the interpretation or the technical part, and at what price (rule
    `anti-markup`).
    """

    provider_id: str
    amount: Decimal


@record
class LineAdjudication:
    """SVD with its CAS: what another payer paid on this line (2430)."""

    payer_id: str
    paid: Decimal
    procedure: Procedure
    units: Decimal = ONE
    adjustments: tuple[Adjustment, ...] = ()
    paid_date: date | None = None  # DTP*573
    remaining: Decimal | None = None  # AMT*EAF
    bundled_line: str = ""  # SVD06
    revenue_code: str = ""  # SVD04


@record
class OtherPayer:
    """A coverage other than the one billed (2320, 2330). ``payer`` carries its id; REF*F8 is in
    ``payer_control``.
    """

    sequence: str  # SBR01: P, S, T
    payer: Party
    subscriber: Party
    relationship: str = "18"  # SBR02
    group_number: str = ""  # SBR03
    group_name: str = ""  # SBR04
    insurance_type: str = ""  # SBR05
    filing_code: str = "CI"  # SBR09
    adjustments: tuple[Adjustment, ...] = ()
    paid: Decimal | None = None  # AMT*D
    non_covered: Decimal | None = None  # AMT*A8
    remaining: Decimal | None = None  # AMT*EAF
    benefits_assigned: str = "Y"  # OI03
    patient_signature: str = ""  # OI04
    release: str = "Y"  # OI06
    remarks: tuple[str, ...] = ()  # MOA03-07
    paid_date: date | None = None  # DTP*573
    payer_control: str = ""  # REF*F8 of 2330B
    authorization: str = ""  # REF*G1 of 2330B
    referral: str = ""  # REF*9F of 2330B


@record
class ServiceLine:
    """One LX loop. ``number`` 0 lets the writer count. ``line_control`` (REF*6R) comes back in the
    835.
    """

    procedure: Procedure
    charge: Decimal
    line_control: str = ""
    units: Decimal = ONE
    unit: str = "UN"
    service_date: date | None = None
    service_end: date | None = None
    pos: str = ""  # SV105, only when it differs from the claim
    pointers: tuple[int, ...] = (1,)  # SV107
    emergency: bool = False  # SV109
    revenue_code: str = ""  # SV201 (837I)
    rate: Decimal | None = None  # SV206 (837I)
    non_covered: Decimal | None = None  # SV207 (837I)
    authorization: str = ""  # REF*G1
    referral: str = ""  # REF*9F
    mammography_certification: str = ""  # REF*EW
    attachments: tuple[Attachment, ...] = ()
    notes: tuple[Note, ...] = ()
    file_information: tuple[str, ...] = ()  # K3
    purchased: PurchasedService | None = None  # PS1
    drug: Drug | None = None
    rendering: Party | None = None  # 2420A
    purchased_from: Party | None = None  # 2420B NM1*QB
    facility: Party | None = None  # 2420C NM1*77
    supervising: Party | None = None  # 2420D NM1*DQ
    ordering: Party | None = None  # 2420E NM1*DK
    referring: Party | None = None  # 2420F NM1*DN
    adjudications: tuple[LineAdjudication, ...] = ()  # 2430
    refs: tuple[Reference, ...] = ()  # any other REF
    dates: tuple[DatePeriod, ...] = ()  # any DTP other than 472
    number: int = field(default=0, compare=False)
    position: int = field(default=0, compare=False)


@record
class Claim:
    """One CLM loop with the parties above it.

    ``billing`` is the NM1*85 party (taxonomy in ``taxonomy``, tax id as REF*EI or REF*SY).
    ``patient`` is None when the subscriber is the patient (then ``relationship`` is 18).
    """

    claim_id: str  # CLM01
    charge: Decimal  # CLM02
    billing: Party
    subscriber: Party
    payer: Party
    lines: tuple[ServiceLine, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    pos: str = "11"  # CLM05-1
    facility_qualifier: str = "B"  # CLM05-2: B professional, A institutional
    frequency: str = "1"  # CLM05-3
    pay_to: Party | None = None  # 2010AB
    patient: Party | None = None  # 2010CA
    patient_relationship: str = ""  # PAT01 when patient is given
    payer_sequence: str = "P"  # SBR01
    relationship: str = "18"  # SBR02
    group_number: str = ""  # SBR03
    group_name: str = ""  # SBR04
    insurance_type: str = ""  # SBR05
    filing_code: str = "CI"  # SBR09
    provider_signature: str = "Y"  # CLM06
    assignment: str = "A"  # CLM07
    benefits_assigned: str = "Y"  # CLM08
    release: str = "Y"  # CLM09
    patient_signature: str = ""  # CLM10
    related_causes: tuple[str, ...] = ()  # CLM11: AA, EM, OA
    accident_state: str = ""  # CLM11-4
    delay_reason: str = ""  # CLM20
    accident_date: date | None = None  # DTP*439
    dates: tuple[
        DatePeriod, ...
    ] = ()  # other DTP of the claim (431 onset, 435 admission, 434 statement …)
    authorization: str = ""  # REF*G1
    referral: str = ""  # REF*9F
    payer_control: str = ""  # REF*F8
    mammography_certification: str = ""  # REF*EW
    refs: tuple[Reference, ...] = ()  # any other REF of the claim
    attachments: tuple[Attachment, ...] = ()
    patient_paid: Decimal | None = None  # AMT*F5
    file_information: tuple[str, ...] = ()  # K3
    notes: tuple[Note, ...] = ()
    referring: Party | None = None  # 2310A NM1*DN
    rendering: Party | None = None  # 2310B NM1*82
    facility: Party | None = None  # 2310C NM1*77
    supervising: Party | None = None  # 2310D NM1*DQ
    attending: Party | None = None  # 837I NM1*71
    operating: Party | None = None  # 837I NM1*72
    admission: tuple[str, str, str] = ("", "", "")  # 837I CL1: type, source, patient status
    hi_codes: tuple[
        tuple[str, ...], ...
    ] = ()  # other HI composites (value, condition, occurrence, procedure codes)
    other_payers: tuple[OtherPayer, ...] = ()
    institutional: bool = False
    origin: Origin = field(default=Origin(), compare=False)
    reference: str = field(default="", compare=False)  # BHT03
    submitter: Party | None = field(default=None, compare=False)
    receiver: Party | None = field(default=None, compare=False)
    position: int = field(default=0, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)

    @property
    def who_is_patient(self) -> Party:
        return self.patient or self.subscriber

    @property
    def line_total(self) -> Decimal:
        return sum((line.charge for line in self.lines), ZERO)


# --- 270 and 271 eligibility ----------------------------------------------------------------------


@record
class EligibilityRequest:
    """One 270 inquiry about one person."""

    payer: Party  # NM1*PR
    provider: Party  # NM1*1P
    subscriber: Party  # NM1*IL
    trace: str  # TRN02
    trace_origin: str = ""  # TRN03, ten characters
    dependent: Party | None = None  # NM1*03
    relationship: str = ""  # INS02 of the dependent
    service_types: tuple[str, ...] = ("30",)  # EQ01
    procedure: Procedure | None = None  # EQ02
    date_from: date | None = None  # DTP*291
    date_to: date | None = None
    reference: str = ""  # BHT03
    origin: Origin = field(default=Origin(), compare=False)
    position: int = field(default=0, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)


@record
class Rejection:
    """AAA: why the payer did not answer. ``level``: source, receiver, subscriber, dependent,
    benefit, event, service.
    """

    valid: bool  # AAA01 Y
    reason: str  # AAA03
    follow_up: str  # AAA04
    level: str = ""
    position: int = field(default=0, compare=False)


@record
class Trace:
    """TRN: ``kind`` 1 ours, 2 referenced."""

    number: str
    origin: str = ""
    kind: str = "2"
    supplement: str = ""


@record
class Benefit:
    """One EB loop. ``percent`` is a fraction (0.2 = 20 %). ``authorization`` and ``in_network``: Y,
    N, U, W or "".
    """

    code: (
        str  # EB01: 1 active, 6 inactive, A coinsurance, B copay, C deductible, G out of pocket, …
    )
    coverage_level: str = ""  # EB02
    service_types: tuple[str, ...] = ()  # EB03
    insurance_type: str = ""  # EB04
    plan: str = ""  # EB05
    time_period: str = ""  # EB06: 23 year, 29 remaining, 27 visit …
    amount: Decimal | None = None  # EB07
    percent: Decimal | None = None  # EB08
    quantity_qualifier: str = ""  # EB09
    quantity: Decimal | None = None  # EB10
    authorization: str = ""  # EB11
    in_network: str = ""  # EB12
    procedure: Procedure | None = None  # EB13
    delivery: tuple[tuple[str, ...], ...] = ()  # HSD elements as sent
    dates: tuple[DatePeriod, ...] = ()
    refs: tuple[Reference, ...] = ()
    messages: tuple[str, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    parties: tuple[Party, ...] = ()  # LS/LE 2120: other payers, primary care provider
    position: int = field(default=0, compare=False)


@record
class EligibilityResponse:
    """One person's answer of a 271; when the payer refused earlier, ``subscriber`` is None and
    ``rejections`` say why.
    """

    payer: Party | None = None
    provider: Party | None = None
    subscriber: Party | None = None
    dependent: Party | None = None
    relationship: str = ""  # INS02 of the dependent
    traces: tuple[Trace, ...] = ()
    dates: tuple[
        DatePeriod, ...
    ] = ()  # DTP of the person (346 plan begin, 291 plan, 307 eligibility …)
    benefits: tuple[Benefit, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    reference: str = ""  # BHT03
    origin: Origin = field(default=Origin(), compare=False)
    position: int = field(default=0, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)

    @property
    def active(self) -> bool:
        """Some benefit says active coverage (EB01 1 to 5)."""
        return any(benefit.code in ("1", "2", "3", "4", "5") for benefit in self.benefits)

    @property
    def inactive(self) -> bool:
        """Some benefit says inactive (EB01 6 to 8) and none says active."""
        return not self.active and any(benefit.code in ("6", "7", "8") for benefit in self.benefits)


# --- 276, 277 and 277CA claim status --------------------------------------------------------------


@record
class StatusRequest:
    """One 276 inquiry about one claim."""

    payer: Party  # NM1*PR
    receiver: Party  # NM1*41
    provider: Party  # NM1*1P
    subscriber: Party  # NM1*IL
    trace: str  # TRN02
    claim_id: str = ""  # REF*EJ: our CLM01
    payer_control: str = ""  # REF*1K
    charge: Decimal | None = None  # AMT*T3
    service_from: date | None = None  # DTP*472
    service_to: date | None = None
    dependent: Party | None = None  # NM1*QC
    bill_type: str = ""  # REF*BLT
    reference: str = ""  # BHT03
    origin: Origin = field(default=Origin(), compare=False)
    position: int = field(default=0, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)


@record
class StatusCode:
    """One composite of STC01, 10 or 11: ``category`` A1, F2, P1 …, ``status`` the claim status
    code, ``entity``.
    """

    category: str
    status: str = ""
    entity: str = ""


@record
class StatusInfo:
    """One STC. ``action`` U rejects in a 277CA, WQ accepts."""

    codes: tuple[StatusCode, ...]
    effective: date | None = None  # STC02
    action: str = ""  # STC03
    charge: Decimal | None = None  # STC04
    paid: Decimal | None = None  # STC05
    paid_date: date | None = None  # STC06
    method: str = ""  # STC07
    check_date: date | None = None  # STC08
    check_number: str = ""  # STC09
    message: str = ""  # STC12


@record
class LineStatus:
    """A service line of a 277 or 277CA (SVC, STC, REF*FJ, DTP*472)."""

    procedure: Procedure
    charge: Decimal = ZERO
    paid: Decimal | None = None
    units: Decimal | None = None
    statuses: tuple[StatusInfo, ...] = ()
    line_control: str = ""  # REF*FJ
    service_from: date | None = None
    service_to: date | None = None


@record
class ClaimStatus:
    """One TRN of a 277 or 277CA with what stands under it.

    ``level``: source (payer or clearinghouse), receiver (the whole batch), provider, claim. At
    claim level ``trace`` is our own number back (in a 277CA our CLM01), ``payer_control`` REF*1K.
    """

    level: str
    trace: str
    trace_kind: str = "2"
    statuses: tuple[StatusInfo, ...] = ()
    payer: Party | None = None
    receiver: Party | None = None
    provider: Party | None = None
    subscriber: Party | None = None
    dependent: Party | None = None
    claim_id: str = ""  # our CLM01: 277CA the trace, 277 REF*EJ
    payer_control: str = ""  # REF*1K
    bill_type: str = ""  # REF*BLT
    refs: tuple[Reference, ...] = ()
    service_from: date | None = None
    service_to: date | None = None
    dates: tuple[DatePeriod, ...] = ()
    amounts: tuple[Money, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    lines: tuple[LineStatus, ...] = ()
    reference: str = ""  # BHT03
    origin: Origin = field(default=Origin(), compare=False)
    position: int = field(default=0, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(code.category for info in self.statuses for code in info.codes[:1])

    @property
    def rejected(self) -> bool:
        """Not taken into the payer's system (A3, A4, A6, A7, A8): not a filed claim (rule
        `acknowledgement-chain`).
        """
        return any(category in ("A3", "A4", "A6", "A7", "A8") for category in self.categories)

    @property
    def accepted(self) -> bool:
        """Received or accepted (A0, A1, A2, A5) and nowhere rejected."""
        return not self.rejected and any(
            category in ("A0", "A1", "A2", "A5") for category in self.categories
        )


# --- 999 and TA1 ----------------------------------------------------------------------------------


@record
class ElementError:
    """IK4: element and component position, the error code and a copy of the bad data."""

    element: int
    code: str
    component: int = 0
    reference: str = ""
    bad_data: str = ""


@record
class SegmentError:
    """IK3: the segment, its place in the set (ST is 1), its loop, and what is wrong with it."""

    segment: str
    segment_position: int
    code: str
    loop: str = ""
    contexts: tuple[str, ...] = ()  # CTX as sent, "CLM01:ACC0001" names the claim
    elements: tuple[ElementError, ...] = ()

    @property
    def claim_id(self) -> str:
        for context in self.contexts:
            if context.startswith("CLM01") and len(context) > 6:
                return context[6:]
        return ""


@record
class SetAcknowledgement:
    """AK2 to IK5: ``code`` A accepted, E accepted with errors, R, M, W, X rejected."""

    st01: str
    st02: str
    version: str = ""
    code: str = ""
    reasons: tuple[str, ...] = ()
    errors: tuple[SegmentError, ...] = ()

    @property
    def accepted(self) -> bool:
        return self.code in ("A", "E")


@record
class Acknowledgement:
    """One 999: the functional group it answers (GS01, GS06, GS08), each set, and the group's result
    (AK9).
    """

    group_code: str  # AK101
    group_control: str  # AK102
    group_version: str = ""  # AK103
    sets: tuple[SetAcknowledgement, ...] = ()
    code: str = ""  # AK901
    included: int = 0  # AK902
    received: int = 0  # AK903
    accepted_count: int = 0  # AK904
    reasons: tuple[str, ...] = ()  # AK905-09
    origin: Origin = field(default=Origin(), compare=False)
    position: int = field(default=0, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)

    @property
    def accepted(self) -> bool:
        return self.code in ("A", "E")


@record
class InterchangeAcknowledgement:
    """One TA1: ``code`` A accepted, E accepted with errors, R rejected; ``note`` says why."""

    control: str  # the ISA13 it answers
    date: str
    time: str
    code: str
    note: str = "000"
    position: int = field(default=0, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)

    @property
    def accepted(self) -> bool:
        return self.code in ("A", "E")


# --- 278 authorization ----------------------------------------------------------------------------


@record
class Decision:
    """HCR: ``action`` A1 certified, A2 partial, A3 not certified, A4 pended, A6 modified, C
    cancelled, CT contact payer, NA not required; ``number`` the authorization; ``reasons`` the
    reason codes; ``second_opinion`` HCR04.
    """

    action: str
    number: str = ""
    reasons: tuple[str, ...] = ()
    second_opinion: str = ""


@record
class AuthorizationService:
    """One service of a 278 (HL*SS): procedure and units asked for or granted, with its own decision
    when answered.
    """

    procedure: Procedure
    units: Decimal = ONE
    unit: str = "UN"
    charge: Decimal | None = None
    category: str = ""  # UM01
    service_type: str = ""  # UM03
    service_from: date | None = None  # DTP*472
    service_to: date | None = None
    trace: str = ""  # TRN02
    quantities: tuple[tuple[str, ...], ...] = ()  # HSD elements as sent
    providers: tuple[Party, ...] = ()
    decision: Decision | None = None
    rejections: tuple[Rejection, ...] = ()
    refs: tuple[Reference, ...] = ()
    dates: tuple[DatePeriod, ...] = ()  # DTP other than 472
    messages: tuple[str, ...] = ()
    revenue_code: str = ""  # SV201
    position: int = field(default=0, compare=False)


@record
class AuthorizationRequest:
    """One 278 request: a patient event with its services."""

    payer: Party  # NM1*X3
    provider: Party  # NM1*1P or FA: who asks
    subscriber: Party  # NM1*IL
    trace: str  # TRN02 of the event
    trace_origin: str = ""  # TRN03, ten characters
    dependent: Party | None = None  # NM1*QC
    relationship: str = ""  # INS02 of the dependent
    category: str = "HS"  # UM01: HS services, SC specialty care, AR admission
    certification: str = "I"  # UM02: I initial, R renewal, S revised, 3 cancel
    service_type: str = ""  # UM03: 4 diagnostic imaging, 62 MRI/CT
    pos: str = ""  # UM04-1
    pos_qualifier: str = "B"  # UM04-2
    related_cause: str = ""  # UM05-1
    level_of_service: str = ""  # UM06: U urgent, E elective, 03 emergency
    release: str = ""  # UM09
    previous_number: str = ""  # REF*BB
    payer_control: str = ""  # REF*NT
    event_from: date | None = None  # DTP*AAH
    event_to: date | None = None
    admission: date | None = None  # DTP*435
    dates: tuple[DatePeriod, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    quantities: tuple[tuple[str, ...], ...] = ()  # HSD elements as sent
    attachments: tuple[Attachment, ...] = ()
    messages: tuple[str, ...] = ()
    providers: tuple[Party, ...] = ()  # of the event: SJ, DK, 77, FA …
    services: tuple[AuthorizationService, ...] = ()
    refs: tuple[Reference, ...] = ()
    reference: str = ""  # BHT03
    origin: Origin = field(default=Origin(), compare=False)
    position: int = field(default=0, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)


@record
class AuthorizationResponse:
    """One 278 answer. Without a ``decision`` the ``rejections`` say why the payer did not look at
    the request.
    """

    payer: Party | None = None
    provider: Party | None = None
    subscriber: Party | None = None
    dependent: Party | None = None
    trace: str = ""  # TRN02: our number back
    traces: tuple[Trace, ...] = ()
    category: str = ""
    certification: str = ""
    service_type: str = ""
    pos: str = ""
    pos_qualifier: str = "B"
    level_of_service: str = ""
    decision: Decision | None = None
    valid_from: date | None = None  # DTP*AAH, else 472
    valid_to: date | None = None
    issued: date | None = None  # DTP*102
    expires: date | None = None  # DTP*036
    payer_control: str = ""  # REF*NT
    previous_number: str = ""  # REF*BB
    refs: tuple[Reference, ...] = ()
    dates: tuple[DatePeriod, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    quantities: tuple[tuple[str, ...], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    messages: tuple[str, ...] = ()
    providers: tuple[Party, ...] = ()
    services: tuple[AuthorizationService, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    reference: str = ""  # BHT03
    origin: Origin = field(default=Origin(), compare=False)
    position: int = field(default=0, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)
