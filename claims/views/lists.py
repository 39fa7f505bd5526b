"""The list of claims, and what is done to many at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from django.contrib import messages
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from claims import present, services
from claims.filters import ClaimFilter
from claims.models import (
    Claim,
    ClaimStatus,
)
from claims.services.correcting import EDITABLE
from claims.services.steps import EDITS, REJECTIONS
from claims.views.common import OPEN, claims_of, kind_words
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, may
from rcm.web.keyset import Key
from rcm.web.lists import BulkAction, Column, ListPage, Order, Tab
from rcm.worklist import views as work

MOST_AT_ONCE = 500
"""Claims that one press of a button submits while the person waits; more go as a batch."""


def _summary(request: HttpRequest, rows: QuerySet[Claim]) -> str:
    found_ = rows.order_by().aggregate(
        stopped=Count("pk", filter=Q(status__in=[ClaimStatus.BLOCKED, ClaimStatus.REJECTED])),
        ready=Count("pk", filter=Q(status=ClaimStatus.READY)),
        dollars=Sum("total", filter=Q(status__in=[ClaimStatus.BLOCKED, ClaimStatus.REJECTED])),
    )
    return (
        f"{fmt.plural(found_['ready'], 'claim')} ready, {fmt.number(found_['stopped'])} stopped"
        f" with {fmt.money(found_['dollars'] or 0, cents=False)}."
    )


CLAIMS = ListPage(
    name="claims",
    title="Claims",
    noun=("claim", "claims"),
    columns=(
        Column(
            "claim",
            "Claim",
            "number",
            kind="code",
            width="id",
            link=True,
            second=lambda c: f"DOS {fmt.short_day(c.service_date)}",
        ),
        Column(
            "patient",
            "Patient",
            "patient.name",
            width="who",
            second=lambda c: f"{fmt.mdy(c.patient.born_on)} {c.patient.mrn}",
            second_kind="code",
        ),
        Column("payer", "Payer", "payer.name", width="payer", fold=True, second=kind_words),
        Column(
            "status",
            "Status",
            lambda c: (c.get_status_display(), present.TONES[c.status]),
            kind="tag",
            width="tag",
        ),
        Column("total", "Charge", "total", kind="money", width="money", order="total"),
        Column("expected", "Expected", "expected", kind="money", width="money"),
        Column("sent", "Last sent", "last_submitted_at", kind="moment", width="moment"),
        Column(
            "deadline",
            "File by",
            lambda c: c.filing_deadline if c.status in EDITABLE else None,
            kind="deadline",
            width="due",
            order="deadline",
        ),
    ),
    orders=(
        Order("newest", "newest service first", ("-service_date", "-pk")),
        Order("deadline", "filing limit", (Key("filing_deadline", nulls="last"), "pk")),
        Order("total", "charge", ("-total", "pk")),
    ),
    tabs=(
        Tab(
            "open",
            "Not sent",
            Q(
                status__in=[
                    ClaimStatus.DRAFT,
                    ClaimStatus.BLOCKED,
                    ClaimStatus.READY,
                    ClaimStatus.REJECTED,
                ]
            ),
            order="deadline",
        ),
        Tab("blocked", "Blocked", Q(status=ClaimStatus.BLOCKED), order="deadline"),
        Tab("ready", "Ready", Q(status=ClaimStatus.READY), order="deadline"),
        Tab("rejected", "Rejected", Q(status=ClaimStatus.REJECTED), order="deadline"),
        Tab("sent", "With the payer", Q(status__in=OPEN)),
        Tab("denied", "Denied", Q(status=ClaimStatus.DENIED)),
        Tab(
            "paid",
            "Paid",
            Q(status__in=[ClaimStatus.PAID, ClaimStatus.PARTIAL, ClaimStatus.CLOSED]),
        ),
        Tab("all", "All"),
    ),
    filterset=ClaimFilter,
    detail=lambda c: reverse("claims:claim", args=[c.public_id]),
    row_label=lambda c: f"claim {c.number}",
    amount="total",
    version="version",
    summary=_summary,
    empty="No claim here.",
    bulk=(
        BulkAction("Scrub", "claims:scrub_many", "claim.edit"),
        BulkAction("Submit", "claims:submit_many", "claim.submit", primary=True),
    ),
    actions=lambda request: (
        [
            parts.Action("Scrub all unsent", reverse("claims:scrub_all"), "post"),
            parts.Action("Submit ready claims", reverse("claims:submit_ready"), primary=True),
        ]
        if actor_of(request).can_somewhere("claim.submit")
        else []
    ),
)


@require_GET
@may("claim.view")
def claims(request: HttpRequest) -> HttpResponseBase:
    return CLAIMS.respond(request, claims_of(request))


def submitted(request: HttpRequest, claim_ids: Sequence[int], back: str) -> HttpResponseBase:
    result = services.claims_submit(claim_ids=claim_ids, actor=actor_of(request))
    if result.claim_ids:
        count = fmt.plural(len(result.claim_ids), "claim")
        messages.success(
            request, f"{count} submitted in {fmt.plural(len(result.submission_ids), 'file')}."
        )
    for held in result.held[:5]:
        messages.error(request, f"Claim {held.number} stayed here: {held.sentence}")
    if len(result.held) > 5:
        messages.error(request, f"{len(result.held) - 5} more stayed here.")
    return redirect(back)


def _picked(request: HttpRequest) -> list[int]:
    """Ids of the picked rows that the actor sees and that nobody has changed since the page was
    drawn.
    """
    wanted: dict[int, int | None] = {}
    for pick in request.POST.getlist("pick")[:1000]:
        pk, _, version = pick.partition(":")
        if pk.isdecimal():
            wanted[int(pk)] = int(version) if version.isdecimal() else None
    rows = dict(
        Claim.objects.visible_to(actor_of(request))
        .filter(pk__in=wanted)
        .values_list("id", "version")
    )
    moved = [
        pk
        for pk, version in wanted.items()
        if pk in rows and version is not None and rows[pk] != version
    ]
    if moved:
        messages.error(
            request,
            f"{fmt.plural(len(moved), 'claim')} changed in the meantime and stayed as they are.",
        )
    return [pk for pk in wanted if pk in rows and pk not in moved]


@require_POST
@may("claim.edit")
def scrub_many(request: HttpRequest) -> HttpResponseBase:
    ids = _picked(request)
    if ids:
        result = services.claims_scrub(claim_ids=ids, actor=actor_of(request))
        messages.success(
            request,
            f"{fmt.plural(result.ready, 'claim')} ready, {fmt.number(result.blocked)} blocked.",
        )
    return redirect("claims:claims")


@require_POST
@may("claim.submit", money=True)
def submit_many(request: HttpRequest) -> HttpResponseBase:
    """The picked claims: first what would leave, then, confirmed, the files."""
    ids = _picked(request)
    if request.POST.get("confirmed"):
        return submitted(request, ids, reverse("claims:claims"))
    return _confirm(request, ids, reverse("claims:submit_many"), [("pick", str(pk)) for pk in ids])


@require_http_methods(["GET", "POST"])
@may("claim.submit", money=True)
def submit_ready(request: HttpRequest) -> HttpResponseBase:
    """Everything that is ready, oldest limit first."""
    rows = claims_of(request).filter(status=ClaimStatus.READY).order_by("filing_deadline", "id")
    ids = list(rows.values_list("id", flat=True)[:MOST_AT_ONCE])
    if request.method == "POST":
        return submitted(request, ids, reverse("claims:batches"))
    return _confirm(request, ids, reverse("claims:submit_ready"), [])


def _confirm(
    request: HttpRequest, ids: Sequence[int], url: str, hidden: list[tuple[str, str]]
) -> HttpResponseBase:
    rows = list(
        Claim.objects.visible_to(actor_of(request)).filter(pk__in=ids).select_related("payer")
    )
    by_payer: dict[str, list[Claim]] = defaultdict(list)
    for row in rows:
        by_payer[row.payer.name].append(row)
    changes = [
        parts.Change(
            name,
            "",
            f"{fmt.plural(len(group), 'claim')},"
            f" {fmt.money(sum((c.total for c in group), Decimal(0)))}",
        )
        for name, group in sorted(by_payer.items())
    ]
    stopped = [r for r in rows if r.status != ClaimStatus.READY]
    return render(
        request,
        "components/confirm.html",
        {
            "title": f"Submit {fmt.plural(len(rows), 'claim')}",
            "text": (
                f"{fmt.plural(len(stopped), 'claim')} of these is not ready and stays here."
                if stopped
                else "Each file passes the guide check before it leaves."
            ),
            "changes": changes,
            "what": "Payer",
            "before": "",
            "after": "Leaves",
            "verb": "Submit",
            "back_url": reverse("claims:claims"),
            "action_url": url,
            "hidden": [*hidden, ("confirmed", "1")],
            "disabled_reason": "" if len(rows) > len(stopped) else "No claim is ready.",
        },
    )


@require_GET
@may("claim.view")
def edits_queue(request: HttpRequest) -> HttpResponseBase:
    """The queue of blocked claims, for the rail and its key."""
    return work.queue(request, EDITS)


@require_GET
@may("claim.view")
def rejections(request: HttpRequest) -> HttpResponseBase:
    """The queue of rejections, for the rail and its key."""
    return work.queue(request, REJECTIONS)
