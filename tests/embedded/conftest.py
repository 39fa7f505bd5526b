"""Servers of their own for these tests: they are killed and wiped, so never those of the
checkout.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import psycopg2
import pytest
import redis

from rcm import embedded
from rcm.embedded.home import Home, processes_in, still_alive


class Checkout(SimpleNamespace):
    """A checkout that exists only to have servers."""

    root: Path

    @property
    def home(self) -> Home:
        return Home.of(self.root)

    def start(self) -> embedded.Endpoints:
        return embedded.start(self.root)

    def ask(self, question: str, *values: object, role: str = "superuser_url") -> list[tuple]:
        """The rows of one question, asked in its own transaction."""
        address = getattr(embedded.endpoints(self.root), role)
        with (
            contextlib.closing(psycopg2.connect(address)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(question, values or None)
            return cursor.fetchall() if cursor.description else []

    def broker(self) -> redis.Redis:
        return redis.Redis.from_url(embedded.endpoints(self.root).redis_url)

    def processes(self) -> list[psutil.Process]:
        return processes_in(self.home.postgres) + processes_in(self.home.redis)

    def kill_everything(self) -> None:
        victims = self.processes()
        for process in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        assert not still_alive(victims, patience_seconds=10)


@pytest.fixture(scope="session", autouse=True)
def _own_ports() -> Iterator[None]:
    """Variables of the developer's shell must not reach these servers."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ISOCENTER_HOME", "ISOCENTER_POSTGRES_PORT", "ISOCENTER_REDIS_PORT"):
            patch.delenv(name, raising=False)
        yield


def _checkout(root: Path) -> Iterator[Checkout]:
    root.mkdir(exist_ok=True)
    checkout = Checkout(root=root)
    yield checkout
    embedded.wipe(root)
    assert not checkout.processes()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Servers that run; for tests that only look."""
    for checkout in _checkout(tmp_path_factory.mktemp("running")):
        checkout.start()
        yield checkout


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout whose servers were never started."""
    yield from _checkout(tmp_path / "fresh")


@pytest.fixture(scope="session")
def as_root() -> bool:
    return os.geteuid() == 0
