"""Every interchange is stored first, processed once, in order, and can be replayed; what goes wrong
is visible.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.exchange import outbox, services
from rcm.exchange.models import Connection, Interchange
from rcm.exchange.problems import ParseProblem

NOON = datetime(2026, 9, 8, 12, 0, tzinfo=UTC)


def store(cast, content: bytes = b"x", **more) -> Interchange:
    with scope(cast.system):
        row, _ = services.store_inbound(
            organization_id=cast.a.pk,
            kind="ADT",
            content=content,
            at=NOON,
            actor=cast.system,
            **more,
        )
    return row


def state(cast, row: Interchange) -> Interchange:
    with scope(cast.system):
        return Interchange.objects.get(pk=row.pk)


def test_the_same_bytes_are_one_row_with_a_count_of_deliveries(cast, quiet):
    with scope(cast.system):
        arguments = {
            "organization_id": cast.a.pk,
            "kind": "835",
            "content": b"ISA*00*~",
            "actor": cast.system,
        }
        first, created = services.store_inbound(**arguments, file_name="monday.835")
        second, again = services.store_inbound(**arguments, file_name="tuesday.835")
        assert (created, again) == (True, False)
        assert first.pk == second.pk
        assert second.deliveries == 2
        assert bytes(second.content) == b"ISA*00*~"
        assert second.file_name == "monday.835"


def test_twenty_at_once_with_the_same_bytes_make_one_row(cast_committed, quiet):
    cast = cast_committed
    made: list[bool] = []
    barrier = threading.Barrier(20)

    def upload() -> None:
        barrier.wait()
        with scope(cast.system):
            made.append(
                services.store_inbound(
                    organization_id=cast.a.pk, kind="835", content=b"same", actor=cast.system
                )[1]
            )
        connection.close()

    threads = [threading.Thread(target=upload) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert made.count(True) == 1
    with scope(cast.system):
        assert Interchange.objects.get().deliveries == 20


def test_another_organization_may_receive_the_same_bytes_and_sees_only_its_own(cast, quiet):
    mine = store(cast)
    with scope(cast.system_b):
        theirs, created = services.store_inbound(
            organization_id=cast.b.pk, kind="ADT", content=b"x", actor=cast.system_b
        )
        assert created
        assert theirs.pk != mine.pk
        assert list(Interchange.objects.values_list("pk", flat=True)) == [theirs.pk]


def test_a_file_above_the_limit_is_refused_with_a_sentence(cast, settings):
    settings.UPLOAD_LIMIT_BYTES = 10
    with pytest.raises(Refused, match="at most"):
        store(cast, b"x" * 11)


def test_a_processed_message_keeps_its_summary(cast, processors):
    services.register_processor("ADT", lambda row, *, actor, at: {"patients": 1})
    row = store(cast)
    with scope(cast.system):
        pass
    assert services.process([row.pk], actor=cast.system, at=NOON) == 1
    row = state(cast, row)
    assert (row.status, row.summary, row.processed_at) == ("processed", {"patients": 1}, NOON)
    assert services.process([row.pk], actor=cast.system, at=NOON) == 0


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (ParseProblem("PID-7 holds no date."), "failed"),
        (Refused("The check does not balance by 0.01."), "quarantined"),
    ],
)
def test_a_message_that_cannot_be_used_keeps_its_sentence_and_undoes_its_effects(
    cast, processors, problem, status
):
    heard: list[int] = []
    services.subscribe(
        "interchange.failed",
        lambda events, **_: heard.extend(e.payload["interchange_id"] for e in events),
        name="work.messages",
    )

    def handler(row, *, actor, at):
        services.next_control_number(cast.a.pk, "effect")
        raise problem

    services.register_processor("ADT", handler)
    row = store(cast)
    services.drain([cast.a.pk], at=NOON)
    row = state(cast, row)
    assert (row.status, row.error) == (status, str(problem))
    assert heard == [row.pk]
    with scope(cast.system):
        assert services.next_control_number(cast.a.pk, "effect") == 1


def test_a_kind_nobody_reads_is_quarantined_not_lost(cast, processors):
    row = store(cast)
    services.drain([cast.a.pk], at=NOON)
    assert state(cast, row).status == "quarantined"
    assert "ADT" in state(cast, row).error


def test_an_unexpected_error_is_tried_five_times_and_then_shown_without_its_text(cast, processors):
    tries = 0

    def handler(row, *, actor, at):
        nonlocal tries
        tries += 1
        raise ValueError("DOROTHY SAMPLE")

    services.register_processor("ADT", handler)
    row = store(cast)
    for hour in range(8):
        services.drain([cast.a.pk], at=NOON + timedelta(hours=hour))
    row = state(cast, row)
    assert (tries, row.status) == (5, "failed")
    assert "DOROTHY" not in row.error


def test_messages_of_one_patient_wait_for_each_other_and_those_of_others_do_not(cast, processors):
    order: list[bytes] = []
    broken = True

    def handler(row, *, actor, at):
        if bytes(row.content) == b"1" and broken:
            raise RuntimeError("database away")
        order.append(bytes(row.content))
        return {}

    services.register_processor("ADT", handler)
    for content, key in ((b"1", "MRN:1"), (b"2", "MRN:1"), (b"3", "MRN:2"), (b"4", "")):
        store(cast, content, ordering_key=key)
    services.drain([cast.a.pk], at=NOON)
    assert order == [b"3", b"4"]
    broken = False
    services.drain([cast.a.pk], at=NOON + timedelta(minutes=1))
    assert order == [b"3", b"4", b"1", b"2"]


def test_a_poison_message_lets_the_next_of_its_patient_through_once_it_has_failed(cast, processors):
    order: list[bytes] = []

    def handler(row, *, actor, at):
        if bytes(row.content) == b"1":
            raise ParseProblem("unreadable")
        order.append(bytes(row.content))
        return {}

    services.register_processor("ADT", handler)
    store(cast, b"1", ordering_key="MRN:1")
    store(cast, b"2", ordering_key="MRN:1")
    services.drain([cast.a.pk], at=NOON)
    assert order == [b"2"]


def test_replay_processes_again_and_tells_that_it_went_through(cast, processors):
    good = False
    recovered: list[int] = []
    services.subscribe(
        "interchange.recovered",
        lambda events, **_: recovered.extend(e.payload["interchange_id"] for e in events),
        name="work.close",
    )

    def handler(row, *, actor, at):
        if not good:
            raise Refused("Unknown site.")
        return {}

    services.register_processor("ADT", handler)
    row = store(cast)
    services.drain([cast.a.pk], at=NOON)
    good = True
    with pytest.raises(PermissionRefused), scope(cast.actor("ana")):
        services.replay(row, actor=cast.actor("ana"))
    with scope(cast.actor("mia")):
        stale = Interchange.objects.get(pk=row.pk)
        services.replay(Interchange.objects.get(pk=row.pk), actor=cast.actor("mia"), at=NOON)
        with pytest.raises(Conflict):
            services.replay(stale, actor=cast.actor("mia"))
    services.drain([cast.a.pk], at=NOON)
    assert state(cast, row).status == "processed"
    assert recovered == [row.pk]


def test_a_replay_after_five_failures_gets_one_more_try(cast, processors):
    services.register_processor("ADT", lambda row, **_: 1 / 0)
    row = store(cast)
    for hour in range(6):
        services.drain([cast.a.pk], at=NOON + timedelta(hours=hour))
    with scope(cast.actor("mia")):
        services.replay(Interchange.objects.get(pk=row.pk), actor=cast.actor("mia"), at=NOON)
    services.drain([cast.a.pk], at=NOON)
    assert (state(cast, row).status, state(cast, row).attempts) == ("failed", 6)


def test_a_message_that_kills_its_worker_each_time_fails_in_the_end(cast, processors):
    services.register_processor("ADT", lambda row, **_: {})
    row = store(cast)
    with scope(cast.system):
        Interchange.objects.update(attempts=outbox.TRIES, due_at=NOON)
    services.drain([cast.a.pk], at=NOON)
    assert state(cast, row).status == "failed"


def test_status_moves_only_along_its_table(cast, processors):
    row = store(cast)
    with scope(cast.system), pytest.raises(Refused, match="cannot become"):
        services.mark(row, status="sent", actor=cast.system)


def test_eight_workers_process_each_message_once_and_in_order(cast_committed, processors):
    cast = cast_committed
    order: list[tuple[str, int]] = []

    def handler(row, *, actor, at):
        services.next_control_number(cast.a.pk, "effect")
        order.append((row.ordering_key, int(bytes(row.content))))
        return {}

    services.register_processor("ADT", handler)
    for i in range(60):
        store(cast, str(i).encode(), ordering_key=f"MRN:{i % 3}" if i % 4 else "")
    barrier = threading.Barrier(8)

    def worker() -> None:
        barrier.wait()
        for _ in range(5):
            services.work(cast.a.pk, "batch", at=NOON)
        connection.close()

    threads = [threading.Thread(target=worker) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(n for _, n in order) == list(range(60))
    for key in ("MRN:0", "MRN:1", "MRN:2"):
        mine = [n for k, n in order if k == key]
        assert mine == sorted(mine)
    with scope(cast.system):
        assert services.next_control_number(cast.a.pk, "effect") == 61


def test_what_waits_although_its_wake_up_call_was_lost_is_found(cast, processors):
    from rcm.exchange.tasks import waiting_places

    services.register_processor("ADT", lambda row, **_: {}, queue="realtime")
    row = store(cast)
    assert waiting_places() == []  # it came a moment ago: its own call is on the way
    with scope(cast.system):
        Interchange.objects.filter(pk=row.pk).update(
            created_at=datetime.now(UTC) - timedelta(minutes=1)
        )
    assert waiting_places() == [(cast.a.pk, "realtime")]


def test_a_connection_without_address_fails_with_a_sentence(cast, processors):
    with scope(cast.system):
        partner = Connection.objects.create(organization_id=cast.a.pk, kind="upload", name="Mail")
        row = services.store_outbound(
            organization_id=cast.a.pk,
            kind="837P",
            content=b"ISA",
            connection=partner,
            control_number="1",
            at=NOON,
            actor=cast.system,
        )
    assert services.send(row, actor=cast.system, at=NOON) is None
    assert state(cast, row).status == "failed"
