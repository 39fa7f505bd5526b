"""The starter tables that ship with the edits: named groups of codes, who a code is for, frequency
limits.

A loader may replace any of them; `source` says where each row came from.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from claims.edits.reference import Demographics, FrequencyRow

FOLDER = Path(__file__).parent / "data"


def expand(first: str, last: str) -> Iterator[str]:
    """Codes from first to last: the trailing digits count up, the rest and the width stay."""
    digits = len(first) - len(first.rstrip("0123456789"))
    stem, width = first[: len(first) - digits], digits
    if not width or first == last:
        yield first
        return
    for number in range(int(first[len(stem) :]), int(last[len(stem) :]) + 1):
        yield f"{stem}{number:0{width}d}"


@cache
def groups() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for row in _rows("groups.csv"):
        found.setdefault(row["group"], set()).update(expand(row["first"], row["last"]))
    return {name: frozenset(codes) for name, codes in found.items()}


@cache
def code_people() -> dict[str, Demographics]:
    return {row["code"]: _people(row) for row in _rows("code_people.csv")}


@cache
def icd_people() -> dict[str, Demographics]:
    return {row["prefix"]: _people(row) for row in _rows("icd_people.csv")}


@cache
def frequency() -> tuple[FrequencyRow, ...]:
    return tuple(
        FrequencyRow(row["group"], int(row["full_months"]), _products(row), row["source"])
        for row in _rows("frequency.csv")
    )


@cache
def limits() -> dict[str, int]:
    return {row["name"]: int(row["value"]) for row in _rows("limits.csv")}


def tables() -> dict[str, Any]:
    """All starter tables as keywords for `ReferenceFacts(**tables(), procedures=…)`."""
    return {
        "groups": groups(),
        "code_people": code_people(),
        "icd_people": icd_people(),
        "frequency": frequency(),
        "limits": limits(),
    }


def _people(row: dict[str, str]) -> Demographics:
    low, high = row["age_min"], row["age_max"]
    return Demographics(
        row["sex"],
        int(low) if low else None,
        int(high) if high else None,
        _products(row),
        row["source"],
    )


def _products(row: dict[str, str]) -> frozenset[str]:
    return frozenset(row.get("products", "").split())


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))
