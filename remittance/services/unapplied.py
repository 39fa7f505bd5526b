"""Unapplied cash that finds its end by itself: taken back by a provider-level amount that names it,
or met by the reversal (or the original) that it waited for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db.models import F

from rcm.accounts import bulk
from rcm.accounts.actor import Actor
from rcm.audit.services import Step, record_steps
from rcm.worklist.services import close_items
from remittance.models import (
    CashReturn,
    CashUse,
    ClaimPayment,
    PaymentState,
    ProviderAdjustment,
    Remittance,
    ReturnStatus,
    UnappliedCash,
)
from remittance.plan import REVERSAL, WithheldPlan
from remittance.services.returning import stop_returns

if TYPE_CHECKING:
    from remittance.services.planning import Planned

LONE = "reversal_without_original"
WAITING = (PaymentState.UNAPPLIED, PaymentState.EXCEPTION)
ZERO = Decimal("0.00")


# --- taken back -----------------------------------------------------------------------------------


def take_back(
    remittance: Remittance,
    takebacks: Sequence[tuple[ProviderAdjustment, WithheldPlan]],
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """What takebacks took of unapplied cash, after their legs were written: the cash is less or gone,
    and what was to be done about it is done.
    """
    uses = [
        CashUse(
            organization_id=remittance.organization_id,
            cash_id=part.cash_id,
            provider_adjustment=row,
            amount=part.amount,
        )
        for row, plan in takebacks
        for part in plan.taken
    ]
    if not uses:
        return
    CashUse.objects.bulk_create(uses)
    cash = UnappliedCash.objects.in_bulk([u.cash_id for u in uses])
    for use in uses:
        cash[use.cash_id].amount -= use.amount
    words = f"Taken back by {remittance.payer_name} {remittance.trace}"
    stop_returns(list(cash), words, actor=actor, at=at)
    gone = [c for c in cash.values() if not c.amount]
    bulk.update(
        UnappliedCash,
        [
            {"id": c.pk, "amount": c.amount, "resolved_at": None if c.amount else at}
            for c in cash.values()
        ],
    )
    payments = [c.payment_id for c in gone if c.payment_id]
    ClaimPayment.objects.filter(pk__in=payments).update(
        state=PaymentState.REVERSED, sentence=words[:200]
    )
    close_items(
        "claim_payment",
        payments,
        actor=Actor.system("posting", [remittance.organization_id]),
        at=at,
        outcome=words[:120],
    )
    record_steps(
        [
            Step(
                remittance.organization_id,
                "cash.taken_back",
                f"{words}: ${use.amount:,.2f} that was on no claim",
                {"remittance_id": cash[use.cash_id].remittance_id},
            )
            for use in uses
        ],
        actor=actor,
        at=at,
    )


def give_back(remittance: Remittance, *, at: datetime) -> list[ClaimPayment]:
    """Undo what the takebacks of a reversed remittance took. Returns the payments whose money is on
    no claim again.
    """
    uses = list(
        CashUse.objects.filter(
            provider_adjustment__remittance=remittance, undone_at__isnull=True
        ).select_related("cash__payment__remittance")
    )
    again: dict[int, ClaimPayment] = {}
    for use in uses:
        UnappliedCash.objects.filter(pk=use.cash_id).update(
            amount=F("amount") + use.amount, resolved_at=None
        )
        if use.cash.payment is not None:
            again[use.cash.payment.pk] = use.cash.payment
    CashUse.objects.filter(pk__in=[u.pk for u in uses]).update(undone_at=at)
    ClaimPayment.objects.filter(pk__in=again).update(state=PaymentState.UNAPPLIED)
    return list(again.values())


def gone_elsewhere(remittance: Remittance) -> CashReturn | None:
    """Unapplied cash of this remittance that went back to the payer or onto a patient's account."""
    return CashReturn.objects.filter(cash__remittance=remittance, status=ReturnStatus.SENT).first()


def taken_by_others(remittance: Remittance) -> ProviderAdjustment | None:
    """A takeback of another remittance that took unapplied cash of this one."""
    use = (
        CashUse.objects.filter(cash__remittance=remittance, undone_at__isnull=True)
        .exclude(provider_adjustment__remittance=remittance)
        .select_related("provider_adjustment__remittance")
        .first()
    )
    return use.provider_adjustment if use else None


