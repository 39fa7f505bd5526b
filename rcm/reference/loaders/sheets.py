"""Reading a reference file as numbered rows of text, whatever it is: CSV, tab or fixed-width text,
gzip, zip or XLSX.

Streams, so that memory stays flat. A file that unpacks to more than the limits allow is refused.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import IO

Row = tuple[int, list[str]]


class FileRefused(ValueError):
    """The file as a whole cannot be read: a sentence for the person who loads it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may unpack to."""

    file_bytes: int = 512 * 1024**2
    text_bytes: int = 2 * 1024**3
    ratio: int = 200
    rows: int = 6_000_000
    columns: int = 200
    sheet_bytes: int = 400 * 1024**2
    sheet_rows: int = 1_100_000
    line_chars: int = 100_000


LIMITS = Limits()


def digest(path: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    found = hashlib.sha256()
    with path.open("rb") as handle:
        while piece := handle.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


@contextmanager
def open_rows(
    path: Path,
    *,
    whole_lines: Callable[[list[str]], bool] = lambda head: False,
    limits: Limits = LIMITS,
) -> Iterator[Iterator[Row]]:
    """The rows of a file with their line numbers (from 1). Blank rows are left out. Raises
    `FileRefused`.

    `whole_lines(head)` answers from the first lines of a text whether it is fixed-width: then each
    row is one uncut line.
    """
    if path.stat().st_size > limits.file_bytes:
        raise FileRefused(f"The file is larger than {limits.file_bytes // 1024**2} MB.")
    with path.open("rb") as handle:
        magic = handle.read(4)
    with ExitStack() as stack:
        if magic[:2] == b"\x1f\x8b":
            packed = stack.enter_context(gzip.open(path, "rb"))
            yield _counted(
                _text_rows(_Bounded(packed, path.stat().st_size, limits), whole_lines, limits),
                limits,
            )
        elif magic == b"PK\x03\x04":
            archive = stack.enter_context(_archive(path))
            if "[Content_Types].xml" in archive.namelist():
                yield _counted(_sheet_rows(path, archive, limits), limits)
            else:
                member = _member(archive, limits)
                inner = stack.enter_context(archive.open(member))
                if member.filename.lower().endswith(".xlsx"):
                    raise FileRefused("Unpack the archive first: it holds a workbook.")
                yield _counted(
                    _text_rows(_Bounded(inner, member.compress_size, limits), whole_lines, limits),
                    limits,
                )
        else:
            plain = stack.enter_context(path.open("rb"))
            yield _counted(_text_rows(plain, whole_lines, limits), limits)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except zipfile.BadZipFile:
        raise FileRefused("The file looks like an archive but cannot be unpacked.") from None


def _member(archive: zipfile.ZipFile, limits: Limits) -> zipfile.ZipInfo:
    files = [
        m
        for m in archive.infolist()
        if not m.is_dir() and m.filename.lower().endswith((".csv", ".txt", ".xlsx"))
    ]
    if len(files) != 1:
        names = ", ".join(Path(m.filename).name for m in files[:6]) or "no table"
        raise FileRefused(
            f"The archive must hold exactly one table; it holds {names}. Unpack it and load one"
            " file."
        )
    return files[0]


class _Bounded(io.RawIOBase):
    """Unpacked bytes, counted: a stream that grows beyond reason is refused while it is read."""

    def __init__(self, inner: IO[bytes] | gzip.GzipFile, packed: int, limits: Limits) -> None:
        self._inner = inner
        self._left = min(limits.text_bytes, max(packed, 64 * 1024) * limits.ratio)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            data = self._inner.read(len(buffer))
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise FileRefused("The packed file is damaged.") from error
        self._left -= len(data)
        if self._left < 0:
            raise FileRefused("The packed file unpacks to far more than it should.")
        buffer[: len(data)] = data
        return len(data)


def _lines(handle: IO[bytes] | io.RawIOBase, limits: Limits) -> Iterator[str]:
    """Lines as text: UTF-8, else the Windows code page, line by line, because official files mix
    them.
    """
    reader = io.BufferedReader(handle) if isinstance(handle, io.RawIOBase) else handle
    first = True
    while raw := reader.readline(limits.line_chars + 1):
        if len(raw) > limits.line_chars:
            raise FileRefused(
                f"A line is longer than {limits.line_chars} characters: this is no table."
            )
        if first and raw.startswith(b"\xef\xbb\xbf"):
            raw = raw[3:]
        first = False
        if b"\x00" in raw:
            raise FileRefused("The file holds binary data: this is no table.")
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError:
            yield raw.decode("cp1252", errors="replace")


def _text_rows(
    handle: IO[bytes] | io.RawIOBase, whole_lines: Callable[[list[str]], bool], limits: Limits
) -> Iterator[Row]:
    lines = _lines(handle, limits)
    head = list(islice(lines, 25))
    delimiter = "" if whole_lines(head) else _delimiter(head)
    whole = chain(head, lines)
    if not delimiter:
        for number, line in enumerate(whole, 1):
            yield number, [line.rstrip("\r\n")]
        return
    reader = csv.reader(whole, delimiter=delimiter)
    while True:
        number = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FileRefused(f"Line {number} cannot be read as a row: {error}.") from None
        yield number, values


def _delimiter(head: Iterable[str]) -> str:
    """The delimiter that most lines have; none when no delimiter is common."""
    lines = [line for line in head if line.strip()]
    for delimiter in ("\t", "|", ","):
        if sum(delimiter in line for line in lines) * 2 > len(lines):
            return delimiter
    return ""


def _sheet_rows(path: Path, archive: zipfile.ZipFile, limits: Limits) -> Iterator[Row]:
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    total = sum(member.file_size for member in archive.infolist())
    if total > limits.sheet_bytes or total > max(path.stat().st_size, 64 * 1024) * limits.ratio:
        raise FileRefused("The workbook unpacks to far more than it should.")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    except (InvalidFileException, KeyError, ValueError, OSError) as error:
        raise FileRefused("The workbook cannot be read.") from error
    try:
        sheet = book.worksheets[0] if book.worksheets else None
        if sheet is None:
            raise FileRefused("The workbook has no sheet.")
        for number, cells in enumerate(
            sheet.iter_rows(max_col=limits.columns, values_only=True), 1
        ):
            if number > limits.sheet_rows:
                raise FileRefused(f"The sheet has more than {limits.sheet_rows} rows.")
            yield number, [_cell(value) for value in cells]
    finally:
        book.close()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, float):
        return str(int(value)) if value == int(value) else format(Decimal(repr(value)), "f")
    return str(value)


def _counted(rows: Iterator[Row], limits: Limits) -> Iterator[Row]:
    """Leave out blank rows; refuse a file with more rows or columns than any table has."""
    for count, (number, values) in enumerate(rows, 1):
        if count > limits.rows:
            raise FileRefused(f"The file has more than {limits.rows} rows.")
        if len(values) > limits.columns:
            raise FileRefused(f"Line {number} has more than {limits.columns} columns.")
        if any(v.strip() for v in values):
            yield number, values
