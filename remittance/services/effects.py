"""What follows from posting: states, denials and their clocks, variances, unapplied cash, claims,
patients, next payers. Set-based per chunk.
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

from charges.models import Charge
from claims import services as claims
from claims.models import Claim, ClaimLine
from claims.records import Adjudicated, Outcome
from rcm.accounts.actor import Actor
from rcm.audit.models import Event
from rcm.audit.services import Step, record_steps
from rcm.exchange.services import publish_many
from rcm.reference.facts import adjustment_reasons, payer_book
from rcm.reference.models import AdjustmentReason
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance import bulk, deadlines, tables
from remittance import variance as v
from remittance.models import (
    Appeal,
    ClaimPayment,
    Denial,
    DenialStatus,
    PaymentState,
    ProviderAdjustment,
    Remittance,
    UnappliedCash,
    Variance,
)
from remittance.plan import FORWARDED, Treatment, allowed_of, treat, whole_lines
from remittance.records import Posted
from remittance.services.posting import UNSETTLED, Planned, responsibility_release
from remittance.services.reference import book, policy

ZERO = Decimal("0.00")
ENOUGH = Decimal("0.98")
UNPROCESSABLE = "MA130"
OWN_HISTORY = 30
"""Outcomes after which a center's own overturn rate replaces the seed (DOMAIN G2)."""


def follow(
    remittance: Remittance,
    planned: Sequence[Planned],
    posted: Posted,
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """Everything after the ledger, in the same transaction."""
    _states(remittance, planned, posted, actor=actor, at=at)
    applied = [p for p in planned if not p.plan.exception]
    _adjudicate(remittance, applied, actor=actor, at=at)
    charges = _charges(applied)
    _recover(remittance, applied, charges, actor=actor, at=at)
    _taken_back(planned, actor=actor, at=at)
    posted.denials += denials_open(remittance, applied, charges, actor=actor, at=at)
    posted.variances += _variances(remittance, applied, charges)
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
            and p.fact.status not in FORWARDED
        ],
        due_at=at,
    )


def _states(
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
        ignore_conflicts=True,
    )
    UnappliedCash.objects.filter(
        payment_id__in=[p.row.pk for p in planned if not p.plan.exception], resolved_at__isnull=True
    ).update(resolved_at=at)
    open_items([_stuck_item(remittance, p, at) for p in stuck], actor=actor, at=at)


def _taken_back(planned: Sequence[Planned], *, actor: Actor, at: datetime) -> None:
    """Denials whose answer the payer took back without a new one. What was corrected or appealed
    still waits for its answer: the payer takes its old one back first, in the same file or in an
    earlier one.
    """
    originals = [p.original.pk for p in planned if p.original is not None]
    if originals:
        rows = Denial.objects.filter(
            payment_id__in=originals, status__in=[DenialStatus.OPEN, DenialStatus.PARKED]
        )
        _withdraw(rows, "The payer took its answer back", actor=actor, at=at)


