"""From rows to facts: everything the requirement check and the four-way match need, loaded in bulk
(rules `authorization-required` and `authorization-on-record`).

Ids inside the facts: payer and plan by their codes, patients by primary key as text, sites by NPI
and tax id.
"""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache
from typing import Any

from django.db.models import Prefetch, Q

from authorizations import families
from authorizations.clocks import DecisionRule, Unit, Window
from authorizations.facts import (
    UPDATE_WINDOW,
    AuthorizedFact,
    AuthorizedService,
    AuthStatus,
    BilledFact,
    MatchPolicy,
    MatchRequest,
    OrderedFact,
    PerformedFact,
    SiteMatch,
)
from authorizations.families import Catalog, Crosswalk, CrosswalkRow, CrosswalkVerdict
from authorizations.matching import RULE_ORDER, LineKey, MatchContext, MatchResult, match_exam
from authorizations.models import GRANTED, Authorization, AuthRule, AuthWindow
from authorizations.models import AuthorizedService as ServiceRow
from authorizations.models import AuthStatus as Status
from authorizations.models import Crosswalk as CrosswalkRecord
from authorizations.requirement import (
    Evidence,
    EvidenceKind,
    Requirement,
    RequirementAnswer,
    RequirementQuery,
    RequirementRule,
    RequirementRules,
    RuleKind,
)
from authorizations.windows import Path, Start
from intake.models import (
    CheckStatus,
    Coverage,
    CoverageStatus,
    EligibilityCheck,
    OrderedExam,
    OrderStatus,
)
from intake.services import coverages_of_exams, exam_benefit, local_day, primary_coverages
from rcm.accounts.models import Site
from rcm.reference.clock import Clocks, day_at
from rcm.reference.facts import current, procedure_versions, procedures
from rcm.reference.models import Payer, PayerKind

_STATUS = {
    Status.REQUESTED: AuthStatus.REQUESTED,
    Status.PENDED: AuthStatus.PENDED,
    Status.APPROVED: AuthStatus.APPROVED,
    Status.PARTIAL: AuthStatus.PARTIALLY_APPROVED,
    Status.MODIFIED: AuthStatus.MODIFIED,
    Status.DENIED: AuthStatus.DENIED,
    Status.CANCELLED: AuthStatus.CANCELLED,
    Status.EXPIRED: AuthStatus.EXPIRED,
    Status.NOT_REQUIRED: AuthStatus.NOT_REQUIRED,
}
_VERDICT = {
    "covered": CrosswalkVerdict.ALLOWED,
    "update": CrosswalkVerdict.UPDATE,
    "new": CrosswalkVerdict.NEW_AUTH,
}


def catalog(on: date) -> Catalog:
    """The procedure catalog in force on a day."""
    rows = (
        row
        for versions in procedure_versions().values()
        if (row := current(versions, on)) is not None
    )
    return {
        r.code: families.Procedure(
            code=r.code,
            family=r.family,
            modality=r.modality,
            body_region=r.body_part,
            contrast="" if r.contrast == "any" else r.contrast,
            extent=r.extent,
            views_min=r.views_min,
            views_max=r.views_max,
            bilat_ind=families.BILATERAL if r.laterality == "bilateral" else "",
            typical_prior_auth="" if r.auth_default is None else "Y" if r.auth_default else "N",
        )
        for r in rows
    }


def requirement_rules(known: Catalog) -> RequirementRules:
    """Every rule row. One query. A code that no row speaks of is unknown: somebody asks the
    payer.
    """
    rows = AuthRule.objects.select_related("payer", "plan")
    found = [
        RequirementRule(
            rule_id=f"R{r.pk}",
            kind=(
                RuleKind.REQUIRED
                if r.required
                else RuleKind.EXEMPT
                if r.pos
                else RuleKind.NOT_REQUIRED
            ),
            payer_id=r.payer.code if r.payer else "",
            plan_id=r.plan.code if r.plan else "",
            product=r.payer_kind,
            state=r.state,
            code=r.code,
            modality=r.modality,
            pos=frozenset({r.pos}) if r.pos else frozenset(),
            reviewer=r.reviewer,
            effective_from=r.effective_from,
            effective_to=r.effective_to,
            source=r.source,
        )
        for r in rows
    ]
    return RequirementRules(found, known)


