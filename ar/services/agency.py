"""The collection agency: what may go there, who decides, the file, the recall, the money (rule
`collection-agency`).

A placement moves no money: the ledger keeps the balance as placed until somebody pays.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from ar import rules
from ar.holding import Act
from ar.models import (
    BATCH_MOVES,
    AccountHold,
    Agency,
    AgencyBatch,
    AgencyFee,
    AgencyPayment,
    BatchStatus,
    HoldKind,
    Placement,
    PlacementStatus,
    RequestStatus,
    WriteOffRequest,
)
from ar.services.assistance import assistance_due
from ar.services.guards import ZERO, held_harmless, local_day, locked_balance, require_mine
from ar.services.holds import HoldSpec, holds_end, holds_of, holds_open
from ar.services.notices import notices_of
from ar.services.patients import OpenCharge, exams_in_plans, open_patient_charges
from ar.services.positions import AFTER_FINAL
from ar.tables import Policy, policy
from intake.models import Patient
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.models import Connection, Interchange
from rcm.exchange.services import next_control_number, store_outbound
from rcm.exchange.transitions import Machine, advance
from rcm.ledger.models import Account, Balance
from rcm.ledger.services import Leg, Posting, post
from rcm.web.lists import inert

PLACED_FILE, RECALL_FILE = "AGENCY-PLACE", "AGENCY-RECALL"
CENT = Decimal("0.01")

MACHINE = Machine(noun="a batch", verb="agency", moves=BATCH_MOVES)

OWING_SQL = """
SELECT DISTINCT c.patient_id FROM ledger_balance b JOIN charges_charge c ON c.id = b.charge_id
 WHERE b.organization_id = %s AND b.patient > 0
"""


# --- the agency and its contract ------------------------------------------------------------------


@transaction.atomic
def agency_set(
    *,
    organization_id: int,
    name: str,
    percent: Decimal,
    effective_from: date,
    actor: Actor,
    connection: Connection | None = None,
) -> Agency:
    """Name an agency, or give a known one its fee from a day on. What it was paid before keeps its
    own percent.
    """
    actor.require("rules.edit", organization_id)
    require_mine(organization_id, actor)
    if not name.strip():
        raise Refused("Enter the agency's name.", code="missing", field="name")
    if not ZERO <= percent < 100:
        raise Refused("A fee is from 0 to under 100 percent.", code="percent", field="percent")
    row, _ = Agency.objects.get_or_create(organization_id=organization_id, name=name.strip()[:80])
    if connection is not None:
        row.connection = connection
        row.save(update_fields=["connection"])
    if row.fees.filter(effective_from=effective_from).exists():
        raise Conflict("A fee begins on that day already.", code="one_fee")
    AgencyFee.objects.create(
        organization_id=organization_id,
        agency=row,
        effective_from=effective_from,
        percent=percent,
        actor_name=actor.name,
    )
    return row


def fee_on(agency: Agency, day: date) -> Decimal:
    """The agency's percent on a day; refused where no contract says it."""
    row = agency.fees.filter(effective_from__lte=day).order_by("-effective_from").first()
    if row is None:
        raise Refused(
            f"No contract says what {agency.name} keeps on {day:%b %-d, %Y}.",
            code="no_fee",
            field="received_on",
            fix="Enter the fee with its day.",
        )
    return row.percent


# --- what may go there ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is asked about many charges at once."""

    harmless: Mapping[int, object]
    notices: Mapping[int, rules.StatementHistory]
    planned: Mapping[int, date]
    helped: frozenset[int]
    asked: frozenset[int]
    policy: Policy
    today: date


def _why_not(c: OpenCharge, facts: _Facts) -> str:
    """Why a charge may not go to an agency, in a sentence; empty when it may."""
    sent = facts.notices[c.charge_id]
    reasons = (
        (c.insurance != ZERO, "Insurance has not finished with it."),
        (c.charge_id in facts.harmless, "It is not the patient's to pay."),
        (c.exam_id in facts.planned, "A payment plan is being kept."),
        (c.charge_id in facts.helped, "The granted assistance is taken off first."),
        (c.charge_id in facts.asked, "A write-off of it waits for approval."),
        (
            sent.steps < len(facts.policy.statement_days) or sent.last_on is None,
            "Its final notice was not sent yet.",
        ),
        (
            sent.last_on is not None and sent.last_on + timedelta(days=AFTER_FINAL) > facts.today,
            "Its final notice may still be answered.",
        ),
        (
            sent.first_on is not None
            and sent.first_on + timedelta(days=facts.policy.collection_days) > facts.today,
            "Its days before collection have not passed.",
        ),
    )
    return next((words for wrong, words in reasons if wrong), "")


