"""Where one checkout keeps its servers' data, who owns it, and what must be remembered between
starts.

As root the data live under ``/var/lib/isocenter/<checkout>`` and belong to a system user, because
PostgreSQL refuses to run as root and because no folder that is not ours may be widened for that
user. As a plain user they live in ``.isocenter/`` of the project. ``ISOCENTER_HOME`` names another
base folder for both.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from rcm.embedded.errors import EmbeddedError

SYSTEM_BASE = Path("/var/lib/isocenter")
SYSTEM_USER = "isocenter"
DATABASE = "isocenter"
SUPERUSER = "postgres"
OWNER_ROLE = "isocenter_owner"
APP_ROLE = "isocenter_app"
LOCK_WAIT_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of the running servers; each carries its password, so none of them belongs in a
    log.
    """

    database_url: str
    owner_database_url: str
    superuser_url: str
    redis_url: str

    def as_environment(self) -> dict[str, str]:
        """The same addresses under the names that settings and docker-compose.yml use."""
        return {
            "DATABASE_URL": self.database_url,
            "DATABASE_OWNER_URL": self.owner_database_url,
            "DATABASE_SUPERUSER_URL": self.superuser_url,
            "REDIS_URL": self.redis_url,
        }


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that the servers run as; `drop` is set when we are root and must become
    it.
    """

    uid: int
    gid: int
    drop: bool

    def popen_arguments(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drop else {}


@dataclass(slots=True)
class Memory:
    """What is remembered between starts, in a file that only its owner reads."""

    passwords: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def password(self, name: str) -> str:
        return self.passwords.setdefault(name, secrets.token_hex(24))


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one checkout's servers."""

    project: Path
    folder: Path
    servers: Path

    @classmethod
    def of(cls, project_root: str | os.PathLike[str]) -> Home:
        """The home of a checkout; creates nothing."""
        project = Path(project_root).resolve()
        as_root = os.geteuid() == 0
        base = (
            Path(os.environ["ISOCENTER_HOME"]).resolve()
            if os.environ.get("ISOCENTER_HOME")
            else None
        )
        if base is None:
            base = SYSTEM_BASE if as_root else project / ".isocenter"
        name = f"{project.name}-{hashlib.sha256(str(project).encode()).hexdigest()[:10]}"
        folder = base if base == project / ".isocenter" else base / name
        return cls(project, folder, base / "server")

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def redis(self) -> Path:
        return self.folder / "redis"

    @property
    def memory_file(self) -> Path:
        return self.folder / "endpoints.json"

    def account(self) -> Account:
        """Who the servers run as: we ourselves, or as root the owner of the data, before the first
        start the system user.
        """
        if os.geteuid() != 0:
            return Account(os.geteuid(), os.getegid(), drop=False)
        with contextlib.suppress(FileNotFoundError):
            found = self.postgres.stat()
            return Account(found.st_uid, found.st_gid, drop=True)
        return _service_account()

    def prepare(self) -> None:
        """Create the folder when it is missing. One that exists keeps its owner and mode, whatever
        they are.
        """
        make_folder(self.folder, 0o711 if os.geteuid() == 0 else 0o700)

    def remember(self, memory: Memory) -> None:
        """Write the memory so that a crash leaves the old or the new file, readable by its owner
        only.
        """
        draft = self.memory_file.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"passwords": memory.passwords, "ports": memory.ports}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.memory_file)

    def recall(self) -> Memory:
        """The memory of the last start; empty before the first."""
        try:
            stored = json.loads(self.memory_file.read_text())
            return Memory(dict(stored["passwords"]), dict(stored["ports"]))
        except FileNotFoundError:
            return Memory()
        except PermissionError as error:
            raise EmbeddedError(
                f"{self.memory_file} belongs to somebody else. Run this as the user who first ran"
                " `make run` here."
            ) from error
        except (ValueError, KeyError) as error:
            raise EmbeddedError(
                f"{self.memory_file} is damaged, and with it the passwords of the embedded servers."
                " Put it back from a backup, or wipe the data with `make reset`."
            ) from error

    @contextlib.contextmanager
    def locked(self, wait_seconds: float = LOCK_WAIT_SECONDS) -> Iterator[None]:
        """Hold the checkout's start/stop lock. The kernel drops it with its holder, so it can never
        be stale.
        """
        path = self.folder / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + wait_seconds
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise EmbeddedError(
                            "Another start or stop of the embedded servers (process"
                            f" {_holder(descriptor)}) has held {path} for {wait_seconds:.0f}"
                            " seconds. Wait for it, or end that process, and try again."
                        ) from None
                    time.sleep(0.1)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)


