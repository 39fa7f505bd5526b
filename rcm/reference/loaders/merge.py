# ruff: noqa: S608  table and column names come from the models themselves; every value travels by
# COPY or as a parameter
"""Putting the rows of one file into a dated table by a handful of statements (ARCHITECTURE: bulk is
the normal case).

COPY into a temporary table, then compare with what is in force: equal rows stay as they are, a
changed row closes the old one on the day before and opens a new one, a change from the same day
corrects that row, an end date closes. So loading a file twice changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, models

from rcm.accounts.tenancy import uuid7
from rcm.reference.loaders.kinds import Kind, Values

STARTER = "Isocenter starter set"
KEPT_BAD = 500
KEPT_CHANGES = 60


@dataclass(slots=True)
class Outcome:
    """What a load did, or would do. `changes` holds the first rows that differ, before and
    after.
    """

    read: int = 0
    added: int = 0
    changed: int = 0
    closed: int = 0
    unchanged: int = 0
    kept: int = 0
    bad_count: int = 0
    bad: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, line: int, sentence: str) -> None:
        """Keep a refused row: the first ones with their words, the rest counted."""
        self.bad_count += 1
        if len(self.bad) < KEPT_BAD:
            self.bad.append({"line": line, "sentence": sentence})


class _CopyStream:
    """A file-like object that COPY reads while rows are made, so that no file is held in memory."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._rest = ""

    def read(self, size: int = -1) -> str:
        parts = [self._rest]
        length = len(self._rest)
        while size < 0 or length < size:
            line = next(self._lines, None)
            if line is None:
                break
            parts.append(line)
            length += len(line)
        text = "".join(parts)
        if size < 0:
            self._rest = ""
            return text
        self._rest = text[size:]
        return text[:size]


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\x00": ""})


def _text(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, (dict, list)):
        value = json.dumps(value, sort_keys=True)
    return str(value).translate(_ESCAPES)


def plain(column: str) -> str:
    return column.strip('"')


