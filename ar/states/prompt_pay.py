"""The prompt-pay clock of one claim, and the interest on what is late. Pure: facts in, days and
dollars out.

Counted from the day on which the payer received the claim (its own 277CA), by calendar days of the
site. Simple interest on the amount owed, the rate by the year over 365 days, from the day after the
last day. A self-funded plan is not under state insurance law (ERISA, 29 USC 1144); Medicare,
Medicaid and TRICARE have their own rules and are left out, and so are workers' compensation and
auto, whose states rule them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
YEAR = Decimal(36_500)
INSURED = frozenset({"commercial"})
WAITING, LATE, PAID_LATE, PAID_IN_TIME = "waiting", "late", "paid_late", "paid_in_time"
UNVERIFIED, FUNDING_UNKNOWN, EXCLUDED = "unverified", "funding_unknown", "excluded"
WORDS = {
    WAITING: "In time so far",
    LATE: "Late, not paid",
    PAID_LATE: "Paid late",
    PAID_IN_TIME: "Paid in time",
    UNVERIFIED: "State rule not verified",
    FUNDING_UNKNOWN: "Plan's funding not known",
    EXCLUDED: "Not under state prompt-pay law",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a state asks: days to pay a clean electronic claim and the yearly interest in percent.
    `verified` is whether somebody of the organization has read the source.
    """

    days: int | None
    interest: Decimal | None
    verified: bool
    source: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """Where one claim stands. `interest` is None where nothing may be asserted."""

    state: str
    last_day: date | None
    days_late: int
    interest: Decimal | None

    @property
    def words(self) -> str:
        return WORDS[self.state]


def clock(
    rule: Rule | None,
    *,
    payer_kind: str,
    self_funded: bool | None,
    received: date,
    paid: date | None,
    amount: Decimal,
    on: date,
) -> Clock:
    """The clock at a day. `amount` is what is owed, or what was paid when it was paid late."""
    if payer_kind not in INSURED or self_funded:
        return Clock(EXCLUDED, None, 0, None)
    if rule is None or rule.days is None or not rule.verified:
        return Clock(UNVERIFIED, None, 0, None)
    if self_funded is None:
        return Clock(FUNDING_UNKNOWN, None, 0, None)
    last_day = received + timedelta(days=rule.days)
    late = max(((paid or on) - last_day).days, 0)
    if not late:
        return Clock(PAID_IN_TIME if paid else WAITING, last_day, 0, Decimal("0.00"))
    return Clock(
        PAID_LATE if paid else LATE, last_day, late, interest_of(amount, rule.interest, late)
    )


def interest_of(amount: Decimal, percent: Decimal | None, days: int) -> Decimal | None:
    """Simple interest in dollars; None when the rate is not known."""
    if percent is None:
        return None
    return (max(amount, Decimal(0)) * percent * days / YEAR).quantize(CENT, ROUND_HALF_UP)
