"""The CMS-1500 (02/12) of a claim as PDF: the same sheet as the 837P, drawn on plain
pages with short labels of our own.

Six lines stand on a page; a claim with more continues, the total stands on the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from io import BytesIO

from reportlab.lib.pagesizes import letter
from reportlab.lib.units import inch
from reportlab.pdfgen.canvas import Canvas

from claims.edits.facts import Address, LineFacts
from claims.facts import Sheet

LINES = 6
LEFT, TOP, ROW = 0.35 * inch, 10.45 * inch, 0.335 * inch
WIDTH = 7.8 * inch
LETTERS = "ABCDEFGHIJKL"
SEX = {"M": "M", "F": "F"}
RELATION = {"18": "Self", "01": "Spouse", "19": "Child"}
KINDS = {
    "medicare_b": "Medicare",
    "medicaid_ffs": "Medicaid",
    "medicaid_mco": "Medicaid",
    "tricare": "TRICARE",
    "workers_comp": "Other",
    "auto": "Other",
    "commercial": "Group health plan",
    "erisa": "Group health plan",
    "medicare_advantage": "Other",
}


def render(sheet: Sheet) -> bytes:
    """The claim as PDF."""
    out = BytesIO()
    canvas = Canvas(out, pagesize=letter, pageCompression=1)
    canvas.setTitle(f"Claim {sheet.facts.claim_id}")
    canvas.setAuthor("Isocenter")
    lines = sheet.facts.lines
    pages = [lines[n : n + LINES] for n in range(0, max(len(lines), 1), LINES)]
    for number, part in enumerate(pages, start=1):
        _page(canvas, sheet, part, number, len(pages))
        canvas.showPage()
    canvas.save()
    return out.getvalue()


class _Boxes:
    """Draws boxes row by row; widths are shares of the form's width."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.y = TOP

    def row(self, *boxes: tuple[str, str, float], height: float = ROW) -> None:
        x = LEFT
        total = sum(share for _, _, share in boxes)
        self.y -= height
        for label, value, share in boxes:
            width = WIDTH * share / total
            self.canvas.rect(x, self.y, width, height, stroke=1, fill=0)
            self.canvas.setFont("Helvetica", 5.5)
            self.canvas.drawString(x + 3, self.y + height - 7, label[: int(width / 2.4)])
            self.canvas.setFont("Courier", 9)
            for n, text in enumerate(value.split("\n")):
                self.canvas.drawString(
                    x + 3, self.y + height - 17 - 10 * n, text[: max(1, int(width / 5.5))]
                )
            x += width


