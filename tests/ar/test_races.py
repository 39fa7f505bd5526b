"""Every verb that moves money, pressed by four people at the same moment: it moves once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum

from ar import services
from ar.models import PatientPayment, Refund, WriteOffRequest
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.ledger.models import Balance, LedgerEntry
from tests.ar.conftest import Bill, advice, bill, call, deny
from tests.remittance.test_once import together

D = Decimal


@dataclass(frozen=True)
class After:
    """The charge's two balances, the patient's money on account, how often the verb succeeded."""

    insurance: str
    patient: str
    on_account: str = "0"
    won: int | None = 1


@dataclass(frozen=True)
class Race:
    name: str
    who: str
    start: Callable[[Any], Bill]
    press: Callable[[Any, Bill, Any], Any]
    after: After
    cash: str = "0"


def _lost(cast) -> Bill:
    b = bill(cast)
    deny(cast, b, category="medical_necessity", status="upheld")
    call(cast, b)
    return b


def _asked(cast) -> Bill:
    b = _lost(cast)
    _write_off(cast, b, cast.actor("ari"), amount="300")
    return b


def _write_off(cast, b, actor, amount="60"):
    with scope(actor):
        return services.write_off_request(
            charge=b.charge, reason="denial", amount=D(amount), note="Upheld", actor=actor
        )


def _decide_write_off(cast, b, actor):
    request = WriteOffRequest.objects.get(charge=b.charge)
    return services.write_off_decide(request=request, approve=True, note="ok", actor=actor)


def _over(cast) -> Bill:
    return bill(cast, paid=110, contractual=200)


def _ask_refund(cast, b, actor):
    with scope(actor):
        return services.refund_request(
            charge=b.charge, to="payer", amount=D("10"), cause="payer_overpaid", actor=actor
        )


def _refund_asked(cast) -> Bill:
    b = _over(cast)
    _ask_refund(cast, b, cast.actor("ari"))
    return b


def _decide_refund(cast, b, actor):
    row = Refund.objects.get(charge=b.charge)
    return services.refund_decide(refund=row, approve=True, actor=actor)


def _refund_approved(cast) -> Bill:
    b = _refund_asked(cast)
    with scope(cast.actor("mia")):
        _decide_refund(cast, b, cast.actor("mia"))
    return b


def _issue(cast, b, actor):
    row = Refund.objects.get(charge=b.charge)
    return services.refund_issue(refund=row, reference="CHK 1", actor=actor)


def _owed(cast) -> Bill:
    return bill(cast, paid=80, contractual=180, copay=40)


def _share_open(cast) -> Bill:
    b = bill(cast)
    with scope(cast.system):
        advice(
            cast,
            b.claim,
            b.line,
            paid=0,
            contractual=0,
            copay=40,
            on=b.charge.service_date,
            org=cast.a,
        )
    return b


def _move(verb):
    def press(cast, b, actor):
        return verb(charge=b.charge, amount=D("40"), reason="As said", actor=actor)

    return press


def _pay(cast, b, actor, amount="70"):
    return services.payment_take(
        patient=b.patient, amount=D(amount), method="card", actor=actor, key="one-form"
    )


def _paid(cast) -> Bill:
    b = _owed(cast)
    with scope(cast.actor("ana")):
        _pay(cast, b, cast.actor("ana"))
    return b


def _paid_ahead(cast) -> Bill:
    b = bill(cast, days_ago=1)
    with scope(cast.actor("ana")):
        _pay(cast, b, cast.actor("ana"))
    bill(cast, paid=80, contractual=180, copay=40, patient=b.patient)
    return b


def _void(cast, b, actor):
    row = PatientPayment.objects.get(patient=b.patient)
    return services.payment_void(payment=row, reason="Charged back", actor=actor)


def _give_back(cast, b, actor):
    row = PatientPayment.objects.get(patient=b.patient)
    return services.payment_refund(payment=row, amount=D("30"), reason="Asked", actor=actor)


def _apply(cast, b, actor):
    return services.unapplied_apply(patient_ids=[b.patient.pk], actor=actor)


def _apply_or_void(cast, b, actor):
    with contextlib.suppress(Conflict, Refused):
        _apply(cast, b, actor)
    return _void(cast, b, actor)


RACES = [
    Race("write off", "ari", _lost, _write_off, After("240", "0", won=None)),
    Race("approve a write-off", "mia", _asked, _decide_write_off, After("0", "0")),
    Race("ask a refund", "ari", _over, _ask_refund, After("-10", "0"), cash="110"),
    # approved: owed to the payer, no longer a credit of the charge; issued: the cash has left
    Race("approve a refund", "mia", _refund_asked, _decide_refund, After("0", "0"), cash="110"),
    Race("issue a refund", "pia", _refund_approved, _issue, After("0", "0"), cash="100"),
    Race(
        "transfer to the patient",
        "ari",
        _share_open,
        _move(services.transfer_to_patient),
        After("260", "40"),
    ),
    Race(
        "transfer to insurance",
        "ari",
        _owed,
        _move(services.transfer_to_insurance),
        After("40", "0"),
        cash="80",
    ),
    Race("pay", "ana", _owed, _pay, After("0", "0", "30", won=4), cash="150"),
    Race("void", "mia", _paid, _void, After("0", "40"), cash="80"),
    Race("give back", "mia", _paid, _give_back, After("0", "0"), cash="120"),
    Race("apply", "pia", _paid_ahead, _apply, After("300", "0", "30", won=None), cash="150"),
    Race("apply against void", "mia", _paid_ahead, _apply_or_void, After("300", "0"), cash="80"),
]


@pytest.mark.parametrize("race", RACES, ids=lambda r: r.name)
def test_what_four_people_press_at_once_moves_money_once(cast_committed, race: Race) -> None:
    cast = cast_committed
    b, actor = race.start(cast), cast.actor(race.who)

    def press():
        with scope(actor):
            return race.press(cast, b, actor)

    results = together(4, press)
    lost = [r for r in results if isinstance(r, Exception)]
    assert all(isinstance(r, (Refused, Conflict)) for r in lost), lost
    if race.after.won is not None:
        assert 4 - len(lost) == race.after.won, results
    with scope(cast.system):
        row = Balance.objects.get(charge_id=b.charge.pk)
        held = services.unapplied_balances([b.patient.pk]).get(b.patient.pk, D(0))
        cash = LedgerEntry.objects.filter(account="cash").aggregate(t=Sum("amount"))["t"] or 0
    want = race.after
    assert (row.insurance, row.patient, held, cash) == tuple(
        map(D, (want.insurance, want.patient, want.on_account, race.cash))
    )
