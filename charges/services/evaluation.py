"""Evaluation of performed exams in bulk: code, form, lines, price, expected payment, four-way
match, holds.

One run loads all facts first, lets the pure rules decide, prices whole sessions and writes sets.
Repeating it changes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from authorizations.facts import BilledFact, Deviation
from authorizations.loading import ExamAsk, Matched, catalog, match_exams
from authorizations.matching import as_dict
from authorizations.models import AuthorizationUse, AuthStatus
from authorizations.ordering import ChangeEvidence, OrderAnswer, OrderVerdict, judge_change
from authorizations.services import Use, authorization_unuse, authorization_use, update_needed
from charges.assembly import (
    AUTH_UPDATE,
    CONFLICT,
    LATE,
    MISMATCH,
    OTHER_HOMES,
    REVIEW,
    UNSIGNED,
    Assembled,
    ExamFacts,
    Hold,
    Line,
    assemble,
)
from charges.loading import Facts, filing_deadline, with_rows
from charges.models import Charge, ChargeStatus, Exam, ExamStatus
from charges.report_check import ReportFinding, ReportReading, Span, read_report
from charges.services.machines import Unrecorded, machines_ask
from charges.services.recording import keys_of
from charges.services.release import exam_moves, release_clean, replace_released, withdraw
from charges.services.writing import update_rows
from intake.models import Coverage, CoverageStatus
from rcm.accounts.actor import Actor
from rcm.audit.services import Step, record_steps
from rcm.pricing.expected import price_sessions
from rcm.pricing.facts import (
    BilledLine,
    Component,
    PricedLine,
    PriceStatus,
    PricingContext,
)
from rcm.pricing.facts import Step as PriceStep
from rcm.pricing.forms import Severity
from rcm.reference.clock import day_at
from rcm.reference.models import PayerKind
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items

ZERO = Decimal("0.00")
QUEUES = (UNSIGNED, CONFLICT, REVIEW, MISMATCH, LATE)
CHUNK = 500
_EXAM_FIELDS = [
    "coverage",
    "authorization",
    "code",
    "laterality",
    "match",
    "holds",
    "findings",
    "suggestion",
    "form",
    "expected",
    "filing_deadline",
    "status",
    "no_bill_reason",
    "no_bill_by",
    "version",
]
AUTOMATIC = "system"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One exam after evaluation: its code, hold codes, expected payment, and whether it is
    released.
    """

    exam_id: int
    code: str
    status: str
    holds: tuple[str, ...]
    expected: Decimal | None


@dataclass(slots=True)
class _Work:
    """One exam on its way through a run."""

    exam: Exam
    coverage: Coverage | None
    facts: ExamFacts
    answer: Assembled
    lines: list[tuple[Line, Decimal | None]] = field(default_factory=list)
    priced: list[PricedLine | None] = field(default_factory=list)
    matched: Matched | None = None
    order: OrderAnswer | None = None

    @property
    def live(self) -> bool:
        return not self.answer.no_bill

    def stop(self, hold: Hold) -> None:
        """Hold the exam, unless a person has waived that with a reason."""
        if not (hold.waive and hold.code in self.facts.waived):
            self.answer.stop(hold)


def exams_evaluate(
    *, exam_ids: Iterable[int], actor: Actor, at: datetime | None = None
) -> list[Evaluated]:
    """Evaluate exams and release those that nothing stops, when their site releases by itself.

    Exams of the same patient, day and site are one session: they are evaluated together, since
    combined codes and multiple-procedure reductions depend on each other. What a person decided
    (code, no-bill) stands. An exam that was released already is compared with what was billed: a
    difference becomes void and new charges and the event "charges.changed".
    """
    at = at or timezone.now()
    ids = sorted(set(exam_ids))
    out: list[Evaluated] = []
    for start in range(0, len(ids), CHUNK):
        out += _evaluate(ids[start : start + CHUNK], actor=actor, at=at)
    return out


