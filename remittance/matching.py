"""Which claim and which line a payment is for (rule `payment-match`). Facts in, match or scored
candidates out; no database.

A claim is found by our number (CLP01), then by the payer's number (CLP07, REF*F8), then by member,
day, charge and a code that all agree and fit one claim alone. What fits less is a candidate for a
person, with its reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class ClaimLine:
    line_id: int
    charge_id: int
    control: str
    code: str
    modifiers: Sequence[str]
    amount: Decimal
    expected: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """One of our claims as far as matching sees it."""

    claim_id: int
    number: str
    patient_id: int
    payer_id: int
    rank: int
    total: Decimal
    service_date: date
    member_id: str = ""
    last_name: str = ""
    first_name: str = ""
    payer_control_number: str = ""
    lines: Sequence[ClaimLine] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Paid:
    """One CLP as far as matching sees it."""

    number: str
    payer_control_number: str
    original_control: str
    billed: Decimal
    member_id: str
    last_name: str
    first_name: str
    service_date: date | None
    codes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Candidate:
    claim_id: int
    number: str
    points: int
    why: str


def normal(text: str) -> str:
    """A number as payers may have rewritten it: upper case, letters and digits only, no leading
    zeros.
    """
    return "".join(c for c in text.upper() if c.isalnum()).lstrip("0")


def points(paid: Paid, claim: Claim) -> tuple[int, list[str]]:
    """How well a claim fits, 0 to 100, and what fits."""
    total, why = 0, []
    billed = abs(paid.billed)
    codes = {line.code for line in claim.lines}
    for fits, worth, words in (
        (bool(paid.number) and normal(paid.number) == normal(claim.number), 40, "claim number"),
        (
            bool(claim.payer_control_number)
            and claim.payer_control_number in (paid.payer_control_number, paid.original_control),
            35,
            "payer's number",
        ),
        (
            bool(paid.member_id) and normal(paid.member_id) == normal(claim.member_id),
            20,
            "member ID",
        ),
        (
            bool(paid.last_name) and paid.last_name.casefold() == claim.last_name.casefold(),
            10,
            "last name",
        ),
        (
            bool(paid.first_name) and paid.first_name.casefold() == claim.first_name.casefold(),
            5,
            "first name",
        ),
        (paid.service_date == claim.service_date, 15, "date of service"),
        (billed == claim.total, 15, "charge"),
        (bool(paid.codes & codes), 10, "code"),
    ):
        if fits:
            total += worth
            why.append(words)
    return min(total, 100), why


def candidates(
    paid: Paid, claims: Sequence[Claim], *, least: int = 25, most: int = 5
) -> list[Candidate]:
    """The best fits, best first."""
    found = []
    for claim in claims:
        worth, why = points(paid, claim)
        if worth >= least:
            found.append(Candidate(claim.claim_id, claim.number, worth, ", ".join(why)))
    return sorted(found, key=lambda c: (-c.points, c.claim_id))[:most]


def sure(paid: Paid, claims: Sequence[Claim]) -> Claim | None:
    """The one claim where member (or whole name), day, charge and a code all agree; None when two
    do.
    """
    fits = [
        c
        for c in claims
        if paid.service_date == c.service_date
        and abs(paid.billed) == c.total
        and paid.codes & {line.code for line in c.lines}
        and (
            (bool(paid.member_id) and normal(paid.member_id) == normal(c.member_id))
            or (
                bool(paid.last_name)
                and paid.last_name.casefold() == c.last_name.casefold()
                and paid.first_name.casefold() == c.first_name.casefold()
            )
        )
    ]
    return fits[0] if len(fits) == 1 else None


@dataclass(frozen=True, slots=True)
class PaidLine:
    control: str
    code: str
    modifiers: Sequence[str]
    billed: Decimal
    original_code: str = ""


def match_lines(paid: Sequence[PaidLine], lines: Sequence[ClaimLine]) -> list[ClaimLine | None]:
    """The claim line of each paid line: by our control number, then code, modifiers and charge,
    then ever less, each line once if it can be.

    A payer that drops a modifier or splits a line still matches; a code that is nowhere on the
    claim does not.
    """
    by_control = {line.control: line for line in lines if line.control}
    taken: set[int] = set()
    found: list[ClaimLine | None] = [None] * len(paid)
    for i, row in enumerate(paid):
        line = by_control.get(row.control)
        if line is not None:
            found[i] = line
            taken.add(line.line_id)
    for degree in range(5):
        for i, row in enumerate(paid):
            if found[i] is not None:
                continue
            fits = [
                line
                for line in lines
                if _fits(row, line, degree) and (degree == 4 or line.line_id not in taken)
            ]
            if fits:
                found[i] = fits[0]
                taken.add(fits[0].line_id)
    return found


def _fits(row: PaidLine, line: ClaimLine, degree: int) -> bool:
    if line.code not in (row.code, row.original_code):
        return False
    same_charge = abs(row.billed) == line.amount
    same_modifiers = set(row.modifiers) == set(line.modifiers)
    return (
        (same_charge and same_modifiers),
        (same_charge and set(row.modifiers) <= set(line.modifiers)),
        same_charge,
        same_modifiers,
        True,
    )[degree]