def crosswalk() -> Crosswalk:
    """The payers' own family pairs. One query; a pair of no payer holds for every payer that
    asks.
    """
    rows = list(CrosswalkRecord.objects.select_related("payer"))
    payers = (
        list(Payer.objects.values_list("code", flat=True))
        if any(r.payer_id is None for r in rows)
        else []
    )
    return Crosswalk(
        CrosswalkRow(
            payer,
            r.authorized,
            r.performed,
            _VERDICT[r.verdict],
            effective_from=r.effective_from,
            effective_to=r.effective_to,
            source=r.source,
        )
        for r in rows
        if r.verdict in _VERDICT
        for payer in ([r.payer.code] if r.payer else payers)
    )


PATIENT_WORDS: Mapping[str, str] = {
    PayerKind.MEDICAID: "The patient may not be billed (42 CFR 447.15)",
    PayerKind.ADVANTAGE: "The patient may not be billed by a network provider (42 CFR 422.504)",
    PayerKind.MEDICARE: (
        "Bill the patient only with a notice signed before the exam (Medicare Claims Processing"
        " Manual, chapter 30, section 50)"
    ),
    PayerKind.WORKERS_COMP: "The injured worker may not be billed",
}
"""Where a missing authorization may fall on the patient, by kind of payer; elsewhere only where
contract and state law allow it.
"""


def windows_of(payer_ids: Iterable[int], *, on: date) -> dict[int, list[AuthWindow]]:
    """The payers' windows after the exam that are in force on a day. One query."""
    found: dict[int, list[AuthWindow]] = {}
    rows = AuthWindow.objects.filter(
        Q(effective_to__isnull=True) | Q(effective_to__gte=on),
        payer_id__in=set(payer_ids),
        effective_from__lte=on,
    )
    for row in rows.order_by("effective_from"):
        found.setdefault(row.payer_id, []).append(row)
    return found


def policy_of(payer: Payer, windows: Iterable[AuthWindow] = ()) -> MatchPolicy:
    """A payer's terms of matching: its dated windows, else its own columns. An unknown retroactive
    window stays unknown.
    """
    policy = MatchPolicy(
        site_match=SiteMatch.TIN if payer.match_site_by_tin else SiteMatch.NPI,
        match_ordering=payer.needs_ordering_match,
        retro_window=None if payer.retro_auth_days is None else Window(payer.retro_auth_days),
        update_window=(
            UPDATE_WINDOW
            if payer.update_window_days is None
            else Window(payer.update_window_days, Unit.BUSINESS_DAYS)
        ),
        peer_to_peer_days=payer.peer_to_peer_days,
        patient_words=PATIENT_WORDS.get(payer.kind, ""),
        source=payer.source or f"row of {payer.name}",
    )
    for row in windows:
        policy = replace(policy, **_term(row), source=row.source or policy.source)
    return policy


def _term(row: AuthWindow) -> dict[str, Any]:
    """One dated window as fields of the policy; zero days stand for a request that is not taken."""
    window = None if row.amount is None else Window(row.amount, Unit(row.unit))
    if row.path == Path.UPDATE:
        kept = window or UPDATE_WINDOW
        return {
            "update_window": kept,
            "update_from": Start(row.starts),
            "update_taken": row.taken,
        }
    name = "new" if row.path == Path.NEW else "retro"
    return {
        f"{name}_window": window if row.taken else Window(0),
        f"{name}_from": Start(row.starts),
    }


def decision_window(payer: Payer, *, urgent: bool, on: date) -> tuple[Window | None, str]:
    """How long the payer may take to decide, and who says so: its own row, else the regulated
    clock, else nobody.
    """
    if payer.auth_decision_hours is not None and not urgent:
        return Window(payer.auth_decision_hours, Unit.HOURS), payer.source or payer.name
    found = [
        r
        for r in regulated_clocks()
        if r.urgency == ("expedited" if urgent else "standard")
        and r.product in ("", payer.kind)
        and (r.effective_from is None or r.effective_from <= on)
        and (r.effective_to is None or on <= r.effective_to)
    ]
    if not found:
        return None, ""
    best = max(found, key=lambda r: (r.product != "", r.effective_from or date.min))
    return best.window, best.source


