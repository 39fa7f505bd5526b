"""Letters to patients about assistance, in print. Text is drawn as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import date
from io import BytesIO

from reportlab.lib.pagesizes import letter
from reportlab.lib.units import inch
from reportlab.pdfgen.canvas import Canvas

from intake.models import Patient
from rcm.accounts.models import Organization
from rcm.web import format as fmt

LEFT, TOP, WIDE = 1.0 * inch, 10.0 * inch, 92


def _latin(text: object) -> str:
    return str(text).encode("latin-1", "replace").decode("latin-1")


def letter_pdf(
    organization: Organization,
    patient: Patient,
    *,
    on: date,
    subject: str,
    paragraphs: Sequence[str],
) -> bytes:
    """A letter of one page as PDF bytes, addressed for a window envelope."""
    out = BytesIO()
    pdf = Canvas(out, pagesize=letter, pageCompression=1)
    pdf.setTitle(_latin(subject))
    pdf.setAuthor(_latin(organization.name))
    o, p = organization, patient
    pdf.setFont("Helvetica-Bold", 13)
    pdf.drawString(LEFT, TOP, _latin(o.name))
    pdf.setFont("Helvetica", 9)
    pdf.drawString(LEFT, TOP - 13, _latin(f"{o.address}, {o.city}, {o.state} {o.zip[:5]}"))
    pdf.setFont("Helvetica", 11)
    place = f"{p.city}, {p.state} {p.zip[:5]}".strip(", ")
    for n, line in enumerate((f"{p.first_name} {p.last_name}", p.address, place)):
        pdf.drawString(LEFT, TOP - 80 - 14 * n, _latin(line))
    pdf.drawString(LEFT, TOP - 150, f"{on:%B %-d, %Y}")
    pdf.setFont("Helvetica-Bold", 11)
    pdf.drawString(LEFT, TOP - 180, _latin(subject))
    pdf.setFont("Helvetica", 11)
    y = TOP - 206
    closing = f"Questions? Call {fmt.phone(o.phone)}." if o.phone else ""
    for paragraph in [*paragraphs, closing, o.name]:
        for line in textwrap.wrap(_latin(paragraph), WIDE):
            pdf.drawString(LEFT, y, line)
            y -= 15
        y -= 9
    pdf.save()
    return out.getvalue()
