"""An empty product: the first organization with the machine's code, then each step checked."""

from __future__ import annotations

import pytest
from django.test import Client

from rcm.accounts.models import Membership, Organization, Site, User
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.setup import services

pytestmark = pytest.mark.django_db

ORGANIZATION = {
    "code": "FIRST",
    "name": "First Imaging",
    "npi": "1234567893",
    "tin": "12-3456789",
    "address": "1 Elm St",
    "city": "Peoria",
    "state": "IL",
    "zip": "61602",
}
PERSON = {
    "first_name": "Fay",
    "last_name": "First",
    "email": "fay@first.example",
    "password": "a-long-enough-pass-phrase-7",
}
SITE = {
    "code": "FIRST-MAIN",
    "name": "Main",
    "npi": "1234567893",
    "address": "1 Elm St",
    "city": "Peoria",
    "state": "IL",
    "zip": "61602",
    "time_zone": "America/Chicago",
    "pos": "11",
}


@pytest.fixture
def code(settings, tmp_path) -> str:
    settings.BASE_DIR = tmp_path
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "setup-code.txt").write_text("abcd1234\n")
    return "abcd1234"


def begin(client, **changes):
    return client.post("/setup/", ORGANIZATION | PERSON | {"setup_code": "abcd1234"} | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"setup_code": "ffff0000"}, "not the code that was printed"),
        ({"npi": "1234567890"}, "NPI"),
        ({"password": "short"}, "too short"),
        ({"tin": "12"}, "Enter a valid value"),
        ({"email": "nobody"}, "valid email"),
    ],
)
def test_bad_input_makes_nothing(code, changes, words) -> None:
    found = begin(Client(), **changes)
    assert found.status_code == 422
    assert words in found.content.decode()
    assert not Organization.objects.exists()
    assert not User.objects.exists()


def test_without_the_machines_file_nobody_begins(settings, tmp_path) -> None:
    settings.BASE_DIR = tmp_path
    assert begin(Client(), setup_code="").status_code == 422
    assert begin(Client()).status_code == 422
    assert not User.objects.exists()


def test_the_first_person_begins_and_the_guide_checks_each_step(code) -> None:
    client = Client()
    assert client.get("/setup/").status_code == 200
    assert begin(client).status_code == 302
    assert not services.code_file().exists()
    fay = User.objects.get()
    assert fay.check_password(PERSON["password"])
    assert set(Membership.objects.values_list("role", flat=True)) == {"admin", "manager"}
    assert Organization.objects.get().tin == "123456789"
    # from now on the guide asks for a sign-in, and nobody begins again
    assert Client().get("/setup/").status_code == 302
    assert begin(Client(), code="SECOND").status_code in (302, 405)
    assert Organization.objects.count() == 1
    client.force_login(fay, backend="allauth.account.auth_backends.AuthenticationBackend")
    page = client.get("/setup/").content.decode()
    assert "None yet: exams are done somewhere" in page
    owner = Organization.objects.get()
    site = SITE | {"organization": owner.pk}
    assert client.post("/setup/site/", site | {"npi": "1234567890"}).status_code == 422
    assert client.post("/setup/site/", site | {"time_zone": "Mars"}).status_code == 422
    assert client.post("/setup/site/", site).status_code == 302
    assert client.post("/setup/site/", site).status_code == 422  # the code is taken
    assert Site.objects.get().state == "IL"
    with scope(fay.actor()):
        steps = {s.title: s for s in services.steps(fay.actor())}
    assert steps["Sites"].done
    assert steps["NPI"].done
    assert steps["Payers"].done
    assert steps["Reference files"].done
    assert not steps["Users"].done
    assert "Biller" in steps["Users"].found
    assert not steps["Connections"].done


def test_only_who_looks_after_people_sees_the_guide(cast) -> None:
    client = Client()
    for name, status in (("adam", 200), ("ben", 403)):
        client.force_login(
            cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        assert client.get("/setup/").status_code == status
        assert client.get("/setup/site/").status_code == status
    with scope(cast.actor("adam")), pytest.raises(Refused, match="no such organization"):
        services.site_make(organization_id=cast.b.pk, facts=SITE, actor=cast.actor("adam"))
