"""Strings that try to be SQL, other hosts, other people's rows; and errors that say nothing."""

from __future__ import annotations

import io
import logging
import re

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, transaction
from django.test import Client

from tests.security.routes import routes
from tests.security.test_routes import holding, own_row

PAYLOADS = [
    "'; DROP TABLE intake_patient; --",
    "1 OR 1=1",
    "-organization__users__password",
    "pk) UNION SELECT password FROM accounts_user--",
    '\\";%00',
    "99999999999999999999999999",
    "../../etc/passwd",
    "{{7*7}}${7*7}<script>alert(1)</script>",
    "\U0001f600" * 40,
    "2026-02-30",
]
PARAMETERS = [
    "sort",
    "order",
    "view",
    "cursor",
    "page",
    "page_size",
    "open",
    "q",
    "payer",
    "site",
    "owner",
    "modality",
    "status",
    "from",
    "to",
    "day",
    "export",
    "ordering",
    "fields",
    "limit",
    "days",
    "claim",
    "version",
    "tab",
    "kind",
    "state",
    "after",
    "verb",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_parameter_of_a_page_becomes_sql_or_a_fault(both, payload) -> None:
    query = dict.fromkeys((p for p in PARAMETERS if p != "export"), payload)
    browser = both.browser("mia", raise_request_exception=False)
    caller = Client(raise_request_exception=False)
    faults = []
    for route in [
        r
        for r in routes()
        if r.needs["get"] not in ("-", "open")
        and not r.name.startswith(("account_", "mfa_", "usersessions"))
    ]:
        if route.api:
            headers = {"Authorization": f"Bearer {both.tokens['partner_full']}"}
            answer = caller.get(
                route.url(own_row(both, route, "partner_full"), both.a), query, headers=headers
            )
        elif holding(both, "mia", route, route.needs["get"]):
            answer = browser.get(route.url(own_row(both, route, "mia"), both.a), query)
        else:
            continue
        body = answer.getvalue()
        if answer.status_code >= 500 or (
            "html" in answer.headers["Content-Type"] and b"<script>alert(1)" in body
        ):
            faults.append((route.name, answer.status_code))
    assert faults == []


@pytest.mark.parametrize("wanted", ["//evil.example", "/\\evil.example", "https://evil.example/x"])
def test_no_form_leads_to_another_host(both, wanted) -> None:
    browser = both.browser("mia", raise_request_exception=False)
    away = []
    for route in [
        r
        for r in routes()
        if not r.api
        and r.needs["post"] not in ("-", "open")
        and not r.name.startswith(("account_", "mfa_", "usersessions"))
    ]:
        if not holding(both, "mia", route, route.needs["post"]):
            continue
        with transaction.atomic():
            sent = dict.fromkeys(("next", "back", "path", "return", "url", "to"), wanted)
            answer = browser.post(
                route.url(own_row(both, route, "mia"), both.a), sent, headers={"Referer": wanted}
            )
            transaction.set_rollback(True)
        where = answer.headers.get("Location", "")
        if "evil" in where.split("?")[0] or where.startswith(("//", "/\\")):
            away.append((route.name, where))
    assert away == []


# --- errors ---------------------------------------------------------------------------------------


@pytest.fixture
def logged():
    """What the product's own handler writes, as the operator's log would have it."""
    (handler,) = [
        h
        for h in logging.getLogger().handlers
        if any(type(f).__name__ == "ScrubFilter" for f in h.filters)
    ]
    stream = io.StringIO()
    before = handler.setStream(stream)
    yield stream
    handler.setStream(before)


FAILURES = [
    IntegrityError(
        'duplicate key value violates unique constraint "one_mrn"\nDETAIL:  Key (mrn)=(CANA-1)'
        " already exists.\nSTATEMENT: INSERT ... CANA-2"
    ),
    DatabaseError("Failing row contains (1, CANA-3, 1962-03-14)"),
    OperationalError("server closed the connection unexpectedly CANA-4"),
    RuntimeError("patient CANA-5"),
    KeyError("CANA-6"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: type(f).__name__)
def test_an_error_says_nothing_of_a_patient_on_the_page_or_in_the_log(
    both, monkeypatch, logged, failure
) -> None:
    def broken(*_, **__):
        raise failure

    monkeypatch.setattr("intake.views.patients.PatientForm", broken)
    browser = both.browser("ana", raise_request_exception=False)
    for answer in (
        browser.get("/patients/new/"),
        browser.get("/patients/new/", headers={"HX-Request": "true"}),
    ):
        assert answer.status_code == (503 if isinstance(failure, OperationalError) else 500)
        page = answer.content.decode()
        assert "CANA" not in page
        assert not re.search(r"Traceback|psycopg2|Django|INSERT|\.py\b", page)
    reference = re.search(
        r'class="code reference">([^<]+)<', browser.get("/patients/new/").content.decode()
    )
    written = logged.getvalue()
    assert "CANA" not in written
    assert reference and reference[1] in logged.getvalue()


def test_addresses_in_the_log_carry_no_search_words(both, logged) -> None:
    both.browser("ana").get("/patients/", {"q": "CANA-77 Smith 03/14/1962"})
    both.browser("ana", raise_request_exception=False).get("/nowhere/", {"q": "CANA-78"})
    assert "CANA" not in logged.getvalue()
