"""At the front desk: a site out of network is said plainly, the sites that are in are offered, one
press changes to one of them; gates follow when the network changes.
"""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse

from intake import events
from intake.models import Appointment
from intake.services import appointment_book, clearance_refresh, network_view
from rcm.accounts.models import Site
from rcm.exchange.models import Outbox
from rcm.exchange.outbox import Event
from tests.api.conftest import caller
from tests.intake import house as front
from tests.network.house import IVAN, JAN, RITA
from tests.pages import one_line

pytestmark = pytest.mark.django_db
DAY = dt.date(2026, 12, 14)


@pytest.fixture
def desk(house):
    """North is out of network with PHP, South is in; Marisol has PHP and an order for a brain MR."""
    with house.scope():
        house.open(house.site(), "out")
        house.open(house.site(house.cast.south))
        house.open(house.reader(IVAN))
        house.open(house.reader(RITA), "pending")
        house.patient = front.patient(house.cast)
        house.coverage = front.insured(house.cast, house.patient)
        house.order = front.order(house.cast, house.patient)
        yield house


@pytest.fixture
def ana(client, desk):
    client.force_login(desk.cast.user("ana"))
    return client


def typed(desk, site, **more):
    return {
        "site": site.pk,
        "day": "12/14/2026",
        "at": "9:40",
        "minutes": "30",
        "exams": [e.pk for e in desk.order.exams.all()],
        **more,
    }


def booked(desk, site) -> Appointment:
    visit = appointment_book(
        patient=desk.patient,
        site=site,
        starts_at=front.moment("2026-12-14 09:40"),
        exams=list(desk.order.exams.all()),
        actor=desk.cast.system,
        enforce=False,
        at=front.NOW,
    )
    clearance_refresh([visit.pk], actor=desk.cast.system, at=front.NOW)
    visit.refresh_from_db()
    return visit


def words(page) -> str:
    return one_line(page.content.decode())


def test_the_chosen_site_is_said_to_be_out_and_the_others_are_offered(ana, desk):
    url = reverse("intake:network", args=[desk.order.public_id])
    text = words(ana.get(url, {"site": desk.cast.north.pk, "day": "12/14/2026"}))
    assert f"CANA North is out of network with {desk.payer.name} on 12/14/2026." in text
    assert "to CANA South</span></button>" in text
    assert "Readers in network: Reader, Ivan." in text
    assert "Not in network: Writer, Rita (pending)." in text


def test_one_press_changes_the_site_and_keeps_what_was_typed(ana, desk):
    url = reverse("intake:book", args=[desk.order.public_id])
    page = ana.post(
        url, typed(desk, desk.cast.north, resource="MR 2") | {"instead": desk.cast.south.pk}
    )
    assert page.status_code == 200
    form = page.context["form"]
    assert not form.errors
    assert str(form["site"].value()) == str(desk.cast.south.pk)
    assert (form["at"].value(), form["resource"].value()) == ("9:40", "MR 2")
    assert f"CANA South is in network with {desk.payer.name} on 12/14/2026." in words(page)
    assert not Appointment.objects.exists()
    assert ana.post(url, typed(desk, desk.cast.south)).status_code == 302


def test_booking_there_is_stopped_and_names_where_it_is_in(ana, desk):
    page = ana.post(
        reverse("intake:book", args=[desk.order.public_id]), typed(desk, desk.cast.north)
    )
    text = words(page)
    assert page.status_code == 409
    assert f"This site is out of network with {desk.payer.name}. In network: CANA South." in text
    assert "to CANA South</span></button>" in text


def test_the_booked_visit_moves_with_one_press_at_the_same_hour(ana, desk):
    Site.objects.filter(pk=desk.cast.south.pk).update(time_zone="America/New_York")
    visit = booked(desk, desk.cast.north)
    page = ana.get(reverse("intake:appointment", args=[visit.public_id]))
    assert "to CANA South</span></button>" in words(page)
    told = {"site": desk.cast.south.public_id, "version": visit.version}
    answer = ana.post(reverse("intake:change_site", args=[visit.public_id]), told, follow=True)
    assert "Moved to CANA South" in words(answer)
    visit.refresh_from_db()
    assert visit.site == desk.cast.south
    local = visit.starts_at.astimezone(dt.timezone(dt.timedelta(hours=-5)))
    assert f"{local:%m/%d %H:%M}" == "12/14 09:40"
    assert visit.gates["eligibility"]["state"] != "stop"


