"""A backup that was really restored: the same rows, proved; and every way in which a copy can be
spoiled is told in a sentence before the database is touched.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import threading
from dataclasses import asdict
from decimal import Decimal
from io import StringIO
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from psycopg2 import sql

from rcm.accounts.scope import scope
from rcm.audit import chain
from rcm.exchange import hold
from rcm.exchange.models import Connection, ConnectionKind, Interchange
from rcm.exchange.services import send, store_outbound, work
from rcm.ledger.services import Leg, Posting, post
from rcm.operations import backup, manifest, places, restore
from rcm.operations.models import Backup
from rcm.operations.places import Place, Refusal
from tests import databases
from tests.conftest import make_cast
from tests.security.world import DAY, World

pytestmark = pytest.mark.django_db(transaction=True)
EMPTY = "test_restored"


def place(name: str = "") -> Place:
    url = databases.superuser_url()
    assert url, "backups need the embedded server's superuser"
    return Place(databases.in_database(url, name or connection.settings_dict["NAME"]))


@pytest.fixture
def files(tmp_path: Path, settings) -> Path:
    """Stored files and anchors of this test's own."""
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.AUDIT_ANCHORS = str(tmp_path / "anchors")
    (tmp_path / "media" / "notes").mkdir(parents=True)
    (tmp_path / "media" / "notes" / "signed.pdf").write_bytes(b"%PDF signed")
    return tmp_path


@pytest.fixture
def house(transactional_db, files: Path):
    """Both organizations with a row in every table, the log sealed and anchored.

    How much of it is sealed depends on who else works on the server meanwhile.
    """
    cast = make_cast()
    World(cast.a, cast.north, cast.user("ana"), "CANA").build()
    World(cast.b, cast.b_site, cast.user("olga"), "CANB").build()
    chain.seal()
    chain.anchor()
    (files / "anchors").mkdir(exist_ok=True)
    (files / "anchors" / "public-key.txt").write_text(chain.public_key())
    return cast


@pytest.fixture
def empty():
    """An empty database beside the suite's, gone afterwards."""
    name = f"{EMPTY}_{os.getpid()}"
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with databases.connected(databases.owner_url()) as cursor:
        cursor.execute(drop)
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield place(name)
    # as superuser: what tidies a database by itself is not the owner's to end
    with databases.connected(place("postgres").url) as cursor:
        cursor.execute(drop)


def tables_of(at: Place) -> int:
    with at.cursor() as cursor:
        cursor.execute(restore.OBJECTS)
        return cursor.fetchone()[0]


def moved(files: Path, settings) -> Path:
    """As on another machine: neither stored files nor anchors are there."""
    settings.MEDIA_ROOT = files / "new" / "media"
    settings.AUDIT_ANCHORS = str(files / "new" / "anchors")
    return files / "new"


def test_what_comes_back_is_what_was_there_and_is_proved(house, files, empty, settings) -> None:
    sealed = chain.verify().rows
    made = backup.make(files / "kept", place())
    assert made.ledger_rows > 0
    assert {p.path.split("/")[0] for p in made.pieces} == {"database.dump", "media", "anchors"}
    assert stat.S_IMODE((files / "kept").stat().st_mode) == 0o700
    # whoever has no product at hand can check it
    checked = subprocess.run(
        ["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=files / "kept", check=False
    )
    assert checked.returncode == 0
    # what happens after the moment is not in it
    with scope(house.system):
        Connection.objects.create(organization=house.a, kind="http", name="Later")

    new = moved(files, settings)
    said: list[str] = []
    done = restore.restore(files / "kept", empty, tell=said.append)
    assert done.migrated == []
    assert (done.breaks, done.newer_anchors) == ([], 0)
    assert done.audit_rows == sealed
    assert (new / "media" / "notes" / "signed.pdf").read_bytes() == b"%PDF signed"
    assert (new / "anchors" / "public-key.txt").is_file()
    with empty.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM exchange_connection WHERE name = 'Later'")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM intake_patient")
        assert cursor.fetchone()[0] > 0
        cursor.execute("SELECT datconnlimit FROM pg_database WHERE datname = current_database()")
        assert cursor.fetchone() == (-1,)
    # under the product's own role the walls stand as before
    with empty.lent_to_django(places.roles()[1]):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM intake_patient")
            assert cursor.fetchone() == (0,)
        assert str(hold.held()).startswith("Restored from the backup of")


