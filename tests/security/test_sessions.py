"""Sign-in, sessions, second factor, guessing, links."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct-horse-9"


@pytest.fixture(autouse=True)
def _clean():
    cache.clear()


def enter(
    email: str = "ana@cana.test",
    password: str = PASSWORD,
    browser: Client | None = None,
    **extra: str,
) -> Client:
    browser = browser or Client()
    browser.post("/accounts/login/", {"login": email, "password": password}, **extra)
    return browser


def inside(browser: Client) -> bool:
    return browser.get("/style/").status_code == 200


# --- sessions -------------------------------------------------------------------------------------


def test_signing_in_changes_the_session_and_signing_out_kills_it_on_the_server(cast) -> None:
    browser = Client()
    browser.get("/accounts/login/")
    browser.session["x"] = 1
    before = browser.session.session_key
    enter(browser=browser)
    assert inside(browser)
    kept = browser.cookies["sessionid"].value
    assert kept != before
    browser.post("/accounts/logout/")
    replay = Client()
    replay.cookies["sessionid"] = kept
    assert not inside(replay)
    assert not Session.objects.filter(session_key=kept).exists()


def test_the_cookie_is_not_for_scripts_and_not_for_other_sites(cast) -> None:
    cookie = enter().cookies["sessionid"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"


def test_a_session_ends_after_a_quarter_of_an_hour_without_a_page(cast, settings) -> None:
    assert settings.SESSION_COOKIE_AGE == 15 * 60
    browser = enter()
    Session.objects.update(expire_date=timezone.now() - timezone.timedelta(seconds=1))
    assert not inside(browser)


def test_a_session_ends_after_twelve_hours_however_busy(cast, settings) -> None:
    assert settings.SESSION_ABSOLUTE_SECONDS == 12 * 3600
    browser = enter()
    assert inside(browser)
    kept = browser.session
    kept["begun"] = int(time.time()) - settings.SESSION_ABSOLUTE_SECONDS - 1
    kept.save()
    assert not inside(browser)


def test_nothing_of_a_signed_in_page_stays_in_a_cache(cast) -> None:
    assert enter().get("/style/").headers["Cache-Control"] == "no-store"


# --- guessing -------------------------------------------------------------------------------------


def test_guessing_one_account_stops_after_a_few_whatever_address_it_claims(
    cast, monkeypatch
) -> None:
    from rcm.accounts.models import User

    checked = []
    monkeypatch.setattr(User, "check_password", lambda self, raw: bool(checked.append(raw)))
    for n in range(40):
        name = ("ana@cana.test", "ANA@cana.test", "Ana@Cana.Test", " ana@cana.test ")[n % 4]
        Client().post(
            "/accounts/login/",
            {"login": name, "password": f"guess-{n}"},
            headers={"X-Forwarded-For": f"10.0.0.{n}"},
        )
    assert 0 < len(checked) <= 15
    monkeypatch.undo()
    assert not inside(enter()), "the right password waits as well"


def test_a_known_and_an_unknown_address_hear_the_same(cast) -> None:
    def page(login: str) -> bytes:
        body = (
            Client()
            .post("/accounts/login/", {"login": login, "password": "wrong-password-1"})
            .content
        )
        import re

        return re.sub(rb'csrfmiddlewaretoken" value="[^"]*"|X-CSRFToken[^}]*}', b"", body).replace(
            login.encode(), b"LOGIN"
        )

    assert page("ana@cana.test") == page("nobody@cana.test")


def test_asking_for_a_new_password_tells_nobody_who_works_here(cast) -> None:
    answers = [
        Client().post("/accounts/password/reset/", {"email": e})
        for e in ("ana@cana.test", "nobody@cana.test")
    ]
    assert answers[0].status_code == answers[1].status_code == 302
    assert answers[0]["Location"] == answers[1]["Location"]


# --- links ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["evil.example", "testserver.evil.example", "testserver@evil.example", "evil.example:80"],
)
def test_a_foreign_host_gets_no_page_and_no_letter(cast, host) -> None:
    answer = Client().post(
        "/accounts/password/reset/", {"email": "ana@cana.test"}, headers={"Host": host}
    )
    assert answer.status_code == 400
    assert mail.outbox == []


def test_a_claimed_host_is_not_believed_in_letters(cast) -> None:
    Client().post(
        "/accounts/password/reset/",
        {"email": "ana@cana.test"},
        headers={"X-Forwarded-Host": "evil.example"},
    )
    assert "http://testserver/" in mail.outbox[0].body
    assert "evil" not in mail.outbox[0].body


EVIL = [
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "https://evil.example/x",
    "javascript:alert(1)",
    "\t//evil.example",
    "/%2f%2fevil.example/..//x\r\nX: y",
]


@pytest.mark.parametrize("wanted", EVIL)
def test_signing_in_leads_to_no_other_host(cast, wanted) -> None:
    answer = Client().post(
        "/accounts/login/", {"login": "ana@cana.test", "password": PASSWORD, "next": wanted}
    )
    assert answer.status_code == 302
    where = answer["Location"]
    assert where.startswith("/") and not where.startswith(("//", "/\\"))
    assert "\n" not in where


# --- second factor --------------------------------------------------------------------------------


@pytest.fixture
def totp(cast):
    secret = generate_totp_secret()
    TOTP.activate(cast.user("ana"), secret)
    return secret


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


def test_the_password_alone_opens_nothing_for_who_has_a_second_factor(cast, totp) -> None:
    browser = Client()
    answer = browser.post("/accounts/login/", {"login": "ana@cana.test", "password": PASSWORD})
    assert answer["Location"] == "/accounts/2fa/authenticate/"
    for path in (
        "/",
        "/style/",
        "/people/",
        "/patients/",
        "/profile/",
        "/shell/counts/",
        "/accounts/2fa/",
        "/accounts/sessions/",
        "/accounts/password/change/",
    ):
        page = browser.get(path)
        assert page.status_code == 302 and "/accounts/" in page["Location"], path
    browser.post("/accounts/2fa/authenticate/", {"code": "000000"})
    assert not inside(browser)
    browser.post("/accounts/2fa/authenticate/", {"code": code(totp)})
    assert inside(browser)


def test_a_code_is_good_once_and_guessing_codes_ends(cast, totp) -> None:
    good = code(totp)
    first, second = (enter(browser=Client()) for _ in range(2))
    first.post("/accounts/2fa/authenticate/", {"code": good})
    second.post("/accounts/2fa/authenticate/", {"code": good})
    assert (inside(first), inside(second)) == (True, False)


def test_the_secret_is_not_in_clear_in_the_database(cast, totp) -> None:
    kept = str(Authenticator.objects.get(user=cast.user("ana")).data)
    assert totp not in kept
    assert (
        get_adapter().decrypt(Authenticator.objects.get(user=cast.user("ana")).data["secret"])
        == totp
    )


def test_a_new_password_by_link_does_not_skip_the_second_factor(cast, totp) -> None:
    import re

    browser = Client()
    browser.post("/accounts/password/reset/", {"email": "ana@cana.test"})
    link = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", mail.outbox[0].body)[1]
    form = browser.get(link, follow=True)
    browser.post(
        form.redirect_chain[-1][0],
        {"password1": "blue-rivers-7-run", "password2": "blue-rivers-7-run"},
    )
    assert not inside(browser)
    entered = enter(password="blue-rivers-7-run")
    assert not inside(entered)


def test_switching_the_second_factor_off_asks_for_the_password_again(cast, totp) -> None:
    browser = enter()
    browser.post("/accounts/2fa/authenticate/", {"code": code(totp)})
    session = browser.session
    session["account_authentication_methods"] = [
        {**m, "at": m["at"] - 3600} for m in session.get("account_authentication_methods", [])
    ]
    session.save()
    answer = browser.post("/accounts/2fa/totp/deactivate/")
    assert "reauthenticate" in answer["Location"]
    assert Authenticator.objects.filter(user=cast.user("ana"), type="totp").exists()


# --- what production refuses ----------------------------------------------------------------------

STRONG = {
    "DJANGO_SECRET_KEY": "x" * 30 + "Q9z!" * 10,
    "ISOCENTER_FIELD_KEYS": base64.urlsafe_b64encode(b"k" * 32).decode(),
    "ALLOWED_HOSTS": "rcm.example.org",
}


def boots(**given: str) -> subprocess.CompletedProcess[str]:
    urls = {
        "DATABASE_URL": "postgres://app@127.0.0.1:1/x",
        "REDIS_URL": "redis://:broker-secret@127.0.0.1:1/0",
        "ISOCENTER_DEMO": "no",
    }
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("DJANGO", "ISOCENTER", "DATABASE", "REDIS", "SECURE"))
    }
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=kept | urls | given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_production_starts_with_its_own_keys_and_passes_the_deployment_check() -> None:
    done = boots(**STRONG)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "missing",
    [
        {"DJANGO_SECRET_KEY": ""},
        {"DJANGO_SECRET_KEY": "short"},
        {"ISOCENTER_FIELD_KEYS": ""},
        {"DJANGO_DEBUG": "yes"},
        {"DJANGO_SECRET_KEY": "a" * 64},
        {"ISOCENTER_FIELD_KEYS": "c2hvcnQ="},
        {"ALLOWED_HOSTS": "*"},
        {"ALLOWED_HOSTS": "billing.example, *"},
        {"ALLOWED_HOSTS": ""},
        {"REDIS_URL": "redis://localhost:6379/0"},
    ],
    ids=str,
)
def test_production_refuses_to_start_with_weak_settings(missing) -> None:
    done = boots(**(STRONG | missing))
    assert done.returncode != 0
    assert "Production needs" in done.stderr
    assert next(iter(missing)) in done.stderr


def test_the_deployment_check_names_accounts_of_the_demonstration(cast, settings) -> None:
    from rcm.accounts.checks import no_demo_logins

    settings.DEMO = False
    assert no_demo_logins(databases=["default"]) == []
    user = cast.user("ana")
    user.email = "ana.frontdesk@demo.example"
    user.save()
    assert "ana.frontdesk@demo.example" in no_demo_logins(databases=["default"])[0].msg
    user.is_active = False
    user.save()
    assert no_demo_logins(databases=["default"]) == []


@pytest.mark.parametrize("demo", ["DJANGO_SECRET_KEY", "ISOCENTER_FIELD_KEYS"])
def test_production_refuses_the_keys_of_the_demo(demo) -> None:
    from rcm.settings import base

    done = boots(**(STRONG | {demo: base.DEMO_KEYS[demo]}))
    assert done.returncode != 0
    assert "demo" in done.stderr


def test_the_demos_people_and_client_are_nobody_in_production(cast, settings) -> None:
    from rcm.accounts.models import DEMO_CLIENT
    from rcm.demo.people import PARTNER_SECRET, partner_make

    user = cast.user("ana")
    user.email = "ana.frontdesk@demo.example"
    user.save()
    partner_make(cast.a)
    ask = {
        "grant_type": "client_credentials",
        "client_id": DEMO_CLIENT,
        "client_secret": PARTNER_SECRET,
    }
    token = Client().post("/api/v1/oauth/token", ask).json()["access_token"]
    assert inside(enter(user.email))
    settings.PRODUCTION = True
    assert not inside(enter(user.email))
    assert Client().post("/api/v1/oauth/token", ask).status_code == 401
    assert (
        Client().get("/api/v1/orders", headers={"Authorization": f"Bearer {token}"}).status_code
        == 401
    )


# --- a lost database ------------------------------------------------------------------------------


@pytest.fixture
def losing(cast, monkeypatch):
    """Ana, signed in; `losing()` lets every further write of a session row meet a database that has
    gone.
    """
    browser = Client(raise_request_exception=False)
    enter(browser=browser)
    assert inside(browser)  # the first page after the sign-in notes when the session began

    def gone(*args: object, **kwargs: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    def lose() -> Client:
        monkeypatch.setattr(Session, "save", gone)
        return browser

    return lose


def test_a_session_that_could_not_be_kept_is_the_databases_fault_and_never_the_readers(
    losing,
) -> None:
    browser = losing()
    answer = browser.post("/shell/place/", {"place": "1"})  # changes the session itself
    assert answer.status_code == 503
    assert b"The system is busy" in answer.content


def test_an_answer_stands_when_only_the_idle_time_could_not_be_moved(losing) -> None:
    assert (
        losing().get("/style/").status_code == 200
    )  # its work is committed: "nothing was saved" would be untrue


def test_a_session_that_was_ended_elsewhere_meanwhile_stays_ended(cast) -> None:
    browser = Client(raise_request_exception=False)
    enter(browser=browser)
    Session.objects.all().delete()
    assert browser.get("/style/").status_code == 302
