"""Every route × method × actor × whose row, against the written table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from intake.models import Patient
from rcm.accounts.models import Invitation
from rcm.accounts.permissions import PERMISSIONS
from rcm.accounts.scope import scope
from rcm.audit.models import Access
from rcm.web import nav
from rcm.web.models import SavedView
from tests.security.conftest import Both, offer
from tests.security.routes import SHARED, Route, routes, walk, written

STAFF = ("ana", "ada", "cody", "ben", "pia", "ari", "mia", "cleo", "adam")
FINE = {
    200,
    201,
    202,
    204,
    301,
    302,
    303,
    400,
    404,
    409,
    415,
    422,
    428,
}  # 404 only where the address names no row, see below
ALIKE = ("-", "open", "signed-in")  # no role is asked, so one of the staff speaks for all of them
REQUEST_ID = "route-walk"
CANARY_OF_B = re.compile(
    rb"CANB(-\d| [A-Z])"
)  # the four letters alone stand in one of many thousand random tokens


# --- asking ---------------------------------------------------------------------------------------


class Visitor:
    """One actor at the door: asks an address, leaves nothing behind, and never sees a byte of
    organization B.
    """

    def __init__(self, client: Client, both: Both, who: str, **headers: str) -> None:
        self.client, self.both, self.who, self.headers = client, both, who, headers
        self.cookies = client.cookies.copy()

    def ask(
        self, route: Route, method: str, whose: str = "own"
    ) -> tuple[int, bytes, dict[str, str]]:
        """`whose`: own, other (organization B's), unknown (an id that nobody has)."""
        row, world = {
            "own": (own_row(self.both, route, self.who), self.both.a),
            "other": (
                (other_row(self.both, route), self.both.b) if whose == "other" else (None, None)
            ),
            "unknown": (None, None),
        }[whose]
        url = route.url(row, world)
        self.client.cookies = self.cookies.copy()
        kind = (
            {"content_type": "application/json", "data": "{}"}
            if route.api and method != "get"
            else {}
        )
        with transaction.atomic():
            response = getattr(self.client, method)(
                url, headers={"X-Request-ID": REQUEST_ID, **self.headers}, **kind
            )
            body: bytes = response.getvalue()
            transaction.set_rollback(True)
        if CANARY_OF_B.search(body) or any(
            CANARY_OF_B.search(v.encode()) for v in response.headers.values()
        ):
            raise AssertionError(
                f"{self.who} saw a row of organization B at {method.upper()} {route.name}"
            )
        return response.status_code, _plain(body, url), dict(response.headers)


def _plain(body: bytes, url: str) -> bytes:
    """A body without what differs from one request to the next: the masked token and the address
    itself.
    """
    body = re.sub(rb'csrfmiddlewaretoken" value="[^"]*"', b"", body)
    body = re.sub(rb"X-CSRFToken[^}]*}", b"", body)
    return body.replace(url.encode(), b"URL")


def visitor(both: Both, who: str) -> Visitor:
    client = Client(raise_request_exception=False)
    if who in STAFF:
        return Visitor(both.browser(who, raise_request_exception=False), both, who)
    if who == "disabled":
        entered = both.browser("max", raise_request_exception=False)
        user = both.cast.user("max")
        user.is_active = False
        user.save(update_fields=["is_active"])
        return Visitor(entered, both, who)
    if who in both.tokens:
        return Visitor(client, both, who, Authorization=f"Bearer {both.tokens[who]}")
    return Visitor(client, both, who)


def own_row(both: Both, route: Route, who: str) -> Any:
    if not route.object:
        return None
    if route.object == "web.SavedView":
        return SavedView.objects.get_or_create(
            owner=both.cast.user(who if who in both.cast.users else "max"),
            path="/work/",
            name="Mine",
        )[0]
    if route.object == "accounts.Invitation#mine":
        reader = both.cast.user(who if who in both.cast.users else "max")
        mine = Invitation.objects.filter(user=reader, organization=both.cast.b, role="coder")
        return mine.first() or offer(both.cast.b, reader, "OFFER", role="coder")
    if route.object in SHARED:
        return both.shared[route.object]
    return both.a[route.object]


def other_row(both: Both, route: Route) -> Any:
    if route.object == "web.SavedView":
        return SavedView.objects.get_or_create(
            owner=both.cast.user("olga"), path="/work/", name="CANB view"
        )[0]
    if route.object == "accounts.Invitation#mine":
        return both.b["accounts.Invitation"]
    return both.b[route.object]


# --- what the table says --------------------------------------------------------------------------


def at_login(status: int, headers: dict[str, str], route: Route) -> bool:
    if route.api:
        return status == 401
    return status == 401 or (status == 302 and headers["Location"].startswith("/accounts/login/"))


def fails(
    visit: Visitor, route: Route, method: str, needs: str, holds: bool | None, tries_others: bool
) -> Iterator[str]:
    """Deviations of one actor at one route and method. `holds`: the actor has what it takes; None:
    nobody has signed in.
    """
    status, _, headers = visit.ask(route, method)
    if status >= 500:
        yield f"answers {status}"
    elif needs == "-":
        if not (status == 405 or at_login(status, headers, route) or (status == 403 and not holds)):
            yield f"should refuse the method, answers {status}"
        return
    elif needs == "open":
        if status in (401, 403):
            yield f"is open, answers {status}"
        return
    elif holds is None:
        if not at_login(status, headers, route):
            yield f"should ask for a sign-in, answers {status}"
        return
    elif not holds:
        if status != 403:
            yield f"lacks {needs}, should be 403, answers {status}"
    elif status not in FINE or (status == 404 and route.object):
        yield f"holds {needs or 'a sign-in'}, answers {status}"
    if not route.owned or not tries_others:
        return
    if not holds:
        if (strange := visit.ask(route, method, "other")[0]) not in (403, 404):
            yield f"lacks {needs}, and the row of another organization answers {strange}"
    else:
        strange, unknown = visit.ask(route, method, "other"), visit.ask(route, method, "unknown")
        if strange[0] not in (404, 400):  # a body is read before its row: the same refusal for both
            yield f"the row of another organization answers {strange[0]}"
        if strange[:2] != unknown[:2]:
            yield "the row of another organization does not answer as one that exists nowhere"


def deviations(both: Both, who: str) -> list[str]:
    visit, out = visitor(both, who), []
    for route in routes():
        for method, needs in route.needs.items():
            if not route.api and method in ("patch", "delete"):
                continue  # Django's own answer; the token of the form is asked for first, see below
            if needs in ALIKE and who in STAFF and who != "mia":
                continue  # who asks makes no difference to a method that is not there or that asks for no role
            if needs == "-" and who not in ("anonymous", "mia", "partner_full"):
                continue
            holds = holding(both, who, route, needs)
            out += [
                f"{who}: {method.upper()} {route.name} {d}"
                for d in fails(
                    visit, route, method, needs, holds, speaks_for(both, who, route, needs, holds)
                )
            ]
    return out


def speaks_for(both: Both, who: str, route: Route, needs: str, holds: bool | None) -> bool:
    """Whether this actor tries the rows of the other organization: the manager, and the first who
    may and the first who may not.
    """
    if who not in STAFF or who == "mia":
        return True
    return next(w for w in STAFF if holding(both, w, route, needs) == holds) == who


def holding(both: Both, who: str, route: Route, needs: str) -> bool | None:
    if route.api:
        if who not in both.tokens:
            return None
        return needs in both.scopes[who]
    if who not in STAFF:
        return None
    if needs in ("open", "signed-in", "-"):
        return True
    actor = both.cast.actor(who)
    return all(any(actor.can(code) for code in one_of.split("|")) for one_of in needs.split(" & "))


# --- the tests ------------------------------------------------------------------------------------


def test_every_route_is_in_the_written_table() -> None:
    product, table = {name for name, _, _ in walk()}, set(written())
    assert product - table == set(), (
        "write each new route into tests/security/routes.csv: who may, and whose row it names"
    )
    assert table - product == set(), (
        "these routes are gone: take them out of tests/security/routes.csv"
    )


def test_the_table_names_only_permissions_and_scopes_that_exist(settings) -> None:
    known = set(PERMISSIONS) | set(settings.OAUTH2_PROVIDER["SCOPES"]) | {"-", "open", "signed-in"}
    known.add("platform")  # the mark of a platform administrator, which no role gives
    named = {
        code
        for r in routes()
        for cell in r.needs.values()
        for part in cell.split(" & ")
        for code in part.split("|")
    }
    assert named <= known


def test_a_row_of_an_address_is_named_in_the_table() -> None:
    assert [
        r.name
        for r in routes()
        if {"public_id", "pk"} & (set(r.parameters()) - dict(r.more).keys()) and not r.object
    ] == []


@pytest.mark.parametrize("who", ["anonymous", "disabled", *STAFF, "partner_full", "partner_reads"])
def test_each_route_answers_this_actor_as_the_table_says(both, who) -> None:
    found = deviations(both, who)
    assert not found, "\n".join(found)


def test_nobodys_rail_leads_to_a_closed_door(both) -> None:
    closed = []
    for who in STAFF:
        browser = both.browser(who)
        for entry in nav.entries(both.cast.actor(who)):
            status = browser.get(entry.url, follow=True).status_code
            if status != 200:
                closed.append((who, entry.label, status))
    assert closed == []


@pytest.fixture(scope="module")
def crawl(both) -> dict[str, Any]:
    """Every page read by those who see most: what changed in the tables, and the headers of each
    answer.
    """
    before, headers, unlogged = digest(both), [], set()
    with scope(organizations=[both.cast.a.pk]):
        names = {p.pk: p.last_name for p in Patient.objects.all()}
    for who in ("adam", "mia", "cleo", "partner_full"):
        visit = visitor(both, who)
        for route in routes():
            if route.needs["get"] != "-" and holding(both, who, route, route.needs["get"]):
                visit.client.cookies = visit.cookies.copy()
                answer = visit.client.get(
                    route.url(own_row(both, route, who), both.a), headers=visit.headers
                )
                body = answer.getvalue().decode("utf-8", "replace")
                headers.append((route, who, answer.headers))
                if named_in(names, body) - logged_now(both):
                    unlogged.add((route.name, who))
                if "export=csv" not in body:
                    continue
                url = route.url(own_row(both, route, who), both.a)
                file = visit.client.get(url, {"export": "csv"}, headers=visit.headers)
                if named_in(names, file.getvalue().decode()) - logged_now(both):
                    unlogged.add((f"{route.name} export", who))
    after = digest(both)
    written = sorted(t for t in before if before[t] != after[t])
    return {"written": written, "headers": headers, "unlogged": sorted(unlogged)}


def named_in(names: dict[int, str], body: str) -> set[int]:
    """The patients whose names a page or a file shows."""
    return {pk for pk, name in names.items() if re.search(rf"{name}(?!\d)", body)}


def logged_now(both: Both) -> set[int]:
    """The patients of A in the log since this was asked last."""
    with scope(organizations=[both.cast.a.pk]):
        rows = Access.objects.filter(pk__gt=logged_now.last)
        found = list(rows.values_list("pk", "patient_id"))
    logged_now.last = max([logged_now.last, *(pk for pk, _ in found)])
    return {patient for _, patient in found}


logged_now.last = 0


def test_every_door_that_shows_a_patient_is_in_the_log(crawl) -> None:
    assert crawl["unlogged"] == []


def test_reading_every_page_writes_nothing(crawl) -> None:
    assert crawl["written"] == []


def test_every_page_carries_the_headers_of_the_house(crawl) -> None:
    for route, _, headers in crawl["headers"]:
        policy = headers["Content-Security-Policy"]
        assert (
            "unsafe" not in policy
            and "object-src 'none'" in policy
            and "frame-ancestors 'none'" in policy
        ), route.name
        assert headers["X-Content-Type-Options"] == "nosniff", route.name
        assert headers["Referrer-Policy"] == "same-origin", route.name
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", route.name
        assert "no-store" in headers.get("Cache-Control", "") or route.needs["get"] == "open", (
            route.name
        )


# tables that a read may touch: who read, who is signed in, what was remembered of a session
READ_TABLES = {
    "audit_access",
    "django_session",
    "usersessions_usersession",
    "web_savedview",
    "accounts_user",
    "mfa_authenticator",
    "account_emailaddress",
}


def digest(both: Both) -> dict[str, tuple[Any, ...]]:
    """Count and order-free hash of every table, as both organizations see it."""
    with scope(organizations=[both.cast.a.pk, both.cast.b.pk]), connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace ="
            " 'public'::regnamespace AND has_table_privilege(current_user, oid, 'SELECT')"
        )
        out = {}
        for (table,) in cursor.fetchall():
            if table not in READ_TABLES and not table.startswith("oauth2_provider"):
                told = (
                    "WHERE verb <> 'interchange.read'" if table == "audit_event" else ""
                )  # a read of raw bytes is told on their timeline
                cursor.execute(
                    f'SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM "{table}" t'
                    f" {told}"
                )
                out[table] = cursor.fetchone()
    return out


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_no_screen_takes_a_change_without_the_token_of_its_form(both, method) -> None:
    client = both.browser("mia", enforce_csrf_checks=True)
    open_to_all = [
        r.name
        for r in routes()
        if not r.api
        and getattr(client, method)(r.url(own_row(both, r, "mia"), both.a)).status_code != 403
    ]
    assert open_to_all == []


def test_a_token_from_a_foreign_page_is_refused(both) -> None:
    client = both.browser("mia", enforce_csrf_checks=True)
    client.get("/style/")
    token = client.cookies["csrftoken"].value
    for origin in ("https://evil.example", "null", "http://testserver.evil.example"):
        for route in [r for r in routes() if not r.api and r.needs["post"] != "-"]:
            answer = client.post(
                route.url(own_row(both, route, "mia"), both.a),
                {"csrfmiddlewaretoken": token},
                headers={"Origin": origin},
            )
            assert answer.status_code == 403, (route.name, origin)
