"""Write-offs: nobody writes off silently (rule `write-off-approval`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from ar.automation import SMALL_BALANCES
from ar.holding import Act
from ar.models import HoldKind, RequestStatus, WriteOffRequest
from ar.services.guards import (
    WON,
    ZERO,
    denials_of,
    latest_claim,
    local_day,
    locked_balance,
    require_mine,
)
from ar.services.holds import Held, holds_of
from ar.services.limits import (
    YEAR,
    hold_patients,
    patient_since,
    whole_balance,
    written_off_within_year,
)
from ar.services.notices import notices_of
from ar.tables import FEDERAL, Reason, policy, reasons
from charges.models import Charge
from claims import services as claims
from claims.models import Claim, ClaimLine, ClaimStatus
from claims.records import Adjudicated, Outcome
from intake.services import chart_ids
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.jobs import robots
from rcm.ledger.models import Account, Balance
from rcm.ledger.services import Leg, Posting, post
from rcm.worklist.models import Interaction
from rcm.worklist.robots import hand_over, take_back
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance import services as remittance
from remittance.models import Denial, DenialStatus

SUBJECT = "write_off"
SETTLED = (DenialStatus.UPHELD, DenialStatus.PARKED, DenialStatus.WRITTEN_OFF)
AWAITED = (DenialStatus.CORRECTED, DenialStatus.APPEALED)
UNPROCESSABLE = "MA130"  # the payer's remark that such a denial has no appeal
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


@dataclass(frozen=True, slots=True)
class Asked:
    """A write-off as asked for, before anything is checked."""

    charge: Charge
    claim: Claim | None
    reason: Reason
    account: str
    amount: Decimal
    note: str
    at: datetime

    @property
    def insurance(self) -> bool:
        return self.account == Account.AR_INSURANCE


def _documented(
    asked: Asked, given_up: list[Denial], given: Interaction | None
) -> Interaction | None:
    """The contact that stands behind a write-off: with the payer about this claim, after its
    denial; or with the patient, after the balance came to the patient.
    """
    rows = Interaction.objects.filter(organization_id=asked.charge.organization_id)
    if asked.insurance:
        rows = rows.filter(claim_id=asked.claim.pk) if asked.claim else rows.none()
        since = max((d.denied_on for d in given_up), default=None)
        what = "the denial"
    else:
        rows = rows.filter(patient_id__in=chart_ids(asked.charge.patient_id)).filter(
            Q(claim_id__isnull=True)
            | Q(claim_id__in=ClaimLine.objects.filter(charge=asked.charge).values("claim_id"))
        )
        since = patient_since(asked.charge)
        what = "the patient's balance"
    if given is None:
        latest = rows.order_by("-at", "-id").first()
        return latest if latest and (since is None or local_day(latest.at) >= since) else None
    if not rows.filter(pk=given.pk).exists():
        raise Refused(
            "That contact belongs to another account or claim.",
            code="foreign_contact",
            field="contact",
            fix="Choose a contact about this claim, or log one.",
        )
    if since is not None and local_day(given.at) < since:
        raise Refused(
            f"That contact is older than {what} of {since:%b %-d, %Y}.",
            code="old_contact",
            field="contact",
            fix="Log a contact since then.",
        )
    return given


def _alive(denial: Denial, today: date) -> bool:
    """Whether a denial can still be won: its answer is awaited, or a date to correct or appeal has
    not passed. A date that nobody knows has not passed.
    """
    if denial.status in SETTLED:
        return False
    if denial.status in AWAITED:
        return True
    if denial.appeal_by is None and (
        denial.correct_by is None or UNPROCESSABLE not in denial.remarks
    ):
        return True
    return any(day >= today for day in (denial.appeal_by, denial.correct_by) if day is not None)


def _open_denial(denial: Denial) -> Refused:
    name = f"{denial.group}-{denial.reason}"
    if denial.status in AWAITED:
        sentence = f"The denial {name} waits for the payer's answer."
    elif denial.appeal_by is None and denial.correct_by is None:
        sentence = f"The denial {name} can still be corrected or appealed and its appeal date is not known."
    else:
        until = max(day for day in (denial.appeal_by, denial.correct_by) if day is not None)
        sentence = f"The denial {name} can still be corrected or appealed until {until:%b %-d, %Y}."
    return Refused(
        sentence,
        code="appeal_open",
        field="reason",
        fix="Appeal it, or park it with the reason why it is not worth more work.",
    )


def _denials_given_up(asked: Asked, open_amount: Decimal) -> list[Denial]:
    """The denials of this claim that a write-off of insurance balance ends. Refused while any
    denial of the charge can still be won, whatever the reason for writing off, and when an open one
    would stay behind.
    """
    today = local_day(asked.at)
    found = [
        d for d in denials_of([asked.charge.pk]).get(asked.charge.pk, []) if d.status not in WON
    ]
    alive = [d for d in found if _alive(d, today)]
    if alive and asked.insurance:
        raise _open_denial(alive[0])
    own = [d for d in found if asked.claim is not None and d.claim_id == asked.claim.pk]
    if asked.reason.needs_appeal:
        _appeal_path(asked, own, today)
    if not asked.insurance:
        return []
    left = [d for d in found if d.status not in SETTLED]
    denied = min(sum((d.amount for d in left), ZERO), open_amount)
    if left and asked.amount < denied:
        raise Refused(
            f"The denial {left[0].group}-{left[0].reason} of ${denied:,.2f} would stay open.",
            code="denial_left_open",
            field="amount",
            fix="Write off what it denied, or park it first.",
        )
    return [*own, *(d for d in left if d not in own)]


def _appeal_path(asked: Asked, own: list[Denial], today: date) -> None:
    """Reasons that give up a denial need one of this very claim."""
    if asked.reason.code != "timely":
        if not own:
            raise Refused(
                "No denial stands on this charge and claim that was appealed, refused or given up.",
                code="no_denial",
                field="reason",
            )
        return
    claim = asked.claim
    unfiled = (
        claim is not None
        and claim.filing_deadline is not None
        and claim.filing_deadline < today
        and claim.first_submitted_at is None
    )
    if not unfiled and not any(d.category == "timely_filing" for d in own):
        raise Refused(
            "No filing denial stands on this charge, and its filing limit has not passed unfiled.",
            code="not_timely",
            field="reason",
        )


HOLD_STOPS = {"bad_debt": Act.BAD_DEBT, "small_balance": Act.SMALL_BALANCE}


def _unheld(asked: Asked) -> list[Held]:
    """The holds of a patient's charge, when none of them stops this write-off. What is with the
    agency stands as it was placed until it is recalled.
    """
    holds = holds_of([asked.charge.patient_id]).of(asked.charge.patient_id, asked.charge.pk)
    act = HOLD_STOPS.get(asked.reason.code)
    for held in holds:
        if held.kind == HoldKind.AGENCY or act in held.stops:
            raise Refused(held.sentence, code="held", field="reason", fix=f"{held.todo}.")
    return holds


def _statements(charge: Charge, reason: Reason, at: datetime) -> None:
    """The charge's own notices: what another exam's bill said counts for nothing here."""
    rules = policy(charge.organization_id, local_day(at))
    sent = notices_of([charge.pk])[charge.pk]
    if sent.first_on is None or sent.steps < len(rules.statement_days):
        raise Refused(
            "The statement cycle of this charge has not ended: its final notice was not sent yet.",
            code="cycle_open",
            field="reason",
        )
    if reason.code == "bad_debt" and local_day(at) < sent.first_on + timedelta(
        days=rules.collection_days
    ):
        raise Refused(
            f"Bad debt begins {rules.collection_days} days after the charge's first statement.",
            code="too_early",
            field="reason",
        )


def _require_fitting(asked: Asked) -> None:
    """Reason, balance and note belong together."""
    chosen = asked.reason
    if asked.account not in (Account.AR_INSURANCE, Account.AR_PATIENT):
        raise Refused(
            "Choose the insurance or the patient balance.", code="unknown_account", field="account"
        )
    if chosen.patient_only and asked.insurance:
        raise Refused(
            f"{chosen.label} is a reason for a patient balance only.",
            code="patient_only",
            field="reason",
        )
    if chosen.insurance_only and not asked.insurance:
        raise Refused(
            f"{chosen.label} is a reason for an insurance balance only.",
            code="insurance_only",
            field="reason",
        )
    if not asked.note.strip():
        raise Refused("Write why it cannot be collected.", code="missing", field="note")
    if asked.amount <= ZERO:
        raise Refused("Enter an amount above zero.", code="amount", field="amount")
    if asked.claim is not None and not asked.claim.lines.filter(charge=asked.charge).exists():
        raise Refused("That claim does not carry this charge.", code="foreign_claim", field="claim")


def _require_small(asked: Asked) -> None:
    """A small balance is what the patient (or the claim) owes in all, with what was written off
    from it within the year: a slice of a large one is none.
    """
    limit = policy(asked.charge.organization_id, local_day(asked.at)).small_balance
    whole = whole_balance(asked.charge, asked.claim, asked.account, asked.at)
    if whole > limit:
        whose = "claim" if asked.insurance else "patient"
        raise Refused(
            f"A small balance is at most ${limit:,.2f}; the {whose}'s is ${whole:,.2f}, with what"
            " was written off from it within a year.",
            code="not_small",
            field="amount",
            fix="Choose the reason for which it cannot be collected.",
        )


@dataclass(frozen=True, slots=True)
class Documents:
    """What stands behind a write-off: the denials it ends and the contact."""

    denials: list[Denial]
    contact: Interaction | None


def _check(asked: Asked, given: Interaction | None, open_amount: Decimal) -> Documents:
    """Everything that must stand before a write-off may be asked for or approved."""
    chosen = asked.reason
    if asked.amount > open_amount:
        raise Refused(f"Only ${open_amount:,.2f} is open.", code="over_balance", field="amount")
    if chosen.code == "small_balance":
        _require_small(asked)
    if (
        not asked.insurance
        and not chosen.federal_patient
        and asked.claim is not None
        and asked.claim.payer.kind in FEDERAL
    ):
        raise Refused(
            "A copay or deductible of a federal program is never waived as a courtesy.",
            code="federal_copay",
            field="reason",
            fix="Use charity with documented hardship.",
        )
    given_up = _denials_given_up(asked, open_amount)
    holds = [] if asked.insurance else _unheld(asked)
    silenced = any(held.for_good for held in holds)
    if chosen.needs_statements and not asked.insurance and not silenced:
        _statements(asked.charge, chosen, asked.at)
    documented = _documented(asked, given_up, given)
    if chosen.needs_contact and documented is None:
        who = "payer" if asked.insurance else "patient"
        about = " about this claim" if asked.insurance else ""
        since = " since its denial" if given_up else ""
        raise Refused(
            f"No contact with the {who} is documented{about}{since}.",
            code="no_contact",
            field="contact",
            fix="Log the call or message first.",
        )
    return Documents(given_up, documented)


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
    """Ask to write off part of a charge's balance. It posts at once while everything asked for
    within a year on the charge, its claim and its patient is at or under the organization's limit;
    above it a second person decides.

    Refused without reason, note, documented contact, an ended appeal path or statement cycle;
    beyond the balance; for a federal copay as a courtesy (rule `no-routine-waiver`); twice at once.
    """
    actor.require("writeoff.request", charge)
    require_mine(charge.organization_id, actor)
    at = at or timezone.now()
    asked = Asked(charge, claim or latest_claim(charge), _reason(reason), account, amount, note, at)
    _require_fitting(asked)
    hold_patients([charge.patient_id])
    balance = locked_balance(charge)
    found = _check(asked, contact, balance.insurance if asked.insurance else balance.patient)
    counted = written_off_within_year(charge, asked.claim, at) + amount
    limit = Organization.objects.values_list("write_off_limit", flat=True).get(
        pk=charge.organization_id
    )
    try:
        with transaction.atomic():
            row = WriteOffRequest.objects.create(
                organization_id=charge.organization_id,
                claim=asked.claim,
                charge=charge,
                reason=asked.reason.code,
                account=account,
                amount=amount,
                note=note.strip()[:300],
                contact=found.contact,
                counted=counted,
                limit=limit,
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
        f"Write-off of ${amount:,.2f} asked for: {asked.reason.label}",
        actor,
        at,
    )
    if counted <= limit:
        return _approve(
            row,
            asked.reason,
            actor=actor,
            at=at,
            decided_by=None,
            note="Within the limit",
            denials=found.denials,
        )
    open_items([_approval_item(row, actor.name)], actor=actor, at=at)
    return row


def _approval_item(row: WriteOffRequest, asked_by: str) -> ItemSpec:
    charge, claim = row.charge, row.claim
    label = reasons()[row.reason].label
    title = f"{label}: ${row.amount:,.2f} waits for a second person"
    if row.counted is not None and row.counted > row.amount:
        title += f"; ${row.counted:,.2f} within a year"
    return ItemSpec(
        organization_id=row.organization_id,
        queue="write_off_approval",
        subject_type=SUBJECT,
        subject_id=row.pk,
        cause="above_limit",
        title=title,
        fix="Approve or refuse",
        due_at=row.requested_at + timedelta(days=2),
        dollars=row.amount,
        site_id=charge.exam.site_id,
        patient_id=charge.patient_id,
        patient_name=charge.patient.name,
        claim_id=claim.pk if claim else None,
        payer_id=claim.payer_id if claim else None,
        payer_name=claim.payer.name if claim else "",
        facts={
            "claim": claim.number if claim else "",
            "reason": label,
            "asked_by": asked_by,
            "exam": charge.code,
        },
    )


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
    actor.require("writeoff.approve", request)
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
    balance = locked_balance(row.charge)
    open_amount = balance.insurance if row.account == Account.AR_INSURANCE else balance.patient
    if row.amount > open_amount:
        raise _balance_changed(open_amount)
    chosen = _reason(row.reason)
    asked = Asked(row.charge, row.claim, chosen, row.account, row.amount, row.note, at)
    if not asked.insurance:
        _unheld(asked)
    given_up = _denials_given_up(asked, open_amount)
    return _approve(
        row, chosen, actor=actor, at=at, decided_by=actor.user_id, note=note, denials=given_up
    )


def _balance_changed(open_amount: Decimal) -> Refused:
    return Refused(
        f"Meanwhile only ${open_amount:,.2f} is open. Refuse it and ask anew.",
        code="balance_changed",
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
        raise _balance_changed(open_amount)
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
    ended = [
        d.pk
        for d in denials
        if d.status != DenialStatus.WRITTEN_OFF
        and (d.status not in SETTLED or row.amount == open_amount)
    ]
    if ended:
        remittance.denials_written_off(denial_ids=ended, actor=actor, at=at)
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
WITH person AS (SELECT id, coalesce(merged_into_id, id) AS root FROM intake_patient),
owed AS (
  SELECT p.root, sum(b.patient) total
    FROM ledger_balance b
    JOIN charges_charge c ON c.id = b.charge_id
    JOIN person p ON p.id = c.patient_id
   WHERE b.organization_id = %(org)s AND b.patient > 0
   GROUP BY 1 HAVING sum(b.patient) <= %(small)s),
gone AS (
  SELECT p.root, sum(w.amount) total
    FROM ar_writeoffrequest w
    JOIN charges_charge c ON c.id = w.charge_id
    JOIN person p ON p.id = c.patient_id
   WHERE w.organization_id = %(org)s AND w.status IN ('requested', 'approved')
     AND w.requested_at > %(since)s
   GROUP BY 1)
SELECT b.charge_id, b.patient, o.total + coalesce(g.total, 0), c.patient_id
  FROM ledger_balance b
  JOIN charges_charge c ON c.id = b.charge_id
  JOIN person p ON p.id = c.patient_id
  JOIN owed o ON o.root = p.root
  LEFT JOIN gone g ON g.root = p.root
 WHERE b.organization_id = %(org)s AND b.patient > 0 AND b.insurance = 0
   AND NOT EXISTS (SELECT 1 FROM ar_writeoffrequest w
                    WHERE w.charge_id = b.charge_id AND w.status = 'requested')
 ORDER BY b.charge_id
"""


