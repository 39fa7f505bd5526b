"""A letter states what the file proves: receipt only by an acceptance, in time only by both days."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from remittance.letters import LetterFacts, letter

LIMIT = date(2026, 6, 1)


def facts(**more: object) -> LetterFacts:
    given: dict[str, object] = {
        "today": date(2026, 7, 1),
        "organization": "Cana Imaging",
        "address": ("1 Main", "Springfield, IL 62701"),
        "payer": "Prairie Health Plan",
        "payer_address": (),
        "level": 1,
        "level_name": "First appeal",
        "patient": "Roe, Ruth",
        "born": date(1980, 1, 1),
        "member_id": "A1",
        "claim_number": "IM000001",
        "payer_control_number": "ICN1",
        "service_date": date(2026, 3, 2),
        "exam": "70551",
        "billed": Decimal("900.00"),
        "denied": Decimal("900.00"),
        "denied_on": date(2026, 6, 20),
        "reason": "CO-29",
        "reason_words": "Filed too late",
        "remarks": (),
        "category": "timely_filing",
        "filing_limit": LIMIT,
    }
    return LetterFacts(**{**given, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("accepted", "in_time"),
    [
        (date(2026, 5, 30), True),
        (LIMIT, True),
        (date(2026, 6, 2), False),
        (None, False),
    ],
)
def test_received_in_time_is_said_only_when_an_acceptance_proves_it(accepted, in_time) -> None:
    words = letter(facts(accepted_on=accepted))
    assert ("it was received in time" in words) is in_time
    assert ("acceptance of claim IM000001" in words) is (accepted is not None)


def test_without_a_known_limit_nothing_is_claimed() -> None:
    words = letter(facts(accepted_on=date(2026, 5, 30), filing_limit=None))
    assert "in time" not in words
    assert "May 30, 2026" in words
