"""Payer rules by users: versions, back-test before they are switched on, fail-closed; the
catalogue.
"""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from claims.edits import catalogue
from claims.models import Claim, PayerRule
from claims.present import edit_views, example_of
from claims.records import Adjudicated, Outcome
from claims.services import (
    RuleProblems,
    claims_adjudicated,
    claims_scrub,
    rule_backtest,
    rule_propose,
    rule_save,
    rule_switch,
    rules_worth,
)
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Refused
from tests.claims.house import NOW, blocks, built, ready, released, sent

NO_BRAIN = {
    "when": {"any_line": {"all": [{"field": "line.code", "op": "eq", "value": "70551"}]}},
    "then": {
        "action": "hold",
        "sentence": "This payer wants the brain study named in the note.",
        "fix": "Add the note.",
        "owner": "biller",
    },
}


def rule(house, definition=NO_BRAIN, **more) -> PayerRule:
    return rule_save(
        organization_id=house.cast.a.pk,
        name="Brain",
        definition=definition,
        actor=house.cast.actor("mia"),
        at=NOW,
        **more,
    )


def test_a_rule_is_tested_then_switched_on_and_holds(house):
    claim = ready(house)
    row = rule(house)
    assert not row.active
    with pytest.raises(Refused, match="Test the rule"):
        rule_switch(rule=row, on=True, actor=house.cast.actor("adam"), at=NOW)
    rule_backtest(rule=row, actor=house.cast.actor("mia"), at=NOW)
    rule_switch(rule=row, on=True, actor=house.cast.actor("adam"), at=NOW)
    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    claim.refresh_from_db()
    assert blocks(claim) == [f"USR-{row.number}"]
    assert claim.status == "blocked"
    rule_switch(rule=row, on=False, actor=house.cast.actor("mia"), at=NOW)
    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    claim.refresh_from_db()
    assert claim.status == "ready"


def test_the_back_test_tells_denials_caught_from_false_holds(house):
    denied, paid = sent(house), sent(house, mrn="M2", payer="LBI")
    claims_adjudicated(
        items=[
            Adjudicated(denied.pk, Outcome.DENIED, NOW.date()),
            Adjudicated(paid.pk, Outcome.PAID, NOW.date()),
        ],
        actor=house.actor,
        at=NOW,
    )
    found = rule_backtest(rule=rule(house), actor=house.cast.actor("mia"), at=NOW)
    assert (found["claims"], found["stopped"], found["caught_denials"], found["false_holds"]) == (
        2,
        2,
        1,
        1,
    )
    assert found["precision"] == "0.500"
    assert set(found["examples"]) == {denied.number, paid.number}


def test_a_version_is_never_edited_and_one_is_on(house):
    first = rule(house)
    second = rule(house, number=first.number)
    assert (first.number, first.rule_version, second.rule_version) == (second.number, 1, 2)
    for row in (first, second):
        rule_backtest(rule=row, actor=house.cast.actor("mia"), at=NOW)
        rule_switch(rule=row, on=True, actor=house.cast.actor("adam"), at=NOW)
    assert list(PayerRule.objects.filter(active=True).values_list("rule_version", flat=True)) == [2]


def test_what_is_wrong_is_said_field_by_field_and_nothing_is_kept(house):
    wrong = {
        "when": {
            "all": [
                {"field": "claim.nothing", "op": "eq", "value": "1"},
                {"field": "claim.total", "op": "gt", "value": "many"},
            ]
        },
        "then": {"action": "explode", "sentence": ""},
    }
    with pytest.raises(RuleProblems) as refusal:
        rule(house, wrong)
    places = {p["field"] for p in refusal.value.problems}
    assert {"when.all[0].field", "when.all[1].value", "then.action", "then.sentence"} <= places
    assert not PayerRule.objects.exists()


def test_a_stored_rule_that_cannot_be_read_holds_every_claim(house):
    claim = ready(house)
    row = rule(house)
    PayerRule.objects.filter(pk=row.pk).update(active=True, definition={"when": {"nonsense": 1}})
    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    claim.refresh_from_db()
    assert claim.status == "blocked"
    assert (
        "could not judge"
        in claim.findings.get(edit=f"USR-{row.number}", cleared_at__isnull=True).sentence
    )


def test_a_biller_writes_no_rules(house):
    with pytest.raises(PermissionRefused):
        rule_save(
            organization_id=house.cast.a.pk,
            name="x",
            definition=NO_BRAIN,
            actor=house.cast.actor("ben"),
        )


def test_every_edit_has_an_example_that_differs_from_the_clean_claim(house):
    for edit_id in catalogue():
        assert example_of(edit_id), edit_id


