"""The patient's side: payments onto open charges, prepayments, transfers with their guard, payment
plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

import uuid6
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from ar import rules
from ar.holding import Act
from ar.models import PLAN_MOVES, PatientPayment, PaymentPlan, PlanExam, PlanStatus
from ar.services.guards import (
    WON,
    ZERO,
    denials_of,
    held_harmless,
    latest_claim,
    local_day,
    locked_balance,
    patient_share,
    require_mine,
)
from ar.services.holds import holds_of, tell_agency
from ar.services.proofs import coverage_proofs
from ar.tables import policy
from charges.models import Charge
from charges.services import money_follows
from intake.models import Appointment, Patient
from intake.services import payment_gone, visit_paid, visits_due
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.services import next_control_number
from rcm.exchange.transitions import Machine, advance
from rcm.ledger.models import Account, LedgerEntry, LedgerTransaction
from rcm.ledger.services import Leg, Posting, post, reverse
from remittance import services as remittance
from remittance.models import Denial, DenialStatus
from remittance.patient_rule import ELIGIBILITY, UNDECIDED, patients_denial

METHODS = (("card", "Card"), ("cash", "Cash"), ("check", "Check"), ("transfer", "Bank transfer"))
PAYMENT, APPLY, REFUND = "patient.payment", "patient.apply", "patient.refund"
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class OpenCharge:
    """A charge with a patient balance, oldest first."""

    charge_id: int
    patient_id: int
    service_date: date
    code: str
    balance: Decimal
    insurance: Decimal
    exam_id: int = 0


OPEN_SQL = """
SELECT c.id, c.patient_id, c.service_date, c.code, b.patient, b.insurance, c.exam_id
  FROM ledger_balance b JOIN charges_charge c ON c.id = b.charge_id
 WHERE c.patient_id = ANY(%s) AND b.patient > 0 ORDER BY c.patient_id, c.service_date, c.id
"""


def open_patient_charges(patient_ids: Iterable[int]) -> dict[int, list[OpenCharge]]:
    """Charges that patients owe on, oldest first, by patient. One query."""
    found: dict[int, list[OpenCharge]] = {}
    with connection.cursor() as cursor:
        cursor.execute(OPEN_SQL, [sorted(set(patient_ids))])
        for row in cursor.fetchall():
            found.setdefault(row[1], []).append(OpenCharge(*row))
    return found


def unapplied_balances(patient_ids: Iterable[int]) -> dict[int, Decimal]:
    """Money of patients that is on no charge yet (prepayments), as a positive amount. One query."""
    rows = (
        LedgerEntry.objects.filter(
            account=Account.UNAPPLIED, patient_id__in=list(patient_ids), remittance_id__isnull=True
        )
        .values("patient_id")
        .annotate(total=Sum("amount"))
        .order_by()
    )
    return {r["patient_id"]: -r["total"] for r in rows if r["patient_id"] and r["total"]}


KEPT_SQL = """
SELECT p.patient_id, sum(p.amount - p.refunded)
  FROM ar_patientpayment p JOIN intake_appointment a ON a.id = p.appointment_id
 WHERE p.patient_id = ANY(%s) AND p.voided_at IS NULL
   AND a.status IN ('booked', 'confirmed', 'arrived', 'completed')
   AND NOT EXISTS (
       SELECT 1 FROM intake_orderedexam o
         JOIN charges_exam e ON e.ordered_exam_id = o.id
         JOIN charges_charge c ON c.exam_id = e.id
         JOIN ledger_balance b ON b.charge_id = c.id
        WHERE o.appointment_id = a.id AND b.insurance <= 0)
 GROUP BY p.patient_id
