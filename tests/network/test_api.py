"""The same over the API: spans with filters, and who is in network on a day."""

from __future__ import annotations

import pytest

from rcm.network import services
from rcm.network.models import NetworkSpan
from tests.api.conftest import Caller, caller
from tests.network.house import IVAN, JUN, RITA

pytestmark = pytest.mark.django_db


@pytest.fixture
def ris(house) -> Caller:
    """A partner of the house; two sites and two readers stand with PHP."""
    with house.scope():
        house.open(house.site())
        house.open(house.site(), "out", JUN, note="Contract ended")
        house.open(house.site(house.cast.south))
        house.open(house.reader(IVAN))
        house.open(house.reader(RITA), "pending")
    return caller(house.cast.a)


def shown(answer) -> list[tuple[str, str, str]]:
    assert answer.status_code == 200, answer.json()
    return [
        (r["site"] or r["npi"], r["status"], r["effective_from"]) for r in answer.json()["results"]
    ]


def test_spans_are_listed_newest_first_with_their_history(ris):
    assert shown(ris.get("/network/spans")) == [
        (RITA, "pending", "2026-01-01"),
        (IVAN, "in", "2026-01-01"),
        ("CANA-SOUTH", "in", "2026-01-01"),
        ("CANA-NORTH", "out", "2026-06-01"),
        ("CANA-NORTH", "in", "2026-01-01"),
    ]
    first = ris.get("/network/spans", site="CANA-NORTH", on="2026-05-31").json()["results"][0]
    assert (first["status"], first["effective_to"]) == ("in", "2026-05-31")
    one = ris.get(f"/network/spans/{first['id']}")
    assert one.json()["payer"] == "PHP"


@pytest.mark.parametrize(
    ("ask", "found"),
    [
        ({"kind": "reader"}, {RITA, IVAN}),
        ({"kind": "reader", "status": "pending"}, {RITA}),
        ({"npi": IVAN}, {IVAN}),
        ({"payer": "LBI"}, set()),
        ({"on": "2026-07-01", "status": "out"}, {"CANA-NORTH"}),
        ({"on": "2025-07-01"}, set()),
        ({"withdrawn": "true"}, set()),
    ],
)
def test_filters_narrow_the_list(ris, ask, found):
    assert {who for who, _, _ in shown(ris.get("/network/spans", **ask))} == found


def test_what_was_withdrawn_is_told_apart(ris, house):
    with house.scope():
        span = NetworkSpan.objects.get(npi=RITA)
        services.span_withdraw(
            span=span, reason="Another person", actor=house.cast.actor("mia"), at=house.now
        )
    (row,) = ris.get("/network/spans", withdrawn="true").json()["results"]
    assert (row["npi"], row["withdrawn_reason"]) == (RITA, "Another person")
    assert shown(ris.get("/network/spans", on="2026-09-09", kind="reader")) == [
        (IVAN, "in", "2026-01-01")
    ]


def test_who_is_in_network_on_a_day(ris):
    got = ris.get("/network/standing", payer="PHP", date="2026-09-09").json()
    assert {s["site"]: s["status"] for s in got["sites"]} == {
        "CANA-NORTH": "out",
        "CANA-SOUTH": "in",
    }
    assert {r["name"]: r["status"] for r in got["readers"]} == {
        "Reader, Ivan": "in",
        "Writer, Rita": "pending",
    }
    may = ris.get("/network/standing", payer="PHP", date="2026-05-09", site="CANA-NORTH").json()
    assert may["sites"] == [{"site": "CANA-NORTH", "name": "CANA North", "status": "in"}]


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        ({"payer": "nobody"}, 400),
        ({}, 400),
        ({"payer": "PHP", "plan": "GOLD-9"}, 400),
        ({"payer": "PHP", "date": "tomorrow"}, 400),
        ({"payer": "PHP", "site": "CANB-MAIN"}, 404),
        ({"payer": "PHP", "zip": "60601"}, 400),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(ris, ask, status):
    assert ris.get("/network/standing", **ask).status_code == status


def test_a_stranger_sees_nothing_and_a_client_without_the_scope_is_refused(ris, house):
    other = caller(house.cast.b, "OTHER")
    assert other.get("/network/spans").json()["results"] == []
    with house.scope():
        span = NetworkSpan.objects.first()
    assert other.get(f"/network/spans/{span.public_id}").status_code == 404
    small = caller(house.cast.a, "SMALL", ["orders:read"])
    assert small.get("/network/spans").status_code == 403
    assert small.get("/network/standing", payer="PHP").status_code == 403
