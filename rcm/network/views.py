"""Screens of the network: the matrix, one party with one payer, the sheet in and out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.accounts.problems import Conflict, Refused
from rcm.network import services
from rcm.network.forms import EndForm, NetworkSheetForm, SpanForm, WithdrawForm
from rcm.network.matrix import (
    KINDS,
    Asked,
    Matrix,
    cell_url,
    matrix,
    payers_with_network,
    rows_asked,
)
from rcm.network.models import NetworkSheet, NetworkSpan, Party, Standing
from rcm.network.parties import Row, rows_of
from rcm.network.services import Cell, spans_of, version_of
from rcm.network.sheets import COLUMNS, written
from rcm.pricing.views import sheet_page
from rcm.reference.models import Payer
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.forms import read_date
from rcm.web.lists import csv_response, edited

# --- the matrix -----------------------------------------------------------------------------------


def _organizations(actor: Actor) -> list[Organization]:
    return list(Organization.objects.filter(pk__in=actor.organizations).order_by("name"))


def _organization(request: HttpRequest, among: list[Organization]) -> Organization:
    """The organization that the address names, else the first of the actor's."""
    asked = request.GET.get("organization", "")
    if not among:
        raise Http404
    row = next((o for o in among if str(o.public_id) == asked), None)
    if asked and row is None:
        raise Http404
    return row or among[0]


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else 1


def _asked(request: HttpRequest) -> Asked:
    got = request.GET
    kind, status = got.get("kind", ""), got.get("status", "")
    return Asked(
        on=read_date(got.get("on", "")) or office_day(),
        kind=kind if kind in Party.values else "",
        who=got.get("who", "").strip()[:80],
        payer=got.get("payer", "").strip()[:80],
        status=status if status in Standing.values else "",
        page=_number(got.get("page", "")),
        below=_number(got.get("below", "")),
    )


@require_safe
@may("rules.view")
def matrix_page(request: HttpRequest) -> HttpResponse:
    """Sites and readers against payers, on one day."""
    actor = actor_of(request)
    among = _organizations(actor)
    organization = _organization(request, among)
    asked = _asked(request)
    shown = matrix(organization, asked, sites=actor.sites)
    return render(
        request,
        "network/matrix.html",
        {
            "organization": organization,
            "organizations": among if len(among) > 1 else [],
            "asked": asked,
            "matrix": shown,
            "kinds": KINDS,
            "statuses": Standing.choices,
            "pages": _pages(request, shown),
            "export_url": reverse("network:export") + edited(request.GET, page=None, below=None),
            "import_url": (
                reverse("network:load")
                if actor.can("rules.edit", organization, entire=True)
                else ""
            ),
        },
    )


def _pages(request: HttpRequest, shown: Matrix) -> dict[str, str]:
    """Where the arrows lead: earlier and later payers, rows above and below."""
    got = request.GET
    page, below = shown.page, shown.below
    return {
        "left": edited(got, page=page - 1) if page > 1 else "",
        "right": edited(got, page=page + 1) if shown.last_payer < shown.payers_total else "",
        "up": edited(got, below=below - 1) if below > 1 else "",
        "down": edited(got, below=below + 1) if shown.last_row < shown.rows_total else "",
    }


@require_safe
@may("rules.view")
def export(request: HttpRequest) -> HttpResponseBase:
    """Every span that stands, past ones too, of the rows and payers that the filters show, as a
    sheet that can be loaded again.
    """
    actor = actor_of(request)
    organization = _organization(request, _organizations(actor))
    asked = _asked(request)
    keys = {r.spans for r in rows_asked(organization, asked, actor.sites)}
    rows = (
        NetworkSpan.objects.visible_to(actor)
        .filter(
            organization=organization,
            withdrawn_at__isnull=True,
            payer__in=payers_with_network(asked.payer),
        )
        .select_related("site", "payer", "plan")
        .order_by("payer__name", "kind", "site__name", "npi", "effective_from")
    )
    if asked.status:
        rows = rows.filter(status=asked.status)
    chosen = (r for r in rows if (r.kind, r.site_id or 0, r.npi) in keys)
    return csv_response("network", COLUMNS, written(chosen))


# --- one party with one payer ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """The cell that an address names."""

    organization: Organization
    row: Row
    payer: Payer

    @property
    def cell(self) -> Cell:
        kind, site_id, npi = self.row.spans
        return Cell(kind, site_id or None, npi, self.payer.pk)

    @property
    def title(self) -> str:
        return f"{self.row.name} with {self.payer.name}"


