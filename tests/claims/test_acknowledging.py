"""TA1, 999, 277CA and 277 as they land on files and claims."""

from __future__ import annotations

import datetime as dt

from claims.models import Acknowledgement, StatusInquiry, Submission, SubmissionClaim
from claims.services import (
    claims_scrub,
    claims_submit,
    claims_submit_ready,
    silent_refresh,
    status_ask,
)
from rcm.audit.models import Event
from rcm.exchange.models import Connection, Interchange
from rcm.exchange.services import replay
from rcm.worklist.models import WorkItem
from rcm.x12 import read_276, write_277, write_ta1
from rcm.x12.model import ClaimStatus, InterchangeAcknowledgement, StatusCode, StatusInfo
from tests.claims.house import NOW, answer_277ca, answer_999, envelope, inbound, sent


def test_a_999_accepts_the_file_and_leaves_the_claim_waiting(house):
    claim = sent(house)
    submission = Submission.objects.get()
    row = inbound(house, "999", answer_999(submission))
    assert row.status == "processed"
    submission.refresh_from_db()
    claim.refresh_from_db()
    assert submission.status == "accepted"
    assert claim.status == "submitted"
    assert SubmissionClaim.objects.get().state == "waiting"
    assert Acknowledgement.objects.get().sentence == "File accepted: 1 of 1 sets taken."


def test_a_999_that_names_a_claim_rejects_it_with_the_element_to_fix(house):
    claim, other = sent(house), sent(house, mrn="M2", payer="LBI")
    first = Submission.objects.order_by("id").first()
    SubmissionClaim.objects.filter(claim=other).update(submission=first)
    inbound(house, "999", answer_999(first, code="R", claim=claim.number))
    claim.refresh_from_db()
    other.refresh_from_db()
    assert (claim.status, other.status) == (
        "rejected",
        "ready",
    )  # the other goes again in the next file
    assert claim.clean_first_pass is False
    item = WorkItem.objects.get(queue="rejections")
    assert item.facts["field"] == "NM109"
    assert "NM109" in item.title
    said = Acknowledgement.objects.get(claim=claim)
    assert (said.kind, said.accepted, said.field) == ("999", False, "NM109")


def test_a_file_refused_without_a_reason_is_one_item_and_does_not_leave_again_by_itself(house):
    claim = sent(house)
    submission = Submission.objects.get()
    inbound(house, "999", answer_999(submission, code="R"))
    claim.refresh_from_db()
    assert claim.status == "rejected"
    item = WorkItem.objects.get(queue="rejections")
    assert item.subject_type == "submission"
    assert (
        claims_submit_ready(organization_id=house.cast.a.pk, actor=house.actor, at=NOW).claim_ids
        == []
    )


def test_a_ta1_refuses_the_interchange(house):
    claim = sent(house)
    control = Submission.objects.get().interchange.control_number
    inbound(
        house,
        "TA1",
        write_ta1(
            envelope(), [InterchangeAcknowledgement(control, "260909", "1500", "R", "025")]
        ).data,
    )
    claim.refresh_from_db()
    assert claim.status == "rejected"
    assert "duplicate" in Acknowledgement.objects.get().sentence


def test_an_answer_to_somebody_elses_file_is_quarantined(house):
    sent(house)
    submission = Submission.objects.get()
    submission.group_control = "777777"
    row = inbound(house, "999", answer_999(submission))
    assert row.status == "quarantined"
    row = inbound(house, "277CA", answer_277ca(("OTHER0000001", "A2:20:PR", "ICN9")))
    assert row.status == "quarantined"


def test_a_277ca_accepts_with_the_payers_number(house):
    claim = sent(house)
    inbound(house, "277CA", answer_277ca((claim.number, "A2:20:PR", "26250000001")))
    claim.refresh_from_db()
    assert (claim.status, claim.payer_control_number) == ("accepted", "26250000001")
    assert claim.accepted_at == NOW
    assert claim.clean_first_pass is True
    assert SubmissionClaim.objects.get().state == "accepted"
    event = Event.objects.get(claim_id=claim.pk, verb="claim.accepted")
    assert event.interchange_id is not None


def test_a_mere_receipt_is_not_acceptance(house):
    claim = sent(house)
    inbound(house, "277CA", answer_277ca((claim.number, "A1:19:PR", "")))
    claim.refresh_from_db()
    assert claim.status == "acknowledged"
    assert SubmissionClaim.objects.get().state == "waiting"


