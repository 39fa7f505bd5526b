"""What the patient is expected to pay at a visit, and what settles it: paid, waived with a reason,
or promised for a day. The money itself is receivables' business; it tells here what was taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from intake.models import Appointment, Estimate, Settlement, VisitMoney
from intake.services.gates import clearance_refresh
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.reference.clock import day_at

ZERO = Decimal("0.00")
LEAST_REASON = 5


@dataclass(frozen=True, slots=True)
class VisitDue:
    """One visit's money. `expected` is None while no estimate gives an amount."""

    expected: Decimal | None
    settled: Decimal
    estimate_id: int | None

    @property
    def left(self) -> Decimal:
        """What is still to be collected; nothing while the share is not known."""
        return max((self.expected or ZERO) - self.settled, ZERO)


def visits_due(appointment_ids: Iterable[int]) -> dict[int, VisitDue]:
    """What is expected and settled of each visit. Two queries."""
    ids = list(appointment_ids)
    estimates: dict[int, Estimate] = {}
    rows = Estimate.objects.filter(appointment_id__in=ids).order_by("id")
    for row in rows.only("id", "appointment_id", "patient_share"):
        estimates[row.appointment_id] = row
    settled = dict.fromkeys(ids, ZERO)
    standing = VisitMoney.objects.filter(appointment_id__in=ids, ended_at__isnull=True)
    for appointment_id, amount in standing.values_list("appointment_id", "amount"):
        settled[appointment_id] += amount
    found = {}
    for pk in ids:
        estimate = estimates.get(pk)
        share = estimate.patient_share if estimate else None
        found[pk] = VisitDue(share, settled[pk], estimate.pk if estimate else None)
    return found


def _due_now(appointment: Appointment) -> VisitDue:
    """The visit's money under a lock: two clicks never settle the same dollars twice."""
    Appointment.objects.select_for_update(of=("self",)).get(pk=appointment.pk)
    return visits_due([appointment.pk])[appointment.pk]


@transaction.atomic
def visit_paid(
    *,
    appointment: Appointment,
    amount: Decimal,
    receipt: str,
    actor: Actor,
    at: datetime | None = None,
) -> VisitMoney:
    """Keep that a payment was taken for a visit; called by receivables in the payment's own
    transaction.
    """
    at = at or timezone.now()
    due = _due_now(appointment)
    row = VisitMoney.objects.create(
        organization_id=appointment.organization_id,
        appointment=appointment,
        estimate_id=due.estimate_id,
        kind=Settlement.PAID,
        amount=amount,
        receipt=receipt,
        actor_name=actor.name,
        at=at,
    )
    clearance_refresh([appointment.pk], actor=actor, at=at)
    return row


@transaction.atomic
def payment_gone(
    *, receipt: str, organization_id: int, reason: str, actor: Actor, at: datetime
) -> None:
    """A payment was voided or given back: it settles its visit no longer."""
    rows = list(
        VisitMoney.objects.select_for_update().filter(
            organization_id=organization_id, receipt=receipt, ended_at__isnull=True
        )
    )
    _end(rows, reason=reason, actor=actor, at=at)


def _end(rows: list[VisitMoney], *, reason: str, actor: Actor, at: datetime) -> None:
    VisitMoney.objects.filter(pk__in=[r.pk for r in rows]).update(
        ended_at=at, end_reason=reason[:200]
    )
    clearance_refresh(sorted({r.appointment_id for r in rows}), actor=actor, at=at)


@transaction.atomic
def visit_waive(
    *,
    appointment: Appointment,
    reason: str,
    actor: Actor,
    amount: Decimal | None = None,
    at: datetime | None = None,
) -> VisitMoney:
    """Waive what is still expected (or a part of it) with the reason that makes it lawful."""
    actor.require("payment.waive", appointment)
    if len(reason.strip()) < LEAST_REASON:
        raise Refused(
            "Say why it is waived, such as financial hardship on file.",
            field="reason",
            code="missing",
        )
    return _settle(appointment, Settlement.WAIVED, amount=amount, reason=reason, actor=actor, at=at)


@transaction.atomic
def visit_plan(
    *,
    appointment: Appointment,
    promised_on: date,
    actor: Actor,
    amount: Decimal | None = None,
    reason: str = "",
    at: datetime | None = None,
) -> VisitMoney:
    """Keep the patient's promise to pay what is still expected on a day."""
    actor.require("payment.collect", appointment)
    at = at or timezone.now()
    if promised_on < day_at(appointment.site, at):
        raise Refused("Choose today or a later day.", field="promised_on", code="past")
    return _settle(
        appointment,
        Settlement.PLANNED,
        amount=amount,
        reason=reason,
        promised_on=promised_on,
        actor=actor,
        at=at,
    )


def _settle(
    appointment: Appointment,
    kind: Settlement,
    *,
    amount: Decimal | None,
    reason: str,
    actor: Actor,
    at: datetime | None,
    promised_on: date | None = None,
) -> VisitMoney:
    at = at or timezone.now()
    due = _due_now(appointment)
    if due.expected is None:
        raise Refused("Make the estimate first: no amount is known.", code="no_estimate")
    wanted = due.left if amount is None else amount
    if due.left <= ZERO:
        raise Refused("Nothing is left to collect for this visit.", code="settled", status=409)
    if wanted <= ZERO or wanted > due.left:
        raise Refused(
            f"Enter an amount up to ${due.left:,.2f}.", field="amount", code="over_balance"
        )
    row = VisitMoney.objects.create(
        organization_id=appointment.organization_id,
        appointment=appointment,
        estimate_id=due.estimate_id,
        kind=kind,
        amount=wanted,
        reason=reason.strip()[:200],
        promised_on=promised_on,
        actor_name=actor.name,
        at=at,
    )
    until = f" for {promised_on:%b %-d}" if promised_on else ""
    record_steps(
        [
            Step(
                appointment.organization_id,
                f"visit.{kind}",
                f"${wanted:,.2f} of the visit {kind.label.lower()}{until}",
                {"patient_id": appointment.patient_id},
                reason=reason,
                data={"appointment_id": appointment.pk, "amount": str(wanted)},
            )
        ],
        actor=actor,
        at=at,
    )
    clearance_refresh([appointment.pk], actor=actor, at=at)
    return row


@transaction.atomic
def settlement_end(
    *, settlement: VisitMoney, reason: str, actor: Actor, at: datetime | None = None
) -> None:
    """Take back a waiver or a promise; money is taken back by voiding its receipt."""
    actor.require("payment.collect", settlement)
    at = at or timezone.now()
    if settlement.kind == Settlement.PAID:
        raise Refused("Void the receipt instead.", code="paid")
    if len(reason.strip()) < LEAST_REASON:
        raise Refused("Say why it ends.", field="reason", code="missing")
    row = VisitMoney.objects.select_for_update().get(pk=settlement.pk)
    if row.ended_at is None:
        _end([row], reason=reason, actor=actor, at=at)
        record_steps(
            [
                Step(
                    row.organization_id,
                    "visit.settlement_ended",
                    f"${row.amount:,.2f} {row.get_kind_display().lower()} no longer holds",
                    {"patient_id": row.appointment.patient_id},
                    reason=reason,
                )
            ],
            actor=actor,
            at=at,
        )
