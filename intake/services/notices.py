"""Advance notices of non-coverage: made from the necessity check, signed with a time, kept as a
document. Claims read their modifiers from here and nowhere else (`notice_states`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from intake.models import (
    AdvanceNotice,
    Appointment,
    AppointmentStatus,
    NoticeKind,
    NoticeOption,
    OrderedExam,
    OrderStatus,
)
from intake.necessity import NoticeState, notice_state
from intake.notice_pdf import notice_pdf
from intake.services.gates import clearance_refresh
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps


@transaction.atomic
def notice_make(
    *,
    appointment: Appointment,
    exam: OrderedExam,
    kind: str,
    reason: str,
    cost: Decimal,
    actor: Actor,
    at: datetime | None = None,
) -> AdvanceNotice:
    """Prepare a notice for one exam of a visit; it counts once it is signed."""
    actor.require("appointment.edit", appointment)
    at = at or timezone.now()
    if exam.appointment_id != appointment.pk or exam.status == OrderStatus.CANCELLED:
        raise Refused("Choose an exam of this visit.", code="other_visit", field="exam")
    if kind not in NoticeKind.values:
        raise Refused("Choose why Medicare may not pay.", code="kind", field="kind")
    if not reason.strip():
        raise Refused("Say why Medicare may not pay.", code="missing", field="reason")
    if cost <= 0:
        raise Refused("Enter the estimated cost.", code="amount", field="cost")
    row = AdvanceNotice.objects.create(
        organization_id=appointment.organization_id,
        appointment=appointment,
        ordered_exam=exam,
        code=exam.code,
        kind=kind,
        reason=reason.strip()[:300],
        cost=cost,
        actor_name=actor.name,
        made_at=at,
    )
    _step(row, "notice.made", f"Advance notice for {exam.code} prepared", actor, at)
    return row


@transaction.atomic
def notice_sign(
    *,
    notice: AdvanceNotice,
    option: str,
    signer: str,
    actor: Actor,
    signed_at: datetime | None = None,
    at: datetime | None = None,
) -> AdvanceNotice:
    """Keep the patient's choice and signature with its time. After the exam it is refused: a notice
    signed then is none.
    """
    actor.require("appointment.edit", notice)
    at = at or timezone.now()
    moment = signed_at or at
    row = AdvanceNotice.objects.select_for_update(of=("self",)).get(pk=notice.pk)
    if row.signed_at is not None:
        raise Conflict("This notice is signed already.", code="signed")
    if option not in NoticeOption.values:
        raise Refused("Choose one of the three options.", code="option", field="option")
    if not signer.strip():
        raise Refused("Enter who signed.", code="missing", field="signer")
    if moment > at:
        raise Refused("It cannot be signed in the future.", code="future", field="signed_at")
    visit = row.appointment
    if visit.status == AppointmentStatus.COMPLETED or row.ordered_exam.status == "completed":
        raise Refused(
            "The exam is done: a notice signed after it is none.", code="too_late", status=409
        )
    row.option, row.signer, row.signed_at = option, signer.strip()[:110], moment
    row.document = notice_pdf(row)
    row.save(update_fields=["option", "signer", "signed_at", "document"])
    words = NoticeOption(option).label
    _step(row, "notice.signed", f"Advance notice for {row.code} signed: {words}", actor, at)
    clearance_refresh([visit.pk], actor=actor, at=at)
    return row


def _step(row: AdvanceNotice, verb: str, sentence: str, actor: Actor, at: datetime) -> None:
    keys: dict[str, int | None] = {
        "patient_id": row.appointment.patient_id,
        "ordered_exam_id": row.ordered_exam_id,
    }
    record_steps([Step(row.organization_id, verb, sentence, keys)], actor=actor, at=at)


def notice_states(
    performed: Mapping[int, datetime | None],
) -> dict[int, NoticeState]:
    """What the last notice of each ordered exam says on a claim; `performed` tells when each exam
    began (None: not yet). Exams without a notice are left out. One query.
    """
    rows = (
        AdvanceNotice.objects.filter(ordered_exam_id__in=list(performed))
        .defer("document")
        .order_by("ordered_exam_id", "id")
    )
    return {
        row.ordered_exam_id: notice_state(
            row.kind, row.option, row.signed_at, performed[row.ordered_exam_id]
        )
        for row in rows
    }
