"""One running product for all end-to-end tests of a run, and people who sign in to it with a real
browser.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from rcm.demo.people import PASSWORD, PEOPLE
from tests.browser import CHROMIUM
from tests.e2e.house import Product, product
from tests.e2e.messages import CHEST, KNEE, Sender, Story

# what htmx says of a question whose page was left before the answer; a failed one is told as
# sendError or responseError
GONE_ON = ("htmx:afterRequest", "htmx:sendAbort")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    if not CHROMIUM.exists():
        pytest.skip(
            "NO CHROMIUM HERE: the end-to-end tests did not run. Install the package `chromium`."
        )
    with product(tmp_path_factory.mktemp("product"), f"e2e_{os.getpid()}") as house:
        yield house


class Person:
    """One signed-in person with a page of a real browser; remembers what the browser refused or
    missed.
    """

    def __init__(
        self, house: Product, browser: object, first: str, *, width: int, scheme: str
    ) -> None:
        self.house = house
        self.email = next(p.email for p in PEOPLE if p.first.lower() == first)
        self.context = browser.new_context(
            viewport={"width": width, "height": 940}, color_scheme=scheme, base_url=house.url
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.trouble: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda e: self.trouble.append(f"{self.page.url}: {e}"))
        self.page.on(
            "response",
            lambda r: self.trouble.append(f"{r.status} {r.url}") if r.status >= 500 else None,
        )

    def _heard(self, message: object) -> None:
        if message.text.startswith(GONE_ON):
            return
        if (
            message.type == "error"
            and "the server responded with a status of 4" not in message.text
        ):
            self.trouble.append(f"{self.page.url}: {message.text}")

    def enter(self) -> Person:
        self.page.goto("/accounts/login/")
        self.page.fill("[name=login]", self.email)
        self.page.fill("[name=password]", PASSWORD)
        self.page.click("button:has-text('Sign in')")
        self.page.wait_for_url(lambda url: "/accounts/login" not in url)
        return self

    def open(self, path: str) -> object:
        self.page.goto(path)
        return self.page


class People:
    """`people("ben")` is Ben, signed in at his own browser; asked again he is still there."""

    def __init__(self, house: Product, browser: object) -> None:
        self.house, self.browser = house, browser
        self.known: dict[tuple[str, int, str], Person] = {}

    def __call__(self, first: str, *, width: int = 1560, scheme: str = "light") -> Person:
        key = (first, width, scheme)
        if key not in self.known:
            self.known[key] = Person(
                self.house, self.browser, first, width=width, scheme=scheme
            ).enter()
        return self.known[key]

    def troubles(self) -> list[str]:
        """What browsers reported since the last question."""
        found = [t for person in self.known.values() for t in person.trouble]
        for person in self.known.values():
            person.trouble.clear()
        return found


@pytest.fixture(scope="session")
def everybody(running: Product, chromium) -> Iterator[People]:
    known = People(running, chromium)
    yield known
    for person in known.known.values():
        person.context.close()


@pytest.fixture
def people(everybody: People) -> Iterator[People]:
    """The people, whose pages must not answer 500, break their script or be refused content."""
    everybody.troubles()
    yield everybody
    assert everybody.troubles() == []


@pytest.fixture(scope="session")
def office(running: Product) -> dict[str, Story]:
    """An office with something in every queue: exams that stand at every step, sent as messages and
    answered by the payers.
    """
    began = datetime.now(UTC) - timedelta(minutes=5)

    def story(number: int, last: str, member: str, **more: str) -> Story:
        return Story(f"80000{number}", last, "NORA", f"PRA12345{member}", began, **more)

    stories = {
        "rejected": story(1, "REJECTED", "9994", **CHEST),
        "denied": story(2, "DENIED", "9996", **CHEST),
        "short": story(3, "SHORT", "9997", **CHEST),
        "paid": story(4, "PAID", "9999", **CHEST),
        "inactive": story(5, "INACTIVE", "9990", **CHEST),
        "review": story(6, "SIDELESS", "9999", **KNEE),
        "unsigned": story(7, "UNSIGNED", "9999", **CHEST),
        "authorize": story(8, "WAITING", "9992"),
    }
    wire = Sender(running.ports.mllp)
    for s in stories.values():
        for message in (s.register(), s.order(), s.schedule()):
            assert wire.ask(message)[0] == "AA"
    for name in ("rejected", "denied", "short", "paid", "review"):
        assert wire.ask(stories[name].final(datetime.now(UTC)))[0] == "AA"
    assert wire.ask(stories["unsigned"].preliminary(datetime.now(UTC)))[0] == "AA"
    assert wire.ask(b"This is no HL7 message.")[0] != "AA"
    wire.close()
    return stories