def _place(request: HttpRequest) -> Place:
    actor = actor_of(request)
    got = request.GET
    if "organization" not in got:
        raise Http404
    organization = _organization(request, _organizations(actor))
    payer = found(payers_with_network(), code=got.get("payer", ""))
    rows = rows_of(organization, sites=actor.sites)
    row = next((r for r in rows if r.kind == got.get("kind") and r.key == got.get("who")), None)
    if row is None:
        raise Http404
    return Place(organization, row, payer)


@require_safe
@may("rules.view")
def cell(request: HttpRequest) -> HttpResponse:
    """How one party stands with one payer: now, before, and what was withdrawn."""
    place = _place(request)
    spans = spans_of(place.organization.pk, place.cell)
    form = SpanForm(
        payer=place.payer,
        initial={"effective_from": office_day(), "seen": version_of(spans)},
    )
    return _cell_page(request, place, spans, form)


@require_POST
@may("rules.edit")
def span_open(request: HttpRequest) -> HttpResponse:
    """A new span over those that stand."""
    place = _place(request)
    form = SpanForm(request.POST, payer=place.payer)
    conflicts: list[parts.Conflict] = []
    status = 422
    if form.is_valid():
        plan = form.cleaned_data.get("plan")
        try:
            services.span_open(
                organization=place.organization,
                cell=place.cell._replace(plan_id=plan.pk if plan else None),
                piece=form.piece(),
                actor=actor_of(request),
                seen=form.cleaned_data["seen"],
            )
        except Conflict:
            conflicts, form, status = *_lost(request, place, form), 409
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, f"Saved: {place.title}.")
            return redirect(cell_url(place.organization, place.row, place.payer))
    spans = spans_of(place.organization.pk, place.cell)
    return _cell_page(request, place, spans, form, conflicts=conflicts, status=status)


def _lost(
    request: HttpRequest, place: Place, form: SpanForm
) -> tuple[list[parts.Conflict], SpanForm]:
    """Theirs beside mine, and the form again against what stands now."""
    spans = spans_of(place.organization.pk, place.cell)
    newest = max((s for s in spans if s.withdrawn_at is None), key=lambda s: s.pk, default=None)
    mine = form.piece()
    pairs: list[tuple[str, str, str]] = [
        (
            "Standing",
            newest.get_status_display() if newest else "",
            str(Standing(mine.status).label),
        ),
        ("From", fmt.mdy(newest.effective_from) if newest else "", fmt.mdy(mine.first)),
        ("Until", fmt.mdy(newest.effective_to) if newest else "", fmt.mdy(mine.last)),
        ("Note", newest.note if newest else "", mine.note),
    ]
    data = request.POST.copy()
    data["seen"] = version_of(spans)
    return [parts.Conflict(*pair) for pair in pairs], SpanForm(data, payer=place.payer)


def _cell_page(
    request: HttpRequest,
    place: Place,
    spans: list[NetworkSpan],
    form: SpanForm,
    *,
    conflicts: list[parts.Conflict] | None = None,
    status: int = 200,
) -> HttpResponse:
    actor = actor_of(request)
    subject: Any = place.row.site or place.organization
    today = office_day()
    standing = [s for s in spans if s.withdrawn_at is None]
    return render(
        request,
        "network/cell.html",
        {
            "place": place,
            "spans": standing,
            "gone": [s for s in spans if s.withdrawn_at is not None],
            "now": [s for s in standing if _covers(s, today)],
            "form": form,
            "conflicts": conflicts or [],
            "open_url": cell_url(place.organization, place.row, place.payer, name="span_open"),
            "may_edit": actor.can("rules.edit", subject, entire=place.row.site is None),
            "crumbs": [
                parts.Crumb(
                    "Payer network",
                    f"{reverse('network:matrix')}?organization={place.organization.public_id}",
                )
            ],
        },
        status=status,
    )


def _covers(span: NetworkSpan, day: dt.date) -> bool:
    return span.effective_from <= day and (span.effective_to is None or day <= span.effective_to)


def _span(request: HttpRequest, public_id: str) -> tuple[NetworkSpan, str]:
    """The span that an address names, and its cell's page."""
    actor = actor_of(request)
    span = found(
        NetworkSpan.objects.visible_to(actor).select_related(
            "organization", "site", "payer", "plan"
        ),
        public_id=public_id,
    )
    services.require_edit(actor, span.organization_id, [services.cell_of(span)])
    kind = Party(span.kind)
    row = Row(kind, "", span.npi, span.site)
    return span, cell_url(span.organization, row, span.payer)


