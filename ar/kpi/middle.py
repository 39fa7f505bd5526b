# ruff: noqa: S608  every text here is declared in this package; values travel as parameters
"""Figures between the exam and its claim: reports, charges, bills."""

from __future__ import annotations

from decimal import Decimal

from ar.kpi.base import (
    CHARGES,
    CLAIMS,
    DAYS,
    EXAMS,
    FIRST_FINAL,
    HOURS,
    LOW,
    MIDDLE,
    MONEY,
    PERCENT,
    Kpi,
    by_end,
    site_day,
    within,
)

RELEASED = f"""c.organization_id = ANY(%(orgs)s) AND {within("c.released_at")}
  AND c.status <> 'void'"""
RELEASE_DAYS = f"{site_day('c.released_at')} - c.service_date"

KPIS: tuple[Kpi, ...] = (
    Kpi(
        "report_lag",
        "Report turnaround",
        MIDDLE,
        HOURS,
        LOW,
        "Hours from the exam to its first final signed report",
        "exams with a first final report",
        "",
        "RBMA report turnaround",
        target=Decimal(24),
        version=2,
        rows=f"""SELECT 'exam' kind, q.id, q.site_id, q.payer_id,
            round(extract(epoch FROM q.signed - q.performed_at)::numeric / 3600, 2) num, 1 den
          FROM (SELECT x.id, x.site_id, v.payer_id, x.performed_at, s.time_zone,
              {FIRST_FINAL} signed
            FROM {EXAMS}
            WHERE x.organization_id = ANY(%(orgs)s)
              AND x.service_date BETWEEN %(first)s::date - 60 AND %(day)s) q
          WHERE (q.signed AT TIME ZONE q.time_zone)::date BETWEEN %(first)s AND %(day)s
            AND q.signed >= q.performed_at""",
    ),
    Kpi(
        "unsigned_dollars",
        "Unsigned dollars",
        MIDDLE,
        MONEY,
        LOW,
        "Expected payment of performed exams without a final report",
        "exams",
        "discontinued exams",
        "RBMA unsigned reports, by amount",
        window=0,
        target=Decimal(0),
        version=2,
        rows=f"""SELECT 'exam' kind, x.id, x.site_id, v.payer_id, coalesce(x.expected, 0) num, 1 den
          FROM {EXAMS}
          WHERE x.organization_id = ANY(%(orgs)s) AND x.service_date <= %(day)s
            AND x.status NOT IN ('discontinued', 'in_progress', 'no_bill')
            AND NOT EXISTS (SELECT 1 FROM charges_report r WHERE r.exam_id = x.id
              AND r.status IN ('F', 'C') AND {by_end("r.signed_at")})""",
    ),
    Kpi(
        "charge_lag",
        "Charge lag",
        MIDDLE,
        DAYS,
        LOW,
        "Days from the exam to the release of its charges",
        "charges released",
        "void charges",
        "RBMA charge lag",
        target=Decimal(3),
        version=2,
        rows=f"""SELECT 'charge' kind, c.id, x.site_id, v.payer_id,
            greatest({RELEASE_DAYS}, 0) num, 1 den
          FROM {CHARGES} WHERE {RELEASED}""",
    ),
    Kpi(
        "late_charges",
        "Late charges",
        MIDDLE,
        PERCENT,
        LOW,
        "Dollars released more than three days after the exam",
        "dollars released",
        "void charges",
        "HFMA CL-2, late charges",
        target=Decimal("0.02"),
        version=2,
        rows=f"""SELECT 'charge' kind, c.id, x.site_id, v.payer_id,
            CASE WHEN {RELEASE_DAYS} > 3 THEN c.amount ELSE 0 END num, c.amount den
          FROM {CHARGES} WHERE {RELEASED}""",
    ),
    Kpi(
        "bill_lag",
        "Bill lag",
        MIDDLE,
        DAYS,
        LOW,
        "Days from the release of a charge to the first sending of its claim",
        "charges first sent to a first payer",
        "corrections and claims to later payers",
        "House; RBMA counts it from the exam",
        target=Decimal(2),
        rows=f"""SELECT 'charge' kind, c.id, k.site_id, k.payer_id,
            greatest({site_day("k.first_submitted_at")} - {site_day("c.released_at")}, 0) num, 1 den
          FROM {CLAIMS}
          JOIN claims_claimline l ON l.claim_id = k.id JOIN charges_charge c ON c.id = l.charge_id
          WHERE k.organization_id = ANY(%(orgs)s) AND {within("k.first_submitted_at")}
            AND k.frequency = '1' AND k.rank = 1 AND c.released_at IS NOT NULL""",
    ),
    Kpi(
        "unbilled",
        "Unbilled charges",
        MIDDLE,
        MONEY,
        LOW,
        "Insurance charges that are on no claim sent by the day's end",
        "charges",
        "self-pay, void and no-bill",
        "HFMA discharged not final billed",
        window=0,
        target=Decimal(0),
        version=2,
        rows=f"""SELECT 'charge' kind, c.id, x.site_id, v.payer_id, c.amount num, 1 den
          FROM {CHARGES}
          WHERE c.organization_id = ANY(%(orgs)s) AND c.service_date <= %(day)s
            AND c.status NOT IN ('void', 'self_pay') AND x.status <> 'no_bill'
            AND c.bill_as = 'ours'
            AND NOT EXISTS (SELECT 1 FROM claims_claimline l JOIN claims_claim k ON k.id = l.claim_id
              WHERE l.charge_id = c.id AND {by_end("k.first_submitted_at")})""",
    ),
)
