"""Work items for partners: only the queues their scopes open, and no change over somebody
else's.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application

from rcm.accounts.models import Partner
from rcm.accounts.scope import scope
from rcm.worklist.models import WorkItem
from tests.worklist.conftest import make_items

pytestmark = pytest.mark.django_db
READ, BOTH = "work:read", "work:read work:write"


@pytest.fixture
def call(cast, client):
    application = Application.objects.create(
        name="ris", client_type="confidential", authorization_grant_type="client-credentials"
    )
    Partner.objects.create(
        organization=cast.a, name="RIS", application=application, scopes=BOTH.split()
    )

    def ask(method: str, path: str, body: Any = None, *, scopes: str = BOTH, **headers: str):
        token = AccessToken.objects.create(
            application=application,
            token=f"t{AccessToken.objects.count()}",
            scope=scopes,
            expires=timezone.now() + timedelta(minutes=5),
        )
        return getattr(client, method)(
            f"/api/v1/{path}",
            json.dumps(body) if body is not None else None,
            content_type="application/json",
            headers={"Authorization": f"Bearer {token.token}", **headers},
        )

    return ask


def test_a_partner_reads_its_organizations_items_of_open_queues(cast, call) -> None:
    items = make_items(cast, 3)
    make_items(cast, 1, system=cast.system_b, organization=cast.b)
    found = call("get", "work-items").json()["results"]
    assert {r["id"] for r in found} == {str(i.public_id) for i in items}
    one = call("get", f"work-items/{items[0].public_id}")
    assert one["ETag"].startswith('"0-')
    assert one.json()["title"] == "Denial 1 of the payer"
    assert call("get", "work-items", scopes="work:write").status_code == 403


def test_a_next_action_needs_the_etag_and_loses_nobodys_change(cast, call) -> None:
    item = make_items(cast, 1)[0]
    path = f"work-items/{item.public_id}/next-action"
    body = {
        "action": "Called payer",
        "note": "ref 12",
        "next_action_on": str(timezone.localdate() + timedelta(days=3)),
    }
    assert call("post", path, body).status_code == 428
    done = call("post", path, body, **{"If-Match": '"0"'})
    assert (done.status_code, done["ETag"], done.json()["next_action"]) == (
        200,
        '"1"',
        "Called payer",
    )
    assert call("post", path, body, **{"If-Match": '"0"'}).status_code == 412
    assert (
        call(
            "post", path, body | {"next_action_on": "2020-01-01"}, **{"If-Match": '"1"'}
        ).status_code
        == 400
    )
    assert call("post", path, body, scopes=READ, **{"If-Match": '"1"'}).status_code == 403


def test_a_note_and_the_end(cast, call) -> None:
    item = make_items(cast, 1)[0]
    path = f"work-items/{item.public_id}/notes"
    assert call("post", path, {"note": "Seen"}).status_code == 428
    assert call("post", path, {"note": "Seen"}, **{"If-Match": '"7"'}).status_code == 412
    assert call("post", path, {"note": "Seen"}, **{"If-Match": '"0"'}).status_code == 200
    assert (
        call(
            "post",
            f"work-items/{item.public_id}/finish",
            {"outcome": "Paid already"},
            **{"If-Match": '"0"'},
        ).json()["status"]
        == "done"
    )
    again = call(
        "post", f"work-items/{item.public_id}/finish", {"outcome": "x"}, **{"If-Match": '"1"'}
    )
    assert again.status_code == 422
    assert again["Content-Type"] == "application/problem+json"
    with scope(cast.system):
        assert WorkItem.objects.get().outcome == "Paid already"


def test_a_strangers_item_is_not_found(cast, call) -> None:
    theirs = make_items(cast, 1, system=cast.system_b, organization=cast.b)[0]
    for path in (
        f"work-items/{theirs.public_id}",
        "work-items/01a20819-b17b-7c42-aa31-7877848e2437",
    ):
        assert call("get", path).status_code == 404
