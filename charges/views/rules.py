"""Rules by which exams are billed: arrangements, machines, reading groups, stock, policies."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from charges import forms, services
from charges.models import (
    BillingArrangement,
    ContrastStock,
    Reader,
    ReadingGroup,
    ReleasePolicy,
    Scanner,
)
from charges.services.settings import Touched, arrangement_touches
from intake import present as front
from rcm.accounts.problems import Refused
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order


def _span(row: Any) -> str:
    return f"{fmt.mdy(row.effective_from)} to {fmt.mdy(row.effective_to) or 'open'}"


def _machine_words(scanner: Scanner) -> str:
    puts = (
        ("FX", scanner.film),
        ("FY", scanner.computed_radiography),
        ("CT", scanner.modality == "CT" and not scanner.xr29),
    )
    return " ".join(modifier for modifier, on in puts if on) or "nothing"


def _rule_list(
    name: str,
    title: str,
    noun: tuple[str, str],
    columns: tuple[Column, ...],
    order: tuple[str, ...],
) -> ListPage:
    return ListPage(
        name=name,
        title=title,
        noun=noun,
        columns=columns,
        orders=(Order("default", "name", order),),
        detail=lambda row: reverse("charges:rule", args=[name, row.public_id]),
        actions=lambda request: (
            [parts.Action(f"Add {noun[0]}", reverse("charges:rule_new", args=[name]), primary=True)]
            if actor_of(request).can_somewhere("rules.edit")
            else []
        ),
        template="charges/rules.html",
        saved=False,
        empty=f"No {noun[0]} is entered yet.",
    )


SITE = Column(
    "site", "Site", lambda r: r.site.name if r.site else "All sites", kind="strong", link=True
)
SPAN = Column("span", "In force", _span)
RULES: dict[str, tuple[type, type[forms.RuleForm], ListPage, tuple[str, ...]]] = {
    "arrangements": (
        BillingArrangement,
        forms.ArrangementForm,
        _rule_list(
            "arrangements",
            "Billing arrangements",
            ("arrangement", "arrangements"),
            (
                SITE,
                Column("modality", "Modality", lambda r: r.modality or "any", kind="code"),
                Column("group", "Reading group", lambda r: r.group.name if r.group else "any"),
                Column("payer", "Payer", lambda r: r.payer.name if r.payer else "any"),
                Column(
                    "machine",
                    "Scanner and technologist",
                    lambda r: f"{r.equipment_owner}, {r.tech_employer}",
                ),
                Column(
                    "reader",
                    "Reader",
                    lambda r: r.reader_relation.replace("_", " "),
                    second=lambda r: r.force.replace("_", " "),
                ),
                SPAN,
            ),
            ("site__name", "modality", "pk"),
        ),
        ("site", "group", "payer"),
    ),
    "scanners": (
        Scanner,
        forms.ScannerForm,
        _rule_list(
            "scanners",
            "Scanners",
            ("scanner", "scanners"),
            (
                SITE,
                Column("name", "Name", "name", second="station", second_kind="code"),
                Column("modality", "Modality", "modality", kind="code"),
                Column("puts", "Puts on the line", _machine_words, kind="code"),
                SPAN,
            ),
            ("site__name", "name", "pk"),
        ),
        ("site",),
    ),
    "groups": (
        ReadingGroup,
        forms.GroupForm,
        _rule_list(
            "groups",
            "Reading groups",
            ("reading group", "reading groups"),
            (
                Column(
                    "name",
                    "Name",
                    "name",
                    kind="strong",
                    link=True,
                    second="npi",
                    second_kind="code",
                ),
                Column("relation", "Relation", lambda g: g.relation.replace("_", " ")),
                Column(
                    "where",
                    "Reads in",
                    lambda g: f"{g.city} {g.state} {g.zip}".strip(),
                    second="country",
                ),
            ),
            ("name", "pk"),
        ),
        (),
    ),
    "readers": (
        Reader,
        forms.ReaderForm,
        _rule_list(
            "readers",
            "Readers",
            ("reader", "readers"),
            (
                Column(
                    "name",
                    "Physician",
                    lambda r: str(r.provider),
                    kind="strong",
                    link=True,
                    second="provider.npi",
                    second_kind="code",
                ),
                Column("group", "Reading group", "group.name"),
                Column(
                    "span",
                    "Credentialed",
                    lambda r: (
                        f"{fmt.mdy(r.credentialed_from)} to {fmt.mdy(r.credentialed_to) or 'open'}"
                    ),
                ),
            ),
            ("provider__last_name", "pk"),
        ),
        ("provider", "group"),
    ),
    "stock": (
        ContrastStock,
        forms.StockForm,
        _rule_list(
            "stock",
            "Contrast stock",
            ("agent", "agents"),
            (
                SITE,
                Column("agent", "Agent", "agent"),
                Column("code", "Billing code", "code", kind="code"),
                Column(
                    "packed",
                    "Single-dose",
                    lambda s: {None: "not known", True: "yes, JZ or JW", False: "no"}[
                        s.single_dose
                    ],
                ),
                SPAN,
            ),
            ("agent", "pk"),
        ),
        ("site",),
    ),
    "policies": (
        ReleasePolicy,
        forms.PolicyForm,
        _rule_list(
            "policies",
            "Release policies",
            ("policy", "policies"),
            (
                SITE,
                Column(
                    "clocks",
                    "Report clocks",
                    lambda p: f"{p.warn_hours} h, {p.escalate_hours} h, {p.director_hours} h",
                ),
                Column(
                    "eligibility",
                    "Eligibility within",
                    lambda p: (
                        f"{p.eligibility_days} days" if p.eligibility_days else "not demanded"
                    ),
                ),
                Column("tc", "TC before report", "tc_without_report", kind="yes"),
                Column("auto", "Automatic release", "auto_release", kind="yes"),
                SPAN,
            ),
            ("-effective_from", "pk"),
        ),
        ("site",),
    ),
}


STARTS = ("site", "station", "name", "modality", "effective_from")
"""Fields that a link to a new rule may fill in beforehand."""


def _rule(kind: str) -> tuple[type, type[forms.RuleForm], ListPage, tuple[str, ...]]:
    if kind not in RULES:
        raise Http404
    return RULES[kind]


@require_GET
@may("rules.view")
def arrangements(request: HttpRequest) -> HttpResponseBase:
    return redirect("charges:rules", "arrangements")


@require_GET
@may("rules.view")
def rules(request: HttpRequest, kind: str) -> HttpResponseBase:
    model, _, page, joined = _rule(kind)
    rows = model.objects.visible_to(actor_of(request)).select_related(*joined)  # type: ignore[attr-defined]
    kinds = [
        {"name": name, "title": entry[2].title, "current": name == kind}
        for name, entry in RULES.items()
    ]
    return page.respond(request, rows, kinds=kinds)


@require_http_methods(["GET", "POST"])
@may("rules.edit")
def rule_new(request: HttpRequest, kind: str) -> HttpResponseBase:
    return _rule_page(request, kind, None)


@require_http_methods(["GET", "POST"])
@may("rules.edit")
def rule(request: HttpRequest, kind: str, public_id: str) -> HttpResponseBase:
    model, _, _, _ = _rule(kind)
    return _rule_page(
        request,
        kind,
        found(model.objects.visible_to(actor_of(request)), public_id=public_id),  # type: ignore[attr-defined]
    )


def _rule_page(request: HttpRequest, kind: str, row: Any) -> HttpResponseBase:
    _, form_class, page, _ = _rule(kind)
    actor = actor_of(request)
    told = {} if row else {name: request.GET[name] for name in STARTS if name in request.GET}
    form = form_class(request.POST or None, instance=row, actor=actor, initial=told)
    back = reverse("charges:rules", args=[kind])
    if request.method == "POST" and form.is_valid():
        wanted = form.save(commit=False)
        if isinstance(wanted, BillingArrangement) and "seen" not in request.POST:
            touched = arrangement_touches(row=wanted, before=_before(wanted), actor=actor)
            if touched.count or touched.final:
                return _touched_page(request, form, touched, back)
        try:
            services.rule_save(row=wanted, actor=actor)
        except Refused as refusal:
            form.add_error(
                refusal.field if refusal.field in form.fields else None,
                f"{refusal} {refusal.fix}".strip(),
            )
        else:
            messages.success(request, "Saved. Held exams are evaluated again.")
            return redirect(back)
    title = f"{'Change' if row else 'Add'} {page.noun[0]}"
    context = {
        "title": title,
        "form": form,
        "back_url": back,
        "crumbs": [parts.Crumb(page.title, back)],
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)


def _before(row: BillingArrangement) -> BillingArrangement | None:
    return BillingArrangement.objects.filter(pk=row.pk).first() if row.pk else None


def _touched_page(
    request: HttpRequest, form: forms.RuleForm, touched: Touched, back: str
) -> HttpResponseBase:
    """What the changed arrangement would touch, before it is saved."""
    front.chart_read(request, [e.patient for e in touched.exams], "arrangement change")
    context = {
        "title": "What this arrangement touches",
        "form": form,
        "touched": touched,
        "verb": "Save",
        "back_url": back,
        "crumbs": [parts.Crumb("Billing arrangements", back)],
    }
    return render(request, "charges/arrangement_touches.html", context)
