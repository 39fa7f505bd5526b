"""How far out to book: learned from decided requests with their number and interval, else the payer's
rule.
"""

from __future__ import annotations

from datetime import date

import pytest

from authorizations.clocks import Unit, Window
from authorizations.lead import Basis, Key, Lead, earliest, learn, too_early
from rcm.accounts.clock import SiteClock

KEY = Key(1, "Clearview", "MR")
CLOCK = SiteClock("America/Chicago")
FRIDAY = date(2026, 3, 6)


def test_four_of_five_requests_came_within_the_days_we_plan_with():
    lead = learn({KEY: [1, 1, 2, 2, 3, 3, 3, 4, 9, 9]}, KEY, None)
    assert lead == Lead(4, 10, 1, 9, Basis.MODALITY)
    assert lead.words() == "4 business days (10 requests, 1 to 9)"


def test_too_few_of_a_modality_ask_the_reviewers_whole_history_then_the_rule():
    other = Key(1, "Clearview", "CT")
    foreign = Key(2, "Clearview", "CT")
    rule = Window(72, Unit.HOURS)
    assert learn({KEY: [5], other: [1, 1, 1, 1]}, KEY, rule) == Lead(1, 5, 1, 5, Basis.REVIEWER)
    assert learn({KEY: [5], foreign: [1] * 50}, KEY, rule) == Lead(3, 0, 3, 3, Basis.RULE)
    assert learn({KEY: [5]}, KEY, None) is None


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        (Window(72, Unit.HOURS), 3),
        (Window(7), 5),
        (Window(14), 10),
        (Window(6), 5),
        (Window(2, Unit.BUSINESS_DAYS), 2),
    ],
)
def test_a_payers_rule_in_business_days(rule, days):
    assert learn({}, KEY, rule).days == days


def test_the_decision_is_there_by_the_business_day_before_the_exam():
    """Asked on a Friday, three business days: decided by Wednesday, bookable from Thursday."""
    lead = Lead(3, 24, 1, 5, Basis.MODALITY)
    assert earliest(lead, FRIDAY, CLOCK) == date(2026, 3, 12)
    assert too_early(lead, FRIDAY, date(2026, 3, 10), CLOCK) == 2
    assert too_early(lead, FRIDAY, date(2026, 3, 12), CLOCK) == 0
