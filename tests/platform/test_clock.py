"""The clock of a site: its day, its midnight, its working days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rcm.accounts.clock import SiteClock
from rcm.accounts.models import Site
from rcm.reference.clock import Clocks, clock_of, day_at
from rcm.reference.models import Holiday

EVENING = datetime(2026, 3, 3, 4, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Pacific/Honolulu", date(2026, 3, 2)),
        ("America/Chicago", date(2026, 3, 2)),
        ("America/New_York", date(2026, 3, 2)),
        ("UTC", date(2026, 3, 3)),
    ],
)
def test_one_moment_is_another_day_elsewhere(zone: str, day: date) -> None:
    assert SiteClock(zone).day_of(EVENING) == day


def test_a_day_of_the_clock_change_has_its_own_length() -> None:
    clock = SiteClock("America/Chicago")
    spring = date(2026, 3, 8)
    length = clock.begins(spring + timedelta(days=1)).astimezone(UTC) - clock.begins(
        spring
    ).astimezone(UTC)
    assert length == timedelta(hours=23)
    assert clock.day_of(clock.ends(spring)) == spring


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        SiteClock().day_of(datetime(2026, 3, 2, 9))  # noqa: DTZ001


def test_thanksgiving_and_the_loaded_day_of_a_state_do_not_count(cast) -> None:
    site = Site.objects.filter(organization=cast.a).first()
    assert site is not None
    wednesday = date(2026, 11, 25)
    assert clock_of(site).add_business_days(wednesday, 1) == date(2026, 11, 27)
    Holiday.objects.create(day=date(2026, 11, 27), state=site.state, name="House day")
    from rcm.reference.facts import forget

    forget()
    assert clock_of(site).add_business_days(wednesday, 1) == date(2026, 11, 30)
    assert clock_of(site).business_days_between(wednesday, date(2026, 11, 30)) == 1


def test_the_clocks_of_many_rows_read_the_holidays_once_and_a_day_reads_none(cast) -> None:
    sites = list(Site.objects.all()) * 10
    with CaptureQueriesContext(connection) as none:
        assert {day_at(site, EVENING) for site in sites}
    assert len(none) == 0
    clocks = Clocks()
    with CaptureQueriesContext(connection) as few:
        for site in sites:
            clocks.of(site).add_business_days(date(2026, 1, 1), 3)
    assert len(few) <= 2 * len({site.state for site in sites})
