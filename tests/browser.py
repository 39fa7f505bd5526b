"""The real browser of the suite: one Chromium a run, a person signed in through the form, and what axe says of a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def enter(chromium, live_server, cast_committed):
    """A page of somebody signed in through the sign-in form, at a width and in a theme; refused content fails the test."""
    opened, refused = [], []

    def go(path: str, who: str = "mia", width: int = 1560, scheme: str = "light"):
        context = chromium.new_context(viewport={"width": width, "height": 940}, color_scheme=scheme)
        opened.append(context)
        page = context.new_page()
        page.on("console", lambda m: refused.append(m.text) if "Content Security Policy" in m.text else None)
        page.on("pageerror", lambda e: refused.append(str(e)))
        page.goto(f"{live_server.url}/accounts/login/?next={path}")
        page.fill("[name=login]", f"{who}@cana.test")
        page.fill("[name=password]", "correct-horse-9")
        page.click("button:has-text('Sign in')")
        page.wait_for_url(f"**{path}")
        return page

    yield go
    for context in opened:
        context.close()
    assert refused == []


def violations(page) -> list[str]:
    import axe_playwright_python

    source = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
    session = page.context.new_cdp_session(page)
    session.send("Page.setBypassCSP", {"enabled": True})
    page.reload()
    page.wait_for_load_state("networkidle")
    page.evaluate(source)
    found, passed = page.evaluate(
        "axe.run().then(r => [r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html.slice(0, 120)).join(' | ')), r.passes.length])"
    )
    assert passed > 10
    session.send("Page.setBypassCSP", {"enabled": False})
    return found
