"""Credit balances: found at the first cent, worked, given back with approval; the 60-day clock of
federal programs (rule `overpayment-60-days`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from ar.models import Refund, RequestStatus
from ar.services.guards import ZERO, local_day, locked_balance, require_mine
from ar.services.overpayments import (
    TakenBack,
    credit_since,
    overpaid,
    payer_shares,
    shared_charges,
    taken_back,
)
from ar.tables import FEDERAL, policy
from charges.models import Charge
from claims.models import Claim
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.ledger.models import Account, Balance
from rcm.ledger.services import Leg, Posting, post, reverse
from rcm.reference.models import Payer
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
TWICE = "refunded_and_taken_back"

FIND_SQL = """
SELECT b.charge_id, b.patient, c.patient_id, p.last_name || ', ' || p.first_name, p.mrn, p.born_on,
       x.site_id, c.service_date, c.code, x.modality,
       (SELECT count(*) FROM ledger_ledgerentry e
         WHERE e.charge_id = b.charge_id AND e.account = 'ar_patient' AND e.amount < 0)
  FROM ledger_balance b
  JOIN charges_charge c ON c.id = b.charge_id
  JOIN charges_exam x ON x.id = c.exam_id
  JOIN intake_patient p ON p.id = c.patient_id
 WHERE b.organization_id = %s AND (b.insurance < 0 OR b.patient < 0 OR b.charge_id = ANY(%s))
 ORDER BY b.charge_id
