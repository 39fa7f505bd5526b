"""Building the living demo: master data and the newest days first, so that the pages can be opened;
then the months before them, while people look at it.

    first(Size(exams=2000, months=6), now=now)      # seconds
    grow(Size(exams=2000, months=6), now=now)       # minutes; killed in the middle, it goes on

Each imaging group's calendar is told in a process of its own, day by day. Nothing is inserted as
finished: messages are stored and processed, questions are asked of the payer simulator over real
sockets, claims are filed, acknowledged, paid and denied by it, and people of the demo work what
stops. The same seed gives the same story. Where a story was cut short, the messages in the database
tell its last day; that day is told again, which adds nothing to what it had done.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.models import Max
from django.utils import timezone

from ar.models import KpiSnapshot
from intake.models import Appointment, AppointmentStatus
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.demo import desk, manager, office, people, places
from rcm.demo.days import Center, Post, control_of
from rcm.demo.scenario import AHEAD_DAYS, SHARE, Draw
from rcm.embedded import growth as growing
from rcm.exchange.models import Direction, Interchange
from rcm.exchange.outbox import held
from rcm.exchange.services import asleep
from rcm.simulator.server import serve

Say = Callable[[str], None]
Counts = dict[str, dict[str, int]]
WEEKLY = 0  # Monday
LAST_DAYS = 8
EVE_DAYS = 5  # before the newest days, in which their visits are booked and authorized


@dataclass(frozen=True, slots=True)
class Size:
    """How many exams in how many months."""

    exams: int = 2000
    months: float = 6


@dataclass(frozen=True, slots=True)
class Told:
    """What a story has to say: a line for the terminal, or the share of its days behind it."""

    organization: str
    line: str = ""
    share: float | None = None


Hear = Callable[[Told], None]


@contextmanager
def payers_answer() -> Iterator[str]:
    """The payer simulator on a free port, trusted for the time of the build; yields its address."""
    server = serve("127.0.0.1", 0, one_by_one=True)
    host = f"127.0.0.1:{server.server_address[1]}"
    before = settings.EXCHANGE_TRUSTED_HOSTS, settings.SIMULATOR_URL
    settings.EXCHANGE_TRUSTED_HOSTS, settings.SIMULATOR_URL = [host], f"http://{host}"

    def answer() -> None:
        server.serve_forever(poll_interval=0.05)
        connections.close_all()

    thread = threading.Thread(target=answer, name="payers", daemon=True)
    thread.start()
    try:
        yield f"http://{host}"
    finally:
        settings.EXCHANGE_TRUSTED_HOSTS, settings.SIMULATOR_URL = before
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


def everyone() -> Actor:
    return Actor.system("demo", Organization.objects.values_list("id", flat=True))


def first(
    size: Size,
    *,
    now: datetime,
    say: Say = lambda text: None,
    together: bool = True,
    logins: Path | None = None,
) -> Counts:
    """Organizations, people, prices, and the newest days with today and what is ahead; returns
    counts by organization. `together` tells both groups' days at once in two processes. Raises
    Refused when data exist.
    """
    if Organization.objects.exists():
        raise Refused(
            "There are organizations already: the demo is built into an empty database only.",
            code="not_empty",
            fix="Run “make reset” first.",
        )
    began = time.monotonic()
    world = places.world_make(simulator=places.final_address())
    people.people_make(world.organizations, world.sites)
    people.partner_make(world.organizations["IMGCTR01"])
    if logins is not None:
        people.logins_write(logins)
    say(
        f"Two groups, {len(world.sites)} sites, {len(people.PEOPLE)} people:"
        f" {time.monotonic() - began:.0f} s"
    )
    return _tell(size, now, recent=True, together=together, hear=_spoken(say, began))


def grow(
    size: Size,
    *,
    now: datetime,
    hear: Hear = lambda told: None,
    together: bool = True,
) -> Counts:
    """The months before the newest days, from where they stand in the database."""
    return _tell(size, now, recent=False, together=together, hear=hear)


def build(
    size: Size | None = None,
    *,
    now: datetime | None = None,
    say: Say = lambda text: None,
    together: bool = True,
    logins: Path | None = None,
) -> Counts:
    """The whole demo, one after the other."""
    size, now, began = size or Size(), now or timezone.now(), time.monotonic()
    first(size, now=now, say=say, together=together, logins=logins)
    counts = grow(size, now=now, together=together, hear=_spoken(say, began))
    say(f"{sum(c['exams'] for c in counts.values()):,} exams in {time.monotonic() - began:.0f} s")
    return counts


def _spoken(say: Say, began: float) -> Hear:
    def hear(told: Told) -> None:
        if told.line:
            say(f"{told.organization} {told.line}, {time.monotonic() - began:.0f} s")

    return hear


def _tell(size: Size, now: datetime, *, recent: bool, together: bool, hear: Hear) -> Counts:
    if not together:
        return {code: drive(code, size, now, recent=recent, hear=hear) for code in SHARE}
    connections.close_all()
    context = multiprocessing.get_context("fork")
    with context.Pool(len(SHARE)) as pool:
        lines = context.Manager().Queue()
        results = {
            code: pool.apply_async(_drive_alone, (code, size, now, recent, os.getpid(), lines))
            for code in SHARE
        }
        while not all(r.ready() for r in results.values()) or not lines.empty():
            try:
                hear(lines.get(timeout=0.3))
            except queue.Empty:
                continue
        return {code: result.get() for code, result in results.items()}


def _drive_alone(
    code: str, size: Size, now: datetime, recent: bool, parent: int, lines: Any
) -> dict[str, int]:
    connections.close_all()

    def hear(told: Told) -> None:
        if os.getppid() != parent:
            raise SystemExit("Nobody waits for this story any more.")
        lines.put(told)

    try:
        return drive(code, size, now, recent=recent, hear=hear)
    finally:
        connections.close_all()


def drive(code: str, size: Size, now: datetime, *, recent: bool, hear: Hear) -> dict[str, int]:
    """One group's calendar from its first day to this moment; never two at once."""
    # the objects of a day live as long as the day: looking for cycles all the time costs a tenth of
    # the build
    gc.set_threshold(200_000, 20, 20)
    with payers_answer() as address, asleep(), _alone(code):
        with scope(everyone()):
            world = places.world_load()
            organization = world.organizations[code]
        draw = Draw(
            code, today=office_day(now), exams=size.exams, months=size.months, recent=recent
        )
        center = Center(
            organization,
            world,
            draw.calendar(),
            now=now,
            payer_house=address,
            prefix="R" if recent else "D",
        )
        return Story(center, draw, hear).run()


