"""Work of a robot that was switched off: one item for each robot and organization, with how much
waits and the page where people do it instead.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.urls import reverse

from rcm.accounts.actor import Actor
from rcm.jobs import robots
from rcm.jobs.models import RobotSwitch
from rcm.worklist import registry
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items

CODE, SUBJECT = "robot_off", "robot"
DUE = timedelta(hours=24)


def hand_over(
    robot: str,
    organization_id: int,
    *,
    waiting: int,
    actor: Actor,
    at: datetime,
    dollars: Decimal = Decimal("0.00"),
) -> None:
    """Put what a switched-off robot leaves alone into the people's queue; with nothing waiting the
    item goes.
    """
    known = robots.get(robot)
    off = (
        RobotSwitch.objects.filter(organization_id=organization_id, robot=robot)
        .order_by("-id")
        .first()
    )
    if known is None or off is None:
        return
    if off.on or not waiting:
        take_back(robot, organization_id, actor=actor, at=at)
        return
    open_items(
        [
            ItemSpec(
                organization_id,
                CODE,
                SUBJECT,
                off.pk,
                robot,
                f"{known.label} is off: {waiting:,} {known.touch} by hand",
                off.at + DUE,
                fix=known.when_off,
                dollars=dollars,
                facts={"robot": known.label, "waiting": waiting, "since": off.at.isoformat()},
            )
        ],
        actor=actor,
        at=at,
    )


def take_back(robot: str, organization_id: int, *, actor: Actor, at: datetime) -> None:
    """The robot works again, or nothing waits: its item goes."""
    subjects = WorkItem.objects.filter(
        organization_id=organization_id,
        queue=CODE,
        cause=robot,
        status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
    ).values_list("subject_id", flat=True)
    close_items(
        SUBJECT,
        list(subjects),
        actor=actor,
        at=at,
        outcome="Nothing waits any more",
        queues=[CODE],
        sure=True,
    )


def _panel(item: WorkItem, actor: Actor) -> registry.Panel:
    robot = robots.get(item.cause)
    fixes = []
    if robot is not None:
        fixes.append(
            registry.Fix(
                "Do it by hand", reverse(robot.page), permission=robot.permission, primary=True
            )
        )
    fixes.append(
        registry.Fix("Automation", reverse("jobs:automation"), permission="automation.view")
    )
    return registry.Panel(item.title, fixes=fixes)


QUEUE = registry.Queue(
    CODE,
    "Automation off",
    "System",
    "work.view",
    95,
    "No automatic step is off while work waits for it.",
    deadline_word="Do by",
    facts=(("robot", "Step"), ("waiting", "Waiting")),
    panel=_panel,
)
