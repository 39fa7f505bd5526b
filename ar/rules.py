"""Pure rules of receivables: statement cadence, payment plans, refund clocks, buckets, the order of
follow-up. Facts in, answers out.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

ZERO = Decimal("0.00")
BUCKETS = ("0-30", "31-60", "61-90", "91-120", "121+")
UNBILLED = "unbilled"
URGENT_DAYS = 30


def bucket(age_days: int) -> str:
    """The aging bucket of an age in days (rule `aging`). A balance dated in the future is young."""
    for limit, name in zip((30, 60, 90, 120), BUCKETS, strict=False):
        if age_days <= limit:
            return name
    return BUCKETS[-1]


# --- statements -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StatementHistory:
    """Statements of the running cycle: how many steps are sent, when the first and the last
    went.
    """

    steps: int = 0
    first_on: date | None = None
    last_on: date | None = None


def next_statement(history: StatementHistory, cadence: Sequence[int], today: date) -> int | None:
    """The step due today (1 is the first, the last is the final notice), or None. Steps are never
    skipped and never doubled on a day.
    """
    if history.steps == 0:
        return 1
    if history.steps >= len(cadence) or history.first_on is None or history.last_on is None:
        return None
    due = history.first_on + timedelta(days=cadence[history.steps])
    # a late run does not send two steps in one week: the gap of the cadence is kept from the last
    # one
    gap = cadence[history.steps] - cadence[history.steps - 1]
    return history.steps + 1 if today >= max(due, history.last_on + timedelta(days=gap)) else None


def statement_due_on(history: StatementHistory, cadence: Sequence[int], today: date) -> date | None:
    """When the next statement goes out; None after the final notice."""
    if history.steps == 0:
        return today
    if history.steps >= len(cadence) or history.first_on is None or history.last_on is None:
        return None
    gap = cadence[history.steps] - cadence[history.steps - 1]
    return max(
        history.first_on + timedelta(days=cadence[history.steps]),
        history.last_on + timedelta(days=gap),
    )


# --- payment plans --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Instalment:
    due_on: date
    amount: Decimal
    paid: Decimal
    missed: bool


def month_later(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day."""
    index = day.month - 1 + months
    year, month = day.year + index // 12, index % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def schedule(
    *,
    total: Decimal,
    instalment: Decimal,
    starts_on: date,
    grace_days: int,
    paid: Decimal,
    today: date,
) -> list[Instalment]:
    """The instalments of a plan; what was paid since it began fills them from the first. A miss is
    unpaid past its grace.
    """
    rows: list[Instalment] = []
    left, money, n = total, paid, 0
    while left > ZERO:
        amount = min(instalment, left)
        covered = min(amount, money)
        due = month_later(starts_on, n)
        rows.append(
            Instalment(
                due, amount, covered, covered < amount and today > due + timedelta(days=grace_days)
            )
        )
        left, money, n = left - amount, money - covered, n + 1
    return rows


def next_instalment(starts_on: date, today: date) -> date:
    """The first due day of a plan that is not before today."""
    months = max(0, (today.year - starts_on.year) * 12 + today.month - starts_on.month)
    days = [month_later(starts_on, months + n) for n in (0, 1)]
    return next(day for day in days if day >= today)


def plan_status(rows: Sequence[Instalment], misses_allowed: int) -> str:
    """active, done, or default once as many instalments are missed as the plan forbids (rule
    `payment-plan`).
    """
    if all(r.paid >= r.amount for r in rows):
        return "done"
    return "default" if sum(r.missed for r in rows) >= misses_allowed else "active"


# --- priority -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Score:
    """score = expected × odds × urgency; each part is shown (rule `work-priority`)."""

    expected: Decimal
    odds: Decimal
    urgency: Decimal

    @property
    def value(self) -> Decimal:
        return (self.expected * self.odds * self.urgency).quantize(Decimal("0.01"))

    def parts(self) -> dict[str, str]:
        return {
            "expected": str(self.expected),
            "odds": str(self.odds),
            "urgency": str(self.urgency),
        }


def score(*, expected: Decimal, odds: Decimal, days_left: int | None) -> Score:
    """Urgency is 1 + 2·max(0, 1 − days_left/30); without a deadline 1."""
    if days_left is None:
        return Score(expected, odds, Decimal(1))
    near = max(Decimal(0), 1 - Decimal(max(days_left, 0)) / URGENT_DAYS)
    return Score(expected, odds, (1 + 2 * near).quantize(Decimal("0.01")))
