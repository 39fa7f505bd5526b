"""Follow-up: no open dollar without a home. What is not in another queue and not in
the payer's hands becomes an item here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import BigIntegerField, Case, F, QuerySet, Value, When
from django.utils import timezone

from ar import rules
from ar.models import Assistance, AssistanceStatus, HoldKind, PlanStatus
from ar.services.agency import agency_recalls
from ar.services.assistance import assistance_due
from ar.services.credits import credits_refresh, refunds_stop
from ar.services.guards import local_day
from ar.services.holds import holds_of, holds_refresh
from ar.services.patients import plans_review, unapplied_apply
from ar.services.positions import (
    CHARGE,
    NOWHERE,
    Position,
    insurance_positions,
    patient_positions,
)
from ar.services.writeoffs import small_balances_write_off
from ar.tables import policy, recovery_odds
from charges.models import Charge
from charges.services import money_follows
from intake.models import Patient
from rcm.accounts.actor import Actor
from rcm.accounts.charts import register_subject
from rcm.accounts.models import Membership
from rcm.accounts.permissions import Role
from rcm.ledger.models import Account, LedgerEntry
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items

QUEUE, SUBJECT = "followup", "claim"
PATIENT_QUEUE, PATIENT_SUBJECT = "patient_balance", "patient_account"
register_subject(PATIENT_SUBJECT)

# claims with open insurance dollars that nobody else has: no other item, no running appeal, no
# newer claim, and past the payer's time
NEEDS_SQL = """
WITH open AS (
  SELECT c.id, sum(b.insurance) dollars, min(l.code) code, min(ch.exam_id) exam_id
    FROM claims_claim c
    JOIN claims_claimline l ON l.claim_id = c.id
    JOIN ledger_balance b ON b.charge_id = l.charge_id AND b.insurance > 0
    JOIN charges_charge ch ON ch.id = l.charge_id
   WHERE c.organization_id = %(org)s AND c.status NOT IN ('void', 'replaced', 'draft', 'ready')
   GROUP BY c.id)
SELECT c.id, c.number, c.status, o.dollars, o.code, o.exam_id, c.expected, c.patient_id, p.last_name || ', ' || p.first_name, p.mrn, p.born_on,
       c.payer_id, pay.name, c.site_id, c.service_date, c.filing_deadline, x.modality,
       greatest(c.last_answer_at, c.last_submitted_at)::date last_heard, c.last_submitted_at::date
  FROM open o
  JOIN claims_claim c ON c.id = o.id
  JOIN intake_patient p ON p.id = c.patient_id
  JOIN reference_payer pay ON pay.id = c.payer_id
  JOIN charges_exam x ON x.id = o.exam_id
 WHERE (c.status IN ('denied', 'partial', 'paid', 'closed', 'blocked', 'rejected')
        OR coalesce(greatest(c.last_answer_at, c.last_submitted_at)::date, c.service_date) + pay.response_days + %(grace)s <= %(today)s)
   AND NOT EXISTS (SELECT 1 FROM claims_claim n WHERE (n.replaces_id = c.id OR n.primary_claim_id = c.id) AND n.status <> 'void')
   AND NOT EXISTS (SELECT 1 FROM remittance_denial d WHERE d.claim_id = c.id AND d.status IN ('corrected', 'appealed', 'parked'))
   AND NOT EXISTS (SELECT 1 FROM worklist_workitem w WHERE w.organization_id = c.organization_id AND w.status IN ('open', 'pended') AND w.queue <> %(queue)s
                      AND (w.claim_id = c.id OR (w.claim_id IS NULL AND w.exam_id = o.exam_id)))
 ORDER BY c.id
