"""No silent write-off: the ways in which it is refused, and the one in which it is done (invariant
9, DOMAIN G4).
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from ar import services
from ar.models import Statement, WriteOffRequest
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.ledger.models import Account, LedgerEntry
from rcm.worklist.models import WorkItem
from remittance.models import Denial
from tests.ar.conftest import balance, bill, call, deny

pytestmark = pytest.mark.django_db


def ask(cast, b, who="ari", **changes):
    values = {
        "charge": b.charge,
        "reason": "denial",
        "amount": Decimal("300.00"),
        "note": "Appeal refused, payer called",
        "actor": cast.actor(who),
    } | changes
    with scope(cast.actor(who)):
        return services.write_off_request(**values)


def decide(cast, row, who="mia", approve=True, note="ok"):
    with scope(cast.actor(who)):
        return services.write_off_decide(
            request=row, approve=approve, note=note, actor=cast.actor(who)
        )


@pytest.fixture
def lost(cast):
    """A charge of $300 whose denial was upheld and whose payer was called: it may be written
    off.
    """
    b = bill(cast)
    deny(cast, b, category="medical_necessity", status="upheld")
    call(cast, b)
    return b


def test_above_the_limit_a_second_person_approves_and_the_ledger_says_so(cast, lost) -> None:
    row = ask(cast, lost)
    assert row.status == "requested"
    assert balance(cast, lost) == (Decimal("300.00"), Decimal(0))
    with scope(cast.system):
        item = WorkItem.objects.get(queue="write_off_approval")
        assert item.dollars == Decimal("300.00")
    done = decide(cast, row)
    assert (done.status, done.decided_by_id) == ("approved", cast.user("mia").pk)
    assert balance(cast, lost) == (Decimal(0), Decimal(0))
    with scope(cast.system):
        legs = {
            e.account: e.amount for e in LedgerEntry.objects.filter(transaction=done.transaction)
        }
        assert legs == {
            Account.DENIAL_WRITEOFF: Decimal("300.00"),
            Account.AR_INSURANCE: Decimal("-300.00"),
        }
        assert WorkItem.objects.get(pk=item.pk).status in ("done", "closed")


def test_within_the_limit_it_posts_at_once(cast, lost) -> None:
    row = ask(cast, lost, amount=Decimal("90.00"))
    assert (row.status, row.decided_by_id) == ("approved", None)
    assert balance(cast, lost)[0] == Decimal("210.00")


def test_1_the_requester_never_approves(cast, lost) -> None:
    row = ask(cast, lost)
    cast.users["ari"].memberships.create(
        organization=cast.a, role="manager"
    )  # even with both roles
    with pytest.raises(Refused, match="does not approve"):
        decide(cast, row, who="ari")


def test_2_a_poster_may_neither_ask_nor_approve(cast, lost) -> None:
    with pytest.raises(PermissionRefused):
        ask(cast, lost, who="pia")
    row = ask(cast, lost)
    for who in ("pia", "ben", "ana", "adam"):
        with pytest.raises(PermissionRefused):
            decide(cast, row, who=who)


def test_3_a_manager_approves_but_does_not_ask(cast, lost) -> None:
    with pytest.raises(PermissionRefused):
        ask(cast, lost, who="mia")


def test_4_contractual_is_no_reason_by_hand(cast, lost) -> None:
    with pytest.raises(Refused, match="posted from a remittance"):
        ask(cast, lost, reason="contractual")
    with pytest.raises(Refused, match="from the list"):
        ask(cast, lost, reason="CO-197")


def test_5_without_a_documented_contact_it_is_refused(cast) -> None:
    b = bill(cast)
    deny(cast, b, category="medical_necessity", status="upheld")
    with pytest.raises(Refused, match="No contact with the payer"):
        ask(cast, b)


def test_6_a_denial_that_can_still_be_appealed_is_not_written_off(cast) -> None:
    b = bill(cast)
    deny(cast, b, status="open", appeal_in=30)
    call(cast, b)
    with pytest.raises(Refused, match="can still be corrected or appealed"):
        ask(cast, b)
    with scope(cast.system):
        Denial.objects.update(appeal_by=None)  # an unknown date is not a passed one
    with pytest.raises(Refused, match="not known"):
        ask(cast, b)


def test_7_a_charge_without_any_denial_is_no_denial_write_off(cast) -> None:
    b = bill(cast)
    call(cast, b)
    with pytest.raises(Refused, match="No denial stands"):
        ask(cast, b)


def test_8_never_more_than_is_open_and_never_twice(cast, lost) -> None:
    with pytest.raises(Refused, match=r"Only \$300.00 is open"):
        ask(cast, lost, amount=Decimal("300.01"))
    for amount in ("0.00", "-5.00"):
        with pytest.raises(Refused, match="above zero"):
            ask(cast, lost, amount=Decimal(amount))
    row = ask(cast, lost)
    with pytest.raises(Conflict, match="already waits"):
        ask(cast, lost)
    decide(cast, row)
    with pytest.raises(Conflict, match="decided this already"):
        decide(cast, row, who="max")


def test_9_a_federal_copay_is_not_waived_as_a_courtesy(cast) -> None:
    b = bill(cast, payer_code="MCR", paid=80, contractual=200, copay=20)
    with pytest.raises(Refused, match="never waived"):
        ask(cast, b, reason="courtesy", amount=Decimal("20.00"), account=Account.AR_PATIENT)
    assert (
        ask(
            cast,
            b,
            reason="charity",
            amount=Decimal("20.00"),
            account=Account.AR_PATIENT,
            note="Hardship form on file",
        ).status
        == "approved"
    )


def test_10_bad_debt_waits_for_the_statement_cycle_and_the_collection_day(cast) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20, days_ago=200)
    call(cast, b, patient=True)

    def ask_it():
        return ask(cast, b, reason="bad_debt", amount=Decimal("20.00"), account=Account.AR_PATIENT)

    with pytest.raises(Refused, match="cycle has not ended"):
        ask_it()
    today = timezone.localdate()
    with scope(cast.system):
        for step, ago in ((1, 100), (2, 70), (3, 40), (4, 10)):
            Statement.objects.create(
                organization=cast.a,
                patient=b.patient,
                number=f"S{step}",
                step=step,
                balance=20,
                sent_on=today - timedelta(days=ago),
                lines=[{"charge_id": b.charge.pk}],
            )
    with pytest.raises(Refused, match="120 days after"):
        ask_it()
    with scope(cast.system):
        Statement.objects.filter(step=1).update(sent_on=today - timedelta(days=125))
    assert ask_it().status == "approved"


def test_11_a_reason_belongs_to_its_balance(cast, lost) -> None:
    with pytest.raises(Refused, match="patient balance only"):
        ask(cast, lost, reason="charity")
    with pytest.raises(Refused, match="insurance balance only"):
        ask(cast, lost, account=Account.AR_PATIENT)


def test_12_another_organization_does_not_exist(cast, lost) -> None:
    with pytest.raises(Refused, match="no such account"), scope(cast.system):
        services.write_off_request(
            charge=lost.charge,
            reason="denial",
            amount=Decimal(1),
            note="x",
            actor=__import__("dataclasses").replace(
                cast.actor("ari"), organizations=frozenset({cast.b.pk})
            ),
        )


def test_refused_needs_a_note_and_leaves_the_balance(cast, lost) -> None:
    row = ask(cast, lost)
    with pytest.raises(Refused, match="why it is refused"):
        decide(cast, row, approve=False, note="")
    assert decide(cast, row, approve=False, note="Appeal level 2 first").status == "refused"
    assert balance(cast, lost)[0] == Decimal("300.00")
    assert ask(cast, lost).status == "requested"  # and can be asked again


def test_what_was_paid_meanwhile_is_not_written_off(cast, lost) -> None:
    row = ask(cast, lost)
    from rcm.ledger.services import Leg, Posting, post

    with scope(cast.system):
        post(
            [
                Posting(
                    cast.a.pk,
                    "x",
                    "x",
                    timezone.localdate(),
                    "Late payment",
                    (
                        Leg(Account.CASH, Decimal(250)),
                        Leg(Account.AR_INSURANCE, Decimal(-250), charge_id=lost.charge.pk),
                    ),
                )
            ],
            actor=cast.system,
        )
    with pytest.raises(Refused, match=r"Meanwhile only \$50.00"):
        decide(cast, row)


def test_the_database_itself_refuses_a_maker_who_checks(cast, lost) -> None:
    row = ask(cast, lost)
    with scope(cast.system), pytest.raises(IntegrityError), transaction.atomic():
        WriteOffRequest.objects.filter(pk=row.pk).update(
            status="approved", decided_by=cast.user("ari")
        )


def test_small_balances_go_by_rule_after_the_cycle_and_credits_never(cast) -> None:
    small = bill(cast, paid=92, contractual=200, copay=8)
    young = bill(cast, paid=92, contractual=200, copay=8)
    credit = bill(cast, charged=300, paid=110, contractual=200)
    with scope(cast.system):
        Statement.objects.create(
            organization=cast.a,
            patient=small.patient,
            number="S1",
            step=4,
            balance=8,
            sent_on=timezone.localdate(),
            lines=[],
        )
        assert services.small_balances_write_off(organization_id=cast.a.pk, actor=cast.system) == 1
        assert services.small_balances_write_off(organization_id=cast.a.pk, actor=cast.system) == 0
        row = WriteOffRequest.objects.get()
        assert (row.status, row.transaction_id is not None) == ("approved", True)
    assert balance(cast, small) == (Decimal(0), Decimal(0))
    assert balance(cast, young)[1] == Decimal("8.00")
    assert balance(cast, credit)[0] == Decimal("-10.00")
