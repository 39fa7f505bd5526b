from __future__ import annotations

import json

import pytest
from django.core.cache import cache
from django.test import Client

from rcm.accounts.models import User
from rcm.web import nav
from rcm.web.middleware import narrowed
from rcm.web.models import SavedView
from tests.pages import one_line

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _clean_cache():
    cache.clear()


@pytest.fixture
def signed_in(cast):
    def enter(name: str) -> Client:
        client = Client()
        client.force_login(
            cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        return client

    return enter


@pytest.mark.parametrize("path", ["/", "/palette/", "/shell/counts/", "/style/"])
def test_a_stranger_is_sent_to_sign_in(client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")
    assert client.get(path, headers={"HX-Request": "true"}).status_code == 401


def test_the_style_page_shows_every_component_without_inline_code(signed_in) -> None:
    response = signed_in("mia").get("/style/")
    html = response.content.decode()
    assert response.status_code == 200
    assert " style=" not in html
    assert "<style" not in html
    assert "onclick" not in html
    assert html.count("<script") == html.count("<script src=") + html.count(
        '<script type="module" src='
    )
    assert "unsafe" not in response["Content-Security-Policy"]


def test_the_palette_finds_pages_by_their_words(signed_in, cast, monkeypatch) -> None:
    monkeypatch.setattr(nav, "_entries", {})
    monkeypatch.setattr(
        nav, "_providers", [lambda request, text: [nav.Hit(f"Claim {text}", "/c/", group="Claims")]]
    )
    nav.register(nav.Entry("Manage", "Style", "web:style", "kpi.view", jump="z", words="look"))
    found = (
        signed_in("mia").get("/palette/?q=look", headers={"HX-Request": "true"}).content.decode()
    )
    assert 'href="/style/"' in found
    assert "Claim look" in found
    assert (
        'href="/style/"'
        not in signed_in("ana")
        .get("/palette/?q=look", headers={"HX-Request": "true"})
        .content.decode()
    )


def test_palette_text_is_escaped_and_short(signed_in) -> None:
    html = signed_in("mia").get("/palette/", {"q": "<img src=x>" + "y" * 300}).content.decode()
    assert "<img" not in html


def test_the_rail_counts_only_what_the_reader_may_see(signed_in, monkeypatch) -> None:
    monkeypatch.setattr(nav, "_entries", {})
    nav.register(nav.Entry("Manage", "Style", "web:style", "kpi.view", count=lambda actor: 7))
    assert signed_in("mia").get("/shell/counts/").json() == {"web:style": 7}
    assert signed_in("ana").get("/shell/counts/").json() == {}


def test_a_jump_letter_is_given_once(monkeypatch) -> None:
    monkeypatch.setattr(nav, "_entries", {})
    nav.register(nav.Entry("Manage", "Style", "web:style", jump="z"))
    with pytest.raises(ValueError, match="already goes to Style"):
        nav.register(nav.Entry("Manage", "Home", "web:home", jump="z"))


def test_preferences_are_kept_with_the_user_and_only_offered_ones(signed_in, cast) -> None:
    client = signed_in("mia")
    assert (
        client.post(
            "/shell/preferences/",
            {"theme": "dark", "density": "compact", "hotkeys": "off", "next": "/style/"},
        )["Location"]
        == "/style/"
    )
    client.post("/shell/preferences/", {"theme": "neon<script>"})
    user = User.objects.get(pk=cast.user("mia").pk)
    assert (user.theme, user.density, user.hotkeys) == ("dark", "compact", False)
    assert 'data-theme="dark" data-density="compact" data-hotkeys="off"' in one_line(
        client.get("/style/").content.decode()
    )


@pytest.mark.parametrize(
    "bad",
    [
        "//evil.example",
        "/\\evil.example",
        "https:evil.example",
        "\t//evil.example",
        "/%0d%0aX:y\r\nSet-Cookie:a=b",
        "javascript:alert(1)",
        "https://evil.example/x",
    ],
)
@pytest.mark.parametrize("form", ["/shell/preferences/", "/shell/place/", "/shell/views/"])
def test_no_form_leads_to_another_host(signed_in, bad: str, form: str) -> None:
    response = signed_in("mia").post(form, {"next": bad, "path": bad, "name": "x"})
    assert response.status_code == 302
    where = response["Location"]
    assert where.startswith("/")
    assert not where.startswith(("//", "/\\"))
    assert "\n" not in where


def test_choosing_a_place_narrows_the_actor_and_never_widens_it(signed_in, cast) -> None:
    actor = cast.actor("mia")
    assert narrowed(actor, cast.a.pk, cast.north.pk).sites == {cast.north.pk}
    assert narrowed(actor, cast.b.pk, None) == actor
    assert narrowed(actor, cast.a.pk, cast.b_site.pk).organizations == {cast.a.pk}
    client = signed_in("mia")
    client.post("/shell/place/", {"place": f"{cast.a.pk}:{cast.north.pk}"})
    assert "CANA North" in client.get("/style/").content.decode()
    client.post("/shell/place/", {"place": f"{cast.b.pk}"})
    assert "CANB" not in client.get("/style/").content.decode()


def test_a_saved_view_keeps_the_filters_but_no_name_of_a_patient(signed_in, cast) -> None:
    response = signed_in("mia").post(
        "/shell/views/",
        {
            "path": "/denials/",
            "name": "Aetna",
            "query": "payer=Aetna&q=Ibarra&open=7&cursor=x",
            "shared": "yes",
        },
    )
    assert response["Location"] == "/denials/?payer=Aetna"
    view = SavedView.objects.get()
    assert (view.query, view.shared) == ("payer=Aetna", True)
    assert list(SavedView.objects.visible_to(cast.actor("ben"))) == [view]
    assert not SavedView.objects.visible_to(cast.actor("olga")).exists()
    SavedView.objects.update(shared=False)
    assert not SavedView.objects.visible_to(cast.actor("ben")).exists()


def test_only_its_owner_deletes_a_saved_view(signed_in, cast) -> None:
    view = SavedView.objects.create(
        owner=cast.user("mia"), path="/denials/", name="Aetna", shared=True
    )
    assert signed_in("ben").post(f"/shell/views/{view.pk}/delete/").status_code == 404
    assert signed_in("mia").post(f"/shell/views/{view.pk}/delete/").status_code == 302
    assert not SavedView.objects.exists()


def test_an_error_page_has_a_reference_and_no_details(signed_in) -> None:
    response = signed_in("mia").get("/no/such/page/?patient=Ibarra")
    html = response.content.decode()
    assert response.status_code == 404
    assert "Reference" in html
    assert "Ibarra" not in html
    fragment = (
        signed_in("mia").get("/no/such/page/", headers={"HX-Request": "true"}).content.decode()
    )
    assert "<html" not in fragment


def test_a_form_from_elsewhere_is_refused_with_a_page(cast) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(
        cast.user("mia"), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    response = client.post("/shell/place/", {"place": ""})
    assert response.status_code == 403
    assert "Reference" in response.content.decode()


def test_health_and_readiness_answer(client) -> None:
    assert client.get("/healthz").content == b"ok"
    assert client.get("/ready").json() == {"ready": True, "missing": []}


def test_sign_in_says_what_to_enter(client) -> None:
    html = one_line(client.post("/accounts/login/", {}).content.decode())
    assert "Enter your e-mail address" in html
    assert "Enter the password" in html
    assert "<title>Error: Sign in" in html


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/login/",
        "/accounts/password/reset/",
        "/accounts/password/reset/done/",
        "/accounts/signup/",
        "/accounts/inactive/",
        "/accounts/password/reset/key/1-bad/",
    ],
)
def test_pages_before_sign_in_are_in_the_house_look(client, path: str) -> None:
    html = client.get(path, follow=True).content.decode()
    assert "entrance-box" in html
    assert " style=" not in html


@pytest.mark.parametrize(
    "path",
    ["/accounts/2fa/", "/accounts/password/change/", "/accounts/email/", "/accounts/sessions/"],
)
def test_account_pages_are_in_the_house_look(signed_in, path: str) -> None:
    response = signed_in("mia").get(path, follow=True)
    assert response.status_code == 200
    assert "<title>" in response.content.decode()
    assert " style=" not in response.content.decode()


def test_the_htmx_settings_leave_nothing_of_a_patient_in_the_browser(signed_in) -> None:
    html = one_line(signed_in("mia").get("/style/").content.decode())
    config = json.loads(html.split('name="htmx-config" content=\'')[1].split("'")[0])
    assert config["historyCacheSize"] == 0
    assert config["allowEval"] is False
    assert config["includeIndicatorStyles"] is False
