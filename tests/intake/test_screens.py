"""The front desk through the browser's requests: by role, by organization, and without script."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from authorizations.models import Authorization
from authorizations.services import requirement_decide
from intake.models import Appointment, Coverage, Estimate, Order, Patient
from intake.services import appointment_book, coverage_add, estimate_make
from rcm.accounts.scope import scope
from rcm.audit.models import Access
from rcm.pricing.models import ListPrice
from tests.intake.house import exams_of, insured, order, patient, payer, site

pytestmark = pytest.mark.django_db


@pytest.fixture
def door(cast):
    """Sign in by first name."""

    def open_as(name: str) -> Client:
        client = Client()
        client.force_login(
            cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        return client

    return open_as


@pytest.fixture
def visit(cast):
    with scope(cast.system):
        who = patient(cast)
        insured(cast, who)
        booked = appointment_book(
            patient=who,
            site=site(cast),
            starts_at=timezone.now() + timedelta(minutes=1),
            exams=exams_of(order(cast, who, "70551", "71046")),
            actor=cast.system,
            enforce=False,
        )
        requirement_decide(appointment_ids=[booked.pk], actor=cast.system)
        return Appointment.objects.select_related("patient", "site").get(pk=booked.pk)


def text(response) -> str:
    return response.content.decode()


def test_the_board_shows_five_words_and_stop_comes_first(door, cast, visit):
    page = door("ana").get(reverse("intake:today"))
    assert page.status_code == 200
    for word in (
        "Identity",
        "Order",
        "Eligibility",
        "Authorization",
        "Money",
        "1 of 1 not ready, first at",
    ):
        assert word in text(page)
    assert "Ibarra, Marisol" in text(page)
    assert "Ibarra" not in text(door("olga").get(reverse("intake:today")))
    assert door("ben").get(reverse("intake:today")).status_code == 403
    for tab in ("tomorrow", "days3", "days14"):
        assert door("ana").get(reverse("intake:today"), {"view": tab}).status_code == 200


def test_the_board_costs_the_same_for_one_visit_and_for_twenty(door, cast, visit):
    client = door("ana")
    client.get(reverse("intake:today"))
    with CaptureQueriesContext(connection) as one:
        client.get(reverse("intake:today"), {"view": "days14"})
    with scope(cast.system):
        for n in range(20):
            who = patient(cast, mrn=f"M{n}", first=f"Pat{n}")
            appointment_book(
                patient=who,
                site=site(cast),
                starts_at=timezone.now() + timedelta(hours=1),
                exams=exams_of(order(cast, who, "71046")),
                actor=cast.system,
                enforce=False,
            )
    with CaptureQueriesContext(connection) as many:
        assert client.get(reverse("intake:today"), {"view": "days14"}).status_code == 200
    assert len(many) <= len(one) <= 28


def test_search_finds_by_misspelled_name_birth_date_and_phone(door, cast, visit):
    client = door("ana")
    for words in ("ibara", "03271958", "3/27/1958", "M880412", "3125550142", "marisol ibarra"):
        assert "Ibarra, Marisol" in text(client.get(reverse("intake:patients"), {"q": words})), (
            words
        )
    assert "No chart is like" in text(client.get(reverse("intake:patients"), {"q": "zebrowski"}))
    with scope(cast.system):
        assert Access.objects.filter(purpose="patient search").exists()


def test_a_duplicate_is_offered_before_a_new_chart_is_made(door, cast, visit):
    client = door("ana")
    typed = {
        "last_name": "Ibarra",
        "first_name": "Marisol",
        "born_on": "03271958",
        "sex": "F",
        "phone": "3125550142",
    }
    assert "may be this person" in text(client.get(reverse("intake:alike"), typed))
    first = client.post(reverse("intake:patient_new"), typed)
    assert first.status_code == 422
    assert "A chart with this name and birth date exists" in text(first)
    second = client.post(reverse("intake:patient_new"), typed | {"another_because": "Cousins"})
    assert second.status_code == 302
    with scope(cast.system):
        assert Patient.objects.count() == 2
    wrong = client.post(
        reverse("intake:patient_new"),
        {"last_name": "", "first_name": "A", "born_on": "13/45/1958", "sex": "F"},
    )
    assert "Enter the last name" in text(wrong)
    assert "must be a real date" in text(wrong)


def test_what_was_searched_fills_the_form(door, cast):
    page = text(
        door("ana").get(reverse("intake:patient_new"), {"q": "lopez maria 03271958 3125550199"})
    )
    for value in ('value="Lopez"', 'value="Maria"', 'value="03/27/1958"'):
        assert value in page


def test_two_people_edit_one_chart_and_the_second_sees_both_values(door, cast, visit):
    row = visit.patient
    url = reverse("intake:patient_edit", args=[row.public_id])
    typed = {
        "last_name": "Ibarra",
        "first_name": "Marisol",
        "born_on": "03271958",
        "sex": "F",
        "mrn": row.mrn,
        "version": row.version,
    }
    assert door("ana").post(url, typed | {"phone": "3125550188"}).status_code == 302
    second = door("mia").post(url, typed | {"phone": "3125550177"})
    assert second.status_code == 409
    assert "(312) 555-0177" in text(second) or "3125550177" in text(second)
    assert "3125550188" in text(second)


def test_a_coverage_is_entered_without_script_and_says_when_nobody_can_be_asked(door, cast, visit):
    client = door("ana")
    url = reverse("intake:coverage_new", args=[visit.patient.public_id])
    bad = client.post(url, {"payer": payer("LBI").pk, "rank": 1, "relationship": "18"})
    assert bad.status_code == 422
    assert "Enter the member ID" in text(bad)
    good = client.post(
        url,
        {"payer": payer("LBI").pk, "member_id": "lb 123", "rank": 1, "relationship": "18"},
        follow=True,
    )
    assert "not verified: No connection is set up" in text(good)
    with scope(cast.system):
        active = Coverage.objects.get(active=True)
        assert (active.member_id, active.payer.code) == ("LB123", "LBI")
        assert Coverage.objects.filter(active=False).count() == 1


def test_medicare_second_is_asked_why_at_the_desk(door, cast, visit):
    client = door("ana")
    url = reverse("intake:coverage_new", args=[visit.patient.public_id])
    typed = {"payer": payer("MCR").pk, "member_id": "1EG4TE5MK73", "rank": 2, "relationship": "18"}
    asked = client.post(url, typed, follow=True)
    assert "Say why Medicare pays second" in text(asked)
    with scope(cast.system):
        row = Coverage.objects.get(payer__code="MCR")
    page = reverse("intake:coverage", args=[row.public_id])
    told = client.post(page, typed | {"second_reason": "12", "version": row.version}, follow=True)
    assert "Say why Medicare pays second" not in text(told)
    with scope(cast.system):
        row.refresh_from_db()
    assert row.second_reason == "12"


def test_order_then_book_then_the_page_of_the_visit(door, cast, visit):
    client = door("ana")
    url = reverse("intake:order_new", args=[visit.patient.public_id])
    placed = client.post(
        url,
        {
            "code1": "73721",
            "side1": "",
            "ordering_npi": "1932102084",
            "indication": "pain",
            "diagnoses": "M25.561",
        },
    )
    assert placed.status_code == 302
    with scope(cast.system):
        row = Order.objects.latest("id")
    page = text(client.get(reverse("intake:order", args=[row.public_id])))
    for gap in ("The order is not signed", "73721 needs a side", "says only"):
        assert gap in page
    tomorrow = timezone.localdate() + timedelta(days=30)
    with scope(cast.system):
        exam = row.exams.get().pk
    booked = client.post(
        reverse("intake:book", args=[row.public_id]),
        {
            "site": site(cast).pk,
            "day": f"{tomorrow:%m%d%Y}",
            "at": "940",
            "minutes": "30",
            "exams": [exam],
        },
    )
    assert booked.status_code == 302, text(booked)
    page = text(client.get(booked.url))
    assert "9:40 AM" in page
    assert "IBARRA" in page


def test_the_visit_cannot_be_confirmed_until_the_authorization_is_met_or_overridden(
    door, cast, visit
):
    ana, ada = door("ana"), door("ada")
    page = reverse("intake:appointment", args=[visit.public_id])
    refused = ana.post(
        reverse("intake:confirm", args=[visit.public_id]), {"version": visit.version}, follow=True
    )
    assert "Authorization:" in text(refused)
    override = reverse("intake:override", args=[visit.public_id, "authorization"])
    assert ana.get(override).status_code == 403
    assert "at risk" in text(ada.get(override))
    assert ada.post(override, {"reason": ""}).status_code == 422
    assert ada.post(override, {"reason": "Physician takes the risk"}).status_code == 302
    assert "Overridden by Ada Authorizer" in text(ada.get(page))
    assert "Physician takes the risk" in text(door("mia").get(reverse("intake:overrides")))


def test_a_stranger_finds_nothing(door, cast, visit):
    olga = door("olga")
    with scope(cast.system):
        auth = Authorization.objects.get(appointment=visit)
        routes = [
            reverse("intake:patient", args=[visit.patient.public_id]),
            reverse("intake:appointment", args=[visit.public_id]),
            reverse("intake:coverage", args=[Coverage.objects.get().public_id]),
            reverse("intake:order", args=[Order.objects.get().public_id]),
            reverse("authorizations:detail", args=[auth.public_id]),
            reverse("authorizations:decide", args=[auth.public_id]),
        ]
    for route in routes:
        assert olga.get(route).status_code == 404, route


@pytest.mark.parametrize(
    ("name", "status"), [("ana", 200), ("ada", 200), ("cody", 200), ("adam", 403)]
)
def test_who_may_open_a_chart(door, cast, visit, name, status):
    assert (
        door(name).get(reverse("intake:patient", args=[visit.patient.public_id])).status_code
        == status
    )


def test_the_authorization_page_cites_the_rule_and_takes_a_phone_answer(door, cast, visit):
    ada = door("ada")
    with scope(cast.system):
        row = Authorization.objects.get(appointment=visit)
    page = text(ada.get(reverse("authorizations:detail", args=[row.public_id])))
    assert "70551 needs authorization under rule" in page
    assert "Request electronically" in page
    assert "Request electronically" not in text(
        door("ana").get(reverse("authorizations:detail", args=[row.public_id]))
    )
    refused = ada.post(reverse("authorizations:request", args=[row.public_id]), follow=True)
    assert "No connection is set up that takes a 278" in text(refused)
    with scope(cast.system):
        line = row.services.get().pk
    url = reverse("authorizations:decide", args=[row.public_id])
    bad = ada.post(
        url, {"status": "approved", "channel": "phone", f"units{line}": "1", "version": row.version}
    )
    assert bad.status_code == 422
    assert "Enter the authorization number." in text(bad)
    today = timezone.localdate()
    good = {
        "status": "approved",
        "number": "A-1",
        "effective_from": f"{today:%m%d%Y}",
        "effective_to": f"{today + timedelta(days=30):%m%d%Y}",
        "channel": "phone",
        "contact": "Kim",
        f"units{line}": "1",
        "version": row.version,
    }
    done = ada.post(url, good)
    assert done.status_code == 302
    assert "Approved, number A-1" in text(ada.get(done.url))
    assert "A-1" in text(ada.get(reverse("authorizations:list"), {"view": "granted"}))
    assert ada.post(url, good).url == done.url  # the same form again repeats its answer
    stale = ada.post(url, good | {"form_key": "a form opened before the decision"})
    assert stale.status_code == 409


def test_a_good_faith_estimate_is_a_page_and_a_pdf_that_no_name_can_break(door, cast):
    with scope(cast.system):
        ListPrice.objects.create(
            organization=cast.a,
            code="71046",
            amount=Decimal("120.00"),
            effective_from=date(2024, 1, 1),
        )
        who = patient(cast, last="O'<b>Neil</i>", mrn="X1")
        coverage_add(patient=who, payer=payer("SELF"), member_id="", actor=cast.system)
        booked = appointment_book(
            patient=who,
            site=site(cast),
            starts_at=timezone.now() + timedelta(days=20),
            exams=exams_of(order(cast, who, "71046")),
            actor=cast.system,
        )
        assert booked.gates["money"]["sentence"].startswith("Give the good-faith estimate by")
        row = estimate_make(appointment=booked, actor=cast.actor("ana"))
        assert (row.kind, row.patient_share, row.hold) == ("gfe", Decimal("120.00"), "")
        assert row.due_on is not None
    client = door("ana")
    page = client.get(reverse("intake:estimate", args=[row.public_id]))
    assert "$120.00" in text(page)
    assert "dispute the bill within 120 calendar days" in text(page)
    pdf = client.get(reverse("intake:estimate_pdf", args=[row.public_id]))
    assert pdf.content.startswith(b"%PDF")
    with scope(cast.system):
        assert Estimate.objects.count() == 1


def test_an_estimate_that_cannot_be_computed_says_why(cast, visit):
    with scope(cast.system):
        row = estimate_make(appointment=visit, actor=cast.actor("ana"))
        assert row.patient_share is None
        assert "No contract with" in row.hold
        visit.refresh_from_db()
        assert visit.gates["money"]["state"] == "check"


def test_the_palette_finds_a_patient(door, cast, visit):
    assert "Ibarra, Marisol" in text(door("ana").get(reverse("web:palette"), {"q": "ibarra"}))


def test_verify_the_days_ahead_starts_a_run(door, cast, visit):
    client = door("ana")
    assert client.get(reverse("intake:verify")).status_code == 200
    assert client.post(reverse("intake:verify"), {"days": "99"}).status_code == 422
    assert client.post(reverse("intake:verify"), {"days": "3"}).status_code == 302
    assert "Verify coverage of the next 3 days" in text(client.get(reverse("intake:verify")))
