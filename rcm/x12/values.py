"""Texts on the wire as Decimal and date, and back. Unreadable text is None, never an exception and
never a guess.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

from rcm.x12.model import ZERO

# Decimal() itself takes NaN, 1E5, 1_000 and full-width digits: none of them is an amount on the
# wire.
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})")

# Amounts and dates repeat within a file, so each text is read once; bounded, because a file may be
# of any size.
_CACHE_LIMIT = 20_000
_numbers: dict[str, Decimal | None] = {"": None}
_moneys: dict[str, Decimal | None] = {"": ZERO}
_dates: dict[str, date | None] = {"": None}
_money_texts: dict[Decimal, str] = {}
_day_texts: dict[date, str] = {}


def number(text: str) -> Decimal | None:
    """The decimal number ``text`` states, None when it is empty or no number."""
    try:
        return _numbers[text]
    except KeyError:
        pass
    trimmed = text.strip(" ")
    value = Decimal(trimmed) if _NUMBER.fullmatch(trimmed) else None
    if len(_numbers) >= _CACHE_LIMIT:
        _numbers.clear()
        _numbers[""] = None
    _numbers[text] = value
    return value


def money(text: str) -> Decimal | None:
    """Dollars of ``text``: zero when empty, None when it is no amount.

    An amount has at most two decimals that count and fits a ledger column of numeric(12,2).
    """
    try:
        return _moneys[text]
    except KeyError:
        pass
    value = number(text)
    if value is None:
        value = None if text.strip() else ZERO
    elif value != round(value, 2) or abs(value) >= 10_000_000_000:
        value = None
    if len(_moneys) >= _CACHE_LIMIT:
        _moneys.clear()
    _moneys[text] = value
    return value


def day(text: str) -> date | None:
    """The day of ``CCYYMMDD`` (a time after it is dropped), None when it is none."""
    try:
        return _dates[text]
    except KeyError:
        pass
    value: date | None = None
    digits = text.strip(" ")
    if len(digits) in (8, 12, 14) and digits.isascii() and digits.isdigit():
        try:
            value = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
        except ValueError:
            value = None
    if len(_dates) >= _CACHE_LIMIT:
        _dates.clear()
        _dates[""] = None
    _dates[text] = value
    return value


def period(text: str) -> tuple[date | None, date | None]:
    """``CCYYMMDD`` or ``CCYYMMDD-CCYYMMDD`` as first and last day."""
    first, dash, last = text.partition("-")
    start = day(first)
    return (start, day(last)) if dash else (start, start)


def whole(text: str) -> int:
    """A count, 0 when it is none."""
    digits = text.strip(" ")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 15 else 0


def money_text(value: Decimal | None) -> str:
    """Dollars as X12 writes them: no plus, no trailing zeros, no exponent (``1500``, ``88.9``,
    ``-1.25``).
    """
    if value is None:
        return ""
    try:
        return _money_texts[value]
    except KeyError:
        pass
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if text in ("-0", ""):
        text = "0"
    if len(_money_texts) >= _CACHE_LIMIT:
        _money_texts.clear()
    _money_texts[value] = text
    return text


def day_text(value: date | None) -> str:
    """``CCYYMMDD``."""
    if value is None:
        return ""
    try:
        return _day_texts[value]
    except KeyError:
        pass
    if len(_day_texts) >= _CACHE_LIMIT:
        _day_texts.clear()
    text = _day_texts[value] = f"{value.year:04d}{value.month:02d}{value.day:02d}"
    return text


def period_text(start: date | None, end: date | None) -> tuple[str, str]:
    """The format qualifier and text of a day or a period (D8, RD8)."""
    if end is None or start == end:
        return "D8", day_text(start)
    return "RD8", f"{day_text(start)}-{day_text(end)}"


def cents(value: Decimal) -> str:
    """Dollars with exactly two places, as the facts of a file print them."""
    return f"{value:.2f}"


def npi_is_valid(npi: str) -> bool:
    """Ten digits whose check digit fits (Luhn over 80840 + NPI)."""
    if len(npi) != 10 or not npi.isascii() or not npi.isdigit():
        return False
    total = 24
    for place, digit in enumerate(reversed(npi)):
        value = int(digit)
        if place % 2:
            value *= 2
            if value > 9:
                value -= 9
        total += value
    return total % 10 == 0
