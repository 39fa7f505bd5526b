"""The verbs of the exchange room: store, process, replay, send; and the doors of the outbox.

Bytes are stored and committed first; workers parse them later, once, in order within one ordering
key. A kind of message is processed by the phase that registered for it in its apps.py:

    register_processor("ORU", report_from_oru, queue="batch")

    def report_from_oru(interchange: Interchange, *, actor: Actor, at: datetime) -> dict: ...   # summary: counts, totals, no patient values

A file that holds sets of several kinds is given to the reader of each, which reads its own. A
reader may say more in its summary: "outcomes" (what became of a set, by the number of its ST), and
"left" (a sentence about what it did not use: the rest stands, and a person looks).

It raises ParseProblem when the bytes cannot be read (status failed) and Refused when they can be
read but not applied (quarantined); either becomes a work item through the event
"interchange.failed". Any other error is tried again, five times in all.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from rcm.accounts.actor import Actor, PermissionRefused
from rcm.accounts.models import Organization
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.accounts.together import Noted, together
from rcm.audit.services import Step, record_steps
from rcm.exchange import batch, contents, hold, outbox, transport, webhooks
from rcm.exchange.detect import HL7_KINDS, X12_INBOUND, detect
from rcm.exchange.models import (
    ALLOWED,
    SENDS,
    Connection,
    ConnectionKind,
    ControlCounter,
    Direction,
    Interchange,
    InterchangeStatus,
    Outbox,
    SetOutcome,
    WorkQueue,
)
from rcm.exchange.outbox import (
    Event,
    asleep,
    deliver_due,
    publish,
    publish_many,
    retry_parked,
    subscribe,
)
from rcm.exchange.problems import ParseProblem

log = logging.getLogger(__name__)

TRIES = outbox.TRIES
FAILED, RECOVERED = "interchange.failed", "interchange.recovered"

Processor = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Registration:
    kind: str
    handler: Processor
    queue: str
    many: Callable[..., Sequence[Mapping[str, Any]]] | None = None
    correct: str = ""


_PROCESSORS: dict[str, Registration] = {}


def register_processor(
    kind: str,
    handler: Processor,
    *,
    queue: str = WorkQueue.BATCH,
    many: Callable[..., Sequence[Mapping[str, Any]]] | None = None,
    correct: str = "",
) -> None:
    """Process inbound interchanges of one kind (ADT, ORM, OMI, SIU, ORU, DFT, MPPS, 835, 999,
    277CA, TA1, 271, 278, 277) with `handler(interchange, *, actor, at) -> summary`, in one
    transaction, on the workers of `queue`. `many` does the same for a list of them, with a list of
    summaries: all or, when it raises, none. `correct` names the page on which a person mends a
    refused one.
    """
    known = _PROCESSORS.get(kind)
    if known is not None and known.handler != handler:
        raise ValueError(f"{kind} is already processed by {known.handler.__module__}")
    _PROCESSORS[kind] = Registration(kind, handler, queue, many, correct)


def correct_page(kind: str) -> str:
    """The name of the page on which a refused interchange of this kind is corrected, or blank."""
    registration = _PROCESSORS.get(kind)
    return registration.correct if registration is not None else ""


def processed_kinds() -> frozenset[str]:
    """The kinds some phase reads."""
    return frozenset(_PROCESSORS)


# --- storing --------------------------------------------------------------------------------------


@transaction.atomic
def store_inbound(
    *,
    organization_id: int,
    kind: str,
    content: bytes,
    connection: Connection | None = None,
    file_name: str = "",
    media_type: str = "application/octet-stream",
    control_number: str = "",
    ordering_key: str = "",
    answer_to: Interchange | None = None,
    part_of: Interchange | None = None,
    at: datetime | None = None,
    actor: Actor,
) -> tuple[Interchange, bool]:
    """Keep received bytes; the workers of the kind's queue are woken on commit. Returns the row and
    whether it is new. HL7 that holds several messages is kept as one file of the kind HL7-BATCH,
    and a worker makes each message an interchange of its own (`part_of` the file).

    The same bytes of the same kind again are the same row with one delivery more.
    Raises Refused above the size limit.
    """
    if len(content) > settings.UPLOAD_LIMIT_BYTES:
        raise Refused(
            f"This file has {len(content) / 1e6:,.0f} MB; at most"
            f" {settings.UPLOAD_LIMIT_BYTES / 1e6:,.0f} MB are taken.",
            code="too_large",
            fix="Split the file.",
            status=413,
        )
    kind, ordering_key = _kept_as(kind, content, ordering_key)
    digest = hashlib.sha256(content).hexdigest()
    key = {
        "organization_id": organization_id,
        "direction": Direction.IN,
        "kind": kind,
        "sha256": digest,
    }
    same = Interchange.objects.filter(**key)
    if same.update(deliveries=F("deliveries") + 1):
        return same.get(), False
    registration = _PROCESSORS.get(kind)
    row = Interchange(
        **key,
        connection=connection,
        content=content,
        size=len(content),
        media_type=media_type[:60] or "application/octet-stream",
        file_name=file_name[-200:],
        control_number=control_number[:80],
        ordering_key=ordering_key[:80],
        answer_to=answer_to,
        part_of=part_of,
        queue=registration.queue if registration else WorkQueue.BATCH,
        received_at=at or timezone.now(),
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        # somebody stored the same bytes a moment ago
        same.update(deliveries=F("deliveries") + 1)
        return same.get(), False
    outbox.wake_on_commit(organization_id, row.queue)
    return row, True


def _kept_as(kind: str, content: bytes, ordering_key: str) -> tuple[str, str]:
    """The kind and the ordering key under which bytes are kept: several HL7 messages are a file of
    messages, whatever its first one is, and belong to no one patient.
    """
    if kind in HL7_KINDS and batch.several(content):
        return batch.BATCH, ""
    return kind, ordering_key


@dataclass(frozen=True, slots=True)
class Incoming:
    """One received message of many: its bytes and what the receiver knows about it."""

    kind: str
    content: bytes
    connection: Connection | None = None
    file_name: str = ""
    media_type: str = "application/octet-stream"
    control_number: str = ""
    ordering_key: str = ""
    at: datetime | None = None


def _as_kept(message: Incoming) -> Incoming:
    kind, ordering_key = _kept_as(message.kind, message.content, message.ordering_key)
    return replace(message, kind=kind, ordering_key=ordering_key)


@transaction.atomic
def store_inbound_many(
    *, organization_id: int, messages: Sequence[Incoming], actor: Actor
) -> list[int]:
    """Keep many received messages at once; returns the ids in the order given. As `store_inbound`
    for each: the same bytes are one row.
    """
    messages = [_as_kept(m) for m in messages]
    digests = [hashlib.sha256(m.content).hexdigest() for m in messages]
    rows = Interchange.objects.filter(
        organization_id=organization_id, direction=Direction.IN, sha256__in=digests
    )
    known = {(kind, sha): pk for kind, sha, pk in rows.values_list("kind", "sha256", "id")}
    fresh: dict[tuple[str, str], Interchange] = {}
    for message, digest in zip(messages, digests, strict=True):
        key = (message.kind, digest)
        if key in known or key in fresh or len(message.content) > settings.UPLOAD_LIMIT_BYTES:
            continue
        registration = _PROCESSORS.get(message.kind)
        fresh[key] = Interchange(
            organization_id=organization_id,
            direction=Direction.IN,
            kind=message.kind,
            sha256=digest,
            connection=message.connection,
            content=message.content,
            size=len(message.content),
            media_type=message.media_type[:60],
            file_name=message.file_name[-200:],
            control_number=message.control_number[:80],
            ordering_key=message.ordering_key[:80],
            queue=registration.queue if registration else WorkQueue.BATCH,
            received_at=message.at or timezone.now(),
        )
    try:
        with transaction.atomic():
            Interchange.objects.bulk_create(fresh.values(), batch_size=500)
        known |= {key: row.pk for key, row in fresh.items()}
        new = set(fresh)
    except IntegrityError:
        # somebody stored one of them a moment ago: each by itself
        new = set()
    for queue in {fresh[key].queue for key in new}:
        outbox.wake_on_commit(organization_id, queue)
    ids: list[int] = []
    for message, digest in zip(messages, digests, strict=True):
        key = (message.kind, digest)
        if key in new:
            new.discard(key)
            ids.append(known[key])
            continue
        row, _ = store_inbound(
            organization_id=organization_id,
            kind=message.kind,
            content=message.content,
            connection=message.connection,
            file_name=message.file_name,
            media_type=message.media_type,
            control_number=message.control_number,
            ordering_key=message.ordering_key,
            at=message.at,
            actor=actor,
        )
        ids.append(row.pk)
    return ids


@transaction.atomic
def store_outbound(
    *,
    organization_id: int,
    kind: str,
    content: bytes,
    connection: Connection | None,
    control_number: str,
    at: datetime | None = None,
    actor: Actor,
    answer_to: Interchange | None = None,
    file_name: str = "",
    media_type: str = "application/edi-x12",
    queue: str = WorkQueue.BATCH,
    ordering_key: str = "",
) -> Interchange:
    """Keep bytes that are to leave. Over an HTTP connection a worker of `queue` sends them after
    commit, or the caller does with `send`; over any other connection they wait to be fetched and
    are moved on with `mark`.
    """
    row = Interchange.objects.create(
        organization_id=organization_id,
        direction=Direction.OUT,
        kind=kind,
        connection=connection,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        media_type=media_type[:60],
        file_name=file_name[-200:],
        control_number=control_number[:80],
        ordering_key=ordering_key[:80],
        answer_to=answer_to,
        queue=queue,
        received_at=at or timezone.now(),
    )
    if connection is not None and connection.kind in SENDS:
        outbox.wake_on_commit(organization_id, queue)
    return row


def next_control_number(organization_id: int, kind: str, *, count: int = 1) -> int:
    """The first of `count` fresh numbers of a kind (ISA13, GS06, BHT03 …). Rolled back with its
    transaction, so no gap; never given twice.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {ControlCounter._meta.db_table} (organization_id, kind, value, created_at) VALUES (%s, %s, %s, now()) "  # noqa: S608
            "ON CONFLICT (organization_id, kind) DO UPDATE SET value ="
            f" {ControlCounter._meta.db_table}.value + EXCLUDED.value "
            "RETURNING value",
            [organization_id, kind, count],
        )
        last: int = cursor.fetchone()[0]
    return last - count + 1


