"""Users and partner systems: who may come in, and who is out at once (rule
`separation-of-duties`).
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.test import Client
from django.utils import timezone

from rcm.accounts.actor import PermissionRefused
from rcm.accounts.models import Invitation, Membership, Partner, PlatformAct, User
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
def commits(django_capture_on_commit_callbacks):
    """A call whose on-commit work is done, as it is outside a test's transaction."""

    def wrapped(call):
        def run(*args, **kwargs):
            with django_capture_on_commit_callbacks(execute=True):
                return call(*args, **kwargs)

        return run

    return wrapped


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


NORA = {
    "first_name": "Nora",
    "last_name": "New",
    "email": "Nora@Cana.test",
    "role": "biller",
    "site": "",
}


def test_an_invited_user_chooses_a_password_accepts_and_has_only_that_role(
    cast, adam, commits
) -> None:
    answer = commits(adam.post)("/people/invite/", NORA | {"organization": cast.a.pk})
    assert answer["Location"] == "/people/invitations/"
    user = User.objects.get(email="nora@cana.test")
    assert not user.has_usable_password()
    assert user.actor().organizations == set()
    letters = {letter.subject: letter for letter in mail.outbox}
    assert all(letter.to == ["nora@cana.test"] for letter in letters.values())
    assert "http://testserver/invitations/" in letters["CANA Imaging invites you"].body
    bodies = " ".join(letter.body for letter in letters.values())
    link = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", bodies)
    assert link, bodies
    page = Client()
    form_page = page.get(link[1], follow=True)
    done = page.post(
        form_page.redirect_chain[-1][0],
        {"password1": "blue-rivers-7-run", "password2": "blue-rivers-7-run"},
    )
    assert done.status_code == 302
    user.refresh_from_db()
    assert user.check_password("blue-rivers-7-run")
    assert Client().get(link[1], follow=True).context["token_fail"] is True
    nora = Client()
    nora.post("/accounts/login/", {"login": user.email, "password": "blue-rivers-7-run"})
    shown = nora.get("/", follow=True)
    assert shown.redirect_chain[-1][0] == "/invitations/"
    assert "CANA Imaging: Biller" in shown.content.decode()
    assert nora.get("/claims/").status_code == 403
    row = Invitation.objects.get(user=user)
    nora.post(f"/invitations/{row.public_id}/accept/")
    assert user.actor().roles == {"biller"}
    assert nora.get("/claims/").status_code == 200
    assert told(cast) == [
        ("user.invited", "Nora New was invited as Biller by Adam Admin"),
        (
            "user.role_given",
            "Nora New became Biller, invited by Adam Admin and accepted by Nora New",
        ),
    ]
    again = nora.post(f"/invitations/{row.public_id}/accept/")
    assert again.status_code == 404


def test_a_known_address_is_asked_and_stays_its_own_until_it_says_yes(cast, adam, commits) -> None:
    olga = cast.user("olga")
    before = (olga.password, olga.is_active, olga.first_name, olga.last_name)
    commits(adam.post)(
        "/people/invite/",
        NORA | {"email": "olga@canb.test", "role": "manager", "organization": cast.a.pk},
    )
    assert olga.actor().organizations == {cast.b.pk}
    assert adam.get(f"/people/{olga.public_id}/").status_code == 404
    shown = adam.get("/people/invitations/").content.decode()
    assert "Nora New" in shown
    assert "Outsider" not in shown, "the name of a stranger's account is not told"
    row = Invitation.objects.get(user=olga)
    for who in ("adam", "mia"):
        browser = Client()
        browser.force_login(cast.user(who), backend=BACKEND)
        assert browser.post(f"/invitations/{row.public_id}/accept/").status_code == 404
    page = Client()
    page.force_login(olga, backend=BACKEND)
    page.post(f"/invitations/{row.public_id}/decline/")
    assert olga.actor().organizations == {cast.b.pk}
    assert page.post(f"/invitations/{row.public_id}/accept/").status_code == 404
    olga.refresh_from_db()
    assert (olga.password, olga.is_active, olga.first_name, olga.last_name) == before
    assert [verb for verb, _ in told(cast)] == ["user.invited", "user.declined"]


def test_a_withdrawn_and_a_stale_invitation_cannot_be_accepted(cast, adam) -> None:
    olga = cast.user("olga")
    page = Client()
    page.force_login(olga, backend=BACKEND)
    form = NORA | {"email": "olga@canb.test", "organization": cast.a.pk}
    adam.post("/people/invite/", form)
    row = Invitation.objects.get(user=olga)
    adam.post(f"/people/invitations/{row.public_id}/")
    assert page.post(f"/invitations/{row.public_id}/accept/").status_code == 404
    adam.post("/people/invite/", form)
    late = Invitation.objects.get(user=olga, status="waiting")
    Invitation.objects.filter(pk=late.pk).update(expires_at=timezone.now())
    assert page.post(f"/invitations/{late.public_id}/accept/").status_code == 404
    assert olga.actor().organizations == {cast.b.pk}


