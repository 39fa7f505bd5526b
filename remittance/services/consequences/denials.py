"""A denial for each denied line: normalized, dated, traced to the step that let it through, in the
queue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import uuid6
from django.db.models import Count, F, Q
from django.utils import timezone

from claims.models import ClaimLine
from claims.services import Asked, records_asked
from rcm.accounts import bulk
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.audit.services import Step, record_steps
from rcm.exchange.services import publish_many
from rcm.reference.facts import adjustment_reasons, payer_book
from rcm.reference.models import AdjustmentReason
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance import deadlines, tables
from remittance.models import (
    Denial,
    DenialStatus,
    Remittance,
)
from remittance.services.consequences.origins import origins
from remittance.services.planning import Planned

ZERO = Decimal("0.00")
ENOUGH = Decimal("0.98")
UNPROCESSABLE = "MA130"


def denials_open(
    remittance: Remittance,
    planned: Sequence[Planned],
    charges: Mapping[int, Mapping[str, Any]],
    *,
    actor: Actor,
    at: datetime,
) -> int:
    """A denial for each denied line: normalized, dated, attributed, in the queue."""
    found = [
        (p, d, _charge_of(p, d.service_id, d.line_id))
        for p in planned
        for d in p.plan.denials
        if p.fact.claim_id
    ]
    if not found:
        return 0
    organization_id = remittance.organization_id
    payers = payer_book().by_id
    traced = origins(organization_id, found, charges, at)
    before = _before(c for _, _, c in found if c)
    rows: list[dict[str, Any]] = []
    stamp = timezone.now()
    for (p, d, charge_id), pk in zip(found, bulk.ids(Denial, len(found)), strict=True):
        payer = payers.get(p.fact.payer_id or 0)
        clock = clock_of(payer)
        unprocessable = UNPROCESSABLE in d.remarks
        origin = traced.get((p.row.pk, d.service_id, d.line_id))
        rows.append(
            {
                "id": pk,
                "public_id": uuid6.uuid7(),
                "organization_id": organization_id,
                "created_at": stamp,
                "claim_id": p.fact.claim_id,
                "line_id": d.line_id,
                "payment_id": p.row.pk,
                "payer_id": p.fact.payer_id,
                "service_id": d.service_id,
                "group": d.group[:2],
                "reason": d.reason[:5],
                "remarks": list(d.remarks),
                "category": d.category[:30],
                "amount": d.amount,
                "expected": d.expected,
                "status": DenialStatus.OPEN,
                "denied_on": remittance.paid_on,
                "appeal_by": (
                    None
                    if unprocessable
                    else deadlines.appeal_due(clock, remittance.paid_on, amount=d.amount)
                ),
                "correct_by": deadlines.correct_due(
                    clock,
                    remittance.paid_on,
                    unprocessable=unprocessable,
                    filing_deadline=p.claim.get("filing_deadline"),
                ),
                "owner_stage": (origin.stage if origin else d.owner_stage)[:30],
                "preventable": d.preventable,
                # where it came from: rule `denial-origin`
                "root_cause": (origin.words if origin else d.words)[:200],
                "upstream_event_id": origin.event_id if origin else None,
                "repeat": d.category in before.get(charge_id or 0, ()),
                "park_reason": "",
                "recovered": ZERO,
                "version": 0,
            }
        )
    bulk.insert(Denial, rows, skip_known=True)
    fresh = list(
        Denial.objects.filter(pk__in=[r["id"] for r in rows]).select_related(
            "claim__patient", "claim__site", "line", "payer"
        )
    )
    record_steps(
        (
            Step(
                organization_id,
                "denial.opened",
                f"{d.group}-{d.reason} {d.category.replace('_', ' ')}, ${d.amount:,.2f} denied",
                {
                    "denial_id": d.pk,
                    "claim_id": d.claim_id,
                    "patient_id": d.claim.patient_id,
                    "remittance_id": remittance.pk,
                },
                new=DenialStatus.OPEN,
                data={"category": d.category, "repeat": d.repeat},
            )
            for d in fresh
        ),
        actor=actor,
        at=at,
    )
    publish_many(
        "denial.opened",
        organization_id=organization_id,
        payloads=[{"denial_id": d.pk, "claim_id": d.claim_id} for d in fresh],
        due_at=at,
    )
    items_of(fresh, actor=actor, at=at)
    _papers(fresh, actor=actor, at=at)
    repeats = [d.pk for d in fresh if d.repeat]
    if repeats:
        WorkItem.objects.filter(
            subject_type="denial",
            subject_id__in=repeats,
            status=ItemStatus.OPEN,
            escalated_at__isnull=True,
        ).update(escalated_at=at, version=F("version") + 1)
    return len(fresh)


PAPERS = frozenset({"163", "226", "227", "251", "252"})
"""Reasons by which a payer asks for papers (rule `denial-documents`)."""


def _papers(denials: Sequence[Denial], *, actor: Actor, at: datetime) -> None:
    """A denial that asks for papers has the signed report ready to send; its item is the
    denial's.
    """
    reasons = adjustment_reasons()
    asked = [
        Asked(
            d.claim,
            "835",
            f"{d.group}-{d.reason}",
            reasons[d.reason].words if d.reason in reasons else "papers",
            payer_control=d.claim.payer_control_number,
        )
        for d in denials
        if d.reason in PAPERS
    ]
    records_asked(asked, actor=actor, at=at, with_items=False)


def clock_of(payer: Any) -> deadlines.PayerClock:
    """A payer's windows as the rules read them."""
    if payer is None:
        return deadlines.PayerClock("")
    return deadlines.PayerClock(
        payer.kind, payer.appeal_days, payer.corrected_days, payer.accepts_replacement
    )