@cache
def regulated_clocks() -> tuple[DecisionRule, ...]:
    """Regulated decision times shipped with the product (rule `authorization-decision-clock`)."""
    with (
        pathlib.Path(__file__)
        .with_name("data")
        .joinpath("decision_clocks.csv")
        .open(newline="") as handle
    ):
        return tuple(
            DecisionRule(
                rule_id=f"CLOCK-{n}",
                urgency=row["urgency"],
                window=Window(int(row["amount"]), Unit(row["unit"])),
                product=row["product"],
                effective_from=(
                    date.fromisoformat(row["effective_from"]) if row["effective_from"] else None
                ),
                effective_to=(
                    date.fromisoformat(row["effective_to"]) if row["effective_to"] else None
                ),
                source=row["source"],
            )
            for n, row in enumerate(csv.DictReader(handle), start=1)
        )


# --- records to facts -----------------------------------------------------------------------------


def _status(row: Authorization) -> AuthStatus:
    """As the match judges it. A record whose last day has passed stood on the days before: its
    dates decide, not the mark.
    """
    if row.status == Status.EXPIRED and row.effective_to is not None:
        return AuthStatus.APPROVED
    return _STATUS[Status(row.status)]


def _day(row: Authorization, moment: datetime | None) -> date | None:
    return None if moment is None else day_at(row.site, moment)


def authorized_fact(
    row: Authorization,
    services: Sequence[ServiceRow] | None = None,
    reserved: Mapping[int, int] | None = None,
) -> AuthorizedFact:
    """One record as the match sees it. Give `services` when they were prefetched; `reserved` units
    by line count as used.
    """
    lines = row.services.all() if services is None else services
    return AuthorizedFact(
        status=_status(row),
        number=row.number,
        services=tuple(
            AuthorizedService(
                code=s.code,
                units=s.units,
                units_used=s.used + (reserved or {}).get(s.pk, 0),
                laterality=s.laterality,
                approved=s.status in ("approved", "modified"),
                line=str(s.pk),
            )
            for s in sorted(lines, key=lambda s: s.pk)
        ),
        patient_id=str(row.patient_id),
        payer_id=row.payer.code,
        plan_id=row.coverage.plan.code if row.coverage.plan else "",
        member_id=row.member_id,
        effective_from=row.effective_from,
        effective_to=row.effective_to,
        site_npi=row.facility_npi,
        site_tin=row.facility_tin,
        ordering_npi=row.ordering_npi,
        rendering_npi=row.rendering_npi,
        requested_on=_day(row, row.requested_at),
        reference=row.reference,
        decided_on=_day(row, row.decided_at),
        kind=row.kind,
    )


@dataclass(frozen=True, slots=True)
class ExamAsk:
    """One exam to be matched: what was ordered, where and when it is planned or was done.

    `performed_code` blank: not done yet, the planned visit is judged. `exam_id` lets units the exam
    already took count once.
    """

    key: str
    ordered: OrderedExam | None
    patient_id: int
    site: Site
    day: date
    coverage: Coverage | None = None
    performed_code: str = ""
    units: int = 1
    laterality: str = ""
    rendering_npi: str = ""
    ordering_npi: str = ""
    exam_id: int | None = None
    reported_on: date | None = None
    billed: BilledFact | None = None


