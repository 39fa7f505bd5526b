"""Eligibility: ask, answer, drift, discovery, and the batch that verifies the days ahead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from intake.benefits import AnswerFacts, auth_flag, changes, news
from intake.estimate import BenefitFact, CostSharing, cost_sharing
from intake.models import (
    Appointment,
    Benefit,
    CheckStatus,
    Coverage,
    CoverageStatus,
    EligibilityCheck,
    Patient,
)
from intake.services.chosen import coverages_of_visits
from intake.services.gates import (
    ELIGIBILITY_QUEUE,
    LIVE,
    clearance_refresh,
    latest_checks,
    local_day,
    upcoming,
)
from intake.services.partner import connection_for, envelope_for
from intake.services.patients import coverage_add, coverage_update, older_coverages, patient_update
from intake.x12_270_271 import SERVICE_TYPES, Answer, answer_of, request_of, service_types
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.accounts.tenancy import uuid7
from rcm.audit.services import Step, record_steps
from rcm.exchange.models import Connection, Interchange, WorkQueue
from rcm.exchange.problems import ParseProblem
from rcm.exchange.services import process, publish_many, send, store_outbound
from rcm.jobs.models import JobRun
from rcm.jobs.services import run_claim, run_create, run_finish, run_progress
from rcm.reference.clock import clock_of
from rcm.worklist.services import ItemSpec, close_items, open_items
from rcm.x12 import NotX12, read_271, write_270
from rcm.x12.model import EligibilityRequest

MOST_IN_FILE = 50
"""Questions in one 270 and its one 271, which a partner must answer within its time."""
ANSWERED = (CheckStatus.ACTIVE, CheckStatus.INACTIVE, CheckStatus.REJECTED)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question: this coverage on this day, for this modality (blank: the plan as a whole)."""

    coverage: Coverage
    service_date: date
    modality: str = ""


@transaction.atomic
def eligibility_ask(
    *,
    asks: Sequence[Ask],
    actor: Actor,
    queue: str = WorkQueue.REALTIME,
    attempt: int = 1,
    at: datetime | None = None,
) -> list[EligibilityCheck]:
    """Write the questions as 270, at most MOST_IN_FILE in one, keep them and let them leave after
    commit; the checks wait for their 271.

    A question that is already waiting is not asked twice. Raises Refused (code `no_connection`)
    when no partner takes it.
    """
    actor.require("eligibility.run", [a.coverage for a in asks])
    at = at or timezone.now()
    asks = [a for a in asks if a.coverage.payer.kind != "self_pay"]
    waiting = {
        (c.coverage_id, c.service_date): c
        for c in EligibilityCheck.objects.filter(
            coverage__in=[a.coverage.pk for a in asks], status=CheckStatus.WAITING
        )
    }
    organizations = Organization.objects.in_bulk({a.coverage.organization_id for a in asks})
    connections: dict[tuple[int, int], Connection] = {}
    checks: list[EligibilityCheck] = []
    files: dict[tuple[int, int], list[tuple[EligibilityCheck, EligibilityRequest]]] = {}
    for ask in asks:
        coverage = ask.coverage
        key = (coverage.pk, ask.service_date)
        if key in waiting:
            checks.append(waiting[key])
            continue
        organization = organizations[coverage.organization_id]
        place = (organization.pk, coverage.payer_id)
        if place not in connections:
            connections[place] = connection_for(organization.pk, "270", coverage.payer)
        types = service_types(coverage.payer.service_types, ask.modality)
        check = EligibilityCheck(
            organization=organization,
            coverage=coverage,
            patient_id=coverage.patient_id,
            service_date=ask.service_date,
            service_type=types[0],
            trace=uuid7().hex,
            attempt=attempt,
            asked_at=at,
        )
        request = request_of(
            coverage,
            organization=organization,
            service_date=ask.service_date,
            types=types,
            trace=check.trace,
        )
        files.setdefault((organization.pk, connections[place].pk), []).append((check, request))
        waiting[key] = check
        checks.append(check)
    lines = {c.pk: c for c in connections.values()}
    fresh: list[EligibilityCheck] = []
    for (organization_id, connection_id), asked in files.items():
        for start in range(0, len(asked), MOST_IN_FILE):
            part = asked[start : start + MOST_IN_FILE]
            interchange = _write_270(
                organizations[organization_id],
                lines[connection_id],
                [r for _, r in part],
                queue=queue,
                actor=actor,
                at=at,
            )
            for check, _ in part:
                check.request = interchange
                fresh.append(check)
    EligibilityCheck.objects.bulk_create(fresh)
    record_steps(
        (
            Step(
                c.organization_id,
                "eligibility.asked",
                f"Asked {c.coverage.payer.name} for {c.service_date:%b %-d}",
                {"patient_id": c.patient_id, "interchange_id": c.request_id},
            )
            for c in fresh
        ),
        actor=actor,
        at=at,
    )
    clearance_refresh(upcoming([c.patient_id for c in checks], at=at), actor=actor, at=at)
    return checks


