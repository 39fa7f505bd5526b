"""What the authorization phase adds to the front end's pages."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from authorizations.models import Authorization
from authorizations.services import earliest_bookable
from intake.models import Appointment, Order, OrderedExam, OrderStatus, Patient
from intake.sections import Section
from rcm.accounts.models import Site


def _section(request: HttpRequest, row: Patient | Appointment, **lookup: Any) -> Section | None:
    actor = request.actor  # type: ignore[attr-defined]
    if not actor.can("authorization.view", row):
        return None
    rows = (
        Authorization.objects.visible_to(actor)
        .filter(**lookup)
        .exclude(status="cancelled")
        .select_related("payer", "appointment")
        .prefetch_related("services")
        .order_by("-id")[:20]
    )
    return Section("Authorizations", "authorizations/section.html", {"rows": rows})


def of_patient(request: HttpRequest, patient: Patient) -> Section | None:
    return _section(request, patient, patient=patient)


def of_appointment(request: HttpRequest, appointment: Appointment) -> Section | None:
    """Required or not, number, codes asked beside granted, units, window, site: the box of the
    appointment page.
    """
    return _section(request, appointment, appointment=appointment)


def of_booking(request: HttpRequest, order: Order) -> Section | None:
    """From which day the open exams of an order can be booked, by how long decisions take."""
    actor = request.actor  # type: ignore[attr-defined]
    site = order.site or Site.objects.filter(organization_id=order.organization_id).first()
    if site is None or not actor.can("authorization.view", order):
        return None
    exams = (
        OrderedExam.objects.filter(patient_id=order.patient_id, status=OrderStatus.OPEN)
        .select_related("order__ordering")
        .order_by("id")
    )
    rows = earliest_bookable(exams=list(exams), site=site)
    if not rows:
        return None
    return Section("Earliest day", "authorizations/earliest.html", {"rows": rows})
