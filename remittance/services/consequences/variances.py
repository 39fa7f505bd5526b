"""Allowed against expected on paid lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rcm.pricing.facts import StepKind
from remittance import variance as v
from remittance.models import (
    Remittance,
    Variance,
)
from remittance.plan import allowed_of
from remittance.services.planning import Planned
from remittance.services.reference import book, policy

ZERO = Decimal("0.00")


def variances(
    remittance: Remittance, planned: Sequence[Planned], charges: Mapping[int, Mapping[str, Any]]
) -> int:
    """Allowed against expected of primary lines that were paid (rule `underpayment`)."""
    codes = book()
    rules = policy(remittance.organization_id, remittance.paid_on)
    rows: list[Variance] = []
    for p in planned:
        if (
            p.claim.get("rank") != 1
            or p.plan.outcome not in ("paid", "partial")
            or p.fact.billed < 0
        ):
            continue
        for line in p.fact.lines:
            if line.service_id is None or line.expected is None or line.charge_id is None:
                continue
            allowed = allowed_of(line, (*line.remarks, *p.fact.remarks), codes)
            if allowed is None:
                continue
            charge = charges.get(line.charge_id, {})
            found = v.judge(
                expected=line.expected,
                allowed=allowed,
                adjustments=line.adjustments,
                our_reduction=our_reduction(charge.get("derivation") or []),
                dollars=rules.variance_dollars,
                percent=rules.variance_percent,
            )
            if found is not None and p.fact.payer_id is not None and p.fact.claim_id is not None:
                rows.append(
                    Variance(
                        organization_id=remittance.organization_id,
                        service_id=line.service_id,
                        claim_id=p.fact.claim_id,
                        payer_id=p.fact.payer_id,
                        code=str(charge.get("code", ""))[:5],
                        expected=line.expected,
                        allowed=allowed,
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
