"""The pure rules of financial assistance: household and income against the poverty guideline, the
scale of discounts (rule `financial-assistance`).
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from pathlib import Path

FILE = Path(__file__).parent / "data" / "poverty.csv"
CENT = Decimal("0.01")
OWN = frozenset({"AK", "HI"})  # states with a guideline of their own; the others share one


@dataclass(frozen=True, slots=True)
class Guideline:
    """Dollars a year for a household, and since when they stand."""

    amount: Decimal
    since: date


@dataclass(frozen=True, slots=True)
class Band:
    up_to_percent: int
    discount: Decimal


@lru_cache(maxsize=1)
def _rows() -> tuple[tuple[date, str, Decimal, Decimal], ...]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            (
                date.fromisoformat(r["effective_from"]),
                r["region"],
                Decimal(r["first"]),
                Decimal(r["each_more"]),
            )
            for r in csv.DictReader(file)
        )


def guideline(household_size: int, state: str, on: date) -> Guideline | None:
    """The newest guideline on a day; None for a day before the first."""
    region = state if state in OWN else "48"
    known = [r for r in _rows() if r[1] == region and r[0] <= on]
    if not known:
        return None
    since, _, first, more = max(known)
    return Guideline(first + more * (household_size - 1), since)


def percent_of(income: Decimal, line: Guideline) -> Decimal:
    return (income * 100 / line.amount).quantize(CENT, ROUND_HALF_UP)


def discount_for(percent: Decimal, bands: Sequence[Band]) -> Decimal:
    """The discount of the first band that reaches so far; zero beyond the last."""
    fitting = [
        b for b in sorted(bands, key=lambda b: b.up_to_percent) if percent <= b.up_to_percent
    ]
    return fitting[0].discount if fitting else Decimal(0)


def words_of(discount: Decimal | None) -> str:
    """A discount as people write it, such as 50%."""
    return f"{(discount or Decimal(0)).normalize():f}%"


def part_of(balance: Decimal, discount: Decimal) -> Decimal:
    """What a discount takes off a balance."""
    return (balance * discount / 100).quantize(CENT, ROUND_HALF_UP)


def fault_of(bands: Sequence[Band]) -> str:
    """What is wrong with a scale, in a sentence; empty when it is right: who earns more never gets
    more.
    """
    if not bands:
        return "Enter at least one band."
    ordered = sorted(bands, key=lambda b: b.up_to_percent)
    if len({b.up_to_percent for b in ordered}) != len(ordered):
        return "Two bands end at the same percent."
    if any(not 0 < b.discount <= 100 or b.up_to_percent <= 0 for b in ordered):
        return "A band ends above zero and its discount is above 0 and at most 100 percent."
    if any(b.discount > a.discount for a, b in itertools.pairwise(ordered)):
        return "A higher income may not get a higher discount."
    return ""
