"""The shell in a real Chromium under the real content policy: accessible, keyboard-first, light and
dark, 1280 to 1920.
"""

from __future__ import annotations

import pytest

from tests.browser import CHROMIUM, Inspector, violations

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason="Debian's chromium is not installed (apt-get install chromium)",
    ),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 1920])
def test_every_component_is_accessible_and_nothing_scrolls_sideways(
    enter, width: int, scheme: str
) -> None:
    page = enter("/style/", width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert violations(page) == []


@pytest.mark.parametrize(
    "path", ["/accounts/login/", "/accounts/password/reset/", "/no/such/page/"]
)
def test_pages_without_a_session_are_accessible(chromium, live_server, path: str) -> None:
    context = chromium.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(f"{live_server.url}{path}")
    assert violations(page) == []
    context.close()


def test_the_font_is_the_built_one(enter) -> None:
    page = enter("/style/")
    Inspector(page).settle()
    assert page.evaluate(
        "document.fonts.check('560 14px Inter') && [...document.fonts].some(f =>"
        " f.family.includes('Inter') && f.status === 'loaded')"
    )


def test_keys_open_the_palette_and_the_list_of_shortcuts(enter) -> None:
    from playwright.sync_api import expect

    page = enter("/style/")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()
    expect(page.locator("#palette-q")).to_be_focused()
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_hidden()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")


def test_single_keys_can_be_switched_off_and_stay_off(enter) -> None:
    from playwright.sync_api import expect

    page = enter("/style/")
    page.click("summary:has-text('Mia Manager')")
    with page.expect_response("**/shell/preferences/"):
        page.click("fieldset:has-text('Single-key shortcuts') button:has-text('Off')")
    page.reload()
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_hidden()
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()


def test_the_theme_changes_at_once_and_the_first_byte_has_it_later(enter) -> None:
    page = enter("/style/", scheme="light")
    page.click("summary:has-text('Mia Manager')")
    with page.expect_response("**/shell/preferences/"):
        page.click("button:has-text('Dark')")
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
    assert 'data-theme="dark"' in page.context.request.get(page.url).text()


def test_j_and_k_move_through_the_rows(enter) -> None:
    from playwright.sync_api import expect

    page = enter("/style/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("tr.cursor a.id")).to_have_text("C204229")
    page.keyboard.press("k")
    expect(page.locator("tr.cursor a.id")).to_be_focused()
    expect(page.locator("tr.cursor a.id")).to_have_text("C204118")


def test_sign_in_errors_take_the_focus_and_lead_to_the_input(chromium, live_server, db) -> None:
    from playwright.sync_api import expect

    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{live_server.url}/accounts/login/")
    page.click("button:has-text('Sign in')")
    expect(page.locator(".summary")).to_be_focused()
    page.click(".summary a >> nth=1")
    expect(page.locator("[name=password]")).to_be_focused()
    assert page.title().startswith("Error: ")
    context.close()