def _stuck_item(remittance: Remittance, p: Planned, at: datetime) -> ItemSpec:
    row = p.row
    cash = bool(row.paid)
    return ItemSpec(
        remittance.organization_id,
        "unapplied_cash" if cash else "remittance_exceptions",
        "claim_payment",
        row.pk,
        p.plan.exception,
        (f"${row.paid:,.2f} of {remittance.trace} is on no claim. " if cash else "")
        + p.plan.sentence,
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


def _adjudicate(
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


# --- denials --------------------------------------------------------------------------------------


def _charges(planned: Sequence[Planned]) -> dict[int, Mapping[str, Any]]:
    """charge → what denials and variances need of it. One query."""
    wanted = {line.charge_id for p in planned for line in p.fact.lines if line.charge_id}
    return {
        row["id"]: row
        for row in Charge.objects.filter(pk__in=wanted).values(
            "id", "exam_id", "exam__ordered_exam_id", "code", "component", "modifiers", "derivation"
        )
    }


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
    traces = _traces(organization_id, found, charges, at)
    before = _before(c for _, _, c in found if c)
    rows: list[dict[str, Any]] = []
    stamp = timezone.now()
    for (p, d, charge_id), pk in zip(found, bulk.ids(Denial, len(found)), strict=True):
        payer = payers.get(p.fact.payer_id or 0)
        clock = clock_of(payer)
        unprocessable = UNPROCESSABLE in d.remarks
        event, stage, words = traces.get((p.row.pk, d.service_id, d.line_id), (None, "", ""))
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
                "owner_stage": (stage or d.owner_stage)[:30],
                "preventable": d.preventable,
                "root_cause": (words or d.words)[:200],
                "upstream_event_id": event,
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
    repeats = [d.pk for d in fresh if d.repeat]
    if repeats:
        WorkItem.objects.filter(
            subject_type="denial",
            subject_id__in=repeats,
            status=ItemStatus.OPEN,
            escalated_at__isnull=True,
        ).update(escalated_at=at, version=F("version") + 1)
    return len(fresh)


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


def _traces(
    organization_id: int,
    found: Sequence[tuple[Planned, Any, int | None]],
    charges: Mapping[int, Mapping[str, Any]],
    at: datetime,
) -> dict[tuple[int, int | None, int | None], tuple[int, str, str]]:
    """The step that let each denial through: the last event of the most telling kind before the
    exam was billed (FEATURES H3). One query.
    """
    book_ = tables.upstream()
    verbs = {u.verb for rows in book_.values() for u in rows}
    known = [charges[c] for _, _, c in found if c is not None and c in charges]
    exams = {row["exam_id"] for row in known}
    ordered = {row["exam__ordered_exam_id"] for row in known} - {None}
    rows = Event.objects.filter(organization_id=organization_id, verb__in=verbs, at__lte=at).filter(
        Q(claim_id__in={p.fact.claim_id for p, _, _ in found})
        | Q(exam_id__in=exams)
        | Q(ordered_exam_id__in=ordered)
        | Q(patient_id__in={p.fact.patient_id for p, _, _ in found}, verb="gate.overridden")
    )
    by_key: dict[tuple[str, str, int], tuple[int, datetime, str]] = {}
    for pk, verb, moment, actor_name, claim_id, exam_id, ordered_id, patient_id in rows.order_by(
        "at", "id"
    ).values_list(
        "id", "verb", "at", "actor_name", "claim_id", "exam_id", "ordered_exam_id", "patient_id"
    ):
        for name, key in (
            ("claim", claim_id),
            ("exam", exam_id),
            ("ordered", ordered_id),
            ("patient", patient_id),
        ):
            if key is not None:
                by_key[(verb, name, key)] = (pk, moment, actor_name)
    out: dict[tuple[int, int | None, int | None], tuple[int, str, str]] = {}
    for p, d, charge_id in found:
        charge = charges.get(charge_id or 0, {})
        keys = (
            ("claim", p.fact.claim_id),
            ("exam", charge.get("exam_id")),
            ("ordered", charge.get("exam__ordered_exam_id")),
            ("patient", p.fact.patient_id),
        )
        for up in book_.get(d.category, ()):
            hit = next(
                (
                    by_key[(up.verb, name, key)]
                    for name, key in keys
                    if key
                    and (up.verb, name, key) in by_key
                    and (name != "patient" or up.verb == "gate.overridden")
                ),
                None,
            )
            if hit is not None:
                pk, moment, who = hit
                out[(p.row.pk, d.service_id, d.line_id)] = (
                    pk,
                    up.stage,
                    f"{up.words[:1].upper()}{up.words[1:]}, {moment:%b %-d %Y}, {who}",
                )
                break
    return out


def own_odds(organization_id: int) -> dict[str, Decimal]:
    """The organization's own overturn rate by category where it has enough outcomes (DOMAIN G2).
    One query.
    """
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
    return {
        r["category"]: (Decimal(r["won"]) / r["all"]).quantize(ENOUGH)
        for r in rows
        if r["all"] >= OWN_HISTORY
    }


def items_of(denials: Sequence[Denial], *, actor: Actor, at: datetime) -> int:
    """Open or refresh the work items of open denials, with score and clocks as of now. Expects
    claim, line and payer to be joined.
    """
    if not denials:
        return 0
    today = timezone.localdate(at)
    odds = own_odds(denials[0].organization_id)
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
        chance = odds.get(d.category, seed.odds)
        limits = [x for x in (d.appeal_by, d.correct_by) if x is not None and x >= today]
        nearest = min(limits) if limits else d.appeal_by or d.correct_by
        risk = d.expected if d.expected is not None else d.amount
        total, parts = deadlines.score(
            risk, chance, seed.effort, (nearest - today).days if nearest else None
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
                    "odds_from": "own outcomes" if d.category in odds else "seed",
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


def _withdraw(rows: Any, outcome: str, *, actor: Actor, at: datetime) -> int:
    found = list(rows)
    if not found:
        return 0
    Denial.objects.filter(pk__in=[d.pk for d in found]).update(
        status=DenialStatus.WITHDRAWN, resolved_on=timezone.localdate(at), version=F("version") + 1
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


def _recover(
    remittance: Remittance,
    planned: Sequence[Planned],
    charges: Mapping[int, Any],
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """Earlier denials of lines that are answered now: overturned with the dollars that came, or
    upheld; their items close by themselves.
    """
    codes = book()
    won: dict[int, tuple[Planned, Decimal, bool]] = {}
    lost: dict[int, Planned] = {}
    for p in planned:
        if p.plan.outcome == "reversed":
            continue
        denied = {(d.service_id, d.line_id) for d in p.plan.denials}
        for line in whole_lines(p.fact):
            if line.charge_id is None:
                continue
            if (line.service_id, line.line_id) in denied:
                lost[line.charge_id] = p
                continue
            share = sum(
                (
                    c.amount
                    for c in line.adjustments
                    if treat(c, line, (*line.remarks, *p.fact.remarks), codes) is Treatment.PATIENT
                ),
                ZERO,
            )
            got = line.paid + share
            if got > 0:
                whole = line.expected is None or got >= line.expected * ENOUGH
                won[line.charge_id] = (
                    p,
                    won[line.charge_id][1] + got if line.charge_id in won else got,
                    whole,
                )
    if not won and not lost:
        return
    live = [*UNSETTLED, DenialStatus.UPHELD, DenialStatus.PARTIAL, DenialStatus.WRITTEN_OFF]
    rows = list(
        Denial.objects.select_for_update(of=("self",))
        .filter(line__charge_id__in=[*won, *lost], status__in=live)
        .exclude(payment_id__in=[p.row.pk for p in planned])
        .select_related("line")
    )
    if not rows:
        return
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


# --- variances ------------------------------------------------------------------------------------


def _variances(
    remittance: Remittance, planned: Sequence[Planned], charges: Mapping[int, Mapping[str, Any]]
) -> int:
    """Allowed against expected of primary lines that were paid (DOMAIN A8)."""
    codes = book()
    rules = policy(remittance.organization_id, remittance.paid_on)
    rows: list[Variance] = []
    for p in planned:
        if (
            p.claim.get("rank") != 1
            or p.plan.outcome not in ("paid", "partial")
            or p.fact.billed < 0
        ):
            continue
        for line in p.fact.lines:
            if line.service_id is None or line.expected is None or line.charge_id is None:
                continue
            allowed = allowed_of(line, (*line.remarks, *p.fact.remarks), codes)
            if allowed is None:
                continue
            charge = charges.get(line.charge_id, {})
            found = v.judge(
                expected=line.expected,
                allowed=allowed,
                adjustments=line.adjustments,
                our_reduction=our_reduction(charge.get("derivation") or []),
                dollars=rules.variance_dollars,
                percent=rules.variance_percent,
            )
            if found is not None and p.fact.payer_id is not None and p.fact.claim_id is not None:
                rows.append(
                    Variance(
                        organization_id=remittance.organization_id,
                        service_id=line.service_id,
                        claim_id=p.fact.claim_id,
                        payer_id=p.fact.payer_id,
                        code=str(charge.get("code", ""))[:5],
                        expected=line.expected,
                        allowed=allowed,
                        difference=found.difference,
                        cause=found.cause,
                        found_on=remittance.paid_on,
                    )
                )
    Variance.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)
    _recovered_variances(planned)
    return len(rows)


def _recovered_variances(planned: Sequence[Planned]) -> None:
    """An underpayment whose payment was taken back is no case any more: the new answer is judged
    afresh.
    """
    originals = [p.original.pk for p in planned if p.original is not None]
    if originals:
        Variance.objects.filter(service__payment_id__in=originals, status="open").delete()


def our_reduction(derivation: Sequence[Mapping[str, str]]) -> Decimal | None:
    """The multiple-procedure reduction in our own derivation of a line; zero when it has none, None
    when the line was not priced.
    """
    amounts = [
        (row.get("rule", ""), Decimal(row["amount"])) for row in derivation if row.get("amount")
    ]
    if not amounts:
        return None
    reduced = [n for n, (rule, _) in enumerate(amounts) if rule == "A9"]
    if not reduced:
        return ZERO
    whole = amounts[0][1]
    return max(ZERO, whole - amounts[reduced[-1]][1])


# --- the end of a posting, and its undoing --------------------------------------------------------


def finished(
    remittance: Remittance, takebacks: Sequence[ProviderAdjustment], *, actor: Actor, at: datetime
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
        [row.claim_id for row in takebacks if row.claim_id]
    )
    for row in takebacks:
        claim = claims_[row.claim_id or 0]
        specs.append(
            ItemSpec(
                remittance.organization_id,
                "remittance_exceptions",
                "provider_adjustment",
                row.pk,
                "takeback",
                f"{remittance.payer_name} took ${row.amount:,.2f} back for claim {claim.number}.",
                at + timedelta(days=3),
                fix="Check whether the takeback is right and in time; dispute it if not.",
                dollars=row.amount,
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


def undone(remittance: Remittance, reason: str, *, actor: Actor, at: datetime) -> None:
    """After a reversal of the whole: payments, denials, variances, unapplied cash and claims go
    back.
    """
    rows = list(ClaimPayment.objects.filter(remittance=remittance))
    pks = [r.pk for r in rows]
    ClaimPayment.objects.filter(reversals__in=pks).update(state=PaymentState.POSTED)
    posted = [r for r in rows if r.state == PaymentState.POSTED and r.claim_id]
    ClaimPayment.objects.filter(pk__in=pks).update(state=PaymentState.REVERSED)
    _withdraw(
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
    UnappliedCash.objects.filter(remittance=remittance, resolved_at__isnull=True).update(
        resolved_at=at
    )
    close_items("claim_payment", pks, actor=actor, at=at, outcome="Its remittance was reversed")
    plb = ProviderAdjustment.objects.filter(remittance=remittance).values_list("id", flat=True)
    close_items(
        "provider_adjustment", plb, actor=actor, at=at, outcome="Its remittance was reversed"
    )
    items = [
        Adjudicated(
            claim_id=r.claim_id,
            outcome=Outcome.REVERSED,
            decided_on=timezone.localdate(at),
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
