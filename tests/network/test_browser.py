"""The network in a real Chromium: walked by keys, accessible in both themes, and a booking that is
told while it is typed.
"""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from charges.models import Reader, ReadingGroup
from rcm.accounts.scope import scope
from rcm.reference.models import Payer, Provider
from tests.browser import CHROMIUM, violations_in_both_themes
from tests.intake import house as front
from tests.network.house import IVAN, JAN, House

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason="Debian's chromium is not installed (apt-get install chromium)",
    ),
]


@pytest.fixture
def desk(cast_committed) -> House:
    """North is out of network with PHP, South is in; an order of a PHP patient waits."""
    cast = cast_committed
    with scope(cast.system):
        group = ReadingGroup.objects.create(
            organization=cast.a, name="Readers", npi=IVAN, relation="employee"
        )
        ivan, _ = Provider.objects.get_or_create(
            npi=IVAN, defaults={"last_name": "Reader", "first_name": "Ivan"}
        )
        Reader.objects.create(
            organization=cast.a, group=group, provider=ivan, credentialed_from=JAN
        )
        now = dt.datetime(2026, 9, 9, 15, tzinfo=dt.UTC)
        house = House(cast, Payer.objects.get(code="PHP"), now)
        house.open(house.site(), "out")
        house.open(house.site(cast.south))
        house.open(house.reader(), "pending")
        patient = front.patient(cast)
        front.insured(cast, patient)
        house.order = front.order(cast, patient)
    return house


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_matrix_is_walked_by_arrows_and_opens_by_enter(desk, enter, width):
    page = enter(reverse("network:matrix"), width=width)
    squares = page.locator("[data-square]")
    squares.first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    below = page.locator("[data-matrix] tbody tr:has([data-square])").nth(1)
    expect(below.locator("[data-square]").nth(1)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    expect(squares.first).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.keyboard.press("Enter")
    page.wait_for_url("**/network/cell/**")
    expect(page.locator("h1")).to_contain_text("CANA Imaging with")


def test_the_pages_are_accessible_in_both_themes(desk, enter):
    cell = (
        f"{reverse('network:cell')}?organization={desk.cast.a.public_id}&kind=site"
        f"&who={desk.cast.north.public_id}&payer=PHP"
    )
    page = enter(reverse("network:matrix"), width=1280)
    wrong = list(violations_in_both_themes(page))
    for address in (cell, reverse("network:load")):
        page.goto(page.url.split("/network/")[0] + address)
        wrong += violations_in_both_themes(page)
    assert wrong == []


def test_the_booking_is_told_while_it_is_typed_and_changes_by_one_press(desk, enter):
    path = reverse("intake:book", args=[desk.order.public_id])
    page = enter(path, who="ana", width=1280)
    page.select_option("#id_site", label="CANA North")
    page.fill("#id_day", "12/14/2026")
    page.fill("#id_at", "9:40")
    box = page.locator("#network")
    expect(box).to_contain_text("CANA North is out of network with")
    expect(box).to_contain_text("on 12/14/2026")
    box.get_by_role("button", name="Change to CANA South").click()
    expect(page.locator("#network")).to_contain_text("CANA South is in network with")
    expect(page.locator("#id_at")).to_have_value("9:40")
    page.get_by_role("button", name="Book", exact=True).click()
    page.wait_for_url("**/appointments/**")
