"""Where everything stands on the CMS-1500 (02/12): ten characters to the inch, six lines to the
inch, on letter paper.

Columns count from the left edge of the form, lines from the top of the sheet; the first line of the
form itself, with the kind of coverage, is line 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

WIDTH, HEIGHT = 612.0, 792.0
"""Letter paper in points."""

PITCH, LEADING = 7.2, 12.0
"""A tenth of an inch for each character, a sixth for each line, in points."""

LEFT = 21.6
"""The left edge of column 1: three tenths of an inch."""

RISE = 2.0
"""How far the letters stand above the bottom of their line."""

LINES = 6
"""Service lines on a sheet: each a shaded row and the row below it."""

LAST_COLUMN, EDGE = 79, 1.4
"""The form's last column, and how far behind its beginning the copy draws the edge."""

FIRST_SERVICE = 43
"""The shaded row of the first service."""


@dataclass(frozen=True, slots=True)
class Field:
    """Where a value begins, how many characters it may have, and whether it ends at the right."""

    line: int
    column: int
    width: int
    right: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """A box as the plain copy draws it: columns and lines, both ends included."""

    label: str
    first_line: int
    last_line: int
    first_column: float
    last_column: float


def x_of(column: float) -> float:
    """The left edge of a column, in points from the left of the sheet."""
    return LEFT + (column - 1) * PITCH


def baseline_of(line: int) -> float:
    """Where the letters of a line stand, in points from the bottom of the sheet."""
    return HEIGHT - (line + 1) * LEADING + RISE


def top_of(line: float) -> float:
    """The top of a line, in points from the bottom of the sheet."""
    return HEIGHT - line * LEADING


def _date(name: str, line: int, column: int, year: int = 2) -> dict[str, Field]:
    """Month, day and year, each in its own third of the box."""
    return {
        f"{name}.month": Field(line, column, 2),
        f"{name}.day": Field(line, column + 3, 2),
        f"{name}.year": Field(line, column + 6, year),
    }


def _money(name: str, line: int, last: int, width: int, cents: int) -> dict[str, Field]:
    """Dollars to the left of the dividing line, ending in column `last`, and cents after it."""
    return {
        f"{name}.dollars": Field(line, last - width + 1, width, right=True),
        f"{name}.cents": Field(line, cents, 2),
    }


CHECKS: Mapping[str, tuple[int, int, str]] = {
    "1.medicare": (8, 1, "Medicare"),
    "1.medicaid": (8, 8, "Medicaid"),
    "1.tricare": (8, 15, "TRICARE"),
    "1.champva": (8, 24, "CHAMPVA"),
    "1.group": (8, 31, "Group plan"),
    "1.feca": (8, 39, "FECA"),
    "1.other": (8, 45, "Other"),
    "3.M": (10, 42, "M"),
    "3.F": (10, 47, "F"),
    "6.self": (12, 33, "Self"),
    "6.spouse": (12, 38, "Sp."),
    "6.child": (12, 42, "Child"),
    "6.other": (12, 47, "Oth."),
    "10a.yes": (20, 35, "Yes"),
    "10a.no": (20, 41, "No"),
    "10b.yes": (22, 35, "Yes"),
    "10b.no": (22, 41, "No"),
    "10c.yes": (24, 35, "Yes"),
    "10c.no": (24, 41, "No"),
    "11a.M": (20, 68, "M"),
    "11a.F": (20, 75, "F"),
    "11d.yes": (26, 52, "Yes"),
    "11d.no": (26, 57, "No"),
    "20.yes": (36, 52, "Yes"),
    "20.no": (36, 57, "No"),
    "25.ssn": (56, 17, "S"),
    "25.ein": (56, 19, "E"),
    "27.yes": (56, 38, "Yes"),
    "27.no": (56, 43, "No"),
}
"""The boxes that take an X: line, column and, for the plain copy, a word of our own."""

