"""The verbs of the worklist: open, close, take, release, work next, pend, assign, escalate, note,
finish, bulk.

Every touch by a person ends with an outcome and a next-action date. Taking is a compare-and-set on
`version`; "work next" leases with SKIP LOCKED and a fencing token, so that a holder who wakes late
is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import User
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.jobs import robots
from rcm.worklist import registry
from rcm.worklist.models import ALLOWED, Interaction, ItemStatus, WorkItem


@dataclass(frozen=True, slots=True)
class ItemSpec:
    """Something stopped at a gate. `cause` is the finding's code; `title` says why in one sentence;
    `fix` what to do.
    """

    organization_id: int
    queue: str
    subject_type: str
    subject_id: int
    cause: str
    title: str
    due_at: datetime
    fix: str = ""
    dollars: Decimal = Decimal("0.00")
    deadline_on: date | None = None
    site_id: int | None = None
    patient_id: int | None = None
    patient_name: str = ""
    exam_id: int | None = None
    claim_id: int | None = None
    payer_id: int | None = None
    payer_name: str = ""
    score: Decimal = Decimal("0.00")
    tags: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


CLOSE_CURED, CURED = "close_cured", "cured"
ENDED = (ItemStatus.DONE, ItemStatus.CLOSED)
_LIVE = Q(status__in=[ItemStatus.OPEN, ItemStatus.PENDED])
_COPY = [
    "queue",
    "cause",
    "title",
    "fix",
    "dollars",
    "deadline_on",
    "due_at",
    "site_id",
    "patient_id",
    "patient_name",
    "exam_id",
    "claim_id",
    "payer_id",
    "payer_name",
    "score",
    "facts",
]


@transaction.atomic
def open_items(specs: Sequence[ItemSpec], *, actor: Actor, at: datetime | None = None) -> int:
    """Open or refresh items, one home per subject: the cause whose queue stands first in the
    waterfall is home, others are tags.

    Repeating the same specs changes nothing. Returns the number of items opened anew.
    """
    at = at or timezone.now()
    best: dict[tuple[int, str, int], ItemSpec] = {}
    tags: dict[tuple[int, str, int], set[str]] = {}
    for spec in specs:
        key = (spec.organization_id, spec.subject_type, spec.subject_id)
        tags.setdefault(key, set()).update((spec.cause, *spec.tags))
        if key not in best or registry.rank(spec.queue) < registry.rank(best[key].queue):
            best[key] = spec
    if not best:
        return 0
    by_kind: dict[tuple[int, str], list[int]] = {}
    for org, kind, subject in best:
        by_kind.setdefault((org, kind), []).append(subject)
    live: dict[tuple[int, str, int], WorkItem] = {}
    for (org, kind), subjects in by_kind.items():
        for item in WorkItem.objects.filter(
            _LIVE, organization_id=org, subject_type=kind, subject_id__in=subjects
        ).select_for_update():
            live[(org, kind, item.subject_id)] = item
    fresh: list[WorkItem] = []
    changed: list[WorkItem] = []
    for key, spec in best.items():
        extra = sorted(tags[key] - {spec.cause})
        found = live.get(key)
        if found is None:
            fresh.append(
                WorkItem(
                    organization_id=spec.organization_id,
                    subject_type=spec.subject_type,
                    subject_id=spec.subject_id,
                    tags=extra,
                    opened_at=at,
                    **{name: getattr(spec, name) for name in _COPY},
                )
            )
            continue
        item = found
        if registry.rank(spec.queue) > registry.rank(item.queue) and spec.cause != item.cause:
            merged = sorted({*item.tags, *tags[key]} - {item.cause})
            if merged != item.tags:
                item.tags = merged
                changed.append(item)
            continue
        before = [getattr(item, name) for name in _COPY] + [item.tags]
        if item.cause != spec.cause:
            extra = sorted({*extra, *item.tags, item.cause} - {spec.cause})
        for name in _COPY:
            setattr(item, name, getattr(spec, name))
        item.tags = extra
        if before != [getattr(item, name) for name in _COPY] + [item.tags]:
            changed.append(item)
    WorkItem.objects.bulk_create(fresh, batch_size=1000)
    if changed:
        WorkItem.objects.bulk_update(changed, [*_COPY, "tags"], batch_size=500)
    record_steps(
        (
            Step(
                i.organization_id,
                "work.opened",
                i.title,
                {
                    "work_item_id": i.pk,
                    "exam_id": i.exam_id,
                    "claim_id": i.claim_id,
                    "patient_id": i.patient_id,
                },
                new=ItemStatus.OPEN,
                data={"queue": i.queue, "cause": i.cause},
            )
            for i in fresh
        ),
        actor=actor,
        at=at,
    )
    return len(fresh)


@transaction.atomic
def close_items(
    subject_type: str,
    subject_ids: Iterable[int],
    *,
    actor: Actor,
    at: datetime | None = None,
    outcome: str = "Cause is gone",
    causes: Iterable[str] | None = None,
    queues: Iterable[str] | None = None,
    sure: bool = False,
) -> int:
    """Close live items whose cause is gone (all causes, or only the named ones, or only in the
    named queues).

    A machine closes them only where the robot that does so is on; otherwise the items stay, tagged
    "cured", for a person to finish. `sure` is for items about the machine itself.
    """
    at = at or timezone.now()
    rows = WorkItem.objects.filter(
        _LIVE, subject_type=subject_type, subject_id__in=list(subject_ids)
    )
    if causes is not None:
        rows = rows.filter(cause__in=list(causes))
    if queues is not None:
        rows = rows.filter(queue__in=list(queues))
    items = list(rows.select_for_update())
    if actor.kind == "system" and not sure:
        items = _left_to_robot(items, at)
    if not items:
        return 0
    status = ItemStatus.CLOSED if actor.kind == "system" else ItemStatus.DONE
    WorkItem.objects.filter(pk__in=[i.pk for i in items]).update(
        status=status,
        closed_at=at,
        outcome=outcome[:60],
        lease_until=None,
        version=F("version") + 1,
    )
    record_steps(
        (
            Step(
                i.organization_id,
                "work.closed",
                f"{i.title}: {outcome}",
                {
                    "work_item_id": i.pk,
                    "exam_id": i.exam_id,
                    "claim_id": i.claim_id,
                    "patient_id": i.patient_id,
                },
                old=i.status,
                new=status,
            )
            for i in items
        ),
        actor=actor,
        at=at,
    )
    return len(items)


def _left_to_robot(items: list[WorkItem], at: datetime) -> list[WorkItem]:
    """The items that the robot may close, counted as its work; the others are tagged as cured."""
    off = robots.switched_off(CLOSE_CURED, {i.organization_id for i in items})
    cured = [i for i in items if i.organization_id in off and CURED not in i.tags]
    for item in cured:
        item.tags = sorted({*item.tags, CURED})
        item.version += 1
    if cured:
        WorkItem.objects.bulk_update(cured, ["tags", "version"], batch_size=500)
    mine = [i for i in items if i.organization_id not in off]
    for organization_id in sorted({i.organization_id for i in mine}):
        robots.count_run(
            CLOSE_CURED,
            organization_id,
            done=sum(i.organization_id == organization_id for i in mine),
            at=at,
        )
    return mine


def _touch(
    item: WorkItem,
    *,
    version: int | None,
    actor: Actor,
    verb: str,
    sentence: str,
    at: datetime,
    reason: str = "",
    **changes: Any,
) -> WorkItem:
    """Compare-and-set one item and record the step. Raises Conflict when somebody else was
    first.
    """
    new_status = changes.get("status", item.status)
    if item.status in ENDED and new_status in ENDED:
        raise Refused("This item is finished. Open it again first.", code="finished")
    if new_status != item.status and new_status not in ALLOWED[item.status]:
        raise Refused(
            f"An item that is {item.get_status_display().lower()} cannot become"
            f" {ItemStatus(new_status).label.lower()}.",
            code="not_allowed",
        )
    rows = WorkItem.objects.filter(pk=item.pk, version=item.version if version is None else version)
    if not rows.update(version=F("version") + 1, **changes):
        raise Conflict(
            "Somebody else has changed this item in the meantime. Here is the fresh row; look, then"
            " try again."
        )
    record_steps(
        [
            Step(
                item.organization_id,
                verb,
                sentence,
                {
                    "work_item_id": item.pk,
                    "exam_id": item.exam_id,
                    "claim_id": item.claim_id,
                    "patient_id": item.patient_id,
                },
                old=item.status,
                new=str(new_status),
                reason=reason,
            )
        ],
        actor=actor,
        at=at,
    )
    item.refresh_from_db()
    return item


@transaction.atomic
def item_take(
    *, item: WorkItem, actor: Actor, version: int | None = None, at: datetime | None = None
) -> WorkItem:
    """Take an item: owner and a lease of 20 minutes. Refused while another person's lease runs."""
    at = at or timezone.now()
    if (
        item.owner_id
        and item.owner_id != actor.user_id
        and item.lease_until
        and item.lease_until > at
    ):
        raise Conflict("A colleague is working on this item right now.")
    return _touch(
        item,
        version=version,
        actor=actor,
        verb="work.taken",
        sentence=f"Taken by {actor.name}",
        at=at,
        owner_id=actor.user_id,
        from_pool=item.from_pool or item.owner_id is None,
        lease_until=at + settings.LEASE,
        lease_token=F("lease_token") + 1,
    )


