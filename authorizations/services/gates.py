"""After every change the gate of the visit and the work items are computed again from the match
of what is ordered with what is authorized."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from authorizations.clocks import hard_stop
from authorizations.history import leads_of
from authorizations.lead import Key, Lead, earliest, too_early
from authorizations.loading import ExamAsk, Matched, match_exams
from authorizations.models import (
    GRANTED,
    Authorization,
    AuthStatus,
)
from authorizations.requirement import Requirement
from intake.clearance import WORST, Decision, GateName, State
from intake.models import OrderedExam, OrderStatus
from intake.services import (
    LIVE,
    GateAnswer,
    GateAsk,
    dollars_at_risk,
    gate_decide,
    local_day,
)
from rcm.accounts.actor import Actor
from rcm.accounts.clock import SiteClock, office_day
from rcm.accounts.models import Site
from rcm.accounts.together import REVIEW, later
from rcm.pricing.services import list_prices
from rcm.reference.clock import Clocks, clock_of
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items

ZERO = Decimal("0.00")
NEEDED, PENDED, PEER, UPDATE = (
    "authorization_needed",
    "authorization_pended",
    "peer_to_peer",
    "auth_update",
)
QUEUES = (NEEDED, PENDED, PEER, UPDATE)


def _list_prices(rows: Sequence[Authorization], *, on: date) -> dict[int, Decimal]:
    """What the exams of records without a visit are priced at. One query an organization."""
    found: dict[int, Decimal] = {}
    by_organization: dict[int, list[Authorization]] = {}
    for row in rows:
        by_organization.setdefault(row.organization_id, []).append(row)
    for organization_id, own in by_organization.items():
        codes = {s.code for r in own for s in r.services.all()}
        prices = list_prices(organization_id=organization_id, codes=codes, on=on)
        for row in own:
            amounts = [prices.get((s.code, ""), ZERO) for s in row.services.all()]
            found[row.pk] = sum(amounts, ZERO)
    return found


CAUSES: Mapping[str, tuple[str, ...]] = {
    NEEDED: ("AUTH_MISSING", "REQUIREMENT_UNKNOWN", "REQUEST_REFUSED"),
    PENDED: ("AUTH_PENDING", "AUTH_SILENT"),
    PEER: ("AUTH_DENIED",),
    UPDATE: ("AUTH_MISFIT",),
}


WAITING = frozenset({"AUTH_MISSING", "AUTH_PENDING", "REQUIREMENT_UNKNOWN"})
"""Failures that time may still cure before the exam: the payer has not decided."""
_CAUSE = {"AUTH_MISSING": "undecided", "AUTH_PENDING": "undecided"}
"""Not asked yet and asked but not answered are one thing to whoever lets the visit pass."""


def gate_of(
    matches: Sequence[Matched],
    *,
    clock: SiteClock,
    on: date,
    leads: Mapping[Key, Lead] | None = None,
) -> Decision:
    """The authorization gate of a visit from the match of its exams: the worst one speaks, the
    cause names all that stand in the way. With `leads` an exam that is booked before its decision
    can be expected says by how many days.

    Open but in time is `check`; open on the last business day, or a record that does not fit, is
    `stop`.
    """
    found = [_exam_gate(m, clock, on, leads or {}) for m in matches]
    if not found:
        return Decision(State.READY, "")
    spoken = min(found, key=lambda d: WORST.index(d.state))
    cause = " ".join(sorted({d.cause for d in found if d.cause}))
    return Decision(spoken.state, spoken.sentence[:200], spoken.due, cause[:300])


def _exam_gate(m: Matched, clock: SiteClock, on: date, leads: Mapping[Key, Lead]) -> Decision:
    result = m.result
    stop = hard_stop(m.ask.day, clock)
    if m.coverage_gap:
        words = f"{m.coverage_gap} No authorization under it pays: enter the coverage that holds."
        return Decision(State.STOP, words, stop, _cause(m, "coverage"))
    if result.passes:
        return Decision(State.READY, _ready_words(m))
    used_up = result.code == "AUTH_UNITS_EXCEEDED" and not m.asked_for_it
    waiting = result.code in WAITING or used_up
    in_time = on < stop
    state = State.CHECK if waiting and in_time else State.STOP
    sentence = result.sentence
    if waiting and not in_time:
        sentence = f"{sentence} The last business day to get it is here or past."
    elif waiting:
        sentence = f"{sentence} {_too_early(m, clock, on, leads)}".strip()
    return Decision(state, sentence, stop, _cause(m, _CAUSE.get(result.code, result.code)))


def lead_key(m: Matched) -> Key | None:
    """Whose history says how long the decision on this exam takes."""
    if m.coverage is None or m.ask.ordered is None:
        return None
    payer = m.coverage.payer
    return Key(payer.pk, m.requirement.reviewer or payer.reviewer, m.ask.ordered.modality)


def _too_early(m: Matched, clock: SiteClock, on: date, leads: Mapping[Key, Lead]) -> str:
    key = lead_key(m)
    lead = leads.get(key) if key else None
    if lead is None:
        return ""
    row = m.authorization
    asked = clock.day_of(row.requested_at) if row is not None and row.requested_at else on
    days = too_early(lead, asked, m.ask.day, clock)
    if not days:
        return ""
    unit = "day" if days == 1 else "days"
    return f"Too early by {days} {unit}: decisions take {lead.words()}."


def _leads(matches: Iterable[Matched], *, at: datetime) -> dict[Key, Lead]:
    """The leads of the exams that wait for a decision; no query when none does."""
    waiting = [m for m in matches if m.result.code in WAITING]
    keys = {key for m in waiting if (key := lead_key(m)) is not None}
    organizations = {m.ask.site.organization_id for m in waiting}
    return leads_of(keys, organization_ids=organizations, at=at)


def _cause(m: Matched, failure: str) -> str:
    """What stands in the way of one exam: the failure, the code, and whose coverage it is."""
    code = m.ask.performed_code or (m.ask.ordered.code if m.ask.ordered else "")
    side = m.ask.laterality
    payer = f"{m.coverage.payer.code}/{m.coverage.member_id}" if m.coverage else "none"
    return f"{failure}:{code}{side}:{payer}"


def _ready_words(m: Matched) -> str:
    row = m.authorization
    if row is not None and row.status in GRANTED and row.number:
        until = f" until {row.effective_to:%b %-d}" if row.effective_to else ""
        return f"Authorization {row.number}{until}."
    return f"Not required. {m.result.sentence}"


def gate_preview(ask: GateAsk, *, on: date) -> Decision:
    """The authorization gate of a visit that is not booked yet (reads only)."""
    site = Site.objects.select_related("organization").get(pk=ask.site.pk)
    exams = list(
        OrderedExam.objects.filter(pk__in=[e.pk for e in ask.exams])
        .select_related("order__ordering")
        .order_by("id")
    )
    if not exams:
        return Decision(State.CHECK, "No exam to authorize yet.")
    clock = clock_of(site)
    found = match_exams(
        [
            ExamAsk(str(e.pk), e, ask.patient.pk, site, ask.day, laterality=e.laterality)
            for e in exams
        ],
        at=clock.at(on, 12),
    )
    leads = _leads(found.values(), at=clock.at(on, 12))
    return gate_of(list(found.values()), clock=clock, on=on, leads=leads)


@dataclass(frozen=True, slots=True)
class Bookable:
    """From which day an exam can be booked so that its authorization can be expected in time; the
    day is None when no history and no rule tells.
    """

    exam: OrderedExam
    payer_name: str
    day: date | None
    lead: Lead | None


def earliest_bookable(
    *, exams: Sequence[OrderedExam], site: Site, at: datetime | None = None
) -> list[Bookable]:
    """The earliest bookable day of each exam that needs an authorization and has none yet (reads
    only). `exams` need their order.
    """
    at = at or timezone.now()
    clock = clock_of(site)
    today = clock.today(at)
    asks = [
        ExamAsk(str(e.pk), e, e.patient_id, site, today, laterality=e.laterality) for e in exams
    ]
    matched = match_exams(asks, at=at)
    leads = _leads(matched.values(), at=at)
    found = []
    for m in matched.values():
        if m.result.code not in WAITING or m.ask.ordered is None or m.coverage is None:
            continue
        key = lead_key(m)
        lead = leads.get(key) if key else None
        row = m.authorization
        asked = clock.day_of(row.requested_at) if row is not None and row.requested_at else today
        day = max(earliest(lead, asked, clock), today) if lead else None
        found.append(Bookable(m.ask.ordered, m.coverage.payer.name, day, lead))
    return found


def authorizations_review(
    *,
    authorization_ids: Sequence[int] = (),
    appointment_ids: Sequence[int] = (),
    actor: Actor,
    at: datetime | None = None,
) -> None:
    """Compute gates and items again for these records and visits; set-based, and harmless to
    repeat.

    Inside `together()` it is done once at the end of the block, for all.
    """
    rows = [
        *(("record", pk) for pk in authorization_ids),
        *(("visit", pk) for pk in appointment_ids),
    ]
    if rows and not later(_review, rows, turn=REVIEW, actor=actor, at=at):
        _review(rows, actor=actor, at=at)


@transaction.atomic
def _review(
    subjects: Sequence[tuple[str, int]], *, actor: Actor, at: datetime | None = None
) -> None:
    authorization_ids = {pk for kind, pk in subjects if kind == "record"}
    appointment_ids = {pk for kind, pk in subjects if kind == "visit"}
    at = at or timezone.now()
    rows = list(
        Authorization.objects.filter(
            Q(pk__in=authorization_ids) | Q(appointment_id__in=appointment_ids)
        )
        .select_related("payer", "patient", "site__organization", "appointment")
        .prefetch_related("services", "requests")
        .distinct()
    )
    visits = {r.appointment_id for r in rows if r.appointment_id} | appointment_ids
    exams = list(
        OrderedExam.objects.filter(appointment_id__in=visits, appointment__status__in=LIVE)
        .exclude(status=OrderStatus.CANCELLED)
        .select_related("order__ordering", "appointment__site__organization")
        .order_by("id")
    )
    asks = [
        ExamAsk(
            str(e.pk),
            e,
            e.patient_id,
            e.appointment.site,
            local_day(e.appointment.starts_at, e.appointment.site),
            laterality=e.laterality,
        )
        for e in exams
        if e.appointment
    ]
    matched = match_exams(asks, at=at)
    clocks = Clocks()
    by_visit: dict[int, list[Matched]] = {}
    for e in exams:
        by_visit.setdefault(e.appointment_id or 0, []).append(matched[str(e.pk)])
    gates: list[GateAnswer] = []
    fit: dict[int, Matched] = {}
    used_up: dict[int, str] = {}
    leads = _leads(matched.values(), at=at)
    for visit, found in by_visit.items():
        site = found[0].ask.site
        d = gate_of(found, clock=clocks.of(site), on=local_day(at, site), leads=leads)
        gates.append(
            GateAnswer(visit, GateName.AUTHORIZATION, d.state, d.sentence, d.due, cause=d.cause)
        )
        for m in found:
            if m.authorization is None or m.result.passes:
                continue
            if m.result.code == "AUTH_UNITS_EXCEEDED" and not m.asked_for_it:
                used_up[visit] = m.authorization.number
            else:
                fit.setdefault(m.authorization.pk, m)
    gate_decide(gates, actor=actor, at=at)
    _items(rows, fit, used_up, actor=actor, at=at)


def _items(
    rows: Sequence[Authorization],
    misfit: Mapping[int, Matched],
    used_up: Mapping[int, str],
    *,
    actor: Actor,
    at: datetime,
) -> None:
    dollars = dollars_at_risk([r.appointment_id for r in rows if r.appointment_id])
    loose = _list_prices([r for r in rows if not r.appointment_id], on=office_day(at))
    specs: list[ItemSpec] = []
    fine: list[int] = []
    clocks = Clocks()
    for row in rows:
        case = _Case(
            row,
            misfit.get(row.pk),
            clocks.of(row.site),
            at,
            used_up.get(row.appointment_id or 0, ""),
        )
        spec = _item(case, dollars.get(row.appointment_id or 0) or loose.get(row.pk, ZERO))
        if spec is None:
            fine.append(row.pk)
        else:
            specs.append(spec)
    live = WorkItem.objects.filter(
        subject_type="authorization",
        subject_id__in=[r.pk for r in rows],
        status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
    )
    standing = set(live.values_list("subject_id", "queue", "cause"))
    homes = {s.subject_id: s.queue for s in specs}
    # an item moves house with its cause: a decided request leaves the pended queue before the next
    # queue takes it
    for queue in QUEUES:
        leaving = {
            pk
            for pk, home, cause in standing
            if home == queue != homes.get(pk, queue) and cause in CAUSES[queue]
        }
        if leaving:
            close_items(
                "authorization",
                sorted(leaving),
                actor=actor,
                at=at,
                outcome="Moved on",
                queues=[queue],
                causes=CAUSES[queue],
            )
    open_items(specs, actor=actor, at=at)
    # what a performed exam changed (cause of the charge phase) is not closed from here
    ours = [c for found in CAUSES.values() for c in found]
    settled = {pk for pk, _, cause in standing if pk in set(fine) and cause in ours}
    if settled:
        close_items(
            "authorization", sorted(settled), actor=actor, at=at, outcome="Settled", causes=ours
        )


@dataclass(frozen=True, slots=True)
class _Case:
    """A record as its work item sees it. `used_up` is the number of the authorization whose units
    are gone.
    """

    row: Authorization
    misfit: Matched | None
    clock: SiteClock
    at: datetime
    used_up: str = ""

    @property
    def day(self) -> date | None:
        visit = self.row.appointment
        return local_day(visit.starts_at, self.row.site) if visit else None

    @property
    def stop(self) -> date | None:
        """The last business day before the visit."""
        return hard_stop(self.day, self.clock) if self.day else None

    @property
    def last(self) -> datetime:
        if self.stop is None:
            return self.at + timedelta(days=2)
        return self.clock.ends(self.stop)

    @property
    def codes(self) -> str:
        return ", ".join(s.code for s in self.row.services.all()) or ", ".join(
            c["code"] for c in self.row.evidence.get("codes", ())
        )

    @property
    def who(self) -> str:
        return self.row.reviewer or self.row.payer.name


@dataclass(frozen=True, slots=True)
class _Todo:
    """What an item says: its queue and cause, why, what to do, by when."""

    queue: str
    cause: str
    title: str
    fix: str
    due: datetime
    deadline: date | None


def _todo_draft(case: _Case) -> _Todo:
    row, codes = case.row, case.codes
    latest = max(row.requests.all(), key=lambda r: r.pk, default=None)
    if latest is not None and latest.reason:
        cause = "REQUEST_REFUSED"
        title = f"Request for {codes} was not taken: {latest.reason}"
        fix = "Correct it and request again."
    elif row.evidence.get("verdict") == Requirement.UNKNOWN:
        cause, title = "REQUIREMENT_UNKNOWN", row.evidence.get("sentence", "")
        fix = f"Ask {case.who} whether {codes} needs an authorization; keep the reference."
    elif case.used_up:
        cause = "AUTH_MISSING"
        title = f"Units of {case.used_up} are used up: {codes} needs a new one from {case.who}"
        fix = "Request it, or ask for more units on the old one."
    else:
        cause, title = "AUTH_MISSING", f"{codes} needs an authorization from {case.who}"
        fix = "Request it electronically, or by portal or phone."
    return _Todo(NEEDED, cause, title, fix, case.last, case.stop)


def _todo_waiting(case: _Case) -> _Todo:
    row = case.row
    due = row.decision_due_at or case.last
    silent = due < case.at
    title = f"{case.codes}: {row.payer.name} has not decided"
    if row.denial_reason:
        title = f"{title}; {row.denial_reason}"
    fix = "Send what was asked for; follow up at the payer's clock."
    if silent:
        fix = "Call the reviewer: the decision time is over."
    cause = "AUTH_SILENT" if silent else "AUTH_PENDING"
    return _Todo(PENDED, cause, title, fix, min(due, case.last) if case.day else due, case.stop)


def _todo_denied(case: _Case) -> _Todo:
    row = case.row
    title = f"{case.codes} denied" + (f": {row.denial_reason}" if row.denial_reason else "")
    fix = "Arrange the peer-to-peer call with the ordering physician, or ask anew."
    due, deadline = case.last, case.stop
    if row.peer_to_peer_at is not None:
        due = row.peer_to_peer_at
        fix = f"The call is arranged with {row.peer_to_peer_with}: record how it ended."
    elif row.peer_to_peer_by is not None:
        due = case.clock.ends(row.peer_to_peer_by)
    return _Todo(PEER, "AUTH_DENIED", title, fix, due, row.peer_to_peer_by or deadline)


def _todo_misfit(case: _Case) -> _Todo | None:
    if case.misfit is None:
        return None
    first = case.misfit.result.first
    fix = first.action if first else ""
    sentence = case.misfit.result.sentence
    return _Todo(UPDATE, "AUTH_MISFIT", sentence, fix, case.last, case.stop)


WORK_BY_STATUS: Mapping[str, Callable[[_Case], _Todo | None]] = {
    AuthStatus.DRAFT: _todo_draft,
    AuthStatus.REQUESTED: _todo_waiting,
    AuthStatus.PENDED: _todo_waiting,
    AuthStatus.DENIED: _todo_denied,
}
"""What is to be done in each state; in any other only what does not fit its exam."""


def _item(case: _Case, dollars: Decimal) -> ItemSpec | None:
    row, visit = case.row, case.row.appointment
    if visit is not None and visit.status not in LIVE:
        return None
    todo = WORK_BY_STATUS.get(row.status, _todo_misfit)(case)
    if todo is None:
        return None
    return ItemSpec(
        organization_id=row.organization_id,
        queue=todo.queue,
        subject_type="authorization",
        subject_id=row.pk,
        cause=todo.cause,
        title=todo.title[:200],
        fix=todo.fix[:200],
        due_at=todo.due,
        deadline_on=todo.deadline,
        dollars=dollars,
        site_id=row.site_id,
        patient_id=row.patient_id,
        patient_name=row.patient.name,
        payer_id=row.payer_id,
        payer_name=row.payer.name,
        facts={
            "codes": case.codes,
            "visit": visit.starts_at.isoformat() if visit else "",
            "number": row.number,
            "reviewer": row.reviewer,
        },
    )
