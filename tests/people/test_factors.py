"""A second factor by role and organization, and a passkey as the only thing needed to sign in."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse

from rcm.accounts.models import Membership, Organization
from rcm.accounts.scope import scope
from rcm.audit.models import Event
from tests.browser import CHROMIUM

pytestmark = pytest.mark.django_db(transaction=True)


def as_(cast, name: str) -> Client:
    client = Client()
    client.force_login(cast.user(name))
    return client


def give_factor(cast, name: str) -> None:
    Authenticator.objects.create(
        user=cast.user(name), type=Authenticator.Type.TOTP, data={"secret": "x"}
    )


@pytest.fixture
def asked(cast_committed):
    """Organization A asks its front desk for a second factor."""
    cast = cast_committed
    Organization.objects.filter(pk=cast.a.pk).update(factor_roles=["front_desk"])
    return cast


def test_a_role_that_needs_a_factor_gives_no_right_without_one(asked):
    ana = as_(asked, "ana")
    assert ana.get(reverse("intake:patients")).status_code == 403
    first = ana.get("/", follow=True)
    assert first.redirect_chain[-1][0] == reverse("mfa_index")
    assert "asks for a second factor" in first.content.decode()
    give_factor(asked, "ana")
    assert ana.get(reverse("intake:patients")).status_code == 200


def test_it_is_asked_of_that_role_and_of_that_organization_alone(asked):
    assert as_(asked, "mia").get(reverse("intake:patients")).status_code == 200
    Membership.objects.create(user=asked.user("ana"), organization=asked.b, role="front_desk")
    ana = asked.user("ana").actor()
    assert ana.organizations == {asked.b.pk}


def test_recovery_codes_alone_are_no_factor(asked):
    Authenticator.objects.create(
        user=asked.user("ana"), type=Authenticator.Type.RECOVERY_CODES, data={}
    )
    assert as_(asked, "ana").get(reverse("intake:patients")).status_code == 403


def test_an_administrator_says_so_on_a_screen_and_it_is_an_event(cast_committed):
    cast = cast_committed
    adam = as_(cast, "adam")
    page = reverse("people:factor", args=[cast.a.public_id])
    assert adam.get(page).status_code == 200
    assert adam.post(page, {"roles": ["front_desk"]}).status_code == 302
    cast.a.refresh_from_db()
    assert cast.a.factor_roles == ["front_desk"]
    with scope(cast.system):
        assert Event.objects.filter(verb="factor.asked").exists()


def test_nobody_shuts_themselves_out(cast_committed):
    cast = cast_committed
    own = Membership.objects.filter(user=cast.user("adam"), organization=cast.a).first()
    page = reverse("people:factor", args=[cast.a.public_id])
    refused = as_(cast, "adam").post(page, {"roles": [own.role]})
    assert refused.status_code == 422
    assert "You have no second factor yourself" in refused.content.decode()
    give_factor(cast, "adam")
    assert as_(cast, "adam").post(page, {"roles": [own.role]}).status_code == 302


def test_another_organizations_rule_is_not_there(cast_committed):
    cast = cast_committed
    page = reverse("people:factor", args=[cast.b.public_id])
    assert as_(cast, "adam").get(page).status_code == 404
    assert as_(cast, "ana").get(page).status_code == 403


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed")
def test_a_passkey_is_all_that_a_sign_in_needs(enter):
    page = enter("/accounts/2fa/", "ana")
    tools = page.context.new_cdp_session(page)
    tools.send("WebAuthn.enable")
    tools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    page.goto(page.url + "webauthn/add/")
    if page.query_selector("[name=password]"):
        page.fill("[name=password]", "correct-horse-9")
        page.click("main button, .entrance button")
        page.wait_for_load_state()
    page.fill("[name=name]", "Desk key")
    page.check("[name=passwordless]")
    page.click("#mfa_webauthn_add")
    page.wait_for_url("**/2fa/**recovery-codes/**")
    page.click(".rail-foot summary")
    page.click("text=Sign out")
    page.wait_for_url("**/accounts/login/**")
    page.click("#passkey_login")
    page.wait_for_url("**/today/")
    assert "Today" in page.title()
