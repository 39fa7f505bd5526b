"""Allowed against expected on paid lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from rcm.pricing.facts import StepKind
from remittance import variance as v
from remittance.models import (
    Remittance,
    Variance,
)
from remittance.plan import Line, allowed_of
from remittance.services.planning import Planned
from remittance.services.reference import book, policy
from remittance.tables import Policy

ZERO = Decimal("0.00")


class Differing(NamedTuple):
    """A paid line whose allowed amount differs from the expected one so that it counts, or may
    count once our own reduction is known.
    """

    payment: Planned
    line: Line
    allowed: Decimal
    rules: Policy

    def judged(self, our_reduction: Decimal | None) -> v.Found | None:
        line = self.line
        assert line.expected is not None
        return v.judge(
            expected=line.expected,
            allowed=self.allowed,
            adjustments=line.adjustments,
            our_reduction=our_reduction,
            dollars=self.rules.variance_dollars,
            percent=self.rules.variance_percent,
        )


def differing(remittance: Remittance, planned: Sequence[Planned]) -> list[Differing]:
    """Allowed against expected of primary lines that were paid (rule `underpayment`)."""
    codes = book()
    rules = policy(remittance.organization_id, remittance.paid_on)
    found: list[Differing] = []
    for p in planned:
        if (
            p.claim.get("rank") != 1
            or p.plan.outcome not in ("paid", "partial")
            or p.fact.billed < 0
            or p.fact.payer_id is None
            or p.fact.claim_id is None
        ):
            continue
        for line in p.fact.lines:
            if line.service_id is None or line.expected is None or line.charge_id is None:
                continue
            allowed = allowed_of(line, (*line.remarks, *p.fact.remarks), codes)
            if allowed is None:
                continue
            one = Differing(p, line, allowed, rules)
            # a reduction of ours can only make less of the payer's
            if one.judged(ZERO) is not None:
                found.append(one)
    return found


def variances(
    remittance: Remittance,
    planned: Sequence[Planned],
    candidates: Sequence[Differing],
    charges: Mapping[int, Mapping[str, Any]],
) -> int:
    """The cases of lines that differ; those of a payment that was taken back are none any more."""
    rows: list[Variance] = []
    for one in candidates:
        p, line = one.payment, one.line
        charge = charges.get(line.charge_id or 0, {})
        found = one.judged(our_reduction(charge.get("derivation") or []))
        if found is not None:
            # `differing` has left out what lacks one of them
            assert line.service_id is not None and line.expected is not None  # noqa: PT018
            assert p.fact.claim_id is not None and p.fact.payer_id is not None  # noqa: PT018
            rows.append(
                Variance(
                    organization_id=remittance.organization_id,
                    service_id=line.service_id,
                    claim_id=p.fact.claim_id,
                    payer_id=p.fact.payer_id,
                    code=str(charge.get("code", ""))[:5],
                    expected=line.expected,
                    allowed=one.allowed,
                    difference=found.difference,
                    cause=found.cause,
                    found_on=remittance.paid_on,
                )
            )
    Variance.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)
    _recovered_variances(planned)
    return len(rows)


def _recovered_variances(planned: Sequence[Planned]) -> None:
    """An underpayment whose payment was taken back is no case any more: the new answer is judged
    afresh.
    """
    originals = [p.original.pk for p in planned if p.original is not None]
    if originals:
        Variance.objects.filter(service__payment_id__in=originals, status="open").delete()


def our_reduction(derivation: Sequence[Mapping[str, str]]) -> Decimal | None:
    """The multiple-procedure reduction in our own derivation of a line (dollars); zero when it has
    none, None when the line was not priced, or priced before steps had kinds.
    """
    steps = [row for row in derivation if row.get("amount") and row.get("kind")]
    if not steps:
        return None
    reduced = [row for row in steps if row["kind"] == StepKind.MULTIPLE]
    if not reduced:
        return ZERO
    return max(ZERO, Decimal(steps[0]["amount"]) - Decimal(reduced[-1]["amount"]))
