"""Partners ask for authorizations and record decisions with the refusals of the screens."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from authorizations.models import Authorization
from rcm.accounts.scope import scope
from tests.authorizations.test_front_door import record, visit
from tests.intake.house import run_all
from tests.security.conftest import partner as api_partner
from tests.security.conftest import token_of

pytestmark = pytest.mark.django_db(transaction=True)
APPROVED = {
    "status": "approved",
    "channel": "portal",
    "number": "A-9",
    "effective_from": "2026-03-01",
    "effective_to": "2026-03-31",
}


@pytest.fixture
def row(cast_committed) -> Authorization:
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        return record(booked)


def connect(organization, *scopes: str) -> Client:
    token = token_of(api_partner(organization, f"EMR {len(scopes)}", scopes), scopes)
    return Client(headers={"Authorization": f"Bearer {token}"})


def post(client: Client, row: Authorization, act: str, body: object, **headers: str):
    return client.post(
        f"/api/v1/authorizations/{row.public_id}/{act}",
        json.dumps(body),
        content_type="application/json",
        headers=headers,
    )


def test_a_partner_asks_by_phone_and_records_the_decision(cast_committed, row):
    client = connect(cast_committed.a, "orders:read", "authorizations:write")
    bare = post(client, row, "request", {"channel": "phone"})
    assert (bare.status_code, bare.json()["errors"][0]["field"]) == (422, "reference")
    asked = post(client, row, "request", {"channel": "phone", "reference": "R-1"})
    assert (asked.status_code, asked.json()["status"]) == (200, "requested")
    assert asked.json()["services"][0]["asked_units"] == 1
    again = post(client, row, "request", {"channel": "phone", "reference": "R-2"})
    assert (again.status_code, again.json()["code"]) == (409, "already_asked")
    stale = post(client, row, "decide", APPROVED, **{"If-Match": '"0"'})
    assert stale.status_code in (409, 412)
    done = post(client, row, "decide", APPROVED, **{"If-Match": asked["ETag"]})
    assert (done.status_code, done.json()["number"]) == (200, "A-9"), done.content


def test_without_the_scope_nothing_is_asked_and_a_stranger_finds_nothing(cast_committed, row):
    reader = connect(cast_committed.a, "orders:read")
    assert post(reader, row, "request", {}).status_code == 403
    stranger = connect(cast_committed.b, "orders:read", "authorizations:write")
    assert post(stranger, row, "request", {}).status_code == 404


def test_nothing_that_went_otherwise_is_inquired_by_fhir(cast_committed, row):
    client = connect(cast_committed.a, "orders:read", "authorizations:write")
    answer = post(client, row, "inquire", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_waits")
