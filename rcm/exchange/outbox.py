"""Domain events: published in the transaction that causes them, handled once by each subscriber,
whatever the broker does.

A phase that must wake a later one publishes; the later one subscribes in its apps.py:

    subscribe("report.final", charges_on_final_report, name="charges.release", queue="batch")

    def charges_on_final_report(events: Sequence[Event], *, actor: Actor, at: datetime) -> None: ...

A handler gets events of one organization, in the order they were published, inside one transaction
and that organization's scope; its effects and the mark "delivered" commit together. An error rolls
the whole batch back; then its events are tried one by one with a growing pause, so that one that
cannot be handled stands alone, and is parked after `TRIES` tries with its reason.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from rcm.accounts import bulk
from rcm.accounts.actor import Actor, PermissionRefused
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.accounts.together import WRITE, later, together
from rcm.exchange.models import Outbox, WorkQueue

log = logging.getLogger(__name__)

TRIES = 5
BATCH = 200
PARKED, RETRIED = "delivery.parked", "delivery.retried"
EVER, NEVER = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `payload` holds ids, never a patient's values."""

    id: int
    topic: str
    organization_id: int
    payload: Mapping[str, Any]


Handler = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Subscription:
    topic: str
    name: str
    handler: Handler
    queue: str


WRITTEN = ("organization_id", "topic", "subscriber", "queue", "payload", "due_at")
_SUBSCRIPTIONS: dict[str, Subscription] = {}


def subscribe(topic: str, handler: Handler, *, name: str, queue: str = WorkQueue.BATCH) -> None:
    """Call `handler(events, *, actor, at)` for each event of the topic. `name` is unique in the
    product and never changes: waiting rows carry it.
    """
    if queue not in WorkQueue.values:
        raise ValueError(f"{queue} is no queue")
    known = _SUBSCRIPTIONS.get(name)
    if known is not None and (known.topic, known.handler) != (topic, handler):
        raise ValueError(f"{name} already subscribes to {known.topic}")
    _SUBSCRIPTIONS[name] = Subscription(topic, name, handler, queue)


def publish(
    topic: str, *, organization_id: int, payload: Mapping[str, Any], due_at: datetime | None = None
) -> int:
    """Record one event for every subscriber of the topic, in the caller's transaction. Returns the
    number of rows written.
    """
    return publish_many(topic, organization_id=organization_id, payloads=[payload], due_at=due_at)


def publish_many(
    topic: str,
    *,
    organization_id: int,
    payloads: Iterable[Mapping[str, Any]],
    due_at: datetime | None = None,
) -> int:
    """Record many events of one topic. `due_at` in the future delays the handling until then."""
    subscriptions = [s for s in _SUBSCRIPTIONS.values() if s.topic == topic]
    due = due_at or timezone.now()
    rows = [
        (organization_id, topic, s.name, s.queue, dict(payload), due)
        for payload in payloads
        for s in subscriptions
    ]
    if not rows:
        return 0
    if not later(_write, rows, turn=WRITE):
        _write(rows)
    for queue in {s.queue for s in subscriptions}:
        wake_on_commit(organization_id, queue)
    return len(rows)


def _write(rows: Sequence[tuple[Any, ...]]) -> None:
    columns = dict(zip(WRITTEN, zip(*rows, strict=True), strict=True))
    columns["public_id"] = tuple(bulk.public_ids(len(rows)))
    bulk.insert_columns(
        Outbox, columns, same={"created_at": timezone.now(), "attempts": 0, "error": ""}
    )


# --- handling -------------------------------------------------------------------------------------


def pause_after(attempts: int) -> timedelta:
    """How long the next try waits: 10 s, 40 s, then minutes."""
    return timedelta(seconds=10 * 4 ** max(0, attempts - 1))


