"""What the mid-cycle does when something happens: exams are evaluated in bulk, again when what they
wait for has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import Q

from authorizations.models import Authorization
from charges.models import Charge, Exam, ExamStatus, Unsolicited
from charges.services import exams_evaluate, unsolicited_retry
from intake.models import Order
from rcm.accounts.actor import Actor
from rcm.exchange.services import Event

WAITING = (
    ExamStatus.PERFORMED,
    ExamStatus.PRELIMINARY,
    ExamStatus.FINAL,
    ExamStatus.CODED,
    ExamStatus.DISCONTINUED,
)


def on_evaluate(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    exams_evaluate(exam_ids=[e.payload["exam_id"] for e in events], actor=actor, at=at)


def _again(patient_ids: Iterable[int], *, actor: Actor, at: datetime) -> None:
    """Evaluate the held exams of these patients."""
    rows = Exam.objects.filter(patient_id__in=set(patient_ids), status__in=WAITING).filter(
        ~Q(holds=[])
    )
    exams_evaluate(exam_ids=rows.values_list("pk", flat=True), actor=actor, at=at)


def on_patient_facts(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """A coverage changed or was verified: what waited for it is looked at again."""
    _again(
        [e.payload["patient_id"] for e in events if e.payload.get("patient_id")], actor=actor, at=at
    )


def on_authorization(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    rows = Authorization.objects.filter(pk__in=[e.payload["authorization_id"] for e in events])
    _again(rows.values_list("patient_id", flat=True), actor=actor, at=at)


def on_order(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """An order came or changed: results that waited for one may have found it, and the match is
    another.
    """
    patients = set(
        Order.objects.filter(pk__in=[e.payload["order_id"] for e in events]).values_list(
            "patient_id", flat=True
        )
    )
    unsolicited_retry(patient_ids=patients, actor=actor, at=at)
    _again(patients, actor=actor, at=at)


def on_merge(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """Two charts became one: exams and charges belong to the one that stays."""
    for event in events:
        stays, gone = event.payload["patient_id"], event.payload["gone_id"]
        for model in (Exam, Charge, Unsolicited):
            model.objects.filter(patient_id=gone).update(patient_id=stays)
