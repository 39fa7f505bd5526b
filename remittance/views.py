"""Screens of posting, denials, appeals, underpayments, unapplied cash and the bank."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Min, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from claims.models import Claim
from intake import present as front
from rcm.accounts.actor import Actor
from rcm.accounts.middleware import own_transactions
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.exchange.models import InterchangeStatus
from rcm.exchange.services import process
from rcm.jobs.models import JobStatus
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import found, may
from rcm.web.keyset import Key
from rcm.web.lists import BulkAction, Column, ListPage, Order, Tab
from remittance import forms, present, services
from remittance.filters import CashFilter, DenialFilter, RemittanceFilter, VarianceFilter
from remittance.models import (
    Appeal,
    ClaimPayment,
    Denial,
    DenialStatus,
    Deposit,
    PaymentState,
    ProviderAdjustment,
    Remittance,
    RemittanceStatus,
    UnappliedCash,
    Variance,
    VarianceStatus,
)
from remittance.records import CLEAN, DENIAL, EXCEPTION, Preview, PreviewClaim
from remittance.services.denials import appeals_of, next_level
from remittance.services.packets import packet_pdf
from remittance.services.posting import why_not
from remittance.variance import CAUSES

SHOWN = 200
"""Claims of one group drawn on the posting screen; the rest is reached by the filter of the
list.
"""
EXACT = 1000
"""Up to so many claims the posting screen computes the exact postings while it is drawn."""
ZERO = Decimal("0.00")


def actor_of(request: HttpRequest) -> Actor:
    return request.actor  # type: ignore[attr-defined, no-any-return]


# --- the list of remittances ----------------------------------------------------------------------

REMITTANCES = ListPage(
    name="remittances",
    title="Remittances",
    noun=("remittance", "remittances"),
    columns=(
        Column(
            "trace",
            "Check or EFT",
            "trace",
            kind="code",
            width="id",
            link=True,
            second=lambda r: f"{'Paper' if r.source == 'paper' else '835'} {r.method}".strip(),
        ),
        Column("payer", "Payer", "payer_name", width="payer", kind="strong"),
        Column("paid", "Dated", "paid_on", kind="day", width="date", order="paid"),
        Column("amount", "Amount", "amount", kind="money", width="money", order="amount"),
        Column("claims", "Claims", "claim_count", kind="number", width="num"),
        Column(
            "status",
            "Status",
            lambda r: (
                r.get_status_display(),
                present.REMITTANCE_TONES[RemittanceStatus(r.status)],
            ),
            kind="tag",
            width="tag",
        ),
        Column("deposited", "On the bank file", "deposited_on", kind="day", width="date"),
        Column("posted", "Posted", "posted_at", kind="moment", width="moment"),
    ),
    orders=(
        Order("paid", "date, newest first", ("-paid_on", "-pk")),
        Order("amount", "amount", ("-amount", "-pk")),
    ),
    tabs=(
        Tab("todo", "To post", Q(status__in=[RemittanceStatus.READY, RemittanceStatus.POSTING])),
        Tab("wrong", "Does not balance", Q(status=RemittanceStatus.QUARANTINED)),
        Tab(
            "undeposited",
            "Not on a bank file",
            Q(deposited_on__isnull=True, amount__gt=0)
            & ~Q(status__in=[RemittanceStatus.QUARANTINED, RemittanceStatus.REVERSED]),
        ),
        Tab("posted", "Posted", Q(status=RemittanceStatus.POSTED)),
        Tab("all", "All"),
    ),
    filterset=RemittanceFilter,
    detail=lambda r: reverse("remittance:remittance", args=[r.public_id]),
    row_label=lambda r: f"remittance {r.trace}",
    amount="amount",
    actions=lambda request: (
        [
            parts.Action("Upload 835", reverse("remittance:upload"), primary=True, key="u"),
            parts.Action("Key a paper EOB", reverse("remittance:eob")),
            parts.Action("Bank file", reverse("remittance:deposits")),
        ]
        if actor_of(request).can("remittance.post")
        else []
    ),
    empty="Every remittance that came is posted.",
    empty_link=("Unapplied cash", "/unapplied/"),
)


@require_safe
@may("remittance.view")
def remittances(request: HttpRequest) -> HttpResponseBase:
    return REMITTANCES.respond(request, Remittance.objects.visible_to(actor_of(request)))


@own_transactions
@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post")
def upload(request: HttpRequest) -> HttpResponseBase:
    """Store the bytes and commit, then read them at once, so that the page shows what is in the
    file.
    """
    actor = actor_of(request)
    hint = (
        "The payer's 835, up to 120 MB. It is kept byte for byte; the same payment twice has the"
        " effect of once."
    )
    stored = None
    with scope(actor):
        form = forms.UploadForm(
            request.POST or None,
            request.FILES or None,
            organizations=actor.organizations,
            hint=hint,
        )
        if request.method == "POST" and form.is_valid():
            file = form.cleaned_data["file"]
            try:
                stored = services.advice_upload(
                    organization_id=form.cleaned_data["organization"].pk,
                    content=file.read(),
                    file_name=file.name or "",
                    actor=actor,
                )
            except Refused as refusal:
                form.add_error("file", str(refusal))
    if stored is not None:
        row, fresh = stored
        if fresh and row.size < 4_000_000:
            process([row.pk], actor=actor)
        with scope(actor):
            row.refresh_from_db()
            first = (
                Remittance.objects.visible_to(actor).filter(interchange=row).order_by("id").first()
            )
            _say(request, row, fresh)
            return redirect(
                reverse("remittance:remittance", args=[first.public_id])
                if first
                else reverse("remittance:remittances") + "?view=all"
            )
    with scope(actor):
        context = {
            "title": "Upload an 835",
            "form": form,
            "verb": "Upload",
            "back_url": reverse("remittance:remittances"),
            "crumbs": [parts.Crumb("Remittances", reverse("remittance:remittances"))],
        }
        return render(
            request, "components/form_page.html", context, status=422 if form.errors else 200
        )


def _say(request: HttpRequest, row: Any, fresh: bool) -> None:
    if not fresh:
        messages.info(request, "This file was here before. Nothing was done twice.")
    elif row.status == InterchangeStatus.STORED:
        messages.success(
            request, "Stored. The posting workers read it now; it appears here in a moment."
        )
    elif row.status == InterchangeStatus.PROCESSED:
        s = row.summary
        words = [f"{s.get('remittances', 0)} ready"]
        if s.get("quarantined"):
            words.append(f"{s['quarantined']} do not balance")
        if s.get("duplicates"):
            words.append(f"{s['duplicates']} refused because the payment stands already")
        messages.success(request, f"Read: {', '.join(words)}.")
    else:
        messages.error(request, f"The file could not be read: {row.error}")


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post")
def eob(request: HttpRequest) -> HttpResponseBase:
    """A paper EOB, with what is left of every line and of the check shown until all is
    explained.
    """
    actor = actor_of(request)
    rows = request.POST.get("rows", "")
    count = int(rows) if rows.isdecimal() and len(rows) < 3 else 6
    more = "more" in request.POST
    form = forms.EobForm(
        request.POST or None, organizations=actor.organizations, rows=count + (4 if more else 0)
    )
    left: list[str] = []
    if request.method == "POST" and not more:
        keyed = form.read()
        if keyed is not None:
            from remittance.services.paper import balance

            left = balance(keyed)
            if "balance" not in request.POST:
                try:
                    row = services.eob_key(
                        organization_id=form.cleaned_data["organization"].pk, eob=keyed, actor=actor
                    )
                except Refused as refusal:
                    form.add_error(
                        refusal.field if refusal.field in form.fields else None, str(refusal)
                    )
                else:
                    messages.success(request, f"Check {row.trace} is kept and balances.")
                    return redirect("remittance:remittance", public_id=row.public_id)
    bad = bool(
        request.method == "POST"
        and not more
        and (form.errors or any(line["error"] for line in form.lines))
    )
    context = {
        "title": "Paper EOB",
        "form": form,
        "left": left,
        "back_url": reverse("remittance:remittances"),
        "balanced": request.method == "POST" and not left and not bad,
        "crumbs": [parts.Crumb("Remittances", reverse("remittance:remittances"))],
    }
    return render(
        request,
        "remittance/eob.html",
        context,
        status=422 if bad or (left and "balance" not in request.POST) else 200,
    )


# --- the posting screen ---------------------------------------------------------------------------


def _remittance(request: HttpRequest, public_id: str) -> Remittance:
    return found(
        Remittance.objects.visible_to(actor_of(request)).select_related(
            "interchange", "payer", "job"
        ),
        public_id=public_id,
    )


@require_safe
@may("remittance.view")
def remittance(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The posting screen: tie, four groups, actions by state."""
    row = _remittance(request, public_id)
    actor = actor_of(request)
    rows = list(
        ClaimPayment.objects.filter(remittance=row)
        .select_related("claim__patient")
        .order_by("position")[: EXACT + 1]
    )
    preview = (
        services.remittance_preview(remittance=row)
        if row.status == RemittanceStatus.READY and row.claim_count <= EXACT
        else None
    )
    groups = _groups(row, rows, preview)
    front.chart_read(request, [p.claim.patient for p in rows[:EXACT] if p.claim], "remittance")
    context = {
        "row": row,
        "tie": present.tie(row),
        "groups": groups,
        "preview": preview,
        "plb": list(
            ProviderAdjustment.objects.filter(remittance=row)
            .select_related("claim")
            .order_by("position")
        ),
        "plb_words": present.PLB_WORDS,
        "errors": [f for f in row.findings if f["level"] == "error"],
        "notes": [f for f in row.findings if f["level"] != "error"],
        "tag": (row.get_status_display(), present.REMITTANCE_TONES[RemittanceStatus(row.status)]),
        "actions": _posting_actions(row, actor, preview),
        "job": _job(row),
        "events": front.timeline(row.organization_id, remittance_id=row.pk, limit=30),
        "crumbs": [parts.Crumb("Remittances", reverse("remittance:remittances"))],
        "raw_url": (
            reverse("exchange:interchange", args=[row.interchange.public_id])
            if row.interchange and actor.can("exchange.view")
            else ""
        ),
    }
    return render(request, "remittance/remittance.html", context)


