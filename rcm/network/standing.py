"""What stands on a day, asked in bulk: sites for booking, enrollments for claims. Absent means
unknown (rules `network-status` and `provider-enrolled`).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Max, Q

from rcm.accounts.models import Site
from rcm.network.models import PERSONS, NetworkSpan, Party, Standing
from rcm.reference.facts import in_force
from rcm.reference.models import Provider


class SiteAsk(NamedTuple):
    """How a site stands with a payer on a day; a plan's own span goes before the payer's."""

    site_id: int
    payer_id: int
    plan_id: int | None
    day: dt.date


@dataclass(frozen=True, slots=True)
class Instead:
    """A site of the same organization that is in network, or a reader who is."""

    site: Site
    status: str


@dataclass(frozen=True, slots=True)
class ReaderStanding:
    """How a reader stands with a payer on a day."""

    npi: str
    name: str
    status: str

    @property
    def words(self) -> str:
        return str(Standing(self.status).label)

    @property
    def enrolled(self) -> bool:
        return self.status in (Standing.IN, Standing.OUT)


def _live() -> Q:
    return Q(withdrawn_at__isnull=True)


def site_standings(asks: Sequence[SiteAsk]) -> dict[SiteAsk, str]:
    """Status by ask; an ask about which nothing is known is missing. One query."""
    if not asks:
        return {}
    spans: dict[tuple[int, int], list[NetworkSpan]] = defaultdict(list)
    rows = NetworkSpan.objects.filter(
        _live(),
        kind=Party.SITE,
        site_id__in={a.site_id for a in asks},
        payer_id__in={a.payer_id for a in asks},
    )
    for row in rows:
        spans[(row.site_id or 0, row.payer_id)].append(row)
    found: dict[SiteAsk, str] = {}
    for ask in asks:
        status = _on(spans[(ask.site_id, ask.payer_id)], ask.plan_id, ask.day)
        if status:
            found[ask] = status
    return found


def _on(spans: Iterable[NetworkSpan], plan_id: int | None, day: dt.date) -> str:
    held = {s.plan_id: s.status for s in spans if _covers(s, day)}
    return held.get(plan_id) or held.get(None, "")


def _covers(span: NetworkSpan, day: dt.date) -> bool:
    return span.effective_from <= day and (span.effective_to is None or day <= span.effective_to)


def sites_of_payer(
    *, organization_id: int, payer_id: int, plan_id: int | None, day: dt.date
) -> list[tuple[Site, str]]:
    """Every site of an organization with its status on the day, blank where nothing is known.
    Two queries.
    """
    sites = list(Site.objects.filter(organization_id=organization_id).order_by("name"))
    asks = {s.pk: SiteAsk(s.pk, payer_id, plan_id, day) for s in sites}
    found = site_standings(list(asks.values()))
    return [(s, found.get(asks[s.pk], "")) for s in sites]


def readers_of_payer(
    *, organization_id: int, payer_id: int, plan_id: int | None, day: dt.date
) -> list[ReaderStanding]:
    """The readers about whom something is known with this payer on the day, by name. Two
    queries.
    """
    rows = NetworkSpan.objects.filter(
        _live(),
        in_force(day),
        Q(plan_id=plan_id) | Q(plan__isnull=True),
        organization_id=organization_id,
        kind=Party.READER,
        payer_id=payer_id,
    )
    by_npi: dict[str, list[NetworkSpan]] = defaultdict(list)
    for row in rows:
        by_npi[row.npi].append(row)
    names = {p.npi: str(p) for p in Provider.objects.filter(npi__in=by_npi)} if by_npi else {}
    found = [
        ReaderStanding(npi, names.get(npi, npi), _on(spans, plan_id, day))
        for npi, spans in by_npi.items()
    ]
    return sorted(found, key=lambda r: r.name)


def enrollment_spans(npis: Iterable[str], organizations: Iterable[int]) -> list[NetworkSpan]:
    """The spans of these providers that stand, with payer and plan. One query."""
    rows = NetworkSpan.objects.filter(
        _live(), kind__in=PERSONS, npi__in=set(npis), organization_id__in=set(organizations)
    )
    return list(rows.select_related("payer", "plan").order_by("effective_from"))


def keep_enrollments(organizations: Iterable[int]) -> set[int]:
    """Those of these organizations that keep enrollments at all: of the others nothing is known."""
    rows = NetworkSpan.objects.filter(
        _live(), kind__in=PERSONS, organization_id__in=set(organizations)
    )
    return set(rows.order_by().values_list("organization_id", flat=True).distinct())


def last_changes(organizations: Iterable[int]) -> dict[tuple[int, int], dt.datetime]:
    """When the enrollments of (organization, payer) last changed. One query."""
    rows = (
        NetworkSpan.objects.filter(kind__in=PERSONS, organization_id__in=set(organizations))
        .order_by()
        .values_list("organization_id", "payer_id")
        .annotate(opened=Max("recorded_at"), ended=Max("ended_at"), gone=Max("withdrawn_at"))
    )
    return {
        (organization, payer): max(filter(None, moments)) for organization, payer, *moments in rows
    }