@transaction.atomic
def _evaluate(ids: Sequence[int], *, actor: Actor, at: datetime) -> list[Evaluated]:
    exams = _with_siblings(ids)
    exams = [e for e in exams if _open(e)]
    if not exams:
        return []
    facts = Facts(exams)
    works = [
        _Work(e, c, facts.exam(e, c), Assembled(e.pk))
        for e in exams
        for c in (_coverage(e, facts),)
    ]
    by_id = {w.exam.pk: w for w in works}
    for members in _sessions(works).values():
        answers = assemble([w.facts for w in members], facts.codes(members[0].exam.service_date))
        for key, answer in answers.items():
            by_id[key].answer = answer
    _price(works, facts)
    _match(works, facts, at=at)
    for work in works:
        _gates(work, facts)
    withdrawn = [
        w.exam
        for w in works
        if w.exam.status == ExamStatus.RELEASED
        and w.facts.report is not None
        and w.facts.report.status == "X"
    ]
    withdraw(withdrawn, reason="report_withdrawn", actor=actor, at=at, to=ExamStatus.PERFORMED)
    charges = _charges_of([w.exam.pk for w in works])
    steps: list[Step] = []
    changed: list[Exam] = []
    for work in works:
        if _settle(work, steps):
            changed.append(work.exam)
    update_rows(changed, _EXAM_FIELDS)
    record_steps(steps, actor=actor, at=at)
    _use_units(works, actor=actor, at=at)
    wanted = _write_charges(works, charges)
    corrected = [w for w in works if w.exam.status == ExamStatus.RELEASED and not w.exam.holds]
    replace_released(
        [
            (w.exam, charges.get(w.exam.pk, []), wanted[w.exam.pk], w.answer.no_bill)
            for w in corrected
        ],
        actor=actor,
        at=at,
    )
    automatic = [
        w.exam.pk
        for w in works
        if facts.policies.of(w.exam.site, w.exam.service_date).auto_release and _clean(w)
    ]
    release_clean(automatic, actor=actor, at=at)
    _items(works, facts, actor=actor, at=at)
    after = dict(Exam.objects.filter(pk__in=[w.exam.pk for w in works]).values_list("pk", "status"))
    return [
        Evaluated(
            w.exam.pk,
            w.exam.code,
            after[w.exam.pk],
            tuple(h["code"] for h in w.exam.holds),
            w.exam.expected,
        )
        for w in works
        if w.exam.pk in set(ids)
    ]


def _with_siblings(ids: Sequence[int]) -> list[Exam]:
    """The exams and all others of the same patient and day, locked in one order. Two queries."""
    days = Exam.objects.filter(pk__in=ids).values_list("patient_id", "service_date")
    pairs = set(days)
    if not pairs:
        return []
    near = Q(patient_id__in={p for p, _ in pairs}, service_date__in={d for _, d in pairs})
    return [e for e in with_rows(near) if (e.patient_id, e.service_date) in pairs]


def _open(exam: Exam) -> bool:
    """Whether evaluation has a say: not while the exam runs, and not over a person's no-bill."""
    if exam.status == ExamStatus.IN_PROGRESS:
        return False
    return exam.status != ExamStatus.NO_BILL or exam.no_bill_by == AUTOMATIC


def _coverage(exam: Exam, facts: Facts) -> Coverage | None:
    if exam.status == ExamStatus.RELEASED and exam.coverage is not None:
        return exam.coverage
    return facts.coverage(exam)


def _sessions(works: Iterable[_Work]) -> dict[tuple[int, dt.date, int], list[_Work]]:
    found: dict[tuple[int, dt.date, int], list[_Work]] = defaultdict(list)
    for work in works:
        found[(work.exam.patient_id, work.exam.service_date, work.exam.site_id)].append(work)
    return found


# --- money ----------------------------------------------------------------------------------------


def component_code(component: Component) -> str:
    return "" if component is Component.GLOBAL else component.value


