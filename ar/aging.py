"""Aging of receivables at the end of any day: one set-based aggregate over the ledger, from service
date or first bill date (rule `aging`).

The figures are the ledger's: `sum(cells) == sum of receivable entries up to that day`, whatever
happened since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection

from ar.rules import BUCKETS, UNBILLED

SERVICE, BILLED = "service", "billed"
BASES = ((SERVICE, "Service date"), (BILLED, "First bill date"))
ALL_BUCKETS = (*BUCKETS, UNBILLED)
NO_ACCOUNT = "none"


@dataclass(frozen=True, slots=True)
class Cell:
    """Open dollars of one payer, site and bucket. Payer None: self-pay or money without a claim."""

    organization_id: int
    payer_id: int | None
    site_id: int | None
    bucket: str
    insurance: Decimal
    patient: Decimal
    lines: int

    @property
    def total(self) -> Decimal:
        return self.insurance + self.patient


# one pass over the receivable entries up to the day; then each open charge looks up its facts once
OPEN = """
open AS (
  SELECT e.charge_id, e.organization_id,
         coalesce(sum(e.amount) FILTER (WHERE e.account = 'ar_insurance'), 0) AS insurance,
         coalesce(sum(e.amount) FILTER (WHERE e.account = 'ar_patient'), 0) AS patient
    FROM ledger_ledgerentry e
   WHERE e.organization_id = ANY(%(orgs)s) AND e.account IN ('ar_insurance', 'ar_patient') AND e.effective_on <= %(day)s
   GROUP BY e.charge_id, e.organization_id
  HAVING sum(e.amount) FILTER (WHERE e.account = 'ar_insurance') <> 0 OR sum(e.amount) FILTER (WHERE e.account = 'ar_patient') <> 0)
"""
# the payer who holds the balance is the one of the latest claim that had been sent by then; before
# any, the coverage's
FACTS = """
facts AS (
  SELECT o.charge_id, o.organization_id, o.insurance, o.patient, c.service_date, x.site_id, b.first_on, coalesce(b.payer_id, v.payer_id) AS payer_id, b.claim_id
    FROM open o
    LEFT JOIN charges_charge c ON c.id = o.charge_id
    LEFT JOIN charges_exam x ON x.id = c.exam_id
    LEFT JOIN intake_coverage v ON v.id = x.coverage_id
    LEFT JOIN (
      SELECT l.charge_id, min(k.first_submitted_at)::date AS first_on,
             (array_agg(k.payer_id ORDER BY k.rank DESC, k.id DESC))[1] AS payer_id, (array_agg(k.id ORDER BY k.rank DESC, k.id DESC))[1] AS claim_id
        FROM claims_claimline l JOIN claims_claim k ON k.id = l.claim_id
       WHERE k.organization_id = ANY(%(orgs)s) AND k.first_submitted_at < %(day)s::date + 1
       GROUP BY l.charge_id) b ON b.charge_id = o.charge_id)
"""
BUCKET = """CASE WHEN charge_id IS NULL THEN 'none'
  WHEN %(basis)s = 'billed' AND first_on IS NULL THEN 'unbilled'
  WHEN %(day)s::date - (CASE WHEN %(basis)s = 'billed' THEN first_on ELSE service_date END) <= 30 THEN '0-30'
  WHEN %(day)s::date - (CASE WHEN %(basis)s = 'billed' THEN first_on ELSE service_date END) <= 60 THEN '31-60'
  WHEN %(day)s::date - (CASE WHEN %(basis)s = 'billed' THEN first_on ELSE service_date END) <= 90 THEN '61-90'
  WHEN %(day)s::date - (CASE WHEN %(basis)s = 'billed' THEN first_on ELSE service_date END) <= 120 THEN '91-120'
  ELSE '121+' END"""


def _narrow(sites: Sequence[int], payers: Sequence[int]) -> str:
    """Filters as fixed words; their values travel as parameters."""
    words = ""
    if sites:
        words += " AND site_id = ANY(%(sites)s)"
    if payers:
        words += " AND payer_id = ANY(%(payers)s)"
    return words


def aging(
    *,
    organizations: Iterable[int],
    on: date,
    basis: str = SERVICE,
    sites: Sequence[int] = (),
    payers: Sequence[int] = (),
) -> list[Cell]:
    """Open dollars by payer × site × bucket at the end of a day. One statement."""
    params: dict[str, Any] = {
        "orgs": sorted(organizations),
        "day": on,
        "basis": basis,
        "sites": list(sites),
        "payers": list(payers),
    }
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {OPEN}, {FACTS} SELECT organization_id, payer_id, site_id, {BUCKET} AS bucket, sum(insurance), sum(patient), count(*) "  # noqa: S608 - fixed words
            f"FROM facts WHERE true{_narrow(sites, payers)} GROUP BY 1, 2, 3, 4",
            params,
        )
        return [Cell(*row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Line:
    """One open charge of an aging cell."""

    charge_id: int
    claim_id: int | None
    payer_id: int | None
    site_id: int | None
    service_date: date
    first_on: date | None
    insurance: Decimal
    patient: Decimal


def lines(
    *,
    organizations: Iterable[int],
    on: date,
    basis: str = SERVICE,
    bucket: str = "",
    sites: Sequence[int] = (),
    payers: Sequence[int] = (),
    after: tuple[Decimal, int] | None = None,
    limit: int = 100,
) -> list[Line]:
    """The open charges behind the figures, largest first; `after` is the (total, charge) of the
    last one seen.
    """
    params: dict[str, Any] = {
        "orgs": sorted(organizations),
        "day": on,
        "basis": basis,
        "sites": list(sites),
        "payers": list(payers),
        "bucket": bucket,
        "limit": limit,
        "after_total": after[0] if after else None,
        "after_id": after[1] if after else None,
    }
    words = _narrow(sites, payers)
    if bucket in ALL_BUCKETS:
        words += " AND bucket = %(bucket)s"
    if after:
        words += (
            " AND (-(insurance + patient), charge_id) > (-%(after_total)s::numeric, %(after_id)s)"
        )
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {OPEN}, {FACTS}, placed AS (SELECT *, {BUCKET} AS bucket FROM facts WHERE charge_id IS NOT NULL) "  # noqa: S608 - fixed words
            "SELECT charge_id, claim_id, payer_id, site_id, service_date, first_on, insurance,"
            " patient FROM placed "
            f"WHERE true{words} ORDER BY -(insurance + patient), charge_id LIMIT %(limit)s",
            params,
        )
        return [Line(*row) for row in cursor.fetchall()]


def total(cells: Iterable[Cell]) -> Decimal:
    return sum((c.total for c in cells), Decimal("0.00"))
