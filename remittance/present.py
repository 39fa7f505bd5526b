"""Facts of remittance and denial screens as the components draw them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Sum
from django.urls import NoReverseMatch, reverse

from charges.models import Exam
from charges.present import panel_grid
from rcm.ledger.models import Account, LedgerEntry
from rcm.reference.facts import adjustment_reasons, remarks
from rcm.web import format as fmt
from rcm.web import parts
from remittance import tables
from remittance.models import (
    ClaimPayment,
    Denial,
    DenialStatus,
    HeldFor,
    Remittance,
    RemittanceStatus,
    VarianceStatus,
)
from remittance.plan import EXCEPTIONS
from remittance.records import PreviewClaim

ZERO = Decimal("0.00")

REMITTANCE_TONES = {
    RemittanceStatus.QUARANTINED: "bad",
    RemittanceStatus.READY: "info",
    RemittanceStatus.POSTING: "info",
    RemittanceStatus.POSTED: "good",
    RemittanceStatus.REVERSED: "warn",
}
DENIAL_TONES = {
    DenialStatus.OPEN: "bad",
    DenialStatus.CORRECTED: "info",
    DenialStatus.APPEALED: "info",
    DenialStatus.OVERTURNED: "good",
    DenialStatus.PARTIAL: "good",
    DenialStatus.UPHELD: "bad",
    DenialStatus.WRITTEN_OFF: "",
    DenialStatus.PARKED: "warn",
    DenialStatus.WITHDRAWN: "",
}
VARIANCE_TONES = {
    VarianceStatus.OPEN: "bad",
    VarianceStatus.DISPUTED: "info",
    VarianceStatus.RECOVERED: "good",
    VarianceStatus.ACCEPTED: "",
}

CLAIM_STATUS = {
    "1": "Processed as primary",
    "2": "Processed as secondary",
    "3": "Processed as tertiary",
    "4": "Denied",
    "19": "Processed as primary, forwarded",
    "20": "Processed as secondary, forwarded",
    "21": "Processed as tertiary, forwarded",
    "22": "Reversal of an earlier payment",
    "23": "Not theirs, forwarded",
    "25": "Estimate only",
}
HELD_HEADINGS: dict[str, str] = {
    HeldFor.BALANCE: "Why it does not balance",
    HeldFor.VERSION: "Why it is not taken",
    HeldFor.PAYEE: "Whose it is",
    HeldFor.DATE: "What is missing",
}
ACCOUNTS = dict(Account.choices)


def status_tag(row: Remittance) -> tuple[str, str]:
    """The state of a remittance in words; a held one says what holds it."""
    tone = REMITTANCE_TONES[RemittanceStatus(row.status)]
    if row.status == RemittanceStatus.QUARANTINED and row.held_for:
        return str(HeldFor(row.held_for).label), tone
    return row.get_status_display(), tone


def dated(row: Remittance) -> date | None:
    """The date of payment; None while the file names none and nobody has given it."""
    return None if row.held_for == HeldFor.DATE else row.paid_on


def claim_url(claim: Any) -> str:
    """The claim's page; empty where it cannot be shown."""
    try:
        return reverse("claims:claim", args=[claim.public_id])
    except NoReverseMatch:
        return ""


CATEGORY_RULES = {
    "prior_auth": "denial-prior-auth",
    "medical_necessity": "denial-medical-necessity",
    "bundling": "denial-bundling",
    "component": "denial-component",
    "modifier": "denial-modifier",
    "place_of_service": "denial-place-of-service",
    "duplicate": "denial-duplicate",
    "eligibility": "denial-eligibility",
    "demographics": "denial-demographics",
    "cob": "denial-cob",
    "timely_filing": "denial-timely-filing",
    "missing_info": "denial-missing-info",
    "documentation": "denial-documentation",
    "noncovered": "denial-noncovered",
    "provider_enrolment": "denial-provider-enrolment",
    "order_missing": "order-required",
    "mppr": "mppr-technical",
}
"""The rule that says how a category of denial is worked."""


def provider_words(reason: str) -> str:
    """The reason of a provider-level amount in words."""
    return tables.provider_reasons().get(reason, "Reason code not loaded")


def category_words(category: str) -> str:
    return category.replace("_", " ").capitalize()


def category_rule(category: str) -> str:
    """The rule of a category; one that nobody has classed yet has a rule too."""
    return CATEGORY_RULES.get(category, "denial-other")


def reason_words(code: str) -> str:
    row = adjustment_reasons().get(code)
    return row.words if row else "Reason code not loaded"


def remark_words(code: str) -> str:
    row = remarks().get(code)
    return row.words if row else "Remark code not loaded"


def tie(remittance: Remittance) -> parts.Tie:
    """The three-way tie: money that arrived, what the 835 says, what stands in the ledger."""
    posted = ZERO
    if remittance.status in (RemittanceStatus.POSTED, RemittanceStatus.POSTING):
        rows = LedgerEntry.objects.filter(
            organization_id=remittance.organization_id, remittance_id=remittance.pk, account="cash"
        )
        posted = rows.aggregate(s=Sum("amount"))["s"] or ZERO
    advised = remittance.claims_total - remittance.plb_total
    return parts.Tie(
        remittance.amount,
        advised,
        posted,
        arrived_label="Check or EFT",
        advised_label="Sum of 835",
        posted_label="Posted",
    )


