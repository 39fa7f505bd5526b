"""One person, one role in each of two organizations (or sites): every route is asked for the rows
of both, and a right of the one place opens nothing in the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils.html import strip_tags

from rcm.accounts.models import Membership, Site, User
from rcm.accounts.permissions import permissions_of
from tests.security.conftest import BACKEND, Both
from tests.security.routes import Route, routes
from tests.security.test_routes import FINE

# in A and in B: what the one may and the other may not, both ways round
PAIRS = (
    ("manager", "front_desk"),
    ("front_desk", "manager"),
    ("compliance", "biller"),
    ("coder", "poster"),
    ("admin", "ar"),
    ("authorization", "admin"),
    ("biller", "front_desk"),
)
EVERY_ROLE = {"price.view"}  # held by all, so no pair can differ
CANARY = {"a": re.compile(rb"CANA-\d"), "b": re.compile(rb"CANB-\d")}
PLACE = {"a": re.compile(r"CANA (North|South|Imaging)"), "b": re.compile(r"CANB (Main|Imaging)")}
NO_ROLE = ("-", "open", "signed-in")


def holds(role: str, needs: str) -> bool:
    codes = permissions_of(role)
    return all(any(one in codes for one in part.split("|")) for part in needs.split(" & "))


def person(name: str, *memberships: tuple[Any, Site | None, str]) -> Client:
    user = User.objects.create_user(
        f"{name}@two.test", "correct-horse-9", first_name=name.title(), last_name="Two"
    )
    for organization, site, role in memberships:
        Membership.objects.create(user=user, organization=organization, site=site, role=role)
    client = Client(raise_request_exception=False)
    client.force_login(user, backend=BACKEND)
    return client


def ask(client: Client, method: str, url: str) -> tuple[int, bytes]:
    with transaction.atomic():
        response = getattr(client, method)(url)
        body: bytes = response.getvalue()
        transaction.set_rollback(True)
    return response.status_code, body


def asked_routes() -> list[tuple[Route, str, str]]:
    """(route, method, needs) of every screen that asks for a role."""
    return [
        (route, method, route.needs[method])
        for route in routes()
        if not route.api
        for method in ("get", "post")
        if route.needs[method] not in NO_ROLE
    ]


def choices(body: bytes) -> str:
    """The texts of the page's choices: what a form offers beside what it shows."""
    page = body.decode(errors="replace")
    main = page[page.find("<main") :]
    found = re.findall(r"<option[^>]*>(.*?)</option>|<label[^>]*>(.*?)</label>", main, re.S)
    return strip_tags(" ".join(a or b for a, b in found))


def wrong(both: Both, client: Client, roles: dict[str, str]) -> Iterator[str]:
    worlds = {"a": both.a, "b": both.b}
    for route, method, needs in asked_routes():
        may = {side: holds(role, needs) for side, role in roles.items()}
        where = f"{method.upper()} {route.name} ({needs})"
        if not route.owned:
            row = both.shared.get(route.object)
            status, body = ask(client, method, route.url(row, both.a))
            if not any(may.values()) and status != 403:
                yield f"{where}: nowhere allowed, answers {status}"
            if any(may.values()) and status not in FINE:
                yield f"{where}: allowed somewhere, answers {status}"
            for side in roles:
                if may[side]:
                    continue
                if CANARY[side].search(body):
                    yield f"{where}: lists a row of {side}"
                if PLACE[side].search(choices(body)):
                    yield f"{where}: offers a choice of {side}"
            continue
        for side, world in worlds.items():
            status, body = ask(client, method, route.url(world[route.object], world))
            if may[side] and (status not in FINE or status == 404):
                yield f"{where}: allowed in {side}, answers {status}"
            if not may[side]:
                if status not in (403, 404):
                    yield f"{where}: not allowed in {side}, answers {status}"
                if CANARY[side].search(body):
                    yield f"{where}: shows a row of {side}"


@pytest.mark.parametrize(("role_a", "role_b"), PAIRS)
def test_a_role_of_one_organization_opens_nothing_in_the_other(both, role_a, role_b) -> None:
    client = person(f"{role_a}-{role_b}", (both.cast.a, None, role_a), (both.cast.b, None, role_b))
    found = list(wrong(both, client, {"a": role_a, "b": role_b}))
    assert not found, "\n".join(found)


def test_every_permission_of_the_table_is_told_apart_by_some_pair() -> None:
    """No route of the table escapes the walk: some pair may in one organization and not in the
    other.
    """
    alike = {
        needs
        for _, _, needs in asked_routes()
        if all(holds(a, needs) == holds(b, needs) for a, b in PAIRS)
    }
    assert alike == EVERY_ROLE | {"platform"}


def test_a_role_at_one_site_opens_no_row_of_another_site(both) -> None:
    client = person(
        "two-sites",
        (both.cast.a, both.cast.south, "manager"),
        (both.cast.a, both.cast.north, "front_desk"),
    )
    found = []
    for route, method, needs in asked_routes():
        row = both.a[route.object] if route.owned else None
        if row is None or not getattr(type(row), "site_path", None) or isinstance(row, User):
            continue
        if holds("front_desk", needs) or not holds("manager", needs):
            continue
        status, _ = ask(client, method, route.url(row, both.a))
        if status not in (403, 404):
            found.append(f"{method.upper()} {route.name} ({needs}) answers {status}")
    assert not found, "\n".join(found)
