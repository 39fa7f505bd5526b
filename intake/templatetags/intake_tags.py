"""`{% load intake_tags %}`: what comes first at an appointment, for the board's cell."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import template

from intake import collecting, present
from intake.models import Appointment
from rcm.accounts.permissions import Role
from rcm.web import parts

register = template.Library()


@register.simple_tag
def collect_button(row: Appointment, actor: Any) -> parts.Action | None:
    """`{% collect_button row request.actor as action %}`: take what the visit still expects."""
    return collecting.action(row, actor)


@register.simple_tag
def first_thing(row: Appointment) -> dict[str, Any]:
    """`{% first_thing row as gate %}`: sentence, owner in words, due date."""
    gate = present.first_gate(row)
    if not gate:
        return {}
    owner = gate.get("owner", "")
    return gate | {
        "owner_words": Role(owner).label if owner in Role.values else "",
        "due": date.fromisoformat(gate["due"]) if gate.get("due") else None,
    }
