"""Screens of claims: who sees them, what they show, what their buttons do, and how many queries a
list takes.
"""

from __future__ import annotations

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from claims.models import Claim, PayerRule, Submission
from claims.services import claims_build, claims_scrub
from rcm.accounts.scope import scope
from rcm.audit.models import Access
from rcm.worklist.models import WorkItem
from rcm.worklist.registry import all_queues
from tests.claims.house import (
    NOW,
    answer_277ca,
    as_,
    blocks,
    built,
    inbound,
    many,
    ready,
    released,
    sent,
)


@pytest.fixture(autouse=True)
def _today():
    """The screens ask the clock: it is the day after the exam."""
    with time_machine.travel(NOW, tick=True):
        yield


@pytest.fixture
def desk(house_committed):
    """A ready claim, a rejected one with its answers, and a blocked one, for the screens."""
    house = house_committed
    with scope(house.actor):
        rejected = sent(house)
        inbound(house, "277CA", answer_277ca((rejected.number, "A7:562:85", "")))
        fresh = ready(house, mrn="M2", payer="LBI")
        blocked = built(house, released(house, mrn="M3"))
        Claim.objects.filter(pk=blocked.pk).update(referring_npi="", ordering_npi="")
        claims_scrub(claim_ids=[blocked.pk], actor=house.actor, at=NOW)
        rejected.refresh_from_db()
        blocked.refresh_from_db()
        assert (rejected.status, fresh.status, blocked.status) == ("rejected", "ready", "blocked")
    return house, rejected, fresh, blocked


PAGES = (
    "claims:claims",
    "claims:batches",
    "claims:edits",
    "claims:rules",
    "claims:scrub_runs",
    "claims:submit_ready",
)


def test_every_page_opens_for_the_biller_and_none_for_the_front_desk(desk):
    house, rejected, _fresh, blocked = desk
    ben, ana = as_(house, "ben"), as_(house, "ana")
    with scope(house.actor):
        submission = Submission.objects.get()
        finding = blocked.findings.filter(severity="B").first()
    urls = [reverse(name) for name in PAGES]
    urls += [
        reverse(f"claims:{name}", args=[rejected.public_id])
        for name in ("claim", "compare", "print", "edit", "void", "submit")
    ]
    urls += [
        reverse("claims:submission", args=[submission.public_id]),
        reverse("claims:edit_page", args=["IDN-003"]),
    ]
    urls += [reverse("claims:override", args=[blocked.public_id, finding.public_id])]
    for url in urls:
        assert ben.get(url).status_code == 200, url
        assert ana.get(url).status_code == 403, url


def test_another_organization_finds_nothing(desk):
    house, rejected, *_ = desk
    olga = as_(house, "olga")
    with scope(house.actor):
        submission = Submission.objects.get()
    for url in (
        reverse("claims:claim", args=[rejected.public_id]),
        reverse("claims:submission", args=[submission.public_id]),
        reverse("claims:print", args=[rejected.public_id]),
    ):
        assert olga.get(url).status_code == 404
    assert "CANA" not in olga.get(reverse("claims:claims") + "?view=all").content.decode()


def test_the_claim_page_shows_what_stops_it_and_logs_the_reading(desk):
    house, rejected, _fresh, blocked = desk
    ben = as_(house, "ben")
    page = ben.get(reverse("claims:claim", args=[blocked.public_id])).content.decode()
    assert "IDN-003" in page
    assert "What stops this claim" in page
    assert "70551" in page
    page = ben.get(
        reverse("claims:claim", args=[rejected.public_id]) + "?show=answers"
    ).content.decode()
    assert "the NPI is wrong or not enrolled" in page
    with scope(house.actor):
        assert Access.objects.filter(patient_id=blocked.patient_id, purpose="claim").exists()


def test_the_buttons_scrub_submit_and_ask_first(desk):
    house, _rejected, fresh, _blocked = desk
    ben = as_(house, "ben")
    preview = ben.get(reverse("claims:submit", args=[fresh.public_id])).content.decode()
    assert "It has not been sent before" in preview
    with scope(house.actor):
        fresh.refresh_from_db()
        assert fresh.status == "ready"
    ben.post(reverse("claims:submit", args=[fresh.public_id]))
    with scope(house.actor):
        fresh.refresh_from_db()
        assert fresh.status == "submitted"


def test_many_are_submitted_after_a_preview_and_a_changed_one_stays(desk):
    house, rejected, fresh, blocked = desk
    ben = as_(house, "ben")
    picks = [f"{fresh.pk}:{fresh.version}", f"{blocked.pk}:{blocked.version}", f"{rejected.pk}:0"]
    page = ben.post(reverse("claims:submit_many"), {"pick": picks}).content.decode()
    assert "Submit 2 claims" in page
    answer = ben.post(
        reverse("claims:submit_many"), {"pick": picks, "confirmed": "1"}, follow=True
    ).content.decode()
    assert "1 claim submitted in 1 file" in answer
    assert "changed in the meantime" in answer