@transaction.atomic
def item_release(
    *, item: WorkItem, actor: Actor, version: int | None = None, at: datetime | None = None
) -> WorkItem:
    return _touch(
        item,
        version=version,
        actor=actor,
        verb="work.released",
        sentence=f"Put back by {actor.name}",
        at=at or timezone.now(),
        owner_id=None,
        lease_until=None,
        lease_token=F("lease_token") + 1,
    )


NEAR = timedelta(days=5)
NEXT_ORDERS = (
    ("AND sort_day <= %(near)s", "sort_day, sort_cents, id"),
    ("", "sort_score, sort_day, sort_cents, id"),
)
NEXT_SQL = """
UPDATE worklist_workitem SET owner_id = %(user)s, lease_until = %(until)s, lease_token = lease_token + 1, version = version + 1,
       from_pool = (owner_id IS NULL OR from_pool)
 WHERE id = (
   SELECT id FROM worklist_workitem
    WHERE organization_id = ANY(%(orgs)s) AND queue = %(queue)s AND status = 'open'
      AND (lease_until IS NULL OR lease_until < %(now)s)
      AND (owner_id IS NULL OR owner_id = %(user)s OR (from_pool AND lease_until < %(now)s))
      AND (next_action_on IS NULL OR next_action_on <= %(today)s)
      {sites} {near}
    ORDER BY {order}
    LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id
"""


