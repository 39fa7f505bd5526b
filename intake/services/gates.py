"""The gates of appointments: facts in bulk, decided by `intake.clearance`, kept on the appointment
for the board.

A later phase decides its gate with `gate_decide`, and can answer before an appointment exists
through `provide` (the authorization phase does both), so that booking stops on what is already
known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from intake.benefits import news
from intake.clearance import (
    ClearanceFacts,
    CoverageFacts,
    Decision,
    EstimateFacts,
    Gate,
    GateName,
    Override,
    OverrideEnd,
    SettlementFacts,
    State,
    Verb,
    blocking,
    clear,
    override_ends,
    worst,
)
from intake.estimate import good_faith_due
from intake.models import (
    Appointment,
    AppointmentStatus,
    Coverage,
    EligibilityCheck,
    Estimate,
    GateDecision,
    GateOverride,
    GateOverrideEnd,
    Order,
    OrderedExam,
    OrderStatus,
    Patient,
    VisitMoney,
)
from intake.services.chosen import coverage_of_booking, coverages_of_visits
from intake.services.necessity import exam_doubts, signed_exams
from intake.services.network import SiteStanding, visits_standing
from intake.services.orders import orders_gaps, screening_only
from rcm.accounts.actor import Actor
from rcm.accounts.clock import SiteClock, office_day
from rcm.accounts.models import Site
from rcm.accounts.problems import Refused
from rcm.accounts.together import GATES, later
from rcm.audit.services import Step, record_steps
from rcm.pricing.services import list_prices
from rcm.reference.clock import Clocks, clock_of, day_at
from rcm.reference.models import Payer
from rcm.worklist.services import ItemSpec, close_items, open_items

LIVE = (AppointmentStatus.BOOKED, AppointmentStatus.CONFIRMED, AppointmentStatus.ARRIVED)
ELIGIBILITY_QUEUE = "eligibility"


@dataclass(frozen=True, slots=True)
class GateAsk:
    """A visit that does not exist yet: these ordered exams at this site on this day."""

    exams: Sequence[OrderedExam]
    patient: Patient
    site: Site
    day: date


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """One gate of one appointment as a phase decides it."""

    appointment_id: int
    gate: str
    state: str
    sentence: str
    due: date | None = None
    cause: str = ""


Provider = Callable[..., Decision]
_PROVIDERS: dict[GateName, Provider] = {}


def provide(gate: GateName, answer: Provider) -> None:
    """Let a later phase answer a gate before the appointment exists: `answer(ask, *, on) ->
    Decision`, reading only.
    """
    _PROVIDERS[gate] = answer


def local_day(moment: datetime, site: Site) -> date:
    """The calendar day at the site."""
    return day_at(site, moment)


# --- facts ----------------------------------------------------------------------------------------


def _identity_gaps(patient: Patient) -> tuple[str, ...]:
    wanted = (
        ("address", patient.address and patient.city and patient.state and patient.zip),
        ("phone", patient.phone),
        ("sex", patient.sex != "U"),
    )
    return tuple(words for words, given in wanted if not given)


def _coverage_facts(
    coverage: Coverage | None, check: EligibilityCheck | None, day: date, clock: SiteClock
) -> CoverageFacts | None:
    if coverage is None:
        return None
    problem = " ".join(r.get("sentence", "") for r in check.rejection) if check else ""
    return CoverageFacts(
        payer_name=coverage.payer.name,
        status=coverage.status,
        self_pay=coverage.payer.kind == "self_pay",
        verified_on=clock.day_of(coverage.verified_at) if coverage.verified_at else None,
        waiting=bool(check and check.status == "waiting"),
        failed=bool(check and check.status == "failed"),
        problem=problem,
        drift=(
            tuple(c["field"] for c in news(check.changes))
            if check and check.seen_at is None
            else ()
        ),
        covers_day=(coverage.starts_on is None or coverage.starts_on <= day)
        and (coverage.ends_on is None or day <= coverage.ends_on),
    )


def latest_checks(coverage_ids: Sequence[int]) -> dict[int, EligibilityCheck]:
    """The last 270/271 of each coverage. One query."""
    rows = (
        EligibilityCheck.objects.filter(coverage_id__in=coverage_ids)
        .order_by("coverage_id", "-id")
        .distinct("coverage_id")
    )
    return {c.coverage_id: c for c in rows.defer("request", "response")}


def facts_of(appointments: Sequence[Appointment], *, at: datetime) -> dict[int, ClearanceFacts]:
    """Everything clearance asks, for many appointments in about ten queries."""
    ids = [a.pk for a in appointments]
    coverages = coverages_of_visits(appointments)
    checks = latest_checks([c.pk for c in coverages.values()])
    orders_by: dict[int, set[int]] = {}
    for order_id, appointment_id in (
        OrderedExam.objects.filter(appointment_id__in=ids)
        .exclude(status=OrderStatus.CANCELLED)
        .values_list("order_id", "appointment_id")
    ):
        orders_by.setdefault(appointment_id, set()).add(order_id)
    orders = {
        o.pk: o
        for o in Order.objects.filter(
            pk__in={o for s in orders_by.values() for o in s}
        ).select_related("ordering")
    }
    gaps = orders_gaps(list(orders.values()), on=office_day(at))
    necessity = _necessity(appointments, coverages)
    estimates: dict[int, Estimate] = {
        e.appointment_id: e
        for e in Estimate.objects.filter(appointment_id__in=ids)
        .select_related("coverage__payer")
        .order_by("appointment_id", "id")
    }
    decisions: dict[int, dict[str, Decision]] = {}
    for d in GateDecision.objects.filter(appointment_id__in=ids):
        decisions.setdefault(d.appointment_id, {})[d.gate] = Decision(
            State(d.state), d.sentence, d.due_on, d.cause
        )
    standing = standing_overrides(ids)
    network = visits_standing(
        {
            a.pk: (a.site, coverages[a.pk], local_day(a.starts_at, a.site))
            for a in appointments
            if a.pk in coverages
        }
    )
    clocks = Clocks()
    settlements = _settlements(ids)
    found = {}
    for a in appointments:
        clock = clocks.of(a.site)
        day, today = clock.day_of(a.starts_at), clock.today(at)
        coverage = coverages.get(a.pk)
        payer = coverage.payer if coverage else None
        estimate = estimates.get(a.pk)
        booked = clock.day_of(a.created_at)
        found[a.pk] = ClearanceFacts(
            day=day,
            today=today,
            identity_gaps=_identity_gaps(a.patient),
            has_order=bool(orders_by.get(a.pk)) or not _needs_order(a, payer, day),
            order_gaps=tuple(
                g.sentence for o in sorted(orders_by.get(a.pk, ())) if o in gaps for g in gaps[o]
            ),
            necessity_gaps=necessity.get(a.pk, NO_DOUBT).gaps,
            notices=necessity.get(a.pk, NO_DOUBT).notices,
            coverage=_coverage_facts(
                coverage, checks.get(coverage.pk) if coverage else None, day, clock
            ),
            network=network.get(a.pk, SiteStanding()).status,
            network_instead=network.get(a.pk, SiteStanding()).instead,
            estimate=(
                EstimateFacts(
                    estimate.patient_share,
                    estimate.hold,
                    estimate.kind == "gfe",
                    settlements.get(a.pk, ()),
                    _other_coverage(estimate, coverage),
                )
                if estimate
                else None
            ),
            estimate_due=good_faith_due(scheduled_on=min(booked, day), service_on=day, clock=clock),
            decisions=decisions.get(a.pk, {}),
            overrides={
                gate: Override(o.cause, o.ends_on, o.reason, o.actor_name)
                for gate, o in standing.get(a.pk, {}).items()
            },
        )
    return found


@dataclass(frozen=True, slots=True)
class _Necessity:
    """What stands against the exams of one visit, and for which of them a notice is signed."""

    gaps: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


NO_DOUBT = _Necessity()


def _necessity(
    appointments: Sequence[Appointment], coverages: Mapping[int, Coverage]
) -> dict[int, _Necessity]:
    """Medicare's coverage lists against the exams of visits that Medicare pays. A query for each
    day of service and two more.
    """
    days = {
        a.pk: local_day(a.starts_at, a.site)
        for a in appointments
        if a.pk in coverages and coverages[a.pk].payer.kind == "medicare"
    }
    rows = (
        OrderedExam.objects.filter(appointment_id__in=days)
        .exclude(status=OrderStatus.CANCELLED)
        .select_related("order")
        .order_by("id")
    )
    by_day: dict[date, list[OrderedExam]] = {}
    for exam in rows if days else ():
        by_day.setdefault(days[exam.appointment_id or 0], []).append(exam)
    found: dict[int, _Necessity] = {}
    signed = signed_exams(e.pk for exams in by_day.values() for e in exams) if by_day else set()
    for day, exams in by_day.items():
        doubts = exam_doubts(exams, on=day)
        for exam in exams:
            if exam.pk not in doubts:
                continue
            known = found.get(exam.appointment_id or 0, NO_DOUBT)
            if exam.pk in signed:
                known = replace(known, notices=(*known.notices, exam.code))
            else:
                known = replace(known, gaps=(*known.gaps, doubts[exam.pk].sentence))
            found[exam.appointment_id or 0] = known
    return found


def _other_coverage(estimate: Estimate, coverage: Coverage | None) -> str:
    """The policy an estimate was made for, when the visit is paid by another one now."""
    if estimate.coverage is None or coverage is None:
        return ""
    same = estimate.coverage_id == coverage.pk and estimate.member_id == coverage.member_id
    if same:
        return ""
    if estimate.coverage.payer_id != coverage.payer_id:
        return estimate.coverage.payer.name
    return "another member ID"


def _settlements(appointment_ids: Sequence[int]) -> dict[int, tuple[SettlementFacts, ...]]:
    """What settles the patients' shares of visits, in the order in which it came. One query."""
    found: dict[int, tuple[SettlementFacts, ...]] = {}
    rows = VisitMoney.objects.filter(appointment_id__in=appointment_ids, ended_at__isnull=True)
    for row in rows.order_by("id"):
        fact = SettlementFacts(
            row.kind,
            row.amount,
            receipt=row.receipt,
            reason=row.reason,
            promised_on=row.promised_on,
        )
        found[row.appointment_id] = (*found.get(row.appointment_id, ()), fact)
    return found