def _groups(
    row: Remittance, rows: list[ClaimPayment], preview: Preview | None
) -> list[dict[str, Any]]:
    """Exceptions, denials and clean claims with counts, dollars and the rows to draw."""
    by_id = {p.pk: p for p in rows}
    claims: dict[str, list[dict[str, Any]]] = {EXCEPTION: [], DENIAL: [], CLEAN: []}
    if preview is not None:
        for c in preview.claims:
            if len(claims[c.group]) < SHOWN:
                claims[c.group].append(_claim_row(by_id[c.payment_id], c))
        counts, dollars = preview.counts, preview.dollars
    else:
        counts, dollars = _counted(row)
        denied = (
            set(Denial.objects.filter(payment__in=rows).values_list("payment_id", flat=True))
            if row.status != RemittanceStatus.READY
            else _denying(rows)
        )
        for p in rows[:EXACT]:
            group = (
                EXCEPTION
                if p.state in (PaymentState.EXCEPTION, PaymentState.UNAPPLIED)
                else DENIAL
                if p.pk in denied
                else CLEAN
            )
            if len(claims[group]) < SHOWN:
                claims[group].append(_claim_row(p, None))
    labels = {
        EXCEPTION: ("Exceptions", "bad"),
        DENIAL: ("Denials", "warn"),
        CLEAN: ("Clean", "good"),
    }
    return [
        {
            "code": code,
            "label": label,
            "tone": tone,
            "count": counts.get(code, 0),
            "dollars": dollars.get(code, ZERO),
            "claims": claims[code],
            "more": max(0, counts.get(code, 0) - len(claims[code])),
            "open": code != CLEAN,
        }
        for code, (label, tone) in labels.items()
    ]


