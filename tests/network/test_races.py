"""Two people at one moment, each on a connection of their own: one is first, the other is told."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from django.db import connection

from rcm.accounts.problems import Conflict
from rcm.accounts.scope import scope
from rcm.network import services
from rcm.network.services import Cell, spans_of, version_of
from rcm.network.spans import Piece
from rcm.reference.models import Payer
from tests.network.house import JAN, House

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_two_who_save_the_same_cell_one_is_told(cast_committed):
    cast = cast_committed
    house = House(cast, Payer.objects.get(code="PHP"), dt.datetime(2026, 9, 9, tzinfo=dt.UTC))
    cell: Cell = house.site()
    with scope(cast.system):
        seen = version_of(spans_of(cast.a.pk, cell))
    start, done = threading.Barrier(4), []

    def save(who: str, status: str) -> None:
        try:
            actor = cast.actor(who)
            start.wait(10)
            with scope(actor):
                services.span_open(
                    organization=cast.a,
                    cell=cell,
                    piece=Piece(status, JAN),
                    actor=actor,
                    seen=seen,
                )
            done.append("saved")
        except Conflict:
            done.append("told")
        finally:
            connection.close()

    people = [("mia", "in"), ("max", "out"), ("adam", "pending"), ("mia", "none")]
    threads = [threading.Thread(target=save, args=pair) for pair in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == ["saved", "told", "told", "told"]
    with scope(cast.system):
        assert len(house.told(cell)) == 1
