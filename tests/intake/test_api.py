"""The front end and the match over REST: orders in once, rows of one organization only, problems in
one shape.
"""

from __future__ import annotations

import json

import pytest
from django.test import Client

from authorizations.models import Authorization
from authorizations.services import requirement_decide
from intake.models import Appointment, Order, Patient
from intake.services import appointment_book
from rcm.accounts.scope import scope
from rcm.audit.models import Access
from tests.intake.house import exams_of, insured, moment, order, patient, site
from tests.security.conftest import partner, token_of

pytestmark = pytest.mark.django_db

ORDER = {
    "placer_number": "EMR-1",
    "patient": {
        "mrn": "P9",
        "last_name": "Okafor",
        "first_name": "Ada",
        "born_on": "1970-02-03",
        "sex": "F",
        "phone": "3125550111",
    },
    "coverages": [{"payer": "PHP", "member_id": "PRA123456789"}],
    "exams": [{"code": "70551", "accession": "ACC9"}],
    "ordering_npi": "1932102084",
    "ordering_last_name": "Referrer",
    "site": "CANA-NORTH",
    "signed": True,
    "indication": "headache, new focal weakness",
    "diagnoses": ["R51.9"],
}


@pytest.fixture
def api(cast):
    """A partner of organization A with these scopes."""

    def connect(*scopes: str, organization=None) -> Client:
        granted = scopes or ("orders:read", "orders:write", "rules:read")
        bearer = token_of(partner(organization or cast.a, f"EMR {len(scopes)}", granted), granted)
        return Client(headers={"Authorization": f"Bearer {bearer}"})

    return connect


def post(client: Client, path: str, body: object, **headers: str):
    return client.post(
        f"/api/v1/{path}", json.dumps(body), content_type="application/json", headers=headers
    )


def test_an_order_comes_in_once_with_its_patient_and_coverage(cast, api):
    client = api()
    first = post(client, "orders", ORDER, **{"Idempotency-Key": "k1"})
    assert first.status_code == 201, first.content
    assert first.json()["exams"][0]["accession"] == "ACC9"
    again = post(client, "orders", ORDER, **{"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()) == (201, first.json())
    without_key = post(client, "orders", ORDER)
    assert without_key.json()["id"] == first.json()["id"]
    with scope(cast.system):
        assert (Patient.objects.count(), Order.objects.count()) == (1, 1)
        assert Order.objects.get().source == "api"
    listed = client.get("/api/v1/orders", {"mrn": "P9"}).json()
    assert [o["placer_number"] for o in listed["results"]] == ["EMR-1"]
    chart = client.get("/api/v1/patients", {"mrn": "P9"}).json()["results"][0]
    assert chart["coverages"][0]["payer"] == "PHP"
    with scope(cast.system):
        assert Access.objects.filter(actor_kind="partner", purpose="api patients").exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"exams": []}, "exams"),
        ({"ordering_npi": "1932102085"}, "ordering_npi"),
        ({"patient": ORDER["patient"] | {"born_on": "03/27/1958"}}, "patient.born_on"),
        ({"coverages": [{"payer": "NOBODY", "member_id": "X12345"}]}, "coverages.payer"),
        ({"site": "ELSEWHERE"}, "site"),
    ],
)
def test_a_bad_order_names_the_field_and_leaves_nothing(cast, api, change, field):
    answer = post(api(), "orders", ORDER | change)
    assert answer.status_code in (400, 422)
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"].startswith(field)
    with scope(cast.system):
        assert not Order.objects.exists()
        assert not Patient.objects.exists()


def test_booking_over_rest_stops_at_the_same_gate_and_cancel_needs_the_etag(cast, api):
    client = api()
    with scope(cast.system):
        who = patient(cast)
        exam = exams_of(order(cast, who, "71046"))[0]
    body = {
        "site": "CANA-NORTH",
        "starts_at": "2027-03-12T10:00:00-05:00",
        "exams": [str(exam.public_id)],
    }
    stopped = post(client, "appointments", body)
    assert stopped.status_code == 409
    assert stopped.json()["code"] == "gate_stop"
    with scope(cast.system):
        insured(cast, who)
    booked = post(client, "appointments", body)
    assert booked.status_code == 201, booked.content
    assert set(booked.json()["gates"]) == {
        "identity",
        "order",
        "eligibility",
        "authorization",
        "necessity",
        "money",
    }
    path = f"appointments/{booked.json()['id']}/cancel"
    assert post(client, path, {"reason": "weather"}).status_code == 428
    assert post(client, path, {"reason": "weather"}, **{"If-Match": '"99"'}).status_code == 412
    assert (
        post(client, path, {"reason": "weather"}, **{"If-Match": booked["ETag"]}).status_code == 200
    )
    with scope(cast.system):
        assert Appointment.objects.get().status == "cancelled"


def test_a_partner_reads_its_own_organization_and_only_by_scope(cast, api):
    with scope(cast.system):
        who = patient(cast)
        insured(cast, who)
        visit = appointment_book(
            patient=who,
            site=site(cast),
            starts_at=moment("2027-03-12 10:00"),
            exams=exams_of(order(cast, who)),
            actor=cast.system,
        )
        requirement_decide(appointment_ids=[visit.pk], actor=cast.system)
        row = Authorization.objects.get()
    mine = api("orders:read")
    found = mine.get(f"/api/v1/authorizations/{row.public_id}").json()
    assert found["requirement"][0]["verdict"] == "required"
    assert [s["code"] for s in found["services"]] == ["70551"]
    assert mine.get(f"/api/v1/appointments/{visit.public_id}")["ETag"].startswith(
        f'"{visit.version}-'
    )
    theirs = api("orders:read", organization=cast.b)
    for path in (
        f"authorizations/{row.public_id}",
        f"appointments/{visit.public_id}",
        f"patients/{who.public_id}",
    ):
        assert theirs.get(f"/api/v1/{path}").status_code == 404
    assert theirs.get("/api/v1/orders").json()["results"] == []
    assert post(mine, "orders", ORDER).status_code == 403
    assert Client().get("/api/v1/orders").status_code == 401


def test_the_match_is_answered_by_our_rules_and_catalog(cast, api):
    client = api()
    body = {
        "performed": {
            "code": "70553",
            "service_date": "2026-03-12",
            "patient_id": "1",
            "payer_id": "LBI",
            "member_id": "X",
        },
        "authorized": {
            "status": "approved",
            "number": "A-1",
            "patient_id": "1",
            "payer_id": "LBI",
            "member_id": "X",
            "effective_from": "2026-03-01",
            "effective_to": "2026-03-31",
            "services": [{"code": "70551", "units": 1}],
        },
        "requirement": "required",
    }
    answer = post(client, "match", body)
    assert answer.status_code == 200
    assert (answer.json()["verdict"], answer.json()["code"]) == ("needs_change", "UPDATE_REQUIRED")
    asked = post(
        client,
        "match",
        {
            "ordered": {"code": "70551", "planned_for": "2026-03-12"},
            "query": {
                "payer_id": "PHP",
                "product": "commercial",
                "code": "70551",
                "service_date": "2026-03-12",
            },
        },
    )
    assert asked.json()["code"] == "AUTH_MISSING"
    bad = post(client, "match", {"performed": {"cpt": "70551"}})
    assert bad.status_code == 422
    assert bad.json()["errors"]