@contextmanager
def _alone(code: str) -> Iterator[None]:
    """Wait for the process of a killed run to notice that it is alone."""
    while True:
        with held(f"demo:{code}") as mine:
            if mine:
                yield
                return
        time.sleep(1)


class Story:
    """The days of one center, each in the same order: mail, bookings, authorizations, patients,
    reports, charges, claims, money. The newest days are told without the figures, which wait for
    the months before them; those months end with what is booked far ahead.
    """

    def __init__(self, center: Center, draw: Draw, hear: Hear) -> None:
        self.center, self.draw, self.today, self.open = center, draw, draw.today, draw.desk_open
        self.hear = hear
        self.first = draw.cut - timedelta(days=EVE_DAYS) if draw.recent else draw.first
        self.passed: list[date] = []  # days since the offices were open
        self.counts: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[what] += time.monotonic() - began

    def say(self, line: str) -> None:
        self.hear(Told(self.center.organization.code, line=line))

    def run(self) -> dict[str, int]:
        if self.draw.recent:
            self._manager_begins()
        days = (self.today - self.first).days + 1
        begin = self._reached()
        self._remember(begin)
        month = (0, 0)
        for n in range(days):
            day = self.first + timedelta(days=n)
            if day < begin:
                self._skip(day)
                continue
            if not self.draw.recent and (day.year, day.month) != month:
                self.say(f"{day:%B %Y}: {self.center.performed():,} exams so far")
                month = (day.year, day.month)
            self.day(day)
            self.hear(Told(self.center.organization.code, share=(n + 1) / days))
        self._manager_ends()
        self.counts["exams"] = self.center.performed()
        self.counts["failed_messages"] = sum(office.failed(self.center).values())
        return dict(self.counts)

    def _reached(self) -> date:
        """Where to go on. The last day of which a message is stored is told again, since nobody
        knows how much of it was; what has its figures kept is told to the end.
        """
        with scope(self.center.system):
            stored = set(
                Interchange.objects.filter(
                    organization=self.center.organization,
                    direction=Direction.IN,
                    control_number__startswith=f"RIS:{self.center.prefix}",
                ).values_list("control_number", flat=True)
            )
            figures = KpiSnapshot.objects.filter(
                organization=self.center.organization, taken_at__lte=self.center.now
            ).aggregate(last=Max("day"))["last"]
        reached, open_posts = self.first, []
        for n in range((self.today - self.first).days + 1 if stored else 0):
            day = self.first + timedelta(days=n)
            open_posts += [*self.center.front.get(day, ()), *self.center.back.get(day, ())]
            if self._works(day):
                if any(control_of(p) in stored for p in open_posts):
                    reached = day
                open_posts = []
        whole = figures + timedelta(days=1) if figures and not self.draw.recent else reached
        return max(reached, whole)

    def _remember(self, begin: date) -> None:
        """Visits that the desk cancelled before the story was cut short send nothing more."""
        if begin == self.first:
            return
        with scope(self.center.system):
            gone = Appointment.objects.filter(
                organization=self.center.organization, status=AppointmentStatus.CANCELLED
            ).values_list("number", flat=True)
            for number in gone:
                if number in self.center.by_number:
                    self.center.by_number[number].fate = "cancelled"

    def _skip(self, day: date) -> None:
        self.passed.append(day)
        if self._works(day):
            passed, self.passed = self.passed, []
            self._posts(self.center.front, passed)
            self._posts(self.center.back, passed)

    def _works(self, day: date) -> bool:
        return day == self.today or self.open(day)

    def _posts(self, box: dict[date, list[Post]], passed: list[date]) -> list[Post]:
        """What came up to the last of these days."""
        return [p for d in sorted(d for d in box if d <= passed[-1]) for p in box.pop(d)]

    def _manager_begins(self) -> None:
        c = self.center
        boss = c.who("manager")
        with c.acting(boss):
            manager.begin(c.organization, c.staff, self.draw.first)
            manager.tell(c.organization, boss)
            manager.patients(c.organization, boss, self.draw.first, c.clock(self.draw.first, 8))

    def _manager_ends(self) -> None:
        evening = self.center.clock(self.today, 18)
        self.counts["assigned"] = manager.assign(self.center, evening)
        if not self.draw.recent:
            self.counts["audited"] = manager.audit(self.center, self.today, evening)
            self.counts["closed"] = manager.close_days(self.center, self.today, evening)
        self.counts["placed"] = manager.place(self.center, evening)

    def day(self, day: date) -> None:
        """One day. While the offices are closed patients still come and are read: what was sent of
        them is taken in when the offices open.
        """
        c, counts = self.center, self.counts
        self.passed.append(day)
        if not self._works(day):
            return
        passed, self.passed = self.passed, []
        front, back = self._posts(c.front, passed), self._posts(c.back, passed)
        # the newest days have a front desk of their own
        desks = self.draw.recent or day < self.draw.cut
        recent = (self.today - day).days < LAST_DAYS
        morning, noon, evening = c.clock(day, 7, 30), c.clock(day, 12), c.clock(day, 18)
        with self.timed("check-in"):
            for earlier in passed[:-1]:
                counts["arrived"] += desk.let_in(
                    c, c.visits_of(earlier), c.clock(earlier, 18), by_site=False
                )
        with self.timed("mail"):
            if office.mail(c, day, morning):
                c.settle(morning)
                counts["posted_by_hand"] += office.post_waiting(c, morning)
        if front:
            with self.timed("front"):
                counts["messages"] += c.deliver(front)
            with self.timed("front events"):
                c.settle(c.clock(day, 9))
        if day == self.today:
            with self.timed("today"):
                desk.verify_ahead(c, c.clock(day, 9), 2)
                c.settle(c.clock(day, 9))
        ten = c.clock(day, 10)
        with self.timed("authorizations"):
            asked = desk.request_authorizations(c, ten)
            called = desk.follow_authorizations(c, day, ten)
            if asked or called:
                c.settle(ten)
        with self.timed("check-in"):
            if desks and recent and day != self.today:
                desk.estimates(c, c.clock(day, 6), c.clock(day, 20), ten)
                counts["collected"] += desk.collect(c, c.clock(day, 6), ten)
            coming = [v for v in c.visits_of(day) if v.start <= c.now]
            counts["arrived"] += desk.let_in(c, coming, evening, by_site=recent)
        with self.timed("exams"):
            counts["messages"] += c.deliver(c.live(back))
        with self.timed("charges"):
            c.settle(evening)
            if coded := office.code(c, evening):
                counts["coded"] += coded
                c.settle(evening)
        with self.timed("claims"):
            files = office.bill(c, evening)
            if files:
                counts["files"] += files
                c.settle(evening)
        self._week(passed, noon, evening, recent)

    def _week(self, passed: list[date], noon: datetime, evening: datetime, recent: bool) -> None:
        """What has its weekdays: denials, then receivables, then the figures of the week."""
        c, counts, day = self.center, self.counts, passed[-1]
        weekdays = {d.weekday() for d in passed}
        if weekdays & {2, 4} or recent:
            with self.timed("denials"):
                worked = office.deny_back(c, day, noon) + office.hear_appeals(c, day, noon)
                if worked:
                    counts["denials"] += worked
                    c.settle(noon)
        if WEEKLY in weekdays or day == self.today:
            with self.timed("receivables"):
                office.clocks(c, evening)
                counts["given_up"] += office.give_up(c, evening)
                counts["disputed"] += office.dispute(c, evening)
                sent, paid = office.patients(c, day, evening)
                counts["statements"] += sent
                counts["patient_payments"] += paid
                counts["refunds"] += office.refunds(c, evening)
                desk.expire(c, evening)
                c.settle(evening)
        if day == self.today:
            with self.timed("today"):
                ahead = c.clock(day, 7)
                desk.estimates(c, ahead, ahead + timedelta(days=AHEAD_DAYS), evening)
                counts["collected"] += desk.collect(c, ahead, evening)
        if not self.draw.recent:
            with self.timed("figures"):
                self._figures(day, evening, weekdays, recent)

    def _figures(self, day: date, evening: datetime, weekdays: set[int], recent: bool) -> None:
        if day == self.today:
            for back in range(1, LAST_DAYS + 1):
                office.proofs(self.center, day - timedelta(days=back), evening)
        # last: whoever goes on takes a day with figures as told
        if 4 in weekdays or (recent and day.weekday() < 5) or day == self.today:
            office.figures(self.center, day, evening)