@transaction.atomic
def mark(
    interchange: Interchange,
    *,
    status: str,
    error: str = "",
    summary: Mapping[str, Any] | None = None,
    actor: Actor,
    at: datetime | None = None,
) -> Interchange:
    """Move an interchange to another status, as a compare-and-set on the one the caller has read.

    Raises Refused for a move that is not in the table, Conflict when somebody else moved it first.
    """
    at = at or timezone.now()
    old = interchange.status
    if status != old and status not in ALLOWED[old]:
        raise Refused(
            f"An interchange that is {InterchangeStatus(old).label.lower()} cannot become"
            f" {InterchangeStatus(status).label.lower()}.",
            code="not_allowed",
        )
    changes: dict[str, Any] = {"status": status, "error": error[:500]}
    if summary is not None:
        changes["summary"] = dict(summary)
    if status in (InterchangeStatus.PROCESSED, InterchangeStatus.SENT):
        changes["processed_at"] = at
    if not Interchange.objects.filter(pk=interchange.pk, status=old).update(**changes):
        raise Conflict("This interchange has moved on in the meantime. Look again.")
    had_error = interchange.error
    for name, value in changes.items():
        setattr(interchange, name, value)
    keys: dict[str, int | None] = {"interchange_id": interchange.pk}
    organization_id = interchange.organization_id
    if status in (InterchangeStatus.FAILED, InterchangeStatus.QUARANTINED):
        publish(FAILED, organization_id=organization_id, payload=keys, due_at=at)
        sentence = f"{interchange.kind} {InterchangeStatus(status).label.lower()}: {error}"
        record_steps(
            [Step(organization_id, FAILED, sentence, keys, old=old, new=status)], actor=actor, at=at
        )
    elif had_error and status in (
        InterchangeStatus.PROCESSED,
        InterchangeStatus.SENT,
        InterchangeStatus.REFUSED,
    ):
        publish(RECOVERED, organization_id=organization_id, payload=keys, due_at=at)
        record_steps(
            [
                Step(
                    organization_id,
                    RECOVERED,
                    f"{interchange.kind} went through",
                    keys,
                    old=old,
                    new=status,
                )
            ],
            actor=actor,
            at=at,
        )
    return interchange


