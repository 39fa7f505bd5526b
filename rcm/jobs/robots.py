"""The robots: what works without a person, whether it may, and what it did.

A robot is declared by the app that owns it and asks `is_on` itself, in the transaction in which it
would act: a switch works at once. What it leaves alone goes to people's queues
(`rcm.worklist.robots.hand_over`). Every run is counted with `count_run`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Count, Max, Q, Sum
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.jobs.models import RobotRun, RobotSwitch


@dataclass(frozen=True, slots=True)
class Robot:
    """One automatic step. `touch` says what a person would have done each time; `minutes` how long
    that takes (house estimate, shown as such); `page` is the route where people do it instead.
    """

    code: str
    label: str
    touch: str
    minutes: Decimal
    when_off: str
    page: str
    permission: str
    order: int = 50


_ROBOTS: dict[str, Robot] = {}


def register(robot: Robot) -> None:
    _ROBOTS[robot.code] = robot


def get(code: str) -> Robot | None:
    return _ROBOTS.get(code)


def all_robots() -> list[Robot]:
    """Every declared robot, in the order of the thread."""
    return sorted(_ROBOTS.values(), key=lambda r: (r.order, r.code))


def _latest(organizations: Iterable[int]) -> dict[tuple[int, str], RobotSwitch]:
    rows = RobotSwitch.objects.filter(organization_id__in=list(organizations)).order_by(
        "organization_id", "robot", "-id"
    )
    return {
        (row.organization_id, row.robot): row for row in rows.distinct("organization_id", "robot")
    }


def is_on(robot: str, organization_id: int) -> bool:
    """Whether a robot may act for an organization now. One query, never remembered."""
    row = (
        RobotSwitch.objects.filter(organization_id=organization_id, robot=robot)
        .order_by("-id")
        .values_list("on", flat=True)
        .first()
    )
    return row is None or row


def switched_off(robot: str, organizations: Iterable[int]) -> set[int]:
    """The organizations for which a robot is off. One query."""
    return {
        organization
        for (organization, code), row in _latest(organizations).items()
        if code == robot and not row.on
    }


@transaction.atomic
def switch(
    *,
    robot: str,
    organization_id: int,
    on: bool,
    reason: str,
    actor: Actor,
    at: datetime | None = None,
) -> RobotSwitch:
    """Switch a robot of one organization on or off, with the reason. Saying what holds already is
    refused.
    """
    if organization_id not in actor.organizations:
        raise Refused("There is no such organization.", code="not_found", status=404)
    actor.require("automation.switch", organization_id, entire=True)
    known = get(robot)
    if known is None:
        raise Refused("There is no such automatic step.", code="not_found", status=404)
    if not reason.strip():
        raise Refused("Say why, in a few words.", field="reason", code="missing")
    if is_on(robot, organization_id) == on:
        raise Refused(
            f"“{known.label}” is {'on' if on else 'off'} already.", code="unchanged", status=409
        )
    at = at or timezone.now()
    row = RobotSwitch.objects.create(
        organization_id=organization_id,
        robot=robot,
        on=on,
        reason=reason.strip()[:200],
        at=at,
        actor_name=actor.name,
        user_id=actor.user_id,
    )
    record_steps(
        [
            Step(
                organization_id,
                "automation.switched",
                f"“{known.label}” switched {'on' if on else 'off'}",
                old="off" if on else "on",
                new="on" if on else "off",
                reason=reason,
                data={"robot": robot},
            )
        ],
        actor=actor,
        at=at,
    )
    return row


def count_run(
    robot: str,
    organization_id: int,
    *,
    done: int,
    errors: int = 0,
    problem: str = "",
    at: datetime | None = None,
) -> None:
    """Note what a run did, in the caller's transaction. A run that found nothing to do is no
    row.
    """
    if not done and not errors:
        return
    RobotRun.objects.create(
        organization_id=organization_id,
        robot=robot,
        at=at or timezone.now(),
        done=done,
        errors=errors,
        problem=problem[:200],
    )


@dataclass(frozen=True, slots=True)
class Ledger:
    """One robot of one organization: its state, who set it, and what it did since a moment."""

    robot: Robot
    organization_id: int
    on: bool
    switched: RobotSwitch | None
    runs: int
    done: int
    errors: int
    last: datetime | None
    problem: str

    @property
    def minutes(self) -> Decimal:
        """Minutes that people did not need, by the house estimate for one touch."""
        return self.robot.minutes * self.done


def ledger(organizations: Iterable[int], *, since: datetime) -> list[Ledger]:
    """Every robot of the organizations with what it did since a moment. Three queries."""
    wanted = sorted(organizations)
    switches = _latest(wanted)
    runs = RobotRun.objects.filter(organization_id__in=wanted)
    sums = {
        (r["organization_id"], r["robot"]): r
        for r in runs.values("organization_id", "robot")
        .annotate(
            runs=Count("pk", filter=Q(at__gte=since)),
            done=Sum("done", filter=Q(at__gte=since), default=0),
            errors=Sum("errors", filter=Q(at__gte=since), default=0),
            last=Max("at"),
        )
        .order_by()
    }
    problems = {
        (r.organization_id, r.robot): r.problem
        for r in runs.filter(at__gte=since)
        .exclude(problem="")
        .order_by("organization_id", "robot", "-at")
        .distinct("organization_id", "robot")
    }
    found = []
    for organization_id in wanted:
        for robot in all_robots():
            key = (organization_id, robot.code)
            row, switched = sums.get(key), switches.get(key)
            found.append(
                Ledger(
                    robot,
                    organization_id,
                    on=switched is None or switched.on,
                    switched=switched,
                    runs=row["runs"] if row else 0,
                    done=row["done"] if row else 0,
                    errors=row["errors"] if row else 0,
                    last=row["last"] if row else None,
                    problem=problems.get(key, ""),
                )
            )
    return found