def standing_overrides(appointment_ids: Sequence[int]) -> dict[int, dict[str, GateOverride]]:
    """The overrides that have not come to their end, by visit and gate. One query."""
    found: dict[int, dict[str, GateOverride]] = {}
    rows = GateOverride.objects.filter(
        appointment_id__in=appointment_ids, end__isnull=True
    ).select_related("appointment")
    for row in rows.order_by("id"):
        found.setdefault(row.appointment_id, {})[row.gate] = row
    return found


def _needs_order(appointment: Appointment, payer: Payer | None, day: date) -> bool:
    """A screening mammogram needs no order where the payer asks for none (rule
    `screening-without-order`);
    everything else does, a diagnostic mammogram too.
    """
    if payer is not None and payer.screening_needs_order:
        return True
    return not screening_only(appointment.scheduled_codes, on=day)


# --- refresh, decide ------------------------------------------------------------------------------


def clearance_refresh(
    appointment_ids: Sequence[int], *, actor: Actor, at: datetime | None = None
) -> int:
    """Compute the gates of live appointments again; write only those that changed. Returns how many
    did.

    Inside `together()` it is done once at the end of the block, for all; use `at_once()` where the
    gates are read next.
    """
    if not appointment_ids or later(_refresh, appointment_ids, turn=GATES, actor=actor, at=at):
        return 0
    return _refresh(appointment_ids, actor=actor, at=at)