"""


def kept_for_visits(patient_ids: Iterable[int]) -> dict[int, Decimal]:
    """Money collected for visits whose payer has not decided yet: it pays for that visit, and not
    for an older exam meanwhile. One query.
    """
    with connection.cursor() as cursor:
        cursor.execute(KEPT_SQL, [sorted(patient_ids)])
        return dict(cursor.fetchall())


def _spread(
    money: Decimal, charges: Sequence[OpenCharge]
) -> tuple[list[tuple[OpenCharge, Decimal]], Decimal]:
    """Oldest first; what is left over stays on account."""
    placed: list[tuple[OpenCharge, Decimal]] = []
    for charge in charges:
        part = min(money, charge.balance)
        if part > ZERO:
            placed.append((charge, part))
            money -= part
    return placed, money


@transaction.atomic
def payment_take(
    *,
    patient: Patient,
    amount: Decimal,
    method: str,
    actor: Actor,
    received_on: date | None = None,
    charge_ids: Sequence[int] | None = None,
    appointment: Appointment | None = None,
    for_plan: bool = False,
    key: str = "",
    note: str = "",
    at: datetime | None = None,
) -> PatientPayment:
    """Take money from a patient: onto the oldest open charges (or the named ones), the rest kept on
    account. Gives the receipt.

    For an `appointment` it is kept for that visit, against its estimate, and settles what the visit
    expects. `for_plan` fills the next instalments of the patient's active plan and pays what the
    plan covers; no other payment fills one. The same `key` again is the same payment: one receipt,
    however often a form is sent.
    """
    actor.require("payment.collect", appointment or patient)
    require_mine(patient.organization_id, actor)
    at = at or timezone.now()
    if appointment is not None and appointment.patient_id != patient.pk:
        raise Refused("This visit belongs to another patient.", code="other_patient")
    if amount <= ZERO:
        raise Refused("Enter an amount above zero.", code="amount", field="amount")
    if method not in dict(METHODS):
        raise Refused("Choose how it was paid.", code="method", field="method")
    day = received_on or local_day(at)
    if day > local_day(at):
        raise Refused(
            "A payment cannot be received in the future.", code="future", field="received_on"
        )
    Patient.objects.select_for_update().get(
        pk=patient.pk
    )  # two payments at once never settle the same charge twice
    known = _same_payment(patient, key, amount)
    if known is not None:
        return known
    charges = open_patient_charges([patient.pk]).get(patient.pk, [])
    plan = _plan_to_fill(patient, amount) if for_plan and appointment is None else None
    if plan is not None:
        covered = set(plan.exams.values_list("exam_id", flat=True))
        charges = [c for c in charges if c.exam_id in covered]
    elif charge_ids is not None or appointment is not None:
        charges = [c for c in charges if c.charge_id in set(charge_ids or ())]
    placed, rest = _spread(amount, charges)
    receipt = f"R{next_control_number(patient.organization_id, 'receipt'):07d}"
    legs = [Leg(Account.CASH, amount, patient_id=patient.pk, reason=method)]
    legs += [
        Leg(
            Account.AR_PATIENT,
            -part,
            charge_id=c.charge_id,
            patient_id=patient.pk,
            reason="payment",
        )
        for c, part in placed
    ]
    legs += [Leg(Account.UNAPPLIED, -rest, patient_id=patient.pk, reason="prepaid")] if rest else []
    (written,) = post(
        [
            Posting(
                patient.organization_id,
                PAYMENT,
                f"patient-payment:{receipt}",
                day,
                f"Patient payment, receipt {receipt}",
                legs,
                "ar.PatientPayment",
            )
        ],
        actor=actor,
    )
    row = PatientPayment.objects.create(
        organization_id=patient.organization_id,
        patient=patient,
        receipt=receipt,
        amount=amount,
        method=method,
        received_on=day,
        note=note[:120],
        appointment=appointment,
        estimate_id=visits_due([appointment.pk])[appointment.pk].estimate_id
        if appointment
        else None,
        plan=plan,
        key=key[:80],
        transaction=written,
    )
    tell_agency(patient, at)
    if appointment is not None:
        visit_paid(appointment=appointment, amount=amount, receipt=receipt, actor=actor, at=at)
    record_steps(
        [
            Step(
                patient.organization_id,
                "patient.paid",
                f"Patient paid ${amount:,.2f}, receipt {receipt}"
                + (" for the payment plan" if plan else "")
                + (f", ${rest:,.2f} kept on account" if rest else ""),
                {"patient_id": patient.pk},
            )
        ],
        actor=actor,
        at=at,
    )
    return row


def _plan_to_fill(patient: Patient, amount: Decimal) -> PaymentPlan:
    """The patient's active plan, if it has room for the amount."""
    plan = PaymentPlan.objects.filter(patient=patient, status=PlanStatus.ACTIVE).first()
    if plan is None:
        raise Refused(
            "There is no active payment plan.",
            code="no_plan",
            field="for_plan",
            fix="Take it as an ordinary payment.",
        )
    left = plan.total - plan_paid([plan]).get(plan.pk, ZERO)
    if amount > left:
        raise Refused(
            f"The plan has ${left:,.2f} left to pay.",
            code="beyond_plan",
            field="amount",
            fix="Take that for the plan, and the rest as an ordinary payment.",
        )
    return plan


