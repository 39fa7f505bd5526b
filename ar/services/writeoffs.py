"""Write-offs: nobody writes off silently (DOMAIN G4, invariants 9 and 10)."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from ar.models import RequestStatus, Statement, WriteOffRequest
from ar.services.guards import (
    WON,
    ZERO,
    denials_of,
    latest_claim,
    local_day,
    locked_balance,
    require_mine,
)
from ar.tables import FEDERAL, Reason, policy, reasons
from charges.models import Charge
from claims import services as claims
from claims.models import Claim, ClaimStatus
from claims.records import Adjudicated, Outcome
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.ledger.models import Account, Balance
from rcm.ledger.services import Leg, Posting, post
from rcm.worklist.models import Interaction
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance import services as remittance
from remittance.models import Denial, DenialStatus

SUBJECT = "write_off"
SETTLED = (DenialStatus.UPHELD, DenialStatus.PARKED, DenialStatus.WRITTEN_OFF)
OPEN_CLAIM = (
    ClaimStatus.DENIED,
    ClaimStatus.PARTIAL,
    ClaimStatus.PAID,
    ClaimStatus.ACCEPTED,
    ClaimStatus.REJECTED,
)


def _reason(code: str) -> Reason:
    found = reasons().get(code)
    if found is None:
        if code.startswith("contract"):
            raise Refused(
                "A contractual adjustment is posted from a remittance, never by hand.",
                code="contractual",
                field="reason",
                fix="Post the remittance, or dispute the difference as an underpayment.",
            )
        raise Refused("Choose a reason from the list.", code="unknown_reason", field="reason")
    return found


def _contact(
    charge: Charge, claim: Claim | None, account: str, given: Interaction | None
) -> Interaction | None:
    """The documented contact with the payer (insurance) or the patient."""
    if given is not None:
        same = (
            given.claim_id == claim.pk
            if claim is not None and given.claim_id
            else given.patient_id == charge.patient_id
        )
        if not same or given.organization_id != charge.organization_id:
            raise Refused(
                "That contact belongs to another account.", code="foreign_contact", field="contact"
            )
        return given
    rows = Interaction.objects.filter(organization_id=charge.organization_id)
    if account == Account.AR_INSURANCE:
        return rows.filter(claim_id=claim.pk).order_by("-at", "-id").first() if claim else None
    return rows.filter(patient_id=charge.patient_id).order_by("-at", "-id").first()


def _appeal_path(charge: Charge, reason: Reason, claim: Claim | None, at: datetime) -> list[Denial]:
    """The denials a write-off gives up: refused while one can still be won."""
    today = local_day(at)
    found = [d for d in denials_of([charge.pk]).get(charge.pk, []) if d.status not in WON]
    lost = [
        d for d in found if d.status in SETTLED or (d.appeal_by is not None and d.appeal_by < today)
    ]
    alive = [d for d in found if d not in lost]
    if alive:
        one = alive[0]
        until = (
            f"until {one.appeal_by:%b %-d, %Y}"
            if one.appeal_by
            else "and its appeal date is not known"
        )
        raise Refused(
            f"The denial {one.group}-{one.reason} can still be corrected or appealed {until}.",
            code="appeal_open",
            field="reason",
            fix="Appeal it, or park it with the reason why it is not worth more work.",
        )
    if reason.code == "timely":
        late = any(d.category == "timely_filing" for d in lost) or (
            claim is not None
            and claim.filing_deadline is not None
            and claim.filing_deadline < today
            and claim.first_submitted_at is None
        )
        if not late:
            raise Refused(
                "No filing denial stands on this charge, and its filing limit has not passed"
                " unfiled.",
                code="not_timely",
                field="reason",
            )
    elif not lost:
        raise Refused(
            "No denial stands on this charge that was appealed, refused or given up.",
            code="no_denial",
            field="reason",
        )
    return lost


def _statements(charge: Charge, reason: Reason, at: datetime) -> None:
    rules = policy(charge.organization_id, local_day(at))
    sent = list(
        Statement.objects.filter(patient_id=charge.patient_id)
        .order_by("sent_on", "id")
        .values_list("step", "sent_on")
    )
    if not sent or max(step for step, _ in sent) < len(rules.statement_days):
        raise Refused(
            "The statement cycle has not ended: the final notice was not sent yet.",
            code="cycle_open",
            field="reason",
        )
    if reason.code == "bad_debt" and local_day(at) < sent[0][1] + timedelta(
        days=rules.collection_days
    ):
        raise Refused(
            f"Bad debt begins {rules.collection_days} days after the first statement.",
            code="too_early",
            field="reason",
        )


@transaction.atomic
def write_off_request(
    *,
    charge: Charge,
    reason: str,
    amount: Decimal,
    note: str,
    actor: Actor,
    account: str = Account.AR_INSURANCE,
    claim: Claim | None = None,
    contact: Interaction | None = None,
    at: datetime | None = None,
) -> WriteOffRequest:
    """Ask to write off part of a charge's balance. At or under the organization's limit it posts at
    once; above it waits for a second person.

    Refused without reason, note, documented contact, an ended appeal path or statement cycle;
    beyond the balance; for a federal copay as a courtesy; twice at once.
    """
    actor.require("writeoff.request")
    require_mine(charge.organization_id, actor)
    at = at or timezone.now()
    chosen = _reason(reason)
    if account not in (Account.AR_INSURANCE, Account.AR_PATIENT):
        raise Refused(
            "Choose the insurance or the patient balance.", code="unknown_account", field="account"
        )
    if chosen.patient_only and account != Account.AR_PATIENT:
        raise Refused(
            f"{chosen.label} is a reason for a patient balance only.",
            code="patient_only",
            field="reason",
        )
    if chosen.insurance_only and account != Account.AR_INSURANCE:
        raise Refused(
            f"{chosen.label} is a reason for an insurance balance only.",
            code="insurance_only",
            field="reason",
        )
    if not note.strip():
        raise Refused("Write why it cannot be collected.", code="missing", field="note")
    if amount <= ZERO:
        raise Refused("Enter an amount above zero.", code="amount", field="amount")
    claim = claim or latest_claim(charge)
    if claim is not None and not claim.lines.filter(charge=charge).exists():
        raise Refused("That claim does not carry this charge.", code="foreign_claim", field="claim")
    balance = locked_balance(charge)
    open_amount = balance.insurance if account == Account.AR_INSURANCE else balance.patient
    if amount > open_amount:
        raise Refused(f"Only ${open_amount:,.2f} is open.", code="over_balance", field="amount")
    rules = policy(charge.organization_id, local_day(at))
    if chosen.code == "small_balance" and amount > rules.small_balance:
        raise Refused(
            f"A small balance is at most ${rules.small_balance:,.2f}.",
            code="not_small",
            field="amount",
        )
    if (
        account == Account.AR_PATIENT
        and not chosen.federal_patient
        and claim is not None
        and claim.payer.kind in FEDERAL
    ):
        raise Refused(
            "A copay or deductible of a federal program is never waived as a courtesy.",
            code="federal_copay",
            field="reason",
            fix="Use charity with documented hardship.",
        )
    given_up = _appeal_path(charge, chosen, claim, at) if chosen.needs_appeal else []
    if chosen.needs_statements and account == Account.AR_PATIENT:
        _statements(charge, chosen, at)
    documented = _contact(charge, claim, account, contact)
    if chosen.needs_contact and documented is None:
        who = "payer" if account == Account.AR_INSURANCE else "patient"
        raise Refused(
            f"No contact with the {who} is documented.",
            code="no_contact",
            field="contact",
            fix="Log the call or message first.",
        )
    try:
        with transaction.atomic():
            row = WriteOffRequest.objects.create(
                organization_id=charge.organization_id,
                claim=claim,
                charge=charge,
                reason=chosen.code,
                account=account,
                amount=amount,
                note=note.strip()[:300],
                contact=documented,
                requested_by_id=actor.user_id,
                requested_at=at,
            )
    except IntegrityError as error:
        raise Conflict(
            "A write-off of this balance already waits for approval.", code="already_requested"
        ) from error
    _step(
        row,
        "writeoff.requested",
        f"Write-off of ${amount:,.2f} asked for: {chosen.label}",
        actor,
        at,
    )
    limit = Organization.objects.values_list("write_off_limit", flat=True).get(
        pk=charge.organization_id
    )
    if amount <= limit:
        return _approve(
            row,
            chosen,
            actor=actor,
            at=at,
            decided_by=None,
            note="Within the limit",
            denials=given_up,
        )
    open_items(
        [
            ItemSpec(
                organization_id=row.organization_id,
                queue="write_off_approval",
                subject_type=SUBJECT,
                subject_id=row.pk,
                cause="above_limit",
                title=f"{chosen.label}: ${amount:,.2f} waits for a second person",
                fix="Approve or refuse",
                due_at=at + timedelta(days=2),
                dollars=amount,
                site_id=charge.exam.site_id,
                patient_id=charge.patient_id,
                patient_name=charge.patient.name,
                claim_id=claim.pk if claim else None,
                payer_id=claim.payer_id if claim else None,
                payer_name=claim.payer.name if claim else "",
                facts={
                    "claim": claim.number if claim else "",
                    "reason": chosen.label,
                    "asked_by": actor.name,
                    "exam": charge.code,
                },
            )
        ],
        actor=actor,
        at=at,
    )
    return row


@transaction.atomic
def write_off_decide(
    *,
    request: WriteOffRequest,
    approve: bool,
    actor: Actor,
    note: str = "",
    at: datetime | None = None,
) -> WriteOffRequest:
    """Approve (and post) or refuse a waiting request. The requester never decides; what has changed
    since is checked again.
    """
    actor.require("writeoff.approve")
    require_mine(request.organization_id, actor)
    at = at or timezone.now()
    row = (
        WriteOffRequest.objects.select_for_update(of=("self",))
        .select_related("charge", "claim")
        .get(pk=request.pk)
    )
    if row.status != RequestStatus.REQUESTED:
        raise Conflict("Somebody has decided this already.", code="decided")
    if actor.kind != "person" or actor.user_id is None:
        raise Refused("A person decides about a write-off.", code="not_a_person")
    if row.requested_by_id == actor.user_id:
        raise Refused(
            "Who asks for a write-off does not approve it. Another person must decide.",
            code="maker_is_checker",
        )
    if not approve:
        if not note.strip():
            raise Refused("Say why it is refused.", code="missing", field="note")
        row.status, row.decided_by_id, row.decided_at, row.decision_note = (
            RequestStatus.REFUSED,
            actor.user_id,
            at,
            note[:300],
        )
        row.save(update_fields=["status", "decided_by", "decided_at", "decision_note"])
        _step(row, "writeoff.refused", f"Write-off of ${row.amount:,.2f} refused", actor, at, note)
        close_items(SUBJECT, [row.pk], actor=actor, at=at, outcome="Refused")
        return row
    chosen = _reason(row.reason)
    given_up = _appeal_path(row.charge, chosen, row.claim, at) if chosen.needs_appeal else []
    return _approve(
        row, chosen, actor=actor, at=at, decided_by=actor.user_id, note=note, denials=given_up
    )


def _approve(
    row: WriteOffRequest,
    chosen: Reason,
    *,
    actor: Actor,
    at: datetime,
    decided_by: int | None,
    note: str,
    denials: list[Denial],
) -> WriteOffRequest:
    balance = locked_balance(row.charge)
    open_amount = balance.insurance if row.account == Account.AR_INSURANCE else balance.patient
    if row.amount > open_amount:
        raise Refused(
            f"Meanwhile only ${open_amount:,.2f} is open. Refuse it and ask anew.",
            code="balance_changed",
        )
    payer = row.claim.payer_id if row.claim else None
    keys = {
        "charge_id": row.charge_id,
        "claim_id": row.claim_id,
        "patient_id": row.charge.patient_id,
        "payer_id": payer,
    }
    (written,) = post(
        [
            Posting(
                organization_id=row.organization_id,
                kind=f"write_off:{row.reason}"[:40],
                effect_key=f"write-off:{row.public_id}",
                effective_on=local_day(at),
                description=f"Write-off, {chosen.label.lower()}",
                legs=(
                    Leg(chosen.account, row.amount, reason=row.reason[:12], **keys),
                    Leg(row.account, -row.amount, reason=row.reason[:12], **keys),
                ),
                source_type="ar.WriteOffRequest",
                source_id=row.pk,
            )
        ],
        actor=actor,
    )
    row.status, row.decided_by_id, row.decided_at, row.decision_note, row.transaction = (
        RequestStatus.APPROVED,
        decided_by,
        at,
        note[:300],
        written,
    )
    row.save(update_fields=["status", "decided_by", "decided_at", "decision_note", "transaction"])
    _step(row, "writeoff.posted", f"Wrote off ${row.amount:,.2f}: {chosen.label}", actor, at, note)
    close_items(SUBJECT, [row.pk], actor=actor, at=at, outcome="Approved")
    waiting = [d.pk for d in denials if d.status != DenialStatus.WRITTEN_OFF]
    if waiting and row.amount == open_amount:
        remittance.denials_written_off(denial_ids=waiting, actor=actor, at=at)
    _close_claim(row, actor, at)
    return row


def _close_claim(row: WriteOffRequest, actor: Actor, at: datetime) -> None:
    """The claim ends with its last open dollar."""
    if row.claim is None or row.claim.status not in OPEN_CLAIM:
        return
    charges = list(row.claim.lines.values_list("charge_id", flat=True))
    if Balance.objects.filter(charge_id__in=charges).exclude(insurance=0, patient=0).exists():
        return
    claims.claims_adjudicated(
        items=[
            Adjudicated(
                row.claim.pk,
                Outcome.CLOSED,
                local_day(at),
                sentence="Zero balance after a write-off",
            )
        ],
        actor=actor,
        at=at,
    )


def _step(
    row: WriteOffRequest, verb: str, sentence: str, actor: Actor, at: datetime, reason: str = ""
) -> None:
    keys = {
        "claim_id": row.claim_id,
        "patient_id": row.charge.patient_id,
        "exam_id": row.charge.exam_id,
    }
    record_steps(
        [
            Step(
                row.organization_id, verb, sentence, keys, new=row.status, reason=reason or row.note
            )
        ],
        actor=actor,
        at=at,
    )


SMALL_SQL = """
SELECT b.charge_id, b.patient FROM ledger_balance b
  JOIN charges_charge c ON c.id = b.charge_id
  JOIN (SELECT c.patient_id, sum(b.patient) total FROM ledger_balance b JOIN charges_charge c ON c.id = b.charge_id
         WHERE b.organization_id = %(org)s AND b.patient > 0 GROUP BY 1) t ON t.patient_id = c.patient_id
 WHERE b.organization_id = %(org)s AND b.patient > 0 AND b.insurance = 0 AND t.total <= %(limit)s
   AND EXISTS (SELECT 1 FROM ar_statement s WHERE s.patient_id = c.patient_id AND s.step >= %(steps)s)
   AND NOT EXISTS (SELECT 1 FROM ar_writeoffrequest w WHERE w.charge_id = b.charge_id AND w.status = 'requested')
 ORDER BY b.charge_id
