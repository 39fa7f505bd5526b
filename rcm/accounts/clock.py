"""The one clock: what day it is at a site, when that day begins and ends there, and which days are
worked.

A day in this product is a day somewhere. Services, gates, edits, matching, figures and statements
ask the clock of the site concerned (`rcm.reference.clock.clock_of`), which also knows the holidays
loaded for its state. What belongs to no site (the day in a person's form, a table in force) goes by
the office's day. Nothing else turns a moment into a day; a test of the house looks for it.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays
from django.conf import settings
from django.utils import timezone

WEEKEND = frozenset({5, 6})


@cache
def _federal() -> holidays.HolidayBase:
    return holidays.country_holidays("US")


def federal_holiday(day: date) -> bool:
    """Whether federal offices are closed, on the day as observed (5 U.S.C. 6103)."""
    return day in _federal()


@dataclass(frozen=True, slots=True)
class SiteClock:
    """Time at one place. `closed` are days without work beyond weekends and federal holidays."""

    time_zone: str = "America/New_York"
    closed: Container[date] = frozenset()

    @property
    def zone(self) -> ZoneInfo:
        """The time zone; made once per name by the library."""
        return ZoneInfo(self.time_zone)

    def local(self, moment: datetime) -> datetime:
        """The wall clock there. A moment without a zone is refused: it could be any day."""
        if moment.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        return moment.astimezone(self.zone)

    def day_of(self, moment: datetime) -> date:
        """The calendar day there in which a moment falls."""
        return self.local(moment).date()

    def today(self, at: datetime | None = None) -> date:
        """The day there now, or at a given moment."""
        return self.day_of(at or timezone.now())

    def begins(self, day: date) -> datetime:
        """The first moment of a day there."""
        return datetime.combine(day, time.min, tzinfo=self.zone)

    def ends(self, day: date) -> datetime:
        """The last moment of a day there: a deadline on that day is kept until then."""
        return datetime.combine(day, time.max, tzinfo=self.zone)

    def at(self, day: date, hour: int, minute: int = 0) -> datetime:
        """A time of day there."""
        return datetime.combine(day, time(hour, minute), tzinfo=self.zone)

    def is_business_day(self, day: date) -> bool:
        """Neither weekend nor holiday."""
        return day.weekday() not in WEEKEND and day not in self.closed and not federal_holiday(day)

    def add_business_days(self, day: date, count: int) -> date:
        """The day `count` business days after (or before, if negative) `day`; 0 is the day."""
        step = timedelta(days=1 if count > 0 else -1)
        for _ in range(abs(count)):
            day += step
            while not self.is_business_day(day):
                day += step
        return day

    def business_days_between(self, start: date, end: date) -> int:
        """Business days after `start` up to and with `end`; negative when `end` is earlier."""
        if end < start:
            return -self.business_days_between(end, start)
        days = (start + timedelta(days=n) for n in range(1, (end - start).days + 1))
        return sum(map(self.is_business_day, days))


def day_as_written(moment: datetime) -> date:
    """The day of a partner's moment before its site is known: without a zone the day as it stands,
    else the day at the office.
    """
    if moment.tzinfo is None:
        return date(moment.year, moment.month, moment.day)
    return office_day(moment)


def office_clock() -> SiteClock:
    """The clock of the billing office: the zone the product is installed with."""
    return SiteClock(settings.TIME_ZONE)


def office_day(at: datetime | None = None) -> date:
    """The day at the billing office, for what belongs to no site."""
    return office_clock().today(at)
