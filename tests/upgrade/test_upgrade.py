"""An earlier release's database with an office's data comes to this one: every row of money as it
was, the walls up, every proof holding.

`before.tar.xz` is a backup of a small demonstration, made on the schema of the night on which migrations
were last rewritten; rows of large reference tables are left out. Made anew, when that is ever
needed, with `make_before.py`.
"""

from __future__ import annotations

import os
import tarfile
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from psycopg2 import sql

from rcm.operations import manifest, places, restore
from rcm.operations.places import Place
from tests import databases

BEFORE = Path(__file__).with_name("before.tar.xz")
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def empty():
    name = f"test_upgraded_{os.getpid()}"
    url = databases.superuser_url()
    assert url, "a restore needs the embedded server's superuser"
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with databases.connected(databases.owner_url()) as cursor:
        cursor.execute(drop)
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield Place(databases.in_database(url, name))
    # as superuser: what tidies a database by itself is not the owner's to end
    with databases.connected(url) as cursor:
        cursor.execute(drop)


def test_an_earlier_database_with_data_comes_to_this_release(empty, tmp_path, settings) -> None:
    settings.MEDIA_ROOT, settings.AUDIT_ANCHORS = tmp_path / "media", str(tmp_path / "anchors")
    with tarfile.open(BEFORE) as packed:
        packed.extractall(tmp_path, filter="data")
    before = manifest.read(tmp_path / "before")
    done = restore.restore(tmp_path / "before", empty)
    assert {"accounts.0005_factor_roles", "exchange.0004_hold", "jobs.0003_tries"} <= set(
        done.migrated
    )
    assert (done.breaches, done.breaks) == (0, [])
    assert done.proofs > 50
    assert done.audit_rows > 100
    owner, app = places.roles()
    with empty.lent_to_django(owner):
        out = StringIO()
        call_command("migrate", "--check", stdout=out)
    with empty.cursor() as cursor:
        for table, kept in before.tables.items():
            if table.startswith(manifest.LEDGER):
                cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
                assert cursor.fetchone()[0] == kept.rows, table
        cursor.execute("SELECT sum(amount), sum(abs(amount)) FROM ledger_ledgerentry")
        total, moved = cursor.fetchone()
        assert total == 0
        assert moved > 10_000
    with empty.lent_to_django(app), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM intake_patient")
        assert cursor.fetchone() == (0,)
