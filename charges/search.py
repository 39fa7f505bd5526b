"""Exams in the palette."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import HttpRequest
from django.urls import reverse

from charges.models import Exam
from rcm.web.format import mdy
from rcm.web.nav import Hit


def palette(request: HttpRequest, text: str) -> Iterable[Hit]:
    """Exams by the beginning of their accession."""
    actor = request.actor  # type: ignore[attr-defined]
    word = text.strip().upper()
    if not actor.can_somewhere("exam.view") or len(word) < 3:
        return []
    rows = (
        Exam.objects.visible_to(actor.where("exam.view"))
        .filter(accession__startswith=word)
        .select_related("patient")
        .order_by("accession")[:6]
    )
    return [
        Hit(
            f"Exam {e.accession}",
            reverse("charges:exam", args=[e.public_id]),
            f"{e.patient.name}, {e.code} on {mdy(e.service_date)}",
            "Exams",
        )
        for e in rows
    ]
