"""Screens of an advance notice: made for an exam of a visit, signed with its time, printed."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from intake import present, services
from intake.forms import NoticeForm, SignForm
from intake.models import AdvanceNotice, OrderStatus
from intake.notice_pdf import notice_pdf
from intake.views.base import appointment_of, form_page, refuse_into
from rcm.accounts.problems import Refused
from rcm.pricing.services import list_prices
from rcm.web import parts
from rcm.web.access import actor_of, found, may


@require_http_methods(["GET", "POST"])
@may("appointment.edit")
def notice_new(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Prepare a notice for one exam; reason and cost come from the check and the price list."""
    visit = appointment_of(request, public_id)
    present.chart_read(request, [visit.patient], "advance notice")
    exams = (
        visit.ordered_exams.exclude(status=OrderStatus.CANCELLED)
        .select_related("order")
        .order_by("id")
    )
    form = NoticeForm(request.POST or None, exams=exams, initial=_initial(visit, list(exams)))
    if request.method == "POST" and form.is_valid():
        try:
            row = services.notice_make(
                appointment=visit, actor=actor_of(request), **form.cleaned_data
            )
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            return redirect("intake:notice", row.public_id)
    return form_page(
        request,
        form,
        title="Advance notice",
        back=reverse("intake:appointment", args=[visit.public_id]),
        verb="Prepare the notice",
        text="It counts only when it is signed before the exam begins.",
    )


def _initial(visit: Any, exams: list[Any]) -> dict[str, Any]:
    day = services.local_day(visit.starts_at, visit.site)
    doubts = services.exam_doubts(exams, on=day)
    exam = next((e for e in exams if e.pk in doubts), exams[0] if exams else None)
    if exam is None:
        return {}
    prices = list_prices(organization_id=visit.organization_id, codes={exam.code}, on=day)
    reason = f"{doubts[exam.pk].sentence}." if exam.pk in doubts else ""
    return {
        "exam": exam,
        "reason": reason,
        "cost": prices.get((exam.code, "")),
        "kind": "necessity",
    }


def _notice(request: HttpRequest, public_id: str) -> AdvanceNotice:
    rows = AdvanceNotice.objects.visible_to(actor_of(request)).select_related(
        "appointment__patient", "appointment__site__organization", "ordered_exam"
    )
    return found(rows, public_id=public_id)


@require_http_methods(["GET", "POST"])
@may("appointment.edit")
def notice(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """A notice: print it, then keep the patient's choice and signature."""
    row = _notice(request, public_id)
    visit = row.appointment
    present.chart_read(request, [visit.patient], "advance notice")
    form = SignForm(request.POST or None, initial={"signer": visit.patient.name})
    if request.method == "POST" and form.is_valid():
        try:
            services.notice_sign(notice=row, actor=actor_of(request), **form.cleaned_data)
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            messages.success(request, "The signature is kept.")
            return redirect("intake:appointment", visit.public_id)
    context = {
        "row": row,
        "form": form,
        "patient": present.banner(visit.patient),
        "when": present.local_moment(visit),
        "crumbs": [
            parts.Crumb("Appointment", reverse("intake:appointment", args=[visit.public_id]))
        ],
    }
    return render(request, "intake/notice.html", context, status=422 if form.errors else 200)


@require_GET
@may("patient.view")
def notice_file(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The notice as PDF: as it was signed, or to be signed."""
    row = _notice(request, public_id)
    present.chart_read(request, [row.appointment.patient], "advance notice PDF")
    content = bytes(row.document) if row.document is not None else notice_pdf(row)
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="notice-{row.pk}.pdf"'
    return response
