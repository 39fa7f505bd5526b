"""Financial assistance: asked for with papers, decided by a second person, adjusted through the
write-off door, proposed again for new balances while it holds (rule `financial-assistance`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.utils import timezone

from ar import assistance as rules
from ar.letters import letter_pdf
from ar.models import (
    ASSISTANCE_MOVES,
    AccountHold,
    Assistance,
    AssistancePaper,
    AssistanceStatus,
    HoldKind,
    PaymentPlan,
    PlanStatus,
    RequestStatus,
    SlidingScale,
    WriteOffRequest,
)
from ar.services.guards import ZERO, held_harmless, local_day, require_mine
from ar.services.holds import HoldSpec, holds_end, holds_open
from ar.services.patients import PLANS, OpenCharge, open_patient_charges
from ar.services.writeoffs import write_off_decide, write_off_request
from charges.models import Charge
from intake.models import Patient
from intake.services import chart_ids
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.transitions import Machine, advance
from rcm.ledger.models import Account
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance import scans

QUEUE, SUBJECT, REASON = "assistance_approval", "assistance", "charity"
SPAN, LONGEST = timedelta(days=180), timedelta(days=366)
PENDING = (AssistanceStatus.OPEN, AssistanceStatus.SUBMITTED)

MACHINE = Machine(
    noun="an application",
    verb="assistance",
    moves=ASSISTANCE_MOVES,
    keys=lambda rows: {r.pk: [{"patient_id": r.patient_id}] for r in rows},
)


# --- the scale ------------------------------------------------------------------------------------


def scale_of(organization_id: int, on: date) -> list[rules.Band]:
    """The bands that hold on a day; empty where the organization has none."""
    rows = SlidingScale.objects.filter(organization_id=organization_id, effective_from__lte=on)
    newest = rows.order_by("-effective_from").values_list("effective_from", flat=True).first()
    if newest is None:
        return []
    found = rows.filter(effective_from=newest).order_by("up_to_percent")
    return [rules.Band(r.up_to_percent, r.discount) for r in found]


@transaction.atomic
def scale_set(
    *,
    organization_id: int,
    effective_from: date,
    bands: Sequence[rules.Band],
    actor: Actor,
    at: datetime | None = None,
) -> list[SlidingScale]:
    """Enter the scale that holds from a day. What was decided before stays as it was decided."""
    actor.require("rules.edit", organization_id)
    require_mine(organization_id, actor)
    at = at or timezone.now()
    if fault := rules.fault_of(bands):
        raise Refused(fault, code="scale", field="bands")
    if effective_from < local_day(at):
        raise Refused("A scale begins today or later.", code="past", field="effective_from")
    if SlidingScale.objects.filter(
        organization_id=organization_id, effective_from=effective_from
    ).exists():
        raise Conflict("A scale begins on that day already.", code="one_scale")
    return SlidingScale.objects.bulk_create(
        SlidingScale(
            organization_id=organization_id,
            effective_from=effective_from,
            up_to_percent=band.up_to_percent,
            discount=band.discount,
            actor_name=actor.name,
        )
        for band in bands
    )


# --- the application ------------------------------------------------------------------------------


@transaction.atomic
def assistance_ask(
    *,
    patient: Patient,
    household_size: int,
    income: Decimal,
    actor: Actor,
    note: str = "",
    at: datetime | None = None,
) -> Assistance:
    """Begin an application. Until it is decided nothing is asked of the patient."""
    actor.require("writeoff.request", patient)
    require_mine(patient.organization_id, actor)
    at = at or timezone.now()
    if household_size < 1 or household_size > 30:
        raise Refused("A household has 1 to 30 people.", code="size", field="household_size")
    if income < ZERO:
        raise Refused("Enter the income of a year.", code="income", field="income")
    try:
        with transaction.atomic():
            row = Assistance.objects.create(
                organization_id=patient.organization_id,
                patient=patient,
                household_size=household_size,
                income=income,
                note=note.strip()[:300],
                requested_by_id=actor.user_id,
                requested_at=at,
            )
    except IntegrityError as error:
        raise Conflict("An application of this patient is open already.", code="open") from error
    holds_open([HoldSpec(patient, HoldKind.CHARITY)], actor=actor, at=at)
    _step(row, "assistance.asked", "Financial assistance asked for", actor, at)
    return row


@transaction.atomic
def assistance_paper(
    *,
    application: Assistance,
    what: str,
    content: bytes,
    actor: Actor,
    at: datetime | None = None,
) -> AssistancePaper:
    """Keep a paper of an open application. What it is is read from its bytes; the same paper twice
    is one.
    """
    actor.require("writeoff.request", application)
    row = _locked(application, actor)
    if row.status not in PENDING:
        raise Refused("The application was decided.", code="decided", status=409)
    if not what.strip():
        raise Refused("Say what the paper is.", code="missing", field="what")
    if fault := scans.fault_of(content):
        raise Refused(fault, code="bad_scan", field="document", fix="PDF, JPEG or PNG.")
    kind = scans.kind_of(content)
    assert kind is not None
    paper, fresh = AssistancePaper.objects.get_or_create(
        application=row,
        sha256=hashlib.sha256(content).hexdigest(),
        defaults={
            "organization_id": row.organization_id,
            "what": what.strip()[:60],
            "content": content,
            "media_type": kind[0],
            "size": len(content),
            "actor_name": actor.name,
        },
    )
    if fresh:
        _step(row, "assistance.paper", "Paper of the application kept", actor, at)
    return paper


@transaction.atomic
def assistance_submit(
    *, application: Assistance, actor: Actor, at: datetime | None = None
) -> Assistance:
    """Put an application before a second person, with what the guideline and the scale give."""
    actor.require("writeoff.request", application)
    row = _locked(application, actor)
    at = at or timezone.now()
    today = local_day(at)
    if not row.papers.exists():
        raise Refused(
            "No paper shows the income yet.", code="no_paper", fix="Attach one, then send it on."
        )
    bands = scale_of(row.organization_id, today)
    if not bands:
        raise Refused(
            "Your organization has no scale of discounts.",
            code="no_scale",
            fix="A manager enters it under Assistance scale.",
        )
    line = rules.guideline(row.household_size, row.patient.state, today)
    if line is None:
        raise Refused("No poverty guideline is loaded for that day.", code="no_guideline")
    percent = rules.percent_of(row.income, line)
    discount = rules.discount_for(percent, bands)
    advance(
        MACHINE,
        [row],
        AssistanceStatus.SUBMITTED,
        sentence=f"Application for assistance sent on: {percent:.0f}% of the guideline gives"
        f" {rules.words_of(discount)}",
        actor=actor,
        at=at,
        changes={
            "guideline": line.amount,
            "guideline_from": line.since,
            "percent": percent,
            "discount": discount,
            "requested_by_id": actor.user_id,
        },
    )
    owed = sum((c.balance for c in _eligible([row.patient_id]).get(row.patient_id, [])), ZERO)
    open_items([_item(row, owed, actor, at)], actor=actor, at=at)
    return row


def _item(row: Assistance, owed: Decimal, actor: Actor, at: datetime) -> ItemSpec:
    given = f"{rules.words_of(row.discount)} of" if row.discount else "no discount on"
    return ItemSpec(
        organization_id=row.organization_id,
        queue=QUEUE,
        subject_type=SUBJECT,
        subject_id=row.pk,
        cause="second_person",
        title=f"Assistance: the scale gives {given} ${owed:,.2f}",
        fix="Read the papers, then grant or refuse",
        due_at=at + timedelta(days=10),
        dollars=owed,
        patient_id=row.patient_id,
        patient_name=row.patient.name,
        facts={"mrn": row.patient.mrn, "reason": "Assistance", "asked_by": actor.name},
    )


@transaction.atomic
def assistance_decide(
    *,
    application: Assistance,
    approve: bool,
    actor: Actor,
    note: str = "",
    until: date | None = None,
    at: datetime | None = None,
) -> Assistance:
    """Grant or refuse; never by who sent it on. Granted, it takes the discount off what is open now
    and holds until a day (half a year when none is said). Both end with a letter.
    """
    actor.require("writeoff.approve", application)
    row = _locked(application, actor)
    at = at or timezone.now()
    today = local_day(at)
    if actor.kind != "person" or actor.user_id is None:
        raise Refused("A person decides about assistance.", code="not_a_person")
    if row.requested_by_id == actor.user_id:
        raise Refused(
            "Who sends an application on does not decide it. Another person must.",
            code="maker_is_checker",
        )
    if not approve and not note.strip():
        raise Refused("Say why it is refused.", code="missing", field="note")
    until = until or today + SPAN
    if approve and not row.discount:
        raise Refused(
            "The scale gives no discount for this household.", code="no_discount", field="decision"
        )
    if approve and not today <= until <= today + LONGEST:
        raise Refused("Assistance holds from today for at most a year.", code="span", field="until")
    changes = {
        "decided_by_id": actor.user_id,
        "decided_at": at,
        "decision_note": note.strip()[:300],
        "holds_from": today if approve else None,
        "holds_until": until if approve else None,
    }
    words = f"Assistance granted: {rules.words_of(row.discount)} until {until:%b %-d, %Y}"
    advance(
        MACHINE,
        [row],
        AssistanceStatus.APPROVED if approve else AssistanceStatus.REFUSED,
        sentence=words if approve else "Assistance refused",
        actor=actor,
        at=at,
        reason=note.strip(),
        changes=changes,
    )
    _end_hold(row, words if approve else "Assistance refused", actor, at)
    close_items(SUBJECT, [row.pk], actor=actor, at=at, outcome=row.get_status_display())
    taken = _take_off(row, actor=actor, at=at) if approve else ZERO
    if approve:
        _end_plan(row, actor, at)
    row.letter = _letter(row, taken, today)
    row.save(update_fields=["letter"])
    return row


@transaction.atomic
def assistance_withdraw(
    *, application: Assistance, reason: str, actor: Actor, at: datetime | None = None
) -> Assistance:
    """End an application that is not decided: the patient no longer asks, or sends no papers."""
    actor.require("writeoff.request", application)
    row = _locked(application, actor)
    at = at or timezone.now()
    if not reason.strip():
        raise Refused("Say why it ends.", code="missing", field="reason")
    advance(
        MACHINE,
        [row],
        AssistanceStatus.WITHDRAWN,
        sentence="Application for assistance withdrawn",
        actor=actor,
        at=at,
        reason=reason.strip(),
    )
    _end_hold(row, reason.strip(), actor, at)
    close_items(SUBJECT, [row.pk], actor=actor, at=at, outcome="Withdrawn")
    return row


@transaction.atomic
def assistance_apply(
    *, application: Assistance, actor: Actor, at: datetime | None = None
) -> Decimal:
    """Take the granted discount off balances that came since, while it holds. Returns the dollars
    asked for; what is above the limit waits for a second person.
    """
    actor.require("writeoff.request", application)
    row = _locked(application, actor)
    at = at or timezone.now()
    if row not in in_force([row.patient_id], local_day(at)).values():
        raise Refused("This assistance does not hold today.", code="not_in_force", status=409)
    dollars = ZERO
    for charge, part in _parts(row):
        _request(row, charge, part, actor, at)
        dollars += part
    if not dollars:
        raise Refused("No new balance waits for the discount.", code="nothing_new", status=409)
    return dollars


# --- what it takes off ----------------------------------------------------------------------------


def in_force(patient_ids: Iterable[int], on: date) -> dict[int, Assistance]:
    """The assistance that holds on a day, by patient. One query."""
    rows = Assistance.objects.filter(
        patient_id__in=list(patient_ids),
        status=AssistanceStatus.APPROVED,
        holds_from__lte=on,
        holds_until__gte=on,
    )
    return {r.patient_id: r for r in rows.order_by("holds_from", "pk")}


def _eligible(patient_ids: Iterable[int]) -> dict[int, list[OpenCharge]]:
    """What patients owe for good: insurance has finished, no rule forbids it, the agency does not
    have it, and no assistance was taken off or asked for yet. A constant number of queries.
    """
    charges = open_patient_charges(patient_ids)
    every = [c.charge_id for rows in charges.values() for c in rows]
    harmless = held_harmless(every)
    given = set(
        WriteOffRequest.objects.filter(
            charge_id__in=every,
            reason=REASON,
            status__in=[RequestStatus.REQUESTED, RequestStatus.APPROVED],
        ).values_list("charge_id", flat=True)
    )
    off = given | set(harmless) | _placed(every)
    return {
        pk: [c for c in rows if c.insurance == ZERO and c.charge_id not in off]
        for pk, rows in charges.items()
    }


def _placed(charge_ids: Iterable[int]) -> set[int]:
    rows = AccountHold.objects.filter(
        charge_id__in=list(charge_ids), kind=HoldKind.AGENCY, lifted_at__isnull=True
    )
    return {pk for pk in rows.values_list("charge_id", flat=True) if pk}


@dataclass(frozen=True, slots=True)
class Due:
    """New balances of a patient that the granted discount is to be taken off."""

    application: Assistance
    charges: frozenset[int]
    dollars: Decimal


def assistance_due(patient_ids: Iterable[int], on: date) -> dict[int, Due]:
    """Who has balances that came while assistance holds, by patient. A constant number of
    queries.
    """
    granted = in_force(patient_ids, on)
    if not granted:
        return {}
    found: dict[int, Due] = {}
    for pk, own in _eligible(granted).items():
        dollars = sum((rules.part_of(c.balance, granted[pk].discount or ZERO) for c in own), ZERO)
        if dollars:
            found[pk] = Due(granted[pk], frozenset(c.charge_id for c in own), dollars)
    return found


def _parts(row: Assistance) -> list[tuple[Charge, Decimal]]:
    rows = _eligible([row.patient_id]).get(row.patient_id, [])
    charges = Charge.objects.select_related("exam", "patient").in_bulk([c.charge_id for c in rows])
    found = [(charges[c.charge_id], rules.part_of(c.balance, row.discount or ZERO)) for c in rows]
    return [(charge, part) for charge, part in found if part > ZERO]


def _request(
    row: Assistance, charge: Charge, part: Decimal, actor: Actor, at: datetime
) -> WriteOffRequest:
    return write_off_request(
        charge=charge,
        reason=REASON,
        amount=part,
        note=f"Assistance of {rules.words_of(row.discount)} by the scale, papers kept",
        account=Account.AR_PATIENT,
        actor=actor,
        at=at,
    )


def _take_off(row: Assistance, *, actor: Actor, at: datetime) -> Decimal:
    """Through the write-off door, asked for by who sent the application on; what is above the limit
    is approved by who decides it.
    """
    maker = (
        row.requested_by.actor()
        if row.requested_by
        else Actor.system("assistance", [row.organization_id])
    )
    taken = ZERO
    for charge, part in _parts(row):
        asked = _request(row, charge, part, maker, at)
        if asked.status == RequestStatus.REQUESTED:
            write_off_decide(
                request=asked, approve=True, actor=actor, note="Assistance granted", at=at
            )
        taken += part
    return taken


def _end_plan(row: Assistance, actor: Actor, at: datetime) -> None:
    plans = list(
        PaymentPlan.objects.select_for_update().filter(
            patient_id=row.patient_id, status=PlanStatus.ACTIVE
        )
    )
    advance(
        PLANS,
        plans,
        PlanStatus.CANCELLED,
        sentence="Payment plan ended: assistance was granted, a new plan is for what is left",
        actor=actor,
        at=at,
    )


def _end_hold(row: Assistance, words: str, actor: Actor, at: datetime) -> None:
    rows = AccountHold.objects.filter(
        patient_id=row.patient_id, kind=HoldKind.CHARITY, lifted_at__isnull=True
    )
    holds_end(list(rows), reason=words, actor=actor, at=at)


def _letter(row: Assistance, taken: Decimal, today: date) -> bytes:
    granted = row.status == AssistanceStatus.APPROVED
    left = sum(
        (c.balance for c in open_patient_charges([row.patient_id]).get(row.patient_id, [])), ZERO
    )
    paragraphs = (
        [
            f"We have granted your application for financial assistance: {rules.words_of(row.discount)}.",
            f"We took ${taken:,.2f} off what you owed. You owe ${left:,.2f} now."
            + ("" if not left else " If you cannot pay it at once, ask us for a payment plan."),
            f"The same discount is for bills of ours that come until {row.holds_until:%B %-d, %Y}.",
        ]
        if granted
        else [
            "We could not grant your application for financial assistance.",
            f"The reason: {row.decision_note}",
            "If your situation is another, or changes, send us your papers and ask again. A"
            " payment plan costs nothing.",
        ]
    )
    return letter_pdf(
        Organization.objects.get(pk=row.organization_id),
        row.patient,
        on=today,
        subject="Your application for financial assistance",
        paragraphs=paragraphs,
    )


def _locked(application: Assistance, actor: Actor) -> Assistance:
    require_mine(application.organization_id, actor)
    return (
        Assistance.objects.select_for_update(of=("self",))
        .select_related("patient", "requested_by")
        .get(pk=application.pk)
    )


def _step(row: Assistance, verb: str, sentence: str, actor: Actor, at: datetime | None) -> None:
    record_steps(
        [Step(row.organization_id, verb, sentence, {"patient_id": row.patient_id})],
        actor=actor,
        at=at,
    )


def applications_of(patient_id: int) -> list[Assistance]:
    """Every application of the person, the newest first."""
    rows = Assistance.objects.filter(patient_id__in=chart_ids(patient_id)).defer("letter")
    return list(rows.order_by("-requested_at", "-pk"))
