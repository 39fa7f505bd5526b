"""The rail's figure."""

from __future__ import annotations

from rcm.accounts.actor import Actor
from rcm.web import keyset
from rcm.worklist.filters import due_q, opened_to
from rcm.worklist.models import ItemStatus

LIMIT = 9_999


def due_for(actor: Actor) -> int:
    """What is due today in the actor's queues: their own items and nobody's; counting stops at
    9,999.
    """
    rows = opened_to(actor).filter(due_q(), status=ItemStatus.OPEN)
    if not actor.can("work.assign"):
        rows = rows.filter(owner_id=actor.user_id) | rows.filter(owner__isnull=True)
    return keyset.capped_count(rows, LIMIT)[0]
