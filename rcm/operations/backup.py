"""A backup of one moment: the database, the stored files, the audit log's anchors, a manifest.

The moment is a snapshot of the database that the dump and the digests share, so that people may go
on working. The folder appears whole under its name or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from rcm.audit import chain
from rcm.operations import digests, manifest
from rcm.operations.manifest import DUMP, Manifest, Piece
from rcm.operations.places import Place, Refusal

# folder in the backup → setting that names where the files lie
FILES = {"media": "MEDIA_ROOT", "anchors": "AUDIT_ANCHORS"}


@dataclass(frozen=True, slots=True)
class Moment:
    """The snapshot that everything is read in, and what stood there."""

    snapshot: str
    server: str
    migrations: list[str]
    heads: list[chain.Anchor]


def make(folder: Path, place: Place, *, at: datetime | None = None) -> Manifest:
    """Write a backup to a folder that does not exist yet. Raises Refusal with the sentence to act
    on; then nothing is left.
    """
    at = at or timezone.now()
    if folder.exists():
        raise Refusal(f"{folder} exists already: a backup is written to a folder of its own.")
    place.require_all_rows()
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    before = os.umask(0o077)
    try:
        draft.mkdir(parents=True)
        found = _write(draft, place, at)
        manifest.write(draft, found)
        _flush(draft)
        draft.rename(folder)
    except OSError as problem:
        raise Refusal(f"The backup could not be written: {problem.strerror}.") from problem
    finally:
        os.umask(before)
        shutil.rmtree(draft, ignore_errors=True)
    return found


def _write(draft: Path, place: Place, at: datetime) -> Manifest:
    with place.cursor(autocommit=False) as cursor:
        moment = _moment(cursor, at)
        place.run(
            "pg_dump",
            [
                "--format=custom",
                "--compress=gzip:3",
                f"--snapshot={moment.snapshot}",
                "--lock-wait-timeout=60s",
                f"--file={draft / DUMP}",
            ],
        )
        kept = digests.of_database(cursor)
    pieces = [manifest.piece_of(draft, DUMP)]
    for name, setting in FILES.items():
        pieces += _copy(Path(getattr(settings, setting)), draft, name)
    return Manifest(
        made_at=at.isoformat(),
        server=moment.server,
        migrations=moment.migrations,
        tables=kept,
        heads=moment.heads,
        public_key=chain.public_key(),
        field_keys=[manifest.fingerprint(key) for key in settings.FIELD_KEYS],
        secret_key=manifest.fingerprint(settings.SECRET_KEY),
        pieces=pieces,
    )


def _moment(cursor: Any, at: datetime) -> Moment:
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    cursor.execute("SELECT pg_export_snapshot(), current_setting('server_version')")
    snapshot, server = cursor.fetchone()
    cursor.execute("SELECT app || '.' || name FROM django_migrations ORDER BY 1")
    migrations = [name for (name,) in cursor.fetchall()]
    cursor.execute(chain.HEADS)
    return Moment(snapshot, server, migrations, chain.signed(cursor.fetchall(), at))


def _copy(source: Path, draft: Path, name: str) -> Iterator[Piece]:
    """Copy every file below a folder; links lead out of it and are left."""
    if not source.is_dir():
        return
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        inside = f"{name}/{path.relative_to(source)}"
        target = draft / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        yield manifest.piece_of(draft, inside)


def _flush(draft: Path) -> None:
    """On the disk before it has its name: a backup that a power cut empties is none."""
    for path in draft.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
