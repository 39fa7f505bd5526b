"""A contract's terms as they are kept (JSON, percentages as people write them) and as pricing reads
them (fractions).

`parse_terms` refuses what it does not know, so that a mistyped term never silently changes a price.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from rcm.pricing.facts import Locality, MpprScope, MpprTerms, RateMethod

PERCENTS = (
    "percent",
    "mppr_pc_pct",
    "mppr_tc_pct",
    "mppr_global_pct",
    "mppr_cardio_tc_pct",
    "bilateral_pct",
)
FLAGS = {"lesser_of": True, "opps_cap": True, "equipment_reductions": False, "sequestration": False}
METHODS = tuple(method.value for method in RateMethod)
_LOCALITY = re.compile(r"([0-9A-Z]{5})-([0-9]{2})")

WORDS: dict[str, str] = {
    "percent": "General rate, % of the method's base",
    "year": "Fee schedule year it is pinned to (blank: year of service)",
    "lesser_of": "Never pays more than the charge",
    "mppr_scope": "Exams that are reduced together",
    "mppr_pc_pct": "Second and later readings are paid at %",
    "mppr_tc_pct": "Second and later technical parts are paid at %",
    "mppr_global_pct": "Second and later whole tests without split are paid at %",
    "mppr_cardio_tc_pct": "Second and later cardiovascular technical parts are paid at %",
    "opps_cap": "Medicare's outpatient cap applies",
    "equipment_reductions": "CT, FX and FY reductions apply",
    "sequestration": "Federal sequestration applies",
    "bilateral_pct": "Both sides together are paid at %",
    "locality": "Medicare locality whose rates are used (blank: where the exam is done)",
}


class TermRefused(ValueError):
    """One term that cannot be used: the field, and a sentence."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms as pricing uses them."""

    percent: Decimal | None = None
    year: int | None = None
    lesser_of: bool = True
    mppr: MpprTerms | None = None
    opps_cap: bool = True
    equipment_reductions: bool = False
    sequestration: bool = False
    bilateral: Decimal | None = None
    locality: Locality | None = None


def _percent(terms: Mapping[str, Any], name: str) -> Decimal | None:
    value = terms.get(name)
    if value in (None, ""):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise TermRefused(name, f"{name} “{str(value)[:12]}” is not a number.") from None
    if not number.is_finite() or not 0 <= number <= 1000:
        raise TermRefused(name, f"{name} must lie between 0 and 1000 percent.")
    return number / 100


def parse_terms(terms: Mapping[str, Any]) -> Terms:
    """Read kept terms. Raises `TermRefused` for an unknown name or a value that makes no sense."""
    unknown = set(terms) - set(WORDS)
    if unknown:
        name = min(unknown)
        raise TermRefused(
            name, f"“{name[:30]}” is no term of a contract. Terms: {', '.join(WORDS)}."
        )
    for name in FLAGS:
        if not isinstance(terms.get(name, True), bool):
            raise TermRefused(name, f"{name} is true or false.")
    year = terms.get("year")
    if year is not None and (
        isinstance(year, bool) or not isinstance(year, int) or not 1992 <= year <= 2100
    ):
        raise TermRefused("year", "year is a fee schedule year such as 2026.")
    scope = terms.get("mppr_scope") or None
    if scope is not None and scope not in [s.value for s in MpprScope]:
        raise TermRefused(
            "mppr_scope", f"mppr_scope is one of {', '.join(s.value for s in MpprScope)}."
        )
    mppr = None
    if scope is not None:
        mppr = MpprTerms(
            MpprScope(scope),
            paid_pc=_percent(terms, "mppr_pc_pct"),
            paid_tc=_percent(terms, "mppr_tc_pct"),
            paid_global=_percent(terms, "mppr_global_pct"),
            paid_cardiovascular_tc=_percent(terms, "mppr_cardio_tc_pct"),
        )
    locality = None
    if terms.get("locality"):
        match = _LOCALITY.fullmatch(str(terms["locality"]))
        if match is None:
            raise TermRefused("locality", 'locality is written like "06102-16".')
        locality = Locality(match[1], match[2])
    return Terms(
        percent=_percent(terms, "percent"),
        year=year,
        mppr=mppr,
        bilateral=_percent(terms, "bilateral_pct"),
        locality=locality,
        **{name: terms.get(name, default) for name, default in FLAGS.items()},
    )
