"""Appeal letters: plain text with the facts filled in; a person may change every word before it is
sent. No database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

ARGUMENTS: Mapping[str, str] = {
    "prior_auth": (
        "The enclosed record shows the authorization status of this examination. {authorization} We"
        " ask that the claim be processed with it, or reviewed retrospectively on the enclosed"
        " clinical record."
    ),
    "medical_necessity": (
        "The ordering practitioner asked for this examination for the indication given on the"
        " enclosed order, and the enclosed signed report documents findings that answer it. The"
        " record supports the diagnoses billed."
    ),
    "documentation": (
        "The signed report that documents the examination is enclosed. It identifies the patient,"
        " the technique, the findings and the reader."
    ),
    "timely_filing": "{filing}",
    "bundling": (
        "The enclosed report documents that the examinations were distinct, so that payment of one"
        " does not include the other."
    ),
    "component": (
        "The enclosed record shows who performed and who interpreted the examination, and that only"
        " the part billed here was furnished by us."
    ),
    "": "The enclosed record supports payment of the examination as billed.",
}


@dataclass(frozen=True, slots=True)
class LetterFacts:
    """What a letter states. Everything is plain text or a figure."""

    today: date
    organization: str
    address: Sequence[str]
    payer: str
    payer_address: Sequence[str]
    level: int
    level_name: str
    patient: str
    born: date
    member_id: str
    claim_number: str
    payer_control_number: str
    service_date: date
    exam: str
    billed: Decimal
    denied: Decimal
    denied_on: date
    reason: str
    reason_words: str
    remarks: Sequence[str]
    category: str
    authorization: str = ""
    accepted_on: date | None = None
    filing_limit: date | None = None
    report: str = ""
    contact: str = ""
    enclosures: Sequence[str] = field(default_factory=tuple)


def filing_words(f: LetterFacts) -> str:
    """What the record proves about filing. Only an acceptance proves that a claim was received;
    that it was in time is said only where both days are known.
    """
    if f.accepted_on is None:
        return (
            "The enclosed record shows when the claim was first sent. It holds no acceptance by"
            " the payer."
        )
    accepted = f"The payer's acceptance of claim {f.claim_number} on {f.accepted_on:%B %-d, %Y}"
    if f.filing_limit is None or f.accepted_on > f.filing_limit:
        return f"{accepted} is enclosed, with the record of when it was first sent."
    limit = f"{f.filing_limit:%B %-d, %Y}"
    return f"{accepted} is enclosed. The last day to file was {limit}: it was received in time."


def letter(f: LetterFacts) -> str:
    """The draft of an appeal letter."""
    argument = ARGUMENTS.get(f.category, ARGUMENTS[""]).format(
        authorization=f.authorization or "No authorization number was returned for it.",
        filing=filing_words(f),
    )
    remarks = f" with remark {', '.join(f.remarks)}" if f.remarks else ""
    lines = [
        f.organization,
        *f.address,
        "",
        f"{f.today:%B %-d, %Y}",
        "",
        f.payer,
        "Appeals",
        *f.payer_address,
        "",
        f"Re: {f.level_name} (level {f.level})",
        f"Patient: {f.patient}, born {f.born:%m/%d/%Y}",
        f"Member ID: {f.member_id}",
        f"Our claim: {f.claim_number}"
        + (f"   Your claim: {f.payer_control_number}" if f.payer_control_number else ""),
        f"Date of service: {f.service_date:%m/%d/%Y}   Examination: {f.exam}",
        f"Charge: ${f.billed:,.2f}   Denied: ${f.denied:,.2f}",
        "",
        "To whom it may concern:",
        "",
        f"Your remittance of {f.denied_on:%B %-d, %Y} denied this examination with"
        f" {f.reason}{remarks}"
        + (f" ({f.reason_words[:1].lower()}{f.reason_words[1:]})" if f.reason_words else "")
        + ". We ask you to reconsider.",
        "",
        argument,
        *([f"{f.report}"] if f.report else []),
        "",
        (
            "Please send your decision in writing to the address above. If the denial is upheld,"
            " please name the provision of the plan or policy and the reviewer's qualification."
        ),
        "",
        "Sincerely,",
        "",
        f.contact or f.organization,
        "",
        *(["Enclosed: " + "; ".join(f.enclosures)] if f.enclosures else []),
    ]
    return "\n".join(lines)
