"""The answer to a correction, whatever number it comes under, goes to the replacement."""

from __future__ import annotations

import pytest

from claims.models import Claim, ClaimStatus
from claims.records import Changes
from claims.views.claim import correction_pending
from remittance.models import ClaimPayment, DenialStatus, Remittance
from remittance.services import denial_correct, remittance_post

from .house import AT, D, era, head, insurance, owed_by_patient, receive
from .test_denials import denied


@pytest.fixture
def corrected(house):
    """A denied claim, its denial and the replacement that was sent."""
    claim, row = denied(house)
    correction = denial_correct(
        denial=row,
        changes=Changes(authorization_number="A-123"),
        reason="Number was missing",
        actor=house.actor("ben"),
        submit=False,
        at=AT,
    )
    Claim.objects.filter(pk=correction.claim_id).update(
        status=ClaimStatus.ACCEPTED, first_submitted_at=AT
    )
    Claim.objects.filter(pk=claim.pk).update(status=ClaimStatus.REPLACED)
    claim.refresh_from_db()
    return claim, row, Claim.objects.get(pk=correction.claim_id)


def answer(house, number: str, control: str, *, frequency: str = "1", refs: str = "") -> None:
    body = (
        f"CLP*{number}*1*900*250*50*12*{control}*11*{frequency}\n{refs}"
        "SVC*HC:74177*900*250**1\nCAS*CO*45*600\nCAS*PR*2*50"
    )
    receive(house, era(head("250", trace="EFT2") + body, control=102))
    row = Remittance.objects.get(trace="EFT2")
    remittance_post(remittance=row, actor=house.actor("pia"), at=AT)


@pytest.mark.parametrize(
    "said",
    [
        {"control": "SAME", "frequency": "7"},
        {"control": "SAME", "refs": "REF*F8*SAME\n"},
        {"control": "ANOTHER"},
    ],
)
def test_an_answer_under_the_old_number_is_followed_to_the_replacement(house, corrected, said):
    claim, denial, new = corrected
    own = claim.payer_control_number
    assert own
    changed = {name: value.replace("SAME", own) for name, value in said.items()}
    assert "Correction pending" in correction_pending(claim)
    assert claim.number in correction_pending(new)
    answer(house, claim.number, **changed)
    payment = ClaimPayment.objects.get(remittance__trace="EFT2")
    assert (payment.claim, payment.state, payment.exception) == (new, "posted", "")
    denial.refresh_from_db()
    assert denial.status == DenialStatus.OVERTURNED
    assert (insurance(new), owed_by_patient(new)) == (D("0.00"), D("50.00"))
    new.refresh_from_db()
    assert (correction_pending(new), correction_pending(claim)) == ("", "")