def test_a_277ca_rejection_is_not_a_filed_claim(house):
    claim = sent(house)
    deadline = claim.filing_deadline
    inbound(house, "277CA", answer_277ca((claim.number, "A7:562:85", "")))
    claim.refresh_from_db()
    assert claim.status == "rejected"
    assert claim.filing_deadline == deadline
    item = WorkItem.objects.get(queue="rejections")
    assert (
        item.title
        == "Rejected: information invalid: billing provider: the NPI is wrong or not enrolled."
    )
    assert item.fix == "Compare with the enrollment."
    assert item.facts["field"] == "billing_npi"
    assert item.deadline_on == deadline

    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    item.refresh_from_db()
    assert item.status == "closed"
    result = claims_submit(claim_ids=[claim.pk], actor=house.actor, at=NOW + dt.timedelta(days=1))
    claim.refresh_from_db()
    assert result.claim_ids == [claim.pk]
    assert (claim.frequency, claim.status) == ("1", "submitted")
    assert claim.first_submitted_at == NOW
    states = (
        SubmissionClaim.objects.filter(claim=claim).order_by("id").values_list("state", flat=True)
    )
    assert list(states) == ["rejected", "waiting"]


def test_the_same_277ca_twice_and_replayed_is_once(house):
    claim = sent(house)
    data = answer_277ca((claim.number, "A2:20:PR", "ICN1"))
    row = inbound(house, "277CA", data)
    again = inbound(house, "277CA", data)
    assert again.pk == row.pk
    assert again.deliveries == 2
    replay(row, actor=house.cast.actor("ben"), at=NOW)
    inbound(house, "277CA", data)
    assert Acknowledgement.objects.filter(claim=claim).count() == 1
    assert Event.objects.filter(claim_id=claim.pk, verb="claim.accepted").count() == 1


def test_a_silent_payer_is_asked_and_its_answer_lands_on_the_claim(house):
    claim = sent(house)
    quiet = NOW + dt.timedelta(days=claim.payer.response_days, hours=1)
    assert silent_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=quiet) == 0
    inquiry = StatusInquiry.objects.get()
    (asked,) = read_276(bytes(Interchange.objects.get(kind="276").content))
    assert (asked.claim_id, asked.trace) == (claim.number, inquiry.trace)
    silent_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=quiet)
    assert StatusInquiry.objects.count() == 1  # asked once

    info = StatusInfo((StatusCode("P1", "20"),), effective=quiet.date(), charge=claim.total)
    answer = ClaimStatus(
        "claim",
        asked.trace,
        statuses=(info,),
        payer=asked.payer,
        receiver=asked.receiver,
        provider=asked.provider,
        subscriber=asked.subscriber,
        claim_id=claim.number,
    )
    inbound(house, "277", write_277(envelope(910), [answer]).data, at=quiet)
    inquiry.refresh_from_db()
    claim.refresh_from_db()
    assert inquiry.answered_at == quiet
    assert claim.last_answer_at == quiet
    assert claim.status == "submitted"
    assert Acknowledgement.objects.get(kind="277").sentence.startswith("In process")


def test_a_payer_that_does_not_answer_the_question_either_is_an_item(house):
    claim = sent(house)
    quiet = NOW + dt.timedelta(days=claim.payer.response_days, hours=1)
    silent_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=quiet)
    assert (
        silent_refresh(
            organization_id=house.cast.a.pk, actor=house.actor, at=quiet + dt.timedelta(hours=25)
        )
        == 1
    )
    item = WorkItem.objects.get(queue="silent_payers")
    assert item.facts["days"] == claim.payer.response_days + 1
    inbound(house, "277CA", answer_277ca((claim.number, "A2:20:PR", "ICN1")))


def test_without_a_connection_for_276_the_claim_is_an_item_at_once(house):
    claim = sent(house)
    Connection.objects.filter(organization=house.cast.a).update(config={"sets": ["837P"]})
    quiet = NOW + dt.timedelta(days=claim.payer.response_days, hours=1)
    assert silent_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=quiet) == 1


def test_only_claims_that_were_sent_are_asked_about(house):
    claim = sent(house)
    inbound(house, "277CA", answer_277ca((claim.number, "A7:164:IL", "")))
    assert status_ask(claim_ids=[claim.pk], actor=house.actor, at=NOW) == []
