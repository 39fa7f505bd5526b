"""What our own decided requests teach: the earliest bookable day at booking and on the board, and
turnaround apart by payer on a screen and in the API.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from authorizations import services
from authorizations.history import turnaround_by_payer
from authorizations.models import Authorization, AuthorizedService, AuthRequest
from intake.models import Coverage
from rcm.accounts.scope import scope
from tests.authorizations.test_front_door import NOW, gate, visit
from tests.authorizations.test_reviewers import page
from tests.intake.house import exams_of, moment, order, patient, payer, run_all, site
from tests.security.conftest import partner as api_partner
from tests.security.conftest import token_of

pytestmark = pytest.mark.django_db(transaction=True)


def decided(
    cast, *, days: int, count: int = 1, at: datetime = NOW, code: str = "PHP", **values
) -> None:
    """Past requests of organization A for brain MR, each decided `days` business days later."""
    with scope(cast.system):
        who = patient(cast, mrn=f"H{days}{code}{count}", last="History")
        cover = Coverage.objects.create(
            organization=cast.a, patient=who, payer=payer(code), member_id="HIST1", rank=1
        )
        placed = order(cast, who, "70551")
        exam = exams_of(placed)[0]
        placed.ordered_at = at - timedelta(days=40, hours=24)
        placed.save(update_fields=["ordered_at"])
        for n in range(count):
            asked = at - timedelta(days=40)
            row = Authorization.objects.create(
                organization=cast.a,
                patient=who,
                coverage=cover,
                payer=payer(code),
                site=site(cast),
                member_id="HIST1",
                reviewer=payer(code).reviewer,
                status="expired",
                number=f"H{n}",
                effective_from=date(2026, 1, 1),
                effective_to=date(2026, 1, 31),
                requested_at=asked,
                decided_at=asked + timedelta(days=days),
            )
            AuthorizedService.objects.create(
                organization=cast.a,
                authorization=row,
                ordered_exam=exam,
                code="70551",
                used=1,
                status="approved",
            )
            AuthRequest.objects.create(
                organization=cast.a,
                authorization=row,
                trace=f"{code}{days}{n}{count}",
                asked_at=asked,
                **values,
            )


def test_the_board_says_by_how_many_days_a_visit_is_too_early(cast_committed):
    """Six decisions took a week, five business days. Asked on Monday, March 2, the decision can be
    expected on the 9th and the exam on the 10th; the visit stands on the 5th.
    """
    cast = cast_committed
    decided(cast, days=7, count=6)
    with scope(cast.system):
        booked = visit(cast, "70551", starts=moment("2026-03-05 10:00"))
    run_all(cast)
    with scope(cast.system):
        assert gate(booked) == "check"
        said = booked.gates["authorization"]["sentence"]
        assert "Too early by 5 days: decisions take 5 business days (6 requests, 5 to 5)." in said


def test_without_history_the_payers_rule_speaks(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551", starts=moment("2026-03-05 10:00"))
    run_all(cast)
    with scope(cast.system):
        gate(booked)
        said = booked.gates["authorization"]["sentence"]
        assert "Too early by 1 day: decisions take 3 business days (the payer's rule)." in said


def test_a_visit_far_enough_out_is_not_too_early(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        gate(booked)
        assert "Too early" not in booked.gates["authorization"]["sentence"]


def test_the_earliest_day_is_shown_where_the_visit_is_booked(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        who = patient(cast)
        Coverage.objects.create(
            organization=cast.a, patient=who, payer=payer("PHP"), member_id="PRA1", rank=1
        )
        placed = order(cast, who, "70551", "71046")
        found = services.earliest_bookable(exams=exams_of(placed), site=site(cast), at=NOW)
        assert [(b.exam.code, b.day) for b in found] == [("70551", date(2026, 3, 6))]
    text = page(cast, "ada", f"/orders/{placed.public_id}/book/").content.decode()
    assert "Earliest day" in text
    assert "the payer&#x27;s rule" in text


def test_our_time_and_the_payers_are_measured_apart_by_payer(cast_committed):
    cast = cast_committed
    decided(cast, days=2, count=2, code="PHP")
    decided(cast, days=9, code="GMA")
    decided(cast, days=2, code="HCC", urgent=True)
    with scope(cast.system):
        rows = turnaround_by_payer(cast.actor("ada"), since=NOW - timedelta(days=60), until=NOW)
        found = {r.payer: r for r in rows}
        assert next(iter(found)) == "GMA"
        assert found["PHP"].ours == timedelta(hours=24)
        assert found["PHP"].payers == timedelta(days=2)
        assert (found["PHP"].standard_in_time, found["PHP"].standard) == (2, 2)
        assert (found["GMA"].standard_in_time, found["GMA"].standard) == (0, 1)
        assert (found["HCC"].expedited_in_time, found["HCC"].expedited) == (1, 1)
        assert not turnaround_by_payer(
            cast.actor("olga"), since=NOW - timedelta(days=60), until=NOW
        )


def test_turnaround_is_on_a_screen_and_in_the_api(cast_committed):
    cast = cast_committed
    decided(cast, days=2, code="PHP", at=timezone.now())
    text = page(cast, "ada", "/authorizations/turnaround/?days=90").content.decode()
    assert "Prairie Health Plan" in text
    assert "1 of 1" in text
    token = token_of(api_partner(cast.a, "Figures", ("orders:read",)), ("orders:read",))
    client = Client(headers={"Authorization": f"Bearer {token}"})
    answer = client.get("/api/v1/authorization-turnaround", {"days": "90"})
    assert answer.status_code == 200, answer.content
    assert answer.json()[0] == {
        "payer": "PHP",
        "name": "Prairie Health Plan",
        "decided": 1,
        "our_hours": "24.0",
        "payer_hours": "48.0",
        "longest_hours": "48.0",
        "standard": 1,
        "standard_within_7_days": 1,
        "expedited": 0,
        "expedited_within_72_hours": 0,
    }
    wrong = client.get("/api/v1/authorization-turnaround", {"days": "many"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "days")
