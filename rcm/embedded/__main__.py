"""`python -m rcm.embedded start|stop|status|env|psql|with|prepare-database`: the servers by
hand.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from urllib.parse import unquote, urlsplit

from rcm.embedded import EmbeddedError, postgres, server
from rcm.embedded.home import APP_ROLE, OWNER_ROLE, Home
from rcm.embedded.roles import prepare_database


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m rcm.embedded", description="The PostgreSQL and Redis of this checkout."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start", help="start both; harmless when they run")
    commands.add_parser("stop", help="stop both; the data stay")
    commands.add_parser(
        "status", help="what runs, and where the data are; exit code 1 when not both run"
    )
    commands.add_parser(
        "env", help="print the addresses as NAME=value lines (they contain passwords)"
    )
    psql = commands.add_parser("psql", help="open psql as the application's role")
    psql.add_argument("--role", choices=("app", "owner", "superuser"), default="app")
    psql.add_argument("rest", nargs=argparse.REMAINDER, help="passed to psql, after --")
    within = commands.add_parser(
        "with", help="run a command while the servers run; start and stop them around it if need be"
    )
    within.add_argument("rest", nargs=argparse.REMAINDER, help="the command, after --")
    commands.add_parser(
        "prepare-database", help="roles, extensions and database on a PostgreSQL of your own"
    )
    options = parser.parse_args(arguments)
    actions = {
        "start": _start,
        "stop": _stop,
        "status": _status,
        "env": _env,
        "psql": _psql,
        "with": _with,
        "prepare-database": _prepare_database,
    }
    try:
        return actions[options.command](options) or 0
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1


def _start(options: argparse.Namespace) -> None:
    began = time.monotonic()
    server.start()
    print(
        f"PostgreSQL and Redis are running, data in {server.status().folder}"
        f" ({time.monotonic() - began:.1f} s)."
    )


def _stop(options: argparse.Namespace) -> None:
    print("Stopped; the data stay." if server.stop() else "Nothing was running.")


def _status(options: argparse.Namespace) -> int:
    found = server.status()
    for name, pid in (("PostgreSQL", found.postgres_pid), ("Redis", found.redis_pid)):
        print(f"{name}: {f'running, process {pid}' if pid else 'not running'}")
    print(f"Data: {found.folder}")
    return 0 if found.running else 1


def _env(options: argparse.Namespace) -> None:
    for name, value in server.endpoints().as_environment().items():
        print(f"{name}={value}")


def _psql(options: argparse.Namespace) -> None:
    addresses = server.endpoints()
    address = {
        "app": addresses.database_url,
        "owner": addresses.owner_database_url,
        "superuser": addresses.superuser_url,
    }[options.role]
    home = Home.of(server.PROJECT_ROOT)
    program = postgres.programs(home, home.account()) / "psql"
    sys.stdout.flush()
    # The address goes by the environment: the arguments of a process can be read by every user of
    # the machine.
    parts = urlsplit(address)
    connection = {
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port),
        "PGDATABASE": parts.path.lstrip("/"),
    }
    os.execve(program, [str(program), *_rest(options)], {**os.environ, **connection})


def _with(options: argparse.Namespace) -> int:
    command = _rest(options)
    if not command:
        raise EmbeddedError("Say which command: python -m rcm.embedded with -- COMMAND ...")
    if os.environ.get("DATABASE_URL"):
        return subprocess.run(command, check=False).returncode
    with server.held():
        # The command gets Ctrl-C itself; we stay until it has ended, to stop the servers after it.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return subprocess.run(
                command, check=False, preexec_fn=lambda: signal.signal(signal.SIGINT, previous)
            ).returncode
        finally:
            signal.signal(signal.SIGINT, previous)


def _prepare_database(options: argparse.Namespace) -> None:
    """Passwords and names come from the same variables that the product will use."""
    missing = [
        name
        for name in ("DATABASE_SUPERUSER_URL", "DATABASE_OWNER_URL", "DATABASE_URL")
        if not os.environ.get(name)
    ]
    if missing:
        raise EmbeddedError(f"Set {', '.join(missing)}: docs/operations.md shows how.")
    passwords = {}
    for name, role in (("DATABASE_OWNER_URL", OWNER_ROLE), ("DATABASE_URL", APP_ROLE)):
        parts = urlsplit(os.environ[name])
        if parts.username != role or not parts.password:
            raise EmbeddedError(f"{name} must name the role {role} and its password.")
        passwords[role] = unquote(parts.password)
    database = urlsplit(os.environ["DATABASE_URL"]).path.lstrip("/")
    superuser = urlsplit(os.environ["DATABASE_SUPERUSER_URL"])._replace(path="/template1").geturl()
    prepare_database(superuser_url=superuser, database=database, passwords=passwords)
    print(f"The database {database} and its roles {OWNER_ROLE} and {APP_ROLE} are there.")


def _rest(options: argparse.Namespace) -> list[str]:
    rest: list[str] = options.rest
    return rest[1:] if rest[:1] == ["--"] else rest


if __name__ == "__main__":
    raise SystemExit(main())
