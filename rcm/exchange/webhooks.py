"""Webhooks (Standard Webhooks 1.0): partners are told what happened, signed, with ids alone.

A webhook is a connection; each message is an outbound interchange, so that it is kept, seen, tried
again and replayed like every other. A receiver that does not answer is asked again over three days,
its later messages wait with it, and then it is paused and somebody told.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import uuid6
from cryptography.fernet import InvalidToken
from django.apps import apps
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.models import Event
from rcm.audit.services import Step, record_steps
from rcm.exchange import outbox, smart, transport
from rcm.exchange.models import (
    Connection,
    ConnectionKind,
    Direction,
    Interchange,
    InterchangeStatus,
    WebhookCursor,
    WorkQueue,
)

KIND = "EVENT"
TEST = "webhook.test"
TOPICS: Mapping[str, str] = {
    "patient.registered": "A chart was opened",
    "patient.merged": "Two charts were made one",
    "order.placed": "An order came",
    "order.changed": "An order changed",
    "order.cancelled": "An order was cancelled",
    "appointment.booked": "A visit was booked",
    "appointment.moved": "A visit was moved",
    "report.final": "A report was signed",
    "report.corrected": "A report was corrected",
    "charges.released": "Charges were released",
    "claim.submitted": "A claim was sent",
    "claim.accepted": "A payer accepted a claim",
    "claim.rejected": "A claim was rejected",
    "denial.opened": "A payer denied a line",
    "remittance.posted": "A remittance was posted",
}
"""Steps of the thread that partners may be told of."""
NAMED: Mapping[str, str] = {
    "patient_id": "intake.Patient",
    "ordered_exam_id": "intake.OrderedExam",
    "authorization_id": "authorizations.Authorization",
    "exam_id": "charges.Exam",
    "claim_id": "claims.Claim",
    "denial_id": "remittance.Denial",
    "remittance_id": "remittance.Remittance",
}
"""Keys of a step whose public ids go out; names and values never do."""
AT_ONCE = 500
PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=18),
    timedelta(hours=22),
)
"""Waits after each try: three days together."""
JITTER = 0.1
OLD_SECRET = timedelta(hours=24)
"""How long the secret before a rotation signs too."""
PREFIX = "whsec_"


# --- the receivers --------------------------------------------------------------------------------


@transaction.atomic
def webhook_make(
    *, organization_id: int, name: str, url: str, topics: Sequence[str], actor: Actor
) -> tuple[Connection, str]:
    """A new receiver, and its secret, which is shown this once."""
    actor.require("webhook.edit", organization_id)
    if not name.strip():
        raise Refused("Give it a name.", code="missing", field="name")
    try:
        transport.check_url(url.strip())
    except transport.Forbidden as problem:
        raise Refused(str(problem), code="address", field="url") from problem
    wanted = [t for t in TOPICS if t in topics]
    if not wanted:
        raise Refused("Choose at least one event.", code="missing", field="topics")
    secret = _new_secret()
    row = Connection.objects.create(
        organization_id=organization_id,
        kind=ConnectionKind.WEBHOOK,
        name=name.strip()[:80],
        url=url.strip()[:300],
        config={"topics": wanted, "secret": _sealed(secret)},
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT isocenter_tx()")
        # nothing that began before it is told of
        WebhookCursor.objects.create(
            organization_id=organization_id, connection=row, tx=cursor.fetchone()[0]
        )
    _told(row, "webhook.made", f"Webhook {row.name} tells {len(wanted)} kinds of events", actor)
    return row, secret


@transaction.atomic
def webhook_rotate(*, row: Connection, actor: Actor, at: datetime | None = None) -> str:
    """A new secret; for a day messages carry the signatures of both."""
    actor.require("webhook.edit", row)
    at = at or timezone.now()
    row = _locked(row)
    secret = _new_secret()
    row.config = {
        **row.config,
        "secret": _sealed(secret),
        "old_secret": row.config["secret"],
        "old_until": (at + OLD_SECRET).isoformat(),
    }
    row.save(update_fields=["config"])
    _told(row, "webhook.rotated", f"Webhook {row.name} has a new secret", actor)
    return secret


@transaction.atomic
def webhook_switch(*, row: Connection, on: bool, actor: Actor) -> Connection:
    """Pause it, so that its messages wait, or let them go."""
    actor.require("webhook.edit", row)
    row = _locked(row)
    if row.active == on:
        return row
    _switch(row, on)
    verb, word = ("webhook.resumed", "goes on") if on else ("webhook.paused", "is paused")
    _told(row, verb, f"Webhook {row.name} {word}", actor)
    return row


@transaction.atomic
def webhook_test(*, row: Connection, actor: Actor, at: datetime | None = None) -> Interchange:
    """A message without content, to see that it arrives and its signature is read."""
    actor.require("webhook.edit", row)
    return _queue(row, [(TEST, {})], at=at or timezone.now())[0]


@transaction.atomic
def webhook_replay(
    *, row: Connection, since: datetime, actor: Actor, at: datetime | None = None
) -> int:
    """Send again what failed since then, under the ids that it had. Returns how many."""
    actor.require("webhook.edit", row)
    rows = Interchange.objects.filter(
        connection=row,
        direction=Direction.OUT,
        status=InterchangeStatus.FAILED,
        received_at__gte=since,
    )
    count = rows.update(status=InterchangeStatus.STORED, attempts=0, due_at=None, error="")
    if count:
        _told(row, "webhook.replayed", f"{count:,} messages of {row.name} go again", actor)
        outbox.wake_on_commit(row.organization_id, WorkQueue.BATCH)
    return count


def _switch(row: Connection, on: bool) -> None:
    """Its messages wait for ever, or go at once."""
    Connection.objects.filter(pk=row.pk).update(active=on)
    row.active = on
    waiting = Interchange.objects.filter(
        connection=row,
        direction=Direction.OUT,
        status__in=[InterchangeStatus.STORED, InterchangeStatus.SENDING],
    )
    waiting.update(due_at=None if on else outbox.NEVER)
    if on:
        outbox.wake_on_commit(row.organization_id, WorkQueue.BATCH)


def _locked(row: Connection) -> Connection:
    return Connection.objects.select_for_update().get(pk=row.pk)


def _told(row: Connection, verb: str, words: str, actor: Actor) -> None:
    record_steps([Step(row.organization_id, verb, words[:300])], actor=actor, at=timezone.now())


# --- the messages ---------------------------------------------------------------------------------


def webhooks_tell(*, organization_id: int, at: datetime | None = None) -> int:
    """Queue a message to each receiver for each step of its topics since the last time. Steps whose
    transaction may still be open wait: none is passed over. Returns how many were queued.
    """
    at = at or timezone.now()
    told = 0
    cursors = WebhookCursor.objects.select_for_update(of=("self",)).filter(
        organization_id=organization_id
    )
    for cursor in cursors.select_related("connection").order_by("pk"):
        row, horizon = cursor.connection, _horizon()
        told_already = Q(tx=cursor.tx, id__lte=cursor.step_id)
        steps = list(
            Event.objects.filter(
                organization_id=organization_id,
                verb__in=row.config.get("topics", ()),
                tx__gte=cursor.tx,
                tx__lt=horizon,
            )
            .exclude(told_already)
            .order_by("tx", "id")[:AT_ONCE]
        )
        named = _public_ids(organization_id, steps)
        messages = [(s.verb, _data(s, named)) for s in steps]
        _queue(row, messages, at=at)
        told += len(steps)
        # one transaction may hold more steps than a turn takes: the next goes on in its middle
        full = len(steps) == AT_ONCE
        cursor.tx, cursor.step_id = (steps[-1].tx, steps[-1].pk) if full else (horizon, 0)
        cursor.save(update_fields=["tx", "step_id"])
    return told


def _horizon() -> int:
    """Every transaction below this number has ended. Steps carry numbers with the shift of a
    restored database.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + isocenter_tx_shift()"
        )
        return int(cursor.fetchone()[0])