FIELDS: Mapping[str, Field] = {
    **{name: Field(line, column, 1) for name, (line, column, _) in CHECKS.items()},
    "payer.name": Field(2, 41, 38),
    "payer.street": Field(3, 41, 38),
    "payer.city": Field(4, 41, 38),
    "1a": Field(8, 50, 29),
    "2": Field(10, 1, 28),
    **_date("3", 10, 31, 4),
    "4": Field(10, 50, 29),
    "5.street": Field(12, 1, 28),
    "5.city": Field(14, 1, 24),
    "5.state": Field(14, 26, 3),
    "5.zip": Field(16, 1, 12),
    "5.area": Field(16, 15, 3),
    "5.phone": Field(16, 19, 10),
    "7.street": Field(12, 50, 29),
    "7.city": Field(14, 50, 23),
    "7.state": Field(14, 74, 4),
    "7.zip": Field(16, 50, 12),
    "9": Field(18, 1, 28),
    "9a": Field(20, 1, 28),
    "9d": Field(26, 1, 28),
    "10b.state": Field(22, 45, 2),
    "10d": Field(26, 30, 19),
    "11": Field(18, 50, 29),
    **_date("11a", 20, 53, 4),
    "11b.qualifier": Field(22, 50, 2),
    "11b": Field(22, 53, 26),
    "11c": Field(24, 50, 29),
    "12": Field(29, 7, 25),
    "13": Field(29, 56, 22),
    **_date("14", 32, 2),
    "14.qualifier": Field(32, 16, 3),
    **_date("15", 32, 37),
    "15.qualifier": Field(32, 31, 3),
    "17.qualifier": Field(34, 1, 2),
    "17": Field(34, 4, 24),
    "17b": Field(34, 33, 10),
    "19.above": Field(35, 26, 23),
    "19": Field(36, 1, 48),
    **_money("20", 36, 70, 9, 72),
    "21.version": Field(37, 42, 1),
    **{
        f"21.{letter}": Field(38 + n // 4, 3 + 13 * (n % 4), 7)
        for n, letter in enumerate("ABCDEFGHIJKL")
    },
    "22": Field(38, 50, 11),
    "22.number": Field(38, 62, 18),
    "23": Field(40, 50, 29),
    "25": Field(56, 1, 15),
    "26": Field(56, 23, 14),
    **_money("28", 56, 56, 7, 58),
    "28.continued": Field(56, 51, 9),
    **_money("29", 56, 66, 6, 68),
    "31": Field(60, 1, 21),
    "31.date": Field(61, 13, 8),
    "32.name": Field(58, 23, 26),
    "32.street": Field(59, 23, 26),
    "32.city": Field(60, 23, 26),
    "32a": Field(61, 24, 10),
    "32b": Field(61, 36, 14),
    "33.area": Field(57, 66, 3),
    "33.phone": Field(57, 70, 9),
    "33.name": Field(58, 50, 29),
    "33.street": Field(59, 50, 29),
    "33.city": Field(60, 50, 29),
    "33a": Field(61, 51, 10),
    "33b": Field(61, 64, 16),
}

_SHADED, _ROW = FIRST_SERVICE, FIRST_SERVICE + 1
_SERVICE: Mapping[str, Field] = {
    "24.more": Field(_SHADED, 1, 61),
    "24I": Field(_SHADED, 65, 2),
    "24J.more": Field(_SHADED, 68, 11),
    **_date("24A.from", _ROW, 1),
    **_date("24A.to", _ROW, 10),
    "24B": Field(_ROW, 19, 2),
    "24C": Field(_ROW, 22, 2),
    "24D": Field(_ROW, 25, 6),
    "24D.1": Field(_ROW, 33, 2),
    "24D.2": Field(_ROW, 36, 2),
    "24D.3": Field(_ROW, 39, 2),
    "24D.4": Field(_ROW, 42, 2),
    "24E": Field(_ROW, 45, 4),
    **_money("24F", _ROW, 54, 6, 56),
    "24G": Field(_ROW, 59, 3),
    "24J": Field(_ROW, 68, 10),
}


def service_field(name: str, row: int) -> Field:
    """A place of the service in this row of the sheet, from 0."""
    first = _SERVICE[name]
    return Field(first.line + 2 * row, first.column, first.width, first.right)


# --- the drawn boxes of the plain copy ------------------------------------------------------------

_COLUMNS: tuple[tuple[float, str], ...] = (
    (1, "24A From"),
    (10, "To"),
    (19, "B"),
    (22, "C"),
    (25, "D Code"),
    (32.5, "Modifiers"),
    (45, "E Dx"),
    (49.3, "F Charge"),
    (58.5, "G"),
    (62.4, "H"),
    (64.5, "I"),
    (67.5, "J NPI"),
)
_ROWS: tuple[tuple[int, int, tuple[tuple[float, str], ...]], ...] = (
    (7, 8, ((1, "1 Kind of coverage"), (50, "1a Insured's ID"))),
    (9, 10, ((1, "2 Patient's name"), (30, "3 Born, sex"), (50, "4 Insured's name"))),
    (11, 12, ((1, "5 Patient's address"), (30, "6 Relationship"), (50, "7 Insured's address"))),
    (13, 14, ((1, "City"), (25.5, "State"), (30, "8 Reserved"), (50, "City"), (73.5, "State"))),
    (15, 16, ((1, "ZIP"), (14, "Telephone"), (30, ""), (50, "ZIP"), (63, "Telephone"))),
    (17, 18, ((1, "9 Other insured"), (30, "10 Related to"), (50, "11 Policy or group"))),
    (19, 20, ((1, "9a Other policy"), (30, "10a Employment"), (50, "11a Insured born, sex"))),
    (21, 22, ((1, "9b Reserved"), (30, "10b Auto, state"), (50, "11b Other claim number"))),
    (23, 24, ((1, "9c Reserved"), (30, "10c Other accident"), (50, "11c Plan"))),
    (25, 26, ((1, "9d Other plan"), (30, "10d Claim codes"), (50, "11d Another plan"))),
    (27, 30, ((1, "12 Patient's signature"), (50, "13 Insured's signature"))),
    (31, 32, ((1, "14 Illness or injury"), (30, "15 Other date"), (50, "16 Unable to work"))),
    (33, 34, ((1, "17 Provider who sent"), (29.5, "17a, 17b NPI"), (50, "18 In hospital"))),
    (35, 36, ((1, "19 More"), (50, "20 Outside lab"), (61, "Charges"))),
    (37, 38, ((50, "22 Resubmission"), (61.5, "Original number"))),
    (37, 40, ((1, "21 Diagnoses, ICD"),)),
    (39, 40, ((50, "23 Authorization"),)),
    (41, 42, _COLUMNS),
    (
        55,
        56,
        (
            (1, "25 Tax number"),
            (22.5, "26 Account"),
            (37.4, "27 Assignment"),
            (50, "28 Total"),
            (60.5, "29 Paid"),
            (70.5, "30 Reserved"),
        ),
    ),
    (57, 61, ((1, "31 Provider's signature"), (22.5, "32 Where"), (50.3, "33 Billing provider"))),
)
_ENDS = {(37, 40): 50.0}
"""Rows that do not reach the right edge of the form."""


def outlines() -> Iterator[Outline]:
    """Every box of the form, for the copy on plain paper. The shaded row of a service is one box as
    far as the qualifier, so that nothing crosses what stands in it.
    """
    yield from _outlines(_ROWS)
    shaded = ((1.0, ""), *_COLUMNS[-2:])
    for row in range(LINES):
        first = FIRST_SERVICE + 2 * row
        yield from _outlines([(first, first, shaded), (first + 1, first + 1, _COLUMNS)], False)


def _outlines(
    rows: Iterable[tuple[int, int, tuple[tuple[float, str], ...]]], labelled: bool = True
) -> Iterator[Outline]:
    for first, last, boxes in rows:
        end = _ENDS.get((first, last), LAST_COLUMN + EDGE)
        edges = [column for column, _ in boxes[1:]] + [end]
        for (column, label), edge in zip(boxes, edges, strict=True):
            yield Outline(label if labelled else "", first, last, column, edge)
