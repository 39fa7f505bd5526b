"""Who comes when, for what, and what goes wrong: the whole calendar of one organization, drawn from
one seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from rcm.accounts.clock import SiteClock
from rcm.demo.catalogue import BY_CODE, PAIRS, SIDED, STUDIES, Study
from rcm.demo.places import ALL, PLACES, Place

SHARE = {"IMGCTR01": 0.52, "BAYSIDE": 0.48}
SEED = 20260523
SLOW_SITE = "IMGCTR01-TAMPA"
AHEAD_DAYS = 14
CLOSE_DAYS = 9
FAR_DAYS = 60
TODAY_VISITS, AHEAD_VISITS = 40, 60
RECENT_DAYS = 4
NEAR_DAYS = 3  # open days ahead whose visits belong to the newest days
RECENT_FROM = 500_000  # what numbers of the newest days begin with
VISITS_FOR_EXAMS = 0.634
FIRST_F = (
    "Mary",
    "Linda",
    "Susan",
    "Karen",
    "Lisa",
    "Nancy",
    "Betty",
    "Sandra",
    "Ashley",
    "Emily",
    "Donna",
    "Carol",
    "Amanda",
    "Melissa",
    "Laura",
    "Rebecca",
    "Sharon",
    "Cynthia",
    "Amy",
    "Angela",
    "Rosa",
    "Mei",
    "Fatima",
    "Priya",
    "Elena",
)
FIRST_M = (
    "James",
    "Robert",
    "John",
    "Michael",
    "David",
    "William",
    "Richard",
    "Joseph",
    "Thomas",
    "Carlos",
    "Daniel",
    "Matthew",
    "Anthony",
    "Mark",
    "Steven",
    "Paul",
    "Andrew",
    "Joshua",
    "Kenneth",
    "Kevin",
    "Brian",
    "Jose",
    "Wei",
    "Omar",
    "Arjun",
)
LAST = (
    "Anderson",
    "Baker",
    "Carter",
    "Davis",
    "Evans",
    "Foster",
    "Garcia",
    "Harris",
    "Irving",
    "Jackson",
    "Kelly",
    "Lopez",
    "Martin",
    "Nelson",
    "Owens",
    "Parker",
    "Quinn",
    "Rivera",
    "Sanders",
    "Turner",
    "Underwood",
    "Vargas",
    "Walker",
    "Xu",
    "Young",
    "Zimmer",
    "Bennett",
    "Coleman",
    "Diaz",
    "Ellis",
    "Fisher",
    "Griffin",
    "Hughes",
    "Ingram",
    "Jordan",
    "Kim",
    "Lewis",
    "Morgan",
    "Nguyen",
    "Ortiz",
    "Perry",
    "Reed",
    "Stewart",
    "Tran",
    "Vaughn",
    "Watson",
    "Wells",
    "Bishop",
    "Chavez",
    "Dunn",
)
STREETS = (
    "Oak St",
    "Maple Ave",
    "Lake Rd",
    "Hill St",
    "Park Ave",
    "River Rd",
    "Cedar Ln",
    "Sunset Blvd",
    "Grove St",
    "Meadow Dr",
)
MBI_LETTERS = "ACDEFGHJKMNPQRTUVWXY"


@dataclass(slots=True)
class Person:
    """A patient. `policies`: (payer code, member id) by rank."""

    organization: str
    mrn: str
    last: str
    first: str
    born: date
    sex: str
    address: str
    city: str
    state: str
    zip: str
    phone: str
    policies: list[tuple[str, str]] = field(default_factory=list)
    known: bool = False

    @property
    def payer(self) -> str:
        return self.policies[0][0]


@dataclass(slots=True)
class Item:
    """One exam of a visit: as ordered (`study`), as done (`done`), as its report was corrected to
    (`corrected`).
    """

    study: Study
    done: Study
    side: str
    diagnosis: str
    words: str
    placer: str
    filler: str
    accession: str
    study_uid: str
    station: str
    began: datetime
    ended: datetime
    reader: int
    purchased: bool
    report_days: int | None
    preliminary: bool
    corrected: Study | None = None
    mpps: bool = False
    impression: int = 0

    @property
    def dotted(self) -> str:
        return (
            f"{self.diagnosis[:3]}.{self.diagnosis[3:]}"
            if len(self.diagnosis) > 3
            else self.diagnosis
        )


@dataclass(slots=True)
class Visit:
    """One appointment. `fate`: come, missed, cancelled. `ask` False: nobody asks for the
    authorization that it needs.
    """

    place: Place
    person: Person
    number: str
    start: datetime
    booked: datetime
    minutes: int
    items: list[Item]
    fate: str = "come"
    ask: bool = True
    orderer: int = 0
    reader: int = 0
    purchased: bool = False

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.place.zone)

    @property
    def day(self) -> date:
        return SiteClock(self.place.zone).day_of(self.start)


def open_days(first: date, last: date) -> list[date]:
    return [
        d for n in range((last - first).days + 1) if (d := first + timedelta(days=n)).weekday() < 5
    ]


class Draw:
    """Draws the calendar of one organization: its newest days with today and the next ones
    (`recent`), or the months before them with what is booked far ahead. The same seed, size and day
    give the same calendar; the two parts share no patient and no number, so that each can be told
    without the other.
    """

    def __init__(
        self, organization: str, *, today: date, exams: int, months: float, recent: bool
    ) -> None:
        self.organization, self.today, self.recent = organization, today, recent
        self.random = random.Random(f"{SEED}:{organization}{':recent' if recent else ''}")
        self.places = PLACES[organization]
        self.people: dict[str, list[Person]] = {p.code: [] for p in self.places}
        begin = RECENT_FROM if recent else 0
        self.counts = {"mrn": begin, "visit": begin, "exam": begin}
        self.first = today - timedelta(days=round(months * 30.4))
        self.cut = max(self.first, today - timedelta(days=RECENT_DAYS))
        self.scale = exams / 2000
        self.share = SHARE[organization]
        self.visits_done = max(3, round(exams * VISITS_FOR_EXAMS * self.share))

    def calendar(self) -> list[Visit]:
        """All visits, in order of their start."""
        visits = self._newest() if self.recent else self._months()
        return sorted(visits, key=lambda v: (v.start, v.number))

    def _days(self) -> tuple[list[date], list[date]]:
        """The open days before today: those of the months, and the newest."""
        days = open_days(self.first, self.today - timedelta(days=1))
        return [d for d in days if d < self.cut], [d for d in days if d >= self.cut]

    def _months(self) -> list[Visit]:
        days, newest = self._days()
        if not days:
            return self._ahead(slice(NEAR_DAYS, None))
        # a slow start and a busy autumn
        weights = [0.8 + 0.4 * n / max(1, len(days) - 1) for n in range(len(days))]
        count = round(self.visits_done * len(days) / (len(days) + len(newest)))
        visits = [self.visit(day) for day in self.random.choices(days, weights, k=count)]
        return [*visits, *self._ahead(slice(NEAR_DAYS, None))]

    def _newest(self) -> list[Visit]:
        days, newest = self._days()
        done = round(self.visits_done * len(newest) / max(1, len(days) + len(newest)))
        at_most = min(1.0, max(self.scale, 0.1))
        visits = [self.visit(newest[n % len(newest)]) for n in range(done)]
        for _ in range(max(2, round(TODAY_VISITS * self.share * at_most))):
            visits.append(self.visit(self.today))
        return [*visits, *self._ahead(slice(NEAR_DAYS))]

    def _ahead(self, part: slice) -> list[Visit]:
        """Bookings of a part of the open days to come: the nearer, the more."""
        last = self.today + timedelta(days=AHEAD_DAYS)
        days = open_days(self.today + timedelta(days=1), last)
        near = [len(days) - n for n in range(len(days))]
        count = AHEAD_VISITS * self.share * min(1.0, max(self.scale, 0.05))
        count *= sum(near[part]) / max(1, sum(near))
        chosen = self.random.choices(days[part], near[part], k=max(2, round(count)))
        return [self.visit(day, booked_before=self.today) for day in chosen]

    def desk_open(self, day: date) -> bool:
        """Whether the offices work: on every weekday of late, every other one before, and twice a
        week in the first months: nobody's charges wait longer than three days for them.
        """
        age = (self.today - day).days
        if age <= CLOSE_DAYS:
            return day.weekday() < 5
        return day.weekday() in ((0, 2, 4) if age <= FAR_DAYS else (0, 3))

    def _leads(self, day: date) -> tuple[int, ...]:
        """Days between booking and visit of what payers want to hear about first: long enough for
        an answer while the offices open.
        """
        age = (self.today - day).days
        return (
            (2, 3, 4, 5, 6, 7, 9, 12)
            if age <= CLOSE_DAYS
            else (6, 7, 8, 9, 12)
            if age <= FAR_DAYS
            else (9, 10, 12, 14)
        )

    # --- one visit ---

    def visit(self, day: date, booked_before: date | None = None) -> Visit:
        r = self.random
        place = r.choices(self.places, [p.share for p in self.places])[0]
        study = self._study(place)
        person = self._person(place, study)
        studies = [study]
        pair = next(
            (
                BY_CODE[b]
                for a, b in PAIRS
                if a == study.code and BY_CODE[b].modality in place.modalities
            ),
            None,
        )
        if pair is not None and r.random() < 0.74 and pair.sex in ("", study.sex):
            studies.append(pair)
        zone = ZoneInfo(place.zone)
        start = datetime.combine(
            day, time(8 + r.randrange(9), r.choice((0, 15, 30, 45))), zone
        ).astimezone(UTC)
        advanced = any(s.modality in ("MR", "CT", "PET") for s in studies)
        lead = r.choice(self._leads(day)) if advanced else r.choice((0, 0, 0, 1, 2, 5))
        booked_day = day - timedelta(days=lead)
        if booked_before is not None and booked_day > booked_before:
            booked_day = booked_before - timedelta(days=r.randrange(0, 6))
        booked_day = max(booked_day, self.first)
        while booked_day > self.first and not self.desk_open(booked_day):
            booked_day -= timedelta(days=1)
        moment = datetime.combine(booked_day, time(7, 40), zone) + timedelta(
            seconds=37 * self.counts["visit"] % 3600
        )
        booked = min(moment.astimezone(UTC), start - timedelta(minutes=25))
        self.counts["visit"] += 1
        luck = r.random()
        past = day < self.today
        visit = Visit(
            place,
            person,
            f"APT{self.organization[:3]}{self.counts['visit']:06d}",
            start,
            booked,
            sum(s.minutes for s in studies),
            [],
            fate=(
                "missed"
                if past and luck < 0.015
                else "cancelled"
                if luck < 0.03 and past
                else "come"
            ),
            ask=r.random() >= (0.01 if place.code != SLOW_SITE else 0.06),
            orderer=r.randrange(10),
            reader=r.randrange(6),
            purchased=r.random() < 0.06,
        )
        moment = start
        for s in studies:
            visit.items.append(self._item(visit, s, moment))
            moment = visit.items[-1].ended + timedelta(minutes=2)
        return visit

    def _study(self, place: Place) -> Study:
        fits = [s for s in STUDIES if s.modality in place.modalities]
        return self.random.choices(fits, [s.weight for s in fits])[0]

    def _item(self, visit: Visit, study: Study, moment: datetime) -> Item:
        r = self.random
        self.counts["exam"] += 1
        n = self.counts["exam"]
        side = r.choice(study.sides) if study.sides else ""
        diagnosis, words = r.choice(SIDED[study.code][side] if side else study.reasons)
        done = study
        if study.other and r.random() < 0.035:
            done = BY_CODE[study.other]
        age = (self.today - visit.day).days
        lag = r.random()
        # one site's readers are slower: a visitor finds it in the figures by site
        prompt = 0.70 if visit.place.code != SLOW_SITE else 0.45
        report_days: int | None = 0 if lag < prompt else 1
        if lag > (0.98 if visit.place.code != SLOW_SITE else 0.90):
            report_days = r.choice((2, 3, 4))
        if lag > 0.994:
            report_days = None if age < 45 else 101
        corrected = (
            BY_CODE[study.other]
            if done is study and study.other and study.agent and r.random() < 0.03
            else None
        )
        began = moment + timedelta(minutes=5)
        tag = self.organization[:1]
        return Item(
            study,
            done,
            side,
            diagnosis,
            words,
            placer=f"ORD{tag}{n:06d}",
            filler=f"FIL{tag}{n:06d}",
            accession=f"ACC{tag}{visit.day:%y%m%d}{n:05d}",
            study_uid=f"1.2.826.0.1.3680043.8.498.{7 if tag == 'I' else 8}{n:06d}",
            station=f"{visit.place.code.split('-')[1]}{study.modality}1",
            began=began,
            ended=began + timedelta(minutes=study.minutes - 4),
            reader=visit.reader,
            purchased=visit.purchased,
            report_days=report_days,
            preliminary=r.random() < 0.2,
            corrected=corrected,
            mpps=study.modality in ("MR", "CT") and (done is not study or r.random() < 0.35),
            impression=r.randrange(4),
        )

    def _person(self, place: Place, study: Study) -> Person:
        r = self.random
        known = self.people[place.code]
        if known and r.random() < 0.42:
            for candidate in r.sample(known, min(8, len(known))):
                age = (self.today - candidate.born).days // 365
                if (
                    study.sex in ("", candidate.sex)
                    and study.age_min <= age <= study.age_max
                    and not (study.modality == "PET" and candidate.payer == "MCR")
                ):
                    return candidate
        person = self._new_person(place, study)
        known.append(person)
        return person

    def _new_person(self, place: Place, study: Study) -> Person:
        r = self.random
        sex = study.sex or r.choice("FM")
        mix = dict(place.payers)
        if study.modality in ("MG", "PET"):
            mix.pop("KWF", None)
        if study.modality == "PET":
            mix.pop("MCR", None)
        if study.age_max < 70:
            mix.pop("MCR", None)
            mix.pop("GMA", None)
        payer = r.choices(list(mix), list(mix.values()))[0]
        low, high = (
            (65, 90)
            if payer in ("MCR", "GMA")
            else (max(20, study.age_min), min(64, study.age_max))
        )
        born = self.today - timedelta(
            days=r.randrange(low * 365 + 200, max(high, low + 1) * 365 + 300)
        )
        self.counts["mrn"] += 1
        mrn = f"{self.organization[:1]}{100000 + self.counts['mrn']}"
        area = {"IL": "217", "TX": "214", "FL": "813", "CA": "415", "NY": "718"}[place.state]
        person = Person(
            self.organization,
            mrn,
            r.choice(LAST),
            r.choice(FIRST_F if sex == "F" else FIRST_M),
            born,
            sex,
            f"{r.randrange(100, 990)} {r.choice(STREETS)}",
            place.city,
            place.state,
            r.choice(place.home_zips),
            f"{area}555{r.randrange(1000, 9999)}",
        )
        person.policies.append((payer, self._member(payer)))
        if payer == "MCR" and r.random() < 0.55:
            person.policies.append(("ESB", self._member("ESB")))
        return person

    def _member(self, payer: str) -> str:
        """A member id of the payer's shape."""
        r = self.random

        def digits(n: int) -> str:
            return "".join(r.choice("0123456789") for _ in range(n))

        def letters(n: int) -> str:
            return "".join(r.choice(MBI_LETTERS) for _ in range(n))

        shapes: dict[str, Callable[[], str]] = {
            "MCR": lambda: (
                f"{r.choice('123456789')}{letters(1)}{r.choice(MBI_LETTERS)}{digits(1)}{letters(1)}{r.choice(MBI_LETTERS)}{digits(1)}{letters(2)}{digits(2)}"
            ),
            "GMA": lambda: letters(3) + digits(9),
            "PHP": lambda: letters(3) + digits(9),
            "PSM": lambda: digits(9),
            "HCC": lambda: digits(10),
            "LBI": lambda: letters(2) + digits(10),
            "SMB": lambda: digits(11),
            "CFH": lambda: letters(1) + digits(8),
            "ESB": lambda: letters(2) + digits(8),
            "KWF": lambda: f"WC{digits(8)}",
            "SELF": lambda: "",
        }
        return shapes[payer]()


__all__ = ["ALL", "Draw", "Item", "Person", "Visit", "open_days"]
