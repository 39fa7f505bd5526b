"""Whether a code may carry the modifiers it came with: one answer for every door by which a line
comes in (a person's screen, a charge message, a file, a partner's call).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from charges.components import modifier_findings
from intake.necessity import claims_signature, unproven
from intake.services import notice_states
from rcm.accounts.problems import Refused
from rcm.pricing.db_tables import indicators_of
from rcm.pricing.forms import Finding, Severity
from rcm.reference.facts import modifiers as known_modifiers

UNKNOWN = "MODIFIER_UNKNOWN"
CodedLine = tuple[str, tuple[str, ...]]
"""A code and its modifiers as they came."""


def line_problem(code: str, modifiers: Sequence[str], on: dt.date) -> Finding | None:
    """What forbids these modifiers, or this component, on the code; None when nothing does.

    A code whose indicators are not known is not judged here: evaluation holds it.
    """
    strange = next((m for m in modifiers if m not in known_modifiers()), None)
    if strange is not None:
        return Finding(
            UNKNOWN,
            Severity.BLOCK,
            f"{strange} on {code} is not a modifier.",
            "modifiers",
            "Correct the modifier, or remove it.",
        )
    kind = indicators_of(code, on)
    if kind is None:
        return None
    found = modifier_findings(
        code, modifiers, pctc=kind.pctc, bilateral=kind.bilateral, medicare=False
    )
    return next((f for f in found if f.severity is Severity.BLOCK), None)


def lines_require(lines: Iterable[CodedLine], on: dt.date) -> None:
    """Raise Refused with the finding's own id and sentence at the first line that may not be."""
    coded = [line for line in lines if line[1]]
    for code, modifiers in dict.fromkeys(coded):
        problem = line_problem(code, modifiers, on)
        if problem is not None:
            raise Refused(problem.sentence, code=problem.code, field=problem.field, fix=problem.fix)


@dataclass(frozen=True, slots=True)
class OfExam:
    """Lines that came for one ordered exam, and when it began (None: not known)."""

    ordered_exam_id: int
    performed_at: dt.datetime | None
    lines: Sequence[CodedLine]


def notices_require(asked: Iterable[OfExam]) -> None:
    """Raise Refused, as the claim edit would say it, at the first line whose GA or GX no notice
    signed before the exam bears out (rule `advance-notice`). One query.
    """
    signed = [a for a in asked if any(claims_signature(modifiers) for _, modifiers in a.lines)]
    if not signed:
        return
    states = notice_states({a.ordered_exam_id: a.performed_at for a in signed})
    for exam in signed:
        notice = states.get(exam.ordered_exam_id)
        state = notice.state if notice is not None else ""
        for code, modifiers in exam.lines:
            for found in unproven(code, modifiers, state):
                raise Refused(found.sentence, code=found.edit, field="modifiers", fix=found.fix)
