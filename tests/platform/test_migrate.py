"""The quick `migrate` makes the very tables that Django's own makes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from django.db import migrations, models

from rcm.accounts.management.commands.migrate import touches_others
from rcm.embedded.postgres import installed_programs
from tests import databases

ROOT = Path(__file__).resolve().parents[2]
DJANGOS_OWN = """
import django
django.setup()
from django.core.management import call_command
from django.core.management.commands.migrate import Command
call_command(Command(), interactive=False, verbosity=0)
"""


@contextlib.contextmanager
def _empty(name: str) -> Iterator[str]:
    """The address of an empty database, dropped at the end."""
    with contextlib.closing(psycopg2.connect(databases.owner_url())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"drop database if exists {name} with (force)")
            cursor.execute(f"create database {name}")
            try:
                yield databases.in_database(databases.owner_url(), name)
            finally:
                cursor.execute(f"drop database {name} with (force)")


def _schema(address: str, *command: str) -> list[str]:
    environment = {**os.environ, "DATABASE_URL": address, "DATABASE_OWNER_URL": address}
    environment |= {"DJANGO_SETTINGS_MODULE": "rcm.settings", "ISOCENTER_DEMO": "yes"}
    environment.setdefault("REDIS_URL", "redis://127.0.0.1:1/0")
    subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True)
    program = installed_programs()[0] / "bin" / "pg_dump"
    done = subprocess.run([program, "-s", address], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "restrict" not in line]


@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="pg_dump is of the embedded server")
def test_both_ways_to_migrate_make_the_same_schema_line_for_line():
    with _empty("isocenter_migrated_plainly") as plainly, _empty("isocenter_migrated") as quickly:
        expected = _schema(plainly, "-c", DJANGOS_OWN)
        found = _schema(quickly, "manage.py", "migrate", "--no-input", "-v", "0")
    assert len(expected) > 10_000
    assert found == expected


def test_what_renames_or_alters_a_key_goes_the_long_way():
    def made_of(*operations: migrations.operations.base.Operation) -> bool:
        migration = migrations.Migration("m", "app")
        migration.operations = list(operations)
        return touches_others(migration)

    assert made_of(migrations.RenameField("exam", "old", "new"))
    assert made_of(migrations.RenameModel("Old", "New"))
    assert made_of(migrations.AlterField("exam", "id", models.BigAutoField(primary_key=True)))
    assert made_of(migrations.AlterField("exam", "code", models.CharField(unique=True)))
    assert not made_of(migrations.AlterField("exam", "note", models.TextField()))
    assert not made_of(migrations.AddField("exam", "note", models.TextField()))
