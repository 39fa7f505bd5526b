"""A member ID that the payer corrects is shown, is somebody's work, and is taken over in one act."""

from __future__ import annotations

import pytest

from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Refused
from rcm.worklist.models import WorkItem
from remittance import tables
from remittance.models import ClaimPayment
from remittance.present import provider_words
from remittance.services import member_correct

from .house import AT, claim_of, era, head, only, receive
from .test_posting import CLEAN, posted

CORRECTED = CLEAN.replace("SVC*", "NM1*74*1*SAMPLE*ANN****C*1EG4TE5MK73\n    SVC*")


def test_a_corrected_member_id_is_told_and_taken_over_once(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CORRECTED))
    posted(house)
    payment = ClaimPayment.objects.get()
    assert payment.references["corrected_id"] == "1EG4TE5MK73"
    item = WorkItem.objects.get(cause="corrected_member_id")
    assert "1EG4TE5MK73" not in item.title  # the number itself stands on the page alone
    with pytest.raises(PermissionRefused):
        member_correct(payment=payment, actor=house.actor("cleo"), at=AT)
    member_correct(payment=payment, actor=house.actor("ana"), at=AT)
    claim.coverage.refresh_from_db()
    assert claim.coverage.member_id == "1EG4TE5MK73"
    item.refresh_from_db()
    assert item.status in ("done", "closed")
    with pytest.raises(Refused, match="corrects no member ID"):
        member_correct(payment=payment, actor=house.actor("ana"), at=AT)


def test_a_member_id_that_stands_so_already_is_no_work(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    claim.coverage.member_id = "1EG4-TE5-MK73"
    claim.coverage.save()
    receive(house, era(head("150") + CORRECTED))
    posted(house)
    assert only(house).payments.get().references["corrected_id"]
    assert not WorkItem.objects.filter(cause="corrected_member_id").exists()


def test_every_reason_of_a_provider_level_amount_has_words():
    assert provider_words("FB") == "Balance carried forward"
    assert provider_words("QQ") == "Reason code not loaded"
    assert len(tables.provider_reasons()) > 35
    assert all(tables.provider_reasons().values())
