"""The ledger: zero sum, append-only, once, balances. Worked examples a biller can read."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import pytest
from django.db import DatabaseError, connection, transaction

from rcm.accounts.scope import scope
from rcm.ledger import services as ledger
from rcm.ledger.models import Balance, LedgerEntry, LedgerTransaction

DAY = date(2026, 9, 25)


def charge(org: int, key: str, amount: str, charge_id: int = 1) -> ledger.Posting:
    a = D(amount)
    return ledger.Posting(
        org,
        "charge",
        key,
        DAY,
        "MR brain",
        [
            ledger.Leg("ar_insurance", a, charge_id=charge_id),
            ledger.Leg("revenue", -a, charge_id=charge_id),
        ],
    )


def test_a_charge_a_payment_and_a_contractual_adjustment_leave_the_patient_share(cast):
    """Billed 1,500.00; allowed 316.97: paid 248.51, sequestration 5.07, CO-45 1,183.03, PR-2 63.39
    moves to the patient.
    """
    with scope(cast.system):
        ledger.post(
            [
                charge(cast.a.pk, "charge:1", "1500.00"),
                ledger.Posting(
                    cast.a.pk,
                    "payment",
                    "835:EFT1:1:1",
                    DAY,
                    "EFT1",
                    [
                        ledger.Leg("ar_insurance", D("-248.51"), charge_id=1),
                        ledger.Leg("cash", D("248.51")),
                        ledger.Leg("ar_insurance", D("-5.07"), charge_id=1, reason="CO-253"),
                        ledger.Leg("sequestration", D("5.07")),
                        ledger.Leg("ar_insurance", D("-1183.03"), charge_id=1, reason="CO-45"),
                        ledger.Leg("contractual", D("1183.03")),
                        ledger.Leg("ar_insurance", D("-63.39"), charge_id=1, reason="PR-2"),
                        ledger.Leg("ar_patient", D("63.39"), charge_id=1, reason="PR-2"),
                    ],
                ),
            ],
            actor=cast.system,
        )
        assert ledger.balances("charge_id", [1]) == {1: D("63.39")}
        kept = Balance.objects.get(pk=1)
        assert (kept.insurance, kept.patient) == (D("0.00"), D("63.39"))


def test_the_same_effect_key_posts_once(cast):
    with scope(cast.system):
        assert len(ledger.post([charge(cast.a.pk, "charge:1", "100.00")], actor=cast.system)) == 1
        assert ledger.post([charge(cast.a.pk, "charge:1", "100.00")], actor=cast.system) == []
        assert ledger.balances("charge_id", [1]) == {1: D("100.00")}


def test_a_reversal_mirrors_every_leg_and_happens_once(cast):
    with scope(cast.system):
        rows = ledger.post([charge(cast.a.pk, "charge:1", "100.00")], actor=cast.system)
        assert (
            len(ledger.reverse(rows, effective_on=DAY, reason="keyed twice", actor=cast.system))
            == 1
        )
        assert ledger.reverse(rows, effective_on=DAY, reason="keyed twice", actor=cast.system) == []
        assert ledger.balances("charge_id", [1]) == {1: D("0.00")}
        assert LedgerEntry.objects.count() == 4


def test_an_unbalanced_posting_is_refused_in_python_and_by_the_database(cast):
    with scope(cast.system):
        with pytest.raises(ledger.Unbalanced):
            ledger.post(
                [
                    ledger.Posting(
                        cast.a.pk,
                        "x",
                        "k",
                        DAY,
                        "x",
                        [ledger.Leg("cash", D("1.00")), ledger.Leg("revenue", D("-0.99"))],
                    )
                ],
                actor=cast.system,
            )
        with pytest.raises(DatabaseError), transaction.atomic():
            t = LedgerTransaction.objects.create(
                organization=cast.a,
                kind="x",
                effect_key="raw",
                effective_on=DAY,
                description="x",
                actor_name="x",
            )
            LedgerEntry.objects.create(
                organization=cast.a,
                transaction=t,
                account="cash",
                amount=D("1.00"),
                effective_on=DAY,
            )
            with connection.cursor() as c:
                c.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ledger_ledgerentry SET amount = 1",
        "DELETE FROM ledger_ledgerentry",
        "TRUNCATE ledger_ledgerentry",
        "UPDATE ledger_ledgertransaction SET description = 'x'",
        "ALTER TABLE ledger_ledgerentry DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "DROP TABLE ledger_ledgerentry",
        "ALTER TABLE ledger_ledgerentry OWNER TO CURRENT_USER",
    ],
)
def test_the_application_role_cannot_change_history(cast, sql):
    with scope(cast.system):
        ledger.post([charge(cast.a.pk, "charge:1", "100.00")], actor=cast.system)
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as c:
            c.execute(sql)


def test_balances_as_of_a_day_ignore_what_came_later(cast):
    with scope(cast.system):
        ledger.post([charge(cast.a.pk, "charge:1", "100.00")], actor=cast.system)
        later = ledger.Posting(
            cast.a.pk,
            "payment",
            "p",
            date(2026, 10, 1),
            "p",
            [ledger.Leg("ar_insurance", D("-40.00"), charge_id=1), ledger.Leg("cash", D("40.00"))],
        )
        ledger.post([later], actor=cast.system)
        assert ledger.balances("charge_id", [1], on=date(2026, 9, 30)) == {1: D("100.00")}
        assert ledger.balances("charge_id", [1], on=date(2026, 10, 1)) == {1: D("60.00")}
