"""REST of claims: the same services as the screens, in the partner's own organization."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
import time_machine
from django.test import Client

from claims.models import Claim
from rcm.accounts.scope import scope
from rcm.audit.models import Access
from tests.claims.house import NOW, answer_277ca, inbound, ready, sent
from tests.security.conftest import partner, token_of

SCOPES = ["claims:read", "claims:write", "rules:read"]


@pytest.fixture
def api(house_committed) -> Iterator[Client]:
    """A partner's client; it is the day after the exam."""
    with time_machine.travel(NOW, tick=True):
        token = token_of(partner(house_committed.cast.a, "Partner", SCOPES), SCOPES)
        yield Client(headers={"Authorization": f"Bearer {token}"})


def post(api: Client, path: str, body: object = None, **headers):
    key = {"Idempotency-Key": uuid4().hex}
    return api.post(
        f"/api/v1/{path}",
        json.dumps(body or {}),
        content_type="application/json",
        headers={**key, **headers},
    )


def test_a_partner_reads_claims_with_lines_findings_and_answers(house_committed, api):
    house = house_committed
    with scope(house.actor):
        claim = sent(house)
        inbound(house, "277CA", answer_277ca((claim.number, "A2:20:PR", "ICN1")))
    rows = api.get("/api/v1/claims", {"status": "accepted"}).json()["results"]
    assert [r["number"] for r in rows] == [claim.number]
    detail = api.get(f"/api/v1/claims/{claim.public_id}")
    assert detail["ETag"]
    assert [x["code"] for x in detail.json()["lines"]] == ["70551"]
    (said,) = api.get(f"/api/v1/claims/{claim.public_id}/acknowledgements").json()
    assert said["accepted"] is True
    assert [x["control"] for x in api.get(f"/api/v1/claims/{claim.public_id}/lines").json()] == [
        f"{claim.number}-1"
    ]
    with scope(house.actor):
        assert Access.objects.filter(patient_id=claim.patient_id, actor_kind="partner").exists()


def test_scrub_submit_correct_and_void_by_api(house_committed, api):
    house = house_committed
    with scope(house.actor):
        claim = ready(house)
    assert post(api, f"claims/{claim.public_id}/scrub", **{"If-Match": '"99"'}).status_code == 412
    answer = post(api, f"claims/{claim.public_id}/scrub")
    assert answer.json()["status"] == "ready", answer.json()
    read = {"If-Match": answer["ETag"]}
    assert post(api, f"claims/{claim.public_id}/submit").status_code == 428
    assert len(post(api, f"claims/{claim.public_id}/submit", **read).json()["files"]) == 1
    with scope(house.actor):
        inbound(house, "277CA", answer_277ca((claim.number, "A2:20:PR", "ICN1")), at=NOW)
    change = {"reason": "authorization", "authorization_number": "AUTH9"}
    assert post(api, f"claims/{claim.public_id}/correct", change).status_code == 428
    read = {"If-Match": api.get(f"/api/v1/claims/{claim.public_id}")["ETag"]}
    made = post(api, f"claims/{claim.public_id}/correct", change, **read).json()
    assert made["route"] == "replacement"
    with scope(house.actor):
        new = Claim.objects.get(public_id=made["claim"])
        assert (new.frequency, new.authorization_number) == ("7", "AUTH9")
    assert post(api, f"claims/{claim.public_id}/void", {"reason": "x"}).status_code == 428
    read = {"If-Match": api.get(f"/api/v1/claims/{claim.public_id}")["ETag"]}
    assert post(api, f"claims/{claim.public_id}/void", {}, **read).status_code in (400, 422)


def test_scrub_of_a_payload_and_the_catalogue(api):
    sheet = {
        "claims": [
            {
                "claim_id": "X1",
                "total": "10",
                "payer_id": "PHP",
                "diagnoses": ["R519"],
                "lines": [{"code": "70551", "charge": "11", "service_date": "2026-09-08"}],
            }
        ]
    }
    answer = post(api, "scrub", sheet)
    assert answer.status_code == 200
    edits = {f["edit"] for f in answer.json()["claims"][0]["findings"]}
    assert "FMT-001" in edits
    assert post(api, "scrub", {"claims": "none"}).status_code == 422
    rows = api.get("/api/v1/edits").json()["results"]
    assert {"id", "sentence", "severity", "source"} <= set(rows[0])
