"""Where a figure should be: the shipped target, or the organization's own from a day on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from ar.kpi.definitions import BY_CODE, KPIS, PERCENT, Kpi
from ar.models import KpiTarget
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps


def targeted(organizations: Iterable[int], day: date) -> dict[str, Kpi]:
    """Every KPI with the target that held on a day. Where several organizations are asked together
    and do not share one target, the shipped one is shown. One query.
    """
    wanted = set(organizations)
    own: dict[str, dict[int, Decimal]] = {}
    rows = KpiTarget.objects.filter(organization_id__in=wanted, effective_from__lte=day)
    for row in rows.order_by("effective_from", "pk"):
        own.setdefault(row.kpi, {})[row.organization_id] = row.target

    def of(kpi: Kpi) -> Kpi:
        found = own.get(kpi.code, {})
        shared = set(found.values())
        if set(found) != wanted or len(shared) != 1:
            return kpi
        return replace(kpi, target=shared.pop())

    return {k.code: of(k) for k in KPIS}


@transaction.atomic
def target_set(
    *,
    organization_id: int,
    kpi: str,
    target: Decimal,
    effective_from: date,
    note: str,
    actor: Actor,
    at: datetime | None = None,
) -> KpiTarget:
    """Give a figure another target from a day on. Percentages are ratios: 0.95 is 95 %."""
    actor.require("rules.edit", organization_id)
    if organization_id not in actor.organizations:
        raise Refused("There is no such organization.", code="not_found", status=404)
    at = at or timezone.now()
    known = BY_CODE.get(kpi)
    if known is None:
        raise Refused("There is no such figure.", field="kpi", code="unknown")
    if known.unit == PERCENT and abs(target) > 1:
        raise Refused(
            "A share lies between 0 and 100 percent.", field="target", code="out_of_range"
        )
    if not note.strip():
        raise Refused("Say why, in a few words.", field="note", code="missing")
    row, _ = KpiTarget.objects.update_or_create(
        organization_id=organization_id,
        kpi=kpi,
        effective_from=effective_from,
        defaults={"target": target, "note": note.strip()[:200], "actor_name": actor.name},
    )
    record_steps(
        [
            Step(
                organization_id,
                "kpi.target",
                f"Target of “{known.label}” set",
                reason=note,
                data={"kpi": kpi, "target": str(target), "from": effective_from.isoformat()},
            )
        ],
        actor=actor,
        at=at,
    )
    return row
