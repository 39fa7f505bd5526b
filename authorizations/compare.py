"""What was asked for beside what the payer granted, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from authorizations.models import AuthorizedService
from intake.models import OrderedExam

WORDS: Mapping[str, str] = {
    "requested": "Not decided yet",
    "approved": "Approved",
    "denied": "Not approved",
    "modified": "Granted instead",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """One line asked for with what came of it, or a line the payer added of its own."""

    asked_code: str
    asked_side: str
    asked_units: int
    granted_code: str
    granted_side: str
    granted_units: int
    used: int
    exam: OrderedExam | None
    words: str
    reason: str

    @property
    def differs(self) -> bool:
        asked = (self.asked_code, self.asked_side, self.asked_units)
        given = (self.granted_code, self.granted_side, self.granted_units)
        return self.words != WORDS["requested"] and asked != given

    @property
    def used_up(self) -> bool:
        return bool(self.granted_units) and self.used >= self.granted_units


def compared(lines: Sequence[AuthorizedService]) -> list[Compared]:
    """Lines of one record in the order asked; a line that replaces another stands in its row."""
    instead = {s.replaces_id: s for s in lines if s.replaces_id}
    return [_row(s, instead.get(s.pk)) for s in lines if not s.replaces_id]


def _row(line: AuthorizedService, instead: AuthorizedService | None) -> Compared:
    given = instead or line
    granted = given.status in ("approved", "modified")
    own = line.status != "modified"
    return Compared(
        asked_code=line.code if own else "",
        asked_side=(line.asked_laterality or line.laterality) if own else "",
        asked_units=(line.asked_units or line.units) if own else 0,
        granted_code=given.code if granted else "",
        granted_side=given.laterality if granted else "",
        granted_units=given.units if granted else 0,
        used=given.used,
        exam=line.ordered_exam,
        words=WORDS["modified"] if instead else WORDS.get(line.status, line.status.capitalize()),
        reason=line.reason or given.reason,
    )
