"""No silent write-off: the ways in which it is refused, and the one in which it is done (rule
`write-off-approval`).
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

    with pytest.raises(Refused, match="cycle of this charge has not ended"):
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
    with pytest.raises(Refused, match=r"120 days after the charge"):
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


def noticed(cast, b, *, times=4) -> None:
    """The bill's charge was on so many statements."""
    for n in range(times):
        Statement.objects.create(
            organization=cast.a,
            patient=b.patient,
            number=f"S{b.charge.pk}-{n}",
            step=n + 1,
            balance=8,
            sent_on=timezone.localdate() - timedelta(days=(times - n) % 19),
            lines=[{"charge_id": b.charge.pk}],
        )


def test_small_balances_go_by_rule_after_the_cycle_and_credits_never(cast) -> None:
    small = bill(cast, paid=92, contractual=200, copay=8)
    young = bill(cast, paid=92, contractual=200, copay=8)
    credit = bill(cast, charged=300, paid=110, contractual=200)
    with scope(cast.system):
        noticed(cast, small)
        assert services.small_balances_write_off(organization_id=cast.a.pk, actor=cast.system) == 1
        assert services.small_balances_write_off(organization_id=cast.a.pk, actor=cast.system) == 0
        row = WriteOffRequest.objects.get()
        assert (row.status, row.transaction_id is not None) == ("approved", True)
    assert balance(cast, small) == (Decimal(0), Decimal(0))
    assert balance(cast, young)[1] == Decimal("8.00")
    assert balance(cast, credit)[0] == Decimal("-10.00")


# --- limits count what has left in all ------------------------------------------------------------


def give_up(cast, b, *, days_ago=10):
    """An upheld denial of the bill's claim and a call about it."""
    deny(cast, b, category="medical_necessity", status="upheld", days_ago=days_ago)
    call(cast, b)
    return b


def test_slices_under_the_limit_do_not_add_up_behind_it(cast, lost) -> None:
    assert ask(cast, lost, amount=Decimal("99.99")).status == "approved"
    second = ask(cast, lost, amount=Decimal("99.99"))
    assert (second.status, second.counted) == ("requested", Decimal("199.98"))
    with scope(cast.system):
        item = WorkItem.objects.get(queue="write_off_approval")
        assert "$199.98 within a year" in item.title
    with pytest.raises(Conflict, match="already waits"):
        ask(cast, lost, amount=Decimal("0.02"))


@pytest.mark.parametrize("split", ["charge", "reason", "person", "day", "account", "reversal"])
def test_no_split_passes_the_limit(cast, lost, split) -> None:
    """The second slice is the first's patient in another guise: another exam, reason, person, day,
    side of the balance, or after the first was undone.
    """
    first = ask(cast, lost, amount=Decimal("60.00"))
    assert first.status == "approved"
    changes: dict = {"amount": Decimal("60.00")}
    target, who = lost, "ari"
    if split == "charge":
        target = give_up(cast, bill(cast, patient=lost.patient))
    elif split == "reason":
        changes["reason"] = "admin"
    elif split == "person":
        who = "art"
        cast.users["art"] = cast.users["max"]
        cast.users["max"].memberships.create(organization=cast.a, role="ar")
    elif split == "day":
        changes["at"] = timezone.now() + timedelta(days=200)
    elif split == "account":
        target = bill(cast, patient=lost.patient, paid=80, contractual=100, copay=120)
        changes |= {"reason": "charity", "account": Account.AR_PATIENT}
    else:
        from rcm.ledger.services import reverse

        with scope(cast.system):
            reverse(
                [first.transaction],
                effective_on=timezone.localdate(),
                reason="Again",
                actor=cast.system,
            )
    assert ask(cast, target, who=who, **changes).status == "requested"


def test_a_request_that_waits_counts_and_a_refused_one_does_not(cast, lost) -> None:
    big = ask(cast, lost)  # 300.00 waits
    other = give_up(cast, bill(cast, patient=lost.patient))
    small = ask(cast, other, amount=Decimal("10.00"))
    assert small.status == "requested"
    decide(cast, big, approve=False, note="Appeal first")
    decide(cast, small, approve=False, note="Together with the other")
    assert ask(cast, other, amount=Decimal("10.00")).status == "approved"


