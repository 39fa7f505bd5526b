"""The match for callers that speak JSON: `POST /api/v1/match` hands its body over and sends the
answer back.

Request: `{"ordered": {…}, "authorized": {…}, "performed": {…}, "billed": {…}, "requirement":
{"verdict": …}, "policy": {…}, "change": {…}, "as_of": "YYYY-MM-DD", "strict": false}`; every part
is optional, at least one of ordered, performed and billed is needed. Field names are those of
`authorizations.facts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from authorizations.facts import (
    AuthorizedFact,
    BilledFact,
    MatchPolicy,
    MatchRequest,
    OrderedFact,
    PerformedFact,
)
from authorizations.matching import MatchContext, as_dict, judge_order, match_exam
from authorizations.ordering import NO_EVIDENCE, ChangeEvidence
from authorizations.requirement import (
    Requirement,
    RequirementAnswer,
    RequirementQuery,
    RequirementRules,
)
from rcm.jsonfacts import Problem, problem, read_facts

PARTS = frozenset(
    {
        "key",
        "ordered",
        "authorized",
        "performed",
        "billed",
        "requirement",
        "query",
        "policy",
        "change",
        "as_of",
        "strict",
    }
)


def match(
    payload: Mapping[str, Any],
    *,
    context: MatchContext,
    today: date,
    rules: RequirementRules | None = None,
) -> dict[str, Any]:
    """Judge one exam from JSON. Answers `{"errors": [{field, code, message}]}` or the result of
    `matching.as_dict`.

    The requirement is taken from the payload, else from `rules` when a `query` is given, else it is
    unknown.
    """
    problems: list[Problem] = []
    if not isinstance(payload, Mapping):
        return {
            "errors": [problem("", "not_an_object", "Give an object with the facts of one exam.")]
        }
    for name in sorted(map(str, set(payload) - PARTS)):
        problems.append(problem(name[:60], "unknown_field", f"There is no part '{name[:60]}'."))
    ordered = _part(OrderedFact, payload, "ordered", problems)
    authorized = _part(AuthorizedFact, payload, "authorized", problems)
    performed = _part(PerformedFact, payload, "performed", problems)
    billed = _part(BilledFact, payload, "billed", problems)
    policy = _part(MatchPolicy, payload, "policy", problems) or MatchPolicy()
    change = _part(ChangeEvidence, payload, "change", problems) or NO_EVIDENCE
    query = _part(RequirementQuery, payload, "query", problems)
    answer = _requirement(payload.get("requirement"), problems)
    as_of, strict, key = payload.get("as_of"), payload.get("strict", False), payload.get("key", "")
    day = today
    if as_of is not None:
        try:
            day = date.fromisoformat(as_of)
        except (TypeError, ValueError):
            problems.append(problem("as_of", "invalid", "Give a date as YYYY-MM-DD."))
    if not isinstance(strict, bool):
        problems.append(problem("strict", "invalid", "Give true or false."))
    if not isinstance(key, str):
        problems.append(problem("key", "invalid", "Give a text here."))
    if (
        not any(fact is not None and fact.code for fact in (ordered, performed, billed))
        and not problems
    ):
        problems.append(
            problem(
                "performed",
                "required",
                "Give at least one of ordered, performed or billed, with its code.",
            )
        )
    for part, fact in (("ordered", ordered), ("performed", performed), ("billed", billed)):
        if fact is not None and fact.units < 1:
            problems.append(problem(f"{part}.units", "invalid", "Units start at 1."))
    if problems:
        return {"errors": problems}
    if answer is None and query is not None and rules is not None:
        answer = rules.check(query)
    request = MatchRequest(ordered, authorized, performed, billed, answer, policy, key)
    shared = replace(context, strict=strict)
    return as_dict(match_exam(request, shared, as_of=day), judge_order(request, shared, change))


def _part(kind: type[Any], payload: Mapping[str, Any], name: str, problems: list[Problem]) -> Any:
    raw = payload.get(name)
    return None if raw is None else read_facts(kind, raw, name, problems)


def _requirement(raw: object, problems: list[Problem]) -> RequirementAnswer | None:
    """Accepts the bare word (required, not_required, unknown) or an object with `verdict`,
    `sentence`, `rule_id` …
    """
    if raw is None:
        return None
    if isinstance(raw, str):
        raw = {"verdict": raw}
    if isinstance(raw, Mapping):
        raw = {"sentence": "As stated by the caller.", **raw}
        if str(raw.get("verdict")) not in set(Requirement):
            problems.append(
                problem(
                    "requirement.verdict",
                    "not_a_choice",
                    "Give one of: required, not_required, unknown.",
                )
            )
            return None
    return read_facts(RequirementAnswer, raw, "requirement", problems)
