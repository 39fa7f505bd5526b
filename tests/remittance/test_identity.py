"""Whose a payment is, and which: payee, payer, number, date, amount and claims together."""

from __future__ import annotations

import datetime as dt

import pytest

from rcm.accounts.problems import Refused
from rcm.audit.models import Event
from rcm.worklist.models import WorkItem
from remittance.models import ClaimPayment, Denial, HeldFor, Remittance, RemittanceStatus
from remittance.payees import Owner, Payee, why_not_ours
from remittance.services import (
    remittance_date,
    remittance_post,
    remittance_read_again,
)

from .house import AT, D, booked, claim_of, era, head, insurance, only, receive
from .test_posting import CLEAN

OURS = "N1*PE*CANA IMAGING*XX*1679576722"
OWN = Owner(1, "CANA Imaging", frozenset({"1679576722"}), frozenset({"371234567"}))
OTHER = Owner(2, "CANB Imaging", frozenset({"1234567893"}), frozenset({"941234567"}))


@pytest.mark.parametrize(
    ("payee", "sentence"),
    [
        (Payee("CANA", "1679576722"), ""),
        (Payee("CANA", "1679576722", "371234567"), ""),
        (Payee("CANA", tin="371234567"), ""),
        (Payee("BAY", "1234567893"), "It pays CANB Imaging (NPI 1234567893), not CANA Imaging."),
        (
            Payee("STRANGER MD", "1003000126"),
            "It pays Stranger Md (NPI 1003000126), which is neither CANA Imaging nor one of its"
            " sites.",
        ),
        (
            Payee("CANA", "1679576722", "941234567"),
            "It pays under the tax number of CANB Imaging, not that of CANA Imaging.",
        ),
        (
            Payee("CANA", "1679576722", "999999999"),
            "It pays under the tax number 999999999, which is not that of CANA Imaging.",
        ),
        (
            Payee("CANA"),
            "The file names no payee by NPI or tax number, so nobody can tell whose money it is.",
        ),
    ],
)
def test_whose_a_payment_is_is_told_by_its_numbers(payee, sentence):
    assert why_not_ours(payee, OWN, [OTHER]) == sentence


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("N1*PE*CANB IMAGING*XX*1234567893", "It pays CANB Imaging (NPI 1234567893)"),
        ("N1*PE*A STRANGER*XX*1003000126", "It pays A Stranger (NPI 1003000126)"),
        ("N1*PE*A STRANGER*FI*94-1234567", "CANB Imaging"),
        (f"{OURS}\nREF*TJ*941234567", "tax number of CANB Imaging"),
        ("N1*PE*CANA IMAGING", "names no payee"),
    ],
)
def test_money_of_somebody_else_is_held_with_whose_it_is_and_touches_no_claim(
    house, named, sentence
):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150").replace(OURS, named) + CLEAN))
    row = only(house)
    assert (row.status, row.held_for) == (RemittanceStatus.QUARANTINED, HeldFor.PAYEE)
    assert sentence in row.findings[0]["message"]
    assert not ClaimPayment.objects.exists()
    item = WorkItem.objects.get(queue="quarantined_files")
    assert item.cause == "payee"
    assert sentence in item.title
    with pytest.raises(Refused, match="not paid to this organization"):
        remittance_post(remittance=row, actor=house.actor("pia"), at=AT)
    assert insurance(claim) == D("500.00")


