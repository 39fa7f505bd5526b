"""Our own decided requests, read for two questions: how far out to book, and how long preparation and
decision take, apart, by payer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.contrib.postgres.aggregates import BoolOr
from django.db.models import F, Min, Q

from authorizations.clocks import turnaround
from authorizations.lead import Key, Lead, learn
from authorizations.loading import decision_window
from authorizations.models import GRANTED, Authorization, AuthStatus
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.reference.clock import Clocks
from rcm.reference.models import Payer

HISTORY = timedelta(days=180)
DECIDED = (*GRANTED, AuthStatus.DENIED, AuthStatus.EXPIRED)
STANDARD = timedelta(days=7)
EXPEDITED = timedelta(hours=72)
"""What payers of Medicare Advantage, Medicaid and CHIP have to decide in since 2026 (42 CFR 422.568,
422.572, 438.210; CMS-0057-F).
"""


@dataclass(frozen=True, slots=True)
class _Place:
    """Zone and state of a site, as a clock asks for them."""

    time_zone: str
    state: str


def leads_of(
    keys: Iterable[Key], *, organization_ids: Iterable[int], at: datetime
) -> dict[Key, Lead]:
    """The lead of each key that somebody or something knows. Two queries."""
    wanted = set(keys)
    if not wanted:
        return {}
    payers = Payer.objects.in_bulk({k.payer_id for k in wanted})
    samples = _samples({k.payer_id for k in wanted}, organization_ids, at)
    today = office_day(at)
    found = {}
    for key in wanted:
        window, _ = decision_window(payers[key.payer_id], urgent=False, on=today)
        lead = learn(samples, key, window)
        if lead is not None:
            found[key] = lead
    return found


def _samples(
    payer_ids: Iterable[int], organization_ids: Iterable[int], at: datetime
) -> dict[Key, list[int]]:
    """Business days from the first asking to the decision, at the site, by key. One query."""
    rows = (
        Authorization.objects.filter(
            organization_id__in=list(organization_ids),
            payer_id__in=list(payer_ids),
            status__in=DECIDED,
            decided_at__gte=at - HISTORY,
            decided_at__lte=at,
        )
        .annotate(
            asked=Min("requests__asked_at"),
            modality=Min("services__ordered_exam__modality"),
        )
        .filter(asked__isnull=False, asked__lte=F("decided_at"))
        .values_list(
            "payer_id",
            "reviewer",
            "modality",
            "asked",
            "decided_at",
            "site__time_zone",
            "site__state",
        )
    )
    clocks = Clocks()
    found: dict[Key, list[int]] = {}
    for payer_id, reviewer, modality, asked, decided, zone, state in rows.iterator(2000):
        if decided is None:
            continue
        clock = clocks.of(_Place(zone, state))
        days = clock.business_days_between(clock.day_of(asked), clock.day_of(decided))
        found.setdefault(Key(payer_id, reviewer, modality or ""), []).append(days)
    return found


@dataclass(frozen=True, slots=True)
class Took:
    """One decided request: what we took to prepare it and what the payer took to decide."""

    payer_code: str
    payer_name: str
    urgent: bool
    ours: timedelta
    payers: timedelta


@dataclass(frozen=True, slots=True)
class PayerTurnaround:
    """A payer's decided requests of a period. Times are medians; `in_time` counts those within the
    regulated time of their urgency.
    """

    payer: str
    name: str
    decided: int
    ours: timedelta
    payers: timedelta
    longest: timedelta
    standard: int
    standard_in_time: int
    expedited: int
    expedited_in_time: int


def turnaround_by_payer(actor: Actor, *, since: datetime, until: datetime) -> list[PayerTurnaround]:
    """Turnaround of what was decided between two moments, slowest payer first."""
    by_payer: dict[str, list[Took]] = {}
    for took in _took(actor, since, until):
        by_payer.setdefault(took.payer_code, []).append(took)
    found = [_summed(rows) for rows in by_payer.values()]
    return sorted(found, key=lambda p: p.payers, reverse=True)


def _took(actor: Actor, since: datetime, until: datetime) -> Iterator[Took]:
    rows = (
        Authorization.objects.visible_to(actor)
        .filter(
            Q(decided_at__gte=since, decided_at__lt=until),
            status__in=DECIDED,
        )
        .annotate(
            ordered=Min("services__ordered_exam__order__ordered_at"),
            asked=Min("requests__asked_at"),
            urgent=BoolOr("requests__urgent"),
        )
        .filter(asked__isnull=False, asked__lte=F("decided_at"))
        .values_list("payer__code", "payer__name", "ordered", "asked", "decided_at", "urgent")
    )
    for code, name, ordered, asked, decided, urgent in rows.iterator(2000):
        if decided is None:
            continue
        split = turnaround(
            ordered_at=min(ordered or asked, asked), submitted_at=asked, decided_at=decided
        )
        yield Took(code, name, bool(urgent), split.ours, split.payers)


def _summed(rows: Sequence[Took]) -> PayerTurnaround:
    standard = [r for r in rows if not r.urgent]
    expedited = [r for r in rows if r.urgent]
    return PayerTurnaround(
        rows[0].payer_code,
        rows[0].payer_name,
        len(rows),
        _median([r.ours for r in rows]),
        _median([r.payers for r in rows]),
        max(r.payers for r in rows),
        len(standard),
        sum(r.payers <= STANDARD for r in standard),
        len(expedited),
        sum(r.payers <= EXPEDITED for r in expedited),
    )


def _median(lengths: Sequence[timedelta]) -> timedelta:
    return timedelta(seconds=median(length.total_seconds() for length in lengths))
