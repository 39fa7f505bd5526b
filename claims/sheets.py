"""The phase's own small tables: policy, clocks, words of status codes, revenue codes. Shipped as
CSV with their source.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path

from claims.models import ClaimPolicy
from rcm.accounts.clock import office_day

FOLDER = Path(__file__).parent / "data"


@cache
def sheet(name: str) -> tuple[dict[str, str], ...]:
    """The rows of one shipped sheet."""
    with (FOLDER / f"{name}.csv").open(newline="", encoding="utf-8") as handle:
        return tuple(csv.DictReader(handle))


@dataclass(frozen=True, slots=True)
class Policy:
    """When claims leave by themselves and when silence alarms."""

    auto_submit: bool
    missing_after: timedelta
    work_time: timedelta
    filing_alert: timedelta

    def work_due(self, at: datetime, deadline: date | None = None) -> datetime:
        """When somebody must have acted: the usual time to work, or now when the filing limit comes
        before it.
        """
        due = at + self.work_time
        return at if deadline is not None and deadline <= office_day(due) else due


def policies(organization_ids: Iterable[int], on: date) -> dict[int, Policy]:
    """The policy of each organization on a day; without a row the shipped default."""
    wanted = set(organization_ids)
    found: dict[int, Policy] = dict.fromkeys(wanted, default_policy())
    rows = ClaimPolicy.objects.filter(organization_id__in=wanted, effective_from__lte=on).order_by(
        "effective_from"
    )
    for row in rows:
        if row.effective_to is None or row.effective_to >= on:
            found[row.organization_id] = Policy(
                row.auto_submit,
                timedelta(hours=row.missing_after_hours),
                timedelta(hours=row.work_hours),
                timedelta(days=row.filing_alert_days),
            )
    return found


@cache
def default_policy() -> Policy:
    row = sheet("claim_policy")[-1]
    return Policy(
        row["auto_submit"] == "Y",
        timedelta(hours=int(row["missing_after_hours"])),
        timedelta(hours=int(row["work_hours"])),
        timedelta(days=int(row["filing_alert_days"])),
    )


def is_hospital(taxonomy: str) -> bool:
    """Whether a billing provider of this taxonomy sends institutional claims."""
    return taxonomy.startswith(tuple(row["prefix"] for row in sheet("hospital_taxonomies")))


@cache
def revenue_codes() -> dict[str, str]:
    return {row["modality"]: row["revenue_code"] for row in sheet("revenue_codes")}
