"""A refund goes to who overpaid, on the clock that began when the credit was found, and a later
takeback of the same money stops it.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from ar import services
from ar.models import Refund
from ar.services.credits import credits_on
from ar.services.overpayments import payer_shares
from intake.models import Coverage
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.ledger.models import Account, LedgerEntry
from rcm.ledger.services import Leg, Posting, post
from rcm.worklist.models import WorkItem
from rcm.worklist.services import item_finish
from tests.ar.conftest import advice, balance, bill, payer

pytestmark = pytest.mark.django_db
D = Decimal


def paid(cast, b, amount, *, claim=None, kind="remittance.payment", copay=0, days_ago=0):
    """Money of a payer on the bill's charge (negative: taken back), with what it left over."""
    claim = claim or b.claim
    on = timezone.localdate() - timedelta(days=days_ago)
    keys = {
        "charge_id": b.charge.pk,
        "claim_id": claim.pk,
        "patient_id": b.patient.pk,
        "payer_id": claim.payer_id,
    }
    with scope(cast.system):
        line = claim.lines.get(charge=b.charge)
        row = advice(cast, claim, line, paid=amount, contractual=0, copay=copay, on=on, org=cast.a)
        keys["remittance_id"] = row.remittance_id
        post(
            [
                Posting(
                    cast.a.pk,
                    kind,
                    f"835:paid:{row.pk}",
                    on,
                    "Remittance",
                    (
                        Leg(Account.CASH, D(amount), **keys),
                        Leg(Account.AR_INSURANCE, -D(amount), **keys),
                    ),
                )
            ],
            actor=cast.system,
        )
    return row


def second_claim(cast, b, status="submitted"):
    """The bill's claim to a second payer."""
    with scope(cast.system):
        coverage = Coverage.objects.create(
            organization=cast.a,
            patient=b.patient,
            payer=payer("SECOND"),
            rank=2,
            member_id="S2",
            status="active",
        )
        claim = type(b.claim).objects.create(
            organization=cast.a,
            number=f"{b.claim.number}S",
            patient=b.patient,
            coverage=coverage,
            payer=coverage.payer,
            site=b.claim.site,
            status=status,
            rank=2,
            pos="11",
            service_date=b.charge.service_date,
            total=300,
            primary_claim=b.claim,
        )
        type(b.line).objects.create(
            organization=cast.a,
            claim=claim,
            charge=b.charge,
            number=1,
            control=f"{b.claim.number}S1",
            code="74178",
            units=1,
            amount=300,
            service_date=b.charge.service_date,
        )
    return claim


def ask(cast, b, amount, to="payer", **more):
    with scope(cast.actor("ari")):
        return services.refund_request(
            charge=b.charge,
            to=to,
            amount=D(amount),
            cause="payer_overpaid",
            actor=cast.actor("ari"),
            **more,
        )


def approve(cast, row):
    with scope(cast.actor("mia")):
        return services.refund_decide(refund=row, approve=True, actor=cast.actor("mia"))


def refresh(cast, **more):
    with scope(cast.system):
        services.refunds_stop(organization_id=cast.a.pk, actor=cast.system)
        return services.credits_refresh(organization_id=cast.a.pk, actor=cast.system, **more)


def again(cast, row) -> None:
    with scope(cast.system):
        row.refresh_from_db()


def shares(cast, b) -> list[tuple[int, Decimal]]:
    with scope(cast.system):
        return [(s.rank, s.amount) for s in payer_shares([b.charge.pk])[b.charge.pk]]


# --- to whom --------------------------------------------------------------------------------------


def test_the_first_payer_that_pays_again_gets_its_money_back_not_the_second(cast) -> None:
    b = bill(cast, charged=100)
    paid(cast, b, 80, copay=20)
    second = second_claim(cast, b)
    paid(cast, b, 20, claim=second)
    paid(cast, b, 15)  # the first payer once more
    assert shares(cast, b)[0] == (1, D("-15.00"))
    refresh(cast)
    with scope(cast.system):
        item = WorkItem.objects.get(queue="credits")
        assert (item.payer_id, item.claim_id) == (b.claim.payer_id, b.claim.pk)
    row = ask(cast, b, "15.00")
    assert (row.payer_id, row.claim_id) == (b.claim.payer_id, b.claim.pk)


