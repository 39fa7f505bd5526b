"""The advance notice of non-coverage on paper: the fields and the wording of form CMS-R-131, which
is a work of the United States government.
"""

from __future__ import annotations

from html import escape
from io import BytesIO

from reportlab.lib.pagesizes import LETTER
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import inch
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer

from intake.models import AdvanceNotice
from rcm.reference.clock import clock_of
from rcm.web import format as fmt

_STYLES = getSampleStyleSheet()
OPTIONS = {
    "1": (
        "OPTION 1. I want the item or service listed above. You may ask to be paid now, but I also"
        " want Medicare billed for an official decision on payment, which is sent to me on a"
        " Medicare Summary Notice (MSN). I understand that if Medicare doesn't pay, I am"
        " responsible for payment, but I can appeal to Medicare by following the directions on the"
        " MSN. If Medicare does pay, you will refund any payments I made to you, less co-pays or"
        " deductibles."
    ),
    "2": (
        "OPTION 2. I want the item or service listed above, but do not bill Medicare. You may ask"
        " to be paid now as I am responsible for payment. I cannot appeal if Medicare is not"
        " billed."
    ),
    "3": (
        "OPTION 3. I don't want the item or service listed above. I understand with this choice I"
        " am not responsible for payment, and I cannot appeal to see if Medicare would pay."
    ),
}


def notice_pdf(row: AdvanceNotice) -> bytes:
    """One page: who, which exam, why, what it costs, the three options, the signature."""
    visit = row.appointment
    patient, organization = visit.patient, visit.site.organization
    body, head = _STYLES["BodyText"], _STYLES["Heading3"]

    def line(name: str, text: object) -> Paragraph:
        return Paragraph(f"<b>{name}</b> {escape(str(text))}", body)

    signed = ""
    if row.signed_at is not None:
        signed = f"{clock_of(visit.site).local(row.signed_at):%m/%d/%Y %I:%M %p}"
    exam = f"{row.code} {row.ordered_exam.description}".strip()
    parts: list[Flowable] = [
        Paragraph("Advance Beneficiary Notice of Non-coverage (ABN)", _STYLES["Title"]),
        line("A. Notifier:", f"{organization.name}, {visit.site.name}"),
        line("B. Patient name:", patient.name),
        line("C. Identification number:", patient.mrn),
        Spacer(1, 0.1 * inch),
        Paragraph(
            "NOTE: If Medicare doesn't pay for D. below, you may have to pay. Medicare does not pay"
            " for everything, even some care that you or your health care provider have good reason"
            " to think you need. We expect Medicare may not pay for the D. below.",
            body,
        ),
        line("D.", exam),
        line("E. Reason Medicare may not pay:", row.reason),
        line("F. Estimated cost:", fmt.money(row.cost)),
        Paragraph("G. Options: check only one box. We cannot choose a box for you.", head),
    ]
    for number, words in OPTIONS.items():
        box = "[X]" if row.option == number else "[ ]"
        parts.append(Paragraph(f"{box} {escape(words)}", body))
    parts += [
        Paragraph("H. Additional information:", head),
        Paragraph(
            "This notice gives our opinion, not an official Medicare decision. If you have other"
            " questions on this notice or Medicare billing, call 1-800-MEDICARE (1-800-633-4227,"
            " TTY: 1-877-486-2048). Signing below means that you have received and understand this"
            " notice. You also receive a copy.",
            body,
        ),
        line("I. Signature:", row.signer),
        line("J. Date and time:", signed),
    ]
    buffer = BytesIO()
    SimpleDocTemplate(buffer, pagesize=LETTER, title="Advance notice", author="").build(parts)
    return buffer.getvalue()