"""


@dataclass(frozen=True, slots=True)
class Credit:
    """Money that belongs to somebody else: whose, on which claim, how much."""

    amount: Decimal
    payer: Payer | None = None
    claim: Claim | None = None

    @property
    def whose(self) -> str:
        return self.payer.name if self.payer else "the patient"


def credits_on(charge_ids: Iterable[int]) -> dict[int, list[Credit]]:
    """Every credit by charge, the largest first: of each payer that was paid too much, and of the
    patient. A constant number of queries.
    """
    ids = list(charge_ids)
    shares = overpaid(ids)
    payers = Payer.objects.in_bulk({s.payer_id for rows in shares.values() for s in rows})
    claims = Claim.objects.in_bulk({s.claim_id for rows in shares.values() for s in rows})
    found: dict[int, list[Credit]] = {
        pk: [Credit(s.credit, payers[s.payer_id or 0], claims.get(s.claim_id or 0)) for s in rows]
        for pk, rows in shares.items()
    }
    for row in Balance.objects.filter(charge_id__in=ids, patient__lt=0):
        found.setdefault(row.charge_id, []).append(Credit(-row.patient))
    for rows in found.values():
        rows.sort(key=lambda credit: -credit.amount)
    return found


def identified(organization_id: int, charge_ids: Iterable[int]) -> dict[int, date]:
    """When each credit that stands now was first found: the day of the first item since the booking
    that brought it about. Closing an item and opening another does not start the clock anew.
    """
    ids = list(charge_ids)
    begun: dict[int, date] = {}
    for account in (Account.AR_PATIENT, Account.AR_INSURANCE):
        begun |= credit_since(ids, account)
    found: dict[int, date] = {}
    rows = WorkItem.objects.filter(
        organization_id=organization_id, subject_type=SUBJECT, subject_id__in=ids
    ).order_by("opened_at")
    for pk, opened in rows.values_list("subject_id", "opened_at"):
        day = local_day(opened)
        if pk not in found and day >= begun.get(pk, day):
            found[pk] = day
    return found


def refund_due(*, identified_on: date, federal: bool, organization_id: int) -> date:
    """When a credit must be given back."""
    rules = policy(organization_id, identified_on)
    return identified_on + timedelta(
        days=rules.refund_days_federal if federal else rules.refund_days_other
    )


def _cause(credit: Credit, answered: int, patient_payments: int) -> str:
    if credit.payer is None:
        return "duplicate_payment" if patient_payments > 1 else "patient_overpaid"
    return "two_payers" if answered > 1 else "payer_overpaid"


@transaction.atomic
def credits_refresh(
    *, organization_id: int, actor: Actor, at: datetime | None = None, shared: bool = False
) -> int:
    """Open an item for every credit from its first cent, and close those that are settled. The
    clock runs from the day it was found. With `shared` also the credits are looked for that hide
    behind what another payer owes on the same charge.
    """
    at = at or timezone.now()
    today = local_day(at)
    live = dict(
        WorkItem.objects.filter(
            organization_id=organization_id,
            subject_type=SUBJECT,
            status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
        ).values_list("subject_id", "due_at")
    )
    hidden = overpaid(shared_charges(organization_id) if shared else live)
    with connection.cursor() as cursor:
        cursor.execute(FIND_SQL, [organization_id, sorted(hidden)])
        rows = cursor.fetchall()
    ids = [row[0] for row in rows]
    credits, found_on = credits_on(ids), identified(organization_id, ids)
    answered = {pk: len(shares) for pk, shares in payer_shares(ids).items()}
    specs: list[ItemSpec] = []
    for charge, _, patient_id, name, mrn, born, site, dos, code, modality, paid in rows:
        if charge not in credits:
            continue
        first = credits[charge][0]
        day = found_on.get(charge, today)
        cause = _cause(first, answered.get(charge, 1), paid)
        specs.append(
            ItemSpec(
                organization_id=organization_id,
                queue="credits",
                subject_type=SUBJECT,
                subject_id=charge,
                cause=cause,
                title=_title(credits[charge], cause),
                fix="Find the cause, then refund or move it",
                due_at=live.get(charge, at),
                dollars=sum((c.amount for c in credits[charge]), ZERO),
                deadline_on=refund_due(
                    identified_on=day,
                    federal=any(c.payer and c.payer.kind in FEDERAL for c in credits[charge]),
                    organization_id=organization_id,
                ),
                site_id=site,
                patient_id=patient_id,
                patient_name=name,
                claim_id=first.claim.pk if first.claim else None,
                payer_id=first.payer.pk if first.payer else None,
                payer_name=first.payer.name if first.payer else "",
                facts={
                    "claim": first.claim.number if first.claim else "",
                    "exam": code,
                    "modality": modality,
                    "service_date": dos.isoformat(),
                    "born": born.isoformat(),
                    "mrn": mrn,
                    "reason": dict(CAUSES)[cause],
                    "whose": "payer" if first.payer else "patient",
                    "found": day.isoformat(),
                },
            )
        )
    opened = open_items(specs, actor=actor, at=at)
    gone = set(live) - {spec.subject_id for spec in specs}
    if gone:
        close_items(
            SUBJECT, gone, actor=actor, at=at, outcome="No credit any more", queues=["credits"]
        )
    return opened


def _title(credits: list[Credit], cause: str) -> str:
    words = " and ".join(f"${c.amount:,.2f} belongs to {_belongs(c)}" for c in credits[:2])
    return f"Credit, {dict(CAUSES)[cause].lower()}: {words}"[:200]


def _belongs(credit: Credit) -> str:
    return f"the payer {credit.payer.name}" if credit.payer else "the patient"


def _chosen(credits: list[Credit], to: str, payer: Payer | None) -> Credit | None:
    """The credit that a refund gives back: the payer's that overpaid, or the patient's."""
    if to == "patient":
        return next((c for c in credits if c.payer is None), None)
    of_payers = [c for c in credits if c.payer is not None]
    if payer is not None:
        return next((c for c in of_payers if c.payer == payer), None)
    if len(of_payers) > 1:
        names = " and ".join(f"{c.whose} (${c.amount:,.2f})" for c in of_payers)
        raise Refused(
            f"Two payers paid too much: {names}. Choose one.", code="which", field="payer"
        )
    return of_payers[0] if of_payers else None


@transaction.atomic
def refund_request(
    *,
    charge: Charge,
    to: str,
    amount: Decimal,
    cause: str,
    actor: Actor,
    payer: Payer | None = None,
    at: datetime | None = None,
) -> Refund:
    """Ask to give a credit back to who overpaid. A second person approves each refund."""
    actor.require("refund.request", charge)
    require_mine(charge.organization_id, actor)
    at = at or timezone.now()
    if to not in ("payer", "patient"):
        raise Refused("Choose the payer or the patient.", code="to", field="to")
    if cause not in dict(CAUSES):
        raise Refused("Choose the cause from the list.", code="cause", field="cause")
    locked_balance(charge)
    credit = _chosen(credits_on([charge.pk]).get(charge.pk, []), to, payer)
    most = credit.amount if credit else ZERO
    if amount <= ZERO or amount > most or credit is None:
        raise Refused(
            f"The credit of {payer.name if payer else f'the {to}'} is ${most:,.2f}.",
            code="over_credit",
            field="amount",
        )
    found_on = identified(charge.organization_id, [charge.pk]).get(charge.pk, local_day(at))
    federal = credit.payer is not None and credit.payer.kind in FEDERAL
    try:
        with transaction.atomic():
            row = Refund.objects.create(
                organization_id=charge.organization_id,
                patient_id=charge.patient_id,
                charge=charge,
                payer=credit.payer,
                claim=credit.claim,
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
    _step(row, "refund.requested", f"Refund of ${amount:,.2f} to {credit.whose} asked", actor, at)
    open_items(
        [
            ItemSpec(
                organization_id=row.organization_id,
                queue="refund_approval",
                subject_type=REFUND,
                subject_id=row.pk,
                cause=cause,
                title=f"Refund of ${amount:,.2f} to {credit.whose} waits for a second person",
                fix="Approve or refuse",
                due_at=at + timedelta(days=2),
                dollars=amount,
                deadline_on=row.due_on,
                site_id=charge.exam.site_id,
                patient_id=charge.patient_id,
                patient_name=charge.patient.name,
                claim_id=credit.claim.pk if credit.claim else None,
                payer_id=credit.payer.pk if credit.payer else None,
                payer_name=credit.payer.name if credit.payer else "",
                facts={
                    "claim": credit.claim.number if credit.claim else "",
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
        locked_balance(row.charge)
        credit = _chosen(credits_on([row.charge_id]).get(row.charge_id, []), row.to, row.payer)
        most = credit.amount if credit else ZERO
        if row.amount > most:
            taken = taken_back([row.charge_id]).get((row.charge_id, row.payer_id))
            raise Refused(
                (f"{taken.words} " if taken else "")
                + f"Meanwhile the credit is ${most:,.2f}. Refuse it and ask anew.",
                code="balance_changed",
            )
        keys = _keys(row)
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
    row = Refund.objects.select_for_update(of=("self",)).select_related("charge").get(pk=refund.pk)
    if row.status != RequestStatus.APPROVED or row.issued_on is not None:
        raise Conflict("Only an approved refund is paid out, and only once.", code="not_payable")
    if not reference.strip():
        raise Refused("Enter the check or transfer number.", code="missing", field="reference")
    _require_not_taken_back(row)
    keys = _keys(row)
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


def _keys(row: Refund) -> dict[str, int | None]:
    return {
        "charge_id": row.charge_id,
        "claim_id": row.claim_id,
        "patient_id": row.patient_id,
        "payer_id": row.payer_id,
    }


# --- a later takeback stops the refund ------------------------------------------------------------

STOPPABLE_SQL = """
SELECT r.id, max(e.id)
  FROM ar_refund r
  JOIN ledger_ledgerentry e ON e.charge_id = r.charge_id AND e.account = 'ar_insurance'
                           AND e.amount > 0 AND e.payer_id = r.payer_id
                           AND e.created_at > r.created_at
  JOIN ledger_ledgertransaction t ON t.id = e.transaction_id
   AND t.kind IN ('remittance.reversal', 'remittance.takeback')
 WHERE r.organization_id = %s AND r.to = 'payer' AND r.stopped_on IS NULL
   AND r.status IN ('requested', 'approved')
 GROUP BY r.id
