"""Many rows in one statement: what is written is what the rows would have held one by one."""

from __future__ import annotations

import datetime as dt
import time
from decimal import Decimal as D

import pytest
from django.db import DatabaseError, DataError
from uuid6 import UUID

from rcm.accounts import bulk
from rcm.accounts.scope import scope
from rcm.audit.models import Access, Event
from rcm.exchange.models import Interchange, Outbox
from rcm.ledger.models import LedgerEntry, LedgerTransaction

AT = dt.datetime(2026, 9, 25, 15, 0, 1, 250, tzinfo=dt.UTC)
HARD = ('plain, {braces} "quoted" \\ back', "", "NULL", "null", "Zoë–李 'x' %s", " a\nb\t")


def outbox(organization_id: int, **more) -> dict:
    return {
        "public_id": bulk.public_ids(1)[0],
        "organization_id": organization_id,
        "created_at": AT,
        "topic": "t",
        "subscriber": "s",
        "queue": "batch",
        "payload": {},
        "due_at": AT,
        "attempts": 0,
        "error": "",
    } | more


def test_words_figures_and_documents_come_back_as_they_were_given(cast):
    with scope(cast.system):
        assert bulk.insert(
            Outbox,
            [
                outbox(cast.a.pk, error=word, attempts=n, payload={"n": n, "said": word})
                for n, word in enumerate(HARD)
            ],
        ) == len(HARD)
        rows = list(Outbox.objects.order_by("attempts"))
    assert [r.error for r in rows] == list(HARD)
    assert [r.payload for r in rows] == [{"n": n, "said": w} for n, w in enumerate(HARD)]
    assert {r.due_at for r in rows} == {AT}
    assert {r.delivered_at for r in rows} == {None}


def test_a_character_that_no_text_of_the_database_can_hold_is_left_out(cast):
    with scope(cast.system):
        bulk.insert(Outbox, [outbox(cast.a.pk, error="a\x00b", payload={"said": "c\x00d"})])
        row = Outbox.objects.get()
    assert (row.error, row.payload) == ("ab", {"said": "cd"})


def test_a_text_that_is_too_long_is_refused_and_not_cut(cast):
    with pytest.raises(DataError), scope(cast.system):
        bulk.insert(Outbox, [outbox(cast.a.pk, topic="x" * 61)])


def test_rows_go_in_parts_and_none_is_lost(cast, monkeypatch):
    monkeypatch.setattr(bulk, "PART", 4)
    with scope(cast.system):
        written = bulk.insert(Outbox, [outbox(cast.a.pk, attempts=n) for n in range(9)])
        assert written == 9
        found = Outbox.objects.order_by("attempts").values_list("attempts", flat=True)
        assert list(found) == list(range(9))
        pks = list(Outbox.objects.order_by("attempts").values_list("id", flat=True))
        changed = bulk.update(
            Outbox,
            [
                {"id": pk, "error": f"e{n}", "delivered_at": AT if n else None, "payload": {"n": n}}
                for n, pk in enumerate(pks)
            ],
        )
        assert changed == 9
        rows = list(Outbox.objects.order_by("attempts"))
    assert [r.error for r in rows] == [f"e{n}" for n in range(9)]
    assert [r.delivered_at for r in rows] == [None, *[AT] * 8]
    assert [r.payload["n"] for r in rows] == list(range(9))


def test_columns_with_what_every_row_has_and_the_rows_that_are_new(cast):
    def insert(keys, kind):
        return bulk.insert_returning(
            LedgerTransaction,
            {"public_id": bulk.public_ids(len(keys)), "effect_key": keys},
            ("effect_key", "id"),
            same={
                "organization_id": cast.a.pk,
                "created_at": AT,
                "kind": kind,
                "effective_on": AT.date(),
                "description": HARD[0],
                "actor_name": "posting",
                "user_id": None,
                "source_type": "",
            },
            known_by=("organization_id", "effect_key"),
        )

    with scope(cast.system):
        first = dict(insert(["a", "b"], "charge"))
        second = dict(insert(["b", "c"], "payment"))
        assert set(first) == {"a", "b"}
        assert set(second) == {"c"}
        rows = {t.effect_key: t for t in LedgerTransaction.objects.all()}
        assert {k: t.kind for k, t in rows.items()} == {
            "a": "charge",
            "b": "charge",
            "c": "payment",
        }
        assert {t.description for t in rows.values()} == {HARD[0]}
        assert rows["c"].pk == second["c"]
        # legs, without which the transactions would be refused at commit
        pks = [*first.values(), *second.values()]
        bulk.insert_columns(
            LedgerEntry,
            {
                "transaction_id": [*pks, *pks],
                "account": ["cash"] * 3 + ["unapplied"] * 3,
                "amount": [D("10.10"), D("0.01"), D("1E+3"), D("-10.10"), D("-0.01"), D("-1000")],
                "charge_id": [None, 7, None, None, None, None],
            },
            same={
                "organization_id": cast.a.pk,
                "created_at": AT,
                "effective_on": AT.date(),
                "reason": "",
            },
        )
        sums = sorted(LedgerEntry.objects.values_list("amount", flat=True))
    assert sums == [D("-1000"), D("-10.10"), D("-0.01"), D("0.01"), D("10.10"), D("1000")]


def test_columns_of_different_length_are_a_mistake(cast):
    with scope(cast.system), pytest.raises(ValueError, match="different length"):
        bulk.insert_columns(Outbox, {"topic": ["a", "b"], "error": ["c"]})


def test_a_column_that_cannot_travel_so_is_a_mistake(cast):
    with scope(cast.system), pytest.raises(TypeError, match=r"Interchange\.content"):
        bulk.insert_columns(Interchange, {"content": [b"x"]})


def test_another_organization_s_row_is_refused(cast):
    with pytest.raises(DatabaseError, match="row-level security"), scope(cast.system):
        bulk.insert(Outbox, [outbox(cast.b.pk)])


def test_public_ids_are_ids_of_the_seventh_kind_and_never_the_same():
    texts = bulk.public_ids(5000)
    assert len(set(texts)) == 5000
    found = [UUID(t) for t in texts]
    assert {(u.version, u.variant) for u in found} == {(7, "specified in RFC 4122")}
    assert abs(found[0].time - time.time() * 1000) < 60_000
    assert bulk.public_ids(0) == []


def test_the_database_stamps_what_it_stamps_whoever_writes(cast):
    """Author and moment of a step are the database's own."""
    with scope(cast.system):
        bulk.insert_columns(
            Event,
            {"public_id": bulk.public_ids(2), "sentence": ["one", "two"]},
            same={
                "organization_id": cast.a.pk,
                "created_at": AT,
                "at": AT,
                "verb": "v",
                "reason": "",
                "old_status": "",
                "new_status": "",
                "actor_name": "x",
                "actor_kind": "system",
                "data": {"a": [1, None]},
            },
        )
        rows = list(Event.objects.order_by("id"))
    assert [r.sentence for r in rows] == ["one", "two"]
    assert all(r.created_at > AT and r.tx > 0 and r.data == {"a": [1, None]} for r in rows)
    assert not Access.objects.exists()