def agency_candidates(
    organization_id: int, at: datetime
) -> tuple[list[OpenCharge], dict[int, str]]:
    """Charges that may go to an agency, and why the others may not. A constant number of
    queries.
    """
    with connection.cursor() as cursor:
        cursor.execute(OWING_SQL, [organization_id])
        patients = {r[0] for r in cursor.fetchall()}
    return _judged(open_patient_charges(patients), organization_id, at)


def _judged(
    charges: Mapping[int, Sequence[OpenCharge]], organization_id: int, at: datetime
) -> tuple[list[OpenCharge], dict[int, str]]:
    today = local_day(at)
    every = [c for rows in charges.values() for c in rows]
    ids = [c.charge_id for c in every]
    holds = holds_of(charges)
    due = assistance_due(charges, today)
    facts = _Facts(
        held_harmless(ids),
        notices_of(ids),
        exams_in_plans(charges, today),
        frozenset(pk for own in due.values() for pk in own.charges),
        frozenset(
            WriteOffRequest.objects.filter(
                charge_id__in=ids, status=RequestStatus.REQUESTED
            ).values_list("charge_id", flat=True)
        ),
        policy(organization_id, today),
        today,
    )
    may: list[OpenCharge] = []
    why: dict[int, str] = {}
    for c in every:
        held = holds.stopping(Act.AGENCY, c.patient_id, c.charge_id)
        words = held.sentence if held is not None else _why_not(c, facts)
        if words:
            why[c.charge_id] = words
        else:
            may.append(c)
    return may, why


# --- placing --------------------------------------------------------------------------------------


@transaction.atomic
def placement_propose(*, agency: Agency, actor: Actor, at: datetime | None = None) -> AgencyBatch:
    """Put every charge that may go to the agency into one batch, which a second person decides."""
    actor.require("followup.work", agency)
    require_mine(agency.organization_id, actor)
    at = at or timezone.now()
    Agency.objects.select_for_update().get(pk=agency.pk)
    may, _ = agency_candidates(agency.organization_id, at)
    proposed = set(
        Placement.objects.filter(
            charge_id__in=[c.charge_id for c in may],
            status__in=[PlacementStatus.PROPOSED, PlacementStatus.PLACED],
        ).values_list("charge_id", flat=True)
    )
    may = [c for c in may if c.charge_id not in proposed]
    if not may:
        raise Refused("No charge may go to an agency today.", code="none", status=409)
    number = next_control_number(agency.organization_id, "agency")
    row = AgencyBatch.objects.create(
        organization_id=agency.organization_id,
        agency=agency,
        number=f"A{number:06d}",
        requested_by_id=actor.user_id,
        requested_at=at,
    )
    Placement.objects.bulk_create(
        [
            Placement(
                organization_id=row.organization_id,
                batch=row,
                charge_id=c.charge_id,
                amount=c.balance,
            )
            for c in may
        ],
        batch_size=500,
    )
    return row


@transaction.atomic
def placement_decide(
    *,
    batch: AgencyBatch,
    approve: bool,
    actor: Actor,
    note: str = "",
    at: datetime | None = None,
) -> AgencyBatch:
    """Send a batch to the agency, or drop it; never by who proposed it. Each charge is judged again:
    what may no longer go stays here with the reason. The file leaves once.
    """
    actor.require("writeoff.approve", batch)
    require_mine(batch.organization_id, actor)
    at = at or timezone.now()
    row = (
        AgencyBatch.objects.select_for_update(of=("self",))
        .select_related("agency__connection")
        .get(pk=batch.pk)
    )
    if row.status != BatchStatus.PROPOSED:
        raise Conflict("Somebody has decided this batch already.", code="decided")
    if actor.kind != "person" or actor.user_id is None:
        raise Refused("A person decides what goes to an agency.", code="not_a_person")
    if row.requested_by_id == actor.user_id and approve:
        raise Refused(
            "Who proposes a batch does not send it. Another person must decide.",
            code="maker_is_checker",
        )
    changes = {
        "decided_by_id": actor.user_id,
        "decided_at": at,
        "decision_note": note.strip()[:300],
    }
    waiting = row.placements.filter(status=PlacementStatus.PROPOSED)
    if not approve:
        if not note.strip():
            raise Refused("Say why it is dropped.", code="missing", field="note")
        waiting.update(status=PlacementStatus.LEFT_OUT, why=note.strip()[:300])
        words = "Batch dropped"
        advance(
            MACHINE,
            [row],
            BatchStatus.DROPPED,
            sentence=words,
            actor=actor,
            at=at,
            changes=changes,
        )
        return row
    going = _going(row, list(waiting.select_related("charge__patient")), at)
    if not going:
        raise Refused("None of its charges may go any more.", code="none", status=409)
    holds_open(
        [HoldSpec(p.charge.patient, HoldKind.AGENCY, p.charge) for p in going], actor=actor, at=at
    )
    file = store_outbound(
        organization_id=row.organization_id,
        kind=PLACED_FILE,
        content=placement_file(going),
        connection=row.agency.connection,
        control_number=row.number,
        file_name=f"placement-{row.number}.csv",
        media_type="text/csv",
        at=at,
        actor=actor,
    )
    advance(
        MACHINE,
        [row],
        BatchStatus.SENT,
        sentence=f"Batch {row.number} placed with {row.agency.name}",
        actor=actor,
        at=at,
        changes={**changes, "interchange_id": file.pk},
    )
    _tell(going, "agency.placed", f"Placed with {row.agency.name}, batch {row.number}", actor, at)
    return row


