"""Reference tables as the edits read them: plain mappings, fetched in bulk once per batch by a
loader.

A table that is None was not loaded: the engine says so on every claim (REF-001 holds it, REF-002
warns) instead of passing in silence. Pairs, limits, add-ons and coverage lists come as the versions
of a code, each with its dates: a batch may reach over a quarter, and `on_day` judges each line by
the row of its own service date.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class ProcedureRow:
    """One CPT/HCPCS code: fee-schedule indicators (rules `component-form`, `modifier-order` and
    `mppr-technical`) joined with the imaging catalog (code_family).
    """

    code: str
    status: str = ""
    pctc_ind: str = ""
    bilat_ind: str = ""
    mult_proc_ind: str = ""
    modifiers: frozenset[str] = frozenset()  # "26", "TC" where the fee schedule has the row
    family: str = ""
    modality: str = ""
    body_region: str = ""
    contrast: str = ""
    extent: str = ""
    views_min: int | None = None
    effective_from: date | None = None
    effective_to: date | None = None


class _Version(Protocol):
    @property
    def effective_from(self) -> date | None: ...
    @property
    def effective_to(self) -> date | None: ...


V = TypeVar("V", bound=_Version)


def on_day(versions: tuple[V, ...], day: date | None) -> V | None:
    """The version in force on a service date; a line without a date is judged by the latest."""
    if day is None:
        return versions[-1] if versions else None
    for row in versions:
        if (row.effective_from is None or row.effective_from <= day) and (
            row.effective_to is None or day <= row.effective_to
        ):
            return row
    return None


@dataclass(frozen=True, slots=True)
class PtpRow:
    """NCCI pair: column 2 is denied beside column 1; indicator 0 never, 1 with a modifier, 9
    deleted.
    """

    indicator: str
    effective_from: date | None = None
    effective_to: date | None = None


@dataclass(frozen=True, slots=True)
class MueRow:
    """Units limit; MAI 1 per line, 2 per day by policy, 3 per day clinical."""

    limit: int
    mai: str
    effective_from: date | None = None
    effective_to: date | None = None


@dataclass(frozen=True, slots=True)
class AddOnRow:
    """Add-on code: kind 1 = these primaries only, 2 = the contractor decides, 3 = these and
    others.
    """

    kind: str
    primaries: frozenset[str]
    effective_from: date | None = None
    effective_to: date | None = None


@dataclass(frozen=True, slots=True)
class IcdRelease:
    """The billable ICD-10-CM codes (no dot) for one range of service dates."""

    effective_from: date
    effective_to: date
    codes: frozenset[str]
    sides: Mapping[str, str] = field(default_factory=dict)  # code -> RT | LT | 50

    def covers(self, day: date) -> bool:
        return self.effective_from <= day <= self.effective_to


@dataclass(frozen=True, slots=True)
class Demographics:
    """Who a code is for: sex F, M or blank; ages in whole years, inclusive; `products` empty =
    every payer.
    """

    sex: str = ""
    age_min: int | None = None
    age_max: int | None = None
    products: frozenset[str] = frozenset()
    source: str = ""


@dataclass(frozen=True, slots=True)
class FrequencyRow:
    """At most one of `group` in that many full months (0 = once in a lifetime) for these
    products.
    """

    group: str
    full_months: int
    products: frozenset[str] = frozenset()
    source: str = ""


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """Diagnoses of a coverage policy for one procedure, without dots (rule `coverage-list`)."""

    covered: frozenset[str]
    excluded: frozenset[str] = frozenset()
    policies: str = ""
    authoritative: bool = False
    effective_from: date | None = None
    effective_to: date | None = None


@dataclass(frozen=True, slots=True)
class PayerRow:
    """A payer's terms. None = not known; an unknown filing limit falls back to
    `default_filing_days`.
    """

    payer_id: str
    product: str = ""
    filing_days: int | None = None
    secondary_filing_days: int | None = None
    corrected_days: int | None = None
    accepts_replacement: bool | None = None
    member_id_mask: str = ""  # A letter, 9 digit, X either, * rest; several masks split by |
    requires_rendering_taxonomy: bool = False
    requires_referral: bool = False
    contrast_paid: bool | None = None
    requires_ndc: bool = False
    wants_g0279: bool | None = None  # True: G0279, False: 77061/77062
    split_on_locality: bool | None = None
    component_form: str = ""  # global_only | split_required | pc_bundled_to_hospital | capitated
    bilateral_form: str = ""  # one_line (50) | two_lines (RT and LT)
    number_on_claim: bool = True
    eligibility_days: int | None = None
    orders_by: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Span:
    """A dated standing: enrolled, licensed, certified."""

    effective_from: date
    effective_to: date | None = None
    detail: str = ""
    status: str = "in"  # in | out | pending | none: how a provider stands with a payer
    plan: str = ""  # only with this plan of the payer

    def covers(self, day: date) -> bool:
        return self.effective_from <= day and (
            self.effective_to is None or day <= self.effective_to
        )


@dataclass(frozen=True, slots=True)
class ReferenceFacts:
    """Every table the edits may ask. `groups` names sets of codes (ct_xr29, fdg_pet_oncologic,
    contrast_mr …).
    """

    procedures: Mapping[str, ProcedureRow] | None = None
    ptp: Mapping[str, Mapping[str, tuple[PtpRow, ...]]] | None = (
        None  # column 1 -> column 2 -> versions
    )
    mue: Mapping[str, tuple[MueRow, ...]] | None = None
    mue_medicaid: Mapping[str, tuple[MueRow, ...]] | None = None
    addons: Mapping[str, tuple[AddOnRow, ...]] | None = None
    icd: tuple[IcdRelease, ...] | None = None
    pos: Mapping[str, str] | None = None  # code -> F | NF | U(nassigned)
    modifiers: frozenset[str] | None = None
    taxonomies: frozenset[str] | None = None
    drugs: Mapping[str, str] | None = (
        None  # HCPCS -> mr_contrast | iodinated_contrast | ultrasound_contrast | radiopharmaceutical …
    )
    coverage: Mapping[str, tuple[CoverageRow, ...]] | None = None
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    code_people: Mapping[str, Demographics] = field(default_factory=dict)
    icd_people: Mapping[str, Demographics] = field(
        default_factory=dict
    )  # by ICD prefix without dot
    frequency: tuple[FrequencyRow, ...] = ()
    payers: Mapping[str, PayerRow] = field(default_factory=dict)
    products: Mapping[str, PayerRow] = field(
        default_factory=dict
    )  # terms by line of business, below the payer's own
    enrollments: Mapping[tuple[str, str], tuple[Span, ...]] | None = None  # (npi, payer_id)
    licenses: Mapping[tuple[str, str], tuple[Span, ...]] | None = None  # (npi, state)
    mammography_certificates: Mapping[str, tuple[Span, ...]] | None = None  # certificate number
    excluded_npis: frozenset[str] = frozenset()
    ordering_npis: frozenset[str] | None = None  # enrolled to order and refer
    limits: Mapping[str, int] = field(default_factory=dict)  # by name, see data/limits.csv
    default_filing_days: int = 90
    eligibility_days: int = 30
