"""A claim waits until its reader is enrolled, is released by itself when the span is opened, and is
stopped again when it ends.
"""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse

from charges.models import Reader
from claims import events
from claims.models import Claim
from claims.services import claims_scrub, claims_submit
from rcm.accounts.scope import scope
from rcm.audit.models import Event as Told
from rcm.exchange.models import Outbox
from rcm.exchange.outbox import Event
from rcm.network import services
from rcm.network.models import NetworkSpan
from rcm.network.services import Cell
from rcm.network.spans import Piece
from rcm.reference.models import Payer, Provider
from tests.claims.house import NOW, READER, blocks, ready
from tests.network.house import JAN

pytestmark = pytest.mark.django_db
DOS = dt.date(2026, 9, 8)
LATER = NOW + dt.timedelta(days=20)
AUGUST = dt.date(2026, 8, 31)


class Office:
    """One clean claim of PHP, read by Rita, and the spans of billing organization and reader."""

    def __init__(self, house) -> None:
        self.house, self.cast = house, house.cast
        self.payer = Payer.objects.get(code="PHP")
        self.claim = ready(house)
        rita = Provider.objects.get(npi=READER)
        group = Reader.objects.first().group
        Reader.objects.create(
            organization=self.cast.a, group=group, provider=rita, credentialed_from=JAN
        )
        self.rita = Cell("reader", None, READER, self.payer.pk)
        self.billing = Cell("organization", None, self.cast.a.npi, self.payer.pk)

    def open(self, cell, status="in", first=JAN, last=None, at=NOW) -> None:
        services.span_open(
            organization=self.cast.a,
            cell=cell,
            piece=Piece(status, first, last),
            actor=self.cast.actor("mia"),
            at=at,
        )

    def deliver(self, at=LATER) -> None:
        """What the outbox does: the events of the network reach claims."""
        rows = Outbox.objects.filter(topic="network.changed").order_by("id")
        told = [Event(r.pk, r.topic, r.organization_id, r.payload) for r in rows]
        events.on_network(told, actor=self.cast.system, at=at)
        rows.delete()

    def scrub(self) -> list[str]:
        claims_scrub(claim_ids=[self.claim.pk], actor=self.house.actor, at=NOW)
        return blocks(self.claim)

    @property
    def status(self) -> str:
        return str(Claim.objects.get(pk=self.claim.pk).status)

    def history(self) -> list[str]:
        rows = Told.objects.filter(claim_id=self.claim.pk).order_by("id")
        return [f"{e.verb} {e.sentence}" for e in rows]


@pytest.fixture
def office(billing) -> Office:
    return Office(billing)


def test_an_organization_that_keeps_no_enrollment_is_only_told(office):
    assert office.scrub() == []
    assert office.status == "ready"


@pytest.mark.parametrize(
    ("status", "first", "last", "edits"),
    [
        ("in", JAN, None, []),
        ("out", JAN, None, []),
        ("pending", JAN, None, ["ENR-002"]),
        ("none", JAN, None, ["ENR-002"]),
        ("in", JAN, AUGUST, ["ENR-002"]),
        ("in", DOS, DOS, []),
        ("in", dt.date(2026, 9, 9), None, ["ENR-002"]),
    ],
)
def test_the_dated_spans_of_the_reader_decide(office, status, first, last, edits):
    office.open(office.billing)
    office.open(office.rita, status, first, last)
    assert office.scrub() == edits


def test_a_span_of_the_day_releases_the_claim_by_itself_and_says_so(office):
    office.open(office.billing)
    office.open(office.rita, "pending")
    assert office.scrub() == ["ENR-002"]
    sentence = office.claim.findings.get(edit="ENR-002").sentence
    assert "still pending on 2026-09-08" in sentence
    Outbox.objects.filter(topic="network.changed").delete()

    office.open(office.rita, "in", dt.date(2026, 9, 1), at=LATER)
    office.deliver()

    assert office.status == "ready"
    released = [h for h in office.history() if h.startswith("claim.enrolled")]
    assert released == [
        f"claim.enrolled The enrollment with {office.payer.name} it waited for covers 09/08/2026"
        " now: released for scrubbing"
    ]


def test_an_event_that_comes_twice_releases_once(office):
    office.open(office.billing)
    office.open(office.rita, "pending")
    office.scrub()
    office.open(office.rita, "in", at=LATER)
    told = Event(1, "network.changed", office.cast.a.pk, Outbox.objects.last().payload)
    events.on_network([told], actor=office.cast.system, at=LATER)
    events.on_network([told], actor=office.cast.system, at=LATER)
    assert sum(h.startswith("claim.enrolled") for h in office.history()) == 1


def test_a_span_that_does_not_reach_the_day_releases_nothing(office):
    office.open(office.billing)
    office.open(office.rita, "pending")
    office.scrub()
    office.open(office.rita, "in", dt.date(2026, 10, 1), at=LATER)
    office.deliver()
    assert office.status == "blocked"
    assert not any(h.startswith("claim.enrolled") for h in office.history())


def test_a_span_that_ends_stops_what_was_ready(office):
    office.open(office.billing)
    office.open(office.rita)
    assert office.scrub() == []
    span = NetworkSpan.objects.get(npi=READER)
    services.span_end(span=span, last=AUGUST, actor=office.cast.actor("mia"), at=LATER)
    office.deliver()
    assert (office.status, blocks(office.claim)) == ("blocked", ["ENR-002"])


def test_a_ready_claim_does_not_slip_out_before_the_event_is_worked(office):
    assert office.status == "ready"
    office.open(office.billing, at=LATER)
    office.open(office.rita, "none", at=LATER)
    result = claims_submit(claim_ids=[office.claim.pk], actor=office.house.actor, at=LATER)
    assert result.claim_ids == []
    assert "enrollment with its payer has changed" in result.held[0].sentence
    assert office.status == "blocked"


def test_what_another_organization_keeps_about_the_reader_says_nothing_here(office):
    """The reader is enrolled through the other client, not through this one."""
    office.open(office.billing)
    office.open(office.rita, "none")
    with scope(office.cast.system_b):
        NetworkSpan.objects.create(
            organization=office.cast.b,
            kind="reader",
            npi=READER,
            payer=office.payer,
            status="in",
            effective_from=JAN,
            recorded_by="test",
            recorded_at=NOW,
        )
    with scope(organizations=[office.cast.a.pk, office.cast.b.pk]):
        assert office.scrub() == ["ENR-002"]


def test_the_claim_page_leads_to_the_standing_that_holds_it(office, client):
    office.open(office.billing)
    office.open(office.rita, "pending")
    office.scrub()
    client.force_login(office.cast.user("mia"))
    page = client.get(reverse("claims:claim", args=[office.claim.public_id]))
    (url,) = [b.url for b in page.context["blockers"] if b.code == "ENR-002"]
    assert "on=2026-09-08" in url
    shown = client.get(url).context["matrix"]
    assert [line.row.npi for line in shown.lines] == [READER]
    assert [line.squares[0].word for line in shown.lines] == ["Pending"]
