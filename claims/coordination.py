"""What earlier payers' decisions come to for the next one: a decision as the claim keeps it
(`extra["cob"]`: paid, adjustments, lines) in, dollars out. Of the database it asks only the class
of an adjustment reason, which is kept per process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rcm.reference.facts import adjustment_class

ZERO = Decimal("0.00")
CONTRACTUAL, DENIAL = "contractual", "denial"
Decided = Mapping[str, Any]
"""What one payer decided on a line, or on a whole claim."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """One line as the earlier payers decided it, and Medicare's own figures for it: `allowed` by its
    fee schedule and `alone`, what it would pay if it were the only payer. Dollars.
    """

    charge: Decimal
    paid: Decimal
    provider_cut: Decimal
    patient_share: Decimal
    allowed: Decimal
    alone: Decimal


@dataclass(frozen=True, slots=True)
class Three:
    """The three amounts of which Medicare pays the lowest as second payer (rule `lowest-of-three`):
    `accepted` is the charge, or the lower amount that the provider must accept, less what was paid;
    `alone` what Medicare would pay by itself; `allowed` the higher of the two allowed amounts less
    what was paid.
    """

    accepted: Decimal
    alone: Decimal
    allowed: Decimal

    @property
    def lowest(self) -> Decimal:
        """What Medicare pays; never below zero."""
        return max(ZERO, min(self.accepted, self.alone, self.allowed))


def three_amounts(line: Earlier) -> Three:
    accepted = min(line.charge, line.charge - line.provider_cut)
    allowed = max(line.allowed, line.paid + line.patient_share)
    return Three(accepted - line.paid, line.alone, allowed - line.paid)


def earlier_line(
    charge: Decimal, decided: Sequence[Decided], allowed: Decimal, alone: Decimal
) -> Earlier:
    """One line after all payers that came before. Of several the payments add up, the lowest amount
    that the provider must accept binds, and the highest that a payer allowed counts. What a payer
    denied it neither allowed nor bound the provider to.
    """
    paid = sum((Decimal(str(one["paid"])) for one in decided), ZERO)
    granted = [
        Decimal(str(one["paid"]))
        + _sum(r for r in one["adjustments"] if r[0] == "PR" and not _is(r, DENIAL))
        for one in decided
    ]
    cuts = [_agreed(one) for one in decided]
    share = max(granted, default=ZERO) - paid
    return Earlier(charge, paid, max(cuts, default=ZERO), share, allowed, alone)


def accepted_in_full(charge: Decimal, told: Iterable[Decided]) -> Decimal:
    """What the provider must accept for the claim: its charge less the largest agreed reduction of
    an earlier payer.
    """
    return charge - max((_agreed(one) for one in told), default=ZERO)


def unbalanced(lines: Mapping[str, Decided], charges: Mapping[str, Decimal]) -> tuple[int, ...]:
    """Lines whose payment and adjustments do not come to the charge: the next payer returns such a
    claim unread.
    """
    return tuple(
        int(number)
        for number, line in lines.items()
        if number in charges
        and Decimal(str(line["paid"])) + _sum(line["adjustments"]) != charges[number]
    )


def patient_part(told: Decided) -> Decimal:
    """What a payer left to the patient, on the claim and on its lines."""
    return _sum(r for r in _rows(told) if r[0] == "PR")


def _agreed(told: Decided) -> Decimal:
    return _sum(r for r in _rows(told) if r[0] == "CO" and _is(r, CONTRACTUAL))


def _rows(told: Decided) -> list[Sequence[str]]:
    lines = told.get("lines", {}).values()
    return [*told["adjustments"], *(r for line in lines for r in line["adjustments"])]


def _is(row: Sequence[str], klass: str) -> bool:
    return adjustment_class(row[1]) == klass


def _sum(rows: Iterable[Sequence[str]]) -> Decimal:
    return sum((Decimal(str(amount)) for _, _, amount in rows), ZERO)