"""


def _why(status: str, dollars: Decimal, heard: date | None, today: date) -> tuple[str, str, str]:
    """Cause, sentence and next step."""
    if status in ("partial", "paid", "closed"):
        return (
            "open_after_payment",
            f"Paid, ${dollars:,.2f} is still open",
            "Compare the remittance with what was expected",
        )
    if status == "denied":
        return (
            "denied_without_work",
            "Denied, and nobody works the denial",
            "Decide: correct, appeal or park",
        )
    if status in ("blocked", "rejected"):
        return "stopped_without_work", "The claim was stopped and is in no queue", "Scrub it again"
    if heard is None:
        return "never_sent", "Charged, but never sent to the payer", "Submit the claim"
    return "silent", f"Silent for {(today - heard).days} days", "Ask for the claim status"


@transaction.atomic
def followup_refresh(
    *, organization_id: int, actor: Actor, at: datetime | None = None
) -> tuple[int, int]:
    """Open items for claims whose open dollars have no home, give each an owner and a date, close
    those that need none. Set-based.

    Returns how many were opened and closed.
    """
    at = at or timezone.now()
    today = local_day(at)
    rules_of = policy(organization_id, today)
    with connection.cursor() as cursor:
        cursor.execute(
            NEEDS_SQL,
            {
                "org": organization_id,
                "today": today,
                "grace": rules_of.followup_grace_days,
                "queue": QUEUE,
            },
        )
        rows = cursor.fetchall()
    live = set(
        WorkItem.objects.filter(
            organization_id=organization_id,
            queue=QUEUE,
            subject_type=SUBJECT,
            status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
        ).values_list("subject_id", flat=True)
    )
    specs: list[ItemSpec] = []
    for (
        claim,
        number,
        status,
        dollars,
        code,
        exam,
        expected,
        patient,
        name,
        mrn,
        born,
        payer,
        payer_name,
        site,
        dos,
        deadline,
        modality,
        heard,
        sent,
    ) in rows:
        cause, title, fix = _why(status, dollars, heard if sent else None, today)
        age = (today - dos).days
        worth = min(dollars, expected) if expected else dollars
        scored = rules.score(
            expected=worth,
            odds=recovery_odds(age),
            days_left=(deadline - today).days if deadline else None,
        )
        specs.append(
            ItemSpec(
                organization_id=organization_id,
                queue=QUEUE,
                subject_type=SUBJECT,
                subject_id=claim,
                cause=cause,
                title=title[:200],
                fix=fix,
                due_at=at,
                dollars=worth,
                deadline_on=deadline,
                site_id=site,
                patient_id=patient,
                patient_name=name,
                exam_id=exam,
                claim_id=claim,
                payer_id=payer,
                payer_name=payer_name,
                score=scored.value,
                facts={
                    "claim": number,
                    "exam": code,
                    "modality": modality,
                    "service_date": dos.isoformat(),
                    "born": born.isoformat(),
                    "mrn": mrn,
                    "reason": (
                        {"silent": "Silent payer"}.get(cause, cause.replace("_", " ").capitalize())
                    ),
                    "age": rules.bucket(age),
                    "score": scored.parts(),
                },
            )
        )
    fresh = [s for s in specs if s.subject_id not in live]
    open_items(_unmoved(specs, live), actor=actor, at=at)
    _give_homes([s.subject_id for s in fresh], organization_id, today)
    gone = live - {s.subject_id for s in specs}
    closed = (
        close_items(
            SUBJECT, gone, actor=actor, at=at, outcome="Settled or in other hands", queues=[QUEUE]
        )
        if gone
        else 0
    )
    return len(fresh), closed


def _unmoved(specs: list[ItemSpec], live: set[int]) -> list[ItemSpec]:
    """Specs to write: new ones, and live ones whose figures may have moved; `due_at` of a live one
    stays as it was.
    """
    kept = dict(
        WorkItem.objects.filter(
            queue=QUEUE, subject_type=SUBJECT, subject_id__in=live, status__in=["open", "pended"]
        ).values_list("subject_id", "due_at")
    )
    return [replace(s, due_at=kept.get(s.subject_id, s.due_at)) for s in specs]


def _give_homes(
    subject_ids: Iterable[int],
    organization_id: int,
    today: date,
    *,
    queue: str = QUEUE,
    subject: str = SUBJECT,
) -> None:
    """An owner by payer, else by site (the same person keeps a payer or a site), the first action,
    and today as its date.
    """
    ids = list(subject_ids)
    if not ids:
        return
    rows = WorkItem.objects.filter(
        organization_id=organization_id,
        queue=queue,
        subject_type=subject,
        subject_id__in=ids,
        status=ItemStatus.OPEN,
    )
    changes: dict[str, Any] = {"next_action": F("fix"), "next_action_on": today}
    rows.update(**changes)
    rows = rows.filter(owner__isnull=True)  # who has a default owner keeps it
    owner = _owner(rows, _staff(organization_id, Role.AR))
    if owner:
        rows.update(**owner)


def _staff(organization_id: int, role: str) -> list[int]:
    """Who owns the work of a role: its people, else the billers."""
    members = Membership.objects.filter(organization_id=organization_id, user__is_active=True)
    return sorted(set(members.filter(role=role).values_list("user_id", flat=True))) or sorted(
        set(members.filter(role=Role.BILLER).values_list("user_id", flat=True))
    )


def _owner(rows: QuerySet[WorkItem], staff: list[int]) -> dict[str, Any]:
    """The change that gives items their owner: by payer, else by site."""
    owners = [
        When(**{column: key}, then=Value(staff[key % len(staff)]))
        for column in ("payer_id", "site_id")
        for key in sorted({k for k in rows.values_list(column, flat=True) if k})
        if staff
    ]
    if not owners:
        return {}
    return {"owner_id": Case(*owners, default=F("owner_id"), output_field=BigIntegerField())}


def _own_unapplied(organization_id: int, today: date) -> None:
    """Money on no claim has an owner from the first day: who posts this payer's remittances."""
    rows = WorkItem.objects.filter(
        organization_id=organization_id,
        queue="unapplied_cash",
        status=ItemStatus.OPEN,
        owner__isnull=True,
        lease_until__isnull=True,
    )
    change = _owner(rows, _staff(organization_id, Role.POSTER))
    if change:
        rows.update(**change, next_action=F("fix"), next_action_on=today)