def _page(
    canvas: Canvas, sheet: Sheet, lines: Sequence[LineFacts], number: int, pages: int
) -> None:
    f, row = sheet.facts, sheet.claim
    canvas.setLineWidth(0.5)
    canvas.setFont("Helvetica-Bold", 9)
    canvas.drawString(LEFT, TOP + 6, "HEALTH INSURANCE CLAIM, CMS-1500 (02/12) data")
    canvas.setFont("Courier", 9)
    canvas.drawRightString(LEFT + WIDTH, TOP + 6, f"{f.payer_name}   page {number} of {pages}")
    boxes = _Boxes(canvas)
    other = sheet.others[0] if sheet.others else None
    place = f"{f.patient_address.city} {f.patient_address.state} {f.patient_address.zip}"
    boxes.row(
        ("1 Kind of coverage", KINDS.get(f.product, "Other"), 5),
        ("1a Insured's ID", f.member_id, 3),
    )
    boxes.row(
        ("2 Patient", f"{f.patient_last}, {f.patient_first}", 3.4),
        ("3 Born, sex", f"{_mdy(f.patient_dob)}  {SEX.get(f.patient_sex, '')}", 1.8),
        ("4 Insured", f"{f.subscriber_last}, {f.subscriber_first}", 2.8),
    )
    boxes.row(
        ("5 Patient's address", f.patient_address.line1, 3.4),
        ("6 Relationship", RELATION.get(f.relationship, "Other"), 1.8),
        ("7 Insured's address", f.subscriber_address.line1, 2.8),
    )
    boxes.row(
        ("City, state, ZIP", place, 3.4), ("8 Reserved", "", 1.8), ("City, state, ZIP", place, 2.8)
    )
    boxes.row(
        ("9 Other insured", f"{other.payer.name}" if other else "", 3.4),
        ("10 Related to: employment, auto, other", _causes(f.related_cause, f.accident_state), 1.8),
        ("11 Group number", f.group_number, 2.8),
    )
    boxes.row(
        ("9a Other policy", other.member_id if other else "", 3.4),
        ("10d Claim codes", "", 1.8),
        (
            "11a Insured's birth date, sex",
            f"{_mdy(f.subscriber_dob)}  {SEX.get(f.subscriber_sex, '')}",
            1.8,
        ),
        ("11d Other plan", "Yes" if other else "No", 1.0),
    )
    boxes.row(
        ("12 Patient's signature", "Signature on file", 4),
        ("13 Insured's signature", "Signature on file" if f.benefits_assigned == "Y" else "", 4),
    )
    boxes.row(
        ("14 Date of illness or accident", _mdy(f.accident_date), 2),
        ("15 Other date", "", 2),
        ("16 Unable to work", "", 4),
    )
    boxes.row(
        ("17 Ordering provider (DK)", f.ordering_name, 3.6),
        ("17b NPI", f.ordering_npi, 1.6),
        ("18 Hospitalization", "", 2.8),
    )
    bought = sum((line.purchased_price or Decimal(0) for line in f.lines), Decimal(0))
    boxes.row(
        ("19 Additional information", _extra(sheet), 5.2),
        ("20 Outside lab, charges", f"Yes {_money(bought)}" if bought else "No", 2.8),
    )
    codes = [f"{LETTERS[n]} {code}" for n, code in enumerate(f.diagnoses[:12])]
    boxes.row(
        (
            "21 Diagnoses, ICD indicator 0",
            "\n".join(
                "  ".join(c.ljust(10) for c in codes[n : n + 4])
                for n in (0, 4, 8)
                if codes[n : n + 4]
            ),
            5.2,
        ),
        (
            "22 Resubmission code, original number",
            f"{f.frequency if f.frequency != '1' else ''} {f.payer_icn}\n23 {f.prior_auth_number}".strip(),
            2.8,
        ),
        height=ROW * 1.7,
    )
    _lines(canvas, boxes, sheet, lines)
    last = number == pages
    boxes.row(
        ("25 Tax number (EIN)", f.billing_tin, 1.6),
        ("26 Patient's account", f.claim_id, 1.8),
        ("27 Assignment", "Yes" if f.accept_assignment == "A" else "No", 0.9),
        ("28 Total charge", _money(f.total) if last else "continued", 1.2),
        ("29 Paid by others", _money(_paid(sheet)) if last else "", 1.2),
        ("30 Reserved", "", 0.8),
    )
    where = f.facility_address if f.facility_npi else f.billing_address
    name = sheet.facility_name.upper() if f.facility_npi else f.billing_name
    boxes.row(
        ("31 Signature of provider", f"Signature on file\n{_mdy(f.first_filed_on)}", 2.2),
        ("32 Service facility", "\n".join([name, *_place(where)]), 2.8),
        ("33 Billing provider", "\n".join([f.billing_name, *_place(f.billing_address)]), 2.8),
        height=ROW * 1.9,
    )
    boxes.row(
        ("Claim", f"{row.number} rank {f.coverage_rank}", 2.2),
        ("32a NPI", f.facility_npi or f.billing_npi, 2.8),
        ("33a NPI", f.billing_npi, 2.8),
    )


def _lines(canvas: Canvas, boxes: _Boxes, sheet: Sheet, lines: Sequence[LineFacts]) -> None:
    f = sheet.facts
    heads = (
        ("24A From, to", 1.9),
        ("B Place", 0.5),
        ("C", 0.3),
        ("D Code, modifiers", 2.0),
        ("E Dx", 0.6),
        ("F Charge", 1.0),
        ("G Units", 0.6),
        ("I", 0.3),
        ("J Rendering NPI", 1.3),
    )
    boxes.row(*((head, "", share) for head, share in heads), height=10)
    for n in range(LINES):
        line = lines[n] if n < len(lines) else None
        if line is None:
            boxes.row(*(("", "", share) for _, share in heads), height=ROW * 0.8)
            continue
        day = _mdy(line.service_date)
        values = (
            f"{day} {_mdy(line.service_date_to) or day}",
            line.pos or f.pos,
            "",
            " ".join([line.code, *line.modifiers]),
            "".join(LETTERS[p - 1] for p in line.pointers if 1 <= p <= 12),
            _money(line.charge),
            f"{line.units.normalize():f}",
            "",
            line.rendering_npi or f.rendering_npi or f.billing_npi,
        )
        boxes.row(
            *(("", value, share) for value, (_, share) in zip(values, heads, strict=True)),
            height=ROW * 0.8,
        )
    canvas.setFont("Courier", 9)


def _mdy(day: date | None) -> str:
    return f"{day:%m %d %y}" if day else ""


def _money(amount: Decimal) -> str:
    return f"{amount:.2f}".replace(".", " ") if amount else ""


def _paid(sheet: Sheet) -> Decimal:
    return sum(
        (Decimal(str(told["paid"])) for told in sheet.claim.extra.get("cob", ())), Decimal("0.00")
    )


def _causes(cause: str, state: str) -> str:
    return {"EM": "Employment", "AA": f"Auto {state}", "OA": "Other accident"}.get(cause, "No")


def _extra(sheet: Sheet) -> str:
    f = sheet.facts
    parts = [
        f.note,
        f"Mammography {f.mammography_certificate}" if f.mammography_certificate else "",
        f"Attachment {f.attachment_control}" if f.attachment_control else "",
    ]
    return "  ".join(p for p in parts if p)


def _place(address: Address) -> list[str]:
    return [address.line1, f"{address.city} {address.state} {address.zip}"]
