"""Printers for the red form: each with its own shift."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction
from django.db.models import F

from claims.models import PaperPrinter
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.problems import Conflict, Refused

FARTHEST = Decimal(1)
"""Inches: who needs more has the wrong tray or the wrong paper."""


@transaction.atomic
def printer_save(
    *,
    organization: Organization,
    name: str,
    right: Decimal,
    down: Decimal,
    actor: Actor,
    active: bool = True,
    printer: PaperPrinter | None = None,
    version: int | None = None,
) -> PaperPrinter:
    """Add a printer, or change one under its version. Inches; plus is right and down."""
    actor.require("claim.edit", printer or organization)
    for field, value in (("right", right), ("down", down)):
        if abs(value) > FARTHEST:
            raise Refused("Move it by at most one inch.", field=field, code="too_far")
    taken = PaperPrinter.objects.filter(organization=organization, name=name)
    if taken.exclude(pk=printer.pk if printer else 0).exists():
        raise Refused("Another printer has this name.", field="name", code="taken")
    if printer is None:
        return PaperPrinter.objects.create(
            organization=organization, name=name, right=right, down=down, active=active
        )
    seen = printer.version if version is None else version
    if not PaperPrinter.objects.filter(pk=printer.pk, version=seen).update(
        name=name, right=right, down=down, active=active, version=F("version") + 1
    ):
        raise Conflict("Somebody else has changed this printer in the meantime.")
    printer.refresh_from_db()
    return printer
