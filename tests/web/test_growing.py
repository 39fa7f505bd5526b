"""The line that says how far the demo has grown."""

from __future__ import annotations

import pytest
from django.urls import reverse

from rcm.embedded import growth

GROWING = growth.Growth(2000, 6, "2026-11-24T15:00:00+00:00", {"A": 0.30, "B": 0.21})


@pytest.fixture
def state(tmp_path, settings):
    path = tmp_path / "growth.json"
    settings.DEMO_PROGRESS = str(path)
    growth.write(path, GROWING)
    return path


def test_every_page_says_the_month_of_the_slower_group_until_the_demo_is_grown(cast, client, state):
    client.force_login(cast.users["mia"])
    sentence = "The demo is still growing: month 2 of 6."
    page = client.get("/", follow=True)
    assert sentence in page.content.decode()
    assert sentence in client.get(reverse("web:growing")).content.decode()
    growth.write(state, growth.Growth(**{**_fields(GROWING), "finished": True}))
    assert client.get(reverse("web:growing")).content.decode().strip() == ""
    assert "still growing" not in client.get("/", follow=True).content.decode()


def _fields(found: growth.Growth) -> dict[str, object]:
    return {name: getattr(found, name) for name in found.__slots__}


def test_a_product_without_a_growing_demo_says_nothing(cast, client, settings):
    settings.DEMO_PROGRESS = ""
    client.force_login(cast.users["mia"])
    assert client.get(reverse("web:growing")).content.decode().strip() == ""


def test_the_first_month_counts_from_one_and_the_last_is_never_passed():
    assert growth.Growth(1, 2.5, "").sentence.endswith("month 1 of 3")
    assert growth.Growth(1, 2, "", {"A": 1.0}).sentence.endswith("month 2 of 2")