# --- processing -----------------------------------------------------------------------------------


def process(interchange_ids: Iterable[int], *, actor: Actor, at: datetime | None = None) -> int:
    """Process stored inbound interchanges now; returns how many were brought to an end.

    Earlier messages of the same ordering key go first. One in another worker's hands is left to it.
    A file of several messages brings its messages to an end too.
    """
    ids = list(interchange_ids)
    done = _process_rows(Q(pk__in=ids), actor=actor, at=at)
    return done + (_process_rows(Q(part_of__in=ids), actor=actor, at=at) if done else 0)


def _process_rows(chosen: Q, *, actor: Actor, at: datetime | None) -> int:
    with scope(actor):
        rows = Interchange.objects.filter(
            chosen, direction=Direction.IN, status=InterchangeStatus.STORED
        )
        places = list(rows.order_by("id").values_list("organization_id", "ordering_key", "id"))
    done = 0
    for organization_id in dict.fromkeys(place[0] for place in places):
        mine = [(key, pk) for owner, key, pk in places if owner == organization_id]
        done += _process_places(organization_id, mine, at=at)
    return done


BATCH = 100
"""Fresh messages that are processed in one transaction; a longer queue takes several."""


def _process_places(
    organization_id: int,
    places: Sequence[tuple[str, int]],
    *,
    at: datetime | None,
    until: float | None = None,
) -> int:
    """Messages by (ordering key, id): fresh ones many at a time; what was tried before, or is
    disturbed, key by key.
    """
    done = 0
    for start in range(0, len(places), BATCH):
        if until is not None and time.monotonic() > until:
            return done
        done += _process_batch(organization_id, places[start : start + BATCH], at=at)
    if done < len(places):
        for key, pk in dict.fromkeys((key, 0 if key else pk) for key, pk in places):
            if until is not None and time.monotonic() > until:
                break
            done += _process_key(organization_id, key, pk, at=at, until=until)
    return done


