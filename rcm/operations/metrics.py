"""Figures of the whole product for Prometheus: counts and ages, never a name, a number or a path.

Requests are counted by the web processes themselves (django-prometheus, by the name of a route);
what waits and how long is asked of the database and the broker when somebody looks. One that does
not answer leaves its figures out; `isocenter_part_up` says which.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import psutil
from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count, Max, Min
from django.utils import timezone
from kombu.exceptions import KombuError
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.exchange import health, hold
from rcm.exchange.models import Interchange, InterchangeStatus, WorkQueue
from rcm.jobs.models import JobRun, JobStatus
from rcm.operations import beats, readiness
from rcm.operations.models import Backup

Figures = Iterator[Gauge]
PREFIX = "isocenter"
DAY = timedelta(days=1)
# what a scrape may take of the database
SECONDS = 5


def text() -> bytes:
    """Everything in the text form of Prometheus."""
    registry = CollectorRegistry()
    registry.register(Product())
    return _of_requests() + generate_latest(registry)


def _of_requests() -> bytes:
    """The counters of all web processes together; of this one alone where they share no folder."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return generate_latest(REGISTRY)
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return generate_latest(shared)


class Product(Collector):
    """Asked anew at each scrape."""

    def collect(self) -> Figures:
        yield from _parts()
        yield from _signs()
        yield from _disk()
        with suppress(RedisError, KombuError, OSError):
            yield from list(_broker())
        with suppress(DatabaseError):
            yield from list(_database(timezone.now()))


def gauge(name: str, words: str, *labels: str) -> Gauge:
    return Gauge(f"{PREFIX}_{name}", words, labels=labels)


def plain(name: str, words: str, value: float) -> Gauge:
    return Gauge(f"{PREFIX}_{name}", words, value=value)


def _parts() -> Figures:
    up = gauge("part_up", "1 while this part of the product works", "part")
    for part in readiness.parts():
        up.add_metric([part.name], 0 if part.fault else 1)
    yield up


def _signs() -> Figures:
    age = gauge("heartbeat_age_seconds", "Since the last sign of workers and scheduler", "part")
    for name, seconds in beats.ages(readiness.who_beats()).items():
        if seconds is not None:
            age.add_metric([name], seconds)
    yield age


def _disk() -> Figures:
    free = gauge("disk_free_bytes", "Left on the disk of this place", "place")
    for name, path in (("program", settings.BASE_DIR), ("files", Path(settings.MEDIA_ROOT))):
        with suppress(OSError):
            free.add_metric([name], psutil.disk_usage(str(path)).free)
    yield free


def _broker() -> Figures:
    depth = gauge("broker_jobs", "Jobs that lie in the broker, not taken yet", "queue")
    with current_app.connection_for_read() as broker:
        channel = broker.default_channel
        for queue in WorkQueue.values:
            depth.add_metric([queue], channel.client.llen(queue))
        taken = channel.client.zcard(channel.unacked_index_key)
    yield depth
    yield plain("broker_taken_jobs", "Jobs that a worker has taken and not ended", taken)


def _database(at: datetime) -> Figures:
    everywhere = Actor.system("metrics", Organization.objects.values_list("pk", flat=True))
    with scope(everywhere), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
        for figures in FIGURES:
            yield from figures(everywhere, at)


def _queues(actor: Actor, at: datetime) -> Figures:
    events = gauge("outbox_due", "Domain events that are due and not handled", "queue")
    messages = gauge("interchanges_waiting", "Interchanges that wait for a worker", "queue")
    oldest = gauge("oldest_waiting_seconds", "Since the oldest of both became due", "queue")
    for found in health.queues(actor, at=at):
        events.add_metric([found.queue], found.events)
        messages.add_metric([found.queue], found.messages)
        age = max((at - found.oldest).total_seconds(), 0) if found.oldest else 0
        oldest.add_metric([found.queue], age)
    yield from (events, messages, oldest)
    yield plain("outbox_parked", "Events given up, for a person", health.parked(actor).count())


def _interchanges(actor: Actor, at: datetime) -> Figures:
    states = gauge("interchanges", "Interchanges by their state", "state")
    rows = Interchange.objects.visible_to(actor).order_by().values("status")
    found = {row["status"]: row["n"] for row in rows.annotate(n=Count("pk"))}
    for state in InterchangeStatus.values:
        states.add_metric([state], found.get(state, 0))
    yield states


def _jobs(actor: Actor, at: datetime) -> Figures:
    states = gauge("jobs", "Batch runs; silent: their worker is gone; failed: in a day", "state")
    mine = JobRun.objects.visible_to(actor)
    waiting = mine.filter(status=JobStatus.QUEUED).aggregate(
        n=Count("pk"), oldest=Min("created_at")
    )
    running = mine.filter(status=JobStatus.RUNNING)
    silent = running.filter(lease_until__lt=at).count()
    states.add_metric(["waiting"], waiting["n"])
    states.add_metric(["running"], running.count() - silent)
    states.add_metric(["silent"], silent)
    failed = mine.filter(status=JobStatus.FAILED, ended_at__gte=at - DAY)
    states.add_metric(["failed"], failed.count())
    yield states
    age = (at - waiting["oldest"]).total_seconds() if waiting["oldest"] else 0
    yield plain("oldest_waiting_job_seconds", "Age of the oldest batch run not begun", age)


def _server(actor: Actor, at: datetime) -> Figures:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)::float,"
            " count(*), pg_database_size(current_database()) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        oldest, sessions, size = cursor.fetchone()
    yield plain("oldest_transaction_seconds", "Age of the product's oldest transaction", oldest)
    yield plain("database_sessions", "Sessions in the database", sessions)
    yield plain("database_bytes", "Size of the database", size)


def _backups(actor: Actor, at: datetime) -> Figures:
    last = Backup.objects.aggregate(last=Max("at"))["last"]
    if last is not None:
        age = (at - last).total_seconds()
        yield plain("backup_age_seconds", "Since the last whole backup began", age)


def _held(actor: Actor, at: datetime) -> Figures:
    stands = hold.held() is not None
    yield plain("sending_held", "1 while a restore holds back what leaves", int(stands))


FIGURES: tuple[Callable[[Actor, datetime], Figures], ...] = (
    _queues,
    _interchanges,
    _jobs,
    _server,
    _backups,
    _held,
)
