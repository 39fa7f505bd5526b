"""Evidence of a record for screens: required or not and who says so, what is ordered beside what is
authorized.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from authorizations.loading import ExamAsk, Matched, match_exams
from authorizations.models import Authorization
from intake.models import OrderedExam
from rcm.reference.clock import day_at


def matches_of(row: Authorization) -> list[Matched]:
    """Each ordered exam of the record's visit (or of its lines) as the match sees it now."""
    lines = [s.ordered_exam_id for s in row.services.all() if s.ordered_exam_id]
    rows = OrderedExam.objects.select_related("order__ordering").order_by("id")
    exams = list(
        rows.filter(appointment_id=row.appointment_id)
        if row.appointment_id
        else rows.filter(pk__in=lines)
    )
    day = day_at(row.site, row.appointment.starts_at if row.appointment else None)
    asks = [
        ExamAsk(str(e.pk), e, e.patient_id, row.site, day, row.coverage, laterality=e.laterality)
        for e in exams
    ]
    return list(match_exams(asks, at=timezone.now()).values())


def panel_rows(row: Authorization) -> list[dict[str, Any]]:
    """Rows of the evidence grid: order and authorization of each exam, the cell that differs
    marked.
    """
    found: list[dict[str, Any]] = []
    for m in matches_of(row):
        first = m.result.first
        exam = m.ask.ordered
        if exam is None:
            continue
        service = m.result.service
        found.append(
            {
                "cell": "Order",
                "code": exam.code,
                "text": exam.description,
                "more": exam.laterality or f"{m.ask.day:%b %-d}",
                "differs": False,
            }
        )
        auth = m.authorization
        found.append(
            {
                "cell": "Authorization",
                "code": service.code if service else (auth.number if auth else ""),
                "text": first.sentence if first else m.result.sentence,
                "more": f"{auth.number or auth.get_status_display()}" if auth else "none on file",
                "differs": first is not None and first.cell.row.value == "authorization",
            }
        )
    return found
