"""Whose an item is by default, and what happens to the items of somebody who has left: they go back
to the team at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.models import Membership, User
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.audit.services import Step, record_steps
from rcm.worklist import registry
from rcm.worklist.models import DefaultOwner, ItemStatus, WorkItem

APPLY_SQL = """
UPDATE worklist_workitem w
   SET owner_id = isocenter_default_owner(w.organization_id, w.queue, w.payer_id, w.site_id),
       version = version + 1
 WHERE w.organization_id = %s AND w.status IN ('open', 'pended') AND w.owner_id IS NULL
   AND (w.lease_until IS NULL OR w.lease_until < %s)
   AND isocenter_default_owner(w.organization_id, w.queue, w.payer_id, w.site_id) IS NOT NULL
"""


@transaction.atomic
def owner_set(
    *,
    organization_id: int,
    user: User,
    actor: Actor,
    queue: str = "",
    payer_id: int | None = None,
    site_id: int | None = None,
    at: datetime | None = None,
) -> DefaultOwner:
    """Who gets the new items of a queue, payer or site; the one before ends. Open items that nobody
    owns go to them at once.
    """
    actor.require("work.assign", organization_id)
    at = at or timezone.now()
    declared = registry.get(queue)
    if queue and declared is None:
        raise Refused("There is no such queue.", code="unknown", field="queue")
    if not (queue or payer_id or site_id):
        raise Refused("Choose a queue, a payer or a site.", code="missing", field="queue")
    able = declared.work_permission if declared else "work.touch"
    if not user.is_active or not user.actor().can(able, organization_id):
        raise Refused(
            "That person does not work this queue for this organization.",
            code="not_able",
            field="user",
        )
    place = {"queue": queue, "payer_id": payer_id, "site_id": site_id}
    DefaultOwner.objects.filter(
        organization_id=organization_id, ended_at__isnull=True, **place
    ).update(ended_at=at)
    try:
        with transaction.atomic():
            row = DefaultOwner.objects.create(
                organization_id=organization_id, user=user, actor_name=actor.name[:120], **place
            )
    except IntegrityError as error:
        raise Conflict("Somebody else has just set this owner.") from error
    given = owners_apply(organization_id=organization_id, at=at)
    words = f"New items of {_place_words(row)} go to {user.display_name}"
    _told(row, "owner.set", f"{words}, {given:,} open ones with them", actor, at)
    return row


@transaction.atomic
def owner_end(*, row: DefaultOwner, actor: Actor, at: datetime | None = None) -> None:
    """New items of this queue, payer or site belong to the team again."""
    actor.require("work.assign", row.organization_id)
    at = at or timezone.now()
    if not DefaultOwner.objects.filter(pk=row.pk, ended_at__isnull=True).update(ended_at=at):
        raise Conflict("Somebody has ended this already.")
    _told(row, "owner.ended", f"New items of {_place_words(row)} go to the team", actor, at)


def owners_apply(*, organization_id: int, at: datetime) -> int:
    """Give open items that nobody owns or holds to their default owners. One query."""
    with connection.cursor() as cursor:
        cursor.execute(APPLY_SQL, [organization_id, at])
        return int(cursor.rowcount)


def _place_words(row: DefaultOwner) -> str:
    declared = registry.get(row.queue)
    parts = (
        declared.label if declared else "",
        row.payer.name if row.payer else "",
        row.site.name if row.site else "",
    )
    return ", ".join(p for p in parts if p)


def _told(row: DefaultOwner, verb: str, words: str, actor: Actor, at: datetime) -> None:
    record_steps([Step(row.organization_id, verb, words[:300])], actor=actor, at=at)


@transaction.atomic
def items_give_back(
    *, user_id: int, organizations: Iterable[int], at: datetime | None = None
) -> int:
    """Take a person's open and pended items away from them, with their leases: a page that is still
    open there is refused. Returns how many.
    """
    wanted = frozenset(organizations)
    if not wanted:
        return 0
    actor = Actor.system("worklist", wanted)
    with scope(actor):
        rows = WorkItem.objects.filter(
            owner_id=user_id,
            organization_id__in=wanted,
            status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
        )
        found = list(rows.values_list("pk", "organization_id", "exam_id", "claim_id", "patient_id"))
        rows.update(
            owner_id=None,
            lease_until=None,
            from_pool=False,
            lease_token=F("lease_token") + 1,
            version=F("version") + 1,
        )
        record_steps(
            (
                Step(
                    organization_id,
                    "work.returned",
                    "Back to the team: its owner has left",
                    {
                        "work_item_id": pk,
                        "exam_id": exam,
                        "claim_id": claim,
                        "patient_id": patient,
                    },
                )
                for pk, organization_id, exam, claim, patient in found
            ),
            actor=actor,
            at=at or timezone.now(),
        )
    return len(found)


def on_user_saved(sender: type[User], instance: User, **signal: Any) -> None:
    """A disabled account owns nothing any more, and gets nothing by default."""
    if instance.is_active or signal.get("created"):
        return
    organizations = instance.memberships.values_list("organization_id", flat=True)
    items_give_back(user_id=instance.pk, organizations=organizations)


def on_membership_gone(sender: type[Membership], instance: Membership, **signal: Any) -> None:
    """Whose last role in an organization ends owns nothing there."""
    left = Membership.objects.filter(
        user_id=instance.user_id, organization_id=instance.organization_id
    )
    if not left.exists():
        items_give_back(user_id=instance.user_id, organizations=[instance.organization_id])
