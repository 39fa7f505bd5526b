"""Rejections and edits by cause: one fault stands once, and is put right for all of its claims."""

from __future__ import annotations

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from claims.models import Claim
from intake.models import Coverage
from rcm.accounts.scope import scope
from rcm.worklist.causes import groups_of
from rcm.worklist.models import WorkItem
from tests.claims.house import NOW, answer_277ca, as_, inbound, ready, sent

BAD, RIGHT = "ABC123456789", "ABC987654321"
MEMBER_REJECTED, AUTH_REJECTED = "A7:164", "A7:84"


@pytest.fixture(autouse=True)
def _today():
    with time_machine.travel(NOW, tick=True):
        yield


@pytest.fixture
def three(house_committed):
    """Three rejected claims of one payer: two for the member ID, one for the authorization."""
    house = house_committed
    with scope(house.actor):
        claims = [sent(house, mrn=f"M{n}") for n in (1, 2, 3)]
        codes = (MEMBER_REJECTED, MEMBER_REJECTED, AUTH_REJECTED)
        answer = [(c.number, code, "") for c, code in zip(claims, codes, strict=True)]
        inbound(house, "277CA", answer_277ca(*answer))
    return house, claims


def group_url(house, field: str) -> str:
    with scope(house.actor):
        group = next(g for g in groups_of(house.actor, "rejections") if g.field == field)
    return f"{reverse('claims:fix', args=['rejections'])}?{group.query}"


def test_one_fault_of_one_payer_stands_once_with_its_dollars(three):
    house, _ = three
    with scope(house.actor):
        groups = groups_of(house.actor, "rejections")
        open_dollars = sum(
            WorkItem.objects.filter(queue="rejections").values_list("dollars", flat=True)
        )
    assert [(g.field, g.items) for g in groups] == [("member_id", 2), ("authorization", 1)]
    assert sum(g.dollars for g in groups) == open_dollars
    assert groups[0].trend[-1] == 2
    page = as_(house, "ben").get(reverse("worklist:causes", args=["rejections"]))
    assert page.status_code == 200
    text = page.content.decode()
    assert "3 open items" in text and "Fix 2" in text and "Fix 1" in text


def test_the_page_of_causes_asks_as_often_for_many_items(three):
    house, _ = three
    client = as_(house, "ben")
    url = reverse("worklist:causes", args=["rejections"])
    client.get(url)
    with CaptureQueriesContext(connection) as few:
        client.get(url)
    with scope(house.actor):
        one = WorkItem.objects.filter(queue="rejections").first()
        for n in range(40):
            one.pk, one.public_id, one.subject_id, one.cause = None, None, 9000 + n, f"A7-{n}"
            one.public_id = WorkItem._meta.get_field("public_id").get_default()
            one._state.adding = True
            one.save()
    with CaptureQueriesContext(connection) as many:
        client.get(url)
    assert len(many) == len(few)


def test_the_queue_opens_on_the_group_alone(three):
    house, claims = three
    with scope(house.actor):
        group = groups_of(house.actor, "rejections")[0]
    page = as_(house, "ben").get(group.url)
    text = page.content.decode()
    assert claims[0].number in text and claims[1].number in text
    assert claims[2].number not in text


def test_the_field_is_put_right_for_all_after_a_look(three):
    house, claims = three
    client = as_(house, "ben")
    url = group_url(house, "member_id")
    page = client.get(url)
    assert "Member ID of 2 claims" in page.content.decode()
    typed = {f"claim_{c.pk}": BAD for c in claims[:2]} | {"same": RIGHT, "reason": "From the card"}
    preview = client.post(url, typed)
    assert preview.status_code == 200
    assert preview.content.decode().count(RIGHT) >= 2
    with scope(house.actor):
        assert not Coverage.objects.filter(member_id=RIGHT).exists(), "a look changes nothing"
    done = client.post(url, typed | {"confirmed": "1"}, follow=True)
    assert "Changed and judged again: 2 claims." in done.content.decode()
    with scope(house.actor):
        assert Coverage.objects.filter(member_id=RIGHT).count() == 2
        assert set(
            Claim.objects.filter(pk__in=[c.pk for c in claims[:2]]).values_list("status", flat=True)
        ) == {"ready"}
        assert Claim.objects.get(pk=claims[2].pk).status == "rejected"


