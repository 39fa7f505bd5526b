"""Background work of the authorization phase: clocks and expiry."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.schedules import crontab

from authorizations import services
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.exchange.models import WorkQueue

BEAT: dict[str, dict[str, Any]] = {
    "authorizations-clocks": {
        "task": "authorizations.tasks.clocks",
        "schedule": crontab(minute="5"),
        "options": {"queue": WorkQueue.BATCH},
    },
    "authorizations-expiry": {
        "task": "authorizations.tasks.expiry",
        "schedule": crontab(hour="9", minute="15"),
        "options": {"queue": WorkQueue.BATCH},
    },
}


@shared_task(name="authorizations.tasks.clocks")
def clocks() -> None:
    """Every hour: decision times that ran out and hard stops that were reached move gates and
    items.
    """
    _each("authorization clocks", services.reminders)


@shared_task(name="authorizations.tasks.expiry")
def expiry() -> None:
    _each("authorization expiry", services.expiry_guard)


def _each(name: str, verb: Any) -> None:
    for pk in Organization.objects.filter(active=True).values_list("id", flat=True):
        actor = Actor.system(name, [pk])
        with scope(actor):
            verb(actor=actor)