def _price(works: Sequence[_Work], facts: Facts) -> None:
    """List price of every line; expected payment of every session, with its derivation (rules
    `fee-schedule-amount` and `mppr-technical`).
    """
    facts.load_prices((w.exam.organization_id, line.code) for w in works for line in w.answer.lines)
    sessions: list[tuple[PricingContext, list[BilledLine]]] = []
    places: list[list[tuple[_Work, int]]] = []
    groups: dict[tuple[Any, ...], list[_Work]] = defaultdict(list)
    for work in works:
        for line in work.answer.lines:
            price = facts.price(
                work.exam.organization_id,
                line.code,
                component_code(line.component),
                work.exam.service_date,
            )
            work.lines.append((line, None if price is None else price * line.units))
            if price is None:
                name = (
                    f"{line.code}-{line.component.value}"
                    if line.component is not Component.GLOBAL
                    else line.code
                )
                sentence = f"No list price for {name} on {work.exam.service_date:%b %-d, %Y}."
                work.answer.stop(
                    Hold(
                        "LIST_PRICE_MISSING",
                        sentence,
                        "Enter the price, then evaluate again.",
                        "price",
                        "manager",
                        REVIEW,
                        "self-pay-price",
                    )
                )
        work.priced = [None] * len(work.lines)
        if (
            work.coverage is not None
            and work.lines
            and work.coverage.payer.kind != PayerKind.SELF_PAY
        ):
            exam = work.exam
            groups[(exam.patient_id, exam.service_date, exam.site_id, work.coverage.pk)].append(
                work
            )
    for members in groups.values():
        first, coverage = members[0].exam, members[0].coverage
        assert coverage is not None
        ref = facts.book.find(
            organization_id=first.organization_id,
            payer_id=coverage.payer_id,
            on=first.service_date,
            plan_id=coverage.plan_id,
            site_id=first.site_id,
        )
        if ref is None and coverage.payer.kind != PayerKind.MEDICARE:
            continue  # nothing says what this payer pays: unknown, never Medicare's price
        context = PricingContext(
            date_of_service=first.service_date,
            pos=first.site.pos,
            locality=facts.locality(first.site.zip),
            contract=facts.tables.contract(ref.key, first.service_date) if ref else None,
            benefits=facts.benefits(coverage, first.modality),
            site=first.site.code,
            plan=coverage.plan.code if coverage.plan else "",
        )
        lines, where = [], []
        for work in members:
            for n, (line, amount) in enumerate(work.lines):
                lines.append(
                    BilledLine(
                        line_id=f"{work.exam.pk}-{n}",
                        code=line.code,
                        modifiers=line.modifiers,
                        units=int(line.units.to_integral_value(ROUND_CEILING)),
                        charge=amount,
                        session="" if line.kind == "supply" else _session_of(work.exam),
                        rendering=work.exam.reader.provider.npi if work.exam.reader else "",
                        locality=line.locality,
                        purchased_price=line.purchased_price,
                        preventive=work.exam.performed.get("preventive"),
                    )
                )
                where.append((work, n))
        sessions.append((context, lines))
        places.append(where)
    for priced, where in zip(price_sessions(sessions, tables=facts.tables), places, strict=True):
        for result, (work, n) in zip(priced, where, strict=True):
            work.priced[n] = _by_invoice(work, n, result)


def _by_invoice(work: _Work, n: int, result: PricedLine) -> PricedLine:
    """What neither schedule nor contract prices is expected at its invoice, where the site's stock
    holds one; else it stays unknown and the claim goes all the same.
    """
    line, _ = work.lines[n]
    if result.allowed is not None or result.status is not PriceStatus.HOLD:
        return result
    cost = next(
        (
            s.invoice_price
            for s in work.facts.stock
            if s.code == line.code and s.invoice_price is not None
        ),
        None,
    )
    if cost is None:
        return result
    amount = (cost * line.units).quantize(Decimal("0.01"))
    words = f"{line.code}: invoice price {cost.normalize():f} × {line.units.normalize():f} units"
    return replace(
        result,
        status=PriceStatus.PRICED,
        reason_code="",
        reason="",
        allowed=amount,
        share_reason="The patient's share of an invoice price is not known.",
        derivation=(*result.derivation, PriceStep(words, amount, "invoice")),
    )


def _session_of(exam: Exam) -> str:
    return str(exam.ordered_exam.appointment_id or "") if exam.ordered_exam else ""


# --- match ----------------------------------------------------------------------------------------


def _match(works: Sequence[_Work], facts: Facts, *, at: datetime) -> None:
    """Ordered, authorized, performed, billed side by side, and whether the exam may differ
    from its order.
    """
    asks = []
    for work in works:
        exam = work.exam
        if not work.live or work.coverage is None or not work.answer.code:
            continue
        main = next((line for line in work.answer.lines if line.kind == "exam"), None)
        asks.append(
            ExamAsk(
                key=str(exam.pk),
                ordered=exam.ordered_exam,
                patient_id=exam.patient_id,
                site=exam.site,
                day=exam.service_date,
                coverage=work.coverage,
                performed_code=_performed(work),
                laterality=work.answer.side,
                rendering_npi=exam.reader.provider.npi if exam.reader else "",
                exam_id=exam.pk,
                reported_on=_reported_on(facts, exam),
                billed=(
                    BilledFact(
                        main.code,
                        exam.service_date,
                        1,
                        work.answer.side,
                        component_code(main.component),
                    )
                    if main
                    else None
                ),
            )
        )
    found = match_exams(asks, at=at)
    known = catalog(max(w.exam.service_date for w in works)) if found else {}
    for work in works:
        matched = found.get(str(work.exam.pk))
        if matched is None or matched.result.request.performed is None:
            continue
        work.matched = matched
        said = work.exam.order_change
        evidence = ChangeEvidence(
            **{k: bool(said.get(k)) for k in ChangeEvidence.__dataclass_fields__}
        )
        work.order = judge_change(
            matched.result.request.ordered,
            matched.result.request.performed,
            known,
            evidence=evidence,
        )


