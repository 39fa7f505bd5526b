"""The match for callers that speak JSON."""

from __future__ import annotations

from datetime import date

from authorizations.payload import match
from authorizations.requirement import RequirementRules, default_rules
from tests.matching.cast import CATALOG, CONTEXT

TODAY = date(2026, 9, 20)
AUTH = {
    "status": "approved",
    "number": "PA1",
    "services": [{"code": "70551", "units": 1}],
    "effective_from": "2026-09-01",
    "effective_to": "2026-09-30",
    "site_npi": "1234567893",
}
DONE = {"code": "70551", "service_date": "2026-09-15", "site_npi": "1234567893"}


def send(**payload):
    return match(payload, context=CONTEXT, today=TODAY)


def test_the_facts_given_are_matched_and_the_others_are_named_as_unchecked():
    answer = send(authorized=AUTH, performed=DONE, requirement="required")
    assert answer["code"] == "OK"
    assert answer["unchecked"] == ["patient", "payer", "member", "requested"]


def test_a_strict_caller_gets_a_hold_for_what_nobody_knows():
    assert send(authorized=AUTH, performed=DONE, strict=True)["code"] == "AUTH_FACT_UNKNOWN"


def test_every_problem_is_listed_with_its_field():
    answer = send(
        authorized=AUTH | {"status": "maybe", "color": "red"},
        performed={"code": 7, "service_date": "15.9.2026", "units": 0},
    )
    problems = {(item["field"], item["code"]) for item in answer["errors"]}
    assert problems == {
        ("authorized.status", "not_a_choice"),
        ("authorized.color", "unknown_field"),
        ("performed.code", "invalid"),
        ("performed.service_date", "invalid"),
    }


def test_a_needed_field_and_an_unknown_part_are_named():
    answer = send(performed={"code": "70551"}, perfromed={})
    assert {item["field"] for item in answer["errors"]} == {"performed.service_date", "perfromed"}


def test_nothing_to_judge_is_said():
    assert send(authorized=AUTH)["errors"][0]["code"] == "required"
    assert match([], context=CONTEXT, today=TODAY)["errors"][0]["code"] == "not_an_object"  # type: ignore[arg-type]


def test_the_requirement_is_looked_up_when_a_query_is_given():
    rules = RequirementRules(default_rules(CATALOG, products=["commercial"]), CATALOG)
    query = {
        "payer_id": "60054",
        "code": "70551",
        "service_date": "2026-09-15",
        "product": "commercial",
    }
    answer = match({"performed": DONE, "query": query}, context=CONTEXT, today=TODAY, rules=rules)
    assert answer["code"] == "AUTH_MISSING"
    assert answer["expected_denial"]["carc"] == ["197"]


def test_the_order_is_judged_beside_the_match():
    answer = send(
        ordered={"code": "70551"},
        authorized=AUTH,
        performed=DONE | {"code": "70553"},
        requirement="required",
    )
    assert answer["code"] == "UPDATE_REQUIRED"
    assert (answer["order"]["verdict"], answer["order"]["stops"]) == ("new_order_required", True)
