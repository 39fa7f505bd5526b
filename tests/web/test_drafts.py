"""What is typed outlives a lapse of the session, Back works after a refused form, and a list
remembers its row.
"""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tests.browser import CHROMIUM

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason="Debian's chromium is not installed (apt-get install chromium)",
    ),
]


def sign_in(page, who: str) -> None:
    page.fill("[name=login]", f"{who}@cana.test")
    page.fill("[name=password]", "correct-horse-9")
    page.click("button:has-text('Sign in')")


def lapse(page) -> None:
    """The session is gone. What was asked while typing is answered first: an answer would bring the
    session back.
    """
    page.wait_for_load_state("networkidle")
    page.context.clear_cookies(name="sessionid")


def test_typed_text_comes_back_after_the_session_lapsed(enter):
    page = enter("/patients/new/", "ana")
    page.fill("[name=last_name]", "Ibarra")
    page.fill("[name=first_name]", "Maribel")
    lapse(page)
    page.click("main form[method=post] .btn--primary")
    page.wait_for_url("**/accounts/login/**")
    sign_in(page, "ana")
    page.wait_for_url("**/patients/new/")
    assert page.input_value("[name=last_name]") == "Ibarra"
    assert page.input_value("[name=first_name]") == "Maribel"
    assert "What you typed is back" in page.inner_text("main")
    page.click("text=Discard it")
    assert page.input_value("[name=last_name]") == ""


def test_what_somebody_typed_is_not_given_to_the_next_reader(enter):
    page = enter("/patients/new/", "ana")
    page.fill("[name=last_name]", "Ibarra")
    lapse(page)
    page.goto(page.url)
    page.wait_for_url("**/accounts/login/**")
    sign_in(page, "mia")
    page.wait_for_url("**/patients/new/")
    assert page.input_value("[name=last_name]") == ""
    assert (
        page.evaluate("Object.keys(sessionStorage).filter(k => k.startsWith('draft:')).length") == 0
    )


def test_signing_out_takes_drafts_away(enter):
    page = enter("/patients/new/", "ana")
    page.fill("[name=last_name]", "Ibarra")
    page.click(".rail-foot summary")
    page.click("text=Sign out")
    page.wait_for_load_state()
    assert (
        page.evaluate("Object.keys(sessionStorage).filter(k => k.startsWith('draft:')).length") == 0
    )


def test_back_leads_to_a_form_that_was_refused(enter):
    page = enter("/patients/new/", "ana")
    page.click("main form[method=post] .btn--primary")
    page.wait_for_selector(".summary")
    page.goto(page.url.replace("/patients/new/", "/patients/"))
    page.go_back()
    page.wait_for_selector("[name=last_name]")
    assert page.url.endswith("/patients/new/")


def test_back_from_a_row_leads_to_the_row(enter, cast_committed):
    from rcm.accounts.scope import scope
    from tests.charges.house import furnish

    with scope(cast_committed.system):
        house = furnish(cast_committed)
        for n in range(5):
            house.patient(f"M{n}", "PHP")
    page = enter("/patients/?q=Canary", "ana")
    links = page.locator("tr[data-row] [data-row-link]")
    href = links.nth(2).get_attribute("href")
    links.nth(2).click()
    page.wait_for_url(f"**{href}")
    page.go_back()
    page.wait_for_selector("tr.cursor")
    assert page.get_attribute("tr.cursor [data-row-link]", "href") == href


def test_a_form_sent_after_the_lapse_leads_back_to_its_page(client: Client):
    sent = client.post(
        reverse("claims:scrub_many"), HTTP_REFERER="http://testserver/claims/?view=ready"
    )
    assert sent["Location"] == f"{reverse('account_login')}?next=/claims/%3Fview%3Dready"
    strange = client.post(reverse("claims:scrub_many"), HTTP_REFERER="http://elsewhere.test/x")
    assert strange["Location"] == f"{reverse('account_login')}?next={reverse('claims:scrub_many')}"


def test_an_empty_list_says_that_the_search_found_nothing(cast_committed):
    client = Client()
    client.force_login(cast_committed.user("mia"))
    for name in ("remittance:denials", "charges:exams", "claims:claims"):
        page = client.get(reverse(name), {"q": "zzzz"}).content.decode()
        assert "Nothing matches these filters." in page, name
        assert "is worked" not in page and "is released" not in page, name
