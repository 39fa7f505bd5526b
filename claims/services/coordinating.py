"""What the next payer is told of the earlier one's decision, what it is expected to pay, and which
authorization is its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from authorizations.models import GRANTED, AuthorizedService
from claims.models import Claim, ClaimLine
from claims.records import PayerDecision
from intake.models import Coverage
from rcm.pricing import quote
from rcm.pricing.db_tables import reference_tables
from rcm.reference.models import PayerKind

ZERO = Decimal("0.00")
COINSURANCE = "0.2"
"""Part B: the patient's fifth (42 CFR 410.152)."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """One line as the earlier payer decided it, and Medicare's own figures for it: `allowed` by its
    fee schedule and `alone`, what it would pay if it were the only payer. Dollars.
    """

    charge: Decimal
    paid: Decimal
    provider_cut: Decimal
    patient_share: Decimal
    allowed: Decimal
    alone: Decimal


def lowest_of_three(line: Earlier) -> Decimal:
    """What Medicare pays as second payer (42 CFR 411.33(a)): the lowest of the charge, or of the
    lower amount that the provider must accept, less the earlier payment; what Medicare would pay
    alone; and the higher of the two allowed amounts less the earlier payment. Never below zero.
    """
    accepted = min(line.charge, line.charge - line.provider_cut)
    allowed = max(line.allowed, line.paid + line.patient_share)
    return max(ZERO, min(accepted - line.paid, line.alone, allowed - line.paid))


def decided_lines(
    decision: PayerDecision, numbers: Mapping[int, int], before: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The earlier payer's decision by line number. A line that came in several services is one
    again; a line that this answer does not name keeps what `before` told of it.
    """
    told: dict[str, dict[str, Any]] = {}
    for x in decision.lines:
        if x.line_id not in numbers:
            continue
        own = [[g, r, str(a)] for g, r, a in x.adjustments]
        number = str(numbers[x.line_id])
        known = told.get(number)
        if known is not None:
            known["paid"] = str(Decimal(known["paid"]) + x.paid)
            known["adjustments"] += own
            continue
        told[number] = {
            "paid": str(x.paid),
            "code": x.code,
            "modifiers": list(x.modifiers),
            "units": str(x.units),
            "adjustments": own,
        }
    return {**before, **told}


def paid_in_all(
    decision: PayerDecision, told: Mapping[str, Mapping[str, Any]], before: Mapping[str, Any]
) -> Decimal:
    """The earlier payer's total: its own, with what it paid before on lines that this answer does
    not name.
    """
    named = {number for number, line in told.items() if line is not before.get(number)}
    kept = (Decimal(line["paid"]) for number, line in before.items() if number not in named)
    return decision.paid + sum(kept, ZERO)


def next_expected(
    claim: Claim, lines: Sequence[ClaimLine], told: Mapping[str, Any], coverage: Coverage
) -> Decimal | None:
    """What the next payer is expected to pay: Medicare by its own formula, another what the earlier
    one left to the patient. None where Medicare's price is not known.
    """
    if coverage.payer.kind != PayerKind.MEDICARE:
        every = [a for x in told["lines"].values() for a in x["adjustments"]]
        return _of_group([*every, *told["adjustments"]], "PR")
    prices = _medicare(claim, lines)
    if prices is None:
        return None
    if not told["lines"]:
        whole = {"paid": told["paid"], "adjustments": told["adjustments"]}
        both = (
            sum((p[0] for p in prices.values()), ZERO),
            sum((p[1] for p in prices.values()), ZERO),
        )
        return lowest_of_three(_earlier(claim.total, whole, both))
    return sum(
        (
            lowest_of_three(
                _earlier(line.amount, told["lines"][str(line.number)], prices[line.number])
            )
            for line in lines
            if str(line.number) in told["lines"]
        ),
        ZERO,
    )


def _earlier(
    charge: Decimal, decided: Mapping[str, Any], price: tuple[Decimal, Decimal]
) -> Earlier:
    rows = decided["adjustments"]
    return Earlier(
        charge=charge,
        paid=Decimal(decided["paid"]),
        provider_cut=_of_group(rows, "CO"),
        patient_share=_of_group(rows, "PR"),
        allowed=price[0],
        alone=price[1],
    )


def _of_group(rows: Sequence[Sequence[str]], wanted: str) -> Decimal:
    return sum((Decimal(amount) for group, _, amount in rows if group == wanted), ZERO)


def _medicare(
    claim: Claim, lines: Sequence[ClaimLine]
) -> dict[int, tuple[Decimal, Decimal]] | None:
    """Medicare's allowed amount and its own payment by line number. The earlier payer's decision
    counts towards the deductible (42 CFR 411.30), so that none is taken off here.
    """
    answer = quote.quote(
        {
            "date_of_service": claim.service_date.isoformat(),
            "pos": claim.pos,
            "zip": claim.site.zip,
            "deductible_remaining": "0",
            "coinsurance": COINSURANCE,
            "lines": [
                {
                    "id": str(line.number),
                    "code": line.code,
                    "modifiers": list(line.modifiers),
                    "units": int(line.units),
                    "charge": str(line.amount),
                }
                for line in lines
            ],
        },
        reference_tables(),
    )
    if answer["errors"]:
        return None
    found: dict[int, tuple[Decimal, Decimal]] = {}
    for row in answer["lines"]:
        if row["allowed"] is None or row["payer_share"] is None:
            return None
        found[int(row["id"])] = (Decimal(row["allowed"]), Decimal(row["payer_share"]))
    return found


def own_authorizations(coverage: Coverage, lines: Sequence[ClaimLine]) -> dict[int, str]:
    """The numbers that this coverage's payer has given, by line number. Another payer's number is
    never among them.
    """
    exams = {x.charge.exam.ordered_exam_id for x in lines}
    numbers = dict(
        AuthorizedService.objects.filter(
            ordered_exam_id__in=[pk for pk in exams if pk is not None],
            authorization__coverage=coverage,
            authorization__status__in=GRANTED,
        )
        .exclude(authorization__number="")
        .order_by("authorization_id")
        .values_list("ordered_exam_id", "authorization__number")
    )
    return {
        x.number: numbers[x.charge.exam.ordered_exam_id]
        for x in lines
        if x.charge.exam.ordered_exam_id in numbers
    }


__all__ = [
    "Earlier",
    "decided_lines",
    "lowest_of_three",
    "next_expected",
    "own_authorizations",
    "paid_in_all",
]
