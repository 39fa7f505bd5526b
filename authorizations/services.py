"""The verbs of the authorization phase: decide whether it is required, request, decide, use,
update, remind (FEATURES B; DOMAIN B).

The front door follows from these: after every change the gate of the appointment and the work items
are computed again from the four-way match of what is ordered with what is authorized
(`authorizations_review`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from authorizations.clocks import SiteCalendar, decision_due, hard_stop
from authorizations.loading import Calendars, ExamAsk, Matched, decision_window, match_exams
from authorizations.models import (
    AUTH_MOVES,
    GRANTED,
    Authorization,
    AuthorizationUse,
    AuthorizedService,
    AuthRequest,
    AuthStatus,
)
from authorizations.requirement import Requirement, RequirementAnswer
from authorizations.x12_278 import Granted, Reply, reply_of, request_of
from intake.clearance import Decision, GateName, State
from intake.models import Appointment, Coverage, Order, OrderedExam, OrderStatus
from intake.services import (
    LIVE,
    GateAnswer,
    GateAsk,
    connection_for,
    dollars_at_risk,
    envelope_for,
    gate_decide,
    local_day,
    primary_coverages,
)
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization, Site
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.tenancy import uuid7
from rcm.accounts.together import DECIDE, REVIEW, later
from rcm.audit.services import Step, record_steps
from rcm.exchange.models import Interchange, WorkQueue
from rcm.exchange.problems import ParseProblem
from rcm.exchange.services import publish, store_outbound
from rcm.reference.models import Payer, PayerKind
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import ItemSpec, close_items, interaction_record, open_items
from rcm.x12 import NotX12, read_278_responses, write_278_request

NEEDED, PENDED, PEER, UPDATE = (
    "authorization_needed",
    "authorization_pended",
    "peer_to_peer",
    "auth_update",
)
QUEUES = (NEEDED, PENDED, PEER, UPDATE)
LIVE_STATUS = (
    AuthStatus.DRAFT,
    AuthStatus.REQUESTED,
    AuthStatus.PENDED,
    *GRANTED,
    AuthStatus.NOT_REQUIRED,
    AuthStatus.DENIED,
    AuthStatus.EXPIRED,
)


@dataclass(frozen=True, slots=True)
class Use:
    """Units of one authorized line that one performed exam takes."""

    service_id: int
    exam_id: int
    units: int = 1


# --- is it required? ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Case:
    """The ordered exams that are asked about together: those of one visit, or of one order not yet
    booked.
    """

    exams: list[OrderedExam]
    site: Site
    day: date
    appointment: Appointment | None
    order: Order


@transaction.atomic
def requirement_decide(
    *,
    ordered_exam_ids: Sequence[int] = (),
    appointment_ids: Sequence[int] = (),
    actor: Actor,
    at: datetime | None = None,
) -> list[Authorization]:
    """Answer "is an authorization required" for these exams and keep the answer with its evidence,
    "not required" too.

    A visit (or an order sent to a known site) has one record for each coverage that asks; it is
    made, joined to the visit, brought back to a draft or taken off as the facts change. Gates and
    items follow. Repeating changes nothing.
    """
    at = at or timezone.now()
    exams = list(
        OrderedExam.objects.filter(
            Q(pk__in=list(ordered_exam_ids)) | Q(appointment_id__in=list(appointment_ids))
        )
        .select_related(
            "order__ordering",
            "order__site__organization",
            "appointment__site__organization",
            "patient",
        )
        .order_by("id")
    )
    visits = {e.appointment_id for e in exams if e.appointment_id}
    loose = {e.order_id for e in exams if not e.appointment_id}
    exams = list(
        OrderedExam.objects.filter(
            Q(appointment_id__in=visits) | Q(order_id__in=loose, appointment__isnull=True)
        )
        .exclude(status=OrderStatus.CANCELLED)
        .select_related(
            "order__ordering",
            "order__site__organization",
            "appointment__site__organization",
            "patient",
        )
        .order_by("id")
    )
    cases = _cases(exams, at)
    coverages = primary_coverages({e.patient_id for e in exams})
    asks = [
        ExamAsk(
            str(e.pk),
            e,
            e.patient_id,
            c.site,
            c.day,
            coverages.get(e.patient_id),
            laterality=e.laterality,
        )
        for c in cases
        for e in c.exams
    ]
    matched = match_exams(asks, as_of=timezone.localdate(at))
    existing = _records_of(exams)
    touched: list[Authorization] = []
    for case in cases:
        coverage = coverages.get(case.exams[0].patient_id)
        touched += _settle(
            case,
            coverage,
            {e.pk: matched[str(e.pk)].requirement for e in case.exams},
            existing,
            actor=actor,
            at=at,
        )
    authorizations_review(
        authorization_ids=[a.pk for a in touched],
        appointment_ids=sorted(visits),
        actor=actor,
        at=at,
    )
    return touched


def _cases(exams: Sequence[OrderedExam], at: datetime) -> list[_Case]:
    found: dict[tuple[str, int], _Case] = {}
    for e in exams:
        visit = e.appointment
        site = visit.site if visit else e.order.site
        if site is None or (visit is not None and visit.status not in LIVE):
            continue
        key = ("visit", visit.pk) if visit else ("order", e.order_id)
        day = local_day(visit.starts_at, site) if visit else local_day(at, site)
        found.setdefault(key, _Case([], site, day, visit, e.order)).exams.append(e)
    return list(found.values())


def _records_of(exams: Sequence[OrderedExam]) -> dict[int, list[Authorization]]:
    """Live records by ordered exam: through their lines, or through the visit of a record without
    lines.
    """
    ids = [e.pk for e in exams]
    visits = {e.appointment_id for e in exams if e.appointment_id}
    rows = (
        Authorization.objects.filter(
            Q(services__ordered_exam_id__in=ids) | Q(appointment_id__in=visits),
            status__in=LIVE_STATUS,
        )
        .distinct()
        .prefetch_related("services")
        .select_related("payer", "coverage")
    )
    found: dict[int, list[Authorization]] = {}
    for row in rows:
        lines = {s.ordered_exam_id for s in row.services.all()}
        for e in exams:
            if e.pk in lines or (e.appointment_id and row.appointment_id == e.appointment_id):
                found.setdefault(e.pk, []).append(row)
    return found


def _settle(
    case: _Case,
    coverage: Coverage | None,
    answers: Mapping[int, RequirementAnswer],
    existing: Mapping[int, list[Authorization]],
    *,
    actor: Actor,
    at: datetime,
) -> list[Authorization]:
    """Bring the records of one case in line with the answers."""
    rows = {a.pk: a for e in case.exams for a in existing.get(e.pk, ())}
    touched: list[Authorization] = []
    if coverage is None:
        return list(rows.values())
    for row in rows.values():
        # a record of a coverage that is no longer the primary one does not carry this visit; an
        # unasked one is dropped
        if row.coverage_id != coverage.pk and row.status in (
            AuthStatus.DRAFT,
            AuthStatus.NOT_REQUIRED,
        ):
            _move(row, AuthStatus.CANCELLED, "Another coverage is primary now", actor=actor, at=at)
            touched.append(row)
    if coverage.payer.kind == PayerKind.SELF_PAY:
        return touched
    own = [
        r
        for r in rows.values()
        if r.coverage_id == coverage.pk and r.status != AuthStatus.CANCELLED
    ]
    needed = [e for e in case.exams if answers[e.pk].verdict is not Requirement.NOT_REQUIRED]
    evidence = _evidence(case, answers, coverage, at)
    current = next(
        (r for r in own if r.status in (AuthStatus.DRAFT, AuthStatus.NOT_REQUIRED)), None
    )
    asked = [r for r in own if r is not current]
    covered = {s.ordered_exam_id for r in asked for s in r.services.all()}
    open_exams = [e for e in needed if e.pk not in covered]
    for row in asked:
        if (
            case.appointment is not None
            and row.appointment_id != case.appointment.pk
            and row.status != AuthStatus.DENIED
        ):
            Authorization.objects.filter(pk=row.pk).update(appointment=case.appointment)
            row.appointment = case.appointment
        touched.append(row)
    if current is None and not open_exams and asked:
        return touched
    opened = current is None
    if current is None:
        current = _open_record(case, coverage)
    values: dict[str, Any] = {
        "appointment": case.appointment,
        "site": case.site,
        "member_id": coverage.member_id,
        "diagnoses": case.order.diagnoses,
        "ordering_npi": case.order.ordering.npi if case.order.ordering else "",
        "facility_npi": case.site.npi,
        "facility_tin": case.site.organization.tin,
        "reviewer": next(
            (answers[e.pk].reviewer for e in needed if answers[e.pk].reviewer),
            coverage.payer.reviewer,
        ),
        "evidence": {**evidence, "heard": current.evidence.get("heard", [])},
    }
    changed = {k: v for k, v in values.items() if getattr(current, k) != v}
    if changed:
        Authorization.objects.filter(pk=current.pk).update(version=F("version") + 1, **changed)
        for k, v in changed.items():
            setattr(current, k, v)
    _lines(current, open_exams)
    wanted = AuthStatus.DRAFT if open_exams else AuthStatus.NOT_REQUIRED
    words = evidence["sentence"]
    if opened and wanted == AuthStatus.DRAFT:
        keys: dict[str, int | None] = {
            "patient_id": current.patient_id,
            "authorization_id": current.pk,
        }
        record_steps(
            [
                Step(
                    current.organization_id,
                    "authorization.needed",
                    words,
                    keys,
                    new=AuthStatus.DRAFT,
                )
            ],
            actor=actor,
            at=at,
        )
    if current.status != wanted:
        if wanted == AuthStatus.NOT_REQUIRED and not current.reference:
            current.reference = next(
                (answers[e.pk].rule_id for e in case.exams if answers[e.pk].rule_id), ""
            )[:60]
            Authorization.objects.filter(pk=current.pk).update(
                reference=current.reference, decided_at=at
            )
        _move(current, wanted, words, actor=actor, at=at)
    touched.append(current)
    return touched


def _evidence(
    case: _Case, answers: Mapping[int, RequirementAnswer], coverage: Coverage, at: datetime
) -> dict[str, Any]:
    """What the answer rests on, as kept on the record: by code the verdict, its sentence, rule and
    what was heard.
    """
    codes = []
    for e in case.exams:
        a = answers[e.pk]
        codes.append(
            {
                "code": e.code,
                "verdict": a.verdict.value,
                "sentence": a.sentence,
                "rule": a.rule_id,
                "sources": [
                    {
                        "kind": x.kind.value,
                        "who": x.who,
                        "reference": x.reference,
                        "on": x.on.isoformat() if x.on else "",
                    }
                    for x in a.evidence
                ],
            }
        )
    worst = max(codes, key=lambda c: ("not_required", "unknown", "required").index(c["verdict"]))
    return {
        "codes": codes,
        "verdict": worst["verdict"],
        "sentence": worst["sentence"],
        "payer": coverage.payer.code,
    }


def _open_record(case: _Case, coverage: Coverage) -> Authorization:
    return Authorization.objects.create(
        organization_id=case.order.organization_id,
        patient_id=case.exams[0].patient_id,
        coverage=coverage,
        payer=coverage.payer,
        appointment=case.appointment,
        site=case.site,
        member_id=coverage.member_id,
    )


def _lines(row: Authorization, exams: Sequence[OrderedExam]) -> None:
    """One line for each exam to ask about; lines of exams that need none or were changed go."""
    wanted = {e.pk: e for e in exams}
    kept = {}
    for line in row.services.all():
        e = wanted.get(line.ordered_exam_id or 0)
        if e is None or (e.code, e.laterality) != (line.code, line.laterality):
            line.delete()
        else:
            kept[e.pk] = line
    AuthorizedService.objects.bulk_create(
        [
            AuthorizedService(
                organization_id=row.organization_id,
                authorization=row,
                ordered_exam=e,
                code=e.code,
                laterality=e.laterality,
            )
            for e in exams
            if e.pk not in kept
        ]
    )
    row._prefetched_objects_cache = {}  # type: ignore[attr-defined]


def _move(
    row: Authorization,
    to: str,
    sentence: str,
    *,
    actor: Actor,
    at: datetime,
    reason: str = "",
    **changes: Any,
) -> None:
    """One status change by the table, under the version, kept with actor and reason on the timeline
    of each exam.
    """
    if row.status != to and to not in AUTH_MOVES[row.status]:
        raise Refused(
            f"An authorization that is {row.get_status_display().lower()} cannot become"
            f" {AuthStatus(to).label.lower()}.",
            code="not_allowed",
            status=409,
        )
    old = row.status
    if not Authorization.objects.filter(pk=row.pk, status=old).update(
        status=to, version=F("version") + 1, **changes
    ):
        raise Conflict(
            "Somebody else has changed this authorization in the meantime. Here is the fresh one;"
            " look, then try again."
        )
    row.refresh_from_db()
    exams: list[int | None] = [
        *row.services.filter(ordered_exam__isnull=False).values_list("ordered_exam_id", flat=True)
    ] or [None]
    record_steps(
        [
            Step(
                row.organization_id,
                f"authorization.{to}",
                sentence,
                {"patient_id": row.patient_id, "authorization_id": row.pk, "ordered_exam_id": e},
                old=old,
                new=to,
                reason=reason,
            )
            for e in exams
        ],
        actor=actor,
        at=at,
    )
    publish(
        "authorization.changed",
        organization_id=row.organization_id,
        payload={"authorization_id": row.pk, "status": str(to)},
        due_at=at,
    )


def requirement_refresh(
    *,
    ordered_exam_ids: Sequence[int] = (),
    appointment_ids: Sequence[int] = (),
    actor: Actor,
    at: datetime | None = None,
) -> None:
    """`requirement_decide` for rows that something happened to; inside `together()` once at the end
    of the block, for all.
    """
    rows = [*(("exam", pk) for pk in ordered_exam_ids), *(("visit", pk) for pk in appointment_ids)]
    if rows and not later(_decide, rows, turn=DECIDE, actor=actor, at=at):
        _decide(rows, actor=actor, at=at)


def _decide(
    subjects: Sequence[tuple[str, int]], *, actor: Actor, at: datetime | None = None
) -> None:
    chosen = dict.fromkeys(subjects)
    requirement_decide(
        ordered_exam_ids=[pk for kind, pk in chosen if kind == "exam"],
        appointment_ids=[pk for kind, pk in chosen if kind == "visit"],
        actor=actor,
        at=at,
    )


# --- gates and items ------------------------------------------------------------------------------


def gate_of(
    matches: Sequence[Matched], *, calendar: SiteCalendar, on: date
) -> tuple[State, str, date | None]:
    """The authorization gate of a visit from the match of its exams: the worst one speaks.

    Open but in time is `check`; open on the last business day, or a record that does not fit, is
    `stop` (DOMAIN B6, FEATURES B6).
    """
    worst: tuple[int, State, str, date | None] = (0, State.READY, "", None)
    for m in matches:
        result = m.result
        if result.passes:
            words = _ready_words(m)
            found: tuple[int, State, str, date | None] = (0, State.READY, words, None)
        else:
            stop = hard_stop(m.ask.day, calendar)
            in_time = on < stop
            waiting = result.code in ("AUTH_MISSING", "AUTH_PENDING", "REQUIREMENT_UNKNOWN")
            state = State.CHECK if waiting and in_time else State.STOP
            words = (
                result.sentence
                if not waiting or in_time
                else f"{result.sentence} The last business day to get it is here or past."
            )
            found = (2 if state is State.STOP else 1, state, words, stop)
        if found[0] > worst[0] or not worst[2]:
            worst = found
    return worst[1], worst[2][:200], worst[3]


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
    found = match_exams(
        [
            ExamAsk(str(e.pk), e, ask.patient.pk, site, ask.day, laterality=e.laterality)
            for e in exams
        ],
        as_of=on,
    )
    calendar = Calendars((ask.day.year - 1, ask.day.year, ask.day.year + 1)).of(site)
    state, sentence, due = gate_of(list(found.values()), calendar=calendar, on=on)
    return Decision(state, sentence, due)


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
    matched = match_exams(asks, as_of=timezone.localdate(at))
    years = {a.day.year for a in asks} | {timezone.localdate(at).year}
    calendars = Calendars(y + d for y in years for d in (-1, 0, 1))
    by_visit: dict[int, list[Matched]] = {}
    for e in exams:
        by_visit.setdefault(e.appointment_id or 0, []).append(matched[str(e.pk)])
    gates: list[GateAnswer] = []
    fit: dict[int, Matched] = {}
    for visit, found in by_visit.items():
        site = found[0].ask.site
        state, sentence, due = gate_of(found, calendar=calendars.of(site), on=local_day(at, site))
        gates.append(GateAnswer(visit, GateName.AUTHORIZATION, state, sentence, due))
        for m in found:
            if m.authorization is not None and not m.result.passes:
                fit.setdefault(m.authorization.pk, m)
    gate_decide(gates, actor=actor, at=at)
    _items(rows, fit, calendars, actor=actor, at=at)


def _items(
    rows: Sequence[Authorization],
    misfit: Mapping[int, Matched],
    calendars: Calendars,
    *,
    actor: Actor,
    at: datetime,
) -> None:
    dollars = dollars_at_risk([r.appointment_id for r in rows if r.appointment_id])
    specs: list[ItemSpec] = []
    fine: list[int] = []
    for row in rows:
        spec = _item(
            row,
            misfit.get(row.pk),
            calendars.of(row.site),
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


CAUSES: Mapping[str, tuple[str, ...]] = {
    NEEDED: ("AUTH_MISSING", "REQUIREMENT_UNKNOWN", "REQUEST_REFUSED"),
    PENDED: ("AUTH_PENDING", "AUTH_SILENT"),
    PEER: ("AUTH_DENIED",),
    UPDATE: ("AUTH_MISFIT",),
}


def _item(
    row: Authorization,
    misfit: Matched | None,
    calendar: SiteCalendar,
    dollars: Decimal,
    at: datetime,
) -> ItemSpec | None:
    visit = row.appointment
    if visit is not None and visit.status not in LIVE:
        return None
    day = local_day(visit.starts_at, row.site) if visit else None
    last = calendar.end_of_day(hard_stop(day, calendar)) if day else at + timedelta(days=2)
    codes = ", ".join(s.code for s in row.services.all()) or ", ".join(
        c["code"] for c in row.evidence.get("codes", ())
    )
    deadline: date | None = hard_stop(day, calendar) if day else None
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
        due = calendar.end_of_day(row.peer_to_peer_by) if row.peer_to_peer_by else last
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


# --- requesting -----------------------------------------------------------------------------------


@transaction.atomic
def authorization_request(
    *,
    authorization: Authorization,
    actor: Actor,
    channel: str = "278",
    urgent: bool = False,
    reference: str = "",
    contact: str = "",
    note: str = "",
    promised_on: date | None = None,
    at: datetime | None = None,
) -> AuthRequest:
    """Ask the payer. `278` leaves over the exchange and its answer lands by itself; `portal` and
    `phone` keep the reference and the promise.

    The decision clock starts (regulated or the payer's own). Raises Refused when there is nothing
    to ask or no partner takes a 278.
    """
    actor.require("authorization.edit")
    at = at or timezone.now()
    row = _locked(authorization, parties=True)
    lines = list(row.services.order_by("id"))
    if not lines:
        raise Refused("There is no exam on this record to ask for.", code="nothing_to_ask")
    if row.status in (AuthStatus.REQUESTED, AuthStatus.PENDED):
        raise Refused(
            "It has been requested already; wait for the decision or record it.",
            code="already_asked",
            status=409,
        )
    if channel != "278" and not reference.strip():
        raise Refused(
            "Enter the reference number of the call or portal.", field="reference", code="missing"
        )
    trace = uuid7().hex
    interchange: Interchange | None = None
    if channel == "278":
        interchange = _send_278(row, lines, trace=trace, urgent=urgent, actor=actor, at=at)
    calendar = Calendars((at.year - 1, at.year, at.year + 1)).of(row.site)
    window, source = decision_window(row.payer, urgent=urgent, on=timezone.localdate(at))
    due = decision_due(at, window, calendar) if window else None
    if promised_on is not None:
        due = calendar.end_of_day(promised_on)
    ask = AuthRequest.objects.create(
        organization_id=row.organization_id,
        authorization=row,
        channel=channel,
        trace=trace,
        request=interchange,
        asked_at=at,
    )
    words = "by 278" if channel == "278" else f"by {channel}, reference {reference}"
    _move(
        row,
        AuthStatus.REQUESTED,
        f"Requested {words}" + (f"; decision due {due:%b %-d}" if due else ""),
        actor=actor,
        at=at,
        requested_at=at,
        decision_due_at=due,
        denial_reason="",
        **({"reference": reference[:60], "contact": contact[:60]} if reference else {}),
    )
    if source and due and promised_on is None:
        row.evidence["clock"] = source
        Authorization.objects.filter(pk=row.pk).update(evidence=row.evidence)
    authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
    if channel != "278":
        item = WorkItem.objects.filter(
            subject_type="authorization", subject_id=row.pk, status__in=["open", "pended"]
        ).first()
        interaction_record(
            organization_id=row.organization_id,
            channel=channel,
            note=note or "Authorization requested",
            outcome="Requested",
            actor=actor,
            item=item,
            patient_id=row.patient_id,
            contact=contact,
            reference=reference,
            promised_on=promised_on,
            at=at,
        )
    authorization.refresh_from_db()
    return ask


def _send_278(
    row: Authorization,
    lines: Sequence[AuthorizedService],
    *,
    trace: str,
    urgent: bool,
    actor: Actor,
    at: datetime,
) -> Interchange:
    organization = Organization.objects.get(pk=row.organization_id)
    connection = connection_for(organization.pk, "278", row.payer)
    first = next((s.ordered_exam for s in lines if s.ordered_exam), None)
    order = first.order if first else None
    day = (
        local_day(row.appointment.starts_at, row.site)
        if row.appointment
        else local_day(at, row.site)
    )
    envelope = envelope_for(organization, connection, at=at)
    request = request_of(
        row,
        lines,
        organization=organization,
        ordering=order.ordering if order else None,
        service_date=day,
        modality=first.modality if first else "",
        trace=trace,
        urgent=urgent,
        indication=order.indication if order else "",
    )
    written = write_278_request(envelope, [request])
    return store_outbound(
        organization_id=organization.pk,
        kind="278",
        content=written.data,
        connection=connection,
        control_number=f"{envelope.control:09d}",
        queue=WorkQueue.REALTIME,
        at=at,
        actor=actor,
    )


def _locked(
    authorization: Authorization, version: int | None = None, *, parties: bool = False
) -> Authorization:
    """The row, held to the end of the transaction; `parties` brings everybody whom a request
    names.
    """
    rows = Authorization.objects.select_for_update(of=("self",))
    if parties:
        rows = rows.select_related(
            "payer",
            "coverage__payer",
            "coverage__patient",
            "coverage__plan",
            "site__organization",
            "appointment",
            "patient",
        )
    row = rows.get(pk=authorization.pk)
    if version is not None and row.version != version:
        raise Conflict(
            "Somebody else has changed this authorization in the meantime. Here is the fresh one;"
            " look, then try again."
        )
    return row


def answer_278(interchange: Interchange, *, actor: Actor, at: datetime) -> Mapping[str, Any]:
    """Processor of inbound 278: each answer lands on its request by trace number, or by the request
    it came back on.
    """
    try:
        responses = list(read_278_responses(bytes(interchange.content)))
    except NotX12 as error:
        raise ParseProblem(str(error)) from error
    if not responses:
        raise ParseProblem("The 278 holds no answer.")
    counts: dict[str, int] = {"answers": len(responses), "repeated": 0}
    for response in responses:
        reply = reply_of(response)
        ask = (
            AuthRequest.objects.filter(organization_id=interchange.organization_id)
            .filter(Q(trace__in=reply.traces) | Q(request_id=interchange.answer_to_id or 0))
            .order_by("-id")
            .select_related("authorization")
            .first()
        )
        if ask is None:
            raise Refused(
                "This 278 answers no request of ours: its trace number is unknown.",
                code="unknown_trace",
            )
        if ask.response_id == interchange.pk:
            counts["repeated"] += 1
            continue
        _take_reply(ask, reply, interchange, actor=actor, at=at)
        word = reply.status or "refused"
        counts[word] = counts.get(word, 0) + 1
    return counts


def _take_reply(
    ask: AuthRequest, reply: Reply, interchange: Interchange, *, actor: Actor, at: datetime
) -> None:
    row = _locked(ask.authorization)
    later = AuthRequest.objects.filter(authorization=row, id__gt=ask.pk).exists()
    ask.action, ask.response, ask.answered_at = reply.action, interchange, at
    ask.reason = (
        (reply.refusal or reply.reason)[:200]
        if reply.status is None or reply.status in (AuthStatus.DENIED, AuthStatus.PENDED)
        else ""
    )
    ask.save()
    if later or row.status == AuthStatus.CANCELLED:
        return
    if reply.status is None:
        if row.status == AuthStatus.REQUESTED:
            _move(
                row,
                AuthStatus.DRAFT,
                f"The payer did not take the request: {reply.refusal or 'no reason given'}",
                actor=actor,
                at=at,
                decision_due_at=None,
            )
        authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
        return
    authorization_decide(
        authorization=row,
        status=reply.status,
        number=reply.number,
        effective_from=reply.effective_from,
        effective_to=reply.effective_to,
        services=reply.services or None,
        reason=reply.reason,
        reference=reply.number if reply.status == AuthStatus.NOT_REQUIRED else "",
        channel="278",
        actor=actor,
        at=at,
    )


@transaction.atomic
def requests_failed(*, interchange_ids: Sequence[int], actor: Actor, at: datetime) -> int:
    """278s that could not be delivered: their records are drafts again, and an item says so."""
    asks = list(
        AuthRequest.objects.filter(
            request_id__in=interchange_ids, answered_at__isnull=True
        ).select_related("authorization")
    )
    for ask in asks:
        AuthRequest.objects.filter(pk=ask.pk).update(
            reason="it could not be delivered", answered_at=at
        )
        row = _locked(ask.authorization)
        if row.status == AuthStatus.REQUESTED:
            _move(
                row,
                AuthStatus.DRAFT,
                "The request could not be delivered",
                actor=actor,
                at=at,
                decision_due_at=None,
            )
        authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
    return len(asks)


# --- deciding -------------------------------------------------------------------------------------


@transaction.atomic
def authorization_decide(
    *,
    authorization: Authorization,
    status: str,
    actor: Actor,
    number: str = "",
    effective_from: date | None = None,
    effective_to: date | None = None,
    services: Sequence[Granted] | None = None,
    reference: str = "",
    contact: str = "",
    reason: str = "",
    channel: str = "phone",
    version: int | None = None,
    at: datetime | None = None,
) -> Authorization:
    """Record what the payer decided, by whatever way it came. An approval needs its number and
    dates; "not required" needs a reference.

    `services` are the approved and refused lines; without them every line asked for is granted as
    asked.
    """
    actor.require("authorization.edit")
    at = at or timezone.now()
    row = _locked(authorization, version)
    status = AuthStatus(status)
    if status in GRANTED:
        if not number.strip():
            raise Refused("Enter the authorization number.", field="number", code="missing")
        if effective_from is None or effective_to is None:
            raise Refused(
                "Enter the first and last day of the authorization.",
                field="effective_to",
                code="missing",
            )
        if effective_to < effective_from:
            raise Refused("The last day lies before the first.", field="effective_to", code="order")
    if status == AuthStatus.NOT_REQUIRED and not (reference.strip() or number.strip()):
        raise Refused(
            "Enter the reference: without it “not required” proves nothing in an appeal.",
            field="reference",
            code="missing",
        )
    if status == AuthStatus.DENIED and not reason.strip() and channel != "278":
        raise Refused("Enter the reason the payer gave.", field="reason", code="missing")
    changes: dict[str, Any] = {
        "denial_reason": reason[:200] if status in (AuthStatus.DENIED, AuthStatus.PENDED) else ""
    }
    if reference or contact:
        changes |= {
            "reference": reference[:60] or row.reference,
            "contact": contact[:60] or row.contact,
        }
    if status in GRANTED:
        changes |= {
            "number": number.strip()[:50],
            "effective_from": effective_from,
            "effective_to": effective_to,
            "decided_at": at,
            "peer_to_peer_by": None,
        }
        if row.requested_at is None:
            changes["requested_at"] = at
        _grant(row, services, all_granted=status == AuthStatus.APPROVED)
    elif status == AuthStatus.DENIED:
        days = row.payer.peer_to_peer_days
        changes |= {
            "decided_at": at,
            "peer_to_peer_by": (
                local_day(at, row.site) + timedelta(days=days) if days is not None else None
            ),
        }
        row.services.update(status="denied")
    elif status == AuthStatus.NOT_REQUIRED:
        changes |= {"decided_at": at, "reference": (reference or number)[:60]}
        _hear(
            row,
            Requirement.NOT_REQUIRED,
            channel,
            contact or row.payer.name,
            reference or number,
            at,
        )
        changes["evidence"] = row.evidence
    elif status == AuthStatus.CANCELLED:
        changes |= {"decided_at": at}
    words = {
        AuthStatus.APPROVED: f"Approved, number {number}",
        AuthStatus.PARTIAL: f"Partly approved, number {number}",
        AuthStatus.MODIFIED: f"Approved with changes, number {number}",
        AuthStatus.DENIED: f"Denied: {reason or 'no reason given'}",
        AuthStatus.PENDED: f"Pended by the payer{': ' + reason if reason else ''}",
        AuthStatus.NOT_REQUIRED: f"Payer says not required, reference {reference or number}",
        AuthStatus.CANCELLED: "Cancelled",
    }.get(status, status.label)
    _move(row, status, words, actor=actor, at=at, reason=reason, **changes)
    if channel in ("phone", "portal"):
        interaction_record(
            organization_id=row.organization_id,
            channel=channel,
            note=words,
            outcome=status.label,
            actor=actor,
            patient_id=row.patient_id,
            contact=contact,
            reference=reference or number,
            at=at,
        )
    authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
    row.refresh_from_db()
    return row


def _grant(row: Authorization, services: Sequence[Granted] | None, *, all_granted: bool) -> None:
    """Write the granted lines: those asked for take the answer's units and side; a code the payer
    put in their place is a line of its own.
    """
    lines = list(row.services.order_by("id"))
    if not services:
        row.services.update(status="approved")
        return
    rest = list(services)
    for line in lines:
        found = next(
            (g for g in rest if g.code == line.code and g.laterality in ("", line.laterality)), None
        )
        if found is None:
            line.status = "approved" if all_granted and len(rest) == 0 else "denied"
        else:
            rest.remove(found)
            line.status = "approved" if found.approved else "denied"
            line.units = max(found.units, 1)
            line.laterality = found.laterality or line.laterality
    AuthorizedService.objects.bulk_update(lines, ["status", "units", "laterality"])
    spare = [line for line in lines if line.status == "denied"]
    AuthorizedService.objects.bulk_create(
        [
            AuthorizedService(
                organization_id=row.organization_id,
                authorization=row,
                ordered_exam_id=spare[0].ordered_exam_id if spare else None,
                code=g.code,
                laterality=g.laterality,
                units=max(g.units, 1),
                status="modified",
            )
            for g in rest
            if g.approved
        ]
    )


def _hear(
    row: Authorization, says: Requirement, channel: str, who: str, reference: str, at: datetime
) -> None:
    """Keep what the payer said about each code as evidence for the next time it is asked."""
    kind = channel if channel in ("phone", "portal") else "payer_api"
    codes = {s.code for s in row.services.all()} or {
        c["code"] for c in row.evidence.get("codes", ())
    }
    heard = [h for h in row.evidence.get("heard", []) if h["code"] not in codes]
    heard += [
        {
            "kind": kind,
            "says": says.value,
            "code": c,
            "who": who,
            "on": timezone.localdate(at).isoformat(),
            "reference": reference,
        }
        for c in sorted(codes)
    ]
    row.evidence = {**row.evidence, "heard": heard}


@transaction.atomic
def requirement_hear(
    *,
    authorization: Authorization,
    required: bool,
    channel: str,
    reference: str,
    contact: str,
    actor: Actor,
    at: datetime | None = None,
) -> Authorization:
    """The payer's own word on "is it required", by phone or portal: it beats every rule."""
    if not required:
        return authorization_decide(
            authorization=authorization,
            status=AuthStatus.NOT_REQUIRED,
            reference=reference,
            contact=contact,
            channel=channel,
            actor=actor,
            at=at,
        )
    actor.require("authorization.edit")
    at = at or timezone.now()
    row = _locked(authorization)
    if not reference.strip():
        raise Refused(
            "Enter the reference number of the call or portal.", field="reference", code="missing"
        )
    _hear(row, Requirement.REQUIRED, channel, contact or row.payer.name, reference, at)
    Authorization.objects.filter(pk=row.pk).update(evidence=row.evidence, version=F("version") + 1)
    record_steps(
        [
            Step(
                row.organization_id,
                "authorization.heard",
                f"Payer says required, reference {reference}",
                {"patient_id": row.patient_id, "authorization_id": row.pk},
            )
        ],
        actor=actor,
        at=at,
    )
    ids = [s.ordered_exam_id for s in row.services.all() if s.ordered_exam_id]
    requirement_decide(
        ordered_exam_ids=ids,
        appointment_ids=[row.appointment_id] if row.appointment_id else [],
        actor=actor,
        at=at,
    )
    row.refresh_from_db()
    return row


@transaction.atomic
def peer_to_peer(
    *,
    authorization: Authorization,
    actor: Actor,
    outcome: str,
    contact: str,
    note: str,
    number: str = "",
    effective_from: date | None = None,
    effective_to: date | None = None,
    at: datetime | None = None,
) -> Authorization:
    """Record the peer-to-peer call: `overturned` (with number and dates), `upheld`, or `scheduled`
    (FEATURES B12).
    """
    actor.require("authorization.edit")
    at = at or timezone.now()
    row = _locked(authorization)
    if row.status != AuthStatus.DENIED:
        raise Refused("A peer-to-peer call follows a denial.", code="not_denied", status=409)
    if outcome not in ("overturned", "upheld", "scheduled"):
        raise Refused("Say how the call ended.", field="outcome", code="choice")
    item = WorkItem.objects.filter(
        subject_type="authorization", subject_id=row.pk, status__in=["open", "pended"]
    ).first()
    interaction_record(
        organization_id=row.organization_id,
        channel="phone",
        note=note,
        outcome=f"Peer-to-peer {outcome}",
        actor=actor,
        item=item,
        patient_id=row.patient_id,
        contact=contact,
        at=at,
    )
    if outcome == "overturned":
        return authorization_decide(
            authorization=row,
            status=AuthStatus.APPROVED,
            number=number,
            effective_from=effective_from,
            effective_to=effective_to,
            contact=contact,
            channel="peer",
            actor=actor,
            at=at,
        )
    if outcome == "upheld":
        close_items(
            "authorization", [row.pk], actor=actor, at=at, outcome="Denial upheld", queues=[PEER]
        )
    return row


@transaction.atomic
def authorization_change(
    *,
    authorization: Authorization,
    kind: str,
    actor: Actor,
    code_for: Mapping[str, str] | None = None,
    at: datetime | None = None,
) -> Authorization:
    """Open an update, extension or retroactive request beside a granted record: a new draft with
    its lines, codes replaced by `code_for`.

    The old record stays as it was until the new one is decided (DOMAIN B4, B6).
    """
    actor.require("authorization.edit")
    at = at or timezone.now()
    old = _locked(authorization)
    if kind not in ("update", "extension", "retro"):
        raise Refused("Choose update, extension or retroactive.", field="kind", code="choice")
    swap = dict(code_for or {})
    row = Authorization.objects.create(
        organization_id=old.organization_id,
        patient_id=old.patient_id,
        coverage=old.coverage,
        payer=old.payer,
        appointment=old.appointment,
        site=old.site,
        number=old.number if kind != "retro" else "",
        kind=kind,
        member_id=old.member_id,
        diagnoses=old.diagnoses,
        ordering_npi=old.ordering_npi,
        rendering_npi=old.rendering_npi,
        facility_npi=old.site.npi,
        facility_tin=old.site.organization.tin,
        reviewer=old.reviewer,
        evidence={**old.evidence, "changes": old.number},
    )
    AuthorizedService.objects.bulk_create(
        [
            AuthorizedService(
                organization_id=old.organization_id,
                authorization=row,
                ordered_exam_id=s.ordered_exam_id,
                code=swap.get(s.code, s.code),
                laterality=s.laterality,
                units=s.units,
            )
            for s in old.services.order_by("id")
        ]
    )
    record_steps(
        [
            Step(
                row.organization_id,
                "authorization.change",
                f"{kind.capitalize()} of authorization {old.number or 'none'} opened",
                {"patient_id": row.patient_id, "authorization_id": row.pk},
            )
        ],
        actor=actor,
        at=at,
    )
    authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
    return row


@transaction.atomic
def update_needed(
    *, matched: Mapping[int, Matched], actor: Actor, at: datetime | None = None
) -> int:
    """The charge phase found performed ≠ authorized: one same-day item for each exam, with that
    payer's window (FEATURES B8).

    `matched` is by exam id, as `match_exams` answered. Exams that pass now close their item.
    Returns the number of items opened.
    """
    at = at or timezone.now()
    specs, fine = [], []
    calendars = Calendars(y for m in matched.values() for y in (m.ask.day.year, m.ask.day.year + 1))
    for exam_id, m in matched.items():
        first = m.result.first
        if m.result.passes or first is None:
            fine.append(exam_id)
            continue
        payer: Payer | None = m.coverage.payer if m.coverage else None
        calendar = calendars.of(m.ask.site)
        specs.append(
            ItemSpec(
                organization_id=m.ask.site.organization_id,
                queue=UPDATE,
                subject_type="exam_authorization",
                subject_id=exam_id,
                cause=first.code,
                title=first.sentence[:200],
                fix=first.action[:200],
                due_at=calendar.end_of_day(local_day(at, m.ask.site)),
                deadline_on=first.due,
                site_id=m.ask.site.pk,
                patient_id=m.ask.patient_id,
                patient_name=m.ask.ordered.patient.name if m.ask.ordered else "",
                exam_id=exam_id,
                payer_id=payer.pk if payer else None,
                payer_name=payer.name if payer else "",
                facts={
                    "codes": m.ask.performed_code,
                    "number": m.authorization.number if m.authorization else "",
                    "window": first.due_words,
                },
            )
        )
    opened = open_items(specs, actor=actor, at=at)
    close_items(
        "exam_authorization",
        fine,
        actor=actor,
        at=at,
        outcome="Authorization matches",
        queues=[UPDATE],
    )
    return opened


# --- units ----------------------------------------------------------------------------------------


@transaction.atomic
def authorization_use(*, uses: Sequence[Use], actor: Actor, at: datetime | None = None) -> int:
    """Take units for performed exams; the same exam takes its units once. Raises Refused (code
    `units`) when a line has too few left.
    """
    wanted = {(u.service_id, u.exam_id): u for u in uses}
    lines = {
        s.pk: s
        for s in (
            AuthorizedService.objects.select_for_update()
            .filter(pk__in={k[0] for k in wanted})
            .order_by("pk")
        )
    }
    known = {
        (u.service_id, u.exam_id): u
        for u in AuthorizationUse.objects.filter(
            service_id__in=lines, exam_id__in={k[1] for k in wanted}
        )
    }
    fresh: list[AuthorizationUse] = []
    for key, use in wanted.items():
        if key in known:
            continue
        line = lines[use.service_id]
        if line.used + use.units > line.units:
            raise Refused(
                f"{line.code} has {line.units - line.used} of {line.units} units left, the exam"
                f" takes {use.units}.",
                code="units",
                field="units",
                fix="Ask the payer for more units.",
            )
        line.used += use.units
        fresh.append(
            AuthorizationUse(
                organization_id=line.organization_id,
                service=line,
                exam_id=use.exam_id,
                units=use.units,
            )
        )
    AuthorizationUse.objects.bulk_create(fresh)
    AuthorizedService.objects.bulk_update([lines[u.service_id] for u in fresh], ["used"])
    return len(fresh)


@transaction.atomic
def authorization_unuse(
    *, exam_ids: Iterable[int], actor: Actor, at: datetime | None = None
) -> int:
    """Give back the units of exams that were not done after all or were changed."""
    uses = list(
        AuthorizationUse.objects.filter(exam_id__in=list(exam_ids)).select_related("service")
    )
    lines = {
        s.pk: s
        for s in (
            AuthorizedService.objects.select_for_update()
            .filter(pk__in={u.service_id for u in uses})
            .order_by("pk")
        )
    }
    AuthorizationUse.objects.filter(pk__in=[u.pk for u in uses]).delete()
    sums = dict(
        AuthorizationUse.objects.filter(service_id__in=lines)
        .values_list("service_id")
        .annotate(total=Sum("units"))
    )
    for pk, line in lines.items():
        line.used = sums.get(pk, 0)
    AuthorizedService.objects.bulk_update(lines.values(), ["used"])
    return len(uses)


# --- clocks ---------------------------------------------------------------------------------------


@transaction.atomic
def expiry_guard(*, actor: Actor, at: datetime | None = None) -> int:
    """Close records whose last day has passed, and review what ends before its visit (FEATURES
    B11). Returns how many expired.
    """
    at = at or timezone.now()
    today = timezone.localdate(at)
    gone = list(
        Authorization.objects.filter(
            organization_id__in=actor.organizations, status__in=GRANTED, effective_to__lt=today
        ).order_by("id")[:2000]
    )
    for row in gone:
        _move(row, AuthStatus.EXPIRED, f"Ended {row.effective_to:%b %-d}", actor=actor, at=at)
    authorizations_review(authorization_ids=[r.pk for r in gone], actor=actor, at=at)
    return len(gone)


@transaction.atomic
def reminders(*, actor: Actor, at: datetime | None = None, days: int = 14) -> int:
    """Review every open record of the days ahead, so that clocks that ran out move gates and items.
    Returns how many visits were looked at.
    """
    at = at or timezone.now()
    rows = Authorization.objects.filter(
        organization_id__in=actor.organizations,
        status__in=[AuthStatus.DRAFT, AuthStatus.REQUESTED, AuthStatus.PENDED, AuthStatus.DENIED],
    )
    rows = rows.filter(
        Q(
            appointment__starts_at__gte=at - timedelta(days=1),
            appointment__starts_at__lt=at + timedelta(days=days),
        )
        | Q(appointment__isnull=True)
    )
    ids = list(rows.values_list("id", flat=True))
    for start in range(0, len(ids), 500):
        authorizations_review(authorization_ids=ids[start : start + 500], actor=actor, at=at)
    return len(ids)


@transaction.atomic
def records_follow_merge(*, pairs: Sequence[tuple[int, int]], actor: Actor, at: datetime) -> None:
    """Two charts became one: the records of the chart that went belong to the one that stays.
    `pairs` are (stays, went).
    """
    for stays, went in pairs:
        Authorization.objects.filter(patient_id=went).update(patient_id=stays)


@transaction.atomic
def exams_cancelled(*, ordered_exam_ids: Sequence[int], actor: Actor, at: datetime) -> None:
    """Orders were cancelled: drafts go; a granted record stays, it may serve again."""
    rows = list(
        Authorization.objects.filter(
            services__ordered_exam_id__in=ordered_exam_ids, status=AuthStatus.DRAFT
        ).distinct()
    )
    for row in rows:
        left = row.services.exclude(ordered_exam_id__in=ordered_exam_ids).exists()
        row.services.filter(ordered_exam_id__in=ordered_exam_ids).delete()
        if not left:
            _move(row, AuthStatus.CANCELLED, "The order was cancelled", actor=actor, at=at)
            close_items("authorization", [row.pk], actor=actor, at=at, outcome="Order cancelled")