def close_in_forks(file: IO[str]) -> None:
    """Keep a file's lock from living on in processes forked by its holder, when the holder itself
    is killed.
    """
    os.register_at_fork(after_in_child=file.close)


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 20, 0).decode(errors="replace") or "unknown"


def _service_account() -> Account:
    """The system user of the servers, created when missing; `nobody` where no user can be
    created.
    """
    for attempt in range(2):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(SYSTEM_USER)
            return Account(entry.pw_uid, entry.pw_gid, drop=True)
        if attempt == 0 and (
            useradd := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
        ):
            subprocess.run(
                [
                    useradd,
                    "--system",
                    "--user-group",
                    "--no-create-home",
                    "--home-dir",
                    str(SYSTEM_BASE),
                    "--shell",
                    "/usr/sbin/nologin",
                    SYSTEM_USER,
                ],
                capture_output=True,
                check=False,
            )
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root and no system user could be made. Create one"
            f" (useradd --system {SYSTEM_USER}) or run this as a plain user."
        ) from None
    print(
        f"The system user {SYSTEM_USER} could not be created, so the embedded servers run as"
        " `nobody`.",
        flush=True,
    )
    return Account(entry.pw_uid, entry.pw_gid, drop=True)


def make_folder(folder: Path, mode: int, account: Account | None = None) -> None:
    """Create a folder and its missing parents with exactly these rights; leave alone what
    exists.
    """
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_folder(folder.parent, 0o755)
    try:
        folder.mkdir()
    except FileExistsError:
        if folder.is_dir():
            return  # another start has made it in the meantime
        raise EmbeddedError(f"{folder} is a file, not a folder. Move it away.") from None
    except OSError as error:
        raise EmbeddedError(
            f"{folder} could not be created ({error.strerror}). Name a folder you may write to with"
            " ISOCENTER_HOME."
        ) from error
    folder.chmod(mode)
    if account is not None and account.drop:
        os.chown(folder, account.uid, account.gid)


def require_reachable(folder: Path, account: Account) -> None:
    """Refuse with a sentence when the servers' user cannot enter a folder; we never widen it
    ourselves.
    """
    if not account.drop:
        return
    probe = subprocess.run(
        ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)],
        capture_output=True,
        check=False,
        cwd="/",
        **account.popen_arguments(),
    )
    if probe.returncode:
        name = pwd.getpwuid(account.uid).pw_name
        raise EmbeddedError(
            f"The system user {name} cannot enter {folder}: a folder above it is closed to other"
            " users, and it is not ours to open. Name a folder that user can reach with"
            " ISOCENTER_HOME, or run this as a plain user."
        )


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def choose_port(home: Home, memory: Memory, name: str, base: int, variable: str) -> int:
    """A free loopback port: the one asked for by the environment, else the remembered one, else the
    next free one.

    A port that the environment asks for and somebody else holds is an error; a remembered one that
    was taken meanwhile is replaced, and said so.
    """
    if asked := os.environ.get(variable):
        if not asked.isdigit() or not 0 < int(asked) < 65536:
            raise EmbeddedError(f"{variable}={asked} is not a port number.")
        if not port_is_free(int(asked)):
            raise EmbeddedError(
                f"Port {asked} ({variable}) is in use by another program. Free it or name another"
                " port."
            )
        memory.ports[name] = int(asked)
        return int(asked)
    remembered = memory.ports.get(name)
    if remembered and port_is_free(remembered):
        return remembered
    # Each checkout begins its search elsewhere, so that two of them do not keep taking each other's
    # port.
    first = base + int(hashlib.sha256(str(home.folder).encode()).hexdigest(), 16) % 900
    for port in range(first, first + 1000):
        if port not in memory.ports.values() and port_is_free(port):
            if remembered:
                print(
                    f"Port {remembered}, used last time for {name}, is taken; using {port}"
                    " instead.",
                    flush=True,
                )
            memory.ports[name] = port
            return port
    raise EmbeddedError(
        f"No free port was found between {first} and {first + 999} for {name}. Name one with"
        f" {variable}."
    )


def processes_in(folder: Path) -> list[psutil.Process]:
    """Processes whose working folder is this one: how a server of ours is told from a stranger with
    a recycled id.
    """
    found = []
    wanted = str(folder.resolve())
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.cwd() == wanted and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_processes(processes: list[psutil.Process], patience_seconds: float) -> None:
    """End these processes: politely first, then not."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    stubborn = still_alive(processes, patience_seconds)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    still_alive(stubborn, patience_seconds=5)


def still_alive(processes: list[psutil.Process], patience_seconds: float) -> list[psutil.Process]:
    """Wait for processes to end and return those that have not.

    One that ended but was not yet reaped counts as ended: in a container the first process may
    never reap it.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        alive = []
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process)
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.02)
