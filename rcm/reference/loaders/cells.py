"""One row of a reference file: its cells by name, and how each becomes a value. A bad cell is a
`RowError`, a sentence.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

CODE = re.compile(r"[0-9A-Z][0-9]{3}[0-9A-Z]")
DIAGNOSIS = re.compile(r"[A-Z][0-9A-Z][0-9A-Z](?:[0-9A-Z]{1,4})?")
_NO_DATE = {"", "*", "0", "00000000", "9999-12-31", "99991231", "12/31/9999", "N/A", "NONE"}
_YES = {"y", "yes", "true", "t", "1"}
_NO = {"n", "no", "false", "f", "0"}


class RowError(ValueError):
    """Why a row is refused, in words for the person who loads the file."""


def parse_date(text: str) -> dt.date | None:
    """A date as the official files write it: 2026-01-31, 20260131, 1/31/2026, 2026-01-31 00:00:00.
    Blank or `*` is none.
    """
    text = text.strip().split(" ")[0].split("T")[0]
    if text.upper() in _NO_DATE:
        return None
    try:
        if re.fullmatch(r"\d{8}", text):
            return dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
        if match := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text):
            return dt.date(int(match[3]), int(match[1]), int(match[2]))
        return dt.date.fromisoformat(text)
    except ValueError:
        raise RowError(f"“{text[:20]}” is not a date.") from None


class Cells:
    """The cells of one row by the name the layout gives them; a name that the file lacks reads as
    blank.
    """

    __slots__ = ("_at", "line", "values")

    def __init__(self, line: int, values: Sequence[str], at: Mapping[str, int]) -> None:
        self.line = line
        self.values = values
        self._at = at

    def has(self, name: str) -> bool:
        return name in self._at

    def text(self, name: str, most: int | None = None, *, required: bool = False) -> str:
        index = self._at.get(name)
        value = self.values[index].strip() if index is not None and index < len(self.values) else ""
        if required and not value:
            raise RowError(f"{name} is blank.")
        if most is not None and len(value) > most:
            raise RowError(f"{name} “{value[:20]}…” is longer than {most} characters.")
        return value

    def cut(self, name: str, most: int) -> str:
        """Text shortened to fit, for descriptions whose exact words do not matter."""
        value = self.text(name)
        return value if len(value) <= most else value[: most - 1].rstrip() + "…"

    def code(self, name: str, *, required: bool = True) -> str:
        value = self.text(name, required=required).upper()
        if value and not CODE.fullmatch(value):
            raise RowError(f"{name} “{value[:12]}” is not a procedure code of five characters.")
        return value

    def diagnosis(self, name: str) -> str:
        value = self.text(name, required=True).upper().replace(".", "")
        if not DIAGNOSIS.fullmatch(value):
            raise RowError(f"{name} “{value[:12]}” is not an ICD-10-CM code.")
        return value

    def match(self, name: str, pattern: str, words: str, *, required: bool = True) -> str:
        value = self.text(name, required=required).upper()
        if value and not re.fullmatch(pattern, value):
            raise RowError(f"{name} “{value[:20]}” is not {words}.")
        return value

    def decimal(
        self, name: str, *, required: bool = False, places: int | None = None
    ) -> Decimal | None:
        value = self.text(name).replace(",", "").replace("$", "").replace("%", "")
        if not value:
            if required:
                raise RowError(f"{name} is blank.")
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise RowError(f"{name} “{value[:20]}” is not a number.") from None
        if not number.is_finite() or abs(number) > Decimal("99999999"):
            raise RowError(f"{name} “{value[:20]}” is not a number that fits.")
        return number if places is None else round(number, places)

    def integer(self, name: str, *, required: bool = False, least: int = 0) -> int | None:
        number = self.decimal(name, required=required)
        if number is None:
            return None
        if number != int(number) or number < least:
            raise RowError(
                f"{name} “{self.text(name)[:20]}” is not a whole number of {least} or more."
            )
        return int(number)

    def flag(self, name: str, *, default: bool | None = None) -> bool | None:
        value = self.text(name).lower()
        if not value:
            return default
        if value in _YES:
            return True
        if value in _NO:
            return False
        raise RowError(f"{name} “{value[:12]}” is neither yes nor no.")

    def choice(self, name: str, allowed: Sequence[str], *, default: str | None = None) -> str:
        value = self.text(name)
        if not value and default is not None:
            return default
        if value not in allowed:
            raise RowError(f"{name} “{value[:20]}” is none of: {', '.join(allowed)}.")
        return value

    def date(self, name: str) -> dt.date | None:
        return parse_date(self.text(name))
