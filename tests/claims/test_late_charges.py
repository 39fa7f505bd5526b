"""A late charge never becomes a second claim: it is part of the replacement, or of the reopening
where the payer takes no replacement.
"""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse

from charges.models import Charge
from claims.models import Claim
from claims.services import ChargesChanged, charges_changed, exam_bill_again, exam_reopened
from claims.services.rebilling import reopenable
from rcm.accounts.problems import Refused
from rcm.accounts.tenancy import uuid7
from rcm.reference.models import Payer
from rcm.worklist.models import WorkItem
from tests.charges.house import fresh
from tests.claims.house import NOW
from tests.claims.test_correcting import Outcome, accepted, decided

LATER = NOW + dt.timedelta(hours=2)


def late(house, claim: Claim) -> Charge:
    """One more charge of the claim's exam, released after the claim was filed."""
    row = Charge.objects.get(pk=claim.lines.first().charge_id)
    row.pk, row.public_id, row.code, row.status = None, uuid7(), "72148", "released"
    row._state.adding = True
    row.save()
    told = ChargesChanged(row.exam_id, [], [row.pk], "late_charge")
    charges_changed(organization_id=house.cast.a.pk, changes=[told], actor=house.actor, at=LATER)
    return Charge.objects.get(pk=row.pk)


@pytest.fixture
def no_replacements(house):
    Payer.objects.filter(code="PHP").update(accepts_replacement=False)


def test_a_payer_with_replacements_gets_it_in_the_replacement(house):
    claim = accepted(house)
    charge = late(house, claim)
    (new,) = Claim.objects.exclude(pk=claim.pk)
    assert (new.frequency, new.replaces) == ("7", claim)
    assert new.lines.filter(charge=charge).exists()


def test_a_payer_without_gets_it_by_reopening(house, no_replacements):
    claim = accepted(house)
    charge = late(house, claim)
    assert Claim.objects.count() == 1
    assert charge.status == "released"
    item = WorkItem.objects.get(subject_type="exam_claim", status="open")
    assert f"reopen claim {claim.number}" in item.title
    assert WorkItem.objects.filter(queue="claim_corrections", status="open").exists()
    ben = house.cast.actor("ben")
    exam = fresh(charge.exam_id)
    with pytest.raises(Refused, match="a second claim would be denied") as refused:
        exam_bill_again(exam=exam, actor=ben, at=LATER)
    assert refused.value.code == "reopen"

    before = claim.total
    taken = exam_reopened(exam=exam, actor=ben, at=LATER)
    assert (taken.pk, taken.total) == (claim.pk, before + charge.amount)
    charge.refresh_from_db()
    assert charge.status == "billed"
    assert not WorkItem.objects.filter(status="open", queue="off_claim").exists()
    assert not WorkItem.objects.filter(status="open", queue="claim_corrections").exists()
    with pytest.raises(Refused, match="No late charge"):
        exam_reopened(exam=exam, actor=ben, at=LATER)


def test_the_queue_offers_the_reopening(house, no_replacements, client):
    charge = late(house, accepted(house))
    assert reopenable(fresh(charge.exam_id)) is not None
    client.force_login(house.cast.user("ben"))
    client.post(reverse("claims:reopened", args=[fresh(charge.exam_id).public_id]))
    charge.refresh_from_db()
    assert charge.status == "billed"


def test_a_denied_claim_says_its_denial_first(house, client):
    claim = decided(house, Outcome.DENIED)
    client.force_login(house.cast.user("ben"))
    page = client.get(reverse("claims:claim", args=[claim.public_id])).content.decode()
    assert "What stops this claim" in page
    assert "Correct and replace it, or appeal." in page