# --- what the command does ------------------------------------------------------------------------


def _say(text: str) -> None:
    sys.stdout.write(f"    {text}\n")
    sys.stdout.flush()


def _no_wait_for_the_disk() -> None:
    """A story that is cut short is told again from its last day: its commits need not wait."""
    os.environ.setdefault("PGOPTIONS", "-c synchronous_commit=off")
    connections.close_all()


def main(size: Size, together: bool, state: Path | None) -> None:
    """Everything at once; with `state` the newest days only, and what is needed to grow the
    rest.
    """
    _no_wait_for_the_disk()
    now = timezone.now()
    logins = settings.BASE_DIR / "var" / "demo-logins.txt"
    if state is None:
        build(size, now=now, say=_say, together=together, logins=logins)
        return
    first(size, now=now, say=_say, together=together, logins=logins)
    growing.write(state, growing.Growth(size.exams, size.months, now.isoformat()))


def main_grow(state: Path, together: bool) -> None:
    """Grow what `state` describes, and keep it up to date."""
    _no_wait_for_the_disk()
    os.nice(5)
    # told to stop, the stories' processes must stop too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    growth = growing.read(state)

    def hear(told: Told) -> None:
        nonlocal growth
        if told.share is not None:
            growth = growth.with_share(told.organization, told.share)
            growing.write(state, growth)

    grow(
        Size(growth.exams, growth.months),
        now=datetime.fromisoformat(growth.now),
        hear=hear,
        together=together,
    )
    growing.write(state, replace(growth, finished=True))