@dataclass(frozen=True, slots=True)
class Group:
    """One of the four groups of the posting screen."""

    code: str
    label: str
    count: int
    dollars: Decimal
    claims: Sequence[PreviewClaim] = ()
    tone: str = ""


@dataclass(frozen=True, slots=True)
class LineView:
    """One service line: what the remittance says, what the claim says, what becomes of it."""

    service: Any
    adjustments: Sequence[tuple[str, Decimal, str, str]]
    remarks: Sequence[tuple[str, str]]
    claim_line: Any
    expected: Decimal | None
    difference: Decimal | None
    under: str = ""


def line_views(payment: ClaimPayment) -> list[LineView]:
    """The lines of a payment side by side with the claim's."""
    out: list[LineView] = []
    services = (
        payment.services.select_related("line").prefetch_related("adjustments").order_by("position")
    )
    for s in services:
        adjustments = [
            (f"{a.group}-{a.reason}", a.amount, reason_words(a.reason), a.klass or "unknown")
            for a in sorted(s.adjustments.all(), key=lambda a: a.pk)
        ]
        difference = (
            s.allowed - s.expected if s.allowed is not None and s.expected is not None else None
        )
        under = ""
        if difference is not None and difference:
            under = (
                f"allowed {fmt.money(abs(difference))} {'under' if difference < 0 else 'above'}"
                " contract"
            )
        out.append(
            LineView(
                s,
                adjustments,
                [(c, remark_words(c)) for c in s.remarks],
                s.line,
                s.expected,
                difference,
                under,
            )
        )
    return out


def raw_of(payment: ClaimPayment) -> list[parts.RawLine]:
    """The segments of one CLP loop as received."""
    interchange = payment.remittance.interchange
    if interchange is None or payment.segment_start is None:
        return []
    text = bytes(interchange.content).decode("utf-8", "replace")
    first, last = payment.segment_start, payment.segment_end or payment.segment_start
    return [line for line in parts.raw_lines(text, marked=(first,)) if first <= line.number <= last]


@dataclass(frozen=True, slots=True)
class Result:
    """The ledger of one payment, as posted or as it will be."""

    words: str
    legs: Sequence[tuple[str, Decimal, str]] = ()
    tone: str = ""


def legs_of(legs: Iterable[Any]) -> list[tuple[str, Decimal, str]]:
    """Account in words, amount, reason."""
    return [(ACCOUNTS.get(leg.account, leg.account), leg.amount, leg.reason) for leg in legs]


def posted_legs(payment: ClaimPayment) -> list[tuple[str, Decimal, str]]:
    rows = LedgerEntry.objects.filter(
        organization_id=payment.organization_id,
        transaction__source_type="claim_payment",
        transaction__source_id=payment.pk,
    ).order_by("id")
    return legs_of(rows)


def exception_words(code: str) -> str:
    return EXCEPTIONS.get(code, code.replace("_", " "))


# --- denials --------------------------------------------------------------------------------------


def exam_of(denial: Denial) -> Exam | None:
    """The exam behind a denied line, or behind the claim's first line."""
    line = denial.line or denial.claim.lines.order_by("number").first()
    if line is None:
        return None
    return (
        Exam.objects.select_related(
            "patient", "ordered_exam__order", "authorization", "reader__provider", "site"
        )
        .filter(charges=line.charge_id)
        .first()
    )


def denial_grid(denial: Denial, exam: Exam | None) -> list[dict[str, Any]]:
    """Order, authorization, performed, claim, and what the payer answered."""
    grid = panel_grid(exam) if exam is not None else []
    code = f"{denial.line.code} {' '.join(denial.line.modifiers)}".strip() if denial.line else ""
    grid.append(
        {
            "cell": "Remittance",
            "code": f"{denial.group}-{denial.reason}",
            "text": reason_words(denial.reason),
            "more": (
                f"{code}, {fmt.money(denial.amount)} denied {fmt.short_day(denial.denied_on)}"
                + (f", {' '.join(denial.remarks)}" if denial.remarks else "")
            ),
            "differs": True,
        }
    )
    return grid


def evidence(grid: Sequence[dict[str, Any]]) -> list[parts.Evidence]:
    """Rows of a grid for the component."""
    return [
        parts.Evidence(
            label=str(r.get("cell", "")),
            code=str(r.get("code") or ""),
            text=str(r.get("text") or ""),
            more=str(r.get("more") or ""),
            differs=bool(r.get("differs")),
            missing=bool(r.get("missing")),
            url=str(r.get("url") or ""),
        )
        for r in grid
    ]


@dataclass(slots=True)
class DenialGroup:
    """Denials of one payer and reason, worked as one."""

    payer: str
    payer_id: int
    reason: str
    group: str
    category: str
    words: str
    count: int
    dollars: Decimal
    nearest: Any
    facts: dict[str, Any] = field(default_factory=dict)
