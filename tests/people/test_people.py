"""Users and partner systems: who may come in, and who is out at once (RELIABILITY S14, S19, S22;
DOMAIN I3).
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client

from rcm.accounts.models import Membership, Partner, User
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.audit.models import Event
from rcm.people import services

pytestmark = pytest.mark.django_db
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@pytest.fixture(autouse=True)
def _clean():
    cache.clear()


@pytest.fixture
def adam(cast) -> Client:
    browser = Client()
    browser.force_login(cast.user("adam"), backend=BACKEND)
    return browser


def told(cast) -> list[tuple[str, str]]:
    with scope(cast.system):
        return list(
            Event.objects.filter(verb__regex=r"^(user|partner)\.")
            .order_by("id")
            .values_list("verb", "sentence")
        )


def test_an_invited_user_chooses_a_password_by_the_link_and_has_only_that_role(cast, adam) -> None:
    form = {
        "first_name": "Nora",
        "last_name": "New",
        "email": "Nora@Cana.test",
        "organization": cast.a.pk,
        "role": "biller",
        "site": "",
    }
    answer = adam.post("/people/invite/", form)
    user = User.objects.get(email="nora@cana.test")
    assert answer["Location"] == f"/people/{user.public_id}/"
    assert not user.has_usable_password()
    assert user.actor().roles == {"biller"}
    (letter,) = mail.outbox
    assert letter.to == ["nora@cana.test"]
    link = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", letter.body)
    assert link, letter.body
    page = Client()
    form_page = page.get(link[1], follow=True)
    done = page.post(
        form_page.redirect_chain[-1][0],
        {"password1": "blue-rivers-7-run", "password2": "blue-rivers-7-run"},
    )
    assert done.status_code == 302
    user.refresh_from_db()
    assert user.check_password("blue-rivers-7-run")
    assert told(cast) == [("user.role_given", "Nora New became Biller, by Adam Admin")]
    assert Client().get(link[1], follow=True).context["token_fail"] is True


def test_a_disabled_user_is_out_on_the_next_request(cast, adam) -> None:
    ben = Client()
    ben.force_login(cast.user("ben"), backend=BACKEND)
    assert ben.get("/profile/").status_code == 200
    adam.post(f"/people/{cast.user('ben').public_id}/disable/")
    assert ben.get("/profile/")["Location"].startswith("/accounts/login/")
    entered = Client().post(
        "/accounts/login/", {"login": "ben@cana.test", "password": "correct-horse-9"}
    )
    assert "_auth_user_id" not in Client().session
    assert entered.status_code in (200, 302)
    adam.post(f"/people/{cast.user('ben').public_id}/enable/")
    again = Client()
    again.post("/accounts/login/", {"login": "ben@cana.test", "password": "correct-horse-9"})
    assert again.get("/profile/").status_code == 200
    assert [verb for verb, _ in told(cast)] == ["user.disabled", "user.enabled"]


def test_signing_a_user_out_ends_every_browser(cast, adam) -> None:
    browsers = [Client() for _ in range(2)]
    for browser in browsers:
        browser.post("/accounts/login/", {"login": "pia@cana.test", "password": "correct-horse-9"})
        assert browser.get("/profile/").status_code == 200
    page = adam.get(f"/people/{cast.user('pia').public_id}/").content.decode()
    assert page.count("last seen") == 2
    adam.post(f"/people/{cast.user('pia').public_id}/sign-out/")
    assert [b.get("/profile/").status_code for b in browsers] == [302, 302]


def test_a_role_taken_away_is_gone_on_the_next_request(cast, adam) -> None:
    mia = Client()
    mia.force_login(cast.user("mia"), backend=BACKEND)
    assert mia.get("/payers/").status_code == 200
    membership = Membership.objects.get(user=cast.user("mia"))
    adam.post(f"/people/{cast.user('mia').public_id}/roles/{membership.pk}/take/")
    assert mia.get("/payers/").status_code == 403


def test_nobody_changes_their_own_rights(cast) -> None:
    adam, actor = cast.user("adam"), cast.actor("adam")
    with scope(actor):
        for verb in (services.user_disable, services.user_enable, services.second_factor_reset):
            with pytest.raises(Refused, match="own rights"):
                verb(user=adam, actor=actor)
        with pytest.raises(Refused, match="own rights"):
            services.role_give(user=adam, organization_id=cast.a.pk, role="manager", actor=actor)
        with pytest.raises(Refused, match="own rights"):
            services.role_take(membership=Membership.objects.get(user=adam), actor=actor)
        with pytest.raises(Refused, match="own rights"):
            services.user_invite(
                email=adam.email,
                first_name="A",
                last_name="A",
                organization_id=cast.a.pk,
                role="manager",
                actor=actor,
            )


def test_an_administrator_reaches_their_own_organizations_only(cast, adam) -> None:
    olga, actor = cast.user("olga"), cast.actor("adam")
    assert b"olga" not in adam.get("/people/").content
    assert adam.get(f"/people/{olga.public_id}/").status_code == 404
    assert adam.post(f"/people/{olga.public_id}/disable/").status_code == 404
    form: dict[str, Any] = {
        "first_name": "X",
        "last_name": "Y",
        "email": "x@y.test",
        "role": "biller",
        "site": "",
    }
    assert adam.post("/people/invite/", form | {"organization": cast.b.pk}).status_code == 422
    assert (
        adam.post(
            "/people/invite/", form | {"organization": cast.a.pk, "site": cast.b_site.pk}
        ).status_code
        == 422
    )
    Membership.objects.create(user=olga, organization=cast.a, role="biller")
    page = adam.get(f"/people/{olga.public_id}/").content
    assert b"Biller" in page
    assert b"CANB" not in page
    theirs = Membership.objects.get(user=olga, organization=cast.b)
    assert adam.post(f"/people/{olga.public_id}/roles/{theirs.pk}/take/").status_code == 404
    with scope(actor), pytest.raises(Refused, match="do not manage"):
        services.user_disable(user=olga, actor=actor)
    assert User.objects.get(pk=olga.pk).is_active
    assert Membership.objects.filter(pk=theirs.pk).exists()


@pytest.mark.parametrize("who", ["mia", "cleo", "ana", "ben"])
def test_only_an_administrator_manages_users(cast, who) -> None:
    from rcm.accounts.actor import PermissionRefused

    with scope(cast.actor(who)), pytest.raises(PermissionRefused):
        services.user_disable(user=cast.user("ari"), actor=cast.actor(who))


def test_no_form_makes_a_person_a_partner_system_or_a_superuser(cast, adam) -> None:
    form = {
        "first_name": "X",
        "last_name": "Y",
        "email": "x@y.test",
        "organization": cast.a.pk,
        "role": "partner",
        "site": "",
    }
    assert adam.post("/people/invite/", form).status_code == 422
    adam.post(
        "/people/invite/",
        form
        | {
            "role": "biller",
            "is_superuser": "on",
            "is_staff": "on",
            "is_active": "",
            "password": "x",
        },
    )
    user = User.objects.get(email="x@y.test")
    assert (user.is_superuser, user.is_staff, user.is_active, user.has_usable_password()) == (
        False,
        False,
        True,
        False,
    )


def test_a_partner_system_is_connected_told_its_secret_once_and_closed(cast, adam) -> None:
    shown = adam.post(
        "/partners/new/",
        {"name": "RIS", "organization": cast.a.pk, "scopes": ["orders:read", "work:read"]},
    ).content.decode()
    row = Partner.objects.get(name="RIS")
    secret = next(
        s
        for s in re.findall(r'class="code">([^<]+)<', shown)
        if s != row.application.client_id and len(s) > 40
    )
    assert secret not in adam.get(f"/partners/{row.public_id}/").content.decode()

    def token(with_secret: str) -> Any:
        return Client().post(
            "/api/v1/oauth/token",
            {
                "grant_type": "client_credentials",
                "client_id": row.application.client_id,
                "client_secret": with_secret,
            },
        )

    given = token(secret).json()
    header = {"Authorization": f"Bearer {given['access_token']}"}
    assert Client().get("/api/v1/orders", headers=header).status_code == 200
    adam.post(f"/partners/{row.public_id}/", {"scopes": ["work:read"]})
    assert Client().get("/api/v1/orders", headers=header).status_code == 403
    renewed = adam.post(f"/partners/{row.public_id}/secret/").content.decode()
    assert secret not in renewed
    assert Client().get("/api/v1/work-items", headers=header).status_code == 401
    assert token(secret).status_code == 401
    adam.post(f"/partners/{row.public_id}/switch/")
    assert not Partner.objects.get(pk=row.pk).active
    assert [verb for verb, _ in told(cast)] == [
        "partner.made",
        "partner.scopes",
        "partner.secret",
        "partner.closed",
    ]


def test_the_profile_shows_the_readers_own_rights_and_ways_to_secure_the_sign_in(cast) -> None:
    ana = Client()
    ana.force_login(cast.user("ana"), backend=BACKEND)
    page = ana.get("/profile/").content.decode()
    assert "Front desk" in page
    assert "/accounts/2fa/" in page
    assert "/accounts/sessions/" in page
