"""What comes in: balanced at three levels or quarantined with the figures; the same payment once,
however its file differs.
"""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rcm.accounts.problems import Refused
from rcm.audit.models import Event
from rcm.exchange.models import InterchangeStatus
from rcm.exchange.services import Event as Happened
from rcm.ledger.models import LedgerEntry
from rcm.worklist.models import WorkItem
from remittance.events import on_ready
from remittance.models import (
    Adjustment,
    ClaimPayment,
    Deposit,
    ProviderAdjustment,
    Remittance,
    RemittanceStatus,
    ServicePayment,
)
from remittance.records import KeyedAdjustment, KeyedClaim, KeyedEob, KeyedLine
from remittance.services import (
    advice_upload,
    deposits_import,
    eob_key,
    remittance_match,
    remittance_post,
)

from .house import AT, SCAN, D, booked, claim_of, era, head, insurance, only, payer, receive
from .test_posting import CLEAN


def test_one_remittance_per_st_with_its_payer_and_figures(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    second = head("40", trace="EFT2", payer_name="UNHEARD OF", payer_id="") + CLEAN.replace(
        "150", "40"
    ).replace("CO*45*300", "CO*45*410").replace("ICN1", "ICN2")
    interchange = receive(house, era(head("150") + CLEAN, second))
    assert interchange.status == InterchangeStatus.PROCESSED
    assert interchange.summary == {
        "remittances": 2,
        "quarantined": 0,
        "duplicates": 0,
        "claims": 2,
        "amount": "190.00",
    }
    first, other = Remittance.objects.order_by("id")
    assert (first.payer, first.amount, first.claims_total, first.paid_on) == (
        payer(),
        D("150.00"),
        D("150.00"),
        dt.date(2026, 9, 25),
    )
    assert other.payer == payer()  # not named by its number: told by its claims
    assert first.payments.get().segment_start == 10


@pytest.mark.parametrize(
    ("wrong", "figures"),
    [
        (CLEAN.replace("CO*45*300", "CO*45*299.99"), "0.01"),
        (CLEAN.replace("*500*150*50*", "*500*151*50*"), "-1.00"),
        (CLEAN + "PLB*1679576722*20261231*WO:X*10", "-10.00"),
    ],
)
def test_what_does_not_balance_at_any_level_is_kept_with_its_figures_and_posts_nothing(
    house, wrong, figures
):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + wrong))
    remittance = only(house)
    assert remittance.status == RemittanceStatus.QUARANTINED
    assert any(f["level"] == "error" and figures in f["message"] for f in remittance.findings)
    assert not ClaimPayment.objects.exists()
    assert not ServicePayment.objects.exists()
    assert not Adjustment.objects.exists()
    with pytest.raises(Refused, match="does not balance"):
        remittance_post(remittance=remittance, actor=house.actor("pia"), at=AT)
    assert insurance(claim) == D("500.00")
    assert WorkItem.objects.get(queue="quarantined_files").dollars == D("150.00")


def test_a_good_set_beside_a_bad_one_is_ready(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("151", trace="BAD") + CLEAN, head("150", trace="GOOD") + CLEAN))
    assert dict(Remittance.objects.values_list("trace", "status")) == {
        "BAD": "quarantined",
        "GOOD": "ready",
    }
    assert ClaimPayment.objects.get().remittance.trace == "GOOD"


def test_a_corrected_file_takes_the_place_of_a_quarantined_one(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("151") + CLEAN))
    receive(house, era(head("150") + CLEAN, control=102))
    remittance = only(house)
    assert remittance.status == RemittanceStatus.READY
    assert not WorkItem.objects.filter(queue="quarantined_files", status="open").exists()
    remittance_post(remittance=remittance, actor=house.actor("pia"), at=AT)
    assert booked("cash") == D("150.00")


@pytest.mark.parametrize(
    "other", [{"control": 555}, {"ends": "~\r\n"}, {"ends": "~"}, {"ends": "'\n"}]
)
def test_the_same_payment_in_other_bytes_is_refused(house, other):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    remittance_post(remittance=only(house), actor=house.actor("pia"), at=AT)
    entries = LedgerEntry.objects.count()
    content = era(head("150") + CLEAN, **other)
    if other.get("ends", "").startswith("'"):
        content = content.replace(b":'", b":'", 1)
    again = receive(house, content)
    assert again.summary["duplicates"] == 1
    assert only(house).status == RemittanceStatus.POSTED
    assert LedgerEntry.objects.count() == entries
    assert Event.objects.filter(verb="remittance.repeated").count() == 1


