"""Earlier denials of lines that are answered now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from rcm.accounts import bulk
from rcm.accounts.actor import Actor
from rcm.audit.services import Step, record_steps
from rcm.worklist.services import close_items
from remittance.models import (
    Appeal,
    Denial,
    DenialStatus,
    Remittance,
)
from remittance.plan import Treatment, treat, whole_lines
from remittance.services.consequences.denials import ENOUGH, ZERO
from remittance.services.planning import UNSETTLED, Planned
from remittance.services.reference import book
from remittance.services.responsibility import responsibility_release


@dataclass(frozen=True, slots=True)
class _Answers:
    """By charge: the payment that paid it, with the dollars and whether that is all; the payment
    that denied it again.
    """

    won: dict[int, tuple[Planned, Decimal, bool]]
    lost: dict[int, Planned]


def _answers(planned: Sequence[Planned], asked: set[int]) -> _Answers:
    codes = book()
    found = _Answers({}, {})
    for p in planned:
        denied = {(d.service_id, d.line_id) for d in p.plan.denials}
        for line in whole_lines(p.fact):
            if line.charge_id not in asked:
                continue
            if (line.service_id, line.line_id) in denied:
                found.lost[line.charge_id] = p
                continue
            if line.charge_id in p.fact.shielded:
                continue  # the patient's share of an unpaid line is no recovery of our own denial
            share = sum(
                (
                    c.amount
                    for c in line.adjustments
                    if treat(c, line, (*line.remarks, *p.fact.remarks), codes) is Treatment.PATIENT
                ),
                ZERO,
            )
            # what only the patient is asked for was recovered from nobody
            if line.paid > 0:
                got = line.paid + share
                whole = line.expected is None or got >= line.expected * ENOUGH
                before = found.won[line.charge_id][1] if line.charge_id in found.won else ZERO
                found.won[line.charge_id] = (p, before + got, whole)
    return found


def recover(
    remittance: Remittance, planned: Sequence[Planned], *, actor: Actor, at: datetime
) -> None:
    """Earlier denials of lines that are answered now: overturned with the dollars that came, or
    upheld; their items close by themselves.
    """
    answering = [p for p in planned if p.plan.outcome != "reversed"]
    charges = {
        line.charge_id for p in answering for line in p.fact.lines if line.charge_id is not None
    }
    if not charges:
        return
    live = [*UNSETTLED, DenialStatus.UPHELD, DenialStatus.PARTIAL, DenialStatus.WRITTEN_OFF]
    rows = list(
        Denial.objects.select_for_update(of=("self",))
        .filter(line__charge_id__in=charges, status__in=live)
        .exclude(payment_id__in=[p.row.pk for p in planned])
        .select_related("line")
    )
    if not rows:
        return
    answers = _answers(answering, {d.line.charge_id for d in rows if d.line})
    won, lost = answers.won, answers.lost
    updates: list[dict[str, Any]] = []
    steps: list[Step] = []
    closed: list[int] = []
    outcomes: dict[str, list[int]] = defaultdict(list)
    claims_: set[int] = set()
    for d in rows:
        charge_id = d.line.charge_id if d.line else 0
        if charge_id in won and charge_id not in lost:
            p, got, whole = won[charge_id]
            status: DenialStatus = DenialStatus.OVERTURNED if whole else DenialStatus.PARTIAL
            sentence = f"{'Overturned' if whole else 'Partly overturned'}: ${got:,.2f} recovered"
        elif charge_id in lost and d.status in UNSETTLED:
            p, got, status = lost[charge_id], ZERO, DenialStatus.UPHELD
            sentence = "Denied again"
        else:
            continue
        updates.append(
            {
                "id": d.pk,
                "status": status,
                "recovered": got,
                "resolved_on": remittance.paid_on,
                "resolved_by_id": p.row.pk,
                "version": d.version + 1,
            }
        )
        steps.append(
            Step(
                d.organization_id,
                f"denial.{status}",
                sentence,
                {"denial_id": d.pk, "claim_id": d.claim_id, "remittance_id": remittance.pk},
                old=d.status,
                new=status,
                data={"recovered": str(got)},
            )
        )
        closed.append(d.pk)
        outcomes[status].append(d.pk)
        claims_.add(d.claim_id)
    bulk.update(Denial, updates)
    record_steps(steps, actor=actor, at=at)
    for result, pks in outcomes.items():
        Appeal.objects.filter(denial_id__in=pks, outcome="").update(
            outcome=result, outcome_on=remittance.paid_on
        )
        # it closes by itself, whoever posted
        close_items(
            "denial", pks, actor=_machine(remittance), at=at, outcome=DenialStatus(result).label
        )
    if claims_:
        responsibility_release(claim_ids=claims_, actor=actor, at=at)


def _machine(remittance: Remittance) -> Actor:
    return Actor.system("posting", [remittance.organization_id])
