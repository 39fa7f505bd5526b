"""What pricing knows: plain facts in, priced lines out. No database here.

Amounts are dollars as Decimal, rates are fractions (0.20 is twenty percent), codes are strings,
dates are service dates. A missing fact is `None` and ends as a *hold* with its reason; it never
becomes zero.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

CENT = Decimal("0.01")
ZERO = Decimal("0.00")
ONE = Decimal(1)


def cents(amount: Decimal) -> Decimal:
    """Half-up rounding to the cent, as the fee schedule is published (rule
    `fee-schedule-amount`).
    """
    return amount.quantize(CENT, ROUND_HALF_UP)


class Component(StrEnum):
    """Which part of a test a line bills: the whole, the reading (26), or machine and technologist
    (TC).
    """

    GLOBAL = "global"
    PROFESSIONAL = "26"
    TECHNICAL = "TC"


class PosSetting(StrEnum):
    FACILITY = "facility"
    NON_FACILITY = "non_facility"


class PriceStatus(StrEnum):
    """`priced` has an amount; `hold` lacks a fact; `not_payable` is a known no; `blocked` is a form
    that may not be sent.
    """

    PRICED = "priced"
    HOLD = "hold"
    NOT_PAYABLE = "not_payable"
    BLOCKED = "blocked"


class RateMethod(StrEnum):
    PERCENT_OF_MEDICARE = "percent_of_medicare"
    PERCENT_OF_CHARGE = "percent_of_charge"
    FLAT = "flat"


class MpprScope(StrEnum):
    """Who and when counts together for a multiple-procedure reduction (rule `mppr-technical`)."""

    NONE = "none"
    PHYSICIAN = "physician"  # same rendering provider, same session
    GROUP = "group"  # same billing group, same session: the Medicare rule
    DAY = "day"  # same billing group, whole day


@dataclass(frozen=True, slots=True)
class Locality:
    """A Medicare payment locality: carrier number and locality number."""

    carrier: str
    number: str

    def __str__(self) -> str:
        return self.carrier if self.carrier == "national" else f"{self.carrier}-{self.number}"


NATIONAL = Locality("national", "")
"""Every geographic index 1.000: the published national amount, not a place."""


@dataclass(frozen=True, slots=True)
class Gpci:
    """Geographic indices of one locality for one period."""

    locality: Locality
    work: Decimal
    practice: Decimal
    malpractice: Decimal
    effective_from: dt.date
    effective_to: dt.date | None = None


@dataclass(frozen=True, slots=True)
class RvuRow:
    """One row of a physician fee schedule release: a code, or one component of it.

    `practice_*` and `malpractice` are relative value units. `cap_*` are the units of the hospital
    outpatient cap (0 = no cap, None = not loaded). `factor` is the conversion factor in dollars per
    unit, `factor_qualifying` that of qualifying participants of an alternative payment model.
    """

    code: str
    component: Component
    status: str
    work: Decimal
    practice_nonfacility: Decimal
    practice_facility: Decimal
    malpractice: Decimal
    pctc: str
    multiple: str
    bilateral: str
    factor: Decimal
    effective_from: dt.date
    effective_to: dt.date | None = None
    factor_qualifying: Decimal | None = None
    cap_practice: Decimal | None = ZERO
    cap_malpractice: Decimal = ZERO
    nonfacility_na: bool = False
    facility_na: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True)
class MedicareTerms:
    """The percentages of the Medicare rules on one date. `paid_*` is what is paid, `cut_*` what is
    taken off.
    """

    paid_multiple_pc: Decimal
    paid_multiple_tc: Decimal
    paid_cardiovascular_tc: Decimal
    paid_ophthalmic_tc: Decimal
    paid_surgical: Decimal
    paid_bilateral: Decimal
    cut_ct: Decimal
    cut_film: Decimal
    cut_computed: Decimal
    coinsurance: Decimal
    sequestration: Decimal
    nonparticipating: Decimal
    limiting_charge: Decimal
    cost_share_waived: frozenset[str] = frozenset()
    cost_share_waived_if_preventive: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MpprTerms:
    """A contract's own multiple-procedure terms; a percentage left `None` means that part is not
    reduced.

    `paid_global` applies where a rate has no component split; without it such a line is held.
    """

    scope: MpprScope
    paid_pc: Decimal | None = None
    paid_tc: Decimal | None = None
    paid_global: Decimal | None = None
    paid_cardiovascular_tc: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ContractRate:
    """One priced rule of a contract. Blank `code`, `modality`, `component`, `modifier`, `site`,
    `plan` match anything.

    `value` is a fraction for the percentage methods (1.20 = 120 %) and dollars per unit for `flat`.
    A `carve_out` is taken as written: no multiple-procedure reduction and no lesser-of.
    """

    method: RateMethod
    value: Decimal
    code: str = ""
    modality: str = ""
    component: Component | None = None
    modifier: str = ""
    site: str = ""
    plan: str = ""
    medicare_year: int | None = None
    carve_out: bool = False
    effective_from: dt.date | None = None
    effective_to: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """A payer contract on paper. `mppr=None` means the paper is silent: a session that needs it is
    held.

    `medicare_locality` pins the locality that percent-of-Medicare rates use; `None` is where the
    service was done.
    """

    key: str
    name: str
    rates: tuple[ContractRate, ...]
    effective_from: dt.date
    effective_to: dt.date | None = None
    lesser_of_charge: bool = True
    mppr: MpprTerms | None = None
    opps_cap: bool = True
    equipment_reductions: bool = False
    sequestration: bool = False
    bilateral: Decimal | None = None
    medicare_locality: Locality | None = None


@dataclass(frozen=True, slots=True)
class Benefits:
    """The patient's cost sharing at the time of service; `None` is not known. Medicare's
    coinsurance comes from its terms.
    """

    deductible_remaining: Decimal | None = None
    coinsurance: Decimal | None = None
    copay: Decimal | None = None
    out_of_pocket_remaining: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PricingContext:
    """What all lines of one patient, day and billing group share. `contract=None` prices by the
    Medicare schedule.
    """

    date_of_service: dt.date
    pos: str
    locality: Locality | None
    contract: Contract | None = None
    benefits: Benefits = Benefits()
    participating: bool = True
    assigned: bool = True
    qualifying_apm: bool = False
    site: str = ""
    plan: str = ""


@dataclass(frozen=True, slots=True)
class BilledLine:
    """A line as it will be sent. `charge` is the line total. `session` names the encounter
    (arrival) it belongs to.

    `locality` overrides the context for a part furnished elsewhere. `purchased_price` is the
    supplier's net charge of an anti-markup component (rule `anti-markup`). `preventive` answers
    whether cost sharing may be waived where the code alone cannot.
    """

    line_id: str
    code: str
    modifiers: tuple[str, ...] = ()
    units: int = 1
    charge: Decimal | None = None
    session: str = ""
    rendering: str = ""
    locality: Locality | None = None
    purchased_price: Decimal | None = None
    preventive: bool | None = None


class StepKind(StrEnum):
    """What a step of a derivation did, for programs; people read its words."""

    PRICE = "price"
    MULTIPLE = "multiple"  # the multiple-procedure reduction and the sum after it


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a derivation, in words a biller can read. `rule` is a slug of the rule book."""

    words: str
    amount: Decimal | None
    rule: str
    kind: StepKind = StepKind.PRICE


