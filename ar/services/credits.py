"""Credit balances: found at the first cent, worked, given back with approval; the 60-day clock of
federal programs (rule `overpayment-60-days`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from ar.models import Refund, RequestStatus
from ar.services.guards import ZERO, latest_claim, local_day, locked_balance, require_mine
from ar.tables import FEDERAL, policy
from charges.models import Charge
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.ledger.models import Account
from rcm.ledger.services import Leg, Posting, post
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items

SUBJECT = "credit"
REFUND = "refund"
CAUSES = (
    ("duplicate_payment", "Paid twice"),
    ("two_payers", "Two payers paid"),
    ("patient_overpaid", "Patient paid too much"),
    ("adjustment_error", "Adjusted too much"),
    ("payer_overpaid", "Payer paid too much"),
)

FIND_SQL = """
SELECT b.charge_id, b.insurance, b.patient, c.patient_id, p.last_name || ', ' || p.first_name, p.mrn, p.born_on, x.site_id, c.service_date, c.code,
       x.modality, cl.id, cl.number, pay.id, pay.name, pay.kind,
       (SELECT count(DISTINCT e.payer_id) FROM ledger_ledgerentry e WHERE e.charge_id = b.charge_id AND e.account = 'ar_insurance' AND e.amount < 0 AND e.remittance_id IS NOT NULL) payers,
       (SELECT count(*) FROM ledger_ledgerentry e WHERE e.charge_id = b.charge_id AND e.account = 'ar_patient' AND e.amount < 0) patient_payments
  FROM ledger_balance b
  JOIN charges_charge c ON c.id = b.charge_id
  JOIN charges_exam x ON x.id = c.exam_id
  JOIN intake_patient p ON p.id = c.patient_id
  LEFT JOIN LATERAL (SELECT k.id, k.number, k.payer_id FROM claims_claimline l JOIN claims_claim k ON k.id = l.claim_id
                      WHERE l.charge_id = b.charge_id AND k.status NOT IN ('void', 'replaced') ORDER BY k.rank DESC, k.id DESC LIMIT 1) cl ON true
  LEFT JOIN reference_payer pay ON pay.id = cl.payer_id
 WHERE b.organization_id = %s AND (b.insurance < 0 OR b.patient < 0)
 ORDER BY b.charge_id
