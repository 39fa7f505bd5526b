"""Money on no claim goes back to the payer by a second person, or onto a patient's account."""

from __future__ import annotations

import pytest
from django.urls import reverse

from ar.services import payment_take, unapplied_balances
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.ledger.models import Account, LedgerEntry
from rcm.worklist.models import ItemStatus, WorkItem
from remittance.models import CashReturn, ClaimPayment, ReturnStatus, UnappliedCash
from remittance.services import (
    cash_to_patient,
    payment_apply,
    remittance_reverse,
    return_decide,
    return_request,
)

from .house import AT, D, claim_of, patient_with, payer
from .test_unapplied import OTHER, take

STRANGER = """
    CLP*ZZ9*1*100*60*0*12*ICN3*11*1
    NM1*QC*1*STRANGER*ANN****MI*MEM9
    SVC*HC:71046*100*60**1
    CAS*CO*45*40
"""


@pytest.fixture
def cash(house) -> UnappliedCash:
    take(house, "60", STRANGER, trace="E1", control=301)
    return UnappliedCash.objects.get()


def account(name: str) -> D:
    return sum((e.amount for e in LedgerEntry.objects.filter(account=name)), D(0))


def asked(house, cash) -> CashReturn:
    actor = house.actor("pia")
    return return_request(cash=cash, reason="Not our patient", actor=actor, at=AT)


def live(subject: str) -> int:
    return WorkItem.objects.filter(subject_type=subject, status=ItemStatus.OPEN).count()


def test_a_second_person_sends_it_back_and_the_books_are_level(house, cash):
    row = asked(house, cash)
    assert (account(Account.CASH), account(Account.UNAPPLIED)) == (60, -60)
    with pytest.raises(Conflict):
        asked(house, cash)
    with pytest.raises(Refused, match="number"):
        return_decide(row=row, approve=True, actor=house.actor("mia"), at=AT)
    done = return_decide(row=row, approve=True, reference="CK 77", actor=house.actor("mia"), at=AT)
    assert done.status == ReturnStatus.SENT
    assert (account(Account.CASH), account(Account.UNAPPLIED)) == (0, 0)
    assert (live("cash_return"), live("claim_payment")) == (0, 0)
    with pytest.raises(Conflict):
        return_decide(row=row, approve=True, reference="CK 78", actor=house.actor("cleo"), at=AT)
    with pytest.raises(Refused, match="sent back with CK 77"):
        remittance_reverse(remittance=cash.remittance, reason="x", actor=house.actor("pia"), at=AT)


def test_who_asks_never_decides(house, cash):
    actor = house.actor("mia")
    row = asked(house, cash)
    CashReturn.objects.update(requested_by=house.user("mia"))
    row.refresh_from_db()
    with pytest.raises(Refused, match="Another person"):
        return_decide(row=row, approve=True, reference="1", actor=actor, at=AT)


def test_refused_it_can_be_applied_again_and_asked_it_cannot(house, cash):
    row = asked(house, cash)
    claim = claim_of(house, "C5", [("71046", "100", "60")])
    payment = cash.payment
    with pytest.raises(Refused, match="go back"):
        payment_apply(payment=payment, claim=claim, reason="Found", actor=house.actor("pia"), at=AT)
    return_decide(row=row, approve=False, note="It is ours", actor=house.actor("mia"), at=AT)
    payment_apply(payment=payment, claim=claim, reason="Found", actor=house.actor("pia"), at=AT)
    assert account(Account.UNAPPLIED) == 0
    with pytest.raises(Conflict):
        asked(house, cash)


def test_a_takeback_of_the_same_money_stops_the_return(house, cash):
    row = asked(house, cash)
    plb = "PLB*1679576722*20261231*WO:ZZ9*60"
    take(house, "90", OTHER + plb, trace="E2", control=302)
    row.refresh_from_db()
    assert row.status == ReturnStatus.STOPPED
    assert "E2" in row.note
    assert live("cash_return") == 0


def test_a_patients_own_payment_goes_onto_their_account(house, cash):
    patient = patient_with(house, payers=[payer()])
    cash_to_patient(
        cash=cash, patient=patient, reason="Paid by lockbox", actor=house.actor("pia"), at=AT
    )
    assert unapplied_balances([patient.pk]) == {patient.pk: D(60)}
    assert not UnappliedCash.objects.filter(resolved_at__isnull=True).exists()
    payment_take(patient=patient, amount=D(5), method="card", actor=house.actor("ana"), at=AT)


def test_the_screen_asks_and_another_person_decides(client, cast):
    with scope(cast.system):
        take(cast, "60", STRANGER, trace="E1", control=301)
        payment = ClaimPayment.objects.get()
    page = reverse("remittance:payment", args=[payment.public_id])

    def at(name: str):
        client.force_login(cast.user(name))
        return client

    assert "Nobody" in at("pia").get(reverse("remittance:unapplied")).content.decode()
    asking = reverse("remittance:send_back", args=[payment.public_id])
    assert at("pia").post(asking, {"reason": ""}).status_code == 422
    assert "Asked" in at("pia").post(asking, {"reason": "Not ours"}, follow=True).content.decode()
    deciding = reverse("remittance:decide_return", args=[payment.public_id])
    assert at("pia").get(deciding).status_code == 403
    assert deciding in at("mia").get(page).content.decode()
    told = {"approve": "yes", "reference": "CK 9", "note": ""}
    assert "Sent back." in at("mia").post(deciding, told, follow=True).content.decode()
    assert "CK 9" in at("pia").get(page).content.decode()
    other = reverse("remittance:to_patient", args=[payment.public_id])
    answer = at("pia").post(other, {"mrn": "NONE", "reason": "x"})
    assert answer.status_code == 422
