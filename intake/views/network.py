"""The network beside a booking: is the chosen site in, which others are, one press to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from intake import services
from intake.forms import BookForm
from intake.models import Appointment, AppointmentStatus, Coverage, Order, OrderedExam, OrderStatus
from intake.services import NetworkView, network_view
from intake.services.chosen import coverage_of_booking
from intake.views.base import appointment_of, order_of, say, version_of
from rcm.accounts.clock import office_day
from rcm.accounts.models import Site
from rcm.accounts.problems import Refused
from rcm.reference.clock import clock_of
from rcm.web.access import actor_of, may
from rcm.web.forms import read_date

IN_FORM = {"change_template": "intake/network_change_form.html"}
ON_VISIT = {"change_template": "intake/network_change_visit.html"}
MOVABLE = (AppointmentStatus.BOOKED, AppointmentStatus.CONFIRMED)


def booking_network(
    order: Order, *, site_id: int | None, day: date | None, exams: Sequence[OrderedExam]
) -> NetworkView | None:
    """How our sites stand with the plan that pays for these exams (all of the order when none is
    chosen) on the day, today when none is chosen.
    """
    chosen = list(exams) or list(order.exams.exclude(status=OrderStatus.CANCELLED))
    return network_view(
        organization_id=order.organization_id,
        coverage=coverage_of_booking(order.patient, chosen),
        day=day or office_day(),
        modalities=sorted({e.modality for e in chosen}),
        site_id=site_id,
        near=order.patient.zip,
    )


def asked_network(order: Order, asked: Mapping[str, Any], exam_ids: Sequence[str]) -> Any:
    """The same for what stands in a form, as far as it can be read yet."""
    ids = [int(pk) for pk in exam_ids if pk.isdecimal() and len(pk) < 18]
    site = str(asked.get("site") or "")
    return booking_network(
        order,
        site_id=int(site) if site.isdecimal() and len(site) < 18 else None,
        day=read_date(str(asked.get("day") or "")),
        exams=list(OrderedExam.objects.filter(pk__in=ids, patient=order.patient)),
    )


@require_GET
@may("appointment.edit")
def booking(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The box again, for another site, day or choice of exams."""
    row = order_of(request, public_id)
    view = asked_network(row, request.GET, request.GET.getlist("exams"))
    return render(request, "intake/network_box.html", {"network": view, **IN_FORM})


def instead(form_class: type[BookForm], data: Any, **more: Any) -> BookForm:
    """The form with another site and everything else as it was typed; nothing is judged yet."""
    names = ("day", "at", "minutes", "resource", "override_reason", "version")
    initial = {name: data.get(name) for name in names if data.get(name)}
    return form_class(
        initial={**initial, "site": data.get("instead"), "exams": data.getlist("exams")}, **more
    )


# --- a visit that is booked -----------------------------------------------------------------------


def visit_network(row: Appointment, coverage: Coverage | None) -> NetworkView | None:
    """How the visit's site stands with its plan on its day, and where else it could be."""
    if row.status not in services.LIVE:
        return None
    return network_view(
        organization_id=row.organization_id,
        coverage=coverage,
        day=services.local_day(row.starts_at, row.site),
        modalities=[row.modality] if row.modality else [],
        site_id=row.site_id,
        near=row.patient.zip,
    )


def same_hour(row: Appointment, site: Site) -> datetime:
    """The visit's day and hour as the clock of another site reads them."""
    local = clock_of(row.site).local(row.starts_at)
    return local.replace(tzinfo=ZoneInfo(site.time_zone))


@require_POST
@may("appointment.edit")
def change_site(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The same visit at another site, on the same day and hour there."""
    row = appointment_of(request, public_id)
    actor = actor_of(request)
    asked = request.POST.get("site", "")
    sites = Site.objects.filter(organization_id=row.organization_id)
    site = next((s for s in sites if str(s.public_id) == asked), row.site)

    def verb() -> Appointment:
        if site == row.site:
            raise Refused("Choose another of our sites.", field="site", code="other_site")
        if row.status not in MOVABLE:
            raise Refused("A visit that has begun stays where it is.", code="not_allowed")
        return services.appointment_move(
            appointment=row,
            site=site,
            starts_at=same_hour(row, site),
            resource="",
            reason=f"In network at {site.name}",
            version=version_of(request),
            actor=actor,
        )

    back = reverse("intake:appointment", args=[row.public_id])
    return say(request, verb, f"Moved to {site.name}. Tell the patient the new address.", back)
