"""Charge review: suggestion, evidence, accept or change."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET

from charges import present
from charges.filters import ExamFilter
from charges.queues import AT_READER, TO_CODE, for_review
from charges.views.common import (
    EXAM,
    EXPECTED,
    LIMIT,
    ORDERS,
    PATIENT,
    PAYER,
    THREAD,
    exams_of,
    first_hold,
)
from intake import present as front
from rcm.web.access import actor_of, may
from rcm.web.lists import Column, ListPage, Tab, panel_html

REVIEWS = ListPage(
    name="charge-review",
    title="Charge review",
    noun=("exam", "exams"),
    columns=(
        PATIENT,
        EXAM,
        Column(
            "suggested",
            "Suggested",
            present.accept_words,
            kind="code",
            second=lambda e: e.suggestion.get("why", "")[:60],
        ),
        PAYER,
        Column("why", "Why it stopped", first_hold),
        EXPECTED,
        LIMIT,
    ),
    orders=ORDERS,
    tabs=(
        Tab("coder", "To code", TO_CODE),
        Tab("reader", "At the reader", AT_READER),
        Tab("all", "Both"),
    ),
    filterset=ExamFilter,
    panel=lambda request, pk: review_panel(request, pk),
    row_label=lambda e: f"exam {e.accession}",
    amount="expected",
    empty="Every charge is coded.",
)


@require_GET
@may("charge.view")
def review(request: HttpRequest) -> HttpResponseBase:
    """Exams a coder must look at: suggestion, evidence, accept or change in one key."""
    return REVIEWS.respond(request, for_review(actor_of(request)).select_related(*THREAD))


def review_panel(request: HttpRequest, pk: str) -> str | None:
    exam = exams_of(request).filter(pk=pk).first() if pk.isdecimal() else None
    if exam is None:
        return None
    front.chart_read(request, [exam.patient], "charge review")
    actor = actor_of(request)
    report = exam.reports.order_by("-version").first() if actor.can("report.view", exam) else None
    return panel_html(
        request,
        "charges/review_panel.html",
        {
            "exam": exam,
            "accept": present.accept_words(exam),
            "evidence": present.evidence(exam),
            "holds": exam.holds,
            "report": present.report_parts(report, exam.findings) if report else [],
            "charges": list(exam.charges.exclude(status="void").order_by("id")),
            "may_review": actor.can("charge.review", exam),
        },
    )
