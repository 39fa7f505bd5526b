"""Screens of the estimate that a patient was given."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from intake import present, services
from intake.estimate import DISCLAIMER
from intake.models import (
    Order,
)
from intake.pdf import estimate_pdf
from intake.views.base import appointment_of, estimate_of
from rcm.accounts.problems import Refused
from rcm.web import parts
from rcm.web.access import actor_of, may


@require_POST
@may("price.view", money=True)
def estimate_make(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = appointment_of(request, public_id)
    try:
        made = services.estimate_make(appointment=row, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
        return redirect("intake:appointment", row.public_id)
    return redirect("intake:estimate", made.public_id)


@require_GET
@may("price.view")
def estimate(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """An estimate as it was given: printable."""
    row = estimate_of(request, public_id)
    present.chart_read(request, [row.patient], "estimate")
    return render(
        request,
        "intake/estimate.html",
        {
            "row": row,
            "patient": present.banner(row.patient),
            "when": present.local_moment(row.appointment),
            "crumbs": [
                parts.Crumb(
                    "Appointment", reverse("intake:appointment", args=[row.appointment.public_id])
                )
            ],
            "orders": Order.objects.filter(exams__appointment=row.appointment).distinct(),
            "disclaimer": DISCLAIMER,
        },
    )


@require_GET
@may("price.view")
def estimate_file(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = estimate_of(request, public_id)
    present.chart_read(request, [row.patient], "estimate PDF")
    response = HttpResponse(estimate_pdf(row), content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="estimate-{row.pk}.pdf"'
    return response
