"""Packets as they would be sent and as they were, and the outcome of an appeal."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from intake import present as front
from rcm.accounts.clock import office_day
from rcm.web.access import actor_of, found, may
from remittance import forms, services
from remittance.models import (
    Appeal,
    Denial,
)
from remittance.services.denials import next_level
from remittance.services.packets import packet_pdf
from remittance.views.common import ZERO
from remittance.views.denial import act, denial_of


def _pdf(content: bytes, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="{name}.pdf"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


@require_safe
@may("denial.view")
def packet(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The packet as it would be sent now."""
    row = denial_of(request, public_id)
    front.chart_read(request, [row.claim.patient], "appeal packet")
    now = timezone.now()
    return _pdf(
        packet_pdf(
            row, letter=services.appeal_draft(denial=row, at=now), level=next_level(row), at=now
        ),
        f"packet-{row.claim.number}",
    )


def _appeal(request: HttpRequest, public_id: str) -> Appeal:
    rows = Appeal.objects.visible_to(actor_of(request)).filter(
        denial__in=Denial.objects.visible_to(actor_of(request))
    )
    return found(
        rows.select_related("denial__claim__patient", "denial__payer"), public_id=public_id
    )


@require_safe
@may("denial.view")
def appeal_packet(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The packet byte for byte as it was sent."""
    row = _appeal(request, public_id)
    front.chart_read(request, [row.denial.claim.patient], "appeal packet")
    return _pdf(bytes(row.packet or b""), f"appeal-{row.denial.claim.number}-level-{row.level}")


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.work", money=True)
def appeal_outcome(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _appeal(request, public_id)
    denial_row = denial_of(request, str(row.denial.public_id))

    def verb(form: Any) -> str:
        data = form.cleaned_data
        services.appeal_outcome(
            appeal=row,
            outcome=data["outcome"],
            recovered=data["recovered"] or ZERO,
            on=data["on"],
            actor=actor_of(request),
        )
        return "The outcome is kept."

    initial = {"on": office_day()}
    return act(
        request,
        denial_row,
        title=f"Outcome of level {row.level}",
        label="Save",
        verb=verb,
        make=lambda: forms.OutcomeForm(request.POST or None, initial=initial),
    )
