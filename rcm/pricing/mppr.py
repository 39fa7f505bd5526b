"""Multiple-procedure reductions: who ranks with whom, and who keeps 100 percent (rule
`mppr-technical`).

Readings and technical parts rank apart, each by its own fee. In a pool the highest fee keeps one
unit at 100 %; every other unit is paid at the pool's percentage. Ties keep the first line whole, so
the total never depends on order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .facts import BilledLine
from .forms import DISTINCT_ENCOUNTER

IMAGING, CARDIOVASCULAR, OPHTHALMIC, SURGICAL = "4", "6", "7", "2"
RULE_WORDS = {
    IMAGING: "multiple procedure",
    CARDIOVASCULAR: "multiple cardiovascular procedure",
    OPHTHALMIC: "multiple ophthalmic procedure",
    SURGICAL: "multiple surgery",
}
_ORDINALS = (
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line's part in a pool: its unit fee and how many units of it there are."""

    index: int
    amount: Decimal
    units: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands in its pool: its rank, and how many of its units stay whole (0 or 1)."""

    rank: int
    whole_units: int


def places(entries: Sequence[Entry]) -> dict[int, Place]:
    """Rank a pool by fee. Empty when there is nothing to reduce (a single unit in the pool)."""
    if sum(entry.units for entry in entries) < 2:
        return {}
    ranked = sorted(entries, key=lambda entry: (-entry.amount, entry.index))
    return {e.index: Place(rank, 1 if rank == 1 else 0) for rank, e in enumerate(ranked, start=1)}


def ordinal(rank: int) -> str:
    """Rank in words, for derivations."""
    return _ORDINALS[rank - 1] if rank <= len(_ORDINALS) else f"number {rank}"


def session_keys(lines: Iterable[BilledLine]) -> list[str]:
    """The session each line counts in, as the payer can see it.

    Lines of one day count together unless 59 or XE says otherwise, whatever the arrival record
    says: a payer sees only modifiers. A line that carries one but belongs to the same arrival still
    counts there (59 never escapes the reduction in its own session).
    """
    all_lines = list(lines)
    unmarked = [
        line.session for line in all_lines if not DISTINCT_ENCOUNTER.intersection(line.modifiers)
    ]
    home = min(unmarked) if unmarked else ""
    keys = []
    for line in all_lines:
        if not DISTINCT_ENCOUNTER.intersection(line.modifiers):
            keys.append("")
        elif not line.session:
            keys.append("another session")
        else:
            keys.append("" if unmarked and line.session == home else line.session)
    return keys


def unmarked_sessions(lines: Iterable[BilledLine]) -> set[str]:
    """Sessions that differ on record but carry no 59 or XE: the payer will reduce them as one."""
    names = {
        line.session
        for line in lines
        if line.session and not DISTINCT_ENCOUNTER.intersection(line.modifiers)
    }
    return names if len(names) > 1 else set()
