"""How values read on screen: one place for money, dates, names of days and identifiers.

Every function takes `None` and answers the empty string, so that a template never prints "None".
Pages show US dates in the order people type them; a birth date is written 27-Mar-1958 (NHS CUI) so
that day and month cannot be mixed up.
"""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from django.utils import timezone

from rcm.accounts.clock import office_clock, office_day

CENT = Decimal("0.01")
MINUS = "\N{MINUS SIGN}"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS_BAD = 5
DAYS_WARN = 14


def as_decimal(value: Any) -> Decimal | None:
    """The value as a finite Decimal, or `None` when it is absent or no number."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except (InvalidOperation, ValueError):
        return None
    return number if number.is_finite() else None


def money(value: Any, *, cents: bool = True) -> str:
    """Dollars: `$1,284.00`, `−$12.40`; without cents `$14,702`."""
    number = as_decimal(value)
    if number is None:
        return ""
    rounded = number.quantize(CENT if cents else Decimal(1), rounding=ROUND_HALF_UP)
    sign = MINUS if rounded < 0 else ""
    return f"{sign}${abs(rounded):,}"


def percent(value: Any, places: int = 1) -> str:
    """A ratio as a percentage: `Decimal("0.981")` reads `98.1%`."""
    number = as_decimal(value)
    if number is None:
        return ""
    rounded = (number * 100).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return f"{MINUS if rounded < 0 else ''}{abs(rounded):,}%"


def number(value: Any) -> str:
    """A count with thousands separators; decimals are kept as they are."""
    found = as_decimal(value)
    if found is None:
        return ""
    return f"{MINUS if found < 0 else ''}{abs(found):,}"


def as_date(value: Any) -> dt.date | None:
    """The local calendar date of a date or an aware datetime."""
    if isinstance(value, dt.datetime):
        return office_day(value) if timezone.is_aware(value) else value.date()
    return value if isinstance(value, dt.date) else None


def mdy(value: Any) -> str:
    """`03/27/1958`, the order in which US staff type and read dates."""
    day = as_date(value)
    return f"{day:%m/%d/%Y}" if day else ""


def born(value: Any, today: dt.date | None = None) -> str:
    """A birth date that cannot be misread, with the age: `27-Mar-1958 (68y)`; under two years in
    months.
    """
    day = as_date(value)
    if day is None:
        return ""
    today = today or office_day()
    months = (today.year - day.year) * 12 + today.month - day.month - (today.day < day.day)
    age = f"{months // 12}y" if months >= 24 else f"{max(months, 0)}m"
    return f"{day.day:02d}-{MONTHS[day.month - 1]}-{day.year} ({age})"


def short_day(value: Any, today: dt.date | None = None) -> str:
    """`Nov 25`, with the year when it is another one: `Nov 25, 2025`."""
    day = as_date(value)
    if day is None:
        return ""
    today = today or office_day()
    text = f"{MONTHS[day.month - 1]} {day.day}"
    return text if day.year == today.year else f"{text}, {day.year}"


def clock(value: Any) -> str:
    """A time of day as staff say it: `9:40 AM`."""
    if isinstance(value, dt.datetime):
        value = office_clock().local(value) if timezone.is_aware(value) else value
    elif not isinstance(value, dt.time):
        return ""
    return f"{(value.hour % 12) or 12}:{value.minute:02d} {'AM' if value.hour < 12 else 'PM'}"


def moment(value: Any, today: dt.date | None = None) -> str:
    """Date and time of an event: `Nov 20, 2:22 PM`."""
    day = short_day(value, today)
    time = clock(value)
    return f"{day}, {time}" if day and time else day or time


def days_between(value: Any, today: dt.date | None = None) -> int | None:
    """Whole days from `today` until the date; negative when it has passed."""
    day = as_date(value)
    return None if day is None else (day - (today or office_day())).days


def days_words(left: int) -> str:
    """`Overdue 3 d`, `Today`, `2 d`."""
    if left < 0:
        return f"Overdue {-left} d"
    return "Today" if left == 0 else f"{left} d"


def days_tone(left: int, bad: int = DAYS_BAD, warn: int = DAYS_WARN) -> str:
    """The tone of a clock: `bad` up to `bad` days, `warn` up to `warn`, else neutral."""
    if left <= bad:
        return "bad"
    return "warn" if left <= warn else ""


def masked(value: Any, shown: int = 4) -> str:
    """An identifier with only its last characters: `••••4092`."""
    text = "" if value is None else str(value)
    if not text:
        return ""
    tail = text[-shown:] if len(text) > shown else ""
    return "\N{BULLET}" * 4 + tail


def phone(value: Any) -> str:
    """Ten digits as `(205) 555-0142`; anything else as it is kept."""
    text = "" if value is None else str(value)
    return f"({text[:3]}) {text[3:6]}-{text[6:]}" if len(text) == 10 and text.isdigit() else text


def plural(count: int, one: str, many: str = "") -> str:
    """`1 claim`, `2 claims`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