def _same_payment(patient: Patient, key: str, amount: Decimal) -> PatientPayment | None:
    """The payment that this key has made already."""
    if not key:
        return None
    row = PatientPayment.objects.filter(
        organization_id=patient.organization_id, key=key[:80]
    ).first()
    if row is not None and (row.patient_id, row.amount) != (patient.pk, amount):
        raise Conflict(
            f"Receipt {row.receipt} was given for this form with another amount. Open it again.",
            code="key_used",
        )
    return row


@transaction.atomic
def payment_refund(
    *,
    payment: PatientPayment,
    amount: Decimal,
    reason: str,
    actor: Actor,
    at: datetime | None = None,
) -> PatientPayment:
    """Give back money of a payment that is still on account. Needs the right to approve refunds:
    who takes money at the desk does not give it back alone.
    """
    actor.require("refund.approve", payment)
    require_mine(payment.organization_id, actor)
    at = at or timezone.now()
    if not reason.strip():
        raise Refused("Say why it is given back.", code="missing", field="reason")
    Patient.objects.select_for_update().get(pk=payment.patient_id)
    row = PatientPayment.objects.select_for_update(of=("self",)).get(pk=payment.pk)
    if row.voided_at is not None:
        raise Conflict("This payment is void.", code="voided")
    on_account = unapplied_balances([row.patient_id]).get(row.patient_id, ZERO)
    most = min(row.amount - row.refunded, on_account)
    if amount <= ZERO or amount > most:
        raise Refused(
            f"At most ${most:,.2f} of this receipt is still on account.",
            code="over_balance",
            field="amount",
        )
    words = f"Refund of receipt {row.receipt}: {reason.strip()}"
    legs = [
        Leg(Account.UNAPPLIED, amount, patient_id=row.patient_id, reason="refund"),
        Leg(Account.CASH, -amount, patient_id=row.patient_id, reason=row.method),
    ]
    key = f"patient-refund:{row.receipt}:{row.refunded}"
    source = "ar.PatientPayment"
    posting = Posting(
        row.organization_id, REFUND, key, local_day(at), words, legs, source, source_id=row.pk
    )
    post([posting], actor=actor)
    row.refunded += amount
    row.save(update_fields=["refunded"])
    payment_gone(
        receipt=row.receipt,
        organization_id=row.organization_id,
        reason=words,
        actor=actor,
        at=at,
    )
    if row.appointment is not None and row.refunded < row.amount:
        visit_paid(
            appointment=row.appointment,
            amount=row.amount - row.refunded,
            receipt=row.receipt,
            actor=actor,
            at=at,
        )
    record_steps(
        [
            Step(
                row.organization_id,
                "patient.refunded",
                f"${amount:,.2f} of receipt {row.receipt} given back",
                {"patient_id": row.patient_id},
                reason=reason,
            )
        ],
        actor=actor,
        at=at,
    )
    return row