def _process_batch(
    organization_id: int, places: Sequence[tuple[str, int]], *, at: datetime | None
) -> int:
    """Process messages that nobody has tried yet in one transaction, each in its own savepoint;
    what they refresh is refreshed once at its end.

    A message that is refused or cannot be read is marked so, and the others go on. Any other error
    leaves all of them as they were: they are tried one by one then.
    """
    moment = at or timezone.now()
    actor = Actor.system("exchange", [organization_id])

    def lock(key: str, pk: int) -> str:
        return f"interchange:{organization_id}:{key or pk}"

    names = list(dict.fromkeys(lock(key, pk) for key, pk in places))
    with outbox.held_many(names) as mine:
        free = {name for name, got in zip(names, mine, strict=True) if got}
        wanted = {pk: key for key, pk in places if lock(key, pk) in free}
        with scope(actor):
            stored = Interchange.objects.filter(
                organization_id=organization_id,
                direction=Direction.IN,
                status=InterchangeStatus.STORED,
            )
            keys = {key for key in wanted.values() if key}
            # what came earlier with the same key, or was tried before, goes first and alone
            first = stored.filter(ordering_key__in=keys, pk__lt=max(wanted, default=0)).exclude(
                pk__in=wanted
            )
            tried = stored.filter(pk__in=wanted).exclude(attempts=0, due_at__isnull=True)
            slow = {
                *first.values_list("ordering_key", flat=True),
                *tried.values_list("ordering_key", flat=True),
            } - {""}
            rows = stored.filter(pk__in=wanted, attempts=0, due_at__isnull=True).exclude(
                ordering_key__in=slow
            )
            chosen = list(rows.order_by("id").values_list("id", flat=True))
            # the try is counted before it is made, so that a message that kills its worker is
            # counted too
            Interchange.objects.filter(pk__in=chosen).update(
                attempts=1, due_at=moment + outbox.pause_after(1)
            )
        if not chosen:
            return 0
        try:
            with scope(actor), together() as noted:
                return _apply_many(chosen, noted, actor=actor, at=moment)
        except Exception as error:
            name = type(error).__name__
            log.warning("%s interchanges from %s: %s", len(chosen), chosen[0], name, exc_info=True)
            with scope(actor):
                untouched = Interchange.objects.filter(
                    pk__in=chosen, status=InterchangeStatus.STORED, attempts=1
                )
                if len(chosen) == 1:
                    untouched.update(error=outbox.reason_of(error)[:500])
                else:
                    # nobody knows whose fault it was: none of them has had its try, and each is
                    # tried alone now
                    untouched.update(attempts=0, due_at=None)
            return 0


def _apply_many(ids: Sequence[int], noted: Noted, *, actor: Actor, at: datetime) -> int:
    rows = Interchange.objects.select_related("connection").filter(
        pk__in=ids, attempts=1, status=InterchangeStatus.STORED
    )
    found, good = list(rows.order_by("id")), []
    for group in _groups(found):
        if len(group) > 1 and _apply_group(group, noted, actor=actor, at=at):
            good += group
        else:
            good += _apply_each(group, noted, actor=actor, at=at)
    for row in good:
        row.status, row.processed_at = InterchangeStatus.PROCESSED, at
    Interchange.objects.bulk_update(good, ["status", "processed_at", "summary"], batch_size=BATCH)
    return len(found)


def _groups(rows: Sequence[Interchange]) -> list[list[Interchange]]:
    """Rows of one kind together, as far as the order within each ordering key allows; kinds that
    are read one by one stay alone.
    """
    last: dict[str, tuple[int, str]] = {}
    layers: dict[tuple[int, str, int], list[Interchange]] = {}
    for row in rows:
        registration = _PROCESSORS.get(row.kind)
        single = 0 if registration is not None and registration.many is not None else row.pk
        layer, kind = (
            last.get(row.ordering_key, (0, row.kind)) if row.ordering_key else (0, row.kind)
        )
        if kind != row.kind:
            layer += 1
        if row.ordering_key:
            last[row.ordering_key] = (layer, row.kind)
        layers.setdefault((layer, row.kind if not single else "", single), []).append(row)
    return [layers[key] for key in sorted(layers)]


