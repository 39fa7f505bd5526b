"""What the order leaves to the radiologist is no change of the order when it is done."""

from __future__ import annotations

import pytest

from charges.services import exam_record, report_receive
from intake.models import OrderedExam
from tests.charges.house import BRAIN, DONE, READ
from tests.charges.test_thread import GADOBUTROL, evaluate, fresh, holds_of


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("contrast_open", "holds"),
    [(False, ["ORDER_CHANGE", "UPDATE_REQUIRED"]), (True, ["UPDATE_REQUIRED"])],
)
def test_contrast_left_open_by_the_order_is_test_design(house, contrast_open, holds):
    patient = house.patient(payer="LBI")
    (ordered,) = house.order(patient, "70551")
    OrderedExam.objects.filter(pk=ordered.pk).update(contrast_open=contrast_open)
    house.authorize(patient, ordered)
    exam = fresh(
        exam_record(
            record=house.done(ordered, code="70553", contrast=GADOBUTROL),
            actor=house.actor,
            at=DONE,
        ).exam_id
    )
    report_receive(report=house.report(ordered, BRAIN, code="70553"), actor=house.actor, at=READ)
    evaluate(house, exam)
    assert holds_of(fresh(exam.pk)) == holds
