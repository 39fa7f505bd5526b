"""A remittance that was reversed: its money lies in unapplied cash with an owner until it, or the
payer's correction of it, is posted again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.ledger.models import LedgerTransaction
from rcm.ledger.services import Leg, Posting, post, reverse
from rcm.worklist.models import WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance.models import (
    REMITTANCE_MOVES,
    ClaimPayment,
    Deposit,
    PaymentState,
    Remittance,
    RemittanceStatus,
    UnappliedCash,
)
from remittance.plan import CASH, UNAPPLIED
from remittance.services.doors import remittance_match
from remittance.services.planning import effect_key

HELD = "remittance.held"
KEPT = ("no_match", "code_mismatch", "reversal_without_original", "negative")
"""Exceptions that no posting judges anew: they stay until a person or a new search ends them."""


def hold_money(remittance: Remittance, reason: str, *, actor: Actor, at: datetime) -> None:
    """Put the money of a reversed remittance into unapplied cash, with whoever reversed it as its
    owner. In the caller's transaction; nothing for one without money.
    """
    if remittance.amount <= 0:
        return
    organization_id, pk = remittance.organization_id, remittance.pk
    legs = [
        Leg(account, amount, payer_id=remittance.payer_id, remittance_id=pk, reason="REVERSED")
        for account, amount in ((CASH, remittance.amount), (UNAPPLIED, -remittance.amount))
    ]
    post(
        [
            Posting(
                organization_id,
                HELD,
                effect_key(remittance, "held"),
                office_day(at),
                f"{remittance.payer_name} {remittance.trace}, until it is posted again",
                legs,
                "remittance",
                pk,
            )
        ],
        actor=actor,
    )
    UnappliedCash.objects.create(
        organization_id=organization_id,
        remittance=remittance,
        amount=remittance.amount,
        reason=f"Reversed: {reason}"[:120],
    )
    item = ItemSpec(
        organization_id,
        "unapplied_cash",
        "remittance",
        pk,
        "reversed",
        f"${remittance.amount:,.2f} of {remittance.trace} was reversed and is on no claim.",
        at + timedelta(days=2),
        fix="Take the remittance up again, correct it and post it, or return the money.",
        dollars=remittance.amount,
        payer_id=remittance.payer_id,
        payer_name=remittance.payer_name,
        facts={"trace": remittance.trace, "received": remittance.paid_on.isoformat()},
    )
    open_items([item], actor=actor, at=at)
    if actor.user_id:
        WorkItem.objects.filter(
            subject_type="remittance",
            subject_id=pk,
            queue="unapplied_cash",
            status="open",
            owner__isnull=True,
        ).update(owner_id=actor.user_id, version=F("version") + 1)


def release_money(remittance: Remittance, *, actor: Actor, at: datetime) -> None:
    """Take the money that was held out of unapplied cash again, because this remittance is posted
    now: it is the reversed one, or the correction of it. In the caller's transaction.
    """
    sources = [remittance.pk]
    other = remittance.resembles
    if other is not None and other.status == RemittanceStatus.REVERSED:
        sources.append(other.pk)
        Deposit.objects.filter(remittance=other).update(remittance=remittance)
        if remittance.deposited_on is None and other.deposited_on is not None:
            remittance.deposited_on = other.deposited_on
            remittance.save(update_fields=["deposited_on"])
    held = LedgerTransaction.objects.filter(
        organization_id=remittance.organization_id,
        kind=HELD,
        source_type="remittance",
        source_id__in=sources,
        reversed_by__isnull=True,
    )
    if not reverse(held, effective_on=office_day(at), reason="Posted again", actor=actor):
        return
    UnappliedCash.objects.filter(
        remittance_id__in=sources, payment__isnull=True, resolved_at__isnull=True
    ).update(resolved_at=at)
    close_items("remittance", sources, actor=actor, at=at, outcome="Posted again")


@transaction.atomic
def remittance_reopen(
    *, remittance: Remittance, actor: Actor, at: datetime | None = None
) -> Remittance:
    """Take a reversed remittance up again: it is ready, its claims can be corrected, and it is posted
    by a person. Refused when it is not reversed, or when its correction is posted already.
    """
    actor.require("remittance.post", remittance)
    at = at or timezone.now()
    row = Remittance.objects.select_for_update().get(pk=remittance.pk)
    if RemittanceStatus.READY not in REMITTANCE_MOVES[row.status] or (
        row.status != RemittanceStatus.REVERSED
    ):
        raise Refused(
            "Only a reversed remittance is taken up again.", code="not_reversed", status=409
        )
    posted = correction_of(row)
    if posted is not None:
        raise Refused(
            f"Its correction of {posted.paid_on:%b %-d, %Y} over ${posted.amount:,.2f} is posted.",
            code="corrected",
            fix="Reverse that one first if it is wrong.",
            status=409,
        )
    reopen(row, actor=actor, at=at)
    remittance.refresh_from_db()
    return remittance


def correction_of(row: Remittance) -> Remittance | None:
    """The posted correction of a reversed remittance."""
    return Remittance.objects.filter(resembles=row, status=RemittanceStatus.POSTED).first()


def reopen(row: Remittance, *, actor: Actor, at: datetime) -> None:
    """Make a reversed remittance ready again. In the caller's transaction and with his right."""
    Remittance.objects.filter(pk=row.pk).update(
        status=RemittanceStatus.READY,
        attempt=F("attempt") + 1,
        posted_at=None,
        reversed_at=None,
        version=F("version") + 1,
    )
    # what no posting judges anew stays an exception, the rest is planned afresh
    stuck = When(exception__in=KEPT, then=Value(PaymentState.EXCEPTION.value))
    alone = When(claim__isnull=True, then=Value(PaymentState.EXCEPTION.value))
    payments = ClaimPayment.objects.filter(remittance=row)
    payments.filter(claim__isnull=True, exception="").update(exception="no_match")
    payments.update(
        state=Case(stuck, alone, default=Value(PaymentState.MATCHED.value)), reverses=None
    )
    payments.filter(state=PaymentState.MATCHED).update(exception="", sentence="")
    record_steps(
        [
            Step(
                row.organization_id,
                "remittance.reopened",
                f"{row.payer_name} {row.trace} taken up again",
                {"remittance_id": row.pk, "interchange_id": row.interchange_id},
                old=RemittanceStatus.REVERSED,
                new=RemittanceStatus.READY,
            )
        ],
        actor=actor,
        at=at,
    )
    row.refresh_from_db()
    remittance_match(remittance=row, actor=actor, at=at)