def _apply_group(rows: Sequence[Interchange], noted: Noted, *, actor: Actor, at: datetime) -> bool:
    """Rows of one kind by its reader of many; False, and nothing done, when one of them is
    refused.
    """
    registration = _PROCESSORS[rows[0].kind]
    assert registration.many is not None
    place = noted.mark()
    try:
        with transaction.atomic():
            for row, summary in zip(rows, registration.many(rows, actor=actor, at=at), strict=True):
                row.summary = dict(summary)
    except (ParseProblem, Refused, PermissionRefused):
        noted.forget_since(place)
        return False
    return True


def _apply_each(
    rows: Sequence[Interchange], noted: Noted, *, actor: Actor, at: datetime
) -> list[Interchange]:
    """Each row in its own savepoint; returns those that went through, and marks the others."""
    good = []
    for row in rows:
        handled = _handle(row, actor=actor, at=at, noted=noted)
        if handled.status == InterchangeStatus.PROCESSED:
            row.summary = handled.summary
            good.append(row)
        else:
            handled.mark(row, actor=actor, at=at)
    return good


@dataclass(slots=True)
class _Handled:
    """What became of a file: what its readers said, and the first sentence of what is left."""

    summary: dict[str, Any] = field(default_factory=dict)
    status: str = InterchangeStatus.PROCESSED
    left: list[str] = field(default_factory=list)

    def mark(self, row: Interchange, *, actor: Actor, at: datetime) -> None:
        """Write it to the row."""
        nothing = self.status != InterchangeStatus.PROCESSED and not self.summary
        mark(
            row,
            status=self.status,
            error=" ".join(self.left),
            summary=None if nothing else self.summary,
            actor=actor,
            at=at,
        )

    def take(self, kind: str, summary: Mapping[str, Any]) -> None:
        """Add what one reader said; a name that another has used is told apart by its kind."""
        for name, value in summary.items():
            self.summary[f"{kind} {name}" if name in self.summary else name] = value

    def leave(self, sentence: str, *, unread: bool = False) -> None:
        self.left.append(sentence)
        if unread and self.status == InterchangeStatus.PROCESSED:
            self.status = InterchangeStatus.FAILED
        else:
            self.status = InterchangeStatus.QUARANTINED


def _handle(
    row: Interchange, *, actor: Actor, at: datetime, noted: Noted | None = None
) -> _Handled:
    """Every set of a file by the reader of its kind, each kind in its own savepoint: what one of
    them cannot use costs the others nothing. What nobody reads is left to a person.
    """
    found = contents.sets_in(bytes(row.content), sure=row.kind in X12_INBOUND)
    kinds = list(dict.fromkeys(s.kind for s in found)) or [row.kind]
    if row.kind not in kinds and row.kind in _PROCESSORS:
        # named by a person or an older release, and read by what it is registered for
        kinds.append(row.kind)
    mixed = len(kinds) > 1
    done = _Handled()
    outcomes: dict[int, tuple[str, str]] = {}
    for kind in kinds:
        own = [s.position for s in found if s.kind == kind]
        _handle_kind(kind, own, row, done, outcomes, mixed=mixed, actor=actor, at=at, noted=noted)
    if mixed:
        done.summary["sets"] = len(found)
    contents.keep_outcomes(row, found, outcomes)
    return done


def _handle_kind(
    kind: str,
    own: Sequence[int],
    row: Interchange,
    done: _Handled,
    outcomes: dict[int, tuple[str, str]],
    *,
    mixed: bool,
    actor: Actor,
    at: datetime,
    noted: Noted | None,
) -> None:
    registration = _PROCESSORS.get(kind)
    if registration is None:
        sentence = f"No part of the product reads messages of the kind {kind}."
        if mixed:
            sentence = f"{len(own)} of the kind {kind} in this file: nobody here reads it."
        done.leave(sentence)
        outcomes |= dict.fromkeys(own, (SetOutcome.NOBODY, sentence))
        return
    place = noted.mark() if noted is not None else 0
    try:
        with transaction.atomic():
            summary = dict(registration.handler(row, actor=actor, at=at) or {})
    except (ParseProblem, Refused, PermissionRefused) as problem:
        if noted is not None:
            noted.forget_since(place)
        unread = isinstance(problem, ParseProblem)
        outcome = SetOutcome.UNREAD if unread else SetOutcome.REFUSED
        outcomes |= dict.fromkeys(own, (outcome, str(problem)))
        done.leave(f"{kind}: {problem}" if mixed else str(problem), unread=unread)
        if isinstance(problem, Refused):
            done.summary.setdefault("problem", problem.code)
        return
    said = summary.pop("outcomes", {})
    outcomes |= {p: (said.get(p, SetOutcome.READ), "") for p in own}
    left = str(summary.pop("left", ""))
    if left:
        done.leave(left)
    done.take(kind, summary)


