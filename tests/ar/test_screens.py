"""Screens of receivables by role, by another organization, with filters, exports and odd input."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from ar import services
from ar.kpi.definitions import KPIS
from ar.models import PatientPayment, Refund, Statement, WriteOffRequest
from rcm.accounts.scope import scope
from rcm.audit.models import Access
from tests.ar.conftest import balance, bill, call, deny

pytestmark = pytest.mark.django_db


def text(response) -> str:
    return response.content.decode()


PAGES = (
    "/performance/",
    "/performance/lag/",
    "/aging/",
    "/aging/?basis=billed",
    "/aging/lines/",
    "/follow-up/?view=all",
    "/approvals/",
    "/write-offs/?view=all",
    "/refunds/",
    "/statements/",
    "/statements/run/",
    "/patient-accounts/",
    "/credits/",
)


def test_a_manager_opens_every_page_and_an_administrator_none(cast, enter) -> None:
    bill(cast, paid=80, contractual=200, copay=20)
    bill(cast, days_ago=60)
    manager, admin = enter(cast, "mia"), enter(cast, "adam")
    for path in PAGES:
        response = manager.get(path)
        assert response.status_code == 200, path
        assert " style=" not in text(response), path
        assert admin.get(path).status_code == 403, path


def test_every_figure_opens_its_rows(cast, enter) -> None:
    b = bill(cast, paid=60, contractual=200, status="partial")
    deny(cast, b)
    client = enter(cast, "mia")
    for n, k in enumerate(KPIS):
        part = ("numerator", "denominator", "missed", "nonsense")[n % 4]
        assert client.get(f"/performance/{k.code}/?part={part}").status_code == 200, k.code
        body = b"".join(client.get(f"/performance/{k.code}/?export=csv").streaming_content).decode()
        assert "Numerator" in body
    assert client.get("/performance/no_such_figure/").status_code == 404


def test_the_dashboard_shows_target_trend_definition_and_its_sentence(cast, enter) -> None:
    bill(cast, days_ago=20)
    today = timezone.localdate()
    with scope(cast.system):
        for back in (7, 14, 21):
            services.kpi_snapshot(
                organization_id=cast.a.pk, day=today - timedelta(days=back), actor=cast.system
            )
    html = text(enter(cast, "mia").get("/performance/"))
    assert html.count('class="stat"') == len(KPIS)
    assert "Target at least 98.0%" in html
    assert "HFMA CL-1" in html
    assert "Open balance by payer and age" in html
    assert "miss their target" in html
    body = b"".join(enter(cast, "mia").get("/performance/?export=csv").streaming_content).decode()
    assert body.count("\n") == len(KPIS) + 1


def test_sites_and_payers_in_the_url_narrow_every_figure(cast, enter) -> None:
    bill(cast, days_ago=10)
    bill(cast, days_ago=10, site=cast.south, charged=1000)
    client = enter(cast, "mia")
    assert "$1,300.00 open" in text(client.get("/aging/"))
    assert "$1,000.00 open" in text(client.get(f"/aging/?site={cast.south.pk}"))
    assert "$1,300.00 open" in text(
        client.get(f"/aging/?site={cast.b_site.pk}")
    )  # a stranger's site is no filter
    assert "$0.00 open" in text(client.get("/aging/?day=01/01/2020"))


def test_odd_days_sites_and_cursors_never_break_a_page(cast, enter) -> None:
    bill(cast)
    client = enter(cast, "mia")
    for query in (
        "day=tomorrow",
        "day=2999-01-01",
        "day=%00",
        "site=abc&payer='--",
        "after=1e9999:1",
        "after=NaN:x",
        "after=5:99999999999999999999",
        "bucket=%27",
        "basis=x",
    ):
        for path in (
            "/performance/",
            "/performance/over_90/",
            "/aging/",
            "/aging/lines/",
            "/performance/lag/",
        ):
            assert client.get(f"{path}?{query}").status_code == 200, (path, query)


def test_a_patients_account_adds_up_and_is_logged_as_a_read(cast, enter) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20)
    html = text(enter(cast, "ari").get(reverse("ar:account", args=[b.patient.public_id])))
    assert "$20.00 owed" in html
    assert "Notice 1 for $20.00" in html
    with scope(cast.system):
        assert (
            Access.objects.filter(patient_id=b.patient.pk, purpose="patient account").count() == 1
        )


def test_another_organization_finds_nothing(cast, enter) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20)
    with scope(cast.actor("ana")):
        payment = services.payment_take(
            patient=b.patient, amount=Decimal(5), method="cash", actor=cast.actor("ana")
        )
    with scope(cast.system):
        (statement,) = services.statements_send(organization_id=cast.a.pk, actor=cast.system)
    client = enter(cast, "olga")
    for url in (
        reverse("ar:account", args=[b.patient.public_id]),
        reverse("ar:receipt", args=[payment.public_id]),
        reverse("ar:statement_pdf", args=[statement.public_id]),
        reverse("ar:payment_void", args=[payment.public_id]),
        reverse("ar:transfer", args=[b.charge.public_id]),
        reverse("ar:plan_new", args=[b.patient.public_id]),
    ):
        assert client.get(url).status_code == 404, url
    for path in (
        "/performance/over_90/",
        "/aging/",
        "/aging/lines/",
        "/patient-accounts/",
        "/statements/",
        "/follow-up/?view=all",
    ):
        assert "CANA" not in text(client.get(path)), path


def test_the_desk_takes_a_payment_and_voids_it(cast, enter) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20)
    client = enter(cast, "ana")
    wrong = client.post(
        reverse("ar:payment_new", args=[b.patient.public_id]),
        {"amount": "NaN", "method": "card", "received_on": "01/01/2099"},
    )
    assert wrong.status_code == 422
    response = client.post(
        reverse("ar:payment_new", args=[b.patient.public_id]),
        {"amount": "20.00", "method": "card", "received_on": f"{timezone.localdate():%m/%d/%Y}"},
        follow=True,
    )
    assert "Receipt R" in text(response)
    assert balance(cast, b)[1] == 0
    with scope(cast.system):
        row = PatientPayment.objects.get()
    assert (
        client.post(
            reverse("ar:payment_void", args=[row.public_id]), {"reason": "Charged back"}
        ).status_code
        == 302
    )
    assert balance(cast, b)[1] == Decimal("20.00")


def test_a_write_off_from_the_claim_to_the_second_person(cast, enter) -> None:
    b = bill(cast)
    deny(cast, b, category="medical_necessity", status="upheld")
    ari, mia = enter(cast, "ari"), enter(cast, "mia")
    url = reverse("ar:write_off_new", args=[b.claim.public_id])
    data = {
        "charge": b.charge.pk,
        "account": "ar_insurance",
        "amount": "300.00",
        "reason": "denial",
        "note": "Upheld at level 2",
    }
    refused = ari.post(url, data)
    assert refused.status_code == 422
    assert "No contact with the payer is documented" in text(refused)
    call(cast, b)
    assert ari.post(url, data).status_code == 302
    with scope(cast.system):
        row = WriteOffRequest.objects.get()
    page = reverse("ar:write_off", args=[row.public_id])
    assert "Save decision" not in text(ari.get(page))
    assert ari.post(page, {"decision": "approve"}).status_code == 403
    assert mia.get(url).status_code == 403  # a manager does not ask
    assert "$300.00" in text(mia.get("/approvals/"))
    assert mia.post(page, {"decision": "approve", "note": "agreed"}).status_code == 302
    assert balance(cast, b)[0] == 0
    assert "decided this already" in text(mia.post(page, {"decision": "approve"}, follow=True))


def test_a_refund_from_the_credit_to_the_check(cast, enter) -> None:
    b = bill(cast, charged=300, paid=110, contractual=200)
    with scope(cast.system):
        services.credits_refresh(organization_id=cast.a.pk, actor=cast.system)
    ari, mia = enter(cast, "ari"), enter(cast, "mia")
    assert "belongs to the payer" in text(ari.get("/credits/?view=all"))
    assert (
        ari.post(
            reverse("ar:refund_new", args=[b.charge.public_id]),
            {"to": "payer", "amount": "10.00", "cause": "payer_overpaid"},
        ).status_code
        == 302
    )
    with scope(cast.system):
        page = reverse("ar:refund", args=[Refund.objects.get().public_id])
    assert ari.post(page, {"decision": "approve"}).status_code == 403
    assert mia.post(page, {"decision": "approve"}).status_code == 302
    assert "Paid out" in text(ari.post(page + "issue/", {"reference": "CK 77"}, follow=True))
    assert balance(cast, b)[0] == 0


def test_the_statement_run_is_previewed_then_sent_once(cast, enter) -> None:
    bill(cast, paid=80, contractual=200, copay=20)
    client = enter(cast, "ari")
    assert "1 patient, $20.00" in text(client.get("/statements/run/"))
    client.post("/statements/run/")
    client.post("/statements/run/")
    with scope(cast.system):
        row = Statement.objects.get()
    response = client.get(reverse("ar:statement_pdf", args=[row.public_id]))
    assert response["Content-Type"] == "application/pdf"
    assert response.content.startswith(b"%PDF")


def test_follow_up_panel_shows_score_parts_and_money(cast, enter) -> None:
    bill(cast, days_ago=60)
    with scope(cast.system):
        services.followup_refresh(organization_id=cast.a.pk, actor=cast.system)
    html = text(enter(cast, "ari").get("/follow-up/?view=all"))
    assert "Silent for 58 days" in html
    assert "expected × " in html
    assert "$300.00 open with insurance" in html
    assert "Ask for the claim status" in html


@pytest.mark.parametrize("count", [5, 40])
def test_the_number_of_queries_does_not_grow(cast, enter, count) -> None:
    for _ in range(count):
        bill(cast, paid=80, contractual=200, copay=20)
    client = enter(cast, "mia")
    limits = {
        "/patient-accounts/": 22,
        "/aging/lines/": 24,
        "/performance/dro/": 32,
        "/statements/run/": 32,
        "/performance/": 52,
        "/aging/": 22,
    }
    for path, limit in limits.items():
        client.get(path)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        assert len(queries) <= limit, (path, len(queries))


def test_accounts_are_exported_with_a_log_of_each_patient(cast, enter) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20)
    body = b"".join(
        enter(cast, "ari").get("/patient-accounts/?export=csv").streaming_content
    ).decode()
    assert b.patient.mrn in body
    with scope(cast.system):
        assert (
            Access.objects.filter(patient_id=b.patient.pk, purpose__startswith="export").count()
            == 1
        )
