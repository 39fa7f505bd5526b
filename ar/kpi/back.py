# ruff: noqa: S608  every text here is declared in this package; values travel as parameters
"""Figures after the claim: acceptance, answers, denials, money."""

from __future__ import annotations

from decimal import Decimal

from ar.kpi.base import (
    ANSWERED,
    BACK,
    CHARGES,
    CLAIMS,
    DAYS,
    HIGH,
    HOURS,
    LOW,
    MONEY,
    OPEN_AT_DAY,
    PERCENT,
    Kpi,
    by_end,
    within,
)
from ar.kpi.denials import KPIS as DENIALS

FIRST_SENT = f"""k.organization_id = ANY(%(orgs)s) AND {within("k.first_submitted_at")}
  AND k.frequency = '1'"""
OPEN_CHARGES = f"""{OPEN_AT_DAY} o
  JOIN charges_charge c ON c.id = o.charge_id
  JOIN charges_exam x ON x.id = c.exam_id
  LEFT JOIN intake_coverage v ON v.id = x.coverage_id"""
OPEN_DOLLARS = "greatest(o.insurance, 0) + greatest(o.patient, 0)"
# work that a claim needed after it first left: rejected, sent again, corrected, denied, reversed
REWORKED = f"""EXISTS (SELECT 1 FROM remittance_denial d
      WHERE d.claim_id = k.id AND d.denied_on <= %(day)s AND d.status <> 'withdrawn')
    OR EXISTS (SELECT 1 FROM claims_claim n
      WHERE n.replaces_id = k.id AND {by_end("n.first_submitted_at")})
    OR EXISTS (SELECT 1 FROM claims_acknowledgement t
      WHERE t.claim_id = k.id AND t.accepted = false AND {by_end("t.received_at")})
    OR (SELECT count(*) FROM claims_submissionclaim sc
      JOIN claims_submission u ON u.id = sc.submission_id
      WHERE sc.claim_id = k.id AND {by_end("u.sent_at")}) > 1
    OR EXISTS (SELECT 1 FROM remittance_claimpayment m
      JOIN remittance_remittance r ON r.id = m.remittance_id
      WHERE m.claim_id = k.id AND m.status_code = '22' AND r.status = 'posted'
        AND r.paid_on <= %(day)s)"""


def _days_open(numerator: str, a_day: str) -> str:
    """Rows of a days-in-A/R figure: open dollars over the dollars of one day of the window."""
    return f"""SELECT 'charge' kind, q.id, q.site_id, q.payer_id, q.num, q.den
          FROM (SELECT c.id, x.site_id, v.payer_id, coalesce({numerator}, 0) num,
              CASE WHEN {within("c.released_at")} THEN round({a_day} / 90, 6) ELSE 0 END den
            FROM {CHARGES} LEFT JOIN {OPEN_AT_DAY} o ON o.charge_id = c.id
            WHERE c.organization_id = ANY(%(orgs)s) AND {by_end("c.released_at")}
              AND c.status <> 'void') q
          WHERE q.num <> 0 OR q.den <> 0"""


def _older(days: int) -> str:
    """Rows of an aged share: open dollars older than so many days over all open dollars."""
    return f"""SELECT 'charge' kind, c.id, x.site_id, v.payer_id,
            CASE WHEN %(day)s::date - c.service_date > {days} THEN {OPEN_DOLLARS} ELSE 0 END num,
            {OPEN_DOLLARS} den
          FROM {OPEN_CHARGES} WHERE {OPEN_DOLLARS} > 0"""


