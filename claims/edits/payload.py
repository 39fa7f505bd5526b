"""Scrubbing for callers that speak JSON: `POST /api/v1/scrub` hands its body over and sends the
answer back.

Request: `{"claims": [{…}], "as_of": "YYYY-MM-DD", "repair": true}`; the fields of a claim are those
of `claims.edits.facts.ClaimFacts`, amounts as text. Claims of one request see each other
(duplicates, contradictions).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from claims.edits.engine import link_batch, scrub_iter
from claims.edits.facts import ClaimFacts
from claims.edits.reference import ReferenceFacts
from claims.edits.registry import Override, catalogue
from claims.edits.repairs import Repair, repair
from claims.edits.userrules import UserRule
from rcm.jsonfacts import Problem, problem, read_facts

MAX_CLAIMS = 1_000


def scrub_payload(
    payload: Mapping[str, Any],
    reference: ReferenceFacts,
    *,
    today: date,
    overrides: Sequence[Override] = (),
    rules: Sequence[UserRule] = (),
) -> dict[str, Any]:
    """Scrub claims from JSON. Answers `{"errors": [{field, code, message}]}` or one result for each
    claim.
    """
    problems: list[Problem] = []
    if not isinstance(payload, Mapping):
        return {"errors": [problem("", "not_an_object", "Give an object with the claims.")]}
    for key in sorted(str(key) for key in payload if key not in {"claims", "as_of", "repair"}):
        problems.append(
            problem(key[:60], "unknown_field", "A request has claims, as_of and repair.")
        )
    day = today
    if payload.get("as_of") is not None:
        try:
            day = date.fromisoformat(payload["as_of"])
        except (TypeError, ValueError):
            problems.append(problem("as_of", "invalid", "Give a date as YYYY-MM-DD."))
    mend = payload.get("repair", False)
    if not isinstance(mend, bool):
        problems.append(problem("repair", "invalid", "Give true or false."))
    claims, repairs = _claims(payload.get("claims"), problems, mend=mend is True)
    if problems:
        return {"errors": problems}
    found = scrub_iter(link_batch(claims), reference, as_of=day, overrides=overrides, rules=rules)
    results: list[dict[str, Any]] = [
        {
            "claim_id": claim.claim_id,
            "passes": not any(finding.blocks for finding in findings),
            "findings": [finding.as_dict() for finding in findings],
            "repairs": [item.as_dict() for item in mended],
        }
        for claim, mended, findings in zip(claims, repairs, found, strict=True)
    ]
    hits = Counter(finding["edit"] for result in results for finding in result["findings"])
    return {
        "claims": results,
        "summary": {
            "claims": len(results),
            "passed": sum(result["passes"] for result in results),
            "hits": dict(hits.most_common()),
        },
    }


def catalogue_rows() -> list[dict[str, Any]]:
    """The edit catalogue as plain rows, for its page and for the API."""
    return [
        {
            "id": item.edit_id,
            "family": item.family,
            "severity": item.severity.value,
            "sentence": item.sentence,
            "field": item.field,
            "fix": item.fix,
            "owner": item.owner.value,
            "rule": item.rule,
            "source": item.source,
            "products": sorted(item.products),
            "effective_from": item.effective_from,
            "effective_to": item.effective_to,
            "tables": list(item.tables),
            "carc": list(item.carc),
            "rarc": list(item.rarc),
            "overridable": item.overridable,
        }
        for item in catalogue().values()
    ]


def _claims(
    raw: object, problems: list[Problem], *, mend: bool
) -> tuple[list[ClaimFacts], list[tuple[Repair, ...]]]:
    if not isinstance(raw, Sequence) or isinstance(raw, (str, bytes)) or not raw:
        problems.append(problem("claims", "required", "Give at least one claim."))
        return [], []
    if len(raw) > MAX_CLAIMS:
        problems.append(
            problem("claims", "too_many", f"At most {MAX_CLAIMS} claims in one request.")
        )
        return [], []
    claims: list[ClaimFacts] = []
    repairs: list[tuple[Repair, ...]] = []
    for n, item in enumerate(raw):
        claim = read_facts(ClaimFacts, _numbered(item), f"claims[{n}]", problems)
        if claim is not None:
            mended: tuple[Repair, ...] = ()
            if mend:
                claim, mended = repair(claim)
            claims.append(claim)
            repairs.append(mended)
    return claims, repairs


def _numbered(claim: object) -> object:
    """Lines without a number get their place as number."""
    if isinstance(claim, Mapping) and isinstance(claim.get("lines"), list):
        lines = [
            {"number": n, **line} if isinstance(line, Mapping) else line
            for n, line in enumerate(claim["lines"], start=1)
        ]
        return {**claim, "lines": lines}
    return claim
