"""Lists of exams, and the reports that are not signed yet."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET

from charges.filters import ExamFilter
from charges.loading import Policies
from charges.models import (
    Exam,
    ExamStatus,
)
from charges.services.clocks import WAITING
from charges.views.common import (
    EXAM,
    EXPECTED,
    LIMIT,
    ORDERS,
    PATIENT,
    PAYER,
    STATUS,
    exam_link,
    exams_of,
    first_hold,
)
from rcm.accounts.clock import office_day
from rcm.web import charts
from rcm.web import format as fmt
from rcm.web.access import actor_of, may
from rcm.web.lists import Column, ListPage, Order, Tab

EXAMS = ListPage(
    name="exams",
    title="Exams",
    noun=("exam", "exams"),
    columns=(
        PATIENT,
        EXAM,
        Column(
            "day",
            "Performed",
            "service_date",
            kind="day",
            width="date",
            second="modality",
            order="day",
        ),
        PAYER,
        STATUS,
        EXPECTED,
        Column("why", "Stopped by", first_hold),
        LIMIT,
    ),
    orders=(ORDERS[1], ORDERS[0], ORDERS[2]),
    tabs=(
        Tab(
            "open",
            "Not released",
            Q(status__in=[*WAITING, ExamStatus.FINAL, ExamStatus.CODED, ExamStatus.DISCONTINUED]),
            order="deadline",
        ),
        Tab(
            "held",
            "Read and held",
            Q(status__in=[ExamStatus.FINAL, ExamStatus.CODED]),
            order="deadline",
        ),
        Tab("released", "Released", Q(status=ExamStatus.RELEASED)),
        Tab("no_bill", "No bill", Q(status=ExamStatus.NO_BILL)),
        Tab("all", "All"),
    ),
    filterset=ExamFilter,
    detail=exam_link,
    row_label=lambda e: f"exam {e.accession}",
    amount="expected",
    empty="Every performed exam is released or explained.",
)


@require_GET
@may("exam.view")
def exams(request: HttpRequest) -> HttpResponseBase:
    return EXAMS.respond(request, exams_of(request))


def _age(exam: Exam) -> str:
    hours = int((timezone.now() - exam.performed_at).total_seconds() // 3600)
    return f"{hours} h" if hours < 72 else f"{hours // 24} d"


def _level(exam: Exam, policies: Policies | None = None) -> tuple[str, str]:
    """Which clock of the missing report has run out (rule `unsigned-clock`)."""
    policy = (policies or Policies([exam.organization_id])).of(exam.site, exam.service_date)
    hours = (timezone.now() - exam.performed_at).total_seconds() / 3600
    if hours >= policy.director_hours:
        return "Director", "bad"
    if hours >= policy.escalate_hours:
        return "Escalate", "bad"
    return ("Late", "warn") if hours >= policy.warn_hours else ("In time", "")


def _unsigned_list(policies: Policies) -> ListPage:
    return ListPage(
        name="unsigned-reports",
        title="Unsigned reports",
        noun=("exam", "exams"),
        template="charges/unsigned.html",
        columns=(
            PATIENT,
            EXAM,
            Column(
                "reader",
                "Reader",
                lambda e: str(e.reader.provider) if e.reader else "not named yet",
                second=lambda e: e.get_status_display(),
            ),
            PAYER,
            Column(
                "age",
                "Age",
                _age,
                width="date",
                second=lambda e: fmt.short_day(e.service_date),
                order="age",
            ),
            Column("level", "Clock", lambda e: _level(e, policies), kind="tag", width="tag"),
            EXPECTED,
            LIMIT,
        ),
        orders=(ORDERS[0], Order("age", "oldest first", ("performed_at", "pk")), ORDERS[2]),
        filterset=ExamFilter,
        detail=exam_link,
        row_label=lambda e: f"exam {e.accession}",
        amount="expected",
        summary=_unsigned_line,
        empty="Every exam is signed.",
    )


def _unsigned_line(request: HttpRequest, rows: QuerySet[Exam]) -> str:
    total = rows.order_by().aggregate(n=Count("pk"), dollars=Sum("expected"))
    near = rows.filter(filing_deadline__lte=office_day() + dt.timedelta(days=15)).count()
    words = (
        f"{fmt.plural(total['n'], 'exam')} without a final report,"
        f" {fmt.money(total['dollars'] or 0, cents=False)} expected"
    )
    return words + (f", {near} within 15 days of the filing limit." if near else ".")


@require_GET
@may("exam.view")
def unsigned(request: HttpRequest) -> HttpResponseBase:
    """Completed exams without a final report by radiologist and payer, in dollars and days left."""
    rows = exams_of(request).filter(status__in=WAITING)
    return _unsigned_list(Policies(actor_of(request).organizations)).respond(
        request, rows, chart=_unsigned_chart(rows)
    )


def _unsigned_chart(rows: QuerySet[Exam]) -> Any:
    """Expected dollars by reader, stacked by payer."""
    found = list(
        rows.order_by()
        .values("reader__provider__last_name", "coverage__payer__name")
        .annotate(dollars=Sum("expected"), n=Count("pk"))
        .order_by("-dollars")
    )
    if not found:
        return None
    readers = list(
        dict.fromkeys(r["reader__provider__last_name"] or "Not named yet" for r in found)
    )[:12]
    payers = list(dict.fromkeys(r["coverage__payer__name"] or "No coverage" for r in found))
    amounts = {
        (
            r["reader__provider__last_name"] or "Not named yet",
            r["coverage__payer__name"] or "No coverage",
        ): (r["dollars"] or Decimal(0))
        for r in found
    }
    series = [
        (payer, [amounts.get((reader, payer), Decimal(0)) for reader in readers])
        for payer in payers[:8]
    ]
    return charts.stacked(
        "Expected dollars without a signature, by reader and payer",
        readers,
        series,
        words=lambda v: fmt.money(v, cents=False),
    )
