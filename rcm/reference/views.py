"""Screens of payers, code sets and reference files."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.reference.facts import in_force
from rcm.reference.filters import PayerFilter, search
from rcm.reference.forms import LoadForm, PayerForm
from rcm.reference.loaders import Options, kind_of
from rcm.reference.loaders.load import FileRefused, load_file
from rcm.reference.models import (
    AddOn,
    AdjustmentReason,
    CoverageRow,
    Diagnosis,
    Modifier,
    MueEdit,
    Payer,
    PlaceOfService,
    Procedure,
    PtpEdit,
    ReferenceLoad,
    Remark,
    StateRule,
)
from rcm.reference.services import EDITABLE, payer_update
from rcm.reference.staging import drop, stage, staged
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab

UNKNOWN = "unknown"


def days(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value} days"


# --- payers ---------------------------------------------------------------------------------------

PAYERS = ListPage(
    name="payers",
    title="Payers",
    noun=("payer", "payers"),
    columns=(
        Column(
            "payer",
            "Payer",
            "name",
            width="payer",
            link=True,
            second=lambda p: p.get_kind_display(),
        ),
        Column(
            "code", "Code", "code", kind="code", width="id", second="edi_id", second_kind="code"
        ),
        Column("filing", "File within", lambda p: days(p.filing_days), width="due", order="filing"),
        Column(
            "corrected", "Correct within", lambda p: days(p.corrected_days), width="due", fold=True
        ),
        Column("appeal", "Appeal within", lambda p: days(p.appeal_days), width="due"),
        Column(
            "response", "Usually pays in", lambda p: days(p.response_days), width="due", fold=True
        ),
        Column("reviewer", "Reviewed by", "reviewer", fold=True),
        Column(
            "active",
            "State",
            lambda p: ("In use", "") if p.active else ("Not in use", "warn"),
            kind="tag",
            width="tag",
        ),
    ),
    orders=(
        Order("name", "name", ("name", "pk")),
        Order("filing", "days to file", ("filing_key", "pk")),
    ),
    tabs=(Tab("active", "In use", Q(active=True)), Tab("all", "All")),
    filterset=PayerFilter,
    detail=lambda p: reverse("reference:payer", args=[p.public_id]),
    row_label="name",
    empty="No payer matches.",
)


@require_safe
@may("rules.view")
def payers(request: HttpRequest) -> HttpResponseBase:
    from django.db.models.functions import Coalesce

    return PAYERS.respond(
        request, Payer.objects.annotate(filing_key=Coalesce("filing_days", 99_999))
    )


@require_safe
@may("rules.view")
def payer(request: HttpRequest, public_id: str) -> HttpResponse:
    row = found(Payer.objects.all(), public_id=public_id)
    actor = actor_of(request)
    today = office_day()
    return render(
        request,
        "reference/payer.html",
        {
            "payer": row,
            "crumbs": [parts.Crumb("Payers", reverse("reference:payers"))],
            "habits": _habits(row),
            "plans": row.plans.order_by("name"),
            "contracts": (
                row.contracts.filter(organization_id__in=actor.organizations)
                .select_related("plan", "site")
                .order_by("-effective_from")
            ),
            "rules": row.auth_rules.filter(in_force(today)).count(),
            "general_rules": _general_rules(row),
            "networks": _networks(row, actor, today),
            "history": (
                ReferenceLoad.objects.filter(
                    kind="payers", source__endswith=f": {row.code}"
                ).order_by("-id")[:10]
            ),
            "may_edit": actor.can("rules.edit"),
        },
    )


def _habits(row: Payer) -> list[tuple[str, list[tuple[str, str]]]]:
    def yes(value: bool) -> str:
        return "Yes" if value else "No"

    return [
        (
            "Claims",
            [
                ("File within", days(row.filing_days)),
                ("File as secondary within", days(row.secondary_filing_days)),
                ("Correct a claim within", days(row.corrected_days)),
                ("Appeal within", days(row.appeal_days)),
                ("Usually pays in", days(row.response_days)),
                ("Accepts replacement and void claims", yes(row.accepts_replacement)),
                ("Claim filing code", row.claim_filing),
                ("Member id looks like", row.member_id_pattern or UNKNOWN),
            ],
        ),
        (
            "Authorization",
            [
                ("Ask after the exam within", days(row.retro_auth_days)),
                (
                    "Change a code after the exam within",
                    (
                        UNKNOWN
                        if row.update_window_days is None
                        else f"{row.update_window_days} business days"
                    ),
                ),
                ("Peer to peer within", days(row.peer_to_peer_days)),
                (
                    "Decides within",
                    (
                        UNKNOWN
                        if row.auth_decision_hours is None
                        else f"{row.auth_decision_hours} hours"
                    ),
                ),
                ("Reviewed by", row.reviewer or "the payer"),
                ("Matches the site by tax id", yes(row.match_site_by_tin)),
                ("Ordering provider must match", yes(row.needs_ordering_match)),
                ("Screening mammogram needs an order", yes(row.screening_needs_order)),
                ("Wants a detailed reason", yes(row.wants_detailed_indication)),
            ],
        ),
        (
            "Billing",
            [
                ("Splits parts read in another locality", yes(row.split_on_locality)),
                ("Pays contrast separately", yes(row.contrast_payable)),
                ("Service types asked for", _service_types(row) or UNKNOWN),
            ],
        ),
    ]


def _service_types(row: Payer) -> str:
    """Modalities that are asked alike on one line: `62 4 30 for CT, MR`."""
    alike: dict[str, list[str]] = {}
    for modality, types in sorted(row.service_types.items()):
        alike.setdefault(" ".join(types), []).append(modality)
    return "\n".join(f"{types} for {', '.join(modalities)}" for types, modalities in alike.items())


def _general_rules(row: Payer) -> int:
    """Rules that reach this payer without naming it: by its kind, or for every payer."""
    rules = Payer._meta.get_field("auth_rules").related_model
    asked = Q(payer=None) & Q(payer_kind__in=("", row.kind))
    return int(rules._default_manager.filter(in_force(office_day()), asked).count())


def _networks(row: Payer, actor: Any, today: Any) -> list[dict[str, Any]]:
    """Each of our sites with its standing at this payer; a site without a row is unknown."""
    from rcm.accounts.models import Site

    sites = Site.objects.filter(organization_id__in=actor.organizations).select_related(
        "organization"
    )
    if actor.sites:
        sites = sites.filter(pk__in=actor.sites)
    standing = {
        n.site_id: n
        for n in row.network_spans.filter(
            in_force(today), site__in=sites, plan__isnull=True, withdrawn_at__isnull=True
        )
    }
    return [
        {"site": site, "network": standing.get(site.pk)}
        for site in sites.order_by("organization__name", "name")
    ]


@may("rules.edit")
def payer_edit(request: HttpRequest, public_id: str) -> HttpResponse:
    row = found(Payer.objects.all(), public_id=public_id)
    url = reverse("reference:payer", args=[row.public_id])
    form = PayerForm(request.POST or None, instance=found(Payer.objects.all(), public_id=public_id))
    if request.method == "POST" and form.is_valid():
        try:
            changed = payer_update(
                payer=row,
                values={n: form.cleaned_data[n] for n in EDITABLE},
                actor=actor_of(request),
            )
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, "Saved." if changed else "Nothing was different.")
            return redirect(url)
    context = {
        "title": row.name,
        "form": form,
        "back_url": url,
        "text": "Leave a number empty when it is not known; nothing is then assumed in silence.",
        "crumbs": [parts.Crumb("Payers", reverse("reference:payers")), parts.Crumb(row.name, url)],
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)


# --- code sets ------------------------------------------------------------------------------------

SINCE = Column("since", "From", "effective_from", kind="mdy", width="date", fold=True)
UNTIL = Column("until", "To", "effective_to", kind="mdy", width="date", fold=True)


def _tabs() -> tuple[Tab, ...]:
    return (
        Tab("now", "In force", lambda request: in_force(office_day())),
        Tab("all", "All versions"),
    )


CODE_SETS: dict[str, tuple[str, Any, ListPage]] = {
    name: (
        title,
        model,
        ListPage(
            name=f"codes-{name}",
            title=title,
            noun=noun,
            columns=(*columns, SINCE, UNTIL),
            orders=orders,
            tabs=_tabs(),
            filterset=filterset,
            template="reference/codes.html",
            row_label=label,
            empty="Nothing matches. A code that is not here is unknown and holds for review.",
            saved=False,
        ),
    )
    for name, title, model, noun, label, columns, orders, filterset in (
        (
            "procedures",
            "Procedures",
            Procedure,
            ("procedure", "procedures"),
            "code",
            (
                Column("code", "Code", "code", kind="code", width="id"),
                Column("name", "Name", "name", second="body_part"),
                Column("modality", "Modality", "modality", width="tag"),
                Column("family", "Family", "family", width="exam", fold=True),
                Column(
                    "contrast",
                    "Contrast",
                    lambda p: p.contrast.replace("_", " ") if p.contrast != "any" else "",
                    width="tag",
                ),
                Column("unit", "Unit", "unit", width="tag", fold=True),
                Column(
                    "auth",
                    "Usually reviewed",
                    lambda p: (
                        UNKNOWN if p.auth_default is None else "Yes" if p.auth_default else "No"
                    ),
                    width="tag",
                ),
            ),
            (Order("code", "code", ("code", "pk")),),
            search("Code, name or family", "code", "name*", "family", "modality"),
        ),
        (
            "carc",
            "Adjustment reasons",
            AdjustmentReason,
            ("reason", "reasons"),
            "code",
            (
                Column("code", "Code", "code", kind="code", width="id"),
                Column("words", "Meaning", "words", second="first_action"),
                Column(
                    "class", "Class", lambda r: r.klass.replace("_", " ") or UNKNOWN, width="tag"
                ),
                Column(
                    "category", "Category", lambda r: r.category.replace("_", " "), width="payer"
                ),
                Column("owner", "Owner", "owner_stage", width="tag", fold=True),
            ),
            (Order("code", "code", ("code", "pk")),),
            search("Code, word or category", "code", "words*", "category", "klass"),
        ),
        (
            "rarc",
            "Remarks",
            Remark,
            ("remark", "remarks"),
            "code",
            (
                Column("code", "Code", "code", kind="code", width="id"),
                Column("words", "Meaning", "words"),
                Column(
                    "category", "Category", lambda r: r.category.replace("_", " "), width="payer"
                ),
            ),
            (Order("code", "code", ("code", "pk")),),
            search("Code, word or category", "code", "words*", "category"),
        ),
        (
            "diagnoses",
            "Diagnoses",
            Diagnosis,
            ("diagnosis", "diagnoses"),
            "code",
            (
                Column("code", "Code", "code", kind="code", width="id"),
                Column("name", "Name", "name"),
            ),
            (Order("code", "code", ("code", "pk")),),
            search("Code or word", "code", "name*"),
        ),
        (
            "pairs",
            "Procedure pairs",
            PtpEdit,
            ("pair", "pairs"),
            "pk",
            (
                Column("paid", "Paid", "column1", kind="code", width="id"),
                Column("denied", "Denied beside it", "column2", kind="code", width="id"),
                Column(
                    "modifier",
                    "Modifier",
                    lambda p: {"0": "never", "1": "may separate them"}.get(
                        p.modifier_indicator, "not applicable"
                    ),
                    width="exam",
                ),
                Column("why", "Why", "rationale"),
            ),
            (Order("code", "code", ("column1", "column2", "pk")),),
            search("Code", "column1", "column2"),
        ),
        (
            "units",
            "Unit limits",
            MueEdit,
            ("limit", "limits"),
            "code",
            (
                Column("code", "Code", "code", kind="code", width="id"),
                Column("value", "Most units a day", "value", kind="number", width="num"),
                Column(
                    "mai",
                    "Applied",
                    lambda m: {
                        "1": "per line",
                        "2": "per day, absolute",
                        "3": "per day, may be appealed",
                    }.get(m.mai, UNKNOWN),
                ),
                Column("program", "Program", "program", width="tag"),
            ),
            (Order("code", "code", ("code", "pk")),),
            search("Code", "code", "program"),
        ),
        (
            "addons",
            "Add-on codes",
            AddOn,
            ("add-on", "add-ons"),
            "addon",
            (
                Column("addon", "Add-on", "addon", kind="code", width="id"),
                Column("primary", "Primary", "primary", kind="code", width="id"),
                Column(
                    "type",
                    "List",
                    lambda a: {
                        "1": "these primaries only",
                        "2": "the contractor decides",
                        "3": "these and others",
                    }.get(a.aoc_type, ""),
                ),
            ),
            (Order("code", "code", ("addon", "primary", "pk")),),
            search("Code", "addon", "primary"),
        ),
        (
            "coverage",
            "Coverage lists",
            CoverageRow,
            ("row", "rows"),
            "pk",
            (
                Column("code", "Code", "code", kind="code", width="id"),
                Column("dx", "Diagnosis", "diagnosis", kind="code", width="id"),
                Column("covered", "Covered", "covered", kind="yes", width="tag"),
                Column("policy", "Policy", "policy"),
                Column(
                    "advisory",
                    "Force",
                    lambda c: "advises" if c.advisory else "decides",
                    width="tag",
                ),
            ),
            (Order("code", "code", ("code", "diagnosis", "pk")),),
            search("Code or diagnosis", "code", "diagnosis"),
        ),
        (
            "modifiers",
            "Modifiers",
            Modifier,
            ("modifier", "modifiers"),
            "code",
            (
                Column("code", "Code", "code", kind="code", width="id"),
                Column("name", "Name", "name", second="effect"),
                Column("kind", "Group", "kind", width="tag"),
                Column("rank", "Order", "rank", kind="number", width="num"),
            ),
            (Order("rank", "order on the line", ("rank", "code", "pk")),),
            search("Code or word", "code", "name*"),
        ),
        (
            "places",
            "Places of service",
            PlaceOfService,
            ("place", "places"),
            "code",
            (
                Column("code", "Code", "code", kind="code", width="id"),
                Column("name", "Name", "name"),
                Column(
                    "fee",
                    "Fee column",
                    lambda p: "Facility" if p.facility else "Office",
                    width="tag",
                ),
                Column(
                    "tc",
                    "Technical part billable",
                    lambda p: (
                        UNKNOWN if p.tc_billable is None else "Yes" if p.tc_billable else "No"
                    ),
                    width="tag",
                ),
            ),
            (Order("code", "code", ("code", "pk")),),
            search("Code or word", "code", "name*"),
        ),
        (
            "states",
            "State rules",
            StateRule,
            ("state", "states"),
            "state",
            (
                Column("state", "State", "state", kind="code", width="id", second="name"),
                Column("mac", "Medicare contractor", "mac", second="carrier"),
                Column(
                    "pay", "Prompt pay", lambda s: days(s.prompt_pay_days_electronic), width="due"
                ),
                Column(
                    "interest",
                    "Interest a year",
                    lambda s: (
                        UNKNOWN if s.interest_pct is None else f"{s.interest_pct.normalize():f}%"
                    ),
                    width="due",
                ),
                Column(
                    "medicaid",
                    "Medicaid files within",
                    lambda s: days(s.medicaid_filing_days),
                    width="due",
                ),
                Column(
                    "confidence",
                    "Confidence",
                    lambda s: s.confidence or UNKNOWN,
                    width="tag",
                    second="basis",
                ),
            ),
            (Order("state", "state", ("state", "pk")),),
            search("State", "state", "name*", "mac*"),
        ),
    )
}


@require_safe
@may("rules.view")
def codes(request: HttpRequest, name: str) -> HttpResponseBase:
    if name not in CODE_SETS:
        raise Http404
    _, model, page = CODE_SETS[name]
    sets = [(key, title, key == name) for key, (title, _, _) in CODE_SETS.items()]
    return page.respond(request, model.objects.all(), sets=sets)


# --- loads ----------------------------------------------------------------------------------------

LOADS = ListPage(
    name="reference-loads",
    title="Reference files",
    noun=("load", "loads"),
    columns=(
        Column("kind", "What", lambda r: _label(r.kind), width="payer", link=True, second="source"),
        Column("at", "Loaded", "loaded_at", kind="moment", width="moment"),
        Column("by", "By", "actor_name", width="who", fold=True),
        Column("rows", "Rows", "rows", kind="number", width="num"),
        Column("added", "Added", "added", kind="number", width="num"),
        Column("changed", "Changed", "changed", kind="number", width="num"),
        Column("closed", "Closed", "closed", kind="number", width="num"),
        Column(
            "bad",
            "Refused",
            lambda r: (str(len(r.bad)), "warn") if r.bad else "",
            kind="tag",
            width="tag",
        ),
    ),
    orders=(Order("latest", "newest first", ("-id",)),),
    detail=lambda r: reverse("reference:load", args=[r.pk]),
    row_label=lambda r: f"load {r.pk}",
    empty="Nothing has been loaded. Every code is unknown and holds for review.",
    actions=lambda request: (
        [parts.Action("Load a file", reverse("reference:load_new"), primary=True)]
        if actor_of(request).can_somewhere("rules.edit")
        else []
    ),
)


def _label(name: str) -> str:
    try:
        return kind_of(name).label
    except KeyError:
        return name


@require_safe
@may("rules.view")
def loads(request: HttpRequest) -> HttpResponseBase:
    return LOADS.respond(request, ReferenceLoad.objects.all())


@require_safe
@may("rules.view")
def load(request: HttpRequest, pk: int) -> HttpResponse:
    row = found(ReferenceLoad.objects.all(), pk=pk)
    crumbs = [parts.Crumb("Reference files", reverse("reference:loads"))]
    return render(
        request, "reference/load.html", {"load": row, "label": _label(row.kind), "crumbs": crumbs}
    )


@may("rules.edit")
def load_new(request: HttpRequest) -> HttpResponse:
    """Choose a file, see what it would change, then load it."""
    actor = actor_of(request)
    form = LoadForm(
        request.POST or None, request.FILES or None, initial={"kind": request.GET.get("kind", "")}
    )
    context: dict[str, Any] = {
        "crumbs": [parts.Crumb("Reference files", reverse("reference:loads"))],
        "form": form,
    }
    if request.method == "POST" and request.POST.get("token"):
        return _load_staged(request)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            token = stage(upload=values["file"], actor=actor)
            with staged(token=token, actor=actor) as path:
                _, outcome = load_file(
                    kind=values["kind"],
                    path=path,
                    options=Options(values["effective"], values["year"]),
                    complete=values["complete"],
                    preview=True,
                )
        except FileRefused as refusal:
            form.add_error("file", str(refusal))
        except Refused as refusal:
            form.add_error("file", f"{refusal} {refusal.fix}".strip())
        else:
            hidden = [(n, values[n]) for n in ("kind", "year") if values[n]]
            hidden += (
                [("effective", values["effective"].isoformat())] if values["effective"] else []
            )
            hidden += [("complete", "1")] if values["complete"] else []
            context |= {
                "outcome": outcome,
                "label": _label(values["kind"]),
                "file_name": values["file"].name,
                "hidden": [("token", token), *hidden],
                "changes": bool(outcome.added or outcome.changed or outcome.closed),
            }
            return render(request, "reference/load_preview.html", context)
    return render(request, "reference/load_new.html", context, status=422 if form.errors else 200)


def _load_staged(request: HttpRequest) -> HttpResponse:
    import datetime as dt

    actor = actor_of(request)
    token = request.POST["token"]
    try:
        kind = kind_of(request.POST.get("kind", ""))
        effective = (
            dt.date.fromisoformat(request.POST["effective"])
            if request.POST.get("effective")
            else None
        )
        year = int(request.POST["year"]) if request.POST.get("year") else None
    except (KeyError, ValueError) as error:
        raise Http404 from error
    try:
        with staged(token=token, actor=actor) as path:
            record, outcome = load_file(
                kind=kind.name,
                path=path,
                options=Options(effective, year),
                complete=bool(request.POST.get("complete")),
                actor_name=actor.name,
            )
    except (FileRefused, Refused) as refusal:
        messages.error(request, str(refusal))
        return redirect("reference:load_new")
    drop(token=token, actor=actor)
    if record is None:
        messages.info(request, "This file is already loaded. Nothing changed.")
        return redirect("reference:loads")
    messages.success(
        request, f"{outcome.added} added, {outcome.changed} changed, {outcome.closed} closed."
    )
    return redirect("reference:load", pk=record.pk)


@require_safe
@may("rules.view")
def kinds_page(request: HttpRequest) -> HttpResponse:
    """What can be loaded, from where, and how many rows are in force."""
    from rcm.reference.loaders import kinds

    loads = dict(ReferenceLoad.objects.values_list("kind").annotate(Count("id")))
    rows = [
        {
            "kind": kind,
            "layouts": ", ".join(layout.name for layout in kind.layouts),
            "loads": loads.get(kind.name, 0),
            "rows": kind.model._default_manager.count(),
        }
        for kind in kinds()
    ]
    crumbs = [parts.Crumb("Reference files", reverse("reference:loads"))]
    may_edit = actor_of(request).can("rules.edit")
    return render(
        request, "reference/kinds.html", {"rows": rows, "crumbs": crumbs, "may_edit": may_edit}
    )
