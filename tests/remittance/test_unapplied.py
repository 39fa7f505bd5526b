"""Unapplied cash finds its end: a takeback takes it before any claim, a reversal and its original
meet whichever came first.
"""

from __future__ import annotations

import pytest

from rcm.accounts.problems import Refused
from rcm.exchange.services import Event
from rcm.worklist.models import WorkItem
from remittance.events import on_ready
from remittance.models import (
    CashUse,
    ClaimPayment,
    Denial,
    PaymentState,
    Remittance,
    RemittanceStatus,
    UnappliedCash,
)
from remittance.services import (
    payment_apply,
    remittance_post,
    remittance_reopen,
    remittance_reverse,
)

from .house import AT, D, booked, claim_of, era, head, insurance, owed_by_patient, receive
from .test_posting import CLEAN

BACK = """
    CLP*C1*22*-500*-150*-50*12*{0}*11*1
    SVC*HC:70551*-500*-150**1
    CAS*CO*45*-300
    CAS*PR*2*-50
    REF*6R*C1L1
"""
OTHER = """
    CLP*C2*1*500*150*0*12*ICN2*11*1
    SVC*HC:70551*500*150**1
    CAS*CO*45*350
    REF*6R*C2L1
"""
LAST_DAY = "20261231"


def post_all(house) -> None:
    for row in Remittance.objects.filter(status=RemittanceStatus.READY).order_by("id"):
        remittance_post(remittance=row, actor=house.actor("pia"), at=AT)


def take(house, amount: str, body: str, *, trace: str, control: int) -> Remittance:
    receive(house, era(head(amount, trace=trace) + body, control=control))
    post_all(house)
    return Remittance.objects.get(trace=trace)


@pytest.fixture
def twice(house):
    """A settled claim whose payment came a second time: that money is on no claim."""
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    claim_of(house, "C2", [("70551", "500", "200")])
    take(house, "150", CLEAN, trace="E1", control=1)
    take(house, "150", CLEAN, trace="E2", control=2)
    assert booked("unapplied") == D("-150.00")
    return claim


@pytest.mark.parametrize("reference", ["ICN1", "ICN1 C1", "C1"])
@pytest.mark.parametrize("reason", ["WO", "FB"])
def test_a_takeback_takes_the_unapplied_money_and_opens_no_settled_claim(
    house, twice, reference, reason
):
    plb = f"\nPLB*1679576722*{LAST_DAY}*{reason}:{reference}*150"
    take(house, "0", OTHER + plb, trace="E3", control=3)
    assert (insurance(twice), owed_by_patient(twice)) == (D("0.00"), D("50.00"))
    assert (booked("unapplied"), booked("provider_level")) == (D("0.00"), D("0.00"))
    assert UnappliedCash.objects.get().resolved_at is not None
    assert not WorkItem.objects.filter(queue="unapplied_cash", status="open").exists()
    assert not WorkItem.objects.filter(cause="takeback").exists()
    gone = ClaimPayment.objects.get(remittance__trace="E2")
    with pytest.raises(Refused, match="on a claim already"):
        payment_apply(payment=gone, claim=twice, reason="x", actor=house.actor("pia"), at=AT)


def test_what_the_unapplied_money_does_not_cover_is_taken_from_the_claim(house, twice):
    more = f"\nPLB*1679576722*{LAST_DAY}*WO:ICN1*200"
    body = OTHER.replace("*150*", "*250*").replace("CO*45*350", "CO*45*250")
    take(house, "50", body + more, trace="E3", control=3)
    assert insurance(twice) == D("50.00")
    assert booked("unapplied") == D("0.00")
    assert WorkItem.objects.get(cause="takeback").dollars == D("50.00")


def test_a_part_that_is_taken_leaves_the_rest_on_no_claim_until_its_remittance_is_undone(
    house, twice
):
    body = OTHER.replace("*150*", "*100*").replace("CO*45*350", "CO*45*400")
    plb = f"\nPLB*1679576722*{LAST_DAY}*WO:ICN1*100"
    third = take(house, "0", body + plb, trace="E3", control=3)
    cash, pia = UnappliedCash.objects.get(), house.actor("pia")
    assert (cash.amount, cash.resolved_at) == (D("50.00"), None)
    second = Remittance.objects.get(trace="E2")
    with pytest.raises(Refused, match="taken back unapplied money"):
        remittance_reverse(remittance=second, reason="wrong", actor=pia, at=AT)
    with pytest.raises(Refused, match="Part of this money"):
        payment_apply(payment=second.payments.get(), claim=twice, reason="x", actor=pia, at=AT)
    remittance_reverse(remittance=third, reason="wrong", actor=pia, at=AT)
    cash.refresh_from_db()
    assert (cash.amount, cash.resolved_at) == (D("150.00"), None)
    assert CashUse.objects.get().undone_at is not None
    assert booked("unapplied", remittance_id=second.pk) == D("-150.00")