def _write_270(
    organization: Organization,
    connection: Connection,
    requests: Sequence[EligibilityRequest],
    *,
    queue: str,
    actor: Actor,
    at: datetime,
) -> Interchange:
    envelope = envelope_for(organization, connection, at=at)
    return store_outbound(
        organization_id=organization.pk,
        kind="270",
        content=write_270(envelope, requests).data,
        connection=connection,
        control_number=f"{envelope.control:09d}",
        queue=queue,
        at=at,
        actor=actor,
    )


def asks_for(appointments: Iterable[Appointment]) -> list[Ask]:
    """The questions of appointments: every ranked policy of the patient on that day, each once; of
    a visit for an accident only the accident's.
    """
    rows = list(appointments)
    accidents = {pk: c for pk, c in coverages_of_visits(rows).items() if c.of_accident}
    policies: dict[int, list[Coverage]] = {}
    for c in (
        Coverage.objects.filter(
            patient_id__in={a.patient_id for a in rows}, active=True, rank__gte=1
        )
        .select_related("payer", "patient")
        .order_by("rank")
    ):
        policies.setdefault(c.patient_id, []).append(c)
    found: dict[tuple[int, date], Ask] = {}
    for a in rows:
        day = local_day(a.starts_at, a.site)
        own = [accidents[a.pk]] if a.pk in accidents else policies.get(a.patient_id, ())
        for c in own:
            found.setdefault((c.pk, day), Ask(c, day, a.modality))
    return list(found.values())


def appointments_verify(
    *,
    appointments: Iterable[Appointment],
    actor: Actor,
    queue: str = WorkQueue.REALTIME,
    at: datetime | None = None,
) -> list[EligibilityCheck]:
    """Ask for every active policy of these appointments' patients."""
    return eligibility_ask(asks=asks_for(appointments), actor=actor, queue=queue, at=at)


@transaction.atomic
def coverage_discover(
    *, patient: Patient, service_date: date, actor: Actor, at: datetime | None = None
) -> list[EligibilityCheck]:
    """Ask the payers of former policies, last verified first; one that says active is offered on
    the chart.
    """
    former = older_coverages(patient)
    found = "no former policy is known" if not former else f"{len(former)} former policies asked"
    record_steps(
        [
            Step(
                patient.organization_id,
                "coverage.searched",
                f"Other coverage was looked for: {found}",
                {"patient_id": patient.pk},
            )
        ],
        actor=actor,
        at=at or timezone.now(),
    )
    return eligibility_ask(asks=[Ask(c, service_date) for c in former], actor=actor, at=at)


@transaction.atomic
def coverage_reuse(
    *, coverage: Coverage, actor: Actor, rank: int = 1, at: datetime | None = None
) -> Coverage:
    """Take a former policy that verified back onto the chart."""
    return coverage_add(
        patient=coverage.patient,
        payer=coverage.payer,
        member_id=coverage.member_id,
        rank=rank,
        plan=coverage.plan,
        actor=actor,
        at=at,
    )


# --- the answer -----------------------------------------------------------------------------------