def test_a_proof_that_was_broken_before_is_told_and_ends_with_one(
    house, files, empty, settings, monkeypatch
) -> None:
    """The invented world breaks promises of the product; the restore says so by its exit."""
    call_command("backup", str(files / "kept"), stdout=StringIO())
    assert Backup.objects.get().rows > 1000
    moved(files, settings)
    monkeypatch.setattr(
        "rcm.operations.management.commands.restore.place_of_settings", lambda: empty
    )
    out = StringIO()
    with pytest.raises(CommandError, match="a proof is broken"):
        call_command("restore", str(files / "kept"), stdout=out)
    assert "rows of the ledger as in the backup" in out.getvalue()
    assert "Nothing is sent or fetched until" in out.getvalue()


def test_a_backup_of_a_busy_office_is_one_moment(house, files, empty, settings) -> None:
    """Somebody posts all the time: the backup has whole transactions of its moment and no half."""
    stop, posted = threading.Event(), []

    def post_on() -> None:
        try:
            while not stop.is_set():
                with scope(house.system):
                    post(
                        [
                            Posting(
                                organization_id=house.a.pk,
                                kind="payment",
                                effect_key=f"busy:{len(posted)}",
                                effective_on=DAY,
                                description="Busy",
                                legs=[Leg("cash", Decimal(7)), Leg("unapplied", Decimal(-7))],
                            )
                        ],
                        actor=house.system,
                    )
                posted.append(1)
        finally:
            connection.close()

    office = threading.Thread(target=post_on)
    office.start()
    try:
        while len(posted) < 5:
            stop.wait(0.05)
        before = len(posted)
        backup.make(files / "kept", place())
        after = len(posted)
    finally:
        stop.set()
        office.join()
    assert after > before, "the office worked on while the backup was made"
    moved(files, settings)
    restore.restore(files / "kept", empty)
    with empty.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT t.id), count(e.id), sum(e.amount) FROM ledger_ledgertransaction"
            " t JOIN ledger_ledgerentry e ON e.transaction_id = t.id WHERE t.effect_key LIKE 'busy:%'"
        )
        transactions, legs, total = cursor.fetchone()
    assert before <= transactions <= after
    assert (legs, total) == (2 * transactions, 0)


def test_a_restore_never_overwrites(house, files) -> None:
    backup.make(files / "kept", place())
    with pytest.raises(Refusal, match="is not empty: it has"):
        restore.restore(files / "kept", place())
    with pytest.raises(Refusal, match="exists already"):
        backup.make(files / "kept", place())


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


SPOILT = {
    "a flipped byte": (lambda f: flip(f / "database.dump"), "SHA-256 differs"),
    "a truncated dump": (lambda f: cut(f / "database.dump"), "the copy is incomplete"),
    "a stored file is gone": (lambda f: (f / "media/notes/signed.pdf").unlink(), "is missing"),
    "another manifest": (lambda f: flip(f / "manifest.json"), "manifest.json is not the file"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "is no backup"),
}


def test_a_spoilt_copy_is_refused_before_anything_is_touched(house, files, empty) -> None:
    backup.make(files / "kept", place())
    for what, (spoil, sentence) in SPOILT.items():
        shutil.copytree(files / "kept", files / "copy")
        spoil(files / "copy")
        with pytest.raises(Refusal, match=sentence):
            restore.restore(files / "copy", empty)
        assert tables_of(empty) == 0, what
        shutil.rmtree(files / "copy")


def forge(folder: Path, **changes: object) -> None:
    """Change the manifest as somebody would who also mends the sums."""
    kept = json.loads((folder / "manifest.json").read_text()) | changes
    (folder / "manifest.json").write_text(json.dumps(kept))
    manifest.write(folder, manifest.Manifest.of_text(json.dumps(kept)))


def test_a_dump_that_is_cut_inside_leaves_the_database_empty(house, files, empty) -> None:
    """Even with sums that fit, nothing of it stays: the rows come in one transaction."""
    folder = files / "kept"
    made = backup.make(folder, place())
    cut(folder / "database.dump")
    piece = manifest.piece_of(folder, "database.dump")
    pieces = [asdict(piece)]
    pieces += [asdict(p) for p in made.pieces if p.path != "database.dump"]
    forge(folder, pieces=pieces)
    with pytest.raises(Refusal, match="pg_restore ended with"):
        restore.restore(folder, empty)
    assert tables_of(empty) == 0


