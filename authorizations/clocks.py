"""Deadlines of authorization work: business days by site calendar, time zones, decision clocks
(DOMAIN B6, H5).

Holidays, windows and decision times are arguments (dated data). A date deadline is inclusive: the
work is in time until the end of that day at the site.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from zoneinfo import ZoneInfo


class Unit(StrEnum):
    HOURS = "hours"
    CALENDAR_DAYS = "calendar_days"
    BUSINESS_DAYS = "business_days"


@dataclass(frozen=True)
class SiteCalendar:
    """A site's working days. `weekend` uses Monday = 0."""

    timezone: str = "America/New_York"
    holidays: frozenset[date] = frozenset()
    weekend: frozenset[int] = frozenset({5, 6})

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def is_business_day(self, day: date) -> bool:
        return day.weekday() not in self.weekend and day not in self.holidays

    def add_business_days(self, day: date, count: int) -> date:
        """The day `count` business days after (or before, if negative) `day`; 0 gives the day
        itself.
        """
        step = timedelta(days=1 if count > 0 else -1)
        for _ in range(abs(count)):
            day += step
            while not self.is_business_day(day):
                day += step
        return day

    def business_days_between(self, start: date, end: date) -> int:
        """Business days after `start` up to and including `end`; negative when `end` is earlier."""
        if end < start:
            return -self.business_days_between(end, start)
        return sum(
            self.is_business_day(start + timedelta(days=n))
            for n in range(1, (end - start).days + 1)
        )

    def local_date(self, moment: datetime) -> date:
        """The calendar day at the site; a naive moment is refused, it could be any day."""
        if moment.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        return moment.astimezone(self.zone).date()

    def end_of_day(self, day: date) -> datetime:
        return datetime.combine(day, time.max, tzinfo=self.zone)


@dataclass(frozen=True, slots=True)
class Window:
    """A length of time as a payer writes it."""

    amount: int
    unit: Unit = Unit.CALENDAR_DAYS

    def last_day(self, start: date, calendar: SiteCalendar) -> date:
        """The last day inside the window that opens on `start`; hours are rounded up to whole
        days.
        """
        if self.unit is Unit.BUSINESS_DAYS:
            return calendar.add_business_days(start, self.amount)
        days = -(-self.amount // 24) if self.unit is Unit.HOURS else self.amount
        return start + timedelta(days=days)

    def __str__(self) -> str:
        return f"{self.amount} {self.unit.value.replace('_', ' ')}"


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


def decision_due(received_at: datetime, window: Window, calendar: SiteCalendar) -> datetime:
    """The moment by which a request received at `received_at` must be decided.

    Hours run on the wall of the whole world (72 h is 72 h over a weekend and a clock change); days
    end at midnight of the site.
    """
    if window.unit is Unit.HOURS:
        if received_at.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        return received_at + timedelta(hours=window.amount)
    return calendar.end_of_day(window.last_day(calendar.local_date(received_at), calendar))


def hard_stop(service_date: date, calendar: SiteCalendar) -> date:
    """The last business day before the exam: without an authorization by then, reschedule or
    escalate (B6).
    """
    return calendar.add_business_days(service_date, -1)


def retro_deadline(
    service_date: date, window: Window | None, calendar: SiteCalendar
) -> date | None:
    """Last day a retroactive request is taken; None when the payer's window is unknown."""
    return None if window is None else window.last_day(service_date, calendar)


def update_deadline(service_date: date, window: Window, calendar: SiteCalendar) -> date:
    """Last day the approved code may still be changed after the exam (B4)."""
    return window.last_day(service_date, calendar)


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch in which the payer waited for us."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Turnaround:
    """Our preparation and the payer's thinking time, measured apart (FEATURES B13)."""

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


def us_federal_holidays(year: int) -> frozenset[date]:
    """The eleven federal holidays as observed (5 U.S.C. 6103): Saturday moves to Friday, Sunday to
    Monday.

    New Year's Day of the next year is included when it is observed on 31 December.
    """
    fixed = [
        date(year, 1, 1),
        date(year, 6, 19),
        date(year, 7, 4),
        date(year, 11, 11),
        date(year, 12, 25),
        date(year + 1, 1, 1),
    ]
    observed = {
        (
            day - timedelta(1)
            if day.weekday() == 5
            else day + timedelta(1)
            if day.weekday() == 6
            else day
        )
        for day in fixed
    }
    nth = {(1, 0, 3), (2, 0, 3), (9, 0, 1), (10, 0, 2), (11, 3, 4)}
    moving = {_nth_weekday(year, month, weekday, n) for month, weekday, n in nth}
    last_monday_of_may = max(
        d for d in (date(year, 5, n) for n in range(25, 32)) if d.weekday() == 0
    )
    return frozenset(day for day in observed | moving | {last_monday_of_may} if day.year == year)


def _nth_weekday(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))
