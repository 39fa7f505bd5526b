"""How far out an exam must be booked for its authorization to come in time: learned from our own
decided requests, else the payer's rule. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from authorizations.clocks import Unit, Window
from rcm.accounts.clock import SiteClock

ENOUGH = 5
"""Decided requests below which our own history says nothing."""
COVERS = 80
"""Share of past requests, in percent, that were decided within the days we plan with."""


class Basis(StrEnum):
    """Where the days come from."""

    MODALITY = "modality"
    REVIEWER = "reviewer"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Lead:
    """Business days from asking to decision to plan with. `low` and `high` hold the middle eight of
    ten past requests; `n` counts them, 0 when the payer's rule speaks.
    """

    days: int
    n: int
    low: int
    high: int
    basis: Basis

    def words(self) -> str:
        """ "3 business days (24 requests, 1 to 5)" """
        unit = "business day" if self.days == 1 else "business days"
        if self.basis is Basis.RULE:
            return f"{self.days} {unit} (the payer's rule)"
        return f"{self.days} {unit} ({self.n} requests, {self.low} to {self.high})"


@dataclass(frozen=True, slots=True)
class Key:
    """Whose requests for which kind of exam."""

    payer_id: int
    reviewer: str
    modality: str


def learn(samples: Mapping[Key, Sequence[int]], key: Key, rule: Window | None) -> Lead | None:
    """The lead for a key: of its own modality, else of the reviewer's whole history with the payer,
    else of the payer's rule; None when nobody knows.
    """
    own = samples.get(key, ())
    if len(own) >= ENOUGH:
        return _of(own, Basis.MODALITY)
    wider = [
        days
        for k, found in samples.items()
        if (k.payer_id, k.reviewer) == (key.payer_id, key.reviewer)
        for days in found
    ]
    if len(wider) >= ENOUGH:
        return _of(wider, Basis.REVIEWER)
    if rule is None:
        return None
    days = _days(rule)
    return Lead(days, 0, days, days, Basis.RULE)


def _of(samples: Sequence[int], basis: Basis) -> Lead:
    ordered = sorted(samples)
    return Lead(
        _percentile(ordered, COVERS),
        len(ordered),
        _percentile(ordered, 10),
        _percentile(ordered, 90),
        basis,
    )


def _percentile(ordered: Sequence[int], share: int) -> int:
    """The smallest value that at least `share` percent do not exceed."""
    rank = -(-share * len(ordered) // 100)
    return ordered[max(rank, 1) - 1]


def _days(rule: Window) -> int:
    """A window in whole business days: 72 hours are three, a week of calendar days five."""
    if rule.unit is Unit.BUSINESS_DAYS:
        return rule.amount
    days = -(-rule.amount // 24) if rule.unit is Unit.HOURS else rule.amount
    weeks, rest = divmod(days, 7)
    return weeks * 5 + min(rest, 5)


def earliest(lead: Lead, asked: date, clock: SiteClock) -> date:
    """The first day of an exam whose authorization, asked on that day, can be expected by the last
    business day before it.
    """
    return clock.add_business_days(asked, lead.days + 1)


def too_early(lead: Lead, asked: date, day: date, clock: SiteClock) -> int:
    """By how many calendar days an exam lies before the earliest bookable day; 0 when it does
    not.
    """
    return max((earliest(lead, asked, clock) - day).days, 0)
