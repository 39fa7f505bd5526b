from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection

from rcm.accounts.scope import scope
from rcm.exchange import outbox, services
from rcm.exchange.models import Connection

ROOT = Path(__file__).resolve().parents[2]
ADT = (
    b"MSH|^~\\&|REG|CANA-NORTH|RCM|CANA|20260904100000||ADT^A04^ADT_A01|%s|P|2.5.1\r"
    b"EVN|A04|20260904100000\r"
    b"PID|1||CANA-1^^^CANA^MR||SAMPLE^DOROTHY^Q||19520314|F\r"
)


def adt(number: int | str = 1, **changes: str) -> bytes:
    """A registration message with its control number; `a="b"` replaces text."""
    message = ADT % f"M{number}".encode()
    for old, new in changes.items():
        message = message.replace(old.encode(), new.encode())
    return message


def suite_database_url() -> str:
    """The suite's database, under the application role, for processes that a test starts."""
    s = connection.settings_dict
    return f"postgres://{s['USER']}:{s['PASSWORD']}@{quote(s['HOST'], safe='')}:{s['PORT']}/{s['NAME']}"


@pytest.fixture
def known(cast_committed):
    """The connection by which the registration system of organization A is known."""
    with scope(cast_committed.system):
        return Connection.objects.create(
            organization_id=cast_committed.a.pk, kind="mllp", name="Reg", sender="REG|CANA-NORTH"
        )


@pytest.fixture
def quiet(monkeypatch) -> None:
    """No wake-up calls: the test does the work itself."""
    monkeypatch.setattr(outbox._waker, "wake", lambda *_: None)


@pytest.fixture
def processors(monkeypatch, quiet) -> dict:
    monkeypatch.setattr(services, "_PROCESSORS", {})
    monkeypatch.setattr(outbox, "_SUBSCRIPTIONS", {})
    return services._PROCESSORS


@pytest.fixture
def listener() -> Iterator[Callable]:
    """Start a listener command on a free port against the suite's database; killed at the end."""
    started: list[subprocess.Popen] = []

    @contextmanager
    def start(command: str, **environment: str):
        env = {
            **os.environ,
            "DATABASE_URL": suite_database_url(),
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "ISOCENTER_DEMO": "yes",
            "PYTHONUNBUFFERED": "1",
        }
        env.update(environment, DJANGO_SETTINGS_MODULE="rcm.settings")
        process = subprocess.Popen(
            [sys.executable, "manage.py", command, "--port", "0"],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        line = process.stdout.readline()
        assert "listens on" in line, line + process.stderr.read()
        yield process, int(line.rsplit(":", 1)[1])
        process.terminate()
        process.wait(30)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
