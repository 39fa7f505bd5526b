"""Until when a denial can be appealed or corrected: computed, never typed (rules `denial-deadline`
and `corrected-window`). Days are calendar days; the last day counts.
Whose levels they are: rules `medicare-appeal`, `erisa-appeal` and `payer-appeal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from remittance import tables


@dataclass(frozen=True, slots=True)
class PayerClock:
    """What a payer's row says; None where it says nothing."""

    kind: str
    appeal_days: int | None = None
    corrected_days: int | None = None
    accepts_replacement: bool = True


def appeal_due(
    clock: PayerClock, decided_on: date, *, level: int = 1, amount: Decimal | None = None
) -> date | None:
    """Last day to appeal at a level. Original Medicare counts from receipt, presumed some days
    after the notice. None when there is no such level, or when the amount in dispute is below its
    least amount.
    """
    row = tables.appeal_level(clock.kind, level, decided_on)
    if row is None or (row.minimum is not None and amount is not None and amount < row.minimum):
        return None
    days = clock.appeal_days if level == 1 and clock.appeal_days is not None else row.days
    return decided_on + timedelta(days=days + row.receipt_days)


def correct_due(
    clock: PayerClock,
    decided_on: date,
    *,
    unprocessable: bool = False,
    filing_deadline: date | None = None,
) -> date | None:
    """Last day for a corrected claim. An unprocessable claim (MA130) is sent anew within the filing
    limit; a payer that takes no replacement knows only the appeal clock.
    """
    if unprocessable:
        return filing_deadline
    if not clock.accepts_replacement:
        return None
    if clock.corrected_days is None:
        return filing_deadline
    return decided_on + timedelta(days=clock.corrected_days)


SEED_WEIGHT = 30
"""Outcomes that a seeded chance counts for: so many own ones weigh as much as it does."""
SPREAD = Decimal("1.645")
"""Standard deviations to each side that hold nine of ten."""


@dataclass(frozen=True, slots=True)
class Chance:
    """Chance that a denial is overturned, with what it stands on: `won` of `n` own outcomes, mixed
    with the seed, and the range that holds it nine times of ten.
    """

    odds: Decimal
    low: Decimal
    high: Decimal
    won: int
    n: int

    @property
    def words(self) -> str:
        own = f"{self.won:,} of {self.n:,} of our own won" if self.n else "no own outcome yet"
        return f"{own}; between {self.low:.0%} and {self.high:.0%}"


def chance(seed: Decimal, won: int = 0, n: int = 0) -> Chance:
    """The seed and the own outcomes by their weight (rule `work-priority`): a beta distribution
    that began as the seed. None of 34 won still leaves a chance above zero.
    """
    weight = Decimal(SEED_WEIGHT + n)
    mean = (seed * SEED_WEIGHT + won) / weight
    spread = SPREAD * (mean * (1 - mean) / (weight + 1)).sqrt()
    cent = Decimal("0.01")
    return Chance(
        mean.quantize(cent),
        max(Decimal(0), mean - spread).quantize(cent),
        min(Decimal(1), mean + spread).quantize(cent),
        won,
        n,
    )


def score(
    expected: Decimal, odds: Decimal, effort: Decimal, days_left: int | None
) -> tuple[Decimal, dict[str, str]]:
    """Order of work, with every part shown (rule `work-priority`): dollars × odds × urgency ÷
    effort, urgency 1 to 3 in the last 30 days.
    """
    left = Decimal(30 if days_left is None else max(0, days_left))
    urgency = 1 + 2 * max(Decimal(0), 1 - left / 30)
    total = (expected * odds * urgency / effort).quantize(Decimal("0.01"))
    parts = {
        "expected": f"{expected:.2f}",
        "odds": f"{odds.normalize():f}",
        "urgency": f"{urgency:.2f}",
        "effort": f"{effort.normalize():f}",
        "days_left": "" if days_left is None else str(days_left),
    }
    return total, parts
