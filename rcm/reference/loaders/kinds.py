"""What a kind of reference file is: its table, its key, its layouts. Each room registers the kinds
of its own tables.

A layout recognises its file by the header line, wherever among the first lines that is (official
files carry notices above it), or, for fixed-width text, by the shape of a line. It turns one row of
cells into the values of zero or more table rows.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from rcm.reference.loaders.cells import Cells, RowError

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What the person who loads the file says about it: the first service date it holds for, the
    fee schedule year.
    """

    effective: dt.date | None = None
    year: int | None = None
    notices: str = ""  # the lines above the first row, header included

    def first_day(self, fallback: dt.date | None = None) -> dt.date:
        """The first service date of a row that has none of its own."""
        if self.effective is not None:
            return self.effective
        if self.year is not None:
            return dt.date(self.year, 1, 1)
        if fallback is not None:
            return fallback
        raise RowError("The file does not say from which date it holds: give --effective.")


RowReader = Callable[[Cells, Options, Any], Iterable[Values]]


@dataclass(frozen=True, slots=True)
class Layout:
    """One way a file of a kind is written.

    `columns` maps our name of a column to a pattern of the file's header; names in `optional` may
    be missing. `fixed` maps names to (first, last) positions from 1 for text without delimiter,
    recognised by `shape`. `positions` maps names to column numbers where a header repeats itself.
    `supplies` are the table columns this layout knows: others keep what an earlier load said.
    """

    name: str
    read: RowReader
    columns: Mapping[str, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    positions: Mapping[str, int] = field(default_factory=dict)
    fixed: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    shape: str = ""
    supplies: tuple[str, ...] | None = None
    ends: bool = False  # the file says when a row ends, so a blank end means open

    def locate(self, header: Sequence[str]) -> dict[str, int] | None:
        """Where each column is, when this line is the header; else None."""
        if not self.columns:
            return None
        named = [re.sub(r"[^a-z0-9]+", " ", cell.lower()).strip() for cell in header]
        found: dict[str, int] = {}
        for name, pattern in self.columns.items():
            index = next(
                (i for i, cell in enumerate(named) if cell and re.fullmatch(pattern, cell)), None
            )
            if index is not None:
                found[name] = index
            elif name not in self.optional:
                return None
        return {**found, **self.positions}

    def fits(self, head: Sequence[str]) -> bool:
        """Whether most of these lines have the fixed-width shape."""
        lines = [line.rstrip("\r\n") for line in head if line.strip()]
        return bool(self.shape and lines) and sum(
            bool(re.match(self.shape, line)) for line in lines
        ) * 2 > len(lines)

    def cells(self, line: int, values: Sequence[str], at: Mapping[str, int]) -> Cells:
        if not self.fixed:
            return Cells(line, values, at)
        text = values[0]
        return Cells(
            line,
            [text[a - 1 : b] for a, b in self.fixed.values()],
            {n: i for i, n in enumerate(self.fixed)},
        )


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of reference file. `prepare(options)` fetches in bulk what rows refer to (payer codes,
    last year's indicators).

    `within`: columns that divide the table, so that "complete" closes only rows of the parts a file
    speaks of. `source_column`: where a table without load keeps who wrote a row, so that the
    starter set leaves other people's rows alone.
    """

    name: str
    label: str
    model: type[models.Model]
    key: tuple[str, ...]
    layouts: tuple[Layout, ...]
    prepare: Callable[[Options], Any] = lambda options: None
    within: tuple[str, ...] = ()
    source_column: str = ""
    yearly: bool = False  # a year in the file's name is meant when nothing else says one
    words: str = ""

    @property
    def dated(self) -> bool:
        return any(f.name == "effective_from" for f in self.model._meta.local_fields)

    @property
    def has_load(self) -> bool:
        return any(f.name == "load" for f in self.model._meta.local_fields)


_kinds: dict[str, Kind] = {}


def register(*kinds: Kind) -> None:
    """Add kinds of files; called from each app's `ready()`."""
    for kind in kinds:
        _kinds[kind.name] = kind


def kind_of(name: str) -> Kind:
    """The kind by its name. Raises KeyError."""
    return _kinds[name]


def kinds() -> list[Kind]:
    return sorted(_kinds.values(), key=lambda kind: kind.label)


def house(
    read: RowReader,
    names: str,
    *,
    optional: str = "",
    supplies: str = "",
    name: str = "Isocenter sheet",
    ends: bool = False,
) -> Layout:
    """The product's own layout of a table: a CSV or sheet whose headers are the given names."""
    patterns = {n: re.escape(n.replace("_", " ")) for n in (*names.split(), *optional.split())}
    return Layout(
        name,
        read,
        patterns,
        frozenset(optional.split()),
        supplies=tuple(supplies.split()) or None,
        ends=ends,
    )
