"""Statements on their way: letters in print batches, e-mails without a word about the patient, links
that open with the birth date, and what comes back (rule `statement-delivery`).
"""

from __future__ import annotations

import csv
import io
import smtplib
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone
from pypdf import PdfReader, PdfWriter
from pypdf.errors import PyPdfError

from ar.holding import Act
from ar.models import (
    AccountHold,
    Channel,
    ChannelChoice,
    HoldKind,
    MailBatch,
    SentStatus,
    Statement,
    StatementDelivery,
)
from ar.services.guards import require_mine
from ar.services.holds import HoldSpec, has_address, holds_of, holds_open
from intake.models import Patient
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.audit.services import Step, record_steps
from rcm.exchange import hold
from rcm.exchange.services import next_control_number
from rcm.web.lists import inert

SALT = "ar.statement-link"
LINK_DAYS, MOST_WRONG = 120, 5
CLAIM_LASTS, MOST_ATTEMPTS = timedelta(minutes=15), 5
MOST_IN_BATCH = 500
COLUMNS = ("position", "statement", "first_name", "last_name", "address", "city", "state", "zip")


# --- the way a patient chose ----------------------------------------------------------------------


@transaction.atomic
def channel_choose(
    *, patient: Patient, channel: str, actor: Actor, at: datetime | None = None
) -> ChannelChoice:
    """Note how the patient wants to be billed. By e-mail needs an address on the chart."""
    actor.require("statement.send", patient)
    require_mine(patient.organization_id, actor)
    at = at or timezone.now()
    if channel not in Channel.values:
        raise Refused("Choose the way from the list.", code="unknown", field="channel")
    if channel == Channel.EMAIL and not patient.email:
        raise Refused(
            "The chart has no e-mail address.",
            code="no_email",
            field="channel",
            fix="Ask for it and enter it on the chart.",
        )
    row = ChannelChoice.objects.create(
        organization_id=patient.organization_id,
        patient=patient,
        channel=channel,
        chosen_at=at,
        actor_name=actor.name,
    )
    words = f"Statements from now on: {row.get_channel_display().lower()}"
    _step(patient, "statement.channel", words, actor, at)
    return row


def channels_of(patients: Iterable[Patient]) -> dict[int, str]:
    """How each patient is billed: what was chosen last, by letter where an e-mail address is
    missing. One query.
    """
    people = {p.pk: p for p in patients}
    chosen = dict(
        ChannelChoice.objects.filter(patient_id__in=people)
        .order_by("chosen_at", "pk")
        .values_list("patient_id", "channel")
    )
    return {
        pk: Channel.MAIL
        if chosen.get(pk) == Channel.EMAIL and not person.email
        else chosen.get(pk, Channel.MAIL)
        for pk, person in people.items()
    }


def deliveries_open(statements: Sequence[Statement], *, at: datetime) -> list[StatementDelivery]:
    """Put fresh statements on their way: letters wait for their batch, e-mails for the next run; a
    link is there at once.
    """
    ways = channels_of(s.patient for s in statements)
    return StatementDelivery.objects.bulk_create(
        [
            StatementDelivery(
                organization_id=s.organization_id,
                statement=s,
                channel=ways[s.patient_id],
                status=SentStatus.SENT
                if ways[s.patient_id] == Channel.LINK
                else SentStatus.WAITING,
                sent_at=at if ways[s.patient_id] == Channel.LINK else None,
            )
            for s in statements
        ],
        batch_size=500,
    )


# --- letters --------------------------------------------------------------------------------------


@transaction.atomic
def mail_batch_make(
    *, organization_id: int, actor: Actor, at: datetime | None = None
) -> MailBatch | None:
    """Put waiting letters into a print batch, oldest first; None when none waits. A letter leaves in
    one batch only; one whose account was put on hold meanwhile waits on.
    """
    actor.require("statement.send", organization_id)
    require_mine(organization_id, actor)
    at = at or timezone.now()
    rows = list(
        StatementDelivery.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(organization_id=organization_id, channel=Channel.MAIL, status=SentStatus.WAITING)
        .select_related("statement")
        .defer("statement__pdf", "statement__lines")
        .order_by("pk")[:MOST_IN_BATCH]
    )
    holds = holds_of(r.statement.patient_id for r in rows)
    rows = [r for r in rows if holds.stopping(Act.STATEMENT, r.statement.patient_id) is None]
    if not rows:
        return None
    batch = MailBatch.objects.create(
        organization_id=organization_id,
        number=f"M{next_control_number(organization_id, 'mail-batch'):06d}",
        made_at=at,
        actor_name=actor.name,
    )
    StatementDelivery.objects.filter(pk__in=[r.pk for r in rows]).update(
        batch=batch, status=SentStatus.SENT, sent_at=at
    )
    return batch


