"""Deadlines of authorization work: business days by site calendar, time zones, decision clocks
(rules `authorization-stop` and `business-days`).

Holidays, windows and decision times are arguments (dated data). A date deadline is inclusive: the
work is in time until the end of that day at the site.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from rcm.accounts.clock import SiteClock


class Unit(StrEnum):
    HOURS = "hours"
    CALENDAR_DAYS = "calendar_days"
    BUSINESS_DAYS = "business_days"


@dataclass(frozen=True, slots=True)
class Window:
    """A length of time as a payer writes it."""

    amount: int
    unit: Unit = Unit.CALENDAR_DAYS

    def last_day(self, start: date, clock: SiteClock) -> date:
        """The last day inside the window that opens on `start`; hours are rounded up to whole
        days.
        """
        if self.unit is Unit.BUSINESS_DAYS:
            return clock.add_business_days(start, self.amount)
        days = -(-self.amount // 24) if self.unit is Unit.HOURS else self.amount
        return start + timedelta(days=days)

    def __str__(self) -> str:
        words = self.unit.value.replace("_", " ")
        return f"{self.amount} {words[:-1] if self.amount == 1 else words}"


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """How long a payer may take to decide; blank payer or product means any."""

    rule_id: str
    urgency: str
    window: Window
    payer_id: str = ""
    product: str = ""
    state: str = ""
    effective_from: date | None = None
    effective_to: date | None = None
    source: str = ""


def decision_rule_for(
    rules: Iterable[DecisionRule],
    *,
    payer_id: str,
    product: str,
    state: str,
    urgency: str,
    on: date,
) -> DecisionRule | None:
    """The most specific rule in force (payer, then state, then product); None means no clock is
    known.
    """
    live = [
        rule
        for rule in rules
        if rule.urgency == urgency
        and rule.payer_id in ("", payer_id)
        and rule.product in ("", product)
        and rule.state in ("", state)
        and (rule.effective_from is None or rule.effective_from <= on)
        and (rule.effective_to is None or on <= rule.effective_to)
    ]
    return max(
        live,
        key=lambda rule: (
            rule.payer_id != "",
            rule.state != "",
            rule.product != "",
            rule.effective_from or date.min,
        ),
        default=None,
    )


def decision_due(received_at: datetime, window: Window, clock: SiteClock) -> datetime:
    """The moment by which a request received at `received_at` must be decided.

    Hours run on the wall of the whole world (72 h is 72 h over a weekend and a clock change); days
    end at midnight of the site.
    """
    if window.unit is Unit.HOURS:
        if received_at.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        return received_at + timedelta(hours=window.amount)
    return clock.ends(window.last_day(clock.day_of(received_at), clock))


def hard_stop(service_date: date, clock: SiteClock) -> date:
    """The last business day before the exam: without an authorization by then, reschedule or
    escalate (rule `authorization-stop`).
    """
    return clock.add_business_days(service_date, -1)


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch in which the payer waited for us."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Turnaround:
    """Our preparation and the payer's thinking time, measured apart."""

    ours: timedelta
    payers: timedelta


def turnaround(
    *,
    ordered_at: datetime,
    submitted_at: datetime,
    decided_at: datetime,
    waiting_for_us: Iterable[Pause] = (),
) -> Turnaround:
    """Split the way from order to decision; overlapping pauses count once."""
    paused, cursor = timedelta(), submitted_at
    for pause in sorted(waiting_for_us, key=lambda p: p.start):
        start, end = max(pause.start, cursor), min(pause.end, decided_at)
        if end > start:
            paused += end - start
            cursor = end
    return Turnaround(
        ours=submitted_at - ordered_at + paused, payers=decided_at - submitted_at - paused
    )
