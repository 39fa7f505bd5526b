"""Facts of the front end as the components draw them: banner, timeline, gates, benefits. Also used
by the phases above.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from intake.clearance import GATE_RULES, GateName
from intake.models import Appointment, Benefit, Coverage, EligibilityCheck, GateOverride, Patient
from intake.services import chart_ids
from rcm.audit.models import Event
from rcm.audit.services import record_access
from rcm.reference.clock import clock_of, day_at
from rcm.web import format as fmt
from rcm.web import parts

STATES = {"ready": parts.READY, "check": parts.CHECK, "stop": parts.STOP}
RANKS = {0: "For one accident", 1: "Primary", 2: "Secondary", 3: "Tertiary"}


def banner(patient: Patient) -> parts.PatientBanner:
    """Who the page is about."""
    alerts = []
    if patient.other_names:
        known = ", ".join(
            f"{n.get('last', '')}, {n.get('first', '')} ({n.get('kind', 'other name')})"
            for n in patient.other_names
        )
        alerts.append(f"Also {known}")
    alerts += [
        f"Look-alike: MRN {x['mrn']} ({x['agrees']}). {x['why']}" for x in patient.look_alikes
    ]
    if patient.deceased_on:
        alerts.append("Deceased")
    if patient.statement_hold:
        alerts.append(f"No statements: {patient.statement_hold}")
    if patient.merged_into_id:
        alerts.append("Merged into another chart")
    return parts.PatientBanner(
        patient.last_name,
        f"{patient.first_name} {patient.middle_name} {patient.suffix}".strip(),
        patient.born_on,
        patient.mrn,
        patient.get_sex_display(),
        reverse("intake:patient", args=[patient.public_id]),
        tuple(alerts),
    )


def timeline(organization_id: int, *, limit: int = 60, **keys: Any) -> list[parts.Event]:
    """Events whose keys match (`patient_id__in=[…]`, `authorization_id=7`), newest first. One
    query.
    """
    rows = Event.objects.filter(organization_id=organization_id, **keys).order_by("-at", "-id")[
        : limit * 2
    ]
    found: list[parts.Event] = []
    last: tuple[Any, ...] = ()
    for e in rows:
        # one step that concerns several exams is told once
        same = (e.at, e.verb, e.sentence)
        if same != last:
            found.append(
                parts.Event(
                    e.at, e.sentence, e.who, kind=e.verb, machine=e.by_machine, detail=e.reason
                )
            )
        last = same
    return found[:limit]


def chart_read(request: HttpRequest, patients: Iterable[Patient], purpose: str) -> None:
    """Log that the reader opened these charts."""
    by_organization: dict[int, set[int]] = {}
    for p in patients:
        by_organization.setdefault(p.organization_id, set()).add(p.pk)
    for organization_id, ids in by_organization.items():
        record_access(
            organization_id=organization_id,
            patient_ids=ids,
            actor=request.actor,  # type: ignore[attr-defined]
            purpose=purpose,
            request_id=str(getattr(request, "request_id", "")),
        )


def patient_timeline(patient: Patient) -> list[parts.Event]:
    return timeline(patient.organization_id, patient_id__in=chart_ids(patient.pk))


def gate_parts(appointment: Appointment) -> list[parts.Gate]:
    """The six words of an appointment's row; before the first computation every gate is to be
    checked.
    """
    page = reverse("intake:appointment", args=[appointment.public_id])
    found = []
    for name in GateName:
        gate = appointment.gates.get(name.value, {})
        state = STATES.get(gate.get("state", "check"), parts.CHECK)
        found.append(
            parts.Gate(
                name.value.capitalize(),
                state,
                gate.get("sentence", "Not computed yet."),
                f"{page}#{name.value}",
                rule=GATE_RULES[name],
            )
        )
    return found


def gate_tag(appointment: Appointment, gate: GateName) -> tuple[str, str]:
    """One gate as a word with its tone, for a cell of the board."""
    kept = appointment.gates.get(gate.value, {})
    state = STATES.get(kept.get("state", "check"), parts.CHECK)
    return ("Overridden" if kept.get("overridden") else state), parts.GATE_TONES[state]


OVERRIDE_ENDS = {
    "date": "ended on its date",
    "changed": "ended: something else stands in the way",
    "cleared": "ended: the gate is ready",
}


def override_state(override: GateOverride) -> str:
    """Whether an override holds, and until when; else how it came to its end."""
    end = getattr(override, "end", None)
    if end is None:
        return f"holds until {override.ends_on:%b %-d}"
    return OVERRIDE_ENDS.get(end.why, "ended")


def first_gate(appointment: Appointment) -> dict[str, Any]:
    """The gate somebody must act on first: the worst, in the order of the board."""
    rows = [
        appointment.gates.get(name.value, {}) | {"name": name.value.capitalize()}
        for name in GateName
    ]
    return next((g for state in ("stop", "check") for g in rows if g.get("state") == state), {})


def local_time(appointment: Appointment) -> str:
    return fmt.clock(clock_of(appointment.site).local(appointment.starts_at).time())


def local_moment(appointment: Appointment) -> str:
    day = day_at(appointment.site, appointment.starts_at)
    return f"{fmt.short_day(day)}, {local_time(appointment)}"


PERIODS = {
    "23": "a year",
    "22": "a year",
    "25": "a contract year",
    "29": "left",
    "27": "a visit",
    "24": "met",
    "32": "lifetime",
}


SERVICE_WORDS = {
    "1": "medical care",
    "2": "surgery",
    "4": "diagnostic x-ray",
    "5": "laboratory",
    "6": "radiation therapy",
    "30": "the plan as a whole",
    "33": "chiropractic",
    "47": "hospital",
    "48": "hospital inpatient",
    "50": "hospital outpatient",
    "62": "MRI and CT",
    "73": "diagnostic medical",
    "86": "emergency",
    "88": "pharmacy",
    "98": "office visit",
    "AL": "vision",
    "MH": "mental health",
    "UC": "urgent care",
}
LEVEL_WORDS = {
    "IND": "individual",
    "FAM": "family",
    "EMP": "employee",
    "ESP": "employee and spouse",
    "ECH": "employee and children",
    "SPC": "spouse and children",
    "SPO": "spouse",
    "CHD": "children",
    "DEP": "dependents",
}


def service_words(code: str) -> str:
    """A service type in words; the code itself only when it has none here."""
    return SERVICE_WORDS.get(code, f"service type {code}")


def _benefit_value(b: Benefit) -> str:
    if b.amount is not None:
        return fmt.money(b.amount)
    if b.percent is not None:
        return f"{b.percent.normalize():f}%"
    return b.quantity


def _benefit_for(b: Benefit) -> str:
    where = {True: "in network", False: "out of network", None: ""}[b.in_network]
    words = [*map(service_words, b.service_types), LEVEL_WORDS.get(b.level, b.level), where]
    return ", ".join(w for w in [f"code {b.procedure}" if b.procedure else "", *words] if w)


AUTH_WORDS = {True: "asks for an authorization", False: "no authorization", None: ""}


def benefit_lines(benefits: Sequence[Benefit]) -> list[dict[str, str]]:
    """Benefits in reading order, each with its own authorization flag; what only repeats "active"
    is left out.
    """
    order = (
        "copay",
        "coinsurance",
        "deductible",
        "out_of_pocket",
        "limitation",
        "other_payer",
        "note",
    )
    lines = []
    for b in sorted(
        benefits,
        key=lambda b: (order.index(b.kind) if b.kind in order else len(order), b.pk),
    ):
        value, flag = _benefit_value(b), AUTH_WORDS[b.authorization]
        who = "; ".join(
            " ".join(p for p in (c["role"], c["name"], fmt.phone(c["phone"])) if p)
            for c in b.contacts
        )
        text = " ".join(p for p in (b.text, who) if p)
        if not (flag or (b.kind in order and (value or text))):
            continue
        lines.append(
            {
                "kind": b.kind.replace("_", " ").capitalize(),
                "value": f"{value} {PERIODS.get(b.period, '')}".strip(),
                "for": _benefit_for(b),
                "text": text,
                "flag": flag,
            }
        )
    return lines


def answer_context(
    coverage: Coverage, check: EligibilityCheck | None, actor: Any
) -> dict[str, Any]:
    """The payer's last answer about a coverage, as the fragment draws it."""
    return {
        "coverage": coverage,
        "check": check,
        "waiting": check is not None and check.status == "waiting",
        "benefits": benefit_lines(list(check.benefits.all())) if check else [],
        "type_words": service_words(check.service_type) if check else "",
        "may_edit": actor.can("patient.edit", coverage),
        "may_run": actor.can("eligibility.run", coverage),
    }
