"""What the patient will owe, and by when a good-faith estimate is due (rule `good-faith-estimate`).

Pure: benefit rows of a 271 in, the cost sharing that pricing needs out. Amounts are dollars,
`coinsurance` is a fraction. A figure the payer did not give stays None: unknown is never zero.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from rcm.accounts.clock import SiteClock

REMAINING, MET = "29", frozenset({"24"})
TOTALS = frozenset({"22", "23", "25", ""})
DISCLAIMER = (
    "This estimate shows the costs we can reasonably expect for these services. It is not a bill"
    " and not a contract. Extra services that were not foreseen may cost more. If you are billed"
    " 400 dollars or more above this estimate, you may dispute the bill within 120 calendar days of"
    " its date. You are not required to get these services from us."
)
"""Printed on every estimate (rule `estimate-dispute`)."""


@dataclass(frozen=True, slots=True)
class BenefitFact:
    """One EB row in the patient's terms. `percent` is 0 to 100; `authorization` whether this row
    asks for one; `procedure` the code it is about; `quantity` a limit in words; `contacts` other
    payers, reviewers and whom to call.
    """

    kind: str
    code: str = ""
    level: str = ""
    service_types: tuple[str, ...] = ()
    period: str = ""
    amount: Decimal | None = None
    percent: Decimal | None = None
    in_network: bool | None = None
    text: str = ""
    authorization: bool | None = None
    procedure: str = ""
    quantity: str = ""
    contacts: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CostSharing:
    """What pricing asks. `notes` say where each figure came from."""

    deductible_remaining: Decimal | None = None
    coinsurance: Decimal | None = None
    copay: Decimal | None = None
    out_of_pocket_remaining: Decimal | None = None
    deductible_total: Decimal | None = None
    out_of_pocket_total: Decimal | None = None
    notes: tuple[str, ...] = ()


def cost_sharing(
    benefits: Sequence[BenefitFact], service_types: Sequence[str], *, in_network: bool = True
) -> CostSharing:
    """The benefit that pays for this exam: the first asked service type that says something,
    individual before family.
    """

    def best(
        kind: str, periods: Collection[str] | None = None, types: Sequence[str] = service_types
    ) -> BenefitFact | None:
        found = [
            b
            for b in benefits
            if b.kind == kind
            and (b.in_network is None or b.in_network is in_network)
            and (periods is None or b.period in periods)
        ]
        for wanted in (*types, "30", ""):
            here = [
                b
                for b in found
                if wanted in b.service_types or (not wanted and not b.service_types)
            ]
            if here:
                return min(here, key=lambda b: (b.level not in ("IND", ""), b.in_network is None))
        return None

    def left(kind: str) -> tuple[Decimal | None, Decimal | None]:
        """(remaining, total) of a deductible or limit; met is taken off the total when only those
        are given.
        """
        remaining, met, total = best(kind, {REMAINING}), best(kind, MET), best(kind, TOTALS)
        whole = total.amount if total else None
        if remaining is not None:
            return remaining.amount, whole
        if whole is not None and met is not None and met.amount is not None:
            return max(whole - met.amount, Decimal("0.00")), whole
        return (Decimal("0.00") if whole == 0 else None), whole

    deductible, deductible_total = left("deductible")
    limit, limit_total = left("out_of_pocket")
    copay, share = best("copay"), best("coinsurance")
    return CostSharing(
        deductible_remaining=deductible,
        coinsurance=share.percent / 100 if share and share.percent is not None else None,
        copay=copay.amount if copay else None,
        out_of_pocket_remaining=limit,
        deductible_total=deductible_total,
        out_of_pocket_total=limit_total,
        notes=tuple(
            f"{b.kind} for service type {', '.join(b.service_types) or 'not given'}"
            for b in (copay, share)
            if b
        ),
    )


def good_faith_due(
    *,
    scheduled_on: date,
    service_on: date,
    requested_on: date | None = None,
    clock: SiteClock,
) -> date | None:
    """Last day for a good-faith estimate (rule `good-faith-estimate`; 45 CFR 149.610); None when
    the visit is too near and nobody asked.

    Scheduled ten business days ahead or more: three business days; three or more: one; on request:
    three.
    """
    if requested_on is not None:
        return clock.add_business_days(requested_on, 3)
    if service_on >= clock.add_business_days(scheduled_on, 10):
        return clock.add_business_days(scheduled_on, 3)
    if service_on >= clock.add_business_days(scheduled_on, 3):
        return clock.add_business_days(scheduled_on, 1)
    return None