class Merge:
    """One merge into one table. Runs inside the caller's transaction."""

    def __init__(
        self,
        kind: Kind,
        *,
        supplies: tuple[str, ...] | None,
        ends: bool,
        load_id: int | None,
        starter: bool,
    ) -> None:
        self.kind = kind
        self.ends = ends
        self.load_id = load_id
        self.starter = starter
        self.table = kind.model._meta.db_table
        fields = {f.name: f for f in kind.model._meta.local_fields if not f.primary_key}
        self._dates = ("effective_from", "effective_to") if kind.dated else ()
        skip = {*self._dates, "load", "public_id"}
        self.key = [self._column(fields[name]) for name in kind.key]
        named = [
            name
            for name in (fields if supplies is None else supplies)
            if name in fields and name not in kind.key and name not in skip
        ]
        self.fields = {self._column(fields[name]): name for name in (*kind.key, *named)}
        self.values = [self._column(fields[name]) for name in named]
        self.rest = {
            self._column(f): f
            for n, f in fields.items()
            if n not in skip and self._column(f) not in self.fields
        }
        self.public = "public_id" in fields
        self._nullable = {self._column(f) for f in fields.values() if f.null}

    @staticmethod
    def _column(f: models.Field[Any, Any]) -> str:
        return f'"{f.column}"'  # one official column name is a word of SQL

    # --- reading ----------------------------------------------------------------------------------

    def copy(self, rows: Iterable[tuple[int, Values]]) -> None:
        """Stream the rows into the temporary table `incoming`."""
        columns = [*self.key, *self.values, *self._dates]
        extra = ", public_id" if self.public else ""
        names = list(self.fields.values())

        def lines() -> Iterator[str]:
            for line, values in rows:
                cells = [values.get(name) for name in names]
                cells += [values.get(d) for d in self._dates]
                if self.public:
                    cells.append(uuid7())
                yield "\t".join([*map(_text, cells), str(line)]) + "\n"

        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS incoming, plan")
            cursor.execute(
                f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {', '.join(columns)}{extra},"
                f" 0::int AS line FROM {self.table} WITH NO DATA"
            )
            cursor.copy_expert(
                f"COPY incoming ({', '.join(columns)}{extra}, line) FROM STDIN",
                _CopyStream(lines()),
            )
            cursor.execute("ANALYZE incoming")

    # --- comparing --------------------------------------------------------------------------------

    def _same_key(self, a: str, b: str) -> str:
        return " AND ".join(
            f"{a}.{c} IS NOT DISTINCT FROM {b}.{c}" if c in self._nullable else f"{a}.{c} = {b}.{c}"
            for c in self.key
        )

    def drop_repeats(self, outcome: Outcome) -> None:
        """A row given twice counts once; given twice and different, the first one stands and the
        other is refused.
        """
        part = ", ".join([*self.key, *(["effective_from"] if self.kind.dated else [])])
        said = f"ROW({', '.join(self.values or self.key)})::text"
        with connection.cursor() as cursor:
            cursor.execute(f"""
                WITH ranked AS (
                    SELECT ctid AS at, line, row_number() OVER w AS place, first_value(line) OVER w AS first_line,
                           {said} = first_value({said}) OVER w AS equal
                      FROM incoming WINDOW w AS (PARTITION BY {part} ORDER BY line)
                ), gone AS (
                    DELETE FROM incoming i USING ranked r WHERE i.ctid = r.at AND r.place > 1 RETURNING r.line, r.first_line, r.equal
                )
                SELECT line, first_line, equal FROM gone ORDER BY line
                """)
            for line, first, equal in cursor:
                if equal:
                    outcome.unchanged += 1
                else:
                    outcome.refuse(
                        line,
                        f"The same key stands on line {first} with other values; the first one was"
                        " kept.",
                    )

    def apply(self, outcome: Outcome) -> None:
        """Compare and write. Several versions of one key in the file are applied in order of
        date.
        """
        if not self.kind.dated:
            self._round(outcome, "TRUE")
            return
        with connection.cursor() as cursor:
            part = ", ".join(self.key)
            cursor.execute("ALTER TABLE incoming ADD COLUMN turn int")
            cursor.execute(
                "UPDATE incoming i SET turn = r.turn FROM (SELECT ctid AS at, row_number() OVER"
                f" (PARTITION BY {part} ORDER BY effective_from) AS turn FROM incoming) r WHERE"
                " i.ctid = r.at"
            )
            cursor.execute("SELECT coalesce(max(turn), 0) FROM incoming")
            turns = cursor.fetchone()[0]
        for turn in range(1, turns + 1):
            self._round(outcome, f"i.turn = {turn}")

    def _plan_sql(self, where: str) -> str:
        incoming = ", ".join(f"i.{c}" for c in [*self.key, *self.values])
        public = ", i.public_id" if self.public else ""
        same = (
            f"(ROW({', '.join('c.' + c for c in self.values)}) IS NOT DISTINCT FROM"
            f" ROW({', '.join('i.' + c for c in self.values)}))"
            if self.values
            else "TRUE"
        )
        mine = self._mine()
        if not self.kind.dated:
            return f"""
                CREATE TEMP TABLE plan ON COMMIT DROP AS
                SELECT i.line, {incoming}{public}, c.id AS cur_id,
                       CASE WHEN c.id IS NULL THEN 'add' WHEN {same} THEN 'same' WHEN NOT ({mine}) THEN 'keep' ELSE 'correct' END AS act
                  FROM incoming i LEFT JOIN {self.table} c ON {self._same_key("c", "i")}
                 WHERE {where}
            """
        until = "LEAST(i.effective_to, n.effective_from - 1)"
        ends = (
            until
            if self.ends
            else f"CASE WHEN c.id IS NOT NULL AND {same} THEN c.effective_to ELSE {until} END"
        )
        return f"""
            CREATE TEMP TABLE plan ON COMMIT DROP AS
            SELECT p.*, CASE
                     WHEN cur_id IS NULL OR NOT in_force AND cur_from < effective_from THEN 'add'
                     WHEN same AND until IS NOT DISTINCT FROM cur_to THEN 'same'
                     WHEN NOT mine THEN 'keep'
                     WHEN same AND until IS NOT NULL AND (cur_to IS NULL OR cur_to > until) THEN 'end'
                     WHEN same THEN 'reopen'
                     WHEN cur_from = effective_from THEN 'correct'
                     ELSE 'replace' END AS act
              FROM (
                SELECT i.line, {incoming}{public}, i.effective_from, {ends} AS until,
                       c.id AS cur_id, c.effective_from AS cur_from, c.effective_to AS cur_to,
                       (c.effective_to IS NULL OR c.effective_to >= i.effective_from) AS in_force, {same} AS same, ({mine}) AS mine
                  FROM incoming i
                  LEFT JOIN LATERAL (
                    SELECT * FROM {self.table} t WHERE {self._same_key("t", "i")} AND t.effective_from <= i.effective_from
                     ORDER BY t.effective_from DESC LIMIT 1) c ON TRUE
                  LEFT JOIN LATERAL (
                    SELECT t.effective_from FROM {self.table} t WHERE {self._same_key("t", "i")} AND t.effective_from > i.effective_from
                     ORDER BY t.effective_from LIMIT 1) n ON TRUE
                 WHERE {where}
              ) p
        """

    def _mine(self) -> str:
        """Whether this load may change the current row: the starter set touches only what it wrote
        itself.
        """
        if not self.starter:
            return "TRUE"
        if self.kind.has_load:
            return (
                "EXISTS (SELECT 1 FROM reference_referenceload l WHERE l.id = c.load_id AND"
                f" starts_with(l.source, '{STARTER}'))"
            )
        if self.kind.source_column:
            return f"starts_with(c.{self.kind.source_column}, '{STARTER}')"
        return "TRUE"

    # --- writing ----------------------------------------------------------------------------------

    def _round(self, outcome: Outcome, where: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS plan")
            cursor.execute(self._plan_sql(where))
            cursor.execute("SELECT act, count(*) FROM plan GROUP BY act")
            counts = dict(cursor.fetchall())
            outcome.added += counts.get("add", 0)
            outcome.changed += (
                counts.get("correct", 0) + counts.get("replace", 0) + counts.get("reopen", 0)
            )
            outcome.closed += counts.get("end", 0)
            outcome.unchanged += counts.get("same", 0)
            outcome.kept += counts.get("keep", 0)
            if not set(counts) - {"same", "keep"}:
                return
            self._show(cursor, outcome)
            load = f", load_id = {int(self.load_id)}" if self.kind.has_load and self.load_id else ""
            if counts.get("correct"):
                ends = ", effective_to = p.until" if self.kind.dated else ""
                sets = ", ".join(f"{c} = p.{c}" for c in self.values)
                cursor.execute(
                    f"UPDATE {self.table} t SET {sets}{ends}{load} FROM plan p WHERE p.act ="
                    " 'correct' AND t.id = p.cur_id"
                )
            if counts.get("end") or counts.get("reopen"):
                cursor.execute(
                    f"UPDATE {self.table} t SET effective_to = p.until{load} FROM plan p WHERE"
                    " p.act IN ('end', 'reopen') AND t.id = p.cur_id"
                )
            if counts.get("replace"):
                cursor.execute(
                    f"UPDATE {self.table} t SET effective_to = p.effective_from - 1 FROM plan p"
                    " WHERE p.act = 'replace' AND t.id = p.cur_id"
                )
            if counts.get("add") or counts.get("replace"):
                self._insert(cursor)

    def _insert(self, cursor: Any) -> None:
        columns = [*self.key, *self.values]
        selected = [f"p.{c}" for c in columns]
        params: list[Any] = []
        for column, f in self.rest.items():
            columns.append(column)
            selected.append(f"coalesce(c.{column}, %s)")
            params.append(f.get_db_prep_save(f.get_default(), connection))
        if self.kind.dated:
            columns += ["effective_from", "effective_to"]
            selected += ["p.effective_from", "p.until"]
        if self.public:
            columns.append("public_id")
            selected.append("p.public_id")
        if self.kind.has_load:
            columns.append("load_id")
            selected.append("%s")
            params.append(self.load_id)
        cursor.execute(
            f"INSERT INTO {self.table} ({', '.join(columns)}) SELECT {', '.join(selected)} FROM"
            f" plan p LEFT JOIN {self.table} c ON c.id = p.cur_id WHERE p.act IN ('add',"
            " 'replace')",
            params,
        )

    def _show(self, cursor: Any, outcome: Outcome) -> None:
        room = KEPT_CHANGES - len(outcome.changes)
        if room <= 0:
            return
        names = [*self.key, *self.values]
        after = ", ".join(f"'{plain(c)}', p.{c}" for c in names[:50])
        until = ", p.effective_from, p.until" if self.kind.dated else ", NULL, NULL"
        cursor.execute(
            f"""SELECT p.line, p.act, jsonb_build_object({after}), to_jsonb(c) {until}
                  FROM plan p LEFT JOIN {self.table} c ON c.id = p.cur_id
                 WHERE p.act NOT IN ('same', 'keep') ORDER BY (p.act = 'add'), p.line LIMIT %s""",
            [room],
        )
        for line, act, new, old, since, last in cursor.fetchall():
            new = json.loads(new) if isinstance(new, str) else new
            old = json.loads(old) if isinstance(old, str) else old
            values = map(plain, self.values)
            differs = (
                [c for c in values if old is not None and old.get(c) != new.get(c)]
                if act != "add"
                else []
            )
            outcome.changes.append(
                {
                    "line": line,
                    "act": {"add": "added", "end": "closed"}.get(act, "changed"),
                    "key": " ".join(
                        str(new[c]) for c in map(plain, self.key) if new[c] not in (None, "")
                    ),
                    "from": since.isoformat() if since else None,
                    "to": last.isoformat() if last else None,
                    "before": {c: old.get(c) for c in differs} if old else {},
                    "after": {c: new.get(c) for c in differs},
                }
            )

    def close_missing(self, outcome: Outcome, day: Any) -> None:
        """The file is the whole list: rows in force that it lacks end on the day before."""
        if not self.kind.dated:
            return
        part = "".join(
            f" AND EXISTS (SELECT 1 FROM incoming x WHERE x.{c} = t.{c})" for c in self.kind.within
        )
        with connection.cursor() as cursor:
            cursor.execute(
                f"""UPDATE {self.table} t SET effective_to = %s
                     WHERE t.effective_from < %s AND (t.effective_to IS NULL OR t.effective_to >= %s){part}
                       AND NOT EXISTS (SELECT 1 FROM incoming i WHERE {self._same_key("t", "i")})""",
                [day.fromordinal(day.toordinal() - 1), day, day],
            )
            outcome.closed += cursor.rowcount
