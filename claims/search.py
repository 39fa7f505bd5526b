"""Claims in the palette."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from claims.models import Claim
from rcm.web.format import mdy
from rcm.web.nav import Hit


def palette(request: HttpRequest, text: str) -> Iterable[Hit]:
    """Claims by the beginning of their number or by the payer's number."""
    actor = request.actor  # type: ignore[attr-defined]
    word = text.strip().upper()
    if not actor.can_somewhere("claim.view") or len(word) < 4:
        return []
    wanted = Q(number__startswith=word) | Q(payer_control_number=word)
    rows = (
        Claim.objects.visible_to(actor.where("claim.view"))
        .filter(wanted)
        .select_related("patient", "payer")
        .order_by("-id")[:6]
    )
    return [
        Hit(
            f"Claim {c.number}",
            reverse("claims:claim", args=[c.public_id]),
            f"{c.patient.name}, {c.payer.name}, {mdy(c.service_date)},"
            f" {c.get_status_display().lower()}",
            "Claims",
        )
        for c in rows
    ]
