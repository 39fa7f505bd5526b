"""The MLLP listener over real sockets, as its own process: stored before acknowledged, every frame
answered, abuse survived.
"""

from __future__ import annotations

import socket
import time

import psutil
import pytest
from hl7.client import MLLPClient

from rcm.accounts.scope import scope
from rcm.exchange import hl7
from rcm.exchange.models import Interchange
from tests.exchange.conftest import adt

pytestmark = pytest.mark.processes


def frame(content: bytes) -> bytes:
    return b"\x0b" + content + b"\x1c\r"


class Sender:
    """A plain client: bytes out, acknowledgements in."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> hl7.Message:
        while b"\x1c\r" not in self.buffer:
            chunk = self.socket.recv(65536)
            assert chunk, "the connection ended without an answer"
            self.buffer += chunk
        content, _, self.buffer = self.buffer.partition(b"\x1c\r")
        assert content.startswith(b"\x0b")
        return hl7.parse(content[1:])

    def ask(self, content: bytes) -> str:
        self.send(frame(content))
        return self.answer().value("MSA-1")

    def ended(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except OSError:
            return True


@pytest.fixture
def rows(cast_committed, known):
    cast = cast_committed

    def found(**filters):
        with scope(cast.system):
            return list(Interchange.objects.filter(**filters).order_by("id"))

    return found


def test_a_message_is_acknowledged_stored_and_given_to_its_organization(
    cast_committed, rows, listener
):
    with listener("listen_mllp") as (_, port), MLLPClient("127.0.0.1", port) as client:
        answer = hl7.parse(client.send_message(adt(1).decode()).strip(b"\x0b\x1c\r") + b"\r")
        assert (answer.value("MSA-1"), answer.value("MSA-2"), answer.value("MSH-3")) == (
            "AA",
            "M1",
            "RCM",
        )
        (row,) = rows()
        assert (row.organization_id, row.kind, row.control_number, row.status) == (
            cast_committed.a.pk,
            "ADT",
            "REG:M1",
            "stored",
        )
        assert bytes(row.content) == adt(1)


def test_repeats_are_acknowledged_without_effect(rows, listener):
    with listener("listen_mllp") as (_, port):
        sender = Sender(port)
        assert sender.ask(adt(1)) == "AA"
        assert sender.ask(adt(1)) == "AA"
        assert [r.deliveries for r in rows()] == [2]
        # resent with a new time stamp in its header: the same message
        assert sender.ask(adt(1, **{"20260904100000||": "20260905110000||"})) == "AA"
        assert [r.status for r in rows()] == ["stored", "refused"]
        # the same number over another body: kept, and a person decides
        assert sender.ask(adt(1, DOROTHY="DORIS")) == "AA"
        assert [r.status for r in rows()] == ["stored", "refused", "quarantined"]


def test_what_is_no_hl7_is_refused_and_kept(rows, listener):
    with listener("listen_mllp") as (_, port):
        sender = Sender(port)
        assert sender.ask(b"hello") == "AR"
        assert sender.ask(b"") == "AR"
        assert sender.ask(adt(5)) == "AA"  # the connection goes on
        first = rows()[0]
        assert (first.status, bytes(first.content)) == ("failed", b"hello")
        assert "MSH" in first.error


def test_what_cannot_be_used_is_kept_and_says_why(cast_committed, rows, listener):
    with listener("listen_mllp") as (_, port):
        sender = Sender(port)
        assert sender.ask(adt(1, REG="NOBODY")) == "AR"  # no such sender
        assert sender.ask(adt("", DOROTHY="A").replace(b"|M|", b"||")) == "AE"  # no control number
        assert sender.ask(adt(3, ADT="XYZ")) == "AR"  # a type nobody reads
        assert {r.status for r in rows()} == {"quarantined"}
        assert all(r.error for r in rows())


def test_a_known_sender_that_names_another_organization_writes_nothing(
    cast_committed, rows, listener
):
    with listener("listen_mllp") as (_, port):
        assert Sender(port).ask(adt(1, **{"RCM|CANA|": "RCM|CANB|"})) == "AR"
        assert Sender(port).ask(adt(2, **{"RCM|CANA|": "RCM|ELSEWHERE|"})) == "AA"
    first, second = rows()
    assert first.status == "quarantined"
    assert first.connection_id == second.connection_id
    assert "not this sender's" in first.error
    assert second.status == "stored"
    with scope(cast_committed.system_b):
        assert not Interchange.objects.exists()


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_segments_and_frames_may_end_carelessly(rows, listener, end):
    with listener("listen_mllp") as (_, port):
        sender = Sender(port)
        sender.send(
            b"\x0b"
            + adt(1).replace(b"\r", end)
            + b"\x1c\n"
            + b"\x0b"
            + adt(2)
            + b"\x1c"
            + frame(adt(3))
        )
        assert [sender.answer().value("MSA-2") for _ in range(3)] == ["M1", "M2", "M3"]


def test_a_frame_in_pieces_and_many_frames_in_one_piece(rows, listener):
    with listener("listen_mllp") as (_, port):
        sender = Sender(port)
        for byte in frame(adt(1)):
            sender.send(bytes((byte,)))
        assert sender.answer().value("MSA-1") == "AA"
        sender.send(b"".join(frame(adt(n)) for n in range(2, 52)))
        assert [sender.answer().value("MSA-2") for _ in range(50)] == [
            f"M{n}" for n in range(2, 52)
        ]
        assert len(rows()) == 51


def test_broken_frames_are_answered(rows, listener):
    with listener("listen_mllp") as (_, port):
        sender = Sender(port)
        sender.send(adt(1) + b"\x1c\r")  # no start mark
        assert sender.answer().value("MSA-1") == "AR"
        sender.send(b"\x0bMSH|^~\\&|half" + frame(adt(2)))  # given up and begun again
        assert sender.answer().value("MSA-2") == "M2"
        web = Sender(port)
        web.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        web.socket.shutdown(socket.SHUT_WR)
        assert web.answer().value("MSA-1") == "AR"
        assert web.ended()
        endless = Sender(port)
        endless.send(b"x" * 200_000)
        assert endless.answer().value("MSA-1") == "AR"
        assert [r.status for r in rows()] == ["quarantined", "stored", "failed", "failed"]


def test_character_sets_survive(rows, listener):
    latin = (
        adt(1, SAMPLE="MÜLLER")
        .replace("MÜLLER".encode(), "MÜLLER".encode("latin-1"))
        .replace(b"|P|2.5.1\r", b"|P|2.5.1||||||8859/1\r")
    )
    with listener("listen_mllp") as (_, port):
        sender = Sender(port)
        assert sender.ask(latin) == "AA"
        assert sender.ask(adt(2, SAMPLE="MÜLLER")) == "AA"
        assert [hl7.parse(bytes(r.content)).value("PID-5") for r in rows()] == ["MÜLLER", "MÜLLER"]


def test_twenty_megabytes_are_taken_and_a_message_without_end_is_cut_off(rows, listener):
    with listener("listen_mllp", MLLP_MAX_BYTES=str(24 * 1024 * 1024)) as (process, port):
        sender = Sender(port)
        document = adt(1) + b"OBX|1|ED|PDF||^AP^^Base64^" + b"QUJD" * 5_000_000 + b"\r"
        assert sender.ask(document) == "AA"
        assert [r.size for r in rows()] == [len(document)]
        endless = Sender(port)
        try:
            for _ in range(40):
                endless.send(b"\x0bMSH|" + b"x" * 1024 * 1024)
        except OSError:
            pass
        assert endless.answer().value("MSA-1") == "AR"
        memory = psutil.Process(process.pid).memory_info().rss
        assert memory < 300 * 1024 * 1024, f"{memory / 1e6:.0f} MB"
        assert Sender(port).ask(adt(9)) == "AA"


def test_a_good_sender_gets_through_between_idle_and_dripping_ones(rows, listener):
    with listener("listen_mllp") as (process, port):
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
        dripping = [Sender(port) for _ in range(20)]
        for sender in dripping:
            sender.send(b"\x0bM")
        good = Sender(port)
        for n in range(20):
            assert good.ask(adt(n)) == "AA"
            for sender in dripping:
                sender.send(b"S")
        assert len(rows()) == 20
        assert psutil.Process(process.pid).memory_info().rss < 300 * 1024 * 1024
        for one in idle:
            one.close()


def test_acknowledged_means_stored_although_the_listener_is_killed_at_once(rows, listener):
    for number in range(3):
        with listener("listen_mllp") as (process, port):
            sender = Sender(port)
            assert sender.ask(adt(f"K{number}")) == "AA"
            process.kill()
            process.wait()
    assert sorted(r.control_number for r in rows()) == ["REG:MK0", "REG:MK1", "REG:MK2"]


def test_a_terminated_listener_answers_what_it_holds_and_ends(rows, listener):
    with listener("listen_mllp") as (process, port):
        sender = Sender(port)
        assert sender.ask(adt(1)) == "AA"
        process.terminate()
        began = time.monotonic()
        assert process.wait(30) == 0
        assert time.monotonic() - began < 25