def _performed(work: _Work) -> str:
    """What report and modality say was done. A coder's other code is what is billed; it does not
    change what was performed.
    """
    if work.exam.decision.get("performed"):
        return str(work.answer.suggestion.get("code") or work.answer.code)
    return work.answer.code


def _confirmed(work: _Work) -> bool:
    """Two people looked at this very difference."""
    decision = work.exam.decision
    return bool(decision.get("second")) and decision.get("performed") == _performed(work)


def _second_look(work: _Work) -> None:
    """A code against what was performed waits for another person."""
    decision = work.exam.decision
    done = _performed(work)
    if not decision.get("performed") or decision["code"] == done or _confirmed(work):
        return
    work.stop(
        Hold(
            "SECOND_LOOK",
            f"{decision['code']} is to be billed, report and modality say {done}.",
            "Another coder looks at the evidence and confirms, or the code is taken back.",
            "code",
            "coder",
            REVIEW,
            "billed-as-performed",
            "",
        )
    )


def _reported_on(facts: Facts, exam: Exam) -> dt.date | None:
    """The site's day of the signature: some payers' windows run from it."""
    report = facts.reports.get(exam.pk)
    if report is None or report.signed_at is None:
        return None
    return day_at(exam.site, report.signed_at)


def _gates(work: _Work, facts: Facts) -> None:
    """What the front end and the match have to say about release (rule `release`)."""
    exam, coverage = work.exam, work.coverage
    if not work.live:
        return
    if coverage is not None and coverage.payer.kind != PayerKind.SELF_PAY:
        _coverage_gate(work, coverage, facts)
    if not (exam.diagnoses or (exam.ordered_exam and exam.ordered_exam.order.diagnoses)):
        work.stop(
            Hold(
                "DIAGNOSIS_MISSING",
                "No diagnosis came with the order or the charge.",
                "Enter the diagnosis.",
                "diagnoses",
                rule="diagnosis-valid",
            )
        )
    order = work.order
    if order is not None and order.stops and not exam.order_change.get("new_order"):
        work.stop(
            Hold(
                "ORDER_CHANGE",
                order.sentence,
                order.action,
                "order",
                "front_desk",
                MISMATCH,
                "order-change",
                "authorization.override",
            )
        )
    if order is not None and order.verdict is OrderVerdict.LESS_THAN_ORDERED:
        _less_gate(work, order)
    _second_look(work)
    first = _mismatch(work)
    if first is not None:
        # the authorization phase owns the item of what is its own to repair
        queue = AUTH_UPDATE if first.owner == "authorization" else MISMATCH
        rule = first.rule
        work.stop(
            Hold(
                first.code,
                first.sentence,
                first.action,
                "authorization",
                first.owner,
                queue,
                rule,
                "authorization.override",
                first.due,
            )
        )


def _less_gate(work: _Work, order: OrderAnswer) -> None:
    """Less than ordered needs no new order: the report says what was done, and the coder accepts
    it. The report's own sentence is quoted and highlighted.
    """
    exam = work.exam
    if exam.decision.get("code") == work.answer.code:
        return
    report = work.facts.report
    span = _said_of_less(read_report(report.sections)) if report is not None else None
    quote = f" The report says “{span.quote[:120]}”." if span is not None else ""
    work.answer.findings = [
        *work.answer.findings,
        ReportFinding(
            "LESS_THAN_ORDERED", Severity.WARN, order.sentence, "order", order.action, span
        ),
    ]
    work.stop(
        Hold(
            "LESS_THAN_ORDERED",
            f"{order.sentence}{quote}",
            order.action,
            "order",
            "coder",
            REVIEW,
            "order-change",
            "charge.review",
        )
    )


def _said_of_less(reading: ReportReading) -> Span | None:
    return reading.views_span or reading.contrast_span


