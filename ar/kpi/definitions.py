# ruff: noqa: S608  every text here is declared in this file; values travel as parameters
"""The set of KPIs (FEATURES K2, DOMAIN G10; HFMA MAP Keys where they exist).

Each KPI selects rows (kind, id, site_id, payer_id, num, den). Its value is sum(num)/sum(den), or
sum(num) when it is an amount. The screens show the same rows, so that the drill-down can never
differ from the figure. `%(day)s` is the day asked for, `%(first)s` the first day of the window that
ends with it. A changed formula gets a new `version`; snapshots keep the one they were taken with.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

PERCENT, DAYS, HOURS, MONEY, COUNT = "percent", "days", "hours", "money", "count"
GROUPS = ("Front", "Middle", "Back")


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure: what is counted over what, what is left out, where it should be. `better` is
    "high" or "low".
    """

    code: str
    label: str
    group: str
    unit: str
    better: str
    numerator: str
    denominator: str
    exclusions: str
    source: str
    rows: str
    target: Decimal | None = None
    window: int = 30
    version: int = 1

    @property
    def summed(self) -> bool:
        """An amount or count: the value is the numerator's sum."""
        return self.unit in (MONEY, COUNT)

    @property
    def definition(self) -> str:
        over = "" if self.summed else f" ÷ {self.denominator}"
        left = f" Left out: {self.exclusions}." if self.exclusions else ""
        span = f" Last {self.window} days." if self.window else " As it stands at the day's end."
        return f"{self.numerator}{over}.{span}{left} {self.source}, version {self.version}."


EXAMS = (
    "charges_exam x JOIN accounts_site s ON s.id = x.site_id LEFT JOIN intake_coverage v ON v.id ="
    " x.coverage_id"
)
FIRST_FINAL = """(SELECT min(r.signed_at) FROM charges_report r WHERE r.exam_id = x.id AND r.status IN ('F', 'C'))"""
OPEN_AT_DAY = """(SELECT e.charge_id,
         coalesce(sum(e.amount) FILTER (WHERE e.account = 'ar_insurance'), 0) insurance, coalesce(sum(e.amount) FILTER (WHERE e.account = 'ar_patient'), 0) patient,
         coalesce(sum(e.amount) FILTER (WHERE e.account = 'contractual'), 0) contractual
    FROM ledger_ledgerentry e WHERE e.organization_id = ANY(%(orgs)s) AND e.charge_id IS NOT NULL
     AND e.account IN ('ar_insurance', 'ar_patient', 'contractual') AND e.effective_on <= %(day)s GROUP BY e.charge_id)"""

