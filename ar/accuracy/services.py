"""The verbs of an audit: plan and draw, read blind, settle; and what its figures may say."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from ar.accuracy.draw import Candidate, draw
from ar.accuracy.interval import Interval, planned_size, wilson
from ar.models import AuditCase, AuditReading, AuditSample
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_access, record_steps

LONGEST = timedelta(days=366)
MOST_CASES = 2_000


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the checklist: what is looked at, and the step of the thread that answers."""

    code: str
    label: str
    step: str


CHECKLIST: tuple[Item, ...] = (
    Item("code", "Procedure code", "Coding"),
    Item("modifier", "Modifiers", "Coding"),
    Item("units", "Units", "Coding"),
    Item("diagnosis", "Diagnosis", "Coding"),
    Item("order", "Order", "Order entry"),
    Item("site", "Site and place of service", "Charge capture"),
    Item("provider", "Providers", "Charge capture"),
    Item("date", "Date of service", "Charge capture"),
    Item("authorization", "Authorization", "Authorization"),
    Item("coverage", "Coverage", "Registration"),
)
ITEMS = {i.code: i for i in CHECKLIST}
STEPS = tuple(dict.fromkeys(i.step for i in CHECKLIST))

# who coded: the last person that touched the codes before the release; nobody: the machine did
CANDIDATES = """
SELECT x.id, x.public_id, w.user_id, x.modality, x.site_id, coalesce(c.value, 0)
  FROM charges_exam x
  JOIN accounts_site s ON s.id = x.site_id
  JOIN (SELECT exam_id, sum(amount) AS value, min(released_at) AS released
          FROM charges_charge
         WHERE organization_id = %(org)s AND status <> 'void' AND released_at IS NOT NULL
         GROUP BY exam_id) c ON c.exam_id = x.id
  LEFT JOIN LATERAL (
    SELECT e.user_id FROM audit_event e
     WHERE e.exam_id = x.id AND e.actor_kind = 'person' AND e.user_id IS NOT NULL
       AND e.at <= c.released
       AND e.verb IN ('charge.coded', 'charge.diagnoses', 'charge.waived', 'charges.released')
     ORDER BY e.at DESC, e.id DESC LIMIT 1) w ON true
 WHERE x.organization_id = %(org)s
   AND (c.released AT TIME ZONE s.time_zone)::date BETWEEN %(first)s AND %(last)s
"""


def candidates(organization_id: int, first: date, last: date) -> list[Candidate]:
    """Every exam whose charges were released in the period, by the sites' days. One query."""
    with connection.cursor() as cursor:
        cursor.execute(CANDIDATES, {"org": organization_id, "first": first, "last": last})
        return [
            Candidate(pk, str(public_id), coder, modality, site, Decimal(value))
            for pk, public_id, coder, modality, site, value in cursor.fetchall()
        ]


@transaction.atomic
def sample_draw(
    *,
    organization_id: int,
    title: str,
    first: date,
    last: date,
    half_width: Decimal,
    actor: Actor,
    goal: Decimal = Decimal("0.99"),
    at: datetime | None = None,
) -> AuditSample:
    """Plan the size for a wanted interval, make a seed, draw. Refused when the one who draws has
    coded an exam of the period, or when nothing was released in it.
    """
    if organization_id not in actor.organizations:
        raise Refused("There is no such organization.", code="not_found", status=404)
    actor.require("accuracy.plan", organization_id, entire=True)
    at = at or timezone.now()
    if first > last or last - first > LONGEST:
        raise Refused("Choose a period of at most a year.", field="first", code="range")
    if not title.strip():
        raise Refused("Give the sample a name.", field="title", code="missing")
    if not 0 < half_width < Decimal("0.5"):
        raise Refused("The width lies between 0 and 50 percent.", field="half_width", code="range")
    if not Decimal("0.5") <= goal < 1:
        raise Refused("The goal lies between 50 and 100 percent.", field="goal", code="range")
    whole = candidates(organization_id, first, last)
    if not whole:
        raise Refused("Nothing was released in this period.", field="first", code="empty")
    if actor.user_id in {c.coder_id for c in whole if c.coder_id}:
        raise Refused(
            "You coded exams of this period: nobody draws a sample of their own work.",
            code="own_work",
            status=409,
        )
    wanted = min(planned_size(half_width, goal), len(whole), MOST_CASES)
    seed = secrets.token_hex(16)
    chosen = draw(whole, seed=seed, wanted=wanted)
    sample = AuditSample.objects.create(
        organization_id=organization_id,
        title=title.strip()[:120],
        seed=seed,
        first=first,
        last=last,
        population=len(whole),
        size=len(chosen),
        goal=goal,
        half_width=half_width,
        strata=_strata(whole, chosen),
        drawn_at=at,
        actor_name=actor.name,
        user_id=actor.user_id,
    )
    AuditCase.objects.bulk_create(
        [
            AuditCase(
                organization_id=organization_id,
                sample=sample,
                exam_id=c.exam_id,
                position=n,
                coder_id=c.coder_id,
            )
            for n, c in enumerate(chosen, start=1)
        ],
        batch_size=500,
    )
    record_steps(
        [
            Step(
                organization_id,
                "audit.drawn",
                f"Accuracy sample of {len(chosen)} of {len(whole)} exams drawn",
                data={"sample": str(sample.public_id), "seed": seed},
            )
        ],
        actor=actor,
        at=at,
    )
    return sample


