"""Loading one reference file: read, check row by row, merge, and keep the record of it (issue 3
section 1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction

from rcm.reference.loaders.cells import RowError
from rcm.reference.loaders.kinds import Kind, Layout, Options, Values, kind_of
from rcm.reference.loaders.merge import STARTER, Merge, Outcome
from rcm.reference.loaders.sheets import FileRefused, Row, digest, open_rows
from rcm.reference.models import ReferenceLoad

HEADER_WITHIN = 40
EVERY = 5000


class _Undo(Exception):
    """Raised to roll a preview back."""


def load_file(
    *,
    kind: str,
    path: Path,
    options: Options | None = None,
    complete: bool = False,
    source: str = "",
    actor_name: str = "system",
    preview: bool = False,
    starter: bool = False,
    progress: Callable[[int], None] = lambda rows: None,
) -> tuple[ReferenceLoad | None, Outcome]:
    """Load a file into its table in one transaction; the record is None when nothing was written
    (preview, or the same file again).

    `complete`: rows of the same part of the table that the file lacks are closed. `preview`: do
    everything, keep nothing. Raises `FileRefused` when the file as a whole cannot be read as this
    kind; a bad row is only reported.
    """
    about = kind_of(kind)
    options = named_year(about, path, options or Options())
    sha = digest(path)
    said = {
        "effective": options.effective.isoformat() if options.effective else None,
        "year": options.year,
        "complete": complete,
    }
    if not preview and _loaded_already(kind, sha, said, starter):
        return None, Outcome()
    outcome = Outcome()
    record: ReferenceLoad | None = None
    with suppress(_Undo), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(72030, hashtext(%s))", [about.model._meta.db_table]
            )
            cursor.execute("SET LOCAL statement_timeout = '10min'")
        record = ReferenceLoad.objects.create(
            kind=kind,
            source=(source or path.name)[:200],
            sha256=sha,
            options=said,
            actor_name=actor_name[:120],
        )
        _run(
            about,
            path,
            options,
            outcome,
            complete=complete,
            load_id=record.pk,
            starter=starter,
            progress=progress,
        )
        if preview:
            raise _Undo
        record.rows, record.added, record.changed = outcome.read, outcome.added, outcome.changed
        record.closed = outcome.closed
        more = outcome.bad_count - len(outcome.bad)
        record.bad = outcome.bad + (
            [{"line": 0, "sentence": f"and {more} more rows"}] if more else []
        )
        record.save()
    return (None if preview else record), outcome


def named_year(kind: Kind, path: Path, options: Options) -> Options:
    """Where a yearly file is given neither date nor year, the one year in its name
    (PPRRVU2025_Oct.csv).
    """
    years = set(re.findall(r"(?<![0-9])20[0-9]{2}(?![0-9])", path.name))
    if kind.yearly and options.year is None and options.effective is None and len(years) == 1:
        return replace(options, year=int(years.pop()))
    return options


def _loaded_already(kind: str, sha: str, said: Mapping[str, object], starter: bool) -> bool:
    """The starter set is laid down once; any other file again counts only when it was the last one
    of its kind.
    """
    loads = ReferenceLoad.objects.filter(kind=kind)
    if starter:
        return loads.filter(sha256=sha, source__startswith=STARTER).exists()
    last = loads.order_by("-id").first()
    return last is not None and last.sha256 == sha and last.options == said


def _run(
    kind: Kind,
    path: Path,
    options: Options,
    outcome: Outcome,
    *,
    complete: bool,
    load_id: int,
    starter: bool,
    progress: Callable[[int], None],
) -> None:
    fixed = [layout for layout in kind.layouts if layout.fixed]
    with open_rows(
        path, whole_lines=lambda head: any(layout.fits(head) for layout in fixed)
    ) as rows:
        layout, at, notices, body = _recognise(kind, rows)
        options = replace(options, notices=notices)
        context = kind.prepare(options)
        merge = Merge(
            kind, supplies=layout.supplies, ends=layout.ends, load_id=load_id, starter=starter
        )
        merge.copy(_checked(kind, layout, at, body, options, context, outcome, progress))
        merge.drop_repeats(outcome)
        merge.apply(outcome)
        if complete:
            merge.close_missing(outcome, options.first_day())


def _recognise(
    kind: Kind, rows: Iterator[Row]
) -> tuple[Layout, dict[str, int], str, Iterator[Row]]:
    """The layout of the file by its header or the shape of its lines. Raises `FileRefused` when
    none fits.
    """
    head = list(islice(rows, HEADER_WITHIN))
    for layout in kind.layouts:
        if layout.fixed and layout.fits([values[0] for _, values in head if len(values) == 1]):
            return layout, {}, "", chain(head, rows)
    for index, (_, values) in enumerate(head):
        for layout in kind.layouts:
            at = layout.locate(values)
            if at is not None:
                notices = "\n".join(" ".join(cells) for _, cells in head[: index + 1])
                return layout, at, notices, chain(head[index + 1 :], rows)
    known = "; ".join(layout.name for layout in kind.layouts)
    raise FileRefused(
        f"No line of the file is the header of a known layout for {kind.label.lower()}. Known:"
        f" {known}."
    )


def _checked(
    kind: Kind,
    layout: Layout,
    at: dict[str, int],
    rows: Iterator[Row],
    options: Options,
    context: object,
    outcome: Outcome,
    progress: Callable[[int], None],
) -> Iterator[tuple[int, Values]]:
    fields = {f.name: f for f in kind.model._meta.local_fields}
    for line, cells in rows:
        outcome.read += 1
        if outcome.read % EVERY == 0:
            progress(outcome.read)
        try:
            found = list(layout.read(layout.cells(line, cells, at), options, context))
            for values in found:
                _check(values, fields, kind)
        except RowError as error:
            outcome.refuse(line, str(error))
            continue
        for values in found:
            yield line, values
    progress(outcome.read)


def _check(values: Values, fields: Mapping[str, Any], kind: Kind) -> None:
    """What the table itself would refuse, said per row so that it does not spoil the file."""
    for name, value in values.items():
        if value is None:
            if name not in ("effective_to",) and not fields[name].null:
                raise RowError(f"{name} is blank.")
            continue
        most = getattr(fields[name], "max_length", None)
        if most and isinstance(value, str) and len(value) > most:
            raise RowError(f"{name} is longer than {most} characters.")
        digits = getattr(fields[name], "max_digits", None)
        if digits:
            try:
                fields[name].run_validators(round(value, fields[name].decimal_places))
            except ValidationError as error:
                raise RowError(f"{name} {value}: {error.messages[0]}") from None
    if kind.dated:
        until = values.get("effective_to")
        if until is not None and until < values["effective_from"]:
            raise RowError(
                f"The row ends on {until.isoformat()}, before it begins on"
                f" {values['effective_from'].isoformat()}."
            )


__all__ = ["FileRefused", "load_file"]
