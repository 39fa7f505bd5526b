"""A charge whose claim is gone is never lost: it has an owner, or accession control and the proof
show its dollars the same day.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.urls import reverse

import rcm.prove as prover
from charges.models import Charge
from charges.services import accession_control, accession_proof, exam_no_bill
from claims.models import Claim
from claims.services import (
    claim_correct,
    claim_void,
    claims_submit,
    exam_bill_again,
    off_claim_refresh,
)
from rcm.accounts.problems import Refused
from rcm.exchange.models import Outbox
from rcm.worklist.models import WorkItem
from tests.charges.house import DOS, fresh
from tests.claims.house import NOW, ready, released
from tests.claims.test_correcting import accepted

LATER = NOW + dt.timedelta(days=1)


def item() -> WorkItem | None:
    return WorkItem.objects.filter(subject_type="exam_claim", status__in=["open", "pended"]).first()


def settle() -> None:
    """Every event was delivered: nothing is on its way any more."""
    Outbox.objects.update(delivered_at=NOW)


def control(house):
    (row,) = accession_control(actor=house.actor, first=DOS, last=DOS)
    return row.claimed, row.held, row.unexplained, row.adrift


def breaches(house) -> int:
    (proof,) = [p for p in prover.prove([house.cast.a]) if p.check.number == "6c"]
    return proof.total


def exam_of(claim: Claim):
    return fresh(claim.lines.first().charge.exam_id)


def test_a_voided_claim_leaves_its_charge_with_an_owner(house):
    claim = ready(house)
    settle()
    assert control(house) == (1, 0, 0, Decimal(0))
    claim_void(claim=claim, reason="wrong coverage", actor=house.cast.actor("ben"), at=NOW)
    found = item()
    assert "wrong coverage" in found.title
    assert found.deadline_on == exam_of(claim).filing_deadline
    assert control(house) == (0, 1, 0, Decimal(0))
    assert breaches(house) == 0


def test_without_an_owner_it_is_a_breach_in_dollars_the_same_day(house):
    claim = ready(house)
    settle()
    claim_void(claim=claim, reason="wrong coverage", actor=house.cast.actor("ben"), at=NOW)
    WorkItem.objects.filter(subject_type="exam_claim").update(status="done")
    assert control(house) == (0, 0, 1, claim.total)
    assert breaches(house) == 1
    (proof,) = accession_proof(day=DOS, actor=house.actor, at=NOW)
    assert (proof.unexplained, proof.adrift) == (1, claim.total)
    assert off_claim_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=LATER) == (0, 1)
    assert control(house) == (0, 1, 0, Decimal(0))
    assert off_claim_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=LATER) == (0, 0)


def test_a_charge_marked_billed_on_no_live_claim_is_found_too(house):
    claim = ready(house)
    settle()
    Claim.objects.update(status="void")  # what no service of ours leaves behind
    assert breaches(house) == 1
    off_claim_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=LATER)
    assert Charge.objects.get(claim_lines__claim=claim).status == "released"
    assert (breaches(house), control(house)) == (0, (0, 1, 0, Decimal(0)))


def test_a_charge_that_never_reached_a_claim_is_built_into_one(house):
    released(house)
    settle()
    assert control(house)[2:] == (1, Decimal("900.00"))
    assert breaches(house) == 1
    assert off_claim_refresh(organization_id=house.cast.a.pk, actor=house.actor, at=LATER) == (1, 0)
    assert (breaches(house), control(house)) == (0, (1, 0, 0, Decimal(0)))


def test_a_claim_taken_back_from_the_payer_leaves_its_charge_with_an_owner(house):
    claim = accepted(house)
    settle()
    made = claim_void(claim=claim, reason="wrong payer", actor=house.cast.actor("ben"), at=NOW)
    assert item() is None  # nothing has left yet: the claim is live
    assert breaches(house) == 0
    claims_submit(claim_ids=[made.claim_id], actor=house.actor, at=NOW)
    assert item().title.startswith(f"Claim {claim.number} was taken back")
    assert breaches(house) == 0


def test_a_correction_that_is_voided_after_it_took_the_originals_place(house):
    claim = accepted(house)
    settle()
    made = claim_correct(claim=claim, reason="modifier", actor=house.cast.actor("ben"), at=NOW)
    new = Claim.objects.get(pk=made.claim_id)
    claims_submit(claim_ids=[new.pk], actor=house.actor, at=NOW)
    Claim.objects.filter(pk=new.pk).update(status="rejected")
    new.refresh_from_db()
    claim_void(claim=new, reason="not worth it", actor=house.cast.actor("ben"), at=NOW)
    assert item() is not None
    assert breaches(house) == 0


def test_billing_again_closes_the_item(house):
    claim = ready(house)
    ben = house.cast.actor("ben")
    claim_void(claim=claim, reason="wrong coverage", actor=ben, at=NOW)
    (made,) = exam_bill_again(exam=exam_of(claim), actor=ben, at=NOW)
    assert Claim.objects.get(pk=made).status == "ready"
    assert item() is None
    with pytest.raises(Refused, match="No charge of this exam waits"):
        exam_bill_again(exam=exam_of(claim), actor=ben, at=NOW)


def test_voiding_may_build_the_next_claim_at_once(house):
    claim = ready(house)
    told = claim_void(
        claim=claim, reason="wrong form", again=True, actor=house.cast.actor("ben"), at=NOW
    )
    (new,) = Claim.objects.exclude(pk=claim.pk)
    assert new.number in told.sentence
    assert (new.status, item()) == ("ready", None)


def test_no_bill_closes_the_item(house):
    claim = ready(house)
    settle()
    claim_void(claim=claim, reason="wrong coverage", actor=house.cast.actor("ben"), at=NOW)
    exam_no_bill(
        exam=exam_of(claim), reason="Courtesy to the staff", actor=house.cast.actor("cody"), at=NOW
    )
    assert item() is None
    assert (breaches(house), control(house)) == (0, (0, 0, 0, Decimal(0)))


def test_the_screen_offers_both_ways(house, client):
    claim = ready(house)
    client.force_login(house.cast.user("ben"))
    page = client.get(reverse("claims:void", args=[claim.public_id])).content.decode()
    assert "Go on a new claim at once" in page
    client.post(
        reverse("claims:void", args=[claim.public_id]), {"reason": "wrong payer", "then": "hold"}
    )
    assert item() is not None
    client.post(reverse("claims:bill_again", args=[exam_of(claim).public_id]))
    assert item() is None


def test_the_control_page_shows_the_dollars(house, client):
    claim = ready(house)
    settle()
    claim_void(claim=claim, reason="wrong coverage", actor=house.cast.actor("ben"), at=NOW)
    WorkItem.objects.filter(subject_type="exam_claim").update(status="done")
    client.force_login(house.cast.user("mia"))
    page = client.get(reverse("charges:control"), {"to": DOS.isoformat()}).content.decode()
    assert f"${claim.total:,.2f}" in page
    assert "on no claim and with nobody" in " ".join(page.split())
