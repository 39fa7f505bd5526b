"""Screens of patients: search, registration, the chart, the merge of a duplicate."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from intake import present, sections, services
from intake.forms import (
    MergeForm,
    PatientForm,
    UnmergeForm,
)
from intake.models import (
    Appointment,
    ChartMerge,
    Coverage,
    Order,
    Patient,
)
from intake.views.base import (
    conflicts_of,
    form_page,
    organization_of,
    patient_of,
    refuse_into,
    typed_again,
)
from rcm.accounts.problems import Conflict, Refused
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.forms import read_date


@require_GET
@may("patient.view")
def patients(request: HttpRequest) -> HttpResponseBase:
    """Search first: by any words of name, birth date, phone or MRN, misspelled too."""
    text = request.GET.get("q", "").strip()[:80]
    rows = services.patients_find(actor=actor_of(request), text=text) if len(text) > 1 else []
    present.chart_read(request, rows, "patient search")
    primary = services.primary_coverages([p.pk for p in rows])
    context = {
        "q": text,
        "rows": [(p, primary.get(p.pk)) for p in rows],
        "may_register": actor_of(request).can_somewhere("patient.edit"),
    }
    return render(
        request,
        (
            "intake/patients.html#hits"
            if request.headers.get("HX-Target") == "hits"
            else "intake/patients.html"
        ),
        context,
    )


@require_http_methods(["GET", "POST"])
@may("patient.edit")
def patient_new(request: HttpRequest) -> HttpResponseBase:
    """Register: possible duplicates stand beside the form before anything is saved."""
    actor = actor_of(request)
    form = PatientForm(
        request.POST or None,
        initial=_typed(request.GET.get("q", "")),
        confirm="another_because" in request.POST,
    )
    if request.method == "POST" and form.is_valid():
        try:
            row = services.patient_create(
                organization_id=organization_of(actor),
                actor=actor,
                confirmed_new=False,
                another_because=form.cleaned_data.get("another_because", ""),
                **form.values(),
            )
        except Refused as refusal:
            if refusal.code == "duplicate":
                form = PatientForm(request.POST, confirm=True)
                form.is_valid()
            refuse_into(form, refusal)
        else:
            messages.success(request, f"Registered {row.name}.")
            return redirect("intake:coverage_new", row.public_id)
    return form_page(
        request,
        form,
        title="Register a patient",
        back=reverse("intake:patients"),
        template="intake/register.html",
        verb="Save and enter the coverage",
        alike=_alike(request, request.POST if request.method == "POST" else {}),
    )


def _typed(text: str) -> dict[str, Any]:
    """What was searched for fills the form: it is never asked twice."""
    found: dict[str, Any] = {}
    names = []
    for word in text.replace(",", " ").split():
        day = read_date(word, past=True)
        digits = "".join(c for c in word if c.isdigit())
        if day:
            found["born_on"] = day
        elif len(digits) == 10:
            found["phone"] = digits
        elif word.isalpha():
            names.append(word.title())
    found |= dict(zip(("last_name", "first_name"), names, strict=False))
    return found


def _alike(
    request: HttpRequest, values: Any, exclude: int | None = None
) -> list[services.Likeness]:
    rows = services.patient_duplicates(
        actor=actor_of(request),
        last_name=values.get("last_name", ""),
        first_name=values.get("first_name", ""),
        born_on=read_date(values.get("born_on", ""), past=True) if values.get("born_on") else None,
        phone="".join(c for c in values.get("phone", "") if c.isdigit())[-10:],
        exclude=exclude,
    )
    present.chart_read(request, [x.patient for x in rows], "possible duplicates")
    return rows


@require_GET
@may("patient.edit")
def alike(request: HttpRequest) -> HttpResponseBase:
    """Charts that may be the same person as what is being typed."""
    return render(request, "intake/alike.html", {"alike": _alike(request, request.GET)})


@require_GET
@may("patient.view")
def patient(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The chart: who, coverages, orders, visits, what other phases know, and one timeline."""
    row = patient_of(request, public_id)
    if row.merged_into is not None:
        messages.info(request, f"Chart {row.mrn} was merged into this one.")
        return redirect("intake:patient", row.merged_into.public_id)
    actor = actor_of(request)
    present.chart_read(request, [row], "patient chart")
    coverages = list(
        Coverage.objects.filter(patient=row)
        .select_related("payer", "plan")
        .order_by("-active", "rank", "-id")
    )
    orders = (
        Order.objects.filter(patient=row)
        .select_related("ordering")
        .prefetch_related("exams")
        .order_by("-ordered_at", "-id")[:20]
    )
    visits = (
        Appointment.objects.visible_to(actor)
        .filter(patient=row)
        .select_related("site")
        .prefetch_related("ordered_exams")
        .order_by("-starts_at")[:20]
    )
    actions = []
    if actor.can("patient.edit", row):
        actions += [
            parts.Action("Edit", reverse("intake:patient_edit", args=[row.public_id]), key="m"),
            parts.Action("Add a coverage", reverse("intake:coverage_new", args=[row.public_id])),
        ]
    if actor.can("order.edit", row):
        actions.append(
            parts.Action(
                "New order",
                reverse("intake:order_new", args=[row.public_id]),
                primary=True,
                key="o",
            )
        )
    if actor.can("patient.merge", row):
        actions.append(
            parts.Action("Merge a duplicate", reverse("intake:patient_merge", args=[row.public_id]))
        )
    return render(
        request,
        "intake/patient.html",
        {
            "row": row,
            "patient": present.banner(row),
            "active": [c for c in coverages if c.active],
            "older": [c for c in coverages if not c.active],
            "ranks": present.RANKS,
            "orders": orders,
            "visits": visits,
            "actions": actions,
            "sections": sections.of("patient", request, row),
            "events": present.patient_timeline(row),
            "crumbs": [parts.Crumb("Patients", reverse("intake:patients"))],
            "merges": ChartMerge.objects.filter(gone__merged_into=row, undone_at__isnull=True)
            .select_related("gone")
            .order_by("-merged_at", "-id"),
            "may_merge": actor.can("patient.merge", row),
            "may_edit": actor.can("patient.edit", row),
            "may_run": actor.can("eligibility.run", row),
        },
    )


