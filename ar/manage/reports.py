"""Screens of reports: what was sent, what I want to be told, thresholds with their alerts, the close
of a month.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from ar import figures
from ar.kpi import engine
from ar.kpi.definitions import BY_CODE, KPIS, PERCENT
from ar.manage.common import OrganizationForm, form_page
from ar.models import (
    Alert,
    Delivery,
    MonthClose,
    Report,
    ReportKind,
    Subscription,
    SubscriptionKind,
    Threshold,
)
from ar.reports import services
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.web import forms as house
from rcm.web import parts
from rcm.web.access import actor_of, found, may

HUNDRED = Decimal(100)
SHOWN = 60
ZERO = Decimal(0)


class WantedForm(OrganizationForm):
    kinds = forms.MultipleChoiceField(
        label="Tell me",
        required=False,
        choices=SubscriptionKind.choices,
        widget=forms.CheckboxSelectMultiple,
    )


class ThresholdForm(OrganizationForm):
    kpi = forms.ChoiceField(label="Figure", choices=[(k.code, k.label) for k in KPIS])
    raise_at = forms.DecimalField(
        label="Tell when it passes", max_digits=14, decimal_places=4, help_text="Shares in percent"
    )
    clear_at = forms.DecimalField(label="Over when it is back at", max_digits=14, decimal_places=4)


class ReportForm(OrganizationForm):
    kind = forms.ChoiceField(label="Report", choices=ReportKind.choices)
    last = house.DateField(label="Last day", past=True)


def _owners(request: HttpRequest) -> dict[int, Organization]:
    return Organization.objects.in_bulk(actor_of(request).organizations)


@require_safe
@may("kpi.view")
def reports(request: HttpRequest) -> HttpResponseBase:
    """Everything that tells people: reports, months, thresholds, alerts, one's own wishes."""
    actor = actor_of(request)
    owners = _owners(request)
    mine = Subscription.objects.visible_to(actor).filter(user_id=actor.user_id or 0)
    alerts = Alert.objects.visible_to(actor).select_related("threshold").order_by("-pk")[:SHOWN]
    closes = MonthClose.objects.visible_to(actor).order_by("-month", "pk")[:SHOWN]
    return render(
        request,
        "ar/manage/reports.html",
        {
            "reports": [
                (owners[r.organization_id], r)
                for r in Report.objects.visible_to(actor)
                .defer("pdf", "figures")
                .order_by("-last", "-pk")[:SHOWN]
            ],
            "mine": [(owners[s.organization_id], s) for s in mine.order_by("organization", "kind")],
            "thresholds": [
                (
                    owners[t.organization_id],
                    BY_CODE[t.kpi].label,
                    engine.words(BY_CODE[t.kpi], t.raise_at),
                    engine.words(BY_CODE[t.kpi], t.clear_at),
                )
                for t in Threshold.objects.visible_to(actor).filter(active=True).order_by("pk")
                if t.kpi in BY_CODE
            ],
            "alerts": [
                (
                    owners[a.organization_id],
                    a,
                    BY_CODE[a.threshold.kpi].label,
                    engine.words(BY_CODE[a.threshold.kpi], a.value),
                )
                for a in alerts
                if a.threshold.kpi in BY_CODE
            ],
            "months": [
                (owners[pk], month) for pk in sorted(owners) for month in services.open_months(pk)
            ],
            "closes": [(owners[c.organization_id], c) for c in closes],
            "may_edit": actor.can_somewhere("rules.edit"),
            "may_close": actor.can_somewhere("month.close"),
        },
    )


