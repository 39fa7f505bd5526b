"""Does the coverage list stand against an exam before it is done, and what does a notice make of it?

Pure (rules `coverage-list` and `advance-notice`; Medicare Claims Processing Manual, chapter 30,
section 50). A list that names neither of the diagnoses is expected to deny; no list says nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
    kind: str = ""

    @property
    def unbilled(self) -> bool:
        """Whether the patient chose the exam and no bill to Medicare (option 2)."""
        return self.state == SIGNED and not self.modifiers


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
            return NoticeState(VOLUNTARY, ("GX", "GY"), signed_at, kind)
        return NoticeState(UNSIGNED, ("GY",), signed_at, kind)
    if in_time:
        return NoticeState(SIGNED, () if option == "2" else ("GA",), signed_at, kind)
    return NoticeState(LATE if signed_at is not None else UNSIGNED, ("GZ",), signed_at, kind)


@dataclass(frozen=True, slots=True)
class Unproven:
    """A modifier that says a notice was signed, and none was: the edit's id and its sentence."""

    edit: str
    sentence: str
    fix: str


_PROOF = {
    "GA": ("NEC-004", "an advance notice", SIGNED, "Sign the notice before the exam, or use GZ."),
    "GX": ("NEC-010", "a voluntary notice", VOLUNTARY, "Sign it before the exam, or take GX off."),
}
"""Modifiers that stand for a signature: the edit, the notice they need, its state, what to do."""


def claims_signature(modifiers: Iterable[str]) -> bool:
    """Whether one of these modifiers says that a notice was signed."""
    return not _PROOF.keys().isdisjoint(modifiers)


def unproven(code: str, modifiers: Iterable[str], state: str) -> list[Unproven]:
    """The modifiers that the exam's notice does not bear out: one answer for every door by which
    they come.
    """
    found = []
    for modifier in modifiers:
        edit, notice, needed, fix = _PROOF.get(modifier, ("", "", state, ""))
        if state == needed:
            continue
        where = "it was signed after the exam" if state == LATE else "none is on file"
        sentence = f"{modifier} on {code} needs {notice} signed before the exam, and {where}."
        found.append(Unproven(edit, sentence, fix))
    return found
