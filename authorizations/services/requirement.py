"""Is an authorization required? The answer is kept with its evidence, "not required" too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from authorizations.loading import ExamAsk, Matched, catalog, crosswalk, match_exams
from authorizations.models import (
    GRANTED,
    Authorization,
    AuthorizedService,
    AuthStatus,
)
from authorizations.requirement import Requirement, RequirementAnswer
from authorizations.services.deciding import authorization_decide
from authorizations.services.gates import authorizations_review
from authorizations.services.records import AUTHORIZATIONS, LIVE_STATUS, keep_heard, locked
from authorizations.settling import (
    FINDABLE,
    UNASKED,
    FreeLine,
    Held,
    Wanted,
    found_again,
    plan,
)
from intake.models import Appointment, Coverage, Order, OrderedExam, OrderStatus
from intake.services import (
    LIVE,
    coverages_of_exams,
    local_day,
)
from rcm.accounts.actor import Actor
from rcm.accounts.models import Site
from rcm.accounts.problems import Refused
from rcm.accounts.together import DECIDE, later
from rcm.audit.services import Step, record_steps
from rcm.exchange.transitions import advance
from rcm.reference.models import PayerKind
from rcm.worklist.services import close_items


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
    coverages = coverages_of_exams(exams)
    cases = _cases(exams, coverages, at)
    _find_again(cases, coverages, actor=actor, at=at)
    asks = [
        ExamAsk(
            str(e.pk),
            e,
            e.patient_id,
            c.site,
            c.day,
            coverages.get(e.pk),
            laterality=e.laterality,
        )
        for c in cases
        for e in c.exams
    ]
    matched = match_exams(asks, at=at)
    existing = _records_of(exams)
    touched: list[Authorization] = []
    for case in cases:
        coverage = coverages.get(case.exams[0].pk)
        rows = {a.pk: a for e in case.exams for a in existing.get(e.pk, ())}
        if coverage is None:
            touched += rows.values()
            continue
        answered = {e.pk: matched[str(e.pk)] for e in case.exams}
        touched += _settle(case, coverage, answered, rows, actor=actor, at=at)
    authorizations_review(
        authorization_ids=[a.pk for a in touched],
        appointment_ids=sorted(visits),
        actor=actor,
        at=at,
    )
    return touched


def _cases(
    exams: Sequence[OrderedExam], coverages: Mapping[int, Coverage], at: datetime
) -> list[_Case]:
    """One case for each visit, or order not yet booked, and policy that pays."""
    found: dict[tuple[str, int, int], _Case] = {}
    for e in exams:
        visit = e.appointment
        site = visit.site if visit else e.order.site
        if site is None or (visit is not None and visit.status not in LIVE):
            continue
        payer = coverages[e.pk].pk if e.pk in coverages else 0
        key = ("visit", visit.pk, payer) if visit else ("order", e.order_id, payer)
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


def _find_again(
    cases: Sequence[_Case], coverages: Mapping[int, Coverage], *, actor: Actor, at: datetime
) -> None:
    """Give exams that no record names the lines of records whose own order was cancelled: an order
    sent again does not ask the payer again.
    """
    exams = [e for c in cases for e in c.exams if e.pk in coverages]
    named = set(
        AuthorizedService.objects.filter(
            ordered_exam_id__in=[e.pk for e in exams], authorization__status__in=LIVE_STATUS
        )
        .exclude(authorization__status__in=UNASKED)
        .values_list("ordered_exam_id", flat=True)
    )
    bare = [e for e in exams if e.pk not in named]
    free = _free_lines({e.patient_id for e in bare}) if bare else {}
    if not free:
        return
    day = max(c.day for c in cases)
    found = found_again(
        [_wanted(e, coverages[e.pk]) for e in bare if e.pk in coverages],
        [_free(line) for line in free.values()],
        known=catalog(day),
        pairs=crosswalk(),
    )
    by_exam = {e.pk: (e, c) for c in cases for e in c.exams}
    steps = []
    for exam_id, line_id in found.items():
        exam, case = by_exam[exam_id]
        line = free[line_id]
        row = line.authorization
        row.appointment = case.appointment
        keys: dict[str, int | None] = {
            "patient_id": row.patient_id,
            "authorization_id": row.pk,
            "ordered_exam_id": exam_id,
        }
        said = f"Authorization {row.number}" if row.number else "The request under way"
        words = f"{said} found again for the new order of {exam.code}"
        steps.append(Step(row.organization_id, "authorization.found_again", words, keys))
    _bind([(free[line_id], by_exam[exam_id][0]) for exam_id, line_id in found.items()])
    rows = {free[pk].authorization_id: free[pk].authorization for pk in found.values()}
    Authorization.objects.bulk_update(rows.values(), ["appointment"])
    record_steps(steps, actor=actor, at=at)


def _bind(pairs: Sequence[tuple[AuthorizedService, OrderedExam]]) -> None:
    """Give each exam its unit: the line itself when it has but one, else one unit split off it, so
    that no other order counts on the same unit.
    """
    whole: dict[int, AuthorizedService] = {}
    parts: list[AuthorizedService] = []
    for line, exam in pairs:
        if line.units == 1:
            line.ordered_exam = exam
        else:
            line.units -= 1
            parts.append(
                AuthorizedService(
                    organization_id=line.organization_id,
                    authorization=line.authorization,
                    ordered_exam=exam,
                    code=line.code,
                    laterality=line.laterality,
                    status=line.status,
                )
            )
        whole[line.pk] = line
    AuthorizedService.objects.bulk_update(whole.values(), ["ordered_exam", "units"])
    AuthorizedService.objects.bulk_create(parts)


def _free_lines(patient_ids: set[int]) -> dict[int, AuthorizedService]:
    """Lines of asked or granted records with units that no live order waits for. One query."""
    rows = (
        AuthorizedService.objects.filter(
            Q(ordered_exam__status=OrderStatus.CANCELLED)
            | Q(ordered_exam__isnull=False, units__gt=1),
            authorization__patient_id__in=patient_ids,
            authorization__status__in=FINDABLE,
            used__lt=F("units"),
        )
        .exclude(status="denied")
        .select_related("authorization", "ordered_exam")
        .order_by("-id")
    )
    return {row.pk: row for row in rows if _spare(row)}


def _spare(line: AuthorizedService) -> int:
    cancelled = line.ordered_exam is None or line.ordered_exam.status == OrderStatus.CANCELLED
    waiting = 0 if cancelled or line.used else 1
    return line.units - line.used - waiting


def _free(line: AuthorizedService) -> FreeLine:
    row = line.authorization
    return FreeLine(
        line.pk,
        row.pk,
        row.patient_id,
        row.payer_id,
        row.member_id,
        line.code,
        line.laterality,
        _spare(line),
    )


def _wanted(exam: OrderedExam, coverage: Coverage) -> Wanted:
    return Wanted(
        exam.pk,
        exam.patient_id,
        coverage.payer_id,
        coverage.payer.code,
        coverage.member_id,
        exam.code,
        exam.laterality,
    )


def _settle(
    case: _Case,
    coverage: Coverage,
    matched: Mapping[int, Matched],
    rows: Mapping[int, Authorization],
    *,
    actor: Actor,
    at: datetime,
) -> list[Authorization]:
    """Bring the records of one case in line with the answers."""
    answers = {pk: m.requirement for pk, m in matched.items()}
    exams = {e.pk: e for e in case.exams}
    needed = [pk for pk in exams if answers[pk].verdict is not Requirement.NOT_REQUIRED]
    todo = plan(
        [
            Held(
                r.pk,
                r.status,
                r.coverage_id,
                frozenset(s.ordered_exam_id for s in r.services.all() if s.ordered_exam_id),
            )
            for r in rows.values()
        ],
        coverage_id=coverage.pk,
        needed=needed,
        carried=frozenset(pk for pk in needed if _carried(matched[pk], rows)),
        self_pay=coverage.payer.kind == PayerKind.SELF_PAY,
    )
    touched = []
    for ids, words in (
        (todo.drop, "Another coverage is primary now"),
        (todo.carried, "Another authorization carries these exams"),
    ):
        dropped = [rows[pk] for pk in ids]
        advance(AUTHORIZATIONS, dropped, AuthStatus.CANCELLED, sentence=words, actor=actor, at=at)
        touched += dropped
    for pk in todo.join:
        _join(rows[pk], case)
        touched.append(rows[pk])
    if todo.status is None:
        return touched
    current = rows[todo.current] if todo.current is not None else _open_record(case, coverage)
    reviewer = next((answers[pk].reviewer for pk in needed if answers[pk].reviewer), "")
    evidence = _evidence(case, answers, coverage, at)
    _bring_up_to_date(current, case, coverage, evidence, reviewer)
    _lines(current, [exams[pk] for pk in todo.open_exams])
    if todo.current is None and todo.status == AuthStatus.DRAFT:
        _say_needed(current, evidence["sentence"], actor=actor, at=at)
    if current.status != todo.status:
        _become(current, todo.status, evidence, actor=actor, at=at)
    touched.append(current)
    return touched


def _carried(m: Matched, rows: Mapping[int, Authorization]) -> bool:
    """A granted record of the patient that is not of this visit covers the exam."""
    row = m.authorization
    return m.result.passes and row is not None and row.status in GRANTED and row.pk not in rows


def _join(row: Authorization, case: _Case) -> None:
    visit = case.appointment
    if visit is None or row.appointment_id == visit.pk or row.status == AuthStatus.DENIED:
        return
    Authorization.objects.filter(pk=row.pk).update(appointment=visit)
    row.appointment = visit


def _bring_up_to_date(
    row: Authorization,
    case: _Case,
    coverage: Coverage,
    evidence: Mapping[str, Any],
    reviewer: str,
) -> None:
    values: dict[str, Any] = {
        "appointment": case.appointment,
        "site": case.site,
        "member_id": coverage.member_id,
        "diagnoses": case.order.diagnoses,
        "ordering_npi": case.order.ordering.npi if case.order.ordering else "",
        "facility_npi": case.site.npi,
        "facility_tin": case.site.organization.tin,
        "reviewer": reviewer or coverage.payer.reviewer,
        "evidence": {**evidence, "heard": row.evidence.get("heard", [])},
    }
    changed = {k: v for k, v in values.items() if getattr(row, k) != v}
    if not changed:
        return
    Authorization.objects.filter(pk=row.pk).update(version=F("version") + 1, **changed)
    for k, v in changed.items():
        setattr(row, k, v)


def _say_needed(row: Authorization, words: str, *, actor: Actor, at: datetime) -> None:
    keys: dict[str, int | None] = {"patient_id": row.patient_id, "authorization_id": row.pk}
    step = Step(
        row.organization_id, "authorization.needed", words, keys, new=AuthStatus.DRAFT.value
    )
    record_steps([step], actor=actor, at=at)


def _become(
    row: Authorization,
    status: AuthStatus,
    evidence: Mapping[str, Any],
    *,
    actor: Actor,
    at: datetime,
) -> None:
    if status == AuthStatus.NOT_REQUIRED and not row.reference:
        rules = (c["rule"] for c in evidence["codes"] if c["rule"])
        row.reference = next(rules, "")[:60]
        Authorization.objects.filter(pk=row.pk).update(reference=row.reference, decided_at=at)
    advance(AUTHORIZATIONS, [row], status, sentence=evidence["sentence"], actor=actor, at=at)


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
    actor.require("authorization.edit", authorization)
    at = at or timezone.now()
    row = locked(authorization)
    if not reference.strip():
        raise Refused(
            "Enter the reference number of the call or portal.", field="reference", code="missing"
        )
    keep_heard(row, Requirement.REQUIRED, channel, contact or row.payer.name, reference, at)
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
def exams_cancelled(*, ordered_exam_ids: Sequence[int], actor: Actor, at: datetime) -> None:
    """Orders were cancelled: drafts go; a granted record stays, it may serve again."""
    drafts = {
        row.pk: row
        for row in Authorization.objects.filter(
            services__ordered_exam_id__in=ordered_exam_ids, status=AuthStatus.DRAFT
        ).distinct()
    }
    services = AuthorizedService.objects.filter(authorization_id__in=drafts)
    kept = set(
        services.exclude(ordered_exam_id__in=ordered_exam_ids).values_list(
            "authorization_id", flat=True
        )
    )
    services.filter(ordered_exam_id__in=ordered_exam_ids).delete()
    empty = [row for pk, row in drafts.items() if pk not in kept]
    advance(
        AUTHORIZATIONS,
        empty,
        AuthStatus.CANCELLED,
        sentence="The order was cancelled",
        actor=actor,
        at=at,
    )
    close_items(
        "authorization", [row.pk for row in empty], actor=actor, at=at, outcome="Order cancelled"
    )