"""


@transaction.atomic
def small_balances_write_off(
    *, organization_id: int, actor: Actor, at: datetime | None = None
) -> int:
    """Write off patient balances at or under the limit once their statement cycle has ended (DOMAIN
    G5). Set-based; never a credit.
    """
    at = at or timezone.now()
    rules = policy(organization_id, local_day(at))
    with connection.cursor() as cursor:
        cursor.execute(
            SMALL_SQL,
            {
                "org": organization_id,
                "limit": rules.small_balance,
                "steps": len(rules.statement_days),
            },
        )
        found = dict(cursor.fetchall())
    if not found:
        return 0
    charges = {c.pk: c for c in Charge.objects.filter(pk__in=found)}
    label = reasons()["small_balance"]
    rows = [
        WriteOffRequest(
            organization_id=organization_id,
            charge_id=pk,
            reason="small_balance",
            account=Account.AR_PATIENT,
            amount=amount,
            note="By rule after the statement cycle",
            status=RequestStatus.REQUESTED,
            requested_at=at,
        )
        for pk, amount in found.items()
    ]
    WriteOffRequest.objects.bulk_create(rows, batch_size=500)
    posted = post(
        [
            Posting(
                organization_id=organization_id,
                kind="write_off:small_balance",
                effect_key=f"write-off:{row.public_id}",
                effective_on=local_day(at),
                description="Small balance after the statement cycle",
                legs=(
                    Leg(
                        label.account,
                        row.amount,
                        charge_id=row.charge_id,
                        patient_id=charges[row.charge_id].patient_id,
                        reason="small",
                    ),
                    Leg(
                        Account.AR_PATIENT,
                        -row.amount,
                        charge_id=row.charge_id,
                        patient_id=charges[row.charge_id].patient_id,
                        reason="small",
                    ),
                ),
                source_type="ar.WriteOffRequest",
                source_id=row.pk,
            )
            for row in rows
        ],
        actor=actor,
    )
    by_source = {t.source_id: t for t in posted}
    for row in rows:
        row.status, row.decided_at, row.transaction = RequestStatus.APPROVED, at, by_source[row.pk]
    WriteOffRequest.objects.bulk_update(
        rows, ["status", "decided_at", "transaction"], batch_size=500
    )
    record_steps(
        [
            Step(
                organization_id,
                "writeoff.posted",
                f"Small balance of ${r.amount:,.2f} written off by rule",
                {
                    "patient_id": charges[r.charge_id].patient_id,
                    "exam_id": charges[r.charge_id].exam_id,
                },
            )
            for r in rows
        ],
        actor=actor,
        at=at,
    )
    return len(rows)