KPIS: tuple[Kpi, ...] = (
    Kpi(
        "clean_claim",
        "Clean claim rate",
        BACK,
        PERCENT,
        HIGH,
        "Claims that passed the first scrub and were not rejected",
        "claims first sent",
        "corrections",
        "HFMA CL-1, clean claim rate",
        target=Decimal("0.98"),
        version=2,
        rows=f"""SELECT 'claim' kind, k.id, k.site_id, k.payer_id,
            coalesce(k.clean_first_pass, true)::int num, 1 den
          FROM {CLAIMS} WHERE {FIRST_SENT}""",
    ),
    Kpi(
        "first_acceptance",
        "Accepted at first transmission",
        BACK,
        PERCENT,
        HIGH,
        "Claims whose first answer in a 277CA accepted them",
        "claims first sent that a 277CA has answered",
        "corrections, and claims without a 277CA",
        "House; the 277CA is the payer's own receipt",
        target=Decimal("0.98"),
        rows=f"""SELECT 'claim' kind, k.id, k.site_id, k.payer_id, t.accepted::int num, 1 den
          FROM {CLAIMS}
          JOIN LATERAL (SELECT a.accepted FROM claims_acknowledgement a
            WHERE a.claim_id = k.id AND a.kind = '277CA' AND a.accepted IS NOT NULL
              AND {by_end("a.received_at")}
            ORDER BY a.received_at, a.id LIMIT 1) t ON true
          WHERE {FIRST_SENT}""",
    ),
    Kpi(
        "first_pass",
        "First-pass yield",
        BACK,
        PERCENT,
        HIGH,
        "Claims settled by the payer's first answer, without rejection, second sending,"
        " correction, denial or reversal",
        "claims with a first answer",
        "corrections",
        "House, after HFMA first-pass resolution",
        target=Decimal("0.90"),
        version=2,
        rows=f"""SELECT 'claim' kind, k.id, k.site_id, k.payer_id, (NOT ({REWORKED}))::int num, 1 den
          FROM {CLAIMS} JOIN {ANSWERED} a ON a.claim_id = k.id
          WHERE k.organization_id = ANY(%(orgs)s) AND a.first_on BETWEEN %(first)s AND %(day)s
            AND k.frequency = '1'""",
    ),
    *DENIALS,
    Kpi(
        "ar_days",
        "Net days in A/R",
        BACK,
        DAYS,
        LOW,
        "Open balances at what they are expected to bring",
        "expected revenue of a day (last 90 days)",
        "credits",
        "HFMA net days in A/R",
        window=90,
        target=Decimal(35),
        version=2,
        rows=_days_open(
            f"""CASE WHEN o.contractual <> 0 OR c.expected IS NULL THEN {OPEN_DOLLARS}
                ELSE least({OPEN_DOLLARS}, c.expected) END""",
            "coalesce(c.expected, c.amount)",
        ),
    ),
    Kpi(
        "dro",
        "Days revenue outstanding",
        BACK,
        DAYS,
        LOW,
        "Open balances, gross",
        "gross charges of a day (last 90 days)",
        "credits",
        "RBMA days in A/R, gross",
        window=90,
        target=Decimal(45),
        version=2,
        rows=_days_open(OPEN_DOLLARS, "c.amount"),
    ),
    Kpi(
        "over_90",
        "A/R over 90 days",
        BACK,
        PERCENT,
        LOW,
        "Open balances more than 90 days after service",
        "open balances",
        "credits",
        "HFMA AR-1, aged A/R",
        window=0,
        target=Decimal("0.15"),
        rows=_older(90),
    ),
    Kpi(
        "over_120",
        "A/R over 120 days",
        BACK,
        PERCENT,
        LOW,
        "Open balances more than 120 days after service",
        "open balances",
        "credits",
        "HFMA AR-1, aged A/R; RBMA reports this age",
        window=0,
        target=Decimal("0.10"),
        rows=_older(120),
    ),
    Kpi(
        "net_collection",
        "Net collection rate",
        BACK,
        PERCENT,
        HIGH,
        "Payments on exams done 31 to 150 days ago",
        "their charges less contractual adjustments",
        "void charges",
        "RBMA adjusted collection rate",
        window=150,
        target=Decimal("0.95"),
        rows="""SELECT 'charge' kind, q.id, q.site_id, q.payer_id, q.num, q.den
          FROM (SELECT c.id, x.site_id, v.payer_id,
              -coalesce(sum(e.amount) FILTER (WHERE e.account NOT IN
                ('cash', 'unapplied', 'provider_level', 'interest', 'refund_payable')), 0) num,
              -coalesce(sum(e.amount) FILTER (WHERE e.account IN
                ('revenue', 'contractual', 'sequestration')), 0) den
            FROM charges_charge c JOIN charges_exam x ON x.id = c.exam_id
            LEFT JOIN intake_coverage v ON v.id = x.coverage_id
            JOIN ledger_ledgerentry e ON e.charge_id = c.id AND e.effective_on <= %(day)s
            WHERE c.organization_id = ANY(%(orgs)s)
              AND c.service_date BETWEEN %(first)s AND %(day)s::date - 31 AND c.status <> 'void'
            GROUP BY c.id, x.site_id, v.payer_id) q
          WHERE q.den <> 0""",
    ),
    Kpi(
        "yield_variance",
        "Yield variance",
        BACK,
        PERCENT,
        HIGH,
        "Allowed less expected, on lines paid",
        "expected on the same lines",
        "denied lines, and lines without an expected amount",
        "RBMA payment variance",
        target=Decimal("-0.01"),
        rows="""SELECT 'payment line' kind, l.id, k.site_id, k.payer_id,
            l.allowed - l.expected num, l.expected den
          FROM remittance_servicepayment l
          JOIN remittance_claimpayment m ON m.id = l.payment_id AND m.status_code <> '22'
          JOIN remittance_remittance r ON r.id = m.remittance_id AND r.status = 'posted'
          JOIN claims_claim k ON k.id = m.claim_id
          WHERE l.organization_id = ANY(%(orgs)s) AND r.paid_on BETWEEN %(first)s AND %(day)s
            AND l.allowed > 0 AND l.expected > 0""",
    ),
    Kpi(
        "underpaid_recovered",
        "Underpayments recovered",
        BACK,
        PERCENT,
        HIGH,
        "Underpaid dollars recovered",
        "underpaid dollars found",
        "overpayments and accepted differences",
        "House",
        window=90,
        target=Decimal("0.70"),
        version=2,
        rows="""SELECT 'variance' kind, w.id, k.site_id, w.payer_id,
            CASE WHEN w.status = 'recovered'
              THEN least(coalesce(nullif(w.recovered, 0), -w.difference), -w.difference)
              ELSE 0 END num,
            -w.difference den
          FROM remittance_variance w JOIN claims_claim k ON k.id = w.claim_id
          WHERE w.organization_id = ANY(%(orgs)s) AND w.difference < 0 AND w.status <> 'accepted'
            AND w.found_on BETWEEN %(first)s AND %(day)s""",
    ),
    Kpi(
        "credits",
        "Credit balances",
        BACK,
        MONEY,
        LOW,
        "Dollars owed back to payers and patients",
        "charges",
        "",
        "HFMA credit balance; 42 CFR 401.305 asks for its return",
        window=0,
        target=Decimal(0),
        rows=f"""SELECT 'charge' kind, c.id, x.site_id, v.payer_id,
            -(least(o.insurance, 0) + least(o.patient, 0)) num, 1 den
          FROM {OPEN_CHARGES} WHERE o.insurance < 0 OR o.patient < 0""",
    ),
    Kpi(
        "rejection_time",
        "Rejection follow-up time",
        BACK,
        HOURS,
        LOW,
        "Hours from a rejection to the next sending",
        "rejections answered by a new sending",
        "rejections not sent again yet",
        "House",
        target=Decimal(24),
        version=2,
        rows="""SELECT 'claim' kind, q.claim_id id, q.site_id, q.payer_id,
            round(extract(epoch FROM q.again - q.received_at)::numeric / 3600, 2) num, 1 den
          FROM (SELECT a.claim_id, k.site_id, k.payer_id, a.received_at, s.time_zone,
              (SELECT min(u.sent_at) FROM claims_submissionclaim sc
                JOIN claims_submission u ON u.id = sc.submission_id
                WHERE sc.claim_id = a.claim_id AND u.sent_at > a.received_at) again
            FROM claims_acknowledgement a JOIN claims_claim k ON k.id = a.claim_id
            JOIN accounts_site s ON s.id = k.site_id
            WHERE a.organization_id = ANY(%(orgs)s) AND a.accepted = false
              AND a.received_at >= %(first)s::date - 30) q
          WHERE (q.again AT TIME ZONE q.time_zone)::date BETWEEN %(first)s AND %(day)s""",
    ),
)
