"""Keyset pages: the next rows after a remembered one, as fast on page 10,000 as on page 1.

An order is a tuple of keys such as `("deadline", "-balance", "id")`; the last must be unique. A key
that may be null is marked `Key("deadline", nulls="last")`. The cursor is the row's key values,
signed, and tied to the order it was made for: one that was edited, or made for another order, is
refused (`BadCursor`), and the list helper then starts at the first page.

When all keys run the same way and none is null the predicate is one row comparison, which
PostgreSQL answers from an index on the same columns. Otherwise it is the usual ladder of ORs with
an index bound.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

from django.core import signing
from django.db.models import F, Field, Func, Model, Q, QuerySet, Value
from django.db.models.fields import BooleanField

SALT = "rcm.web.keyset"
M = TypeVar("M", bound=Model)


class BadCursor(ValueError):
    """The cursor was edited, is for another order, or no longer fits its columns."""


@dataclass(frozen=True, slots=True)
class Key:
    """One column of the order. `nulls` is "" (never null), "last" or "first" as the reader sees the
    list.
    """

    name: str
    descending: bool = False
    nulls: str = ""

    @classmethod
    def of(cls, spec: str | Key) -> Key:
        if isinstance(spec, Key):
            return spec
        return cls(spec.lstrip("-"), spec.startswith("-"))

    def reversed(self) -> Key:
        return Key(
            self.name, not self.descending, {"last": "first", "first": "last"}.get(self.nulls, "")
        )

    def ordering(self) -> Any:
        column = F(self.name)
        nulls = (
            {"nulls_last": True}
            if self.nulls == "last"
            else {"nulls_first": True}
            if self.nulls
            else {}
        )
        return column.desc(**nulls) if self.descending else column.asc(**nulls)

    def after(self, value: Any) -> Q:
        """Rows strictly after `value` in this column."""
        if value is None:
            return Q(**{f"{self.name}__isnull": False}) if self.nulls == "first" else Q(pk__in=[])
        beyond = Q(**{f"{self.name}__{'lt' if self.descending else 'gt'}": value})
        return beyond | Q(**{f"{self.name}__isnull": True}) if self.nulls == "last" else beyond

    def same(self, value: Any) -> Q:
        return Q(**{f"{self.name}__isnull": True}) if value is None else Q(**{self.name: value})


class RowAfter(Func):
    """`(a, b, c) > (x, y, z)` as one comparison."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, columns: Sequence[Any], values: Sequence[Any], descending: bool) -> None:
        self.width = len(columns)
        self.descending = descending
        super().__init__(*columns, *values)

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        parts, params = [], []
        for expression in self.get_source_expressions():
            sql, found = compiler.compile(expression)
            parts.append(sql)
            params.extend(found)
        left, right = ", ".join(parts[: self.width]), ", ".join(parts[self.width :])
        return f"({left}) {'<' if self.descending else '>'} ({right})", params


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """One page of rows and the cursors of its neighbours (`None` at either end)."""

    rows: list[M]
    next: str | None
    previous: str | None

    @property
    def is_first(self) -> bool:
        return self.previous is None


def _pack(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return {"t": value.isoformat()}
    if isinstance(value, dt.date):
        return {"d": value.isoformat()}
    if isinstance(value, Decimal):
        return {"n": str(value)}
    if isinstance(value, uuid.UUID):
        return {"u": str(value)}
    return value


def _unpack(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    readers: dict[str, Callable[[str], Any]] = {
        "t": dt.datetime.fromisoformat,
        "d": dt.date.fromisoformat,
        "n": Decimal,
        "u": uuid.UUID,
    }
    return readers[kind](text)


def _attribute(row: Any, name: str) -> Any:
    for part in name.split("__"):
        row = getattr(row, part) if row is not None else None
    return row


def _label(keys: Sequence[Key]) -> str:
    return ",".join(f"{'-' if k.descending else ''}{k.name}{k.nulls}" for k in keys)


def encode(keys: Sequence[Key], row: Any, backwards: bool) -> str:
    """The signed cursor of a row."""
    body = {"o": _label(keys), "b": backwards, "v": [_pack(_attribute(row, k.name)) for k in keys]}
    return signing.dumps(body, salt=SALT, compress=True)


def decode(keys: Sequence[Key], cursor: str) -> tuple[list[Any], bool]:
    """The values and direction a cursor holds, or `BadCursor`."""
    try:
        body = signing.loads(cursor, salt=SALT)
        if body["o"] != _label(keys):
            raise BadCursor("made for another order")
        values = [_unpack(v) for v in body["v"]]
        backwards = bool(body["b"])
    except (signing.BadSignature, KeyError, TypeError, ValueError) as error:
        raise BadCursor(str(error)) from error
    if len(values) != len(keys):
        raise BadCursor("wrong number of values")
    return values, backwards


def after(queryset: QuerySet[M], keys: Sequence[Key], values: Sequence[Any]) -> QuerySet[M]:
    """The rows strictly after the given key values."""
    plain = all(not k.nulls for k in keys) and all(v is not None for v in values)
    if plain and len({k.descending for k in keys}) == 1:
        wrapped = [
            Value(v, output_field=_field(queryset, k.name))
            for k, v in zip(keys, values, strict=True)
        ]
        return queryset.filter(RowAfter([F(k.name) for k in keys], wrapped, keys[0].descending))
    ladder = Q(pk__in=[])
    equal = Q()
    for key, value in zip(keys, values, strict=True):
        ladder |= equal & key.after(value)
        equal &= key.same(value)
    first, value = keys[0], values[0]
    if not first.nulls and value is not None:
        ladder &= Q(**{f"{first.name}__{'lte' if first.descending else 'gte'}": value})
    return queryset.filter(ladder)


def _field(queryset: QuerySet[Any], name: str) -> Field[Any, Any] | None:
    annotation: Any = queryset.query.annotations.get(name)
    if annotation is not None:
        found: Field[Any, Any] = annotation.output_field
        return found
    model: Any = queryset.model
    *path, last = name.split("__")
    for part in path:
        model = model._meta.get_field(part).related_model
    own: Field[Any, Any] = model._meta.pk if last == "pk" else model._meta.get_field(last)
    return own


def page(
    queryset: QuerySet[M], order: Sequence[str | Key], *, cursor: str = "", size: int = 50
) -> Page[M]:
    """The page at the cursor, or the first. Raises `BadCursor`; two rows' keys never tie, so none
    is lost.
    """
    keys = [Key.of(k) for k in order]
    values, backwards = decode(keys, cursor) if cursor else ([], False)
    walk = [k.reversed() for k in keys] if backwards else keys
    found = queryset.order_by(*(k.ordering() for k in walk))
    if values:
        found = after(found, walk, values)
    rows = list(found[: size + 1])
    more = len(rows) > size
    rows = rows[:size]
    if backwards:
        rows.reverse()
    has_next = backwards or more
    has_previous = more if backwards else bool(values)
    if not rows:
        return Page([], None, None)
    return Page(
        rows,
        encode(keys, rows[-1], False) if has_next else None,
        encode(keys, rows[0], True) if has_previous else None,
    )


def capped_count(queryset: QuerySet[Any], limit: int = 10_000) -> tuple[int, bool]:
    """How many rows, stopping at `limit`; the flag says that there are more."""
    found = queryset.order_by().values("pk")[: limit + 1].count()
    return min(found, limit), found > limit
