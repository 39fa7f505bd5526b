"""The desk finishes its day: the copay is taken for the visit, once; the money gate follows what was
paid, waived or promised.
"""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ar import services
from ar.models import PatientPayment
from intake.models import Appointment, Estimate, VisitMoney
from intake.services import (
    appointment_book,
    clearance_refresh,
    settlement_end,
    visit_plan,
    visit_waive,
)
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.ledger.models import LedgerTransaction
from tests.api.conftest import caller
from tests.intake.house import exams_of, insured, order, patient, site

TODAY = timezone.now()


def visit_owing(cast, amount: str = "40.00", *, mrn: str = "M880412") -> Appointment:
    """A visit of tomorrow whose estimate expects an amount from the patient."""
    who = patient(cast, mrn=mrn)
    insured(cast, who)
    row = order(cast, who, "71046")
    visit = appointment_book(
        patient=who,
        site=site(cast),
        starts_at=TODAY + timedelta(days=1),
        exams=exams_of(row),
        actor=cast.system,
        enforce=False,
        at=TODAY,
    )
    estimated(cast, visit, amount)
    return visit


def estimated(cast, visit: Appointment, amount: str) -> Estimate:
    row = Estimate.objects.create(
        organization=cast.a,
        appointment=visit,
        patient=visit.patient,
        as_of=TODAY,
        allowed=Decimal("120.00"),
        patient_share=Decimal(amount),
        lines=[],
        actor_name="Ana",
    )
    clearance_refresh([visit.pk], actor=cast.system, at=TODAY)
    return row


def money_gate(visit: Appointment) -> tuple[str, str]:
    visit.refresh_from_db()
    gate = visit.gates["money"]
    return gate["state"], gate["sentence"]


def take(cast, visit: Appointment, amount: str = "40.00", **more) -> PatientPayment:
    return services.payment_take(
        patient=visit.patient,
        amount=Decimal(amount),
        method="card",
        appointment=visit,
        actor=cast.actor("ana"),
        **more,
    )


@pytest.fixture
def inside(cast):
    with scope(cast.system):
        yield cast


@pytest.mark.django_db
def test_a_payment_for_a_visit_makes_its_money_gate_ready(inside):
    visit = visit_owing(inside)
    assert money_gate(visit) == ("check", "Collect $40.00 at check-in.")
    assert visit.gates["money"]["amount"] == "40.00"
    row = take(inside, visit)
    assert money_gate(visit) == ("ready", f"$40.00 paid, receipt {row.receipt}.")
    assert (row.appointment, row.estimate) == (visit, visit.estimates.get())


@pytest.mark.django_db
def test_a_part_leaves_the_rest_to_collect_and_a_new_estimate_counts_again(inside):
    visit = visit_owing(inside)
    row = take(inside, visit, "15.00")
    state, sentence = money_gate(visit)
    assert (state, sentence) == (
        "check",
        f"Collect $25.00 at check-in. So far $15.00 paid, receipt {row.receipt}.",
    )
    estimated(inside, visit, "10.00")
    assert money_gate(visit) == (
        "ready",
        f"$15.00 paid, receipt {row.receipt}, $5.00 more than estimated.",
    )


@pytest.mark.django_db
def test_a_void_opens_the_gate_again(inside):
    visit = visit_owing(inside)
    row = take(inside, visit)
    services.payment_void(payment=row, reason="wrong card", actor=inside.actor("ana"))
    assert money_gate(visit) == ("check", "Collect $40.00 at check-in.")
    assert VisitMoney.objects.get().end_reason == "Receipt voided: wrong card"


@pytest.mark.django_db
def test_money_is_given_back_by_another_than_who_took_it(inside):
    visit = visit_owing(inside)
    row = take(inside, visit)
    back = {"payment": row, "amount": Decimal("10.00"), "reason": "paid too much"}
    with pytest.raises(PermissionRefused):
        services.payment_refund(actor=inside.actor("ana"), **back)
    services.payment_refund(actor=inside.actor("mia"), **back)
    assert money_gate(visit)[1].startswith("Collect $10.00")
    with pytest.raises(Refused, match="At most"):
        services.payment_refund(
            payment=row, amount=Decimal("31.00"), reason="more", actor=inside.actor("mia")
        )
    with pytest.raises(Refused, match="given back"):
        services.payment_void(payment=row, reason="wrong card", actor=inside.actor("ana"))
    assert services.unapplied_balances([visit.patient_id]) == {visit.patient_id: Decimal("30.00")}


@pytest.mark.django_db
def test_a_waiver_needs_a_reason_and_a_promise_a_day(inside):
    visit = visit_owing(inside)
    ana = inside.actor("ana")
    with pytest.raises(Refused, match="Say why"):
        visit_waive(appointment=visit, reason=" ", actor=ana)
    with pytest.raises(PermissionRefused):
        visit_waive(appointment=visit, reason="financial hardship", actor=inside.actor("ben"))
    visit_waive(appointment=visit, reason="financial hardship", amount=Decimal("30.00"), actor=ana)
    day = TODAY.date() + timedelta(days=9)
    promise = visit_plan(appointment=visit, promised_on=day, actor=ana)
    assert promise.amount == Decimal("10.00")
    state, sentence = money_gate(visit)
    assert state == "ready"
    assert "$30.00 waived: financial hardship; $10.00 promised for" in sentence
    with pytest.raises(Refused, match="Nothing is left"):
        visit_waive(appointment=visit, reason="financial hardship", actor=ana)
    settlement_end(settlement=promise, reason="did not pay", actor=ana)
    assert money_gate(visit)[0] == "check"


