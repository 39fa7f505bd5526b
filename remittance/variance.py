"""Allowed against expected, and why they differ (rules `underpayment` and `mppr-technical`). Facts
in, finding out; no database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from remittance.plan import Cas

TOLERANCE = Decimal("0.02")
MULTIPLE, EQUIPMENT, SEQUESTRATION = "59", "237", "253"


@dataclass(frozen=True, slots=True)
class Found:
    """A difference that counts: negative is an underpayment."""

    difference: Decimal
    cause: str


def judge(
    *,
    expected: Decimal,
    allowed: Decimal,
    adjustments: Sequence[Cas],
    our_reduction: Decimal | None,
    dollars: Decimal,
    percent: Decimal,
) -> Found | None:
    """The variance of one paid line, or None when it is within max(`dollars`, `percent` of
    expected).

    `our_reduction` is the multiple-procedure reduction in our own derivation (None: not known). The
    payer's amount under CARC 59 must equal it to two cents; else the reduction is the cause,
    whatever the size of the difference.
    """
    difference = allowed - expected
    cut = sum((c.amount for c in adjustments if c.reason == MULTIPLE), Decimal("0.00"))
    off = cut - our_reduction if our_reduction is not None else None
    if off is not None and off > TOLERANCE and difference < -TOLERANCE:
        return Found(difference, "mppr")
    if abs(difference) <= max(dollars, expected * percent / 100):
        return None
    if off is not None and cut and abs(difference + off) <= TOLERANCE:
        return Found(difference, "mppr")
    by_reason = {
        reason: sum((c.amount for c in adjustments if c.reason == reason), Decimal("0.00"))
        for reason in (EQUIPMENT, SEQUESTRATION)
    }
    if by_reason[EQUIPMENT] and abs(difference + by_reason[EQUIPMENT]) <= TOLERANCE:
        return Found(difference, "equipment")
    if by_reason[SEQUESTRATION] and abs(difference + by_reason[SEQUESTRATION]) <= TOLERANCE:
        return Found(difference, "sequestration")
    if allowed == 0:
        return Found(difference, "not_paid")
    return Found(difference, "contract_rate" if difference < 0 else "paid_above")


CAUSES = {
    "mppr": "Multiple-procedure reduction differs",
    "equipment": "Equipment reduction we did not expect",
    "sequestration": "Sequestration taken from the allowed amount",
    "contract_rate": "Below the contract",
    "paid_above": "Above the contract",
    "not_paid": "Nothing allowed",
}