@dataclass(frozen=True, slots=True)
class Matched:
    """The verdict on one exam with the record and requirement it was judged by."""

    ask: ExamAsk
    result: MatchResult
    requirement: RequirementAnswer
    authorization: Authorization | None
    coverage: Coverage | None

    @property
    def asked_for_it(self) -> bool:
        """The record was asked for this very order line."""
        row, ordered = self.authorization, self.ask.ordered
        if row is None or ordered is None:
            return False
        return any(s.ordered_exam_id == ordered.pk for s in row.services.all())

    @property
    def coverage_gap(self) -> str:
        """Why the coverage does not carry the day of the exam; blank when it does. Whatever was
        authorized under it does not pay then.
        """
        row, day = self.coverage, self.ask.day
        if row is None:
            return ""
        if row.ends_on is not None and row.ends_on < day:
            return f"The coverage of {row.payer.name} ended {row.ends_on:%b %-d, %Y}."
        if row.starts_on is not None and row.starts_on > day:
            return f"The coverage of {row.payer.name} starts {row.starts_on:%b %-d, %Y}."
        if row.status == CoverageStatus.INACTIVE:
            return f"{row.payer.name} says that the coverage is not active."
        return ""


def match_exams(asks: Sequence[ExamAsk], *, at: datetime) -> dict[str, Matched]:
    """Match many exams at a moment, each with the record that carries it furthest and by the day of
    its own site. About ten queries, whatever the number.

    Exams of one call share units in the order they are given: two cannot both take the last one.
    """
    if not asks:
        return {}
    open_asks = [a for a in asks if a.coverage is None]
    chosen = coverages_of_exams([a.ordered for a in open_asks if a.ordered is not None])
    primary = primary_coverages({a.patient_id for a in open_asks if a.ordered is None})
    by_ask = {
        a.key: a.coverage
        or (chosen.get(a.ordered.pk) if a.ordered is not None else primary.get(a.patient_id))
        for a in asks
    }
    known_coverages = [c for c in by_ask.values() if c is not None]
    known = catalog(max(a.day for a in asks))
    rules = requirement_rules(known)
    pairs = crosswalk()
    records = authorizations_of({a.patient_id for a in asks})
    flags = eligibility_flags({c.pk for c in known_coverages})
    heard = heard_of(records)
    windows = windows_of({c.payer_id for c in known_coverages}, on=max(a.day for a in asks))
    clocks = Clocks()
    taken: dict[LineKey, int] = {}
    found: dict[str, Matched] = {}
    for ask in asks:
        coverage = by_ask[ask.key]
        clock = clocks.of(ask.site)
        as_of = clock.today(at)
        context = MatchContext(known, pairs, clock)
        answer = _requirement(rules, ask, coverage, flags, heard)
        base = _request(
            ask, coverage, answer, windows.get(coverage.payer_id, ()) if coverage else ()
        )
        best: tuple[tuple[bool, int], MatchResult, Authorization | None] | None = None
        for candidate in _candidates(ask, records.get(ask.patient_id, ()), coverage, context):
            row = candidate.row
            counted = (
                sum(
                    u.units
                    for s in row.services.all()
                    for u in s.uses.all()
                    if u.exam_id == ask.exam_id
                )
                if ask.exam_id
                else 0
            )
            performed = replace(base.performed, units_counted=counted) if base.performed else None
            result = match_exam(
                replace(
                    base,
                    authorized=authorized_fact(row, candidate.lines, candidate.reserved),
                    performed=performed,
                ),
                context,
                as_of=as_of,
                taken=taken,
            )
            if not _speaks(candidate, result):
                continue
            reach = (result.passes, RULE_ORDER[result.first.rule] if result.first else 99)
            if best is None or reach > best[0]:
                best = (reach, result, row)
        if best is None:
            result, record = match_exam(base, context, as_of=as_of), None
        else:
            _, result, record = best
        if result.passes and result.service is not None and record is not None:
            line = LineKey(
                record.payer.code,
                record.number,
                result.service.code,
                result.service.laterality,
                result.service.line,
            )
            performed = result.request.performed
            counted = bool(
                ask.exam_id and base.performed and performed is not None and performed.units_counted
            )
            taken[line] = taken.get(line, 0) + (0 if counted else ask.units)
        found[ask.key] = Matched(ask, result, answer, record, coverage)
    return found


