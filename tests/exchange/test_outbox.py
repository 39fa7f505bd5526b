"""Domain events: published with their cause, handled once, whatever fails on the way."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.exchange import outbox, services
from rcm.exchange.models import Interchange, InterchangeStatus, Outbox

NOON = datetime(2026, 9, 8, 12, 0, tzinfo=UTC)


@pytest.fixture
def subscriptions(monkeypatch):
    monkeypatch.setattr(outbox, "_SUBSCRIPTIONS", {})
    monkeypatch.setattr(outbox._waker, "wake", lambda *_: None)


@pytest.fixture
def seen() -> list[int]:
    return []


def publish(cast, n: int = 1, start: int = 0) -> None:
    with scope(cast.system):
        services.publish_many(
            "exam.completed",
            organization_id=cast.a.pk,
            payloads=[{"exam_id": start + i} for i in range(n)],
            due_at=NOON,
        )


def test_an_event_reaches_each_subscriber_once_and_in_order(cast, subscriptions, seen):
    other: list[int] = []
    services.subscribe(
        "exam.completed",
        lambda events, **_: seen.extend(e.payload["exam_id"] for e in events),
        name="charges.exam",
    )
    services.subscribe(
        "exam.completed",
        lambda events, **_: other.extend(e.payload["exam_id"] for e in events),
        name="kpi.exam",
        queue="realtime",
    )
    publish(cast, 5)
    assert services.drain([cast.a.pk], at=NOON) == 10
    assert services.drain([cast.a.pk], at=NOON) == 0
    assert seen == other == [0, 1, 2, 3, 4]


def test_who_replays_the_past_and_the_workers_leave_each_others_events(
    cast, subscriptions, seen, settings
):
    services.subscribe(
        "exam.completed",
        lambda events, **_: seen.extend(e.payload["exam_id"] for e in events),
        name="charges.exam",
    )
    day = timedelta(days=1)
    for n, moment in enumerate((NOON - 9 * day, NOON + day)):
        with scope(cast.system):
            services.publish(
                "exam.completed",
                organization_id=cast.a.pk,
                payload={"exam_id": n},
                due_at=moment,
            )
    settings.EXCHANGE_SINCE = NOON
    assert services.drain([cast.a.pk], at=NOON + 2 * day) == 1
    assert seen == [1]
    with services.asleep():
        assert services.drain([cast.a.pk], at=NOON) == 1
    assert seen == [1, 0]


def test_a_message_of_today_is_not_read_by_who_replays_the_past(cast, settings):
    def kept(content: bytes, at: datetime) -> Interchange:
        row, _ = services.store_inbound(
            organization_id=cast.a.pk,
            kind="ADT",
            content=content,
            at=at,
            actor=cast.system,
        )
        return row

    with scope(cast.system):
        past, today = kept(b"MSH|past", NOON - timedelta(days=9)), kept(b"MSH|today", NOON)
    settings.EXCHANGE_SINCE = NOON - timedelta(days=1)
    with services.asleep():
        services.drain([cast.a.pk], at=NOON - timedelta(days=8))
    with scope(cast.system):
        past.refresh_from_db()
        today.refresh_from_db()
    assert past.status != InterchangeStatus.STORED
    assert today.status == InterchangeStatus.STORED
    services.drain([cast.a.pk], at=NOON)
    with scope(cast.system):
        today.refresh_from_db()
    assert today.status != InterchangeStatus.STORED


def test_an_event_nobody_subscribes_to_leaves_nothing_behind(cast, subscriptions):
    publish(cast)
    with scope(cast.system):
        assert not Outbox.objects.exists()


def test_an_event_of_a_rolled_back_cause_does_not_exist(cast, subscriptions, seen):
    services.subscribe("exam.completed", lambda events, **_: seen.append(1), name="charges.exam")

    def cause() -> None:
        with scope(cast.system):
            services.publish("exam.completed", organization_id=cast.a.pk, payload={"exam_id": 1})
            raise Refused("no")

    with pytest.raises(Refused):
        cause()
    assert services.drain([cast.a.pk]) == 0
    assert seen == []


def test_an_event_for_later_waits_for_its_time(cast, subscriptions, seen):
    services.subscribe("exam.completed", lambda events, **_: seen.append(1), name="charges.exam")
    publish(cast)
    assert services.drain([cast.a.pk], at=NOON - timedelta(minutes=1)) == 0
    assert services.drain([cast.a.pk], at=NOON) == 1


def test_an_effect_and_its_mark_commit_together_or_not_at_all(cast, subscriptions):
    def fails_after_its_effect(events, *, actor, at):
        services.next_control_number(cast.a.pk, "effect")
        raise RuntimeError("after the effect")

    services.subscribe("exam.completed", fails_after_its_effect, name="charges.exam")
    publish(cast)
    assert services.drain([cast.a.pk], at=NOON) == 0
    with scope(cast.system):
        row = Outbox.objects.get()
        assert row.delivered_at is None
        assert row.attempts == 1
        assert row.due_at > NOON
        assert services.next_control_number(cast.a.pk, "effect") == 1


def test_one_event_that_cannot_be_handled_stops_none_of_a_thousand_and_is_parked_with_its_reason(
    cast, subscriptions, seen
):
    calls = 0
    parked: list[int] = []

    def handler(events, *, actor, at):
        nonlocal calls
        calls += 1
        if any(e.payload["exam_id"] == 500 for e in events):
            raise Refused("This exam has no site.")
        seen.extend(e.payload["exam_id"] for e in events)

    services.subscribe("exam.completed", handler, name="charges.exam")
    services.subscribe(
        "delivery.parked",
        lambda events, **_: parked.extend(e.payload["outbox_id"] for e in events),
        name="work.parked",
    )
    publish(cast, 1000)
    at = NOON
    services.drain([cast.a.pk], at=at)
    assert len(seen) == 999
    assert 500 not in seen
    for _ in range(10):
        at += timedelta(hours=1)
        services.drain([cast.a.pk], at=at)
    with scope(cast.system):
        row = Outbox.objects.get(delivered_at__isnull=True)
        assert (row.attempts, row.error) == (5, "This exam has no site.")
        assert row.parked_at is not None
    assert parked == [row.pk]
    assert len(seen) == len(set(seen)) == 999
    assert calls < 230  # the batch of the bad one is taken apart once, not all of them


def test_a_parked_event_can_be_tried_again_by_a_person_who_may(cast, subscriptions, seen):
    broken = True

    def handler(events, *, actor, at):
        if broken:
            raise Refused("not yet")
        seen.extend(e.payload["exam_id"] for e in events)

    services.subscribe("exam.completed", handler, name="charges.exam")
    publish(cast)
    for hour in range(6):
        services.drain([cast.a.pk], at=NOON + timedelta(hours=hour))
    broken = False
    with scope(cast.actor("mia")):
        row = Outbox.objects.get()
        assert row.parked_at
        assert services.retry_parked([row.pk], actor=cast.actor("mia"), at=NOON) == 1
    assert services.drain([cast.a.pk], at=NOON) == 1
    assert seen == [0]


def test_the_text_of_an_unexpected_error_stays_out_of_the_table(cast, subscriptions):
    def handler(events, *, actor, at):
        raise ValueError("Key (mrn)=(CANA-1) already exists")

    services.subscribe("exam.completed", handler, name="charges.exam")
    publish(cast)
    services.drain([cast.a.pk], at=NOON)
    with scope(cast.system):
        assert "CANA-1" not in Outbox.objects.get().error


def test_an_event_that_kills_its_worker_each_time_is_parked_too(cast, subscriptions, monkeypatch):
    services.subscribe("exam.completed", lambda events, **_: None, name="charges.exam")
    publish(cast)
    with scope(cast.system):
        Outbox.objects.update(attempts=outbox.TRIES)  # five claims, no end
    services.drain([cast.a.pk], at=NOON)
    with scope(cast.system):
        row = Outbox.objects.get()
        assert row.parked_at
        assert "process ended" in row.error


def test_a_handler_sees_its_organization_only(cast, subscriptions):
    visible: list[int] = []

    def handler(events, *, actor, at):
        visible.extend(Outbox.objects.values_list("organization_id", flat=True).distinct())

    services.subscribe("exam.completed", handler, name="charges.exam")
    publish(cast)
    with scope(cast.system_b):
        services.publish(
            "exam.completed", organization_id=cast.b.pk, payload={"exam_id": 9}, due_at=NOON
        )
    services.drain([cast.a.pk], at=NOON)
    assert visible == [cast.a.pk]


def test_many_publications_of_one_transaction_are_one_wake_up_call(cast_committed, monkeypatch):
    calls: list[tuple[int, str]] = []
    monkeypatch.setattr(outbox, "_SUBSCRIPTIONS", {})
    monkeypatch.setattr(outbox._waker, "wake", lambda *key: calls.append(key))
    services.subscribe("exam.completed", lambda events, **_: None, name="charges.exam")
    with scope(cast_committed.system):
        for i in range(20):
            services.publish(
                "exam.completed", organization_id=cast_committed.a.pk, payload={"exam_id": i}
            )
        assert calls == []
    assert calls == [(cast_committed.a.pk, "batch")]
    with services.asleep(), scope(cast_committed.system):
        services.publish(
            "exam.completed", organization_id=cast_committed.a.pk, payload={"exam_id": 99}
        )
    assert len(calls) == 1


def test_a_broker_that_is_down_neither_raises_nor_delays(monkeypatch):
    tried = threading.Event()
    hold = threading.Event()

    def send_task(*_, **__):
        tried.set()
        hold.wait(5)
        raise ConnectionError("no broker")

    monkeypatch.setattr(outbox.current_app, "send_task", send_task)
    waker = outbox.Waker()
    for n in range(1000):
        waker.wake(n, "batch")  # returns at once although the broker hangs
    assert tried.wait(5)
    hold.set()


def test_eight_workers_at_the_same_events_handle_each_once(cast_committed, monkeypatch):
    cast = cast_committed
    monkeypatch.setattr(outbox, "_SUBSCRIPTIONS", {})
    monkeypatch.setattr(outbox._waker, "wake", lambda *_: None)
    seen: list[int] = []

    def handler(events, *, actor, at):
        services.next_control_number(cast.a.pk, "effect", count=len(events))
        seen.extend(e.payload["exam_id"] for e in events)

    services.subscribe("exam.completed", handler, name="charges.exam")
    barrier = threading.Barrier(8)

    def worker() -> None:
        barrier.wait()
        for _ in range(40):
            services.deliver_due(cast.a.pk, queue="batch", at=NOON)
        connection.close()

    publish(cast, 500)
    threads = [threading.Thread(target=worker) for _ in range(8)]
    for t in threads:
        t.start()
    publish(cast, 500, start=500)
    for t in threads:
        t.join()
    services.deliver_due(cast.a.pk, at=NOON)
    assert sorted(seen) == list(range(1000))
    with scope(cast.system):
        assert services.next_control_number(cast.a.pk, "effect") == 1001


def test_control_numbers_have_no_gap_and_no_double_among_threads(cast_committed):
    cast = cast_committed
    found: list[int] = []

    def taker() -> None:
        for _ in range(20):
            with scope(Actor.system("taker", [cast.a.pk])):
                found.append(services.next_control_number(cast.a.pk, "ISA"))
        connection.close()

    threads = [threading.Thread(target=taker) for _ in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(found) == list(range(1, 101))
    with scope(cast.system):
        assert services.next_control_number(cast.a.pk, "ISA", count=10) == 101
        assert services.next_control_number(cast.a.pk, "ISA") == 111
    with scope(cast.system_b), transaction.atomic():
        assert services.next_control_number(cast.b.pk, "ISA") == 1