def answer_271(interchange: Interchange, *, actor: Actor, at: datetime) -> Mapping[str, Any]:
    """Processor of inbound 271: each answer lands on its check by trace number, or by the question
    it came back on.
    """
    try:
        responses = list(read_271(bytes(interchange.content)))
    except NotX12 as error:
        raise ParseProblem(str(error)) from error
    if not responses:
        raise ParseProblem("The 271 holds no answer about anybody.")
    counts = {
        "answers": len(responses),
        "active": 0,
        "inactive": 0,
        "rejected": 0,
        "failed": 0,
        "repeated": 0,
    }
    traces = {t.number for r in responses for t in r.traces if t.number}
    by_trace = {
        c.trace: c
        for c in (
            EligibilityCheck.objects.select_for_update(of=("self",))
            .filter(organization_id=interchange.organization_id, trace__in=traces)
            .select_related("coverage__payer", "coverage__patient")
        )
    }
    asked = list(
        EligibilityCheck.objects.filter(
            organization_id=interchange.organization_id, request_id=interchange.answer_to_id
        ).select_related("coverage__payer", "coverage__patient")
        if interchange.answer_to_id
        else ()
    )
    taken: list[tuple[EligibilityCheck, Answer]] = []
    for response in responses:
        check = next((by_trace[t.number] for t in response.traces if t.number in by_trace), None)
        if check is None and len(asked) == 1:
            check = asked[0]
        if check is None:
            raise Refused(
                "This 271 answers no question of ours: its trace number is unknown.",
                code="unknown_trace",
                fix="Ask again from the chart.",
            )
        if check.status in ANSWERED:
            counts["repeated"] += 1
            continue
        answer = answer_of(response, check.coverage)
        taken.append((check, answer))
        counts[answer.status] += 1
    eligibility_answers(answers=taken, response=interchange, actor=actor, at=at)
    return counts


def eligibility_answer(
    *,
    check: EligibilityCheck,
    answer: Answer,
    response: Interchange | None,
    actor: Actor,
    at: datetime,
) -> EligibilityCheck:
    """Keep one answer; see `eligibility_answers`."""
    eligibility_answers(answers=[(check, answer)], response=response, actor=actor, at=at)
    return check


@transaction.atomic
def eligibility_answers(
    *,
    answers: Sequence[tuple[EligibilityCheck, Answer]],
    response: Interchange | None,
    actor: Actor,
    at: datetime,
) -> None:
    """Keep answers: benefits, plan, differences, what changed since the answer before; settle
    coverages, gates and items.

    A fixed number of queries for any number of answers, but for coverages that change.
    """
    if not answers:
        return
    coverage_ids = [c.coverage_id for c, _ in answers]
    earlier = EligibilityCheck.objects.filter(
        coverage_id__in=coverage_ids, status__in=ANSWERED
    ).order_by("coverage_id", "id")
    known: dict[int, list[EligibilityCheck]] = {}
    for row in earlier.prefetch_related("benefits"):
        known.setdefault(row.coverage_id, []).append(row)
    for check, answer in answers:
        active = [
            c
            for c in known.get(check.coverage_id, ())
            if c.status == CheckStatus.ACTIVE and c.pk < check.pk
        ]
        _fill(check, answer, active[-1] if active else None, response, at)
    checks = [c for c, _ in answers]
    EligibilityCheck.objects.bulk_update(
        checks,
        [
            "status",
            "plan_name",
            "covered_from",
            "covered_to",
            "auth_required",
            "rejection",
            "differences",
            "changes",
            "response",
            "answered_at",
            "retry_at",
        ],
        batch_size=200,
    )
    Benefit.objects.bulk_create(
        [
            Benefit(
                organization_id=check.organization_id,
                check_row=check,
                kind=b.kind,
                code=b.code[:3],
                level=b.level[:3],
                service_types=list(b.service_types),
                period=b.period[:3],
                amount=b.amount,
                percent=b.percent,
                in_network=b.in_network,
                text=b.text,
                authorization=b.authorization,
                procedure=b.procedure[:10],
                quantity=b.quantity[:60],
                contacts=list(b.contacts),
            )
            for check, answer in answers
            for b in answer.benefits
        ],
        batch_size=2000,
    )
    latest: list[EligibilityCheck] = []
    for check, answer in answers:
        if any(c.pk > check.pk for c in known.get(check.coverage_id, ())):
            continue
        latest.append(check)
        if answer.status in ANSWERED:
            _settle_coverage(check.coverage, answer, at)
    record_steps(
        (
            Step(
                c.organization_id,
                f"eligibility.{a.status}",
                _sentence(c, c.coverage),
                {"patient_id": c.patient_id, "interchange_id": response.pk if response else None},
                old=CheckStatus.WAITING,
                new=a.status,
            )
            for c, a in answers
        ),
        actor=actor,
        at=at,
    )
    eligibility_review(latest, actor=actor, at=at)
    for organization_id in {c.organization_id for c in checks}:
        publish_many(
            "eligibility.answered",
            organization_id=organization_id,
            payloads=[
                {"check_id": c.pk, "coverage_id": c.coverage_id, "patient_id": c.patient_id}
                for c in checks
                if c.organization_id == organization_id
            ],
            due_at=at,
        )
    clearance_refresh(upcoming([c.patient_id for c in checks], at=at), actor=actor, at=at)


