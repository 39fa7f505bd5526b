"""What a payer decided, as the claim keeps it: status, payer's number, windows, events (rules
`replacement-or-void` and `claim-status-code`). Remittance calls; money is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from claims.marks import marks_free, marks_put
from claims.models import ClaimStatus, SubmissionClaim, SubmissionState
from claims.records import Adjudicated, Outcome
from claims.services.steps import CLAIM, REJECTIONS, SILENT, locked, may_move, rewrite, step
from rcm.accounts.actor import Actor
from rcm.audit.services import Step, record_steps
from rcm.worklist.services import close_items

_PAYS = (ClaimStatus.PAID, ClaimStatus.PARTIAL)
STATUS = {
    Outcome.PAID: ClaimStatus.PAID,
    Outcome.PARTIAL: ClaimStatus.PARTIAL,
    Outcome.DENIED: ClaimStatus.DENIED,
    Outcome.CLOSED: ClaimStatus.CLOSED,
}


@transaction.atomic
def claims_adjudicated(
    *, items: Sequence[Adjudicated], actor: Actor, at: datetime | None = None
) -> int:
    """Keep payers' decisions on their claims, in the order given; returns how many claims moved.

    A decision proves that the claim was received: it counts as accepted in its file. A status that
    the table of moves does not allow (a claim that is void) leaves the claim where it is; the event
    tells. A reversal moves nothing.
    """
    at = at or timezone.now()
    claims = {c.pk: c for c in locked({item.claim_id for item in items})}
    steps: list[Step] = []
    moved: set[int] = set()
    for item in items:
        claim = claims.get(item.claim_id)
        if claim is None:
            continue
        old = claim.status
        status = STATUS.get(item.outcome, old)
        if may_move(claim, status):
            claim.status = status
        if item.outcome is not Outcome.REVERSED:
            claim.decided_on = item.decided_on
            days = claim.payer.corrected_days
            claim.corrected_deadline = (
                item.decided_on + timedelta(days=days) if days is not None else None
            )
        if item.payer_control_number:
            claim.payer_control_number = item.payer_control_number[:50]
        claim.accepted_at = claim.accepted_at or at
        claim.last_answer_at = at
        claim.version += 1
        moved.add(claim.pk)
        keys: dict[str, int | None] = {
            "remittance_id": item.remittance_id,
            "interchange_id": item.interchange_id,
        }
        sentence = (
            item.sentence
            or f"{claim.payer.name}: {item.outcome}, paid ${item.paid:,.2f}, patient ${item.patient:,.2f}"
        )
        steps.append(
            step(
                claim, f"claim.{item.outcome}", sentence[:300], keys=keys, old=old, new=claim.status
            )
        )
    fields = [
        "status",
        "decided_on",
        "corrected_deadline",
        "payer_control_number",
        "accepted_at",
        "last_answer_at",
        "version",
    ]
    rewrite([claims[pk] for pk in moved], fields)
    marks_free([claims[pk] for pk in moved if claims[pk].status == ClaimStatus.DENIED])
    marks_put([claims[pk] for pk in moved if claims[pk].status in _PAYS])
    open_states = [SubmissionState.WAITING, SubmissionState.MISSING]
    SubmissionClaim.objects.filter(claim_id__in=moved, state__in=open_states).update(
        state=SubmissionState.ACCEPTED, answered_at=at
    )
    record_steps(steps, actor=actor, at=at)
    close_items(
        CLAIM,
        moved,
        actor=actor,
        at=at,
        outcome="The payer has decided",
        queues=[SILENT, REJECTIONS],
    )
    return len(moved)


@transaction.atomic
def claims_close(
    *, claim_ids: Iterable[int], reason: str, actor: Actor, at: datetime | None = None
) -> int:
    """Claims whose balance is zero, or that nobody pursues any more: closed. Those that may not
    close are left; returns how many closed.
    """
    at = at or timezone.now()
    rows = [
        c
        for c in locked(claim_ids)
        if c.status != ClaimStatus.CLOSED and may_move(c, ClaimStatus.CLOSED)
    ]
    steps = []
    for claim in rows:
        steps.append(
            step(claim, "claim.closed", reason[:300], old=claim.status, new=ClaimStatus.CLOSED)
        )
        claim.status = ClaimStatus.CLOSED
        claim.version += 1
    rewrite(rows, ["status", "version"])
    record_steps(steps, actor=actor, at=at)
    return len(rows)
