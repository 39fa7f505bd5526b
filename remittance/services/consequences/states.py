"""States of the payments, unapplied cash, and what the claims are told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from claims import services as claims
from claims.records import Adjudicated, Outcome
from rcm.accounts import bulk
from rcm.accounts.actor import Actor
from rcm.worklist.services import ItemSpec, open_items
from remittance.models import (
    ClaimPayment,
    Denial,
    DenialStatus,
    PaymentState,
    Remittance,
    UnappliedCash,
)
from remittance.plan import OTHER
from remittance.records import Posted
from remittance.services.consequences.denials import withdraw
from remittance.services.members import correction_items
from remittance.services.planning import Planned

ZERO = Decimal("0.00")


def states(
    remittance: Remittance,
    planned: Sequence[Planned],
    posted: Posted,
    *,
    actor: Actor,
    at: datetime,
) -> None:
    rows: list[dict[str, Any]] = []
    for p in planned:
        if p.plan.exception:
            p.row.state = PaymentState.UNAPPLIED if p.row.paid else PaymentState.EXCEPTION
        else:
            p.row.state = PaymentState.POSTED
        p.row.exception, p.row.sentence = p.plan.exception, p.plan.sentence[:200]
        rows.append(
            {
                "id": p.row.pk,
                "state": p.row.state,
                "exception": p.row.exception,
                "sentence": p.row.sentence,
                "reverses_id": p.original.pk if p.original else None,
            }
        )
    bulk.update(ClaimPayment, rows)
    originals = [p.original.pk for p in planned if p.original is not None]
    if originals:
        ClaimPayment.objects.filter(pk__in=originals).update(state=PaymentState.REVERSED)
    stuck = [p for p in planned if p.plan.exception]
    posted.unapplied += sum(1 for p in stuck if p.row.paid)
    UnappliedCash.objects.bulk_create(
        [
            UnappliedCash(
                organization_id=remittance.organization_id,
                payment=p.row,
                remittance=remittance,
                amount=p.row.paid,
                reason=p.plan.sentence[:120] or p.plan.exception,
            )
            for p in stuck
            if p.row.paid
        ],
        update_conflicts=True,
        unique_fields=["payment"],
        update_fields=["amount", "reason", "resolved_at"],
    )
    UnappliedCash.objects.filter(
        payment_id__in=[p.row.pk for p in planned if not p.plan.exception], resolved_at__isnull=True
    ).update(resolved_at=at)
    unknown = [_unknown_item(remittance, p, at) for p in planned if p.plan.unknown]
    items = [stuck_item(remittance, p.row, at) for p in stuck]
    corrected = correction_items(remittance, [p.row for p in planned if not p.plan.exception], at)
    open_items([*items, *unknown, *corrected], actor=actor, at=at)


def taken_back(planned: Sequence[Planned], *, actor: Actor, at: datetime) -> None:
    """Denials whose answer the payer took back without a new one. What was corrected or appealed
    still waits for its answer: the payer takes its old one back first, in the same file or in an
    earlier one.
    """
    originals = [p.original.pk for p in planned if p.original is not None]
    if originals:
        rows = Denial.objects.filter(
            payment_id__in=originals, status__in=[DenialStatus.OPEN, DenialStatus.PARKED]
        )
        withdraw(rows, "The payer took its answer back", actor=actor, at=at)


def stuck_item(remittance: Remittance, row: ClaimPayment, at: datetime) -> ItemSpec:
    """The work that a payment on no claim makes, as its state now stands."""
    cash = bool(row.paid)
    return ItemSpec(
        remittance.organization_id,
        "unapplied_cash" if cash else "remittance_exceptions",
        "claim_payment",
        row.pk,
        row.exception or "no_match",
        (f"${row.paid:,.2f} of {remittance.trace} is on no claim. " if cash else "") + row.sentence,
        at + timedelta(days=2),
        fix="Find the claim and apply it, or return it to the payer.",
        dollars=abs(row.paid),
        patient_name=row.patient_name,
        payer_id=remittance.payer_id,
        payer_name=remittance.payer_name,
        facts={
            "trace": remittance.trace,
            "claim": row.claim_number,
            "icn": row.payer_control_number,
            "dos": row.service_date.isoformat() if row.service_date else "",
            "received": remittance.paid_on.isoformat(),
        },
    )


def _unknown_item(remittance: Remittance, p: Planned, at: datetime) -> ItemSpec:
    """A reason that nobody has classified moved money: it stands under other adjustments."""
    reasons = ", ".join(dict.fromkeys(p.plan.unknown))
    return ItemSpec(
        remittance.organization_id,
        "remittance_exceptions",
        "claim_payment",
        p.row.pk,
        "unknown_reason",
        f"Claim {p.row.claim_number}: {reasons} adds money and is not classified. It stands under"
        " other adjustments; the patient's share is as the payer says."[:200],
        at + timedelta(days=2),
        fix="Load the reason code with its class; move the amount if it belongs elsewhere.",
        dollars=sum((abs(x.amount) for x in p.plan.legs if x.account == OTHER), ZERO),
        claim_id=p.fact.claim_id,
        patient_id=p.fact.patient_id,
        patient_name=p.row.patient_name,
        payer_id=remittance.payer_id,
        payer_name=remittance.payer_name,
        facts={
            "trace": remittance.trace,
            "claim": p.row.claim_number,
            "icn": p.row.payer_control_number,
        },
    )


def adjudicate(
    remittance: Remittance, planned: Sequence[Planned], *, actor: Actor, at: datetime
) -> None:
    items = []
    for p in planned:
        if not p.fact.claim_id or not p.plan.outcome:
            continue
        words = {
            "paid": "paid",
            "partial": "partly paid",
            "denied": "denied",
            "reversed": "payment taken back",
        }[p.plan.outcome]
        extra = f", ${p.plan.denied:,.2f} denied" if p.plan.denials else ""
        items.append(
            Adjudicated(
                claim_id=p.fact.claim_id,
                outcome=Outcome(p.plan.outcome),
                decided_on=remittance.paid_on,
                paid=p.row.paid,
                patient=p.plan.patient,
                payer_control_number=p.row.payer_control_number,
                remittance_id=remittance.pk,
                interchange_id=remittance.interchange_id,
                sentence=(
                    f"{remittance.payer_name} {remittance.trace}: {words},"
                    f" ${p.row.paid:,.2f}{extra}"
                ),
            )
        )
    if items:
        claims.claims_adjudicated(items=items, actor=actor, at=at)