def test_a_second_payer_that_pays_too_much_gets_it_back(cast) -> None:
    b = bill(cast, charged=100)
    paid(cast, b, 80, copay=20)
    second = second_claim(cast, b)
    paid(cast, b, 50, claim=second)
    assert ask(cast, b, "30.00").payer_id == second.payer_id


def test_what_one_payer_overpaid_does_not_hide_behind_what_another_owes(cast) -> None:
    b = bill(cast, charged=100)
    paid(cast, b, 80, copay=20)
    second_claim(cast, b)  # $20.00 are the second payer's, who has not answered
    paid(cast, b, 20)  # the first pays $20.00 too much: the charge nets to nothing
    assert balance(cast, b)[0] == 0
    assert shares(cast, b) == [(1, D("-20.00")), (2, D("20.00"))]
    refresh(cast, shared=True)
    with scope(cast.system):
        item = WorkItem.objects.get(queue="credits")
        assert (item.dollars, item.payer_id) == (D("20.00"), b.claim.payer_id)
    refresh(cast)  # and the quick look after a posting does not close it
    with scope(cast.system):
        assert WorkItem.objects.get(queue="credits").status == "open"
    row = approve(cast, ask(cast, b, "20.00"))
    assert shares(cast, b) == [(1, D("0.00")), (2, D("20.00"))]
    assert row.status == "approved"


def test_two_payers_that_overpaid_are_told_apart(cast) -> None:
    b = bill(cast, charged=100)
    paid(cast, b, 90, copay=20)
    second = second_claim(cast, b)
    paid(cast, b, 30, claim=second)
    assert shares(cast, b) == [(1, D("-10.00")), (2, D("-10.00"))]
    with pytest.raises(Refused, match="Two payers paid too much"):
        ask(cast, b, "10.00")
    with pytest.raises(Refused, match=r"is \$10.00"):
        ask(cast, b, "20.00", payer=second.payer)
    assert ask(cast, b, "10.00", payer=second.payer).payer_id == second.payer_id
    assert ask(cast, b, "10.00", payer=b.claim.payer).payer_id == b.claim.payer_id


def test_the_form_names_each_payer_that_overpaid(cast, enter) -> None:
    from django.urls import reverse

    b = bill(cast, charged=100)
    paid(cast, b, 90, copay=20)
    second = second_claim(cast, b)
    paid(cast, b, 30, claim=second)
    ari, url = enter(cast, "ari"), reverse("ar:refund_new", args=[b.charge.public_id])
    page = ari.get(url).content.decode()
    assert "belongs to Test PRAIRIE" in page
    data = {
        "to": "payer",
        "payer": second.payer_id,
        "amount": "10.00",
        "cause": "payer_overpaid",
    }
    assert ari.post(url, data).status_code == 302
    with scope(cast.system):
        assert Refund.objects.get().payer_id == second.payer_id


# --- the clock ------------------------------------------------------------------------------------


def test_closing_the_item_does_not_start_the_sixty_days_anew(cast) -> None:
    b = bill(cast, payer_code="MCR", charged=300, paid=280, days_ago=60)
    paid(cast, b, 40, days_ago=30)  # $20.00 too much, thirty days ago
    found = timezone.now() - timedelta(days=25)
    with scope(cast.system):
        services.credits_refresh(organization_id=cast.a.pk, actor=cast.system, at=found)
        item = WorkItem.objects.get(queue="credits")
        item_finish(item=item, outcome="Looked at", actor=cast.actor("ari"), version=item.version)
    refresh(cast)
    with scope(cast.system):
        again = WorkItem.objects.get(queue="credits", status="open")
        assert again.deadline_on == timezone.localdate(found) + timedelta(days=60)
    row = ask(cast, b, "20.00")
    assert row.identified_on == timezone.localdate(found)
    assert row.due_on == timezone.localdate(found) + timedelta(days=60)