# --- reversals and originals that wait for each other ---------------------------------------------


def lone_reversals(planned: Iterable[Planned], *, organization_id: int) -> list[ClaimPayment]:
    """Reversals that waited for one of these payments, each with the payment in `reverses`. One
    query over a small index.
    """
    posted = [p.row for p in planned if p.row.status_code != REVERSAL and not p.plan.exception]
    if not posted:
        return []
    rows = ClaimPayment.objects.filter(
        organization_id=organization_id, exception=LONE, state__in=WAITING
    )
    waiting = list(rows.select_related("remittance").order_by("id")[:5000])
    return _pairs(waiting, posted)


def cancel_out(
    remittance: Remittance, planned: Sequence[Planned], *, actor: Actor, at: datetime
) -> None:
    """A reversal and its original that both lie in unapplied cash are nothing together: they find
    each other whichever came first.
    """
    stuck = [p.row for p in planned if p.plan.exception and p.row.paid]
    if not stuck:
        return
    others = list(
        ClaimPayment.objects.filter(
            organization_id=remittance.organization_id,
            state=PaymentState.UNAPPLIED,
            paid__in={-row.paid for row in stuck},
            unapplied__resolved_at__isnull=True,
        )
        .select_related("remittance")
        .order_by("id")
    )
    everyone = [*others, *(r for r in stuck if r.pk not in {o.pk for o in others})]
    reversals = [r for r in everyone if r.status_code == REVERSAL]
    originals = [r for r in everyone if r.status_code != REVERSAL and r.paid > 0]
    for reversal in _pairs(reversals, originals):
        original = reversal.reverses
        assert original is not None
        _cancel(reversal, original, actor=actor, at=at)


def _pairs(
    reversals: Sequence[ClaimPayment], originals: Sequence[ClaimPayment]
) -> list[ClaimPayment]:
    """Reversals with the original that each takes back set in `reverses`, each original once."""
    taken: set[int] = set()
    found: list[ClaimPayment] = []
    for reversal in reversals:
        fits = [o for o in originals if o.pk not in taken and takes_back(reversal, o)]
        if not fits:
            continue
        reversal.reverses = fits[-1]
        taken.add(fits[-1].pk)
        found.append(reversal)
    return found


def takes_back(reversal: ClaimPayment, original: ClaimPayment) -> bool:
    """Whether a reversal is of this payment: same amounts with the other sign, and the payer's number
    or our claim number.
    """
    if original.pk == reversal.pk:
        return False
    if (original.paid, original.billed) != (-reversal.paid, -reversal.billed):
        return False
    controls = {reversal.payer_control_number, reversal.references.get("F8", "")} - {""}
    return original.payer_control_number in controls or (
        original.claim_number == reversal.claim_number
    )


def _cancel(reversal: ClaimPayment, original: ClaimPayment, *, actor: Actor, at: datetime) -> None:
    words = f"Meets {reversal.remittance.trace}, which takes it back"
    ClaimPayment.objects.filter(pk=original.pk).update(
        state=PaymentState.REVERSED, sentence=words[:200]
    )
    ClaimPayment.objects.filter(pk=reversal.pk).update(
        state=PaymentState.POSTED,
        exception="",
        sentence=f"Takes back the payment of {original.paid:,.2f} that was on no claim."[:200],
        reverses=original,
    )
    cash = UnappliedCash.objects.filter(payment__in=[reversal.pk, original.pk])
    stop_returns(list(cash.values_list("pk", flat=True)), words, actor=actor, at=at)
    cash.update(resolved_at=at)
    close_items(
        "claim_payment",
        [reversal.pk, original.pk],
        actor=Actor.system("posting", [reversal.organization_id]),
        at=at,
        outcome="Payment and reversal met",
    )
    record_steps(
        [
            Step(
                row.organization_id,
                "cash.met",
                f"${abs(row.paid):,.2f} on no claim: payment and reversal met",
                {"remittance_id": row.remittance_id},
            )
            for row in (reversal, original)
        ],
        actor=actor,
        at=at,
    )
