"""Less than ordered needs no new order: the report says what was done and the coder accepts it in
one key. More than ordered still does.
"""

from __future__ import annotations

import pytest

from charges.services import exam_accept
from tests.charges.house import PLAIN_BRAIN, READ, codes_of, fresh, holds_of
from tests.charges.test_rules import KNEE, run

TWO_VIEWS = {**KNEE, "technique": "Two views of the left knee."}


@pytest.mark.parametrize("payer", ["PHP", "MCR"])
def test_two_views_instead_of_three_are_quoted_and_accepted_in_one_key(house, payer):
    exam = run(
        house,
        house.patient(payer=payer),
        "73562",
        TWO_VIEWS,
        station="XR1",
        laterality="LT",
        authorize=False,
    )
    assert holds_of(exam) == ["LESS_THAN_ORDERED"]
    (hold,) = exam.holds
    assert "3 to 2 views" in hold["sentence"] or "3 to 1 views" in hold["sentence"]
    assert "“Two views" in hold["sentence"]
    assert hold["queue"] == "charge_review"
    (marked,) = [f for f in exam.findings if f["code"] == "LESS_THAN_ORDERED"]
    assert (marked["section"], marked["quote"]) == ("technique", "Two views of the left knee.")

    exam_accept(exam=exam, actor=house.cast.actor("cody"), version=exam.version, at=READ)
    exam = fresh(exam.pk)
    assert holds_of(exam) == []
    assert codes_of(exam)[0][:2] == ("73560", ("LT",))


def test_without_contrast_instead_of_both(house):
    exam = run(house, house.patient(), "70553", PLAIN_BRAIN)
    assert "LESS_THAN_ORDERED" in holds_of(exam)
    assert "ORDER_CHANGE" not in holds_of(exam)


def test_more_than_ordered_still_needs_its_order(house):
    exam = run(
        house,
        house.patient(),
        "73560",
        KNEE,
        station="XR1",
        laterality="LT",
        authorize=False,
    )
    assert "ORDER_CHANGE" in holds_of(exam)
    assert "LESS_THAN_ORDERED" not in holds_of(exam)