def test_who_presses_second_is_told(ana, desk):
    visit = booked(desk, desk.cast.north)
    told = {"site": desk.cast.south.public_id, "version": visit.version + 1}
    page = ana.post(reverse("intake:change_site", args=[visit.public_id]), told, follow=True)
    assert "Somebody else has changed this appointment" in words(page)
    visit.refresh_from_db()
    assert visit.site == desk.cast.north


def test_a_visit_is_not_moved_to_another_organizations_site(ana, desk):
    visit = booked(desk, desk.cast.north)
    told = {"site": desk.cast.b_site.public_id, "version": visit.version}
    page = ana.post(reverse("intake:change_site", args=[visit.public_id]), told, follow=True)
    assert "Choose another of our sites." in words(page)
    visit.refresh_from_db()
    assert visit.site == desk.cast.north


def test_the_gate_follows_when_the_network_changes(desk):
    visit = booked(desk, desk.cast.north)
    assert visit.gates["eligibility"]["sentence"] == (
        f"This site is out of network with {desk.payer.name}. In network: CANA South."
    )
    desk.open(desk.site(), "in", dt.date(2026, 12, 1), at=front.NOW)
    row = Outbox.objects.filter(topic="network.changed").latest("id")
    told = Event(row.pk, row.topic, row.organization_id, row.payload)
    events.on_network([told], actor=desk.cast.system, at=front.NOW)
    visit.refresh_from_db()
    assert "network" not in visit.gates["eligibility"]["sentence"]


def test_each_visit_is_asked_for_its_own_day(desk):
    """Two visits of one site and payer: out in December, in again from January."""
    desk.open(desk.site(), "in", dt.date(2027, 1, 1))
    first = booked(desk, desk.cast.north)
    other = front.order(desk.cast, desk.patient, "72148")
    second = appointment_book(
        patient=desk.patient,
        site=desk.cast.north,
        starts_at=front.moment("2027-01-14 09:40"),
        exams=list(other.exams.all()),
        actor=desk.cast.system,
        enforce=False,
        at=front.NOW,
    )
    clearance_refresh([first.pk, second.pk], actor=desk.cast.system, at=front.NOW)
    first.refresh_from_db()
    second.refresh_from_db()
    assert "out of network" in first.gates["eligibility"]["sentence"]
    assert "out of network" not in second.gates["eligibility"]["sentence"]


def test_other_sites_come_in_network_first_then_those_that_do_such_exams_then_the_nearest(desk):
    common = {
        "organization": desk.cast.a,
        "npi": "1993999998",
        "address": "1 Way",
        "city": "Joliet",
        "state": "IL",
    }
    far = Site.objects.create(code="FAR", name="A Far", zip="90210", **common)
    near = Site.objects.create(code="NEAR", name="Z Near", zip="60605", **common)
    Site.objects.create(code="NEW", name="New", zip="60601", **common)
    for place in (far, near):
        desk.open(desk.site(place))
    booked(desk, far)
    view = network_view(
        organization_id=desk.cast.a.pk,
        coverage=desk.coverage,
        day=DAY,
        modalities=["MR"],
        site_id=desk.cast.north.pk,
        near="606040000",
    )
    assert view is not None
    assert [c.site.name for c in view.others] == ["A Far", "CANA South", "Z Near", "New"]
    assert [c.status for c in view.others] == ["in", "in", "in", ""]
    assert view.closed


def test_a_site_that_is_not_enrolled_stops_too(desk):
    desk.open(desk.site(), "none", JAN)
    visit = booked(desk, desk.cast.north)
    assert visit.gates["eligibility"]["state"] == "stop"
    assert "not enrolled" in visit.gates["eligibility"]["sentence"]


def test_over_the_api_the_refusal_is_the_same_sentence(desk):
    ris = caller(desk.cast.a)
    body = {
        "site": "CANA-NORTH",
        "starts_at": "2026-12-14T09:40:00-06:00",
        "exams": [str(e.public_id) for e in desk.order.exams.all()],
    }
    answer = ris.post("/appointments", body)
    assert answer.status_code == 409, answer.json()
    assert "out of network" in answer.json()["title"]
    assert "In network: CANA South." in answer.json()["title"]


def test_another_organization_asks_in_vain(client, desk):
    client.force_login(desk.cast.user("olga"))
    url = reverse("intake:network", args=[desk.order.public_id])
    assert client.get(url).status_code == 404
