"""An estimate on paper. Everything from outside is escaped: reportlab reads markup in text."""

from __future__ import annotations

from html import escape
from io import BytesIO
from typing import Any

from reportlab.lib import colors
from reportlab.lib.pagesizes import LETTER
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import inch
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from intake.estimate import DISCLAIMER
from intake.models import Estimate, Order
from rcm.web import format as fmt

_STYLES = getSampleStyleSheet()
_BODY, _HEAD, _TITLE = _STYLES["BodyText"], _STYLES["Heading3"], _STYLES["Title"]
_SMALL = ParagraphStyle("small", parent=_BODY, fontSize=8.5, leading=11)


def _text(value: object, style: ParagraphStyle = _BODY) -> Paragraph:
    return Paragraph(escape(str(value or "")), style)


def _grid(rows: list[list[Any]], widths: list[float], *, head: bool = True) -> Table:
    table = Table(rows, colWidths=widths, repeatRows=1 if head else 0)
    style = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, colors.HexColor("#c9ced6")),
        ("LEFTPADDING", (0, 0), (-1, -1), 3),
    ]
    table.setStyle(TableStyle(style))
    return table


def estimate_pdf(row: Estimate) -> bytes:
    """The kept estimate as one PDF page or more: patient, provider, services with codes, expected
    charges, disclaimers (rule `good-faith-estimate`).
    """
    site, organization = row.appointment.site, row.appointment.site.organization
    good_faith = row.kind == "gfe"
    title = "Good-faith estimate" if good_faith else "Estimate of your costs"
    buffer = BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=LETTER,
        leftMargin=0.8 * inch,
        rightMargin=0.8 * inch,
        topMargin=0.7 * inch,
        bottomMargin=0.7 * inch,
        title=title,
        author="Isocenter",
    )
    diagnoses = sorted(
        {
            c
            for o in Order.objects.filter(exams__appointment=row.appointment).distinct()
            for c in o.diagnoses
        }
    )
    facts = [
        [
            "Patient",
            f"{row.patient.name}, born {fmt.mdy(row.patient.born_on)}, MRN {row.patient.mrn}",
        ],
        ["Date of service", fmt.mdy(row.appointment.starts_at)],
        [
            "Where",
            (
                f"{site.name}, {site.address}, {site.city}, {site.state} {site.zip[:5]}, NPI"
                f" {site.npi}"
            ),
        ],
        ["Provider", f"{organization.name}, NPI {organization.npi}, tax ID {organization.tin}"],
        ["Diagnosis", ", ".join(diagnoses) or "not given"],
        ["Given on", fmt.mdy(row.as_of)],
    ]
    lines: list[list[Any]] = [
        [_text(h, _HEAD) for h in ("Code", "Service", "Charge", "Expected price", "You pay")]
    ]
    for line in row.lines:
        lines.append(
            [
                _text(line["code"]),
                _text(f"{line['description']} {line['laterality']}".strip()),
                _text(fmt.money(line["charge"]) or "not known"),
                _text(fmt.money(line["allowed"]) or "not known"),
                _text(fmt.money(line["patient_share"]) or "not known"),
            ]
        )
    total = fmt.money(row.patient_share) if row.patient_share is not None else "cannot be said yet"
    story: list[Any] = [
        _text(title, _TITLE),
        _grid(
            [[_text(a, _HEAD), _text(b)] for a, b in facts], [1.3 * inch, 5.6 * inch], head=False
        ),
        Spacer(1, 12),
        _grid(lines, [0.8 * inch, 2.9 * inch, 1.0 * inch, 1.2 * inch, 1.0 * inch]),
        Spacer(1, 8),
        _text(f"Expected cost to you: {total}", _HEAD),
    ]
    if row.hold:
        story.append(_text(f"Why no amount can be given: {row.hold}"))
    story += [
        Spacer(1, 10),
        _text(DISCLAIMER if good_faith else DISCLAIMER.split(" If you are billed")[0], _SMALL),
    ]
    document.build(story)
    return buffer.getvalue()