@transaction.atomic
def _refresh(appointment_ids: Sequence[int], *, actor: Actor, at: datetime | None = None) -> int:
    at = at or timezone.now()
    rows = list(
        Appointment.objects.filter(pk__in=appointment_ids, status__in=LIVE)
        .select_related("patient", "site")
        .order_by("id")
        .select_for_update(of=("self",))
    )
    facts = facts_of(rows, at=at)
    watched = [pk for pk, f in facts.items() if f.overrides]
    standing = standing_overrides(watched) if watched else {}
    changed: list[Appointment] = []
    over: list[_Ended] = []
    no_coverage: list[ItemSpec] = []
    covered: list[int] = []
    for a in rows:
        gates = clear(facts[a.pk])
        kept = {name.value: gate.as_dict() for name, gate in gates.items()}
        state = worst(gates)
        over += _ended(standing.get(a.pk, {}), facts[a.pk], gates)
        if kept != a.gates or state != a.clearance:
            a.gates, a.clearance = kept, state
            changed.append(a)
        if facts[a.pk].coverage is not None:
            covered.append(a.patient_id)
        else:
            no_coverage.append(_no_coverage_item(a))
    Appointment.objects.bulk_update(changed, ["gates", "clearance"], batch_size=500)
    _write_ends(over, actor=actor, at=at)
    open_items(no_coverage, actor=actor, at=at)
    close_items(
        "patient",
        covered,
        actor=actor,
        at=at,
        outcome="Coverage entered",
        queues=[ELIGIBILITY_QUEUE],
    )
    return len(changed)


