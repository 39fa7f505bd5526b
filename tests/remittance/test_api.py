"""Partners send 835 files, post them and read denials; repeating is once."""

from __future__ import annotations

import base64

import pytest
from django.core.cache import cache

from rcm.accounts.scope import scope
from rcm.audit.models import Access
from remittance.models import Remittance
from tests.api.conftest import caller

from .house import claim_of, era, head
from .test_posting import CLEAN
from .test_screens import DENIED


@pytest.fixture
def ris(cast):
    cache.clear()
    with scope(cast.system):
        claim_of(cast, "C1", [("70551", "500", "200")])
        claim_of(cast, "C2", [("74177", "900", "300")])
    return caller(cast.a)


def body(content: bytes) -> dict:
    return {"content": base64.b64encode(content).decode(), "file_name": "day.835"}


def test_a_file_is_sent_posted_and_its_denial_read(ris, cast):
    sent = ris.post("/remittances", body(era(head("150") + CLEAN + DENIED)), key="one")
    assert sent.status_code == 201, sent.content
    (row,) = sent.json()["remittances"]
    assert (row["status"], row["amount"], row["trace"], row["payer"]) == (
        "ready",
        "150.00",
        "EFT1",
        "PHP",
    )
    posted = ris.post(f"/remittances/{row['id']}/post", key="two")
    assert posted.status_code == 200, posted.content
    assert (posted.json()["claims"], posted.json()["denials"], posted.json()["repeated"]) == (
        2,
        1,
        False,
    )
    assert ris.post(f"/remittances/{row['id']}/post", key="three").json()["repeated"] is True
    whole = ris.get(f"/remittances/{row['id']}").json()
    assert (whole["status"], whole["provider_adjustments"]) == ("posted", [])
    payments = ris.get(f"/remittances/{row['id']}/payments").json()["results"]
    assert {p["claim_number"] for p in payments} == {"C1", "C2"}
    denials = ris.get("/denials", status="open").json()["results"]
    assert [(d["reason"], d["category"], d["claim_number"]) for d in denials] == [
        ("197", "prior_auth", "C2")
    ]
    assert ris.get(f"/denials/{denials[0]['id']}").json()["appeal_by"]
    with scope(cast.system):
        assert Access.objects.filter(actor_kind="partner", purpose="api denials").count() == 2


def test_the_same_file_again_is_the_same_remittance(ris, cast):
    content = body(era(head("150") + CLEAN))
    first = ris.post("/remittances", content).json()
    again = ris.post("/remittances", content)
    assert (again.status_code, again.json()["repeated"]) == (200, True)
    assert again.json()["remittances"][0]["id"] == first["remittances"][0]["id"]
    with scope(cast.system):
        assert Remittance.objects.count() == 1


def test_what_does_not_balance_is_told_with_its_figures_and_cannot_be_posted(ris):
    row = ris.post("/remittances", body(era(head("151") + CLEAN))).json()["remittances"][0]
    assert row["status"] == "quarantined"
    assert any("-1.00" in f["message"] for f in row["findings"])
    refused = ris.post(f"/remittances/{row['id']}/post")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_postable")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"content": "%%%"}, 400),
        ({"content": base64.b64encode(b"hello").decode()}, 422),
        ({}, 400),
        ({"content": ""}, 400),
    ],
)
def test_what_is_no_835_is_refused_with_a_sentence(ris, content, code):
    assert ris.post("/remittances", content).status_code == code


def test_a_stranger_and_a_reader_may_not(ris, cast):
    row = ris.post("/remittances", body(era(head("150") + CLEAN))).json()["remittances"][0]
    stranger = caller(cast.b, "Other")
    assert stranger.get(f"/remittances/{row['id']}").status_code == 404
    assert stranger.post(f"/remittances/{row['id']}/post").status_code == 404
    reader = caller(cast.a, "Reader", ["remittances:read"])
    assert reader.get(f"/remittances/{row['id']}").status_code == 200
    assert reader.post(f"/remittances/{row['id']}/post").status_code == 403
