"""The front desk in a real Chromium: every page accessible, the payer's answer lands by itself, a
patient is registered with keys alone.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from authorizations.models import Authorization
from authorizations.services import requirement_decide
from intake.models import Coverage, Patient
from intake.services import appointment_book
from rcm.accounts.scope import scope
from tests.browser import CHROMIUM, violations_in_both_themes
from tests.intake.house import active, exams_of, insured, order, partner, patient, run_all, site

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason="Debian's chromium is not installed (apt-get install chromium)",
    ),
]


def test_every_front_desk_page_is_accessible(enter, cast_committed, live_server):
    cast = cast_committed
    with scope(cast.system):
        who = patient(cast)
        coverage = insured(cast, who)
        placed = order(cast, who, "70551")
        visit = appointment_book(
            patient=who,
            site=site(cast),
            starts_at=timezone.now() + timedelta(minutes=5),
            exams=exams_of(placed),
            actor=cast.system,
            enforce=False,
        )
        requirement_decide(appointment_ids=[visit.pk], actor=cast.system)
        row = Authorization.objects.get()
    pages = [
        f"{reverse('intake:today')}?view=days3",
        f"{reverse('intake:patients')}?q=ibara",
        reverse("intake:patient", args=[who.public_id]),
        reverse("intake:coverage", args=[coverage.public_id]),
        reverse("intake:order", args=[placed.public_id]),
        reverse("intake:appointment", args=[visit.public_id]),
        reverse("authorizations:list"),
        reverse("authorizations:detail", args=[row.public_id]),
        reverse("authorizations:decide", args=[row.public_id]),
    ]
    page = enter(reverse("intake:today"), who="ada", width=1280)
    for path in pages:
        page.goto(live_server.url + path)
        assert violations_in_both_themes(page) == [], path


def test_a_returning_patient_is_found_and_a_new_one_registered_with_keys_alone(
    enter, cast_committed, settings
):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(active)
        with scope(cast.system):
            patient(cast)
        page = enter(reverse("intake:patients"), who="ana")
        page.keyboard.type("ibara")
        page.wait_for_selector("#hits a.id")
        page.fill("#id_q", "Okafor Ada 02031970")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=No chart is like “Okafor")
        page.click("text=Register a new patient")
        page.wait_for_selector("#id_last_name")
        assert page.input_value("#id_last_name") == "Okafor"
        page.select_option("#id_sex", "F")
        page.focus("#id_phone")
        page.keyboard.type("3125550199")
        page.keyboard.press("Enter")
        page.wait_for_url("**/coverages/new/")
        page.select_option("#id_payer", label="Prairie Health Plan")
        page.focus("#id_member_id")
        page.keyboard.type("PRA123456789")
        page.keyboard.press("Enter")
        page.wait_for_selector("#answer >> text=Waiting for Prairie Health Plan")
        run_all(cast, timezone.now())
        page.wait_for_selector("#answer >> text=Prairie PPO", timeout=8000)
        assert "$40.00" in page.inner_text("#answer")
        with scope(cast.system):
            assert Patient.objects.get(last_name="Okafor").first_name == "Ada"
            assert Coverage.objects.get().status == "active"