def _strata(whole: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[list[object]]:
    """Each stratum: coder, modality, site, value band, population, drawn."""
    counts: dict[tuple[int, str, int, str], list[int]] = {}
    for rows, place in ((whole, 0), (chosen, 1)):
        for c in rows:
            counts.setdefault(c.stratum, [0, 0])[place] += 1
    return [[*stratum, *n] for stratum, n in sorted(counts.items())]


# --- reading --------------------------------------------------------------------------------------


def open_to(actor: Actor, sample: AuditSample) -> QuerySet[AuditCase]:
    """Cases that this person may read now: not their own work, not read by them, and waiting for a
    blind reading or for somebody to settle.
    """
    return (
        AuditCase.objects.filter(sample=sample, decided_at__isnull=True)
        .exclude(coder_id=actor.user_id)
        .exclude(Q(readings__reader_id=actor.user_id))
        .order_by("position")
    )


@transaction.atomic
def case_read(
    *,
    case: AuditCase,
    errors: Iterable[str],
    note: str,
    actor: Actor,
    at: datetime | None = None,
) -> AuditReading:
    """One reading. The first two are blind; when they agree the case is decided, otherwise a third
    person's reading decides it. Nobody reads their own work or the same case twice.
    """
    actor.require("accuracy.read", case)
    at = at or timezone.now()
    if actor.user_id is None:
        raise Refused("Only a person audits.", code="no_person")
    wrong = sorted(set(errors), key=[i.code for i in CHECKLIST].index) if errors else []
    row = AuditCase.objects.select_for_update(of=("self",)).get(pk=case.pk)
    if row.coder_id is not None and row.coder_id == actor.user_id:
        raise Refused("Nobody audits their own work.", code="own_work", status=409)
    before = list(AuditReading.objects.filter(case=row).order_by("number"))
    if any(r.reader_id == actor.user_id for r in before):
        raise Refused("You have read this case already.", code="read", status=409)
    if row.decided_at is not None or len(before) >= 3:
        raise Conflict("This case was decided in the meantime.", code="decided")
    if wrong and not note.strip():
        raise Refused("Say what is wrong and what is right.", field="note", code="missing")
    reading = AuditReading.objects.create(
        organization_id=row.organization_id,
        case=row,
        number=len(before) + 1,
        errors=wrong,
        note=note.strip()[:500],
        reader_id=actor.user_id,
        read_at=at,
    )
    settled = reading.number == 3 or (reading.number == 2 and before[0].errors == wrong)
    if settled:
        row.errors, row.decided_at = wrong, at
        row.save(update_fields=["errors", "decided_at"])
    record_access(
        organization_id=row.organization_id,
        patient_ids=[row.exam.patient_id],
        actor=actor,
        purpose="accuracy audit",
    )
    return reading


# --- results --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """The result of one person, step, site or kind of error."""

    label: str
    found: Interval
    key: int | str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """What a sample says so far: in all, and by person, step and site."""

    whole: Interval
    people: list[Part]
    steps: list[Part]
    sites: list[Part]
    errors: list[tuple[Item, int]]
    undecided: int
    disputed: int


def results(sample: AuditSample, *, people: Mapping[int, str] | None = None) -> Results:
    """The figures of the decided cases. `people` names persons by id; without it they are numbered
    in an order that the seed gives, so that a list shows nobody.
    """
    rows = list(
        AuditCase.objects.filter(sample=sample)
        .select_related("exam__site")
        .prefetch_related("readings")
    )
    decided = [r for r in rows if r.errors is not None]

    def found(some: Sequence[AuditCase], wrong: Iterable[str] | None = None) -> Interval:
        bad = set(ITEMS) if wrong is None else set(wrong)
        return wilson(sum(not bad.intersection(r.errors or ()) for r in some), len(some))

    by_coder: dict[int, list[AuditCase]] = {}
    by_site: dict[str, list[AuditCase]] = {}
    for r in decided:
        by_coder.setdefault(r.coder_id or 0, []).append(r)
        by_site.setdefault(r.exam.site.name, []).append(r)
    return Results(
        whole=found(decided),
        people=_people(by_coder, people, found),
        steps=[
            Part(step, found(decided, (i.code for i in CHECKLIST if i.step == step)))
            for step in STEPS
        ],
        sites=[Part(name, found(some)) for name, some in sorted(by_site.items())],
        errors=[(i, sum(i.code in (r.errors or ()) for r in decided)) for i in CHECKLIST],
        undecided=len(rows) - len(decided),
        disputed=sum(r.errors is None and len(r.readings.all()) == 2 for r in rows),
    )


def _people(
    by_coder: Mapping[int, Sequence[AuditCase]], names: Mapping[int, str] | None, found: object
) -> list[Part]:
    assert callable(found)
    parts = []
    for n, coder in enumerate(sorted(by_coder, key=lambda pk: (-len(by_coder[pk]), pk)), start=1):
        label = "Coded by the machine"
        if coder:
            label = names.get(coder, f"Person {n}") if names is not None else f"Person {n}"
        parts.append(Part(label, found(by_coder[coder]), coder))
    return parts


def training(
    sample: AuditSample, *, coder_id: int | None = None
) -> list[tuple[Item, list[AuditCase]]]:
    """Cases to learn from, by kind of error; of one person when named. A list for teaching: it says
    what was wrong, not who.
    """
    rows = AuditCase.objects.filter(sample=sample, decided_at__isnull=False).exclude(errors=[])
    if coder_id is not None:
        rows = rows.filter(coder_id=coder_id)
    cases = list(rows.select_related("exam").prefetch_related("readings").order_by("position"))
    return [(i, [c for c in cases if i.code in (c.errors or ())]) for i in CHECKLIST]
