"""A coder cannot make an exam fit its authorization: what was performed is a fact of report and
modality; another code needs words of the report and a second look, and the difference stays to be
seen.
"""

from __future__ import annotations

import pytest

from charges.services import exam_code, exam_code_confirm
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.models import Event
from tests.charges.house import BRAIN, READ, codes_of, fresh, holds_of
from tests.charges.test_rules import run


@pytest.fixture
def exam(house):
    """Brain MR without and with contrast, done and reported; no authorization covers it."""
    made = run(house, house.patient(), "70553", BRAIN, authorize=False)
    assert made.suggestion["code"] == "70553"
    return made


def second_coder(house) -> Actor:
    return house.cast.actor("mia")


def fit(house, exam, code: str = "70551", evidence: str = "", **values):
    return exam_code(
        exam=fresh(exam.pk),
        code=code,
        reason="As authorized",
        evidence=evidence,
        actor=house.cast.actor("cody"),
        at=READ,
        **values,
    )


@pytest.mark.parametrize("evidence", ["", "abc", "words that nobody dictated"])
def test_another_code_than_performed_needs_words_of_the_signed_report(house, exam, evidence):
    with pytest.raises(Refused) as stop:
        fit(house, exam, evidence=evidence)
    assert stop.value.field == "evidence"
    assert fresh(exam.pk).code == "70553"


def quote_of(exam) -> str:
    from charges.models import Report

    sections = Report.objects.filter(exam=exam).latest("version").sections
    return next(str(text) for text in sections.values() if len(str(text)) > 10)[:60]


def test_with_evidence_it_waits_for_another_person_and_the_match_keeps_what_was_done(house, exam):
    fit(house, exam, evidence=quote_of(exam))
    row = fresh(exam.pk)
    assert row.code == "70551"
    assert "SECOND_LOOK" in holds_of(row)
    assert row.status != "released"
    codes = {d["code"] for d in row.match["deviations"]}
    assert "CODE_NOT_PERFORMED" in codes
    with pytest.raises(Refused, match="another person"):
        exam_code_confirm(
            exam=row, reason="I looked again", actor=house.cast.actor("cody"), at=READ
        )


def test_what_was_billed_already_is_not_replaced_before_the_second_look(house):
    """Released with contrast; the coder's other code changes no charge until somebody else looked."""
    exam = run(house, house.patient(), "70553", BRAIN)
    assert exam.status == "released"
    before = codes_of(exam)
    fit(house, exam, evidence=quote_of(exam))
    assert codes_of(fresh(exam.pk)) == before
    assert "SECOND_LOOK" in holds_of(fresh(exam.pk))


def test_after_the_second_look_the_difference_is_still_to_be_seen(house, exam):
    fit(house, exam, evidence=quote_of(exam))
    exam_code_confirm(
        exam=fresh(exam.pk), reason="The addendum says so", actor=second_coder(house), at=READ
    )
    row = fresh(exam.pk)
    assert "SECOND_LOOK" not in holds_of(row)
    assert "CODE_NOT_PERFORMED" not in holds_of(row)
    assert "CODE_NOT_PERFORMED" in {d["code"] for d in row.match["deviations"]}
    assert row.decision["second"]["by"] == "Mia Manager"
    assert Event.objects.filter(verb="charge.second_look", exam_id=row.pk).count() == 1
    with pytest.raises(Refused, match="waits for a second look"):
        exam_code_confirm(exam=row, reason="Once more", actor=second_coder(house), at=READ)


def test_the_performed_code_itself_needs_neither(house, exam):
    exam_code(
        exam=fresh(exam.pk),
        code="70553",
        reason="As dictated",
        actor=house.cast.actor("cody"),
        at=READ,
    )
    row = fresh(exam.pk)
    assert "performed" not in row.decision
    assert "SECOND_LOOK" not in holds_of(row)


def test_a_decision_taken_back_ends_the_wait(house, exam):
    fit(house, exam, evidence=quote_of(exam))
    exam_code(exam=fresh(exam.pk), code="", reason="", actor=house.cast.actor("cody"), at=READ)
    assert "SECOND_LOOK" not in holds_of(fresh(exam.pk))
    assert fresh(exam.pk).code == "70553"
