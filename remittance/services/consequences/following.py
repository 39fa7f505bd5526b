"""The order of what follows a chunk, the end of a posting, and its undoing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Exists, F, OuterRef, QuerySet

from charges.models import Charge
from claims import services as claims
from claims.models import Claim
from claims.records import Adjudicated, Outcome
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.exchange.services import publish_many
from rcm.ledger.models import LedgerTransaction
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance.models import (
    ClaimPayment,
    Denial,
    DenialStatus,
    PaymentState,
    ProviderAdjustment,
    Remittance,
    UnappliedCash,
    Variance,
)
from remittance.plan import WithheldPlan, forwarded
from remittance.records import Posted
from remittance.services import unapplied
from remittance.services.consequences.denials import (
    denials_open,
    items_of,
    withdraw,
)
from remittance.services.consequences.recoveries import recover
from remittance.services.consequences.states import adjudicate, states, stuck_item, taken_back
from remittance.services.consequences.variances import Differing, differing, variances
from remittance.services.planning import Planned
from remittance.services.returning import stop_returns

ZERO = Decimal("0.00")


def follow(
    remittance: Remittance,
    planned: Sequence[Planned],
    posted: Posted,
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """Everything after the ledger, in the same transaction."""
    states(remittance, planned, posted, actor=actor, at=at)
    applied = [p for p in planned if not p.plan.exception]
    adjudicate(remittance, applied, actor=actor, at=at)
    differ = differing(remittance, applied)
    charges = _charges(applied, differ)
    recover(remittance, applied, actor=actor, at=at)
    taken_back(planned, actor=actor, at=at)
    posted.denials += denials_open(remittance, applied, charges, actor=actor, at=at)
    posted.variances += variances(remittance, applied, differ, charges)
    patients = [
        {"claim_id": p.fact.claim_id, "patient_id": p.fact.patient_id}
        for p in applied
        if p.plan.patient > 0
    ]
    posted.patients += len(patients)
    organization_id = remittance.organization_id
    publish_many(
        "patient.responsible", organization_id=organization_id, payloads=patients, due_at=at
    )
    publish_many(
        "remittance.next_payer",
        organization_id=organization_id,
        payloads=[
            {"payment_id": p.row.pk}
            for p in applied
            if p.fact.next_payer
            and p.plan.outcome == "paid"
            and not p.fact.unsettled
            and p.plan.patient_later > 0
            and not forwarded(p.fact.status, p.fact.remarks)
        ],
        due_at=at,
    )


def _charges(
    planned: Sequence[Planned], differ: Sequence[Differing]
) -> dict[int, Mapping[str, Any]]:
    """charge → what denials and variances need of it. One query, none when nobody needs any."""
    lines = [one.line for one in differ]
    for p in planned:
        denied = {(d.service_id, d.line_id) for d in p.plan.denials}
        if denied:
            lines += [line for line in p.fact.lines if (line.service_id, line.line_id) in denied]
    wanted = {line.charge_id for line in lines if line.charge_id is not None}
    if not wanted:
        return {}
    return {
        row["id"]: row
        for row in Charge.objects.filter(pk__in=wanted).values(
            "id",
            "exam_id",
            "exam__ordered_exam_id",
            "service_date",
            "code",
            "component",
            "modifiers",
            "derivation",
        )
    }


def finished(
    remittance: Remittance,
    takebacks: Sequence[tuple[ProviderAdjustment, WithheldPlan]],
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """After the last claim: items for exceptions without money and for takebacks from claims."""
    rows = ClaimPayment.objects.filter(remittance=remittance, state=PaymentState.EXCEPTION)
    specs = [
        ItemSpec(
            remittance.organization_id,
            "remittance_exceptions",
            "claim_payment",
            row.pk,
            row.exception,
            f"Claim {row.claim_number}: {row.sentence}"[:200],
            at + timedelta(days=2),
            fix="Find the claim it answers.",
            dollars=abs(row.billed),
            patient_name=row.patient_name,
            payer_id=remittance.payer_id,
            payer_name=remittance.payer_name,
            facts={
                "trace": remittance.trace,
                "claim": row.claim_number,
                "icn": row.payer_control_number,
                "received": remittance.paid_on.isoformat(),
            },
        )
        for row in rows
    ]
    claims_ = Claim.objects.select_related("patient").in_bulk(
        [row.claim_id for row, plan in takebacks if row.claim_id and plan.from_claim]
    )
    for row, plan in takebacks:
        if not plan.from_claim:
            continue
        claim = claims_[row.claim_id or 0]
        specs.append(
            ItemSpec(
                remittance.organization_id,
                "remittance_exceptions",
                "provider_adjustment",
                row.pk,
                "takeback",
                f"{remittance.payer_name} took ${plan.from_claim:,.2f} back for claim {claim.number}.",
                at + timedelta(days=3),
                fix="Check whether the takeback is right and in time; dispute it if not.",
                dollars=plan.from_claim,
                site_id=claim.site_id,
                patient_id=claim.patient_id,
                patient_name=claim.patient.name,
                claim_id=claim.pk,
                payer_id=remittance.payer_id,
                payer_name=remittance.payer_name,
                facts={"trace": remittance.trace, "claim": claim.number, "icn": row.reference},
            )
        )
    open_items(specs, actor=actor, at=at)
    unapplied.take_back(remittance, takebacks, actor=actor, at=at)


def _met_on_no_claim(originals: QuerySet[ClaimPayment]) -> QuerySet[ClaimPayment]:
    """Those of these payments that never stood on a claim when their reversal met them."""
    applied = LedgerTransaction.objects.filter(
        source_type="claim_payment",
        source_id=OuterRef("pk"),
        kind__in=["remittance.payment", "remittance.reversal"],
    )
    return originals.filter(~Exists(applied), unapplied__isnull=False).select_related("remittance")


def undone(remittance: Remittance, reason: str, *, actor: Actor, at: datetime) -> None:
    """After a reversal of the whole: payments, denials, variances, unapplied cash and claims go
    back.
    """
    rows = list(ClaimPayment.objects.filter(remittance=remittance))
    pks = [r.pk for r in rows]
    taken = ClaimPayment.objects.filter(reversals__in=pks)
    met = list(_met_on_no_claim(taken))
    taken.exclude(pk__in=[p.pk for p in met]).update(state=PaymentState.POSTED)
    ClaimPayment.objects.filter(pk__in=[p.pk for p in met]).update(state=PaymentState.UNAPPLIED)
    UnappliedCash.objects.filter(payment__in=met).update(resolved_at=None)
    again_stuck = [*met, *unapplied.give_back(remittance, at=at)]
    open_items([stuck_item(p.remittance, p, at) for p in again_stuck], actor=actor, at=at)
    posted = [r for r in rows if r.state == PaymentState.POSTED and r.claim_id]
    ClaimPayment.objects.filter(pk__in=pks).update(state=PaymentState.REVERSED)
    withdraw(
        Denial.objects.filter(payment_id__in=pks).exclude(status=DenialStatus.WITHDRAWN),
        "Its remittance was reversed",
        actor=actor,
        at=at,
    )
    again = list(
        Denial.objects.filter(resolved_by_id__in=pks)
        .exclude(status=DenialStatus.WITHDRAWN)
        .select_related("claim__patient", "line", "payer")
    )
    Denial.objects.filter(pk__in=[d.pk for d in again]).update(
        status=DenialStatus.OPEN,
        recovered=ZERO,
        resolved_on=None,
        resolved_by=None,
        version=F("version") + 1,
    )
    items_of(again, actor=actor, at=at)
    Variance.objects.filter(service__payment_id__in=pks).delete()
    lying = UnappliedCash.objects.filter(remittance=remittance, resolved_at__isnull=True)
    cash = list(lying.values_list("pk", flat=True))
    stop_returns(cash, "Its remittance was reversed", actor=actor, at=at)
    lying.update(resolved_at=at)
    close_items("claim_payment", pks, actor=actor, at=at, outcome="Its remittance was reversed")
    plb = ProviderAdjustment.objects.filter(remittance=remittance).values_list("id", flat=True)
    close_items(
        "provider_adjustment", plb, actor=actor, at=at, outcome="Its remittance was reversed"
    )
    items = [
        Adjudicated(
            claim_id=r.claim_id,
            outcome=Outcome.REVERSED,
            decided_on=office_day(at),
            paid=-r.paid,
            remittance_id=remittance.pk,
            interchange_id=remittance.interchange_id,
            sentence=f"{remittance.payer_name} {remittance.trace} reversed here: {reason}"[:200],
        )
        for r in posted
        if r.claim_id is not None
    ]
    if items:
        claims.claims_adjudicated(items=items, actor=actor, at=at)
