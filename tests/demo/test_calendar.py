"""The two parts of the demo's calendar: the newest days and the months before them."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from rcm.demo.scenario import SHARE, Draw

TODAY = date(2026, 11, 24)


def _parts(code: str, exams: int = 400, months: float = 2) -> tuple[Draw, list, Draw, list]:
    draws = [
        Draw(code, today=TODAY, exams=exams, months=months, recent=recent)
        for recent in (True, False)
    ]
    newest, older = (draw.calendar() for draw in draws)
    return draws[0], newest, draws[1], older


@pytest.mark.parametrize("code", SHARE)
def test_the_parts_share_no_patient_no_number_and_no_day(code):
    draw, newest, _, older = _parts(code)
    assert {v.person.mrn for v in newest}.isdisjoint(v.person.mrn for v in older)
    assert {v.number for v in newest}.isdisjoint(v.number for v in older)
    items = [{i.accession for v in part for i in v.items} for part in (newest, older)]
    assert items[0].isdisjoint(items[1])
    assert {v.day for v in newest}.isdisjoint(v.day for v in older)
    assert draw.cut <= min(v.day for v in newest)
    assert max(v.day for v in older if v.day < TODAY) < draw.cut
    assert max(v.day for v in older) > max(v.day for v in newest) > TODAY


def test_the_newest_days_have_past_visits_todays_and_coming_ones():
    _, newest, _, _ = _parts("BAYSIDE")
    days = {(v.day > TODAY) - (v.day < TODAY) for v in newest}
    assert days == {-1, 0, 1}


def test_the_same_seed_gives_the_same_calendar():
    assert [v.number for v in _parts("BAYSIDE")[3]] == [v.number for v in _parts("BAYSIDE")[3]]
    assert _parts("BAYSIDE")[1] == _parts("BAYSIDE")[1]


def test_a_demo_of_a_few_days_has_no_months_before_them():
    _, newest, draw, older = _parts("BAYSIDE", exams=20, months=0.1)
    assert all(v.day > TODAY for v in older if v.day >= draw.cut)
    assert newest
    assert draw.first >= TODAY - timedelta(days=3)
