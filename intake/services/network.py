"""Is the site in the network of the patient's plan on the day, and where else could the visit be
(rule `network-status`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from intake.models import Appointment, Coverage
from rcm.accounts.clock import office_clock
from rcm.accounts.models import Site
from rcm.network.models import Standing
from rcm.network.standing import (
    ReaderStanding,
    SiteAsk,
    readers_of_payer,
    site_standings,
    sites_of_payer,
)
from rcm.reference.models import PayerKind

CLOSED = (Standing.OUT, Standing.NONE)
"""Standings in which the payer does not pay this site as one of its network."""
NAMED = 3
"""Other sites that a sentence names."""
SEEN_DAYS = 365
"""A site that had such exams within this time does them."""


@dataclass(frozen=True, slots=True)
class SiteStanding:
    """One visit's site at its payer: the status, blank when unknown, and the sites that are in
    network, nearest first.
    """

    status: str = ""
    instead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A site where the visit could be. `scans` is whether it had such exams lately."""

    site: Site
    status: str
    scans: bool

    @property
    def words(self) -> str:
        return str(Standing(self.status).label) if self.status else "Not known"

    @property
    def tone(self) -> str:
        return {"in": "good", "pending": "warn"}.get(self.status, "bad" if self.status else "")


@dataclass(frozen=True, slots=True)
class NetworkView:
    """What a booking has to know of the network: the chosen site, the others, the readers."""

    coverage: Coverage
    day: date
    chosen: Choice | None
    others: tuple[Choice, ...]
    readers: tuple[ReaderStanding, ...]

    @property
    def payer(self) -> str:
        plan = self.coverage.plan
        return f"{self.coverage.payer.name}{f', {plan.name}' if plan else ''}"

    @property
    def closed(self) -> bool:
        return self.chosen is not None and self.chosen.status in CLOSED

    @property
    def sentence(self) -> str:
        """The chosen site in one plain sentence."""
        if self.chosen is None:
            return ""
        words = (
            {
                Standing.IN: "is in network with",
                Standing.OUT: "is out of network with",
                Standing.PENDING: "is still pending with",
                Standing.NONE: "is not enrolled with",
            }.get(Standing(self.chosen.status))
            if self.chosen.status
            else "has no known standing with"
        )
        return f"{self.chosen.site.name} {words} {self.payer} on {self.day:%m/%d/%Y}."

    @property
    def offers(self) -> list[Choice]:
        """The other sites, where the chosen one is not in network or none is chosen yet."""
        fine = self.chosen is not None and self.chosen.status == Standing.IN
        return [] if fine else list(self.others)

    @property
    def instead(self) -> list[Choice]:
        """Other sites that are in network."""
        return [c for c in self.others if c.status == Standing.IN]

    @property
    def readers_in(self) -> list[ReaderStanding]:
        return [r for r in self.readers if r.status == Standing.IN]

    @property
    def readers_not(self) -> list[ReaderStanding]:
        return [r for r in self.readers if r.status != Standing.IN]


def has_network(coverage: Coverage | None) -> bool:
    return coverage is not None and coverage.payer.kind != PayerKind.SELF_PAY


def visits_standing(
    asks: Mapping[int, tuple[Site, Coverage, date]],
) -> dict[int, SiteStanding]:
    """By key (a visit) how its site stands with the payer on the day. One query; two more where a
    site is out of network, for the sites that are in.
    """
    named = {
        key: SiteAsk(site.pk, coverage.payer_id, coverage.plan_id, day)
        for key, (site, coverage, day) in asks.items()
    }
    found = site_standings(list(named.values()))
    closed = {key: ask for key, ask in named.items() if found.get(ask) in CLOSED}
    instead = _instead({key: (asks[key][0], ask) for key, ask in closed.items()})
    return {
        key: SiteStanding(found.get(ask, ""), instead.get(key, ())) for key, ask in named.items()
    }


def _instead(closed: Mapping[int, tuple[Site, SiteAsk]]) -> dict[int, tuple[str, ...]]:
    if not closed:
        return {}
    by_organization: dict[int, list[Site]] = {}
    for row in Site.objects.filter(
        organization_id__in={site.organization_id for site, _ in closed.values()}
    ):
        by_organization.setdefault(row.organization_id, []).append(row)
    wanted = {
        (key, other.pk): ask._replace(site_id=other.pk)
        for key, (site, ask) in closed.items()
        for other in by_organization[site.organization_id]
        if other.pk != site.pk
    }
    found = site_standings(list(wanted.values()))
    return {
        key: tuple(
            other.name
            for other in nearest(by_organization[site.organization_id], site.zip)
            if found.get(wanted.get((key, other.pk), ask)) == Standing.IN
        )[:NAMED]
        for key, (site, ask) in closed.items()
    }


def nearest(sites: Iterable[Site], zip_code: str) -> list[Site]:
    """Sites by how much of the ZIP code they share, then by name: the first three digits are a
    region, all five a neighbourhood.
    """
    return sorted(sites, key=lambda s: (-_shared(s.zip, zip_code), s.name))


def _shared(one: str, other: str) -> int:
    count = 0
    for a, b in zip(one[:5], other[:5], strict=False):
        if a != b:
            break
        count += 1
    return count


def network_view(
    *,
    organization_id: int,
    coverage: Coverage | None,
    day: date,
    modalities: Sequence[str] = (),
    site_id: int | None = None,
    near: str = "",
) -> NetworkView | None:
    """Every site of the organization at the patient's plan on the day: in network first, then those
    that do such exams, then the nearest to `near` (a ZIP code). None without insurance.
    """
    if coverage is None or not has_network(coverage):
        return None
    known = dict(
        organization_id=organization_id,
        payer_id=coverage.payer_id,
        plan_id=coverage.plan_id,
        day=day,
    )
    rows = sites_of_payer(**known)  # type: ignore[arg-type]
    scanning = _scanning(organization_id, modalities, day)
    choices = {s.pk: Choice(s, status, s.pk in scanning or not modalities) for s, status in rows}
    chosen = choices.get(site_id or 0)
    place = near or (chosen.site.zip if chosen else "")
    order = {s.pk: n for n, s in enumerate(nearest([s for s, _ in rows], place))}
    others = sorted(
        (c for c in choices.values() if c is not chosen),
        key=lambda c: (c.status != Standing.IN, not c.scans, order[c.site.pk]),
    )
    readers = readers_of_payer(**known)  # type: ignore[arg-type]
    return NetworkView(coverage, day, chosen, tuple(others), tuple(readers))


def _scanning(organization_id: int, modalities: Sequence[str], day: date) -> set[int]:
    """The sites that had visits of these modalities lately."""
    if not modalities:
        return set()
    rows = Appointment.objects.filter(
        organization_id=organization_id,
        modality__in=modalities,
        starts_at__gte=office_clock().begins(day - timedelta(days=SEEN_DAYS)),
    )
    return set(rows.order_by().values_list("site_id", flat=True).distinct())