def _settle_coverage(coverage: Coverage, answer: Answer, at: datetime) -> None:
    values: dict[str, Any] = {"status": CoverageStatus(answer.status), "verified_at": at}
    if answer.status is CheckStatus.ACTIVE:
        values |= {
            "starts_on": coverage.starts_on or answer.covered_from,
            "ends_on": answer.covered_to or coverage.ends_on,
        }
    Coverage.objects.filter(pk=coverage.pk).update(version=F("version") + 1, **values)
    for name, value in values.items():
        setattr(coverage, name, value)


def _fill(
    check: EligibilityCheck,
    answer: Answer,
    before: EligibilityCheck | None,
    response: Interchange | None,
    at: datetime,
) -> None:
    """Write one answer into its check (not saved)."""
    check.status = answer.status
    check.plan_name = answer.plan_name
    check.covered_from, check.covered_to = answer.covered_from, answer.covered_to
    types = types_of(check)
    check.auth_required = auth_flag(answer.benefits, types).required
    check.rejection, check.differences = list(answer.rejections), list(answer.differences)
    check.response, check.answered_at = response, at
    check.retry_at = _next_try(check, answer.status, at)
    if before is not None and answer.status in (CheckStatus.ACTIVE, CheckStatus.INACTIVE):
        check.changes = changes(
            _facts_before(before),
            AnswerFacts(
                answer.status is CheckStatus.ACTIVE,
                answer.plan_name,
                answer.covered_to,
                answer.benefits,
            ),
            types,
        )


RETRIES = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=12))
"""How long a silent payer, or one that says "try again", is left alone before each next try."""


def _next_try(check: EligibilityCheck, status: str, at: datetime) -> datetime | None:
    if status != CheckStatus.FAILED or check.attempt > len(RETRIES):
        return None
    return at + RETRIES[check.attempt - 1]


