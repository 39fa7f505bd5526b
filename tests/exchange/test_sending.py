"""What leaves, leaves once; to public addresses only; bounded in time and size."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.exchange import services, transport
from rcm.exchange.models import Connection, Interchange

NOON = datetime(2026, 9, 8, 12, 0, tzinfo=UTC)
ANSWER = (
    b"ISA*00*          *00*          *ZZ*PAYER          *ZZ*CANA          "
    b" *260908*1200*^*00501*000000001*0*P*:~"
    b"GS*HB*PAYER*CANA*20260908*1200*1*X*005010X279A1~ST*271*0001*005010X279A1~BHT*0022*11*1*20260908*1200~SE*3*0001~GE*1*1~IEA*1*000000001~"
)


class Payer:
    """A receiver that answers as told and counts what it was given."""

    def __init__(self) -> None:
        self.status, self.body, self.location, self.delay = 200, ANSWER, "", 0.0
        self.keys: list[str] = []
        self.bodies: list[bytes] = []
        payer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                payer.keys.append(self.headers["Idempotency-Key"])
                payer.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                time.sleep(payer.delay)
                self.send_response(payer.status)
                if payer.location:
                    self.send_header("Location", payer.location)
                self.send_header("Content-Type", "application/edi-x12; charset=utf-8")
                self.end_headers()
                self.wfile.write(payer.body)

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def payer(settings):
    payer = Payer()
    settings.EXCHANGE_TRUSTED_HOSTS = [payer.host]
    yield payer
    payer.server.shutdown()
    payer.server.server_close()


def outbound(cast, url: str) -> Interchange:
    with scope(cast.system):
        partner = Connection.objects.create(
            organization_id=cast.a.pk, kind="http", name="Clearinghouse", url=url
        )
        return services.store_outbound(
            organization_id=cast.a.pk,
            kind="270",
            content=b"ISA*270~",
            connection=partner,
            control_number="000000007",
            at=NOON,
            actor=cast.system,
        )


def state(cast, row) -> Interchange:
    with scope(cast.system):
        return Interchange.objects.get(pk=row.pk)


def test_a_sent_interchange_keeps_its_answer_linked(cast, payer, processors):
    row = outbound(cast, f"http://{payer.host}/270")
    answer = services.send(row, actor=cast.system, at=NOON)
    assert (answer.kind, answer.direction, answer.answer_to_id, bytes(answer.content)) == (
        "271",
        "in",
        row.pk,
        ANSWER,
    )
    assert state(cast, row).status == "sent"
    assert payer.bodies == [b"ISA*270~"]
    assert services.send(row, actor=cast.system, at=NOON).pk == answer.pk
    assert len(payer.keys) == 1


def test_an_unknown_outcome_is_repeated_under_the_same_key(cast, payer, processors):
    payer.status = 503
    row = outbound(cast, f"http://{payer.host}/270")
    assert services.send(row, actor=cast.system, at=NOON) is None
    assert state(cast, row).status == "sending"
    assert "503" in state(cast, row).error
    payer.status = 200
    assert services.drain([cast.a.pk], at=NOON) == 0  # it rests first
    services.drain([cast.a.pk], at=NOON + timedelta(minutes=5))
    assert state(cast, row).status == "sent"
    assert payer.keys == [str(row.public_id)] * 2


def test_a_refusal_is_final_until_a_person_sends_it_again(cast, payer, processors):
    payer.status = 422
    row = outbound(cast, f"http://{payer.host}/270")
    services.drain([cast.a.pk], at=NOON)
    services.drain([cast.a.pk], at=NOON + timedelta(days=1))
    assert state(cast, row).status == "failed"
    assert len(payer.keys) == 1
    payer.status = 200
    with scope(cast.actor("mia")):
        services.replay(Interchange.objects.get(pk=row.pk), actor=cast.actor("mia"), at=NOON)
    services.drain([cast.a.pk], at=NOON)
    assert state(cast, row).status == "sent"


def test_after_five_tries_without_an_answer_it_fails_with_a_sentence(cast, payer, processors):
    payer.server.shutdown()
    payer.server.server_close()
    row = outbound(cast, f"http://{payer.host}/270")
    for hour in range(8):
        services.drain([cast.a.pk], at=NOON + timedelta(hours=hour))
    row = state(cast, row)
    assert (row.status, row.attempts) == ("failed", 5)
    assert "Clearinghouse" in row.error


def test_a_redirect_is_not_followed(cast, payer, processors):
    payer.status, payer.location = 302, f"http://{payer.host}/elsewhere"
    row = outbound(cast, f"http://{payer.host}/270")
    services.send(row, actor=cast.system, at=NOON)
    assert state(cast, row).status == "failed"
    assert len(payer.keys) == 1


def test_an_endless_answer_is_cut_off_and_a_slow_one_given_up(cast, payer, processors, monkeypatch):
    payer.body = b"x" * 3_000_000
    row = outbound(cast, f"http://{payer.host}/270")
    services.send(row, actor=cast.system, at=NOON)
    assert "1 MB" in state(cast, row).error
    monkeypatch.setattr(transport, "SECONDS", 0.3)
    payer.delay = 1.0
    services.send(row, actor=cast.system, at=NOON)
    assert "did not answer" in state(cast, row).error


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://0/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/",
        "https://user:pw@example.com/",
        "https://example.com\\@127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "https://localhost/",
        "",
        "https:///nothing",
        "https://[bad",
    ],
)
def test_addresses_inside_are_never_called(cast, processors, settings, url):
    settings.EXCHANGE_TRUSTED_HOSTS = []
    row = outbound(cast, url)
    services.send(row, actor=cast.system, at=NOON)
    row = state(cast, row)
    assert row.status == "failed"
    assert "address" in row.error


def test_a_name_that_leads_inside_is_judged_at_the_connection(cast, payer, processors, monkeypatch):
    row = outbound(cast, "https://partner.example/")
    monkeypatch.setattr(
        transport.socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", 443))]
    )
    services.send(row, actor=cast.system, at=NOON)
    assert "private network" in state(cast, row).error
    assert payer.keys == []


def test_an_inbound_interchange_is_not_sent(cast, processors):
    with scope(cast.system):
        row, _ = services.store_inbound(
            organization_id=cast.a.pk, kind="835", content=b"x", actor=cast.system
        )
    with pytest.raises(Refused):
        services.send(row, actor=cast.system)
