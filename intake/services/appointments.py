"""Verbs on appointments: book, move, confirm, check in, complete, cancel, no-show; a gate that says
stop stops them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from intake.clearance import GateName, State, Verb, blocking
from intake.models import (
    APPOINTMENT_MOVES,
    Appointment,
    AppointmentStatus,
    Order,
    OrderedExam,
    OrderStatus,
    Patient,
)
from intake.services.chosen import require_one_payer
from intake.services.gates import (
    GateAnswer,
    GateAsk,
    clearance_refresh,
    dollars_at_risk,
    gate_decide,
    gates_of,
    local_day,
    preview,
    require_open,
)
from intake.services.overrides import gate_override
from rcm.accounts.actor import Actor
from rcm.accounts.models import Site
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.together import at_once, together
from rcm.audit.services import Step, record_steps
from rcm.exchange.outbox import publish
from rcm.pricing.services import list_prices


@transaction.atomic
def appointment_book(
    *,
    patient: Patient,
    site: Site,
    starts_at: datetime,
    exams: Sequence[OrderedExam],
    actor: Actor,
    minutes: int = 30,
    resource: str = "",
    number: str = "",
    modality: str = "",
    scheduled_codes: Sequence[str] = (),
    override_reason: str = "",
    enforce: bool = True,
    at: datetime | None = None,
) -> Appointment:
    """Put ordered exams on a site's calendar. A gate that already says stop refuses it (code
    `gate_stop`, 409).

    With `override_reason` and the permission the booking goes through and each override is kept.
    `enforce=False` records what another scheduler has booked; its gates are computed by what
    follows the event "appointment.booked", and the board then shows the stop.
    """
    actor.require("appointment.edit", patient)
    at = at or timezone.now()
    if site.organization_id != patient.organization_id or not actor.can("appointment.edit", site):
        raise Refused("Choose one of your sites.", field="site", code="other_site")
    if any(e.patient_id != patient.pk for e in exams):
        raise Refused("These exams belong to another patient.", field="exams", code="other_patient")
    taken = [e for e in exams if e.status not in (OrderStatus.OPEN, OrderStatus.SCHEDULED)]
    if taken:
        raise Refused(
            f"{taken[0].code} is {taken[0].get_status_display().lower()} and cannot be booked.",
            field="exams",
            code="not_open",
        )
    if enforce:
        require_one_payer(exams)
    day = local_day(starts_at, site)
    foreseen = preview(GateAsk(exams, patient, site, day), at=at) if enforce else {}
    foreseen.pop(GateName.MONEY, None)
    if enforce and not override_reason:
        require_open(foreseen, Verb.BOOK, dollars=_list_total(exams, day))
    appointment = Appointment.objects.create(
        organization_id=patient.organization_id,
        patient=patient,
        site=site,
        number=number,
        starts_at=starts_at,
        minutes=minutes,
        resource=resource,
        modality=modality or (exams[0].modality if exams else ""),
        scheduled_codes=list(scheduled_codes)[:20],
    )
    _attach(appointment, exams)
    record_steps(
        _steps(
            appointment,
            "appointment.booked",
            f"Booked for {_when(appointment)} at {site.name}",
            exam_ids=[e.pk for e in exams],
            new=appointment.status,
        ),
        actor=actor,
        at=at,
    )
    if enforce:
        known = foreseen[GateName.AUTHORIZATION]
        with at_once():
            gate_decide(
                [
                    GateAnswer(
                        appointment.pk,
                        GateName.AUTHORIZATION,
                        known.state,
                        known.sentence,
                        known.due,
                    )
                ],
                actor=actor,
                at=at,
            )
    if override_reason and enforce:
        appointment.refresh_from_db()
        for name, gate in gates_of(appointment).items():
            if gate.state is State.STOP and name is not GateName.MONEY:
                gate_override(
                    appointment=appointment, gate=name, reason=override_reason, actor=actor, at=at
                )
    publish(
        "appointment.booked",
        organization_id=appointment.organization_id,
        payload=_payload(appointment, exams),
        due_at=at,
    )
    appointment.refresh_from_db()
    return appointment


def _list_total(exams: Sequence[OrderedExam], day: date) -> Decimal:
    if not exams:
        return Decimal("0.00")
    prices = list_prices(
        organization_id=exams[0].organization_id, codes={e.code for e in exams}, on=day
    )
    return sum((prices.get((e.code, ""), Decimal("0.00")) for e in exams), Decimal("0.00"))


def _attach(appointment: Appointment, exams: Sequence[OrderedExam]) -> None:
    OrderedExam.objects.filter(pk__in=[e.pk for e in exams]).update(
        appointment=appointment, status=OrderStatus.SCHEDULED
    )
    _orders_follow({e.order_id for e in exams})


def _orders_follow(order_ids: set[int]) -> None:
    """An order is scheduled when no exam of it is open, completed when every one is."""
    states: dict[int, set[str]] = {}
    for order_id, status in (
        OrderedExam.objects.filter(order_id__in=order_ids)
        .exclude(status=OrderStatus.CANCELLED)
        .values_list("order_id", "status")
    ):
        states.setdefault(order_id, set()).add(status)
    for wanted in (OrderStatus.OPEN, OrderStatus.SCHEDULED, OrderStatus.COMPLETED):
        ids = [o for o, s in states.items() if _order_status(s) == wanted]
        Order.objects.filter(pk__in=ids).exclude(status__in=[wanted, OrderStatus.CANCELLED]).update(
            status=wanted
        )


def _order_status(states: set[str]) -> OrderStatus:
    if OrderStatus.OPEN in states:
        return OrderStatus.OPEN
    return OrderStatus.SCHEDULED if OrderStatus.SCHEDULED in states else OrderStatus.COMPLETED


def _when(appointment: Appointment) -> str:
    local = appointment.starts_at.astimezone(ZoneInfo(appointment.site.time_zone))
    return f"{local:%b %-d, %-I:%M %p}"


def _steps(
    appointment: Appointment,
    verb: str,
    sentence: str,
    *,
    exam_ids: Sequence[int] | None = None,
    old: str = "",
    new: str = "",
    reason: str = "",
) -> list[Step]:
    if exam_ids is None:
        exam_ids = list(appointment.ordered_exams.values_list("id", flat=True))
    exams: list[int | None] = [*exam_ids] or [None]
    return [
        Step(
            appointment.organization_id,
            verb,
            sentence,
            {"patient_id": appointment.patient_id, "ordered_exam_id": e},
            old=old,
            new=new,
            reason=reason,
            data={"appointment_id": appointment.pk},
        )
        for e in exams
    ]


def _payload(appointment: Appointment, exams: Sequence[OrderedExam] = ()) -> dict[str, Any]:
    ids = [e.pk for e in exams] or list(appointment.ordered_exams.values_list("id", flat=True))
    return {
        "appointment_id": appointment.pk,
        "patient_id": appointment.patient_id,
        "ordered_exam_ids": ids,
    }


def _locked(appointment: Appointment, version: int | None) -> Appointment:
    row = (
        Appointment.objects.select_for_update(of=("self",))
        .select_related("site", "patient")
        .get(pk=appointment.pk)
    )
    if version is not None and row.version != version:
        raise Conflict(
            "Somebody else has changed this appointment in the meantime. Here is the fresh one;"
            " look, then try again."
        )
    return row


def _go(
    appointment: Appointment,
    to: AppointmentStatus,
    *,
    sentence: str,
    actor: Actor,
    at: datetime,
    version: int | None,
    reason: str = "",
    verb: Verb | None = None,
) -> Appointment:
    """One status change: allowed by the table, not stopped by a gate, kept with actor and reason,
    published.
    """
    actor.require("appointment.edit", appointment)
    row = _locked(appointment, version)
    if row.status == to:
        return row
    if to not in APPOINTMENT_MOVES[row.status]:
        raise Refused(
            f"An appointment that is {row.get_status_display().lower()} cannot become"
            f" {AppointmentStatus(to).label.lower()}.",
            code="not_allowed",
            status=409,
        )
    if verb is not None:
        with at_once():
            clearance_refresh([row.pk], actor=actor, at=at)
        row = _locked(row, None)
        require_open(gates_of(row), verb, dollars=dollars_at_risk([row.pk])[row.pk])
    old = row.status
    payload = _payload(row)
    steps = _steps(
        row,
        f"appointment.{to}",
        sentence,
        exam_ids=payload["ordered_exam_ids"],
        old=old,
        new=to,
        reason=reason,
    )
    record_steps(steps, actor=actor, at=at)
    row.status, row.version = to, row.version + 1
    row.save(update_fields=["status", "version"])
    if to in (AppointmentStatus.CANCELLED, AppointmentStatus.NO_SHOW):
        _detach(row)
    elif to == AppointmentStatus.COMPLETED:
        exams = row.ordered_exams.exclude(status=OrderStatus.CANCELLED)
        ids = set(exams.values_list("order_id", flat=True))
        exams.update(status=OrderStatus.COMPLETED)
        _orders_follow(ids)
    publish(f"appointment.{to}", organization_id=row.organization_id, payload=payload, due_at=at)
    return row


def _detach(appointment: Appointment) -> None:
    exams = appointment.ordered_exams.filter(status=OrderStatus.SCHEDULED)
    orders = set(exams.values_list("order_id", flat=True))
    exams.update(appointment=None, status=OrderStatus.OPEN)
    _orders_follow(orders)


@transaction.atomic
def appointment_confirm(
    *,
    appointment: Appointment,
    actor: Actor,
    version: int | None = None,
    enforce: bool = True,
    at: datetime | None = None,
) -> Appointment:
    """Confirm with the patient. Refused while a gate stops it or the authorization is open."""
    return _go(
        appointment,
        AppointmentStatus.CONFIRMED,
        sentence="Confirmed with the patient",
        actor=actor,
        at=at or timezone.now(),
        version=version,
        verb=Verb.CONFIRM if enforce else None,
    )


@transaction.atomic
def appointment_check_in(
    *,
    appointment: Appointment,
    actor: Actor,
    version: int | None = None,
    enforce: bool = True,
    at: datetime | None = None,
) -> Appointment:
    """The patient is here. Refused while a gate stops it or the authorization is open; asks the
    payer again.
    """
    return _go(
        appointment,
        AppointmentStatus.ARRIVED,
        sentence="Patient arrived",
        actor=actor,
        at=at or timezone.now(),
        version=version,
        verb=Verb.CHECK_IN if enforce else None,
    )


@transaction.atomic
def appointments_check_in(
    *, appointments: Sequence[Appointment], actor: Actor, at: datetime | None = None
) -> dict[int, str]:
    """Check in everybody of a list whom no gate stops; returns by appointment id the sentence of
    what stopped the others.
    """
    actor.require("appointment.edit", appointments)
    at = at or timezone.now()
    ids = [a.pk for a in appointments]
    with at_once():
        clearance_refresh(ids, actor=actor, at=at)
    refused: dict[int, str] = {}
    with together():
        for row in (
            Appointment.objects.select_for_update(of=("self",))
            .filter(pk__in=ids)
            .select_related("site", "patient")
            .order_by("pk")
        ):
            stops = blocking(gates_of(row), Verb.CHECK_IN)
            if stops:
                refused[row.pk] = " ".join(
                    f"{name.value.capitalize()}: {gate.sentence}" for name, gate in stops
                )
            elif AppointmentStatus.ARRIVED not in APPOINTMENT_MOVES[row.status]:
                refused[row.pk] = f"The appointment is {row.get_status_display().lower()}."
            else:
                _go(
                    row,
                    AppointmentStatus.ARRIVED,
                    sentence="Patient arrived",
                    actor=actor,
                    at=at,
                    version=None,
                )
    return refused


@transaction.atomic
def appointment_complete(
    *,
    appointment: Appointment,
    actor: Actor,
    version: int | None = None,
    at: datetime | None = None,
) -> Appointment:
    """The exams were performed."""
    return _go(
        appointment,
        AppointmentStatus.COMPLETED,
        sentence="Exams performed",
        actor=actor,
        at=at or timezone.now(),
        version=version,
    )


@transaction.atomic
def appointment_cancel(
    *,
    appointment: Appointment,
    reason: str,
    actor: Actor,
    version: int | None = None,
    at: datetime | None = None,
) -> Appointment:
    """Cancel; the ordered exams are open again."""
    if not reason.strip():
        raise Refused("Say why it is cancelled.", field="reason", code="missing")
    return _go(
        appointment,
        AppointmentStatus.CANCELLED,
        sentence="Appointment cancelled",
        actor=actor,
        at=at or timezone.now(),
        version=version,
        reason=reason,
    )


@transaction.atomic
def appointment_no_show(
    *,
    appointment: Appointment,
    actor: Actor,
    version: int | None = None,
    at: datetime | None = None,
) -> Appointment:
    """The patient did not come; the ordered exams are open again."""
    return _go(
        appointment,
        AppointmentStatus.NO_SHOW,
        sentence="Patient did not come",
        actor=actor,
        at=at or timezone.now(),
        version=version,
    )


@transaction.atomic
def appointment_move(
    *,
    appointment: Appointment,
    actor: Actor,
    starts_at: datetime | None = None,
    site: Site | None = None,
    minutes: int | None = None,
    resource: str | None = None,
    exams: Sequence[OrderedExam] | None = None,
    reason: str = "",
    override_reason: str = "",
    enforce: bool = True,
    version: int | None = None,
    at: datetime | None = None,
) -> Appointment:
    """Change time, site, room or exams; a cancelled or missed appointment is booked again. Stops
    like booking does.
    """
    actor.require("appointment.edit", appointment)
    at = at or timezone.now()
    row = _locked(appointment, version)
    if row.status not in (
        AppointmentStatus.CANCELLED,
        AppointmentStatus.NO_SHOW,
        AppointmentStatus.BOOKED,
        AppointmentStatus.CONFIRMED,
    ):
        raise Refused(
            f"An appointment that is {row.get_status_display().lower()} cannot be moved.",
            code="not_allowed",
            status=409,
        )
    place = site or row.site
    if place.organization_id != row.organization_id or not actor.can("appointment.edit", place):
        raise Refused("Choose one of your sites.", field="site", code="other_site")
    wanted = {"starts_at": starts_at, "site": site, "minutes": minutes, "resource": resource}
    changes = {k: v for k, v in wanted.items() if v is not None and getattr(row, k) != v}
    own = list(row.ordered_exams.exclude(status=OrderStatus.CANCELLED).order_by("id"))
    fresh = [e for e in exams or () if e.pk not in {o.pk for o in own}]
    again = row.status in (AppointmentStatus.CANCELLED, AppointmentStatus.NO_SHOW)
    if not changes and not fresh and not again:
        return row
    day = local_day(starts_at or row.starts_at, place)
    foreseen = preview(GateAsk([*own, *fresh], row.patient, place, day), at=at) if enforce else {}
    foreseen.pop(GateName.MONEY, None)
    if enforce and not override_reason:
        require_open(foreseen, Verb.BOOK, dollars=_list_total([*own, *fresh], day))
    old = row.status
    for name, value in changes.items():
        setattr(row, name, value)
    row.status = AppointmentStatus.BOOKED
    row.version += 1
    row.save(update_fields=[*changes, "status", "version"])
    _attach(row, [*own, *fresh])
    record_steps(
        _steps(
            row,
            "appointment.moved",
            f"Moved to {_when(row)} at {place.name}",
            old=old,
            new=row.status,
            reason=reason,
        ),
        actor=actor,
        at=at,
    )
    if enforce:
        known = foreseen[GateName.AUTHORIZATION]
        with at_once():
            gate_decide(
                [
                    GateAnswer(
                        row.pk, GateName.AUTHORIZATION, known.state, known.sentence, known.due
                    )
                ],
                actor=actor,
                at=at,
            )
            clearance_refresh([row.pk], actor=actor, at=at)
    else:
        clearance_refresh([row.pk], actor=actor, at=at)
    if override_reason and enforce:
        row.refresh_from_db()
        for name, gate in gates_of(row).items():
            if gate.state is State.STOP and name is not GateName.MONEY:
                gate_override(
                    appointment=row, gate=name, reason=override_reason, actor=actor, at=at
                )
    publish(
        "appointment.booked", organization_id=row.organization_id, payload=_payload(row), due_at=at
    )
    row.refresh_from_db()
    return row
