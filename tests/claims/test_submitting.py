"""Files of claims: what stands on the wire, the guide check, one file for two people, the control
proof.
"""

from __future__ import annotations

import datetime as dt
import threading
from decimal import Decimal

from django.db import connection

from claims.models import Claim, Submission, SubmissionClaim
from claims.services import (
    claims_build,
    claims_scrub,
    claims_submit,
    claims_submit_ready,
    filing_refresh,
    proofs,
    submissions_refresh,
    submit_preview,
)
from rcm.accounts.scope import scope
from rcm.exchange.models import Connection, Interchange
from rcm.exchange.services import mark
from rcm.reference.models import Provider
from rcm.worklist.models import WorkItem
from rcm.x12 import guide, read_837
from tests.claims.house import NOW, READER, blocks, built, many, ready, released, sent


def wire(submission) -> bytes:
    return bytes(Interchange.objects.get(pk=submission.interchange_id).content)


def test_a_clean_claim_leaves_as_the_guide_wants_it(house):
    claim = sent(house, code="70553", contrast=True)
    submission = Submission.objects.get()
    assert guide.check(wire(submission)).valid
    (told,) = read_837(wire(submission))
    assert told.claim_id == claim.number
    assert told.charge == Decimal("1580.00")
    assert told.frequency == "1"
    assert told.authorization == "AUTHM1"
    assert told.billing.npi == "1679576722"
    assert told.subscriber.id == "ABC123456789"
    assert told.payer.id == "PRHP1"
    assert told.rendering is not None
    assert told.rendering.npi == READER
    assert told.referring is not None
    assert told.facility is not None
    assert told.facility.npi == "1993999998"
    assert [(x.procedure.code, x.units, x.line_control) for x in told.lines] == [
        ("70553", Decimal(1), f"{claim.number}-1"),
        ("A9585", Decimal(80), f"{claim.number}-2"),
    ]
    assert [d.code for d in told.diagnoses] == ["R519"]


