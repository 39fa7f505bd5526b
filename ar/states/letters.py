"""The letter that asks a payer for overdue interest. Text is drawn as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from io import BytesIO

from reportlab.lib.pagesizes import letter
from reportlab.lib.units import inch
from reportlab.pdfgen.canvas import Canvas

from ar.pdf import _latin as latin
from ar.states.prompt_pay import Rule
from ar.states.services import Waited
from rcm.accounts.models import Organization
from rcm.web import format as fmt

LEFT, TOP, STEP = 0.8 * inch, 10.2 * inch, 0.2 * inch
COLUMNS = (0.8, 2.0, 3.1, 4.2, 5.3, 6.2, 7.7)
HEADS = ("Claim", "Received", "Due", "Paid", "Days late", "Amount", "Interest")
ROWS_A_PAGE = 32


@dataclass(frozen=True, slots=True)
class Letter:
    """What one organization asks of one payer in one state."""

    organization: Organization
    payer: str
    state: str
    rule: Rule
    rows: Sequence[Waited]
    on: date

    @property
    def owed(self) -> Decimal:
        return sum((w.clock.interest or Decimal(0) for w in self.rows), Decimal("0.00"))


def pdf(pages: Sequence[Letter]) -> bytes:
    """One letter a page, more where its claims need them."""
    out = BytesIO()
    canvas = Canvas(out, pagesize=letter, invariant=1)
    canvas.setTitle("Interest on late payments")
    for page in pages:
        for start in range(0, len(page.rows), ROWS_A_PAGE):
            _page(canvas, page, start)
            canvas.showPage()
    canvas.save()
    return out.getvalue()


def _page(canvas: Canvas, page: Letter, start: int) -> None:
    y = TOP
    canvas.setFont("Helvetica-Bold", 11)
    canvas.drawString(LEFT, y, latin(page.organization.name))
    canvas.setFont("Helvetica", 10)
    o = page.organization
    for line in (
        f"{o.address}, {o.city}, {o.state} {o.zip[:5]}",
        f"NPI {o.npi}, tax id {o.tin}",
        "",
        fmt.mdy(page.on),
        "",
        f"To: {page.payer}",
        "",
        f"Interest on claims paid late or not paid, {page.state}",
        "",
        f"The law of {page.state} gives {page.rule.days} days from receipt of a clean claim",
        f"({page.rule.source}).",
        _rate(page),
    ):
        y -= STEP
        canvas.drawString(LEFT, y, latin(line))
    y -= 2 * STEP
    canvas.setFont("Helvetica-Bold", 9)
    for x, head in zip(COLUMNS, HEADS, strict=True):
        _put(canvas, x, y, head, right=head in ("Days late", "Amount", "Interest"))
    canvas.setFont("Helvetica", 9)
    for w in page.rows[start : start + ROWS_A_PAGE]:
        y -= STEP
        _row(canvas, y, w)
    if start + ROWS_A_PAGE >= len(page.rows):
        canvas.setFont("Helvetica-Bold", 10)
        y -= 2 * STEP
        canvas.drawString(LEFT, y, latin(f"Interest owed: {fmt.money(page.owed)}"))


def _rate(page: Letter) -> str:
    if page.rule.interest is None:
        return "Please state the interest that you owe by that law."
    return f"Interest is {page.rule.interest.normalize():f}% a year, simple, from the day after."


def _row(canvas: Canvas, y: float, w: Waited) -> None:
    interest = "" if w.clock.interest is None else fmt.money(w.clock.interest)
    values = (
        w.number,
        fmt.mdy(w.received),
        fmt.mdy(w.clock.last_day),
        fmt.mdy(w.paid_on) or "not yet",
        str(w.clock.days_late),
        fmt.money(w.amount),
        interest,
    )
    for n, (x, value) in enumerate(zip(COLUMNS, values, strict=True)):
        _put(canvas, x, y, value, right=n >= 4)


def _put(canvas: Canvas, x: float, y: float, text: str, *, right: bool) -> None:
    draw = canvas.drawRightString if right else canvas.drawString
    draw((x + (0.5 if right and x < 7 else 0)) * inch, y, latin(text))
