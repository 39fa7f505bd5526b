"""What every verb of the phase shares: locks, moves by the table of statuses, the claim's own step
and work item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Model

from claims.models import CLAIM_MOVES, Claim, ClaimLine, ClaimStatus
from claims.sheets import Policy
from rcm.accounts import bulk
from rcm.accounts.problems import Refused
from rcm.audit.services import Step
from rcm.worklist.services import ItemSpec

EDITS, REJECTIONS, MISSING, SILENT, FILING, CORRECTIONS, OFF_CLAIM_QUEUE, RECORDS = (
    "scrub_edits",
    "rejections",
    "missing_acks",
    "silent_payers",
    "filing_limit",
    "claim_corrections",
    "off_claim",
    "records_wanted",
)
CLAIM, SUBMISSION = "claim", "submission"


def locked(claim_ids: Iterable[int]) -> list[Claim]:
    """The claims, locked in one order, with what their steps and items name."""
    rows = Claim.objects.select_for_update(of=("self",)).filter(pk__in=list(claim_ids))
    return list(
        rows.select_related("patient", "payer", "coverage__plan", "site", "organization").order_by(
            "id"
        )
    )


def rewrite(rows: Sequence[Model], fields: Sequence[str]) -> None:
    """Write these fields of many rows of one table, as `bulk_update` does, whose expression for
    each value costs more than the row itself.
    """
    if not rows:
        return
    meta = rows[0]._meta
    columns: list[Any] = [meta.get_field(name) for name in fields]
    values = [
        {"id": row.pk, **{column.column: getattr(row, column.attname) for column in columns}}
        for row in rows
    ]
    bulk.update(type(rows[0]), values)


def may_move(claim: Claim, status: str) -> bool:
    """Whether the table of moves lets the claim take this status; staying is always allowed."""
    return may_become(claim.status, status)


def may_become(old: str, new: str) -> bool:
    return new == old or new in CLAIM_MOVES[old]


def require_move(claim: Claim, status: str) -> None:
    if not may_move(claim, status):
        raise Refused(
            f"Claim {claim.number} is {claim.get_status_display().lower()}; it cannot become"
            f" {ClaimStatus(status).label.lower()}.",
            code="not_allowed",
        )


def step(claim: Claim, verb: str, sentence: str, **more: Any) -> Step:
    """A step of the claim's timeline."""
    keys: dict[str, int | None] = {
        "claim_id": claim.pk,
        "patient_id": claim.patient_id,
        **more.pop("keys", {}),
    }
    return Step(claim.organization_id, verb, sentence, keys, **more)


def steps_of_exams(
    claim: Claim, exam_ids: Iterable[int], verb: str, sentence: str, **more: Any
) -> list[Step]:
    """The same step for each exam, so that each exam's timeline leads to its claim."""
    return [
        step(claim, verb, sentence, keys={"exam_id": pk}, **more) for pk in sorted(set(exam_ids))
    ]


def exam_words(lines: Iterable[ClaimLine]) -> str:
    """The codes of a claim as a queue shows them: 70553, A9585."""
    return ", ".join("-".join([line.code, *line.modifiers[:1]]) for line in list(lines)[:3])


def item(
    claim: Claim,
    queue: str,
    cause: str,
    title: str,
    *,
    fix: str,
    at: datetime,
    policy: Policy,
    lines: Iterable[ClaimLine] = (),
    facts: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
) -> ItemSpec:
    """A work item about a claim: dollars are what it should bring, the deadline its filing
    limit.
    """
    own = list(lines)
    exams = {line.charge.exam_id for line in own}
    deadline = claim.filing_deadline if claim.frequency == "1" else claim.corrected_deadline
    return ItemSpec(
        organization_id=claim.organization_id,
        queue=queue,
        subject_type=CLAIM,
        subject_id=claim.pk,
        cause=cause[:60],
        title=title[:200],
        fix=fix[:200],
        due_at=policy.work_due(at, deadline),
        dollars=_at_stake(claim, own),
        deadline_on=deadline,
        site_id=claim.site_id,
        patient_id=claim.patient_id,
        patient_name=claim.patient.name,
        exam_id=exams.pop() if len(exams) == 1 else None,
        claim_id=claim.pk,
        payer_id=claim.payer_id,
        payer_name=claim.payer.name,
        tags=tuple(tags),
        facts={
            "claim": claim.number,
            "service_date": claim.service_date.isoformat(),
            "exam": exam_words(own),
            "total": str(claim.total),
            **(facts or {}),
        },
    )


def _at_stake(claim: Claim, lines: Sequence[ClaimLine]) -> Decimal:
    """What the claim should bring: its expected payment, else the part of it that is known, else
    its charge.
    """
    if claim.expected is not None:
        return claim.expected
    known = [line.expected for line in lines if line.expected is not None]
    return sum(known, Decimal("0.00")) if known else claim.total
