"""Report and board book on paper: one table a group, room for a note, nothing of a patient. Text is
drawn as text, never read as markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO

from reportlab.lib.pagesizes import letter
from reportlab.lib.units import inch
from reportlab.pdfgen.canvas import Canvas

from ar.pdf import _latin as latin

LEFT, RIGHT, TOP, BOTTOM = 0.8 * inch, 7.7 * inch, 10.2 * inch, 0.9 * inch
STEP = 0.19 * inch
LINE = 98


@dataclass(frozen=True, slots=True)
class Table:
    """A table of words: its first column is left, the others right."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Book:
    """What a report says."""

    title: str
    organization: str
    period: str
    made_on: date
    sentence: str
    tables: Sequence[Table]
    notes: Sequence[str] = ()


class _Pages:
    """A canvas that turns its page when a line does not fit, with a foot on each."""

    def __init__(self, book: Book, out: BytesIO) -> None:
        self.book, self.number = book, 1
        self.canvas = Canvas(out, pagesize=letter, pageCompression=1, invariant=1)
        self.canvas.setTitle(latin(book.title))
        self.canvas.setAuthor(latin(book.organization))
        self.y = TOP

    def _foot(self) -> None:
        self.canvas.setFont("Helvetica", 8)
        foot = f"{self.book.organization}, {self.book.period}. Page {self.number}"
        self.canvas.drawString(LEFT, BOTTOM - 0.3 * inch, latin(foot))

    def turn(self) -> None:
        self._foot()
        self.canvas.showPage()
        self.number += 1
        self.y = TOP

    def room(self, lines: float) -> None:
        if self.y - lines * STEP < BOTTOM:
            self.turn()

    def text(self, words: str, *, size: int = 10, bold: bool = False) -> None:
        self.room(1)
        self.canvas.setFont("Helvetica-Bold" if bold else "Helvetica", size)
        self.canvas.drawString(LEFT, self.y, latin(words))
        self.y -= STEP * max(1.0, size / 10)

    def end(self) -> None:
        self._foot()
        self.canvas.save()


def lines_of(words: str, width: int = LINE) -> list[str]:
    """A sentence in lines of at most so many characters."""
    found, line = [], ""
    for word in words.split():
        if line and len(line) + len(word) + 1 > width:
            found.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*found, line] if line else found


def _table(pages: _Pages, table: Table) -> None:
    pages.room(4)
    pages.y -= STEP
    pages.text(table.title, size=12, bold=True)
    width = (RIGHT - LEFT - 2.6 * inch) / max(len(table.head) - 1, 1)
    for n, row in enumerate([table.head, *table.rows]):
        pages.room(1)
        pages.canvas.setFont("Helvetica-Bold" if not n else "Helvetica", 9)
        for column, words in enumerate(row):
            if column == 0:
                pages.canvas.drawString(LEFT, pages.y, latin(words)[:46])
            else:
                x = LEFT + 2.6 * inch + width * column
                pages.canvas.drawRightString(x, pages.y, latin(words)[:24])
        if not n:
            pages.canvas.line(LEFT, pages.y - 3, RIGHT, pages.y - 3)
        pages.y -= STEP


def book_pdf(book: Book) -> bytes:
    """The book as PDF bytes; the same book gives the same bytes."""
    out = BytesIO()
    pages = _Pages(book, out)
    pages.text(book.title, size=18, bold=True)
    pages.text(book.organization, size=12)
    pages.text(f"{book.period}. Made {book.made_on:%B %-d, %Y}.")
    pages.y -= STEP / 2
    for line in lines_of(book.sentence):
        pages.text(line)
    for table in book.tables:
        _table(pages, table)
    for note in book.notes:
        pages.y -= STEP / 2
        for line in lines_of(note):
            pages.text(line, size=9)
    pages.end()
    return out.getvalue()
