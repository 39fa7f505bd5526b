"""Partners are told what happened: signed, with ids alone, tried for three days, hurting nobody."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2
import pytest
from django.db import connections
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone

from claims.models import ClaimStatus
from intake.models import Patient
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.audit.database import SHIFT
from rcm.audit.models import Event
from rcm.audit.services import Step, record_steps
from rcm.exchange import services, webhooks
from rcm.exchange.models import Connection, Interchange
from tests import databases


@pytest.fixture
def cast(cast_committed):
    """Committed: the steps are read by number of their transaction."""
    return cast_committed


class Receiver:
    """A partner's server: keeps what it gets, answers as told."""

    def __init__(self) -> None:
        self.status, self.delay, self.body = 200, 0.0, b""
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.status)
                if 300 <= receiver.status < 400:
                    self.send_header("Location", "http://127.0.0.1:9/")
                self.end_headers()
                for n in range(len(receiver.body)):
                    self.wfile.write(receiver.body[n : n + 1])
                    time.sleep(receiver.delay)

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def partner(settings):
    receiver = Receiver()
    settings.EXCHANGE_TRUSTED_HOSTS = [f"127.0.0.1:{receiver.server.server_port}"]
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def made(cast, partner, *topics: str) -> tuple[Connection, str]:
    with scope(cast.system):
        return webhooks.webhook_make(
            organization_id=cast.a.pk,
            name="RIS",
            url=partner.url,
            topics=topics or ["claim.accepted", "patient.registered"],
            actor=cast.actor("mia"),
        )


def chart(cast) -> Patient:
    with scope(cast.system):
        return Patient.objects.create(
            organization=cast.a,
            mrn="M1",
            last_name="SECRETNAME",
            first_name="Ann",
            born_on=timezone.localdate(),
            sex="F",
            search="m1",
        )


def happens(cast, verb: str, **keys) -> None:
    with scope(cast.system):
        record_steps([Step(cast.a.pk, verb, "It happened", keys)], actor=cast.system)


def settled(cast) -> None:
    """Wait until every step's transaction is below the oldest open one of the server."""
    for _ in range(200):
        with scope(cast.system):
            last = Event.objects.aggregate(m=Max("tx"))["m"] or 0
            if webhooks._horizon() > last:
                return
        time.sleep(0.1)


def told(cast, at=None, *, wait=True) -> int:
    """One turn of the workers: queue, then send what is due."""
    if wait:
        settled(cast)
    with scope(cast.system):
        count = webhooks.webhooks_tell(organization_id=cast.a.pk, at=at)
    services.work(cast.a.pk, "batch", at=at)
    return count


def rows(cast) -> list[Interchange]:
    with scope(cast.system):
        return list(Interchange.objects.filter(kind="EVENT").order_by("pk"))


def signs(secret: str, headers, body: bytes) -> bool:
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mark = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{mark}" in headers["webhook-signature"].split()


def test_a_step_arrives_signed_once_with_ids_alone(cast, partner):
    _, secret = made(cast, partner)
    patient = chart(cast)
    happens(cast, "patient.registered", patient_id=patient.pk)
    happens(cast, "order.placed", patient_id=patient.pk)  # not asked for
    assert told(cast) == 1
    assert told(cast) == 0
    ((headers, body),) = partner.got
    assert signs(secret, headers, body)
    message = json.loads(body)
    assert message["type"] == "patient.registered"
    assert message["data"]["patient"] == str(patient.public_id)
    assert "SECRETNAME" not in body.decode()
    assert f'"{patient.pk}"' not in body.decode()
    (row,) = rows(cast)
    assert (row.status, row.control_number) == ("sent", headers["webhook-id"])


def test_what_happened_before_and_in_an_open_transaction_is_neither_told_nor_lost(cast, partner):
    happens(cast, "patient.registered")
    made(cast, partner)
    assert told(cast) == 0
    began, done = threading.Event(), threading.Event()

    def late() -> None:
        with scope(cast.system):
            record_steps([Step(cast.a.pk, "claim.accepted", "Slow", {})], actor=cast.system)
            began.set()
            done.wait(10)
        connections.close_all()

    slow = threading.Thread(target=late)
    slow.start()
    began.wait(10)
    happens(cast, "claim.accepted")  # a later transaction that ends first
    first = told(cast, wait=False)
    done.set()
    slow.join()
    assert first + told(cast) == 2
    assert len(partner.got) == 2


def test_a_transaction_of_more_steps_than_one_turn_takes_is_told_whole(cast, partner, monkeypatch):
    monkeypatch.setattr(webhooks, "AT_ONCE", 3)
    made(cast, partner)
    happens(cast, "claim.accepted")
    with scope(cast.system):
        record_steps(
            [Step(cast.a.pk, "claim.accepted", f"{n}", {}) for n in range(8)], actor=cast.system
        )
    happens(cast, "claim.accepted")
    told_ = sum(told(cast) for _ in range(6))
    ids = {json.loads(bytes(r.content))["data"]["id"] for r in rows(cast)}
    assert (told_, len(ids)) == (10, 10)


def test_messages_of_a_turn_are_written_together(cast, partner, django_assert_max_num_queries):
    made(cast, partner)
    with scope(cast.system):
        record_steps(
            [Step(cast.a.pk, "claim.accepted", f"{n}", {}) for n in range(40)], actor=cast.system
        )
    settled(cast)
    with django_assert_max_num_queries(14), scope(cast.system):
        assert webhooks.webhooks_tell(organization_id=cast.a.pk) == 40


def test_after_a_restore_into_a_server_whose_numbers_begin_again_it_goes_on(cast, partner):
    """The numbers of the steps carry a shift then, and so does the end to which they are read."""
    made(cast, partner)
    shifted(5_000_000)
    try:
        happens(cast, "claim.accepted")
        assert told(cast) + told(cast) == 1
    finally:
        shifted(0)