def test_the_same_trace_twice_in_one_file_is_two_payments_and_again_none(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    two = (head("150") + CLEAN, head("150") + CLEAN.replace("ICN1", "ICN2"))
    receive(house, era(*two))
    assert sorted(Remittance.objects.values_list("occurrence", flat=True)) == [1, 2]
    assert receive(house, era(*two, control=7)).summary["duplicates"] == 2


def test_the_same_trace_with_other_figures_is_asked_about(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    receive(
        house,
        era(
            head("140") + CLEAN.replace("150", "140").replace("CO*45*300", "CO*45*310"), control=102
        ),
    )
    first, second = Remittance.objects.order_by("id")
    assert (second.amount, second.status, second.resembles) == (D("140.00"), "ready", first)
    assert WorkItem.objects.get(subject_id=second.pk).cause == "same_trace_other_figures"
    on_ready(
        [Happened(1, "remittance.ready", house.a.pk, {"remittance_id": second.pk})],
        actor=house.system,
        at=AT,
    )
    second.refresh_from_db()
    assert second.status == RemittanceStatus.READY


def test_a_remittance_without_a_trace_is_known_by_its_content(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    bare = head("150").replace("TRN*1*EFT1*1512345678", "DTM*405*20260925")
    receive(house, era(bare + CLEAN))
    receive(house, era(bare + CLEAN, control=102))
    assert only(house).trace.startswith("NOTRACE-")


def test_garbage_is_a_failed_file_and_never_an_error(house):
    interchange = receive(house, b"ISA*00*  this is no interchange")
    assert interchange.status == InterchangeStatus.FAILED
    with pytest.raises(Refused, match="no X12 interchange"):
        advice_upload(
            organization_id=house.a.pk,
            content=b"hello",
            file_name="x.835",
            actor=house.actor("pia"),
        )


def test_a_claim_that_comes_later_is_found_by_looking_again(house):
    receive(house, era(head("150") + CLEAN))
    remittance = only(house)
    assert remittance.payments.get().exception == "no_match"
    claim_of(house, "C1", [("70551", "500", "200")])
    assert remittance_match(remittance=remittance, actor=house.actor("pia"), at=AT) == 1
    assert remittance.payments.get().state == "matched"
    assert not WorkItem.objects.filter(queue="remittance_exceptions", status="open").exists()


def test_the_database_itself_refuses_a_posted_remittance_that_does_not_tie(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    Remittance.objects.update(status="posted")
    with (
        connection.cursor() as cursor,
        pytest.raises(IntegrityError, match="the ledger has 0"),
        transaction.atomic(),
    ):
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    Remittance.objects.update(status="ready")


# --- paper and bank -------------------------------------------------------------------------------


def _eob(claim, *, amount="150", paid="150", check="1001"):
    line = KeyedLine(
        "70551",
        D("500"),
        D(paid),
        (KeyedAdjustment("CO", "45", D("300")), KeyedAdjustment("PR", "2", D("50"))),
        control="C1L1",
    )
    return KeyedEob(
        payer().pk,
        check,
        dt.date(2026, 9, 20),
        D(amount),
        (KeyedClaim("C1", (line,), patient_name="Sample, Ann", service_date=dt.date(2026, 9, 8)),),
    )


def test_a_paper_eob_goes_through_the_same_gate(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    remittance = eob_key(
        organization_id=house.a.pk, eob=_eob(claim), document=SCAN, actor=house.actor("pia"), at=AT
    )
    assert (remittance.source, remittance.status, remittance.method, remittance.payer) == (
        "paper",
        "ready",
        "CHK",
        payer(),
    )
    remittance_post(remittance=remittance, actor=house.actor("pia"), at=AT)
    assert insurance(claim) == 0
    assert booked("cash") == D("150.00")
    with pytest.raises(Refused, match="entered already"):
        eob_key(
            organization_id=house.a.pk,
            eob=_eob(claim),
            document=SCAN,
            actor=house.actor("pia"),
            at=AT,
        )


def test_a_paper_eob_that_does_not_balance_is_not_kept(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    with pytest.raises(Refused, match=r"\$1.00 of the charge"):
        eob_key(
            organization_id=house.a.pk,
            eob=_eob(claim, paid="149"),
            document=SCAN,
            actor=house.actor("pia"),
            at=AT,
        )
    with pytest.raises(Refused, match=r"differ by \$-10.00"):
        eob_key(
            organization_id=house.a.pk,
            eob=_eob(claim, amount="160"),
            document=SCAN,
            actor=house.actor("pia"),
            at=AT,
        )
    assert not Remittance.objects.exists()


def test_a_bank_file_finds_its_remittance_once_and_says_what_it_cannot_read(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    file = (
        b"Date,Amount,Reference,Description\n09/26/2026,150.00,ACH"
        b" EFT1,PRAIRIE\n09/26/2026,77.10,ACH 999,\nnonsense,1,x,\n09/26/2026,=1+1,y,\n"
    )
    result = deposits_import(
        organization_id=house.a.pk, content=file, actor=house.actor("pia"), at=AT
    )
    assert (result.added, result.matched, [n for n, _ in result.bad]) == (2, 1, [4, 5])
    assert only(house).deposited_on == dt.date(2026, 9, 26)
    assert Deposit.objects.filter(remittance__isnull=True).get().amount == D("77.10")
    again = deposits_import(
        organization_id=house.a.pk, content=file, actor=house.actor("pia"), at=AT
    )
    assert (again.added, again.repeated, again.matched) == (0, 2, 0)


# --- properties -----------------------------------------------------------------------------------

cents = st.integers(0, 100_000).map(lambda n: D(n) / 100)


@st.composite
def advice(draw):
    """A balanced 835: claims of known and unknown numbers, lines split at random into payment and
    adjustments, and a few PLB.
    """
    parts, total = [], D(0)
    for n in range(draw(st.integers(1, 5))):
        number = draw(st.sampled_from(["C1", "C2", "C3", "NONE"]))
        lines, paid_sum, pr_sum, billed_sum = [], D(0), D(0), D(0)
        for _ in range(draw(st.integers(0, 3))):
            shares = [draw(cents) for _ in range(4)]
            groups = draw(
                st.lists(
                    st.sampled_from(
                        [
                            ("CO", "45"),
                            ("PR", "1"),
                            ("PR", "2"),
                            ("CO", "197"),
                            ("CO", "253"),
                            ("OA", "23"),
                            ("PI", "16"),
                            ("PR", "204"),
                            ("CO", "ZZ9"),
                        ]
                    ),
                    min_size=3,
                    max_size=3,
                )
            )
            paid, *rest = shares
            billed = sum(shares)
            lines.append(
                f"SVC*HC:{draw(st.sampled_from(['70551', '72148', '99999']))}*{billed}*{paid}**1"
            )
            for (group, reason), amount in zip(groups, rest, strict=True):
                if amount:
                    lines.append(f"CAS*{group}*{reason}*{amount}")
                    pr_sum += amount if group == "PR" else 0
            paid_sum += paid
            billed_sum += billed
        if not lines:
            paid_sum = draw(cents)
            billed_sum = paid_sum
        parts += [f"CLP*{number}*1*{billed_sum}*{paid_sum}*{pr_sum}*12*ICN{n}*11*1", *lines]
        total += paid_sum
    plb = [
        (
            draw(st.sampled_from(["WO:ICN0", "FB", "L6", "72:X"])),
            draw(st.integers(-5000, 5000).map(lambda n: D(n) / 100)),
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    for reason, amount in plb:
        if amount:
            parts.append(f"PLB*1679576722*20261231*{reason}*{amount}")
            total -= amount
    return parts, total


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=advice(), off=st.sampled_from([0, 0, 1, -1, 10_000]))
def test_a_generated_835_posts_to_the_cent_when_it_balances_and_not_at_all_otherwise(
    house, data, off
):
    parts, total = data
    with transaction.atomic():
        for number in ("C1", "C2", "C3"):
            claim_of(house, number, [("70551", "500", "200"), ("72148", "400", "150")])
        receive(house, era(head(str(total + D(off) / 100)) + "\n".join(parts)))
        remittance = only(house)
        if off:
            assert remittance.status == RemittanceStatus.QUARANTINED
            assert not LedgerEntry.objects.filter(remittance_id=remittance.pk).exists()
        else:
            assert remittance.status == RemittanceStatus.READY
            remittance_post(remittance=remittance, actor=house.actor("pia"), at=AT)
            assert booked("cash", remittance_id=remittance.pk) == remittance.amount == total
            assert not ClaimPayment.objects.filter(state="matched").exists()
            assert sum(p.amount for p in ProviderAdjustment.objects.all()) == remittance.plb_total
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        transaction.set_rollback(True)
