"""A form that is sent twice (a double click, a reload, two tabs) moves money once and is answered
with the first result.
"""

from __future__ import annotations

import re
import threading
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.urls import get_resolver, reverse

from ar.models import PatientPayment, Refund, WriteOffRequest
from rcm.accounts.scope import scope
from tests.ar.conftest import balance, bill, call, deny

D = Decimal
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def hidden(client: Client, url: str, name: str) -> str:
    page = client.get(url).content.decode()
    found = re.search(rf'name="{name}"\s+value="([^"]+)"', page)
    assert found, f"{url} carries no {name}"
    return found[1]


def key_of(client: Client, url: str) -> str:
    return hidden(client, url, "form_key")


def payment(amount: str = "20.00", **more: str) -> dict[str, str]:
    return {"amount": amount, "method": "card", "received_on": "01/02/2026", **more}


def count(cast, model) -> int:
    with scope(cast.system):
        return int(model.objects.count())


@pytest.mark.django_db
def test_one_payment_form_gives_one_receipt(cast, enter) -> None:
    b = bill(cast, paid=80, contractual=200, copay=40)
    ana, url = enter(cast, "ana"), reverse("ar:payment_new", args=[b.patient.public_id])
    data = payment(form_key=key_of(ana, url))
    first, second = ana.post(url, data), ana.post(url, data)
    assert (first.status_code, first.url) == (302, second.url)
    assert count(cast, PatientPayment) == 1
    assert "sent already" in ana.get(second.url).content.decode()


@pytest.mark.django_db
def test_the_same_values_without_a_key_are_one_form_too(cast, enter) -> None:
    b = bill(cast, paid=80, contractual=200, copay=40)
    ana, url = enter(cast, "ana"), reverse("ar:payment_new", args=[b.patient.public_id])
    assert ana.post(url, payment()).url == ana.post(url, payment()).url
    assert count(cast, PatientPayment) == 1


@pytest.mark.django_db
def test_an_opened_form_is_another_payment_and_another_person_too(cast, enter) -> None:
    b = bill(cast, paid=80, contractual=180, copay=60)
    url = reverse("ar:payment_new", args=[b.patient.public_id])
    ana, pia = enter(cast, "ana"), enter(cast, "pia")
    for client in (ana, pia, ana):
        client.post(url, payment(form_key=key_of(client, url), key=hidden(client, url, "key")))
    assert count(cast, PatientPayment) == 3


@pytest.mark.django_db
def test_a_form_sent_again_with_other_values_says_so(cast, enter) -> None:
    b = bill(cast, paid=80, contractual=200, copay=40)
    ana, url = enter(cast, "ana"), reverse("ar:payment_new", args=[b.patient.public_id])
    key = key_of(ana, url)
    ana.post(url, payment(form_key=key))
    again = ana.post(url, payment("5.00", form_key=key))
    assert "with other values" in ana.get(again.url).content.decode()
    assert count(cast, PatientPayment) == 1


@pytest.mark.django_db
def test_a_refused_form_may_be_sent_again(cast, enter) -> None:
    b = bill(cast, paid=80, contractual=200, copay=40)
    ana, url = enter(cast, "ana"), reverse("ar:payment_new", args=[b.patient.public_id])
    key = key_of(ana, url)
    assert ana.post(url, payment("0.00", form_key=key)).status_code == 422
    assert ana.post(url, payment("20.00", form_key=key)).status_code == 302


@pytest.mark.django_db
def test_transfers_write_offs_and_refunds_happen_once(cast, enter) -> None:
    lost = bill(cast)
    deny(cast, lost, category="medical_necessity", status="upheld")
    call(cast, lost)
    over = bill(cast, paid=110, contractual=200)
    owed = bill(cast, paid=80, contractual=180, copay=40)
    ari = enter(cast, "ari")
    forms = {
        reverse("ar:write_off_new", args=[lost.claim.public_id]): {
            "charge": lost.charge.pk,
            "account": "ar_insurance",
            "amount": "30.00",
            "reason": "denial",
            "note": "Upheld",
        },
        reverse("ar:refund_new", args=[over.charge.public_id]): {
            "to": "payer",
            "amount": "5.00",
            "cause": "payer_overpaid",
        },
        reverse("ar:transfer", args=[owed.charge.public_id]): {
            "to": "insurance",
            "amount": "10.00",
            "reason": "Coverage found",
        },
    }
    for url, data in forms.items():
        sent = data | {"form_key": key_of(ari, url)}
        first, second = ari.post(url, sent), ari.post(url, sent)
        assert (first.status_code, first.url) == (302, second.url), url
    assert (count(cast, WriteOffRequest), count(cast, Refund)) == (1, 1)
    assert balance(cast, lost)[0] == D("270.00")
    assert balance(cast, owed)[1] == D("30.00")


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_the_same_moment_are_one_payment(cast) -> None:
    b = bill(cast, paid=80, contractual=200, copay=40)
    url = reverse("ar:payment_new", args=[b.patient.public_id])
    ana = Client()
    ana.force_login(cast.user("ana"), backend=BACKEND)
    data = payment(form_key=key_of(ana, url))
    gate, led = threading.Barrier(4), []

    def click() -> None:
        tab = Client()
        tab.cookies = ana.cookies
        gate.wait()
        try:
            led.append(tab.post(url, data).url)
        finally:
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(led) == 4
    assert len(set(led)) == 1
    assert count(cast, PatientPayment) == 1


def test_every_form_of_receivables_that_moves_money_is_marked() -> None:
    moving = {
        "payment_new",
        "payment_void",
        "transfer",
        "plan_new",
        "hold",
        "statements_run",
        "statement_now",
        "write_off_new",
        "write_off",
        "refund_new",
        "refund",
        "refund_issue",
    }
    found = {
        pattern.name: getattr(pattern.callback, "money", None)
        or getattr(getattr(pattern.callback, "__wrapped__", None), "money", False)
        for pattern in get_resolver("ar.urls").url_patterns
    }
    assert {name for name in moving if not found[name]} == set()
