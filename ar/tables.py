"""The phase's own small tables: shipped as CSV with their source, read once per process; an
organization's dated row goes before them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from django.db.models import Q

from ar.models import ReceivablePolicy

FOLDER = Path(__file__).parent / "data"
# whose overpayments the 60-day rule binds (42 CFR 401.305 and its Medicaid counterpart)
FEDERAL = frozenset({"medicare", "medicaid", "tricare"})


def _rows(name: str) -> Iterator[Mapping[str, str]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits and clocks of receivables on a day."""

    small_balance: Decimal
    statement_days: tuple[int, ...]
    collection_days: int
    refund_days_federal: int
    refund_days_other: int
    followup_grace_days: int
    prepayment_days: int
    self_pay_percent: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a write-off: the account it lands on and what must stand before it (rule
    `write-off-approval`).
    """

    code: str
    label: str
    account: str
    needs_contact: bool
    needs_appeal: bool
    needs_statements: bool
    patient_only: bool
    insurance_only: bool
    federal_patient: bool


@lru_cache(maxsize=1)
def _defaults() -> tuple[tuple[date, Policy], ...]:
    return tuple(
        (
            date.fromisoformat(r["effective_from"]),
            Policy(
                Decimal(r["small_balance"]),
                tuple(int(d) for d in r["statement_days"].split()),
                int(r["collection_days"]),
                int(r["refund_days_federal"]),
                int(r["refund_days_other"]),
                int(r["followup_grace_days"]),
                int(r["prepayment_days"]),
                Decimal(r["self_pay_percent"]) if r["self_pay_percent"] else None,
            ),
        )
        for r in _rows("policy")
    )


def policy(organization_id: int, on: date) -> Policy:
    """What holds for an organization on a day: its own row, else the shipped one."""
    own = (
        ReceivablePolicy.objects.filter(
            Q(effective_to__isnull=True) | Q(effective_to__gte=on),
            organization_id=organization_id,
            effective_from__lte=on,
        )
        .order_by("-effective_from")
        .first()
    )
    if own is None:
        return max(
            (row for row in _defaults() if row[0] <= on),
            key=lambda row: row[0],
            default=_defaults()[0],
        )[1]
    return Policy(
        own.small_balance,
        tuple(int(d) for d in own.statement_days),
        own.collection_days,
        own.refund_days_federal,
        own.refund_days_other,
        own.followup_grace_days,
        own.prepayment_days,
        own.self_pay_percent,
    )


@lru_cache(maxsize=1)
def reasons() -> Mapping[str, Reason]:
    """The reasons a write-off may have. "Contractual" is none of them: only a posted remittance
    adjusts by contract.
    """
    flags = (
        "needs_contact",
        "needs_appeal",
        "needs_statements",
        "patient_only",
        "insurance_only",
        "federal_patient",
    )
    return {
        r["reason"]: Reason(r["reason"], r["label"], r["account"], *(r[f] == "Y" for f in flags))
        for r in _rows("write_off_reasons")
    }


@lru_cache(maxsize=1)
def _recovery() -> tuple[tuple[int | None, Decimal], ...]:
    return tuple(
        (int(r["max_age_days"]) if r["max_age_days"] else None, Decimal(r["odds"]))
        for r in _rows("recovery")
    )


def recovery_odds(age_days: int) -> Decimal:
    """Seed of the chance that an insurance balance of this age is still paid (rules `aging` and
    `work-priority`).
    """
    return next(odds for limit, odds in _recovery() if limit is None or age_days <= limit)