def _process_key(
    organization_id: int, key: str, pk: int, *, at: datetime | None, until: float | None = None
) -> int:
    """All waiting messages of one ordering key, oldest first; without a key the one message."""
    moment = at or timezone.now()
    actor = Actor.system("exchange", [organization_id])
    waiting = Interchange.objects.filter(
        organization_id=organization_id, direction=Direction.IN, status=InterchangeStatus.STORED
    )
    waiting = (waiting.filter(ordering_key=key) if key else waiting.filter(pk=pk)).order_by("id")

    def work() -> int:
        done = 0
        while (until is None or time.monotonic() < until) and _process_next(
            waiting, actor=actor, at=moment
        ):
            done += 1
        return done

    def more() -> bool:
        if not key or (until is not None and time.monotonic() > until):
            return False
        with scope(actor):
            row = waiting.only("due_at").first()
            return row is not None and (row.due_at is None or row.due_at <= moment)

    return outbox.alone(f"interchange:{organization_id}:{key or pk}", work, more)


def _process_next(waiting: QuerySet[Interchange], *, actor: Actor, at: datetime) -> bool:
    """Process the oldest of these messages. False when there is none, or while it rests after an
    error: what follows waits for it.
    """
    with scope(actor):
        row = waiting.defer("content").first()
        if row is None or (row.due_at is not None and row.due_at > at):
            return False
        if row.attempts >= TRIES and row.due_at is not None:
            mark(
                row,
                status=InterchangeStatus.FAILED,
                error="The process ended each time while it was read.",
                actor=actor,
                at=at,
            )
            return True
        # the try is counted before it is made, so that a message that kills its worker is counted
        # too
        pk, token = row.pk, row.attempts + 1
        Interchange.objects.filter(pk=pk).update(
            attempts=token, due_at=at + outbox.pause_after(token)
        )
    try:
        with scope(actor), together():
            found = waiting.select_related("connection").filter(pk=pk, attempts=token).first()
            if found is None:
                return False
            _apply(found, actor=actor, at=at)
        return True
    except Exception as error:
        log.warning("interchange %s try %s: %s", pk, token, type(error).__name__, exc_info=True)
        with scope(actor):
            rest = waiting.defer("content").filter(pk=pk, attempts=token).first()
            if rest is None:
                return False
            if token >= TRIES:
                mark(
                    rest,
                    status=InterchangeStatus.FAILED,
                    error=outbox.reason_of(error),
                    actor=actor,
                    at=at,
                )
                return True
            Interchange.objects.filter(pk=pk).update(error=outbox.reason_of(error)[:500])
        return False


def _apply(row: Interchange, *, actor: Actor, at: datetime) -> None:
    _handle(row, actor=actor, at=at).mark(row, actor=actor, at=at)


@transaction.atomic
def process_now(
    interchange: Interchange, *, actor: Actor, at: datetime | None = None
) -> Interchange:
    """Read a stored file in the caller's transaction, so that the caller can answer with what is in
    it. Any other error than a refusal is the caller's.
    """
    if interchange.status == InterchangeStatus.STORED:
        _apply(interchange, actor=actor, at=at or timezone.now())
    return interchange


@transaction.atomic
def replay(interchange: Interchange, *, actor: Actor, at: datetime | None = None) -> Interchange:
    """Put an inbound interchange back to be processed, or a failed outbound one back to be sent.
    Needs `exchange.replay`.

    Effects are idempotent, so replaying what was processed changes nothing but what has been
    corrected since.
    """
    actor.require("exchange.replay", interchange)
    if interchange.direction == Direction.OUT and interchange.status != InterchangeStatus.FAILED:
        raise Refused("Only what could not be sent is sent again.", code="not_allowed")
    old = interchange.status
    if InterchangeStatus.STORED not in ALLOWED[old]:
        raise Refused("This interchange is on its way; wait for its end.", code="not_allowed")
    if not Interchange.objects.filter(pk=interchange.pk, status=old).update(
        status=InterchangeStatus.STORED, due_at=None
    ):
        raise Conflict("This interchange has moved on in the meantime. Look again.")
    record_steps(
        [
            Step(
                interchange.organization_id,
                "interchange.replayed",
                f"{interchange.kind} put back by {actor.name}",
                {"interchange_id": interchange.pk},
                old=old,
                new=InterchangeStatus.STORED,
            )
        ],
        actor=actor,
        at=at,
    )
    interchange.refresh_from_db()
    outbox.wake_on_commit(interchange.organization_id, interchange.queue)
    return interchange


