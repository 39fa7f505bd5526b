"""Spans are opened, ended and withdrawn, and nothing that was known is lost."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import IntegrityError, InternalError, transaction

from rcm.accounts.actor import PermissionRefused
from rcm.accounts.models import Membership, User
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.tenancy import uuid7
from rcm.audit.models import Event
from rcm.network import services
from rcm.network.models import NetworkSpan
from rcm.network.services import Cell, spans_of, version_of
from rcm.network.spans import Piece
from rcm.network.standing import SiteAsk, site_standings
from rcm.reference.models import Payer, Plan
from tests.network.house import JAN, JUN

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _inside(house):
    with house.scope():
        yield


def test_a_new_standing_closes_the_old_one_and_both_are_kept(house):
    cell = house.site()
    house.open(cell)
    house.open(cell, "out", JUN, note="Contract ended by the payer")
    assert house.told(cell) == [
        ("in", "2026-01-01", "2026-05-31"),
        ("out", "2026-06-01", "open"),
    ]
    first = NetworkSpan.objects.get(status="in")
    assert (first.ended_by, first.ended_at) == ("Mia Manager", house.now)
    told = list(Event.objects.filter(verb__startswith="network.").order_by("id"))
    assert told[-1].sentence == (
        f"CANA North with {house.payer.name}: Out of network from 06/01/2026,"
        " was In network from 01/01/2026"
    )
    assert told[-1].actor_name == "Mia Manager"


def test_a_plan_goes_before_its_payer(house):
    plan = Plan.objects.create(payer=house.payer, code="NARROW", name="Narrow HMO")
    house.open(house.site())
    house.open(house.site()._replace(plan_id=plan.pk), "out")
    north = house.cast.north.pk
    every, narrow = (
        SiteAsk(north, house.payer.pk, None, JUN),
        SiteAsk(north, house.payer.pk, plan.pk, JUN),
    )
    assert site_standings([every, narrow]) == {every: "in", narrow: "out"}


def test_two_visits_of_one_site_and_payer_are_asked_for_their_own_days(house):
    house.open(house.site(), "in", JAN, dt.date(2026, 5, 31))
    house.open(house.site(), "out", JUN)
    asks = [SiteAsk(house.cast.north.pk, house.payer.pk, None, day) for day in (JAN, JUN)]
    assert list(site_standings(asks).values()) == ["in", "out"]


def test_a_span_that_was_never_true_is_withdrawn_with_its_reason(house):
    house.open(house.reader())
    (span,) = NetworkSpan.objects.all()
    with pytest.raises(Refused, match="Say why"):
        services.span_withdraw(span=span, reason=" ", actor=house.cast.actor("mia"))
    services.span_withdraw(span=span, reason="Wrong physician", actor=house.cast.actor("mia"))
    assert house.told(house.reader()) == []
    span.refresh_from_db()
    assert (span.withdrawn_by, span.withdrawn_reason) == ("Mia Manager", "Wrong physician")
    with pytest.raises(Conflict):
        services.span_withdraw(span=span, reason="Again", actor=house.cast.actor("mia"))


def test_the_last_day_is_set_once_and_another_one_is_another_span(house):
    house.open(house.reader())
    (span,) = NetworkSpan.objects.all()
    services.span_end(span=span, last=JUN, actor=house.cast.actor("mia"), at=house.now)
    span.refresh_from_db()
    services.span_end(
        span=span, last=dt.date(2026, 3, 31), actor=house.cast.actor("mia"), at=house.now
    )
    assert house.told(house.reader()) == [("in", "2026-01-01", "2026-03-31")]
    span.refresh_from_db()
    assert span.effective_to == JUN
    assert span.withdrawn_at is not None


@pytest.mark.parametrize(
    "change",
    [
        {"status": "out"},
        {"effective_from": JUN},
        {"note": "another"},
        {"recorded_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)},
    ],
)
def test_the_database_lets_nobody_rewrite_a_span(house, change):
    house.open(house.reader())
    with pytest.raises((IntegrityError, InternalError)), transaction.atomic():
        NetworkSpan.objects.update(**change)
    with pytest.raises((IntegrityError, InternalError)), transaction.atomic():
        NetworkSpan.objects.all().delete()


def test_the_database_holds_no_two_standings_of_one_day(house):
    house.open(house.reader())
    (span,) = NetworkSpan.objects.all()
    span.pk, span.public_id, span.status = None, uuid7(), "out"
    span.effective_from = JUN
    with pytest.raises(IntegrityError, match="one_standing_a_day"), transaction.atomic():
        span.save(force_insert=True)


def test_who_was_second_is_told_and_loses_nothing(house):
    cell = house.site()
    seen = version_of(spans_of(house.cast.a.pk, cell))
    house.open(cell, seen=seen, who="max")
    with pytest.raises(Conflict, match="Somebody else"):
        house.open(cell, "out", seen=seen)
    assert house.told(cell) == [("in", "2026-01-01", "open")]


@pytest.mark.parametrize("who", ["ana", "ada", "ben", "cleo"])
def test_only_who_may_edit_rules_opens_a_span(house, who):
    with pytest.raises(PermissionRefused):
        house.open(house.site(), who=who)


def test_another_organization_has_no_hand_in_it(house):
    olga = house.cast.actor("olga")
    with pytest.raises(PermissionRefused):
        services.span_open(
            organization=house.cast.a, cell=house.reader(), piece=Piece("in", JAN), actor=olga
        )
    with pytest.raises(Refused) as refusal:
        house.open(Cell("site", house.cast.b_site.pk, "", house.payer.pk))
    assert refusal.value.status == 404


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"npi": "1234567893"}, "neither the organization's nor one of its readers'"),
        ({"payer": "SELF"}, "a payer that has a network"),
        ({"last": dt.date(2025, 12, 31)}, "ends before it begins"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(house, change, sentence):
    payer = Payer.objects.filter(kind="self_pay").first() if "payer" in change else house.payer
    cell = Cell("reader", None, change.get("npi", house.reader().npi), payer.pk)
    with pytest.raises(Refused, match=sentence):
        house.open(cell, "in", JAN, change.get("last"))


def test_the_same_again_is_said_to_stand_already(house):
    house.open(house.site())
    with pytest.raises(Refused, match="already stands"):
        house.open(house.site())


def test_who_works_at_one_site_edits_that_site_and_no_reader(house):
    user = User.objects.create_user(
        "sam@cana.test", "correct-horse-9", first_name="Sam", last_name="South"
    )
    Membership.objects.create(
        user=user, organization=house.cast.a, site=house.cast.south, role="manager"
    )
    told = {"organization": house.cast.a, "piece": Piece("in", JAN), "actor": user.actor()}
    services.span_open(cell=house.site(house.cast.south), **told)
    for cell in (house.site(), house.reader(), house.biller()):
        with pytest.raises(PermissionRefused):
            services.span_open(cell=cell, **told)
