"""The bank file beside the remittances."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from rcm.accounts.problems import Refused
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import may
from rcm.web.lists import Column, ListPage, Order, Tab
from remittance import forms, services
from remittance.models import (
    Deposit,
)
from remittance.views.common import actor_of

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
        if actor_of(request).can_somewhere("remittance.post")
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
