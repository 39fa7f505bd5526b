"""Patients in the palette."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import HttpRequest
from django.urls import reverse

from intake.services import patients_find
from rcm.web.format import mdy
from rcm.web.nav import Hit


def palette(request: HttpRequest, text: str) -> Iterable[Hit]:
    """Patients whose name, birth date, phone or MRN is like the text."""
    actor = request.actor  # type: ignore[attr-defined]
    if not actor.can_somewhere("patient.view") or len(text) < 2:
        return []
    return [
        Hit(
            p.name,
            reverse("intake:patient", args=[p.public_id]),
            f"Born {mdy(p.born_on)}, MRN {p.mrn}",
            "Patients",
        )
        for p in patients_find(actor=actor.where("patient.view"), text=text, limit=6)
    ]
