"""The one way to change a state: allowed by the table, compare-and-set, told once for each row."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from authorizations.models import Authorization
from authorizations.services.records import AUTHORIZATIONS
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.audit.models import Event
from rcm.exchange.models import Outbox
from rcm.exchange.transitions import advance
from tests.security.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(cast):
    """Three requested records."""
    first = World(cast.a, cast.north, cast.user("ana"), "CANA").build()[
        "authorizations.Authorization"
    ]
    with scope(cast.system):
        made = [first]
        for _ in range(2):
            copy = Authorization.objects.get(pk=first.pk)
            copy.pk, copy.public_id, copy._state.adding = None, None, True
            copy.public_id = Authorization._meta.get_field("public_id").get_default()
            copy.number = f"N{len(made)}"
            copy.save()
            made.append(copy)
        Authorization.objects.update(status="requested", version=3)
        yield list(Authorization.objects.order_by("pk"))


def go(cast, rows, to="approved", who="ada", **more):
    return advance(
        AUTHORIZATIONS,
        rows,
        to,
        sentence=lambda row: f"Number {row.pk} is {row.status}",
        actor=cast.actor(who),
        at=timezone.now(),
        **more,
    )


def test_many_rows_move_with_history_event_and_version_in_a_fixed_number_of_statements(
    cast, rows
) -> None:
    before = Outbox.objects.filter(topic="authorization.changed").count()
    with CaptureQueriesContext(
        connection,
    ) as one:
        assert go(cast, rows[:1], reason="By phone", changes={"reference": "R1"}) == 1
    with CaptureQueriesContext(connection) as two:
        assert go(cast, rows[1:]) == 2
    assert len(two) == len(one)
    assert [(r.status, r.version) for r in rows] == [("approved", 4)] * 3
    assert rows[0].reference == "R1"
    said = Event.objects.filter(verb="authorization.approved").order_by("id")
    assert {(e.authorization_id, e.sentence, e.old_status) for e in said} == {
        (r.pk, f"Number {r.pk} is approved", "requested") for r in rows
    }
    assert said[0].reason == "By phone"
    told = Outbox.objects.filter(topic="authorization.changed").count() - before
    assert told % 3 == 0
    assert told


def test_a_move_that_the_table_does_not_hold_moves_none(cast, rows) -> None:
    Authorization.objects.filter(pk=rows[2].pk).update(status="cancelled")
    rows[2].refresh_from_db()
    with pytest.raises(Refused, match="An authorization that is cancelled cannot become approved"):
        go(cast, rows)
    assert Authorization.objects.filter(status="approved").count() == 0


def test_a_row_that_somebody_moved_meanwhile_is_a_conflict(cast, rows) -> None:
    Authorization.objects.filter(pk=rows[1].pk).update(status="denied")
    with pytest.raises(Conflict, match="Somebody else has changed an authorization"):
        go(cast, rows)


def test_who_may_not_moves_none(cast, rows) -> None:
    with pytest.raises(PermissionRefused):
        go(cast, rows, who="pia", permission="authorization.edit")
    assert Authorization.objects.filter(status="requested").count() == 3


def test_nothing_to_move_asks_nothing(cast, rows, django_assert_num_queries) -> None:
    actor = cast.actor("ada")
    with django_assert_num_queries(0):
        moved = advance(AUTHORIZATIONS, [], "approved", sentence="", actor=actor, at=timezone.now())
    assert moved == 0