def test_a_merged_chart_is_the_same_patient(cast, lost) -> None:
    ask(cast, lost, amount=Decimal("60.00"))
    other = give_up(cast, bill(cast))
    with scope(cast.system):
        type(lost.patient).objects.filter(pk=lost.patient.pk).update(merged_into=other.patient)
    assert ask(cast, other, amount=Decimal("60.00")).status == "requested"


def test_a_year_later_the_limit_is_free_again(cast, lost) -> None:
    ask(cast, lost, amount=Decimal("60.00"), at=timezone.now() - timedelta(days=366))
    assert ask(cast, lost, amount=Decimal("60.00")).status == "approved"


def test_a_small_balance_is_the_whole_balance_and_no_slice_of_it(cast, lost) -> None:
    with pytest.raises(Refused, match=r"the claim's is \$300.00"):
        ask(cast, lost, reason="small_balance", amount=Decimal("9.99"))
    small = bill(cast, charged=300, paid=92, contractual=200)  # $8.00 open with insurance
    assert ask(cast, small, reason="small_balance", amount=Decimal("8.00")).status == "approved"
    pared = bill(cast, charged=300, paid=80, contractual=200)  # $20.00, pared to $8.00
    call(cast, pared)
    ask(cast, pared, reason="admin", amount=Decimal("12.00"))
    with pytest.raises(Refused, match=r"\$20.00, with what was written off"):
        ask(cast, pared, reason="small_balance", amount=Decimal("8.00"))


@pytest.mark.parametrize("reason", ["denial", "admin", "small_balance"])
@pytest.mark.parametrize("status", ["open", "appealed", "corrected"])
def test_an_open_denial_blocks_every_reason(cast, reason, status) -> None:
    b = bill(cast, charged=300, paid=92, contractual=200)
    # a deadline that has passed is no answer: what was appealed or corrected still waits for one
    deny(cast, b, status=status, appeal_in=30 if status == "open" else -5)
    call(cast, b)
    with pytest.raises(Refused, match=r"can still be corrected|waits for the payer's answer"):
        ask(cast, b, reason=reason, amount=Decimal("8.00"))


def test_an_open_denial_past_its_date_is_settled_with_the_write_off_or_blocks_it(cast) -> None:
    b = bill(cast)
    row = deny(cast, b, status="open", appeal_in=-5)
    call(cast, b)
    with pytest.raises(Refused, match="would stay open"):
        ask(cast, b, amount=Decimal("90.00"))
    decide(cast, ask(cast, b))
    with scope(cast.system):
        assert Denial.objects.get(pk=row.pk).status == "written_off"


def test_the_denial_must_be_of_this_claim(cast, lost) -> None:
    """A denial of another claim that carries the charge gives no path to this one."""
    other = bill(cast, patient=lost.patient)
    with scope(cast.system):
        type(lost.line).objects.create(
            organization=cast.a,
            claim=other.claim,
            charge=lost.charge,
            number=2,
            control="L2",
            code="74178",
            units=1,
            amount=300,
            service_date=lost.charge.service_date,
        )
    call(cast, other)
    with pytest.raises(Refused, match="No denial stands on this charge and claim"):
        ask(cast, lost, claim=other.claim)


def test_the_contact_is_about_this_claim_and_comes_after_its_denial(cast) -> None:
    b = bill(cast)
    old = call(cast, b, at=timezone.now() - timedelta(days=20))
    deny(cast, b, category="medical_necessity", status="upheld", days_ago=10)
    with pytest.raises(Refused, match="since its denial"):
        ask(cast, b)
    with pytest.raises(Refused, match="older than the denial"):
        ask(cast, b, contact=old)
    other = bill(cast, patient=b.patient)
    for foreign in (call(cast, other), call(cast, b, patient=True)):
        with pytest.raises(Refused, match="another account or claim"):
            ask(cast, b, contact=foreign)
    assert ask(cast, b, contact=call(cast, b)).status == "requested"


def test_small_balances_by_rule_wait_for_a_person_when_the_years_limit_is_used_up(cast) -> None:
    first = give_up(cast, bill(cast))
    ask(cast, first, amount=Decimal("95.00"))
    small = bill(cast, paid=92, contractual=200, copay=8, patient=first.patient)
    with scope(cast.system):
        noticed(cast, small)
        assert services.small_balances_write_off(organization_id=cast.a.pk, actor=cast.system) == 0
        assert WorkItem.objects.get(queue="write_off_approval").dollars == Decimal("8.00")
    assert balance(cast, small)[1] == Decimal("8.00")
