"""What the authorization phase does when the front end moves: orders, bookings, coverages and
answers decide the requirement again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from authorizations import services
from authorizations.models import Authorization
from intake.events import questions
from intake.models import OrderedExam
from intake.services import upcoming
from rcm.accounts.actor import Actor
from rcm.exchange.services import Event


def on_order_placed(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """A new order decides the requirement, but for exams that are on a calendar by now: their
    booking decides it, with its day and site.
    """
    ids = [i for e in events for i in e.payload["ordered_exam_ids"]]
    rows = OrderedExam.objects.filter(pk__in=ids, appointment__isnull=True).values_list(
        "id", flat=True
    )
    services.requirement_refresh(ordered_exam_ids=list(rows), actor=actor, at=at)


def on_order(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    services.requirement_refresh(
        ordered_exam_ids=[i for e in events for i in e.payload["ordered_exam_ids"]],
        actor=actor,
        at=at,
    )


def on_order_cancelled(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    services.exams_cancelled(
        ordered_exam_ids=[i for e in events for i in e.payload["ordered_exam_ids"]],
        actor=actor,
        at=at,
    )


def on_appointment(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    services.requirement_refresh(
        appointment_ids=[e.payload["appointment_id"] for e in events], actor=actor, at=at
    )


def on_appointment_gone(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """The visit was cancelled or missed: what is open is about the order again."""
    ids = [e.payload["appointment_id"] for e in events]
    rows = list(Authorization.objects.filter(appointment_id__in=ids).values_list("id", flat=True))
    services.authorizations_review(authorization_ids=rows, actor=actor, at=at)
    services.requirement_refresh(
        ordered_exam_ids=[i for e in events for i in e.payload["ordered_exam_ids"]],
        actor=actor,
        at=at,
    )


def on_patient_facts(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """A coverage changed, or a payer answered: the visits ahead may need something else now."""
    services.requirement_refresh(
        appointment_ids=upcoming([e.payload["patient_id"] for e in events], at=at),
        actor=actor,
        at=at,
    )


def on_exchange_failure(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    ids = [e.payload["interchange_id"] for e in events]
    failed = [*questions(ids, "278", "278"), *questions(ids, "PAS", "PAS")]
    services.requests_failed(interchange_ids=failed, actor=actor, at=at)