# --- sending --------------------------------------------------------------------------------------


def send(
    interchange: Interchange, *, actor: Actor, at: datetime | None = None
) -> Interchange | None:
    """Send an outbound interchange over its HTTP connection now. Returns the stored answer, or None
    when there was none.

    The status "sending" is committed before the first byte leaves, so call outside a transaction.
    While a hold stands (`rcm.exchange.hold`) nothing leaves and the row waits on.
    When the outcome stays unknown the row remains "sending" and is repeated with the same control
    number and Idempotency-Key, by which the receiver knows it. The answer is an
    inbound interchange (`answer_to` this one) that its own processor reads; `process([answer.pk])`
    does so at once.
    """
    organization_id = interchange.organization_id
    own = actor.within(organization_id)
    moment = at or timezone.now()
    with scope(own):
        row = (
            Interchange.objects.select_for_update(of=("self",))
            .select_related("connection")
            .get(pk=interchange.pk)
        )
        if row.status == InterchangeStatus.SENT:
            return row.answers.order_by("id").first()
        if hold.held() is not None:
            return None
        if row.direction != Direction.OUT or row.status not in (
            InterchangeStatus.STORED,
            InterchangeStatus.SENDING,
            InterchangeStatus.FAILED,
        ):
            raise Refused("This interchange is not waiting to be sent.", code="not_allowed")
        if row.connection is None or row.connection.kind not in SENDS or not row.connection.active:
            mark(
                row,
                status=InterchangeStatus.FAILED,
                error="There is no active HTTP connection to send it over.",
                actor=own,
                at=moment,
            )
            return None
        token = row.attempts + 1
        Interchange.objects.filter(pk=row.pk).update(
            status=InterchangeStatus.SENDING,
            attempts=token,
            due_at=moment + max(_pause(row, token), transport.PATIENCE),
        )
        row.status, row.attempts = InterchangeStatus.SENDING, token
    outcome = transport.post(row)
    with scope(own):
        row = (
            Interchange.objects.select_for_update(of=("self",))
            .select_related("connection")
            .defer("content")
            .get(pk=row.pk)
        )
        if row.status == InterchangeStatus.SENT:
            return row.answers.order_by("id").first()
        if outcome.unknown:
            last = row.attempts >= _tries(row)
            if row.connection is not None and row.connection.kind == ConnectionKind.WEBHOOK:
                webhooks.failed(row, last=last, at=moment)
            if last and row.status == InterchangeStatus.SENDING:
                mark(
                    row,
                    status=InterchangeStatus.FAILED,
                    error=outcome.sentence,
                    actor=own,
                    at=moment,
                )
            else:
                Interchange.objects.filter(pk=row.pk).update(error=outcome.sentence[:500])
            return None
        if not outcome.accepted:
            if outcome.status == webhooks.GONE and row.connection is not None:
                webhooks.failed(row, last=row.connection.kind == ConnectionKind.WEBHOOK, at=moment)
            mark(row, status=InterchangeStatus.FAILED, error=outcome.sentence, actor=own, at=moment)
            return None
        mark(
            row,
            status=InterchangeStatus.SENT,
            summary={**row.summary, "http_status": outcome.status},
            actor=own,
            at=moment,
        )
        if not outcome.body.strip():
            return None
        found = detect(outcome.body)
        answer, _ = store_inbound(
            organization_id=organization_id,
            kind=found.kind,
            content=outcome.body,
            connection=row.connection,
            media_type=outcome.media_type,
            control_number=found.control_number,
            answer_to=row,
            at=moment,
            actor=own,
        )
        return answer


def _pause(row: Interchange, attempts: int) -> timedelta:
    """How long an unknown outcome waits for its next try."""
    if row.connection is not None and row.connection.kind == ConnectionKind.WEBHOOK:
        return webhooks.pause_after(attempts)
    return outbox.pause_after(attempts)


def _tries(row: Interchange) -> int:
    if row.connection is not None and row.connection.kind == ConnectionKind.WEBHOOK:
        return len(webhooks.PAUSES) + 1
    return TRIES


# --- everything that waits ------------------------------------------------------------------------


