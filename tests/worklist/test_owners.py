"""A lease that runs out gives back the lease, not the owner; who has left owns nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from rcm.accounts.scope import scope
from rcm.audit.models import Event
from rcm.worklist import services
from rcm.worklist.models import WorkItem
from tests.worklist.conftest import make_items

pytestmark = pytest.mark.django_db


def fresh(cast, item) -> WorkItem:
    with scope(cast.system):
        return WorkItem.objects.get(pk=item.pk)


def test_an_owner_keeps_an_item_whose_lease_ran_out(cast) -> None:
    item = make_items(cast, 1)[0]
    now = timezone.now()
    with scope(cast.system):
        services.item_assign(item=item, to=cast.user("ari"), actor=cast.actor("mia"))
    with scope(cast.actor("ari")):
        assert services.work_next(queue="test_denials", actor=cast.actor("ari"), at=now)
    later = now + timedelta(hours=2)
    with scope(cast.actor("ben")):
        assert services.work_next(queue="test_denials", actor=cast.actor("ben"), at=later) is None
    with scope(cast.system):
        services.return_pended(actor=cast.system, at=later)
    row = fresh(cast, item)
    assert (row.owner_id, row.lease_until) == (cast.user("ari").pk, None)


def test_an_item_from_the_pool_goes_back_to_it(cast) -> None:
    item = make_items(cast, 1)[0]
    now = timezone.now()
    with scope(cast.actor("ari")):
        services.work_next(queue="test_denials", actor=cast.actor("ari"), at=now)
    with scope(cast.system):
        services.return_pended(actor=cast.system, at=now + timedelta(hours=2))
    assert fresh(cast, item).owner_id is None


def test_a_disabled_persons_items_go_back_to_the_team_at_once(cast) -> None:
    mine, other = make_items(cast, 2)
    with scope(cast.system):
        services.item_assign(item=mine, to=cast.user("ari"), actor=cast.actor("mia"))
        services.item_assign(item=other, to=cast.user("ben"), actor=cast.actor("mia"))
    ari = cast.user("ari")
    ari.is_active = False
    ari.save(update_fields=["is_active"])
    assert fresh(cast, mine).owner_id is None
    assert fresh(cast, other).owner_id == cast.user("ben").pk
    with scope(cast.system):
        assert Event.objects.filter(verb="work.returned", work_item_id=mine.pk).count() == 1


def test_who_leaves_an_organization_owns_nothing_there(cast) -> None:
    item = make_items(cast, 1)[0]
    with scope(cast.system):
        services.item_assign(item=item, to=cast.user("ari"), actor=cast.actor("mia"))
    cast.user("ari").memberships.filter(organization=cast.a).delete()
    assert fresh(cast, item).owner_id is None


def test_work_next_takes_what_ends_soon_then_what_is_worth_most(cast) -> None:
    """A small item that ends in a year does not stand before a large one that ends a day later."""
    today = timezone.localdate()
    small, large, soon, sure = make_items(cast, 4)
    rows = {
        small: dict(dollars=90, score=45, deadline_on=today + timedelta(days=200)),
        large: dict(dollars=900, score=300, deadline_on=today + timedelta(days=201)),
        soon: dict(dollars=10, score=2, deadline_on=today + timedelta(days=5)),
        sure: dict(dollars=500, score=400, deadline_on=None),
    }
    with scope(cast.system):
        for item, values in rows.items():
            WorkItem.objects.filter(pk=item.pk).update(**values)
    with scope(cast.actor("ari")):
        taken = [services.work_next(queue="test_denials", actor=cast.actor("ari")) for _ in rows]
    assert [t and t.pk for t in taken] == [soon.pk, sure.pk, large.pk, small.pk]