@transaction.atomic
def payment_void(
    *, payment: PatientPayment, reason: str, actor: Actor, at: datetime | None = None
) -> PatientPayment:
    """Void a payment by counter-entries. What was applied from it later is taken back first; other
    money of the patient fills in again.
    """
    actor.require("payment.collect", payment)
    require_mine(payment.organization_id, actor)
    at = at or timezone.now()
    if not reason.strip():
        raise Refused("Say why it is voided.", code="missing", field="reason")
    Patient.objects.select_for_update().get(pk=payment.patient_id)
    row = (
        PatientPayment.objects.select_for_update(of=("self",))
        .select_related("transaction")
        .get(pk=payment.pk)
    )
    if row.voided_at is not None:
        raise Conflict("This payment is void already.", code="voided")
    if row.refunded:
        raise Refused(
            f"${row.refunded:,.2f} of it was given back: the rest is given back too, not voided.",
            code="refunded",
        )
    kept = LedgerEntry.objects.filter(
        transaction=row.transaction, account=Account.UNAPPLIED
    ).exists()
    if kept:
        applied = LedgerTransaction.objects.filter(
            kind=APPLY,
            source_type="intake.Patient",
            source_id=row.patient_id,
            reversed_by__isnull=True,
        )
        reverse(
            list(applied), effective_on=local_day(at), reason="its payment was voided", actor=actor
        )
    reverse([row.transaction], effective_on=local_day(at), reason=reason, actor=actor)
    money_follows(organization_id=row.organization_id, actor=actor, at=at)
    row.voided_at, row.void_reason = at, reason[:120]
    row.save(update_fields=["voided_at", "void_reason"])
    payment_gone(
        receipt=row.receipt,
        organization_id=row.organization_id,
        reason=f"Receipt voided: {reason}",
        actor=actor,
        at=at,
    )
    if kept:
        unapplied_apply(patient_ids=[row.patient_id], actor=actor, at=at)
    record_steps(
        [
            Step(
                row.organization_id,
                "patient.payment_void",
                f"Payment of ${row.amount:,.2f} voided, receipt {row.receipt}",
                {"patient_id": row.patient_id},
                reason=reason,
            )
        ],
        actor=actor,
        at=at,
    )
    return row


@transaction.atomic
def unapplied_apply(*, patient_ids: Iterable[int], actor: Actor, at: datetime | None = None) -> int:
    """Put patients' money on account onto what they owe now, oldest first. Returns how many charges
    got money.
    """
    at = at or timezone.now()
    ids = sorted(set(patient_ids))
    owners = {
        p.pk: p for p in Patient.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    }
    kept = kept_for_visits(owners)
    money = {
        pk: amount - kept.get(pk, ZERO)
        for pk, amount in unapplied_balances(owners).items()
        if amount > kept.get(pk, ZERO)
    }
    charges = open_patient_charges(money)
    postings: list[Posting] = []
    steps: list[Step] = []
    count = 0
    for pk, amount in sorted(money.items()):
        placed, rest = _spread(amount, charges.get(pk, []))
        if not placed:
            continue
        used = amount - rest
        legs = [Leg(Account.UNAPPLIED, used, patient_id=pk, reason="prepaid")]
        legs += [
            Leg(Account.AR_PATIENT, -part, charge_id=c.charge_id, patient_id=pk, reason="payment")
            for c, part in placed
        ]
        postings.append(
            Posting(
                owners[pk].organization_id,
                APPLY,
                f"patient-apply:{uuid6.uuid7()}",
                local_day(at),
                "Money on account applied",
                legs,
                "intake.Patient",
                pk,
            )
        )
        steps.append(
            Step(
                owners[pk].organization_id,
                "patient.applied",
                f"${used:,.2f} on account applied to open charges",
                {"patient_id": pk},
            )
        )
        count += len(placed)
    post(postings, actor=actor)
    record_steps(steps, actor=actor, at=at)
    return count


# --- transfers ------------------------------------------------------------------------------------


