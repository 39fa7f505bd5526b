"""Unapplied cash and exceptions, put on a claim by a person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from rcm.accounts import bulk
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.worklist.services import close_items
from remittance.models import (
    ClaimPayment,
    PaymentState,
    RemittanceStatus,
    ServicePayment,
    UnappliedCash,
)
from remittance.plan import (
    REVERSAL,
)
from remittance.records import Posted
from remittance.services.planning import Facts, why_not
from remittance.services.posting import write
from remittance.services.reference import book
from remittance.services.returning import open_return


@transaction.atomic
def payment_apply(
    *,
    payment: ClaimPayment,
    claim: Any,
    reason: str,
    actor: Actor,
    lines: Mapping[int, int] | None = None,
    at: datetime | None = None,
) -> ClaimPayment:
    """A person says which claim a payment is for. `lines` maps its service rows to claim lines
    where codes differ.

    Before posting it becomes a matched payment; afterwards its money moves from unapplied cash to
    the claim, once. A credit that this leaves on a line is wanted and goes to the credit balances.
    """
    from remittance import matching as m
    from remittance.services.finding import claims_where

    actor.require("remittance.post", payment)
    at = at or timezone.now()
    if not reason.strip():
        raise Refused("Say why this payment belongs to that claim.", field="reason", code="missing")
    row = ClaimPayment.objects.select_for_update().select_related("remittance").get(pk=payment.pk)
    remittance = row.remittance
    movable = row.state in (PaymentState.EXCEPTION, PaymentState.UNAPPLIED)
    if remittance.status == RemittanceStatus.READY:
        # nothing is posted yet, so the claim that was found may be the wrong one
        movable = movable or row.state == PaymentState.MATCHED
    if not movable:
        raise Refused("This payment is on a claim already.", code="not_open", status=409)
    cash = UnappliedCash.objects.select_for_update().filter(payment=row).first()
    if open_return(cash) is not None:
        raise Refused(
            "This money is to go back to the payer.",
            code="return_asked",
            fix="Refuse the return first.",
            status=409,
        )
    if row.state == PaymentState.UNAPPLIED and cash is not None and cash.amount != row.paid:
        raise Refused(
            f"Part of this money is gone: ${cash.amount:,.2f} of ${row.paid:,.2f} is still on no"
            " claim.",
            code="partly_taken",
            fix="Reverse what took the other part first.",
            status=409,
        )
    if remittance.status not in (RemittanceStatus.READY, RemittanceStatus.POSTED):
        raise Refused(why_not(remittance), code="not_open", status=409)
    found = claims_where(Q(pk=claim.pk), organization_id=row.organization_id)
    if not found:
        raise Refused("There is no such claim.", field="claim", code="unknown")
    services = list(ServicePayment.objects.filter(payment=row).order_by("position"))
    chosen = dict(lines or {})
    by_line = {line.line_id: line for line in found[0].lines}
    matched = m.match_lines(
        [m.PaidLine(s.control, s.code, s.modifiers, s.billed, s.original_code) for s in services],
        found[0].lines,
    )
    for s, line in zip(services, matched, strict=True):
        line = by_line.get(chosen[s.pk]) if s.pk in chosen else line
        if line is None and len(by_line) == 1:
            line = next(iter(by_line.values()))
        if line is None and row.status_code != REVERSAL:
            raise Refused(
                f"{s.code} is on no line of claim {found[0].number}. Choose its line.",
                field=f"line_{s.pk}",
                code="code_mismatch",
            )
        s.line_id = line.line_id if line else None
        s.expected = line.expected if line else None
    bulk.update(
        ServicePayment,
        [{"id": s.pk, "line_id": s.line_id, "expected": s.expected} for s in services],
    )
    before = row.exception
    row.claim_id, row.exception, row.sentence, row.state = claim.pk, "", "", PaymentState.MATCHED
    row.save(update_fields=["claim_id", "exception", "sentence", "state"])
    record_steps(
        [
            Step(
                row.organization_id,
                "payment.applied",
                f"${row.paid:,.2f} of {remittance.trace} put on claim {found[0].number}",
                {
                    "remittance_id": remittance.pk,
                    "claim_id": claim.pk,
                    "patient_id": found[0].patient_id,
                },
                old=before,
                new=row.state,
                reason=reason,
            )
        ],
        actor=actor,
        at=at,
    )
    if remittance.status == RemittanceStatus.POSTED:
        facts = Facts(remittance, book(), lock=True)
        planned = facts.plan([row], source="unapplied", force=True)
        write(remittance, planned, Posted(remittance.pk), actor=actor, at=at, suffix=":applied")
        row.refresh_from_db()
        close_items(
            "claim_payment",
            [row.pk],
            actor=actor,
            at=at,
            outcome=f"Applied to claim {found[0].number}",
        )
    elif not ClaimPayment.objects.filter(
        remittance=remittance, state=PaymentState.EXCEPTION
    ).exists():
        close_items(
            "remittance",
            [remittance.pk],
            actor=actor,
            at=at,
            outcome="Every claim was found",
            queues=["remittance_exceptions"],
        )
    return row
