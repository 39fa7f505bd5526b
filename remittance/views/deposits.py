"""The bank file beside the remittances."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab
from remittance import forms, services
from remittance.models import Deposit, Remittance

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
        Column("near", "Nearly", "near_words", width="wide", second="near.trace"),
        Column(
            "age",
            "Age",
            lambda d: "" if d.remittance_id else f"{(office_day() - d.deposited_on).days} days",
            width="num",
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
        reverse("remittance:remittance", args=[d.remittance.public_id])
        if d.remittance
        else reverse("remittance:deposit", args=[d.public_id])
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
        request, Deposit.objects.visible_to(actor_of(request)).select_related("remittance", "near")
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post", money=True)
def deposits_import(request: HttpRequest) -> HttpResponseBase:
    actor = actor_of(request)
    form = forms.BankForm(
        request.POST or None,
        request.FILES or None,
        organizations=actor.organizations,
        hint="CSV with the columns date, amount, reference and, if you like, description.",
    )
    if request.method == "POST" and form.is_valid():
        content = form.cleaned_data["file"].read()
        try:
            result = services.deposits_import(
                organization_id=form.cleaned_data["organization"].pk,
                content=content,
                mapping=form.mapping(),
                actor=actor,
            )
        except Refused as refusal:
            if refusal.code == "no_columns":
                form.ask_columns(services.bank_heads(content))
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


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post", money=True)
def deposit(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """A bank line without its remittance: what it nearly is, and the joining of the two."""
    actor = actor_of(request)
    row = found(
        Deposit.objects.visible_to(actor).select_related("near", "remittance"), public_id=public_id
    )
    form = forms.JoinForm(
        request.POST or None, initial={"trace": row.near.trace if row.near else ""}
    )
    if request.method == "POST" and form.is_valid():
        rows = Remittance.objects.visible_to(actor).filter(
            organization_id=row.organization_id,
            trace__iexact=form.cleaned_data["trace"].strip(),
            deposited_on__isnull=True,
        )
        other = rows.order_by("-paid_on", "-id").first()
        if other is None:
            form.add_error("trace", "No remittance under this number waits for its deposit.")
        else:
            try:
                services.deposit_join(
                    deposit=row,
                    remittance=other,
                    reason=form.cleaned_data["reason"],
                    actor=actor,
                )
            except Refused as refusal:
                form.add_error(
                    refusal.field if refusal.field in form.fields else None,
                    f"{refusal} {refusal.fix}".strip(),
                )
            else:
                messages.success(request, f"Joined to {other.trace}.")
                return redirect("remittance:deposits")
    near = f" {row.near_words}." if row.near_words else ""
    context = {
        "title": f"Deposit of {fmt.money(row.amount)}",
        "form": form,
        "verb": "Join",
        "back_url": reverse("remittance:deposits"),
        "text": f"{row.reference}, on the bank file of {row.deposited_on:%b %-d, %Y}.{near}",
        "crumbs": [parts.Crumb("Deposits", reverse("remittance:deposits"))],
        "disabled_reason": "It has its remittance." if row.remittance else "",
    }
    return render(request, "components/confirm.html", context, status=422 if form.errors else 200)
