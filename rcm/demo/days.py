"""One imaging group, day by day: its systems send messages, its people work, the payers answer.
Everything goes through the services.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction

from charges.models import Exam
from rcm.accounts.actor import Actor
from rcm.accounts.clock import SiteClock
from rcm.accounts.models import Organization, User
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.accounts.together import together
from rcm.demo.catalogue import sections
from rcm.demo.messages import Writer, step_begun, step_ended
from rcm.demo.people import PEOPLE
from rcm.demo.places import World
from rcm.demo.scenario import SEED, Item, Visit
from rcm.exchange import dicom
from rcm.exchange.models import Connection, ConnectionKind
from rcm.exchange.services import Incoming, drain, process, store_inbound_many
from rcm.reference.models import Provider

IMPLICIT = "1.2.840.10008.1.2"


@dataclass(frozen=True, slots=True)
class Post:
    """One message on its way: when, what, about whom. `number` is its control number."""

    at: datetime
    kind: str
    make: Callable[[], bytes]
    key: str
    name: str = ""
    control: str = ""
    visit: str = ""
    number: str = ""


def control_of(post: Post) -> str:
    """What a message is known by once it is stored."""
    return post.control if post.kind == "MPPS" else f"RIS:{post.number}"


class Center:
    """The calendar of one organization. `now` is the moment at which the demo ends: nothing happens
    after it.
    """

    def __init__(
        self,
        organization: Organization,
        world: World,
        visits: list[Visit],
        *,
        now: datetime,
        payer_house: str,
        prefix: str = "D",
    ) -> None:
        self.organization, self.world, self.visits, self.now, self.payer_house = (
            organization,
            world,
            visits,
            now,
            payer_house,
        )
        self.system = Actor.system("interface", [organization.pk])
        self.random = random.Random(f"{SEED}:{organization.code}:days")
        self.staff = self._staff()
        self.by_number = {v.number: v for v in visits}
        self.writer, self.prefix, self.planned = Writer(organization.code), prefix, 0
        with scope(self.system):
            rows = list(Connection.objects.filter(organization=organization))
        self.lines = {c.kind: c for c in rows}
        self.mailboxes = [c for c in rows if c.config.get("mailbox")]
        self.by_day: dict[date, list[Visit]] = defaultdict(list)
        self.front: dict[date, list[Post]] = defaultdict(list)
        self.back: dict[date, list[Post]] = defaultdict(list)
        for visit in visits:
            self.by_day[visit.day].append(visit)
            self._plan(visit)

    # --- who works --------------------------------------------------------------------------------

    def _staff(self) -> dict[str, list[Actor]]:
        found: dict[str, list[Actor]] = defaultdict(list)
        users = {u.email: u for u in User.objects.all()}
        for p in PEOPLE:
            if p.organizations in ((), (self.organization.code,)):
                actor = users[p.email].actor()
                found[p.site or p.role].append(actor)
                if p.site:
                    found[p.role].append(actor)
        return found

    def who(self, role: str) -> Actor:
        return self.random.choice(self.staff[role])

    @contextmanager
    def acting(self, actor: Actor) -> Iterator[Actor]:
        """A person or machine at work: one transaction in its scope, what it refreshes once at the
        end.
        """
        with scope(actor), together():
            yield actor

    @contextmanager
    def trying(self) -> Iterator[None]:
        """One attempt among others of a block: what is refused leaves no trace, and the next goes
        on.
        """
        with together() as noted:
            place = noted.mark()
            try:
                with transaction.atomic():
                    yield
            except (Refused, Conflict):
                noted.forget_since(place)

    # --- what is sent -----------------------------------------------------------------------------

    def _plan(self, visit: Visit) -> None:
        key = f"MRN:{visit.person.mrn}"
        orderer = self.world.orderers[visit.orderer]
        booked = visit.booked
        if not visit.person.known:
            visit.person.known = True
            self._front(Post(booked, "ADT", lambda: self.writer.register(visit, booked), key))
        ordered = booked + timedelta(minutes=2)
        self._front(Post(ordered, "ORM", lambda: self.writer.order(visit, ordered, orderer), key))
        at = booked + timedelta(minutes=6)
        self._front(Post(at, "SIU", lambda: self.writer.schedule(visit, at), key))
        if visit.fate != "come":
            event, when = (
                ("S26", visit.start + timedelta(hours=1))
                if visit.fate == "missed"
                else ("S15", visit.start - timedelta(hours=3))
            )
            when = max(when, at + timedelta(minutes=3))
            self._back(
                Post(
                    when,
                    "SIU",
                    lambda: self.writer.schedule(visit, when, event=event, reason="Patient called"),
                    key,
                ),
                visit,
            )
            return
        for item in visit.items:
            self._plan_item(visit, item, key)

    def _plan_item(self, visit: Visit, item: Item, key: str) -> None:
        reader = self._reader(visit, item)
        if item.mpps:
            uid = f"{item.study_uid}.9"
            self._back(
                Post(item.began, "MPPS", lambda: step_begun(visit, item), key, "N-CREATE", uid),
                visit,
            )
            self._back(
                Post(item.ended, "MPPS", lambda: step_ended(visit, item), key, "N-SET", uid), visit
            )
        if item.done.addon or item.done.tracer:
            sent = item.ended + timedelta(minutes=3)
            self._back(
                Post(sent, "DFT", lambda: self.writer.charge(visit, item, sent, reader), key), visit
            )
        if item.preliminary or item.report_days is None or item.report_days > 1:
            early = item.ended + timedelta(minutes=20)
            words = [("IMP", "PRELIMINARY - not for billing")]
            self._back(
                Post(
                    early,
                    "ORU",
                    lambda: self.writer.report(visit, item, early, reader, "P", words),
                    key,
                ),
                visit,
            )
        if item.report_days is None:
            return
        final = (
            item.ended + timedelta(hours=2)
            if item.report_days == 0
            else item.ended + timedelta(days=item.report_days)
        )
        weekday = final.astimezone(visit.zone).weekday()
        final += timedelta(days=7 - weekday if weekday > 4 else 0)
        technique = ""
        if item.done is not item.study and item.done.code == item.study.other:
            technique = item.done.technique
        text = sections(
            item.done,
            side=item.side,
            reason=item.words,
            impression=item.impression,
            technique=technique,
        )
        text.append(
            (
                "SIG",
                (
                    f"Electronically signed by {reader.first_name} {reader.last_name} MD"
                    f" {final.astimezone(visit.zone):%Y-%m-%d %H:%M}"
                ),
            )
        )
        self._back(
            Post(
                final, "ORU", lambda: self.writer.report(visit, item, final, reader, "F", text), key
            ),
            visit,
        )
        if item.corrected is not None:
            fixed = final + timedelta(days=7)
            change = "CORRECTION: contrast was not given; examination was without contrast."
            addendum = [
                ("ADD", change),
                (
                    "SIG",
                    (
                        f"Electronically signed by {reader.first_name} {reader.last_name} MD"
                        f" {fixed.astimezone(visit.zone):%Y-%m-%d %H:%M}"
                    ),
                ),
            ]
            self._back(
                Post(
                    fixed,
                    "ORU",
                    lambda: self.writer.report(visit, item, fixed, reader, "C", addendum),
                    key,
                ),
                visit,
            )

    def _reader(self, visit: Visit, item: Item) -> Provider:
        bought = self.world.readers.get(f"{visit.place.code}:purchased", [])
        if item.purchased and bought and visit.place.pos == "11":
            return bought[item.reader % len(bought)]
        own = self.world.readers[visit.place.code]
        return own[item.reader % len(own)]

    def _front(self, post: Post) -> None:
        self.front[self.local(post.at)].append(self._numbered(post))

    def _back(self, post: Post, visit: Visit) -> None:
        post = self._numbered(replace(post, visit=visit.number))
        self.back[max(self.local(post.at), visit.day)].append(post)

    def _numbered(self, post: Post) -> Post:
        """Numbers go by the plan, so that who tells the story again sends the same bytes."""
        self.planned += 1
        return replace(post, number=f"{self.prefix}{self.planned:06d}")

    def performed(self) -> int:
        """Exams known so far."""
        with scope(self.system):
            return Exam.objects.filter(organization=self.organization).count()

    # --- clock ------------------------------------------------------------------------------------

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.visits[0].place.zone) if self.visits else ZoneInfo("America/Chicago")

    def local(self, at: datetime) -> date:
        return SiteClock(str(self.zone)).day_of(at)

    def clock(self, day: date, hour: int, minute: int = 0) -> datetime:
        """A moment of the day, never after the end of the demo."""
        return min(datetime.combine(day, time(hour, minute), self.zone).astimezone(UTC), self.now)

    def visits_of(self, day: date) -> list[Visit]:
        return self.by_day.get(day, [])

    def live(self, posts: Iterable[Post]) -> list[Post]:
        """What is still sent of a visit: nothing of the exams of one that was cancelled at the
        desk.
        """
        return [p for p in posts if p.kind == "SIU" or self.by_number[p.visit].fate == "come"]

    # --- messages ---------------------------------------------------------------------------------

    def deliver(self, posts: Iterable[Post]) -> int:
        """Store and process messages in the order of their time, as the listeners and workers
        do.
        """
        waiting = [p for p in sorted(posts, key=lambda p: p.at) if p.at <= self.now]
        if not waiting:
            return 0
        with scope(self.system):
            ids = store_inbound_many(
                organization_id=self.organization.pk,
                messages=[self._incoming(p) for p in waiting],
                actor=self.system,
            )
        return process(ids, actor=self.system, at=waiting[-1].at)

    def _incoming(self, post: Post) -> Incoming:
        self.writer.control = post.number
        content, control, name = post.make(), post.control, post.name
        if post.kind == "MPPS":
            line, media = self.lines[ConnectionKind.DICOM], "application/dicom"
            content = dicom.wrap(
                content,
                operation=name,
                sop_instance_uid=control,
                transfer_syntax=IMPLICIT,
                calling_ae=line.sender,
            )
        else:
            line, media, control = (
                self.lines[ConnectionKind.MLLP],
                "application/hl7-v2",
                control_of(post),
            )
        return Incoming(post.kind, content, line, name, media, control, post.key, post.at)

    def settle(self, at: datetime) -> int:
        """Let everything that waits be done: events, questions to payers, their answers."""
        return drain([self.organization.pk], at=at)
