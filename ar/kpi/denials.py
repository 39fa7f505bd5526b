# ruff: noqa: S608  every text here is declared in this package; values travel as parameters
"""Denials: first ones and final ones, by claims and by dollars, with and without duplicates; what
appeals bring.

A duplicate (adjustment reason 18) says that a claim was sent twice, not that a service was refused:
both ways of counting are in use, so both are shown. A denial is final when it was written off.
"""

from __future__ import annotations

from decimal import Decimal

from ar.kpi.base import ANSWERED_IN_WINDOW, BACK, HIGH, LOW, PERCENT, Kpi

REAL = "d.organization_id = ANY(%(orgs)s) AND d.status <> 'withdrawn'"
NO_DUPLICATE = " AND d.reason <> '18'"
FIRST_IN_WINDOW = "d.denied_on BETWEEN %(first)s AND %(day)s"
# the day a denial came to its end; one that was upheld without a day ended with its last appeal
SETTLED_ON = """coalesce(d.resolved_on,
  (SELECT max(a.outcome_on) FROM remittance_appeal a
    WHERE a.denial_id = d.id AND a.outcome <> ''),
  d.denied_on)"""
FINAL_IN_WINDOW = f"d.status = 'written_off' AND {SETTLED_ON} BETWEEN %(first)s AND %(day)s"


def _by_claims(which: str, join: str = "JOIN") -> str:
    """Claims answered in the window; counted above when such a denial stands on them. `join`
    "LEFT JOIN" lets claims come in whose answer is older than the window.
    """
    return f"""SELECT 'claim' kind, k.id, k.site_id, k.payer_id, (n.claim_id IS NOT NULL)::int num,
            (b.claim_id IS NOT NULL)::int den
          FROM claims_claim k
          {join} {ANSWERED_IN_WINDOW} b ON b.claim_id = k.id
          LEFT JOIN (SELECT DISTINCT d.claim_id FROM remittance_denial d
            WHERE {REAL} AND {which}) n ON n.claim_id = k.id
          WHERE k.organization_id = ANY(%(orgs)s)
            AND (b.claim_id IS NOT NULL OR n.claim_id IS NOT NULL)"""


def _by_dollars(which: str, join: str = "JOIN") -> str:
    """Billed dollars answered in the window; above, what was denied of them, at most the billed."""
    return f"""SELECT 'claim' kind, k.id, k.site_id, k.payer_id,
            least(coalesce(n.amount, 0), coalesce(b.billed, n.amount)) num,
            coalesce(b.billed, 0) den
          FROM claims_claim k
          {join} {ANSWERED_IN_WINDOW} b ON b.claim_id = k.id
          LEFT JOIN (SELECT d.claim_id, sum(d.amount) amount FROM remittance_denial d
            WHERE {REAL} AND {which} GROUP BY d.claim_id) n ON n.claim_id = k.id
          WHERE k.organization_id = ANY(%(orgs)s)
            AND (b.claim_id IS NOT NULL OR n.claim_id IS NOT NULL)"""


OLDER = "LEFT JOIN"