def state(claim) -> tuple:
    return (
        insurance(claim),
        owed_by_patient(claim),
        booked("cash"),
        booked("contractual"),
        booked("unapplied"),
        UnappliedCash.objects.filter(resolved_at__isnull=True).count(),
        WorkItem.objects.filter(queue="unapplied_cash", status="open").count(),
        sorted(ClaimPayment.objects.values_list("status_code", "state")),
    )


@pytest.mark.parametrize("icn", ["ICN1", "OTHER"])
def test_a_reversal_and_its_original_come_to_the_same_end_in_both_orders(house, icn):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    steps = {"O": ("150", CLEAN), "R": ("-150", BACK.format(icn))}
    amount, body = steps["R"]
    take(house, amount, body, trace="R", control=1)
    assert booked("unapplied") == D("150.00")
    amount, body = steps["O"]
    take(house, amount, body, trace="O", control=2)
    assert state(claim) == (
        D("500.00"),
        D("0.00"),
        D("0.00"),
        D("0.00"),
        D("0.00"),
        0,
        0,
        [("1", PaymentState.REVERSED), ("22", PaymentState.POSTED)],
    )
    reversal = ClaimPayment.objects.get(status_code="22")
    assert reversal.reverses.status_code == "1"


def test_an_original_that_comes_after_the_new_answer_meets_the_reversal_and_not_the_claim(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    new = CLEAN.replace("ICN1", "ICN9").replace("*150*50*", "*160*40*")
    new = new.replace("*500*150**", "*500*160**").replace("PR*2*50", "PR*2*40")
    take(house, "10", BACK.format("ICN1") + new, trace="R", control=1)
    take(house, "150", CLEAN, trace="O", control=2)
    assert (insurance(claim), owed_by_patient(claim)) == (D("0.00"), D("40.00"))
    assert (booked("unapplied"), booked("cash")) == (D("0.00"), D("160.00"))
    assert not WorkItem.objects.filter(queue="unapplied_cash", status="open").exists()


def test_a_reversal_of_money_that_is_on_no_claim_takes_that_money(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    strange = CLEAN.replace("C1", "ZZ9").replace("SAMPLE", "NOBODY")
    strange = strange.replace("MEM1", "X").replace("20260908", "20260101")
    take(house, "150", strange, trace="O", control=1)
    take(house, "-150", BACK.format("ICN1").replace("C1", "ZZ9"), trace="R", control=2)
    assert booked("unapplied") == D("0.00")
    assert not UnappliedCash.objects.filter(resolved_at__isnull=True).exists()
    first = Remittance.objects.get(trace="O")
    with pytest.raises(Refused, match="later remittance"):
        remittance_reverse(remittance=first, reason="x", actor=house.actor("pia"), at=AT)
    second = Remittance.objects.get(trace="R")
    remittance_reverse(remittance=second, reason="x", actor=house.actor("pia"), at=AT)
    cash = UnappliedCash.objects.get(remittance=first)
    assert (cash.resolved_at, first.payments.get().state) == (None, PaymentState.UNAPPLIED)


@pytest.fixture
def undone(house):
    """A remittance that was posted and reversed: claim, remittance, poster."""
    claim = claim_of(house, "C1", [("70551", "500", "200"), ("72148", "400", "150")])
    body = """
        CLP*C1*1*900*150*50*12*ICN1*11*1
        SVC*HC:70551*500*150**1
        CAS*CO*45*300
        CAS*PR*2*50
        REF*6R*C1L1
        SVC*HC:72148*400*0**1
        CAS*CO*50*400
        REF*6R*C1L2
        CLP*C9*1*100*60*0*12*ICN3*11*1
        SVC*HC:71046*100*60**1
        CAS*CO*45*40
    """
    row = take(house, "210", body, trace="E1", control=1)
    remittance_reverse(remittance=row, reason="wrong", actor=house.actor("pia"), at=AT)
    assert (booked("cash"), booked("unapplied")) == (D("210.00"), D("-210.00"))
    assert insurance(claim) == D("900.00")
    return claim, row, body


def as_posted(claim) -> tuple:
    return (
        insurance(claim),
        booked("cash"),
        booked("unapplied"),
        booked("contractual"),
        Denial.objects.filter(status="open").count(),
        WorkItem.objects.filter(queue="denials", status="open").count(),
        UnappliedCash.objects.filter(resolved_at__isnull=True).count(),
        WorkItem.objects.filter(cause="reversed", status="open").count(),
    )


AGAIN = (D("450.00"), D("210.00"), D("-60.00"), D("300.00"), 1, 1, 1, 0)


def test_a_reversed_remittance_is_taken_up_and_posted_again_and_again(house, undone):
    claim, row, _ = undone
    pia = house.actor("pia")
    for _ in range(2):
        remittance_reopen(remittance=row, actor=pia, at=AT)
        remittance_post(remittance=row, actor=pia, at=AT)
        assert as_posted(claim) == AGAIN
        remittance_reverse(remittance=row, reason="wrong again", actor=pia, at=AT)
        assert (booked("cash"), booked("unapplied")) == (D("210.00"), D("-210.00"))
    with pytest.raises(Refused, match="was reversed"):
        remittance_post(remittance=row, actor=pia, at=AT)


def test_what_was_reversed_is_put_on_another_claim_before_it_is_posted_again(house, undone):
    claim, row, _ = undone
    other = claim_of(house, "C7", [("70551", "500", "200"), ("72148", "400", "150")])
    pia = house.actor("pia")
    remittance_reopen(remittance=row, actor=pia, at=AT)
    wrong = row.payments.get(claim_number="C1")
    payment_apply(payment=wrong, claim=other, reason="the other visit", actor=pia, at=AT)
    remittance_post(remittance=row, actor=pia, at=AT)
    assert (insurance(claim), insurance(other)) == (D("900.00"), D("450.00"))
    assert (booked("cash"), booked("unapplied")) == (D("210.00"), D("-60.00"))


def test_the_same_payment_in_a_new_file_is_taken_up_and_waits_for_a_person(house, undone):
    claim, row, body = undone
    interchange = receive(house, era(head("210", trace="E1") + body, control=77))
    assert interchange.summary["duplicates"] == 0
    row.refresh_from_db()
    assert (row.status, row.attempt, Remittance.objects.count()) == ("ready", 2, 1)
    remittance_post(remittance=row, actor=house.actor("pia"), at=AT)
    assert as_posted(claim) == AGAIN


def test_the_payers_correction_takes_the_money_of_the_reversed_one(house, undone):
    _, row, body = undone
    right = body.replace("CAS*CO*45*300", "CAS*CO*45*310").replace("PR*2*50", "PR*2*40")
    receive(house, era(head("210", trace="E1") + right, control=77))
    new = Remittance.objects.get(resembles=row)
    remittance_post(remittance=new, actor=house.actor("pia"), at=AT)
    assert (booked("cash"), booked("unapplied")) == (D("210.00"), D("-60.00"))
    assert booked("contractual") == D("310.00")
    with pytest.raises(Refused, match="Its correction"):
        remittance_reopen(remittance=row, actor=house.actor("pia"), at=AT)


def test_money_that_went_back_to_the_payer_is_on_no_claim_and_not_here(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    row = take(house, "150", CLEAN, trace="E1", control=1)
    remittance_reverse(
        remittance=row, reason="bounced", money_kept=False, actor=house.actor("pia"), at=AT
    )
    assert (booked("cash"), booked("unapplied")) == (D("0.00"), D("0.00"))


def ready(house, row: Remittance) -> None:
    """The event that a remittance is ready, delivered."""
    on_ready(
        [Event(1, "remittance.ready", house.a.pk, {"remittance_id": row.pk})],
        actor=house.system,
        at=AT,
    )
    row.refresh_from_db()


EXCEPTIONS = {
    "no_match": ("C9", "60", ""),
    "duplicate": ("C1", "150", ""),
    "nothing paid": ("C9", "0", ""),
}


@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_one_exception_does_not_hold_the_clean_claims_of_its_file(house, kind):
    first = claim_of(house, "C1", [("70551", "500", "200")])
    clean = claim_of(house, "C2", [("70551", "500", "200")])
    take(house, "150", CLEAN, trace="E1", control=1)
    number, paid, _ = EXCEPTIONS[kind]
    bad = f"""
        CLP*{number}*1*500*{paid}*50*12*ICN1*11*1
        SVC*HC:70551*500*{paid}**1
        CAS*CO*45*{450 - int(paid)}
        CAS*PR*2*50
    """
    receive(house, era(head(str(150 + int(paid)), trace="E2") + OTHER + bad, control=2))
    row = Remittance.objects.get(trace="E2")
    ready(house, row)
    assert row.status == RemittanceStatus.POSTED
    assert (insurance(first), insurance(clean)) == (D("0.00"), D("0.00"))
    assert booked("cash", remittance_id=row.pk) == row.amount
    assert booked("unapplied", remittance_id=row.pk) == -D(paid)
    stuck = row.payments.exclude(state=PaymentState.POSTED).get()
    assert WorkItem.objects.filter(subject_type="claim_payment", subject_id=stuck.pk).exists()