@pytest.mark.django_db
def test_the_copay_of_a_visit_is_not_spent_on_another_exam(inside):
    visit = visit_owing(inside)
    take(inside, visit)
    assert services.unapplied_apply(patient_ids=[visit.patient_id], actor=inside.system) == 0
    assert services.unapplied_balances([visit.patient_id]) == {visit.patient_id: Decimal("40.00")}


@pytest.mark.django_db
def test_the_same_key_is_one_receipt_and_another_amount_is_refused(inside):
    visit = visit_owing(inside)
    first = take(inside, visit, key="form-1")
    assert take(inside, visit, key="form-1") == first
    with pytest.raises(Conflict, match="another amount"):
        take(inside, visit, "41.00", key="form-1")
    assert PatientPayment.objects.count() == LedgerTransaction.objects.count() == 1


def _form(html: str) -> str:
    match = re.search(r'name="key" value="([^"]+)"', html)
    assert match
    return match[1]


@pytest.mark.django_db
def test_a_form_sent_twice_gives_one_receipt(cast, client):
    with scope(cast.system):
        visit = visit_owing(cast)
    client.force_login(cast.users["ana"])
    page = reverse("ar:collect", args=[visit.public_id])
    shown = client.get(page).content.decode()
    assert "Left to collect" in shown
    sent = {"amount": "40.00", "method": "card", "key": _form(shown)}
    first, again = client.post(page, sent), client.post(page, sent)
    assert first.status_code == again.status_code == 302
    assert first.url == again.url
    # and without any key, as by a double click of an old page
    bare = {"amount": "5.00", "method": "cash"}
    assert client.post(page, bare).url == client.post(page, bare).url
    with scope(cast.system):
        assert sorted(PatientPayment.objects.values_list("amount", flat=True)) == [
            Decimal("5.00"),
            Decimal("40.00"),
        ]
    receipt = client.get(first.url).content.decode()
    assert "Give back" not in receipt
    assert "Void" in receipt


@pytest.mark.django_db
def test_the_button_stands_on_the_board_and_on_the_visit_until_it_is_settled(cast, client):
    with scope(cast.system):
        visit = visit_owing(cast)
    client.force_login(cast.users["ana"])
    board, page = (
        f"{reverse('intake:today')}?view=days3",
        reverse("intake:appointment", args=[visit.public_id]),
    )
    for url in (board, page):
        assert "Collect $40.00" in client.get(url).content.decode()
    with scope(cast.system):
        take(cast, visit)
    for url in (board, page):
        assert "Collect $40.00" not in client.get(url).content.decode()
    client.force_login(cast.users["cody"])
    assert "Collect" not in client.get(page).content.decode()
    assert client.get(reverse("ar:collect", args=[visit.public_id])).status_code == 403
    client.force_login(cast.users["olga"])
    assert client.get(reverse("ar:collect", args=[visit.public_id])).status_code in (403, 404)


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_give_one_receipt(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        visit = visit_owing(cast)
    found: list[str] = []

    def click() -> None:
        try:
            with scope(cast.system):
                found.append(take(cast, visit, key="form-9").receipt)
        finally:
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert len(set(found)) == 1
    with scope(cast.system):
        assert PatientPayment.objects.count() == 1


@pytest.mark.django_db
def test_the_api_takes_confirms_and_refuses_like_the_screen(cast):
    with scope(cast.system):
        visit = visit_owing(cast)
    ris = caller(cast.a)
    body = {"appointment": str(visit.public_id), "amount": "40.00", "method": "card", "key": "K1"}
    first, again = ris.post("/payments", body), ris.post("/payments", body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["receipt"] == again.json()["receipt"]
    shown = ris.get(f"/appointments/{visit.public_id}")
    assert shown.json()["gates"]["money"]["state"] == "ready"
    stop = ris.post(
        f"/appointments/{visit.public_id}/confirm", {}, **{"If-Match": shown.headers["ETag"]}
    )
    assert stop.status_code == 409
    assert "gate_stop" in stop.content.decode()
    assert ris.post(f"/appointments/{visit.public_id}/check-in", {}).status_code == 428
    moved = ris.post(
        f"/appointments/{visit.public_id}/move",
        {"starts_at": (TODAY + timedelta(days=2)).isoformat(), "minutes": 45},
        **{"If-Match": shown.headers["ETag"]},
    )
    assert moved.status_code in (200, 409)
    void = ris.post(f"/payments/{first.json()['id']}/void", {"reason": "wrong visit"})
    assert void.json()["void_reason"] == "wrong visit"
    assert ris.post("/payments", body | {"amount": "0", "key": "K2"}).status_code in (400, 422)
    made = ris.post(f"/appointments/{visit.public_id}/estimates", {})
    assert made.status_code == 201
    assert len(ris.get(f"/appointments/{visit.public_id}/estimates").json()) == 2
    other = caller(cast.b, "B RIS")
    assert other.post("/payments", body | {"key": "K3"}).status_code in (400, 404, 422)
    assert Client().get("/api/v1/payments").status_code == 401