"""


def _owed(row: Refund) -> Decimal:
    """What the refund's payer owes on the charge (negative: its credit)."""
    shares = payer_shares([row.charge_id]).get(row.charge_id, [])
    return sum((s.amount for s in shares if s.payer_id == row.payer_id), ZERO)


def _require_not_taken_back(row: Refund) -> None:
    """An approved refund has left the charge: where the payer owes again since, it has taken the
    same money back by itself.
    """
    if row.to != "payer":
        return
    locked_balance(row.charge)
    taken = taken_back([row.charge_id]).get((row.charge_id, row.payer_id))
    if taken is not None and _owed(row) > ZERO:
        raise Refused(
            f"{taken.words} Paid out, it would go back twice.",
            code="taken_back",
            fix="The refund is stopped with the next run; nothing is to be paid out.",
            status=409,
        )


@transaction.atomic
def refunds_stop(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """Stop refunds whose money the payer has taken back itself: a request ends, an approved one is
    booked back, and for one that was paid out somebody asks the payer for it. Returns how many.
    """
    at = at or timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(STOPPABLE_SQL, [organization_id])
        ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return 0
    rows = list(
        Refund.objects.select_for_update(of=("self",))
        .filter(pk__in=ids)
        .select_related("charge__exam", "charge__patient", "payer", "claim", "transaction")
        .order_by("pk")
    )
    taken = taken_back([row.charge_id for row in rows])
    credits = credits_on([row.charge_id for row in rows])
    shares = payer_shares([row.charge_id for row in rows])
    stopped = 0
    for row in rows:
        owed = sum((s.amount for s in shares[row.charge_id] if s.payer_id == row.payer_id), ZERO)
        credit = _chosen(credits.get(row.charge_id, []), "payer", row.payer)
        if row.status == RequestStatus.REQUESTED:
            gone = credit is None or credit.amount < row.amount
        else:
            gone = owed > ZERO
        back = taken.get((row.charge_id, row.payer_id))
        if gone and back is not None:
            _stop(row, back, actor, at)
            stopped += 1
    return stopped


def _stop(row: Refund, back: TakenBack, actor: Actor, at: datetime) -> None:
    row.stopped_on, row.stopped_why = local_day(at), back.words
    if row.issued_on is not None:
        row.stopped_why = (
            f"{back.words} It was paid out on {row.issued_on:%b %-d, %Y} by {row.issue_reference}:"
            " the payer has it twice."
        )
    elif row.transaction is not None:
        reverse([row.transaction], effective_on=local_day(at), reason="taken back", actor=actor)
    if row.issued_on is None:
        row.status = RequestStatus.STOPPED
    row.save(update_fields=["status", "stopped_on", "stopped_why"])
    _step(
        row, "refund.stopped", f"Refund of ${row.amount:,.2f} stopped", actor, at, row.stopped_why
    )
    close_items(REFUND, [row.pk], actor=actor, at=at, outcome="Stopped: taken back")
    if row.issued_on is not None:
        open_items([_twice(row, at)], actor=actor, at=at)


def _twice(row: Refund, at: datetime) -> ItemSpec:
    payer = row.payer.name if row.payer else ""
    return ItemSpec(
        organization_id=row.organization_id,
        queue="credits",
        subject_type=REFUND,
        subject_id=row.pk,
        cause=TWICE,
        title=f"{payer} has ${row.amount:,.2f} twice: refunded, then taken back"[:200],
        fix="Ask the payer to return the refund, with both dates",
        due_at=at + timedelta(days=2),
        dollars=row.amount,
        site_id=row.charge.exam.site_id,
        patient_id=row.patient_id,
        patient_name=row.charge.patient.name,
        claim_id=row.claim_id,
        payer_id=row.payer_id,
        payer_name=payer,
        facts={
            "claim": row.claim.number if row.claim else "",
            "exam": row.charge.code,
            "reason": "Refunded and taken back",
            "whose": "payer",
        },
    )


def _close_settled(charge_ids: Iterable[int], actor: Actor, at: datetime) -> None:
    ids = list(charge_ids)
    settled = set(ids) - set(credits_on(ids))
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
