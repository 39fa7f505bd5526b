"""The CMS-1500 (02/12) of a claim as PDF: on the preprinted red form, where only the data is
printed, and as a copy on plain paper with drawn boxes and short labels of our own.

`content` says what stands in each box, `grid` where the box is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO

from reportlab.lib.pagesizes import letter
from reportlab.lib.units import inch
from reportlab.pdfgen.canvas import Canvas

from claims.cms1500 import content, grid
from claims.cms1500.content import left_out
from claims.facts import Sheet

FONT, SIZE = "Courier", 10.0
SPACE = grid.PITCH - 0.6 * SIZE
"""What is added behind each letter, so that ten stand on an inch."""

PUNCTUATION = re.compile(r"""[#;:'"]|\.(?!\d)|(?<!\d)\.""")
"""What the form does not take; the point of a quantity stays."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a printer has to be moved, in inches to the right and down."""

    right: Decimal = Decimal(0)
    down: Decimal = Decimal(0)


def render(sheet: Sheet, *, red: bool = False, shift: Shift | None = None) -> bytes:
    """The claim as PDF: `red` is for the preprinted form, data alone."""
    out = BytesIO()
    canvas = _canvas(out, f"Claim {sheet.facts.claim_id}")
    pages = content.pages(sheet)
    for number, page in enumerate(pages, start=1):
        _move(canvas, shift)
        if not red:
            _boxes(canvas, f"Claim {sheet.facts.claim_id}, sheet {number} of {len(pages)}")
        for name, row, text in content.texts(page):
            field = grid.FIELDS[name] if row is None else grid.service_field(name, row)
            _put(canvas, field, text)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def trial(shift: Shift | None = None) -> bytes:
    """A sheet to try a printer with: an X at the outer boxes and in the services, and the ruler of
    the columns.
    """
    out = BytesIO()
    canvas = _canvas(out, "Trial sheet")
    _move(canvas, shift)
    for name in ("1.medicare", "1.other", "11d.yes", "20.no", "25.ein", "27.yes"):
        _put(canvas, grid.FIELDS[name], "X")
    for name in ("1a", "2", "23", "33a"):
        field = grid.FIELDS[name]
        _put(canvas, field, "X" * field.width)
    for row in range(grid.LINES):
        for name in ("24A.from.month", "24D", "24F.cents", "24J"):
            field = grid.service_field(name, row)
            _put(canvas, field, "X" * field.width)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def _canvas(out: BytesIO, title: str) -> Canvas:
    canvas = Canvas(out, pagesize=letter, pageCompression=1)
    canvas.setTitle(title)
    canvas.setAuthor("Isocenter")
    return canvas


def _move(canvas: Canvas, shift: Shift | None) -> None:
    if shift is not None and (shift.right or shift.down):
        canvas.translate(float(shift.right) * inch, -float(shift.down) * inch)


def _put(canvas: Canvas, field: grid.Field, text: str) -> None:
    """A value in its place: capitals without points, cut where the box ends."""
    plain = PUNCTUATION.sub("", text).upper()[: field.width]
    column = field.column + (field.width - len(plain) if field.right else 0)
    canvas.setFont(FONT, SIZE)
    canvas.drawString(grid.x_of(column), grid.baseline_of(field.line), plain, charSpace=SPACE)


def _boxes(canvas: Canvas, title: str) -> None:
    """The copy's own form: boxes, labels, and a small square for each X."""
    canvas.setFont("Helvetica-Bold", 8)
    canvas.drawString(grid.x_of(1), grid.top_of(2) - 8, "CMS-1500 (02/12), copy on plain paper")
    canvas.setFont("Helvetica", 8)
    canvas.drawString(grid.x_of(1), grid.top_of(3) - 8, title)
    canvas.setLineWidth(0.4)
    canvas.setFillGray(0.9)
    for row in range(grid.LINES):
        bottom = grid.top_of(grid.FIRST_SERVICE + 2 * row + 1)
        width = (grid.LAST_COLUMN + grid.EDGE - 1) * grid.PITCH
        canvas.rect(grid.x_of(1) - 2, bottom, width, grid.LEADING, stroke=0, fill=1)
    canvas.setFillGray(0)
    for box in grid.outlines():
        x, y = grid.x_of(box.first_column) - 2, grid.top_of(box.last_line + 1)
        width = (box.last_column - box.first_column) * grid.PITCH
        canvas.rect(x, y, width, grid.top_of(box.first_line) - y, stroke=1, fill=0)
        canvas.setFont("Helvetica", 5)
        canvas.drawString(x + 2, grid.top_of(box.first_line) - 6, box.label)
    canvas.setFont("Helvetica", 4)
    for line, column, word in grid.CHECKS.values():
        x = grid.x_of(column)
        canvas.rect(x - 1, grid.top_of(line + 1) + 1, grid.PITCH, 9, stroke=1, fill=0)
        canvas.drawString(x + grid.PITCH, grid.top_of(line + 1) + 2, word)


__all__ = ["Shift", "left_out", "render", "trial"]