def test_a_dependent_and_a_read_elsewhere_pass_the_guide(house):
    claim = built(house, released(house))
    coverage = claim.coverage
    coverage.relationship, coverage.subscriber_last_name, coverage.subscriber_first_name = (
        "01",
        "Canary",
        "Carl",
    )
    coverage.subscriber_born_on, coverage.subscriber_sex = dt.date(1960, 1, 2), "M"
    coverage.save()
    group = house.group
    group.npi = "1003000126"
    group.address, group.city, group.state, group.zip = "9 Far Rd", "San Jose", "CA", "951281234"
    group.save()
    charge = claim.lines.get().charge
    type(charge).objects.filter(pk=charge.pk).update(service_zip="951281234")
    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    result = claims_submit(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    assert result.claim_ids == [claim.pk], (result.held, blocks(claim))
    (told,) = read_837(wire(Submission.objects.get()))
    assert told.patient is not None
    assert (told.patient.first, told.patient_relationship) == ("CORA", "01")
    assert told.subscriber.first == "CARL"
    assert told.facility is not None
    assert told.facility.address is not None
    assert told.facility.address.zip == "951281234"


def test_a_hospital_sends_institutional_claims_that_pass_the_guide(house):
    house.cast.a.taxonomy = "282N00000X"
    house.cast.a.save()
    claim = built(house, released(house))
    assert claim.form == "837I"
    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    claim.refresh_from_db()
    Claim.objects.filter(pk=claim.pk).update(status="ready")
    result = claims_submit(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    assert result.claim_ids == [claim.pk], result.held
    (told,) = read_837(wire(Submission.objects.get()))
    assert told.institutional
    assert told.lines[0].revenue_code == "0610"


def test_what_fails_the_guide_stays_behind_and_the_rest_leaves(house):
    good = ready(house)
    Provider.objects.create(npi="1003000126", last_name="", taxonomy="2085R0202X")
    bad = built(house, released(house, mrn="M2", payer="LBI"))
    Claim.objects.filter(pk=bad.pk).update(rendering_npi="1003000126")
    claims_scrub(claim_ids=[bad.pk], actor=house.actor, at=NOW)
    Claim.objects.filter(pk=bad.pk).update(status="ready")
    result = claims_submit(claim_ids=[good.pk, bad.pk], actor=house.actor, at=NOW)
    assert result.claim_ids == [good.pk]
    assert [h.claim_id for h in result.held] == [bad.pk]
    bad.refresh_from_db()
    assert bad.status == "blocked"
    finding = bad.findings.get(edit="GUIDE")
    assert "NM1" in finding.sentence
    assert WorkItem.objects.get(subject_id=bad.pk, subject_type="claim").cause == "GUIDE"
    assert guide.check(wire(Submission.objects.get())).valid
    claims_scrub(claim_ids=[bad.pk], actor=house.actor, at=NOW)
    bad.refresh_from_db()
    assert bad.status == "blocked"  # the edits alone would let it pass again
    Provider.objects.filter(npi="1003000126").update(last_name="Reader", first_name="Rita")
    claims_scrub(claim_ids=[bad.pk], actor=house.actor, at=NOW)
    bad.refresh_from_db()
    assert bad.status == "ready"


def test_without_a_connection_nothing_leaves_and_the_sentence_says_why(house):
    claim = ready(house)
    Connection.objects.filter(organization=house.cast.a).update(active=False)
    result = claims_submit(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    assert result.submission_ids == []
    assert "No connection takes a 837P" in result.held[0].sentence


def test_ready_claims_leave_by_themselves_once(house):
    claim = ready(house)
    assert claims_submit_ready(
        organization_id=house.cast.a.pk, actor=house.actor, at=NOW
    ).claim_ids == [claim.pk]
    assert (
        claims_submit_ready(organization_id=house.cast.a.pk, actor=house.actor, at=NOW).claim_ids
        == []
    )


def test_two_people_submit_the_same_claims_and_one_file_leaves(house_committed):
    house = house_committed
    with scope(house.actor):
        made = claims_build(exam_ids=many(house, 6), actor=house.actor, at=NOW)
        claims_scrub(claim_ids=made, actor=house.actor, at=NOW)
    barrier = threading.Barrier(4)
    sent_by: list[list[int]] = []

    def press() -> None:
        barrier.wait()
        try:
            with scope(house.actor):
                sent_by.append(claims_submit(claim_ids=made, actor=house.actor, at=NOW).claim_ids)
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(map(len, sent_by)) == [0, 0, 0, 6]
    with scope(house.actor):
        assert Submission.objects.count() == 1
        assert SubmissionClaim.objects.count() == 6
        assert Interchange.objects.filter(kind="837P", direction="out").count() == 1


def test_a_large_group_is_split_into_files(house, monkeypatch):
    monkeypatch.setattr("claims.services.submitting.MOST_CLAIMS", 4)
    made = claims_build(exam_ids=many(house, 10), actor=house.actor, at=NOW)
    claims_scrub(claim_ids=made, actor=house.actor, at=NOW)
    result = claims_submit(claim_ids=made, actor=house.actor, at=NOW)
    assert [s.claims_count for s in Submission.objects.order_by("id")] == [4, 4, 2]
    assert len(result.claim_ids) == 10


def test_the_preview_says_what_changed_since_it_was_last_sent(house):
    claim = sent(house)
    Claim.objects.filter(pk=claim.pk).update(status="rejected", authorization_number="AUTH2")
    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    (preview,) = submit_preview([claim.pk])
    assert preview.sent_before
    assert [(d.label, d.before, d.after) for d in preview.differences] == [
        ("Authorization", "AUTHM1", "AUTH2")
    ]
    assert preview.stops == ""
    assert preview.connection == "Clearing House"


def test_claims_out_are_accepted_rejected_missing_or_waiting(house):
    claim = sent(house)
    submission = Submission.objects.get()
    proof = proofs([submission.pk])[submission.pk]
    assert (proof.out, proof.waiting, proof.ties, proof.settled) == (1, 1, True, False)
    interchange = submission.interchange
    mark(interchange, status="sending", actor=house.actor, at=NOW)
    mark(interchange, status="sent", actor=house.actor, at=NOW)
    assert submissions_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=NOW) == 0
    submission.refresh_from_db()
    assert submission.status == "sent"
    later = NOW + dt.timedelta(hours=49)
    assert submissions_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=later) == 1
    item = WorkItem.objects.get(queue="missing_acks")
    assert item.title == f"1 of 1 claims of file {submission.number} have no acknowledgement"
    assert item.dollars == claim.expected
    SubmissionClaim.objects.update(state="accepted")
    submissions_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=later)
    item.refresh_from_db()
    assert item.status == "closed"


def test_an_unsent_claim_near_its_limit_stands_in_the_queue(house):
    claim = ready(house)
    assert claim.filing_deadline is not None
    day = dt.datetime.combine(
        claim.filing_deadline - dt.timedelta(days=16), dt.time(12), tzinfo=dt.UTC
    )
    assert filing_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=day) == 0
    assert (
        filing_refresh(
            organization_id=house.cast.a.pk, actor=house.actor, at=day + dt.timedelta(days=1)
        )
        == 1
    )
    item = WorkItem.objects.get(queue="filing_limit")
    assert item.title.startswith("15 days left to file")