def _mismatch(work: _Work) -> Deviation | None:
    """The first deviation of the match that stops the exam. A billed code that two people confirmed
    against the performed one stays visible in the match, and stops nothing more.
    """
    if work.matched is None or work.matched.result.passes:
        return None
    confirmed = _confirmed(work)
    left = [
        d
        for d in work.matched.result.deviations
        if not (confirmed and d.code == "CODE_NOT_PERFORMED")
    ]
    return next(iter(left), None)


def _coverage_gate(work: _Work, coverage: Coverage, facts: Facts) -> None:
    exam = work.exam
    if coverage.status in (CoverageStatus.INACTIVE, CoverageStatus.REJECTED):
        sentence = (
            f"{coverage.payer.name} says the policy is {coverage.get_status_display().lower()}."
        )
        fix = "Correct the coverage, or make the exam self-pay."
        work.stop(
            Hold(
                "COVERAGE_INACTIVE",
                sentence,
                fix,
                "coverage",
                "front_desk",
                REVIEW,
                "coverage-active",
                "charge.review",
            )
        )
        return
    limit, days = (
        facts.policies.of(exam.site, exam.service_date).eligibility_days,
        facts.verified_days(exam, coverage),
    )
    if limit is not None and (days is None or days > limit):
        sentence = (
            "Eligibility was never verified."
            if days is None
            else f"Eligibility was verified {days} days from the exam; {limit} are allowed."
        )
        fix = "Run eligibility for the exam's date."
        work.stop(
            Hold(
                "ELIGIBILITY_NOT_VERIFIED",
                sentence,
                fix,
                "coverage",
                "front_desk",
                REVIEW,
                "eligibility-verified",
                "charge.review",
            )
        )


# --- the exam row ---------------------------------------------------------------------------------


def _settle(work: _Work, steps: list[Step]) -> bool:
    """Write the answer onto the exam in memory and note what a reader of the timeline would want to
    know. True when it changed.
    """
    exam, answer = work.exam, work.answer
    before = {name: _value(exam, name) for name in _EXAM_FIELDS}
    old_status, old_holds = exam.status, {h["code"] for h in exam.holds}
    exam.coverage = work.coverage
    if work.matched is not None and exam.status != ExamStatus.RELEASED:
        exam.authorization = work.matched.authorization
    exam.code = answer.code or exam.code
    exam.laterality = answer.side
    exam.suggestion, exam.form = answer.suggestion, answer.form
    exam.findings = [_finding_json(f) for f in answer.findings]
    exam.holds = [h.as_json() for h in answer.holds]
    match = as_dict(work.matched.result, work.order) if work.matched else {}
    if exam.status != ExamStatus.RELEASED or match.get("code") != exam.match.get("code"):
        exam.match = match  # what a charge was released by stays as it was seen then
    exam.filing_deadline = filing_deadline(exam, work.coverage)
    exam.expected = _expected(work)
    _status(work)
    changed = any(_value(exam, name) != value for name, value in before.items())
    if not changed:
        return False
    exam.version += 1
    keys = keys_of(exam)
    if exam.status != old_status:
        words = {
            ExamStatus.CODED: (
                f"Coded {exam.code}: {answer.why}" if answer.why else f"Coded {exam.code}"
            ),
            ExamStatus.NO_BILL: f"No bill: {exam.no_bill_reason}",
        }.get(ExamStatus(exam.status), f"Back to {exam.get_status_display().lower()}")
        steps.append(
            Step(
                exam.organization_id,
                f"exam.{exam.status}",
                words,
                keys,
                old=old_status,
                new=exam.status,
            )
        )
    now = {h["code"] for h in exam.holds}
    if now - old_holds:
        fresh = [h for h in answer.holds if h.code not in old_holds]
        steps.append(
            Step(
                exam.organization_id,
                "exam.held",
                fresh[0].sentence,
                keys,
                data={"holds": sorted(now)},
            )
        )
    elif old_holds and not now:
        steps.append(
            Step(exam.organization_id, "exam.cleared", "Nothing stops the charges any more", keys)
        )
    return True


def _value(exam: Exam, name: str) -> Any:
    return (
        getattr(exam, f"{name}_id")
        if name in ("coverage", "authorization")
        else getattr(exam, name)
    )


def _finding_json(finding: Any) -> dict[str, Any]:
    span = finding.span
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "sentence": finding.sentence,
        "field": finding.field,
        "fix": finding.fix,
        "suggested_code": finding.suggested_code,
        "section": span.section if span else "",
        "start": span.start if span else None,
        "end": span.end if span else None,
        "quote": span.quote if span else "",
    }


