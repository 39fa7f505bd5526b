"""Unapplied cash that belongs on no claim of ours: back to the payer, or to a patient's account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from intake.models import Patient
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.transitions import Machine, advance
from rcm.ledger.models import Account
from rcm.ledger.services import Leg, Posting, post
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance.models import (
    RETURN_MOVES,
    CashReturn,
    ClaimPayment,
    PaymentState,
    ReturnStatus,
    UnappliedCash,
)

SUBJECT, QUEUE = "cash_return", "unapplied_cash"
MACHINE = Machine(
    noun="a return",
    verb="cash_return",
    moves=RETURN_MOVES,
    keys=lambda rows: {
        r.pk: [{"remittance_id": r.cash.remittance_id, "patient_id": r.patient_id}] for r in rows
    },
)
DECIDE = timedelta(days=2)


@transaction.atomic
def return_request(
    *, cash: UnappliedCash, reason: str, actor: Actor, at: datetime | None = None
) -> CashReturn:
    """Ask to send money back to the payer. Until a second person decides it is applied nowhere."""
    actor.require("refund.request", cash.payment or cash)
    at = at or timezone.now()
    held = _held(cash)
    row = _made(held, "payer", None, reason, actor)
    remittance = held.remittance
    open_items(
        [
            ItemSpec(
                row.organization_id,
                QUEUE,
                SUBJECT,
                row.pk,
                "return_asked",
                f"${row.amount:,.2f} of {remittance.trace} is to go back to"
                f" {remittance.payer_name}: {row.reason}"[:200],
                at + DECIDE,
                fix="Approve it with the check number, or refuse it.",
                dollars=row.amount,
                payer_id=remittance.payer_id,
                payer_name=remittance.payer_name,
                facts={"trace": remittance.trace, "received": remittance.paid_on.isoformat()},
            )
        ],
        actor=actor,
        at=at,
    )
    record_steps(
        [
            Step(
                row.organization_id,
                "cash_return.requested",
                f"${row.amount:,.2f} to go back to the payer",
                {"remittance_id": remittance.pk},
                new=row.status,
                reason=row.reason,
            )
        ],
        actor=actor,
        at=at,
    )
    return row


@transaction.atomic
def return_decide(
    *,
    row: CashReturn,
    approve: bool,
    actor: Actor,
    reference: str = "",
    note: str = "",
    at: datetime | None = None,
) -> CashReturn:
    """Send it back with a check or transfer number, or refuse. Who asked never decides."""
    actor.require("refund.approve", row.cash.payment or row)
    at = at or timezone.now()
    row = CashReturn.objects.select_for_update().get(pk=row.pk)
    if row.status != ReturnStatus.REQUESTED:
        raise Conflict("Somebody has decided this already.", code="decided")
    if actor.kind != "person" or actor.user_id is None or row.requested_by_id == actor.user_id:
        raise Refused(
            "Who asks to send money back does not approve it. Another person must decide.",
            code="maker_is_checker",
        )
    if approve and not reference.strip():
        raise Refused("Enter the check or transfer number.", code="missing", field="reference")
    if not approve and not note.strip():
        raise Refused("Say why it is refused.", code="missing", field="note")
    decided = {"decided_by_id": actor.user_id, "decided_at": at, "note": note.strip()[:200]}
    if not approve:
        advance(
            MACHINE,
            [row],
            ReturnStatus.REFUSED,
            sentence="Not sent back",
            reason=note.strip()[:200],
            actor=actor,
            at=at,
            changes=decided,
        )
        close_items(SUBJECT, [row.pk], actor=actor, at=at, outcome="Refused")
        return row
    number = reference.strip()[:40]
    leg = Leg(Account.CASH, -row.amount, reason="returned")
    words = f"Sent back to the payer, {number}"
    _leave(row, leg, words, actor, at, changes={**decided, "reference": number})
    return row


@transaction.atomic
def cash_to_patient(
    *,
    cash: UnappliedCash,
    patient: Patient,
    reason: str,
    actor: Actor,
    at: datetime | None = None,
) -> CashReturn:
    """Money that a patient paid through the payer's file or lockbox: onto the patient's account,
    where it is applied like every payment of theirs.
    """
    actor.require("remittance.post", cash.payment or cash)
    at = at or timezone.now()
    held = _held(cash)
    if patient.organization_id != held.organization_id:
        raise Refused("There is no such patient.", code="unknown", field="mrn")
    row = _made(held, "patient", patient, reason, actor)
    leg = Leg(Account.UNAPPLIED, -row.amount, patient_id=patient.pk, reason="from remittance")
    _leave(row, leg, "Put on a patient's account", actor, at, changes={"decided_at": at})
    return row


def open_return(cash: UnappliedCash | None) -> CashReturn | None:
    """The return that waits for a decision."""
    if cash is None:
        return None
    return CashReturn.objects.filter(cash=cash, status=ReturnStatus.REQUESTED).first()


def stop_returns(cash_ids: Iterable[int], why: str, *, actor: Actor, at: datetime) -> int:
    """The payer took the money back by itself, or it found its claim: what was asked is void."""
    rows = list(
        CashReturn.objects.select_for_update(of=("self",))
        .select_related("cash")
        .filter(cash_id__in=list(cash_ids), status=ReturnStatus.REQUESTED)
    )
    advance(
        MACHINE,
        rows,
        ReturnStatus.STOPPED,
        sentence="Sending back stopped",
        reason=why,
        actor=actor,
        at=at,
        changes={"note": why[:200]},
    )
    close_items(SUBJECT, [r.pk for r in rows], actor=actor, at=at, outcome=why[:60])
    return len(rows)


def _held(cash: UnappliedCash) -> UnappliedCash:
    row = (
        UnappliedCash.objects.select_for_update(of=("self",))
        .select_related("remittance")
        .get(pk=cash.pk)
    )
    if row.resolved_at is not None or row.amount <= 0:
        raise Conflict("This money is on no claim no longer.", code="not_open")
    return row


def _made(
    cash: UnappliedCash, to: str, patient: Patient | None, reason: str, actor: Actor
) -> CashReturn:
    if not reason.strip():
        raise Refused("Say why.", code="missing", field="reason")
    if open_return(cash) is not None:
        raise Conflict("Sending this money back is asked already.", code="already_requested")
    try:
        with transaction.atomic():
            return CashReturn.objects.create(
                organization_id=cash.organization_id,
                cash=cash,
                to=to,
                patient=patient,
                amount=cash.amount,
                reason=reason.strip()[:200],
                requested_by_id=actor.user_id,
            )
    except IntegrityError as error:
        raise Conflict(
            "Sending this money back is asked already.", code="already_requested"
        ) from error


def _leave(
    row: CashReturn,
    other: Leg,
    words: str,
    actor: Actor,
    at: datetime,
    *,
    changes: Mapping[str, Any],
) -> None:
    """The cash is gone from unapplied, its item is done."""
    cash = _held(row.cash)
    if cash.amount != row.amount:
        raise Refused(
            f"Meanwhile ${cash.amount:,.2f} of it is on no claim. Refuse this and ask anew.",
            code="amount_changed",
        )
    remittance = cash.remittance
    (written,) = post(
        [
            Posting(
                row.organization_id,
                f"cash.to_{row.to}",
                f"cash-return:{row.public_id}",
                office_day(at),
                words[:200],
                (
                    Leg(
                        Account.UNAPPLIED,
                        row.amount,
                        payer_id=remittance.payer_id,
                        remittance_id=remittance.pk,
                        reason="returned",
                    ),
                    other,
                ),
                "remittance.CashReturn",
                row.pk,
            )
        ],
        actor=actor,
    )
    advance(
        MACHINE,
        [row],
        ReturnStatus.SENT,
        sentence=f"${row.amount:,.2f}: {words}",
        reason=row.reason,
        actor=actor,
        at=at,
        changes={**changes, "transaction": written},
    )
    UnappliedCash.objects.filter(pk=cash.pk).update(amount=Decimal(0), resolved_at=at)
    close_items(SUBJECT, [row.pk], actor=actor, at=at, outcome=words[:60])
    if cash.payment_id is not None:
        ClaimPayment.objects.filter(pk=cash.payment_id).update(
            state=PaymentState.RETURNED, sentence=words[:200]
        )
        close_items("claim_payment", [cash.payment_id], actor=actor, at=at, outcome=words[:60])