@require_safe
@may("kpi.view")
def report(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One report as it was sent, and what has been corrected since."""
    actor = actor_of(request)
    row = found(Report.objects.visible_to(actor).defer("pdf"), public_id=public_id)
    sent = Delivery.objects.visible_to(actor).filter(key=f"report:{row.pk}")
    told = []
    for code, figure in row.figures.items():
        kpi = BY_CODE.get(code)
        if kpi is not None:
            value = engine.Value(kpi, Decimal(figure["numerator"]), Decimal(figure["denominator"]))
            told.append((kpi.label, engine.words(kpi, value.value)))
    return render(
        request,
        "ar/manage/report.html",
        {
            "report": row,
            "owner": _owners(request)[row.organization_id],
            "figures": told,
            "corrections": services.corrections(row),
            "sent": sent.select_related("user").order_by("pk"),
            "crumbs": [parts.Crumb("Reports", reverse("ar:reports"))],
        },
    )


@require_safe
@may("kpi.view")
def report_pdf(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The PDF as it was sent."""
    row = found(Report.objects.visible_to(actor_of(request)), public_id=public_id)
    response = HttpResponse(bytes(row.pdf), content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{row.kind}-{row.last}.pdf"'
    return response


@require_safe
@may("kpi.view")
def alert(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The rows that an alert names, with their links."""
    actor = actor_of(request)
    row = found(Alert.objects.visible_to(actor).select_related("threshold"), public_id=public_id)
    kpi = BY_CODE[row.threshold.kpi]
    rows = figures.labelled([engine.Row(kind, pk, None, None, ZERO, ZERO) for kind, pk in row.rows])
    figures.log_rows(request, rows, f"alert {kpi.code}")
    return render(
        request,
        "ar/manage/alert.html",
        {
            "alert": row,
            "kpi": kpi,
            "value": engine.words(kpi, row.value),
            "limit": engine.words(kpi, row.threshold.raise_at),
            "clear": engine.words(kpi, row.threshold.clear_at),
            "rows": rows,
            "kpi_url": f"{reverse('ar:kpi', args=[kpi.code])}?day={row.day}",
            "crumbs": [parts.Crumb("Reports", reverse("ar:reports"))],
        },
    )


def _save(
    request: HttpRequest, form: Any, verb: Any, *, title: str, done: str, button: str = "Save"
) -> HttpResponseBase:
    back = reverse("ar:reports")
    if form.is_valid():
        try:
            verb()
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, done)
            return redirect(back)
    return form_page(request, form, title=title, verb=button, back=back)


@require_http_methods(["GET", "HEAD", "POST"])
@may("kpi.view")
def wanted(request: HttpRequest) -> HttpResponseBase:
    """What one wants to be told by mail."""
    actor = actor_of(request)
    kinds = Subscription.objects.visible_to(actor).filter(user_id=actor.user_id or 0)
    form = WantedForm(
        request.POST or None,
        actor=actor,
        initial={"kinds": sorted(set(kinds.values_list("kind", flat=True)))},
    )

    def save() -> None:
        services.subscribe(
            organization_id=form.organization_id, kinds=form.cleaned_data["kinds"], actor=actor
        )

    return _save(request, form, save, title="What I want to be told", done="Kept.")


@require_http_methods(["GET", "HEAD", "POST"])
@may("rules.edit")
def threshold(request: HttpRequest) -> HttpResponseBase:
    """Watch a figure."""
    actor = actor_of(request)
    form = ThresholdForm(request.POST or None, actor=actor)

    def save() -> None:
        data = form.cleaned_data
        scale = HUNDRED if BY_CODE[data["kpi"]].unit == PERCENT else Decimal(1)
        services.threshold_set(
            organization_id=form.organization_id,
            kpi=data["kpi"],
            raise_at=data["raise_at"] / scale,
            clear_at=data["clear_at"] / scale,
            actor=actor,
        )

    return _save(request, form, save, title="Watch a figure", done="The figure is watched.")


@require_http_methods(["GET", "HEAD", "POST"])
@may("rules.edit")
def report_new(request: HttpRequest) -> HttpResponseBase:
    """Make a report of a period that has ended; it goes to nobody by itself."""
    actor = actor_of(request)
    form = ReportForm(request.POST or None, actor=actor)

    def save() -> None:
        services.report_make(
            organization_id=form.organization_id,
            kind=form.cleaned_data["kind"],
            last=form.cleaned_data["last"],
            actor=actor,
        )

    return _save(
        request, form, save, title="Make a report", done="The report is there.", button="Make it"
    )


# --- month end ------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@may("month.close", money=True)
def month(request: HttpRequest, public_id: str, year: int, number: int) -> HttpResponseBase:
    """The checklist of a month, and its close."""
    actor = actor_of(request)
    owner = found(Organization.objects.filter(pk__in=actor.organizations), public_id=public_id)
    first = dt.date(year, min(max(number, 1), 12), 1)
    error = ""
    if request.method == "POST":
        notes = {k[5:]: str(v) for k, v in request.POST.items() if k.startswith("note_")}
        try:
            services.month_close(organization_id=owner.pk, month=first, notes=notes, actor=actor)
        except Refused as refusal:
            error = str(refusal)
        else:
            messages.success(request, f"{first:%B %Y} is closed, and its report is there.")
            return redirect("ar:reports")
    closed = MonthClose.objects.filter(organization=owner, month=first).first()
    checks = (
        [services.Check(c["code"], c["label"], c["passed"], c["found"]) for c in closed.checks]
        if closed
        else services.month_checks(owner.pk, first)
    )
    return render(
        request,
        "ar/manage/month.html",
        {
            "owner": owner,
            "month": first,
            "closed": closed,
            "checks": checks,
            "error": error,
            "typed": request.POST,
            "crumbs": [parts.Crumb("Reports", reverse("ar:reports"))],
        },
        status=422 if error else 200,
    )
