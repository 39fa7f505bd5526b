"""A repeated POST has the effect of one."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from intake.models import Order, Patient
from rcm.accounts import idempotency
from rcm.accounts.scope import scope
from rcm.exchange.models import IdempotencyKey
from tests.api.conftest import ORDER, caller


def orders(cast) -> int:
    with scope(cast.system):
        return Order.objects.count()


@pytest.mark.django_db
def test_the_first_answer_is_given_again_and_nothing_is_done_twice(cast, ris) -> None:
    first = ris.post("/orders", ORDER, key="k1")
    again = ris.post("/orders", ORDER, key="k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert orders(cast) == 1


@pytest.mark.django_db
def test_the_same_key_with_another_body_or_path_is_refused(cast, ris) -> None:
    ris.post("/orders", ORDER, key="k1")
    other = ris.post("/orders", ORDER | {"placer_number": "P-2"}, key="k1")
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert ris.post("/pricing/quote", ORDER, key="k1").status_code == 422
    assert orders(cast) == 1


@pytest.mark.django_db
def test_a_refusal_is_kept_as_well_and_leaves_no_work_behind(cast, ris) -> None:
    wrong = ORDER | {"coverages": [{"payer": "NOBODY", "member_id": "X1"}]}
    first = ris.post("/orders", wrong, key="k1")
    assert first.status_code == 422
    again = ris.post("/orders", wrong, key="k1")
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    assert again.headers["Content-Type"] == "application/problem+json"
    with scope(cast.system):
        assert Patient.objects.count() == 0


@pytest.mark.django_db
def test_a_fault_of_ours_is_kept_too_and_says_no_value(cast, ris, monkeypatch) -> None:
    def broken(*_, **__):
        raise RuntimeError("CANA-secret")

    monkeypatch.setattr("intake.services.order_place", broken)
    first = ris.post("/orders", ORDER, key="k1")
    monkeypatch.undo()
    again = ris.post("/orders", ORDER, key="k1")
    assert (first.status_code, again.status_code) == (500, 500)
    assert again.json()["reference"] == first.json()["reference"]
    assert b"CANA" not in first.content
    assert orders(cast) == 0


@pytest.mark.django_db
def test_clients_do_not_share_keys(cast, ris) -> None:
    other = caller(cast.a, "PACS")
    assert ris.post("/orders", ORDER, key="k1").status_code == 201
    answer = other.post("/orders", ORDER | {"placer_number": "P-2"}, key="k1")
    assert (answer.status_code, "Idempotent-Replayed" in answer.headers) == (201, False)


@pytest.mark.django_db
def test_a_key_lives_seven_days_and_no_longer(cast, ris) -> None:
    ris.post("/orders", ORDER, key="k1")
    with scope(cast.system):
        IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(days=6, hours=23))
    assert ris.post("/orders", ORDER, key="k1").headers["Idempotent-Replayed"] == "true"
    with scope(cast.system):
        IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(days=7, hours=1))
    assert "Idempotent-Replayed" not in ris.post("/orders", ORDER, key="k1").headers
    with scope(cast.system):
        IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(days=7, hours=1))
    assert idempotency.purge(organizations=[cast.a.pk], now=timezone.now()) == 1


@pytest.mark.django_db
def test_a_holder_that_died_frees_the_key_after_a_minute(cast, ris) -> None:
    first = ris.post("/orders", ORDER, key="k1")
    with scope(cast.system):
        IdempotencyKey.objects.update(
            status=None, body=None, locked_at=timezone.now() - timedelta(seconds=50)
        )
    busy = ris.post("/orders", ORDER, key="k1")
    assert (busy.status_code, busy.json()["code"], busy.headers["Retry-After"]) == (
        409,
        "in_progress",
        "2",
    )
    with scope(cast.system):
        IdempotencyKey.objects.update(locked_at=timezone.now() - timedelta(seconds=61))
    taken = ris.post("/orders", ORDER, key="k1")
    assert (taken.status_code, taken.json()["id"]) == (201, first.json()["id"])


@pytest.mark.django_db
def test_a_holder_that_slept_finds_its_key_taken_and_undoes_its_work(
    cast, ris, monkeypatch
) -> None:
    from intake import services

    place = services.order_place

    def slow(**facts):
        IdempotencyKey.objects.update(
            locked_at=timezone.now() + timedelta(seconds=1)
        )  # as another caller does after a minute
        return place(**facts)

    monkeypatch.setattr("intake.services.order_place", slow)
    late = ris.post("/orders", ORDER, key="k1")
    assert (late.status_code, late.json()["code"]) == (409, "in_progress")
    assert orders(cast) == 0


@pytest.mark.django_db
def test_a_key_that_is_too_long_is_refused(ris) -> None:
    assert ris.post("/orders", ORDER, key="k" * 256).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_many_callers_with_one_key_make_one_effect(cast_committed) -> None:
    cast = cast_committed
    ris = caller(cast.a)
    start, answers = threading.Barrier(16), []

    def call() -> None:
        start.wait()
        try:
            answers.append(ris.post("/orders", ORDER, key="race"))
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {a.status_code for a in answers} <= {201, 409}
    made = [a for a in answers if a.status_code == 201]
    assert len({a.json()["id"] for a in made}) == 1
    assert len([a for a in made if "Idempotent-Replayed" not in a.headers]) == 1
    assert orders(cast) == 1
    assert ris.post("/orders", ORDER, key="race").headers["Idempotent-Replayed"] == "true"
