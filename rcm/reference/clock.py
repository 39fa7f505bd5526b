"""The clock of a site with the holidays loaded for its state (rules `site-day` and
`business-days`).
"""

from __future__ import annotations

from collections.abc import Container
from datetime import date, datetime
from functools import cached_property
from typing import Protocol

from rcm.accounts.clock import SiteClock
from rcm.reference import facts


class Place(Protocol):
    """What a clock is made from: a site, or a row that carries its zone and state."""

    @property
    def time_zone(self) -> str: ...

    @property
    def state(self) -> str: ...


class Clocks:
    """The clocks of many places; the holidays of a state are read once, when first asked for."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], SiteClock] = {}

    def of(self, site: Place) -> SiteClock:
        """The site's clock."""
        key = (site.time_zone, site.state)
        if key not in self._made:
            self._made[key] = SiteClock(site.time_zone, _Closed(site.state))
        return self._made[key]


class _Closed(Container[date]):
    """The loaded holidays of a state: a clock that is only asked for the day never reads them."""

    def __init__(self, state: str) -> None:
        self._state = state

    @cached_property
    def _days(self) -> frozenset[date]:
        return facts.holidays(self._state)

    def __contains__(self, day: object) -> bool:
        return day in self._days


def clock_of(site: Place) -> SiteClock:
    """The clock of one site. For many rows make one `Clocks`."""
    return Clocks().of(site)


def day_at(site: Place, at: datetime | None = None) -> date:
    """The day at a site now, or at a given moment."""
    return SiteClock(site.time_zone).today(at)
