"""A named station without a record is a question to the site, asked once; it never borrows another
machine's record, for or against us.
"""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse

from charges.models import MachineQuestion, Scanner
from charges.services import exams_evaluate, rule_save
from rcm.accounts.problems import Refused
from rcm.worklist.models import WorkItem
from tests.charges.house import JAN, READ, codes_of, fresh, holds_of
from tests.charges.test_rules import CHEST, run


def questions() -> list[WorkItem]:
    return list(WorkItem.objects.filter(queue="machine_questions", status="open"))


def chest(house, mrn: str, station: str):
    return run(house, house.patient(mrn, "MCR"), "71046", CHEST, station=station, authorize=False)


@pytest.mark.parametrize("film", [True, False])
def test_an_unknown_station_borrows_nothing_in_either_direction(house, film):
    Scanner.objects.filter(station="XR1").update(film=film)
    exam = chest(house, "M1", "XR9")
    assert holds_of(exam) == ["MACHINE_UNKNOWN"]
    assert all("FX" not in modifiers for _, modifiers, *_ in codes_of(exam))


def test_one_question_a_station_whatever_the_number_of_exams(house):
    first, second = chest(house, "M1", "XR9"), chest(house, "M2", "xr9 ")
    assert [holds_of(e) for e in (first, second)] == [["MACHINE_UNKNOWN"]] * 2
    (item,) = questions()
    assert "XR9" in item.title
    assert "2 exams wait" in item.title
    assert item.dollars == first.expected + second.expected
    assert not WorkItem.objects.filter(queue="charge_review", status="open").exists()


def test_the_answer_frees_every_exam_that_waited(house):
    exams = [chest(house, "M1", "XR9"), chest(house, "M2", "XR9")]
    machine = Scanner(
        organization=house.cast.a,
        site=house.site,
        station="XR9",
        modality="XR",
        name="Room 9",
        computed_radiography=True,
        effective_from=JAN,
    )
    rule_save(row=machine, actor=house.cast.actor("mia"), at=READ)
    assert questions() == []
    exams_evaluate(exam_ids=[e.pk for e in exams], actor=house.actor, at=READ)
    assert [codes_of(fresh(e.pk))[0][1] for e in exams] == [("FY",), ("FY",)]
    assert MachineQuestion.objects.get().answered_at == READ


def test_a_record_of_other_days_does_not_answer(house):
    Scanner.objects.filter(station="XR1").update(effective_to=dt.date(2026, 8, 31))
    exam = chest(house, "M1", "XR1")
    assert holds_of(exam) == ["MACHINE_UNKNOWN"]
    with pytest.raises(Refused, match="has a record already"):
        rule_save(
            row=Scanner(
                organization=house.cast.a,
                site=house.site,
                station="XR1",
                modality="XR",
                name="Room 1",
                effective_from=dt.date(2026, 8, 1),
            ),
            actor=house.cast.actor("mia"),
        )


def test_a_modality_without_machine_reductions_is_asked_about_and_goes(house):
    exam = run(house, house.patient(), "70551", None, station="MR7")
    assert "MACHINE_UNKNOWN" not in holds_of(exam)
    assert [i.facts["station"] for i in questions()] == ["MR7"]


def test_without_a_station_machines_that_differ_do_not_answer(house):
    assert holds_of(chest(house, "M1", "")) == []  # the only one of its kind
    Scanner.objects.create(
        organization=house.cast.a,
        site=house.site,
        station="XR2",
        modality="XR",
        name="XR2",
        film=True,
        effective_from=JAN,
    )
    assert holds_of(chest(house, "M2", "")) == ["EQUIPMENT_UNKNOWN"]


def test_the_question_leads_to_the_record(house, client):
    chest(house, "M1", "XR9")
    client.force_login(house.cast.user("mia"))
    page = client.get(
        reverse("charges:rule_new", args=["scanners"]), {"station": "XR9", "modality": "XR"}
    ).content.decode()
    assert 'value="XR9"' in page