def _going(row: AgencyBatch, placements: list[Placement], at: datetime) -> list[Placement]:
    """The placements of a batch that may still go, at today's balance; the others are left out with
    the reason.
    """
    # a payment or a hold that comes at this moment waits until the batch is out, and recalls it
    list(
        Patient.objects.select_for_update()
        .filter(pk__in={p.charge.patient_id for p in placements})
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    charges = open_patient_charges({p.charge.patient_id for p in placements})
    may, why = _judged(charges, row.organization_id, at)
    open_now = {c.charge_id: c for c in may}
    going: list[Placement] = []
    for p in placements:
        found = open_now.get(p.charge_id)
        if found is None:
            p.status = PlacementStatus.LEFT_OUT
            p.why = why.get(p.charge_id, "Nothing is owed on it any more.")
        else:
            p.status, p.amount = PlacementStatus.PLACED, found.balance
            going.append(p)
    Placement.objects.bulk_update(placements, ["status", "why", "amount"], batch_size=500)
    return going


COLUMNS = (
    "placement",
    "patient_number",
    "last_name",
    "first_name",
    "born_on",
    "address",
    "city",
    "state",
    "zip",
    "phone",
    "service_date",
    "balance",
    "first_notice",
    "final_notice",
)


def placement_file(placements: Sequence[Placement]) -> bytes:
    """The file of a batch: one line a charge, what the agency needs to write to the patient and no
    more: no code, no diagnosis, no payer.
    """
    notices = notices_of(p.charge_id for p in placements)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for p in placements:
        who, sent = p.charge.patient, notices[p.charge_id]
        writer.writerow(
            inert(cell)
            for cell in (
                p.public_id,
                who.mrn,
                who.last_name,
                who.first_name,
                who.born_on.isoformat(),
                who.address,
                who.city,
                who.state,
                who.zip,
                who.phone,
                p.charge.service_date.isoformat(),
                p.amount,
                sent.first_on.isoformat() if sent.first_on else "",
                sent.last_on.isoformat() if sent.last_on else "",
            )
        )
    return out.getvalue().encode()


@transaction.atomic
def placement_accepted(
    *, batch: AgencyBatch, on: date, actor: Actor, at: datetime | None = None
) -> AgencyBatch:
    """The agency has said that it took the batch."""
    actor.require("followup.work", batch)
    require_mine(batch.organization_id, actor)
    at = at or timezone.now()
    row = AgencyBatch.objects.select_for_update().get(pk=batch.pk)
    if row.status != BatchStatus.SENT:
        raise Refused("This batch was not sent.", code="not_sent", status=409)
    if row.accepted_on is not None:
        raise Conflict("The acceptance is noted already.", code="accepted")
    if on > local_day(at):
        raise Refused("That day is still to come.", code="future", field="on")
    row.accepted_on = on
    row.save(update_fields=["accepted_on"])
    return row


# --- recall ---------------------------------------------------------------------------------------


@transaction.atomic
def agency_recalls(
    *,
    organization_id: int,
    actor: Actor,
    at: datetime | None = None,
    patient_ids: Iterable[int] | None = None,
) -> int:
    """Recall what the agency may not work any more: paid or adjusted here, held, in a plan, back
    with insurance. One file an agency; what was recalled is not recalled again. Returns how many.
    """
    at = at or timezone.now()
    rows = Placement.objects.select_for_update(of=("self",)).filter(
        organization_id=organization_id, status=PlacementStatus.PLACED
    )
    if patient_ids is not None:
        rows = rows.filter(charge__patient_id__in=list(patient_ids))
    placed = list(
        rows.select_related("charge__patient", "batch__agency__connection").order_by("pk")
    )
    why = _recall_reasons(placed, local_day(at))
    return _recall([(p, why[p.pk]) for p in placed if p.pk in why], actor=actor, at=at)


@transaction.atomic
def placement_recall(
    *, placement: Placement, reason: str, actor: Actor, at: datetime | None = None
) -> Placement:
    """Recall one charge by hand, with the reason."""
    actor.require("followup.work", placement)
    require_mine(placement.organization_id, actor)
    if not reason.strip():
        raise Refused("Say why it is recalled.", code="missing", field="reason")
    row = (
        Placement.objects.select_for_update(of=("self",))
        .select_related("charge__patient", "batch__agency__connection")
        .get(pk=placement.pk)
    )
    if row.status != PlacementStatus.PLACED:
        raise Conflict("It is not with the agency.", code="not_placed")
    _recall([(row, reason.strip())], actor=actor, at=at or timezone.now())
    return row


def _recall_reasons(placed: Sequence[Placement], today: date) -> dict[int, str]:
    """Why a placement must come back, by its id. A constant number of queries."""
    charges = [p.charge_id for p in placed]
    patients = {p.charge.patient_id for p in placed}
    holds, planned = holds_of(patients), exams_in_plans(patients, today)
    harmless = held_harmless(charges)
    balances = Balance.objects.in_bulk(charges, field_name="charge_id")
    collected = dict(
        AgencyPayment.objects.filter(placement__in=[p.pk for p in placed])
        .values_list("placement_id")
        .annotate(total=Sum("collected"))
        .order_by()
    )
    found: dict[int, str] = {}
    for p in placed:
        held = next(
            (
                h
                for h in holds.of(p.charge.patient_id, p.charge_id)
                if h.kind != HoldKind.AGENCY and Act.AGENCY in h.stops
            ),
            None,
        )
        balance = balances.get(p.charge_id)
        left = p.amount - collected.get(p.pk, ZERO)
        if held is not None:
            found[p.pk] = held.sentence
        elif p.charge.exam_id in planned:
            found[p.pk] = "A payment plan was made."
        elif balance is None or balance.insurance != ZERO or p.charge_id in harmless:
            found[p.pk] = "It is not the patient's to pay now."
        elif balance.patient != left:
            found[p.pk] = "The patient paid here, or the balance was changed."
    return found


def _recall(rows: Sequence[tuple[Placement, str]], *, actor: Actor, at: datetime) -> int:
    if not rows:
        return 0
    by_agency: dict[int, list[tuple[Placement, str]]] = defaultdict(list)
    for p, why in rows:
        by_agency[p.batch.agency_id].append((p, why))
    for own in by_agency.values():
        file = _recall_file([p for p, _ in own], actor=actor, at=at)
        for p, why in own:
            p.status, p.why = PlacementStatus.RECALLED, why[:300]
            p.ended_on, p.recall = local_day(at), file
    placements = [p for p, _ in rows]
    Placement.objects.bulk_update(
        placements, ["status", "why", "ended_on", "recall"], batch_size=500
    )
    _end_holds(placements, "Recalled from the agency", actor, at)
    for p, why in rows:
        _tell([p], "agency.recalled", "Recalled from the agency", actor, at, why)
    return len(rows)


def _recall_file(placements: Sequence[Placement], *, actor: Actor, at: datetime) -> Interchange:
    """The agency learns which placements end, and not why: the reason is the patient's."""
    agency = placements[0].batch.agency
    number = f"R{next_control_number(agency.organization_id, 'agency-recall'):06d}"
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("placement", "batch", "recalled_on"))
    for p in placements:
        writer.writerow((p.public_id, p.batch.number, local_day(at).isoformat()))
    return store_outbound(
        organization_id=agency.organization_id,
        kind=RECALL_FILE,
        content=out.getvalue().encode(),
        connection=agency.connection,
        control_number=number,
        file_name=f"recall-{number}.csv",
        media_type="text/csv",
        at=at,
        actor=actor,
    )


