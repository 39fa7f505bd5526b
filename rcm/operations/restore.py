"""A backup back into an empty database, proved before anybody may come in.

Nobody but a superuser can connect until every table's digest is the backup's and nothing can leave
(`rcm.exchange.hold`). The rows arrive in one transaction: a restore that fails leaves the database
as empty as it was.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone
from psycopg2 import sql

from rcm.audit import chain
from rcm.exchange import hold
from rcm.operations import digests, manifest
from rcm.operations.backup import FILES
from rcm.operations.manifest import DUMP, Manifest
from rcm.operations.places import Place, Refusal, roles

Tell = Callable[[str], None]

OBJECTS = """
SELECT count(*) FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
"""
OTHERS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@dataclass(slots=True)
class Outcome:
    """What a restore did, and what the proofs of the restored database say."""

    manifest: Manifest
    migrated: list[str] = field(default_factory=list)
    proofs: int = 0
    breaches: int = 0
    audit_rows: int = 0
    breaks: list[str] = field(default_factory=list)
    newer_anchors: int = 0

    @property
    def whole(self) -> bool:
        return not self.breaches and not self.breaks


def check(folder: Path, *, keys_lost: bool = False) -> Manifest:
    """The manifest of a backup that this release and these keys can restore; a refusal else."""
    found = manifest.read(folder)
    known = {".".join(key) for key in MigrationLoader(None).disk_migrations}
    strange = [name for name in found.migrations if name.split(".")[0] in _our_apps(known)]
    strange = sorted(set(strange) - known)
    if strange:
        raise Refusal(
            f"The backup is of a newer release: it has {strange[0]}, which this one does not know."
            " Install the release that made it, or a later one."
        )
    lost = manifest.missing_keys(found, settings.FIELD_KEYS)
    if lost and not keys_lost:
        raise Refusal(
            f"Key {lost[0]} of the backup's ISOCENTER_FIELD_KEYS is not among this installation's:"
            " what is encrypted with it (second factors, partners' secrets) could not be opened."
            " Set the keys of the backup, or give --keys-lost and set those up anew."
        )
    return found


def _our_apps(known: set[str]) -> set[str]:
    return {name.split(".")[0] for name in known}


def restore(
    folder: Path,
    place: Place,
    *,
    keys_lost: bool = False,
    tell: Tell = lambda words: None,
    at: datetime | None = None,
) -> Outcome:
    """Restore a backup into the empty database of a place. Raises Refusal with the sentence to act
    on; what cannot be proved equal stays shut.
    """
    at = at or timezone.now()
    found = check(folder, keys_lost=keys_lost)
    tell(f"The backup of {found.made_at} is whole: {len(found.pieces)} files.")
    place.require_all_rows()
    _require_empty(place, found)
    _require_free(folder, found)
    out = Outcome(found)
    with shut(place):
        place.run(
            "pg_restore",
            [
                "--single-transaction",
                "--exit-on-error",
                f"--dbname={place.name}",
                str(folder / DUMP),
            ],
        )
        tell("The rows are there. They are compared with the backup.")
        _require_equal(place, found)
        tell(f"{len(found.tables)} tables have the backup's digests.")
        owner, app = roles()
        with place.lent_to_django(owner):
            out.migrated = _migrate(found)
        with place.lent_to_django(app):
            hold.put(reason=f"Restored from the backup of {found.made_at[:16]}", at=at)
    out.newer_anchors = _put_files(folder, found)
    tell("The proofs are computed.")
    with place.lent_to_django(app):
        _prove(out)
    return out


@contextlib.contextmanager
def shut(place: Place) -> Iterator[None]:
    """Only superusers may come in; everybody again when the block ended well."""
    name = sql.Identifier(place.name)
    with place.cursor() as cursor:
        cursor.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 0").format(name))
    yield
    with place.cursor() as cursor:
        cursor.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT -1").format(name))


def _require_empty(place: Place, found: Manifest) -> None:
    with place.cursor() as cursor:
        cursor.execute(OBJECTS)
        (there,) = cursor.fetchone()
        if there:
            raise Refusal(
                f"The database {place.name} is not empty: it has {there} tables and the like."
                " A restore never overwrites: make an empty one first (docs/runbook.md)."
            )
        cursor.execute(OTHERS)
        if cursor.fetchone()[0]:
            raise Refusal(
                f"Somebody is connected to {place.name}: stop the processes of the product first."
            )
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(roles())])
        missing = set(roles()) - {name for (name,) in cursor.fetchall()}
        if missing:
            raise Refusal(
                f"The server has no role {sorted(missing)[0]}: run `python -m rcm.embedded"
                " prepare-database` first."
            )
        cursor.execute("SHOW server_version")
        mine = cursor.fetchone()[0]
    if int(mine.split(".")[0]) < int(found.server.split(".")[0]):
        raise Refusal(
            f"The backup is of PostgreSQL {found.server}, this server is {mine}: an older one"
            " cannot read it."
        )


def _folders() -> dict[str, Path]:
    return {name: Path(getattr(settings, setting)) for name, setting in FILES.items()}


def _require_free(folder: Path, found: Manifest) -> None:
    """Stored files are never overwritten: what is there already must be the same."""
    for piece in found.pieces:
        name, _, inside = piece.path.partition("/")
        if name != "media":
            continue
        path = _folders()[name] / inside
        if path.exists() and manifest.sha256_of(path) != piece.sha256:
            raise Refusal(f"{path} is there with other contents: empty MEDIA_ROOT first.")


def _require_equal(place: Place, found: Manifest) -> None:
    with place.cursor(autocommit=False) as cursor:
        kept = digests.of_database(cursor)
        cursor.execute(chain.HEADS)
        heads = cursor.fetchall()
    wrong = digests.differences(found.tables, kept)
    if heads != [(a.organization, a.number, a.digest) for a in found.heads]:
        wrong.append("the audit log ends at another link")
    if wrong:
        raise Refusal(
            f"The restored database is not the backup's: {'; '.join(wrong[:5])}. It stays shut;"
            " drop it."
        )
    with place.cursor() as cursor:
        cursor.execute("ANALYZE")


def _migrate(found: Manifest) -> list[str]:
    """Bring an older backup to this release; the names of what was applied. Also lets the numbers
    of the audit log go on above the last seal.
    """
    call_command("migrate", interactive=False, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT app || '.' || name FROM django_migrations ORDER BY id")
        now = [name for (name,) in cursor.fetchall()]
    return [name for name in now if name not in set(found.migrations)]


def _put_files(folder: Path, found: Manifest) -> int:
    """Copy the stored files back. Anchors only into a folder that has none: those that are there
    know more than the backup. Returns how many of them are newer.
    """
    places = _folders()
    anchors = places["anchors"]
    has_anchors = anchors.is_dir() and any(anchors.iterdir())
    for piece in found.pieces:
        name, _, inside = piece.path.partition("/")
        if name not in places or (name == "anchors" and has_anchors):
            continue
        target = places[name] / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / piece.path, target)
    ends = {a.organization: a.number for a in found.heads}
    return sum(a.number > ends.get(a.organization, 0) for a in chain.anchors_in(anchors))


def _prove(out: Outcome) -> None:
    """The house's own proofs on the restored rows: the invariants, and the audit log's chain with
    the heads that the backup signed.
    """
    # the checks name tables of every phase: composition, above this room
    proofs = import_module("rcm.prove").prove()
    out.proofs, out.breaches = len(proofs), sum(p.total for p in proofs)
    verdict = chain.verify(anchors=out.manifest.heads, key=out.manifest.public_key)
    out.audit_rows, out.breaks = verdict.rows, [str(b) for b in verdict.breaks]
