"""Bank files: common columns are known, others are mapped once; near misses are shown; every line
without its remittance is somebody's work until it is joined.
"""

from __future__ import annotations

import datetime as dt

import pytest

from rcm.accounts.problems import Refused
from rcm.worklist.models import WorkItem
from remittance.models import BankLayout, Deposit
from remittance.services import deposit_join, deposits_import, remittance_post
from remittance.services.bank import swapped, undeposited_ask

from .house import AT, D, claim_of, era, head, only, receive
from .test_posting import CLEAN


def load(house, text: str, **more):
    return deposits_import(
        organization_id=house.a.pk,
        content=text.encode(),
        actor=house.actor("pia"),
        at=AT,
        **more,
    )


@pytest.mark.parametrize(
    "text",
    [
        "Posting Date,Credit Amount,Bank Reference\n09/26/2026,150.00,ACH EFT1\n",
        "Post Date;Details;Deposits;Ref.\n09/26/2026;PRAIRIE;150.00;EFT1\n",
        "TRANSACTION_DATE\tDebit\tCredit\tCheck Number\n"
        "09/25/2026\t40.00\t\t12\n09/26/2026\t\t150.00\tEFT1\n",
    ],
)
def test_common_columns_are_known(house, text):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    result = load(house, text)
    assert (result.added, result.matched, result.bad) == (1, 1, [])
    assert only(house).deposited_on == dt.date(2026, 9, 26)


def test_strange_columns_are_mapped_once_and_remembered(house):
    text = "Wann,Wieviel,Wer\n09/2{0}/2026,150.00,EFT1\n"
    with pytest.raises(Refused, match="It names: Wann, Wieviel, Wer") as refused:
        load(house, text.format(6))
    assert refused.value.code == "no_columns"
    mapping = {"date": "Wann", "amount": "Wieviel", "reference": "Wer"}
    assert load(house, text.format(6), mapping=mapping).added == 1
    assert BankLayout.objects.get().columns == mapping
    assert load(house, text.format(7)).added == 1


@pytest.mark.parametrize(
    ("amount", "reference", "words"),
    [
        ("105.00", "ACH 77", "Two digits swapped: $105.00 and $150.00"),
        ("150.01", "ACH 77", "A cent apart: $150.01 and $150.00"),
        ("150.00", "ACH 77", "Same amount, the reference names another number"),
        ("120.00", "ACH EFT1", "Same number, $30.00 apart: $120.00 and $150.00"),
        ("733.20", "ACH 77", ""),
    ],
)
def test_a_near_miss_shows_the_difference_and_is_joined_by_a_person(
    house, amount, reference, words
):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    load(house, f"Date,Amount,Reference\n09/26/2026,{amount},{reference}\n")
    row = Deposit.objects.get()
    assert (row.near_words, row.near) == (words, only(house) if words else None)
    item = WorkItem.objects.get(queue="bank", status="open")
    assert (item.dollars, item.subject_id) == (D(amount), row.pk)
    assert words in item.title
    if amount != "150.00":
        with pytest.raises(Refused, match="say why"):
            deposit_join(
                deposit=row, remittance=only(house), reason="", actor=house.actor("pia"), at=AT
            )
    deposit_join(
        deposit=row, remittance=only(house), reason="bank's error", actor=house.actor("pia"), at=AT
    )
    assert row.remittance == only(house)
    assert not WorkItem.objects.filter(queue="bank", status="open").exists()
    with pytest.raises(Refused, match="other half"):
        deposit_join(
            deposit=row, remittance=only(house), reason="x", actor=house.actor("pia"), at=AT
        )


def test_a_line_that_finds_its_remittance_later_is_nobodys_work_any_more(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    text = "Date,Amount,Reference\n09/26/2026,150.00,EFT1\n"
    load(house, text)
    assert WorkItem.objects.filter(queue="bank", status="open").count() == 1
    receive(house, era(head("150") + CLEAN))
    assert load(house, text).matched == 1
    assert not WorkItem.objects.filter(queue="bank", status="open").exists()


@pytest.mark.parametrize(
    ("one", "other", "is_so"),
    [
        ("1203.00", "1230.00", True),
        ("12.34", "12.43", True),
        ("1203.00", "1203.00", False),
        ("1203.00", "1320.00", False),
        ("12.00", "120.00", False),
    ],
)
def test_two_digits_that_changed_places(one, other, is_so):
    assert swapped(D(one), D(other)) is is_so


def test_a_posted_remittance_that_no_bank_file_shows_is_somebodys_work_until_one_does(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    row = only(house)
    remittance_post(remittance=row, actor=house.actor("pia"), at=AT)
    later = AT + dt.timedelta(days=14)
    asked = {"organization_id": house.a.pk, "actor": house.system, "at": later}
    # an organization that loads no bank file is not asked about any
    assert undeposited_ask(**asked) == 0
    load(house, "Date,Amount,Reference\n09/26/2026,7.77,OTHER\n")
    assert undeposited_ask(organization_id=house.a.pk, actor=house.system, at=AT) == 0
    assert undeposited_ask(**asked) == 1
    item = WorkItem.objects.get(cause="not_at_the_bank", status="open")
    assert (item.subject_id, item.dollars) == (row.pk, D("150.00"))
    load(house, "Date,Amount,Reference\n10/07/2026,150.00,EFT1\n")
    assert undeposited_ask(**asked) == 0
    assert not WorkItem.objects.filter(cause="not_at_the_bank", status="open").exists()
