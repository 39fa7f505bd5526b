"""A batch over a quarter: each line is judged by the pairs, limits, add-ons and coverage lists of
its own service date.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from claims.edits import scrub
from claims.edits.examples import claim, line, mammogram, reference
from claims.edits.facts import ClaimFacts
from claims.facts import reference_for
from rcm.reference.models import AddOn, MueEdit, PtpEdit
from rcm.reference.models import CoverageRow as Listed

pytestmark = pytest.mark.django_db
JUNE, JULY = date(2026, 6, 30), date(2026, 7, 1)
CODES = {"70553", "70551", "77063", "77067", "93880"}


@pytest.fixture
def quarters():
    """On July 1: the limit of 70553 falls from 2 a day to 1 absolute, its pair with 70551 can no
    longer be bypassed, 77063 gets another primary, and the list of 93880 changes its diagnosis.
    """
    for model, rows in (
        (MueEdit, {"code": "70553"}),
        (PtpEdit, {"column1": "70553", "column2": "70551"}),
        (AddOn, {"addon": "77063"}),
        (Listed, {"code": "93880"}),
    ):
        model.objects.filter(**rows).delete()
    until, since = (
        {"effective_from": date(2026, 1, 1), "effective_to": JUNE},
        {"effective_from": JULY},
    )
    MueEdit.objects.create(code="70553", value=2, mai="3", program="medicare", **until)
    MueEdit.objects.create(code="70553", value=1, mai="2", program="medicare", **since)
    PtpEdit.objects.create(column1="70553", column2="70551", modifier_indicator="1", **until)
    PtpEdit.objects.create(column1="70553", column2="70551", modifier_indicator="0", **since)
    AddOn.objects.create(addon="77063", primary="77067", aoc_type="1", **until)
    AddOn.objects.create(addon="77063", primary="77066", aoc_type="1", **since)
    Listed.objects.create(code="93880", diagnosis="R0989", covered=True, policy="L1", **until)
    Listed.objects.create(code="93880", diagnosis="I6529", covered=True, policy="L2", **since)


def on(facts: ClaimFacts, day: date) -> ClaimFacts:
    lines = tuple(replace(item, service_date=day, report_signed_on=day) for item in facts.lines)
    return replace(facts, lines=lines, eligibility_checked_on=day)


def judged(facts: ClaimFacts) -> tuple[dict[str, bool], dict[str, bool]]:
    """What the edits of quarterly tables say of the same claim on June 30 and on July 1, in one
    batch.
    """
    found = reference_for(codes=CODES, days=[JUNE, JULY], payers={}, certificates=set())
    tables = replace(
        reference(), ptp=found.ptp, mue=found.mue, addons=found.addons, coverage=found.coverage
    )
    both = scrub([on(facts, JUNE), on(facts, JULY)], tables, as_of=date(2026, 7, 10))
    june, july = (
        {f.edit_id: f.blocks for f in one if f.edit_id[:3] in ("NCC", "NEC")} for one in both
    )
    return june, july


def test_a_unit_limit_holds_from_its_own_quarter(quarters):
    two = claim(line("70553", units=Decimal(2)), line("A9585"))
    assert judged(two) == ({}, {"NCC-003": True})
    three = claim(line("70553", units=Decimal(3)), line("A9585"))
    assert judged(three) == ({"NCC-004": False}, {"NCC-003": True})


def test_a_pair_that_lost_its_bypass_is_judged_by_the_day(quarters):
    pair = claim(line("70553"), line("70551", "XE", accession="ACC0002"), line("A9585"))
    assert judged(pair) == ({}, {"NCC-001": True})


def test_an_addon_follows_the_primaries_of_the_day(quarters):
    assert judged(mammogram()) == ({}, {"NCC-005": True})


def test_a_coverage_list_is_that_of_the_day(quarters):
    assert judged(claim(line("93880"), diagnoses=("R0989",))) == ({}, {"NEC-001": False})
    assert judged(claim(line("93880"), diagnoses=("I6529",))) == ({"NEC-001": False}, {})


def test_lines_of_one_claim_may_lie_in_two_quarters(quarters):
    """The last evening and the first morning: two units each, only the second day is over its
    limit.
    """
    lines = (
        line("70553", units=Decimal(2), service_date=JUNE, accession="ACC0001"),
        line("70553", units=Decimal(2), service_date=JULY, accession="ACC0002"),
    )
    tables = reference_for(codes=CODES, days=[JUNE, JULY], payers={}, certificates=set())
    (found,) = scrub([claim(*lines)], replace(reference(), mue=tables.mue), as_of=date(2026, 7, 10))
    assert [(f.edit_id, f.line) for f in found if f.edit_id.startswith("NCC-00")] == [
        ("NCC-003", 2)
    ]


def test_the_tables_come_in_as_many_queries_for_one_quarter_as_for_two(quarters):
    def asked(days: list[date]) -> int:
        reference_for(codes=CODES, days=days, payers={}, certificates=set())
        with CaptureQueriesContext(connection) as queries:
            reference_for(codes=CODES, days=days, payers={}, certificates=set())
        return len(queries)

    assert asked([JULY]) == asked([JUNE, JULY])