def _end_holds(placements: Sequence[Placement], words: str, actor: Actor, at: datetime) -> None:
    rows = AccountHold.objects.filter(
        charge_id__in=[p.charge_id for p in placements],
        kind=HoldKind.AGENCY,
        lifted_at__isnull=True,
    )
    holds_end(list(rows), reason=words, actor=actor, at=at)


# --- the money ------------------------------------------------------------------------------------


@transaction.atomic
def agency_payment(
    *,
    placement: Placement,
    collected: Decimal,
    reference: str,
    received_on: date,
    actor: Actor,
    at: datetime | None = None,
) -> AgencyPayment:
    """Post what the agency collected: the patient's whole payment comes off the balance, the fee of
    the contract on that day is a cost, the rest is cash. The agency's number twice is once.
    """
    actor.require("remittance.post", placement)
    require_mine(placement.organization_id, actor)
    at = at or timezone.now()
    row = (
        Placement.objects.select_for_update(of=("self",))
        .select_related("charge__patient", "batch__agency")
        .get(pk=placement.pk)
    )
    agency = row.batch.agency
    known = AgencyPayment.objects.filter(agency=agency, reference=reference.strip()[:40]).first()
    if known is not None:
        if known.placement_id == row.pk and known.collected == collected:
            return known
        raise Conflict(
            f"Number {known.reference} of {agency.name} stands already, with"
            f" ${known.collected:,.2f}.",
            code="duplicate",
        )
    percent = _require_payable(row, collected, reference, received_on, at)
    fee = (collected * percent / 100).quantize(CENT, ROUND_HALF_UP)
    keys = {"charge_id": row.charge_id, "patient_id": row.charge.patient_id}
    (written,) = post(
        [
            Posting(
                row.organization_id,
                "agency.payment",
                f"agency-payment:{agency.pk}:{reference.strip()[:40]}",
                received_on,
                f"Collected by the agency, batch {row.batch.number}",
                (
                    Leg(Account.CASH, collected - fee, reason="agency", **keys),
                    *([Leg(Account.COLLECTION_FEE, fee, reason="agency", **keys)] if fee else []),
                    Leg(Account.AR_PATIENT, -collected, reason="agency", **keys),
                ),
                "ar.Placement",
                row.pk,
            )
        ],
        actor=actor,
    )
    paid = AgencyPayment.objects.create(
        organization_id=row.organization_id,
        patient_id=row.charge.patient_id,
        agency=agency,
        placement=row,
        reference=reference.strip()[:40],
        collected=collected,
        percent=percent,
        fee=fee,
        received_on=received_on,
        transaction=written,
    )
    _tell(
        [row],
        "agency.paid",
        f"The agency collected ${collected:,.2f} and kept ${fee:,.2f}",
        actor,
        at,
    )
    if not Balance.objects.filter(charge_id=row.charge_id, patient__gt=0).exists():
        row.status, row.ended_on = PlacementStatus.PAID, local_day(at)
        row.save(update_fields=["status", "ended_on"])
        _end_holds([row], "Collected in full", actor, at)
    return paid