@dataclass(frozen=True, slots=True)
class _Ended:
    """An override that no longer holds, and the gate as it stands now."""

    override: GateOverride
    why: OverrideEnd
    gate: Gate
    patient_id: int


ENDS: Mapping[OverrideEnd, str] = {
    OverrideEnd.DATE: "The override ended on its date",
    OverrideEnd.CHANGED: "The override ended: something else stands in the way now",
    OverrideEnd.CLEARED: "The override is no longer needed: the gate is ready",
}


def _ended(
    standing: Mapping[str, GateOverride], facts: ClearanceFacts, gates: Mapping[GateName, Gate]
) -> list[_Ended]:
    found = []
    for name, row in standing.items():
        gate = gates[GateName(name)]
        if gate.overridden:
            continue
        why = override_ends(facts.overrides[name], gate, facts.today)
        if why is not None:
            found.append(_Ended(row, why, gate, row.appointment.patient_id))
    return found


def _write_ends(ended: Sequence[_Ended], *, actor: Actor, at: datetime) -> None:
    GateOverrideEnd.objects.bulk_create(
        [
            GateOverrideEnd(
                organization_id=e.override.organization_id,
                override=e.override,
                why=e.why.value,
                sentence=e.gate.sentence[:200],
                at=at,
            )
            for e in ended
        ],
        ignore_conflicts=True,
    )
    record_steps(
        [
            Step(
                e.override.organization_id,
                "gate.override_ended",
                f"{GateName(e.override.gate).value.capitalize()}: {ENDS[e.why].lower()}",
                {"patient_id": e.patient_id},
                old="overridden",
                new=e.gate.state.value,
                data={"appointment_id": e.override.appointment_id, "gate": e.override.gate},
            )
            for e in ended
        ],
        actor=actor,
        at=at,
    )


def _no_coverage_item(a: Appointment) -> ItemSpec:
    return ItemSpec(
        organization_id=a.organization_id,
        queue=ELIGIBILITY_QUEUE,
        subject_type="patient",
        subject_id=a.patient_id,
        cause="COVERAGE_MISSING",
        title="No coverage on the chart",
        fix="Ask the patient for the card, or choose self-pay.",
        due_at=a.starts_at,
        site_id=a.site_id,
        patient_id=a.patient_id,
        patient_name=a.patient.name,
        facts={"visit": a.starts_at.isoformat(), "modality": a.modality},
    )


def upcoming(patient_ids: Sequence[int], *, at: datetime) -> list[int]:
    """Live appointments of these patients from today on."""
    rows = Appointment.objects.filter(
        patient_id__in=patient_ids,
        status__in=LIVE,
        starts_at__gte=at.replace(hour=0, minute=0, second=0, microsecond=0),
    )
    return list(rows.values_list("id", flat=True))


@transaction.atomic
def gate_decide(answers: Sequence[GateAnswer], *, actor: Actor, at: datetime | None = None) -> int:
    """Write what a phase decides about its gate. An override is judged when the gates are computed
    again: only another cause ends it.

    Returns how many decisions changed; their appointments' gates are computed again.
    """
    at = at or timezone.now()
    latest = {(a.appointment_id, a.gate): a for a in answers}
    known = {
        (d.appointment_id, d.gate): d
        for d in GateDecision.objects.select_for_update().filter(
            appointment_id__in={i for i, _ in latest}, gate__in={g for _, g in latest}
        )
    }
    organizations = dict(
        Appointment.objects.filter(pk__in={i for i, _ in latest}).values_list(
            "id", "organization_id"
        )
    )
    fresh: list[GateDecision] = []
    changed: list[GateDecision] = []
    for key, answer in latest.items():
        if answer.appointment_id not in organizations:
            continue
        row = known.get(key)
        sentence = answer.sentence[:200]
        if row is None:
            row = GateDecision(
                organization_id=organizations[answer.appointment_id],
                appointment_id=answer.appointment_id,
                gate=answer.gate,
            )
            fresh.append(row)
        elif (row.state, row.sentence, row.due_on, row.cause) == (
            answer.state,
            sentence,
            answer.due,
            answer.cause[:300],
        ):
            continue
        else:
            changed.append(row)
        row.state, row.sentence, row.due_on = answer.state, sentence, answer.due
        row.cause, row.at, row.actor_name = answer.cause[:300], at, actor.name
    GateDecision.objects.bulk_create(fresh, batch_size=1000)
    GateDecision.objects.bulk_update(
        changed,
        ["state", "sentence", "due_on", "cause", "actor_name", "at"],
        batch_size=500,
    )
    clearance_refresh(sorted({d.appointment_id for d in [*fresh, *changed]}), actor=actor, at=at)
    return len(fresh) + len(changed)


