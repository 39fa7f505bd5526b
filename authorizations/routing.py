"""Who decides a request and how one reaches them: phone, portal, hours, where an appeal goes; and what
to say and have ready when one calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from authorizations.models import Authorization, Reviewer
from rcm.accounts.clock import SiteClock, office_day
from rcm.reference.facts import in_force
from rcm.reference.models import Payer


@dataclass(frozen=True, slots=True)
class Desk:
    """A reviewer as one reaches it. `hours` and `open_now` are blank and None when nobody knows."""

    name: str
    phone: str = ""
    fax: str = ""
    portal: str = ""
    hours: str = ""
    open_now: bool | None = None
    opens_next: datetime | None = None
    appeal_address: str = ""
    appeal_fax: str = ""
    peer_phone: str = ""
    source: str = ""


def desks_of(pairs: Iterable[tuple[str, Payer]], *, at: datetime) -> dict[tuple[str, int], Desk]:
    """The desk of each (reviewer name, payer): the payer's own row before the general one; without
    any the payer itself, by its phone. One query.
    """
    wanted = {(name or payer.name, payer.pk): payer for name, payer in pairs}
    rows = Reviewer.objects.filter(in_force(office_day(at)), name__in={n for n, _ in wanted})
    own = {(r.name, r.payer_id): r for r in rows.order_by("effective_from")}
    found = {}
    for (name, payer_id), payer in wanted.items():
        row = own.get((name, payer_id)) or own.get((name, None))
        found[(name, payer_id)] = _desk(row, at) if row else Desk(name, phone=payer.phone)
    return found


def desk_of(row: Authorization, *, at: datetime) -> Desk:
    """The desk of one record."""
    key = (row.reviewer or row.payer.name, row.payer_id)
    return desks_of([(row.reviewer, row.payer)], at=at)[key]


def _desk(row: Reviewer, at: datetime) -> Desk:
    hours, open_now, opens = _hours(row, at)
    return Desk(
        row.name,
        row.phone,
        row.fax,
        row.portal,
        hours,
        open_now,
        opens,
        row.appeal_address,
        row.appeal_fax,
        row.peer_phone or row.phone,
        row.source,
    )


DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _hours(row: Reviewer, at: datetime) -> tuple[str, bool | None, datetime | None]:
    if row.opens is None or row.closes is None:
        return "", None, None
    clock = SiteClock(row.time_zone)
    here = clock.local(at)
    days = sorted(int(d) for d in row.weekdays if d.isdigit() and 1 <= int(d) <= 7)
    words = f"{_span(days)} {row.opens:%-I:%M %p} to {row.closes:%-I:%M %p} {here:%Z}"
    works = here.isoweekday() in days and clock.is_business_day(clock.day_of(at))
    open_now = works and row.opens <= here.time() < row.closes
    if open_now:
        return words, True, None
    day = clock.day_of(at)
    if not works or here.time() >= row.closes:
        day += timedelta(days=1)
        while day.isoweekday() not in days or not clock.is_business_day(day):
            day += timedelta(days=1)
    return words, False, clock.at(day, row.opens.hour, row.opens.minute)


def _span(days: Sequence[int]) -> str:
    """ "Mon to Fri" for days in a row, else each by name."""
    names = [DAYS[d - 1] for d in days]
    in_a_row = len(days) > 2 and days == list(range(days[0], days[-1] + 1))
    return f"{names[0]} to {names[-1]}" if in_a_row else ", ".join(names)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to say, or one paper to have ready."""

    label: str
    value: str
    missing: bool = False


def script(row: Authorization) -> list[Line]:
    """What to say on the phone, in the order reviewers ask for it; what the record lacks is marked,
    so that it is found before the call.
    """
    exams = [s.ordered_exam for s in row.services.all() if s.ordered_exam]
    order = exams[0].order if exams else None
    provider = order.ordering if order else None
    codes = ", ".join(
        " ".join(w for w in (s.code, s.laterality, f"x{s.units}" if s.units > 1 else "") if w)
        for s in row.services.all()
    )
    said = [
        ("Patient", row.patient.name),
        ("Birth date", f"{row.patient.born_on:%m/%d/%Y}"),
        ("Member ID", row.member_id),
        ("Plan", row.coverage.plan.name if row.coverage.plan else row.payer.name),
        ("Exams", codes),
        ("Diagnoses", ", ".join(row.diagnoses)),
        ("Clinical reason", order.indication if order else ""),
        ("Ordering physician", f"{provider}, NPI {provider.npi}" if provider else ""),
        ("Site", f"{row.site.name}, NPI {row.facility_npi}, TIN {row.facility_tin}"),
        ("Day of the exam", _visit(row)),
    ]
    return [Line(label, value or "not on the record", not value) for label, value in said]


def _visit(row: Authorization) -> str:
    if row.appointment is None:
        return "not booked yet"
    local = SiteClock(row.site.time_zone).local(row.appointment.starts_at)
    return f"{local:%A, %b %-d, %Y at %-I:%M %p}"


PACKET = (
    "The signed order",
    "Clinical notes of the last visit about this complaint",
    "Earlier imaging reports of the same region",
    "What was tried before: therapy, medication, for how long",
    "Results that the reviewer's rules ask for (labs, scores)",
)
"""Papers that imaging reviewers commonly ask for; the reviewer's own list counts."""
