"""The screens of authorization in a real Chromium: each accessible in both themes."""

from __future__ import annotations

import os

import pytest
from django.urls import reverse

from authorizations import services
from rcm.accounts.scope import scope
from tests.authorizations.test_front_door import ask, record, visit
from tests.browser import CHROMIUM, violations_in_both_themes
from tests.intake.house import run_all

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason="Debian's chromium is not installed (apt-get install chromium)",
    ),
]


def test_every_authorization_page_is_accessible(enter, cast_committed, live_server):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        row = record(booked)
    page = enter(reverse("authorizations:list"), who="ada", width=1280)
    look(page, live_server, "ask", reverse("authorizations:ask", args=[row.public_id]))
    ask(cast, row, channel="phone", reference="R-1")
    with scope(cast.system):
        services.authorization_decide(
            authorization=row, status="denied", reason="not proven", actor=cast.actor("ada")
        )
    for name, path in (
        ("detail", reverse("authorizations:detail", args=[row.public_id])),
        ("peer", reverse("authorizations:peer", args=[row.public_id])),
        ("turnaround", reverse("authorizations:turnaround")),
        ("overrides", reverse("intake:overrides")),
    ):
        look(page, live_server, name, path)


def look(page, live_server, name: str, path: str) -> None:
    page.goto(live_server.url + path)
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
    assert violations_in_both_themes(page) == [], path
