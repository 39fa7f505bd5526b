"""The posting screen: what a remittance says, what posting does, and its undoing."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db.models import Count, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from intake import present as front
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.jobs.models import OPEN, JobStatus
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from remittance import forms, present, scans, services
from remittance.models import (
    ClaimPayment,
    Denial,
    EobDocument,
    HeldFor,
    PaymentState,
    ProviderAdjustment,
    Remittance,
    RemittanceStatus,
)
from remittance.records import CLEAN, DENIAL, EXCEPTION, Preview, PreviewClaim
from remittance.services.planning import why_not
from remittance.views.common import EXACT, SHOWN, ZERO


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
        "plb": [
            (p, present.provider_words(p.reason))
            for p in ProviderAdjustment.objects.filter(remittance=row)
            .select_related("claim")
            .order_by("position")
        ],
        "errors": [f for f in row.findings if f["level"] == "error"],
        "notes": [f for f in row.findings if f["level"] != "error"],
        "tag": present.status_tag(row),
        "held": present.HELD_HEADINGS.get(row.held_for, "Why it is held"),
        "not_dated": row.held_for == HeldFor.DATE,
        "actions": _posting_actions(row, actor, preview),
        "job": _job(row),
        "events": front.timeline(row.organization_id, remittance_id=row.pk, limit=30),
        "crumbs": [parts.Crumb("Remittances", reverse("remittance:remittances"))],
        "scan_url": (
            reverse("remittance:scan", args=[row.public_id])
            if EobDocument.objects.filter(remittance=row).exists()
            else ""
        ),
        "raw_url": (
            reverse("exchange:interchange", args=[row.interchange.public_id])
            if row.interchange and actor.can("exchange.view", row)
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
    if not actor.can("remittance.post", row):
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
    if row.status == RemittanceStatus.QUARANTINED and row.held_for == HeldFor.DATE:
        actions.append(
            parts.Action(
                "Enter the date", reverse("remittance:dated", args=[row.public_id]), key="d"
            )
        )
    if row.status == RemittanceStatus.QUARANTINED and row.held_for == HeldFor.PAYEE:
        actions.append(
            parts.Action(
                "Read again", reverse("remittance:read_again", args=[row.public_id]), "post"
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
    if row.status == RemittanceStatus.READY and row.second_for and row.agreed_by_id is None:
        own = actor.user_id == row.keyed_by_id
        actions.append(
            parts.Action(
                "Agree",
                reverse("remittance:agree", args=[row.public_id]),
                "post",
                key="g",
                disabled_reason="You keyed it: a colleague has to agree." if own else "",
            )
        )
    if row.status == RemittanceStatus.REVERSED:
        actions.append(
            parts.Action(
                "Take up again",
                reverse("remittance:reopen", args=[row.public_id]),
                "post",
                primary=True,
                key="u",
            )
        )
    if (
        row.status == RemittanceStatus.POSTING
        and row.job is not None
        and row.job.status not in OPEN
    ):
        actions.append(
            parts.Action(
                "Post the rest",
                reverse("remittance:post", args=[row.public_id]),
                "post",
                primary=True,
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
    finished = job.status not in OPEN
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
@may("remittance.post", money=True)
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


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post")
def dated(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The date of a payment whose file names none."""
    row = _remittance(request, public_id)
    page = reverse("remittance:remittance", args=[row.public_id])
    form = forms.PaidOnForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.remittance_date(
                remittance=row, paid_on=form.cleaned_data["paid_on"], actor=actor_of(request)
            )
        except Refused as refusal:
            form.add_error(
                refusal.field if refusal.field in form.fields else None,
                f"{refusal} {refusal.fix}".strip(),
            )
        else:
            messages.success(request, f"{row.trace} is dated and read again.")
            return redirect(page)
    context = {
        "title": f"Date of {row.trace}",
        "form": form,
        "verb": "Keep the date",
        "back_url": page,
        "crumbs": [
            parts.Crumb("Remittances", reverse("remittance:remittances")),
            parts.Crumb(row.trace, page),
        ],
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)


@require_POST
@may("remittance.post")
def read_again(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _remittance(request, public_id)
    try:
        services.remittance_read_again(remittance=row, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
        return redirect("remittance:remittance", public_id=row.public_id)
    if row.status == RemittanceStatus.QUARANTINED:
        messages.warning(request, "It was read again and is still held.")
    else:
        messages.success(request, "It was read again and is ready to post.")
    return redirect("remittance:remittance", public_id=row.public_id)


@require_POST
@may("remittance.post")
def match(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _remittance(request, public_id)
    count = services.remittance_match(remittance=row, actor=actor_of(request))
    messages.info(request, f"{count} found now." if count else "No further claim was found.")
    return redirect("remittance:remittance", public_id=row.public_id)


@require_POST
@may("remittance.post", money=True)
def agree(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The second person for a paper EOB."""
    row = _remittance(request, public_id)
    try:
        services.eob_agree(remittance=row, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        messages.success(request, "You agree: it can be posted.")
    return redirect("remittance:remittance", public_id=row.public_id)


@require_safe
@may("remittance.view")
def scan(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The scanned paper of a keyed EOB, as it came."""
    row = _remittance(request, public_id)
    paper = found(EobDocument.objects.visible_to(actor_of(request)), remittance=row)
    patients = ClaimPayment.objects.filter(remittance=row, claim__isnull=False)
    front.chart_read(
        request,
        [p.claim.patient for p in patients.select_related("claim__patient") if p.claim],
        "paper EOB",
    )
    response = HttpResponse(bytes(paper.content), content_type=paper.media_type)
    ending = scans.kind_of(bytes(paper.content))
    name = f"eob-{row.public_id}.{ending[1] if ending else 'bin'}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


@require_POST
@may("remittance.post", money=True)
def reopen(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Take a reversed remittance up again."""
    row = _remittance(request, public_id)
    try:
        services.remittance_reopen(remittance=row, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        messages.success(
            request, f"{row.trace} is taken up again: correct its claims, then post it."
        )
    return redirect("remittance:remittance", public_id=row.public_id)


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post", money=True)
def reverse_all(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Counter-entries for the whole remittance, with a reason."""
    row = _remittance(request, public_id)
    page = reverse("remittance:remittance", args=[row.public_id])
    form = forms.ReverseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            count = services.remittance_reverse(
                remittance=row,
                reason=form.cleaned_data["reason"],
                money_kept=form.cleaned_data["money"] != "gone",
                actor=actor_of(request),
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
            f" {fmt.plural(row.claim_count, 'claim')} are mirrored. Its denials are withdrawn. It"
            " can be taken up again, corrected and posted."
        ),
        "crumbs": [
            parts.Crumb("Remittances", reverse("remittance:remittances")),
            parts.Crumb(row.trace, page),
        ],
    }
    return render(request, "components/confirm.html", context, status=422 if form.errors else 200)