def _public_ids(organization_id: int, steps: Sequence[Event]) -> dict[tuple[str, int], str]:
    """Public ids of all that these steps name. One query a model."""
    found: dict[tuple[str, int], str] = {}
    for key, label in NAMED.items():
        wanted = {pk for s in steps if (pk := getattr(s, key))}
        if wanted:
            rows = apps.get_model(label).objects.filter(
                pk__in=wanted, organization_id=organization_id
            )
            found |= {(key, pk): str(public) for pk, public in rows.values_list("pk", "public_id")}
    return found


def _data(step: Event, named: Mapping[tuple[str, int], str]) -> dict[str, Any]:
    data = {
        key.removesuffix("_id"): named[(key, pk)]
        for key in NAMED
        if (pk := getattr(step, key)) and (key, pk) in named
    }
    return {**data, "id": str(step.public_id), "at": step.at.isoformat(), "status": step.new_status}


def _queue(
    row: Connection,
    messages: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    at: datetime,
) -> list[Interchange]:
    """Keep messages (topic, data) for a receiver, together; those of a paused one wait."""
    stored = Interchange.objects.bulk_create(
        [_message(row, topic, data, at) for topic, data in messages], batch_size=AT_ONCE
    )
    if stored and row.active:
        outbox.wake_on_commit(row.organization_id, WorkQueue.BATCH)
    return stored


