"""Does the coverage list stand against an exam before it is done, and what does a notice make of it?

Pure (rules `coverage-list` and `advance-notice`; Medicare Claims Processing Manual, chapter 30,
section 50). A list that names neither of the diagnoses is expected to deny; no list says nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

SIGNED, LATE, VOLUNTARY, UNSIGNED = "signed", "signed_late", "voluntary", ""
NECESSITY, FREQUENCY, EXCLUDED = "necessity", "frequency", "excluded"


class ListRow(Protocol):
    """One diagnosis of a coverage list."""

    @property
    def diagnosis(self) -> str: ...

    @property
    def covered(self) -> bool: ...

    @property
    def policy(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Doubt:
    """An exam that Medicare is not expected to pay for these diagnoses."""

    code: str
    policies: str
    diagnoses: tuple[str, ...]

    @property
    def sentence(self) -> str:
        listed = ", ".join(self.diagnoses)
        where = f" ({self.policies})" if self.policies else ""
        return f"{listed} is not on Medicare's coverage list of {self.code}{where}"


def doubt_of(code: str, diagnoses: Sequence[str], rows: Collection[ListRow]) -> Doubt | None:
    """Why Medicare may not pay this exam; None when a diagnosis is listed, or no list exists, or no
    diagnosis is known yet (the order gate says so).
    """
    if not rows or not diagnoses:
        return None
    covered = {r.diagnosis for r in rows if r.covered}
    excluded = {r.diagnosis for r in rows if not r.covered}
    wanted = set(diagnoses)
    against = wanted & excluded if not covered else wanted - covered
    if wanted & covered or not against:
        return None
    names = sorted({p for r in rows for p in r.policy.split(";") if p})
    return Doubt(code, ", ".join(names[:3]), tuple(sorted(against)))


@dataclass(frozen=True, slots=True)
class NoticeState:
    """What the notices of one exam say on its claim. `state` is signed, signed_late, voluntary or
    blank; `modifiers` what may stand on the line because of it.
    """

    state: str
    modifiers: tuple[str, ...]
    signed_at: datetime | None = None


def notice_state(
    kind: str, option: str, signed_at: datetime | None, performed_at: datetime | None
) -> NoticeState:
    """GA for a notice signed before the exam, GZ for one that was not; what Medicare never covers
    is GY, with GX beside it when the voluntary notice was signed in time. With option 2 Medicare is
    not billed at all: no modifier stands.
    """
    in_time = signed_at is not None and (performed_at is None or signed_at <= performed_at)
    if kind == EXCLUDED:
        if in_time:
            return NoticeState(VOLUNTARY, ("GX", "GY"), signed_at)
        return NoticeState(UNSIGNED, ("GY",), signed_at)
    if in_time:
        return NoticeState(SIGNED, () if option == "2" else ("GA",), signed_at)
    return NoticeState(LATE if signed_at is not None else UNSIGNED, ("GZ",), signed_at)
