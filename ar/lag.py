"""The way of an exam from order to zero, step by step: median and 90th percentile of days, and how
many have not taken the step.

A median of a step is no share of the median of the whole: they are never added up. Days are whole
time spans over 24 hours; the last entry on an account counts at noon of its day at the site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

DAYS = 90


@dataclass(frozen=True, slots=True)
class Step:
    """From one moment to the next. `only` leaves out exams that never take the step."""

    code: str
    label: str
    start: str
    end: str
    only: str = ""


STEPS: tuple[Step, ...] = (
    Step("order-authorization", "Order to authorization", "ordered", "authorized", "needed"),
    Step("authorization-exam", "Authorization to exam", "authorized", "performed", "needed"),
    Step("order-exam", "Order to exam, none needed", "ordered", "performed", "NOT needed"),
    Step("exam-report", "Exam to final report", "performed", "signed"),
    Step("report-charge", "Final report to charge", "signed", "released"),
    Step("charge-claim", "Charge to claim", "released", "sent", "insured"),
    Step("claim-277ca", "Claim to 277CA", "sent", "accepted", "insured"),
    Step("277ca-835", "277CA to 835", "accepted", "paid", "insured"),
    Step("835-zero", "835 to zero balance", "paid", "zero", "insured"),
)
WHOLE = Step("whole", "Order to zero balance, exams that got there", "ordered", "zero")
BY_CODE = {s.code: s for s in (*STEPS, WHOLE)}

MOMENTS = """
t AS (
  SELECT x.id, x.site_id, v.payer_id, x.modality, x.reader_id, o.ordered_at AS ordered,
      u.authorized, coalesce(u.needed, false) AS needed, x.performed_at AS performed,
      (SELECT min(r.signed_at) FROM charges_report r
        WHERE r.exam_id = x.id AND r.status IN ('F', 'C')) AS signed,
      c.released, coalesce(p.kind, 'self_pay') <> 'self_pay' AS insured,
      k.sent, k.accepted, m.paid,
      CASE WHEN z.left_over = 0
        THEN (z.last_on + time '12:00') AT TIME ZONE s.time_zone END AS zero
    FROM charges_exam x
    JOIN accounts_site s ON s.id = x.site_id
    LEFT JOIN intake_orderedexam oe ON oe.id = x.ordered_exam_id
    LEFT JOIN intake_order o ON o.id = oe.order_id
    LEFT JOIN intake_coverage v ON v.id = x.coverage_id
    LEFT JOIN reference_payer p ON p.id = v.payer_id
    LEFT JOIN LATERAL (
      SELECT min(a.decided_at) FILTER (WHERE a.number <> '') AS authorized,
             count(*) > 0 AS needed
        FROM authorizations_authorizedservice w
        JOIN authorizations_authorization a ON a.id = w.authorization_id
       WHERE w.ordered_exam_id = x.ordered_exam_id
         AND a.status NOT IN ('not_required', 'cancelled')) u ON true
    LEFT JOIN LATERAL (
      SELECT min(h.released_at) AS released, array_agg(h.id) AS ids FROM charges_charge h
       WHERE h.exam_id = x.id AND h.status <> 'void') c ON true
    LEFT JOIN LATERAL (
      SELECT min(q.first_submitted_at) AS sent, min(q.accepted_at) AS accepted,
             array_agg(q.id) AS ids
        FROM claims_claimline l JOIN claims_claim q ON q.id = l.claim_id
       WHERE l.charge_id = ANY(c.ids) AND q.rank = 1) k ON true
    LEFT JOIN LATERAL (
      SELECT min(f.posted_at) AS paid
        FROM remittance_claimpayment g JOIN remittance_remittance f ON f.id = g.remittance_id
       WHERE g.claim_id = ANY(k.ids) AND f.status = 'posted') m ON true
    LEFT JOIN LATERAL (
      SELECT sum(e.amount) AS left_over, max(e.effective_on) AS last_on FROM ledger_ledgerentry e
       WHERE e.charge_id = ANY(c.ids) AND e.account IN ('ar_insurance', 'ar_patient')
         AND e.effective_on <= %(day)s) z ON true
   WHERE x.organization_id = ANY(%(orgs)s) AND x.service_date BETWEEN %(first)s AND %(day)s
     AND x.status NOT IN ('discontinued', 'no_bill'))"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page is narrowed to; empty is everything."""

    organizations: Sequence[int]
    day: date
    sites: Sequence[int] = ()
    payers: Sequence[int] = ()
    modality: str = ""
    reader: int = 0

    @property
    def params(self) -> dict[str, Any]:
        return {
            "orgs": sorted(self.organizations),
            "day": self.day,
            "first": self.day - timedelta(days=DAYS - 1),
            "sites": list(self.sites),
            "payers": list(self.payers),
            "modality": self.modality,
            "reader": self.reader,
        }

    @property
    def where(self) -> str:
        """Fixed words; the values travel as parameters."""
        words = ""
        words += " AND site_id = ANY(%(sites)s)" if self.sites else ""
        words += " AND payer_id = ANY(%(payers)s)" if self.payers else ""
        words += " AND modality = %(modality)s" if self.modality else ""
        words += " AND reader_id = %(reader)s" if self.reader else ""
        return words


