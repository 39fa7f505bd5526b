"""Deadlines in business days, time zones and hours (rules `authorization-decision-clock` and
`business-days`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authorizations.clocks import (
    DecisionRule,
    Pause,
    Unit,
    Window,
    decision_due,
    decision_rule_for,
    hard_stop,
    turnaround,
)
from rcm.accounts.clock import SiteClock, federal_holiday

CHICAGO = SiteClock("America/Chicago")


def test_the_federal_holidays_of_2026_and_their_observed_days():
    days = [day for n in range(365) if federal_holiday(day := date(2026, 1, 1) + timedelta(n))]
    assert not any(map(CHICAGO.is_business_day, days))
    assert len([day for day in days if day.weekday() < 5]) == 11
    assert date(2026, 7, 3) in days  # 4 July is a Saturday
    assert federal_holiday(date(2021, 12, 31))  # New Year 2022 is a Saturday


def test_the_hard_stop_steps_over_weekend_and_holiday():
    assert hard_stop(date(2026, 9, 8), CHICAGO) == date(2026, 9, 4)


def test_seven_calendar_days_end_at_midnight_of_the_site():
    received = datetime(2026, 3, 3, 3, 30, tzinfo=UTC)  # still 2 March in Chicago
    due = decision_due(received, Window(7), CHICAGO)
    assert (due.date(), due.tzinfo) == (date(2026, 3, 9), ZoneInfo("America/Chicago"))


def test_seventy_two_hours_run_through_a_clock_change():
    received = datetime(2026, 3, 7, 10, 0, tzinfo=ZoneInfo("America/Chicago")).astimezone(UTC)
    due = decision_due(received, Window(72, Unit.HOURS), CHICAGO)
    assert due - received == timedelta(hours=72)
    assert due.astimezone(CHICAGO.zone).hour == 11


def test_a_naive_moment_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        decision_due(datetime(2026, 3, 3), Window(7), CHICAGO)  # noqa: DTZ001


def test_a_payers_own_clock_beats_the_federal_one_and_none_is_unknown():
    federal = DecisionRule(
        "FED", "standard", Window(7), product="medicare_advantage", effective_from=date(2026, 1, 1)
    )
    payer = DecisionRule("OWN", "standard", Window(5), payer_id="60054")
    asked = {
        "payer_id": "60054",
        "product": "medicare_advantage",
        "state": "TX",
        "urgency": "standard",
    }
    assert decision_rule_for([federal, payer], **asked, on=date(2026, 2, 1)) is payer
    assert decision_rule_for([federal], **asked, on=date(2026, 2, 1)) is federal
    assert decision_rule_for([federal], **asked, on=date(2025, 12, 31)) is None


def test_our_time_and_the_payers_time_are_measured_apart():
    def day(n: int) -> datetime:
        return datetime(2026, 9, n, 12, tzinfo=UTC)

    split = turnaround(
        ordered_at=day(1),
        submitted_at=day(3),
        decided_at=day(10),
        waiting_for_us=[Pause(day(5), day(7)), Pause(day(6), day(8))],
    )
    assert (split.ours, split.payers) == (timedelta(days=5), timedelta(days=4))


DAYS = st.dates(date(2026, 1, 2), date(2027, 11, 1))


@given(DAYS, st.integers(1, 30))
def test_business_days_go_there_and_back(day, count):
    there = CHICAGO.add_business_days(day, count)
    assert CHICAGO.is_business_day(there)
    assert CHICAGO.business_days_between(day, there) == count


@given(DAYS, st.integers(0, 60), st.integers(0, 60), st.sampled_from(list(Unit)))
def test_a_longer_window_never_ends_earlier(day, short, more, unit):
    assert Window(short, unit).last_day(day, CHICAGO) <= Window(short + more, unit).last_day(
        day, CHICAGO
    )
