"""One error shape for the whole API: problem details, without a word of whose row it was."""

from __future__ import annotations

import json
import logging

import pytest
from django.db import OperationalError
from django.test import Client

from tests.api.conftest import ORDER, caller

pytestmark = pytest.mark.django_db


def is_problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.content[:300]
    assert answer.headers["Content-Type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == status
    assert said["title"].endswith((".", "?"))
    return said


def test_every_refusal_has_the_same_shape(cast, ris, settings) -> None:
    is_problem(Client().get("/api/v1/orders"), 401)
    is_problem(Client().get("/api/v1/orders", headers={"Authorization": "Bearer nonsense"}), 401)
    is_problem(caller(cast.a, "small", ["work:read"]).get("/orders"), 403)
    is_problem(ris.get("/orders/0190a6f0-0000-7000-8000-00000000abcd"), 404)
    is_problem(ris.get("/nowhere"), 404)
    is_problem(ris.post("/events"), 405)
    is_problem(ris.get("/orders", headers={"Accept": "text/html"}), 406)
    is_problem(ris.post("/orders", b"<order/>", content_type="application/xml"), 415)
    is_problem(ris.post("/orders", b"{not json"), 400)
    invalid = is_problem(ris.post("/orders", {"placer_number": "x"}), 400)
    assert {
        "field": "patient",
        "code": "required",
        "message": "This field is required.",
    } in invalid["errors"]
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    is_problem(ris.post("/orders", {"x": "y" * 2000}), 413)


def test_bodies_that_no_column_can_hold_are_refused(ris) -> None:
    for body in (
        json.dumps(ORDER).replace("Cora", "Co\\u0000ra"),
        json.dumps(ORDER).replace("Cora", "Co\\ud800ra"),
        "[" * 100_000,
        '{"a":' * 50_000,
        "NaN",
        '{"a": 1e999}',
        "1" * 6000,
    ):
        answer = ris.post("/orders", body)
        assert answer.status_code == 400, (body[:40], answer.status_code)


def test_too_many_calls_are_told_when_to_come_back(ris, monkeypatch) -> None:
    from rest_framework.throttling import UserRateThrottle

    monkeypatch.setattr(UserRateThrottle, "THROTTLE_RATES", {"user": "3/min"})
    assert [ris.get("/orders").status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = ris.get("/orders")
    is_problem(answer, 429)
    assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_a_fault_gives_a_reference_and_logs_no_value(ris, monkeypatch, caplog) -> None:
    def broken(*_, **__):
        raise RuntimeError("patient CANA-1 Canary")

    monkeypatch.setattr("intake.services.order_place", broken)
    with caplog.at_level(logging.INFO):
        said = is_problem(ris.post("/orders", ORDER), 500)
    assert "CANA" not in json.dumps(said)
    assert any(said["reference"] in r.getMessage() for r in caplog.records)


def test_a_database_that_is_away_is_503_and_the_same_request_may_come_again(
    cast, ris, monkeypatch
) -> None:
    def away(*_, **__):
        raise OperationalError("server closed the connection, Key (mrn)=(CANA-1)")

    monkeypatch.setattr("intake.services.order_place", away)
    answer = ris.post("/orders", ORDER, key="k1")
    assert "CANA" not in json.dumps(is_problem(answer, 503))
    assert answer.headers["Retry-After"] == "5"
    monkeypatch.undo()
    assert ris.post("/orders", ORDER, key="k1").status_code == 201


def test_the_session_of_a_person_opens_nothing_here(cast) -> None:
    browser = Client()
    browser.force_login(
        cast.user("mia"), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    is_problem(browser.get("/api/v1/orders"), 401)
    is_problem(browser.post("/api/v1/orders", "{}", content_type="application/json"), 401)
