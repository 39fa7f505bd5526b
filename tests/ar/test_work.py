"""Minutes from touches, cost against a frozen baseline, people against their plan."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from ar.kpi import engine
from ar.kpi.definitions import BY_CODE
from ar.models import WorkBaseline
from ar.services import work
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.clock import office_clock, office_day
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.audit.services import Step, record_steps
from tests.ar.conftest import bill

pytestmark = pytest.mark.django_db
D = Decimal


def touch(cast, by: str, minute: float, *, b=None, days_ago: int = 3, verb: str = "work.acted"):
    day = office_day() - timedelta(days=days_ago)
    at = office_clock().at(day, 9) + timedelta(minutes=minute)
    keys = {"claim_id": b.claim.pk} if b else {}
    with scope(cast.system):
        record_steps([Step(cast.a.pk, verb, "Done", keys)], actor=cast.actor(by), at=at)


def value(cast, code):
    with scope(cast.system):
        return engine.compute(BY_CODE[code], organizations=[cast.a.pk], day=office_day())


@pytest.fixture
def worked(cast):
    """Two claims resolved; Ari touches at 0, 2 and 40 minutes, Ben once; the machine is no cost."""
    first = bill(cast, days_ago=40, paid=80, contractual=220, status="paid")
    bill(cast, days_ago=41, paid=100, contractual=200, status="paid")
    bill(cast, days_ago=20)  # open
    for minute in (0, 2, 40):
        touch(cast, "ari", minute, b=first)
    touch(cast, "ben", 1)
    with scope(cast.system):
        record_steps([Step(cast.a.pk, "claim.ready", "Ready")], actor=cast.system)
    return first


def test_minutes_are_cut_at_the_idle_limit(cast, worked) -> None:
    found = value(cast, "minutes_per_claim")
    # Ari 2 + 5 (cut from 38) + 5 (the last), Ben 5
    assert (found.numerator, found.denominator) == (17, 2)
    assert engine.words(BY_CODE["minutes_per_claim"], found.value) == "8.5 min"
    touchless = value(cast, "touchless")
    assert (touchless.numerator, touchless.denominator) == (1, 2)


def test_cost_to_collect_needs_the_cost_of_an_hour(cast, worked) -> None:
    assert value(cast, "cost_to_collect").value is None
    manager = cast.actor("mia")
    asked = {
        "organization_id": cast.a.pk,
        "effective_from": office_day() - timedelta(days=60),
        "source": "Payroll 2026",
        "actor": manager,
    }
    with scope(manager):
        work.cost_set(role="ar", cost=D("36.00"), **asked)
        with pytest.raises(Refused, match="no such role"):
            work.cost_set(role="partner", cost=D(1), **asked)
        with pytest.raises(Refused, match=r"\$0 and"):
            work.cost_set(role="ar", cost=D(0), **asked)
    with scope(cast.actor("ari")), pytest.raises(PermissionRefused):
        work.cost_set(**asked | {"actor": cast.actor("ari")}, role="ar", cost=D(1))
    found = value(cast, "cost_to_collect")
    # Ari's 12 minutes at $36; Ben's role has no cost; $180 came in
    assert (found.numerator, found.denominator) == (D("7.2"), D(180))


def test_a_baseline_is_frozen_with_author_and_day_and_stands(cast, worked, enter) -> None:
    manager = cast.actor("mia")
    today = office_day()
    asked = {"organization_id": cast.a.pk, "source": "Time study", "actor": manager}
    with scope(manager):
        with pytest.raises(Refused, match="nothing to measure"):
            work.baseline_freeze(
                **asked, first=today - timedelta(days=400), last=today - timedelta(days=390)
            )
        with pytest.raises(Refused, match="what the minutes contain"):
            work.baseline_freeze(**asked, first=today, last=today, minutes_per_claim=D(60))
        row = work.baseline_freeze(
            **asked,
            first=today - timedelta(days=400),
            last=today - timedelta(days=370),
            minutes_per_claim=D("85"),
            claims=900,
            includes="All paid hours of eight billers",
        )
        own = work.baseline_freeze(**asked, first=today - timedelta(days=30), last=today)
    assert (row.actor_name, row.measured) == (manager.name, False)
    assert (own.minutes_per_claim, own.claims, own.measured) == (
        D("11.00"),
        2,
        True,
    )  # with her own step
    with pytest.raises(DatabaseError), transaction.atomic(), scope(cast.system):
        WorkBaseline.objects.update(minutes_per_claim=1)
    page = enter(cast, "mia").get("/cost/").content.decode()
    assert "11.00 min" in page
    assert "not reached" in page
    assert "at most 5 for each" in page
    assert enter(cast, "ari").get("/cost/").status_code == 403


def test_eighty_seven_percent_less_reaches_the_goal(cast, worked, enter) -> None:
    manager = cast.actor("mia")
    with scope(manager):
        work.baseline_freeze(
            organization_id=cast.a.pk,
            source="Time study",
            actor=manager,
            first=office_day() - timedelta(days=400),
            last=office_day() - timedelta(days=370),
            minutes_per_claim=D("85"),
            includes="Paid hours",
        )
    page = enter(cast, "mia").get("/cost/").content.decode()
    assert "−87.1%" in page
    assert ">reached<" in page.replace("\n", "").replace(" ", "")


def test_a_week_shows_plan_work_cover_and_vacancy(cast, worked, enter) -> None:
    manager = cast.actor("mia")
    day = office_day() - timedelta(days=3)
    monday = day - timedelta(days=day.weekday())
    asked = {
        "organization_id": cast.a.pk,
        "effective_from": monday - timedelta(days=7),
        "actor": manager,
    }
    with scope(manager):
        work.plan_set(skill="ar", hours=D(40), user=cast.user("ari"), **asked)
        work.plan_set(skill="biller", hours=D(20), **asked)
        with pytest.raises(Refused, match="does not work for"):
            work.plan_set(skill="ar", hours=D(5), user=cast.user("olga"), **asked)
        work.shift_record(
            organization_id=cast.a.pk, user=cast.user("ari"), day=day, hours=D(8), actor=manager
        )
        week = work.week_of(cast.a.pk, monday)
    people = {p.name: p for p in week.people}
    ari = people[cast.user("ari").display_name]
    assert (ari.planned, ari.shift, ari.touched, ari.touches) == (D(40), D(8), D("0.20"), 3)
    assert (week.planned, week.vacant) == (D(60), D(20))
    assert week.worked == D(8) + D("0.08")  # Ari by shift, Ben's five minutes between touches
    boss = enter(cast, "mia").get(f"/staff/?week={monday:%m/%d/%Y}").content.decode()
    assert cast.user("ari").display_name in boss
    assert "Vacancy" in boss
    own = enter(cast, "ari").get(f"/staff/?week={monday:%m/%d/%Y}").content.decode()
    assert "My own weeks" in own
    assert cast.user("ben").display_name not in own.split("<main")[1]


def test_the_forms_keep_what_they_are_given(cast, enter) -> None:
    client = enter(cast, "mia")
    day = f"{office_day():%m/%d/%Y}"
    base = {"organization": cast.a.pk, "effective_from": day}
    for path, good, bad in (
        ("/cost/rate/", {"role": "ar", "cost": "31.50", "source": "Payroll"}, {"cost": "0"}),
        ("/staff/plan/", {"skill": "coder", "hours": "20"}, {"hours": "90"}),
        ("/staff/hours/", {"day": day, "hours": "7.5"}, {"hours": "25"}),
    ):
        assert client.get(path).status_code == 200, path
        assert client.post(path, base | good | bad).status_code == 422, path
        assert client.post(path, base | good).status_code == 302, path
    told = {
        "first": day,
        "last": day,
        "minutes_per_claim": "60",
        "includes": "Hours paid",
        "source": "Client",
    }
    assert client.post("/cost/baseline/", base | told | {"source": ""}).status_code == 422
    assert client.post("/cost/baseline/", base | told).status_code == 302
