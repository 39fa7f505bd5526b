"""Rules written by users: versions that are never edited, a back-test before one
is switched on, fail-closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import CharField, Count, Exists, Max, OuterRef, Q, Sum, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from claims.edits.learning import Case, Learned, learn
from claims.edits.reference import ReferenceFacts
from claims.edits.subject import Subject
from claims.edits.userrules import PastClaim, back_test, validate
from claims.facts import load_sheets, procedure_rows
from claims.models import Claim, ClaimLine, ClaimStatus, PayerRule, ScrubFinding
from claims.outcomes import denied_lines
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
    learned: Mapping[str, Any] | None = None,
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
        author_user_id=actor.user_id,
        learned=dict(learned or {}),
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
        "verdicts": [[v.claim, v.verdict, str(v.charge), str(v.expected)] for v in tested.verdicts],
        "expected_caught": str(
            sum((v.expected for v in tested.verdicts if v.verdict == "caught"), Decimal(0))
        ),
    }
    PayerRule.objects.filter(pk=rule.pk).update(backtest=found)
    rule.backtest = found
    return found


def _past(statuses: Mapping[int, str]) -> Iterator[PastClaim]:
    ids = list(statuses)
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        denied = denied_lines(part)
        for sheet in load_sheets(part):
            # a claim of which one line was denied counts as denied, whatever the others paid
            lost = sum((denied.get(line.pk, Decimal(0)) for line in sheet.lines), Decimal(0))
            outcome = _OUTCOMES.get(ClaimStatus(statuses[sheet.claim.pk]), "")
            yield PastClaim(sheet.facts, "denied" if lost else outcome, lost)


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
    if on and actor.user_id is not None and actor.user_id == rule.author_user_id:
        raise Refused(
            "Somebody else must switch on a rule that you wrote.",
            code="same_person",
            fix="Ask another person who may edit rules to read it and switch it on.",
        )
    if on and validate(rule.definition):
        raise RuleProblems(list(validate(rule.definition)))
    if on:
        PayerRule.objects.filter(
            organization_id=rule.organization_id, number=rule.number, active=True
        ).update(active=False, switched_off=at)
    since = {"switched_on": at, "switched_off": None} if on else {"switched_off": at}
    if not PayerRule.objects.filter(pk=rule.pk, active=not on).update(active=on, **since):
        raise Conflict("Somebody has switched this rule already.")
    rule.active = on
    words = f"Rule {rule.number} version {rule.rule_version} switched {'on' if on else 'off'}"
    record_steps(
        [Step(rule.organization_id, "rule.switched", words, data={"rule": rule.number, "on": on})],
        actor=actor,
        at=at,
    )
    return rule


FEW_PAID, FEW_DENIED = 500, 200


@transaction.atomic
def rule_propose(
    *,
    organization_id: int,
    payer: Payer,
    lines: Mapping[int, int],
    cause: str,
    words: str,
    fix: str,
    actor: Actor,
    at: datetime | None = None,
) -> PayerRule:
    """A rule from denied lines (`lines`: line to claim) of one payer and reason: the condition is
    what they share and paid claims of the payer do not. Kept switched off and tested on past
    claims; one with the same condition that is there already is given back. Refused where they share nothing that a rule could ask.
    """
    actor.require("rules.edit", organization_id)
    at = at or timezone.now()
    claims = sorted(set(lines.values()))[-FEW_DENIED:]
    paid = Claim.objects.filter(
        organization_id=organization_id,
        payer=payer,
        status__in=[ClaimStatus.PAID, ClaimStatus.CLOSED],
        first_submitted_at__gte=at - timedelta(days=PAST_DAYS),
    ).exclude(pk__in=claims)
    good = list(paid.order_by("-first_submitted_at").values_list("pk", flat=True)[:FEW_PAID])
    day = office_day(at)
    learned = learn(_cases(claims, set(lines), day), _cases(good, None, day))
    if not learned.conditions:
        raise Refused(
            f"These {len(claims):,} claims share nothing that tells them from paid ones.",
            code="nothing_shared",
            fix="Write the rule by hand, or look at the claims one by one.",
        )
    definition = {
        "when": learned.when,
        "then": {
            "action": "hold",
            "sentence": f"{payer.name} denies such claims ({cause}): {words}."[:200],
            "fix": fix[:200],
            "owner": "biller",
        },
    }
    known = PayerRule.objects.filter(
        organization_id=organization_id, payer=payer, definition__when=learned.when
    ).last()
    if known is not None:
        return known
    rule = rule_save(
        organization_id=organization_id,
        name=f"{cause}: {words}"[:80],
        definition=definition,
        payer=payer,
        learned=_told_of(learned, cause),
        actor=actor,
        at=at,
    )
    rule_backtest(rule=rule, actor=actor, at=at)
    return rule


def _cases(claim_ids: list[int], lines: set[int] | None, day: date) -> Iterator[Case]:
    """Claims with the lines that count: `lines`, or all."""
    reference = ReferenceFacts(procedures=procedure_rows())
    for start in range(0, len(claim_ids), CHUNK):
        for sheet in load_sheets(claim_ids[start : start + CHUNK]):
            subject = Subject(sheet.facts, reference, day)
            of = {row.number for row in sheet.lines if lines is None or row.pk in lines}
            yield Case(subject, [line for line in subject.lines if line.number in of])


def _told_of(learned: Learned, cause: str) -> dict[str, Any]:
    return {
        "cause": cause,
        "denied": learned.denied,
        "all_denied": learned.all_denied,
        "paid": learned.paid,
        "all_paid": learned.all_paid,
        "conditions": [[c.node, c.denied, c.paid] for c in learned.conditions],
    }


QUIET = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Worth:
    """What a rule has done: claims it fired on, of those corrected before they went out with what
    their lines were expected to pay, those overridden, and why it should be retired, if so.
    """

    hits: int
    corrected: int
    prevented: Decimal
    overridden: int
    retire: str = ""


def rules_worth(rules: Iterable[PayerRule], *, at: datetime | None = None) -> dict[int, Worth]:
    """What each rule has done, by its key. Three queries."""
    at = at or timezone.now()
    rows = list(rules)
    edits = {(r.organization_id, f"USR-{r.number}") for r in rows}
    findings = ScrubFinding.objects.filter(
        organization_id__in={o for o, _ in edits}, edit__in={e for _, e in edits}
    )
    # what went away because the rule was switched off was not corrected
    on = PayerRule.objects.annotate(edit=Concat(Value("USR-"), Cast("number", CharField()))).filter(
        organization_id=OuterRef("organization_id"),
        edit=OuterRef("edit"),
        switched_on__lte=OuterRef("cleared_at"),
    )
    on = on.filter(Q(switched_off__isnull=True) | Q(switched_off__gt=OuterRef("cleared_at")))
    fixed = Q(cleared_at__isnull=False, overridden_by="") & Exists(on)
    counted = {
        (f["organization_id"], f["edit"]): f
        for f in findings.values("organization_id", "edit")
        .annotate(
            hits=Count("claim_id", distinct=True),
            overridden=Count("claim_id", distinct=True, filter=~Q(overridden_by="")),
            last=Max("found_at"),
        )
        .order_by()
    }
    corrected: dict[tuple[int, str], set[int]] = {}
    for organization, edit, claim in findings.filter(fixed).values_list(
        "organization_id", "edit", "claim_id"
    ):
        corrected.setdefault((organization, edit), set()).add(claim)
    expected = dict(
        ClaimLine.objects.filter(claim_id__in={c for ids in corrected.values() for c in ids})
        .values_list("claim_id")
        .annotate(t=Sum("expected"))
        .order_by()
    )
    found: dict[int, Worth] = {}
    for rule in rows:
        key = (rule.organization_id, f"USR-{rule.number}")
        told: Mapping[str, Any] = counted.get(key, {})
        claims = corrected.get(key, set())
        found[rule.pk] = Worth(
            told.get("hits", 0),
            len(claims),
            sum((expected.get(c) or Decimal(0) for c in claims), Decimal(0)),
            told.get("overridden", 0),
            _why_retire(rule, told, at),
        )
    return found


def _why_retire(rule: PayerRule, told: Mapping[str, Any], at: datetime) -> str:
    if not rule.active or rule.switched_on is None or rule.switched_on > at - QUIET:
        return ""
    last = told.get("last")
    if last is None or last < at - QUIET:
        return f"It has stopped nothing for {QUIET.days} days."
    if told["hits"] >= 5 and told["overridden"] == told["hits"]:
        return f"All {told['hits']:,} claims that it stopped were sent unchanged."
    return ""


def _day(value: object) -> date | None:
    return (
        value
        if isinstance(value, date)
        else date.fromisoformat(value)
        if isinstance(value, str) and value
        else None
    )
