"""Many rows changed by one statement. Django's own bulk update writes a CASE for each row and
column, which costs more than the work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models


def update_rows(rows: Iterable[models.Model], names: Sequence[str]) -> int:
    """Write these fields of rows of one model; returns how many rows were changed."""
    listed = list(rows)
    if not listed:
        return 0
    model = type(listed[0])
    fields: list[models.Field[Any, Any]] = [model._meta.get_field(name) for name in names]  # type: ignore[misc]
    key = model._meta.pk
    values = [
        {"id": row.pk}
        | {
            f"c{n}": _plain(field, getattr(row, str(field.attname)))
            for n, field in enumerate(fields)
        }
        for row in listed
    ]
    kinds = ", ".join(f"c{n} {field.db_type(connection)}" for n, field in enumerate(fields))
    sets = ", ".join(f'"{field.column}" = d.c{n}' for n, field in enumerate(fields))
    with connection.cursor() as cursor:
        cursor.execute(
            f'UPDATE "{model._meta.db_table}" t SET {sets} '  # noqa: S608  names of our own models
            f'FROM jsonb_to_recordset(%s::jsonb) AS d(id bigint, {kinds}) WHERE t."{key.column}" ='
            " d.id",
            [json.dumps(values, cls=DjangoJSONEncoder)],
        )
        return int(cursor.rowcount)


def _plain(field: models.Field[Any, Any], value: Any) -> Any:
    """A value as JSON carries it; moments with their offset."""
    return (
        value.isoformat()
        if isinstance(field, models.DateTimeField) and value is not None
        else value
    )
