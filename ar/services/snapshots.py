"""Snapshots: last month never changes. A day's figures are replaced until they were counted after
the day had ended at every site, and kept as they are ever after.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from ar import aging
from ar.kpi.definitions import KPIS
from ar.kpi.engine import cells
from ar.models import AgingSnapshot, KpiSnapshot
from ar.services.guards import local_day, require_mine
from rcm.accounts.actor import Actor
from rcm.accounts.models import Site
from rcm.accounts.problems import Refused


def day_end(organization_id: int, day: date) -> datetime:
    """The moment at which a day has ended at every site of an organization: midnight of its
    westernmost one.
    """
    zones = set(
        Site.objects.filter(organization_id=organization_id).values_list("time_zone", flat=True)
    ) or {timezone.get_default_timezone_name()}
    midnight = datetime.combine(day + timedelta(days=1), time.min)
    return max(midnight.replace(tzinfo=ZoneInfo(z)) for z in zones)


def _writable(
    model: type[AgingSnapshot] | type[KpiSnapshot], organization_id: int, day: date, at: datetime
) -> bool:
    """Whether the day may be written: it is not over yet, nothing was kept of it, or what was kept
    was counted before its end. What was counted after the day's end stands.
    """
    if day > local_day(at):
        raise Refused("A snapshot of a day to come cannot be taken.", code="future")
    rows = model.objects.filter(organization_id=organization_id, day=day)
    ended = day_end(organization_id, day)
    if at >= ended and rows.filter(Q(taken_at__isnull=True) | Q(taken_at__gte=ended)).exists():
        return False
    rows.delete()
    return True


@transaction.atomic
def kpi_snapshot(
    *, organization_id: int, day: date, actor: Actor, at: datetime | None = None
) -> int:
    """Keep every KPI of a day by site and payer. Returns the number of cells written; 0 when the
    past day was kept before.
    """
    require_mine(organization_id, actor)
    at = at or timezone.now()
    if not _writable(KpiSnapshot, organization_id, day, at):
        return 0
    rows = [
        KpiSnapshot(
            organization_id=organization_id,
            day=day,
            kpi=k.code,
            definition=k.version,
            taken_at=at,
            site_id=c.site_id,
            payer_id=c.payer_id,
            numerator=c.numerator,
            denominator=c.denominator,
        )
        for k in KPIS
        for c in cells(k, organization_id=organization_id, day=day)
    ]
    KpiSnapshot.objects.bulk_create(rows, batch_size=2000)
    return len(rows)


@transaction.atomic
def aging_snapshot(
    *, organization_id: int, day: date, actor: Actor, at: datetime | None = None
) -> int:
    """Keep the aging of a day in both bases. Returns the number of cells written; 0 when the past
    day was kept before.
    """
    require_mine(organization_id, actor)
    at = at or timezone.now()
    if not _writable(AgingSnapshot, organization_id, day, at):
        return 0
    rows = [
        AgingSnapshot(
            organization_id=organization_id,
            day=day,
            basis=basis,
            payer_id=c.payer_id,
            site_id=c.site_id,
            bucket=c.bucket[:8],
            insurance=c.insurance,
            patient=c.patient,
            lines=c.lines,
            taken_at=at,
        )
        for basis, _ in aging.BASES
        for c in aging.aging(organizations=[organization_id], on=day, basis=basis)
    ]
    AgingSnapshot.objects.bulk_create(rows, batch_size=2000)
    return len(rows)
