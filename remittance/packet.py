"""Appeal packets as PDF (rule `appeal-packet`). Text is drawn character by character on the page,
never as markup, so that a name with tags or an image address prints as it reads and opens nothing.
Merged files lose scripts, launches and embedded files.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

from pypdf import PdfReader, PdfWriter
from reportlab.lib.pagesizes import letter as LETTER
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from remittance.records import EvidencePart

WIDTH, HEIGHT = LETTER
LEFT, TOP, BOTTOM = 54.0, HEIGHT - 60.0, 60.0
FONT, BOLD, SIZE, LEAD = "Helvetica", "Helvetica-Bold", 10.0, 14.0
MOST_LINES = 4000


def plain(text: str) -> str:
    """What the built-in fonts can print; anything else becomes a question mark, control characters
    a space.
    """
    clean = "".join(c if c.isprintable() else " " for c in text.replace("\t", "    "))
    return clean.encode("cp1252", "replace").decode("cp1252")


def wrapped(text: str, width: float, font: str = FONT, size: float = SIZE) -> Iterator[str]:
    """Lines that fit, broken at spaces, and inside a word only when it alone is too wide."""
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in plain(paragraph).split(" "):
            trial = f"{line} {word}" if line else word
            if stringWidth(trial, font, size) <= width:
                line = trial
                continue
            if line:
                yield line
            line = word
            while stringWidth(line, font, size) > width:
                cut = max(1, int(len(line) * width / stringWidth(line, font, size)))
                while cut > 1 and stringWidth(line[:cut], font, size) > width:
                    cut -= 1
                yield line[:cut]
                line = line[cut:]
        yield line


class _Paper:
    def __init__(self, title: str, footer: str) -> None:
        self.out = io.BytesIO()
        self.canvas = Canvas(self.out, pagesize=LETTER, pageCompression=1, invariant=1)
        self.canvas.setTitle(title)
        self.canvas.setAuthor("")
        self.footer = plain(footer)
        self.page = 1
        self.y = TOP
        self.lines = 0

    def line(self, text: str, *, font: str = FONT, size: float = SIZE, indent: float = 0.0) -> None:
        for part in wrapped(text, WIDTH - 2 * LEFT - indent, font, size):
            self.lines += 1
            if self.lines > MOST_LINES:
                return
            if self.y < BOTTOM:
                self.turn()
            self.canvas.setFont(font, size)
            self.canvas.drawString(LEFT + indent, self.y, part)
            self.y -= LEAD * size / SIZE

    def gap(self, points: float = LEAD) -> None:
        self.y -= points

    def fact(self, name: str, value: str) -> None:
        if self.y < BOTTOM:
            self.turn()
        self.canvas.setFont(BOLD, SIZE)
        self.canvas.drawString(LEFT, self.y, plain(name)[:40])
        parts = list(wrapped(value, WIDTH - 2 * LEFT - 150)) or [""]
        for n, part in enumerate(parts):
            if n and self.y < BOTTOM:
                self.turn()
            self.canvas.setFont(FONT, SIZE)
            self.canvas.drawString(LEFT + 150, self.y, part)
            self.y -= LEAD

    def turn(self) -> None:
        self.canvas.setFont(FONT, 8)
        self.canvas.drawString(LEFT, 36, self.footer)
        self.canvas.drawRightString(WIDTH - LEFT, 36, f"Page {self.page}")
        self.canvas.showPage()
        self.page += 1
        self.y = TOP

    def done(self) -> bytes:
        self.turn()
        self.canvas.save()
        return self.out.getvalue()


def text_pdf(title: str, text: str, *, footer: str = "") -> bytes:
    """A letter."""
    paper = _Paper(title, footer)
    paper.line(text)
    return paper.done()


def parts_pdf(title: str, parts: Iterable[EvidencePart], *, footer: str = "") -> bytes:
    """Evidence, each part on a new page: heading, facts, lines."""
    paper = _Paper(title, footer)
    first = True
    for part in parts:
        if not first:
            paper.turn()
        first = False
        paper.line(part.title, font=BOLD, size=14)
        paper.gap(8)
        for name, value in part.facts:
            paper.fact(name, value)
        if part.facts and part.lines:
            paper.gap(8)
        for line in part.lines:
            paper.line(line)
    return paper.done()


def merge(files: Sequence[bytes], *, title: str) -> bytes:
    """One PDF of several, with pages only: no scripts, actions, forms or embedded files come
    along.
    """
    writer = PdfWriter()
    for content in files:
        for page in PdfReader(io.BytesIO(content)).pages:
            for key in ("/AA", "/Annots", "/Metadata"):
                if key in page:
                    del page[key]
            writer.add_page(page)
    writer.add_metadata(
        {"/Title": plain(title), "/Author": "", "/Creator": "Isocenter", "/Producer": "Isocenter"}
    )
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
