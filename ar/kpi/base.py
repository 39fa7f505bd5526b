"""What a key figure is, and the SQL words that all of them share.

Each KPI selects rows (kind, id, site_id, payer_id, num, den). Its value is sum(num)/sum(den), or
sum(num) when it is an amount. The screens show the same rows, so that the drill-down can never
differ from the figure. `%(day)s` is the day asked for, `%(first)s` the first day of the window that
ends with it; both are days of the site where the exam was done. A changed formula gets a new
`version`; snapshots keep the one they were taken with.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

PERCENT, DAYS, HOURS, MONEY, COUNT = "percent", "days", "hours", "money", "count"
MINUTES = "minutes"
HIGH, LOW = "high", "low"
FRONT, MIDDLE, BACK, WORK = "Front", "Middle", "Back", "Cost and work"
GROUPS = (FRONT, MIDDLE, BACK, WORK)


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure: what is counted over what, what is left out, where it should be. `better` is
    "high" or "low"; `target` is the shipped one, which an organization may replace from a day on.
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
    def rule(self) -> str:
        """The figure's rule in the rule book (docs/rules/kpi.md)."""
        return f"kpi-{self.code.replace('_', '-')}"

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

    @property
    def direction(self) -> str:
        """ "at least" or "at most", said before the target."""
        return "at least" if self.better == HIGH else "at most"


def site_day(moment: str) -> str:
    """The calendar day of a moment where the exam was done (`s` is the site)."""
    return f"({moment} AT TIME ZONE s.time_zone)::date"


def within(moment: str) -> str:
    """The moment falls in the window, by the site's days. The plain bounds let an index help."""
    return (
        f"({moment} >= %(first)s::date - 1 AND {moment} < %(day)s::date + 2"
        f" AND {site_day(moment)} BETWEEN %(first)s AND %(day)s)"
    )


def by_end(moment: str) -> str:
    """The moment had come by the end of the day at the site."""
    return f"({moment} < %(day)s::date + 2 AND {site_day(moment)} <= %(day)s)"


EXAMS = """charges_exam x
  JOIN accounts_site s ON s.id = x.site_id
  LEFT JOIN intake_coverage v ON v.id = x.coverage_id"""
CHARGES = """charges_charge c
  JOIN charges_exam x ON x.id = c.exam_id
  JOIN accounts_site s ON s.id = x.site_id
  LEFT JOIN intake_coverage v ON v.id = x.coverage_id"""
CLAIMS = "claims_claim k JOIN accounts_site s ON s.id = k.site_id"
DONE = """x.organization_id = ANY(%(orgs)s)
  AND x.service_date BETWEEN %(first)s AND %(day)s
  AND x.status NOT IN ('discontinued', 'in_progress')"""
FIRST_FINAL = """(SELECT min(r.signed_at) FROM charges_report r
  WHERE r.exam_id = x.id AND r.status IN ('F', 'C'))"""
OPEN_AT_DAY = """(SELECT e.charge_id,
    coalesce(sum(e.amount) FILTER (WHERE e.account = 'ar_insurance'), 0) insurance,
    coalesce(sum(e.amount) FILTER (WHERE e.account = 'ar_patient'), 0) patient,
    coalesce(sum(e.amount) FILTER (WHERE e.account = 'contractual'), 0) contractual
  FROM ledger_ledgerentry e
  WHERE e.organization_id = ANY(%(orgs)s) AND e.charge_id IS NOT NULL
    AND e.account IN ('ar_insurance', 'ar_patient', 'contractual') AND e.effective_on <= %(day)s
  GROUP BY e.charge_id)"""
# an answer of a payer that stands: posted, and no reversal of an earlier one
ANSWERED = """(SELECT m.claim_id, min(r.paid_on) first_on, max(r.paid_on) last_on,
    max(m.billed) billed
  FROM remittance_claimpayment m JOIN remittance_remittance r ON r.id = m.remittance_id
  WHERE r.organization_id = ANY(%(orgs)s) AND r.status = 'posted' AND m.status_code <> '22'
    AND m.claim_id IS NOT NULL AND r.paid_on <= %(day)s
  GROUP BY m.claim_id)"""
ANSWERED_IN_WINDOW = ANSWERED.replace(
    "r.paid_on <= %(day)s", "r.paid_on BETWEEN %(first)s AND %(day)s"
)
