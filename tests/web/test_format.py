from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from rcm.web import format as fmt
from rcm.web import parts

TODAY = dt.date(2026, 11, 23)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1284"), "$1,284.00"),
        (Decimal("-12.4"), "−$12.40"),
        ("0", "$0.00"),
        (None, ""),
        ("", ""),
        ("NaN", ""),
        (True, ""),
        (Decimal("-0.001"), "$0.00"),
    ],
)
def test_money_reads_as_people_write_it(value: object, text: str) -> None:
    assert fmt.money(value) == text


def test_a_headline_leaves_the_cents_out() -> None:
    assert fmt.money(Decimal("14701.50"), cents=False) == "$14,702"


def test_a_birth_date_cannot_be_misread_and_carries_the_age() -> None:
    assert fmt.born(dt.date(1958, 3, 27), TODAY) == "27-Mar-1958 (68y)"
    assert fmt.born(dt.date(2026, 3, 24), TODAY) == "24-Mar-2026 (7m)"
    assert fmt.born(dt.date(1958, 11, 24), TODAY) == "24-Nov-1958 (67y)"


@pytest.mark.parametrize(
    ("deadline", "words", "tone"),
    [
        (dt.date(2026, 11, 20), "Overdue 3 d", "bad"),
        (dt.date(2026, 11, 23), "Today", "bad"),
        (dt.date(2026, 11, 28), "5 d", "bad"),
        (dt.date(2026, 12, 2), "9 d", "warn"),
        (dt.date(2027, 1, 17), "55 d", ""),
    ],
)
def test_a_clock_says_its_days_in_words_and_tone(deadline: dt.date, words: str, tone: str) -> None:
    left = fmt.days_between(deadline, TODAY)
    assert left is not None
    assert (fmt.days_words(left), fmt.days_tone(left)) == (words, tone)


def test_the_year_is_said_only_when_it_is_another_one() -> None:
    assert fmt.short_day(dt.date(2026, 11, 25), TODAY) == "Nov 25"
    assert fmt.short_day(dt.date(2025, 11, 25), TODAY) == "Nov 25, 2025"


def test_a_short_identifier_is_masked_whole() -> None:
    assert fmt.masked("W223988120") == "••••8120"
    assert fmt.masked("8120") == "••••"


def test_the_three_way_tie_says_each_difference() -> None:
    open_tie = parts.Tie(Decimal("18240.50"), Decimal("18261.00"), Decimal(0))
    assert open_tie.differences == [
        ("835 and deposit differ by", Decimal("20.50")),
        ("Not posted yet", Decimal("18261.00")),
    ]
    assert parts.Tie(Decimal(5), Decimal(5), Decimal(5)).ties
    assert parts.Tie(None, Decimal(5), Decimal(5)).differences == [
        ("No deposit matched yet", Decimal(5))
    ]


def test_raw_text_is_split_by_its_own_terminator() -> None:
    isa = (
        "ISA*00*          *00*          *ZZ*A              *ZZ*B             "
        " *261123*0900*^*00501*000000001*0*T*:!"
    )
    lines = parts.raw_lines(isa + "GS*HP!ST*835*0001!", marked=(3,))
    assert [line.tag for line in lines] == ["ISA", "GS", "ST"]
    assert lines[2].marked
    assert lines[2].rest == "*835*0001"
    hl7 = parts.raw_lines("MSH|^~\\&|A\rPID|1\r\nPV1|1\n")
    assert [line.tag for line in hl7] == ["MSH", "PID", "PV1"]
