"""Both servers together: what settings, the launcher and the tests call."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rcm.embedded import postgres, redis
from rcm.embedded.errors import EmbeddedError
from rcm.embedded.home import (
    APP_ROLE,
    OWNER_ROLE,
    SUPERUSER,
    Endpoints,
    Home,
    Memory,
    close_in_forks,
)

PROJECT_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Status:
    """What runs, and where the data are; a process id of None means "not running"."""

    folder: Path
    postgres_pid: int | None
    redis_pid: int | None

    @property
    def running(self) -> bool:
        return self.postgres_pid is not None and self.redis_pid is not None


def start(project_root: str | os.PathLike[str] = PROJECT_ROOT) -> Endpoints:
    """Start PostgreSQL and Redis of this checkout, whichever is not running, and return their
    addresses.

    Safe to call twice, from two processes at once, and after a crash of either server or of the
    machine. Servers started this way run until `stop`.
    """
    home = Home.of(project_root)
    home.prepare()
    with home.locked():
        _on_demand_mark(home).unlink(missing_ok=True)
        return _start(home)


def stop(project_root: str | os.PathLike[str] = PROJECT_ROOT) -> bool:
    """Stop both servers, keeping their data; true if one ran."""
    home = Home.of(project_root)
    if not home.folder.is_dir():
        return False
    with home.locked():
        return _stop(home)


@contextlib.contextmanager
def held(project_root: str | os.PathLike[str] = PROJECT_ROOT) -> Iterator[Endpoints]:
    """The servers for the length of a block.

    They are started if need be, and stopped by whoever leaves last. Servers that were started by
    `start` stay.
    """
    home = Home.of(project_root)
    home.prepare()
    with (home.folder / "holders").open("a") as holders:
        close_in_forks(holders)
        fcntl.flock(holders, fcntl.LOCK_SH)
        with home.locked():
            if not status(project_root).running:
                _on_demand_mark(home).touch()
            addresses = _start(home)
        try:
            yield addresses
        finally:
            with home.locked(), contextlib.suppress(BlockingIOError):
                fcntl.flock(holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _on_demand_mark(home).exists():
                    _stop(home)


def endpoints(project_root: str | os.PathLike[str] = PROJECT_ROOT) -> Endpoints:
    """The addresses of this checkout's servers, whether or not they run now; starts nothing."""
    memory = Home.of(project_root).recall()
    if not {"postgres", "redis"} <= memory.ports.keys():
        raise EmbeddedError(
            "This checkout has no database yet. Run `make run` (or `python -m rcm.embedded start`),"
            " or set DATABASE_URL and REDIS_URL to servers of your own."
        )
    return _endpoints(memory)


def status(project_root: str | os.PathLike[str] = PROJECT_ROOT) -> Status:
    """Which of the two servers run."""
    home = Home.of(project_root)
    database, broker = postgres.running(home), redis.running(home)
    return Status(home.folder, database and database.pid, broker and broker.pid)


def wipe(project_root: str | os.PathLike[str] = PROJECT_ROOT) -> None:
    """Stop both servers and delete their data and passwords for good."""
    stop(project_root)
    shutil.rmtree(Home.of(project_root).folder, ignore_errors=True)


def recreate_database(project_root: str | os.PathLike[str] = PROJECT_ROOT) -> None:
    """Drop the product's database with all that is in it, and make it anew, empty. The server must
    run.
    """
    home = Home.of(project_root)
    with home.locked():
        postgres.recreate_database(home.recall())


def _start(home: Home) -> Endpoints:
    memory = home.recall()
    postgres.start(home, memory)
    redis.start(home, memory)
    return _endpoints(memory)


def _stop(home: Home) -> bool:
    _on_demand_mark(home).unlink(missing_ok=True)
    broker = redis.stop(home)
    database = postgres.stop(home)
    return broker or database


def _on_demand_mark(home: Home) -> Path:
    """There while the servers run only for those who hold them."""
    return home.folder / "on-demand"


def _endpoints(memory: Memory) -> Endpoints:
    return Endpoints(
        database_url=postgres.url(memory, APP_ROLE),
        owner_database_url=postgres.url(memory, OWNER_ROLE),
        superuser_url=postgres.url(memory, SUPERUSER),
        redis_url=redis.url(memory),
    )