def _message(row: Connection, topic: str, data: Mapping[str, Any], at: datetime) -> Interchange:
    body = json.dumps({"type": topic, "timestamp": at.isoformat(), "data": data}).encode()
    return Interchange(
        organization_id=row.organization_id,
        direction=Direction.OUT,
        kind=KIND,
        connection=row,
        content=body,
        sha256=hashlib.sha256(body).hexdigest(),
        size=len(body),
        media_type="application/json",
        file_name=topic,
        control_number=f"msg_{uuid6.uuid7().hex}",
        queue=WorkQueue.BATCH,
        received_at=at,
        due_at=None if row.active else outbox.NEVER,
    )


# --- signing, waiting, giving up ------------------------------------------------------------------


def headers(row: Interchange, *, at: datetime | None = None) -> dict[str, str]:
    """Id, moment and signatures of one try; the moment is of this try, the id of the message."""
    assert row.connection is not None
    at = at or timezone.now()
    stamp = str(int(at.timestamp()))
    signed = f"{row.control_number}.{stamp}.".encode() + bytes(row.content)
    marks = [
        "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        for key in _secrets(row.connection, at)
    ]
    return {
        "webhook-id": row.control_number,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(marks),
    }


def judged(found: transport.Outcome) -> transport.Outcome:
    """A receiver accepts with 2xx and by nothing else; what it says beside that is not read."""
    if found.accepted and 200 <= found.status < 300:
        return transport.Outcome(accepted=True, status=found.status)
    if found.status == GONE:
        return transport.Outcome(status=GONE, sentence="The receiver says that it is gone (410).")
    return transport.Outcome(
        unknown=True, status=found.status, sentence=found.sentence or f"Status {found.status}."
    )


GONE = 410


def pause_after(attempts: int) -> timedelta:
    """The wait after a try, a little longer or shorter so that receivers are not all asked at
    once.
    """
    wait = PAUSES[min(attempts, len(PAUSES)) - 1]
    return wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


def failed(row: Interchange, *, last: bool, at: datetime) -> None:
    """A try brought nothing: what waits for the same receiver waits with it, so that a dead one
    holds up nobody else; after the last try the receiver is paused.
    """
    receiver = row.connection
    assert receiver is not None
    if last:
        _switch(receiver, on=False)
        _told(
            receiver,
            "webhook.given_up",
            f"Webhook {receiver.name} did not answer for three days and is paused",
            Actor.system("exchange", [row.organization_id]),
        )
        return
    until = at + pause_after(row.attempts)
    Interchange.objects.filter(
        connection=receiver, direction=Direction.OUT, status=InterchangeStatus.STORED
    ).update(due_at=until)
    Interchange.objects.filter(pk=row.pk).update(due_at=until)


def _new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _sealed(secret: str) -> str:
    return smart.seal().encrypt(secret.encode()).decode()


def _secrets(row: Connection, at: datetime) -> list[bytes]:
    """The keys that sign now: the present one, and within a day of a rotation the one before."""
    found = [str(row.config.get("secret", ""))]
    until = row.config.get("old_until")
    if until and datetime.fromisoformat(until) > at:
        found.append(str(row.config["old_secret"]))
    try:
        opened = [smart.seal().decrypt(token.encode()).decode() for token in found]
    except InvalidToken:
        raise smart.SignInFailed("The secret of this webhook cannot be opened.") from None
    return [base64.b64decode(secret.removeprefix(PREFIX)) for secret in opened]
