"""What the front end does when something happens: its own bookings and coverages are verified, lost
questions end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import Q

from intake.models import Appointment, Coverage, CoverageStatus
from intake.services import (
    LIVE,
    appointments_verify,
    asks_failed,
    charts_settle,
    clearance_refresh,
    estimates_refresh,
    upcoming,
)
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock, office_day
from rcm.accounts.problems import Refused
from rcm.exchange.models import Interchange
from rcm.exchange.services import Event


def on_appointment(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """A visit was booked or moved: ask the payers of coverages that nobody has verified yet, and
    compute its gates.
    """
    ids = [e.payload["appointment_id"] for e in events]
    _verify(
        Appointment.objects.filter(pk__in=ids, status__in=LIVE).select_related("site"),
        actor,
        at,
        unverified_only=True,
    )
    clearance_refresh(ids, actor=actor, at=at)


def on_arrival(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """The patient is here: ask once more unless today's answer is known."""
    _verify(
        Appointment.objects.filter(
            pk__in=[e.payload["appointment_id"] for e in events]
        ).select_related("site"),
        actor,
        at,
        unverified_only=False,
    )


def on_coverage(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """A coverage changed: the gates of the patient's visits depend on it; one that must be verified
    anew is.
    """
    ids = upcoming([e.payload["patient_id"] for e in events], at=at)
    _verify(
        Appointment.objects.filter(pk__in=ids).select_related("site"),
        actor,
        at,
        unverified_only=True,
    )
    estimates_refresh(ids, actor=actor, at=at)
    clearance_refresh(ids, actor=actor, at=at)


def on_answer(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """A payer has answered: estimates whose figures follow from the answer are made again."""
    ids = upcoming([e.payload["patient_id"] for e in events], at=at)
    estimates_refresh(ids, actor=actor, at=at)


def on_patient(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    clearance_refresh(
        upcoming([e.payload["patient_id"] for e in events], at=at), actor=actor, at=at
    )


def on_merge(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """Two charts became one: what was being written meanwhile comes along, and the visits of the
    chart that stays are cleared again.
    """
    charts_settle(gone_ids=[e.payload["gone_id"] for e in events], actor=actor, at=at)
    on_patient(events, actor=actor, at=at)


def on_order(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """An order was completed, changed or cancelled: its visits' gates follow."""
    exams = [i for e in events for i in e.payload["ordered_exam_ids"]]
    ids = (
        Appointment.objects.filter(ordered_exams__in=exams, status__in=LIVE)
        .values_list("id", flat=True)
        .distinct()
    )
    estimates_refresh(list(ids), actor=actor, at=at)
    clearance_refresh(list(ids), actor=actor, at=at)


def on_network(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """Sites stand otherwise with a payer: the gates of coming visits there follow, and so do the
    estimates, which ask for benefits in or out of network.
    """
    reach = Q(pk__in=())
    for event in events:
        for payer_id, site_ids in event.payload["sites"]:
            reach |= Q(site_id__in=site_ids, patient__coverages__payer_id=payer_id)
    rows = Appointment.objects.filter(
        reach,
        organization_id=events[0].organization_id,
        status__in=LIVE,
        starts_at__gte=office_clock().begins(office_day(at)),
    )
    ids = list(rows.values_list("id", flat=True).distinct())
    estimates_refresh(ids, actor=actor, at=at)
    clearance_refresh(ids, actor=actor, at=at)


def on_exchange_failure(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """A 270 could not leave, or its 271 could not be read: the check ends without an answer."""
    asks_failed(
        interchange_ids=questions([e.payload["interchange_id"] for e in events], "270", "271"),
        actor=actor,
        at=at,
    )


def questions(interchange_ids: Iterable[int], asked: str, answered: str) -> list[int]:
    """The outbound questions that these failed interchanges are, or were meant to answer."""
    rows = Interchange.objects.filter(
        pk__in=list(interchange_ids), kind__in=[asked, answered]
    ).values_list("id", "direction", "answer_to_id")
    return [
        pk if direction == "out" else answer_to
        for pk, direction, answer_to in rows
        if direction == "out" or answer_to
    ]


def _verify(
    appointments: Iterable[Appointment], actor: Actor, at: datetime, *, unverified_only: bool
) -> None:
    rows = list(appointments)
    coverages = Coverage.objects.filter(patient_id__in={a.patient_id for a in rows}, active=True)
    if unverified_only:
        coverages = coverages.filter(status=CoverageStatus.UNVERIFIED)
    else:
        coverages = coverages.exclude(verified_at__gte=office_clock().begins(office_day(at)))
    wanted = set(coverages.values_list("patient_id", flat=True))
    try:
        appointments_verify(
            appointments=[a for a in rows if a.patient_id in wanted], actor=actor, at=at
        )
    except Refused as problem:
        # without a connection nobody can be asked; the gate says "not verified yet" and the desk
        # calls
        if problem.code != "no_connection":
            raise
