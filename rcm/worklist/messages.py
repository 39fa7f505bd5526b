"""The queue of what partners sent or were sent and what did not go through, and of events that no
part of the product could handle.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.urls import reverse

from rcm.accounts.actor import Actor
from rcm.exchange.models import Interchange, InterchangeStatus, Outbox
from rcm.exchange.services import Event
from rcm.worklist.models import WorkItem
from rcm.worklist.registry import Fix, Panel, Queue
from rcm.worklist.services import ItemSpec, close_items, open_items

ANSWER_WITHIN = timedelta(hours=4)
STOPPED = {InterchangeStatus.FAILED, InterchangeStatus.QUARANTINED}


def open_failed(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """An item for each interchange that failed or was quarantined and still is."""
    rows = Interchange.objects.filter(
        pk__in=[e.payload["interchange_id"] for e in events], status__in=STOPPED
    )
    open_items(
        [
            ItemSpec(
                organization_id=row.organization_id,
                queue="messages",
                subject_type="interchange",
                subject_id=row.pk,
                cause=f"interchange.{row.status}",
                title=f"{row.kind} {row.get_direction_display().lower()}: {row.error}"[:200],
                fix="Correct the cause or ask the sender for a new message, then process it again.",
                due_at=at + ANSWER_WITHIN,
                payer_name=row.connection.name[:80] if row.connection else "",
                facts={"kind": row.kind, "control_number": row.control_number},
            )
            for row in rows.select_related("connection").defer("content")
        ],
        actor=actor,
        at=at,
    )


def close_recovered(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    close_items(
        "interchange",
        [e.payload["interchange_id"] for e in events],
        actor=actor,
        at=at,
        outcome="Went through",
    )


def open_parked(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """An item for each event that was given up after its tries."""
    rows = Outbox.objects.filter(
        pk__in=[e.payload["outbox_id"] for e in events], parked_at__isnull=False
    )
    open_items(
        [
            ItemSpec(
                organization_id=row.organization_id,
                queue="messages",
                subject_type="outbox",
                subject_id=row.pk,
                cause="delivery.parked",
                title=f"{row.topic} for {row.subscriber}: {row.error}"[:200],
                fix="Remove the cause, then try it again on the page Backlog.",
                due_at=at + ANSWER_WITHIN,
                facts={"kind": row.topic},
            )
            for row in rows
        ],
        actor=actor,
        at=at,
    )


def close_retried(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    close_items(
        "outbox",
        [e.payload["outbox_id"] for e in events],
        actor=actor,
        at=at,
        outcome="Tried again",
    )


def panel(item: WorkItem, actor: Actor) -> Panel:
    """Why it stopped, and the page where it stands as received."""
    if item.subject_type == "outbox":
        return Panel(
            why=item.title,
            fixes=[Fix("Open the backlog", reverse("exchange:backlog"), primary=True)],
        )
    row = Interchange.objects.visible_to(actor).filter(pk=item.subject_id).defer("content").first()
    if row is None:
        return Panel(why=item.title)
    return Panel(
        why=row.error or item.title,
        fixes=[
            Fix(
                "Show as received",
                reverse("exchange:interchange", args=[row.public_id]),
                primary=True,
            ),
            Fix(
                "Process again",
                reverse("exchange:replay", args=[row.public_id]),
                method="post",
                permission="exchange.replay",
            ),
        ],
        event_keys={"interchange_id": row.pk},
    )


MESSAGES = Queue(
    code="messages",
    label="Messages",
    group="System",
    permission="exchange.view",
    rank=5,
    empty="Every message went through.",
    deadline_word="Answer by",
    facts=(("kind", "Kind"), ("control_number", "Control number")),
    panel=panel,
    work_permission="exchange.replay",
)
