"""Items of somebody who has left go back to the team at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.models import Membership, User
from rcm.accounts.scope import scope
from rcm.audit.services import Step, record_steps
from rcm.worklist.models import ItemStatus, WorkItem


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
    """A disabled account owns nothing any more."""
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
