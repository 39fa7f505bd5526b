"""Many rows in one statement: INSERT and UPDATE from one JSON parameter, which PostgreSQL reads
faster than we could spell thousands of VALUES. COPY itself is closed to tables under row-level
security.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Model
from uuid6 import UUID

PART = 5000


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


def _plain(value: Any) -> Any:
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _dump(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(rows, default=_plain, separators=(",", ":"), ensure_ascii=False).replace(
        "\\u0000", ""
    )


def _shape(model: type[Model], names: Sequence[str]) -> str:
    fields = {f.column: f for f in model._meta.local_fields}
    return ", ".join(
        f'"{n}"'
        f" {fields[n].rel_db_type(connection) if fields[n].remote_field else fields[n].db_type(connection)}"
        for n in names
    )


def insert(
    model: type[Model], rows: Sequence[Mapping[str, Any]], *, skip_known: bool = False
) -> int:
    """Insert rows given as {column: value}; all have the same columns. `skip_known` leaves rows
    that stand already. Returns rows written.
    """
    written = 0
    if not rows:
        return 0
    names = list(rows[0])
    columns = ", ".join(f'"{n}"' for n in names)
    sql = (
        f'INSERT INTO "{model._meta.db_table}" ({columns}) SELECT {columns} FROM jsonb_to_recordset(%s::jsonb) AS r({_shape(model, names)})'  # noqa: S608
        + (" ON CONFLICT DO NOTHING" if skip_known else "")
    )
    with connection.cursor() as cursor:
        for start in range(0, len(rows), PART):
            cursor.execute(sql, [_dump(rows[start : start + PART])])
            written += cursor.rowcount
    return written


def update(model: type[Model], rows: Sequence[Mapping[str, Any]]) -> int:
    """Update rows given as {"id": …, column: value}; all have the same columns. Returns rows
    changed.
    """
    changed = 0
    if not rows:
        return 0
    names = list(rows[0])
    sets = ", ".join(f'"{n}" = r."{n}"' for n in names if n != "id")
    sql = f'UPDATE "{model._meta.db_table}" t SET {sets} FROM jsonb_to_recordset(%s::jsonb) AS r({_shape(model, names)}) WHERE t.id = r.id'  # noqa: S608
    with connection.cursor() as cursor:
        for start in range(0, len(rows), PART):
            cursor.execute(sql, [_dump(rows[start : start + PART])])
            changed += cursor.rowcount
    return changed
