"""The clock of a site with the holidays loaded for its state."""

from __future__ import annotations

from datetime import date, datetime
from typing import Protocol

from rcm.accounts.clock import SiteClock
from rcm.reference import facts


class Place(Protocol):
    """What a clock is made from: a site, or a row that carries its zone and state."""

    @property
    def time_zone(self) -> str: ...

    @property
    def state(self) -> str: ...


def clock_of(site: Place) -> SiteClock:
    """The site's clock. Cheap: the loaded holidays are kept in the process."""
    return SiteClock(site.time_zone, facts.holidays(site.state))


def day_at(site: Place, at: datetime | None = None) -> date:
    """The day at a site now, or at a given moment."""
    return SiteClock(site.time_zone).today(at)
