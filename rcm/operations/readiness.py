"""Whether the whole product can work: database, schema, Redis, each queue's workers, the scheduler.

Every part is asked by itself, so that the answer names what is down and not only what fell first.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache

from django.core.cache import caches
from django.db import DatabaseError, connection, transaction
from django.db.migrations.loader import MigrationLoader

from rcm.exchange.models import WorkQueue
from rcm.operations import beats

log = logging.getLogger(__name__)
SECONDS = 3
CANNOT = "cannot be asked"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that the product needs, and what is wrong with it (empty: nothing)."""

    name: str
    fault: str = ""


def who_beats() -> list[str]:
    return [*WorkQueue.values, beats.SCHEDULER]


def parts() -> list[Part]:
    """Every part, in the order in which one would look."""
    redis = _redis()
    signs = [Part(name, CANNOT) for name in who_beats()] if redis.fault else _signs()
    return [*_database(), redis, *signs]


def _database() -> list[Part]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
            cursor.execute("SELECT app || '.' || name FROM django_migrations")
            applied = {name for (name,) in cursor.fetchall()}
    except DatabaseError as error:
        log.warning("readiness: the database does not answer (%s)", type(error).__name__)
        return [Part("database", "does not answer"), Part("migrations", CANNOT)]
    missing = sorted(_of_this_release() - applied)
    fault = f"{len(missing)} not applied, first {missing[0]}" if missing else ""
    return [Part("database"), Part("migrations", fault)]


@cache
def _of_this_release() -> frozenset[str]:
    loader = MigrationLoader(None)
    replaced = {old for migration in loader.disk_migrations.values() for old in migration.replaces}
    return frozenset(".".join(key) for key in loader.disk_migrations if key not in replaced)


def _redis() -> Part:
    alive = getattr(caches["default"], "ping", lambda: True)()
    return Part("redis", "" if alive else "does not answer")


def _signs() -> list[Part]:
    found = beats.ages(who_beats())
    return [Part(name, _silence(age)) for name, age in found.items()]


def _silence(age: float | None) -> str:
    if age is None:
        return "was never heard"
    return f"silent for {age:.0f} s" if age > beats.DEAD_AFTER_SECONDS else ""