def test_rows_that_are_not_the_backups_stay_shut(house, files, empty, settings) -> None:
    folder = files / "kept"
    made = backup.make(folder, place())
    tables = {name: asdict(t) for name, t in made.tables.items()}
    tables["ledger_ledgerentry"]["rows"] += 1
    forge(folder, tables=tables)
    moved(files, settings)
    with pytest.raises(Refusal, match=r"ledger_ledgerentry has .* rows, the backup"):
        restore.restore(folder, empty)
    app = databases.in_database(
        databases.embedded.endpoints(databases.ROOT).database_url, empty.name
    )
    with pytest.raises(psycopg2.OperationalError, match="too many connections"):
        psycopg2.connect(app)


def test_the_wrong_keys_a_newer_release_and_the_wrong_role_are_refused(
    house, files, empty, settings, monkeypatch
) -> None:
    made = backup.make(files / "kept", place())
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(Refusal, match="Key 1 of the backup's ISOCENTER_FIELD_KEYS"):
        restore.restore(files / "kept", empty)
    assert restore.check(files / "kept", keys_lost=True).made_at == made.made_at
    forge(files / "kept", migrations=[*made.migrations, "ledger.9999_later"])
    with pytest.raises(Refusal, match=r"it has ledger\.9999_later"):
        restore.check(files / "kept", keys_lost=True)
    name = connection.settings_dict["NAME"]
    monkeypatch.setenv("DATABASE_SUPERUSER_URL", databases.in_database(databases.owner_url(), name))
    with pytest.raises(CommandError, match="is bound by row-level security"):
        call_command("backup", str(files / "second"))
    assert not (files / "second").exists()
    assert not list(files.glob(".second*"))


def test_keys_are_not_in_a_backup(house, files, settings) -> None:
    backup.make(files / "kept", place())
    text = (files / "kept" / "manifest.json").read_text()
    for secret in (settings.SECRET_KEY, *settings.FIELD_KEYS, settings.AUDIT_KEY):
        assert secret not in text


def test_nothing_leaves_until_a_person_lets_it_go(cast_committed, monkeypatch) -> None:
    cast = cast_committed
    called: list[int] = []
    monkeypatch.setattr(
        "rcm.exchange.transport.post", lambda row: called.append(row.pk) or _accepted()
    )
    with scope(cast.system):
        line = Connection.objects.create(
            organization=cast.a, kind=ConnectionKind.HTTP, name="House", url="https://x.example/"
        )
        row, known = (
            store_outbound(
                organization_id=cast.a.pk,
                kind="837P",
                content=f"ISA{n}".encode(),
                connection=line,
                control_number=n,
                actor=cast.system,
            )
            for n in ("101", "102")
        )
    hold.put(reason="Restored")
    assert send(row, actor=cast.system) is None
    assert work(cast.a.pk, row.queue) == 0
    out = StringIO()
    call_command("release", "--check", stdout=out)
    assert "Waiting to be sent: 2." in out.getvalue()
    assert f"{known.public_id}  837P  102  CANA to House" in out.getvalue()
    with pytest.raises(CommandError, match="does not wait to be sent"):
        call_command("release", "--sent", str(uuid4()), stdout=out)
    call_command("release", "--check", "--sent", str(known.public_id), stdout=out)
    with scope(cast.system):
        assert Interchange.objects.get(pk=known.pk).status == "sent"
    with pytest.raises(CommandError, match="Say who"):
        call_command("release", stdout=out)
    assert called == []
    call_command("release", "--by", "Adam Admin", "--reason", "Compared with the house", stdout=out)
    work(cast.a.pk, row.queue)
    assert called == [row.pk]
    with scope(cast.system):
        assert Interchange.objects.get(pk=row.pk).status == "sent"
    with pytest.raises(CommandError, match="Nothing is held"):
        call_command("release", "--by", "Adam Admin", "--reason", "Again", stdout=out)


def _accepted():
    from rcm.exchange.transport import Outcome

    return Outcome(accepted=True, status=200)
