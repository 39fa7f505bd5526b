"""Sign-in of partner systems."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client

from tests.api.conftest import caller
from tests.security.conftest import token_of

pytestmark = pytest.mark.django_db


def ask(**form):
    return Client().post("/api/v1/oauth/token", form)


def test_client_credentials_give_a_token_that_opens_what_the_partner_may(credentials) -> None:
    answer = ask(**credentials, scope="orders:read work:read")
    assert answer.status_code == 200
    said = answer.json()
    assert (said["token_type"], said["expires_in"], set(said["scope"].split())) == (
        "Bearer",
        1800,
        {"orders:read", "work:read"},
    )
    header = {"Authorization": f"Bearer {said['access_token']}"}
    assert Client().get("/api/v1/orders", headers=header).status_code == 200
    assert Client().get("/api/v1/exams", headers=header).status_code == 403


def test_a_scope_beyond_the_partners_own_is_refused_by_the_token_endpoint(
    cast, credentials, ris
) -> None:
    ris.partner.scopes = ["orders:read"]
    ris.partner.save()
    assert ask(**credentials, scope="claims:write").json()["error"] == "invalid_scope"
    assert ask(**credentials).json()["scope"] == "orders:read"


@pytest.mark.parametrize(
    "grant", ["password", "authorization_code", "refresh_token", "implicit", ""]
)
def test_no_other_grant_gives_a_token(credentials, grant) -> None:
    answer = ask(
        **(credentials | {"grant_type": grant}),
        username="ana@cana.test",
        password="correct-horse-9",
        code="x",
        refresh_token="x",
    )
    assert answer.status_code in (400, 401)
    assert "access_token" not in answer.json()


def test_tokens_and_secrets_are_kept_as_hashes_only(credentials) -> None:
    token = ask(**credentials).json()["access_token"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT token FROM oauth2_provider_accesstoken UNION ALL SELECT client_secret FROM"
            " oauth2_provider_application"
        )
        kept = [value for (value,) in cursor.fetchall()]
    assert token not in kept
    assert credentials["client_secret"] not in kept


def test_a_revoked_token_a_late_one_and_a_disabled_partner_are_out_at_once(
    cast, credentials, ris
) -> None:
    token = ask(**credentials).json()["access_token"]
    header = {"Authorization": f"Bearer {token}"}
    assert Client().get("/api/v1/orders", headers=header).status_code == 200
    secret = {k: credentials[k] for k in ("client_id", "client_secret")}
    assert Client().post("/api/v1/oauth/revoke", {"token": token, **secret}).status_code == 200
    assert Client().get("/api/v1/orders", headers=header).status_code == 401
    ris.token = token_of(ris.partner, ["orders:read"], expires=timedelta(seconds=-1))
    assert ris.get("/orders").status_code == 401
    ris.token = token_of(ris.partner, ["orders:read"])
    assert ris.get("/orders").status_code == 200
    ris.partner.active = False
    ris.partner.save()
    assert ris.get("/orders").status_code == 401
    assert ask(**credentials).status_code in (400, 401)


def test_a_client_of_one_organization_never_finds_a_row_of_another(cast) -> None:
    from tests.api.conftest import ORDER

    a, b = caller(cast.a), caller(cast.b, "B")
    made = a.post("/orders", ORDER).json()["id"]
    unknown = "0190a6f0-0000-7000-8000-00000000abcd"
    assert b.get(f"/orders/{made}").content == b.get(f"/orders/{unknown}").content
    assert b.get(f"/orders/{made}").status_code == 404
    assert b.get("/orders").json()["results"] == []


def test_who_guesses_secrets_is_not_listened_to_for_a_minute(credentials) -> None:
    answers = [
        ask(**(credentials | {"client_secret": f"guess-{n}"})).status_code for n in range(25)
    ]
    assert answers[:20] == [401] * 20
    assert set(answers[20:]) == {429}
    late = ask(**credentials)
    assert late.status_code == 429
    assert late.headers["Retry-After"] == "60"
    assert late.headers["Content-Type"] == "application/problem+json"