KPIS: tuple[Kpi, ...] = (
    # --- front ---
    Kpi(
        "eligibility_rate",
        "Insurance verified before service",
        "Front",
        PERCENT,
        "high",
        "Insured exams whose coverage was verified active before the exam",
        "insured exams performed",
        "self-pay and discontinued exams",
        "HFMA insurance verification rate",
        target=Decimal("0.98"),
        rows=f"""SELECT 'exam' kind, x.id, x.site_id, v.payer_id,
              (EXISTS (SELECT 1 FROM intake_eligibilitycheck k WHERE k.coverage_id = v.id AND k.status = 'active' AND k.answered_at <= x.performed_at))::int num, 1 den
              FROM {EXAMS} JOIN reference_payer p ON p.id = v.payer_id
             WHERE x.organization_id = ANY(%(orgs)s) AND x.service_date BETWEEN %(first)s AND %(day)s AND x.status NOT IN ('discontinued', 'in_progress') AND p.kind <> 'self_pay'""",
    ),
    Kpi(
        "auth_before_service",
        "Authorized before service",
        "Front",
        PERCENT,
        "high",
        "Exams that needed an authorization and had it granted before they began",
        "exams that needed an authorization",
        "exams whose payer said that none is required",
        "HFMA outpatient service authorization (PA)",
        target=Decimal("0.97"),
        rows=f"""SELECT 'exam' kind, x.id, x.site_id, v.payer_id,
              (EXISTS (SELECT 1 FROM authorizations_authorization a WHERE a.id = x.authorization_id AND a.number <> '' AND a.kind <> 'retro' AND a.decided_at <= x.performed_at))::int num, 1 den
              FROM {EXAMS}
             WHERE x.organization_id = ANY(%(orgs)s) AND x.service_date BETWEEN %(first)s AND %(day)s AND x.status NOT IN ('discontinued', 'in_progress')
               AND EXISTS (SELECT 1 FROM authorizations_authorizedservice u JOIN authorizations_authorization a ON a.id = u.authorization_id
                            WHERE (u.ordered_exam_id = x.ordered_exam_id OR a.id = x.authorization_id) AND a.status <> 'not_required' AND a.status <> 'cancelled')""",
    ),
    Kpi(
        "pos_cash",
        "Collected by the day of service",
        "Front",
        PERCENT,
        "high",
        "Patient payments received on or before the day of an exam (within a week)",
        "all patient payments received",
        "voided payments",
        "HFMA point-of-service cash",
        target=Decimal("0.30"),
        rows="""SELECT 'payment' kind, m.id, x.site_id, NULL::bigint payer_id, CASE WHEN x.id IS NULL THEN 0 ELSE m.amount END num, m.amount den
              FROM ar_patientpayment m
              LEFT JOIN LATERAL (SELECT z.id, z.site_id FROM charges_exam z WHERE z.patient_id = m.patient_id AND z.service_date BETWEEN m.received_on AND m.received_on + 7 ORDER BY z.service_date, z.id LIMIT 1) x ON true
             WHERE m.organization_id = ANY(%(orgs)s) AND m.received_on BETWEEN %(first)s AND %(day)s AND (m.voided_at IS NULL OR m.voided_at::date > %(day)s)""",
    ),
    # --- middle ---
    Kpi(
        "report_lag",
        "Report turnaround",
        "Middle",
        HOURS,
        "low",
        "Hours from the exam to its first final signed report",
        "exams with a first final report",
        "",
        "Imaging's own",
        target=Decimal(24),
        rows=f"""SELECT 'exam' kind, q.id, q.site_id, q.payer_id, round(extract(epoch FROM q.signed - q.performed_at)::numeric / 3600, 2) num, 1 den
              FROM (SELECT x.id, x.site_id, v.payer_id, x.performed_at, {FIRST_FINAL} signed FROM {EXAMS}
                     WHERE x.organization_id = ANY(%(orgs)s) AND x.service_date BETWEEN %(first)s::date - 60 AND %(day)s) q
             WHERE q.signed >= %(first)s::date AND q.signed < %(day)s::date + 1 AND q.signed >= q.performed_at""",
    ),
    Kpi(
        "unsigned_dollars",
        "Unsigned dollars",
        "Middle",
        MONEY,
        "low",
        "Expected payment of performed exams without a final report",
        "exams",
        "discontinued exams",
        "Imaging's own",
        window=0,
        target=Decimal(0),
        rows=f"""SELECT 'exam' kind, x.id, x.site_id, v.payer_id, coalesce(x.expected, 0) num, 1 den FROM {EXAMS}
             WHERE x.organization_id = ANY(%(orgs)s) AND x.service_date <= %(day)s AND x.status NOT IN ('discontinued', 'in_progress', 'no_bill')
               AND NOT EXISTS (SELECT 1 FROM charges_report r WHERE r.exam_id = x.id AND r.status IN ('F', 'C') AND r.signed_at < %(day)s::date + 1)""",
    ),
    Kpi(
        "charge_lag",
        "Charge lag",
        "Middle",
        DAYS,
        "low",
        "Days from the exam to the release of its charges",
        "charges released",
        "void charges",
        "Imaging's own",
        target=Decimal(3),
        rows="""SELECT 'charge' kind, c.id, x.site_id, v.payer_id, greatest(c.released_at::date - c.service_date, 0) num, 1 den
              FROM charges_charge c JOIN charges_exam x ON x.id = c.exam_id LEFT JOIN intake_coverage v ON v.id = x.coverage_id
             WHERE c.organization_id = ANY(%(orgs)s) AND c.released_at >= %(first)s::date AND c.released_at < %(day)s::date + 1 AND c.status <> 'void'""",
    ),
    Kpi(
        "late_charges",
        "Late charges",
        "Middle",
        PERCENT,
        "low",
        "Dollars released more than three days after the exam",
        "dollars released",
        "void charges",
        "HFMA CL-2",
        target=Decimal("0.02"),
        rows="""SELECT 'charge' kind, c.id, x.site_id, v.payer_id, CASE WHEN c.released_at::date - c.service_date > 3 THEN c.amount ELSE 0 END num, c.amount den
              FROM charges_charge c JOIN charges_exam x ON x.id = c.exam_id LEFT JOIN intake_coverage v ON v.id = x.coverage_id
             WHERE c.organization_id = ANY(%(orgs)s) AND c.released_at >= %(first)s::date AND c.released_at < %(day)s::date + 1 AND c.status <> 'void'""",
    ),
    Kpi(
        "unbilled",
        "Unbilled charges",
        "Middle",
        MONEY,
        "low",
        "Insurance charges that are on no claim sent by the day's end",
        "charges",
        "self-pay, void and no-bill",
        "HFMA discharged not final billed",
        window=0,
        target=Decimal(0),
        rows="""SELECT 'charge' kind, c.id, x.site_id, v.payer_id, c.amount num, 1 den
              FROM charges_charge c JOIN charges_exam x ON x.id = c.exam_id LEFT JOIN intake_coverage v ON v.id = x.coverage_id
             WHERE c.organization_id = ANY(%(orgs)s) AND c.service_date <= %(day)s AND c.status NOT IN ('void', 'self_pay') AND x.status <> 'no_bill' AND c.bill_as = 'ours'
               AND NOT EXISTS (SELECT 1 FROM claims_claimline l JOIN claims_claim k ON k.id = l.claim_id WHERE l.charge_id = c.id AND k.first_submitted_at < %(day)s::date + 1)""",
    ),
    # --- back ---
    Kpi(
        "clean_claim",
        "Clean claim rate",
        "Back",
        PERCENT,
        "high",
        "Claims that passed the first scrub and were not rejected",
        "claims first sent",
        "corrections",
        "HFMA CL-1",
        target=Decimal("0.98"),
        rows="""SELECT 'claim' kind, k.id, k.site_id, k.payer_id, coalesce(k.clean_first_pass, true)::int num, 1 den FROM claims_claim k
             WHERE k.organization_id = ANY(%(orgs)s) AND k.first_submitted_at >= %(first)s::date AND k.first_submitted_at < %(day)s::date + 1 AND k.frequency = '1'""",
    ),
    Kpi(
        "first_pass",
        "First-pass yield",
        "Back",
        PERCENT,
        "high",
        "Claims settled by the payer's first answer without a denial",
        "claims with a first answer",
        "corrections and reversals",
        "DOMAIN G10",
        target=Decimal("0.90"),
        rows="""SELECT 'claim' kind, k.id, k.site_id, k.payer_id,
              (NOT EXISTS (SELECT 1 FROM remittance_denial d WHERE d.claim_id = k.id AND d.denied_on <= a.first_on + 1))::int num, 1 den
              FROM claims_claim k JOIN (SELECT m.claim_id, min(r.paid_on) first_on FROM remittance_claimpayment m JOIN remittance_remittance r ON r.id = m.remittance_id
                     WHERE r.organization_id = ANY(%(orgs)s) AND r.status = 'posted' AND m.status_code <> '22' AND m.claim_id IS NOT NULL GROUP BY 1) a ON a.claim_id = k.id
             WHERE k.organization_id = ANY(%(orgs)s) AND a.first_on BETWEEN %(first)s AND %(day)s AND k.frequency = '1'""",
    ),
    Kpi(
        "denial_rate",
        "Denial rate",
        "Back",
        PERCENT,
        "low",
        "Claims with a denial",
        "claims answered",
        "reversals",
        "HFMA AR-5",
        target=Decimal("0.05"),
        rows="""SELECT 'claim' kind, k.id, k.site_id, k.payer_id,
              (EXISTS (SELECT 1 FROM remittance_denial d WHERE d.claim_id = k.id AND d.denied_on BETWEEN %(first)s AND %(day)s))::int num, 1 den
              FROM claims_claim k WHERE k.organization_id = ANY(%(orgs)s)
               AND EXISTS (SELECT 1 FROM remittance_claimpayment m JOIN remittance_remittance r ON r.id = m.remittance_id
                            WHERE m.claim_id = k.id AND r.status = 'posted' AND m.status_code <> '22' AND r.paid_on BETWEEN %(first)s AND %(day)s)""",
    ),
    Kpi(
        "denial_dollars",
        "Denied dollars",
        "Back",
        PERCENT,
        "low",
        "Billed dollars denied",
        "billed dollars answered",
        "reversals",
        "HFMA AR-5, by amount",
        target=Decimal("0.04"),
        rows="""SELECT 'claim' kind, k.id, k.site_id, k.payer_id, least(coalesce(d.amount, 0), b.billed) num, b.billed den
              FROM claims_claim k
              JOIN (SELECT m.claim_id, max(m.billed) billed FROM remittance_claimpayment m JOIN remittance_remittance r ON r.id = m.remittance_id
                     WHERE r.organization_id = ANY(%(orgs)s) AND r.status = 'posted' AND m.status_code <> '22' AND r.paid_on BETWEEN %(first)s AND %(day)s GROUP BY 1) b ON b.claim_id = k.id
              LEFT JOIN (SELECT claim_id, sum(amount) amount FROM remittance_denial WHERE organization_id = ANY(%(orgs)s) AND denied_on BETWEEN %(first)s AND %(day)s GROUP BY 1) d ON d.claim_id = k.id
             WHERE k.organization_id = ANY(%(orgs)s)""",
    ),
    Kpi(
        "overturn_rate",
        "Denials overturned",
        "Back",
        PERCENT,
        "high",
        "Denials overturned in whole or part",
        "denials settled",
        "open and parked denials",
        "DOMAIN G10",
        window=90,
        target=Decimal("0.60"),
        rows="""SELECT 'denial' kind, d.id, k.site_id, d.payer_id, (d.status IN ('overturned', 'partial'))::int num, 1 den
              FROM remittance_denial d JOIN claims_claim k ON k.id = d.claim_id
             WHERE d.organization_id = ANY(%(orgs)s) AND d.status IN ('overturned', 'partial', 'upheld', 'written_off') AND d.resolved_on BETWEEN %(first)s AND %(day)s""",
    ),
    Kpi(
        "ar_days",
        "Net days in A/R",
        "Back",
        DAYS,
        "low",
        "Open balances at what they are expected to bring",
        "expected revenue of a day (last 90 days)",
        "credits",
        "HFMA net days in A/R",
        window=90,
        target=Decimal(35),
        rows=f"""SELECT 'charge' kind, q.id, q.site_id, q.payer_id, q.num, q.den FROM (
               SELECT c.id, x.site_id, v.payer_id,
                 coalesce(CASE WHEN o.contractual <> 0 OR c.expected IS NULL THEN greatest(o.insurance, 0) + greatest(o.patient, 0)
                      ELSE least(greatest(o.insurance, 0) + greatest(o.patient, 0), c.expected) END, 0) num,
                 CASE WHEN c.released_at >= %(first)s::date AND c.released_at < %(day)s::date + 1 THEN round(coalesce(c.expected, c.amount) / 90, 6) ELSE 0 END den
                 FROM charges_charge c JOIN charges_exam x ON x.id = c.exam_id LEFT JOIN intake_coverage v ON v.id = x.coverage_id LEFT JOIN {OPEN_AT_DAY} o ON o.charge_id = c.id
                WHERE c.organization_id = ANY(%(orgs)s) AND c.released_at < %(day)s::date + 1 AND c.status <> 'void') q WHERE q.num <> 0 OR q.den <> 0""",
    ),
    Kpi(
        "dro",
        "Days revenue outstanding",
        "Back",
        DAYS,
        "low",
        "Open balances, gross",
        "gross charges of a day (last 90 days)",
        "credits",
        "DOMAIN G10",
        window=90,
        target=Decimal(45),
        rows=f"""SELECT 'charge' kind, q.id, q.site_id, q.payer_id, q.num, q.den FROM (
               SELECT c.id, x.site_id, v.payer_id, coalesce(greatest(o.insurance, 0) + greatest(o.patient, 0), 0) num,
                 CASE WHEN c.released_at >= %(first)s::date AND c.released_at < %(day)s::date + 1 THEN round(c.amount / 90, 6) ELSE 0 END den
                 FROM charges_charge c JOIN charges_exam x ON x.id = c.exam_id LEFT JOIN intake_coverage v ON v.id = x.coverage_id LEFT JOIN {OPEN_AT_DAY} o ON o.charge_id = c.id
                WHERE c.organization_id = ANY(%(orgs)s) AND c.released_at < %(day)s::date + 1 AND c.status <> 'void') q WHERE q.num <> 0 OR q.den <> 0""",
    ),
    Kpi(
        "over_90",
        "A/R over 90 days",
        "Back",
        PERCENT,
        "low",
        "Open balances more than 90 days after service",
        "open balances",
        "credits",
        "HFMA AR-1",
        window=0,
        target=Decimal("0.15"),
        rows=f"""SELECT 'charge' kind, c.id, x.site_id, v.payer_id,
              CASE WHEN %(day)s::date - c.service_date > 90 THEN greatest(o.insurance, 0) + greatest(o.patient, 0) ELSE 0 END num, greatest(o.insurance, 0) + greatest(o.patient, 0) den
              FROM {OPEN_AT_DAY} o JOIN charges_charge c ON c.id = o.charge_id JOIN charges_exam x ON x.id = c.exam_id LEFT JOIN intake_coverage v ON v.id = x.coverage_id
             WHERE greatest(o.insurance, 0) + greatest(o.patient, 0) > 0""",
    ),
    Kpi(
        "net_collection",
        "Net collection rate",
        "Back",
        PERCENT,
        "high",
        "Payments on exams done 31 to 150 days ago",
        "their charges less contractual adjustments",
        "void charges",
        "DOMAIN G10",
        window=150,
        target=Decimal("0.95"),
        rows="""SELECT 'charge' kind, q.id, q.site_id, q.payer_id, q.num, q.den FROM (
               SELECT c.id, x.site_id, v.payer_id,
                 -coalesce(sum(e.amount) FILTER (WHERE e.account NOT IN ('cash', 'unapplied', 'provider_level', 'interest', 'refund_payable')), 0) num,
                 -coalesce(sum(e.amount) FILTER (WHERE e.account IN ('revenue', 'contractual', 'sequestration')), 0) den
                 FROM charges_charge c JOIN charges_exam x ON x.id = c.exam_id LEFT JOIN intake_coverage v ON v.id = x.coverage_id
                 JOIN ledger_ledgerentry e ON e.charge_id = c.id AND e.effective_on <= %(day)s
                WHERE c.organization_id = ANY(%(orgs)s) AND c.service_date BETWEEN %(first)s AND %(day)s::date - 31 AND c.status <> 'void'
                GROUP BY c.id, x.site_id, v.payer_id) q WHERE q.den <> 0""",
    ),
    Kpi(
        "underpaid_recovered",
        "Underpayments recovered",
        "Back",
        PERCENT,
        "high",
        "Underpaid dollars recovered",
        "underpaid dollars found",
        "overpayments and accepted differences",
        "DOMAIN G10",
        window=90,
        target=Decimal("0.70"),
        rows="""SELECT 'variance' kind, w.id, k.site_id, w.payer_id, CASE WHEN w.status = 'recovered' THEN -w.difference ELSE 0 END num, -w.difference den
              FROM remittance_variance w JOIN claims_claim k ON k.id = w.claim_id
             WHERE w.organization_id = ANY(%(orgs)s) AND w.difference < 0 AND w.status <> 'accepted' AND w.found_on BETWEEN %(first)s AND %(day)s""",
    ),
    Kpi(
        "credits",
        "Credit balances",
        "Back",
        MONEY,
        "low",
        "Dollars owed back to payers and patients",
        "charges",
        "",
        "DOMAIN G8",
        window=0,
        target=Decimal(0),
        rows=f"""SELECT 'charge' kind, c.id, x.site_id, v.payer_id, -(least(o.insurance, 0) + least(o.patient, 0)) num, 1 den
              FROM {OPEN_AT_DAY} o JOIN charges_charge c ON c.id = o.charge_id JOIN charges_exam x ON x.id = c.exam_id LEFT JOIN intake_coverage v ON v.id = x.coverage_id
             WHERE o.insurance < 0 OR o.patient < 0""",
    ),
    Kpi(
        "rejection_time",
        "Rejection follow-up time",
        "Back",
        HOURS,
        "low",
        "Hours from a rejection to the next sending",
        "rejections answered by a new sending",
        "",
        "FEATURES K2",
        target=Decimal(24),
        rows="""SELECT 'claim' kind, q.claim_id id, q.site_id, q.payer_id, round(extract(epoch FROM q.again - q.received_at)::numeric / 3600, 2) num, 1 den FROM (
               SELECT a.claim_id, k.site_id, k.payer_id, a.received_at,
                 (SELECT min(u.sent_at) FROM claims_submissionclaim sc JOIN claims_submission u ON u.id = sc.submission_id WHERE sc.claim_id = a.claim_id AND u.sent_at > a.received_at) again
                 FROM claims_acknowledgement a JOIN claims_claim k ON k.id = a.claim_id WHERE a.organization_id = ANY(%(orgs)s) AND a.accepted = false
                  AND a.received_at >= %(first)s::date - 30) q
             WHERE q.again >= %(first)s::date AND q.again < %(day)s::date + 1""",
    ),
)
BY_CODE = {k.code: k for k in KPIS}
