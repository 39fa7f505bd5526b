"""Remittances that are held: a person gives the date that the file lacks, or has it read again once
the cause is gone.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from remittance.models import Remittance, RemittanceStatus
from remittance.services.receiving import read_here

AHEAD, BACK = timedelta(days=30), timedelta(days=730)
"""How far from today the date of a payment may lie that a person gives."""


@transaction.atomic
def remittance_read_again(
    *, remittance: Remittance, actor: Actor, at: datetime | None = None
) -> Remittance:
    """Read a held remittance from its stored bytes again; it is ready when nothing holds it any
    more. Refused when it is not held, or when its payment has come by another file meanwhile.
    """
    actor.require("remittance.post", remittance)
    at = at or timezone.now()
    row = Remittance.objects.select_for_update().get(pk=remittance.pk)
    if row.status != RemittanceStatus.QUARANTINED:
        raise Refused("Only a held remittance is read again.", code="not_held", status=409)
    if row.interchange is None:
        raise Refused("Its file is not kept here.", code="no_file", status=409)
    result = read_here(row.interchange, actor=actor, at=at, source=row.source)
    again = Remittance.objects.get(pk=row.pk)
    if again.version == row.version:
        refused = result.get("refused") or [{"sentence": "This payment stands already."}]
        raise Refused(
            str(refused[0]["sentence"]),
            code="duplicate",
            fix="Nothing is left to do here: work with the first one.",
            status=409,
        )
    remittance.refresh_from_db()
    return remittance


@transaction.atomic
def remittance_date(
    *, remittance: Remittance, paid_on: date, actor: Actor, at: datetime | None = None
) -> Remittance:
    """Give the date of a payment whose file names none, and read it again with it. Refused for a
    date that lies more than a month ahead or two years back.
    """
    actor.require("remittance.post", remittance)
    at = at or timezone.now()
    row = Remittance.objects.select_for_update().get(pk=remittance.pk)
    named = any(f["code"] == "no-date" for f in row.findings)
    if row.status != RemittanceStatus.QUARANTINED or not named:
        raise Refused("This remittance names its date itself.", code="not_held", status=409)
    today = office_day(at)
    if not today - BACK <= paid_on <= today + AHEAD:
        raise Refused(
            "A payment is dated within the last two years and at most a month ahead.",
            field="paid_on",
            code="out_of_range",
            fix="Take the date from the bank statement.",
        )
    Remittance.objects.filter(pk=row.pk).update(paid_on=paid_on, dated_by=actor.name[:120])
    record_steps(
        [
            Step(
                row.organization_id,
                "remittance.dated",
                f"{row.payer_name} {row.trace}: paid on {paid_on:%b %-d, %Y}, as {actor.name} says",
                {"remittance_id": row.pk, "interchange_id": row.interchange_id},
            )
        ],
        actor=actor,
        at=at,
    )
    return remittance_read_again(remittance=remittance, actor=actor, at=at)
