"""Drawing a sample that anybody can draw again: strata, their shares, and the order that a seed
gives.

A case's place is the SHA-256 of the seed and the exam's public id. Who knows the seed and the list
can check the sample; who is audited can choose nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

BANDS = ((Decimal(100), "under $100"), (Decimal(500), "$100 to $500"))
TOP_BAND = "over $500"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One exam that may be drawn."""

    exam_id: int
    public_id: str
    coder_id: int | None
    modality: str
    site_id: int
    value: Decimal

    @property
    def stratum(self) -> tuple[int, str, int, str]:
        """Coder (0 is the machine), modality, site, value band."""
        return (self.coder_id or 0, self.modality, self.site_id, band(self.value))


def band(value: Decimal) -> str:
    """The value band of an amount."""
    return next((words for limit, words in BANDS if value < limit), TOP_BAND)


def place(seed: str, public_id: str) -> str:
    """Where a case stands in the order of a seed."""
    return hashlib.sha256(f"{seed}:{public_id}".encode()).hexdigest()


def allocate(
    sizes: Mapping[tuple[int, str, int, str], int], wanted: int
) -> dict[tuple[int, str, int, str], int]:
    """How many of each stratum: in proportion by largest remainders, at least one of each while
    there are enough, never more than it holds.
    """
    whole = sum(sizes.values())
    wanted = min(wanted, whole)
    if not wanted:
        return dict.fromkeys(sizes, 0)
    exact = {s: Decimal(wanted) * n / whole for s, n in sizes.items()}
    least = 1 if wanted >= len(sizes) else 0
    given = {s: min(sizes[s], max(int(e), least)) for s, e in exact.items()}
    order = sorted(sizes, key=lambda s: (-(exact[s] - int(exact[s])), s))
    while sum(given.values()) < wanted:
        free = [s for s in order if given[s] < sizes[s]]
        for stratum in free[: wanted - sum(given.values())]:
            given[stratum] += 1
    while sum(given.values()) > wanted:
        spare = [s for s in sizes if given[s] > least]
        largest = max(spare, key=lambda s: (given[s] - exact[s], given[s], s))
        given[largest] -= 1
    return given


def draw(candidates: Iterable[Candidate], *, seed: str, wanted: int) -> list[Candidate]:
    """The sample: of each stratum its share, the first in the order of the seed."""
    strata: dict[tuple[int, str, int, str], list[Candidate]] = {}
    for candidate in candidates:
        strata.setdefault(candidate.stratum, []).append(candidate)
    given = allocate({s: len(rows) for s, rows in strata.items()}, wanted)
    chosen: list[Candidate] = []
    for stratum, rows in strata.items():
        rows.sort(key=lambda c: place(seed, c.public_id))
        chosen += rows[: given[stratum]]
    return sorted(chosen, key=lambda c: place(seed, c.public_id))
