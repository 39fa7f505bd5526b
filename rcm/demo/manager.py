"""The manager's side of the demo, by the product's own services: owners of open work, the plan of
the team, costs and their baseline, what is told to whom, and an audit half read.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

from ar import services
from ar.accuracy import services as accuracy
from ar.assistance import Band
from ar.models import Agency, AuditCase, AuditSample, PlacementStatus, SubscriptionKind
from ar.reports import days
from ar.reports import services as reports
from ar.services import work
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization, User
from rcm.accounts.permissions import Role
from rcm.accounts.problems import Conflict, Refused
from rcm.demo.days import Center
from rcm.simulator.habits import draw
from rcm.worklist import registry
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import item_assign

TROUBLE = (Refused, Conflict)
BY_GROUP = {
    "Front desk": Role.AUTHORIZATION,
    "Charges": Role.CODER,
    "Claims": Role.BILLER,
    "Receivables": Role.AR,
    "System": Role.MANAGER,
}
POSTING = frozenset({"remittance_exceptions", "unapplied_cash", "quarantined_files"})
UNOWNED = 80  # in a thousand: some items are nobody's yet
HOURLY = {
    Role.FRONT_DESK: "21.50",
    Role.AUTHORIZATION: "24.00",
    Role.CODER: "33.00",
    Role.BILLER: "26.50",
    Role.POSTER: "24.50",
    Role.AR: "27.50",
    Role.MANAGER: "52.00",
}
TEAM = (
    (Role.FRONT_DESK, "40"),
    (Role.AUTHORIZATION, "40"),
    (Role.CODER, "20"),
    (Role.BILLER, "40"),
    (Role.POSTER, "20"),
    (Role.AR, "20"),
)
SCALE = ((200, 100), (300, 50), (400, 25))  # up to percent of the guideline, discount
BEFORE_MINUTES, BEFORE_CLAIMS = Decimal("38.50"), 5200


def assign(center: Center, at: datetime) -> int:
    """The manager gives open items to who does such work; a few are left for a visitor to give."""
    with center.acting(center.system):
        rows = list(
            WorkItem.objects.filter(
                organization=center.organization, status=ItemStatus.OPEN, owner__isnull=True
            ).order_by("id")
        )
        people = {u.pk: u for u in User.objects.all()}
    manager = center.who(Role.MANAGER)
    done = 0
    for row in rows:
        queue = registry.get(row.queue)
        if queue is None or draw("owner", row.pk) < UNOWNED:
            continue
        role = Role.POSTER if row.queue in POSTING else BY_GROUP.get(queue.group, Role.MANAGER)
        owner = center.who(role)
        with center.acting(manager):
            try:
                item_assign(item=row, to=people[owner.user_id or 0], actor=manager, at=at)
                done += 1
            except TROUBLE:
                continue
    return done


def begin(organization: Organization, staff: dict[str, list[Actor]], first: date) -> None:
    """Costs, the frozen baseline of the office before, the plan of the team with one vacancy."""
    manager = staff[Role.MANAGER][0]
    pk = organization.pk
    for role, cost in HOURLY.items():
        work.cost_set(
            organization_id=pk,
            role=role,
            cost=Decimal(cost),
            effective_from=first - timedelta(days=365),
            source="Payroll with benefits, invented",
            actor=manager,
        )
    work.baseline_freeze(
        organization_id=pk,
        first=first - timedelta(days=120),
        last=first - timedelta(days=31),
        minutes_per_claim=BEFORE_MINUTES,
        claims=BEFORE_CLAIMS,
        includes="All paid hours of billing, coding and authorization",
        source="Time sheets of the office before, invented",
        actor=manager,
    )
    for role, hours in TEAM:
        people = User.objects.in_bulk([a.user_id for a in staff.get(role, []) if a.user_id])
        for person in people.values():
            work.plan_set(
                organization_id=pk,
                skill=role,
                hours=Decimal(hours),
                user=person,
                effective_from=first,
                actor=manager,
            )
    work.plan_set(
        organization_id=pk,
        skill=Role.AR,
        hours=Decimal(20),
        effective_from=first,
        actor=manager,
    )


def tell(organization: Organization, manager: Actor) -> None:
    """The manager reads the letters and is told when denials rise."""
    pk = organization.pk
    reports.subscribe(organization_id=pk, kinds=SubscriptionKind.values, actor=manager)
    reports.threshold_set(
        organization_id=pk,
        kpi="denial_rate",
        raise_at=Decimal("0.12"),
        clear_at=Decimal("0.09"),
        actor=manager,
    )


def patients(organization: Organization, manager: Actor, first: date, at: datetime) -> None:
    """The scale of assistance, and the agency with its fee."""
    services.scale_set(
        organization_id=organization.pk,
        effective_from=first,
        bands=[Band(up_to, Decimal(discount)) for up_to, discount in SCALE],
        actor=manager,
        at=at,
    )
    services.agency_set(
        organization_id=organization.pk,
        name="Harbor Recovery",
        percent=Decimal(25),
        effective_from=first,
        actor=manager,
    )


def place(center: Center, at: datetime) -> int:
    """What no notice brought in goes to the agency: A/R proposes, the manager sends. Returns how
    many charges.
    """
    proposing, sending = center.who(Role.AR), center.who(Role.MANAGER)
    try:
        with center.acting(proposing):
            agency = Agency.objects.get(organization=center.organization)
            batch = services.placement_propose(agency=agency, actor=proposing, at=at)
        with center.acting(sending):
            services.placement_decide(batch=batch, approve=True, actor=sending, at=at)
            return batch.placements.filter(status=PlacementStatus.PLACED).count()
    except TROUBLE:
        return 0


def close_days(center: Center, today: date, at: datetime) -> int:
    """The books are proved, and the poster closes the last days but today. Returns how many."""
    pk, poster = center.organization.pk, center.who(Role.POSTER)
    with center.acting(center.system):
        known = days.last_proof(pk) is not None
    if not known:
        days.proof_keep(organization_id=pk, at=at)
    closed = 0
    with center.acting(poster):
        for day in days.open_days(pk, at):
            if day == today:
                continue
            found = days.day_of(pk, day)
            note = "What is open is looked for" if any(t.broken for t in found.ties) else ""
            try:
                days.day_close(
                    organization_id=pk,
                    day=day,
                    counted=found.drawer,
                    note=note,
                    actor=poster,
                    at=at,
                )
                closed += 1
            except TROUBLE:
                continue
    return closed


def audit(center: Center, day: date, at: datetime) -> int:
    """Last month's sample: compliance draws, two read most of it without seeing each other."""
    drawer = center.who(Role.COMPLIANCE)
    readers = (drawer, center.who(Role.BILLER))
    with center.acting(drawer):
        if AuditSample.objects.filter(organization=center.organization).exists():
            return 0
        try:
            sample = accuracy.sample_draw(
                organization_id=center.organization.pk,
                title=f"Coding, {day - timedelta(days=30):%B %Y}",
                first=day - timedelta(days=45),
                last=day - timedelta(days=1),
                half_width=Decimal("0.08"),
                actor=drawer,
                at=at,
            )
        except TROUBLE:
            return 0
        cases = list(AuditCase.objects.filter(sample=sample).order_by("position"))
    read = 0
    for case in cases[: len(cases) * 4 // 5]:
        wrong = ["modifier"] if draw("audit", case.position) < 25 else []
        for reader in readers:
            with center.acting(reader):
                try:
                    accuracy.case_read(
                        case=case,
                        errors=wrong,
                        note="Modifier of the site does not fit" if wrong else "",
                        actor=reader,
                        at=at,
                    )
                    read += 1
                except TROUBLE:
                    continue
    return read
