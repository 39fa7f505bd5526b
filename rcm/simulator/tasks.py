"""The demo keeps living: what the clearinghouse has for anybody is picked up again and again, and
then read.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.exchange.mailbox import pick_up
from rcm.exchange.models import Connection, ConnectionKind, WorkQueue

BEAT: dict[str, dict[str, Any]] = {
    "mailboxes": {
        "task": "rcm.simulator.tasks.mailboxes",
        "schedule": 20.0,
        "options": {"queue": WorkQueue.REALTIME, "expires": 20},
    },
}


@shared_task(name="rcm.simulator.tasks.mailboxes")
def mailboxes() -> int:
    """Pick up the mail of every connection that has a mailbox; the exchange room calls who reads
    it. Returns the number of files.
    """
    found = 0
    for pk in Organization.objects.filter(active=True).values_list("id", flat=True):
        actor = Actor.system("mailbox", [pk])
        with scope(actor):
            lines = list(
                Connection.objects.filter(
                    organization_id=pk, kind=ConnectionKind.HTTP, config__has_key="mailbox"
                )
            )
        for line in lines:
            found += len(pick_up(line, actor=actor))
    return found
