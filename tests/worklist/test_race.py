"""R9: many takers, one item; many takers, many items: nobody gets what another has."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from django.db import connection
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.models import Membership, User
from rcm.accounts.scope import scope
from rcm.worklist import services
from rcm.worklist.models import WorkItem
from tests.worklist.conftest import make_items

pytestmark = pytest.mark.django_db(transaction=True)
TAKERS = 50


def people(cast, count: int) -> list[Actor]:
    users = User.objects.bulk_create(
        [User(email=f"p{n}@cana.test", first_name=f"P{n}", last_name="Taker") for n in range(count)]
    )
    Membership.objects.bulk_create(
        [Membership(user=u, organization=cast.a, role="ar") for u in users]
    )
    return [u.actor() for u in User.objects.filter(email__endswith="@cana.test", last_name="Taker")]


def race(actors: list[Actor]) -> list[int]:
    """Every actor presses "Work next" at the same moment; the ids they got, in no order."""
    barrier = threading.Barrier(len(actors))
    got: list[int] = []
    failed: list[BaseException] = []

    def press(actor: Actor) -> None:
        try:
            barrier.wait(timeout=30)
            with scope(actor):
                row = services.work_next(queue="test_denials", actor=actor)
            if row is not None:
                got.append(row.pk)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=(a,)) for a in actors]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
    assert not failed, failed[0]
    return got


def test_fifty_takers_of_one_item_one_gets_it(cast_committed) -> None:
    make_items(cast_committed, 1)
    got = race(people(cast_committed, TAKERS))
    assert len(got) == 1
    with scope(cast_committed.system):
        row = WorkItem.objects.get()
        assert (row.lease_token, row.version) == (1, 1)
        assert row.lease_until > timezone.now()


def test_fifty_takers_of_sixty_items_never_share_one(cast_committed) -> None:
    make_items(cast_committed, 60)
    got = race(people(cast_committed, TAKERS))
    assert len(got) == TAKERS
    assert max(Counter(got).values()) == 1


def test_fifty_people_press_take_on_the_same_row_one_wins(cast_committed) -> None:
    item = make_items(cast_committed, 1)[0]
    actors = people(cast_committed, TAKERS)
    barrier = threading.Barrier(TAKERS)
    won: list[str] = []
    lost: list[str] = []

    def press(actor: Actor) -> None:
        try:
            barrier.wait(timeout=30)
            with scope(actor):
                services.item_take(
                    item=WorkItem(
                        pk=item.pk,
                        organization_id=item.organization_id,
                        version=item.version,
                        status=item.status,
                    ),
                    actor=actor,
                    version=item.version,
                )
            won.append(actor.name)
        except services.Conflict as error:
            lost.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=(a,)) for a in actors]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
    assert (len(won), len(lost)) == (1, TAKERS - 1)
