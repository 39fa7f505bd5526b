"""A lease that runs out gives back the lease, not the owner; who has left owns nothing."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.urls import reverse
from django.utils import timezone

from rcm.accounts.problems import Conflict
from rcm.accounts.scope import scope
from rcm.audit.models import Event
from rcm.reference.models import Payer
from rcm.worklist import services
from rcm.worklist.models import DefaultOwner, WorkItem
from rcm.worklist.owners import owner_end, owner_set
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


def opened(cast, subject: int, **more) -> WorkItem:
    """A new item at the door by which every phase opens one."""
    spec = services.ItemSpec(
        cast.a.pk, "test_denials", "thing", subject, "why", "Why", timezone.now(), **more
    )
    with scope(cast.system):
        services.open_items([spec], actor=cast.system)
        return WorkItem.objects.get(subject_type="thing", subject_id=subject)


def default(cast, who: str, **place):
    with scope(cast.system):
        return owner_set(
            organization_id=cast.a.pk, user=cast.user(who), actor=cast.actor("mia"), **place
        )


def test_a_new_item_goes_to_the_default_owner_that_says_most(cast) -> None:
    payers = {
        code: Payer.objects.get_or_create(code=code, defaults={"edi_id": code})[0]
        for code in ("P1", "P2")
    }
    default(cast, "ari", queue="test_denials")
    assert opened(cast, 1).owner_id == cast.user("ari").pk
    default(cast, "ben", payer_id=payers["P1"].pk)
    # as much is said by queue and by payer: the payer's decides
    assert opened(cast, 2, payer_id=payers["P1"].pk).owner_id == cast.user("ben").pk
    assert opened(cast, 3, payer_id=payers["P2"].pk).owner_id == cast.user("ari").pk
    default(cast, "mia", queue="test_denials", payer_id=payers["P1"].pk, site_id=cast.north.pk)
    mine = opened(cast, 4, payer_id=payers["P1"].pk, site_id=cast.north.pk)
    assert mine.owner_id == cast.user("mia").pk
    row = default(cast, "ben", queue="test_denials")
    assert opened(cast, 5).owner_id == cast.user("ben").pk
    with scope(cast.system):
        owner_end(row=row, actor=cast.actor("mia"))
    assert opened(cast, 6).owner_id is None


def test_open_items_that_nobody_owns_go_with_it_and_a_disabled_owner_gets_none(cast) -> None:
    loose = opened(cast, 1)
    with scope(cast.system):
        held = services.item_take(item=opened(cast, 2), actor=cast.actor("mia"))
    default(cast, "ari", queue="test_denials")
    assert fresh(cast, loose).owner_id == cast.user("ari").pk
    assert fresh(cast, held).owner_id == cast.user("mia").pk
    ari = cast.user("ari")
    ari.is_active = False
    ari.save(update_fields=["is_active"])
    assert opened(cast, 3).owner_id is None


def test_the_page_of_owners_refuses_who_cannot_work_it(cast, enter) -> None:
    mia = enter(cast, "mia")
    page = reverse("worklist:owners")
    told = {"organization": cast.a.pk, "queue": "test_denials", "payer": "", "site": ""}
    answer = mia.post(page, told | {"user": cast.user("cleo").pk})
    assert answer.status_code == 422
    assert mia.post(page, told | {"user": cast.user("ari").pk}).status_code == 302
    assert "Ari" in mia.get(page).content.decode()
    nothing = told | {"user": cast.user("ari").pk, "queue": ""}
    assert "Choose a queue" in mia.post(page, nothing).content.decode()
    with scope(cast.system):
        row = DefaultOwner.objects.get()
    end = reverse("worklist:owner_end", args=[row.public_id])
    assert enter(cast, "ari").post(end).status_code == 403
    assert mia.post(end).status_code == 302
    assert opened(cast, 9).owner_id is None


def test_of_two_managers_at_once_one_is_told(cast_committed) -> None:
    cast, told = cast_committed, []
    both = threading.Barrier(2)

    def set_to(who: str) -> None:
        both.wait()
        try:
            default(cast, who, queue="test_denials")
        except Conflict as conflict:
            told.append(str(conflict))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=set_to, args=(who,)) for who in ("ari", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with scope(cast.system):
        assert DefaultOwner.objects.filter(ended_at__isnull=True).count() == 1
    assert len(told) <= 1
