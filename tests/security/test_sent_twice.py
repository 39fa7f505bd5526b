"""Every form that moves money or sends something outside does its work once: walked over the table
of routes, and over every template.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from rcm.accounts.models import FormKey
from rcm.accounts.scope import scope
from tests.security.conftest import Both
from tests.security.routes import Route, routes
from tests.security.test_routes import STAFF, holding, own_row

MOVING = ("remittance", "claims", "intake", "authorizations", "ar", "exchange")

# what is posted here moves no money and leaves the house by no door: master data, plans, notes,
# checks of our own; whoever adds a route says which of the two it is
STILL = {
    "ar:audit_case",
    "ar:baseline_new",
    "ar:bill",
    "ar:cost_rate",
    "ar:kpi_target",
    "ar:plan_place",
    "ar:prove",
    "ar:report_new",
    "ar:sample_new",
    "ar:shift",
    "ar:state_verify",
    "ar:threshold",
    "ar:wanted",
    "claims:edit",
    "claims:fix",
    "claims:override",
    "claims:printer",
    "claims:printer_new",
    "claims:restore",
    "claims:rule_backtest",
    "claims:rule_edit",
    "claims:rule_new",
    "claims:rule_switch",
    "claims:scrub",
    "claims:scrub_all",
    "claims:scrub_many",
    "intake:book",
    "intake:cancel",
    "intake:change_site",
    "intake:check_accept",
    "intake:check_in",
    "intake:check_seen",
    "intake:confirm",
    "intake:coverage",
    "intake:coverage_end",
    "intake:coverage_new",
    "intake:coverage_use",
    "intake:move",
    "intake:no_show",
    "intake:notice",
    "intake:notice_new",
    "intake:order",
    "intake:order_cancel",
    "intake:order_new",
    "intake:override",
    "intake:patient_edit",
    "intake:patient_merge",
    "intake:patient_new",
    "intake:patient_unmerge",
    "remittance:dated",
    "remittance:denial_group_rule",
    "remittance:denial_park",
    "remittance:denial_reopen",
    "remittance:denials_park",
    "remittance:match",
    "remittance:read_again",
    "remittance:take_member",
}

# forms that may be sent as often as one likes from one page: how the reader's pages look, which
# place they show, the next item of a queue; and sign-in, which has no actor yet
AS_OFTEN_AS_ONE_LIKES = {
    "components/place_menu.html",
    "components/queue.html",
    "components/saved_views.html",
    "components/user_menu.html",
    "people/profile.html",
    "worklist/next.html",
    "worklist/queue.html",
}
SIGN_IN = ("account", "mfa", "usersessions")
FORM = re.compile(r"<form\b[^>]*?method=\"post\".*?</form>", re.DOTALL | re.IGNORECASE)


def posted() -> list[Route]:
    return [
        r for r in routes() if r.name.split(":")[0] in MOVING and r.needs["post"] not in ("-", "")
    ]


def moving() -> list[Route]:
    return [r for r in posted() if getattr(r.view, "money", False)]


def test_every_posted_route_says_whether_it_moves_money_or_sends() -> None:
    unmarked = {r.name for r in posted()} - {r.name for r in moving()}
    assert unmarked - STILL == set(), "mark the view with money=True, or say that it moves nothing"
    assert STILL - unmarked == set(), "these are marked, or gone: take them out of STILL"


@pytest.mark.django_db
def test_a_form_that_did_its_work_leads_to_its_first_answer_at_every_route(both: Both) -> None:
    wrong = []
    for number, route in enumerate(moving()):
        who = next(w for w in STAFF if holding(both, w, route, route.needs["post"]))
        actor = both.cast.actor(who).where(route.view.permission)
        key, first = f"walk-{number}", f"/work/?first={number}"
        with scope(both.cast.system):
            FormKey.objects.create(
                organization_id=min(actor.organizations),
                user_id=actor.user_id,
                key=key,
                values="sent before",
                location=first,
            )
        url = route.url(own_row(both, route, who), both.a)
        client = both.browser(who, raise_request_exception=False)
        again = client.post(url, {"form_key": key})
        if (again.status_code, again.headers.get("Location")) != (302, first):
            wrong.append(f"{route.name}: {again.status_code} {again.headers.get('Location')}")
    assert len(moving()) > 40
    assert wrong == []


def templates() -> list[Path]:
    return sorted((Path(settings.BASE_DIR) / "templates").rglob("*.html"))


def keyless(text: str) -> list[str]:
    return [found[0][:120] for found in FORM.finditer(text) if "{% form_key %}" not in found[0]]


def test_every_form_of_the_house_carries_its_key() -> None:
    root = Path(settings.BASE_DIR) / "templates"
    lacking, needless = [], set(AS_OFTEN_AS_ONE_LIKES)
    for path in templates():
        name = path.relative_to(root).as_posix()
        if name.split("/")[0] in SIGN_IN:
            continue
        found = keyless(path.read_text())
        if name in AS_OFTEN_AS_ONE_LIKES:
            needless -= {name} if found else set()
            continue
        lacking += [f"{name}: {form}" for form in found]
    assert lacking == []
    assert needless == set(), "these carry the key: take them out of the list"


def test_a_form_without_its_key_is_found() -> None:
    bad = (
        '<form method="post" action="{{ fix.url }}">\n{% csrf_token %}<button>Send</button></form>'
    )
    assert keyless(bad) == [bad]
    assert keyless(bad.replace("{% csrf_token %}", "{% csrf_token %}{% form_key %}")) == []
