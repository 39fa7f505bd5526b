"""What waited for the other lines of a claim: the share of the patient or the claim to the next
payer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.exchange.services import publish_many
from rcm.ledger.models import Balance, LedgerEntry
from rcm.ledger.services import Leg, Posting, post_many
from remittance.models import (
    ClaimPayment,
    Denial,
    PaymentState,
)
from remittance.plan import (
    AR_PATIENT,
    CONTRACTUAL,
    REVERSAL,
    Book,
    forwarded,
    nothing_collectable,
)
from remittance.services.planning import UNSETTLED, ZERO, Facts, Planned, effect_key
from remittance.services.reference import book


@transaction.atomic
def responsibility_release(
    *, claim_ids: Iterable[int], actor: Actor, at: datetime | None = None
) -> int:
    """Move what waited for the other lines: the patient's share, once no line of the claim is
    denied or unanswered any more, to the patient, or the claim to the next payer
    (rule `next-responsibility`).
    Returns the number of payments moved. Never more than is still open on a charge.
    """
    at = at or timezone.now()
    rows = list(
        ClaimPayment.objects.filter(claim_id__in=list(claim_ids), state=PaymentState.POSTED)
        .exclude(status_code=REVERSAL)
        .select_related("remittance")
        .order_by("id")
    )
    moved = set(
        LedgerEntry.objects.filter(
            transaction__source_type="claim_payment",
            transaction__source_id__in=[r.pk for r in rows],
            transaction__reversed_by__isnull=True,
            account="ar_patient",
        ).values_list("transaction__source_id", flat=True)
    )
    by_remittance: dict[int, list[ClaimPayment]] = defaultdict(list)
    for r in rows:
        if r.pk not in moved:
            by_remittance[r.remittance_id].append(r)
    codes, done = book(), 0
    patients: list[dict[str, int]] = []
    nexts: list[dict[str, int]] = []
    postings: list[Posting] = []
    organization_id = 0
    for own in by_remittance.values():
        remittance = own[0].remittance
        organization_id = remittance.organization_id
        facts = Facts(remittance, codes, lock=True)
        settled = _settled(own)
        for p in facts.plan(own, force=True):
            if (p.plan.denials and p.row.pk not in settled) or p.fact.unsettled:
                continue
            shares = _shares(p, facts, codes)
            if not shares:
                continue
            if p.fact.next_payer:
                if not forwarded(p.row.status_code, p.row.remarks):
                    nexts.append({"payment_id": p.row.pk})
                continue
            never = nothing_collectable(p.fact)
            legs: list[Leg] = []
            for share in shares:
                amount, reason = share.amount, share.reason
                common = {
                    "charge_id": share.charge_id,
                    "claim_id": p.fact.claim_id,
                    "patient_id": p.fact.patient_id,
                    "payer_id": p.fact.payer_id,
                }
                spared = never or share.never_patient or share.charge_id in p.fact.forbidden
                target = CONTRACTUAL if spared else AR_PATIENT
                legs += [
                    Leg(target, amount, remittance_id=remittance.pk, reason=reason, **common),
                    Leg(
                        "ar_insurance",
                        -amount,
                        remittance_id=remittance.pk,
                        reason=reason,
                        **common,
                    ),
                ]
            postings.append(
                Posting(
                    organization_id,
                    "remittance.patient",
                    f"{effect_key(remittance, p.row.position)}:patient",
                    office_day(at),
                    f"Patient share of claim {p.row.claim_number}",
                    legs,
                    "claim_payment",
                    p.row.pk,
                )
            )
            to_patient = any(leg.account == AR_PATIENT for leg in legs)
            if p.fact.claim_id and p.fact.patient_id and to_patient:
                patients.append({"claim_id": p.fact.claim_id, "patient_id": p.fact.patient_id})
    if postings:
        done = len(post_many(postings, actor=actor))
    if organization_id:
        publish_many(
            "patient.responsible", organization_id=organization_id, payloads=patients, due_at=at
        )
        publish_many(
            "remittance.next_payer", organization_id=organization_id, payloads=nexts, due_at=at
        )
    return done + len(nexts)


def _settled(rows: Sequence[ClaimPayment]) -> set[int]:
    """Payments none of whose denials still waits."""
    waiting = set(
        Denial.objects.filter(payment__in=rows, status__in=UNSETTLED).values_list(
            "payment_id", flat=True
        )
    )
    return {r.pk for r in rows} - waiting


@dataclass(frozen=True, slots=True)
class _Share:
    """An amount that the payer left to the patient or to whoever pays next."""

    charge_id: int
    amount: Decimal
    reason: str
    never_patient: bool


def _shares(p: Planned, facts: Facts, codes: Book) -> list[_Share]:
    """What a payment leaves by charge, no more than is open now. A shielded charge waits unless
    another payer comes next.
    """
    from remittance.plan import Treatment, treat, whole_lines

    current = dict(
        Balance.objects.filter(
            charge_id__in=[x.charge_id for x in p.fact.lines if x.charge_id]
        ).values_list("charge_id", "insurance")
    )
    out: list[_Share] = []
    shielded = frozenset() if p.fact.next_payer else p.fact.shielded
    for line in whole_lines(p.fact):
        if line.charge_id is None or line.charge_id in shielded:
            continue
        for cas in line.adjustments:
            treatment = treat(cas, line, (*line.remarks, *p.fact.remarks), codes)
            if treatment not in (Treatment.PATIENT, Treatment.NEVER_PATIENT):
                continue
            amount = min(cas.amount, current.get(line.charge_id, ZERO))
            if amount > 0:
                current[line.charge_id] -= amount
                never = treatment is Treatment.NEVER_PATIENT
                out.append(_Share(line.charge_id, amount, f"{cas.group}-{cas.reason}", never))
    return out
