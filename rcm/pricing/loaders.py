"""Loaders of the fee schedule: PPRRVU, geographic indices, ZIP to locality, outpatient cap amounts
(rule `fee-schedule-amount`).
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from rcm.pricing.models import FeeRow, Gpci, LocalityCounty, OppsCap, ZipLocality
from rcm.reference.loaders import Cells, Kind, Layout, Options, RowError, Values, house, register
from rcm.reference.loaders.codes import dates

MODS = ("", "26", "TC", "53")
_USABLE = {"A", "R", "T"}


_SAYS_YEAR = re.compile(
    r"(20[0-9]{2}) National Physician Fee Schedule|CY (20[0-9]{2})|(20[0-9]{2}) PW GPCI|IN"
    r" (20[0-9]{2}) LOCALITIES"
)
_RELEASES = {"January": 1, "April": 4, "July": 7, "October": 10}
_SAYS_RELEASE = re.compile(rf"File ({'|'.join(_RELEASES)}) Release")


def _year(options: Options, fallback: int | None = None) -> int:
    """The year the loader was told, else what the file's notices say, else a fallback. Raises
    RowError.
    """
    if options.year is not None:
        return options.year
    if options.effective is not None:
        return options.effective.year
    if match := _SAYS_YEAR.search(options.notices):
        return int(next(filter(None, match.groups())))
    if fallback is not None:
        return fallback
    raise RowError("The file does not say its year: give --year.")


def _span(options: Options, year: int, cells: Cells | None = None) -> Values:
    """A release holds from its first day to the end of its year."""
    first = dt.date(year, 1, 1)
    if options.effective is not None:
        first = options.effective if options.effective.year == year else first
    elif match := _SAYS_RELEASE.search(options.notices):
        first = dt.date(year, _RELEASES[match[1]], 1)
    if cells is not None and cells.has("effective_from"):
        return {
            "effective_from": cells.date("effective_from") or first,
            "effective_to": cells.date("effective_to") or dt.date(year, 12, 31),
        }
    return {"effective_from": first, "effective_to": dt.date(year, 12, 31)}


# --- relative values ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Fees:
    """What is known of other rows: indicators of earlier years by code and component, components
    loaded by year.
    """

    indicators: dict[tuple[str, str], tuple[int, dict[str, Any]]] = field(default_factory=dict)
    factors: dict[int, Decimal] = field(default_factory=dict)
    whole: set[tuple[int, str]] = field(default_factory=set)


def _known(options: Options) -> _Fees:
    known = _Fees()
    rows = FeeRow.objects.filter(schedule="mpfs").order_by("year", "effective_from")
    for row in rows.iterator(chunk_size=5000):
        if row.conversion_factor:
            known.factors[row.year] = row.conversion_factor
        if row.global_only:
            continue
        known.indicators[row.code, row.mod] = (
            row.year,
            {
                "status": row.status,
                "nonfac_na": row.nonfac_na,
                "fac_na": row.fac_na,
                "pctc": row.pctc,
                "mult_proc": row.mult_proc,
                "bilat": row.bilat,
                "family": row.family,
                "supervision": row.supervision,
                "opps_cap_pe": row.opps_cap_pe,
            },
        )
        known.whole.add((row.year, row.code))
    return known


def _mod(cells: Cells) -> str:
    mod = cells.text("mod").upper()
    if mod not in MODS:
        raise RowError(f"“{mod[:6]}” is no component (blank, 26, TC or 53).")
    return mod


def _rvus(cells: Cells, *, status: str) -> Values:
    """Relative values. A code that the schedule does not price by them (status C, E, N, X …) may
    leave them blank: its status and indicators count.
    """
    needed = status in _USABLE
    return {
        name: cells.decimal(name, required=needed) for name in ("work", "pe_nonfac", "pe_fac", "mp")
    }


def _pprrvu(cells: Cells, options: Options, known: _Fees) -> Iterator[Values]:
    if cells.text("code").startswith(("\x1a", "***")):
        return
    year = _year(options, _factor_year(cells.decimal("factor", required=True)))
    yield {
        "schedule": "mpfs",
        "year": year,
        "code": cells.code("code"),
        "mod": _mod(cells),
        "status": cells.match("status", "[A-Z]", "a status of one letter"),
        **_rvus(cells, status=cells.text("status", 1)),
        "nonfac_na": cells.text("nonfac_na") == "NA",
        "fac_na": cells.text("fac_na") == "NA",
        "pctc": cells.text("pctc", 1),
        "mult_proc": cells.text("mult", 1),
        "bilat": cells.text("bilat", 1),
        "family": cells.text("family", 2),
        "supervision": cells.text("supervision", 2),
        "opps_cap_pe": cells.decimal("cap_pe"),
        "opps_cap_mp": cells.decimal("cap_mp"),
        "conversion_factor": cells.decimal("factor", required=True),
        "global_only": False,
        **_span(options, year),
    }


@lru_cache(maxsize=1)
def _factors() -> dict[Decimal, int]:
    with (
        Path(__file__)
        .with_name("data")
        .joinpath("conversion_factors.csv")
        .open(newline="") as handle
    ):
        return {Decimal(row["factor"]): int(row["year"]) for row in csv.DictReader(handle)}


def _factor_year(factor: Decimal | None) -> int | None:
    """The year of a published conversion factor: a sheet without notices says its year only by
    it.
    """
    return _factors().get(factor) if factor is not None else None


def _components(cells: Cells, options: Options, known: _Fees) -> Iterator[Values]:
    """The product's component sheet; "not payable in this setting" is carried from the earlier
    year, which says it.
    """
    code, mod = cells.code("code"), _mod(cells)
    factor = cells.decimal("factor", required=True)
    year = _year(options, _factor_year(factor))
    earlier = known.indicators.get((code, mod), (0, {}))[1]
    technical = mod == "TC" or (mod == "" and cells.text("pctc") == "1")
    yield {
        "schedule": "mpfs",
        "year": year,
        "code": code,
        "mod": mod,
        "status": cells.match("status", "[A-Z]", "a status of one letter"),
        **_rvus(cells, status=cells.text("status", 1)),
        "nonfac_na": earlier.get("nonfac_na", False),
        "fac_na": earlier.get("fac_na", technical),
        "pctc": cells.text("pctc", 1),
        "mult_proc": cells.text("mult", 1),
        "bilat": cells.text("bilat", 1),
        "family": cells.text("family", 2),
        "supervision": earlier.get("supervision", ""),
        "opps_cap_pe": cells.decimal("cap_pe"),
        "opps_cap_mp": cells.decimal("cap_mp"),
        "conversion_factor": factor,
        "global_only": False,
        **_span(options, year),
    }


def _globals(cells: Cells, options: Options, known: _Fees) -> Iterator[Values]:
    """Whole-service rows of a year without their parts: indicators of the year before; the
    outpatient cap stays unknown.
    """
    code = cells.code("code")
    year = _year(options)
    if (year, code) in known.whole:
        return
    before, earlier = known.indicators.get((code, ""), (0, {}))
    if before >= year or earlier.get("status") not in _USABLE:
        raise RowError(
            f"{code} has no usable row in an earlier year to take its indicators from: load that"
            " year first."
        )
    if year not in known.factors:
        raise RowError(
            f"No conversion factor of {year} is loaded: load the component rows of that year first."
        )
    yield {
        "schedule": "mpfs",
        "year": year,
        "code": code,
        "mod": "",
        **earlier,
        **_rvus(cells, status=str(earlier["status"])),
        "opps_cap_pe": None if earlier.get("opps_cap_pe") else Decimal(0),
        "opps_cap_mp": None if earlier.get("opps_cap_pe") else Decimal(0),
        "conversion_factor": known.factors[year],
        "global_only": True,
        **_span(options, year),
    }


def _fee(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    year = cells.integer("year", required=True) or 0
    yield {
        "schedule": cells.text("schedule", 20) or "mpfs",
        "year": year,
        "code": cells.code("code"),
        "mod": _mod(cells),
        "status": cells.match("status", "[A-Z]", "a status of one letter"),
        "work": cells.decimal("work"),
        "pe_nonfac": cells.decimal("pe_nonfac"),
        "pe_fac": cells.decimal("pe_fac"),
        "mp": cells.decimal("mp"),
        "nonfac_na": cells.flag("nonfac_na", default=False),
        "fac_na": cells.flag("fac_na", default=False),
        "pctc": cells.text("pctc", 1),
        "mult_proc": cells.text("mult_proc", 1),
        "bilat": cells.text("bilat", 1),
        "family": cells.text("family", 2),
        "supervision": cells.text("supervision", 2),
        "opps_cap_pe": cells.decimal("opps_cap_pe"),
        "opps_cap_mp": cells.decimal("opps_cap_mp"),
        "conversion_factor": cells.decimal("conversion_factor"),
        "global_only": cells.flag("global_only", default=False),
        **_span(options, year, cells),
    }


_SHEET = {
    "code": "hcpcs",
    "mod": "mod",
    "status": "status",
    "work": "work rvu",
    "pe_nonfac": "pe rvu nonfac",
    "pe_fac": "pe rvu fac",
    "mp": "mp rvu",
    "pctc": "pctc ind",
    "mult": "mult proc ind",
    "bilat": "bilat ind",
    "family": "diag imaging family",
    "factor": "conv factor",
}

FEES = Kind(
    "fees",
    "Fee schedule (PPRRVU)",
    FeeRow,
    ("schedule", "year", "code", "mod"),
    (
        Layout(
            "CMS PPRRVU",
            _pprrvu,
            {
                "code": "hcpcs",
                "mod": "mod",
                "description": "description",
                "status": "code",
                "factor": "factor",
            },
            positions={
                "code": 0,
                "mod": 1,
                "status": 3,
                "work": 5,
                "pe_nonfac": 6,
                "nonfac_na": 7,
                "pe_fac": 8,
                "fac_na": 9,
                "mp": 10,
                "pctc": 13,
                "mult": 18,
                "bilat": 19,
                "factor": 24,
                "supervision": 25,
                "family": 27,
                "cap_pe": 28,
                "cap_mp": 30,
            },
        ),
        Layout(
            "fee sheet with settings",
            _pprrvu,
            {
                **_SHEET,
                "nonfac_na": "nonfac na",
                "fac_na": "fac na",
                "supervision": "phys supervision",
                "cap_pe": "opps cap pe nonfac",
                "cap_mp": "opps cap mp",
            },
        ),
        Layout(
            "component sheet",
            _components,
            {**_SHEET, "cap_pe": "opps cap pe", "cap_mp": "opps cap mp"},
        ),
        Layout(
            "whole-service sheet",
            _globals,
            {
                "code": "hcpcs",
                "work": "work rvu",
                "pe_nonfac": "pe rvu nonfac",
                "pe_fac": "pe rvu fac",
                "mp": "mp rvu",
                "total": "total nonfac",
            },
        ),
        house(
            _fee,
            "year code mod status work pe_nonfac pe_fac mp pctc mult_proc bilat",
            optional=(
                "schedule nonfac_na fac_na family supervision opps_cap_pe opps_cap_mp"
                " conversion_factor global_only effective_from effective_to"
            ),
        ),
    ),
    prepare=_known,
    within=("schedule", "year"),
    yearly=True,
    words="Relative values and indicators by code and component, one release a file.",
)


# --- geography ------------------------------------------------------------------------------------


def _place(cells: Cells) -> Values:
    """Carrier and locality, whose leading zeros spreadsheets lose."""
    return {
        "carrier": (
            cells.match("carrier", "[0-9A-Z]{4,5}", "a carrier number of five digits").zfill(5)
        ),
        "locality": cells.match("locality", "[0-9]{1,2}", "a locality of two digits").zfill(2),
    }


def _gpci(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    if cells.text("carrier").startswith("*") or (
        not cells.text("locality") and not cells.text("work")
    ):
        return
    year = cells.integer("year") or _year(options)
    yield {
        "year": year,
        **_place(cells),
        "name": cells.cut("name", 80),
        "state": cells.text("state", 2).upper(),
        "work": cells.decimal("work", required=True),
        "pe": cells.decimal("pe", required=True),
        "mp": cells.decimal("mp", required=True),
        **_span(options, year, cells),
    }


GPCI = Kind(
    "gpci",
    "Geographic indices (GPCI)",
    Gpci,
    ("year", "carrier", "locality"),
    (
        Layout(
            "CMS Addendum E",
            _gpci,
            {
                "carrier": "medicare a?d?ministrative contractor.*",
                "state": "state",
                "locality": "locality number",
                "name": "locality name",
                "work": r".*pw gpci.*",
                "pe": r".*pe gpci.*",
                "mp": r".*mp gpci.*",
            },
            frozenset({"state", "name"}),
        ),
        Layout(
            "locality sheet",
            _gpci,
            {
                "year": "year",
                "carrier": "carrier",
                "state": "state",
                "locality": "locality",
                "name": "locality name|name",
                "work": "work gpci|work",
                "pe": "pe gpci|pe",
                "mp": "mp gpci|mp",
                "effective_from": "effective from",
                "effective_to": "effective to",
            },
            frozenset({"effective_from", "effective_to"}),
        ),
    ),
    within=("year",),
    yearly=True,
    words="Geographic indices of the payment localities by year.",
)


def _zip(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    plus4 = cells.text("plus4")
    quarter = cells.text("quarter")
    since = None
    if re.fullmatch(r"20[0-9]{2}[1-4]", quarter):
        since = dt.date(int(quarter[:4]), 3 * int(quarter[4]) - 2, 1)
    yield {
        "zip5": cells.match("zip5", "[0-9]{3,5}", "a ZIP code of five digits").zfill(5),
        "plus4": (
            cells.match("plus4", "[0-9]{1,4}", "a four-digit extension", required=False).zfill(4)
            if plus4
            else ""
        ),
        **_place(cells),
        "state": cells.text("state", 2).upper(),
        **(dates(cells, options, since or dt.date(2025, 1, 1))),
    }


_ZIP_FIXED = {
    "state": (1, 2),
    "zip5": (3, 7),
    "carrier": (8, 12),
    "locality": (13, 14),
    "rural": (15, 15),
    "flag": (21, 21),
    "quarter": (76, 80),
}

ZIPS = Kind(
    "zips",
    "ZIP to locality",
    ZipLocality,
    ("zip5", "plus4"),
    (
        Layout(
            "CMS ZIP9 fixed width",
            _zip,
            fixed={**_ZIP_FIXED, "plus4": (22, 25)},
            shape=r"[A-Z]{2}[0-9]{5}[0-9A-Z]{5}[0-9]{2}.{7}[0-9]{4}",
        ),
        Layout(
            "CMS ZIP5 fixed width",
            _zip,
            fixed=_ZIP_FIXED,
            shape=r"[A-Z]{2}[0-9]{5}[0-9A-Z]{5}[0-9]{2}",
        ),
        Layout(
            "ZIP sheet",
            _zip,
            {
                "zip5": "zip5|zip ?code|zip",
                "state": "state",
                "carrier": "carrier",
                "locality": "(pricing )?locality",
                "plus4": "plus ?(4|four)|plus4",
                "quarter": "year (qtr|quarter)",
                "effective_from": "effective from",
                "effective_to": "effective to",
            },
            frozenset({"state", "plus4", "quarter", "effective_from", "effective_to"}),
        ),
    ),
    words="The Medicare payment locality of a ZIP code, or of a ZIP+4 where a ZIP is divided.",
)


_OTHERS = re.compile(r"ALL (OTHER )?COUNT(Y|IES)\b.*")
_ELSEWHERE = re.compile(r"(.*) IN ([A-Z ]+)")


def _counties(cells: Cells, options: Options, carried: dict[str, str]) -> Iterator[Values]:
    """One row a county. A state is named on its first line only; counties of a neighbour state say
    so behind them.
    """
    said = " ".join(cells.text("counties").upper().split())
    if not cells.text("locality") and not said:
        return
    carried["state"] = cells.text("state").upper() or carried["state"]
    if not carried["state"]:
        raise RowError("No line above names the state.")
    if not said:
        raise RowError("The counties are missing.")
    year = _year(options)
    row = {
        "year": year,
        **_place(cells),
        "state": carried["state"][:40],
        "area": cells.cut("area", 120).rstrip("* "),
        **_span(options, year),
    }
    if _OTHERS.fullmatch(said):
        yield {**row, "county": "", "words": said[:300]}
        return
    for group in said.split(";"):
        elsewhere = _ELSEWHERE.fullmatch(group.strip())
        names, state = elsewhere.groups() if elsewhere else (group, row["state"])
        for name in re.split(r"[,/]|\bAND\b", names):
            county = name.strip().removesuffix(" CNTY")
            if county:
                yield {**row, "state": state, "county": county[:60], "words": ""}


COUNTIES = Kind(
    "counties",
    "Counties of localities",
    LocalityCounty,
    ("year", "carrier", "locality", "state", "county"),
    (
        Layout(
            "CMS locality and counties",
            _counties,
            {
                "carrier": "medicare admini?strative contractor.*|carrier",
                "locality": "locality number|locality",
                "state": "state",
                "area": "fee schedule area.*|area",
                "counties": "count(y|ies)",
            },
            frozenset({"area"}),
        ),
    ),
    prepare=lambda options: {"state": ""},
    within=("year",),
    yearly=True,
    words="The counties of each payment locality, one year a file.",
)


def _cap(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    year = _year(options)
    yield {
        "code": cells.code("code"),
        "mod": _mod(cells),
        **_place(cells),
        "nonfac": cells.decimal("nonfac", required=True),
        "fac": cells.decimal("fac"),
        **_span(options, year),
    }


NATIONAL_CARRIER, NATIONAL_LOCALITY = "00000", "00"


def _addendum_b(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    """National hospital outpatient rates, before the wage index: what the technical part is worth
    to a hospital.
    """
    rate = cells.decimal("rate")
    if rate is None:
        return
    yield {
        "code": cells.code("code"),
        "mod": "TC",
        "carrier": NATIONAL_CARRIER,
        "locality": NATIONAL_LOCALITY,
        "nonfac": rate,
        "fac": None,
        **_span(options, _year(options)),
    }


CAPS = Kind(
    "opps-caps",
    "Outpatient cap amounts",
    OppsCap,
    ("code", "mod", "carrier", "locality"),
    (
        Layout(
            "CMS OPPSCAP",
            _cap,
            {
                "code": "hcpcs",
                "mod": "mod",
                "carrier": "carrier",
                "locality": "locality",
                "fac": "facility price",
                "nonfac": "non facilt?i?t?y price|non facility price",
            },
        ),
        Layout(
            "OPPS Addendum B, national rates",
            _addendum_b,
            {
                "code": "hcpcs( code)?",
                "indicator": "status indicator|si",
                "apc": "apc",
                "rate": "national payment rate|payment rate",
            },
        ),
    ),
    yearly=True,
    words="Published cap amounts by locality, and national hospital outpatient rates.",
)

register(FEES, GPCI, ZIPS, COUNTIES, CAPS)
