"""What a payer decided, as the claim keeps it: status, payer's number, windows, events (rules
`replacement-or-void` and `claim-status-code`). Remittance calls; money is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from claims.marks import marks_free, marks_keep
from claims.models import Claim, ClaimStatus, SubmissionClaim, SubmissionState
from claims.records import Adjudicated, Outcome
from claims.services.steps import (
    CLAIM,
    REJECTIONS,
    SILENT,
    locked,
    may_become,
    may_move,
    rewrite,
    step,
)
from rcm.accounts import bulk
from rcm.accounts.actor import Actor
from rcm.audit.services import Step, record_steps
from rcm.reference.models import Payer
from rcm.worklist.services import close_items

_PAYS = (ClaimStatus.PAID, ClaimStatus.PARTIAL)
STATUS = {
    Outcome.PAID: ClaimStatus.PAID,
    Outcome.PARTIAL: ClaimStatus.PARTIAL,
    Outcome.DENIED: ClaimStatus.DENIED,
    Outcome.CLOSED: ClaimStatus.CLOSED,
}


@dataclass(slots=True)
class _Decided:
    """What a decision reads and changes of a claim: a file decides on thousands of them."""

    pk: int
    organization_id: int
    patient_id: int
    payer_id: int
    status: str
    decided_on: date | None
    corrected_deadline: date | None
    payer_control_number: str
    accepted_at: datetime | None
    last_answer_at: datetime | None
    version: int


CHANGED = (
    "status",
    "decided_on",
    "corrected_deadline",
    "payer_control_number",
    "accepted_at",
    "last_answer_at",
    "version",
)


def _locked(claim_ids: Iterable[int]) -> dict[int, _Decided]:
    """The claims, locked in one order."""
    rows = (
        Claim.objects.select_for_update()
        .filter(pk__in=list(claim_ids))
        .order_by("id")
        .values_list("id", "organization_id", "patient_id", "payer_id", *CHANGED)
    )
    return {row[0]: _Decided(*row) for row in rows}


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
    claims = _locked({item.claim_id for item in items})
    payers = Payer.objects.in_bulk({c.payer_id for c in claims.values()})
    steps: list[Step] = []
    moved: dict[int, _Decided] = {}
    for item in items:
        claim = claims.get(item.claim_id)
        if claim is None:
            continue
        steps.append(_decide(claim, payers[claim.payer_id], item, at))
        moved[claim.pk] = claim
    rows = list(moved.values())
    bulk.update(Claim, [{"id": c.pk, **{name: getattr(c, name) for name in CHANGED}} for c in rows])
    marks_free([c for c in rows if c.status == ClaimStatus.DENIED])
    marks_keep([c for c in rows if c.status in _PAYS])
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


def _decide(claim: _Decided, payer: Payer, item: Adjudicated, at: datetime) -> Step:
    """One decision on one claim; its step."""
    old = claim.status
    status = STATUS.get(item.outcome, old)
    if may_become(old, status):
        claim.status = status
    if item.outcome is not Outcome.REVERSED:
        claim.decided_on = item.decided_on
        days = payer.corrected_days
        claim.corrected_deadline = (
            item.decided_on + timedelta(days=days) if days is not None else None
        )
    if item.payer_control_number:
        claim.payer_control_number = item.payer_control_number[:50]
    claim.accepted_at = claim.accepted_at or at
    claim.last_answer_at = at
    claim.version += 1
    sentence = item.sentence or (
        f"{payer.name}: {item.outcome}, paid ${item.paid:,.2f}, patient ${item.patient:,.2f}"
    )
    keys = {
        "claim_id": claim.pk,
        "patient_id": claim.patient_id,
        "remittance_id": item.remittance_id,
        "interchange_id": item.interchange_id,
    }
    return Step(
        claim.organization_id,
        f"claim.{item.outcome}",
        sentence[:300],
        keys,
        old=old,
        new=claim.status,
    )


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
