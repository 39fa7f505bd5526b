"""What the authorization phase adds to the front end's pages."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from authorizations.models import Authorization
from intake.models import Appointment, Patient
from intake.sections import Section


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
