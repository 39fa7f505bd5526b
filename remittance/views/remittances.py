"""The list of remittances, and its two doors: an 835 file and a paper EOB."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods, require_safe

from rcm.accounts.middleware import own_transactions
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.exchange.models import InterchangeStatus
from rcm.exchange.services import process
from rcm.web import parts
from rcm.web.access import actor_of, may
from rcm.web.lists import Column, ListPage, Order, Tab
from remittance import forms, present, services
from remittance.filters import RemittanceFilter
from remittance.models import (
    Remittance,
    RemittanceStatus,
)
from remittance.records import ScannedEob

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
        Column("paid", "Dated", present.dated, kind="day", width="date", order="paid"),
        Column("amount", "Amount", "amount", kind="money", width="money", order="amount"),
        Column("claims", "Claims", "claim_count", kind="number", width="num"),
        Column(
            "status",
            "Status",
            present.status_tag,
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
        Tab("wrong", "Held", Q(status=RemittanceStatus.QUARANTINED)),
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
        if actor_of(request).can_somewhere("remittance.post")
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
@may("remittance.post", money=True)
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
                else _first_refused(row)
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


SAID = 3
"""Refused repeats named one by one after an upload."""


def _first_refused(row: Any) -> str:
    """Where to go when a file brought nothing new: to the first of what it repeats."""
    refused = row.summary.get("refused") or []
    if refused:
        return reverse("remittance:remittance", args=[refused[0]["remittance"]])
    return reverse("remittance:remittances") + "?view=all"


def _say(request: HttpRequest, row: Any, fresh: bool) -> None:
    if not fresh:
        messages.info(request, "This file was here before. Nothing was done twice.")
    elif row.status == InterchangeStatus.STORED:
        messages.success(
            request, "Stored. The posting workers read it now; it appears here in a moment."
        )
    elif row.status == InterchangeStatus.PROCESSED or row.summary:
        s = row.summary
        words = [f"{s.get('remittances', 0)} ready"]
        if s.get("quarantined"):
            words.append(f"{s['quarantined']} held")
        if s.get("duplicates"):
            words.append(f"{s['duplicates']} refused because the payment stands already")
        messages.success(request, f"Read: {', '.join(words)}.")
        if row.status != InterchangeStatus.PROCESSED:
            messages.warning(request, f"Something of the file is left to a person: {row.error}")
        for known in s.get("refused", [])[:SAID]:
            page = reverse("remittance:remittance", args=[known["remittance"]])
            messages.info(
                request, format_html('{} <a href="{}">Open the first</a>.', known["sentence"], page)
            )
    else:
        messages.error(request, f"The file could not be read: {row.error}")


def _scan(file: Any) -> ScannedEob | None:
    return ScannedEob(file.read(), file.name or "") if file else None


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post", money=True)
def eob(request: HttpRequest) -> HttpResponseBase:
    """A paper EOB, with what is left of every line and of the check shown until all is
    explained.
    """
    actor = actor_of(request)
    rows = request.POST.get("rows", "")
    count = int(rows) if rows.isdecimal() and len(rows) < 3 else 6
    more = "more" in request.POST
    form = forms.EobForm(
        request.POST or None,
        request.FILES or None,
        organizations=actor.organizations,
        rows=count + (4 if more else 0),
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
                        organization_id=form.cleaned_data["organization"].pk,
                        eob=keyed,
                        document=_scan(form.cleaned_data["document"]),
                        actor=actor,
                    )
                except Refused as refusal:
                    form.add_error(
                        refusal.field if refusal.field in form.fields else None, str(refusal)
                    )
                else:
                    messages.success(request, f"Check {row.trace} is kept and balances.")
                    if row.second_for:
                        messages.warning(request, row.second_for)
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
