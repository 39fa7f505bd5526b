"""What a sample proves about a share: Wilson's interval, the verdict, the size that is needed.

Wilson, E. B. (1927), "Probable inference, the law of succession, and statistical inference",
Journal of the American Statistical Association 22: the interval holds also near 0 and 1, where a
goal of 99 % lies and the usual approximation fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import sqrt

Z = 1.959963984540054  # two-sided 95 %
PLACES = Decimal("0.0001")
MOST = 100_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A share found in a sample and where the true one lies, with 95 % confidence."""

    correct: int
    of: int
    low: Decimal
    high: Decimal

    @property
    def rate(self) -> Decimal | None:
        return Decimal(self.correct) / Decimal(self.of) if self.of else None

    @property
    def half_width(self) -> Decimal:
        return (self.high - self.low) / 2


def _bounds(share: float, of: int) -> tuple[float, float]:
    square = Z * Z
    centre = (share + square / (2 * of)) / (1 + square / of)
    reach = Z / (1 + square / of) * sqrt(share * (1 - share) / of + square / (4 * of * of))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def wilson(correct: int, of: int) -> Interval:
    """The interval of `correct` out of `of`. Of nothing, anything is possible: 0 to 1."""
    if not 0 <= correct <= of:
        raise ValueError("correct must lie between 0 and the number read")
    if of == 0:
        return Interval(0, 0, Decimal(0), Decimal(1))
    low, high = _bounds(correct / of, of)
    return Interval(
        correct, of, Decimal(str(low)).quantize(PLACES), Decimal(str(high)).quantize(PLACES)
    )


def planned_size(half_width: Decimal, share: Decimal = Decimal("0.99")) -> int:
    """How many cases give an interval at most so wide to each side, if the true share is the one
    expected. Raises ValueError for a width outside 0 to 0.5.
    """
    if not 0 < half_width < Decimal("0.5"):
        raise ValueError("the half width lies between 0 and 0.5")
    low, high = 1, MOST
    while low < high:
        middle = (low + high) // 2
        bounds = _bounds(float(share), middle)
        if (bounds[1] - bounds[0]) / 2 <= float(half_width):
            high = middle
        else:
            low = middle + 1
    return low


SHOWN, BELOW, OPEN = "shown", "below", "open"


def verdict(found: Interval, goal: Decimal) -> str:
    """Whether the sample shows that the goal is reached, shows that it is not, or neither."""
    if found.of and found.low >= goal:
        return SHOWN
    return BELOW if found.of and found.high < goal else OPEN


def sentence(found: Interval, goal: Decimal) -> str:
    """The result as it may be said, never more than the sample proves."""
    if found.rate is None:
        return "Nothing has been read yet."
    said = (
        f"{found.correct:,} of {found.of:,} correct, {found.rate:.1%}"
        f" (95% interval {found.low:.1%} to {found.high:.1%})."
    )
    words = {
        SHOWN: f"The goal of {goal:.1%} is shown by this sample.",
        BELOW: f"The goal of {goal:.1%} is missed: the whole interval lies below it.",
        OPEN: f"Goal of {goal:.1%} not proven by this sample.",
    }
    return f"{said} {words[verdict(found, goal)]}"
