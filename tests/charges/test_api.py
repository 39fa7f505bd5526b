"""Exams and reports over REST: they need an order, land once, and show their thread to their own
organization only.
"""

from __future__ import annotations

import json

import pytest
from django.test import Client

from charges.services import exams_evaluate
from rcm.audit.models import Access
from tests.charges.house import DONE, PLAIN_BRAIN, READ
from tests.security.conftest import partner, token_of

SCOPES = ("exams:read", "exams:write", "reports:write")


@pytest.fixture
def client(house) -> Client:
    return connect(house.cast.a)


def connect(organization, *scopes: str) -> Client:
    granted = scopes or SCOPES
    return Client(
        headers={
            "Authorization": (
                "Bearer"
                f" {token_of(partner(organization, f'RIS {organization.pk} {len(granted)}', granted), granted)}"
            )
        }
    )


def post(client: Client, path: str, body: object):
    return client.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json")


def test_an_exam_and_its_report_land_once_and_show_their_thread(house, client):
    patient = house.patient()
    (ordered,) = house.order(patient, "70551")
    house.authorize(patient, ordered)
    body = {
        "accession": ordered.accession,
        "mrn": patient.mrn,
        "performed_at": DONE.isoformat(),
        "code": "70551",
        "modality": "MR",
        "contrast": {"route": "none"},
    }
    first = post(client, "exams", body)
    assert first.status_code == 201, first.content
    again = post(client, "exams", body)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    report = {
        "accession": ordered.accession,
        "mrn": patient.mrn,
        "status": "F",
        "reported_at": READ.isoformat(),
        "reader_npi": "1801889012",
        "reader_name": "Ivan Reader",
        "sections": PLAIN_BRAIN,
    }
    answer = post(client, "reports", report)
    assert answer.status_code == 201, answer.content
    assert post(client, "reports", report).status_code == 200
    exams_evaluate(exam_ids=[patient.exams.get().pk], actor=house.actor, at=READ)
    thread = client.get(f"/api/v1/exams/{first.json()['id']}").json()
    assert thread["status"] == "released"
    assert [c["code"] for c in thread["charges"]] == ["70551"]
    assert thread["match"]["verdict"] == "match"
    assert thread["reports"][0]["version"] == 1
    assert any("Released" in s["text"] for s in thread["steps"])
    assert Access.objects.filter(patient_id=patient.pk, actor_kind="partner").exists()


def test_no_order_no_exam(house, client):
    patient = house.patient()
    answer = post(
        client, "exams", {"accession": "NONE", "mrn": patient.mrn, "performed_at": DONE.isoformat()}
    )
    assert answer.status_code == 422
    assert answer.json()["code"] == "no_order"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": "done"}, "status"),
        ({"performed_at": "yesterday"}, "performed_at"),
        ({"code": "70-51"}, "code"),
        ({"mrn": ""}, "mrn"),
        ({"accession": ""}, "accession"),
        ({"contrast": {"route": "nose"}}, "contrast.route"),
    ],
)
def test_bad_input_names_its_field(house, client, change, field):
    answer = post(
        client, "exams", {"accession": "A1", "mrn": "M1", "performed_at": DONE.isoformat()} | change
    )
    assert answer.status_code == 400
    assert field in [e["field"] for e in answer.json()["errors"]]


def test_a_final_report_names_its_signer(house, client):
    body = {
        "accession": "A1",
        "mrn": "M1",
        "status": "F",
        "reported_at": READ.isoformat(),
        "text": "FINDINGS: none",
    }
    assert "reader_npi" in [e["field"] for e in post(client, "reports", body).json()["errors"]]


def test_another_organization_finds_nothing_and_scopes_bind(house, client):
    patient = house.patient()
    (ordered,) = house.order(patient, "70551")
    made = post(
        client,
        "exams",
        {"accession": ordered.accession, "mrn": patient.mrn, "performed_at": DONE.isoformat()},
    ).json()
    stranger = connect(house.cast.b)
    assert stranger.get(f"/api/v1/exams/{made['id']}").status_code == 404
    assert stranger.get("/api/v1/exams").json()["results"] == []
    reader = connect(house.cast.a, "exams:read")
    assert post(reader, "exams", {}).status_code == 403
    assert reader.get("/api/v1/results").status_code == 200