KPIS: tuple[Kpi, ...] = (
    Kpi(
        "denial_rate",
        "Denial rate",
        BACK,
        PERCENT,
        LOW,
        "Claims with a denial",
        "claims answered",
        "reversals, and denials withdrawn with their remittance",
        "HFMA AR-5, remittance denial rate",
        target=Decimal("0.05"),
        version=2,
        rows=_by_claims(FIRST_IN_WINDOW),
    ),
    Kpi(
        "denial_rate_net",
        "Denial rate without duplicates",
        BACK,
        PERCENT,
        LOW,
        "Claims with a denial for another reason than a duplicate",
        "claims answered",
        "duplicates (reason 18), reversals, withdrawn denials",
        "HFMA AR-5, remittance denial rate, house cut",
        target=Decimal("0.05"),
        rows=_by_claims(FIRST_IN_WINDOW + NO_DUPLICATE),
    ),
    Kpi(
        "denial_dollars",
        "Denied dollars",
        BACK,
        PERCENT,
        LOW,
        "Billed dollars denied",
        "billed dollars answered",
        "reversals, and denials withdrawn with their remittance",
        "HFMA AR-5, remittance denial rate, by amount",
        target=Decimal("0.04"),
        version=2,
        rows=_by_dollars(FIRST_IN_WINDOW),
    ),
    Kpi(
        "denial_dollars_net",
        "Denied dollars without duplicates",
        BACK,
        PERCENT,
        LOW,
        "Billed dollars denied for another reason than a duplicate",
        "billed dollars answered",
        "duplicates (reason 18), reversals, withdrawn denials",
        "HFMA AR-5, remittance denial rate, by amount, house cut",
        target=Decimal("0.04"),
        rows=_by_dollars(FIRST_IN_WINDOW + NO_DUPLICATE),
    ),
    Kpi(
        "final_denials",
        "Final denials",
        BACK,
        PERCENT,
        LOW,
        "Claims with a denial that was written off",
        "claims answered",
        "denials still open, appealed or won",
        "HFMA denial write-offs, by claims",
        window=90,
        target=Decimal("0.01"),
        rows=_by_claims(FINAL_IN_WINDOW, OLDER),
    ),
    Kpi(
        "final_denials_net",
        "Final denials without duplicates",
        BACK,
        PERCENT,
        LOW,
        "Claims with a denial written off for another reason than a duplicate",
        "claims answered",
        "duplicates (reason 18); denials still open, appealed or won",
        "HFMA denial write-offs, by claims, house cut",
        window=90,
        target=Decimal("0.01"),
        rows=_by_claims(FINAL_IN_WINDOW + NO_DUPLICATE, OLDER),
    ),
    Kpi(
        "final_denial_dollars",
        "Final denied dollars",
        BACK,
        PERCENT,
        LOW,
        "Billed dollars of denials that were written off",
        "billed dollars answered",
        "denials still open, appealed or won",
        "HFMA denial write-offs",
        window=90,
        target=Decimal("0.01"),
        rows=_by_dollars(FINAL_IN_WINDOW, OLDER),
    ),
    Kpi(
        "final_denial_dollars_net",
        "Final denied dollars without duplicates",
        BACK,
        PERCENT,
        LOW,
        "Billed dollars of denials written off for another reason than a duplicate",
        "billed dollars answered",
        "duplicates (reason 18); denials still open, appealed or won",
        "HFMA denial write-offs, house cut",
        window=90,
        target=Decimal("0.01"),
        rows=_by_dollars(FINAL_IN_WINDOW + NO_DUPLICATE, OLDER),
    ),
    Kpi(
        "overturn_rate",
        "Denials overturned",
        BACK,
        PERCENT,
        HIGH,
        "Denials overturned in whole or part",
        "denials settled: overturned, partly overturned, upheld or written off",
        "open, corrected, appealed, parked and withdrawn denials",
        "House, after HFMA denial overturn rate",
        window=90,
        target=Decimal("0.60"),
        version=2,
        rows=f"""SELECT 'denial' kind, d.id, k.site_id, d.payer_id,
            (d.status IN ('overturned', 'partial'))::int num, 1 den
          FROM remittance_denial d JOIN claims_claim k ON k.id = d.claim_id
          WHERE d.organization_id = ANY(%(orgs)s)
            AND d.status IN ('overturned', 'partial', 'upheld', 'written_off')
            AND {SETTLED_ON} BETWEEN %(first)s AND %(day)s""",
    ),
    Kpi(
        "appeal_success",
        "Appeals won",
        BACK,
        PERCENT,
        HIGH,
        "Appeals decided in our favour, in whole or part",
        "appeals decided",
        "appeals without an outcome",
        "House",
        window=90,
        target=Decimal("0.50"),
        rows="""SELECT 'appeal' kind, a.id, k.site_id, d.payer_id,
            (a.outcome IN ('overturned', 'partial'))::int num, 1 den
          FROM remittance_appeal a JOIN remittance_denial d ON d.id = a.denial_id
          JOIN claims_claim k ON k.id = d.claim_id
          WHERE a.organization_id = ANY(%(orgs)s) AND a.outcome <> ''
            AND a.outcome_on BETWEEN %(first)s AND %(day)s""",
    ),
)