def _expected(work: _Work) -> Decimal | None:
    """What payer and patient together should pay; a line without an amount leaves it open only when
    it is an exam's own line.
    """
    if not work.live:
        return ZERO
    if work.coverage is not None and work.coverage.payer.kind == PayerKind.SELF_PAY:
        amounts = [amount for _, amount in work.lines]
        return (
            None
            if not amounts or None in amounts
            else sum((a for a in amounts if a is not None), ZERO)
        )
    known = [p.allowed for p in work.priced if p is not None and p.allowed is not None]
    return sum(known, ZERO) if known else None


def _status(work: _Work) -> None:
    exam, answer = work.exam, work.answer
    if exam.status == ExamStatus.RELEASED:
        return
    report_final = not any(h.code == "NO_FINAL_REPORT" for h in answer.holds)
    if answer.no_bill:
        exam_moves(exam, ExamStatus.NO_BILL)
        exam.no_bill_reason, exam.no_bill_by = answer.no_bill[:200], AUTOMATIC
        return
    if exam.status == ExamStatus.NO_BILL:
        exam.no_bill_reason = exam.no_bill_by = ""
        exam_moves(exam, ExamStatus.FINAL)
    if not report_final:
        return
    coder_has_work = any(h.queue in (REVIEW, CONFLICT) for h in answer.holds)
    if exam.status in (ExamStatus.FINAL, ExamStatus.DISCONTINUED) and not coder_has_work:
        exam_moves(exam, ExamStatus.CODED)
    elif exam.status == ExamStatus.CODED and coder_has_work:
        exam_moves(exam, ExamStatus.FINAL)


def _clean(work: _Work) -> bool:
    return (
        work.live
        and not work.exam.holds
        and bool(work.lines)
        and work.exam.status != ExamStatus.RELEASED
    )


# --- charges --------------------------------------------------------------------------------------


def _charges_of(exam_ids: Sequence[int]) -> dict[int, list[Charge]]:
    found: dict[int, list[Charge]] = defaultdict(list)
    for charge in (
        Charge.objects.select_for_update()
        .filter(exam_id__in=exam_ids)
        .exclude(status=ChargeStatus.VOID)
        .order_by("id")
    ):
        found[charge.exam_id].append(charge)
    return found


def print_of(charge: Charge) -> tuple[Any, ...]:
    """What makes a charge another charge on the claim."""
    return (
        charge.code,
        charge.component,
        tuple(charge.modifiers),
        charge.units,
        charge.pos,
        charge.service_date,
        tuple(charge.diagnoses),
        charge.amount,
        charge.rendering_npi,
        charge.service_zip[:5],
        charge.purchased_price,
    )


def _write_charges(
    works: Sequence[_Work], existing: Mapping[int, list[Charge]]
) -> dict[int, list[Charge]]:
    """Bring held charges to what was assembled. For a released exam nothing is written here but
    expected payments: the wanted charges are returned for comparison.
    """
    gone: list[int] = []
    fresh: list[Charge] = []
    repriced: list[Charge] = []
    wanted: dict[int, list[Charge]] = {}
    for work in works:
        exam = work.exam
        rows = [_charge(work, n) for n in range(len(work.lines))] if work.live else []
        wanted[exam.pk] = rows
        kept: list[Charge] = list(existing.get(exam.pk, []))
        for row in rows:
            same = next((k for k in kept if print_of(k) == print_of(row)), None)
            if same is not None:
                kept.remove(same)
                if (same.expected, same.expected_patient, same.derivation) != (
                    row.expected,
                    row.expected_patient,
                    row.derivation,
                ):
                    same.expected, same.expected_patient, same.derivation = (
                        row.expected,
                        row.expected_patient,
                        row.derivation,
                    )
                    repriced.append(same)
            elif exam.status != ExamStatus.RELEASED:
                fresh.append(row)
        if exam.status != ExamStatus.RELEASED:
            gone += [k.pk for k in kept if k.status == ChargeStatus.HELD]
    Charge.objects.filter(pk__in=gone, status=ChargeStatus.HELD).delete()
    Charge.objects.bulk_create(fresh, batch_size=CHUNK)
    update_rows(repriced, ["expected", "expected_patient", "derivation"])
    return wanted