def eligibility_retry(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """Ask silent payers again whose next try is due, while the policy is on the chart and nobody
    has asked since. Returns how many were asked.
    """
    at = at or timezone.now()
    with scope(actor), transaction.atomic():
        due = list(
            EligibilityCheck.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(organization_id=organization_id, status=CheckStatus.FAILED, retry_at__lte=at)
            .select_related("coverage__payer", "coverage__patient")
            .order_by("retry_at", "id")[:200]
        )
        latest = latest_checks([c.coverage_id for c in due])
        EligibilityCheck.objects.filter(pk__in=[c.pk for c in due]).update(retry_at=None)
        wanted = [c for c in due if c.coverage.active and latest[c.coverage_id].pk == c.pk]
        asked = 0
        for attempt in sorted({c.attempt for c in wanted}):
            asks = [
                Ask(c.coverage, c.service_date, _modality_of(c))
                for c in wanted
                if c.attempt == attempt
            ]
            try:
                asked += len(eligibility_ask(asks=asks, actor=actor, attempt=attempt + 1, at=at))
            except Refused as problem:
                if problem.code != "no_connection":
                    raise
        return asked


def _modality_of(check: EligibilityCheck) -> str:
    """A modality that asks this payer for the same service type again."""
    table = check.coverage.payer.service_types
    for modality in (*table, *SERVICE_TYPES):
        if service_types(table, modality)[0] == check.service_type:
            return str(modality)
    return ""


def _sentence(check: EligibilityCheck, coverage: Coverage) -> str:
    words = {
        CheckStatus.ACTIVE: (
            f"{coverage.payer.name}: active{', ' + check.plan_name if check.plan_name else ''}"
        ),
        CheckStatus.INACTIVE: f"{coverage.payer.name}: not active",
        CheckStatus.REJECTED: (
            f"{coverage.payer.name} refused: {' '.join(r['sentence'] for r in check.rejection)}"
        ),
        CheckStatus.FAILED: f"{coverage.payer.name} did not answer",
    }
    return words[CheckStatus(check.status)]


def facts_of_benefits(rows: Iterable[Benefit]) -> list[BenefitFact]:
    return [
        BenefitFact(
            b.kind,
            b.code,
            b.level,
            tuple(b.service_types),
            b.period,
            b.amount,
            b.percent,
            b.in_network,
            b.text,
            b.authorization,
            b.procedure,
            b.quantity,
            tuple(b.contacts),
        )
        for b in rows
    ]


def sharing_of(
    check: EligibilityCheck, modality: str, table: Mapping[str, Any], *, in_network: bool = True
) -> CostSharing:
    """The cost sharing that one answer gives for a modality."""
    return cost_sharing(
        facts_of_benefits(check.benefits.all()),
        service_types(table, modality),
        in_network=in_network,
    )


def _facts_before(check: EligibilityCheck) -> AnswerFacts:
    rows = facts_of_benefits(check.benefits.all())
    return AnswerFacts(True, check.plan_name, check.covered_to, rows)


def types_of(check: EligibilityCheck) -> tuple[str, ...]:
    """The service types that decide on what a check was asked for: the asked one, then the payer's
    fall-backs for it.
    """
    table = check.coverage.payer.service_types
    rows = [service_types(table, modality) for modality in (*table, *SERVICE_TYPES)]
    own = next((r for r in rows if r and r[0] == check.service_type), ())
    return tuple(dict.fromkeys((check.service_type, *own, "30")))


@dataclass(frozen=True, slots=True)
class ExamBenefit:
    """The benefit of one answer that pays for one exam, and what it says."""

    check: EligibilityCheck
    service_type: str
    auth_required: bool | None
    sharing: CostSharing


def exam_benefit(
    check: EligibilityCheck,
    *,
    modality: str,
    code: str = "",
    table: Mapping[str, Any],
    in_network: bool = True,
) -> ExamBenefit:
    """What a kept answer says about one exam: only the service type that pays for it decides, with
    the payer's fall-backs (`Payer.service_types`). Reads `check.benefits`; prefetch them for many.

    Answers kept before each row's own flag was kept speak with their one flag.
    """
    rows = facts_of_benefits(check.benefits.all())
    types = service_types(table, modality)
    found = auth_flag(rows, types, code=code, in_network=in_network)
    required = found.required
    if required is None and not any(r.authorization is not None for r in rows):
        required = check.auth_required
    sharing = cost_sharing(rows, types, in_network=in_network)
    return ExamBenefit(check, found.service_type or types[0], required, sharing)


def _when(moment: datetime, visit: Appointment | None) -> str:
    """The time of a next try at the visit's site, else by the office's clock."""
    clock = clock_of(visit.site) if visit is not None else office_clock()
    return f"{clock.local(moment):%b %-d at %-I:%M %p}"


CAUSES = {
    CheckStatus.INACTIVE: (
        "COVERAGE_INACTIVE",
        "says the coverage is not active",
        "Ask the patient for the current card, or try the former coverages.",
    ),
    CheckStatus.REJECTED: ("COVERAGE_REJECTED", "refused the question", ""),
    CheckStatus.FAILED: ("PAYER_SILENT", "did not answer", "Ask now, or call the payer."),
}


@transaction.atomic
def eligibility_review(checks: Sequence[EligibilityCheck], *, actor: Actor, at: datetime) -> None:
    """Open the item of a coverage that is inactive, rejected, unanswered or changed; close it when
    it is active and as before.

    Only what concerns a coverage on the chart reaches a person.
    """
    visits: dict[int, Appointment] = {}
    ids = upcoming([c.patient_id for c in checks], at=at)
    rows = Appointment.objects.filter(pk__in=ids).select_related("site")
    for a in rows.order_by("-starts_at"):
        visits[a.patient_id] = a
    specs: list[ItemSpec] = []
    fine: list[int] = []
    for check in checks:
        coverage = check.coverage
        if not coverage.active:
            continue
        visit = visits.get(check.patient_id)
        if check.status in CAUSES:
            cause, words, fix = CAUSES[CheckStatus(check.status)]
            told = " ".join(r["sentence"] for r in check.rejection)
            title = told or f"{coverage.payer.name} {words}"
            fix = " ".join(r["fix"] for r in check.rejection) or fix
            if check.retry_at is not None:
                fix = f"It is asked again by itself {_when(check.retry_at, visit)}. {fix}"
        elif news(check.changes) and visit is not None:
            cause, title = (
                "COVERAGE_CHANGED",
                "; ".join(
                    f"{c['field']} {c['before'] or 'none'} → {c['after'] or 'none'}"
                    for c in news(check.changes)
                ),
            )
            fix = "Look at what depends on it: authorization and estimate."
        else:
            fine.append(coverage.pk)
            continue
        specs.append(
            ItemSpec(
                organization_id=check.organization_id,
                queue=ELIGIBILITY_QUEUE,
                subject_type="coverage",
                subject_id=coverage.pk,
                cause=cause,
                title=title[:200],
                fix=fix[:200],
                due_at=visit.starts_at if visit else at + timedelta(days=1),
                site_id=visit.site_id if visit else None,
                patient_id=check.patient_id,
                patient_name=coverage.patient.name,
                payer_id=coverage.payer_id,
                payer_name=coverage.payer.name,
                facts={
                    "member": coverage.member_id,
                    "visit": visit.starts_at.isoformat() if visit else "",
                    "modality": visit.modality if visit else "",
                },
            )
        )
    open_items(specs, actor=actor, at=at)
    close_items(
        "coverage",
        fine,
        actor=actor,
        at=at,
        outcome="Coverage is active",
        queues=[ELIGIBILITY_QUEUE],
    )


@transaction.atomic
def eligibility_seen(*, check: EligibilityCheck, actor: Actor, at: datetime | None = None) -> None:
    """A person has looked at what changed; the gate is ready again."""
    at = at or timezone.now()
    if EligibilityCheck.objects.filter(pk=check.pk, seen_at__isnull=True).update(seen_at=at):
        record_steps(
            [
                Step(
                    check.organization_id,
                    "eligibility.seen",
                    "Changes of the coverage looked at",
                    {"patient_id": check.patient_id},
                )
            ],
            actor=actor,
            at=at,
        )
        close_items(
            "coverage",
            [check.coverage_id],
            actor=actor,
            at=at,
            outcome="Changes looked at",
            causes=["COVERAGE_CHANGED"],
        )
        clearance_refresh(upcoming([check.patient_id], at=at), actor=actor, at=at)


@transaction.atomic
def difference_accept(
    *, check: EligibilityCheck, field: str, actor: Actor, at: datetime | None = None
) -> None:
    """ "Use payer's value": set our field to what the 271 says."""
    found = next((d for d in check.differences if d["field"] == field), None)
    if found is None:
        raise Refused(
            "The payer's answer does not differ in this field.", field=field, code="no_difference"
        )
    value: Any = date.fromisoformat(found["theirs"]) if field == "born_on" else found["theirs"]
    if field in ("member_id", "group_number"):
        status, verified = check.coverage.status, check.coverage.verified_at
        coverage_update(coverage=check.coverage, actor=actor, at=at, **{field: value})
        # the payer itself said so: the answer stands
        Coverage.objects.filter(pk=check.coverage_id).update(status=status, verified_at=verified)
    else:
        value = value.title() if field in ("last_name", "first_name") and value.isupper() else value
        patient_update(patient=check.patient, actor=actor, at=at, **{field: value})
    check.differences = [d for d in check.differences if d["field"] != field]
    check.save(update_fields=["differences"])
    clearance_refresh(upcoming([check.patient_id], at=at or timezone.now()), actor=actor, at=at)


@transaction.atomic
def asks_failed(*, interchange_ids: Sequence[int], actor: Actor, at: datetime) -> int:
    """270s that could not be delivered, or whose answer could not be read: their checks end without
    an answer.
    """
    checks = list(
        EligibilityCheck.objects.filter(
            status=CheckStatus.WAITING, request_id__in=interchange_ids
        ).select_related("coverage__payer", "coverage__patient")
    )
    silent = Answer(CheckStatus.FAILED, (), "", None, None, (), (), ())
    eligibility_answers(answers=[(c, silent) for c in checks], response=None, actor=actor, at=at)
    return len(checks)


# --- the days ahead -------------------------------------------------------------------------------


@transaction.atomic
def reverify_start(
    *, organization_id: int, days: int, actor: Actor, at: datetime | None = None
) -> JobRun:
    """Queue the re-verification of every live appointment of the next `days` days.
    The batch worker runs it.
    """
    actor.require("eligibility.run", organization_id)
    at = at or timezone.now()
    if not 1 <= days <= 31:
        raise Refused("Choose 1 to 31 days.", field="days", code="range")
    return run_create(
        organization_id=organization_id,
        kind="eligibility.reverify",
        title=f"Verify coverage of the next {days} days",
        params={"days": days},
        actor=actor,
    )


def due_appointments(organization_id: int, *, first: datetime, last: datetime) -> list[Appointment]:
    """Live appointments in a stretch of time, in order."""
    return list(
        Appointment.objects.filter(
            organization_id=organization_id,
            status__in=LIVE,
            starts_at__gte=first,
            starts_at__lt=last,
        )
        .select_related("site")
        .order_by("starts_at", "id")
    )


def reverify_run(
    run_id: int, *, organization_id: int, at: datetime | None = None, chunk: int = 25
) -> dict[str, int]:
    """Do a queued re-verification: ask, send, take the answers, chunk by chunk, each its own
    transaction. Safe to run twice.
    """
    actor = Actor.system("eligibility", [organization_id])
    moment = at or timezone.now()
    with scope(actor):
        run = run_claim(run_id, at=at)
        if run is None:
            return {}
        asks = asks_for(
            due_appointments(
                organization_id, first=moment, last=moment + timedelta(days=run.params["days"])
            )
        )
        fresh = {
            (c.coverage_id, c.service_date)
            for c in EligibilityCheck.objects.filter(
                coverage__in=[a.coverage.pk for a in asks], answered_at__gte=run.created_at
            )
        }
        asks = [
            a
            for a in asks
            if (a.coverage.pk, a.service_date) not in fresh and a.coverage.payer.kind != "self_pay"
        ]
        run_progress(run, done=0, total=len(asks), at=at)
    done, errors = 0, []
    counts = {"asked": 0, "changed": 0, "inactive": 0, "rejected": 0, "failed": 0}
    for start in range(0, len(asks), chunk):
        part = asks[start : start + chunk]
        checks: list[EligibilityCheck] = []
        for ask in part:
            try:
                with scope(actor):
                    checks += eligibility_ask(asks=[ask], actor=actor, queue=WorkQueue.BATCH, at=at)
            except Refused as error:
                errors.append((f"Coverage {ask.coverage.pk}", str(error)))
        exchange_now(
            [c.request_id for c in checks if c.request_id],
            organization_id=organization_id,
            actor=actor,
            at=at,
        )
        with scope(actor):
            for check in EligibilityCheck.objects.filter(pk__in=[c.pk for c in checks]):
                counts["asked"] += 1
                counts["changed"] += bool(news(check.changes))
                if check.status in (CheckStatus.INACTIVE, CheckStatus.REJECTED, CheckStatus.FAILED):
                    counts[check.status] += 1
                if check.status == CheckStatus.WAITING:
                    errors.append(
                        (
                            f"Coverage {check.coverage_id}",
                            "The payer has not answered yet; the answer lands when it comes.",
                        )
                    )
            done += len(part)
            run_progress(run, done=done, failed=len(errors), total=len(asks), at=at)
    with scope(actor):
        run_finish(run, result=counts, errors=errors, at=at)
    return counts


def exchange_now(
    interchange_ids: Iterable[int],
    *,
    organization_id: int,
    actor: Actor,
    at: datetime | None = None,
) -> None:
    """Send outbound interchanges and process what comes straight back. Call outside a transaction:
    the network is in between.
    """
    for pk in interchange_ids:
        with scope(actor):
            row = Interchange.objects.defer("content").get(pk=pk)
        answer = send(row, actor=actor, at=at)
        if answer is not None:
            process([answer.pk], actor=actor, at=at)