@dataclass(frozen=True, slots=True)
class Span:
    """One step over many exams, in days. None where nobody took it."""

    step: Step
    median: Decimal | None
    ninety: Decimal | None
    taken: int
    missing: int


def _columns(step: Step) -> str:
    days = f"extract(epoch FROM {step.end} - {step.start}) / 86400"
    only = f" AND {step.only}" if step.only else ""
    done = f"FILTER (WHERE {step.end} >= {step.start}{only})"
    left = f"FILTER (WHERE {step.start} IS NOT NULL AND {step.end} IS NULL{only})"
    parts = [f"percentile_cont({p}) WITHIN GROUP (ORDER BY {days}) {done}" for p in (0.5, 0.9)]
    return ", ".join([*parts, f"count(*) {done}", f"count(*) {left}"])


def spans(asked: Asked) -> list[Span]:
    """Every step and the whole, over the exams of the last 90 days. One statement."""
    columns = ", ".join(_columns(s) for s in BY_CODE.values())
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {MOMENTS} SELECT {columns} FROM t WHERE true{asked.where}",  # noqa: S608 - fixed words
            asked.params,
        )
        found = cursor.fetchone()
    out = []
    for n, step in enumerate(BY_CODE.values()):
        median, ninety, taken, missing = found[4 * n : 4 * n + 4]
        out.append(Span(step, _days(median), _days(ninety), taken, missing))
    return out


def _days(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value)).quantize(Decimal("0.1"))


@dataclass(frozen=True, slots=True)
class Row:
    """One exam of a step: its days, or None when it has not taken it."""

    exam_id: int
    days: Decimal | None
    payer_id: int | None = field(default=None)


def rows(asked: Asked, step: Step, *, missing: bool = False, limit: int = 200) -> list[Row]:
    """The exams of a step, slowest first; or those that have begun and not ended it, oldest
    first.
    """
    only = f" AND {step.only}" if step.only else ""
    days = f"extract(epoch FROM {step.end} - {step.start}) / 86400"
    if missing:
        chosen = f"{step.start} IS NOT NULL AND {step.end} IS NULL"
        order = f"{step.start}, id"
    else:
        chosen, order = f"{step.end} >= {step.start}", f"{days} DESC, id"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {MOMENTS} SELECT id, {days}, payer_id FROM t"  # noqa: S608 - fixed words
            f" WHERE {chosen}{only}{asked.where} ORDER BY {order} LIMIT %(limit)s",
            asked.params | {"limit": limit},
        )
        return [Row(pk, _days(value), payer) for pk, value, payer in cursor.fetchall()]
