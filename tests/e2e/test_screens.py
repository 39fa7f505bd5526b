"""Every screen of the product, as the person whose work it is sees it: in a real browser, with
something in every queue.

No page answers 500 or has its content refused; axe finds nothing against WCAG 2.2 AA at 1280 and
1920, light and dark; nothing is cut, overprinted or scrolls sideways at four widths; keys, Back
and refused input behave.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from rcm.demo.people import PASSWORD, PEOPLE
from tests.browser import LOOKS, WCAG, Inspector

pytestmark = [pytest.mark.browser, pytest.mark.processes]

# who looks at what; a list also opens its first row, as `>`
SCREENS: dict[str, tuple[str, ...]] = {
    "ana": ("/today/ >", "/patients/?q=Nora >", "/patients/new/"),
    "ada": ("/authorizations/ >", "/work/authorization_needed/ >", "/today/overrides/"),
    "cody": (
        "/exams/?view=all >",
        "/unsigned/ >",
        "/charge-review/ >",
        "/results/",
        "/accession-control/",
        "/codes/procedures/",
    ),
    "ben": (
        "/claims/?view=all >",
        "/work/rejections/?view=all >",
        "/work/rejections/causes/",
        "/batches/?view=all >",
        "/claims/scrub-runs/",
        "/edits/ >",
        "/interchanges/?view=all >",
        "/interchanges/backlog/",
        "/interchanges/connections/",
    ),
    "pia": (
        "/remittances/?view=all >",
        "/remittances/upload/",
        "/remittances/eob/",
        "/unapplied/",
        "/deposits/",
    ),
    "ari": (
        "/network/",
        "/denials/all/?view=all >",
        "/work/denials/?view=all >",
        "/work/denials/causes/",
        "/denials/groups/",
        "/underpayments/?view=all >",
        "/follow-up/",
        "/patient-accounts/?view=all >",
        "/credits/",
        "/statements/",
        "/aging/",
    ),
    "mia": (
        "/work/",
        "/performance/ >",
        "/performance/lag/",
        "/approvals/",
        "/write-offs/",
        "/refunds/",
        "/jobs/",
        "/price/",
    ),
    "adam": (
        "/payers/ >",
        "/contracts/ >",
        "/payer-rules/",
        "/charge-rules/",
        "/prices/",
        "/reference/",
        "/style/",
    ),
    "cleo": ("/audit/reads/", "/audit/changes/ >", "/audit/steps/"),
}
WAITED = {
    "ben": ("/work/rejections/?view=all", "Rejected"),
    "ari": ("/work/denials/?view=all", "Denied"),
    "cody": ("/charge-review/", "Sideless"),
    "ana": ("/today/", "Waiting"),
    "pia": ("/remittances/?view=all", "PRAIRIE"),
}


def wait_for(page: Any, path: str, words: str, seconds: float = 90) -> None:
    limit = time.monotonic() + seconds
    page.goto(path)
    while words not in page.inner_text("main"):
        assert time.monotonic() < limit, (
            f"“{words}” is not on {path} after {seconds:.0f} s:\n{page.inner_text('main')[:1500]}"
        )
        time.sleep(1)
        page.reload()


def addresses(page: Any, entries: tuple[str, ...]) -> Iterator[str]:
    """Open the pages of a person one after the other, each list and then what its first row leads
    to.
    """
    for entry in entries:
        path, _, inner = entry.partition(" ")
        answer = page.goto(path)
        assert answer.status == 200, f"{answer.status} at {path}"
        link = page.locator(
            "main tbody tr a[href^='/'], main .stat a[href^='/'], main tbody tr a[href^='?']"
        ).first
        if inner:
            assert link.count(), f"nothing to open at {path}:\n{page.inner_text('main')[:800]}"
            href = link.get_attribute("href")
        yield path
        if inner:
            path = f"{urlsplit(page.url).path}{href}" if href.startswith("?") else href
            answer = page.goto(path)
            assert answer.status == 200, f"{answer.status} at {path}"
            yield path


@pytest.mark.parametrize("who", SCREENS)
def test_every_screen_answers_and_is_accessible(office, people, who):
    page = people(who).page
    if who in WAITED:
        wait_for(page, *WAITED[who])
    inspector, wrong = Inspector(page), []
    usual = page.viewport_size
    # structure is asked once; what colours and width can change is asked again in the dark and on
    # the wide screen
    looks = ((1280, "light", WCAG), (1920, "dark", LOOKS))
    for path in addresses(page, SCREENS[who]):
        for width, scheme, rules in looks:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            wrong += [f"{path} at {width} {scheme}: {v}" for v in inspector.violations(rules)]
            wrong += [f"{path} at {width}: {v}" for v in inspector.faults_of_layout()]
        # 1440 has panel and table side by side; 640 is 1280 at 200 % zoom
        for width in (1440, 640):
            page.set_viewport_size({"width": width, "height": 900})
            wrong += [f"{path} at {width}: {v}" for v in inspector.faults_of_layout()]
    page.set_viewport_size(usual)
    page.emulate_media(color_scheme="light")
    assert wrong == [], "\n".join(wrong)


def test_a_queue_is_worked_from_the_keyboard_and_back_leads_back(office, people):
    page = people("ari").page
    wait_for(
        page, "/work/denials/?view=all", "Denied"
    )  # it is fresh, so nothing of it is due today
    page.keyboard.press("j")
    expect(page.locator("tr.cursor")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("#panel h2")).to_be_visible()
    expect(page.locator("#panel")).to_contain_text("CO-50")
    expect(page.locator("#panel .ev")).to_be_visible()
    expect(page).to_have_url(re.compile(r"open=\d"))
    opened = page.url
    page.keyboard.press("e")
    expect(page.locator("#panel")).to_contain_text("Put back")
    page.keyboard.press("Control+k")
    page.keyboard.type("Denied")
    expect(page.locator("#palette")).to_contain_text("Denied, Nora")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Patients", exact=True).first.click()
    expect(page.locator("h1")).to_have_text("Patients")
    page.go_back()
    assert page.url == opened
    expect(page.locator("h1")).to_have_text("Denials")
    page.get_by_role("button", name="Put back").click()


def test_rows_are_picked_with_x_and_the_bulk_bar_counts_them(office, people):
    page = people("ari").page
    page.goto("/denials/?view=all")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(".bulk")).to_contain_text("1")
    page.keyboard.press("Escape")


REFUSED = (
    (
        "ana",
        "/patients/new/",
        {"last_name": "", "first_name": "Nora", "born_on": "02/30/1980"},
        ("Enter the last name", "real date"),
    ),
    (
        "ana",
        "/patients/new/",
        {"last_name": "Nora", "first_name": "N", "born_on": "01/01/2990"},
        ("future",),
    ),
    ("pia", "/remittances/upload/", {}, ("Choose",)),
    ("mia", "/price/", {"lines": "99"}, ("Line 1 is not written like",)),
)


@pytest.mark.parametrize(
    ("who", "path", "typed", "sentences"),
    REFUSED,
    ids=[r[1] + str(n) for n, r in enumerate(REFUSED)],
)
def test_refused_input_says_what_to_do_and_keeps_what_was_typed(
    office, people, who, path, typed, sentences
):
    page = people(who).page
    page.goto(path)
    for name, value in typed.items():
        page.fill(f"main [name={name}]", value)
    page.locator("main form button.btn--primary").last.click()
    page.wait_for_load_state()
    summary = page.locator(".summary, .field-error, .errorlist").all_inner_texts()
    words = " ".join(summary)
    for sentence in sentences:
        assert sentence.lower() in words.lower(), page.inner_text("main")[:1200]
    for name, value in typed.items():
        assert page.input_value(f"main [name={name}]") == value
    people.troubles()


def test_pages_print_without_rail_and_actions(office, people):
    page = people("ben").page
    page.goto("/claims/?view=all")
    page.locator("tbody tr a").first.click()
    page.wait_for_load_state()
    page.emulate_media(media="print")
    assert not page.locator(".rail").is_visible()
    assert not page.locator(".actions").first.is_visible()
    assert page.locator("h1").is_visible()
    page.emulate_media(media="screen")


def test_a_stranger_meets_a_sign_in_and_another_role_a_sentence(office, people, chromium, running):
    page = people("ana").page
    assert page.goto("/performance/").status == 403
    expect(page.locator("h1")).to_have_text("You cannot open this")
    context = chromium.new_context(base_url=running.url)
    stranger = context.new_page()
    stranger.goto("/claims/")
    assert "/accounts/login/" in stranger.url
    stranger.fill("[name=login]", PEOPLE[0].email)
    stranger.fill("[name=password]", PASSWORD[:-1])
    stranger.click("button:has-text('Sign in')")
    expect(stranger.locator(".summary")).to_be_visible()
    assert not re.search(
        r"inactive|exists|unknown user", stranger.inner_text("main"), re.IGNORECASE
    )
    context.close()
