# ruff: noqa: S608  every text here is declared in this package; values travel as parameters
"""Figures of work: minutes that people spent, what they cost, what no person touched.

A touch is a step that a person took or a chart that a person opened. The time from one touch of a
person to their next one counts for the first, at most `IDLE` minutes: who goes to lunch works on
nothing. So the minutes are those between clicks; telephone calls longer than the limit count as the
limit.
"""

from __future__ import annotations

from decimal import Decimal

from ar.kpi.base import HIGH, LOW, MINUTES, PERCENT, WORK, Kpi

IDLE = 5
INCLUDED = (
    f"Minutes between one touch of a person and their next, at most {IDLE} for each: steps taken and"
    " charts opened. Not included: work outside the product, and waiting beyond that limit."
)
TOUCHES = f"""(
  SELECT y.id, y.kind, y.organization_id, y.user_id, y.at, y.claim_id,
      least(coalesce(extract(epoch FROM lead(y.at) OVER w - y.at) / 60, {IDLE}), {IDLE})::numeric
        AS minutes
    FROM (
      SELECT e.id, 'touch' kind, e.organization_id, e.user_id, e.at, e.claim_id
        FROM audit_event e
       WHERE e.organization_id = ANY(%(orgs)s) AND e.actor_kind = 'person'
         AND e.user_id IS NOT NULL
         AND (e.at AT TIME ZONE %(zone)s)::date BETWEEN %(first)s AND %(day)s
      UNION ALL
      SELECT c.id, 'chart' kind, c.organization_id, c.user_id, c.created_at, NULL
        FROM audit_access c
       WHERE c.organization_id = ANY(%(orgs)s) AND c.user_id IS NOT NULL
         AND (c.created_at AT TIME ZONE %(zone)s)::date BETWEEN %(first)s AND %(day)s) y
  WINDOW w AS (PARTITION BY y.user_id ORDER BY y.at, y.kind, y.id))"""
# a claim is resolved on the day of the entry that left nothing for its payer to pay
RESOLVED = """(
  SELECT k.id, k.site_id, k.payer_id, max(e.effective_on) AS resolved_on
    FROM claims_claim k
    JOIN claims_claimline l ON l.claim_id = k.id
    JOIN ledger_ledgerentry e ON e.charge_id = l.charge_id AND e.account = 'ar_insurance'
      AND e.effective_on <= %(day)s
   WHERE k.organization_id = ANY(%(orgs)s) AND k.first_submitted_at IS NOT NULL
     AND k.status NOT IN ('void', 'replaced')
   GROUP BY k.id, k.site_id, k.payer_id
  HAVING sum(e.amount) = 0 AND max(e.effective_on) BETWEEN %(first)s AND %(day)s)"""
RATE = """(SELECT r.cost FROM ar_rolecost r
    JOIN accounts_membership b ON b.role = r.role AND b.organization_id = t.organization_id
   WHERE b.user_id = t.user_id AND r.organization_id = t.organization_id
     AND r.effective_from <= %(day)s
   ORDER BY r.effective_from DESC, r.cost DESC LIMIT 1)"""

KPIS: tuple[Kpi, ...] = (
    Kpi(
        "minutes_per_claim",
        "Minutes per resolved claim",
        WORK,
        MINUTES,
        LOW,
        INCLUDED.rstrip("."),
        "claims whose payer owes nothing more",
        "work of machines, claims still open",
        "House; against a frozen baseline",
        target=Decimal(5),
        rows=f"""SELECT t.kind, t.id, k.site_id, k.payer_id, round(t.minutes, 2) num, 0 den
          FROM {TOUCHES} t LEFT JOIN claims_claim k ON k.id = t.claim_id
          UNION ALL
          SELECT 'claim', z.id, z.site_id, z.payer_id, 0, 1 FROM {RESOLVED} z""",
    ),
    Kpi(
        "cost_to_collect",
        "Cost to collect",
        WORK,
        PERCENT,
        LOW,
        "Minutes of people times the cost of their role's hour",
        "cash received",
        "people whose role has no cost per hour; rent, software and fees",
        "HFMA cost to collect, work only",
        target=Decimal("0.03"),
        rows=f"""SELECT t.kind, t.id, k.site_id, k.payer_id,
            round(t.minutes * coalesce({RATE}, 0) / 60, 4) num, 0 den
          FROM {TOUCHES} t LEFT JOIN claims_claim k ON k.id = t.claim_id
          WHERE EXISTS (SELECT 1 FROM ar_rolecost r WHERE r.organization_id = t.organization_id)
          UNION ALL
          SELECT 'entry', e.id, NULL, e.payer_id, 0, e.amount
          FROM ledger_ledgerentry e
          WHERE e.organization_id = ANY(%(orgs)s) AND e.account = 'cash'
            AND e.effective_on BETWEEN %(first)s AND %(day)s
            AND EXISTS (SELECT 1 FROM ar_rolecost r WHERE r.organization_id = e.organization_id)""",
    ),
    Kpi(
        "touchless",
        "Resolved without a touch",
        WORK,
        PERCENT,
        HIGH,
        "Resolved claims on which no person took a step",
        "claims whose payer owes nothing more",
        "chart reads, and steps on the exam before its claim",
        "House",
        target=Decimal("0.70"),
        rows=f"""SELECT 'claim' kind, z.id, z.site_id, z.payer_id,
            (NOT EXISTS (SELECT 1 FROM audit_event e
              WHERE e.claim_id = z.id AND e.actor_kind = 'person'))::int num,
            1 den
          FROM {RESOLVED} z""",
    ),
)
