"""What the coverage lists say about ordered exams, and which of them have a signed notice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from intake.models import AdvanceNotice, OrderedExam
from intake.necessity import Doubt, doubt_of
from rcm.reference.facts import coverage_lists


def exam_doubts(exams: Sequence[OrderedExam], *, on: date) -> dict[int, Doubt]:
    """What stands against each ordered exam on a day, by exam id. One query; `order` is read."""
    lists = coverage_lists({e.code for e in exams}, on, on)
    found = {}
    for exam in exams:
        rows = [row for period in lists.get(exam.code, ()) for row in period[2]]
        doubt = doubt_of(exam.code, exam.order.diagnoses, rows)
        if doubt is not None:
            found[exam.pk] = doubt
    return found


def signed_exams(ordered_exam_ids: Iterable[int]) -> set[int]:
    """The ordered exams that have a signed notice. One query."""
    rows = AdvanceNotice.objects.filter(
        ordered_exam_id__in=list(ordered_exam_ids), signed_at__isnull=False
    )
    return set(rows.values_list("ordered_exam_id", flat=True))