def test_a_change_is_kept_judged_and_refused_when_it_is_stale(desk):
    house, rejected, *_ = desk
    ben = as_(house, "ben")
    url = reverse("claims:edit", args=[rejected.public_id])
    data = {
        "version": rejected.version,
        "authorization_number": "AUTH77",
        "referring_npi": rejected.referring_npi,
        "diagnoses": "R51.9 G43.909",
        "modifiers_1": "",
        "pointers_1": "1 2",
        "reason": "new authorization",
    }
    assert ben.post(url, data).status_code == 302
    assert ben.post(url, data).status_code == 409
    assert ben.post(url, {**data, "reason": ""}).status_code == 422
    with scope(house.actor):
        rejected.refresh_from_db()
        assert (rejected.authorization_number, rejected.diagnoses, rejected.status) == (
            "AUTH77",
            ["R519", "G43909"],
            "ready",
        ), blocks(rejected)
        assert rejected.lines.get().pointers == [1, 2]


def test_a_finding_is_accepted_on_its_page(desk):
    house, _rejected, _fresh, blocked = desk
    mia = as_(house, "mia")
    with scope(house.actor):
        finding = blocked.findings.get(edit="IDN-003", cleared_at__isnull=True)
    url = reverse("claims:override", args=[blocked.public_id, finding.public_id])
    assert mia.post(url, {"reason": ""}).status_code == 422
    mia.post(url, {"reason": "order on paper, NPI follows"})
    with scope(house.actor):
        finding.refresh_from_db()
        assert finding.overridden_by == "Mia Manager"


def test_a_payer_rule_is_written_without_code_and_its_errors_stand_at_their_fields(desk):
    house, *_ = desk
    mia = as_(house, "mia")
    data = {
        "name": "MR readings",
        "organization": house.cast.a.pk,
        "payer": "",
        "join": "all",
        "action": "hold",
        "sentence": "Held.",
        "fix": "",
        "owner": "biller",
        "c0_field": "line.code",
        "c0_op": "eq",
        "c0_value": "70551",
        "c1_field": "claim.total",
        "c1_op": "gt",
        "c1_value": "lots",
    }
    answer = mia.post(reverse("claims:rule_new"), data)
    assert answer.status_code == 422
    assert answer.context["form"].errors["c1_value"] == ["Give a number."]
    answer = mia.post(reverse("claims:rule_new"), {**data, "c1_value": "100"}, follow=True)
    assert "Not tested yet" in answer.content.decode()
    with scope(house.actor):
        rule = PayerRule.objects.get()
    assert rule.definition["when"] == {
        "all": [
            {"field": "claim.total", "op": "gt", "value": "100"},
            {"any_line": {"all": [{"field": "line.code", "op": "eq", "value": "70551"}]}},
        ]
    }
    mia.post(reverse("claims:rule_backtest", args=[rule.public_id]))
    # another person than its author switches it on
    as_(house, "adam").post(reverse("claims:rule_switch", args=[rule.public_id]), {"on": "1"})
    with scope(house.actor):
        rule.refresh_from_db()
    assert rule.active
    form = mia.get(reverse("claims:rule_edit", args=[rule.public_id])).content.decode()
    assert "70551" in form
    assert as_(house, "ben").get(reverse("claims:rule_new")).status_code == 403


def test_the_printed_claim_is_a_pdf(desk):
    house, rejected, *_ = desk
    answer = as_(house, "ben").get(reverse("claims:print", args=[rejected.public_id]))
    assert answer["Content-Type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF")


def test_the_panels_of_the_queues_draw(desk):
    house, *_ = desk
    ben = as_(house, "ben")
    with scope(house.actor):
        items = list(WorkItem.objects.filter(queue__in=["scrub_edits", "rejections"]))
    assert {i.queue for i in items} == {"scrub_edits", "rejections"}
    for item in items:
        assert ben.get(reverse("worklist:queue", args=[item.queue])).status_code == 200
        answer = ben.get(reverse("worklist:item", args=[item.public_id]), follow=True)
        assert answer.status_code == 200


def test_the_list_takes_as_many_queries_for_fifty_claims_as_for_three(house_committed):
    house = house_committed
    with scope(house.actor):
        exams = many(house, 50)
        claims_build(exam_ids=exams[:3], actor=house.actor, at=NOW)
    ben = as_(house, "ben")
    url = reverse("claims:claims")
    ben.get(url)
    counts = []
    for more in ((), exams[3:]):
        if more:
            with scope(house.actor):
                claims_build(exam_ids=list(more), actor=house.actor, at=NOW)
        with CaptureQueriesContext(connection) as queries:
            assert ben.get(url).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1], counts


def test_every_queue_opens_with_the_evidence_of_a_real_claim(desk):
    """Whatever stands in a queue, its page and its panel open for who works it."""
    house, rejected, _, _ = desk
    with scope(house.actor):
        exam_id = rejected.lines.select_related("charge").get().charge.exam_id
        item = WorkItem.objects.create(
            organization_id=rejected.organization_id,
            queue="followup",
            subject_type="probe",
            subject_id=rejected.pk,
            cause="silent",
            title="The payer is silent.",
            site_id=rejected.site_id,
            patient_id=rejected.patient_id,
            exam_id=exam_id,
            claim_id=rejected.pk,
            payer_id=rejected.payer_id,
            due_at=NOW,
            opened_at=NOW,
            facts={"claim": rejected.number},
        )
    readers = [as_(house, name) for name in ("mia", "adam", "cleo")]
    for code in [queue.code for queue in all_queues()]:
        with scope(house.actor):
            WorkItem.objects.filter(pk=item.pk).update(queue=code)
        url = reverse("worklist:queue", args=[code])
        pages = (client.get(url, {"view": "all", "open": item.pk}) for client in readers)
        page = next((page for page in pages if page.status_code == 200), None)
        assert page is not None, f"nobody may open {code}"
        assert "The payer is silent." in page.content.decode(), code
