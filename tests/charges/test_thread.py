"""One exam from the scanner to released charges, and what stops it on the way."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from charges.models import Charge
from charges.services import charges_release, exam_record, exams_evaluate, report_receive
from rcm.ledger.services import balance_by_account
from tests.charges.house import (
    BRAIN,
    DONE,
    GADOBUTROL,
    PLAIN_BRAIN,
    READ,
    codes_of,
    fresh,
    holds_of,
)


def evaluate(house, *exams, at=READ):
    return exams_evaluate(exam_ids=[e.pk for e in exams], actor=house.actor, at=at)


def test_a_preliminary_report_holds_and_a_final_one_releases(house):
    patient = house.patient()
    (ordered,) = house.order(patient, "70553")
    auth = house.authorize(patient, ordered)
    exam = fresh(
        exam_record(
            record=house.done(ordered, contrast=GADOBUTROL), actor=house.actor, at=DONE
        ).exam_id
    )
    report_receive(
        report=house.report(
            ordered, {"findings": "PRELIMINARY"}, "P", at=DONE + dt.timedelta(hours=1)
        ),
        actor=house.actor,
        at=DONE,
    )
    evaluate(house, exam)
    exam = fresh(exam.pk)
    assert exam.status == "preliminary"
    assert holds_of(exam) == ["NO_FINAL_REPORT"]
    assert exam.service_date == dt.date(2026, 9, 8)
    assert {c.status for c in exam.charges.all()} == {"held"}

    report_receive(report=house.report(ordered), actor=house.actor, at=READ)
    evaluate(house, exam)
    exam = fresh(exam.pk)
    assert holds_of(exam) == []
    assert exam.status == "released"
    assert codes_of(exam) == [("70553", (), 1, "released"), ("A9585", (), 80, "released")]
    assert exam.authorization == auth
    assert auth.services.get().used == 1
    balances = balance_by_account("charge_id", exam.charges.values_list("pk", flat=True))
    assert sum(v for (_, account), v in balances.items() if account == "ar_insurance") == Decimal(
        "1580.00"
    )
    main = exam.charges.get(code="70553")
    assert main.expected == Decimal("390.72")  # 120 % of 325.60 at Chicago
    assert main.derivation
    assert exam.filing_deadline == dt.date(2026, 9, 8) + dt.timedelta(days=90)


def test_the_same_evaluation_and_release_again_change_nothing(house):
    patient = house.patient()
    (ordered,) = house.order(patient, "70551")
    house.authorize(patient, ordered)
    exam = fresh(exam_record(record=house.done(ordered), actor=house.actor, at=DONE).exam_id)
    report_receive(report=house.report(ordered, PLAIN_BRAIN), actor=house.actor, at=READ)
    evaluate(house, exam)
    before = fresh(exam.pk)
    evaluate(house, exam)
    assert charges_release(exam_ids=[exam.pk], actor=house.actor, at=READ) == []
    after = fresh(exam.pk)
    assert (before.version, before.status) == (after.version, after.status)
    assert Charge.objects.filter(exam=exam).count() == 1


def test_more_than_ordered_and_authorized_is_held_with_the_grid(house):
    patient = house.patient(payer="LBI")
    (ordered,) = house.order(patient, "70551")
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
    exam = fresh(exam.pk)
    assert exam.code == "70553"
    assert holds_of(exam) == ["ORDER_CHANGE", "UPDATE_REQUIRED"]
    assert exam.match["verdict"] == "needs_change"
    assert {c.status for c in exam.charges.all()} == {"held"}