@require_http_methods(["GET", "POST"])
@may("patient.edit")
def patient_edit(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = patient_of(request, public_id)
    present.chart_read(request, [row], "patient edit")
    back = reverse("intake:patient", args=[row.public_id])
    names = [f for f in PatientForm.base_fields if f not in ("version", "another_because")]
    form = PatientForm(
        request.POST or None, initial={f: getattr(row, f) for f in names} | {"version": row.version}
    )
    conflicts: list[parts.Conflict] = []
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            services.patient_update(
                patient=row,
                version=form.cleaned_data["version"],
                actor=actor_of(request),
                **form.values(),
            )
        except Conflict:
            row.refresh_from_db()
            conflicts, status = conflicts_of(form, row, names), 409
            form.data = typed_again(request, row.version)
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            messages.success(request, "Saved.")
            return redirect(back)
    return form_page(
        request, form, title=f"Edit {row.name}", back=back, status=status, conflicts=conflicts
    )


@require_http_methods(["GET", "POST"])
@may("patient.merge")
def patient_merge(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = patient_of(request, public_id)
    back = reverse("intake:patient", args=[row.public_id])
    form = MergeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        gone = (
            Patient.objects.visible_to(actor_of(request))
            .filter(organization_id=row.organization_id, mrn=form.cleaned_data["mrn"].strip())
            .first()
        )
        if gone is None:
            form.add_error("mrn", "No chart has this MRN")
        else:
            try:
                services.patient_merge(
                    keep=row, gone=gone, reason=form.cleaned_data["reason"], actor=actor_of(request)
                )
            except Refused as refusal:
                refuse_into(form, refusal)
            else:
                messages.success(request, f"Chart {gone.mrn} was merged into this one.")
                return redirect(back)
    return form_page(
        request,
        form,
        title=f"Merge a duplicate into {row.name}",
        back=back,
        verb="Merge",
        text=(
            "Everything of the other chart moves here, its claims and its money too, and its number"
            " leads here. The merge can be undone on this page."
        ),
    )


@require_http_methods(["GET", "POST"])
@may("patient.merge")
def patient_unmerge(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Undo one merge: the two charts were two people."""
    rows = ChartMerge.objects.visible_to(actor_of(request)).filter(undone_at__isnull=True)
    merge = found(rows.select_related("gone__merged_into"), public_id=public_id)
    holder = merge.gone.merged_into or merge.keep
    back = reverse("intake:patient", args=[holder.public_id])
    present.chart_read(request, [holder, merge.gone], "undo a merge")
    form = UnmergeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            gone = services.patient_unmerge(
                merge=merge, reason=form.cleaned_data["reason"], actor=actor_of(request)
            )
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            messages.success(request, f"Chart {gone.mrn} is a chart of its own again.")
            return redirect("intake:patient", gone.public_id)
    return form_page(
        request,
        form,
        title=f"Undo the merge of chart {merge.gone.mrn}",
        back=back,
        verb="Undo the merge",
        text=(
            "What the merge moved goes back, its claims and its money too. What was entered on this"
            " chart since stays here."
        ),
    )
