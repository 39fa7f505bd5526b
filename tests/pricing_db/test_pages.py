"""Screens of pricing: the quote explains itself, contracts stay inside their organization, sheets
are previewed.
"""

from __future__ import annotations

from datetime import date

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from rcm.accounts.scope import scope
from rcm.pricing.models import Contract, ContractRate, ListPrice, ZipLocality
from rcm.reference.models import ReferenceLoad
from tests.pages import one_line
from tests.pricing_db.test_tables import contract

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(cast):
    with scope(cast.system):
        return contract(cast)


def as_(client, cast, name):
    client.force_login(cast.user(name))
    return client


def test_the_quote_shows_every_step_from_its_address(client, cast):
    page = as_(client, cast, "ana").get(
        reverse("pricing:quote"), {"lines": "70553 $1500\n72148 $1100", "date": "09/08/2026"}
    )
    text = page.content.decode()
    assert page.status_code == 200
    assert "$316.97" in text
    assert "26 68.47 × 95% multiple procedure, second by fee = 65.05" in text
    assert "$126.68" in text


@pytest.mark.parametrize("zip_code", ["606010042", "60601-0042"])
def test_the_screen_takes_a_zip_of_nine_digits(client, cast, zip_code):
    ZipLocality.objects.create(
        zip5="60601",
        plus4="0042",
        carrier="06102",
        locality="15",
        state="IL",
        effective_from=date(2026, 1, 1),
    )
    ReferenceLoad.objects.create(kind="zips", source="test", sha256="divided")
    page = as_(client, cast, "ana").get(
        reverse("pricing:quote"), {"lines": "72148", "date": "09/08/2026", "zip": zip_code}
    )
    text = page.content.decode()
    assert page.status_code == 200
    assert "$198.42" in text
    assert "06102-15" in text


def test_a_quote_that_cannot_be_read_says_which_line(client, cast):
    page = as_(client, cast, "ana").get(reverse("pricing:quote"), {"lines": "70553\nbrain please"})
    assert page.status_code == 422
    assert "Line 2 is not written like" in page.content.decode()


def test_a_held_line_is_shown_as_held(client, cast):
    page = as_(client, cast, "ana").get(
        reverse("pricing:quote"), {"lines": "78815-TC", "date": "09/08/2026"}
    )
    assert "On hold" in page.content.decode()
    assert "not known" in page.content.decode()


def test_contracts_are_listed_to_their_own_organization_only(client, cast, made):
    listing = (
        as_(client, cast, "ben").get(reverse("pricing:contracts"), {"view": "all"}).content.decode()
    )
    assert "Prairie 2026" in listing
    page = client.get(reverse("pricing:contract", args=[made.public_id])).content.decode()
    assert "Second and later technical parts are paid at %" in page
    as_(client, cast, "olga")
    assert (
        "Prairie 2026"
        not in client.get(reverse("pricing:contracts"), {"view": "all"}).content.decode()
    )
    assert client.get(reverse("pricing:contract", args=[made.public_id])).status_code == 404
    assert client.post(reverse("pricing:rates_import", args=[made.public_id])).status_code == 404


def test_a_manager_adds_a_contract_with_its_terms(client, cast):
    from rcm.reference.models import Payer

    page = as_(client, cast, "mia").post(
        reverse("pricing:contract_new"),
        {
            "organization": cast.a.pk,
            "payer": Payer.objects.get(code="LBI").pk,
            "name": "Lakebridge 2026",
            "effective_from": "01/01/2026",
            "method": "percent_of_medicare",
            "percent": "112.5",
            "year": "2026",
            "mppr_scope": "group",
            "mppr_pc_pct": "95",
            "mppr_tc_pct": "50",
            "lesser_of": "on",
        },
    )
    assert page.status_code == 302, page.context["form"].errors
    with scope(cast.system):
        row = Contract.objects.get(name="Lakebridge 2026")
    assert row.terms == {
        "percent": "112.5",
        "mppr_pc_pct": "95",
        "mppr_tc_pct": "50",
        "year": 2026,
        "mppr_scope": "group",
        "lesser_of": True,
        "opps_cap": False,
        "equipment_reductions": False,
        "sequestration": False,
    }
    shown = client.get(reverse("pricing:contract", args=[row.public_id])).content.decode()
    assert "112.5% of Medicare" in shown


def test_rates_are_previewed_and_then_applied(client, cast, made):
    as_(client, cast, "mia")
    url = reverse("pricing:rates_import", args=[made.public_id])
    upload = SimpleUploadedFile("rates.csv", b"method,code,amount\nflat,70553,400\nflat,bad,1\n")
    page = client.post(url, {"file": upload})
    text = one_line(page.content.decode())
    assert "1 to add, 0 to change, 0 as before, 1 refused" in text
    with scope(cast.system):
        assert not ContractRate.objects.exists()
    hidden = dict(page.context["hidden"])
    assert client.post(url, hidden).status_code == 302
    with scope(cast.system):
        assert ContractRate.objects.get().code == "70553"
    again = client.post(url, hidden, follow=True)
    assert "no longer kept" in again.content.decode()


def test_another_person_cannot_apply_my_sheet(client, cast, made):
    url = reverse("pricing:rates_import", args=[made.public_id])
    page = as_(client, cast, "mia").post(
        url, {"file": SimpleUploadedFile("rates.csv", b"method,code,amount\nflat,70553,400\n")}
    )
    as_(client, cast, "max").post(url, dict(page.context["hidden"]))
    with scope(cast.system):
        assert not ContractRate.objects.exists()


def test_list_prices_are_imported_through_the_screen(client, cast):
    as_(client, cast, "mia")
    url = reverse("pricing:prices_import")
    data = {
        "organization": cast.a.pk,
        "effective_from": "01/01/2026",
        "file": SimpleUploadedFile("p.csv", b"code,amount\n70553,1500\n"),
    }
    page = client.post(url, data)
    assert page.status_code == 200, page.context["form"].errors
    assert client.post(url, dict(page.context["hidden"])).status_code == 302
    with scope(cast.system):
        assert str(ListPrice.objects.get().amount) == "1500.00"
    assert "$1,500.00" in client.get(reverse("pricing:prices"), {"view": "all"}).content.decode()


@pytest.mark.parametrize("name", ["contract_new", "prices_import"])
def test_only_rule_editors_open_the_forms(client, cast, name):
    assert as_(client, cast, "mia").get(reverse(f"pricing:{name}")).status_code == 200
    assert as_(client, cast, "ben").get(reverse(f"pricing:{name}")).status_code == 403
