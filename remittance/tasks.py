"""Celery: wake-up calls. What must not be lost stands in a table: runs, events, interchanges."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.exchange.tasks import scoped_task
from rcm.jobs.services import watched
from remittance import events
from remittance.services import runs
from remittance.services import upkeep as keep_up

BEAT: dict[str, dict[str, Any]] = {
    "remittance-resume": {
        "task": "remittance.tasks.resume",
        "schedule": 15.0,
        "options": {"queue": "realtime", "expires": 15},
    },
    "remittance-upkeep": {
        "task": "remittance.tasks.upkeep",
        "schedule": 3600.0,
        "options": {"queue": "batch"},
    },
}


@shared_task(name="remittance.tasks.post_run", queue="posting")
def post_run(organization_id: int, run_id: int) -> None:
    """One posting run, or what is left of it."""
    with watched(organization_id):
        runs.posting_run(run_id, organization_id=organization_id)


@shared_task(name="remittance.tasks.resume", queue="realtime")
def resume() -> int:
    """Call the workers for posting runs that nobody holds."""
    actor = Actor.system("posting", Organization.objects.values_list("id", flat=True))
    with scope(actor):
        return runs.posting_resume(actor=actor)


@shared_task(name="remittance.tasks.upkeep", queue="batch")
def upkeep() -> None:
    """Clocks, scores and cases of every organization, each as its own task."""
    for organization_id in Organization.objects.filter(active=True).values_list("id", flat=True):
        upkeep_one.delay(organization_id)


@scoped_task(queue="batch")
def upkeep_one(*, actor: Actor) -> None:
    """One organization's upkeep."""
    for organization_id in actor.organizations:
        keep_up(organization_id=organization_id, actor=actor)
        events.post_waiting(organization_id=organization_id, actor=actor, at=timezone.now())