def test_what_is_typed_for_one_claim_counts_before_the_same_for_all(three):
    house, claims = three
    client = as_(house, "ben")
    url = group_url(house, "member_id")
    typed = {
        f"claim_{claims[0].pk}": "ABC111111111",
        f"claim_{claims[1].pk}": BAD,
        "same": RIGHT,
        "reason": "From the card",
        "confirmed": "1",
    }
    client.post(url, typed)
    with scope(house.actor):
        numbers = {
            c.pk: c.coverage.member_id
            for c in Claim.objects.filter(pk__in=[claims[0].pk, claims[1].pk])
        }
    assert numbers == {claims[0].pk: "ABC111111111", claims[1].pk: RIGHT}


def test_what_a_colleague_changed_meanwhile_is_not_changed_back(three):
    house, claims = three
    client = as_(house, "ben")
    url = group_url(house, "member_id")
    typed = {f"claim_{c.pk}": BAD for c in claims[:2]} | {f"seen_{c.pk}": BAD for c in claims[:2]}
    typed |= {f"claim_{claims[0].pk}": RIGHT, "same": "", "reason": "From the card"}
    assert client.post(url, typed).status_code == 200
    with scope(house.actor):
        Coverage.objects.filter(pk=claims[1].coverage_id).update(member_id="ABC222222222")
    late = client.post(url, typed | {"confirmed": "1"})
    assert late.status_code == 422
    assert "Somebody else has made it “ABC222222222”" in late.content.decode()
    with scope(house.actor):
        assert Coverage.objects.get(pk=claims[1].coverage_id).member_id == "ABC222222222"
        assert Coverage.objects.get(pk=claims[0].coverage_id).member_id == BAD


def test_nothing_typed_is_said_and_nothing_changes(three):
    house, claims = three
    url = group_url(house, "member_id")
    typed = {f"claim_{c.pk}": BAD for c in claims[:2]} | {"same": "", "reason": "From the card"}
    answer = as_(house, "ben").post(url, typed)
    assert answer.status_code == 422
    assert "Nothing would change" in answer.content.decode()


def test_the_panel_leads_to_exactly_that_field(three):
    house, claims = three
    with scope(house.actor):
        item = WorkItem.objects.get(queue="rejections", claim_id=claims[2].pk)
    page = as_(house, "ben").get(
        reverse("worklist:queue", args=["rejections"]), {"view": "all", "open": item.pk}
    )
    assert "Correct the authorization number" in page.content.decode()
    field = as_(house, "ben").get(group_url(house, "authorization")).content.decode()
    assert "Authorization number of claim" in field and "Diagnoses" not in field


def test_a_stranger_and_a_role_without_the_right_see_nothing_of_it(three):
    house, _ = three
    url = group_url(house, "member_id")
    assert as_(house, "ana").get(url).status_code == 403
    with scope(house.cast.system):
        other = as_(house, "olga").get(url)
    assert other.status_code in (302, 403, 404)


def test_a_fault_in_a_record_names_the_record_and_judges_all_again(house_committed):
    house = house_committed
    with scope(house.actor):
        claim = sent(house, mrn="M1")
        inbound(house, "277CA", answer_277ca((claim.number, "A7:158", "")))
        record = reverse("intake:patient_edit", args=[claim.patient.public_id])
    client = as_(house, "ben")
    url = group_url(house, "patient")
    page = client.get(url).content.decode()
    assert record in page
    assert "Judged again: 1 claim." in client.post(url, follow=True).content.decode()


def test_a_scrub_edit_carries_the_field_that_is_wrong(house):
    claim = ready(house)
    Coverage.objects.filter(pk=claim.coverage_id).update(member_id="")
    from claims.services import claims_scrub

    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    item = WorkItem.objects.get(queue="scrub_edits")
    assert item.facts["field"]