def _counted(row: Remittance) -> tuple[dict[str, int], dict[str, Decimal]]:
    own = ClaimPayment.objects.filter(remittance=row)
    stuck = Q(state__in=[PaymentState.EXCEPTION, PaymentState.UNAPPLIED])
    denied = Q(pk__in=_denied(row))
    figures = own.aggregate(
        exceptions=Count("pk", filter=stuck),
        stuck=Sum("paid", filter=stuck),
        denials=Count("pk", filter=denied & ~stuck),
        clean=Count("pk", filter=~stuck & ~denied),
        good=Sum("paid", filter=~stuck & ~denied),
    )
    amount = Denial.objects.filter(payment__remittance=row).aggregate(s=Sum("amount"))["s"] or ZERO
    return (
        {EXCEPTION: figures["exceptions"], DENIAL: figures["denials"], CLEAN: figures["clean"]},
        {EXCEPTION: figures["stuck"] or ZERO, DENIAL: amount, CLEAN: figures["good"] or ZERO},
    )


def _denied(row: Remittance) -> Any:
    if row.status == RemittanceStatus.READY:
        from remittance.models import Adjustment

        return Adjustment.objects.filter(payment__remittance=row, klass="denial").values(
            "payment_id"
        )
    return Denial.objects.filter(payment__remittance=row).values("payment_id")


def _denying(rows: Iterable[ClaimPayment]) -> set[int]:
    from remittance.models import Adjustment

    return set(
        Adjustment.objects.filter(payment__in=list(rows), klass="denial").values_list(
            "payment_id", flat=True
        )
    )


def _claim_row(p: ClaimPayment, c: PreviewClaim | None) -> dict[str, Any]:
    return {
        "payment": p,
        "url": reverse("remittance:payment", args=[p.public_id]),
        "status": present.CLAIM_STATUS.get(p.status_code, p.status_code),
        "sentence": c.sentence if c else p.sentence or p.get_state_display(),
        "exception": (
            present.exception_words(c.exception if c else p.exception)
            if (c.exception if c else p.exception)
            else ""
        ),
        "denied": c.denied if c else ZERO,
        "patient": c.patient if c else p.patient_responsibility,
    }


def _posting_actions(row: Remittance, actor: Actor, preview: Preview | None) -> list[parts.Action]:
    if not actor.can("remittance.post"):
        return []
    actions: list[parts.Action] = []
    if row.status in (RemittanceStatus.READY, RemittanceStatus.QUARANTINED):
        blocked = preview.blocked if preview is not None else why_not(row)
        actions.append(
            parts.Action(
                "Preview and post",
                reverse("remittance:post", args=[row.public_id]),
                primary=True,
                key="p",
                disabled_reason=blocked,
            )
        )
    if row.status == RemittanceStatus.READY:
        actions.append(
            parts.Action(
                "Look for claims again",
                reverse("remittance:match", args=[row.public_id]),
                "post",
                key="m",
            )
        )
    if row.status == RemittanceStatus.POSTED:
        actions.append(
            parts.Action(
                "Reverse", reverse("remittance:reverse", args=[row.public_id]), danger=True
            )
        )
    return actions


def _job(row: Remittance) -> parts.Progress | None:
    if row.job is None or row.status not in (RemittanceStatus.POSTING, RemittanceStatus.POSTED):
        return None
    job = row.job
    finished = job.status not in (JobStatus.QUEUED, JobStatus.RUNNING)
    return parts.Progress(
        "Posting",
        row.claim_count if job.status == JobStatus.DONE else job.done,
        job.total,
        finished,
        job.failed,
        reverse("remittance:progress", args=[row.public_id]),
        (
            ""
            if not finished
            else (
                "Reload the page to see the result."
                if row.status != RemittanceStatus.POSTED
                else ""
            )
        ),
    )


