"""The end of a business day: what came in, the counted drawer, the ties and the proof."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction
from django.urls import reverse

from ar.models import DayClose, PatientPayment
from ar.reports import days
from ar.services import payment_take, payment_void
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from tests.ar.conftest import bill

pytestmark = pytest.mark.django_db
D = Decimal


def take(cast, patient, amount: str, method: str) -> PatientPayment:
    ana = cast.actor("ana")
    with scope(ana):
        return payment_take(patient=patient, amount=D(amount), method=method, actor=ana)


@pytest.fixture
def taken(cast):
    """Two receipts in cash of which one is void again, and one by card."""
    b = bill(cast, paid=80, contractual=160, copay=60)
    take(cast, b.patient, "20", "cash")
    wrong = take(cast, b.patient, "7", "cash")
    take(cast, b.patient, "15", "card")
    with scope(cast.actor("ana")):
        payment_void(payment=wrong, reason="Typed twice", actor=cast.actor("ana"))
    return b


def close(cast, counted: str, note: str = "", who: str = "pia", day=None) -> DayClose:
    actor = cast.actor(who)
    with scope(actor):
        return days.day_close(
            organization_id=cast.a.pk,
            day=day or office_day(),
            counted=D(counted),
            note=note,
            actor=actor,
        )


def of_today(cast) -> days.Day:
    with scope(cast.system):
        return days.day_of(cast.a.pk, office_day())


def test_a_day_shows_its_receipts_and_that_each_is_in_the_books_once(cast, taken) -> None:
    found = of_today(cast)
    assert {r.label: (r.count, r.amount) for r in found.receipts} == {
        "card": (1, D(15)),
        "cash": (1, D(20)),
    }
    assert found.drawer == D(20)
    assert {t.code: t.broken for t in found.ties if t.broken} == {}
    assert sum(r.amount for r in found.cash if "patient" in r.label) == D(35)


def test_a_receipt_that_the_books_do_not_have_breaks_the_tie(cast, taken) -> None:
    with scope(cast.system):
        PatientPayment.objects.filter(method="card").update(amount=D("15.01"))
    assert {t.code for t in of_today(cast).ties if t.broken} == {"receipts"}
    with pytest.raises(Refused, match="does not hold"):
        close(cast, "20")


def test_a_drawer_that_differs_needs_a_word_and_a_day_closes_once(cast, taken) -> None:
    with pytest.raises(Refused, match=r"19.00 is counted and \$20.00 was taken"):
        close(cast, "19")
    with pytest.raises(Refused, match="has not come"):
        close(cast, "0", day=office_day() + timedelta(days=1))
    row = close(cast, "19", "A dollar fell behind the desk")
    assert (row.expected, row.counted) == (D(20), D(19))
    with pytest.raises(Conflict, match="closed already"):
        close(cast, "20")
    with pytest.raises(DatabaseError), transaction.atomic(), scope(cast.system):
        DayClose.objects.update(counted=D(20))


def test_what_is_booked_into_a_closed_day_shows_beside_it(cast, taken, enter) -> None:
    pia = enter(cast, "pia")
    page = reverse("ar:day", args=[cast.a.public_id, office_day().isoformat()])
    assert "Close the day" in pia.get(page).content.decode()
    assert pia.post(page, {"counted": "19"}).status_code == 422
    assert pia.post(page, {"counted": "20.00"}).status_code == 302
    take(cast, taken.patient, "5", "cash")
    answer = pia.get(page)
    assert answer.context["after"] == D(5)
    assert "Booked into the day since then" in answer.content.decode()
    assert enter(cast, "ana").get(page).status_code == 403
    assert pia.get(reverse("ar:day", args=[cast.b.public_id, "2026-01-05"])).status_code == 404
    assert pia.get(reverse("ar:day", args=[cast.a.public_id, "monday"])).status_code == 404


def test_the_proof_is_kept_with_what_is_broken(cast, taken, enter) -> None:
    row = days.proof_keep(organization_id=cast.a.pk)
    assert row.promises > 30
    assert row.breaches == []
    with scope(cast.system):
        assert close(cast, "20").proof_id == row.pk
        PatientPayment.objects.filter(method="card").update(amount=D("15.01"))
    broken = days.proof_keep(organization_id=cast.a.pk)
    assert broken.breaches
    page = enter(cast, "mia").get(reverse("ar:days")).content.decode()
    assert "Broken" in page