@dataclass(frozen=True, slots=True)
class Cut:
    """An amount taken off, with the adjustment code a remittance should show for it (blank if none
    is usual).
    """

    kind: str
    amount: Decimal
    carc: str


@dataclass(frozen=True, slots=True)
class PricedLine:
    """The expected payment of one line.

    `allowed` is None unless `status` is priced. Shares are None when cost sharing is not known
    (`share_reason` says why). `payer_share` is what the payer sends after `sequestration`; allowed
    = payer_share + patient_share + sequestration.
    """

    line_id: str
    code: str
    component: Component
    status: PriceStatus
    reason_code: str = ""
    reason: str = ""
    allowed: Decimal | None = None
    professional: Decimal | None = None
    technical: Decimal | None = None
    cuts: tuple[Cut, ...] = ()
    deductible: Decimal | None = None
    coinsurance: Decimal | None = None
    copay: Decimal | None = None
    patient_share: Decimal | None = None
    payer_share: Decimal | None = None
    sequestration: Decimal | None = None
    limiting_charge: Decimal | None = None
    share_reason: str = ""
    derivation: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()

    def cut(self, kind: str) -> Decimal:
        """What was taken off for one kind of reduction (0.00 when none was)."""
        return sum((c.amount for c in self.cuts if c.kind == kind), ZERO)