def shifted(by: int) -> None:
    name = connections["default"].settings_dict["NAME"]
    raw = psycopg2.connect(databases.in_database(databases.owner_url(), name))
    with raw, raw.cursor() as cursor:
        cursor.execute(SHIFT.format(shift=by))
    raw.close()


@pytest.mark.parametrize("status", [500, 302, 400])
def test_a_receiver_that_fails_is_tried_for_three_days_then_paused(cast, partner, status):
    row, _ = made(cast, partner)
    partner.status = status
    happens(cast, "claim.accepted")
    at = timezone.now()
    start = at
    for _ in range(len(webhooks.PAUSES) + 1):
        told(cast, at=at)
        last, (message,) = at, rows(cast)
        at = (message.due_at or at) + timedelta(seconds=1)
    at = last
    assert len(partner.got) == len(webhooks.PAUSES) + 1
    assert len({h["webhook-id"] for h, _ in partner.got}) == 1
    assert timedelta(days=2.5) < at - start < timedelta(days=3.5)
    (message,) = rows(cast)
    with scope(cast.system):
        row.refresh_from_db()
    assert (message.status, row.active) == ("failed", False)
    happens(cast, "claim.accepted")
    told(cast, at=at + timedelta(days=1))
    assert len(partner.got) == len(webhooks.PAUSES) + 1  # paused: it waits
    partner.status = 200
    mia = cast.actor("mia")
    with scope(cast.system):
        webhooks.webhook_switch(row=row, on=True, actor=mia)
        assert webhooks.webhook_replay(row=row, since=start - timedelta(1), actor=mia) == 1
    told(cast, at=at + timedelta(days=1))
    assert [r.status for r in rows(cast)] == ["sent", "sent"]


def test_gone_pauses_at_once(cast, partner):
    row, _ = made(cast, partner)
    partner.status = 410
    happens(cast, "claim.accepted")
    told(cast)
    with scope(cast.system):
        row.refresh_from_db()
    assert not row.active
    assert rows(cast)[0].status == "failed"


def test_the_receiver_from_hell_holds_up_its_own_messages_alone(cast, partner, monkeypatch):
    monkeypatch.setattr("rcm.exchange.transport.SECONDS", 0.4)
    made(cast, partner)
    partner.body, partner.delay = b"x" * 10_000, 0.2
    for _ in range(5):
        happens(cast, "claim.accepted")
    began = time.monotonic()
    told(cast)
    services.work(cast.a.pk, "batch")
    assert len(partner.got) <= 5
    due = [r.due_at for r in rows(cast)]
    assert all(d is not None and d > timezone.now() - timedelta(seconds=60) for d in due)
    assert time.monotonic() - began < 8


def test_for_a_day_after_a_rotation_both_secrets_sign(cast, partner):
    row, old = made(cast, partner)
    with scope(cast.system):
        new = webhooks.webhook_rotate(row=row, actor=cast.actor("mia"))
        webhooks.webhook_test(row=row, actor=cast.actor("mia"))
    told(cast)
    headers, body = partner.got[0]
    assert signs(old, headers, body)
    assert signs(new, headers, body)
    with scope(cast.system):
        row.refresh_from_db()
        keys = webhooks._secrets(row, timezone.now() + timedelta(hours=25))
    assert len(keys) == 1
    assert old not in json.dumps(row.config)


def test_only_public_https_addresses_and_only_who_may(cast, partner):
    for url in ("http://example.org/x", "https://user@example.org/", "ftp://x", "nothing"):
        with pytest.raises(Refused), scope(cast.system):
            webhooks.webhook_make(
                organization_id=cast.a.pk,
                name="x",
                url=url,
                topics=["claim.accepted"],
                actor=cast.actor("mia"),
            )
    with pytest.raises(PermissionRefused), scope(cast.system):
        webhooks.webhook_make(
            organization_id=cast.a.pk,
            name="x",
            url=partner.url,
            topics=["claim.accepted"],
            actor=cast.actor("ben"),
        )


def test_the_screen_shows_the_secret_once_and_acts(cast, partner, client):
    client.force_login(cast.user("adam"))
    adam = client
    told_ = {"organization": cast.a.pk, "name": "RIS", "url": partner.url}
    new = reverse("exchange:webhook_new")
    assert adam.post(new, told_).status_code == 422
    page = adam.post(new, told_ | {"topics": ["claim.accepted"]}, follow=True).content.decode()
    assert "whsec_" in page
    listed = reverse("exchange:webhooks")
    assert "whsec_" not in adam.get(listed).content.decode()
    with scope(cast.system):
        row = Connection.objects.get(kind="webhook")
    for act, word in (("test", "test message"), ("pause", "Paused"), ("resume", "goes on")):
        url = reverse("exchange:webhook_act", args=[row.public_id, act])
        assert word in adam.post(url, follow=True).content.decode()
    assert adam.post(reverse("exchange:webhook_act", args=[row.public_id, "x"])).status_code == 404
    services.work(cast.a.pk, "batch")
    assert json.loads(partner.got[0][1])["type"] == "webhook.test"
    url = reverse("exchange:webhook_act", args=[row.public_id, "rotate"])
    client.force_login(cast.user("ben"))
    assert client.post(url).status_code == 403


def test_every_topic_is_a_step_that_the_product_takes():
    root = Path(__file__).parents[2]
    apps = ("intake", "charges", "claims", "remittance")
    source = "\n".join(f.read_text() for app in apps for f in (root / app).rglob("*.py"))
    moves = {f"claim.{status}" for status in ClaimStatus.values}
    assert {t for t in webhooks.TOPICS if f'"{t}"' not in source} <= moves
