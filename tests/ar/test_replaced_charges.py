"""A corrected charge takes its money along: nobody is billed twice, nothing is offered as a refund
that is only waiting for the payer's new answer.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from ar import services
from charges.models import Charge
from charges.services import money_follows
from charges.services.release import replace_released
from claims.models import Claim, ClaimLine
from rcm.accounts.scope import scope
from rcm.ledger.models import Account, Balance, LedgerEntry, LedgerTransaction
from rcm.ledger.services import Leg, Posting, post
from rcm.ledger.services import reverse as mirror
from tests.ar.conftest import Bill, balance, bill

pytestmark = pytest.mark.django_db
D = Decimal


def correct(cast, b: Bill, *, amount: str = "280.00", code: str = "74177") -> Charge:
    """The exam's charge is corrected after release, as a changed report does it."""
    with scope(cast.system):
        # the bill of these tests stands under a key of its own; the product's is the charge's
        post(
            [
                Posting(
                    cast.a.pk,
                    "charge",
                    f"charge:{b.charge.public_id}",
                    timezone.localdate(),
                    "Charge",
                    (
                        Leg(Account.AR_INSURANCE, b.charge.amount, charge_id=b.charge.pk),
                        Leg(Account.REVENUE, -b.charge.amount, charge_id=b.charge.pk),
                    ),
                )
            ],
            actor=cast.system,
        )
        mirror(
            LedgerTransaction.objects.filter(effect_key=f"charge:{b.charge.pk}"),
            effective_on=timezone.localdate(),
            reason="Booked under the product's key instead",
            actor=cast.system,
        )
        fresh = Charge(
            organization=cast.a,
            exam=b.exam,
            patient=b.patient,
            code=code,
            pos="11",
            service_date=b.charge.service_date,
            amount=D(amount),
            expected=D("90.00"),
        )
        b.exam.coverage = b.coverage
        assert (
            replace_released(
                [(b.exam, [b.charge], [fresh], "")], actor=cast.system, at=timezone.now()
            )
            == 1
        )
        return Charge.objects.get(replaces=b.charge)


def both(cast, b: Bill, new: Charge) -> tuple[tuple[Decimal, Decimal], tuple[Decimal, Decimal]]:
    with scope(cast.system):
        row = Balance.objects.get(charge_id=new.pk)
        return balance(cast, b), (row.insurance, row.patient)


def test_payments_of_payer_and_patient_follow_the_corrected_charge(cast) -> None:
    b = bill(cast, charged=300, paid=80, contractual=200, copay=20)
    with scope(cast.actor("ana")):
        services.payment_take(
            patient=b.patient, amount=D("20.00"), method="card", actor=cast.actor("ana")
        )
    new = correct(cast, b)
    old_now, new_now = both(cast, b, new)
    assert old_now == (D("0.00"), D("0.00"))
    assert new_now == (D("-20.00"), D("0.00"))  # 280.00 less 300.00 answered: one net credit
    with scope(cast.system):
        moved = LedgerEntry.objects.filter(charge_id=b.charge.pk)
        for account in (Account.CONTRACTUAL, Account.CASH, Account.REVENUE):
            assert sum((e.amount for e in moved if e.account == account), D(0)) == 0
        due, _ = services.statements_preview(organization_id=cast.a.pk)
        assert due == []


def test_a_payer_that_takes_its_old_answer_back_finds_the_successor(cast) -> None:
    b = bill(cast, charged=300, paid=80, contractual=200, copay=20)
    with scope(cast.actor("ana")):
        services.payment_take(
            patient=b.patient, amount=D("20.00"), method="card", actor=cast.actor("ana")
        )
    new = correct(cast, b)
    with scope(cast.system):
        answer = LedgerEntry.objects.filter(transaction__effect_key=f"835:{b.claim.pk}")
        legs = [
            Leg(e.account, -e.amount, e.charge_id, e.claim_id, e.patient_id, e.payer_id)
            for e in answer
        ]
        post(
            [
                Posting(
                    cast.a.pk,
                    "remittance.reversal",
                    "taken back",
                    timezone.localdate(),
                    "Taken back",
                    legs,
                )
            ],
            actor=cast.system,
        )
        assert balance(cast, b) != (D("0.00"), D("0.00"))
        assert money_follows(organization_id=cast.a.pk, actor=cast.system, at=timezone.now()) == 1
        assert money_follows(organization_id=cast.a.pk, actor=cast.system, at=timezone.now()) == 0
    # the whole charge is open again with the payer, and what the patient paid waits for the share
    assert both(cast, b, new) == ((D("0.00"), D("0.00")), (D("280.00"), D("-20.00")))


def test_money_follows_a_correction_of_a_correction(cast) -> None:
    b = bill(cast, charged=300, paid=80, contractual=200, copay=20)
    new = correct(cast, b)
    with scope(cast.system):
        last = Charge(
            organization=cast.a,
            exam=b.exam,
            patient=b.patient,
            code="74176",
            pos="11",
            service_date=b.charge.service_date,
            amount=D("200.00"),
        )
        new.refresh_from_db()
        replace_released([(b.exam, [new], [last], "")], actor=cast.system, at=timezone.now())
        final = Charge.objects.get(replaces=new)
    assert both(cast, b, final)[1] == (D("-100.00"), D("20.00"))
    with scope(cast.system):
        assert Balance.objects.get(charge_id=new.pk).insurance == 0


def test_a_voided_payment_is_taken_from_the_successor(cast) -> None:
    b = bill(cast, charged=300, paid=80, contractual=200, copay=20)
    with scope(cast.actor("ana")):
        row = services.payment_take(
            patient=b.patient, amount=D("20.00"), method="card", actor=cast.actor("ana")
        )
    new = correct(cast, b)
    with scope(cast.actor("ana")):
        services.payment_void(payment=row, reason="Charged back", actor=cast.actor("ana"))
    assert both(cast, b, new) == ((D("0.00"), D("0.00")), (D("-20.00"), D("20.00")))


def test_a_charge_without_a_successor_keeps_its_credit(cast) -> None:
    b = bill(cast, charged=300, paid=80, contractual=200, copay=20)
    with scope(cast.system):
        Charge.objects.filter(pk=b.charge.pk).update(status="void")
        assert money_follows(organization_id=cast.a.pk, actor=cast.system, at=timezone.now()) == 0
    assert balance(cast, b)[1] == D("20.00")


def test_the_account_says_that_a_correction_is_pending(cast, enter) -> None:
    b = bill(cast, charged=300, paid=80, contractual=200, copay=20)
    new = correct(cast, b)
    with scope(cast.system):
        Claim.objects.filter(pk=b.claim.pk).update(status="replaced")
        made = Claim.objects.create(
            organization=cast.a,
            number="C7",
            frequency="7",
            replaces=b.claim,
            patient=b.patient,
            coverage=b.coverage,
            payer=b.claim.payer,
            site=b.claim.site,
            status="submitted",
            pos="11",
            service_date=new.service_date,
            total=new.amount,
        )
        ClaimLine.objects.create(
            organization=cast.a,
            claim=made,
            charge=new,
            number=1,
            control="C7L1",
            code=new.code,
            units=1,
            amount=new.amount,
            service_date=new.service_date,
        )
    page = enter(cast, "ari").get(reverse("ar:account", args=[b.patient.public_id]))
    assert "Correction pending" in page.content.decode()