@transaction.atomic
def transfer_to_patient(
    *, charge: Charge, amount: Decimal, reason: str, actor: Actor, at: datetime | None = None
) -> LedgerTransaction:
    """Move insurance balance to the patient: what a payer called the patient's own, or what a
    coverage that was not in force leaves, at the self-pay price. Refused with the reason by the
    hold-harmless rule (rules `hold-harmless` and `patient-denial`).
    """
    actor.require("followup.work", charge)
    require_mine(charge.organization_id, actor)
    at = at or timezone.now()
    if not reason.strip():
        raise Refused("Say why the patient owes it.", code="missing", field="reason")
    if amount <= ZERO:
        raise Refused("Enter an amount above zero.", code="amount", field="amount")
    balance = locked_balance(charge)
    protected = held_harmless([charge.pk]).get(charge.pk)
    if protected:
        raise Refused(protected.sentence, code=protected.code, field="amount")
    if amount > balance.insurance:
        raise Refused(
            f"Only ${balance.insurance:,.2f} of insurance balance is open.",
            code="over_balance",
            field="amount",
        )
    denials = [
        d
        for d in denials_of([charge.pk]).get(charge.pk, [])
        if d.status not in WON and d.status != DenialStatus.WRITTEN_OFF and patients_denial(d)
    ]
    moved = _moved(charge)
    uncovered = [d for d in denials if d.category == ELIGIBILITY]
    if uncovered:
        _require_proofs(charge, uncovered, at)
        price = _self_pay_price(charge, at) - moved
        _require_price(amount, min(price, balance.insurance))
        discount = balance.insurance - amount
    else:
        share = patient_share([charge.pk]).get(charge.pk, ZERO)
        if not denials and amount > max(share - moved, ZERO):
            raise _not_patients(share, moved)
        discount = ZERO
    written = _move(
        charge,
        Moved(amount, discount, Account.AR_INSURANCE, Account.AR_PATIENT, "transfer.patient"),
        reason,
        actor,
        at,
    )
    left = [d.pk for d in denials if d.status in UNDECIDED]
    if left:
        remittance.denials_accepted(
            denial_ids=left, sentence="Accepted: the patient owes it", actor=actor, at=at
        )
    return written


def _not_patients(share: Decimal, moved: Decimal) -> Refused:
    return Refused(
        f"The payer called ${share:,.2f} the patient's, and ${moved:,.2f} is there already.",
        code="not_patients",
        field="amount",
        fix="Work the denial or write it off; a contractual amount is never billed to the patient.",
    )


def _moved(charge: Charge) -> Decimal:
    """What came to the patient so far, less what went back to insurance."""
    rows = LedgerEntry.objects.filter(charge_id=charge.pk, account=Account.AR_PATIENT)
    return (
        rows.filter(
            Q(amount__gt=0)
            | Q(transaction__kind="transfer.insurance")
            | Q(transaction__kind__startswith="reversal:remittance")
            | Q(transaction__kind="remittance.reversal")
        ).aggregate(total=Sum("amount"))["total"]
        or ZERO
    )


def _require_proofs(charge: Charge, uncovered: Sequence[Denial], at: datetime) -> None:
    """A denial for coverage is the patient's only when the payer has said so again, other coverage
    was looked for, and somebody has spoken with the patient.
    """
    proofs = coverage_proofs(charge, max(d.denied_on for d in uncovered))
    if proofs.missing:
        raise Refused(
            f"Before the patient is billed there must be {_listed(proofs.missing)}, later than the"
            " denial.",
            code="coverage_not_proven",
            field="amount",
            fix="Ask for eligibility on the day of the exam, search other coverage, call the"
            " patient.",
        )


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _self_pay_price(charge: Charge, at: datetime) -> Decimal:
    percent = policy(charge.organization_id, local_day(at)).self_pay_percent
    if percent is None:
        raise Refused(
            "No self-pay price is set, so nothing is moved to the patient.",
            code="no_self_pay_price",
            field="amount",
            fix="Set the self-pay percentage of the receivables policy.",
        )
    return (charge.amount * percent / 100).quantize(CENT, ROUND_HALF_UP)


def _require_price(amount: Decimal, price: Decimal) -> None:
    if amount != price:
        raise Refused(
            f"A patient without coverage owes the self-pay price: ${max(price, ZERO):,.2f} here.",
            code="self_pay_price",
            field="amount",
            fix="Enter that amount; the rest is adjusted with it.",
        )


