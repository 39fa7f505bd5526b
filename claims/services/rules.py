"""Rules written by users: versions that are never edited, a back-test before one
is switched on, fail-closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from claims.edits.reference import ReferenceFacts
from claims.edits.userrules import PastClaim, back_test, validate
from claims.facts import load_sheets, procedure_rows
from claims.models import Claim, ClaimStatus, PayerRule
from claims.services.scrubbing import user_rule
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.services import next_control_number
from rcm.reference.models import Payer

PAST_DAYS, MOST_PAST, CHUNK = 365, 5_000, 500
_OUTCOMES = {
    ClaimStatus.DENIED: "denied",
    ClaimStatus.PAID: "paid",
    ClaimStatus.PARTIAL: "paid",
    ClaimStatus.CLOSED: "paid",
}


class RuleProblems(Refused):
    """A definition that cannot be kept; `problems` says field by field what is wrong."""

    def __init__(self, problems: list[Any]) -> None:
        self.problems = problems
        first = problems[0]
        super().__init__(
            f"{first['field'] or 'Rule'}: {first['message']}",
            code="invalid_rule",
            field="definition",
        )


@transaction.atomic
def rule_save(
    *,
    organization_id: int,
    name: str,
    definition: Mapping[str, Any],
    actor: Actor,
    payer: Payer | None = None,
    number: int | None = None,
    at: datetime | None = None,
) -> PayerRule:
    """Keep a rule as its next version, switched off. Raises RuleProblems with everything that is
    wrong.
    """
    actor.require("rules.edit", organization_id)
    at = at or timezone.now()
    name = name.strip()
    if not name:
        raise Refused("Give the rule a name.", field="name", code="missing")
    wanted = dict(definition)
    if payer is not None:
        wanted["payers"] = [payer.code]
    problems = list(validate(wanted))
    if problems:
        raise RuleProblems(problems)
    version = 1
    if number is None:
        number = next_control_number(organization_id, "RULE")
    else:
        last = PayerRule.objects.filter(organization_id=organization_id, number=number).aggregate(
            Max("rule_version")
        )
        if last["rule_version__max"] is None:
            raise Refused("This rule is not known.", code="not_found", status=404)
        version = last["rule_version__max"] + 1
    then = wanted["then"]
    rule = PayerRule.objects.create(
        organization_id=organization_id,
        name=name[:80],
        number=number,
        rule_version=version,
        payer=payer,
        severity="B" if then["action"] == "hold" else "W",
        sentence=then["sentence"][:200],
        fix=then.get("fix", "")[:200],
        definition=wanted,
        active=False,
        effective_from=_day(wanted.get("effective_from")) or office_day(at),
        effective_to=_day(wanted.get("effective_to")),
        author=actor.name,
    )
    words = f"Rule {number} version {version} written: {rule.name}"
    record_steps(
        [Step(organization_id, "rule.saved", words, data={"rule": number, "version": version})],
        actor=actor,
        at=at,
    )
    return rule


def rule_backtest(*, rule: PayerRule, actor: Actor, at: datetime | None = None) -> dict[str, Any]:
    """What the rule would have stopped among the claims of the last year (at most 5,000): claims,
    dollars, caught denials, false holds.
    """
    actor.require("rules.edit", rule)
    at = at or timezone.now()
    day = office_day(at)
    rows = Claim.objects.filter(
        organization_id=rule.organization_id, first_submitted_at__gte=at - timedelta(days=PAST_DAYS)
    )
    statuses = dict(rows.order_by("-first_submitted_at").values_list("id", "status")[:MOST_PAST])
    tested = back_test(
        user_rule(rule),
        _past(statuses),
        as_of=day,
        reference=ReferenceFacts(procedures=procedure_rows()),
    )
    found = {
        "on": day.isoformat(),
        "claims": tested.claims,
        "stopped": tested.stopped,
        "warned": tested.warned,
        "dollars_stopped": str(tested.dollars_stopped),
        "caught_denials": tested.caught_denials,
        "dollars_caught": str(tested.dollars_caught),
        "false_holds": tested.false_holds,
        "dollars_false": str(tested.dollars_false),
        "missed_denials": tested.missed_denials,
        "unjudged": tested.unjudged,
        "precision": None if tested.precision is None else str(tested.precision),
        "examples": list(tested.examples),
    }
    PayerRule.objects.filter(pk=rule.pk).update(backtest=found)
    rule.backtest = found
    return found


def _past(statuses: Mapping[int, str]) -> Iterator[PastClaim]:
    ids = list(statuses)
    for start in range(0, len(ids), CHUNK):
        for sheet in load_sheets(ids[start : start + CHUNK]):
            yield PastClaim(sheet.facts, _OUTCOMES.get(ClaimStatus(statuses[sheet.claim.pk]), ""))


@transaction.atomic
def rule_switch(
    *, rule: PayerRule, on: bool, actor: Actor, at: datetime | None = None
) -> PayerRule:
    """Switch a version on (another version of the same rule goes off) or off. It must have been
    tested on past claims first.
    """
    actor.require("rules.edit", rule)
    at = at or timezone.now()
    if on and not rule.backtest:
        raise Refused(
            "Test the rule on past claims first.",
            code="untested",
            fix="Run the back-test, then switch the rule on.",
        )
    if on and validate(rule.definition):
        raise RuleProblems(list(validate(rule.definition)))
    if on:
        PayerRule.objects.filter(
            organization_id=rule.organization_id, number=rule.number, active=True
        ).update(active=False)
    if not PayerRule.objects.filter(pk=rule.pk, active=not on).update(active=on):
        raise Conflict("Somebody has switched this rule already.")
    rule.active = on
    words = f"Rule {rule.number} version {rule.rule_version} switched {'on' if on else 'off'}"
    record_steps(
        [Step(rule.organization_id, "rule.switched", words, data={"rule": rule.number, "on": on})],
        actor=actor,
        at=at,
    )
    return rule


def _day(value: object) -> date | None:
    return (
        value
        if isinstance(value, date)
        else date.fromisoformat(value)
        if isinstance(value, str) and value
        else None
    )
