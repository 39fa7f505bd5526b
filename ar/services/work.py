"""The verbs of cost and people: costs by role, the frozen baseline, the plan and what was worked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from ar.kpi import engine
from ar.kpi.targets import targeted
from ar.kpi.work import INCLUDED, TOUCHES
from ar.models import RoleCost, Shift, StaffPlan, WorkBaseline
from ar.services.guards import require_mine
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock, office_day
from rcm.accounts.models import Membership, User
from rcm.accounts.permissions import Role
from rcm.accounts.problems import Refused
from rcm.audit.models import Event
from rcm.audit.services import Step, record_steps

GOAL = Decimal("-0.80")
WEEK = timedelta(days=7)


@transaction.atomic
def cost_set(
    *,
    organization_id: int,
    role: str,
    cost: Decimal,
    effective_from: date,
    source: str,
    actor: Actor,
) -> RoleCost:
    """What an hour of a role costs from a day on."""
    require_mine(organization_id, actor)
    actor.require("cost.edit", organization_id, entire=True)
    if role not in Role.values or role == Role.PARTNER:
        raise Refused("There is no such role.", field="role", code="unknown")
    if not 0 < cost < 1000:
        raise Refused("An hour costs between $0 and $1,000.", field="cost", code="range")
    if not source.strip():
        raise Refused("Say where the figure comes from.", field="source", code="missing")
    row, _ = RoleCost.objects.update_or_create(
        organization_id=organization_id,
        role=role,
        effective_from=effective_from,
        defaults={"cost": cost, "source": source.strip()[:120], "actor_name": actor.name},
    )
    return row


@transaction.atomic
def baseline_freeze(
    *,
    organization_id: int,
    first: date,
    last: date,
    source: str,
    actor: Actor,
    minutes_per_claim: Decimal | None = None,
    claims: int = 0,
    includes: str = "",
    at: datetime | None = None,
) -> WorkBaseline:
    """Freeze what the work took in a period: as measured here, or as the client told it
    (`minutes_per_claim` and what they include). Nobody can change it afterwards.
    """
    require_mine(organization_id, actor)
    actor.require("cost.edit", organization_id, entire=True)
    at = at or timezone.now()
    if first > last or last > office_day(at):
        raise Refused("Choose a period that has ended.", field="first", code="range")
    if not source.strip():
        raise Refused("Say where the figures come from.", field="source", code="missing")
    told = minutes_per_claim is not None
    cost: Decimal | None = None
    if told:
        if not includes.strip():
            raise Refused("Say what the minutes contain.", field="includes", code="missing")
        minutes, resolved = minutes_per_claim or Decimal(0), claims
    else:
        found = measured(organization_id, first, last)
        if found["minutes_per_claim"].value is None:
            raise Refused(
                "No claim was resolved in this period: there is nothing to measure.",
                field="first",
                code="empty",
            )
        minutes = found["minutes_per_claim"].value or Decimal(0)
        resolved = int(found["minutes_per_claim"].denominator)
        cost = found["cost_to_collect"].value
        includes = INCLUDED
    if not 0 < minutes < 100_000:
        raise Refused(
            "Minutes per claim must be more than zero.", field="minutes_per_claim", code="range"
        )
    row = WorkBaseline.objects.create(
        organization_id=organization_id,
        first=first,
        last=last,
        minutes_per_claim=minutes.quantize(Decimal("0.01")),
        cost_to_collect=cost.quantize(Decimal("0.0001")) if cost is not None else None,
        claims=resolved,
        measured=not told,
        includes=includes.strip()[:300],
        source=source.strip()[:200],
        frozen_at=at,
        actor_name=actor.name,
    )
    record_steps(
        [
            Step(
                organization_id,
                "baseline.frozen",
                f"Baseline of {row.minutes_per_claim} minutes per resolved claim frozen",
                reason=source,
            )
        ],
        actor=actor,
        at=at,
    )
    return row


def measured(organization_id: int, first: date, last: date) -> dict[str, engine.Value]:
    """The figures of work over a period of any length."""
    window = (last - first).days + 1
    known = targeted([organization_id], last)
    asked = [
        replace(known[code], window=window)
        for code in ("minutes_per_claim", "cost_to_collect", "touchless")
    ]
    return engine.compute_all(asked, organizations=[organization_id], day=last)


@dataclass(frozen=True, slots=True)
class StepShare:
    """How often one step was taken by a machine and by people."""

    label: str
    machine: int
    people: int

    @property
    def touchless(self) -> Decimal | None:
        whole = self.machine + self.people
        return Decimal(self.machine) / whole if whole else None


STEPS = (
    ("Release charges", ("charges.released",)),
    ("Judge claims", ("claim.ready",)),
    ("Submit claims", ("claim.submitted",)),
    ("Post remittances", ("remittance.posted",)),
    ("Close items", ("work.closed", "work.finished")),
)


def touchless_steps(organizations: Iterable[int], *, since: datetime) -> list[StepShare]:
    """By step of the thread: taken by a machine, or by people. One query."""
    verbs = [v for _, names in STEPS for v in names]
    rows = (
        Event.objects.filter(organization_id__in=list(organizations), verb__in=verbs, at__gte=since)
        .values("verb")
        .annotate(
            machine=Count("pk", filter=Q(actor_kind="system")),
            people=Count("pk", filter=Q(actor_kind="person")),
        )
        .order_by()
    )
    found = {r["verb"]: (r["machine"], r["people"]) for r in rows}
    return [
        StepShare(
            label,
            sum(found.get(v, (0, 0))[0] for v in names),
            sum(found.get(v, (0, 0))[1] for v in names),
        )
        for label, names in STEPS
    ]


# --- people ---------------------------------------------------------------------------------------


@transaction.atomic
def plan_set(
    *,
    organization_id: int,
    skill: str,
    hours: Decimal,
    effective_from: date,
    actor: Actor,
    user: User | None = None,
    effective_to: date | None = None,
) -> StaffPlan:
    """A place in a client's team; without a person a vacancy."""
    require_mine(organization_id, actor)
    actor.require("cost.edit", organization_id, entire=True)
    if skill not in Role.values:
        raise Refused("There is no such skill.", field="skill", code="unknown")
    if not 0 < hours <= 80:
        raise Refused("A week has 1 to 80 hours of work.", field="hours", code="range")
    if effective_to is not None and effective_to < effective_from:
        raise Refused("It ends before it begins.", field="effective_to", code="range")
    members = Membership.objects.filter(organization_id=organization_id)
    if user is not None and not members.filter(user=user).exists():
        raise Refused("This person does not work for the client.", field="user", code="unknown")
    return StaffPlan.objects.create(
        organization_id=organization_id,
        user=user,
        skill=skill,
        hours=hours,
        effective_from=effective_from,
        effective_to=effective_to,
        actor_name=actor.name,
    )