@transaction.atomic
def work_next(*, queue: str, actor: Actor, at: datetime | None = None) -> WorkItem | None:
    """Lease the first free item of a queue to the actor: what ends within days by deadline and
    dollars, then what is worth most, then deadline and dollars (rule `work-priority`). None when
    every item is worked. Two queries at most before the item is read.
    """
    at = at or timezone.now()
    today = office_day(at)
    sites = "AND (site_id IS NULL OR site_id = ANY(%(sites)s))" if actor.sites else ""
    wanted = {
        "user": actor.user_id,
        "until": at + settings.LEASE,
        "now": at,
        "today": today,
        "near": today + NEAR,
        "orgs": sorted(actor.organizations),
        "queue": queue,
        "sites": sorted(actor.sites),
    }
    with connection.cursor() as cursor:
        for near, order in NEXT_ORDERS:
            cursor.execute(NEXT_SQL.format(sites=sites, near=near, order=order), wanted)
            row = cursor.fetchone()
            if row is not None:
                return WorkItem.objects.get(pk=row[0])
    return None


def require_lease(item: WorkItem, *, token: int, actor: Actor, at: datetime | None = None) -> None:
    """Fence: refuse a holder whose lease was given to somebody else."""
    if item.lease_token != token or item.owner_id != actor.user_id:
        raise Conflict("Your hold on this item has run out and somebody else has it now.")


UNDO_FIELDS = ("owner_id", "status", "pend_until", "next_action", "next_action_on")


