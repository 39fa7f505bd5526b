"""The matrix and its cells at the door: who may, what stands, who was first."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rcm.accounts.scope import scope
from rcm.network.matrix import PAYERS
from rcm.network.models import NetworkSpan
from rcm.reference.models import Payer, Plan
from tests.network.house import JAN, JUN, RITA
from tests.pages import one_line

pytestmark = pytest.mark.django_db


def as_(client, house, name):
    client.force_login(house.cast.user(name))
    return client


def address(house, name="cell", *, kind="site", who="", payer=""):
    return (
        f"{reverse(f'network:{name}')}?organization={house.cast.a.public_id}&kind={kind}"
        f"&who={who or house.cast.north.public_id}&payer={payer or house.payer.code}"
    )


def words(page) -> str:
    return one_line(page.content.decode())


def test_sites_and_readers_stand_against_payers(client, house):
    with house.scope():
        house.open(house.site())
        house.open(house.reader(), "pending")
    as_(client, house, "mia")
    url = reverse("network:matrix")
    page = client.get(url, {"payer": house.payer.name, "on": "09/09/2026"})
    text = words(page)
    assert page.status_code == 200
    assert f"CANA North, {house.payer.name}: In network from 01/01/26" in text
    assert f"Reader, Ivan, {house.payer.name}: Pending from 01/01/26" in text
    assert f"CANA South, {house.payer.name}: not known" in text
    assert text.index("CANA Imaging") < text.index("CANA North") < text.index("Reader, Ivan")


def test_the_matrix_asks_as_much_for_many_payers_as_for_one(client, house):
    as_(client, house, "mia")
    client.get(reverse("network:matrix"))

    def asked(**ask):
        with CaptureQueriesContext(connection) as queries:
            page = client.get(reverse("network:matrix"), ask)
        return page, len(queries)

    few, one = asked(payer=house.payer.name)
    many, all_ = asked()
    assert one == all_ <= 24
    assert len(few.context["matrix"].payers) == 1
    assert len(many.context["matrix"].payers) == PAYERS
    assert many.context["pages"]["right"]
    following = client.get(reverse("network:matrix") + many.context["pages"]["right"])
    shown = [p.pk for p in following.context["matrix"].payers]
    assert not set(shown) & {p.pk for p in many.context["matrix"].payers}


def test_a_day_and_a_standing_choose_rows_and_payers(client, house):
    with house.scope():
        house.open(house.site())
        house.open(house.site(), "out", JUN)
    as_(client, house, "ben")
    ask = {"status": "out", "on": "07/01/2026"}
    shown = client.get(reverse("network:matrix"), ask).context["matrix"]
    assert [p.code for p in shown.payers] == ["PHP"]
    assert [line.row.name for line in shown.lines] == ["CANA North"]
    earlier = client.get(reverse("network:matrix"), ask | {"on": "05/01/2026"}).context["matrix"]
    assert list(earlier.lines) == []


def test_a_new_span_keeps_the_old_one_in_the_history(client, house):
    with house.scope():
        house.open(house.site())
    as_(client, house, "mia")
    seen = client.get(address(house)).context["form"].initial["seen"]
    page = client.post(
        address(house, "span_open"),
        {"status": "out", "effective_from": "06/01/2026", "note": "Letter 4711", "seen": seen},
        follow=True,
    )
    text = words(page)
    assert page.status_code == 200
    assert "Letter 4711" in text
    assert "05/31/2026" in text
    assert "ended by Mia Manager" in text
    with house.scope():
        assert house.told(house.site()) == [
            ("in", "2026-01-01", "2026-05-31"),
            ("out", "2026-06-01", "open"),
        ]


def test_who_was_second_sees_theirs_beside_his_own_and_saves_on_purpose(client, house):
    as_(client, house, "mia")
    seen = client.get(address(house)).context["form"].initial["seen"]
    with house.scope():
        house.open(house.site(), "pending", who="max", note="Applied")
    mine = {"status": "in", "effective_from": "01/01/2026", "seen": seen}
    page = client.post(address(house, "span_open"), mine)
    text = words(page)
    assert page.status_code == 409
    assert "Somebody else saved this first" in text
    assert "Applied" in text
    again = client.post(
        address(house, "span_open"), mine | {"seen": page.context["form"]["seen"].value()}
    )
    assert again.status_code == 302
    with house.scope():
        assert house.told(house.site()) == [("in", "2026-01-01", "open")]


def test_what_is_wrong_is_said_beside_its_field(client, house):
    as_(client, house, "mia")
    page = client.post(
        address(house, "span_open"),
        {"status": "in", "effective_from": "06/01/2026", "effective_to": "05/01/2026"},
    )
    assert page.status_code == 422
    assert page.context["form"].errors["effective_to"] == ["The span ends before it begins."]


def test_a_last_day_and_a_withdrawal_from_the_page(client, house):
    with house.scope():
        house.open(house.reader(RITA))
        span = NetworkSpan.objects.get()
    as_(client, house, "mia")
    end = reverse("network:span_end", args=[span.public_id])
    seen = client.get(end).context["form"].initial["seen"]
    assert client.post(end, {"last": "08/31/2026", "seen": seen}).status_code == 302
    stale = client.post(end, {"last": "09/30/2026", "seen": seen})
    assert stale.status_code == 409
    withdraw = reverse("network:span_withdraw", args=[span.public_id])
    assert client.post(withdraw, {"reason": ""}).status_code == 422
    assert client.post(withdraw, {"reason": "Another physician"}).status_code == 302
    page = client.get(address(house, kind="reader", who=RITA))
    assert "Another physician" in words(page)
    with house.scope():
        assert house.told(house.reader(RITA)) == []


def test_a_plan_has_its_own_span(client, house):
    plan = Plan.objects.create(payer=house.payer, code="NARROW", name="Narrow HMO")
    as_(client, house, "mia")
    seen = client.get(address(house)).context["form"].initial["seen"]
    told = {"status": "out", "effective_from": "01/01/2026", "plan": plan.pk, "seen": seen}
    assert client.post(address(house, "span_open"), told).status_code == 302
    assert "Narrow HMO" in words(client.get(address(house)))
    matrix = client.get(reverse("network:matrix"), {"payer": "PHP", "on": "09/09/2026"})
    assert "not known +1 plan" in words(matrix)


@pytest.mark.parametrize("who", ["ben", "cleo", "ada"])
def test_who_only_reads_gets_no_form_and_is_refused(client, house, who):
    with house.scope():
        house.open(house.site())
    as_(client, house, who)
    text = words(client.get(address(house)))
    assert "From a day on" not in text
    assert "Withdraw</a>" not in text
    ask = {"status": "out", "effective_from": "06/01/2026"}
    assert client.post(address(house, "span_open"), ask).status_code == 403
    assert "Import a" not in words(client.get(reverse("network:matrix")))


def test_a_stranger_finds_nothing(client, house):
    with house.scope():
        house.open(house.site())
        span = NetworkSpan.objects.get()
    as_(client, house, "olga")
    assert client.get(address(house)).status_code == 404
    assert client.post(address(house, "span_open"), {"status": "in"}).status_code == 404
    for name in ("span_end", "span_withdraw"):
        url = reverse(f"network:{name}", args=[span.public_id])
        assert client.post(url, {"last": "06/01/2026", "reason": "x"}).status_code == 404
    assert "CANA North" not in words(client.get(reverse("network:matrix")))
    with house.scope():
        assert house.told(house.site()) == [("in", "2026-01-01", "open")]


def test_a_form_sent_twice_opens_one_span(client, house):
    as_(client, house, "mia")
    page = client.get(address(house))
    key = re.search(r'name="form_key" value="([^"]+)"', page.content.decode())
    assert key
    told = {
        "status": "in",
        "effective_from": "01/01/2026",
        "seen": page.context["form"].initial["seen"],
        "form_key": key[1],
    }
    first = client.post(address(house, "span_open"), told)
    second = client.post(address(house, "span_open"), told)
    assert (first.status_code, second.status_code) == (302, 302)
    with house.scope():
        assert NetworkSpan.objects.count() == 1


def test_the_payer_page_says_how_our_sites_stand(client, house):
    with house.scope():
        house.open(house.site(), "none")
    page = as_(client, house, "mia").get(reverse("reference:payer", args=[house.payer.public_id]))
    assert "Not enrolled" in words(page)


def test_nothing_of_one_organization_reaches_the_payer_page_of_another(client, house):
    with scope(house.cast.system_b):
        NetworkSpan.objects.create(
            organization=house.cast.b,
            kind="site",
            site=house.cast.b_site,
            payer=Payer.objects.get(code="PHP"),
            status="out",
            effective_from=JAN,
            recorded_by="x",
            recorded_at=house.now,
        )
    page = as_(client, house, "mia").get(reverse("reference:payer", args=[house.payer.public_id]))
    assert "Out of network" not in words(page)