@transaction.atomic
def small_balances_write_off(
    *, organization_id: int, actor: Actor, at: datetime | None = None
) -> int:
    """Write off patient balances at or under the limit once their statement cycle has ended, never
    a credit (rule `small-balance`); where more than the organization's limit has left the patient
    within a year, a person decides. Set-based. Returns how many were posted.
    """
    at = at or timezone.now()
    rules = policy(organization_id, local_day(at))
    with connection.cursor() as cursor:
        cursor.execute(
            SMALL_SQL,
            {
                "org": organization_id,
                "small": rules.small_balance,
                "since": at - YEAR,
            },
        )
        small = cursor.fetchall()
    notices = notices_of(charge for charge, *_ in small)
    holds = holds_of(patient for *_, patient in small)
    found = {
        charge: (amount, counted)
        for charge, amount, counted, patient in small
        if notices[charge].steps >= len(rules.statement_days)
        and holds.stopping(Act.SMALL_BALANCE, patient, charge) is None
    }
    if not robots.is_on(SMALL_BALANCES, organization_id):
        hand_over(
            SMALL_BALANCES,
            organization_id,
            waiting=len(found),
            dollars=sum((amount for amount, _ in found.values()), ZERO),
            actor=actor,
            at=at,
        )
        return 0
    take_back(SMALL_BALANCES, organization_id, actor=actor, at=at)
    if not found:
        return 0
    charges = Charge.objects.select_related("patient", "exam").in_bulk(found)
    hold_patients(c.patient_id for c in charges.values())
    limit = Organization.objects.values_list("write_off_limit", flat=True).get(pk=organization_id)
    rows = [
        WriteOffRequest(
            organization_id=organization_id,
            charge=charges[pk],
            reason="small_balance",
            account=Account.AR_PATIENT,
            amount=amount,
            counted=counted,
            limit=limit,
            note="By rule after the statement cycle",
            status=RequestStatus.REQUESTED,
            requested_at=at,
        )
        for pk, (amount, counted) in found.items()
    ]
    WriteOffRequest.objects.bulk_create(rows, batch_size=500)
    above = [row for row in rows if row.counted is not None and row.counted > limit]
    open_items([_approval_item(row, "the rule") for row in above], actor=actor, at=at)
    within = [row for row in rows if row not in above]
    _post_small(within, actor=actor, at=at)
    return len(within)


