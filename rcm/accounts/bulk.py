"""Many rows in one statement: INSERT and UPDATE from one array for each column, which Python spells
and PostgreSQL reads faster than thousands of VALUES or one JSON document. COPY itself is closed to
tables under row-level security.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import connection
from django.db.models import Field, JSONField, Model

PART = 5000
WORDS = frozenset({"varchar", "text"})
FIGURES = frozenset(
    {
        "bigint",
        "integer",
        "smallint",
        "numeric",
        "double precision",
        "boolean",
        "date",
        "timestamp with time zone",
        "uuid",
    }
)
Row = Mapping[str, Any]


class Column(NamedTuple):
    """How a column's values travel: as an array of `kind`, and what is done with each there."""

    name: str
    kind: str
    cast: str
    spell: Callable[[Sequence[Any]], list[str]]


def ids(model: type[Model], count: int) -> list[int]:
    """Fresh primary keys, so that rows of several tables can name each other before they are
    written.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [model._meta.db_table, count],
        )
        return [row[0] for row in cursor.fetchall()]


def public_ids(count: int) -> list[str]:
    """Time-ordered public ids (UUIDv7) as text: a millisecond, then 72 bits by chance."""
    begin = f"{time.time_ns() // 1_000_000 & 0xFFFFFFFFFFFF:012x}7"
    chance = secrets.token_hex(count * 10)
    return [
        f"{begin}{chance[i : i + 3]}{'89ab'[int(chance[i + 3], 16) & 3]}{chance[i + 4 : i + 19]}"
        for i in range(0, count * 20, 20)
    ]


def insert(model: type[Model], rows: Sequence[Row], *, skip_known: bool = False) -> int:
    """Insert rows given as {column: value}; all have the same columns. `skip_known` leaves rows
    that stand already. Returns rows written.
    """
    if not rows:
        return 0
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return insert_columns(model, columns, skip_known=skip_known)


def insert_columns(
    model: type[Model],
    columns: Mapping[str, Sequence[Any]],
    *,
    same: Row | None = None,
    skip_known: bool = False,
) -> int:
    """The same for rows given column by column, all of one length; `same` is what every row has.
    Returns rows written.
    """
    written = 0
    ending = " ON CONFLICT DO NOTHING" if skip_known else ""
    for sql, values in _inserts(model, columns, same or {}, ending):
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            written += cursor.rowcount
    return written


def insert_returning(
    model: type[Model],
    columns: Mapping[str, Sequence[Any]],
    returned: Sequence[str],
    *,
    same: Row | None = None,
    known_by: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    """The same; gives these columns of the rows that were written. `known_by` are the columns of
    the unique key by which a row that stands already is left; any other clash is an error.
    """
    ending = f" ON CONFLICT ({_names(known_by)}) DO NOTHING" if known_by else ""
    ending += f" RETURNING {_names(returned)}"
    found: list[tuple[Any, ...]] = []
    for sql, values in _inserts(model, columns, same or {}, ending):
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            found += cursor.fetchall()
    return found


def update(model: type[Model], rows: Sequence[Row]) -> int:
    """Update rows given as {"id": …, column: value}; all have the same columns. Returns rows
    changed.
    """
    changed = 0
    if not rows:
        return 0
    shape = [_column(model, name) for name in rows[0]]
    sets = ", ".join(f'"{c.name}" = r."{c.name}"{c.cast}' for c in shape if c.name != "id")
    sql = f'UPDATE "{model._meta.db_table}" t SET {sets} FROM {_table(shape)} WHERE t.id = r.id'  # noqa: S608
    with connection.cursor() as cursor:
        for start in range(0, len(rows), PART):
            part = rows[start : start + PART]
            cursor.execute(sql, [_array(c, [row[c.name] for row in part]) for c in shape])
            changed += cursor.rowcount
    return changed


def _inserts(
    model: type[Model],
    columns: Mapping[str, Sequence[Any]],
    same: Row,
    ending: str,
) -> list[tuple[str, list[Any]]]:
    """The statements of an insert with their values, one for each part."""
    shape = [_column(model, name) for name in columns]
    alike = [_column(model, name) for name in same]
    names = _names([*columns, *same])
    taken = ", ".join(
        [f'r."{c.name}"{c.cast}' for c in shape]
        + [f"(%s::{c.kind}[])[1]{c.cast}" for c in alike]  # once a statement, not once a row
    )
    sql = f'INSERT INTO "{model._meta.db_table}" ({names}) SELECT {taken} FROM {_table(shape)}{ending}'  # noqa: S608
    constant = [_array(c, [same[c.name]]) for c in alike]
    count = len(next(iter(columns.values()), ()))
    if any(len(values) != count for values in columns.values()):
        raise ValueError("columns of different length")
    return [
        (sql, constant + [_array(c, columns[c.name][start : start + PART]) for c in shape])
        for start in range(0, count, PART)
    ]


def _table(shape: Sequence[Column]) -> str:
    arrays = ", ".join(f"%s::{c.kind}[]" for c in shape)
    return f"unnest({arrays}) AS r({_names([c.name for c in shape])})"


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


# --- spelling -------------------------------------------------------------------------------------


def _array(column: Column, values: Sequence[Any]) -> str:
    return "{" + ",".join(column.spell(values)) + "}"


@lru_cache(maxsize=2000)
def _column(model: type[Model], name: str) -> Column:
    field: Field = next(f for f in model._meta.local_fields if f.column == name)
    kind = (field.rel_db_type if field.remote_field else field.db_type)(connection)
    if isinstance(field, JSONField):
        return Column(name, "text", "::jsonb", _documents)
    if isinstance(field, ArrayField):
        return Column(name, "text", f"::{kind}", _lists)
    # without its length, which a cast would cut to silently
    plain = (kind or "").partition("(")[0]
    if plain not in WORDS | FIGURES:
        raise TypeError(f"{model.__name__}.{name} is {kind}")
    return Column(name, plain, "", _words if plain in WORDS else _figures)


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text or "\x00" in text:
        text = text.replace("\x00", "").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _figures(values: Sequence[Any]) -> list[str]:
    """Numbers, days, moments, yes and no, public ids: nothing in them needs escaping."""
    return ["NULL" if v is None else f'"{v}"' for v in values]


def _words(values: Sequence[Any]) -> list[str]:
    known = {v: "NULL" if v is None else _quoted(str(v)) for v in set(values)}
    return [known[v] for v in values]


def _lists(values: Sequence[Any]) -> list[str]:
    return [
        "NULL"
        if v is None
        else _quoted("{" + ",".join(["NULL" if x is None else _quoted(str(x)) for x in v]) + "}")
        for v in values
    ]


def _documents(values: Sequence[Any]) -> list[str]:
    return [
        "NULL" if v is None else '"{}"' if v == {} else '"[]"' if v == [] else _quoted(_dump(v))
        for v in values
    ]


def _dump(value: Any) -> str:
    text = json.dumps(value, default=_plain, separators=(",", ":"), ensure_ascii=False)
    return text.replace("\\u0000", "")


def _plain(value: Any) -> str:
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if isinstance(value, date):  # a moment too
        return value.isoformat()
    raise TypeError(type(value).__name__)


__all__ = ["ids", "insert", "insert_columns", "insert_returning", "public_ids", "update"]
