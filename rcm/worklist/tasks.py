"""Background work of the queues."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.worklist import services

BEAT: dict[str, dict[str, Any]] = {
    "worklist-return": {
        "task": "rcm.worklist.tasks.return_due",
        "schedule": 120.0,
        "options": {"queue": "realtime", "expires": 120},
    },
}


@shared_task(name="rcm.worklist.tasks.return_due")
def return_due() -> int:
    """Bring back what waits until today, and free holds that ran out."""
    returned = 0
    for pk in Organization.objects.filter(active=True).values_list("id", flat=True):
        actor = Actor.system("worklist", [pk])
        with scope(actor):
            returned += services.return_pended(actor=actor)
    return returned