def _letters(batch: MailBatch) -> list[Statement]:
    rows = batch.deliveries.select_related("statement__patient").order_by("pk")
    return [r.statement for r in rows]


def mail_batch_pdf(batch: MailBatch) -> bytes:
    """The letters of a batch in one PDF, in the order of its addresses."""
    out, writer = io.BytesIO(), PdfWriter()
    for statement in _letters(batch):
        if statement.pdf is None:
            continue
        try:
            writer.append(PdfReader(io.BytesIO(bytes(statement.pdf))))
        except PyPdfError as error:
            raise Refused(
                f"The file of statement {statement.number} is damaged.", code="damaged", status=409
            ) from error
    writer.write(out)
    return out.getvalue()


def mail_batch_addresses(batch: MailBatch) -> bytes:
    """The addresses of a batch for whoever prints envelopes: no balance, nothing about exams."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for n, s in enumerate(_letters(batch), start=1):
        p = s.patient
        cells = (p.first_name, p.last_name, p.address, p.city, p.state, p.zip)
        writer.writerow((n, s.number, *(inert(cell) for cell in cells)))
    return out.getvalue().encode()


# --- e-mail and link ------------------------------------------------------------------------------


def link_of(delivery: StatementDelivery) -> str:
    """The address at which a patient opens the bill; it names no patient, and ends by itself."""
    token = signing.dumps([delivery.organization_id, delivery.pk], salt=SALT, compress=True)
    return f"{settings.PUBLIC_URL.rstrip('/')}{reverse('ar:bill', args=[token])}"


def mails_send(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """Mail what waits. Call outside a transaction: the mail server is in between. A message is
    claimed before it leaves, so that two runs send one. Returns how many left.
    """
    at = at or timezone.now()
    if hold.held() is not None:
        return 0
    with scope(actor):
        owner = Organization.objects.get(pk=organization_id)
        waiting = list(
            StatementDelivery.objects.filter(
                organization_id=organization_id,
                channel=Channel.EMAIL,
                status=SentStatus.WAITING,
                attempts__lt=MOST_ATTEMPTS,
            )
            .filter(Q(claimed_at__isnull=True) | Q(claimed_at__lt=at - CLAIM_LASTS))
            .select_related("statement__patient")
            .defer("statement__pdf", "statement__lines")
            .order_by("pk")[:MOST_IN_BATCH]
        )
        holds = holds_of(r.statement.patient_id for r in waiting)
    sent = 0
    for row in waiting:
        if holds.stopping(Act.STATEMENT, row.statement.patient_id) is None:
            sent += _mail(row, owner, actor, at)
    return sent


def _mail(row: StatementDelivery, owner: Organization, actor: Actor, at: datetime) -> int:
    with scope(actor):
        free = StatementDelivery.objects.filter(
            pk=row.pk, status=SentStatus.WAITING, attempts=row.attempts
        )
        if not free.update(claimed_at=at, attempts=F("attempts") + 1):
            return 0
    message = EmailMessage(
        f"A statement from {owner.name}",
        f"{owner.name} has a statement for you.\n\n{link_of(row)}\n\n"
        "The page asks for a date of birth. This message holds nothing else about you; please do"
        " not answer it.\n",
        to=[row.statement.patient.email],
    )
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as problem:
        codes = [code for code, _ in problem.recipients.values()]
        if all(500 <= code < 600 for code in codes):
            with scope(actor):
                delivery_returned(delivery=row, why="The mail server", actor=actor, at=at)
            return 0
        changes: dict[str, Any] = {"error": "The mail server did not take the address now"}
    except OSError as problem:
        changes = {"error": f"The mail server did not take it: {type(problem).__name__}"}
    else:
        changes = {"status": SentStatus.SENT, "sent_at": at, "error": ""}
    with scope(actor):
        StatementDelivery.objects.filter(pk=row.pk).update(**changes)
    return int(changes.get("status") == SentStatus.SENT)


class LinkClosed(Exception):
    """A link that opens nothing: forged, too old, or tried too often."""


def link_delivery(token: str) -> tuple[int, int]:
    """(organization, delivery) of a link; LinkClosed when it is none of ours or has ended."""
    try:
        organization_id, pk = signing.loads(token, salt=SALT, max_age=timedelta(days=LINK_DAYS))
        return int(organization_id), int(pk)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise LinkClosed from error


def link_open(token: str, *, born_on: date, at: datetime | None = None) -> Statement | None:
    """The statement behind a link when the birth date fits; None when it does not. After five wrong
    ones the link is closed.
    """
    organization_id, pk = link_delivery(token)
    at = at or timezone.now()
    actor = Actor.system("patient link", [organization_id])
    with scope(actor):
        row = (
            StatementDelivery.objects.select_for_update(of=("self",))
            .select_related("statement__patient", "organization")
            .filter(pk=pk)
            .first()
        )
        if row is None or row.wrong >= MOST_WRONG or row.channel == Channel.MAIL:
            raise LinkClosed
        if row.statement.patient.born_on != born_on:
            row.wrong += 1
            row.save(update_fields=["wrong"])
            return None
        if row.opened_at is None:
            row.opened_at = at
            row.save(update_fields=["opened_at"])
            words = f"Statement {row.statement.number} opened by its link"
            _step(row.statement.patient, "statement.opened", words, actor, at)
        return row.statement


# --- what comes back ------------------------------------------------------------------------------


@transaction.atomic
def delivery_returned(
    *, delivery: StatementDelivery, actor: Actor, why: str = "", at: datetime | None = None
) -> StatementDelivery:
    """A letter or an e-mail came back. The e-mail's statement goes out by letter, and so do the next
    ones; a letter, or an e-mail where the chart has no address, puts the account on hold.
    """
    actor.require("statement.send", delivery)
    require_mine(delivery.organization_id, actor)
    at = at or timezone.now()
    row = (
        StatementDelivery.objects.select_for_update(of=("self",))
        .select_related("statement__patient")
        .defer("statement__pdf")
        .get(pk=delivery.pk)
    )
    if row.status == SentStatus.RETURNED:
        raise Conflict("It is noted already that it came back.", code="returned")
    if row.channel == Channel.LINK or (
        row.status == SentStatus.WAITING and row.channel == Channel.MAIL
    ):
        raise Refused("It has not left yet.", code="not_sent", status=409)
    row.status, row.returned_at, row.error = SentStatus.RETURNED, at, why[:200]
    row.save(update_fields=["status", "returned_at", "error"])
    patient = row.statement.patient
    by_letter = row.channel == Channel.EMAIL and has_address(patient)
    way = row.get_channel_display().split(" ")[0]
    _step(
        patient,
        "statement.returned",
        f"{way} with statement {row.statement.number} came back"
        + (": it goes out by letter" if by_letter else ""),
        actor,
        at,
    )
    if by_letter:
        ChannelChoice.objects.create(
            organization_id=row.organization_id,
            patient=patient,
            channel=Channel.MAIL,
            chosen_at=at,
            actor_name=actor.name,
        )
        StatementDelivery.objects.get_or_create(
            statement=row.statement,
            channel=Channel.MAIL,
            defaults={"organization_id": row.organization_id},
        )
        return row
    held = AccountHold.objects.filter(
        patient=patient, kind=HoldKind.RETURNED, lifted_at__isnull=True
    )
    if not held.exists():
        spec = HoldSpec(patient, HoldKind.RETURNED, note=f"Statement {row.statement.number}")
        holds_open([spec], actor=actor, at=at)
    return row


def _step(patient: Patient, verb: str, words: str, actor: Actor, at: datetime) -> None:
    record_steps(
        [Step(patient.organization_id, verb, words, {"patient_id": patient.pk})],
        actor=actor,
        at=at,
    )
