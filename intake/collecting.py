"""Where money is collected for a visit: receivables say so, the front end draws the button.

collecting.register("ar:collect")
"""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from intake.models import Appointment
from intake.services import LIVE
from rcm.web import format as fmt
from rcm.web import parts

_ROUTES: list[str] = []


def register(route: str) -> None:
    """Name the route of the page that takes money for an appointment's public id."""
    if route not in _ROUTES:
        _ROUTES.append(route)


def action(appointment: Appointment, actor: Any, *, key: str = "") -> parts.Action | None:
    """The button that collects what the visit still expects; None when nothing is left, or not for
    this person.
    """
    amount = appointment.gates.get("money", {}).get("amount")
    if not amount or not _ROUTES or appointment.status not in LIVE:
        return None
    if not actor.can("payment.collect", appointment):
        return None
    words = f"Collect {fmt.money(amount)}"
    return parts.Action(words, reverse(_ROUTES[0], args=[appointment.public_id]), key=key)