def test_a_payment_to_one_of_our_sites_or_under_our_tax_number_is_ours(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    site = head("150").replace(OURS, "N1*PE*CANA NORTH*XX*1993999998")
    receive(house, era(site + CLEAN))
    by_tin = head("140", trace="E2").replace(OURS, "N1*PE*CANA IMAGING*FI*371234567")
    other = CLEAN.replace("150", "140").replace("CO*45*300", "CO*45*310")
    receive(house, era(by_tin + other, control=102))
    assert set(Remittance.objects.values_list("status", flat=True)) == {"ready"}


def test_a_number_that_was_missing_here_is_added_and_the_file_read_again(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150").replace("1679576722", "1003000126") + CLEAN))
    pia, row = house.actor("pia"), only(house)
    remittance_read_again(remittance=row, actor=pia, at=AT)
    assert row.status == RemittanceStatus.QUARANTINED
    house.north.npi = "1003000126"
    house.north.save()
    remittance_read_again(remittance=row, actor=pia, at=AT)
    assert (row.status, row.held_for) == (RemittanceStatus.READY, "")
    assert not WorkItem.objects.filter(queue="quarantined_files", status="open").exists()
    with pytest.raises(Refused, match="Only a held remittance"):
        remittance_read_again(remittance=row, actor=pia, at=AT)
    remittance_post(remittance=row, actor=pia, at=AT)
    assert booked("cash") == D("150.00")


def test_two_copies_of_one_set_in_a_file_are_one_payment(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    interchange = receive(house, era(head("150") + CLEAN, head("150") + CLEAN))
    assert (interchange.summary["remittances"], interchange.summary["duplicates"]) == (1, 1)
    refused = interchange.summary["refused"][0]
    first = only(house)
    assert refused["remittance"] == str(first.public_id)
    assert refused["sentence"] == (
        "PRAIRIE HEALTH PLAN EFT1 over $150.00 of Sep 25, 2026 came again and was refused."
    )
    remittance_post(remittance=first, actor=house.actor("pia"), at=AT)
    assert (booked("cash"), insurance(claim)) == (D("150.00"), D("0.00"))


def test_the_claims_of_a_repeat_may_stand_in_another_order(house):
    for number in ("C1", "C2"):
        claim_of(house, number, [("70551", "500", "200")])
    second = CLEAN.replace("C1", "C2").replace("ICN1", "ICN2")
    receive(house, era(head("300") + CLEAN + second))
    again = receive(house, era(head("300") + second + CLEAN, control=102))
    assert again.summary["duplicates"] == 1
    assert Remittance.objects.count() == 1


DENIED = """
    CLP*{0}*4*500*0*0*12*{1}*11*1
    SVC*HC:70551*500*0**1
    CAS*CO*197*500
"""


def test_a_second_nonpayment_under_the_same_word_is_worked(house):
    for number in ("C1", "C2"):
        claim_of(house, number, [("70551", "500", "200")])
    nothing = head("0", trace="NONPAYMENT")
    receive(house, era(nothing + DENIED.format("C1", "ICN1")))
    receive(house, era(nothing + DENIED.format("C2", "ICN2"), control=102))
    again = receive(house, era(nothing + DENIED.format("C2", "ICN2"), control=103))
    assert again.summary["duplicates"] == 1
    for row in Remittance.objects.order_by("id"):
        remittance_post(remittance=row, actor=house.actor("pia"), at=AT)
    assert set(Denial.objects.values_list("claim__number", flat=True)) == {"C1", "C2"}


def test_another_reason_for_the_same_claim_is_another_answer(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    nothing = head("0", trace="NONPAYMENT")
    receive(house, era(nothing + DENIED.format("C1", "ICN1")))
    other = DENIED.format("C1", "ICN1").replace("CO*197", "CO*16")
    again = receive(house, era(nothing + other, control=102))
    assert again.summary["remittances"] == 1


def test_a_check_number_of_another_year_is_another_check(house):
    old, new = (claim_of(house, n, [("70551", "500", "200")]) for n in ("C1", "C2"))
    check = head("150", trace="1001")
    receive(house, era(check.replace("20260925", "20250925") + CLEAN))
    receive(house, era(check + CLEAN.replace("C1", "C2").replace("ICN1", "ICN2"), control=102))
    for row in Remittance.objects.order_by("id"):
        assert row.resembles_id is None
        remittance_post(remittance=row, actor=house.actor("pia"), at=AT)
    assert booked("cash") == D("300.00")
    assert (insurance(old), insurance(new)) == (D("0.00"), D("0.00"))


def test_a_payment_without_a_date_waits_until_a_person_gives_it(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    undated = head("150").replace("*9988*20260925", "*9988").replace("DTM*405*20260925\n", "")
    receive(house, era(undated + CLEAN))
    row, pia = only(house), house.actor("pia")
    assert (row.status, row.held_for) == (RemittanceStatus.QUARANTINED, HeldFor.DATE)
    with pytest.raises(Refused, match="within the last two years"):
        remittance_date(remittance=row, paid_on=dt.date(2020, 1, 1), actor=pia, at=AT)
    remittance_date(remittance=row, paid_on=dt.date(2026, 9, 21), actor=pia, at=AT)
    assert (row.status, row.paid_on) == (RemittanceStatus.READY, dt.date(2026, 9, 21))
    assert row.dated_by == pia.name
    assert Event.objects.filter(verb="remittance.dated").count() == 1
    # the same file in another envelope is the same payment, although it still names no date
    assert receive(house, era(undated + CLEAN, control=102)).summary["duplicates"] == 1
    with pytest.raises(Refused, match="names its date itself"):
        remittance_date(remittance=row, paid_on=dt.date(2026, 9, 22), actor=pia, at=AT)


def test_an_old_version_that_balances_is_not_said_to_be_out_of_balance(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN).replace(b"005010X221A1", b"004010X091A1"))
    row = only(house)
    assert (row.status, row.held_for) == (RemittanceStatus.QUARANTINED, HeldFor.VERSION)
    assert "balance" not in WorkItem.objects.get(queue="quarantined_files").title
