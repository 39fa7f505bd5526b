"""The manifest of a backup: what it holds, of which moment and release, and which keys open it.

Keys are never in a backup: each is named by a fingerprint, from which nothing of it can be told.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rcm.audit.chain import Anchor
from rcm.operations.digests import Table
from rcm.operations.places import Refusal

FORMAT = 1
MANIFEST, SUMS, DUMP = "manifest.json", "SHA256SUMS", "database.dump"
CHUNK = 1 << 20
LEDGER = "ledger_"


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a backup, by its path in it."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that a restore compares with."""

    made_at: str
    server: str
    migrations: list[str]
    tables: dict[str, Table]
    heads: list[Anchor]
    public_key: str
    field_keys: list[str]
    secret_key: str
    pieces: list[Piece]
    format: int = FORMAT

    @property
    def ledger_rows(self) -> int:
        return sum(t.rows for name, t in self.tables.items() if name.startswith(LEDGER))

    def as_text(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def of_text(cls, text: str) -> Manifest:
        raw: dict[str, Any] = json.loads(text)
        if raw.get("format") != FORMAT:
            raise Refusal(f"This backup has the format {raw.get('format')}; known is {FORMAT}.")
        raw["tables"] = {name: Table(**t) for name, t in raw["tables"].items()}
        raw["heads"] = [Anchor(**a) for a in raw["heads"]]
        raw["pieces"] = [Piece(**p) for p in raw["pieces"]]
        return cls(**raw)


def fingerprint(key: str) -> str:
    return hmac.new(key.encode(), b"isocenter backup", hashlib.sha256).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def piece_of(folder: Path, path: str) -> Piece:
    whole = folder / path
    return Piece(path, whole.stat().st_size, sha256_of(whole))


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest and, for `sha256sum -c SHA256SUMS`, the sums of all that is there."""
    (folder / MANIFEST).write_text(manifest.as_text())
    pieces = [*manifest.pieces, piece_of(folder, MANIFEST)]
    (folder / SUMS).write_text("".join(f"{p.sha256}  {p.path}\n" for p in pieces))


def read(folder: Path) -> Manifest:
    """The manifest of a backup whose every piece is what was written; else a refusal that names
    the first that is not.
    """
    if not (folder / MANIFEST).is_file() or not (folder / SUMS).is_file():
        raise Refusal(f"{folder} is no backup: {MANIFEST} and {SUMS} are not there.")
    sums: dict[str, str] = {}
    for line in (folder / SUMS).read_text().splitlines():
        digest, _, path = line.partition("  ")
        sums[path] = digest
    if sha256_of(folder / MANIFEST) != sums.get(MANIFEST):
        raise Refusal(f"{MANIFEST} is not the file that was written: its SHA-256 differs.")
    manifest = Manifest.of_text((folder / MANIFEST).read_text())
    for piece in manifest.pieces:
        _require_whole(folder, piece)
    return manifest


def _require_whole(folder: Path, piece: Piece) -> None:
    path = folder / piece.path
    if not path.is_file():
        raise Refusal(f"{piece.path} is missing in the backup.")
    size = path.stat().st_size
    if size != piece.size:
        raise Refusal(
            f"{piece.path} has {size:,} bytes, written were {piece.size:,}: the copy is incomplete"
            " or another file."
        )
    if sha256_of(path) != piece.sha256:
        raise Refusal(f"{piece.path} is not the file that was written: its SHA-256 differs.")


def missing_keys(manifest: Manifest, field_keys: Iterable[str]) -> list[int]:
    """The places, from 1, of the backup's field keys that are not among these."""
    known = {fingerprint(key) for key in field_keys}
    return [n for n, key in enumerate(manifest.field_keys, 1) if key not in known]
