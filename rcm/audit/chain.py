"""The chain over the log: seal it, anchor its heads outside the database, and verify all of it.

A seal is a link of one organization's chain (`Seal`). Sealing runs behind the work, so that no
posting waits for it. An anchor is a signed line about the head of each chain, kept where whoever
rules the database cannot reach it: a chain that is shorter than its anchor, or that says another
thing, was cut or replaced. Ed25519: anybody who has the public key can check, nobody else can sign.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.core.mail import send_mail
from django.db import connection
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.audit import database

SHOWN = 20
"""Broken rows named for each kind of fault and table."""


@dataclass(frozen=True, slots=True)
class Break:
    """One place where the log is not what was sealed. `seal` is 0 where no single link is meant."""

    organization: str
    table: str
    seal: int
    row: int | None
    words: str

    def __str__(self) -> str:
        where = [self.organization or "database"]
        if self.seal:
            where.append(f"link {self.seal}")
        if self.table:
            where.append(f"{self.table}{f' row {self.row}' if self.row is not None else ''}")
        return f"{', '.join(where)}: {self.words}"


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head of one organization's chain at a moment, signed."""

    organization: str
    number: int
    digest: str
    at: str
    signature: str = ""

    def message(self) -> bytes:
        kept = {k: v for k, v in asdict(self).items() if k != "signature"}
        return json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification looked at, and what it found, the first broken link first."""

    rows: int
    seals: int
    anchors: int
    breaks: tuple[Break, ...]


# --- keys -----------------------------------------------------------------------------------------


def signing_key() -> Ed25519PrivateKey:
    """From ISOCENTER_AUDIT_KEY, or derived from the secret key where none is set."""
    seed = HKDF(algorithm=SHA256(), length=32, salt=b"isocenter", info=b"audit anchor").derive(
        settings.AUDIT_KEY.encode()
    )
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_key() -> str:
    raw = signing_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.urlsafe_b64encode(raw).decode()


# --- sealing --------------------------------------------------------------------------------------


def everywhere() -> Actor:
    return Actor.system("audit", Organization.objects.values_list("pk", flat=True))


def seal() -> int:
    """Seal what is settled. Returns the number of rows sealed. Rows of transactions that still run
    are left for the next time.
    """
    with scope(everywhere()), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '30min'")
        cursor.execute("SELECT isocenter_seal()")
        return int(cursor.fetchone()[0])


HEADS = """
SELECT DISTINCT ON (o.code) o.code, s.number, encode(s.digest, 'hex') FROM audit_seal s
  JOIN accounts_organization o ON o.id = s.organization_id ORDER BY o.code, s.number DESC
"""


def heads() -> list[Anchor]:
    """The last link of each chain, signed now."""
    with scope(everywhere()), connection.cursor() as cursor:
        cursor.execute(HEADS)
        rows = cursor.fetchall()
    return signed(rows, timezone.now())


def signed(rows: Iterable[tuple[str, int, str]], at: datetime) -> list[Anchor]:
    """Signed anchors of (organization, number of its last link, its digest)."""
    key, moment = signing_key(), at.isoformat()
    plain = [Anchor(code, number, digest, moment) for code, number, digest in rows]
    return [
        replace(a, signature=base64.urlsafe_b64encode(key.sign(a.message())).decode())
        for a in plain
    ]


def anchor() -> list[Anchor]:
    """Write the heads to the anchor folder, and mail them where an address is set."""
    found = heads()
    if not found:
        return []
    lines = "".join(f"{json.dumps(asdict(a), sort_keys=True)}\n" for a in found)
    folder = Path(settings.AUDIT_ANCHORS)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "public-key.txt").write_text(f"{public_key()}\n")
    path = folder / f"{timezone.now():%Y-%m-%d}.jsonl"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(handle, lines.encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    if settings.AUDIT_ANCHOR_MAIL:
        send_mail("Anchors of the audit log", lines, None, [settings.AUDIT_ANCHOR_MAIL])
    return found


def anchors_in(folder: Path) -> list[Anchor]:
    """Every anchor of a folder, as written."""
    return [
        Anchor(**json.loads(line))
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_text().splitlines()
        if line.strip()
    ]


# --- verifying ------------------------------------------------------------------------------------

# as the sealing function sets them: the text of a row must not depend on who looks
_SETTINGS = (
    "SELECT set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO, YMD', true),"
    " set_config('bytea_output', 'hex', true), set_config('statement_timeout', '6h', true),"
    # every row is read once: the planner cannot know how many ids a seal holds
    " set_config('enable_nestloop', 'off', true), set_config('work_mem', '128MB', true)"
)

_LINKS = """
SELECT s.number, s.table_name,
       s.number <> row_number() OVER w AS gap,
       s.previous <> coalesce(lag(s.digest) OVER w, ''::bytea) AS unlinked,
       s.digest <> isocenter_link(s.organization_id, s.number, s.previous, s.table_name, s.shape,
                                  s.from_tx, s.upto_tx, s.ids, s.digests, s.created_at) AS changed
  FROM audit_seal s WHERE s.organization_id = %s WINDOW w AS (ORDER BY s.number)
