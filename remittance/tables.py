"""The phase's own small tables: shipped as CSV with their source, read once per process. Absent is
"hold for review", never "allowed".
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "data"


def _rows(name: str) -> Iterator[Mapping[str, str]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


@dataclass(frozen=True, slots=True)
class Policy:
    """How an organization posts on a day."""

    auto_post: bool
    variance_dollars: Decimal
    variance_percent: Decimal
    review_days: int


@dataclass(frozen=True, slots=True)
class Level:
    """One level of appeal: its name, window in days from the decision, days of presumed receipt,
    days in which an answer is expected, and least amount in dispute."""

    level: int
    name: str
    days: int
    receipt_days: int
    decision_days: int
    minimum: Decimal | None


@dataclass(frozen=True, slots=True)
class Odds:
    """Seed of the chance of recovery, effort from 1 to 3, and the usual first verb."""

    odds: Decimal
    effort: Decimal
    action: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """A step that may have let a kind of denial through; with `key`, only where that fact of it
    begins with one of `begins`.
    """

    verb: str
    stage: str
    words: str
    key: str = ""
    begins: tuple[str, ...] = ()

    def fits(self, data: Mapping[str, Any]) -> bool:
        return not self.key or str(data.get(self.key, "")).startswith(self.begins)


@lru_cache
def default_policies() -> tuple[tuple[date, date | None, Policy], ...]:
    return tuple(
        (
            date.fromisoformat(r["effective_from"]),
            _day(r["effective_to"]),
            Policy(
                r["auto_post"] == "Y",
                Decimal(r["variance_dollars"]),
                Decimal(r["variance_percent"]),
                int(r["review_days"]),
            ),
        )
        for r in _rows("policy")
    )


def default_policy(on: date) -> Policy:
    """The shipped policy of a day. Raises LookupError when none is in force."""
    for first, last, policy in default_policies():
        if first <= on and (last is None or on <= last):
            return policy
    raise LookupError(f"no remittance policy for {on.isoformat()}")


@lru_cache
def treatments() -> Mapping[str, str]:
    """Reason codes that are not treated as their class says."""
    return {r["reason"]: r["treatment"] for r in _rows("treatments")}


@lru_cache
def remark_led() -> frozenset[str]:
    """Reason codes whose category the remark decides."""
    return frozenset(r["reason"] for r in _rows("remark_led"))


@lru_cache
def never_patient_remarks() -> frozenset[str]:
    return frozenset(r["remark"] for r in _rows("never_patient_remarks"))


@lru_cache
def provider_reasons() -> Mapping[str, str]:
    """Reasons of provider-level amounts (PLB) in words of our own."""
    return {r["reason"]: r["words"] for r in _rows("provider_reasons")}


@lru_cache
def forwarding_remarks() -> frozenset[str]:
    """Remarks by which a payer says that it sent the claim on to the next one."""
    return frozenset(r["remark"] for r in _rows("forwarding_remarks"))


@lru_cache
def hold_harmless() -> frozenset[str]:
    """Categories that never become a patient balance."""
    return frozenset(r["category"] for r in _rows("hold_harmless"))


@lru_cache
def patient_denials() -> frozenset[tuple[str, str]]:
    """(category, modifier) of denials with group PR that are the patient's; an empty modifier means
    any line.
    """
    return frozenset((r["category"], r["modifier"]) for r in _rows("patient_denials"))


def appeal_level(kind: str, level: int, on: date) -> Level | None:
    """The level of appeal for a kind of payer on a day; the general row where the kind has none;
    None past the last level.
    """
    for wanted in (kind, ""):
        for own, first, last, row in _levels():
            if (
                own == wanted
                and row.level == level
                and first <= on
                and (last is None or on <= last)
            ):
                return row
        if wanted and any(own == wanted for own, *_ in _levels()):
            return None
    return None


@lru_cache
def _levels() -> tuple[tuple[str, date, date | None, Level], ...]:
    return tuple(
        (
            r["kind"],
            date.fromisoformat(r["effective_from"]),
            _day(r["effective_to"]),
            Level(
                int(r["level"]),
                r["name"],
                int(r["days"]),
                int(r["receipt_days"]),
                int(r["decision_days"]),
                Decimal(r["minimum"]) if r["minimum"] else None,
            ),
        )
        for r in _rows("appeal_levels")
    )


def odds(category: str) -> Odds:
    """Seeded odds of a category; the general row for one that has none."""
    book = _odds()
    return book.get(category) or book[""]


@lru_cache
def _odds() -> Mapping[str, Odds]:
    return {
        r["category"]: Odds(Decimal(r["odds"]), Decimal(r["effort"]), r["action"])
        for r in _rows("odds")
    }


def upstream(category: str) -> tuple[Upstream, ...]:
    """Which steps may have let a category through, the most telling first; those of any category
    stand last.
    """
    book = _upstream()
    return book.get(category, ()) + book[""]


@lru_cache
def _upstream() -> Mapping[str, tuple[Upstream, ...]]:
    found: dict[str, list[Upstream]] = {}
    for r in _rows("upstream"):
        key, _, values = r["where"].partition("=")
        found.setdefault(r["category"], []).append(
            Upstream(r["verb"], r["stage"], r["words"], key, tuple(values.split()))
        )
    return {category: tuple(rows) for category, rows in found.items()}