def authorizations_of(patient_ids: Iterable[int]) -> dict[int, list[Authorization]]:
    """Records of these patients with services and uses, newest first. Three queries."""
    services = ServiceRow.objects.select_related("ordered_exam").prefetch_related("uses")
    rows = (
        Authorization.objects.filter(patient_id__in=list(patient_ids))
        .exclude(status__in=[Status.CANCELLED])
        .select_related("payer", "coverage__plan", "site")
        .prefetch_related(Prefetch("services", queryset=services))
        .order_by("-id")
    )
    found: dict[int, list[Authorization]] = {}
    for row in rows:
        found.setdefault(row.patient_id, []).append(row)
    return found


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A record that may carry an exam, with the lines of it that may. `own`: it was asked for this
    order line, or entered for the patient without an order; then it is judged whatever it lacks.
    """

    row: Authorization
    lines: tuple[ServiceRow, ...]
    reserved: Mapping[int, int]
    own: bool


def _candidates(
    ask: ExamAsk,
    rows: Sequence[Authorization],
    coverage: Coverage | None,
    context: MatchContext,
) -> list[_Candidate]:
    """Records asked for this order line; else those of the patient that name no order; else granted
    ones of the same kind of exam with units left, whichever order they were asked for.

    A draft was not asked yet. A unit that another live order still waits to take is not free.
    """
    live = [r for r in rows if r.status != Status.DRAFT]
    own = [
        _Candidate(r, tuple(r.services.all()), {}, own=True)
        for r in live
        if ask.ordered is not None
        and any(s.ordered_exam_id == ask.ordered.pk for s in r.services.all())
    ]
    granted = [r for r in live if r.status in GRANTED]
    loose = [
        _Candidate(r, tuple(r.services.all()), {}, own=True)
        for r in granted
        if all(s.ordered_exam_id is None for s in r.services.all())
    ]
    if own or coverage is None:
        return own or loose
    code = ask.performed_code or (ask.ordered.code if ask.ordered else "")
    others = [
        _Candidate(r, lines, {s.pk: _reserved(s) for s in lines}, own=False)
        for r in granted
        if r.payer_id == coverage.payer_id
        and not all(s.ordered_exam_id is None for s in r.services.all())
        and (lines := _of_the_kind(r, code, context))
    ]
    return loose + others


def _of_the_kind(row: Authorization, code: str, context: MatchContext) -> tuple[ServiceRow, ...]:
    return tuple(
        s
        for s in row.services.all()
        if s.status in ("approved", "modified")
        and families.relate(
            s.code,
            code,
            context.catalog,
            crosswalk=context.crosswalk,
            payer_id=row.payer.code,
        ).relation
        in families.COVERED
    )


def _reserved(line: ServiceRow) -> int:
    """One unit while the live order that asked for the line has not taken it."""
    exam = line.ordered_exam
    waiting = exam is not None and exam.status in (OrderStatus.OPEN, OrderStatus.SCHEDULED)
    return 1 if waiting and line.used == 0 else 0


def _speaks(candidate: _Candidate, result: MatchResult) -> bool:
    """Whether a record's answer counts. One that was asked for another order speaks when it covers
    the exam, or to say that its units are used up.
    """
    if candidate.own or result.passes:
        return True
    used_up = any(s.used >= s.units for s in candidate.lines)
    return result.code == "AUTH_UNITS_EXCEEDED" and used_up


def eligibility_flags(coverage_ids: Iterable[int]) -> dict[int, EligibilityCheck]:
    """The last active answer of each coverage with its benefits. Two queries."""
    rows = (
        EligibilityCheck.objects.filter(
            coverage_id__in=list(coverage_ids), status=CheckStatus.ACTIVE
        )
        .order_by("coverage_id", "-id")
        .distinct("coverage_id")
        .prefetch_related("benefits")
    )
    return {c.coverage_id: c for c in rows}


def heard_of(
    records: Mapping[int, Sequence[Authorization]],
) -> dict[tuple[int, str], list[Evidence]]:
    """What payers told us by phone, portal or response about a code, by (coverage, code)."""
    found: dict[tuple[int, str], list[Evidence]] = {}
    for rows in records.values():
        for row in rows:
            for item in row.evidence.get("heard", ()):
                found.setdefault((row.coverage_id, item["code"]), []).append(
                    Evidence(
                        EvidenceKind(item["kind"]),
                        Requirement(item["says"]),
                        item["code"],
                        item.get("who", ""),
                        date.fromisoformat(item["on"]) if item.get("on") else None,
                        item.get("reference", ""),
                    )
                )
    return found


def _flag_of(check: EligibilityCheck, ask: ExamAsk, code: str, coverage: Coverage) -> bool | None:
    """The flag of the exam's own service type: that of another exam says nothing about this one."""
    row = procedures([code], ask.day).get(code)
    ordered = ask.ordered.modality if ask.ordered else ""
    modality = row.modality if row else ordered
    table = coverage.payer.service_types
    return exam_benefit(check, modality=modality, code=code, table=table).auth_required


