"""Scrubbing for callers that speak JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claims.edits.examples import AS_OF, claim, reference
from claims.edits.payload import catalogue_rows, scrub_payload


def plain(facts) -> dict:
    """A claim as a partner would send it."""
    return json.loads(
        json.dumps(
            asdict(facts), default=lambda v: v.isoformat() if isinstance(v, date) else str(v)
        )
    )


def send(**payload):
    return scrub_payload(payload, reference(), today=AS_OF)


def test_a_clean_claim_passes():
    answer = send(claims=[plain(claim())])
    assert answer["claims"] == [
        {"claim_id": "ACC0001-1", "passes": True, "findings": [], "repairs": []}
    ]
    assert answer["summary"] == {"claims": 1, "passed": 1, "hits": {}}


def test_findings_carry_words_field_fix_and_owner():
    finding = send(claims=[plain(claim(total=Decimal(1)))])["claims"][0]["findings"][0]
    assert finding["edit"] == "FMT-001"
    assert {"sentence", "field", "fix", "owner", "severity", "blocks"} <= set(finding)


def test_repairs_are_made_on_request_and_listed():
    bad = plain(claim(diagnoses=("M54.16",)))
    assert not send(claims=[bad])["claims"][0]["passes"]
    mended = send(claims=[bad], repair=True)["claims"][0]
    assert mended["passes"]
    assert mended["repairs"] == [
        {
            "rule": "diagnosis",
            "field": "diagnoses[1]",
            "before": "M54.16",
            "after": "M5416",
            "line": None,
        }
    ]


def test_the_same_claim_twice_in_one_request_is_a_duplicate():
    answer = send(claims=[plain(claim(claim_id="A")), plain(claim(claim_id="B"))])
    assert [result["passes"] for result in answer["claims"]] == [True, False]


def test_lines_are_numbered_by_their_place():
    sent = plain(claim())
    for item in sent["lines"]:
        del item["number"]
    assert send(claims=[sent])["claims"][0]["passes"]


def test_every_problem_is_listed_with_its_field():
    sent = plain(claim()) | {"total": "much", "colour": "red"}
    sent["lines"][0]["service_date"] = "yesterday"
    del sent["claim_id"]
    fields = {(item["field"], item["code"]) for item in send(claims=[sent])["errors"]}
    assert fields == {
        ("claims[0].total", "invalid"),
        ("claims[0].colour", "unknown_field"),
        ("claims[0].lines[0].service_date", "invalid"),
        ("claims[0].claim_id", "required"),
    }


def test_an_empty_or_wrong_request_is_said():
    assert send()["errors"][0]["field"] == "claims"
    assert send(claims="x")["errors"][0]["code"] == "required"
    assert scrub_payload([], reference(), today=AS_OF)["errors"][0]["code"] == "not_an_object"  # type: ignore[arg-type]


def test_the_catalogue_page_has_a_row_for_every_edit():
    rows = catalogue_rows()
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(row["sentence"] and row["fix"] and row["owner"] and row["source"] for row in rows)


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "x", "2026-10-28", "1.5"])
    | st.lists(st.integers(), max_size=2)
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(plain(claim()))), VALUES, max_size=4))
def test_no_claim_breaks_the_adapter(changes):
    answer = send(claims=[plain(claim()) | changes])
    assert ("errors" in answer) != ("claims" in answer)
    json.dumps(answer, allow_nan=False)
    if "claims" in answer:
        assert not [f for f in answer["claims"][0]["findings"] if f["edit"] == "SYS-001"]
