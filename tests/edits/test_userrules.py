"""Rules written by users: what they can say, and that a broken one holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims.edits import scrub
from claims.edits.examples import AS_OF, claim, line, medicare, reference
from claims.edits.subject import Subject
from claims.edits.userrules import (
    FIELDS,
    OPERATORS,
    PastClaim,
    UserRule,
    back_test,
    prepare,
    run_rules,
    validate,
)

THEN = {"action": "hold", "sentence": "This payer wants a note.", "owner": "biller"}


def rule(when, then=None, **definition) -> UserRule:
    return UserRule("R1", 3, "House rule", {"when": when, "then": then or THEN, **definition})


def outcome(facts, when, **definition):
    found = run_rules(prepare([rule(when, **definition)]), Subject(facts, reference(), AS_OF))
    return [(f.blocks, f.sentence) for f in found]


def cond(field, op, *value):
    return {"field": field, "op": op, **({"value": value[0]} if value else {})}


@pytest.mark.parametrize(
    ("when", "hit"),
    [
        (cond("line.code", "eq", "72148"), True),
        (cond("line.code", "ne", "72148"), False),
        (cond("line.code", "in", ["70551", "72148"]), True),
        (cond("line.code", "not_in", ["70551"]), True),
        (cond("line.code", "starts_with", "721"), True),
        (cond("line.charge", "gt", 849), True),
        (cond("line.charge", "lt", "850.00"), False),
        (cond("claim.total", "between", [850, 850]), True),
        (cond("claim.diagnoses", "eq", "M5416"), True),
        (cond("claim.diagnoses", "starts_with", "M54"), True),
        (cond("claim.note", "absent"), True),
        (cond("claim.prior_auth_number", "present"), True),
        (cond("line.modifiers", "in", ["26", "TC"]), False),
        (cond("line.component", "eq", ""), True),
        (cond("patient.age", "between", [18, 64]), True),
        (cond("claim.service_date", "lt", "2026-10-29"), True),
        ({"not": cond("payer.id", "eq", "60054")}, False),
        ({"all": [cond("payer.id", "eq", "60054"), cond("line.modality", "eq", "MR")]}, True),
        ({"any": [cond("payer.id", "eq", "x"), cond("facility.state", "eq", "CA")]}, True),
    ],
)
def test_operators(when, hit):
    assert bool(outcome(claim(), when)) is hit


def test_a_line_group_asks_one_line_at_a_time():
    facts = claim(line("72148", "26"), line("71046"))
    node = {"all": [cond("line.code", "eq", "71046"), cond("line.component", "eq", "26")]}
    assert outcome(facts, node)  # some line is 71046, some line is 26
    assert not outcome(facts, {"any_line": node})  # no line is both
    assert outcome(facts, {"all_lines": cond("line.charge", "gt", 100)})


def test_a_rule_keeps_to_its_payers_products_and_dates():
    when = cond("claim.total", "gt", 0)
    assert not outcome(claim(), when, payers=["87726"])
    assert not outcome(claim(), when, products=["medicare_b"])
    assert outcome(medicare(), when, products=["medicare_b"])
    assert not outcome(claim(), when, effective_from="2026-10-29")
    assert outcome(claim(), when, effective_from="2026-10-28", effective_to="2026-10-28")


def test_the_finding_names_rule_and_version():
    found = scrub([claim()], reference(), as_of=AS_OF, rules=[rule(cond("claim.total", "gt", 0))])[
        0
    ]
    assert (found[0].edit_id, found[0].source, found[0].sentence) == (
        "USR-R1",
        "rule R1 version 3",
        THEN["sentence"],
    )


def test_an_unknown_number_holds_instead_of_passing():
    facts = replace(claim(), patient_dob=None)
    [(blocks, sentence)] = outcome(facts, cond("patient.age", "lt", 18))
    assert blocks
    assert "not known" in sentence


def test_an_unknown_that_decides_nothing_is_no_hold():
    facts = replace(claim(), patient_dob=None)
    assert not outcome(
        facts, {"all": [cond("patient.age", "lt", 18), cond("payer.id", "eq", "none")]}
    )


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        ({}, "when"),
        ({"when": cond("claim.password", "eq", "x"), "then": THEN}, "when.field"),
        ({"when": cond("claim.__class__", "eq", "x"), "then": THEN}, "when.field"),
        ({"when": cond("line.code", "matches", "7.*"), "then": THEN}, "when.op"),
        ({"when": cond("line.code", "lt", "7"), "then": THEN}, "when.op"),
        ({"when": cond("line.charge", "gt", "much"), "then": THEN}, "when.value"),
        ({"when": cond("line.code", "in", "72148"), "then": THEN}, "when.value"),
        ({"when": cond("claim.total", "between", [2, 1]), "then": THEN}, "when.value"),
        ({"when": cond("claim.note", "present", "x"), "then": THEN}, "when.value"),
        ({"when": {"all": []}, "then": THEN}, "when.all"),
        ({"when": {"all": [cond("line.code", "eq", 7)]}, "then": THEN}, "when.all[0].value"),
        (
            {"when": {"any_line": {"any_line": cond("line.code", "eq", "1")}}, "then": THEN},
            "when.any_line.any_line",
        ),
        ({"when": cond("claim.total", "gt", 0)}, "then"),
        (
            {"when": cond("claim.total", "gt", 0), "then": THEN | {"action": "delete"}},
            "then.action",
        ),
        ({"when": cond("claim.total", "gt", 0), "then": THEN | {"sentence": " "}}, "then.sentence"),
        (
            {"when": cond("claim.total", "gt", 0), "then": THEN, "effective_from": "soon"},
            "effective_from",
        ),
        ({"when": cond("claim.total", "gt", 0), "then": THEN, "run": "rm"}, "run"),
    ],
)
def test_every_problem_of_a_definition_is_named_and_the_rule_holds(definition, field):
    assert field in {item["field"] for item in validate(definition)}
    found = run_rules(
        prepare([UserRule("R1", 1, "Broken", definition)]), Subject(claim(), reference(), AS_OF)
    )
    assert [f.blocks for f in found] == [True]


def test_a_broken_rule_holds_only_its_own_payers_when_those_can_be_read():
    broken = UserRule(
        "R1", 1, "Broken", {"payers": ["87726"], "when": cond("no.field", "eq", "x"), "then": THEN}
    )
    assert run_rules(prepare([broken]), Subject(claim(), reference(), AS_OF)) == []


def test_a_rule_switched_off_does_nothing():
    assert prepare([replace(rule(cond("claim.total", "gt", 0)), enabled=False)]) == []


def test_deep_and_wide_definitions_are_refused():
    deep = cond("claim.total", "gt", 0)
    for _ in range(20):
        deep = {"not": deep}
    wide = {"all": [cond("claim.total", "gt", 0)] * 500}
    assert validate({"when": deep, "then": THEN})[0]["code"] == "too_many"
    assert validate({"when": wide, "then": THEN})[0]["code"] == "too_many"


def test_every_field_can_be_asked_and_read():
    subject = Subject(claim(), reference(), AS_OF)
    for name, field in FIELDS.items():
        op = next(op for op in ("present", "eq") if field.kind in OPERATORS[op])
        assert (
            validate(
                {"when": cond(name, op) if op == "present" else cond(name, op, True), "then": THEN}
            )
            == []
        )
        read = field.read
        read(subject, subject.lines[0]) if field.of_line else read(subject)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["line.code", "eq", "in", "all", "2026-01-01", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "field",
                    "op",
                    "value",
                    "all",
                    "any",
                    "not",
                    "any_line",
                    "when",
                    "then",
                    "payers",
                    "action",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["when", "then", "payers", "products", "effective_from"]), JSON)
)
def test_no_definition_breaks_the_engine_and_none_that_is_wrong_passes(definition):
    problems = validate(definition)
    found = run_rules(
        prepare([UserRule("R", 1, "", definition)]), Subject(claim(), reference(), AS_OF)
    )
    scope_may_exclude = bool(
        definition.get("payers") or definition.get("products") or definition.get("effective_from")
    )
    if problems and not scope_may_exclude:
        assert [f.blocks for f in found] == [True]


def test_the_back_test_counts_what_the_rule_would_have_done():
    past = [
        PastClaim(claim(line(charge=Decimal(900)), claim_id="A"), "denied", Decimal(900)),
        PastClaim(claim(line(charge=Decimal(500)), claim_id="B"), "paid"),
        PastClaim(claim(line("71046", charge=Decimal(70)), claim_id="C"), "denied", Decimal(70)),
        PastClaim(claim(line("71046", charge=Decimal(60)), claim_id="D"), "paid"),
        PastClaim(claim(line(charge=Decimal(400)), claim_id="E"), ""),
    ]
    result = back_test(rule(cond("line.code", "eq", "72148")), past, as_of=date(2026, 11, 20))
    assert (result.claims, result.stopped, result.dollars_stopped) == (5, 3, Decimal(1800))
    assert (result.caught_denials, result.dollars_caught) == (1, Decimal(900))
    assert (result.false_holds, result.dollars_false) == (1, Decimal(500))
    assert (result.missed_denials, result.precision) == (1, Decimal("0.500"))
    assert result.examples == ("A", "B", "E")
