"""Who bills what is told by one row: a row that contradicts another is refused, a change lists what
it touches and re-opens nothing final, and the charge names the row that decided.
"""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse

from charges.models import BillingArrangement
from charges.services import exams_evaluate, rule_save
from charges.services.settings import arrangement_touches
from rcm.accounts.problems import Refused
from tests.charges.house import JAN, PLAIN_BRAIN, READ, codes_of, fresh, holds_of
from tests.charges.test_rules import run


def row(house, **more) -> BillingArrangement:
    facts = {
        "organization": house.cast.a,
        "site": house.site,
        "reader_relation": "employee",
        "effective_from": JAN,
    }
    return BillingArrangement(**{**facts, **more})


@pytest.mark.parametrize("group", [True, False])
def test_global_only_bills_the_whole_when_an_independent_group_reads(house, group):
    BillingArrangement.objects.update(
        force="global_only",
        reader_relation="independent",
        group=house.group if group else None,
    )
    exam = run(house, house.patient(), "70551", PLAIN_BRAIN)
    assert codes_of(exam) == [("70551", (), 1, "released")]
    assert exam.form["others"] == []


def test_medicare_takes_no_global_line_for_another_groups_reading(house):
    BillingArrangement.objects.update(force="global_only", reader_relation="independent")
    exam = run(house, house.patient(payer="MCR"), "70551", PLAIN_BRAIN, authorize=False)
    assert holds_of(exam) == ["GLOBAL_FOR_ANOTHER_READER"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, "holds for the same exams on the same days"),
        ({"effective_from": dt.date(2026, 7, 1)}, "holds for the same exams"),
        (
            {"effective_from": dt.date(2025, 1, 1), "effective_to": dt.date(2026, 3, 1)},
            "holds for the same exams",
        ),
        ({"modality": "CT", "force": "global_only", "equipment_owner": "hospital"}, "Global only"),
        ({"modality": "CT", "force": "global_only", "under_arrangement": True}, "under arrangem"),
        ({"modality": "CT", "tech_employer": "other"}, "belong to different parties"),
    ],
)
def test_a_row_that_contradicts_is_refused_when_saved(house, facts, said):
    with pytest.raises(Refused, match=said) as refused:
        rule_save(row=row(house, **facts), actor=house.cast.actor("mia"), at=READ)
    assert refused.value.code == "contradiction"
    assert BillingArrangement.objects.count() == 1


@pytest.mark.parametrize(
    "facts",
    [
        {"modality": "CT"},
        {"effective_from": dt.date(2025, 1, 1), "effective_to": JAN - dt.timedelta(days=1)},
    ],
)
def test_a_narrower_or_an_earlier_row_stands_beside(house, facts):
    rule_save(row=row(house, **facts), actor=house.cast.actor("mia"), at=READ)
    assert BillingArrangement.objects.count() == 2


def test_the_charge_names_the_row_that_decided(house):
    exam = run(house, house.patient(), "70551", PLAIN_BRAIN)
    assert exam.charges.get().arrangement == house.arrangement
    assert exam.form["row"]["words"].startswith(house.site.name)


def test_a_change_lists_what_it_touches_and_reopens_nothing_final(house, client):
    final = run(house, house.patient("M1"), "70551", PLAIN_BRAIN)
    waiting = run(house, house.patient("M2"), "70551", None)
    changed = BillingArrangement.objects.get()
    changed.reader_relation = "independent"
    before = BillingArrangement.objects.get()
    touched = arrangement_touches(row=changed, before=before, actor=house.cast.actor("mia"))
    assert ([e.pk for e in touched.exams], touched.final) == ([waiting.pk], 1)

    client.force_login(house.cast.user("mia"))
    url = reverse("charges:rule", args=["arrangements", changed.public_id])
    form = {
        "site": house.site.pk,
        "equipment_owner": "ours",
        "tech_employer": "ours",
        "reader_relation": "independent",
        "effective_from": "2026-01-01",
    }
    page = client.post(url, form).content.decode()
    assert waiting.accession in page
    assert "nothing final is re-opened" in page
    assert BillingArrangement.objects.get().reader_relation == "employee"
    client.post(url, {**form, "seen": "1"})
    assert BillingArrangement.objects.get().reader_relation == "independent"

    exams_evaluate(exam_ids=[final.pk, waiting.pk], actor=house.actor, at=READ)
    assert [c[1] for c in codes_of(fresh(final.pk))] == [()]
    assert fresh(waiting.pk).form["form"] == "TC"
