"""Doors of the audit room: record steps of the thread, record chart reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from rcm.accounts import bulk, reading
from rcm.accounts.actor import Actor
from rcm.accounts.reading import Charts
from rcm.accounts.together import WRITE, later
from rcm.audit.models import Access, Event

KEYS = (
    "patient_id",
    "ordered_exam_id",
    "authorization_id",
    "exam_id",
    "claim_id",
    "denial_id",
    "work_item_id",
    "interchange_id",
    "remittance_id",
)
EVENT = (
    "organization_id",
    "at",
    "verb",
    "sentence",
    "reason",
    "old_status",
    "new_status",
    "actor_name",
    "actor_kind",
    "user_id",
    *KEYS,
    "data",
)


@dataclass(slots=True)
class Step:
    """One event to record. `keys` names the rows of the thread it belongs to, e.g. {"exam_id": 7,
    "claim_id": 9}.
    """

    organization_id: int
    verb: str
    sentence: str
    keys: dict[str, int | None] = field(default_factory=dict)
    old: str = ""
    new: str = ""
    reason: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def record_steps(steps: Iterable[Step], *, actor: Actor, at: datetime | None = None) -> None:
    """Write events in bulk, in the caller's transaction. `at` is business time; now when not
    given.
    """
    at = at or timezone.now()
    who = (actor.name, actor.kind, actor.user_id)
    events = [
        (
            s.organization_id,
            at,
            s.verb,
            s.sentence[:300],
            s.reason[:300],
            s.old,
            s.new,
            *who,
            *[s.keys.get(key) for key in KEYS],
            s.data,
        )
        for s in steps
    ]
    if not later(_write, events, turn=WRITE):
        _write(events)


def _write(events: Sequence[tuple[Any, ...]]) -> None:
    if not events:
        return
    columns = dict(zip(EVENT, zip(*events, strict=True), strict=True))
    columns["public_id"] = tuple(bulk.public_ids(len(events)))
    bulk.insert_columns(Event, columns, same={"created_at": timezone.now()})


def record_access(
    *,
    organization_id: int,
    patient_ids: Iterable[int],
    actor: Actor,
    purpose: str,
    request_id: str = "",
) -> None:
    """Log that `actor` read these patients' charts. Automatic steps are not logged: they are in the
    events.
    """
    if actor.kind == "system":
        return
    patient_ids = set(patient_ids)
    reading.logged(organization_id, patient_ids)
    Access.objects.bulk_create(
        [
            Access(
                organization_id=organization_id,
                patient_id=p,
                actor_name=actor.name,
                actor_kind=actor.kind,
                user_id=actor.user_id,
                purpose=purpose[:60],
                request_id=request_id[:80],
            )
            for p in sorted(patient_ids)
        ]
    )


def log_charts(charts: Charts, actor: Actor, purpose: str, request_id: str) -> None:
    """The charts that a page has shown, in one statement an organization."""
    for organization_id, patient_ids in charts.items():
        record_access(
            organization_id=organization_id,
            patient_ids=patient_ids,
            actor=actor,
            purpose=purpose,
            request_id=request_id,
        )