@transaction.atomic
def transfer_to_insurance(
    *, charge: Charge, amount: Decimal, reason: str, actor: Actor, at: datetime | None = None
) -> LedgerTransaction:
    """Move patient balance back to the insurance side (coverage found, decision appealed)."""
    actor.require("followup.work", charge)
    require_mine(charge.organization_id, actor)
    at = at or timezone.now()
    if not reason.strip():
        raise Refused("Say why insurance owes it.", code="missing", field="reason")
    balance = locked_balance(charge)
    if amount <= ZERO or amount > balance.patient:
        raise Refused(
            f"Only ${balance.patient:,.2f} of patient balance is open.",
            code="over_balance",
            field="amount",
        )
    return _move(
        charge,
        Moved(amount, ZERO, Account.AR_PATIENT, Account.AR_INSURANCE, "transfer.insurance"),
        reason,
        actor,
        at,
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """A move between the two sides of a charge. `discount` leaves the source with it, adjusted."""

    amount: Decimal
    discount: Decimal
    source: str
    target: str
    kind: str


def _move(
    charge: Charge, moved: Moved, reason: str, actor: Actor, at: datetime
) -> LedgerTransaction:
    claim = latest_claim(charge)
    amount, discount = moved.amount, moved.discount
    keys = {
        "charge_id": charge.pk,
        "claim_id": claim.pk if claim else None,
        "patient_id": charge.patient_id,
        "payer_id": claim.payer_id if claim else None,
    }
    (written,) = post(
        [
            Posting(
                charge.organization_id,
                moved.kind,
                f"{moved.kind}:{uuid6.uuid7()}",
                local_day(at),
                f"Transfer: {reason}"[:200],
                (
                    Leg(moved.target, amount, reason="transfer", **keys),
                    Leg(Account.OTHER_ADJUSTMENT, discount, reason="self-pay", **keys),
                    Leg(moved.source, -amount - discount, reason="transfer", **keys),
                ),
                "charges.Charge",
                charge.pk,
            )
        ],
        actor=actor,
    )
    side = "patient" if moved.target == Account.AR_PATIENT else "insurance"
    record_steps(
        [
            Step(
                charge.organization_id,
                f"balance.to_{side}",
                f"${amount:,.2f} moved to the {side}",
                {
                    "patient_id": charge.patient_id,
                    "claim_id": keys["claim_id"],
                    "exam_id": charge.exam_id,
                },
                reason=reason,
            )
        ],
        actor=actor,
        at=at,
    )
    return written


# --- plans ----------------------------------------------------------------------------------------


@transaction.atomic
def plan_make(
    *,
    patient: Patient,
    total: Decimal,
    instalment: Decimal,
    starts_on: date,
    actor: Actor,
    at: datetime | None = None,
) -> PaymentPlan:
    """Agree on instalments for what the patient owes, the oldest exams first. One active plan at a
    time.
    """
    actor.require("statement.send", patient)
    require_mine(patient.organization_id, actor)
    at = at or timezone.now()
    holds = holds_of([patient.pk])
    held = holds.stopping(Act.PLAN, patient.pk)
    if held is not None:
        raise Refused(held.sentence, code="held", fix=f"{held.todo}.")
    charges = [
        c
        for c in open_patient_charges([patient.pk]).get(patient.pk, [])
        if holds.stopping(Act.PLAN, patient.pk, c.charge_id) is None
    ]
    owed = sum((c.balance for c in charges), ZERO)
    if total <= ZERO or total > owed:
        raise Refused(
            f"The patient owes ${owed:,.2f}; a plan is for at most that.",
            code="total",
            field="total",
        )
    if instalment <= ZERO or instalment > total:
        raise Refused(
            "An instalment is above zero and at most the total.",
            code="instalment",
            field="instalment",
        )
    if starts_on < local_day(at):
        raise Refused("The first instalment is due today or later.", code="past", field="starts_on")
    try:
        with transaction.atomic():
            row = PaymentPlan.objects.create(
                organization_id=patient.organization_id,
                patient=patient,
                total=total,
                instalment=instalment,
                starts_on=starts_on,
                actor_name=actor.name,
            )
    except IntegrityError as error:
        raise Conflict("This patient has an active plan already.", code="one_plan") from error
    placed, _ = _spread(total, charges)
    PlanExam.objects.bulk_create(
        PlanExam(organization_id=row.organization_id, plan=row, exam_id=exam)
        for exam in sorted({c.exam_id for c, _ in placed})
    )
    tell_agency(patient, at)
    record_steps(
        [
            Step(
                patient.organization_id,
                "plan.made",
                f"Payment plan: ${total:,.2f} in parts of ${instalment:,.2f}",
                {"patient_id": patient.pk},
            )
        ],
        actor=actor,
        at=at,
    )
    return row


@transaction.atomic
def plan_cancel(
    *, plan: PaymentPlan, reason: str, actor: Actor, at: datetime | None = None
) -> PaymentPlan:
    actor.require("statement.send", plan)
    require_mine(plan.organization_id, actor)
    if not reason.strip():
        raise Refused("Say why the plan ends.", code="missing", field="reason")
    advance(
        PLANS,
        [plan],
        PlanStatus.CANCELLED,
        sentence=f"Payment plan ended: {reason}",
        actor=actor,
        at=at or timezone.now(),
    )
    return plan


PLANS = Machine(
    noun="a plan",
    verb="plan",
    moves=PLAN_MOVES,
    keys=lambda plans: {p.pk: [{"patient_id": p.patient_id}] for p in plans},
)


def plan_paid(plans: Sequence[PaymentPlan]) -> dict[int, Decimal]:
    """What was paid for each plan and not given back. One query."""
    if not plans:
        return {}
    rows = PatientPayment.objects.filter(plan__in=[p.pk for p in plans], voided_at__isnull=True)
    return dict(rows.values_list("plan").annotate(t=Sum(F("amount") - F("refunded"))).order_by())


def exams_in_plans(patient_ids: Iterable[int], today: date) -> dict[int, date]:
    """Exams that a kept plan covers, with the day of its next instalment. One query."""
    rows = PlanExam.objects.filter(
        plan__patient_id__in=list(patient_ids), plan__status=PlanStatus.ACTIVE
    )
    return {
        exam: rules.next_instalment(starts_on, today)
        for exam, starts_on in rows.values_list("exam_id", "plan__starts_on")
    }


def plan_rows(plan: PaymentPlan, paid: Decimal, today: date) -> list[rules.Instalment]:
    return rules.schedule(
        total=plan.total,
        instalment=plan.instalment,
        starts_on=plan.starts_on,
        grace_days=plan.grace_days,
        paid=paid,
        today=today,
    )


@transaction.atomic
def plans_review(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """Active plans that are paid end; those with too many misses break, so that statements begin
    again. While a hold forbids to ask for money nothing is missed. Returns how many moved.
    """
    at = at or timezone.now()
    plans = list(
        PaymentPlan.objects.select_for_update().filter(
            organization_id=organization_id, status=PlanStatus.ACTIVE
        )
    )
    holds = holds_of(plan.patient_id for plan in plans)
    plans = [p for p in plans if holds.stopping(Act.PLAN, p.patient_id) is None]
    paid = plan_paid(plans)
    missed: dict[int, int] = {}
    ended: dict[str, list[PaymentPlan]] = {}
    for plan in plans:
        rows = plan_rows(plan, paid.get(plan.pk, ZERO), local_day(at))
        missed[plan.pk] = sum(r.missed for r in rows)
        status = rules.plan_status(rows, plan.misses_allowed)
        if status != plan.status:
            ended.setdefault(status, []).append(plan)

    def words(plan: PaymentPlan) -> str:
        if plan.status == PlanStatus.DONE:
            return "Payment plan paid"
        return f"Payment plan broken: {missed[plan.pk]} instalments missed"

    return sum(
        advance(PLANS, moved, status, sentence=words, actor=actor, at=at)
        for status, moved in ended.items()
    )