@transaction.atomic
def item_undo(
    *,
    item: WorkItem,
    before: Mapping[str, Any],
    version: int,
    actor: Actor,
    at: datetime | None = None,
) -> WorkItem:
    """Put back what an assign, pend, take or release just changed. Refused when the item has moved
    on since.
    """
    changes = {name: before[name] for name in UNDO_FIELDS if name in before}
    return _touch(
        item,
        version=version,
        actor=actor,
        verb="work.undone",
        sentence="Undone",
        at=at or timezone.now(),
        lease_until=None,
        lease_token=F("lease_token") + 1,
        **changes,
    )


@transaction.atomic
def item_act(
    *,
    item: WorkItem,
    actor: Actor,
    action: str,
    note: str,
    next_action_on: date,
    version: int | None = None,
    at: datetime | None = None,
) -> WorkItem:
    """End a touch with an outcome: what was done, a note, and when to come back. The item hides
    until that date.
    """
    at = at or timezone.now()
    if not action.strip():
        raise Refused("Say what you did or will do next.", field="action", code="missing")
    if next_action_on < office_day(at):
        raise Refused(
            "The next-action date lies in the past. Enter today or a later day.",
            field="next_action_on",
            code="past",
        )
    return _touch(
        item,
        version=version,
        actor=actor,
        verb="work.acted",
        sentence=f"{action}: {note}" if note else action,
        at=at,
        owner_id=actor.user_id or item.owner_id,
        next_action=action[:120],
        next_action_on=next_action_on,
        touches=F("touches") + 1,
        lease_until=None,
    )


@transaction.atomic
def item_pend(
    *,
    item: WorkItem,
    actor: Actor,
    until: date,
    reason: str,
    version: int | None = None,
    at: datetime | None = None,
) -> WorkItem:
    """Pend with a return date and a reason; it comes back by itself (`return_pended`)."""
    at = at or timezone.now()
    if until <= office_day(at):
        raise Refused("Enter a return date after today.", field="until", code="past")
    if not reason.strip():
        raise Refused("Say why it waits.", field="reason", code="missing")
    return _touch(
        item,
        version=version,
        actor=actor,
        verb="work.pended",
        sentence=f"Waits until {until:%b %-d}",
        reason=reason,
        at=at,
        status=ItemStatus.PENDED,
        pend_until=until,
        next_action=reason[:120],
        next_action_on=until,
        owner_id=item.owner_id or actor.user_id,
        lease_until=None,
        touches=F("touches") + 1,
    )


@transaction.atomic
def item_finish(
    *,
    item: WorkItem,
    actor: Actor,
    outcome: str,
    note: str = "",
    version: int | None = None,
    at: datetime | None = None,
) -> WorkItem:
    """Finish an item by a person's decision."""
    at = at or timezone.now()
    if not outcome.strip():
        raise Refused("Say how it ended.", field="outcome", code="missing")
    return _touch(
        item,
        version=version,
        actor=actor,
        verb="work.finished",
        sentence=outcome,
        reason=note,
        at=at,
        status=ItemStatus.DONE,
        outcome=outcome[:60],
        closed_at=at,
        lease_until=None,
        touches=F("touches") + 1,
    )


@transaction.atomic
def item_reopen(
    *,
    item: WorkItem,
    actor: Actor,
    reason: str,
    version: int | None = None,
    at: datetime | None = None,
) -> WorkItem:
    return _touch(
        item,
        version=version,
        actor=actor,
        verb="work.reopened",
        sentence="Opened again",
        reason=reason,
        at=at or timezone.now(),
        status=ItemStatus.OPEN,
        closed_at=None,
        outcome="",
        pend_until=None,
    )


@transaction.atomic
def item_assign(
    *,
    item: WorkItem,
    to: User,
    actor: Actor,
    version: int | None = None,
    at: datetime | None = None,
) -> WorkItem:
    """Give an item to a person who may work that organization."""
    actor.require("work.assign", item)
    if not to.is_active or not to.actor().can("work.view", item):
        raise Refused(
            "That person does not work for this organization.", field="to", code="not_member"
        )
    return _touch(
        item,
        version=version,
        actor=actor,
        verb="work.assigned",
        sentence=f"Assigned to {to.display_name}",
        at=at or timezone.now(),
        owner_id=to.pk,
        from_pool=False,
        lease_until=None,
        lease_token=F("lease_token") + 1,
    )


