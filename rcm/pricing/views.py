"""Screens of pricing: the quote that explains itself, contracts with their rates, list prices."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.pricing import services
from rcm.pricing.filters import ContractFilter, PriceFilter
from rcm.pricing.models import Contract, ContractRate, ListPrice
from rcm.pricing.terms import FLAGS, WORDS
from rcm.pricing.web_forms import SCOPE_WORDS, ContractForm, PriceSheetForm, QuoteForm, SheetForm
from rcm.reference.facts import in_force, procedures
from rcm.reference.staging import drop, stage, staged
from rcm.web import keyset, parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab

STATUS_TAGS = {
    "priced": ("Priced", "good"),
    "hold": ("On hold", "warn"),
    "not_payable": ("Not payable", ""),
    "blocked": ("Blocked", "bad"),
}


# --- quote ----------------------------------------------------------------------------------------


@may("price.view")
def quote(request: HttpRequest) -> HttpResponse:
    """What a payer is expected to pay for a session, with every step. The question is the
    address.
    """
    actor = actor_of(request)
    asked = "lines" in request.GET
    form = QuoteForm(request.GET if asked else None, actor=actor, initial={"date": office_day()})
    answer: dict[str, Any] | None = None
    if asked and form.is_valid():
        answer = services.quote(payload=form.payload(), actor=actor)
        for error in answer["errors"]:
            field = {"date_of_service": "date"}.get(
                error["field"], error["field"].split("[")[0].split(".")[0]
            )
            form.add_error(field if field in form.fields else None, f"{error['message']}")
        if answer["errors"]:
            answer = None
        else:
            names = procedures(
                {line["code"] for line in answer["lines"]},
                dt.date.fromisoformat(answer["date_of_service"]),
            )
            for line in answer["lines"]:
                row = names.get(line["code"])
                line["name"] = row.name if row else "not in the catalog"
                line["tag"] = STATUS_TAGS[line["status"]]
    return render(
        request,
        "pricing/quote.html",
        {"form": form, "answer": answer},
        status=422 if asked and form.errors else 200,
    )


# --- contracts ------------------------------------------------------------------------------------


CONTRACTS = ListPage(
    name="contracts",
    title="Contracts",
    noun=("contract", "contracts"),
    columns=(
        Column("name", "Contract", "name", width="payer", link=True, second="organization.name"),
        Column(
            "payer",
            "Payer",
            "payer.name",
            width="payer",
            second=lambda c: c.plan.name if c.plan else "every plan",
        ),
        Column("site", "Site", lambda c: c.site.name if c.site else "every site", fold=True),
        Column("rate", "Pays", "method_words"),
        Column("from", "From", "effective_from", kind="mdy", width="date"),
        Column("to", "To", "effective_to", kind="mdy", width="date"),
    ),
    orders=(Order("payer", "payer, newest first", ("payer__name", "-effective_from", "pk")),),
    tabs=(
        Tab("now", "In force", lambda request: in_force(office_day())),
        Tab("all", "All"),
    ),
    filterset=ContractFilter,
    detail=lambda c: reverse("pricing:contract", args=[c.public_id]),
    row_label="name",
    empty="No contract is loaded. Payments other than Medicare's cannot be expected.",
    actions=lambda request: (
        [parts.Action("Add a contract", reverse("pricing:contract_new"), primary=True)]
        if actor_of(request).can_somewhere("rules.edit")
        else []
    ),
)


def _visible(request: HttpRequest) -> Any:
    return Contract.objects.visible_to(actor_of(request)).select_related(
        "organization", "payer", "plan", "site"
    )


@require_safe
@may("rules.view")
def contracts(request: HttpRequest) -> HttpResponseBase:
    return CONTRACTS.respond(request, _visible(request))


@require_safe
@may("rules.view")
def contract(request: HttpRequest, public_id: str) -> HttpResponse:
    row = found(_visible(request), public_id=public_id)
    rates = keyset.page(
        ContractRate.objects.filter(contract=row),
        ("code", "modality", "mod", "modifier", "effective_from", "pk"),
        cursor=request.GET.get("cursor", ""),
    )
    return render(
        request,
        "pricing/contract.html",
        {
            "contract": row,
            "rates": rates,
            "pays": row.method_words,
            "terms": _terms(row),
            "crumbs": [parts.Crumb("Contracts", reverse("pricing:contracts"))],
            "may_edit": actor_of(request).can("rules.edit", row),
        },
    )


def _terms(row: Contract) -> list[tuple[str, str]]:
    """Terms in words; what the paper does not say is said to be silent."""
    said: list[tuple[str, str]] = []
    scopes = {scope.value: words for scope, words in SCOPE_WORDS.items()}
    for name, words in WORDS.items():
        value = row.terms.get(name, FLAGS.get(name))
        if name == "mppr_scope":
            said.append((words, scopes.get(str(value), "silent: such sessions are held")))
        elif isinstance(value, bool):
            said.append((words, "Yes" if value else "No"))
        elif value not in (None, ""):
            said.append((words, str(value)))
    return said


@may("rules.edit")
def contract_new(request: HttpRequest) -> HttpResponse:
    from rcm.reference.facts import payer_book

    payer = payer_book().find(code=request.GET.get("payer", ""))
    form = ContractForm(
        request.POST or None,
        actor=actor_of(request),
        initial={"payer": payer.pk if payer else None},
    )
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            made = services.contract_create(
                organization_id=values["organization"].pk,
                payer=values["payer"],
                plan=values["plan"],
                site=values["site"],
                name=values["name"],
                method=values["method"],
                terms=form.terms(),
                effective_from=values["effective_from"],
                effective_to=values["effective_to"],
                actor=actor_of(request),
            )
        except Refused as refusal:
            form.add_error(
                refusal.field if refusal.field in form.fields else None,
                f"{refusal} {refusal.fix}".strip(),
            )
        else:
            messages.success(request, "Contract added. Its narrower rates come from a sheet.")
            return redirect("pricing:contract", public_id=made.public_id)
    context = {
        "title": "Add a contract",
        "form": form,
        "verb": "Add",
        "back_url": reverse("pricing:contracts"),
        "crumbs": [parts.Crumb("Contracts", reverse("pricing:contracts"))],
        "text": (
            "A contract for the same payer, plan and site ends on the day before this one begins."
        ),
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)


@may("rules.edit")
def contract_edit(request: HttpRequest, public_id: str) -> HttpResponse:
    row = found(_visible(request), public_id=public_id)
    url = reverse("pricing:contract", args=[row.public_id])
    form = ContractForm(request.POST or None, actor=actor_of(request), contract=row)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            services.contract_change(
                contract=row,
                name=values["name"],
                method=values["method"],
                terms=form.terms(),
                effective_to=values["effective_to"],
                actor=actor_of(request),
            )
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, "Saved.")
            return redirect(url)
    context = {
        "title": row.name,
        "form": form,
        "back_url": url,
        "crumbs": [
            parts.Crumb("Contracts", reverse("pricing:contracts")),
            parts.Crumb(row.name, url),
        ],
        "text": (
            "This corrects the contract from its first day. New terms from a later day are a new"
            " contract."
        ),
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)


@may("rules.edit")
def rates_import(request: HttpRequest, public_id: str) -> HttpResponse:
    """A sheet of rates: what it changes first, then the change."""
    actor = actor_of(request)
    row = found(_visible(request), public_id=public_id)
    url = reverse("pricing:contract", args=[row.public_id])

    def lay(path: Any, preview: bool) -> services.SheetResult:
        return services.rates_import(contract=row, path=path, actor=actor, preview=preview)

    return sheet_page(
        request,
        SheetForm(request.POST or None, request.FILES or None),
        lay,
        {
            "title": f"Rates of {row.name}",
            "back_url": url,
            "crumbs": [
                parts.Crumb("Contracts", reverse("pricing:contracts")),
                parts.Crumb(row.name, url),
            ],
            "columns": (
                "method, code, modality, component, modifier, amount, percent, medicare_year,"
                " carve_out, effective_from, effective_to"
            ),
            "text": (
                "method is percent_of_medicare, percent_of_charge or flat. Only method is needed in"
                " every row, with percent or amount."
            ),
        },
    )


def sheet_page(
    request: HttpRequest,
    form: SheetForm,
    lay: Callable[[Any, bool], services.SheetResult],
    context: dict[str, Any],
) -> HttpResponse:
    """Upload, preview, apply: the same for rates, prices and network spans. The sheet waits in the
    shared cache for its second step. `form_template` and `preview_template` of the context name
    other pages than those of prices.
    """
    actor = actor_of(request)
    token = request.POST.get("token", "")
    try:
        if request.method == "POST" and token:
            with staged(token=token, actor=actor) as path:
                result = lay(path, False)
            drop(token=token, actor=actor)
            done = result.summary
            messages.success(
                request, f"{done['added']} added, {done['changed']} changed, {done['bad']} refused."
            )
            return redirect(context["back_url"])
        if request.method == "POST" and form.is_valid():
            token = stage(upload=form.cleaned_data["file"], actor=actor)
            with staged(token=token, actor=actor) as path:
                result = lay(path, True)
            hidden = [(name, form.data.get(name, "")) for name in form.fields if name != "file"]
            return render(
                request,
                context.get("preview_template", "pricing/sheet_preview.html"),
                {**context, "result": result, "hidden": [("token", token), *hidden]},
            )
    except Refused as refusal:
        if token and "file" not in request.FILES:
            messages.error(request, str(refusal))
            return redirect(request.path)
        form.add_error("file", str(refusal))
    return render(
        request,
        context.get("form_template", "pricing/sheet.html"),
        {**context, "form": form},
        status=422 if form.errors else 200,
    )


# --- list prices ----------------------------------------------------------------------------------

PRICES = ListPage(
    name="prices",
    title="List prices",
    noun=("price", "prices"),
    columns=(
        Column(
            "code", "Code", "code", kind="code", width="id", second=lambda p: p.mod or "whole test"
        ),
        Column("amount", "Charge", "amount", kind="money", width="money"),
        Column("organization", "Organization", "organization.name", width="payer"),
        Column("from", "From", "effective_from", kind="mdy", width="date"),
        Column("to", "To", "effective_to", kind="mdy", width="date"),
    ),
    orders=(Order("code", "code", ("code", "mod", "-effective_from", "pk")),),
    tabs=(
        Tab("now", "In force", lambda request: in_force(office_day())),
        Tab("all", "All"),
    ),
    filterset=PriceFilter,
    row_label="code",
    empty="No list price. A charge without a price is held.",
    actions=lambda request: (
        [parts.Action("Import a sheet", reverse("pricing:prices_import"), primary=True)]
        if actor_of(request).can_somewhere("rules.edit")
        else []
    ),
)


@require_safe
@may("price.view")
def prices(request: HttpRequest) -> HttpResponseBase:
    return PRICES.respond(
        request, ListPrice.objects.visible_to(actor_of(request)).select_related("organization")
    )


@may("rules.edit")
def prices_import(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    form = PriceSheetForm(request.POST or None, request.FILES or None, actor=actor)
    if request.method == "POST" and not form.is_valid() and set(form.errors) - {"file"}:
        return render(request, "pricing/sheet.html", {**_price_page(), "form": form}, status=422)

    def lay(path: Any, preview: bool) -> services.SheetResult:
        values = form.cleaned_data
        if "organization" not in values or "effective_from" not in values:
            raise Http404
        return services.prices_import(
            organization_id=values["organization"].pk,
            path=path,
            actor=actor,
            effective_from=values["effective_from"],
            preview=preview,
        )

    return sheet_page(request, form, lay, _price_page())


def _price_page() -> dict[str, Any]:
    return {
        "title": "Import list prices",
        "back_url": reverse("pricing:prices"),
        "crumbs": [parts.Crumb("List prices", reverse("pricing:prices"))],
        "columns": "code, component (26, TC or empty), amount, effective_from, effective_to",
        "text": "The charge of one unit.",
    }
