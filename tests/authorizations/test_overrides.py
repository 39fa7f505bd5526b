"""An override is written once and never erased; its own date or a real change ends it, a new
wording does not; the report, the API and the proof read the same rows.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction
from django.test import Client

from intake.models import Appointment, GateOverride
from intake.services import (
    appointment_check_in,
    appointment_confirm,
    appointment_move,
    gate_override,
    overrides_end,
)
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.audit.models import Event
from rcm.pricing.models import ListPrice
from rcm.reference.models import Payer
from tests.authorizations.test_front_door import EXAM, NOW, ask, record, visit
from tests.intake.house import moment, partner, run_all
from tests.security.conftest import partner as api_partner
from tests.security.conftest import token_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def booked(cast_committed) -> Appointment:
    cast = cast_committed
    with scope(cast.system):
        ListPrice.objects.create(
            organization=cast.a,
            code="70551",
            amount=Decimal("1284.00"),
            effective_from=date(2026, 1, 1),
        )
        made = visit(cast, "70551")
    run_all(cast)
    return made


def let_pass(cast, of: Appointment, at=NOW, **values) -> GateOverride:
    with scope(cast.system):
        return gate_override(
            appointment=of,
            gate="authorization",
            reason="Physician takes the risk",
            actor=cast.actor("ada"),
            at=at,
            **values,
        )


def signed_in(cast, name: str) -> Client:
    client = Client()
    client.force_login(
        cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    return client


def holds(of: Appointment) -> bool:
    of.refresh_from_db()
    return of.gates["authorization"]["overridden"]


def review(cast, of: Appointment, at) -> None:
    from authorizations.services import authorizations_review

    with scope(cast.system):
        authorizations_review(appointment_ids=[of.pk], actor=cast.system, at=at)


def test_the_last_business_day_turns_the_check_into_a_stop_and_ends_no_override(
    cast_committed, booked
):
    cast = cast_committed
    let_pass(cast, booked)
    review(cast, booked, EXAM - timedelta(days=1))
    with scope(cast.system):
        assert holds(booked)
        appointment_confirm(
            appointment=booked, actor=cast.actor("ana"), at=EXAM - timedelta(days=1)
        )
        assert appointment_check_in(appointment=booked, actor=cast.actor("ana"), at=EXAM)


def test_a_changed_wording_ends_no_override(cast_committed, booked):
    cast = cast_committed
    let_pass(cast, booked)
    with scope(cast.system):
        from intake.models import GateDecision
        from intake.services import GateAnswer, gate_decide

        kept = GateDecision.objects.get(appointment=booked, gate="authorization")
        gate_decide(
            [
                GateAnswer(
                    booked.pk, kept.gate, kept.state, "In other words.", kept.due_on, kept.cause
                )
            ],
            actor=cast.system,
            at=NOW,
        )
        assert holds(booked)


def test_asking_the_payer_does_not_end_the_override_but_the_denial_does(
    cast_committed, booked, settings
):
    from authorizations.services import authorization_decide

    cast = cast_committed
    let_pass(cast, booked)
    with partner(settings, cast):
        with scope(cast.system):
            row = record(booked)
        ask(cast, row, channel="phone", reference="R-1", contact="Dana")
        with scope(cast.system):
            assert holds(booked)
            authorization_decide(
                authorization=row,
                status="denied",
                reason="not proven",
                actor=cast.actor("ada"),
                at=NOW,
            )
            assert not holds(booked)
            kept = GateOverride.objects.select_related("end").get(appointment=booked)
            assert (kept.end.why, kept.dollars) == ("changed", Decimal("1284.00"))
            words = Event.objects.get(verb="gate.override_ended").sentence
            assert "something else stands in the way" in words


def test_an_override_ends_on_its_own_date(cast_committed, booked):
    cast = cast_committed
    let_pass(cast, booked, ends_on=date(2026, 3, 5))
    with scope(cast.system):
        assert overrides_end(actor=cast.system, at=moment("2026-03-05 22:00")) == 0
        assert holds(booked)
        assert overrides_end(actor=cast.system, at=moment("2026-03-06 09:00")) == 1
        assert not holds(booked)
        assert GateOverride.objects.get(appointment=booked).end.why == "date"


def test_a_later_day_of_the_visit_ends_the_override_given_for_the_first(cast_committed, booked):
    cast = cast_committed
    let_pass(cast, booked)
    with scope(cast.system):
        appointment_move(
            appointment=booked,
            starts_at=moment("2026-03-20 10:00"),
            actor=cast.actor("ana"),
            at=NOW,
        )
        overrides_end(actor=cast.system, at=moment("2026-03-13 09:00"))
        assert not holds(booked)


@pytest.mark.parametrize(
    ("ends_on", "code"), [(date(2026, 3, 1), "past"), (date(2026, 3, 13), "after_visit")]
)
def test_its_date_lies_between_today_and_the_visit(cast_committed, booked, ends_on, code):
    with pytest.raises(Refused) as stop:
        let_pass(cast_committed, booked, ends_on=ends_on)
    assert (stop.value.code, stop.value.field) == (code, "ends_on")


def test_no_hand_can_erase_or_change_an_override(cast_committed, booked):
    cast = cast_committed
    kept = let_pass(cast, booked)
    with scope(cast.system):
        for verb in (
            lambda: GateOverride.objects.filter(pk=kept.pk).update(dollars=0),
            lambda: GateOverride.objects.filter(pk=kept.pk).delete(),
        ):
            with pytest.raises(DatabaseError), transaction.atomic():
                verb()


def test_ended_overrides_stay_in_the_managers_report_and_in_the_api(cast_committed, booked):
    from authorizations.services import authorization_decide

    cast = cast_committed
    let_pass(cast, booked)
    with scope(cast.system):
        authorization_decide(
            authorization=record(booked),
            status="denied",
            reason="not proven",
            actor=cast.actor("ada"),
            at=NOW,
        )
    page = signed_in(cast, "mia").get("/today/overrides/").content.decode()
    assert "Physician takes the risk" in page
    assert "1,284.00" in page
    assert "ended: something else stands in the way" in page
    assert (
        "Physician takes the risk"
        not in signed_in(cast, "mia").get("/today/overrides/?view=holding").content.decode()
    )


def test_a_payer_under_another_name_is_no_change(cast_committed, booked):
    cast = cast_committed
    let_pass(cast, booked)
    name = Payer.objects.get(code="PHP").name
    Payer.objects.filter(code="PHP").update(name="Prairie under another name")
    try:
        review(cast, booked, NOW)
        with scope(cast.system):
            assert holds(booked)
    finally:
        Payer.objects.filter(code="PHP").update(name=name)


def test_a_partner_gives_and_reads_overrides_with_the_same_refusals(cast_committed, booked):
    cast = cast_committed
    scopes = ("orders:read", "orders:write", "overrides:write")
    token = token_of(api_partner(cast.a, "EMR", scopes), scopes)
    client = Client(headers={"Authorization": f"Bearer {token}"})
    body = {"appointment": str(booked.public_id), "gate": "authorization", "reason": "Stat read"}
    stopped = client.post("/api/v1/overrides", {**body, "reason": "x"}, "application/json")
    assert (stopped.status_code, stopped.json()["errors"][0]["field"]) == (422, "reason")
    made = client.post("/api/v1/overrides", body, "application/json")
    assert made.status_code == 201, made.content
    assert (made.json()["holds"], made.json()["dollars"]) == (True, "1284.00")
    again = client.post("/api/v1/overrides", body, "application/json")
    assert again.json()["code"] == "nothing_to_override"
    listed = client.get("/api/v1/overrides", {"holds": "true"}).json()["results"]
    assert [o["reason"] for o in listed] == ["Stat read"]
    reader = ("orders:read", "orders:write")
    other = token_of(api_partner(cast.a, "Scheduler", reader), reader)
    without = Client(headers={"Authorization": f"Bearer {other}"})
    assert without.post("/api/v1/overrides", body, "application/json").status_code == 403