@transaction.atomic
def item_escalate(
    *,
    item: WorkItem,
    actor: Actor,
    reason: str,
    version: int | None = None,
    at: datetime | None = None,
) -> WorkItem:
    at = at or timezone.now()
    if not reason.strip():
        raise Refused("Say why a manager must look.", field="reason", code="missing")
    return _touch(
        item,
        version=version,
        actor=actor,
        verb="work.escalated",
        sentence="Escalated to a manager",
        reason=reason,
        at=at,
        escalated_at=at,
    )


@transaction.atomic
def item_note(*, item: WorkItem, actor: Actor, note: str, at: datetime | None = None) -> None:
    """A note in the history; the item itself does not move."""
    if not note.strip():
        raise Refused("Write the note.", field="note", code="missing")
    record_steps(
        [
            Step(
                item.organization_id,
                "work.note",
                note,
                {
                    "work_item_id": item.pk,
                    "exam_id": item.exam_id,
                    "claim_id": item.claim_id,
                    "patient_id": item.patient_id,
                },
            )
        ],
        actor=actor,
        at=at,
    )


@transaction.atomic
def interaction_record(
    *,
    organization_id: int,
    channel: str,
    note: str,
    outcome: str,
    actor: Actor,
    item: WorkItem | None = None,
    claim_id: int | None = None,
    patient_id: int | None = None,
    contact: str = "",
    reference: str = "",
    promised_on: date | None = None,
    at: datetime | None = None,
) -> Interaction:
    """Log one contact with a payer, practice or patient (rule `owner-of-balance`)."""
    at = at or timezone.now()
    row = Interaction.objects.create(
        organization_id=organization_id,
        item=item,
        claim_id=claim_id or (item.claim_id if item else None),
        patient_id=patient_id or (item.patient_id if item else None),
        channel=channel,
        contact=contact,
        reference=reference,
        note=note,
        promised_on=promised_on,
        outcome=outcome,
        at=at,
        actor_name=actor.name,
        user_id=actor.user_id,
    )
    record_steps(
        [
            Step(
                organization_id,
                "work.contact",
                f"{row.get_channel_display()}: {outcome}"
                + (f", reference {reference}" if reference else ""),
                {
                    "work_item_id": item.pk if item else None,
                    "claim_id": row.claim_id,
                    "patient_id": row.patient_id,
                },
            )
        ],
        actor=actor,
        at=at,
    )
    return row


@transaction.atomic
def return_pended(*, actor: Actor, at: datetime | None = None) -> int:
    """Bring back pended items whose day has come, and free leases that ran out. Runs by beat;
    set-based.
    """
    at = at or timezone.now()
    back = WorkItem.objects.filter(
        organization_id__in=actor.organizations,
        status=ItemStatus.PENDED,
        pend_until__lte=office_day(at),
    ).update(status=ItemStatus.OPEN, pend_until=None, version=F("version") + 1)
    # a lease that ran out gives back the lease: the owner stays, unless the lease alone made one
    lapsed = WorkItem.objects.filter(
        organization_id__in=actor.organizations, status=ItemStatus.OPEN, lease_until__lt=at
    )
    lapsed.filter(from_pool=True).update(owner_id=None)
    lapsed.update(lease_until=None, from_pool=False, version=F("version") + 1)
    return back


@dataclass(frozen=True, slots=True)
class BulkResult:
    done: int
    refused: list[tuple[str, str]]


def bulk(
    *, items: Iterable[WorkItem], versions: dict[int, int], act: Any, actor: Actor
) -> BulkResult:
    """Apply one verb to each picked item; every row re-checks its version; the failures are named,
    the rest is done.
    """
    done = 0
    refused: list[tuple[str, str]] = []
    for item in items:
        try:
            act(item, versions.get(item.pk))
            done += 1
        except Refused as exc:
            refused.append((item.title, str(exc)))
    return BulkResult(done, refused)