"""


def refund_due(*, identified_on: date, federal: bool, organization_id: int) -> date:
    """When a credit must be given back."""
    rules = policy(organization_id, identified_on)
    return identified_on + timedelta(
        days=rules.refund_days_federal if federal else rules.refund_days_other
    )


def _cause(insurance: Decimal, payers: int, patient_payments: int) -> str:
    if insurance < 0:
        return "two_payers" if payers > 1 else "payer_overpaid"
    return "duplicate_payment" if patient_payments > 1 else "patient_overpaid"


@transaction.atomic
def credits_refresh(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """Open an item for every credit from its first cent, and close those that are settled. The
    clock runs from the day it was found.
    """
    at = at or timezone.now()
    today = local_day(at)
    with connection.cursor() as cursor:
        cursor.execute(FIND_SQL, [organization_id])
        rows = cursor.fetchall()
    live = {
        subject: opened
        for subject, opened in WorkItem.objects.filter(
            organization_id=organization_id,
            subject_type=SUBJECT,
            status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
        ).values_list("subject_id", "opened_at")
    }
    specs: list[ItemSpec] = []
    for (
        charge,
        insurance,
        patient,
        patient_id,
        name,
        mrn,
        born,
        site,
        dos,
        code,
        modality,
        claim,
        number,
        payer,
        payer_name,
        kind,
        payers,
        paid,
    ) in rows:
        found_on = local_day(live[charge]) if charge in live else today
        whose = "payer" if insurance < 0 else "patient"
        amount = -(insurance if insurance < 0 else patient)
        due = refund_due(
            identified_on=found_on,
            federal=whose == "payer" and kind in FEDERAL,
            organization_id=organization_id,
        )
        cause = _cause(insurance, payers, paid)
        specs.append(
            ItemSpec(
                organization_id=organization_id,
                queue="credits",
                subject_type=SUBJECT,
                subject_id=charge,
                cause=cause,
                title=(
                    f"Credit of ${amount:,.2f}: {dict(CAUSES)[cause].lower()}; it belongs to the"
                    f" {whose}"
                ),
                fix="Find the cause, then refund or move it",
                due_at=live.get(charge, at),
                dollars=amount,
                deadline_on=due,
                site_id=site,
                patient_id=patient_id,
                patient_name=name,
                claim_id=claim,
                payer_id=payer,
                payer_name=payer_name or "",
                facts={
                    "claim": number or "",
                    "exam": code,
                    "modality": modality,
                    "service_date": dos.isoformat(),
                    "born": born.isoformat(),
                    "mrn": mrn,
                    "reason": dict(CAUSES)[cause],
                    "whose": whose,
                    "found": found_on.isoformat(),
                },
            )
        )
    opened = open_items(specs, actor=actor, at=at)
    gone = set(live) - {row[0] for row in rows}
    if gone:
        close_items(
            SUBJECT, gone, actor=actor, at=at, outcome="No credit any more", queues=["credits"]
        )
    return opened


@transaction.atomic
def refund_request(
    *,
    charge: Charge,
    to: str,
    amount: Decimal,
    cause: str,
    actor: Actor,
    at: datetime | None = None,
) -> Refund:
    """Ask to give a credit back. A second person approves each refund."""
    actor.require("refund.request", charge)
    require_mine(charge.organization_id, actor)
    at = at or timezone.now()
    if to not in ("payer", "patient"):
        raise Refused("Choose the payer or the patient.", code="to", field="to")
    if cause not in dict(CAUSES):
        raise Refused("Choose the cause from the list.", code="cause", field="cause")
    balance = locked_balance(charge)
    credit = -(balance.insurance if to == "payer" else balance.patient)
    if amount <= ZERO or amount > credit:
        raise Refused(
            f"The credit of the {to} is ${max(credit, ZERO):,.2f}.",
            code="over_credit",
            field="amount",
        )
    claim = latest_claim(charge)
    if to == "payer" and claim is None:
        raise Refused("No claim names the payer of this charge.", code="no_payer", field="to")
    item = (
        WorkItem.objects.filter(
            organization_id=charge.organization_id, subject_type=SUBJECT, subject_id=charge.pk
        )
        .order_by("-id")
        .first()
    )
    found_on = local_day(item.opened_at) if item else local_day(at)
    federal = to == "payer" and claim is not None and claim.payer.kind in FEDERAL
    try:
        with transaction.atomic():
            row = Refund.objects.create(
                organization_id=charge.organization_id,
                patient_id=charge.patient_id,
                charge=charge,
                payer=claim.payer if to == "payer" and claim else None,
                to=to,
                amount=amount,
                cause=cause,
                identified_on=found_on,
                due_on=refund_due(
                    identified_on=found_on, federal=federal, organization_id=charge.organization_id
                ),
                requested_by_id=actor.user_id,
            )
    except IntegrityError as error:
        raise Conflict(
            "A refund of this charge already waits for approval.", code="already_requested"
        ) from error
    _step(row, "refund.requested", f"Refund of ${amount:,.2f} to the {to} asked for", actor, at)
    open_items(
        [
            ItemSpec(
                organization_id=row.organization_id,
                queue="refund_approval",
                subject_type=REFUND,
                subject_id=row.pk,
                cause=cause,
                title=f"Refund of ${amount:,.2f} to the {to} waits for a second person",
                fix="Approve or refuse",
                due_at=at + timedelta(days=2),
                dollars=amount,
                deadline_on=row.due_on,
                site_id=charge.exam.site_id,
                patient_id=charge.patient_id,
                patient_name=charge.patient.name,
                claim_id=claim.pk if claim else None,
                payer_id=claim.payer_id if claim else None,
                payer_name=claim.payer.name if claim else "",
                facts={
                    "claim": claim.number if claim else "",
                    "exam": charge.code,
                    "reason": dict(CAUSES)[cause],
                    "asked_by": actor.name,
                },
            )
        ],
        actor=actor,
        at=at,
    )
    return row


@transaction.atomic
def refund_decide(
    *, refund: Refund, approve: bool, actor: Actor, note: str = "", at: datetime | None = None
) -> Refund:
    """Approve (the credit becomes a debt to pay out) or refuse. The requester never decides."""
    actor.require("refund.approve", refund)
    require_mine(refund.organization_id, actor)
    at = at or timezone.now()
    row = Refund.objects.select_for_update(of=("self",)).select_related("charge").get(pk=refund.pk)
    if row.status != RequestStatus.REQUESTED:
        raise Conflict("Somebody has decided this already.", code="decided")
    if actor.kind != "person" or actor.user_id is None or row.requested_by_id == actor.user_id:
        raise Refused(
            "Who asks for a refund does not approve it. Another person must decide.",
            code="maker_is_checker",
        )
    if not approve and not note.strip():
        raise Refused("Say why it is refused.", code="missing", field="note")
    row.decided_by_id, row.decided_at, row.decision_note = actor.user_id, at, note[:300]
    if approve:
        account = Account.AR_INSURANCE if row.to == "payer" else Account.AR_PATIENT
        balance = locked_balance(row.charge)
        credit = -(balance.insurance if row.to == "payer" else balance.patient)
        if row.amount > credit:
            raise Refused(
                f"Meanwhile the credit is ${max(credit, ZERO):,.2f}. Refuse it and ask anew.",
                code="balance_changed",
            )
        keys = {"charge_id": row.charge_id, "patient_id": row.patient_id, "payer_id": row.payer_id}
        (row.transaction,) = post(
            [
                Posting(
                    row.organization_id,
                    "refund",
                    f"refund:{row.public_id}",
                    local_day(at),
                    f"Refund to the {row.to}",
                    (
                        Leg(account, row.amount, reason="refund", **keys),
                        Leg(Account.REFUND_PAYABLE, -row.amount, reason="refund", **keys),
                    ),
                    "ar.Refund",
                    row.pk,
                )
            ],
            actor=actor,
        )
    row.status = RequestStatus.APPROVED if approve else RequestStatus.REFUSED
    row.save(update_fields=["status", "decided_by", "decided_at", "decision_note", "transaction"])
    _step(
        row,
        f"refund.{row.status}",
        f"Refund of ${row.amount:,.2f} {'approved' if approve else 'refused'}",
        actor,
        at,
        note,
    )
    close_items(REFUND, [row.pk], actor=actor, at=at, outcome="Approved" if approve else "Refused")
    if approve:
        _close_settled([row.charge_id], actor, at)
    return row


@transaction.atomic
def refund_issue(
    *, refund: Refund, reference: str, actor: Actor, at: datetime | None = None
) -> Refund:
    """The money has left: check or transfer number."""
    actor.require("refund.request", refund)
    require_mine(refund.organization_id, actor)
    at = at or timezone.now()
    row = Refund.objects.select_for_update(of=("self",)).get(pk=refund.pk)
    if row.status != RequestStatus.APPROVED or row.issued_on is not None:
        raise Conflict("Only an approved refund is paid out, and only once.", code="not_payable")
    if not reference.strip():
        raise Refused("Enter the check or transfer number.", code="missing", field="reference")
    keys = {"charge_id": row.charge_id, "patient_id": row.patient_id, "payer_id": row.payer_id}
    post(
        [
            Posting(
                row.organization_id,
                "refund.issued",
                f"refund-issued:{row.public_id}",
                local_day(at),
                f"Refund paid out, {reference}"[:200],
                (
                    Leg(Account.REFUND_PAYABLE, row.amount, reason="refund", **keys),
                    Leg(Account.CASH, -row.amount, reason="refund", **keys),
                ),
                "ar.Refund",
                row.pk,
            )
        ],
        actor=actor,
    )
    row.issued_on, row.issue_reference = local_day(at), reference.strip()[:40]
    row.save(update_fields=["issued_on", "issue_reference"])
    _step(
        row,
        "refund.issued",
        f"Refund of ${row.amount:,.2f} paid out, {row.issue_reference}",
        actor,
        at,
    )
    return row


def _close_settled(charge_ids: Iterable[int], actor: Actor, at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT charge_id FROM ledger_balance WHERE charge_id = ANY(%s) AND insurance >= 0 AND"
            " patient >= 0",
            [list(charge_ids)],
        )
        settled = [r[0] for r in cursor.fetchall()]
    if settled:
        close_items(SUBJECT, settled, actor=actor, at=at, outcome="Refunded")


def _step(
    row: Refund, verb: str, sentence: str, actor: Actor, at: datetime, reason: str = ""
) -> None:
    record_steps(
        [
            Step(
                row.organization_id,
                verb,
                sentence,
                {"patient_id": row.patient_id, "exam_id": row.charge.exam_id},
                new=row.status,
                reason=reason,
            )
        ],
        actor=actor,
        at=at,
    )
