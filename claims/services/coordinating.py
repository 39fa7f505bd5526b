"""What the next payer is told of the earlier one's decision, what it is expected to pay, and which
authorization is its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from authorizations.models import GRANTED, AuthorizedService
from claims.coordination import ZERO, earlier_line, patient_part, three_amounts
from claims.models import Claim, ClaimLine
from claims.records import PayerDecision
from intake.models import Coverage
from rcm.pricing import quote
from rcm.pricing.db_tables import reference_tables
from rcm.reference.models import PayerKind

COINSURANCE = "0.2"
"""Part B: the patient's fifth (42 CFR 410.152)."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the next payer is expected to pay, and how that comes about: one row of `parts` for each
    line, as the claim keeps them. `amount` is None where it is not known.
    """

    amount: Decimal | None
    parts: list[dict[str, str]]


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
    claim: Claim, lines: Sequence[ClaimLine], every: Sequence[Mapping[str, Any]], coverage: Coverage
) -> Expected:
    """What the next payer is expected to pay after `every` earlier one, the last of which is the
    claim's own: Medicare by its own formula, another what that one left to the patient.
    """
    told = every[-1]
    if coverage.payer.kind != PayerKind.MEDICARE:
        parts = [
            {"line": number, "left": str(patient_part({**line, "lines": {}}))}
            for number, line in told["lines"].items()
        ]
        return Expected(patient_part(told), parts)
    prices = _medicare(claim, lines)
    if prices is None:
        return Expected(None, [])
    if not told["lines"]:
        price = [sum((p[n] for p in prices.values()), ZERO) for n in (0, 1)]
        whole = [_whole(one) for one in every]
        found = {"": three_amounts(earlier_line(claim.total, whole, *price))}
    else:
        found = {
            str(line.number): three_amounts(
                earlier_line(line.amount, _on_line(every, line), *prices[line.number])
            )
            for line in lines
            if str(line.number) in told["lines"]
        }
    parts = [
        {
            "line": number,
            "accepted": str(three.accepted),
            "alone": str(three.alone),
            "allowed": str(three.allowed),
            "expected": str(three.lowest),
        }
        for number, three in found.items()
    ]
    return Expected(sum((three.lowest for three in found.values()), ZERO), parts)


def _on_line(every: Sequence[Mapping[str, Any]], line: ClaimLine) -> list[Mapping[str, Any]]:
    number = str(line.number)
    return [one["lines"][number] for one in every if number in one["lines"]]


def _whole(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """A decision with the adjustments of its lines among its own."""
    rows = [a for line in told["lines"].values() for a in line["adjustments"]]
    return {"paid": told["paid"], "adjustments": [*told["adjustments"], *rows]}


def _medicare(
    claim: Claim, lines: Sequence[ClaimLine]
) -> dict[int, tuple[Decimal, Decimal]] | None:
    """Medicare's allowed amount and its own payment by line number. The earlier payer's decision
    counts towards the deductible (42 CFR 411.30), so that none is taken off here. A hospital is
    paid by another schedule, which is not loaded.
    """
    if claim.form != "837P":
        return None
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


def decisions_carry(made: Claim, old: Sequence[ClaimLine], new: Sequence[ClaimLine]) -> None:
    """What earlier payers told, on a claim that bills other charges than the one it replaces: by the
    new numbers of the lines that stay. What they have not decided they are not said to have.
    """
    if "cob" not in made.extra:
        return
    places = {line.charge_id: line.number for line in new}
    moved = {
        str(line.number): str(places[line.charge_id]) for line in old if line.charge_id in places
    }
    parts = [
        {**part, "line": moved[part["line"]]}
        for part in made.extra.get("expected_parts", ())
        if part["line"] in moved
    ]
    told = [
        {**one, "lines": {moved[n]: line for n, line in one["lines"].items() if n in moved}}
        for one in made.extra["cob"]
    ]
    made.extra = {**made.extra, "cob": told, "expected_parts": parts}
    amounts = [Decimal(part.get("expected", part.get("left", "0"))) for part in parts]
    made.expected = sum(amounts, ZERO) if len(parts) == len(new) else None


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
    "Expected",
    "decided_lines",
    "decisions_carry",
    "next_expected",
    "own_authorizations",
    "paid_in_all",
]