def test_a_new_credit_has_its_own_clock(cast) -> None:
    b = bill(cast, charged=300, paid=280, days_ago=60)
    paid(cast, b, 40, days_ago=30)
    with scope(cast.system):
        services.credits_refresh(
            organization_id=cast.a.pk, actor=cast.system, at=timezone.now() - timedelta(days=29)
        )
    paid(cast, b, -20, kind="remittance.takeback", days_ago=20)
    refresh(cast)
    paid(cast, b, 7)
    refresh(cast)
    assert ask(cast, b, "7.00").identified_on == timezone.localdate()


# --- a takeback stops it --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["remittance.reversal", "remittance.takeback"])
def test_a_takeback_stops_a_request(cast, kind) -> None:
    b = bill(cast, charged=300, paid=320)
    row = ask(cast, b, "20.00")
    paid(cast, b, -20, kind=kind)
    refresh(cast)
    again(cast, row)
    assert row.status == "stopped"
    assert row.stopped_why.startswith("The payer took this money back on")
    with scope(cast.system):
        assert not WorkItem.objects.filter(queue="refund_approval", status="open").exists()
    with pytest.raises(Refused, match="decided this already"):
        approve(cast, row)


def test_a_takeback_before_the_decision_is_named_to_the_second_person(cast) -> None:
    b = bill(cast, charged=300, paid=320)
    row = ask(cast, b, "20.00")
    paid(cast, b, -20, kind="remittance.reversal")
    with pytest.raises(Refused, match=r"took this money back.*credit is \$0.00"):
        approve(cast, row)


def test_a_takeback_stops_an_approved_refund_and_books_it_back(cast) -> None:
    b = bill(cast, charged=300, paid=320)
    row = approve(cast, ask(cast, b, "20.00"))
    paid(cast, b, -20, kind="remittance.takeback")
    with scope(cast.actor("ari")), pytest.raises(Refused, match="took this money back"):
        services.refund_issue(refund=row, reference="CK 1", actor=cast.actor("ari"))
    refresh(cast)
    again(cast, row)
    assert row.status == "stopped"
    assert balance(cast, b)[0] == 0
    with scope(cast.system):
        payable = LedgerEntry.objects.filter(account=Account.REFUND_PAYABLE)
        assert sum(e.amount for e in payable) == 0


def test_a_takeback_of_a_refund_that_was_paid_out_is_asked_back_from_the_payer(cast) -> None:
    b = bill(cast, charged=300, paid=320)
    row = approve(cast, ask(cast, b, "20.00"))
    with scope(cast.actor("ari")):
        services.refund_issue(refund=row, reference="CK 77", actor=cast.actor("ari"))
    paid(cast, b, -20, kind="remittance.takeback")
    refresh(cast)
    again(cast, row)
    assert "by CK 77: the payer has it twice" in row.stopped_why
    assert balance(cast, b)[0] == D("20.00")
    with scope(cast.system):
        item = WorkItem.objects.get(cause="refunded_and_taken_back")
        assert (item.queue, item.dollars, item.status) == ("credits", D("20.00"), "open")
    refresh(cast)
    with scope(cast.system):
        assert WorkItem.objects.get(pk=item.pk).status == "open"


def test_a_correction_that_pays_the_same_again_stops_nothing(cast) -> None:
    b = bill(cast, charged=300, paid=320)
    row = ask(cast, b, "20.00")
    paid(cast, b, -320, kind="remittance.reversal")
    paid(cast, b, 320)
    refresh(cast)
    again(cast, row)
    assert row.status == "requested"
    with scope(cast.system):
        assert credits_on([b.charge.pk])[b.charge.pk][0].amount == D("20.00")