def test_a_role_is_given_only_to_who_works_here_already(cast, adam) -> None:
    actor, olga = cast.actor("adam"), cast.user("olga")
    with scope(actor), pytest.raises(Refused, match="does not work"):
        services.role_give(user=olga, organization_id=cast.a.pk, role="biller", actor=actor)
    ben = cast.user("ben")
    adam.post(
        f"/people/{ben.public_id}/", {"organization": cast.a.pk, "role": "poster", "site": ""}
    )
    assert ben.actor().roles == {"biller", "poster"}


def test_an_administrator_of_one_site_gives_nothing_in_the_whole_organization(cast) -> None:
    Membership.objects.filter(user=cast.user("adam")).update(site=cast.north)
    actor = cast.actor("adam")
    with scope(actor), pytest.raises(PermissionRefused):
        services.role_give(
            user=cast.user("ben"), organization_id=cast.a.pk, role="manager", actor=actor
        )


@pytest.mark.parametrize("verb", ["disable", "enable", "sign-out", "second-factor"])
def test_no_administrator_reaches_an_account(cast, adam, verb) -> None:
    ben = cast.user("ben")
    assert adam.post(f"/people/{ben.public_id}/{verb}/").status_code == 404
    page = adam.get(f"/platform/accounts/{ben.public_id}/{verb}/")
    assert page.status_code == 403
    post = adam.post(f"/platform/accounts/{ben.public_id}/{verb}/", {"reason": "because I can"})
    assert post.status_code == 403
    ben.refresh_from_db()
    assert ben.is_active
    assert not PlatformAct.objects.exists()


@pytest.fixture
def pat(cast) -> Client:
    """A platform administrator, who works in no organization."""
    user = User.objects.create_user(
        "pat@platform.test", "correct-horse-9", first_name="Pat", last_name="Platform"
    )
    call_command("platform_admin", user.email, reason="looks after the accounts")
    browser = Client()
    browser.force_login(user, backend=BACKEND)
    return browser


def test_a_platform_administrator_disables_an_account_with_a_reason_that_all_can_read(
    cast, pat
) -> None:
    ben = Client()
    ben.force_login(cast.user("ben"), backend=BACKEND)
    assert ben.get("/profile/").status_code == 200
    url = f"/platform/accounts/{cast.user('ben').public_id}"
    assert pat.post(f"{url}/disable/", {"reason": ""}).status_code == 422
    assert ben.get("/profile/").status_code == 200
    pat.post(f"{url}/disable/", {"reason": "left the company"})
    assert ben.get("/profile/")["Location"].startswith("/accounts/login/")
    pat.post(f"{url}/enable/", {"reason": "came back"})
    again = Client()
    again.post("/accounts/login/", {"login": "ben@cana.test", "password": "correct-horse-9"})
    assert again.get("/profile/").status_code == 200
    with scope(cast.system):
        kept = list(
            Event.objects.filter(verb__startswith="account.")
            .order_by("id")
            .values_list("verb", "reason", "actor_name")
        )
    assert kept == [
        ("account.disabled", "left the company", "Pat Platform (platform)"),
        ("account.enabled", "came back", "Pat Platform (platform)"),
    ]
    assert "left the company" in pat.get(f"{url}/").content.decode()


def test_a_platform_administrator_reads_no_organizations_rows(cast, pat) -> None:
    for path in ("/patients/", "/claims/", "/work/", "/people/", "/interchanges/"):
        assert pat.get(path).status_code in (403, 404), path
    assert pat.get("/")["Location"] == "/platform/accounts/"


def test_an_act_on_an_account_is_never_changed_or_deleted(cast, pat) -> None:
    act = PlatformAct.objects.get()
    for change in (
        lambda: PlatformAct.objects.update(reason="nothing"),
        lambda: PlatformAct.objects.filter(pk=act.pk).delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


def test_signing_a_user_out_ends_every_browser(cast, pat) -> None:
    browsers = [Client() for _ in range(2)]
    for browser in browsers:
        browser.post("/accounts/login/", {"login": "pia@cana.test", "password": "correct-horse-9"})
        assert browser.get("/profile/").status_code == 200
    url = f"/platform/accounts/{cast.user('pia').public_id}/"
    assert pat.get(url).content.decode().count("last seen") == 2
    pat.post(f"{url}sign-out/", {"reason": "lost notebook"})
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
        services.role_take(membership=theirs, actor=actor)
    assert Membership.objects.filter(pk=theirs.pk).exists()


@pytest.mark.parametrize("who", ["mia", "cleo", "ana", "ben"])
def test_only_an_administrator_manages_users(cast, who) -> None:
    with scope(cast.actor(who)), pytest.raises(PermissionRefused):
        services.role_give(
            user=cast.user("ari"),
            organization_id=cast.a.pk,
            role="biller",
            actor=cast.actor(who),
        )


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
