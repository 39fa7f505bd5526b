"""What the palette finds in this phase: remittances by trace, denials by claim number."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest
from django.urls import reverse

from rcm.web import format as fmt
from rcm.web.nav import Hit
from remittance.models import Denial, Remittance


def palette(request: HttpRequest, text: str) -> Iterator[Hit]:
    """At most five of each."""
    actor = request.actor  # type: ignore[attr-defined]
    words = text.strip()
    if len(words) < 3:
        return
    if actor.can_somewhere("remittance.view"):
        for r in (
            Remittance.objects.visible_to(actor.where("remittance.view"))
            .filter(trace__istartswith=words)
            .order_by("-id")[:5]
        ):
            yield Hit(
                f"Remittance {r.trace}",
                reverse("remittance:remittance", args=[r.public_id]),
                f"{r.payer_name}, {fmt.money(r.amount)}",
                "Remittances",
            )
    if actor.can_somewhere("denial.view"):
        rows = (
            Denial.objects.visible_to(actor.where("denial.view"))
            .filter(claim__number__istartswith=words)
            .select_related("claim")
            .order_by("-id")[:5]
        )
        for d in rows:
            yield Hit(
                f"Denial {d.group}-{d.reason} of {d.claim.number}",
                reverse("remittance:denial", args=[d.public_id]),
                d.get_status_display(),
                "Denials",
            )