@transaction.atomic
def homes_refresh(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """An item for every open insurance balance that is in no queue and rests for no reason: charges
    without a claim, claims that everybody believes settled. Those that have a place again close.
    Returns how many opened.
    """
    at = at or timezone.now()
    today = local_day(at)
    _own_unapplied(organization_id, today)
    lost = {
        p.charge_id: p
        for p in insurance_positions(organization_id, at, items=False)
        if p.state == NOWHERE
    }
    live = dict(
        WorkItem.objects.filter(
            organization_id=organization_id,
            queue=QUEUE,
            subject_type=CHARGE,
            status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
        ).values_list("subject_id", "due_at")
    )
    charges = Charge.objects.select_related("exam__coverage__payer", "patient").in_bulk(lost)
    specs = [_lost_charge(charges[pk], p, live.get(pk, at), today) for pk, p in lost.items()]
    opened = open_items(specs, actor=actor, at=at)
    _give_homes(set(lost) - set(live), organization_id, today, subject=CHARGE)
    gone = set(live) - set(lost)
    if gone:
        close_items(CHARGE, gone, actor=actor, at=at, outcome="In other hands", queues=[QUEUE])
    return opened


def _lost_charge(charge: Charge, place: Position, due: datetime, today: date) -> ItemSpec:
    never = place.claim_id is None
    coverage = charge.exam.coverage
    payer = coverage.payer if coverage else None
    age = (today - charge.service_date).days
    scored = rules.score(expected=place.dollars, odds=recovery_odds(age), days_left=None)
    title = "Charged, and on no claim" if never else "Open, and nobody works it"
    return ItemSpec(
        organization_id=charge.organization_id,
        queue=QUEUE,
        subject_type=CHARGE,
        subject_id=charge.pk,
        cause="never_billed" if never else "without_place",
        title=f"{title}: ${place.dollars:,.2f}",
        fix="Make the claim, or correct the coverage" if never else "Read the claim, then decide",
        due_at=due,
        dollars=place.dollars,
        site_id=charge.exam.site_id,
        patient_id=charge.patient_id,
        patient_name=charge.patient.name,
        exam_id=charge.exam_id,
        claim_id=place.claim_id,
        payer_id=payer.pk if payer else None,
        payer_name=payer.name if payer else "",
        score=scored.value,
        facts={
            "exam": charge.code,
            "modality": charge.exam.modality,
            "service_date": charge.service_date.isoformat(),
            "mrn": charge.patient.mrn,
            "born": charge.patient.born_on.isoformat(),
            "reason": "On no claim" if never else "Without a place",
            "age": rules.bucket(age),
            "score": scored.parts(),
        },
    )


# --- patients' accounts that need a person --------------------------------------------------------

PATIENT_SQL = """
WITH owed AS (
  SELECT c.patient_id, sum(b.patient) dollars, min(c.service_date) oldest, min(x.site_id) site_id
    FROM ledger_balance b JOIN charges_charge c ON c.id = b.charge_id JOIN charges_exam x ON x.id = c.exam_id
   WHERE b.organization_id = %(org)s AND b.patient > 0
     AND NOT EXISTS (SELECT 1 FROM ar_accounthold h WHERE h.charge_id = c.id AND h.kind = 'agency' AND h.lifted_at IS NULL)
   GROUP BY 1),
held AS (SELECT DISTINCT patient_id FROM ar_accounthold WHERE organization_id = %(org)s AND lifted_at IS NULL AND kind <> 'agency'),
last AS (SELECT DISTINCT ON (patient_id) patient_id, step, sent_on FROM ar_statement WHERE organization_id = %(org)s ORDER BY patient_id, sent_on DESC, id DESC),
first AS (SELECT patient_id, min(sent_on) first_on FROM ar_statement WHERE organization_id = %(org)s GROUP BY 1)
SELECT p.id, p.last_name || ', ' || p.first_name, p.mrn, p.born_on, o.dollars, o.oldest, o.site_id, l.step, l.sent_on,
       f.first_on, EXISTS (SELECT 1 FROM ar_paymentplan a WHERE a.patient_id = p.id AND a.status = %(broken)s
                             AND NOT EXISTS (SELECT 1 FROM ar_paymentplan n WHERE n.patient_id = p.id AND n.status = 'active'))
  FROM owed o JOIN intake_patient p ON p.id = o.patient_id LEFT JOIN last l ON l.patient_id = p.id LEFT JOIN first f ON f.patient_id = p.id
 WHERE p.id IN (SELECT patient_id FROM held) OR p.deceased_on IS NOT NULL
    OR (l.step >= %(steps)s AND l.sent_on + 30 <= %(today)s)
    OR EXISTS (SELECT 1 FROM ar_paymentplan a WHERE a.patient_id = p.id AND a.status = %(broken)s
                 AND NOT EXISTS (SELECT 1 FROM ar_paymentplan n WHERE n.patient_id = p.id AND n.status = 'active'))
 ORDER BY p.id
"""


ON_ACCOUNT_SQL = """
SELECT p.id, p.last_name || ', ' || p.first_name, p.mrn, p.born_on, -sum(e.amount), max(e.effective_on)
  FROM ledger_ledgerentry e JOIN intake_patient p ON p.id = e.patient_id
 WHERE e.organization_id = %(org)s AND e.account = 'unapplied' AND e.remittance_id IS NULL
 GROUP BY p.id HAVING sum(e.amount) < 0 AND max(e.effective_on) <= %(before)s
   AND NOT EXISTS (SELECT 1 FROM intake_appointment a WHERE a.patient_id = p.id AND a.starts_at >= %(today)s AND a.status IN ('booked', 'confirmed'))
 ORDER BY p.id
"""


def _on_account(
    organization_id: int, at: datetime, live: dict[int, datetime], days: int, taken: set[int]
) -> list[ItemSpec]:
    """Money paid ahead that lies for long with no visit to come: it belongs to the patient (rule
    `credit-balance`).
    """
    today = local_day(at)
    with connection.cursor() as cursor:
        cursor.execute(
            ON_ACCOUNT_SQL,
            {"org": organization_id, "today": today, "before": today - timedelta(days=days)},
        )
        rows = cursor.fetchall()
    return [
        ItemSpec(
            organization_id=organization_id,
            queue=PATIENT_QUEUE,
            subject_type=PATIENT_SUBJECT,
            subject_id=pk,
            cause="money_on_account",
            title=f"${dollars:,.2f} paid ahead lies since {since:%b %-d} without a bill",
            fix="Give it back by voiding the payment, or note the visit it is for",
            due_at=live.get(pk, at),
            dollars=dollars,
            patient_id=pk,
            patient_name=name,
            facts={
                "mrn": mrn,
                "born": born.isoformat(),
                "number": mrn,
                "reason": "Money on account",
            },
        )
        for pk, name, mrn, born, dollars, since in rows
        if pk not in taken
    ]


def _assistance_due(
    organization_id: int, at: datetime, live: dict[int, datetime], taken: set[int]
) -> list[ItemSpec]:
    """Patients whose granted assistance is proposed for balances that came since."""
    granted = Assistance.objects.filter(
        organization_id=organization_id, status=AssistanceStatus.APPROVED
    )
    due = assistance_due(granted.values_list("patient_id", flat=True), local_day(at))
    patients = Patient.objects.in_bulk(set(due) - taken)
    return [
        ItemSpec(
            organization_id=organization_id,
            queue=PATIENT_QUEUE,
            subject_type=PATIENT_SUBJECT,
            subject_id=pk,
            cause="assistance",
            title=f"${own.dollars:,.2f} of new balances falls under the granted assistance",
            fix="Take the discount off from the application's page",
            due_at=live.get(pk, at),
            dollars=own.dollars,
            patient_id=pk,
            patient_name=patients[pk].name,
            facts={
                "mrn": patients[pk].mrn,
                "born": patients[pk].born_on.isoformat(),
                "number": patients[pk].mrn,
                "reason": "Assistance granted",
            },
        )
        for pk, own in due.items()
        if pk in patients
    ]


def _without_place(
    organization_id: int, at: datetime, live: dict[int, datetime], taken: set[int]
) -> list[ItemSpec]:
    """Patients with a balance that no statement, plan or date moves on: each with the reason."""
    lost: dict[int, list[Position]] = {}
    for row in patient_positions(organization_id, at, items=False):
        if row.state == NOWHERE and row.patient_id not in taken:
            lost.setdefault(row.patient_id, []).append(row)
    patients = Patient.objects.in_bulk(lost)
    return [
        ItemSpec(
            organization_id=organization_id,
            queue=PATIENT_QUEUE,
            subject_type=PATIENT_SUBJECT,
            subject_id=pk,
            cause="without_place",
            title=f"${sum(row.dollars for row in rows):,.2f} goes on no statement: {rows[0].why}"[
                :200
            ],
            fix="Settle the reason, move the balance back, or decide",
            due_at=live.get(pk, at),
            dollars=sum((row.dollars for row in rows), Decimal("0.00")),
            patient_id=pk,
            patient_name=patients[pk].name,
            facts={
                "mrn": patients[pk].mrn,
                "born": patients[pk].born_on.isoformat(),
                "number": patients[pk].mrn,
                "reason": "On no statement",
                "oldest": min(row.service_date for row in rows).isoformat(),
            },
        )
        for pk, rows in lost.items()
    ]


@transaction.atomic
def patient_balance_refresh(
    *, organization_id: int, actor: Actor, at: datetime | None = None
) -> int:
    """Items for patients whose account statements cannot settle: held, deceased, final notice past,
    broken plan. Returns how many opened.
    """
    at = at or timezone.now()
    today = local_day(at)
    rules_of = policy(organization_id, today)
    with connection.cursor() as cursor:
        cursor.execute(
            PATIENT_SQL,
            {
                "org": organization_id,
                "today": today,
                "steps": len(rules_of.statement_days),
                "broken": PlanStatus.DEFAULTED,
            },
        )
        rows = cursor.fetchall()
    live = dict(
        WorkItem.objects.filter(
            organization_id=organization_id,
            queue=PATIENT_QUEUE,
            subject_type=PATIENT_SUBJECT,
            status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
        ).values_list("subject_id", "due_at")
    )
    holds = holds_of(row[0] for row in rows)
    specs: list[ItemSpec] = []
    for (
        pk,
        name,
        mrn,
        born,
        dollars,
        oldest,
        site,
        step,
        sent_on,
        first_on,
        broken,
    ) in rows:
        collect = first_on + timedelta(days=rules_of.collection_days) if first_on else None
        held = next((h for h in holds.any_of(pk) if h.kind != HoldKind.AGENCY), None)
        if held is not None and held.kind == HoldKind.DECEASED:
            cause, title, fix = (
                "deceased",
                f"The patient has died, ${dollars:,.2f} is open",
                held.todo,
            )
        elif held is not None:
            cause, title, fix = "held", f"On hold: {held.sentence}", held.todo
        elif broken:
            cause, title, fix = (
                "plan_broken",
                "The payment plan was broken",
                "Call the patient: a new plan, or statements again",
            )
        else:
            cause, title, fix = (
                "final_notice",
                f"No answer since the final notice of {sent_on:%b %-d}",
                "Call, offer a plan or assistance; then decide",
            )
        specs.append(
            ItemSpec(
                organization_id=organization_id,
                queue=PATIENT_QUEUE,
                subject_type=PATIENT_SUBJECT,
                subject_id=pk,
                cause=cause,
                title=title,
                fix=fix,
                due_at=live.get(pk, at),
                dollars=dollars,
                deadline_on=collect,
                site_id=site,
                patient_id=pk,
                patient_name=name,
                facts={
                    "mrn": mrn,
                    "born": born.isoformat(),
                    "number": mrn,
                    "reason": cause.replace("_", " ").capitalize(),
                    "step": step or 0,
                    "oldest": oldest.isoformat(),
                },
            )
        )
    specs += _assistance_due(organization_id, at, live, {s.subject_id for s in specs})
    specs += _without_place(organization_id, at, live, {s.subject_id for s in specs})
    specs += _on_account(
        organization_id, at, live, rules_of.prepayment_days, {s.subject_id for s in specs}
    )
    opened = open_items(specs, actor=actor, at=at)
    fresh = {spec.subject_id for spec in specs} - set(live)
    _give_homes(fresh, organization_id, today, queue=PATIENT_QUEUE, subject=PATIENT_SUBJECT)
    gone = set(live) - {s.subject_id for s in specs}
    if gone:
        close_items(
            PATIENT_SUBJECT, gone, actor=actor, at=at, outcome="Settled", queues=[PATIENT_QUEUE]
        )
    return opened


@transaction.atomic
def nightly(*, organization_id: int, actor: Actor, at: datetime | None = None) -> dict[str, int]:
    """Everything that keeps every dollar at home: money on account, plans, credits, follow-up,
    patients' accounts.
    """
    at = at or timezone.now()
    holders = LedgerEntry.objects.filter(
        organization_id=organization_id,
        account=Account.UNAPPLIED,
        patient_id__isnull=False,
        remittance_id__isnull=True,
    )
    holds_refresh(organization_id=organization_id, actor=actor, at=at)
    money_follows(organization_id=organization_id, actor=actor, at=at)
    applied = unapplied_apply(
        patient_ids={pk for pk in holders.values_list("patient_id", flat=True) if pk},
        actor=actor,
        at=at,
    )
    recalled = agency_recalls(organization_id=organization_id, actor=actor, at=at)
    plans = plans_review(organization_id=organization_id, actor=actor, at=at)
    small = small_balances_write_off(organization_id=organization_id, actor=actor, at=at)
    refunds_stop(organization_id=organization_id, actor=actor, at=at)
    credits = credits_refresh(organization_id=organization_id, actor=actor, at=at, shared=True)
    opened, closed = followup_refresh(organization_id=organization_id, actor=actor, at=at)
    homes = homes_refresh(organization_id=organization_id, actor=actor, at=at)
    patients = patient_balance_refresh(organization_id=organization_id, actor=actor, at=at)
    return {
        "applied": applied,
        "recalled": recalled,
        "plans": plans,
        "small": small,
        "credits": credits,
        "opened": opened,
        "closed": closed,
        "patients": patients,
        "homes": homes,
    }
