"""Results that no order explained: link them to their order, dismiss them, or try again when the
order has come (rule `exam-match-order`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from charges.models import UNSOLICITED_MOVES, Unsolicited, UnsolicitedStatus
from charges.services.messages import reread
from intake.models import OrderedExam
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.exchange.models import Interchange
from rcm.exchange.transitions import Machine, advance
from rcm.worklist.services import close_items


def _locked(row: Unsolicited) -> Unsolicited:
    return Unsolicited.objects.select_for_update().get(pk=row.pk)


def _threads(rows: Sequence[Unsolicited]) -> dict[int, list[dict[str, int | None]]]:
    """The message of each result, and the order that it was linked to."""
    ordered = OrderedExam.objects.in_bulk([r.ordered_exam_id for r in rows if r.ordered_exam_id])
    return {
        row.pk: [
            {
                "interchange_id": row.interchange_id,
                "ordered_exam_id": row.ordered_exam_id,
                "patient_id": exam.patient_id
                if (exam := ordered.get(row.ordered_exam_id or 0))
                else None,
            }
        ]
        for row in rows
    }


RESULTS = Machine(noun="a result", verb="result", moves=UNSOLICITED_MOVES, keys=_threads)


@transaction.atomic
def unsolicited_link(
    *, unsolicited: Unsolicited, ordered_exam: OrderedExam, actor: Actor, at: datetime | None = None
) -> Unsolicited:
    """Say which ordered exam a result belongs to; the message is applied again and lands there."""
    if not actor.can("charge.review", unsolicited):
        actor.require("order.edit", unsolicited)
    at = at or timezone.now()
    row = _locked(unsolicited)
    if ordered_exam.organization_id != row.organization_id:
        raise Refused("That order belongs to another organization.", code="not_found", status=404)
    if row.patient_id and ordered_exam.patient_id != row.patient_id:
        raise Refused(
            "The message names another patient than this order.",
            field="ordered_exam",
            code="other_patient",
            fix="Dismiss it, and tell the sender.",
        )
    advance(
        RESULTS,
        [row],
        UnsolicitedStatus.LINKED,
        sentence=f"{row.kind} linked to the order of {ordered_exam.code}",
        actor=actor,
        at=at,
        changes={"ordered_exam_id": ordered_exam.pk},
    )
    reread(
        Interchange.objects.get(pk=row.interchange_id),
        actor=Actor.system("link", [row.organization_id]),
        at=at,
    )
    close_items("unsolicited", [row.pk], actor=actor, at=at, outcome="Linked to its order")
    _land_rest_of_step(row, at=at)
    row.refresh_from_db()
    return row


def _land_rest_of_step(row: Unsolicited, *, at: datetime) -> None:
    """The other messages of the same modality step go where a person sent this one."""
    message = Interchange.objects.get(pk=row.interchange_id)
    if message.kind != "MPPS" or not message.control_number:
        return
    waiting = Unsolicited.objects.filter(
        organization_id=row.organization_id, status=UnsolicitedStatus.WAITING, accession=""
    )
    rest = Interchange.objects.filter(
        pk__in=waiting.values("interchange_id"),
        organization_id=row.organization_id,
        kind="MPPS",
        control_number=message.control_number,
    ).order_by("id")
    for other in rest[:20]:
        reread(other, actor=Actor.system("link", [row.organization_id]), at=at)


@transaction.atomic
def unsolicited_dismiss(
    *, unsolicited: Unsolicited, reason: str, actor: Actor, at: datetime | None = None
) -> Unsolicited:
    """Put a result aside that belongs to no exam of ours. Its message stays."""
    if not actor.can("charge.review", unsolicited):
        actor.require("order.edit", unsolicited)
    at = at or timezone.now()
    if len(reason.strip()) < 5:
        raise Refused("Say why it is not ours.", field="reason", code="missing")
    row = _locked(unsolicited)
    why = reason.strip()[:200]
    advance(
        RESULTS,
        [row],
        UnsolicitedStatus.DISMISSED,
        sentence=f"{row.kind} dismissed",
        actor=actor,
        at=at,
        reason=why,
        changes={"reason": why},
    )
    close_items("unsolicited", [row.pk], actor=actor, at=at, outcome="Dismissed")
    return row


@transaction.atomic
def unsolicited_retry(
    *,
    patient_ids: Iterable[int] = (),
    everything: bool = False,
    actor: Actor,
    at: datetime | None = None,
    most: int = 200,
) -> int:
    """Apply waiting results again, those of some patients or all, oldest first; returns how many
    found their exam.
    """
    at = at or timezone.now()
    rows = Unsolicited.objects.filter(
        organization_id__in=actor.organizations, status=UnsolicitedStatus.WAITING
    )
    if not everything:
        rows = rows.filter(patient_id__in=list(patient_ids))
    waiting = list(rows.order_by("id").values_list("pk", "interchange_id")[:most])
    for interchange in Interchange.objects.filter(pk__in={i for _, i in waiting}).order_by("id"):
        reread(interchange, actor=actor, at=at)
    return Unsolicited.objects.filter(
        pk__in=[pk for pk, _ in waiting], status=UnsolicitedStatus.LINKED
    ).count()