def test_hits_and_prevention_are_counted(house):
    from intake.models import Coverage

    claim = ready(house)
    Coverage.objects.filter(pk=claim.coverage_id).update(status="inactive")
    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    view = next(v for v in edit_views(house.cast.actor("ben")) if v.edit.edit_id == "COV-002")
    assert (view.hits, view.open, view.prevention) == (1, 1, None)
    Coverage.objects.filter(pk=claim.coverage_id).update(status="active")
    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    view = next(v for v in edit_views(house.cast.actor("ben")) if v.edit.edit_id == "COV-002")
    assert (view.hits, view.corrected, view.prevention) == (1, 1, 1)


def test_the_command_judges_a_claim_and_a_file(house, tmp_path, capsys):
    claim = ready(house)
    try:
        call_command("scrub", "--claim", claim.number)
    except SystemExit:
        assert "TIM-001" in capsys.readouterr().out  # judged as of today
    with pytest.raises(CommandError, match="There is no claim"):
        call_command("scrub", "--claim", "NOPE")
    sheet = {
        "claims": [
            {
                "claim_id": "X1",
                "total": "10",
                "diagnoses": ["R519"],
                "lines": [{"code": "70551", "charge": "11", "service_date": "2026-09-08"}],
            }
        ]
    }
    path = tmp_path / "claims.json"
    path.write_text(json.dumps(sheet))
    with pytest.raises(SystemExit):
        call_command("scrub", str(path), "--json")
    assert "FMT-001" in capsys.readouterr().out
    assert Claim.objects.count() == 1


def group(house) -> tuple[list[Claim], list[Claim]]:
    """Two denied brain studies and two paid chest films of one payer."""
    bad = [sent(house, mrn=f"D{n}") for n in range(2)]
    good = [sent(house, code="71046", mrn=f"P{n}", auth=False) for n in range(2)]
    told = [(bad, Outcome.DENIED), (good, Outcome.PAID)]
    claims_adjudicated(
        items=[Adjudicated(c.pk, outcome, NOW.date()) for rows, outcome in told for c in rows],
        actor=house.actor,
        at=NOW,
    )
    return bad, good


def proposed(house, claims: list[Claim]) -> PayerRule:
    return rule_propose(
        organization_id=house.cast.a.pk,
        payer=claims[0].payer,
        lines={line.pk: c.pk for c in claims for line in c.lines.all()},
        cause="CO-50",
        words="not medically necessary",
        fix="Attach the policy's indication.",
        actor=house.cast.actor("mia"),
        at=NOW,
    )


def test_a_group_of_denials_becomes_a_proposed_rule_that_spares_the_paid(house):
    bad, good = group(house)
    row = proposed(house, bad)
    assert not row.active
    assert (row.learned["denied"], row.learned["paid"]) == (2, 0)
    assert (row.backtest["caught_denials"], row.backtest["false_holds"]) == (2, 0)
    assert {(v[0], v[1]) for v in row.backtest["verdicts"]} == {(c.number, "caught") for c in bad}
    assert not {c.number for c in good} & set(row.backtest["examples"])
    assert "CO-50" in row.sentence
    assert row.fix == "Attach the policy's indication."
    assert row.backtest["missed_denials"] == 0
    other = sent(house, mrn="X1", payer="LBI")
    told = Adjudicated(other.pk, Outcome.DENIED, NOW.date())
    claims_adjudicated(items=[told], actor=house.actor, at=NOW)
    again = rule_backtest(rule=row, actor=house.cast.actor("mia"), at=NOW)
    assert again["missed_denials"] == 0  # another payer's denial is none of its misses
    assert proposed(house, bad).pk == row.pk


def test_another_person_switches_a_rule_on_and_its_hits_are_counted(house):
    bad, _ = group(house)
    row = proposed(house, bad)
    with pytest.raises(Refused, match="Somebody else"):
        rule_switch(rule=row, on=True, actor=house.cast.actor("mia"), at=NOW)
    rule_switch(rule=row, on=True, actor=house.cast.actor("adam"), at=NOW)
    claim = built(house, released(house, mrn="H1"))
    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    assert blocks(claim) == [f"USR-{row.number}"]
    row.refresh_from_db()
    worth = rules_worth([row], at=NOW)[row.pk]
    assert (worth.hits, worth.corrected, worth.retire) == (1, 0, "")
    claim.findings.update(cleared_at=NOW)
    worth = rules_worth([row], at=NOW)[row.pk]
    expected = claim.lines.get().expected or 0
    assert (worth.hits, worth.corrected, worth.prevented) == (1, 1, expected)
    later = NOW + timedelta(days=91)
    rule_switch(rule=row, on=False, actor=house.cast.actor("mia"), at=NOW)
    assert rules_worth([row], at=NOW)[row.pk].corrected == 0  # gone with the rule, not corrected
    rule_switch(rule=row, on=True, actor=house.cast.actor("adam"), at=NOW)
    row.refresh_from_db()
    assert "nothing for 90 days" in rules_worth([row], at=later)[row.pk].retire


def test_denials_that_share_nothing_make_no_rule(house):
    bad, good = group(house)
    with pytest.raises(Refused, match="share nothing"):
        proposed(house, [bad[0], good[0]])
