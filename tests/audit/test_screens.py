"""For compliance: whose chart was read by whom, what changed, and that looking at it is logged
too.
"""

from __future__ import annotations

from datetime import date

import pytest
from django.test import Client
from django.urls import reverse

from intake.models import Patient
from rcm.accounts.scope import scope
from rcm.audit.models import Access, Change
from rcm.audit.services import Step, record_access, record_steps

pytestmark = pytest.mark.django_db


@pytest.fixture
def enter(cast):
    def signed_in(name: str) -> Client:
        client = Client()
        client.force_login(
            cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        return client

    return signed_in


@pytest.fixture
def patient(cast) -> Patient:
    with scope(cast.actor("ana")):
        row = Patient.objects.create(
            organization=cast.a,
            mrn="M880412",
            last_name="IBARRA",
            first_name="Marisol",
            born_on=date(1958, 3, 27),
            sex="F",
            search="ibarra m880412",
        )
        Patient.objects.filter(pk=row.pk).update(phone="2175550142")
        record_steps(
            [Step(cast.a.pk, "patient.registered", "Registered", {"patient_id": row.pk})],
            actor=cast.actor("ana"),
        )
    with scope(cast.actor("ari")):  # the database names whoever is signed in
        record_access(
            organization_id=cast.a.pk,
            patient_ids=[row.pk],
            actor=cast.actor("ari"),
            purpose="patient account",
            request_id="r-1",
        )
    return row


@pytest.mark.parametrize("path", ["/audit/reads/", "/audit/changes/", "/audit/steps/"])
def test_only_compliance_reads_the_log(cast, enter, patient, path) -> None:
    assert enter("cleo").get(path).status_code == 200
    for who in ("mia", "adam", "ari", "ana"):
        assert enter(who).get(path).status_code == 403


def test_reads_are_found_by_patient_reader_and_day(cast, enter, patient) -> None:
    client = enter("cleo")
    for query in (
        "q=M880412",
        f"q={patient.public_id}",
        "q=ibarra",
        "who=ari",
        "purpose=account",
        "since=01/01/2020",
    ):
        html = client.get(f"/audit/reads/?{query}").content.decode()
        assert "Ari Receivable" in html, query
        assert "IBARRA, Marisol" in html
    for query in ("q=NOBODY", "who=zzz", "until=01/01/2020", "since=never"):
        assert "Ari Receivable" not in client.get(f"/audit/reads/?{query}").content.decode(), query


def test_an_export_of_the_log_is_itself_a_logged_disclosure(cast, enter, patient) -> None:
    body = b"".join(enter("cleo").get("/audit/reads/?export=csv").streaming_content).decode()
    assert "M880412" in body
    with scope(cast.system):
        assert Access.objects.filter(
            patient_id=patient.pk, actor_name="Cleo Compliance", purpose="export audit reads"
        ).exists()
        b"".join(enter("cleo").get("/audit/changes/?export=csv").streaming_content)
        assert Access.objects.filter(patient_id=patient.pk, purpose="export audit changes").exists()


def test_a_change_is_shown_before_and_after_with_its_author(cast, enter, patient) -> None:
    with scope(cast.system):
        change = Change.objects.get(table_name="intake_patient", row_id=patient.pk, op="U")
    html = enter("cleo").get(reverse("audit:change", args=[change.pk])).content.decode()
    assert "<ins>2175550142</ins>" in html
    assert "Ana Frontdesk" in html
    assert "Created" in html  # the whole history of the row stands beside it
    with scope(cast.system):
        assert Access.objects.filter(patient_id=patient.pk, purpose="audit change").exists()
    assert "Phone" in enter("cleo").get("/audit/changes/?patient=M880412").content.decode().replace(
        "phone", "Phone"
    )


def test_another_organization_sees_none_of_it(cast, enter, patient) -> None:
    from rcm.accounts.models import Membership

    Membership.objects.create(user=cast.user("olga"), organization=cast.b, role="compliance")
    client = enter("olga")
    for path in ("/audit/reads/", "/audit/changes/", "/audit/steps/", "/audit/reads/?q=M880412"):
        assert "IBARRA" not in client.get(path).content.decode()
    with scope(cast.system):
        change = Change.objects.filter(table_name="intake_patient").first()
    assert client.get(reverse("audit:change", args=[change.pk])).status_code == 404


def test_odd_filters_never_break_the_log(cast, enter, patient) -> None:
    client = enter("cleo")
    for path in ("/audit/reads/", "/audit/changes/", "/audit/steps/"):
        for query in (
            "q=%27%20OR%201=1--",
            "since=99/99/9999",
            "table=pg_shadow",
            "q=99999999999999999999",
            "cursor=x",
            "patient=%25",
            "verb=%5C",
        ):
            assert client.get(f"{path}?{query}").status_code == 200, (path, query)


@pytest.mark.parametrize("count", [3, 40])
def test_the_number_of_queries_does_not_grow(
    cast, enter, patient, count, django_assert_max_num_queries
) -> None:
    with scope(cast.system):
        for n in range(count):
            record_access(
                organization_id=cast.a.pk,
                patient_ids=[patient.pk],
                actor=cast.actor("ari"),
                purpose=f"page {n}",
            )
    client = enter("cleo")
    client.get("/audit/reads/")
    with django_assert_max_num_queries(22):
        client.get("/audit/reads/")
