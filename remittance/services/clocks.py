"""What time does: parked denials come back, clocks and scores move, underpayments gather into
cases.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance.models import Denial, DenialStatus, Variance, VarianceStatus
from remittance.services.bank import undeposited_ask
from remittance.services.consequences.denials import items_of
from remittance.services.denials import move
from remittance.variance import CAUSES

CHUNK = 2000


@transaction.atomic
def upkeep(*, organization_id: int, actor: Actor, at: datetime | None = None) -> dict[str, int]:
    """Once a day for one organization; doing it twice changes nothing."""
    at = at or timezone.now()
    today = office_day(at)
    back = list(
        Denial.objects.select_for_update(of=("self",))
        .filter(organization_id=organization_id, status=DenialStatus.PARKED, review_on__lte=today)
        .select_related("claim__patient")
    )
    for row in back:
        move(
            row,
            DenialStatus.OPEN,
            sentence="Its review day has come",
            actor=actor,
            at=at,
            park_reason="",
            review_on=None,
        )
    pended = WorkItem.objects.filter(
        subject_type="denial", subject_id__in=[d.pk for d in back], status=ItemStatus.PENDED
    )
    pended.update(status=ItemStatus.OPEN, pend_until=None)
    live = Denial.objects.filter(
        organization_id=organization_id, status__in=[DenialStatus.OPEN, DenialStatus.UPHELD]
    )
    rows = list(
        live.select_related("claim__patient", "claim__site", "line", "payer").order_by("id")
    )
    for start in range(0, len(rows), CHUNK):
        items_of(rows[start : start + CHUNK], actor=actor, at=at)
    return {
        "back": len(back),
        "refreshed": len(rows),
        "undeposited": undeposited_ask(organization_id=organization_id, actor=actor, at=at),
        "cases": underpayments_refresh(organization_id=organization_id, actor=actor, at=at),
    }


@transaction.atomic
def underpayments_refresh(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """An item for every open underpayment; items of those that are gone close. Returns the number
    of open cases.
    """
    at = at or timezone.now()
    rows = list(
        Variance.objects.filter(
            organization_id=organization_id,
            status__in=[VarianceStatus.OPEN, VarianceStatus.DISPUTED],
            difference__lt=0,
        )
        .select_related("claim__patient", "payer", "service__payment")
        .order_by("id")
    )
    groups = {
        (r["payer"], r["code"], r["cause"]): -r["total"]
        for r in (
            Variance.objects.filter(pk__in=[v.pk for v in rows])
            .values("payer", "code", "cause")
            .annotate(total=Sum("difference"))
            .order_by()
        )
    }
    open_items(
        [
            ItemSpec(
                organization_id,
                "underpayments",
                "variance",
                v.pk,
                v.cause or "unknown",
                f"{v.payer.name} allowed ${v.allowed:,.2f} for {v.code}, ${v.expected:,.2f} was"
                " expected.",
                at + timedelta(days=7),
                fix="Compare with the contract; dispute it together with the others of its kind.",
                dollars=-v.difference,
                site_id=v.claim.site_id,
                patient_id=v.claim.patient_id,
                patient_name=v.claim.patient.name,
                claim_id=v.claim_id,
                payer_id=v.payer_id,
                payer_name=v.payer.name,
                tags=(v.cause,) if v.cause else (),
                facts={
                    "claim": v.claim.number,
                    "code": v.code,
                    "cause": CAUSES.get(v.cause, v.cause),
                    "expected": str(v.expected),
                    "allowed": str(v.allowed),
                    "group": str(groups.get((v.payer_id, v.code, v.cause), Decimal(0))),
                    "status": v.get_status_display(),
                },
            )
            for v in rows
        ],
        actor=actor,
        at=at,
    )
    gone = (
        WorkItem.objects.filter(
            organization_id=organization_id,
            queue="underpayments",
            status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
        )
        .exclude(subject_id__in=[v.pk for v in rows])
        .values_list("subject_id", flat=True)
    )
    close_items(
        "variance",
        gone,
        actor=Actor.system("underpayments", [organization_id]),
        at=at,
        outcome="No longer open",
        queues=["underpayments"],
    )
    return len(rows)
