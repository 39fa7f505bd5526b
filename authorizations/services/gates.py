"""After every change the gate of the visit and the work items are computed again from the match
of what is ordered with what is authorized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from authorizations.clocks import hard_stop
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
from rcm.accounts.clock import SiteClock
from rcm.accounts.models import Site
from rcm.accounts.together import REVIEW, later
from rcm.reference.clock import Clocks, clock_of
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items

NEEDED, PENDED, PEER, UPDATE = (
    "authorization_needed",
    "authorization_pended",
    "peer_to_peer",
    "auth_update",
)
QUEUES = (NEEDED, PENDED, PEER, UPDATE)


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


def gate_of(matches: Sequence[Matched], *, clock: SiteClock, on: date) -> Decision:
    """The authorization gate of a visit from the match of its exams: the worst one speaks, the
    cause names all that stand in the way.

    Open but in time is `check`; open on the last business day, or a record that does not fit, is
    `stop`.
    """
    found = [_exam_gate(m, clock=clock, on=on) for m in matches]
    if not found:
        return Decision(State.READY, "")
    spoken = min(found, key=lambda d: WORST.index(d.state))
    cause = " ".join(sorted({d.cause for d in found if d.cause}))
    return Decision(spoken.state, spoken.sentence[:200], spoken.due, cause[:300])


def _exam_gate(m: Matched, *, clock: SiteClock, on: date) -> Decision:
    result = m.result
    if result.passes:
        return Decision(State.READY, _ready_words(m))
    stop = hard_stop(m.ask.day, clock)
    waiting = result.code in WAITING
    in_time = on < stop
    state = State.CHECK if waiting and in_time else State.STOP
    sentence = result.sentence
    if waiting and not in_time:
        sentence = f"{sentence} The last business day to get it is here or past."
    return Decision(state, sentence, stop, _cause(m))


def _cause(m: Matched) -> str:
    """What stands in the way of one exam: the failure, the code, and whose coverage it is."""
    code = m.ask.performed_code or (m.ask.ordered.code if m.ask.ordered else "")
    side = m.ask.laterality
    payer = f"{m.coverage.payer.code}/{m.coverage.member_id}" if m.coverage else "none"
    return f"{_CAUSE.get(m.result.code, m.result.code)}:{code}{side}:{payer}"


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
    return gate_of(list(found.values()), clock=clock, on=on)


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
    for visit, found in by_visit.items():
        site = found[0].ask.site
        d = gate_of(found, clock=clocks.of(site), on=local_day(at, site))
        gates.append(
            GateAnswer(visit, GateName.AUTHORIZATION, d.state, d.sentence, d.due, cause=d.cause)
        )
        for m in found:
            if m.authorization is not None and not m.result.passes:
                fit.setdefault(m.authorization.pk, m)
    gate_decide(gates, actor=actor, at=at)
    _items(rows, fit, actor=actor, at=at)


def _items(
    rows: Sequence[Authorization],
    misfit: Mapping[int, Matched],
    *,
    actor: Actor,
    at: datetime,
) -> None:
    dollars = dollars_at_risk([r.appointment_id for r in rows if r.appointment_id])
    specs: list[ItemSpec] = []
    fine: list[int] = []
    clocks = Clocks()
    for row in rows:
        spec = _item(
            row,
            misfit.get(row.pk),
            clocks.of(row.site),
            dollars.get(row.appointment_id or 0, Decimal("0.00")),
            at,
        )
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


def _item(
    row: Authorization,
    misfit: Matched | None,
    clock: SiteClock,
    dollars: Decimal,
    at: datetime,
) -> ItemSpec | None:
    visit = row.appointment
    if visit is not None and visit.status not in LIVE:
        return None
    day = local_day(visit.starts_at, row.site) if visit else None
    last = clock.ends(hard_stop(day, clock)) if day else at + timedelta(days=2)
    codes = ", ".join(s.code for s in row.services.all()) or ", ".join(
        c["code"] for c in row.evidence.get("codes", ())
    )
    deadline: date | None = hard_stop(day, clock) if day else None
    if row.status == AuthStatus.DRAFT:
        refused = next((r for r in sorted(row.requests.all(), key=lambda r: -r.pk)), None)
        if refused is not None and refused.reason:
            queue, cause, title, fix = (
                NEEDED,
                "REQUEST_REFUSED",
                f"Request for {codes} was not taken: {refused.reason}",
                "Correct it and request again.",
            )
        elif row.evidence.get("verdict") == Requirement.UNKNOWN:
            queue, cause = NEEDED, "REQUIREMENT_UNKNOWN"
            title, fix = (
                row.evidence.get("sentence", ""),
                (
                    f"Ask {row.reviewer or row.payer.name} whether {codes} needs an authorization;"
                    " keep the reference."
                ),
            )
        else:
            queue, cause, title = (
                NEEDED,
                "AUTH_MISSING",
                f"{codes} needs an authorization from {row.reviewer or row.payer.name}",
            )
            fix = "Request it (278), or by portal or phone."
        due = last
    elif row.status in (AuthStatus.REQUESTED, AuthStatus.PENDED):
        queue, due = PENDED, row.decision_due_at or last
        silent = due < at
        cause = "AUTH_SILENT" if silent else "AUTH_PENDING"
        title = f"{codes}: {row.payer.name} has not decided" + (
            f"; {row.denial_reason}" if row.denial_reason else ""
        )
        fix = (
            "Call the reviewer: the decision time is over."
            if silent
            else "Send what was asked for; follow up at the payer's clock."
        )
        due = min(due, last) if day else due
    elif row.status == AuthStatus.DENIED:
        queue, cause = PEER, "AUTH_DENIED"
        title = f"{codes} denied" + (f": {row.denial_reason}" if row.denial_reason else "")
        fix = "Arrange the peer-to-peer call with the ordering physician, or ask anew."
        due = clock.ends(row.peer_to_peer_by) if row.peer_to_peer_by else last
        deadline = row.peer_to_peer_by or deadline
    elif misfit is not None:
        queue, cause, title = UPDATE, "AUTH_MISFIT", misfit.result.sentence
        fix = misfit.result.first.action if misfit.result.first else ""
        due = last
    else:
        return None
    return ItemSpec(
        organization_id=row.organization_id,
        queue=queue,
        subject_type="authorization",
        subject_id=row.pk,
        cause=cause,
        title=title[:200],
        fix=fix[:200],
        due_at=due,
        deadline_on=deadline,
        dollars=dollars,
        site_id=row.site_id,
        patient_id=row.patient_id,
        patient_name=row.patient.name,
        payer_id=row.payer_id,
        payer_name=row.payer.name,
        facts={
            "codes": codes,
            "visit": visit.starts_at.isoformat() if visit else "",
            "number": row.number,
            "reviewer": row.reviewer,
        },
    )
