"""Files of claims and their control proof."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from claims import services
from claims.filters import SubmissionFilter
from claims.models import (
    Acknowledgement,
    Submission,
    SubmissionClaim,
)
from intake import present as front
from rcm.accounts.clock import office_day
from rcm.exchange.models import Interchange
from rcm.web import format as fmt
from rcm.web import keyset, parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab

DAYS_BACK = timedelta(days=30)
FILE_TONES = {"built": "", "sent": "info", "accepted": "good", "rejected": "bad", "failed": "bad"}


def _file_columns() -> tuple[Column, ...]:
    return (
        Column(
            "file", "File", "number", kind="code", width="id", link=True, second=lambda s: s.form
        ),
        Column(
            "built",
            "Built",
            "built_at",
            kind="moment",
            width="moment",
            second=lambda s: f"sent {fmt.moment(s.sent_at)}" if s.sent_at else "not sent",
        ),
        Column(
            "status",
            "Status",
            lambda s: (s.get_status_display(), FILE_TONES[s.status]),
            kind="tag",
            width="tag",
        ),
        Column("out", "Out", "out", kind="number", width="num"),
        Column("accepted", "Accepted", "accepted_count", kind="number", width="num"),
        Column("rejected", "Rejected", "rejected_count", kind="number", width="num"),
        Column(
            "missing",
            "Missing",
            lambda s: (f"{s.missing_count} missing", "bad") if s.missing_count else None,
            kind="tag",
            width="tag",
        ),
        Column("total", "Charges", "total", kind="money", width="money"),
    )


BATCHES = ListPage(
    name="batches",
    title="Batches",
    noun=("file", "files"),
    template="claims/batches.html",
    columns=_file_columns(),
    orders=(Order("newest", "newest first", ("-pk",)),),
    tabs=(
        Tab("all", "All"),
        Tab("waiting", "Waiting", Q(waiting_count__gt=0)),
        Tab("missing", "Missing", Q(missing_count__gt=0)),
        Tab("rejected", "With rejections", Q(rejected_count__gt=0)),
    ),
    tab_counts=False,
    filterset=SubmissionFilter,
    detail=lambda s: reverse("claims:submission", args=[s.public_id]),
    row_label=lambda s: f"file {s.number}",
    empty="No file has been built.",
)


def _counted(rows: QuerySet[Submission]) -> QuerySet[Submission]:
    """Files with the states of their claims."""
    return rows.annotate(
        out=Count("claims"),
        accepted_count=Count("claims", filter=Q(claims__state="accepted")),
        rejected_count=Count("claims", filter=Q(claims__state="rejected")),
        missing_count=Count("claims", filter=Q(claims__state="missing")),
        waiting_count=Count("claims", filter=Q(claims__state="waiting")),
    )


@require_GET
@may("claim.view")
def batches(request: HttpRequest) -> HttpResponseBase:
    """Files with the control proof of each and of each day: out = accepted + rejected + missing +
    waiting.
    """
    rows = Submission.objects.visible_to(actor_of(request))
    return BATCHES.respond(request, _counted(rows), days=_days(rows))


def _days(rows: QuerySet[Submission]) -> list[dict[str, Any]]:
    """The proof of the last fourteen days on which files were built."""
    claims_ = SubmissionClaim.objects.filter(
        submission__in=rows, submission__built_at__gte=timezone.now() - DAYS_BACK
    )
    by_day: dict[Any, dict[str, Any]] = {}
    for built_at, state, n in (
        claims_.values_list("submission__built_at", "state")
        .annotate(n=Count("id"))
        .order_by("-submission__built_at")
    ):
        day = office_day(built_at)
        entry = by_day.setdefault(
            day, {"day": day, "out": 0, "accepted": 0, "rejected": 0, "missing": 0, "waiting": 0}
        )
        entry["out"] += n
        entry[state] += n
    return list(by_day.values())[:14]


@require_GET
@may("claim.view")
def submission(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One file: its proof, what was answered, its claims, the raw file."""
    actor = actor_of(request)
    row = found(
        Submission.objects.visible_to(actor)
        .select_related("interchange__connection")
        .defer("interchange__content"),
        public_id=public_id,
    )
    proof = services.proofs([row.pk]).get(row.pk)
    inside = SubmissionClaim.objects.filter(submission=row).select_related(
        "claim__patient", "claim__payer"
    )
    state = request.GET.get("state", "")
    if state in ("waiting", "accepted", "rejected", "missing"):
        inside = inside.filter(state=state)
    page = keyset.page(inside, ("pk",), cursor=request.GET.get("cursor", ""))
    front.chart_read(request, [s.claim.patient for s in page.rows], "claim file")
    answers = Interchange.objects.visible_to(actor).filter(
        pk__in=Acknowledgement.objects.filter(submission=row).values("interchange_id")
    )
    return render(
        request,
        "claims/submission.html",
        {
            "submission": row,
            "tone": FILE_TONES[row.status],
            "proof": proof,
            "page": page,
            "state": state,
            "said": list(
                Acknowledgement.objects.filter(submission=row, claim__isnull=True).order_by("-id")[
                    :30
                ]
            ),
            "answers": list(answers.defer("content").order_by("id")),
            "may_raw": actor.can("exchange.view", row),
            "crumbs": [parts.Crumb("Batches", reverse("claims:batches"))],
        },
    )