def work(
    organization_id: int, queue: str, *, at: datetime | None = None, until: float | None = None
) -> int:
    """Do what waits for one organization in one queue: deliver events, process what came, send what
    is to leave.

    Returns the number of things done. `until` (monotonic seconds) ends early; the rest stays
    waiting.
    """
    waiting = _waiting(organization_id, at=at or timezone.now())
    return _work(organization_id, queue, waiting, at=at, until=until)


def _work(
    organization_id: int,
    queue: str,
    waiting: Mapping[tuple[str, str], Sequence[str]],
    *,
    at: datetime | None,
    until: float | None,
) -> int:
    moment = at or timezone.now()
    done = 0
    if names := waiting.get((queue, "event")):
        done += outbox.deliver_to(organization_id, names, at=moment, until=until)
    actor = Actor.system("exchange", [organization_id])
    due = Q(due_at__isnull=True) | Q(due_at__lte=moment)
    first, last = outbox.stretch(moment)
    rows = Interchange.objects.filter(
        due,
        organization_id=organization_id,
        queue=queue,
        received_at__gt=first,
        received_at__lte=last,
    ).order_by("id")
    if (queue, "in") in waiting:
        with scope(actor):
            came = rows.filter(direction=Direction.IN, status=InterchangeStatus.STORED)
            places = list(came.values_list("ordering_key", "id")[:1000])
        done += _process_places(organization_id, places, at=at, until=until)
    if (queue, "out") in waiting and hold.held() is None:
        with scope(actor):
            to_send = rows.filter(
                direction=Direction.OUT,
                status__in=[InterchangeStatus.STORED, InterchangeStatus.SENDING],
                connection__kind__in=SENDS,
            )
            leaving = list(to_send.defer("content")[:200])
        for row in leaving:
            if until is not None and time.monotonic() > until:
                return done
            send(row, actor=actor, at=at)
            done += 1
    return done


def _waiting(organization_id: int, *, at: datetime) -> dict[tuple[str, str], list[str]]:
    """What is due for an organization: (queue, event | in | out) → subscribers (of events). One
    query.
    """
    first, last = outbox.stretch(at)
    with scope(Actor.system("exchange", [organization_id])), connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT queue, 'event', subscriber FROM exchange_outbox  WHERE organization_id"
            " = %(o)s AND delivered_at IS NULL AND parked_at IS NULL AND due_at <= %(at)s AND due_at"
            " > %(first)s UNION SELECT i.queue, i.direction, '' FROM exchange_interchange i   LEFT"
            " JOIN exchange_connection c ON c.id = i.connection_id  WHERE i.organization_id = %(o)s"
            " AND (i.due_at IS NULL OR i.due_at <= %(at)s) AND i.received_at > %(first)s AND"
            " i.received_at <= %(last)s AND (i.direction = 'in' AND i.status = 'stored' OR"
            " i.direction = 'out' AND i.status IN ('stored', 'sending') AND c.kind IN ('http', 'webhook'))",
            {"o": organization_id, "at": at, "first": first, "last": last},
        )
        found: dict[tuple[str, str], list[str]] = {}
        for place, kind, name in sorted(cursor.fetchall()):
            found.setdefault((place, kind), []).append(name)
    return found


def drain(organization_ids: Iterable[int], *, at: datetime | None = None) -> int:
    """Do everything that waits, here and now, until nothing does: the way without workers. Call
    outside a transaction.
    """
    total = 0
    for organization_id in organization_ids:
        while True:
            waiting = _waiting(organization_id, at=at or timezone.now())
            queues = [
                queue for queue in WorkQueue.values if any(place == queue for place, _ in waiting)
            ]
            done = sum(
                _work(organization_id, queue, waiting, at=at, until=None) for queue in queues
            )
            if not done:
                break
            total += done
    return total


def deliver(outbox_ids: Iterable[int], *, at: datetime | None = None) -> int:
    """Deliver what is due at the places of the given outbox rows."""
    ids = list(outbox_ids)
    everyone = Actor.system("outbox", Organization.objects.values_list("id", flat=True))
    with scope(everyone):
        places = set(Outbox.objects.filter(pk__in=ids).values_list("organization_id", "queue"))
    return sum(
        deliver_due(organization_id, queue=queue, at=at) for organization_id, queue in places
    )


__all__ = [
    "Event",
    "Incoming",
    "ParseProblem",
    "asleep",
    "deliver",
    "deliver_due",
    "drain",
    "mark",
    "next_control_number",
    "process",
    "process_now",
    "processed_kinds",
    "publish",
    "publish_many",
    "register_processor",
    "replay",
    "retry_parked",
    "send",
    "store_inbound",
    "store_inbound_many",
    "store_outbound",
    "subscribe",
    "work",
]
