"""How the exchange is doing: what waits, since when, what was given up, when each partner was last
heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, OuterRef, QuerySet, Subquery

from rcm.accounts.actor import Actor
from rcm.exchange.models import Connection, Interchange, InterchangeStatus, Outbox, WorkQueue

LATE = timedelta(minutes=1)
WAITING = (InterchangeStatus.STORED, InterchangeStatus.SENDING)
STOPPED = (InterchangeStatus.FAILED, InterchangeStatus.QUARANTINED)


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """What waits in one queue. `oldest` is when the oldest of it became due; `late` that workers or
    broker do not come after.
    """

    queue: str
    label: str
    events: int
    messages: int
    oldest: datetime | None
    late: bool


def open_events(actor: Actor) -> QuerySet[Outbox]:
    return Outbox.objects.visible_to(actor).filter(
        delivered_at__isnull=True, parked_at__isnull=True
    )


def queues(actor: Actor, *, at: datetime) -> list[QueueHealth]:
    """Backlog by queue: two queries."""
    due = {
        row["queue"]: row
        for row in (
            open_events(actor)
            .filter(due_at__lte=at)
            .values("queue")
            .annotate(n=Count("id"), oldest=Min("due_at"))
            .order_by()
        )
    }
    waiting = (
        Interchange.objects.visible_to(actor)
        .filter(status__in=WAITING)
        .exclude(status=InterchangeStatus.STORED, direction="out", connection=None)
    )
    messages = {
        row["queue"]: row
        for row in (
            waiting.values("queue").annotate(n=Count("id"), oldest=Min("created_at")).order_by()
        )
    }
    found = []
    for code, label in WorkQueue.choices:
        moments = [r["oldest"] for r in (due.get(code), messages.get(code)) if r]
        oldest = min(moments) if moments else None
        found.append(
            QueueHealth(
                code,
                str(label),
                due[code]["n"] if code in due else 0,
                messages[code]["n"] if code in messages else 0,
                oldest,
                oldest is not None and at - oldest > LATE,
            )
        )
    return found


def parked(actor: Actor) -> QuerySet[Outbox]:
    """Events that could not be handled, newest first."""
    return Outbox.objects.visible_to(actor).filter(parked_at__isnull=False).order_by("-id")


def stopped(actor: Actor) -> int:
    """Interchanges that wait for a person, and parked events."""
    return (
        Interchange.objects.visible_to(actor).filter(status__in=STOPPED).count()
        + parked(actor).count()
    )


def partners(actor: Actor) -> QuerySet[Connection]:
    """The connections, each with `last_in` and `last_out`, read from the end of an index."""

    def last(direction: str) -> Subquery:
        rows = Interchange.objects.filter(connection=OuterRef("pk"), direction=direction).order_by(
            "-id"
        )
        return Subquery(rows.values("received_at")[:1])

    rows = (
        Connection.objects.visible_to(actor)
        .select_related("organization")
        .annotate(last_in=last("in"), last_out=last("out"))
    )
    return rows.order_by("organization__name", "kind", "name")
