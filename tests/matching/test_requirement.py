"""Is an authorization required? (rule `authorization-required`)"""

from __future__ import annotations

from datetime import date

import pytest

from authorizations.requirement import (
    Evidence,
    EvidenceKind,
    Requirement,
    RequirementQuery,
    RequirementRule,
    RequirementRules,
    RuleKind,
    default_rules,
)
from tests.matching.cast import CATALOG

DAY = date(2026, 9, 15)
DEFAULTS = default_rules(CATALOG, products=("commercial", "medicare_advantage"))


def ask(*rules: RequirementRule, evidence=(), **query):
    asked = RequirementQuery(
        **{
            "payer_id": "60054",
            "code": "70551",
            "service_date": DAY,
            "product": "commercial",
            "pos": "11",
        }
        | query
    )
    return RequirementRules((*DEFAULTS, *rules), CATALOG).check(asked, evidence)


@pytest.mark.parametrize(
    ("query", "verdict"),
    [
        ({}, Requirement.REQUIRED),
        ({"code": "71046"}, Requirement.NOT_REQUIRED),
        ({"code": "76700"}, Requirement.NOT_REQUIRED),
        ({"product": "medicare_b"}, Requirement.NOT_REQUIRED),
        ({"product": "medicare_advantage"}, Requirement.REQUIRED),
        ({"pos": "23"}, Requirement.NOT_REQUIRED),
        ({"pos": "20"}, Requirement.NOT_REQUIRED),
        ({"setting": "observation"}, Requirement.NOT_REQUIRED),
        ({"product": "tricare"}, Requirement.UNKNOWN),
        ({"code": "99999"}, Requirement.UNKNOWN),
        ({"coverage_rank": 2}, Requirement.NOT_REQUIRED),
    ],
)
def test_defaults(query, verdict):
    assert ask(**query).verdict is verdict


def test_a_payers_rule_beats_the_default_and_a_plans_rule_beats_the_payers():
    payer = RequirementRule("PAYER", RuleKind.NOT_REQUIRED, payer_id="60054", modality="MR")
    plan = RequirementRule(
        "PLAN", RuleKind.REQUIRED, payer_id="60054", plan_id="GOLD", modality="MR"
    )
    assert ask(payer).rule_id == "PAYER"
    assert ask(payer, plan, plan_id="GOLD").rule_id == "PLAN"
    assert ask(payer, plan, plan_id="SILVER").verdict is Requirement.NOT_REQUIRED


def test_a_payers_general_demand_does_not_take_the_emergency_exemption_away():
    general = RequirementRule("ALL", RuleKind.REQUIRED, payer_id="60054", code="70551")
    named = RequirementRule(
        "ED", RuleKind.REQUIRED, payer_id="60054", code="70551", pos=frozenset({"23"})
    )
    assert ask(general, pos="23").verdict is Requirement.NOT_REQUIRED
    assert ask(general, named, pos="23").rule_id == "ED"


def test_rules_live_only_between_their_dates_inclusive():
    rule = RequirementRule(
        "OLD",
        RuleKind.NOT_REQUIRED,
        payer_id="60054",
        code="70551",
        effective_from=date(2026, 1, 1),
        effective_to=DAY,
    )
    assert ask(rule).rule_id == "OLD"
    assert ask(rule, service_date=date(2026, 9, 16)).verdict is Requirement.REQUIRED


def test_equal_rules_that_disagree_hold():
    yes = RequirementRule("YES", RuleKind.REQUIRED, payer_id="60054", code="70551")
    no = RequirementRule("NO", RuleKind.NOT_REQUIRED, payer_id="60054", code="70551")
    assert ask(yes, no).verdict is Requirement.UNKNOWN


def test_a_state_row_overrides_its_payer():
    gold_card = RequirementRule(
        "TX", RuleKind.NOT_REQUIRED, payer_id="60054", code="70551", state="TX"
    )
    rule = RequirementRule("ALL", RuleKind.REQUIRED, payer_id="60054", code="70551")
    assert ask(rule, gold_card, state="TX").rule_id == "TX"
    assert ask(rule, gold_card, state="OK").rule_id == "ALL"


def test_a_phone_answer_for_the_code_is_evidence_only_with_its_reference():
    said = Evidence(
        EvidenceKind.PHONE, Requirement.NOT_REQUIRED, "70551", who="Kim", on=DAY, reference="4711"
    )
    answer = ask(evidence=[said])
    assert (answer.verdict, answer.evidence) == (Requirement.NOT_REQUIRED, (said,))
    unproven = Evidence(EvidenceKind.PHONE, Requirement.NOT_REQUIRED, "70551", who="Kim", on=DAY)
    assert ask(evidence=[unproven]).verdict is Requirement.UNKNOWN


def test_a_271_flag_adds_caution_but_never_removes_a_rule():
    yes = Evidence(EvidenceKind.BENEFIT_271, Requirement.REQUIRED)
    no = Evidence(EvidenceKind.BENEFIT_271, Requirement.NOT_REQUIRED)
    assert ask(evidence=[yes], code="76700").verdict is Requirement.REQUIRED
    assert ask(evidence=[no]).verdict is Requirement.REQUIRED
    assert ask(evidence=[no], product="tricare").verdict is Requirement.NOT_REQUIRED


def test_every_not_required_from_a_rule_keeps_its_evidence():
    answer = ask(code="71046")
    assert answer.evidence[0].reference == answer.rule_id == "DEFAULT-commercial-71046"