@require_safe
@may("remittance.view")
def progress(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _remittance(request, public_id)
    response = render(request, "components/progress.html", {"job": _job(row), "id": "posting"})
    if row.status == RemittanceStatus.POSTED:
        response["HX-Refresh"] = "true"
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post")
def post(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The exact postings by account, then one act."""
    row = _remittance(request, public_id)
    page = reverse("remittance:remittance", args=[row.public_id])
    large = row.claim_count > EXACT
    if request.method == "POST":
        try:
            if large:
                services.posting_start(remittance=row, actor=actor_of(request))
            else:
                posted = services.remittance_post(remittance=row, actor=actor_of(request))
        except Refused as refusal:
            messages.error(request, str(refusal))
            return redirect(page)
        if large:
            messages.info(request, "Posting has begun; it goes on without you.")
        else:
            extra = f", {fmt.plural(posted.denials, 'denial')} opened" if posted.denials else ""
            messages.success(
                request,
                (
                    f"{row.trace} was posted before."
                    if posted.repeated
                    else f"Posted: {fmt.plural(posted.claims, 'claim')}{extra}."
                ),
            )
        return redirect(page)
    preview = services.remittance_preview(remittance=row, positions=None if not large else ())
    accounts = [
        (present.ACCOUNTS.get(a, a), amount)
        for a, amount in sorted(preview.accounts.items(), key=lambda x: x[0])
        if amount
    ]
    context = {
        "title": f"Post {row.trace}",
        "row": row,
        "preview": preview,
        "accounts": accounts,
        "verb": "Post",
        "back_url": page,
        "disabled_reason": preview.blocked,
        "claims": preview.claims[:SHOWN],
        "more": max(0, len(preview.claims) - SHOWN),
        "account_names": present.ACCOUNTS,
        "numbers": dict(
            ClaimPayment.objects.filter(remittance=row).values_list("pk", "claim_number")[:EXACT]
        ),
        "crumbs": [
            parts.Crumb("Remittances", reverse("remittance:remittances")),
            parts.Crumb(row.trace, page),
        ],
        "text": "This cannot be undone, only reversed by counter-entries.",
    }
    return render(request, "remittance/post.html", context)


@require_POST
@may("remittance.post")
def match(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _remittance(request, public_id)
    count = services.remittance_match(remittance=row, actor=actor_of(request))
    messages.info(request, f"{count} found now." if count else "No further claim was found.")
    return redirect("remittance:remittance", public_id=row.public_id)


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post")
def reverse_all(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Counter-entries for the whole remittance, with a reason."""
    row = _remittance(request, public_id)
    page = reverse("remittance:remittance", args=[row.public_id])
    form = forms.ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            count = services.remittance_reverse(
                remittance=row, reason=form.cleaned_data["reason"], actor=actor_of(request)
            )
        except Refused as refusal:
            form.add_error(
                refusal.field if refusal.field in form.fields else None,
                f"{refusal} {refusal.fix}".strip(),
            )
        else:
            messages.success(request, f"Reversed by {fmt.number(count)} counter-entries.")
            return redirect(page)
    context = {
        "title": f"Reverse {row.trace}",
        "form": form,
        "verb": "Reverse",
        "danger": True,
        "back_url": page,
        "text": (
            f"{fmt.money(row.amount)} and everything it moved on"
            f" {fmt.plural(row.claim_count, 'claim')} are mirrored. Its denials are withdrawn."
        ),
        "crumbs": [
            parts.Crumb("Remittances", reverse("remittance:remittances")),
            parts.Crumb(row.trace, page),
        ],
    }
    return render(request, "components/confirm.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.view")
def payment(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One claim of a remittance: what it says, what we billed, what becomes of it; and, without a
    claim, the way to one.
    """
    actor = actor_of(request)
    row = found(
        ClaimPayment.objects.visible_to(actor).select_related(
            "remittance__interchange", "claim__patient", "reverses"
        ),
        public_id=public_id,
    )
    remittance_row = row.remittance
    open_ = row.state in (
        PaymentState.EXCEPTION,
        PaymentState.UNAPPLIED,
    ) and remittance_row.status in (
        RemittanceStatus.READY,
        RemittanceStatus.POSTED,
    )
    wanted = (
        request.POST.get("claim")
        or request.GET.get("claim")
        or (row.candidates[0]["number"] if row.candidates else "")
    )
    chosen = (
        Claim.objects.visible_to(actor).filter(number=wanted.strip()[:20]).first()
        if wanted and open_
        else None
    )
    form = None
    if open_ and actor.can("remittance.post"):
        lines = list(chosen.lines.order_by("number")) if chosen else []
        form = forms.ApplyForm(
            request.POST or None,
            services=list(row.services.order_by("position")),
            lines=lines,
            initial={"claim": wanted},
        )
        if request.method == "POST" and form.is_valid():
            if chosen is None:
                form.add_error("claim", "There is no claim with this number.")
            else:
                try:
                    services.payment_apply(
                        payment=row,
                        claim=chosen,
                        reason=form.cleaned_data["reason"],
                        lines=form.chosen(),
                        actor=actor,
                    )
                except Refused as refusal:
                    form.add_error(
                        refusal.field if refusal.field in form.fields else None, str(refusal)
                    )
                else:
                    messages.success(request, f"{fmt.money(row.paid)} is on claim {chosen.number}.")
                    return redirect("remittance:payment", public_id=row.public_id)
    elif request.method == "POST":
        raise PermissionDenied
    legs = present.posted_legs(row)
    if (
        not legs
        and remittance_row.status == RemittanceStatus.READY
        and remittance_row.claim_count <= EXACT
    ):
        preview = services.remittance_preview(remittance=remittance_row, positions=[row.position])
        will = next(iter(preview.claims), None)
    else:
        will = None
    if row.claim:
        front.chart_read(request, [row.claim.patient], "payment")
    context = {
        "row": row,
        "remittance": remittance_row,
        "patient": front.banner(row.claim.patient) if row.claim else None,
        "claim_url": present.claim_url(row.claim) if row.claim and actor.can("claim.view") else "",
        "status": present.CLAIM_STATUS.get(row.status_code, row.status_code),
        "lines": present.line_views(row),
        "whole": [
            (f"{a.group}-{a.reason}", a.amount, present.reason_words(a.reason))
            for a in row.adjustments.filter(service__isnull=True).order_by("id")
        ],
        "remarks": [(c, present.remark_words(c)) for c in row.remarks],
        "legs": legs or (present.legs_of(will.legs) if will else []),
        "will": will,
        "exception": present.exception_words(row.exception) if row.exception else "",
        "candidates": row.candidates,
        "form": form,
        "raw": present.raw_of(row) if actor.can("remittance.view") else [],
        "denials": list(row.denials.select_related("line")),
        "crumbs": [
            parts.Crumb("Remittances", reverse("remittance:remittances")),
            parts.Crumb(
                remittance_row.trace,
                reverse("remittance:remittance", args=[remittance_row.public_id]),
            ),
        ],
    }
    return render(
        request,
        "remittance/payment.html",
        context,
        status=422 if form is not None and form.errors else 200,
    )


# --- unapplied cash, bank -------------------------------------------------------------------------

UNAPPLIED = ListPage(
    name="unapplied",
    title="Unapplied cash",
    noun=("payment", "payments"),
    columns=(
        Column(
            "claim",
            "Their claim",
            "payment.claim_number",
            kind="code",
            width="id",
            link=True,
            second="payment.payer_control_number",
            second_kind="code",
        ),
        Column(
            "patient",
            "Patient",
            "payment.patient_name",
            width="who",
            kind="strong",
            second="payment.service_date",
            second_kind="day",
        ),
        Column(
            "payer",
            "Payer",
            "remittance.payer_name",
            width="payer",
            second="remittance.trace",
            second_kind="code",
        ),
        Column("reason", "Why", "reason", width="wide"),
        Column("amount", "Amount", "amount", kind="money", width="money", order="amount"),
        Column(
            "received",
            "Received",
            "remittance.paid_on",
            kind="day",
            width="date",
            order="age",
            second=lambda u: f"{(timezone.localdate() - u.remittance.paid_on).days} days",
        ),
        Column(
            "perhaps",
            "Perhaps",
            lambda u: (
                u.payment.candidates[0]["number"] if u.payment and u.payment.candidates else ""
            ),
            kind="code",
            width="id",
        ),
    ),
    orders=(
        Order("age", "age", ("remittance__paid_on", "pk")),
        Order("amount", "amount", ("-amount", "pk")),
    ),
    tabs=(
        Tab("open", "Open", Q(resolved_at__isnull=True)),
        Tab("done", "Applied", Q(resolved_at__isnull=False)),
    ),
    filterset=CashFilter,
    detail=lambda u: (
        reverse("remittance:payment", args=[u.payment.public_id])
        if u.payment
        else reverse("remittance:remittance", args=[u.remittance.public_id])
    ),
    row_label=lambda u: f"payment of {u.amount}",
    amount="amount",
    summary=lambda request, rows: _cash_line(rows),
    empty="Every dollar received is on a claim.",
)


def _cash_line(rows: QuerySet[Any]) -> str:
    figures = rows.filter(resolved_at__isnull=True).aggregate(n=Count("pk"), s=Sum("amount"))
    return (
        f"{fmt.number(figures['n'])} payments, {fmt.money(figures['s'] or ZERO)} on no claim."
        if figures["n"]
        else ""
    )


@require_safe
@may("remittance.view")
def unapplied(request: HttpRequest) -> HttpResponseBase:
    return UNAPPLIED.respond(
        request,
        UnappliedCash.objects.visible_to(actor_of(request)).select_related("payment", "remittance"),
    )


DEPOSITS = ListPage(
    name="deposits",
    title="Deposits",
    noun=("deposit", "deposits"),
    columns=(
        Column("day", "Day", "deposited_on", kind="day", width="date", link=True),
        Column(
            "reference", "Reference", "reference", kind="code", width="wide", second="description"
        ),
        Column("amount", "Amount", "amount", kind="money", width="money"),
        Column(
            "remittance",
            "Remittance",
            "remittance.trace",
            kind="code",
            width="id",
            second="remittance.payer_name",
        ),
        Column(
            "state",
            "State",
            lambda d: ("Matched", "good") if d.remittance_id else ("No remittance", "warn"),
            kind="tag",
            width="tag",
        ),
    ),
    orders=(Order("day", "day, newest first", ("-deposited_on", "-pk")),),
    tabs=(Tab("open", "No remittance", Q(remittance__isnull=True)), Tab("all", "All")),
    detail=lambda d: (
        reverse("remittance:remittance", args=[d.remittance.public_id]) if d.remittance else ""
    ),
    row_label=lambda d: f"deposit {d.reference}",
    amount="amount",
    actions=lambda request: (
        [parts.Action("Import a bank file", reverse("remittance:deposits_import"), primary=True)]
        if actor_of(request).can("remittance.post")
        else []
    ),
    empty="Every deposit has its remittance.",
    empty_link=("Remittances not on a bank file", "/remittances/?view=undeposited"),
)


@require_safe
@may("remittance.view")
def deposits(request: HttpRequest) -> HttpResponseBase:
    return DEPOSITS.respond(
        request, Deposit.objects.visible_to(actor_of(request)).select_related("remittance")
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post")
def deposits_import(request: HttpRequest) -> HttpResponseBase:
    actor = actor_of(request)
    form = forms.UploadForm(
        request.POST or None,
        request.FILES or None,
        organizations=actor.organizations,
        hint="CSV with the columns date, amount, reference and, if you like, description.",
    )
    if request.method == "POST" and form.is_valid():
        try:
            result = services.deposits_import(
                organization_id=form.cleaned_data["organization"].pk,
                content=form.cleaned_data["file"].read(),
                actor=actor,
            )
        except Refused as refusal:
            form.add_error(
                refusal.field if refusal.field in form.fields else None,
                f"{refusal} {refusal.fix}".strip(),
            )
        else:
            messages.success(
                request,
                f"{fmt.number(result.added)} deposits taken, {fmt.number(result.repeated)} known"
                f" before, {fmt.number(result.matched)} matched.",
            )
            if result.bad:
                messages.warning(
                    request,
                    f"{len(result.bad)} lines could not be read: "
                    + "; ".join(f"line {n}: {words}" for n, words in result.bad[:5]),
                )
            return redirect("remittance:deposits")
    context = {
        "title": "Import a bank file",
        "form": form,
        "verb": "Import",
        "back_url": reverse("remittance:deposits"),
        "crumbs": [parts.Crumb("Deposits", reverse("remittance:deposits"))],
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)


# --- denials --------------------------------------------------------------------------------------

OPEN = [DenialStatus.OPEN, DenialStatus.UPHELD]

DENIALS = ListPage(
    name="denials",
    title="Denials",
    noun=("denial", "denials"),
    columns=(
        Column(
            "claim",
            "Claim",
            "claim.number",
            kind="code",
            width="id",
            link=True,
            second=lambda d: f"DOS {fmt.short_day(d.claim.service_date)}",
        ),
        Column(
            "patient",
            "Patient",
            "claim.patient.name",
            width="who",
            second=lambda d: f"{fmt.mdy(d.claim.patient.born_on)} {d.claim.patient.mrn}",
            second_kind="code",
        ),
        Column("payer", "Payer", "payer.name", width="payer", fold=True),
        Column(
            "exam",
            "Exam",
            lambda d: d.line.code if d.line else "",
            kind="code",
            width="exam",
            second=lambda d: " ".join(d.line.modifiers) if d.line else "",
        ),
        Column(
            "reason",
            "Denial",
            lambda d: f"{d.group}-{d.reason}",
            kind="strong",
            second=lambda d: present.reason_words(d.reason),
        ),
        Column(
            "risk",
            "At risk",
            lambda d: d.expected if d.expected is not None else d.amount,
            kind="money",
            width="money",
            order="risk",
        ),
        Column(
            "deadline",
            "Appeal by",
            lambda d: d.appeal_by or d.correct_by,
            kind="deadline",
            width="due",
            order="deadline",
        ),
        Column(
            "status",
            "Status",
            lambda d: (d.get_status_display(), present.DENIAL_TONES[DenialStatus(d.status)]),
            kind="tag",
            width="tag",
        ),
    ),
    orders=(
        Order(
            "deadline",
            "appeal deadline, then amount",
            (Key("appeal_by", nulls="last"), "-amount", "pk"),
        ),
        Order("risk", "amount", ("-amount", "pk")),
        Order("new", "newest first", ("-pk",)),
    ),
    tabs=(
        Tab("open", "To work", Q(status__in=OPEN)),
        Tab(
            "waiting",
            "Waiting for the payer",
            Q(status__in=[DenialStatus.CORRECTED, DenialStatus.APPEALED]),
        ),
        Tab("auth", "Authorization", Q(status__in=OPEN, category="prior_auth")),
        Tab(
            "soon",
            "Deadline < 10 d",
            lambda request: (
                Q(status__in=OPEN) & Q(appeal_by__lte=timezone.localdate() + timedelta(days=10))
            ),
        ),
        Tab("parked", "Parked", Q(status=DenialStatus.PARKED)),
        Tab(
            "won",
            "Overturned",
            Q(status__in=[DenialStatus.OVERTURNED, DenialStatus.PARTIAL]),
            order="new",
        ),
        Tab("all", "All", order="new"),
    ),
    filterset=DenialFilter,
    detail=lambda d: reverse("remittance:denial", args=[d.public_id]),
    row_label=lambda d: f"denial of claim {d.claim.number}",
    amount="amount",
    version="version",
    bulk=(BulkAction("Park", "remittance:denials_park", "denial.work"),),
    summary=lambda request, rows: _denial_line(rows),
    actions=lambda request: [
        parts.Action("By payer and reason", reverse("remittance:denial_groups")),
        parts.Action(
            "Work queue", reverse("worklist:queue", args=["denials"]), primary=True, key="w"
        ),
    ],
    empty="Every denial is worked.",
)


def _denial_line(rows: QuerySet[Any]) -> str:
    live = rows.filter(status__in=OPEN)
    figures = live.aggregate(
        n=Count("pk"),
        s=Sum("amount"),
        soon=Count("pk", filter=Q(appeal_by__lte=timezone.localdate() + timedelta(days=10))),
    )
    if not figures["n"]:
        return ""
    return (
        f"{fmt.number(figures['n'])} to work, {fmt.money(figures['s'], cents=False)} billed,"
        f" {fmt.number(figures['soon'])} with a deadline in ten days."
    )


@require_safe
@may("denial.view")
def denials(request: HttpRequest) -> HttpResponseBase:
    rows = Denial.objects.visible_to(actor_of(request)).select_related(
        "claim__patient", "payer", "line"
    )
    return DENIALS.respond(request, rows)


@require_safe
@may("denial.view")
def denial_groups(request: HttpRequest) -> HttpResponseBase:
    """Open denials by payer and reason, the most dollars first: one cause worked once (FEATURES
    H2).
    """
    rows = (
        Denial.objects.visible_to(actor_of(request))
        .filter(status__in=OPEN)
        .values("payer_id", "payer__name", "group", "reason", "category")
        .annotate(
            n=Count("pk"),
            billed=Sum("amount"),
            risk=Sum("expected"),
            nearest=Min("appeal_by"),
            repeats=Count("pk", filter=Q(repeat=True)),
        )
        .order_by("-billed")
    )
    groups = [
        r
        | {
            "words": present.reason_words(r["reason"]),
            "category_words": present.category_words(r["category"]),
            "url": (
                f"{reverse('remittance:denials')}?view=open&payer={r['payer_id']}&reason={r['reason']}"
            ),
        }
        for r in rows[:500]
    ]
    context = {
        "groups": groups,
        "total": sum((Decimal(str(g["billed"])) for g in groups), ZERO),
        "count": sum(int(str(g["n"])) for g in groups),
        "crumbs": [parts.Crumb("Denials", reverse("remittance:denials"))],
    }
    return render(request, "remittance/groups.html", context)


@require_http_methods(["POST"])
@may("denial.work")
def denials_park(request: HttpRequest) -> HttpResponseBase:
    """The bulk bar's Park: asks for the reason, then parks each and names those that could not
    be.
    """
    actor = actor_of(request)
    picks = [p.partition(":") for p in request.POST.getlist("pick")[:500]]
    versions = {
        int(pk): int(version)
        for pk, _, version in picks
        if pk.isdecimal() and version.isdecimal() and len(pk) < 19 and len(version) < 10
    }
    form = forms.ParkForm(request.POST if "reason" in request.POST else None)
    if not versions:
        messages.info(request, "Pick at least one denial.")
        return redirect("remittance:denials")
    if form.is_bound and form.is_valid():
        data = form.cleaned_data
        result = services.denials_group(
            denial_ids=versions,
            act=lambda d: services.denial_park(
                denial=d,
                reason=data["reason"],
                review_on=data["review_on"],
                version=versions[d.pk],
                actor=actor,
            ),
            actor=actor,
        )
        if result.done:
            messages.success(request, f"{fmt.number(result.done)} parked.")
        for title, sentence in result.refused[:5]:
            messages.warning(request, f"{title}: {sentence}")
        return redirect("remittance:denials")
    context = {
        "title": f"Park {fmt.number(len(versions))} denials",
        "form": form,
        "verb": "Park",
        "back_url": reverse("remittance:denials"),
        "action_url": request.path,
        "hidden": [("pick", f"{pk}:{version}") for pk, version in versions.items()],
    }
    return render(request, "components/confirm.html", context, status=422 if form.errors else 200)


def _denial(request: HttpRequest, public_id: str) -> Denial:
    rows = Denial.objects.visible_to(actor_of(request)).select_related(
        "claim__patient",
        "claim__coverage",
        "line",
        "payer",
        "payment__remittance",
        "next_claim",
        "resolved_by",
    )
    return found(rows, public_id=public_id)


@require_safe
@may("denial.view")
def denial(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One denial: why, the evidence, deadlines, appeals, and the three ways on."""
    row = _denial(request, public_id)
    actor = actor_of(request)
    front.chart_read(request, [row.claim.patient], "denial")
    exam = present.exam_of(row)
    context = {
        "row": row,
        "patient": front.banner(row.claim.patient),
        "tag": (row.get_status_display(), present.DENIAL_TONES[DenialStatus(row.status)]),
        "reason": present.reason_words(row.reason),
        "remarks": [(c, present.remark_words(c)) for c in row.remarks],
        "category": present.category_words(row.category),
        "evidence": present.evidence(present.denial_grid(row, exam)),
        "exam_url": (
            reverse("charges:exam", args=[exam.public_id])
            if exam and actor.can("exam.view")
            else ""
        ),
        "claim_url": present.claim_url(row.claim),
        "next_url": present.claim_url(row.next_claim) if row.next_claim else "",
        "payment_url": (
            reverse("remittance:payment", args=[row.payment.public_id])
            if actor.can("remittance.view")
            else ""
        ),
        "appeals": appeals_of([row]).get(row.pk, []),
        "actions": _denial_actions(row, actor),
        "events": front.timeline(row.organization_id, denial_id=row.pk, limit=40),
        "may_work": actor.can("denial.work"),
        "crumbs": [parts.Crumb("Denials", reverse("remittance:denials"))],
    }
    return render(request, "remittance/denial.html", context)


def _denial_actions(row: Denial, actor: Actor) -> list[parts.Action]:
    if not actor.can("denial.work"):
        return []

    def url(name: str) -> str:
        return reverse(f"remittance:{name}", args=[row.public_id])

    actions: list[parts.Action] = []
    if row.status in (DenialStatus.OPEN, DenialStatus.PARKED, DenialStatus.UPHELD):
        unprocessable = "MA130" in row.remarks
        actions.append(
            parts.Action("Correct and resend", url("denial_correct"), primary=True, key="c")
        )
        actions.append(
            parts.Action(
                "Appeal",
                url("denial_appeal"),
                key="a",
                disabled_reason="MA130: no appeal is open" if unprocessable else "",
            )
        )
    if row.status == DenialStatus.OPEN:
        actions.append(parts.Action("Park", url("denial_park"), key="p"))
    if row.status in (DenialStatus.PARKED, DenialStatus.UPHELD, DenialStatus.CORRECTED):
        actions.append(parts.Action("Open again", url("denial_reopen")))
    actions.append(parts.Action("Packet", url("packet"), icon="download"))
    return actions


def _act(
    request: HttpRequest,
    row: Denial,
    *,
    title: str,
    make: Callable[[], Any],
    verb: Callable[[Any], str],
    label: str,
    text: str = "",
) -> HttpResponseBase:
    """A form beside the denial's facts; on success back to the denial with a sentence."""
    page = reverse("remittance:denial", args=[row.public_id])
    form = make()
    status = 200
    conflict = ""
    if request.method == "POST":
        if form.is_valid():
            try:
                messages.success(request, verb(form))
            except Conflict as problem:
                conflict, status = str(problem), 409
            except Refused as refusal:
                form.add_error(
                    refusal.field if refusal.field in form.fields else None,
                    f"{refusal} {refusal.fix}".strip(),
                )
            else:
                return redirect(page)
        if form.errors:
            status = 422
    front.chart_read(request, [row.claim.patient], "denial")
    context = {
        "title": title,
        "text": text,
        "form": form,
        "verb": label,
        "back_url": page,
        "conflict": conflict,
        "row": row,
        "patient": front.banner(row.claim.patient),
        "evidence": present.evidence(present.denial_grid(row, present.exam_of(row))),
        "reason": present.reason_words(row.reason),
        "crumbs": [
            parts.Crumb("Denials", reverse("remittance:denials")),
            parts.Crumb(f"Claim {row.claim.number}", page),
        ],
    }
    return render(request, "remittance/act.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.work")
def denial_correct(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _denial(request, public_id)
    claim = row.claim
    initial = {
        "authorization_number": claim.authorization_number,
        "referring_npi": claim.referring_npi,
        "diagnoses": " ".join(claim.diagnoses),
        "codes": list(claim.diagnoses),
        "version": row.version,
    }

    def verb(form: Any) -> str:
        correction = services.denial_correct(
            denial=row,
            changes=form.changes(),
            reason=form.cleaned_data["reason"],
            submit=form.cleaned_data["submit"],
            version=form.cleaned_data["version"],
            actor=actor_of(request),
        )
        return correction.sentence

    return _act(
        request,
        row,
        title=f"Correct claim {claim.number}",
        label="Correct",
        verb=verb,
        make=lambda: forms.CorrectForm(
            request.POST or None, initial=initial, lines=list(claim.lines.order_by("number"))
        ),
        text="The corrected claim is scrubbed; when no edit stops it, it is sent.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.work")
def denial_appeal(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _denial(request, public_id)
    level = next_level(row)

    def verb(form: Any) -> str:
        appeal = services.denial_appeal(
            denial=row,
            letter=form.cleaned_data["letter"],
            sent_on=form.cleaned_data["sent_on"],
            actor=actor_of(request),
        )
        return f"Appeal level {appeal.level} is kept as sent, with its packet."

    def make() -> forms.AppealForm:
        initial = (
            {}
            if request.method == "POST"
            else {"letter": services.appeal_draft(denial=row), "sent_on": timezone.localdate()}
        )
        return forms.AppealForm(request.POST or None, initial=initial)

    due = f" The last day is {row.appeal_by:%b %-d, %Y}." if row.appeal_by and level == 1 else ""
    return _act(
        request,
        row,
        title=f"Appeal, level {level}",
        label="Keep as sent",
        verb=verb,
        make=make,
        text=(
            "Order, authorization, signed report, remittance and proof of filing go with the"
            f" letter.{due}"
        ),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.work")
def denial_park(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _denial(request, public_id)

    def verb(form: Any) -> str:
        parked = services.denial_park(
            denial=row,
            reason=form.cleaned_data["reason"],
            review_on=form.cleaned_data["review_on"],
            actor=actor_of(request),
        )
        return f"Parked until {parked.review_on:%b %-d, %Y}."

    return _act(
        request,
        row,
        title="Park the denial",
        label="Park",
        verb=verb,
        make=lambda: forms.ParkForm(request.POST or None),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.work")
def denial_reopen(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _denial(request, public_id)

    def verb(form: Any) -> str:
        services.denial_reopen(
            denial=row, reason=form.cleaned_data["reason"], actor=actor_of(request)
        )
        return "Open again."

    return _act(
        request,
        row,
        title="Open the denial again",
        label="Open again",
        verb=verb,
        make=lambda: forms.ReasonForm(request.POST or None),
    )


def _pdf(content: bytes, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="{name}.pdf"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


@require_safe
@may("denial.view")
def packet(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The packet as it would be sent now."""
    row = _denial(request, public_id)
    front.chart_read(request, [row.claim.patient], "appeal packet")
    now = timezone.now()
    return _pdf(
        packet_pdf(
            row, letter=services.appeal_draft(denial=row, at=now), level=next_level(row), at=now
        ),
        f"packet-{row.claim.number}",
    )


def _appeal(request: HttpRequest, public_id: str) -> Appeal:
    rows = Appeal.objects.visible_to(actor_of(request)).filter(
        denial__in=Denial.objects.visible_to(actor_of(request))
    )
    return found(
        rows.select_related("denial__claim__patient", "denial__payer"), public_id=public_id
    )


@require_safe
@may("denial.view")
def appeal_packet(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The packet byte for byte as it was sent."""
    row = _appeal(request, public_id)
    front.chart_read(request, [row.denial.claim.patient], "appeal packet")
    return _pdf(bytes(row.packet or b""), f"appeal-{row.denial.claim.number}-level-{row.level}")


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.work")
def appeal_outcome(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _appeal(request, public_id)
    denial_row = _denial(request, str(row.denial.public_id))

    def verb(form: Any) -> str:
        data = form.cleaned_data
        services.appeal_outcome(
            appeal=row,
            outcome=data["outcome"],
            recovered=data["recovered"] or ZERO,
            on=data["on"],
            actor=actor_of(request),
        )
        return "The outcome is kept."

    initial = {"on": timezone.localdate()}
    return _act(
        request,
        denial_row,
        title=f"Outcome of level {row.level}",
        label="Save",
        verb=verb,
        make=lambda: forms.OutcomeForm(request.POST or None, initial=initial),
    )


# --- underpayments --------------------------------------------------------------------------------

LIVE = [VarianceStatus.OPEN, VarianceStatus.DISPUTED]

UNDERPAYMENTS = ListPage(
    name="underpayments",
    title="Underpayments",
    noun=("case", "cases"),
    template="remittance/underpayments.html",
    columns=(
        Column(
            "claim",
            "Claim",
            "claim.number",
            kind="code",
            width="id",
            link=True,
            second=lambda v: f"DOS {fmt.short_day(v.claim.service_date)}",
        ),
        Column("payer", "Payer", "payer.name", width="payer"),
        Column("code", "Code", "code", kind="code", width="exam"),
        Column("cause", "Cause", lambda v: CAUSES.get(v.cause, v.cause), width="wide"),
        Column("expected", "Expected", "expected", kind="money", width="money"),
        Column("allowed", "Allowed", "allowed", kind="money", width="money"),
        Column(
            "difference",
            "Difference",
            "difference",
            kind="money",
            width="money",
            order="difference",
        ),
        Column(
            "status",
            "Status",
            lambda v: (v.get_status_display(), present.VARIANCE_TONES[VarianceStatus(v.status)]),
            kind="tag",
            width="tag",
        ),
    ),
    orders=(
        Order("difference", "difference", ("difference", "pk")),
        Order("new", "newest first", ("-pk",)),
    ),
    tabs=(
        Tab("open", "Open", Q(status=VarianceStatus.OPEN, difference__lt=0)),
        Tab("disputed", "Disputed", Q(status=VarianceStatus.DISPUTED)),
        Tab("over", "Paid above", Q(status=VarianceStatus.OPEN, difference__gt=0)),
        Tab("recovered", "Recovered", Q(status=VarianceStatus.RECOVERED)),
        Tab("all", "All"),
    ),
    filterset=VarianceFilter,
    detail=lambda v: reverse("remittance:variance", args=[v.public_id]),
    row_label=lambda v: f"underpayment of claim {v.claim.number}",
    amount="difference",
    empty="No payment is below its contract.",
)


@require_safe
@may("denial.view")
def underpayments(request: HttpRequest) -> HttpResponseBase:
    """Cases, and above them what belongs together: payer, code, cause."""
    rows = Variance.objects.visible_to(actor_of(request)).select_related("claim", "payer")
    groups = (
        Variance.objects.visible_to(actor_of(request))
        .filter(status__in=LIVE, difference__lt=0)
        .values("payer_id", "code", "cause", name=F("payer__name"))
        .annotate(n=Count("pk"), total=Sum("difference"))
        .order_by("total")[:12]
    )
    shown = [
        g
        | {
            "words": CAUSES.get(g["cause"], g["cause"]),
            "url": f"?view=open&payer={g['payer_id']}&code={g['code']}&cause={g['cause']}",
        }
        for g in groups
    ]
    return UNDERPAYMENTS.respond(request, rows, groups=shown)


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.view")
def variance(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One case: what was allowed beside the derivation of what was expected."""
    actor = actor_of(request)
    row = found(
        Variance.objects.visible_to(actor).select_related(
            "claim__patient", "payer", "service__payment__remittance", "service__line__charge"
        ),
        public_id=public_id,
    )
    form = None
    if actor.can("denial.work") and row.status in LIVE:
        form = forms.VarianceForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            try:
                if data["act"] == "dispute":
                    services.variance_dispute(variance=row, note=data["note"], actor=actor)
                elif data["act"] == "accept":
                    services.variance_accept(variance=row, note=data["note"], actor=actor)
                else:
                    services.variance_recovered(
                        variance=row, amount=data["amount"] or ZERO, note=data["note"], actor=actor
                    )
            except Refused as refusal:
                form.add_error(
                    refusal.field if refusal.field in form.fields else None, str(refusal)
                )
            else:
                messages.success(request, "Saved.")
                return redirect("remittance:variance", public_id=row.public_id)
    elif request.method == "POST":
        raise PermissionDenied
    front.chart_read(request, [row.claim.patient], "underpayment")
    line = row.service.line
    context = {
        "row": row,
        "form": form,
        "patient": front.banner(row.claim.patient),
        "cause": CAUSES.get(row.cause, row.cause),
        "tag": (row.get_status_display(), present.VARIANCE_TONES[VarianceStatus(row.status)]),
        "derivation": line.charge.derivation if line else [],
        "adjustments": [
            (f"{a.group}-{a.reason}", a.amount, present.reason_words(a.reason))
            for a in row.service.adjustments.order_by("id")
        ],
        "claim_url": present.claim_url(row.claim),
        "payment_url": (
            reverse("remittance:payment", args=[row.service.payment.public_id])
            if actor.can("remittance.view")
            else ""
        ),
        "crumbs": [parts.Crumb("Underpayments", reverse("remittance:underpayments"))],
    }
    return render(
        request,
        "remittance/variance.html",
        context,
        status=422 if form is not None and form.errors else 200,
    )