def _told(span: NetworkSpan) -> str:
    until = f" to {fmt.mdy(span.effective_to)}" if span.effective_to else ""
    plan = f", {span.plan.name}" if span.plan else ""
    return f"{span.get_status_display()} from {fmt.mdy(span.effective_from)}{until}{plan}"


@require_http_methods(["GET", "POST"])
@may("rules.edit")
def span_end(request: HttpRequest, public_id: str) -> HttpResponse:
    """Give a span its last day."""
    span, back = _span(request, public_id)
    spans = spans_of(span.organization_id, services.cell_of(span))
    form = EndForm(
        request.POST or None,
        initial={"last": span.effective_to or office_day(), "seen": version_of(spans)},
    )

    def verb() -> object:
        values = form.cleaned_data
        return services.span_end(
            span=span, last=values["last"], seen=values["seen"], actor=actor_of(request)
        )

    return _confirmed(
        request, form, verb, back, title="Set the last day", text=_told(span), verb_words="Save"
    )


@require_http_methods(["GET", "POST"])
@may("rules.edit")
def span_withdraw(request: HttpRequest, public_id: str) -> HttpResponse:
    """Take back a span that was never true."""
    span, back = _span(request, public_id)
    form = WithdrawForm(request.POST or None)

    def verb() -> object:
        services.span_withdraw(
            span=span, reason=form.cleaned_data["reason"], actor=actor_of(request)
        )
        return None

    return _confirmed(
        request,
        form,
        verb,
        back,
        title="Withdraw the span",
        text=f"{_told(span)}. It stays in the history with your reason.",
        verb_words="Withdraw",
        danger=True,
    )


def _confirmed(
    request: HttpRequest,
    form: Any,
    verb: Callable[[], object],
    back: str,
    *,
    title: str,
    text: str,
    verb_words: str,
    danger: bool = False,
) -> HttpResponse:
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            verb()
        except Refused as refusal:
            field = "last" if refusal.field == "effective_to" else refusal.field
            form.add_error(field if field in form.fields else None, str(refusal))
            status = refusal.status
        else:
            messages.success(request, "Saved.")
            return redirect(back)
    shown = {
        "title": title,
        "text": text,
        "form": form,
        "verb": verb_words,
        "back_url": back,
        "danger": danger,
    }
    if form.errors and status == 200:
        status = 422
    return render(request, "components/confirm.html", shown, status=status)


# --- sheets ---------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@may("rules.edit")
def load(request: HttpRequest) -> HttpResponse:
    """A sheet of spans: what it changes first, then the change."""
    actor = actor_of(request)
    form = NetworkSheetForm(request.POST or None, request.FILES or None, actor=actor)
    context = {
        "title": "Import network and enrollment",
        "back_url": reverse("network:matrix"),
        "crumbs": [parts.Crumb("Payer network", reverse("network:matrix"))],
        "columns": ", ".join(COLUMNS),
        "verb": "Show what changes",
        "text": (
            "One row for each standing: site code, or NPI of a reader or the organization; payer"
            " code, EDI id or name; in network, out of network, pending or not enrolled; its first"
            " day. A row ends what stood before it."
        ),
        "sheets": NetworkSheet.objects.visible_to(actor)
        .select_related("organization")
        .defer("content")
        .order_by("-pk")[:20],
        "form_template": "network/sheet.html",
        "preview_template": "network/sheet_preview.html",
    }

    def lay(path: Any, preview: bool) -> services.SpanSheet:
        organization = form.cleaned_data.get("organization")
        if organization is None:
            raise Http404
        return services.sheet_load(
            organization=organization, path=path, actor=actor, preview=preview
        )

    if request.method == "POST" and not form.is_valid() and set(form.errors) - {"file"}:
        return render(request, "network/sheet.html", {**context, "form": form}, status=422)
    return sheet_page(request, form, lay, context)


@require_safe
@may("rules.view")
def sheet(request: HttpRequest, public_id: str) -> HttpResponse:
    """The bytes of a sheet as they were sent."""
    row = found(NetworkSheet.objects.visible_to(actor_of(request)), public_id=public_id)
    response = HttpResponse(bytes(row.content), content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{row.name}"'
    return response