def _require_payable(
    row: Placement, collected: Decimal, reference: str, received_on: date, at: datetime
) -> Decimal:
    """The percent of the contract, when the payment may be posted. Money for what was recalled still
    comes: it is the patient's payment.
    """
    if row.status not in (PlacementStatus.PLACED, PlacementStatus.RECALLED):
        raise Refused("It is not with the agency.", code="not_placed", status=409)
    if not reference.strip():
        raise Refused("Enter the agency's number.", code="missing", field="reference")
    if collected <= ZERO:
        raise Refused("Enter an amount above zero.", code="amount", field="collected")
    if received_on > local_day(at):
        raise Refused("That day is still to come.", code="future", field="received_on")
    balance = locked_balance(row.charge)
    if collected > balance.patient:
        raise Refused(
            f"Only ${max(balance.patient, ZERO):,.2f} is open.",
            code="over_balance",
            field="collected",
            fix="Ask the agency; what is over is the patient's.",
        )
    return fee_on(row.batch.agency, received_on)


def _tell(
    placements: Sequence[Placement],
    verb: str,
    sentence: str,
    actor: Actor,
    at: datetime,
    reason: str = "",
) -> None:
    record_steps(
        [
            Step(
                p.organization_id,
                verb,
                sentence,
                {"patient_id": p.charge.patient_id, "exam_id": p.charge.exam_id},
                reason=reason,
            )
            for p in placements
        ],
        actor=actor,
        at=at,
    )


def charges_of(batch: AgencyBatch) -> list[Placement]:
    """The placements of a batch as its page shows them."""
    rows = batch.placements.select_related("charge__patient", "recall")
    return list(
        rows.annotate(collected=Sum("payments__collected")).order_by("charge__service_date", "pk")
    )
