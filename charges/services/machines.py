"""Machines that messages name and no record covers: one question for each station, asked of its
site; the answer lets every exam that waits for it go on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, Q, Sum

from charges.assembly import MACHINES
from charges.loading import plain_station
from charges.models import Exam, MachineQuestion, Scanner
from charges.services.writing import update_rows
from rcm.accounts.actor import Actor
from rcm.worklist.services import ItemSpec, close_items, open_items

MACHINE = "machine"
Place = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """One exam whose station no record covers on its day."""

    exam: Exam
    station: str

    @property
    def place(self) -> Place:
        return self.exam.site_id, plain_station(self.station)


def machines_ask(found: Sequence[Unrecorded], *, actor: Actor, at: datetime) -> int:
    """Ask each site once about each station of `found`; returns the number of questions opened.

    A question that stands is refreshed with the dollars that wait for it; one that was answered for
    other days is asked anew.
    """
    firsts: dict[Place, Unrecorded] = {}
    for one in sorted(found, key=lambda u: u.exam.service_date):
        firsts.setdefault(one.place, one)
    if not firsts:
        return 0
    known = _questions(firsts)
    fresh = [
        MachineQuestion(
            organization_id=one.exam.organization_id,
            site_id=one.exam.site_id,
            station=station,
            modality=one.exam.modality,
            first_day=one.exam.service_date,
            asked_at=at,
        )
        for (site, station), one in firsts.items()
        if (site, station) not in known
    ]
    MachineQuestion.objects.bulk_create(fresh, ignore_conflicts=True)
    again = [q for q in known.values() if q.answered_at is not None]
    for question in again:
        question.answered_at = None
    update_rows(again, ["answered_at"])
    rows = _questions(firsts) if fresh else known
    waiting = _waiting(rows)
    specs = [
        _item(question, firsts[place].exam, *waiting.get(place, (0, Decimal(0))), at=at)
        for place, question in rows.items()
    ]
    return open_items(specs, actor=actor, at=at)


def machines_answered(scanner: Scanner, *, actor: Actor, at: datetime) -> int:
    """Close the question that a machine record answers; returns how many closed."""
    rows = MachineQuestion.objects.filter(
        site_id=scanner.site_id, station=plain_station(scanner.station), answered_at__isnull=True
    ).filter(first_day__gte=scanner.effective_from)
    if scanner.effective_to is not None:
        rows = rows.filter(first_day__lte=scanner.effective_to)
    ids = list(rows.values_list("pk", flat=True))
    rows.update(answered_at=at)
    return close_items(MACHINE, ids, actor=actor, at=at, outcome="The machine is recorded")


def _questions(places: Iterable[Place]) -> dict[Place, MachineQuestion]:
    listed = list(places)
    rows = MachineQuestion.objects.select_related("site").filter(
        site_id__in={site for site, _ in listed}, station__in={name for _, name in listed}
    )
    wanted = set(listed)
    return {(q.site_id, q.station): q for q in rows if (q.site_id, q.station) in wanted}


def _waiting(rows: Iterable[Place]) -> dict[Place, tuple[int, Decimal]]:
    """Exams held for these stations and their expected dollars."""
    found: dict[Place, tuple[int, Decimal]] = {}
    sites = {site for site, _ in rows}
    held = Exam.objects.filter(
        Q(holds__contains=[{"code": "MACHINE_UNKNOWN"}]), site_id__in=sites
    ).values("site_id", "station")
    for row in held.annotate(n=Count("pk"), dollars=Sum("expected")).order_by():
        place = (row["site_id"], plain_station(row["station"]))
        count, dollars = found.get(place, (0, Decimal(0)))
        found[place] = (count + row["n"], dollars + (row["dollars"] or Decimal(0)))
    return found


def _item(
    question: MachineQuestion, exam: Exam, count: int, dollars: Decimal, *, at: datetime
) -> ItemSpec:
    waits = f"; {count} exams wait" if count > 1 else ""
    return ItemSpec(
        organization_id=question.organization_id,
        queue=MACHINES,
        subject_type=MACHINE,
        subject_id=question.pk,
        cause="MACHINE_UNKNOWN",
        title=f"What machine is {question.station} at {question.site.name}?{waits}"[:200],
        fix="Enter its record: film, computed radiography, CT dose standard, and from which day.",
        due_at=at + dt.timedelta(days=2),
        dollars=dollars,
        deadline_on=exam.filing_deadline,
        site_id=question.site_id,
        facts={
            "station": question.station,
            "modality": question.modality,
            "dos": question.first_day.isoformat(),
            "count": str(count),
        },
    )
