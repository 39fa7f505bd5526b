"""Databases of the suite: migrated once for a schema and copied for every runner of every run;
emptied row by row; dropped whoever still looks at them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import sql

from rcm import embedded

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = "test_isocenter_of_"
MAKES_THE_SCHEMA = (
    "*/migrations/*.py",
    "*/models.py",
    "*/models/*.py",
    "*/database.py",
    "rcm/accounts/**/*.py",
    "rcm/audit/**/*.py",
    "rcm/pricing/**/*.py",
    "rcm/reference/**/*",
)


def template_name() -> str:
    """Named by the contents of all that makes the migrated database and its starter rows."""
    digest = hashlib.sha256()
    for pattern in (*MAKES_THE_SCHEMA, *(f"rcm/{each}" for each in MAKES_THE_SCHEMA[:4])):
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    digest.update((ROOT / "requirements.lock").read_bytes())
    return f"{TEMPLATES}{digest.hexdigest()[:16]}"


def owner_url() -> str:
    if os.environ.get("DATABASE_URL"):
        return os.environ.get("DATABASE_OWNER_URL", os.environ["DATABASE_URL"])
    return embedded.endpoints(ROOT).owner_database_url


def superuser_url() -> str | None:
    """Of the embedded server; nobody gives us one of a server of their own."""
    return None if os.environ.get("DATABASE_URL") else embedded.endpoints(ROOT).superuser_url


def in_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@contextlib.contextmanager
def connected(url: str) -> Iterator[psycopg2.extensions.cursor]:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


@contextlib.contextmanager
def turn(name: str) -> Iterator[str | None]:
    """What to copy a new database from: the migrated one with starter reference data that an
    earlier runner offered under this name.

    None: there is none. The lock is held meanwhile, so that the second runner waits for the first
    one's instead of migrating too.
    """
    with open(Path(tempfile.gettempdir()) / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with connected(owner_url()) as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            found = cursor.fetchone()
        yield name if found else None


def offer(name: str, template: str) -> None:
    """Keep a copy of this database, to which nobody may be connected, for the runners that come
    after; the copies of other schemas go.
    """
    forget(but=template)
    with connected(owner_url()) as cursor:
        cursor.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(template), sql.Identifier(name)
            )
        )


def forget(but: str = "") -> None:
    """Drop the copies that are kept; one that is being copied just now stays."""
    with connected(owner_url()) as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND datname <> %s",
            [TEMPLATES, but],
        )
        for (name,) in cursor.fetchall():
            with contextlib.suppress(psycopg2.errors.ObjectInUse):
                cursor.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
            (Path(tempfile.gettempdir()) / f"{name}.lock").unlink(missing_ok=True)


def end_sessions(name: str) -> None:
    """End whoever is still connected to a database that will be dropped, and say what they did
    last.
    """
    url = superuser_url()
    if url is None:
        return
    with connected(url) as cursor:
        cursor.execute(
            "SELECT usename, state, left(query, 200), pg_terminate_backend(pid, 5000) FROM"
            " pg_stat_activity WHERE datname = %s",
            [name],
        )
        for user, state, query, _ in cursor.fetchall():
            warnings.warn(
                f"a test left a connection of {user} open ({state}); it did last: {query}",
                stacklevel=2,
            )


def empty(name: str, kept) -> None:
    """Delete every row of the tables that are not kept.

    As the superuser, in one transaction, with triggers and foreign keys asleep: only tables with
    rows are touched, and a page that is still being answered is not waited for. Without a superuser
    the owner truncates all of them.
    """
    url = superuser_url()
    with connected(in_database(url or owner_url(), name)) as c:
        c.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace ="
            " 'public'::regnamespace ORDER BY relname"
        )
        tables = [t for (t,) in c.fetchall() if not kept(t)]
        if url is None:
            _truncate(c, tables)
            return
        c.execute(
            " UNION ALL ".join(f"SELECT '{t}' WHERE EXISTS (SELECT FROM \"{t}\")" for t in tables)
        )
        filled = [t for (t,) in c.fetchall()]
        c.execute(
            "; ".join(
                [
                    "BEGIN",
                    "SET LOCAL session_replication_role = replica",
                    *(f'DELETE FROM "{t}"' for t in filled),
                    "COMMIT",
                ]
            )
        )


def _truncate(c: psycopg2.extensions.cursor, tables: list[str]) -> None:
    c.execute(
        "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'append_only_truncate'"
    )
    guarded = [t for (t,) in c.fetchall()]
    c.execute(
        "; ".join(
            [
                "BEGIN",
                *(f"ALTER TABLE {t} DISABLE TRIGGER append_only_truncate" for t in guarded),
                "TRUNCATE " + ", ".join(tables),
                *(f"ALTER TABLE {t} ENABLE TRIGGER append_only_truncate" for t in guarded),
                "COMMIT",
            ]
        )
    )
