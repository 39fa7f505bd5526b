"""Worked examples against the full tables, where they lie beside the checkout; the own tables prove
the same rules without them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from claims.edits import scrub
from claims.edits.csvload import load, side_of
from claims.edits.examples import claim, line, mammogram, medicare, reference

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data"
DAY = date(2026, 9, 15)
pytestmark = pytest.mark.skipif(
    not FOLDER.exists(), reason="the full reference tables are not beside the checkout"
)


@cache
def tables():
    own = reference()
    return replace(
        load(FOLDER, payers=own.payers),
        enrollments=own.enrollments,
        licenses=own.licenses,
        mammography_certificates=own.mammography_certificates,
        ordering_npis=own.ordering_npis,
    )


def on(facts):
    """The claim moved into the range of the loaded diagnosis list."""
    lines = tuple(replace(item, service_date=DAY, report_signed_on=DAY) for item in facts.lines)
    return replace(facts, lines=lines, eligibility_checked_on=DAY)


def ids(facts) -> dict[str, bool]:
    return {f.edit_id: f.blocks for f in scrub([on(facts)], tables(), as_of=date(2026, 10, 1))[0]}


def test_the_clean_claims_are_clean_against_the_full_tables_too():
    assert ids(claim()) == {}
    assert ids(medicare()) == {}
    assert ids(mammogram()) == {}


@pytest.mark.parametrize(
    ("lines", "pos", "edit_id", "blocks"),
    [
        ((line("71046", "TC"),), "22", "CMP-003", True),  # J4
        ((line("77090", "26"),), "11", "CMP-001", True),
        ((line("G0296", "TC"),), "11", "CMP-001", True),
        ((line("77089"), line("77091")), "11", "CMP-009", True),
        ((line("70553", units=Decimal(3)),), "11", "NCC-004", False),  # J9
        ((line("77067", units=Decimal(2)),), "11", "NCC-003", True),
        ((line("77066", "50"),), "11", "MOD-005", True),  # J10
        ((line("70553"), line("70551")), "11", "NCC-002", False),
        ((line("74177"), line("74160")), "11", "NCC-002", False),
        ((line("71275"), line("76376")), "11", "NCC-001", True),
        ((line("70551"), line("70553")), "11", "CMP-010", True),
    ],
)
def test_what_must_be_found(lines, pos, edit_id, blocks):
    assert ids(claim(*lines, pos=pos))[edit_id] is blocks


def test_the_reading_at_a_hospital_is_allowed():
    assert "CMP-003" not in ids(claim(line("71046", "26"), pos="22"))


def test_both_knees_are_two_lines_or_fifty():
    for lines in ((line("73562", "RT"), line("73562", "LT")), (line("73562", "50"),)):
        found = ids(claim(*lines))
        assert not {"DUP-002", "MOD-004", "MOD-005", "NCC-003"} & set(found)
    assert "MOD-005" not in ids(claim(line("76641", "50")))


def test_screening_and_diagnostic_mammogram_of_one_day():
    together = mammogram(
        line("77067"),
        line("77063"),
        line("77065", "LT", "GG"),
        line("G0279", "GG"),
        diagnoses=("Z1231",),
    )
    assert not {"MAM-003", "MAM-004", "MAM-005", "MAM-006"} & set(ids(together))
    assert ids(mammogram(line("77067"), line("77065", "LT")))["MAM-006"]
    assert ids(mammogram(line("77065", "LT"), line("77061", "LT")))["MAM-005"]


def test_eighty_units_of_gadobutrol_are_eight_millilitres():
    assert "CON-005" not in ids(claim(line("72158"), line("A9585", units=Decimal(80))))
    assert "CON-005" in ids(claim(line("72158"), line("A9585", units=Decimal(8))))


def test_a_service_after_the_diagnosis_list_is_only_warned():
    later = replace(claim(), diagnoses=("NOTACODE",))
    found = {f.edit_id: f.blocks for f in scrub([later], tables(), as_of=date(2026, 11, 20))[0]}
    assert found.get("COD-005") is False
    assert "COD-004" not in found


def test_the_last_day_of_the_filing_limit():
    facts = claim(line(service_date=date(2026, 1, 1), report_signed_on=date(2026, 1, 2)))
    late = {f.edit_id for f in scrub([facts], tables(), as_of=date(2026, 4, 2))[0]}
    last = {f.edit_id for f in scrub([facts], tables(), as_of=date(2026, 4, 1))[0]}
    assert "TIM-001" in late
    assert "TIM-001" not in last
    assert "TIM-002" in last


def test_sides_come_from_the_words_of_a_diagnosis():
    assert side_of("Pain in right knee") == "RT"
    assert side_of("Bilateral primary osteoarthritis of hip") == "50"
    assert side_of("Headache, unspecified") == ""