def _charge(work: _Work, n: int) -> Charge:
    exam = work.exam
    (line, amount), priced = work.lines[n], work.priced[n]
    self_pay = work.coverage is not None and work.coverage.payer.kind == PayerKind.SELF_PAY
    reading_room = line.at == "reading room"
    group = exam.reader.group if exam.reader else None
    return Charge(
        organization_id=exam.organization_id,
        exam=exam,
        patient_id=exam.patient_id,
        code=line.code,
        component=component_code(line.component),
        modifiers=list(line.modifiers),
        units=line.units.quantize(Decimal("0.01")),
        pos=exam.site.pos,
        service_date=exam.service_date,
        diagnoses=list(
            exam.diagnoses or (exam.ordered_exam.order.diagnoses if exam.ordered_exam else [])
        ),
        amount=(amount if amount is not None else ZERO).quantize(Decimal("0.01")),
        expected=amount if self_pay else priced.allowed if priced else None,
        expected_patient=amount if self_pay else priced.patient_share if priced else None,
        derivation=_derivation(priced, amount, self_pay=self_pay),
        rendering_npi=(
            exam.reader.provider.npi
            if exam.reader and line.component is not Component.TECHNICAL
            else ""
        ),
        arrangement_id=work.facts.arrangement_said.get("id"),
        service_zip=(group.zip if reading_room and group and group.zip else exam.site.zip),
        purchased_price=line.purchased_price,
    )


def _derivation(
    priced: PricedLine | None, amount: Decimal | None, *, self_pay: bool
) -> list[dict[str, str]]:
    if self_pay:
        return [
            {
                "words": "Self-pay: the list price",
                "amount": str(amount or ""),
                "rule": "self-pay-price",
            }
        ]
    if priced is None:
        return [
            {
                "words": (
                    "No contract with this payer is in force: the expected payment is unknown."
                ),
                "amount": "",
                "rule": "contract-rate",
            }
        ]
    steps = [
        {
            "words": s.words,
            "amount": "" if s.amount is None else str(s.amount),
            "rule": s.rule,
            "kind": s.kind.value,
        }
        for s in priced.derivation
    ]
    notes = [
        {"words": words, "amount": "", "rule": ""}
        for words in (*priced.notes, *((priced.share_reason,) if priced.share_reason else ()))
    ]
    return steps + notes


# --- authorization units, items -------------------------------------------------------------------


def _use_units(works: Sequence[_Work], *, actor: Actor, at: datetime) -> None:
    """Take the units of the line that covers each exam, and give back those of lines that no longer
    do (rule `authorization-required`).
    """
    wanted: dict[int, int] = {}
    for work in works:
        matched = work.matched
        if (
            matched is None
            or _mismatch(work) is not None
            or matched.authorization is None
            or matched.result.service is None
        ):
            continue
        if matched.authorization.status == AuthStatus.NOT_REQUIRED:
            continue
        service = matched.result.service
        row = next(
            (
                s
                for s in matched.authorization.services.all()
                if s.code == service.code
                and s.laterality == service.laterality
                and s.used < s.units
            ),
            None,
        ) or next(
            (
                s
                for s in matched.authorization.services.all()
                if s.code == service.code and s.laterality == service.laterality
            ),
            None,
        )
        if row is not None:
            wanted[work.exam.pk] = row.pk
    held: dict[int, set[int]] = defaultdict(set)
    for service_id, exam_id in AuthorizationUse.objects.filter(
        exam_id__in=[w.exam.pk for w in works]
    ).values_list("service_id", "exam_id"):
        held[exam_id].add(service_id)
    codes = {w.exam.pk: w for w in works}
    settled = {pk: ids for pk, ids in held.items() if pk in wanted and _same_line(codes[pk], ids)}
    stale = [pk for pk in held if pk not in settled]
    if stale:
        authorization_unuse(exam_ids=stale, actor=actor, at=at)
    fresh = [
        Use(service_id, exam_id) for exam_id, service_id in wanted.items() if exam_id not in settled
    ]
    if fresh:
        authorization_use(uses=fresh, actor=actor, at=at)


def _same_line(work: _Work, service_ids: set[int]) -> bool:
    matched = work.matched
    assert matched is not None
    assert matched.authorization is not None
    assert matched.result.service is not None
    service = matched.result.service
    mine = {
        s.pk
        for s in matched.authorization.services.all()
        if s.code == service.code and s.laterality == service.laterality
    }
    return bool(mine & service_ids)


