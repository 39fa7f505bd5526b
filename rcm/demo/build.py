"""Building the living demo: master data, then each imaging group's calendar in a process of its
own, day by day up to this moment.

    build(exams=2000, months=6)

Nothing is inserted as finished: messages are stored and processed, questions are asked of the payer
simulator over real sockets, claims are filed, acknowledged, paid and denied by it, and people of
the demo work what stops. The same seed gives the same story.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import connections
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.demo import desk, manager, office, people, places
from rcm.demo.days import Center
from rcm.demo.scenario import AHEAD_DAYS, SHARE, Draw
from rcm.exchange.services import asleep
from rcm.simulator.server import serve

Say = Callable[[str], None]
WEEKLY = 0  # Monday
LAST_DAYS = 8


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


def build(
    *,
    exams: int = 2000,
    months: float = 6,
    now: datetime | None = None,
    say: Say = lambda text: None,
    together: bool = True,
    logins: Path | None = None,
) -> dict[str, dict[str, int]]:
    """Make the demo; returns counts by organization. `together` drives both groups at once in two
    processes. Raises Refused when data exist.
    """
    if Organization.objects.exists():
        raise Refused(
            "There are organizations already: the demo is built into an empty database only.",
            code="not_empty",
            fix="Run “make reset” first.",
        )
    now = now or timezone.now()
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
    counts: dict[str, dict[str, int]] = {}
    jobs = [(code, exams, months, now) for code in SHARE]
    if together:
        connections.close_all()
        context = multiprocessing.get_context("fork")
        with context.Pool(len(jobs)) as pool:
            lines = context.Manager().Queue()
            results = [pool.apply_async(_drive_alone, (*job, lines)) for job in jobs]
            _listen(results, lines, say, began)
            for (code, *_), result in zip(jobs, results, strict=True):
                counts[code] = result.get()
    else:
        for code, *rest in jobs:
            counts[code] = drive(
                code,
                *rest,  # type: ignore[arg-type]
                say=lambda text: say(f"{text}, {time.monotonic() - began:.0f} s"),
            )
    say(f"{sum(c['exams'] for c in counts.values()):,} exams in {time.monotonic() - began:.0f} s")
    return counts


def _listen(results: list, lines: object, say: Say, began: float) -> None:
    import queue

    while not all(r.ready() for r in results):
        try:
            say(f"{lines.get(timeout=0.3)}, {time.monotonic() - began:.0f} s")  # type: ignore[attr-defined]
        except queue.Empty:
            continue


def _drive_alone(
    code: str, exams: int, months: float, now: datetime, lines: object
) -> dict[str, int]:
    connections.close_all()
    try:
        return drive(code, exams, months, now, say=lines.put)  # type: ignore[attr-defined]
    finally:
        connections.close_all()


def drive(code: str, exams: int, months: float, now: datetime, *, say: Say) -> dict[str, int]:
    """One group's calendar from its first day to this moment."""
    # the objects of a day live as long as the day: looking for cycles all the time costs a tenth of
    # the build
    gc.set_threshold(200_000, 20, 20)
    with payers_answer() as address, asleep():
        with scope(everyone()):
            world = places.world_load()
            organization = world.organizations[code]
        today = office_day(now)
        draw = Draw(code, today=today, exams=exams, months=months)
        center = Center(organization, world, draw.calendar(), now=now, payer_house=address)
        return Story(center, draw, say).run()


class Story:
    """The days of one center, each in the same order: mail, bookings, authorizations, patients,
    reports, charges, claims, money.
    """

    def __init__(self, center: Center, draw: Draw, say: Say) -> None:
        self.center, self.first, self.today, self.open, self.say = (
            center,
            draw.first,
            draw.today,
            draw.desk_open,
            say,
        )
        self.passed: list[date] = []  # days since the offices were open
        self.counts: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[what] += time.monotonic() - began

    def run(self) -> dict[str, int]:
        self._manager_begins()
        months: set[tuple[int, int]] = set()
        for n in range((self.today - self.first).days + 1):
            day = self.first + timedelta(days=n)
            if (day.year, day.month) not in months:
                if months:
                    self.say(
                        f"{self.center.organization.code} {day:%B %Y}: {self.center.performed():,}"
                        " exams so far"
                    )
                months.add((day.year, day.month))
            self.day(day)
        self.counts["assigned"] = manager.assign(self.center, self.center.clock(self.today, 18))
        self.counts["audited"] = manager.audit(
            self.center, self.today, self.center.clock(self.today, 18)
        )
        self.counts["exams"] = self.center.performed()
        self.counts["failed_messages"] = sum(office.failed(self.center).values())
        return dict(self.counts)

    def _manager_begins(self) -> None:
        c = self.center
        boss = c.who("manager")
        with c.acting(boss):
            manager.begin(c.organization, c.staff, self.first)
            manager.tell(c.organization, boss)

    def day(self, day: date) -> None:
        """One day. While the offices are closed patients still come and are read: what was sent of
        them is taken in when the offices open.
        """
        c, counts = self.center, self.counts
        work = day == self.today or self.open(day)
        self.passed.append(day)
        if not work:
            return
        passed, self.passed = self.passed, []
        front = [p for d in passed for p in c.front.pop(d, [])]
        back = [p for d in passed for p in c.back.pop(d, [])]
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
            if recent and day != self.today:
                desk.estimates(c, c.clock(day, 6), c.clock(day, 20), 0.97, ten)
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
        if 4 in weekdays or (recent and day.weekday() < 5):
            with self.timed("figures"):
                office.figures(c, day, evening)
        if day == self.today:
            with self.timed("today"):
                ahead = c.clock(day, 7)
                desk.estimates(c, ahead, ahead + timedelta(days=AHEAD_DAYS), 0.97, evening)
                counts["collected"] += desk.collect(c, ahead, evening)
                for back in range(1, LAST_DAYS + 1):
                    office.proofs(c, day - timedelta(days=back), evening)


def main(exams: int, months: float, together: bool) -> None:
    """The command's work: progress to the terminal, logins for the launcher."""
    # a demo whose making is cut short is made anew, so its commits need not wait for the disk
    os.environ.setdefault("PGOPTIONS", "-c synchronous_commit=off")
    connections.close_all()

    def say(text: str) -> None:
        sys.stdout.write(f"    {text}\n")
        sys.stdout.flush()

    build(
        exams=exams,
        months=months,
        say=say,
        together=together,
        logins=settings.BASE_DIR / "var" / "demo-logins.txt",
    )