"""

_ROWS = """
WITH sealed AS MATERIALIZED (
  SELECT s.number, u.sealed_id, u.ord FROM audit_seal s CROSS JOIN LATERAL unnest(s.ids) WITH ORDINALITY u(sealed_id, ord)
   WHERE s.organization_id = %(org)s AND s.table_name = %(table)s AND s.shape = %(shape)s),
found AS (
  SELECT sealed.number, string_agg(sha256(convert_to(ROW({columns})::text, 'UTF8')), ''::bytea ORDER BY sealed.ord) AS digests
    FROM sealed JOIN {table} ON {table}.id = sealed.sealed_id AND {table}.organization_id = %(org)s GROUP BY 1)
SELECT s.number FROM audit_seal s LEFT JOIN found ON found.number = s.number
 WHERE s.organization_id = %(org)s AND s.table_name = %(table)s AND s.shape = %(shape)s
   AND found.digests IS DISTINCT FROM s.digests ORDER BY s.number
"""

_ROW = """
SELECT u.sealed_id, {table}.id IS NULL, {table}.organization_id
  FROM audit_seal s
  CROSS JOIN LATERAL unnest(s.ids) WITH ORDINALITY u(sealed_id, ord)
  LEFT JOIN {table} ON {table}.id = u.sealed_id
 WHERE s.organization_id = %s AND s.number = %s
   AND ({table}.id IS NULL OR {table}.organization_id <> s.organization_id
        OR sha256(convert_to(ROW({columns})::text, 'UTF8')) <> substr(s.digests, (u.ord * 32 - 31)::integer, 32))
 ORDER BY u.ord LIMIT %s
"""

_COUNTS = """
SELECT (SELECT count(*) FROM {table} WHERE organization_id = %(org)s AND tx < %(upto)s),
       (SELECT coalesce(sum(count), 0) FROM audit_seal WHERE organization_id = %(org)s AND table_name = %(table)s)
"""

_UNSEALED = """
SELECT t.id FROM {table} t WHERE t.organization_id = %(org)s AND t.tx < %(upto)s
   AND NOT EXISTS (SELECT 1 FROM (SELECT unnest(ids) AS id FROM audit_seal
                                   WHERE organization_id = %(org)s AND table_name = %(table)s) known
                    WHERE known.id = t.id)
 ORDER BY t.id LIMIT %(most)s