def _items(works: Sequence[_Work], facts: Facts, *, actor: Actor, at: datetime) -> None:
    """One item for each exam that stopped, in the queue of who can move it; items whose cause is
    gone close by themselves.
    """
    wanted: dict[int, list[Hold]] = {}
    for work in works:
        exam = work.exam
        holds = [h for h in work.answer.holds if h.queue not in OTHER_HOMES]
        if exam.status == ExamStatus.RELEASED and work.answer.holds:
            words = "After release the exam reads differently, and something stops the correction."
            holds = [
                Hold(
                    "CHANGED_AFTER_RELEASE",
                    words,
                    work.answer.holds[0].sentence,
                    owner="coder",
                    queue=LATE,
                    rule="release",
                )
            ]
        late = _unsigned_late(work, facts, at)
        wanted[exam.pk] = [h for h in holds if h.queue != UNSIGNED or late]
        if _clean(work) and not facts.policies.of(exam.site, exam.service_date).auto_release:
            ready = "Nothing stops the charges: this site releases them by hand."
            wanted[exam.pk].append(
                Hold("READY_TO_RELEASE", ready, "Look, then release.", queue=REVIEW, rule="release")
            )
    live = WorkItem.objects.filter(
        subject_type="exam",
        subject_id__in=list(wanted),
        queue__in=QUEUES,
        status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
    ).values_list("subject_id", "queue", "cause")
    stale: dict[tuple[str, str], list[int]] = defaultdict(list)
    for exam_id, queue, cause in live:
        if not any((h.queue, h.code) == (queue, cause) for h in wanted[exam_id]):
            stale[(queue, cause)].append(exam_id)
    for (queue, cause), ids in sorted(stale.items()):
        close_items("exam", ids, actor=actor, at=at, causes=[cause], queues=[queue])
    open_items(
        [_item(w, h, facts, at) for w in works for h in wanted[w.exam.pk]], actor=actor, at=at
    )
    machines_ask(
        [Unrecorded(w.exam, w.facts.unrecorded) for w in works if w.facts.unrecorded and w.live],
        actor=actor,
        at=at,
    )
    to_change = {
        w.exam.pk: w.matched
        for w in works
        if w.matched is not None and any(h.queue == AUTH_UPDATE for h in w.answer.holds)
    }
    if to_change:
        dollars = {w.exam.pk: w.exam.expected or ZERO for w in works}
        update_needed(matched=to_change, dollars=dollars, actor=actor, at=at)
    settled = [w.exam.pk for w in works if w.exam.pk not in to_change]
    close_items(
        "exam_authorization",
        settled,
        actor=actor,
        at=at,
        outcome="The authorization no longer stops the exam",
    )


def _unsigned_late(work: _Work, facts: Facts, at: datetime) -> bool:
    policy = facts.policies.of(work.exam.site, work.exam.service_date)
    return at - work.exam.performed_at >= dt.timedelta(hours=policy.warn_hours)


def item_facts(exam: Exam) -> dict[str, Any]:
    """What the queues of this phase show of an exam beside the item's own columns."""
    return {
        "exam": exam.code,
        "component": exam.form.get("form", ""),
        "accession": exam.accession,
        "dos": exam.service_date.isoformat(),
        "modality": exam.modality,
        "reader": str(exam.reader.provider) if exam.reader else "",
    }


def _item(work: _Work, hold: Hold, facts: Facts, at: datetime) -> ItemSpec:
    exam, coverage = work.exam, work.coverage
    due = (
        exam.performed_at
        + dt.timedelta(hours=facts.policies.of(exam.site, exam.service_date).warn_hours)
        if hold.queue == UNSIGNED
        else at
    )
    if hold.due is not None:
        due = min(due, datetime.combine(hold.due, dt.time(17), ZoneInfo(exam.site.time_zone)))
    return ItemSpec(
        organization_id=exam.organization_id,
        queue=hold.queue,
        subject_type="exam",
        subject_id=exam.pk,
        cause=hold.code,
        title=hold.sentence[:200],
        fix=hold.fix[:200],
        due_at=due,
        dollars=exam.expected or ZERO,
        deadline_on=hold.due or exam.filing_deadline,
        site_id=exam.site_id,
        patient_id=exam.patient_id,
        patient_name=exam.patient.name,
        exam_id=exam.pk,
        payer_id=coverage.payer_id if coverage else None,
        payer_name=coverage.payer.name if coverage else "",
        facts=item_facts(exam),
    )
