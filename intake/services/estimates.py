"""Estimates: what the exams will cost and what the patient will owe, kept as it was given (rule
`good-faith-estimate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from intake.estimate import CostSharing, good_faith_due
from intake.models import (
    Appointment,
    CheckStatus,
    EligibilityCheck,
    Estimate,
    OrderedExam,
    OrderStatus,
)
from intake.services.chosen import coverage_for
from intake.services.eligibility import sharing_of
from intake.services.gates import clearance_refresh, local_day
from intake.services.network import CLOSED, visits_standing
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.pricing.services import list_prices, quote
from rcm.reference.clock import clock_of
from rcm.reference.models import PayerKind

ZERO = Decimal("0.00")
NOTHING_FROM_THE_WORKER = CostSharing(
    deductible_remaining=ZERO,
    coinsurance=ZERO,
    copay=ZERO,
    out_of_pocket_remaining=ZERO,
    notes=("Workers' compensation: the injured worker is not billed",),
)


@transaction.atomic
def estimate_make(
    *,
    appointment: Appointment,
    actor: Actor,
    requested_on: date | None = None,
    at: datetime | None = None,
) -> Estimate:
    """Price the exams of an appointment and say what the patient will owe. Each call keeps a new
    estimate; none is ever changed.

    Insured: contract price, reductions and the live benefits. Self-pay: a good-faith estimate from
    the organization's own charges. What cannot be computed is kept with the reason (`hold`), never
    guessed.
    """
    at = at or timezone.now()
    estimate = _compute(appointment, actor=actor, requested_on=requested_on, at=at)
    _keep(estimate, actor=actor, at=at)
    clearance_refresh([appointment.pk], actor=actor, at=at)
    return estimate


@transaction.atomic
def estimates_refresh(
    appointment_ids: Sequence[int], *, actor: Actor, at: datetime | None = None
) -> int:
    """Make the estimates of visits again whose figures would differ now (another policy, another
    benefit). Visits without an estimate get none. Returns how many were made.
    """
    at = at or timezone.now()
    latest: dict[int, Estimate] = {}
    rows = Estimate.objects.filter(appointment_id__in=appointment_ids).order_by("id")
    for row in rows.select_related("appointment__site", "appointment__patient"):
        latest[row.appointment_id] = row
    changed = []
    for before in latest.values():
        try:
            now = _compute(before.appointment, actor=actor, requested_on=None, at=at)
        except Refused:
            # the visit has no exam any more: nothing is to be estimated
            continue
        if _figures(now) != _figures(before):
            _keep(now, actor=actor, at=at)
            changed.append(now.appointment_id)
    clearance_refresh(changed, actor=actor, at=at)
    return len(changed)


def _figures(row: Estimate) -> tuple[object, ...]:
    """What makes one estimate another: policy, amounts, or why there are none."""
    return (row.kind, row.coverage_id, row.member_id, row.allowed, row.patient_share, row.hold)


def _compute(
    appointment: Appointment, *, actor: Actor, requested_on: date | None, at: datetime
) -> Estimate:
    """One estimate, not kept yet."""
    exams = list(appointment.ordered_exams.exclude(status=OrderStatus.CANCELLED).order_by("id"))
    if not exams:
        raise Refused("There is no exam to estimate.", field="exams", code="missing")
    day = local_day(appointment.starts_at, appointment.site)
    coverage = coverage_for(appointment)
    charges = list_prices(
        organization_id=appointment.organization_id, codes={e.code for e in exams}, on=day
    )
    prices = {e.pk: charges.get((e.code, "")) for e in exams}
    if coverage is None or coverage.payer.kind == "self_pay":
        return _good_faith(appointment, exams, prices, day, requested_on, actor, at)
    network = visits_standing({0: (appointment.site, coverage, day)})[0].status
    check = (
        EligibilityCheck.objects.filter(coverage=coverage, status=CheckStatus.ACTIVE)
        .order_by("-id")
        .first()
    )
    sharing = (
        sharing_of(
            check,
            appointment.modality,
            coverage.payer.service_types,
            in_network=network not in CLOSED,
        )
        if check
        else CostSharing()
    )
    if coverage.payer.kind == PayerKind.WORKERS_COMP:
        sharing = NOTHING_FROM_THE_WORKER
    return _insured(appointment, exams, prices, day, coverage, sharing, check, actor, at)


def _keep(estimate: Estimate, *, actor: Actor, at: datetime) -> None:
    appointment = estimate.appointment
    estimate.save()
    words = (
        f"${estimate.patient_share:,.2f}"
        if estimate.patient_share is not None
        else f"on hold: {estimate.hold}"
    )
    record_steps(
        [
            Step(
                appointment.organization_id,
                f"estimate.{estimate.kind}",
                f"{'Good-faith estimate' if estimate.kind == 'gfe' else 'Estimate'} {words}",
                {"patient_id": appointment.patient_id},
                data={"estimate_id": estimate.pk, "appointment_id": appointment.pk},
            )
        ],
        actor=actor,
        at=at,
    )


def _new(appointment: Appointment, kind: str, actor: Actor, at: datetime) -> Estimate:
    return Estimate(
        organization_id=appointment.organization_id,
        appointment=appointment,
        patient_id=appointment.patient_id,
        kind=kind,
        as_of=at,
        actor_name=actor.name,
    )


def _good_faith(
    appointment: Appointment,
    exams: Sequence[OrderedExam],
    prices: dict[int, Decimal | None],
    day: date,
    requested_on: date | None,
    actor: Actor,
    at: datetime,
) -> Estimate:
    estimate = _new(appointment, "gfe", actor, at)
    booked = min(local_day(appointment.created_at, appointment.site), day)
    estimate.due_on = good_faith_due(
        scheduled_on=booked,
        service_on=day,
        requested_on=requested_on,
        clock=clock_of(appointment.site),
    )
    missing = sorted({e.code for e in exams if prices[e.pk] is None})
    estimate.lines = [_line(e, prices[e.pk], prices[e.pk], prices[e.pk], []) for e in exams]
    if missing:
        estimate.hold = f"no own charge is loaded for {', '.join(missing)}."
    else:
        estimate.allowed = estimate.patient_share = sum(
            (p for p in prices.values() if p is not None), ZERO
        )
    return estimate


def _insured(
    appointment: Appointment,
    exams: Sequence[OrderedExam],
    prices: dict[int, Decimal | None],
    day: date,
    coverage: Any,
    sharing: CostSharing,
    check: EligibilityCheck | None,
    actor: Actor,
    at: datetime,
) -> Estimate:
    estimate = _new(appointment, "estimate", actor, at)
    estimate.coverage, estimate.member_id = coverage, coverage.member_id
    answer = quote(
        payload={
            "date_of_service": day,
            "site": appointment.site.code,
            "payer": coverage.payer.code,
            "plan": coverage.plan.code if coverage.plan else "",
            "deductible_remaining": sharing.deductible_remaining,
            "coinsurance": sharing.coinsurance,
            "copay": sharing.copay,
            "out_of_pocket_remaining": sharing.out_of_pocket_remaining,
            "lines": [
                {
                    "id": str(e.pk),
                    "code": e.code,
                    "laterality": e.laterality,
                    "charge": prices[e.pk],
                }
                for e in exams
            ],
        },
        # the scheduler's own right to book is enough: the quote is part of the estimate
        actor=Actor.system(actor.name, [appointment.organization_id]),
    )
    if answer["errors"]:
        estimate.lines = [_line(e, prices[e.pk], None, None, []) for e in exams]
        estimate.hold = " ".join(error["message"] for error in answer["errors"])[:200]
        return estimate
    by_id = {line["id"]: line for line in answer["lines"]}
    held = []
    for e in exams:
        line = by_id[str(e.pk)]
        steps = [(step["text"], step["amount"]) for step in line["derivation"]]
        estimate.lines.append(_line(e, prices[e.pk], line["allowed"], line["patient_share"], steps))
        held.append(
            line["reason"]
            if line["allowed"] is None
            else line["share_reason"]
            if line["patient_share"] is None
            else ""
        )
    totals = answer["totals"]
    estimate.allowed = Decimal(totals["allowed"]) if totals["allowed"] else None
    estimate.patient_share = Decimal(totals["patient_share"]) if totals["patient_share"] else None
    if estimate.patient_share is None:
        words = (
            "; ".join(dict.fromkeys(h.rstrip(".") for h in held if h))
            or "the patient's share is not known"
        )
        estimate.hold = f"{'' if check else 'the coverage is not verified: '}{words}."[:200]
    return estimate


def _line(
    e: OrderedExam,
    charge: Decimal | None,
    allowed: Decimal | str | None,
    share: Decimal | str | None,
    steps: list[tuple[str, str | None]],
) -> dict[str, Any]:
    def text(amount: Decimal | str | None) -> str:
        return "" if amount is None else str(amount)

    return {
        "code": e.code,
        "description": e.description,
        "laterality": e.laterality,
        "charge": text(charge),
        "allowed": text(allowed),
        "patient_share": text(share),
        "steps": [{"words": words, "amount": text(amount)} for words, amount in steps],
    }
