"""A patient statement on paper. Text is drawn as text: nothing a patient's name contains is ever
read as markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from io import BytesIO

from reportlab.lib.pagesizes import letter
from reportlab.lib.units import inch
from reportlab.pdfgen.canvas import Canvas

from intake.models import Patient
from rcm.accounts.models import Organization
from rcm.web import format as fmt

LEFT, RIGHT, TOP = 0.8 * inch, 7.7 * inch, 10.2 * inch
COLUMNS = (
    (0.8, "Date"),
    (1.65, "Exam"),
    (4.35, "Billed"),
    (5.2, "Insurance paid"),
    (6.05, "Adjusted"),
    (6.9, "You paid"),
    (7.7, "You owe"),
)
ROWS_A_PAGE = 26


@dataclass(frozen=True, slots=True)
class StatementPage:
    """What one statement says."""

    number: str
    step: int
    final: bool
    sent_on: date
    organization: Organization
    patient: Patient
    lines: Sequence[Mapping[str, object]]
    balance: Decimal
    on_account: Decimal


def _latin(text: object) -> str:
    """The built-in fonts know Latin-1; anything else is shown as a question mark rather than as an
    empty box.
    """
    return str(text).replace("\u2212", "-").encode("latin-1", "replace").decode("latin-1")


def _day(text: object) -> str:
    return fmt.mdy(date.fromisoformat(str(text)))


def _head(pdf: Canvas, page: StatementPage) -> float:
    o, p = page.organization, page.patient
    pdf.setFont("Helvetica-Bold", 14)
    pdf.drawString(LEFT, TOP, _latin(o.name))
    pdf.setFont("Helvetica", 9)
    pdf.drawString(LEFT, TOP - 14, _latin(f"{o.address}, {o.city}, {o.state} {o.zip[:5]}"))
    if o.phone:
        pdf.drawString(LEFT, TOP - 26, _latin(f"Questions? Call {fmt.phone(o.phone)}"))
    pdf.drawRightString(RIGHT, TOP, _latin(f"Statement {page.number}"))
    pdf.drawRightString(RIGHT, TOP - 14, f"{page.sent_on:%B %-d, %Y}")
    pdf.drawRightString(RIGHT, TOP - 26, "Final notice" if page.final else f"Notice {page.step}")
    pdf.setFont("Helvetica", 11)
    for n, line in enumerate(
        (f"{p.first_name} {p.last_name}", p.address, f"{p.city}, {p.state} {p.zip[:5]}".strip(", "))
    ):
        pdf.drawString(LEFT, TOP - 80 - 14 * n, _latin(line))
    pdf.setFont("Helvetica-Bold", 12)
    pdf.drawRightString(RIGHT, TOP - 80, f"You owe {fmt.money(page.balance)}")
    pdf.setFont("Helvetica", 9)
    pdf.drawRightString(RIGHT, TOP - 94, f"Patient number {_latin(p.mrn)}")
    return float(TOP) - 150


def _table_head(pdf: Canvas, y: float) -> float:
    pdf.setFont("Helvetica-Bold", 8)
    for n, (x, words) in enumerate(COLUMNS):
        (pdf.drawString if n < 2 else pdf.drawRightString)(x * inch, y, words)
    pdf.line(LEFT, y - 4, RIGHT, y - 4)
    return y - 16


def _why(lines: Sequence[Mapping[str, object]]) -> list[str]:
    """Why the patient owes it: who had no insurance is not told that insurance has finished."""
    own = [bool(line.get("self_pay")) for line in lines]
    if all(own):
        return [
            "No insurance was billed for these exams. The last column is what you owe for them."
        ]
    which = "the exams that were billed to it" if any(own) else "these exams"
    found = [
        f"Your insurance has finished with {which}. The last column is the part it left to you:"
        " copay, coinsurance or deductible."
    ]
    return [*found, "For the other exams no insurance was billed."] if any(own) else found


def statement_pdf(page: StatementPage) -> bytes:
    """The statement as PDF bytes: what was done, what insurance did, what is owed and why, how to
    pay, whom to ask.
    """
    out = BytesIO()
    pdf = Canvas(out, pagesize=letter, pageCompression=1)
    pdf.setTitle(f"Statement {page.number}")
    pdf.setAuthor(_latin(page.organization.name))
    y = _table_head(pdf, _head(pdf, page))
    for n, row in enumerate(page.lines):
        if n and n % ROWS_A_PAGE == 0:
            pdf.showPage()
            y = _table_head(pdf, TOP)
        pdf.setFont("Helvetica", 9)
        pdf.drawString(COLUMNS[0][0] * inch, y, _day(row["service_date"]))
        pdf.drawString(COLUMNS[1][0] * inch, y, _latin(row["words"])[:44])
        for (x, _), key in zip(
            COLUMNS[2:],
            ("billed", "insurance_paid", "adjusted", "patient_paid", "owed"),
            strict=True,
        ):
            pdf.drawRightString(x * inch, y, _latin(fmt.money(Decimal(str(row[key])))))
        y -= 15
    pdf.line(LEFT, y + 6, RIGHT, y + 6)
    pdf.setFont("Helvetica-Bold", 10)
    pdf.drawRightString(RIGHT, y - 10, f"Please pay {fmt.money(page.balance)}")
    pdf.setFont("Helvetica", 9)
    words = [
        *_why(page.lines),
        (
            "If you cannot pay all at once, call us: a payment plan costs nothing. If paying is a"
            " hardship, ask for our assistance form."
        ),
        "If you think this is wrong, tell us within 30 days and we hold the bill while we look.",
    ]
    if page.on_account:
        words.insert(0, f"We hold {fmt.money(page.on_account)} of yours on account.")
    if page.final:
        words.insert(
            0,
            "This is the final notice. Call us before it goes further: we can almost always find a"
            " way.",
        )
    for n, line in enumerate(words):
        pdf.drawString(LEFT, y - 34 - 13 * n, _latin(line))
    pdf.save()
    return out.getvalue()
