"""Which policy pays for an order or a visit: the one chosen for it, else the patient's primary.

The policy of an accident (workers' compensation, auto) has no place among the ranked policies: it
pays alone, and only for the orders that choose it (rule `coverage-of-accident`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from intake.models import (
    Appointment,
    Coverage,
    CoverageStatus,
    Order,
    OrderedExam,
    OrderStatus,
    Patient,
)
from intake.services.patients import coverage_update, primary_coverages
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.outbox import publish
from rcm.reference.models import Payer, PayerKind

ACCIDENT_KINDS = {PayerKind.WORKERS_COMP: "EM", PayerKind.AUTO: "AA"}
"""Kinds of payer that pay for an accident, with the related cause of the claim (CLM11)."""


def accident_kind(payer: Payer) -> bool:
    return payer.kind in ACCIDENT_KINDS


def accident_cause(payer: Payer) -> str:
    """The related cause of a claim to this payer (EM employment, AA auto), blank without one."""
    return next((cause for kind, cause in ACCIDENT_KINDS.items() if kind == payer.kind), "")


def coverages_of_orders(orders: Iterable[Order]) -> dict[int, Coverage]:
    """The policy that pays for each order, by order id. Two queries for any number."""
    rows = list(orders)
    # a ranked policy that was replaced gives way to its successor; an accident's payer never does
    chosen = (
        Coverage.objects.filter(Q(active=True) | Q(rank=0))
        .select_related("payer", "plan")
        .in_bulk({o.coverage_id for o in rows if o.coverage_id})
    )
    primary = primary_coverages({o.patient_id for o in rows if o.coverage_id not in chosen})
    found = {}
    for order in rows:
        coverage = chosen.get(order.coverage_id or 0) or primary.get(order.patient_id)
        if coverage is not None:
            found[order.pk] = coverage
    return found


def coverages_of_exams(exams: Iterable[OrderedExam]) -> dict[int, Coverage]:
    """The policy that pays for each ordered exam, by its id: that of its order."""
    rows = list(exams)
    orders = Order.objects.in_bulk({e.order_id for e in rows})
    by_order = coverages_of_orders(orders.values())
    return {e.pk: by_order[e.order_id] for e in rows if e.order_id in by_order}


def coverages_of_visits(appointments: Iterable[Appointment]) -> dict[int, Coverage]:
    """The policy that pays for each visit, by appointment id: that of its first order; without an
    order the patient's primary.
    """
    rows = list(appointments)
    first: dict[int, Order] = {}
    exams = (
        OrderedExam.objects.filter(appointment_id__in=[a.pk for a in rows])
        .exclude(status=OrderStatus.CANCELLED)
        .select_related("order")
        .order_by("id")
    )
    for exam in exams:
        first.setdefault(exam.appointment_id or 0, exam.order)
    by_order = coverages_of_orders({o.pk: o for o in first.values()}.values())
    primary = primary_coverages({a.patient_id for a in rows if a.pk not in first})
    found = {}
    for a in rows:
        order = first.get(a.pk)
        coverage = by_order.get(order.pk) if order else primary.get(a.patient_id)
        if coverage is not None:
            found[a.pk] = coverage
    return found


def coverage_for(row: Order | OrderedExam | Appointment) -> Coverage | None:
    """The policy that pays for one order, ordered exam or visit."""
    if isinstance(row, Order):
        return coverages_of_orders([row]).get(row.pk)
    if isinstance(row, OrderedExam):
        return coverages_of_exams([row]).get(row.pk)
    return coverages_of_visits([row]).get(row.pk)


def coverage_of_booking(patient: Patient, exams: Sequence[OrderedExam]) -> Coverage | None:
    """The policy of a visit that is about to be booked."""
    if exams:
        return coverages_of_exams(exams[:1]).get(exams[0].pk)
    return primary_coverages([patient.pk]).get(patient.pk)


def require_one_payer(exams: Sequence[OrderedExam]) -> None:
    """Refuse a visit whose exams are for different policies: each would be verified, authorized
    and estimated by the wrong one.
    """
    found = coverages_of_exams(exams)
    payers = {c.pk: c.payer.name for c in found.values()}
    if len(payers) > 1:
        raise Refused(
            f"These exams are for different coverages: {' and '.join(payers.values())}.",
            field="exams",
            code="different_coverages",
            fix="Book a visit for each coverage; they may be on the same day.",
        )


@transaction.atomic
def accident_add(
    *,
    patient: Patient,
    payer: Payer,
    accident_on: date | None,
    actor: Actor,
    claim_number: str = "",
    member_id: str = "",
    at: datetime | None = None,
    **values: Any,
) -> Coverage:
    """Keep the policy of an accident on the chart, to be chosen at orders. The same accident
    again (payer and claim number, else payer and day) changes only its fields. `values` are the
    further fields of the accident and the subscriber. Without a member ID the claim number is it.
    """
    actor.require("patient.edit", patient)
    if not accident_kind(payer):
        raise Refused(
            f"{payer.name} is neither workers' compensation nor auto insurance.",
            field="payer",
            code="payer_kind",
            fix="Add it among the ranked coverages instead.",
        )
    if accident_on is None:
        raise Refused("Enter the day of the accident.", field="accident_on", code="missing")
    claim_number = "".join(claim_number.split()).upper()
    member_id = "".join(member_id.split()).upper() or claim_number
    if not member_id:
        raise Refused(
            "Enter the claim number of the accident, or the member ID.",
            field="claim_number",
            code="missing",
        )
    if payer.kind == PayerKind.AUTO and not values.get("accident_state"):
        raise Refused(
            "Enter the state in which the car accident happened.",
            field="accident_state",
            code="missing",
        )
    same = Coverage.objects.filter(patient=patient, payer=payer, rank=0, active=True)
    known = (
        same.filter(claim_number=claim_number)
        if claim_number
        else same.filter(accident_on=accident_on)
    ).first()
    fields = {**values, "accident_on": accident_on, "claim_number": claim_number}
    if known is not None:
        return coverage_update(coverage=known, member_id=member_id, actor=actor, at=at, **fields)
    coverage = Coverage.objects.create(
        organization_id=patient.organization_id,
        patient=patient,
        payer=payer,
        rank=0,
        member_id=member_id,
        status=CoverageStatus.UNVERIFIED,
        **fields,
    )
    record_steps(
        [
            Step(
                coverage.organization_id,
                "coverage.changed",
                f"{payer.name} was kept for the accident of {accident_on:%b %-d, %Y}",
                {"patient_id": patient.pk},
            )
        ],
        actor=actor,
        at=at,
    )
    publish(
        "coverage.changed",
        organization_id=coverage.organization_id,
        payload={"coverage_id": coverage.pk, "patient_id": patient.pk},
        due_at=at,
    )
    return coverage


def require_choice(patient_id: int, coverage: Coverage) -> None:
    """Refuse a policy of another chart, or one that was taken off the chart."""
    if coverage.patient_id != patient_id or not coverage.active:
        raise Refused(
            "Choose one of the patient's own coverages.", field="coverage", code="other_coverage"
        )


@transaction.atomic
def coverage_choose(
    *, order: Order, coverage: Coverage | None, actor: Actor, at: datetime | None = None
) -> Order:
    """Say which policy pays for an order; None goes back to the patient's primary. Eligibility,
    authorization, estimate, gates and charges of its exams follow by the event "order.changed".
    """
    actor.require("order.edit", order)
    order = Order.objects.select_for_update(of=("self",)).get(pk=order.pk)
    if order.coverage_id == (coverage.pk if coverage else None):
        return order
    if order.status == OrderStatus.CANCELLED:
        raise Refused("The order is cancelled: place a new one.", code="not_allowed")
    if coverage is not None:
        require_choice(order.patient_id, coverage)
    order.coverage = coverage
    order.save(update_fields=["coverage"])
    exams = list(order.exams.exclude(status=OrderStatus.CANCELLED).order_by("id"))
    visits = {e.appointment_id for e in exams if e.appointment_id}
    together: dict[int, list[OrderedExam]] = {}
    for exam in OrderedExam.objects.filter(appointment_id__in=visits).exclude(
        status=OrderStatus.CANCELLED
    ):
        together.setdefault(exam.appointment_id or 0, []).append(exam)
    if any(e.order_id != order.pk for rows in together.values() for e in rows):
        require_one_payer([e for rows in together.values() for e in rows])
    said = f"{coverage.payer.name} pays for this order" if coverage else "The primary coverage pays"
    record_steps(
        [
            Step(
                order.organization_id,
                "order.coverage_chosen",
                said,
                {"patient_id": order.patient_id, "ordered_exam_id": e.pk},
            )
            for e in exams
        ],
        actor=actor,
        at=at,
    )
    publish(
        "order.changed",
        organization_id=order.organization_id,
        payload={"order_id": order.pk, "ordered_exam_ids": [e.pk for e in exams]},
        due_at=at,
    )
    return order
