"""What the database itself refuses, races, and the cost of bulk."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from charges.models import Charge, Exam, Report
from charges.services import (
    charges_release,
    exams_evaluate,
    exams_record,
    report_receive,
    reports_receive,
)
from rcm.accounts.scope import scope
from rcm.ledger.models import LedgerTransaction
from tests.charges.house import DONE, PLAIN_BRAIN, READ, House, fresh


def performed(house: House, count: int, *, start: int = 1, authorize: bool = True) -> list[Exam]:
    """Authorized brain MRs of as many patients, recorded in one call."""
    records = []
    for n in range(start, start + count):
        patient = house.patient(f"Q{n}")
        (ordered,) = house.order(patient, "70551")
        if authorize:
            house.authorize(patient, ordered, number=f"AUTH{n}")
        records.append(house.done(ordered))
    done = exams_record(records=records, actor=house.actor, at=DONE)
    return list(
        Exam.objects.filter(pk__in=[d.exam_id for d in done]).select_related(
            "ordered_exam__patient"
        )
    )


def read(house: House, exams) -> None:
    reports_receive(
        reports=[house.report(e.ordered_exam, PLAIN_BRAIN) for e in exams],
        actor=house.actor,
        at=READ,
    )


@pytest.mark.parametrize("component", ["", "26"])
def test_the_database_releases_no_reading_without_a_final_report(house, component):
    (exam,) = performed(house, 1)
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    Charge.objects.filter(exam=exam).update(component=component)
    with pytest.raises(IntegrityError, match="final signed report"), transaction.atomic():
        Charge.objects.filter(exam=exam).update(status="released")


def test_the_database_counts_the_last_version_only(house):
    (exam,) = performed(house, 1)
    read(house, [exam])
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    report_receive(
        report=house.report(exam.ordered_exam, PLAIN_BRAIN, "X", at=READ + dt.timedelta(hours=1)),
        actor=house.actor,
        at=READ,
    )
    with pytest.raises(IntegrityError, match="final signed report"), transaction.atomic():
        Charge.objects.filter(exam=exam).update(status="billed")


def test_a_technical_charge_may_leave_without_a_report(house):
    (exam,) = performed(house, 1)
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    assert Charge.objects.filter(exam=exam).update(component="TC", status="released") == 1


def test_reports_are_never_changed(house):
    (exam,) = performed(house, 1)
    read(house, [exam])
    with pytest.raises(Exception, match=r"never changed|permission denied"), transaction.atomic():
        Report.objects.filter(exam=exam).update(status="P")


def test_a_final_report_has_its_moment_of_signing(house):
    (exam,) = performed(house, 1)
    with pytest.raises(IntegrityError, match="final_is_signed"), transaction.atomic():
        Report.objects.create(
            organization=house.cast.a, exam=exam, version=1, status="F", reported_at=READ
        )


def queries(house: House, exams) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        exams_evaluate(exam_ids=[e.pk for e in exams], actor=house.actor, at=READ)
    return len(captured)


def test_evaluation_and_release_cost_the_same_queries_for_one_and_for_many(house):
    few, many = performed(house, 2), performed(house, 12, start=10)
    read(house, [*few, *many])
    queries(house, performed(house, 1, start=50))  # fills the kept reference tables
    two, twelve = queries(house, few), queries(house, many)
    assert {e.status for e in Exam.objects.filter(pk__in=[e.pk for e in [*few, *many]])} == {
        "released"
    }
    assert twelve == two


def test_held_exams_cost_the_same_queries_for_one_and_for_many(house):
    few, many = (
        performed(house, 2, authorize=False),
        performed(house, 12, start=10, authorize=False),
    )
    read(house, [*few, *many])
    queries(house, performed(house, 1, start=50, authorize=False))
    two, twelve = queries(house, few), queries(house, many)
    held = Exam.objects.filter(pk__in=[e.pk for e in many])
    assert {tuple(h["code"] for h in e.holds) for e in held} == {("AUTH_MISSING",)}
    assert twelve == two


def test_recording_costs_the_same_queries_for_one_and_for_many(house):
    def cost(count: int, start: int) -> int:
        records = []
        for n in range(start, start + count):
            (ordered,) = house.order(house.patient(f"R{n}"), "70551")
            records.append(house.done(ordered))
        with CaptureQueriesContext(connection) as captured:
            exams_record(records=records, actor=house.actor, at=DONE)
        return len(captured)

    assert cost(2, 1) == cost(12, 100)


def test_two_who_release_at_once_post_once(house_committed):
    house = house_committed
    with scope(house.actor):
        (exam,) = performed(house, 1)
        read(house, [exam])
        from charges.models import ReleasePolicy

        ReleasePolicy.objects.create(
            organization=house.cast.a,
            warn_hours=24,
            escalate_hours=72,
            director_hours=168,
            tc_without_report=False,
            auto_release=False,
            effective_from=dt.date(2020, 1, 1),
        )
        exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
        assert fresh(exam.pk).status == "coded"
    gate, released, errors = threading.Barrier(2), [], []

    def release() -> None:
        try:
            gate.wait(10)
            with scope(house.actor):
                released.append(charges_release(exam_ids=[exam.pk], actor=house.actor, at=READ))
        except Exception as error:  # the assertion below shows it
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=release) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors
    assert sorted(len(r) for r in released) == [0, 1]
    with scope(house.actor):
        assert LedgerTransaction.objects.count() == 1
        assert fresh(exam.pk).status == "released"