"""


def verify(
    *, organizations: Iterable[str] = (), anchors: Iterable[Anchor] = (), key: str = ""
) -> Verdict:
    """Recompute everything: the database's own guards, each chain, each sealed row, what lies
    between the sealed rows, and the anchors. `key` is the public key of the anchors; the product's
    own when empty.
    """
    chosen = set(organizations)
    known = list(anchors)
    found: list[Break] = []
    rows = seals = 0
    with scope(everywhere()), connection.cursor() as cursor:
        cursor.execute(_SETTINGS)
        found += _guards(cursor)
        for organization in Organization.objects.order_by("code"):
            if chosen and organization.code not in chosen:
                continue
            cursor.execute(
                "SELECT count(*), coalesce(sum(count), 0) FROM audit_seal WHERE organization_id"
                " = %s",
                [organization.pk],
            )
            links, sealed = cursor.fetchone()
            rows, seals = rows + int(sealed), seals + int(links)
            of_it = _chain(cursor, organization)
            of_it += _anchored(cursor, organization, known, key or public_key())
            for table in database.SEALED_TABLES:
                of_it += _rows(cursor, organization, table)
                of_it += _between(cursor, organization, table)
            found += sorted(of_it, key=lambda b: (b.seal or 1 << 60, b.table))
    return Verdict(rows, seals, len(known), tuple(found))


def _chain(cursor: Any, organization: Organization) -> list[Break]:
    cursor.execute(
        f"SELECT * FROM ({_LINKS}) links WHERE gap OR unlinked OR changed ORDER BY number LIMIT %s",  # noqa: S608
        [organization.pk, SHOWN],
    )
    out = []
    for number, table, gap, unlinked, changed in cursor.fetchall():
        words = "was changed after it was sealed" if changed else "does not follow the link before"
        if gap and not changed:
            words = "a link before it is missing"
        if gap or unlinked or changed:
            out.append(Break(organization.code, table, number, None, words))
    return out


def _rows(cursor: Any, organization: Organization, table: str) -> list[Break]:
    """Rows that are gone, changed, or stand in another organization."""
    cursor.execute(
        "SELECT DISTINCT shape FROM audit_seal WHERE organization_id = %s AND table_name = %s",
        [organization.pk, table],
    )
    broken: list[tuple[int, str]] = []
    for (shape,) in cursor.fetchall():
        columns = _columns(cursor, table, shape)
        if columns is None:
            return [
                Break(organization.code, table, 0, None, "columns that were sealed are not there")
            ]
        asked = {"org": organization.pk, "table": table, "shape": shape}
        cursor.execute(_ROWS.format(table=table, columns=columns), asked)
        broken += [(number, columns) for (number,) in cursor.fetchall()]
    out: list[Break] = []
    for number, columns in sorted(broken)[:SHOWN]:
        cursor.execute(_ROW.format(table=table, columns=columns), [organization.pk, number, SHOWN])
        for row, gone, owner in cursor.fetchall():
            words = "was changed after it was sealed"
            if gone:
                words = "is gone"
            elif owner != organization.pk:
                words = "was moved to another organization"
            out.append(Break(organization.code, table, number, row, words))
    return out


def _columns(cursor: Any, table: str, shape: str) -> str | None:
    """The sealed columns, each with its table. None when one of them does not exist any more."""
    cursor.execute(
        "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum"
        " > 0 AND NOT attisdropped",
        [table],
    )
    there = {name for (name,) in cursor.fetchall()}
    wanted = shape.split(", ")
    return ", ".join(f"{table}.{name}" for name in wanted) if set(wanted) <= there else None


def _between(cursor: Any, organization: Organization, table: str) -> Iterator[Break]:
    """Rows that no seal knows although their time was sealed: put in afterwards."""
    cursor.execute(
        "SELECT coalesce(max(upto_tx), -1) FROM audit_seal WHERE table_name = %s", [table]
    )
    asked = {"org": organization.pk, "table": table, "upto": cursor.fetchone()[0], "most": SHOWN}
    cursor.execute(_COUNTS.format(table=table), asked)
    there, sealed = cursor.fetchone()
    if there == sealed:
        return
    cursor.execute(_UNSEALED.format(table=table), asked)
    for (row,) in cursor.fetchall():
        words = "was put in where all was sealed already"
        yield Break(organization.code, table, 0, row, words)


def _anchored(
    cursor: Any, organization: Organization, anchors: Iterable[Anchor], key: str
) -> Iterator[Break]:
    """Each anchor against the chain: signed by us, and still true."""
    judge = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key))
    mine = [a for a in anchors if a.organization == organization.code]
    cursor.execute(
        "SELECT number, encode(digest, 'hex') FROM audit_seal WHERE organization_id = %s AND"
        " number = ANY(%s)",
        [organization.pk, [a.number for a in mine]],
    )
    links = dict(cursor.fetchall())
    for a in sorted(mine, key=lambda a: a.number):
        try:
            judge.verify(base64.urlsafe_b64decode(a.signature), a.message())
        except (InvalidSignature, ValueError):
            yield Break(a.organization, "", a.number, None, "an anchor has a false signature")
            continue
        if a.number not in links:
            words = f"the chain ends before its anchor of {_day(a.at)}: cut, or an older copy"
            yield Break(a.organization, "", a.number, None, words)
        elif links[a.number] != a.digest:
            words = f"is not the link that was anchored on {_day(a.at)}"
            yield Break(a.organization, "", a.number, None, words)


def _day(at: str) -> str:
    return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M}"


# --- the database's own guards --------------------------------------------------------------------


def _guards(cursor: Any) -> Iterator[Break]:
    """Triggers that sleep or are gone, functions that were replaced, rights that were given."""
    from rcm.accounts import database as house

    cursor.execute(
        "SELECT c.relname, t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid ="
        " t.tgrelid WHERE NOT t.tgisinternal"
    )
    enabled = {(table, name): state for table, name, state in cursor.fetchall()}
    for table, name in house.expected_triggers() | database.expected_triggers():
        state = enabled.get((table, name))
        if state is None:
            yield Break("", table, 0, None, f"its trigger “{name}” is gone")
        elif state == "D" or state == "R":
            yield Break("", table, 0, None, f"its trigger “{name}” is switched off")
    cursor.execute("SELECT proname, prosrc FROM pg_proc WHERE proname LIKE 'isocenter_%%'")
    bodies = {name: body.strip() for name, body in cursor.fetchall()}
    for name, body in (house.function_bodies() | database.function_bodies()).items():
        if bodies.get(name) != body.strip():
            yield Break("", "", 0, None, f"the function {name} is not the one of this release")
    for table in (*database.SEALED_TABLES, "audit_seal"):
        cursor.execute(
            "SELECT has_table_privilege(%(role)s, %(table)s, 'UPDATE') OR"
            " has_table_privilege(%(role)s, %(table)s, 'DELETE') OR"
            " has_table_privilege(%(role)s, %(table)s, 'TRUNCATE')",
            {"role": settings.DATABASE_APP_ROLE, "table": table},
        )
        if cursor.fetchone()[0]:
            yield Break("", table, 0, None, "the application may change or delete its rows")
