"""Robots: a switch works at once, what is left alone goes to people, every run is counted."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from ar import services as ar
from claims import services as claims
from claims.models import Claim, ClaimStatus, StatusInquiry
from intake import tasks as intake_tasks
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.exchange.services import Event
from rcm.jobs import robots
from rcm.jobs.models import RobotRun, RobotSwitch
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance import events
from remittance.models import Remittance
from tests.ar.conftest import bill

pytestmark = pytest.mark.django_db


def switch(cast, robot: str, on: bool, by: str = "mia") -> RobotSwitch:
    actor = cast.actor(by)
    with scope(actor):
        return robots.switch(
            robot=robot, organization_id=cast.a.pk, on=on, reason="Month end", actor=actor
        )


def waiting(cast, robot: str) -> WorkItem | None:
    with scope(cast.system):
        return WorkItem.objects.filter(
            queue="robot_off", cause=robot, status=ItemStatus.OPEN, organization_id=cast.a.pk
        ).first()


def enter(cast, name: str) -> Client:
    client = Client()
    client.force_login(
        cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    return client


def test_the_switch_needs_a_reason_the_right_and_another_state(cast) -> None:
    with scope(cast.actor("mia")):
        for changes, words in (
            ({"reason": " "}, "Say why"),
            ({"robot": "nobody"}, "no such automatic step"),
            ({"on": True}, "is on already"),
            ({"organization_id": cast.b.pk}, "no such organization"),
        ):
            asked = {
                "robot": "statements",
                "organization_id": cast.a.pk,
                "on": False,
                "reason": "Month end",
                "actor": cast.actor("mia"),
            } | changes
            with pytest.raises(Refused, match=words):
                robots.switch(**asked)
    with pytest.raises(PermissionRefused):
        switch(cast, "statements", on=False, by="ari")
    switch(cast, "statements", on=False)
    with scope(cast.system):
        assert not robots.is_on("statements", cast.a.pk)
        assert robots.is_on("auto_submit", cast.a.pk)
    with scope(cast.system_b):
        assert robots.is_on("statements", cast.b.pk)


def test_clean_claims_wait_for_a_person_when_the_robot_is_off(cast) -> None:
    bill(cast, sent=False, status="ready", charged=450)
    bill(cast, sent=False, status="ready", charged=550)
    switch(cast, "auto_submit", on=False)
    with scope(cast.system):
        sent = claims.claims_submit_ready(organization_id=cast.a.pk, actor=cast.system)
        assert not sent.held
        assert Claim.objects.filter(status=ClaimStatus.READY).count() == 2
        assert not RobotRun.objects.filter(robot="auto_submit").exists()
    item = waiting(cast, "auto_submit")
    assert item is not None
    assert item.facts["waiting"] == 2
    assert item.dollars == Decimal("1000.00")
    switch(cast, "auto_submit", on=True)
    with scope(cast.system):
        claims.claims_submit_ready(organization_id=cast.a.pk, actor=cast.system)
        run = RobotRun.objects.get(robot="auto_submit")
    # there is no connection for this payer: the robot says what it could not do
    assert (run.done, run.errors) == (0, 2)
    assert "No connection" in run.problem
    assert waiting(cast, "auto_submit") is None


def test_statements_wait_and_are_sent_when_it_is_on_again(cast) -> None:
    bill(cast, paid=80, contractual=200, copay=20)
    switch(cast, "statements", on=False)
    with scope(cast.system):
        assert ar.statements_batch(organization_id=cast.a.pk, actor=cast.system) == []
    item = waiting(cast, "statements")
    assert item is not None
    assert item.dollars == Decimal("20.00")
    switch(cast, "statements", on=True)
    with scope(cast.system):
        assert len(ar.statements_batch(organization_id=cast.a.pk, actor=cast.system)) == 1
        assert RobotRun.objects.get(robot="statements").done == 1
    assert waiting(cast, "statements") is None


def test_a_remittance_waits_while_posting_is_off(cast) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20)
    with scope(cast.system):
        row = Remittance.objects.get(payments__claim=b.claim)
        Remittance.objects.filter(pk=row.pk).update(status="ready", posted_at=None)
    switch(cast, "auto_post", on=False)
    told = [Event(1, "remittance.ready", cast.a.pk, {"remittance_id": row.pk})]
    with scope(cast.system):
        events.on_ready(told, actor=cast.system, at=timezone.now())
        assert Remittance.objects.get(pk=row.pk).status == "ready"
    item = waiting(cast, "auto_post")
    assert item is not None
    assert item.dollars == Decimal("80.00")


def test_silent_payers_go_to_people_when_nobody_may_ask_by_machine(cast) -> None:
    b = bill(cast, days_ago=90)
    switch(cast, "status_inquiry", on=False)
    with scope(cast.system):
        assert claims.silent_refresh(organization_id=cast.a.pk, actor=cast.system) == 1
        assert not StatusInquiry.objects.exists()
        item = WorkItem.objects.get(subject_type="claim", subject_id=b.claim.pk)
    assert item.queue == "silent_payers"


def test_coverage_of_the_days_ahead_is_not_asked(cast) -> None:
    switch(cast, "eligibility_batch", on=False)
    assert intake_tasks.verify_days_ahead(cast.a.pk) == {}


def test_items_whose_cause_is_gone_stay_with_their_tag_when_closing_is_off(cast) -> None:
    now = timezone.now()
    spec = ItemSpec(cast.a.pk, "denials", "denial", 7, "x", "Denied", now)
    with scope(cast.system):
        open_items([spec], actor=cast.system)
    switch(cast, "close_cured", on=False)
    with scope(cast.system):
        assert close_items("denial", [7], actor=cast.system) == 0
        item = WorkItem.objects.get(subject_id=7, subject_type="denial")
        assert (item.status, item.tags) == (ItemStatus.OPEN, ["cured"])
        # a person's own finish is no robot
        assert close_items("denial", [7], actor=cast.actor("ari")) == 1


def test_the_switches_are_a_history_nobody_can_change(cast) -> None:
    switch(cast, "statements", on=False)
    with (
        pytest.raises(DatabaseError, match=r"append|denied|never"),
        transaction.atomic(),
        scope(cast.system),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE jobs_robotswitch SET reason = 'other'")


def test_the_ledger_shows_touches_errors_and_who_switched(cast) -> None:
    with scope(cast.system):
        robots.count_run("statements", cast.a.pk, done=12, errors=1, problem="No address")
        old = timezone.now() - timedelta(days=40)
        robots.count_run("statements", cast.a.pk, done=5, at=old)
        robots.count_run("statements", cast.a.pk, done=0)
        assert RobotRun.objects.count() == 2
    with scope(cast.system_b):
        robots.count_run("statements", cast.b.pk, done=999)
    client = enter(cast, "mia")
    page = client.get("/automation/").content.decode()
    assert "Send patient statements" in page
    assert "No address" in page
    assert "999" not in page
    path = f"/automation/{cast.a.public_id}/statements/"
    assert client.post(path, {"reason": ""}).status_code == 422
    assert client.post(path, {"reason": "Month end"}).status_code == 302
    page = client.get("/automation/?days=90").content.decode()
    assert "17" in page
    assert "Month end" in page
    assert client.get(f"/automation/{cast.b.public_id}/statements/").status_code == 404
    assert enter(cast, "ari").get(path).status_code == 403
    assert enter(cast, "ari").get("/automation/").status_code == 200
    rows = b"".join(client.get("/automation/?export=csv").streaming_content).decode()
    assert "Send patient statements,off,1,12,1," in rows