@transaction.atomic
def shift_record(
    *, organization_id: int, user: User, day: date, hours: Decimal, actor: Actor
) -> Shift:
    """Hours that a person was there on a day; told again, the newer figure holds."""
    if actor.user_id != user.pk:
        require_mine(organization_id, actor)
    actor.require("cost.edit", organization_id, entire=True)
    if not 0 < hours <= 24:
        raise Refused("A day has 24 hours.", field="hours", code="range")
    row, _ = Shift.objects.update_or_create(
        organization_id=organization_id,
        user=user,
        day=day,
        defaults={"hours": hours, "actor_name": actor.name},
    )
    return row


@dataclass(frozen=True, slots=True)
class Person:
    """One person of a client in one week."""

    user_id: int | None
    name: str
    skill: str
    planned: Decimal
    shift: Decimal
    touched: Decimal
    touches: int
    finished: int


@dataclass(frozen=True, slots=True)
class Week:
    """One client's week: who was planned, who was there, what was worked."""

    first: date
    people: list[Person]

    @property
    def planned(self) -> Decimal:
        return sum((p.planned for p in self.people), Decimal(0))

    @property
    def vacant(self) -> Decimal:
        return sum((p.planned for p in self.people if p.user_id is None), Decimal(0))

    @property
    def worked(self) -> Decimal:
        """Hours there by shift, or where none was told the hours between touches."""
        return sum((p.shift or p.touched for p in self.people), Decimal(0))

    @property
    def cover(self) -> Decimal | None:
        return self.worked / self.planned if self.planned else None


def week_of(organization_id: int, first: date) -> Week:
    """Plan against work of the seven days from `first`. Five queries."""
    last = first + WEEK - timedelta(days=1)
    sql = (
        "SELECT t.user_id, sum(t.minutes), count(*) FILTER (WHERE t.kind = 'touch')"  # noqa: S608 - declared text
        f" FROM {TOUCHES} t GROUP BY t.user_id"
    )
    params = {
        "orgs": [organization_id],
        "zone": settings.TIME_ZONE,
        "first": first,
        "day": last,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        worked = {user: (minutes, count) for user, minutes, count in cursor.fetchall()}
    finished = dict(
        Event.objects.filter(
            organization_id=organization_id,
            verb="work.finished",
            at__gte=_begin(first),
            at__lt=_begin(first + WEEK),
            user_id__isnull=False,
        )
        .values_list("user_id")
        .annotate(n=Count("pk"))
        .order_by()
    )
    shifts = dict(
        Shift.objects.filter(organization_id=organization_id, day__range=(first, last))
        .values_list("user_id")
        .annotate(h=Sum("hours"))
        .order_by()
    )
    plans = list(
        StaffPlan.objects.filter(organization_id=organization_id, effective_from__lte=last).filter(
            Q(effective_to__isnull=True) | Q(effective_to__gte=first)
        )
    )
    ids = {p.user_id for p in plans if p.user_id} | set(worked) | set(shifts)
    names = {u.pk: u.display_name for u in User.objects.filter(pk__in=ids)}
    people = [
        Person(None, "Vacancy", p.get_skill_display(), p.hours, Decimal(0), Decimal(0), 0, 0)
        for p in plans
        if p.user_id is None
    ]
    for pk in sorted(ids, key=lambda i: names.get(i, "")):
        own = [p for p in plans if p.user_id == pk]
        minutes, touches = worked.get(pk, (Decimal(0), 0))
        people.append(
            Person(
                pk,
                names.get(pk, ""),
                ", ".join(p.get_skill_display() for p in own),
                sum((p.hours for p in own), Decimal(0)),
                shifts.get(pk, Decimal(0)),
                (Decimal(minutes) / 60).quantize(Decimal("0.01")),
                touches,
                finished.get(pk, 0),
            )
        )
    return Week(first, people)


def _begin(day: date) -> datetime:
    return office_clock().begins(day)