def _requirement(
    rules: RequirementRules,
    ask: ExamAsk,
    coverage: Coverage | None,
    flags: Mapping[int, EligibilityCheck],
    heard: Mapping[tuple[int, str], list[Evidence]],
) -> RequirementAnswer:
    code = ask.performed_code or (ask.ordered.code if ask.ordered else "")
    if coverage is None:
        return RequirementAnswer(
            Requirement.UNKNOWN,
            "No coverage is known: nobody can say whether an authorization is needed.",
        )
    if coverage.payer.kind == PayerKind.SELF_PAY:
        return RequirementAnswer(
            Requirement.NOT_REQUIRED, "Self-pay: no payer to ask.", rule_id="SELF-PAY"
        )
    query = RequirementQuery(
        payer_id=coverage.payer.code,
        code=code,
        service_date=ask.day,
        plan_id=coverage.plan.code if coverage.plan else "",
        product=coverage.plan.kind if coverage.plan else coverage.payer.kind,
        state=ask.site.state,
        pos=ask.site.pos,
        coverage_rank=coverage.rank if coverage.active else 1,
    )
    evidence = list(heard.get((coverage.pk, code), ()))
    check = flags.get(coverage.pk)
    flag = _flag_of(check, ask, code, coverage) if check is not None else None
    if check is not None and flag is not None:
        says = Requirement.REQUIRED if flag else Requirement.NOT_REQUIRED
        on = local_day(check.answered_at, ask.site) if check.answered_at else None
        evidence.append(
            Evidence(EvidenceKind.BENEFIT_271, says, "", coverage.payer.name, on, check.trace)
        )
    return rules.check(query, evidence)


def _request(
    ask: ExamAsk,
    coverage: Coverage | None,
    answer: RequirementAnswer,
    windows: Iterable[AuthWindow] = (),
) -> MatchRequest:
    ordered = ask.ordered
    who: dict[str, Any] = {
        "patient_id": str(ask.patient_id),
        "payer_id": coverage.payer.code if coverage else "",
        "plan_id": coverage.plan.code if coverage and coverage.plan else "",
        "member_id": coverage.member_id if coverage else "",
        "site_npi": ask.site.npi,
        "site_tin": ask.site.organization.tin,
    }
    order_npi = ordered.order.ordering.npi if ordered and ordered.order.ordering else ""
    ordered_fact = None
    if ordered is not None:
        ordered_fact = OrderedFact(
            code=ordered.code,
            laterality=ordered.laterality,
            ordering_npi=order_npi,
            ordered_on=local_day(ordered.order.ordered_at, ask.site),
            planned_for=ask.day,
            rendering_npi=ask.rendering_npi,
            contrast_open=ordered.contrast_open,
            views_open=ordered.views_open,
            **who,
        )
    performed = None
    if ask.performed_code:
        performed = PerformedFact(
            code=ask.performed_code,
            service_date=ask.day,
            units=ask.units,
            laterality=ask.laterality,
            ordering_npi=ask.ordering_npi or order_npi,
            rendering_npi=ask.rendering_npi,
            reported_on=ask.reported_on,
            **who,
        )
    return MatchRequest(
        ordered=ordered_fact,
        performed=performed,
        billed=ask.billed,
        requirement=answer,
        policy=policy_of(coverage.payer, windows) if coverage else MatchPolicy(),
        key=ask.key,
    )