@contextmanager
def held(name: str) -> Iterator[bool]:
    """A lock over several transactions: True when it is ours, False when another process has it. It
    dies with its process.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 71))", [name])
        mine = bool(cursor.fetchone()[0])
    try:
        yield mine
    finally:
        if mine:
            # a connection that broke has given the lock back by that
            with suppress(DatabaseError), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 71))", [name])


@contextmanager
def held_many(names: Sequence[str]) -> Iterator[list[bool]]:
    """The same for many names in one question: which of them are ours."""
    mine: list[bool] = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_lock(hashtextextended(n, 71)) FROM unnest(%s::text[]) WITH"
            " ORDINALITY AS t(n, i) ORDER BY i",
            [list(names)],
        )
        mine = [bool(row[0]) for row in cursor.fetchall()]
    try:
        yield mine
    finally:
        ours = [name for name, got in zip(names, mine, strict=True) if got]
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_advisory_unlock(hashtextextended(n, 71))) FROM unnest(%s::text[])"
                " AS t(n)",
                [ours],
            )


def alone(name: str, work: Callable[[], int], more: Callable[[], bool]) -> int:
    """Do `work` under the lock, again while `more` comes; 0 when another process is at it.

    `more` is asked after the lock is given back, so that what arrived while it was held, and whose
    worker was turned away, is not left.
    """
    done = 0
    while True:
        with held(name) as mine:
            if not mine:
                return done
            done += work()
        if not more():
            return done


def reason_of(error: BaseException) -> str:
    """An error in words for the screen: a refusal's own sentence, of anything else the kind only,
    since its text may name a patient.
    """
    if isinstance(error, (Refused, PermissionRefused)):
        return str(error)
    return (
        f"An error of the product ({type(error).__name__}). Support finds it in the log under this"
        " number."
    )


def deliver_due(
    organization_id: int,
    *,
    queue: str | None = None,
    at: datetime | None = None,
    until: float | None = None,
) -> int:
    """Hand every due event of an organization to its subscriber; returns how many were handled.

    `until` (monotonic seconds) ends the run early; what is left stays due. Call outside a
    transaction, so that each batch commits.
    """
    actor = Actor.system("outbox", [organization_id])
    moment = at or timezone.now()
    with scope(actor):
        waiting = _waiting(organization_id).filter(due_at__lte=moment)
        if queue is not None:
            waiting = waiting.filter(queue=queue)
        names = sorted(waiting.values_list("subscriber", flat=True).distinct())
    return deliver_to(organization_id, names, at=moment, until=until) if names else 0


def deliver_to(
    organization_id: int, names: Sequence[str], *, at: datetime, until: float | None = None
) -> int:
    """Hand due events to these subscribers: fresh ones together, then whoever is left by
    himself.
    """
    handled, left = _deliver_fresh(organization_id, names, at=at, until=until)
    for name in left:

        def work(name: str = name) -> int:
            count = 0
            while until is None or time.monotonic() < until:
                found = _deliver_next(organization_id, name, at=at)
                if found is None:
                    break
                count += found
            return count

        def more(name: str = name) -> bool:
            if until is not None and time.monotonic() > until:
                return False
            with scope(Actor.system("outbox", [organization_id])):
                return _waiting(organization_id).filter(subscriber=name, due_at__lte=at).exists()

        handled += alone(_lock(organization_id, name), work, more)
    return handled


def _deliver_fresh(
    organization_id: int, names: Sequence[str], *, at: datetime, until: float | None
) -> tuple[int, list[str]]:
    """Hand fresh events to several subscribers in one transaction, so that what they all refresh is
    refreshed once.

    Returns how many were handled and the subscribers that must be served by themselves: one whose
    earlier event is still tried, one nobody knows any more, and, when a handler fails, all of them;
    then everything is as it was.
    """
    handled = 0
    actor = Actor.system("outbox", [organization_id])
    with held_many([_lock(organization_id, name) for name in names]) as mine:
        free = [
            name for name, got in zip(names, mine, strict=True) if got and name in _SUBSCRIPTIONS
        ]
        alone_now = [name for name in names if name not in _SUBSCRIPTIONS]
        while free and (until is None or time.monotonic() < until):
            with scope(actor):
                due = Q(due_at__lte=at) | Q(attempts__gt=0)
                rows = list(
                    _waiting(organization_id)
                    .filter(due, subscriber__in=free)
                    .order_by("id")[: 2 * BATCH]
                )
                tried = {r.subscriber for r in rows if r.attempts}
                rows = [r for r in rows if r.subscriber not in tried]
                Outbox.objects.filter(pk__in=[r.pk for r in rows]).update(
                    attempts=1, due_at=at + pause_after(1)
                )
            alone_now += sorted(tried)
            free = [name for name in free if name not in tried]
            if not rows:
                break
            for row in rows:
                row.attempts = 1
            try:
                with scope(actor), together():
                    if not _settle(rows, at=at):
                        break
                    for name in dict.fromkeys(r.subscriber for r in rows):
                        own = [
                            Event(r.pk, r.topic, r.organization_id, r.payload)
                            for r in rows
                            if r.subscriber == name
                        ]
                        _SUBSCRIPTIONS[name].handler(
                            own, actor=Actor.system(name, [organization_id]), at=at
                        )
            except Exception as error:
                log.warning(
                    "outbox, %s rows from %s: %s; each alone now",
                    len(rows),
                    rows[0].pk,
                    type(error).__name__,
                )
                with scope(actor):
                    back = Outbox.objects.filter(
                        pk__in=[r.pk for r in rows], attempts=1, delivered_at__isnull=True
                    )
                    back.update(attempts=0, due_at=at)
                alone_now += free
                break
            handled += len(rows)
            if len(rows) < BATCH:
                break
    return handled, list(dict.fromkeys(alone_now))


def _waiting(organization_id: int) -> QuerySet[Outbox]:
    rows = Outbox.objects.filter(
        organization_id=organization_id, delivered_at__isnull=True, parked_at__isnull=True
    )
    since = settings.EXCHANGE_SINCE
    return rows if since is None or _asleep.get() else rows.filter(due_at__gt=since)


def stretch(at: datetime) -> tuple[datetime, datetime]:
    """From when to when it must have come what this process takes up at a moment: who replays the
    past takes nothing that came later, and leaves the present to the workers, as they do the past.
    """
    if _asleep.get():
        return EVER, at
    return settings.EXCHANGE_SINCE or EVER, NEVER


def _lock(organization_id: int, name: str) -> str:
    """The name of the lock of a subscriber's events; past and present do not wait for each
    other.
    """
    return f"outbox:{organization_id}:{name}{':past' if _asleep.get() else ''}"


def _deliver_next(
    organization_id: int, name: str, *, at: datetime, only: int | None = None
) -> int | None:
    """Claim and handle the next batch of one subscriber: how many were handled, None when nothing
    is due. Under the subscriber's lock.
    """
    actor = Actor.system(name, [organization_id])
    with scope(actor):
        rows = _claim(organization_id, name, at=at, only=only)
    if not rows:
        return None
    subscription = _SUBSCRIPTIONS.get(name)
    if rows[0].attempts > TRIES:
        _park(rows, "The process ended each time while it was handled.", actor=actor, at=at)
        return 0
    if subscription is None:
        _park(rows, f"No part of the product is called {name} any more.", actor=actor, at=at)
        return 0
    try:
        with scope(actor):
            if not _settle(rows, at=at):
                return 0
            events = [Event(r.pk, r.topic, r.organization_id, r.payload) for r in rows]
            with together():
                subscription.handler(events, actor=actor, at=at)
        return len(rows)
    except Exception as error:
        log.warning(
            "outbox %s, %s rows from %s: %s",
            name,
            len(rows),
            rows[0].pk,
            type(error).__name__,
            exc_info=len(rows) == 1,
        )
        if len(rows) > 1:
            # one of them cannot be handled: one by one, the others go through now
            return sum(_deliver_next(organization_id, name, at=at, only=r.pk) or 0 for r in rows)
        with scope(actor):
            Outbox.objects.filter(pk=rows[0].pk, attempts=rows[0].attempts).update(
                error=reason_of(error)[:300]
            )
        if rows[0].attempts >= TRIES:
            _park(rows, reason_of(error), actor=actor, at=at)
        return 0


def _claim(organization_id: int, name: str, *, at: datetime, only: int | None) -> list[Outbox]:
    """Count the try before it is made, so that an event that kills its worker is counted too. Fresh
    events come as a batch, others alone.
    """
    waiting = _waiting(organization_id).filter(subscriber=name).order_by("id")
    if only is not None:
        return list(waiting.filter(pk=only))
    due = waiting.filter(due_at__lte=at)
    rows = list(due.filter(attempts=0)[:BATCH]) or list(due[:1])
    if rows:
        tries = rows[0].attempts + 1
        Outbox.objects.filter(pk__in=[r.pk for r in rows]).update(
            attempts=tries, due_at=at + pause_after(tries)
        )
        for row in rows:
            row.attempts = tries
    return rows


def _settle(rows: Sequence[Outbox], *, at: datetime) -> bool:
    """Mark as delivered, in the effect's transaction; False when another worker has taken one of
    them since.
    """
    ids = [r.pk for r in rows]
    found = Outbox.objects.filter(
        pk__in=ids, attempts=rows[0].attempts, delivered_at__isnull=True, parked_at__isnull=True
    )
    return found.update(delivered_at=at, error="") == len(ids)


def _park(rows: Sequence[Outbox], reason: str, *, actor: Actor, at: datetime) -> None:
    with scope(actor):
        Outbox.objects.filter(pk__in=[r.pk for r in rows], delivered_at__isnull=True).update(
            parked_at=at, error=reason[:300]
        )
        others = [r for r in rows if r.topic not in (PARKED, RETRIED)]
        if others:
            publish_many(
                PARKED,
                organization_id=rows[0].organization_id,
                payloads=[{"outbox_id": r.pk} for r in others],
                due_at=at,
            )


@transaction.atomic
def retry_parked(outbox_ids: Iterable[int], *, actor: Actor, at: datetime | None = None) -> int:
    """Give parked events another five tries. Needs `exchange.replay`."""
    if not actor.can_somewhere("exchange.replay"):
        raise PermissionRefused("exchange.replay")
    at = at or timezone.now()
    able = actor.where("exchange.replay")
    rows = Outbox.objects.visible_to(able).filter(pk__in=list(outbox_ids), parked_at__isnull=False)
    found = list(rows.select_for_update().values_list("id", "organization_id", "queue"))
    Outbox.objects.filter(pk__in=[pk for pk, _, _ in found]).update(
        parked_at=None, attempts=0, due_at=at, error=""
    )
    for organization_id in {organization_id for _, organization_id, _ in found}:
        mine = [{"outbox_id": pk} for pk, owner, _ in found if owner == organization_id]
        publish_many(RETRIED, organization_id=organization_id, payloads=mine, due_at=at)
    for organization_id, queue in {(organization_id, queue) for _, organization_id, queue in found}:
        wake_on_commit(organization_id, queue)
    return len(found)


# --- waking ---------------------------------------------------------------------------------------

_asleep: ContextVar[bool] = ContextVar("asleep", default=False)


@contextmanager
def asleep() -> Iterator[None]:
    """Send no wake-up calls in this block: who fills a calendar drains by itself, and takes only
    what came up to the moment for which it drains.
    """
    token = _asleep.set(True)
    try:
        yield
    finally:
        _asleep.reset(token)


class Waker:
    """Tells workers through the broker that there is work, from a thread of its own, so that nobody
    waits for a broker that is down.

    Calls for the same organization and queue that have not left yet are one call. A call that
    cannot be sent is dropped: the reconciler looks into the tables every few seconds.
    """

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._pending: dict[tuple[int, str], None] = {}
        self._thread: threading.Thread | None = None
        self._pid = 0

    def wake(self, organization_id: int, queue: str) -> None:
        with self._ready:
            if self._pid != os.getpid() or self._thread is None or not self._thread.is_alive():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._run, name="outbox-waker", daemon=True)
                self._thread.start()
            self._pending[(organization_id, queue)] = None
            self._ready.notify()

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._pending:
                    self._ready.wait()
                calls, self._pending = list(self._pending), {}
            for organization_id, queue in calls:
                try:
                    current_app.send_task(
                        "rcm.exchange.tasks.work",
                        (organization_id, queue),
                        queue=queue,
                        retry=False,
                    )
                except Exception as error:
                    log.warning(
                        "broker does not answer (%s); the reconciler will find the work",
                        type(error).__name__,
                    )
                    break


_waker = Waker()


def wake(organization_id: int, queue: str) -> None:
    """Tell the workers of a queue that this organization has work. Never raises, never waits."""
    if not _asleep.get():
        _waker.wake(organization_id, queue)


def wake_on_commit(organization_id: int, queue: str) -> None:
    """Wake once the transaction is committed; many calls in one transaction are one."""
    if _asleep.get():
        return
    key = (organization_id, str(queue))
    if any(getattr(entry[1], "wakes", None) == key for entry in connection.run_on_commit):
        return

    def call() -> None:
        wake(*key)

    call.wakes = key  # type: ignore[attr-defined]
    transaction.on_commit(call, robust=True)


__all__ = [
    "Event",
    "asleep",
    "deliver_due",
    "publish",
    "publish_many",
    "retry_parked",
    "subscribe",
    "wake",
    "wake_on_commit",
]