def _post_small(rows: list[WriteOffRequest], *, actor: Actor, at: datetime) -> None:
    account = reasons()["small_balance"].account
    postings: list[Posting] = []
    for row in rows:
        keys = {"charge_id": row.charge_id, "patient_id": row.charge.patient_id}
        postings.append(
            Posting(
                organization_id=row.organization_id,
                kind="write_off:small_balance",
                effect_key=f"write-off:{row.public_id}",
                effective_on=local_day(at),
                description="Small balance after the statement cycle",
                legs=(
                    Leg(account, row.amount, reason="small", **keys),
                    Leg(Account.AR_PATIENT, -row.amount, reason="small", **keys),
                ),
                source_type="ar.WriteOffRequest",
                source_id=row.pk,
            )
        )
    by_source = {t.source_id: t for t in post(postings, actor=actor)}
    for row in rows:
        row.status, row.decided_at, row.transaction = RequestStatus.APPROVED, at, by_source[row.pk]
    WriteOffRequest.objects.bulk_update(
        rows, ["status", "decided_at", "transaction"], batch_size=500
    )
    record_steps(
        [
            Step(
                row.organization_id,
                "writeoff.posted",
                f"Small balance of ${row.amount:,.2f} written off by rule",
                {"patient_id": row.charge.patient_id, "exam_id": row.charge.exam_id},
            )
            for row in rows
        ],
        actor=actor,
        at=at,
    )
