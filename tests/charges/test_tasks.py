"""What beat wakes: every step finds its organizations, and runs without being asked twice."""

from __future__ import annotations

import pytest

from charges import tasks
from charges.models import AccessionProof, Exam
from charges.services import exam_record, report_receive
from rcm.accounts.scope import scope
from tests.charges.house import DONE, PLAIN_BRAIN, READ


@pytest.mark.parametrize("what", ["unsigned", "evaluate", "retry", "proof"])
def test_each_step_is_woken_for_each_organization(house, monkeypatch, what):
    woken = []
    monkeypatch.setattr(getattr(tasks, what), "delay", woken.append)
    tasks.each_organization(what)
    assert set(woken) == {house.cast.a.pk, house.cast.b.pk}


def test_an_exam_whose_event_was_lost_is_found_by_the_sweep(house):
    patient = house.patient()
    (ordered,) = house.order(patient, "70551")
    house.authorize(patient, ordered)
    exam_record(record=house.done(ordered), actor=house.actor, at=DONE)
    report_receive(report=house.report(ordered, PLAIN_BRAIN), actor=house.actor, at=READ)
    tasks.evaluate(house.cast.a.pk)
    with scope(house.actor):
        assert Exam.objects.get().status == "released"


@pytest.mark.parametrize("what", ["unsigned", "retry", "proof"])
def test_every_step_runs_on_an_empty_house(house, what):
    getattr(tasks, what)(house.cast.a.pk)
    assert not AccessionProof.objects.exists()