def _charge_of(p: Planned, service_id: int | None, line_id: int | None) -> int | None:
    return next(
        (x.charge_id for x in p.fact.lines if (x.service_id, x.line_id) == (service_id, line_id)),
        None,
    )


def _before(charge_ids: Iterable[int]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    rows = Denial.objects.filter(line__charge_id__in=set(charge_ids)).exclude(
        status=DenialStatus.WITHDRAWN
    )
    for charge_id, category in rows.values_list("line__charge_id", "category"):
        found[charge_id].add(category)
    return found


def denied_amounts(claim_ids: Iterable[int]) -> dict[int, Decimal]:
    """Dollars denied by claim line, withdrawn ones apart. One query."""
    rows = Denial.objects.filter(claim_id__in=list(claim_ids), line_id__isnull=False)
    return {
        line: amount
        for line, amount in rows.exclude(status=DenialStatus.WITHDRAWN).values_list(
            "line_id", "amount"
        )
        if line is not None
    }


def own_outcomes(organization_id: int) -> dict[str, tuple[int, int]]:
    """Denials that the organization has won and had decided, by category. One query."""
    won = (DenialStatus.OVERTURNED, DenialStatus.PARTIAL)
    rows = (
        Denial.objects.filter(
            organization_id=organization_id,
            status__in=[*won, DenialStatus.UPHELD, DenialStatus.WRITTEN_OFF],
        )
        .values("category")
        .annotate(all=Count("id"), won=Count("id", filter=Q(status__in=won)))
        .order_by()
    )
    return {r["category"]: (r["won"], r["all"]) for r in rows}


def items_of(denials: Sequence[Denial], *, actor: Actor, at: datetime) -> int:
    """Open or refresh the work items of open denials, with score and clocks as of now. Expects
    claim, line and payer to be joined.
    """
    if not denials:
        return 0
    today = office_day(at)
    outcomes = own_outcomes(denials[0].organization_id)
    reasons = adjustment_reasons()
    exams = {
        pk: (exam, modality)
        for pk, exam, modality in ClaimLine.objects.filter(
            pk__in=[d.line_id for d in denials if d.line_id]
        ).values_list("id", "charge__exam_id", "charge__exam__modality")
    }
    specs = []
    for d in denials:
        seed = tables.odds(d.category)
        chance = deadlines.chance(seed.odds, *outcomes.get(d.category, (0, 0)))
        limits = [x for x in (d.appeal_by, d.correct_by) if x is not None and x >= today]
        nearest = min(limits) if limits else d.appeal_by or d.correct_by
        risk = d.expected if d.expected is not None else d.amount
        total, parts = deadlines.score(
            risk, chance.odds, seed.effort, (nearest - today).days if nearest else None
        )
        reason = reasons.get(d.reason)
        words = reason.words if reason else "Reason code not loaded"
        code = f"{d.line.code} {' '.join(d.line.modifiers)}".strip() if d.line else ""
        due = at + timedelta(days=3)
        if nearest is not None and (nearest - today).days <= 5:
            due = at
        specs.append(
            ItemSpec(
                d.organization_id,
                "denials",
                "denial",
                d.pk,
                f"{d.group}-{d.reason}",
                f"{d.payer.name} denied {code or 'the claim'}: {words[:1].lower()}{words[1:]}"[
                    :200
                ],
                due,
                fix=_first_action(d, reason),
                dollars=risk,
                deadline_on=nearest,
                site_id=d.claim.site_id,
                patient_id=d.claim.patient_id,
                patient_name=d.claim.patient.name,
                exam_id=exams.get(d.line_id or 0, (None, ""))[0],
                claim_id=d.claim_id,
                payer_id=d.payer_id,
                payer_name=d.payer.name,
                score=total,
                tags=(
                    d.category,
                    *(("repeat",) if d.repeat else ()),
                    *(d.line.modifiers if d.line else ()),
                ),
                facts={
                    "claim": d.claim.number,
                    "dos": d.claim.service_date.isoformat(),
                    "exam": code,
                    "modality": exams.get(d.line_id or 0, (None, ""))[1],
                    "mrn": d.claim.patient.mrn,
                    "carc": f"{d.group}-{d.reason}",
                    "reason": f"{d.group}-{d.reason}",
                    "words": words,
                    "remarks": " ".join(d.remarks),
                    "category": d.category,
                    "balance": str(d.amount),
                    "appeal_by": d.appeal_by.isoformat() if d.appeal_by else "",
                    "correct_by": d.correct_by.isoformat() if d.correct_by else "",
                    "score": parts,
                    "odds_from": chance.words,
                },
            )
        )
    return open_items(specs, actor=actor, at=at)


def _first_action(d: Denial, reason: AdjustmentReason | None) -> str:
    if UNPROCESSABLE in d.remarks:
        return (
            "Send a new claim: the payer could not process this one and no appeal is open (MA130)."
        )
    return (
        reason.first_action
        if reason and reason.first_action
        else "Read the remark codes, then correct or appeal."
    )


def withdraw(rows: Any, outcome: str, *, actor: Actor, at: datetime) -> int:
    found = list(rows)
    if not found:
        return 0
    Denial.objects.filter(pk__in=[d.pk for d in found]).update(
        status=DenialStatus.WITHDRAWN, resolved_on=office_day(at), version=F("version") + 1
    )
    record_steps(
        (
            Step(
                d.organization_id,
                "denial.withdrawn",
                outcome,
                {"denial_id": d.pk, "claim_id": d.claim_id},
                old=d.status,
                new=DenialStatus.WITHDRAWN,
            )
            for d in found
        ),
        actor=actor,
        at=at,
    )
    close_items(
        "denial",
        [d.pk for d in found],
        actor=Actor.system("posting", {d.organization_id for d in found}),
        at=at,
        outcome=outcome,
    )
    return len(found)
