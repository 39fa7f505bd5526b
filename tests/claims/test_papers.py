"""A payer asks for papers: kept once with the signed report, answered once as 275 or by hand."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from django.urls import reverse

from charges.models import Report
from claims.models import RecordsRequest, RecordsStatus
from claims.services import (
    Asked,
    records_asked,
    records_needless,
    records_send,
    report_text,
    status_ask,
)
from rcm.accounts.problems import Conflict, Refused
from rcm.exchange.models import Interchange
from rcm.simulator import post
from rcm.simulator.models import Followup, Mail, Received
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.x12 import write_277
from rcm.x12.document import Document
from rcm.x12.model import ClaimStatus, Party, StatusCode, StatusInfo
from tests.claims.house import NOW, answer_277ca, as_, envelope, inbound, sent


def wanted(house, claim, code=("P3", "123"), trace="PAYER7", control=910, at=NOW, **more):
    """A 277 that nobody asked for and that wants papers."""
    info = StatusInfo((StatusCode(*code),), effective=NOW.date(), charge=claim.total)
    told = {
        "claim_id": claim.number,
        "payer": Party("PR", "PRAIRIE HEALTH PLAN", id_qualifier="PI", id="12345"),
        "receiver": Party("41", "CANA", id_qualifier="46", id="CANA"),
        "provider": Party("1P", "CANA IMAGING", id_qualifier="XX", id="1679576722"),
        "subscriber": Party("IL", "DOE", "JANE", person=True, id_qualifier="MI", id="ABC1"),
    }
    answer = ClaimStatus("claim", trace, statuses=(info,), **told | more)
    return inbound(house, "277", write_277(envelope(control), [answer]).data, at=at)


@pytest.mark.parametrize("code", [("P3", "123"), ("P4", "294"), ("R4", "18748")])
def test_a_request_for_papers_opens_an_item_with_the_signed_report(house, code):
    claim = sent(house)
    assert wanted(house, claim, code).status == "processed"
    (row,) = RecordsRequest.objects.all()
    assert (row.trace, row.claim_id, row.status) == ("PAYER7", claim.pk, "open")
    item = WorkItem.objects.get(queue="records_wanted", status=ItemStatus.OPEN)
    assert (item.subject_id, item.claim_id, item.deadline_on) == (row.pk, claim.pk, row.due_on)
    wanted(house, claim, code, control=911)
    assert RecordsRequest.objects.count() == 1


def test_the_same_request_on_another_day_is_the_same_and_an_answered_one_may_come_anew(house):
    claim = sent(house)
    wanted(house, claim)
    later = NOW + timedelta(days=3)
    wanted(house, claim, control=911, at=later)
    row = RecordsRequest.objects.get()
    records_needless(row=row, note="Sent by fax", actor=house.actor, at=later)
    wanted(house, claim, control=912, at=later + timedelta(days=1))
    assert RecordsRequest.objects.count() == 1  # their number says that it is that one
    wanted(house, claim, control=913, trace="PAYER8", at=later + timedelta(days=2))
    assert RecordsRequest.objects.count() == 2


def test_many_requests_in_one_file_cost_no_query_each(house, django_assert_max_num_queries):
    claim = sent(house)
    asked = [Asked(claim, "277", "P3:123", "papers", trace=f"T{n}") for n in range(30)]
    with django_assert_max_num_queries(16):
        assert len(records_asked(asked, actor=house.actor, at=NOW)) == 30
    assert records_asked(asked, actor=house.actor, at=NOW) == []


def test_it_is_found_by_the_payers_number_and_a_strangers_is_refused(house):
    claim = sent(house)
    inbound(house, "277CA", answer_277ca((claim.number, "A2:20:PR", "ICN1")))
    wanted(house, claim, claim_id="", payer_control="ICN1")
    assert RecordsRequest.objects.get().claim_id == claim.pk
    row = wanted(house, claim, control=912, claim_id="NOBODY", trace="X9")
    assert row.status == "quarantined" or row.status == "failed"
    assert RecordsRequest.objects.count() == 1


def test_a_request_that_answers_our_own_question_is_kept_too(house):
    claim = sent(house)
    status_ask(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    trace = claim.inquiries.get().trace
    wanted(house, claim, trace=trace)
    row = RecordsRequest.objects.get()
    assert row.trace == ""
    assert claim.inquiries.get().answered_at is not None


def test_the_signed_report_goes_as_275_once_and_its_number_stands_in_the_next_claim(house):
    claim = sent(house)
    wanted(house, claim)
    row = RecordsRequest.objects.get()
    done = records_send(row=row, channel="275", actor=house.actor, at=NOW)
    assert (done.status, done.channel) == (RecordsStatus.SENT, "275")
    out = Interchange.objects.get(kind="275")
    current = next(Document(bytes(out.content)).sets())
    segments = {s[0]: s for s in current}
    assert segments["TRN"][1:] == ["2", "PAYER7"]
    assert segments["BGN"][1:3] == ["11", row.control]
    size, body = segments["BDS"][2:]
    assert len(body) == int(size)
    report = Report.objects.filter(exam__charges__claim_lines__claim=claim).first()
    assert base64.b64decode(body).decode() == report_text(report)
    claim.refresh_from_db()
    assert claim.extra["attachment_control"] == row.control
    assert not WorkItem.objects.filter(queue="records_wanted", status=ItemStatus.OPEN).exists()
    with pytest.raises(Conflict):
        records_send(row=row, channel="fax", actor=house.actor, at=NOW)


def test_without_a_signed_report_nothing_goes_and_a_needless_request_says_why(house):
    claim = sent(house)
    wanted(house, claim)
    row = RecordsRequest.objects.get()
    with pytest.raises(Refused, match="Say why"):
        records_needless(row=row, note=" ", actor=house.actor, at=NOW)
    records_needless(row=row, note="Sent last week", actor=house.actor, at=NOW)
    with pytest.raises(Conflict):
        records_send(row=row, channel="mail", actor=house.actor, at=NOW)


def test_the_page_shows_the_report_and_sends_it(house):
    claim = sent(house)
    wanted(house, claim)
    page = reverse("claims:records", args=[RecordsRequest.objects.get().public_id])
    ben = as_(house, "ben")
    shown = ben.get(page).content.decode()
    assert "PAYER7" in shown
    assert "FINDINGS" in shown
    assert ben.post(page, {"channel": "none", "note": ""}).status_code == 422
    assert ben.post(page, {"channel": "fax"}).status_code == 302
    assert "Sent" in ben.get(page).content.decode()
    assert as_(house, "ana").post(page, {"channel": "fax"}).status_code == 403


def test_the_simulated_payer_pays_a_claim_that_lacked_papers(house):
    claim = sent(house)
    wanted(house, claim, payer_control="2625200000001")
    records_send(row=RecordsRequest.objects.get(), channel="275", actor=house.actor, at=NOW)
    Received.objects.create(
        receiver="CANA",
        control="1",
        group_control="1",
        claim_id=claim.number,
        icn="2625200000001",
        payer="PHP",
        facts={},
        fingerprint="x",
        frequency="1",
        received_on=NOW.date(),
        paid=True,
        decision={"status": "4"},
        acknowledge_on=NOW.date(),
        acknowledge_live=NOW,
        pay_on=NOW.date(),
        pay_live=NOW,
    )
    body = bytes(Interchange.objects.get(kind="275").content)
    assert post.holds_papers(body)
    assert post.papers(body) == 1
    assert Followup.objects.get().kind == "overturn"
    assert Mail.objects.get().kind == "999"