def dollars_at_risk(appointment_ids: Sequence[int]) -> dict[int, Decimal]:
    """What would not be paid: the last estimate's allowed amount, else the list price of the
    exams.
    """
    found = {i: Decimal("0.00") for i in appointment_ids}
    for estimate in Estimate.objects.filter(
        appointment_id__in=found, allowed__isnull=False
    ).order_by("id"):
        found[estimate.appointment_id] = estimate.allowed or found[estimate.appointment_id]
    bare = [i for i, amount in found.items() if not amount]
    exams = (
        OrderedExam.objects.filter(appointment_id__in=bare)
        .exclude(status=OrderStatus.CANCELLED)
        .values_list(
            "appointment_id",
            "organization_id",
            "code",
            "appointment__starts_at",
            "appointment__site__time_zone",
        )
    )
    by_day: dict[tuple[int, date], list[tuple[int, str]]] = {}
    for appointment_id, organization_id, code, starts, zone in exams:
        day = SiteClock(zone).day_of(starts)
        by_day.setdefault((organization_id, day), []).append((appointment_id, code))
    for (organization_id, day), rows in by_day.items():
        prices = list_prices(organization_id=organization_id, codes={c for _, c in rows}, on=day)
        for appointment_id, code in rows:
            found[appointment_id] += prices.get((code, ""), Decimal("0.00"))
    return found


def gates_of(appointment: Appointment) -> dict[GateName, Gate]:
    """The kept gates of an appointment as facts."""
    return {
        GateName(name): Gate(
            State(g["state"]),
            g["sentence"],
            g.get("owner", ""),
            date.fromisoformat(g["due"]) if g.get("due") else None,
            g.get("overridden", False),
            g.get("cause", ""),
            Decimal(g["amount"]) if g.get("amount") else None,
        )
        for name, g in appointment.gates.items()
    }


def preview(ask: GateAsk, *, at: datetime) -> dict[GateName, Gate]:
    """The gates a visit would have, before it is booked: what the coverage and the other phases
    already say.
    """
    today = local_day(at, ask.site)
    coverage = coverage_of_booking(ask.patient, ask.exams)
    check = latest_checks([coverage.pk]).get(coverage.pk) if coverage else None
    orders = list(
        Order.objects.filter(pk__in={e.order_id for e in ask.exams}).select_related("ordering")
    )
    gaps = orders_gaps(orders, on=office_day(at))
    network = visits_standing({0: (ask.site, coverage, ask.day)}) if coverage else {}
    return clear(
        ClearanceFacts(
            day=ask.day,
            today=today,
            identity_gaps=_identity_gaps(ask.patient),
            has_order=bool(ask.exams),
            order_gaps=tuple(g.sentence for found in gaps.values() for g in found),
            coverage=_coverage_facts(coverage, check, ask.day, clock_of(ask.site)),
            network=network.get(0, SiteStanding()).status,
            network_instead=network.get(0, SiteStanding()).instead,
            decisions={gate.value: answer(ask, on=today) for gate, answer in _PROVIDERS.items()},
        )
    )


def require_open(gates: Mapping[GateName, Gate], verb: Verb, *, dollars: Decimal) -> None:
    """Refuse a verb that a gate stops, with its sentence and the dollars at risk."""
    found = blocking(gates, verb)
    if found:
        words = " ".join(f"{name.value.capitalize()}: {gate.sentence}" for name, gate in found)
        raise Refused(
            words,
            code="gate_stop",
            field=found[0][0].value,
            status=409,
            fix=(
                f"${dollars:,.2f} is at risk. Clear the gate, or override it with a reason if your"
                " role includes that."
            ),
        )
