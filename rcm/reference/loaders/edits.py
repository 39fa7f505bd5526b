"""Coding edits: procedure pairs, unit limits, add-on codes, coverage lists."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from rcm.reference.loaders.cells import Cells, RowError
from rcm.reference.loaders.codes import dates
from rcm.reference.loaders.kinds import Kind, Layout, Options, Values, house, register
from rcm.reference.models import AddOn, CoverageRow, MueEdit, Payer, PtpEdit

SHEET_FROM = dt.date(2024, 7, 1)
"""The release of the product's own edit sheets, where neither the file nor the loader says a
date.
"""


def _pair(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    yield {
        "column1": cells.code("column1"),
        "column2": cells.code("column2"),
        "modifier_indicator": cells.match("indicator", "[019]", "a modifier indicator (0, 1 or 9)"),
        "rationale": cells.cut("rationale", 160),
        **dates(cells, options, SHEET_FROM),
    }


PTP = Kind(
    "ptp",
    "Procedure pairs (NCCI PTP)",
    PtpEdit,
    ("column1", "column2"),
    (
        Layout(
            "Isocenter sheet",
            _pair,
            {
                "column1": "column1",
                "column2": "column2",
                "indicator": "modifier indicator",
                "rationale": "rationale",
                "effective_from": "effective from",
                "effective_to": "effective to",
            },
            frozenset({"rationale", "effective_from", "effective_to"}),
        ),
        Layout(
            "CMS practitioner edits",
            _pair,
            {
                "column1": "column ?1",
                "column2": "column ?2",
                "effective_from": "effective( date)?",
                "effective_to": "deletion.*",
                "indicator": "modifier.*",
                "rationale": "ptp edit rationale|rationale",
            },
            frozenset({"rationale"}),
            ends=True,
        ),
        # the published tables break their header over several lines; the columns themselves never
        # move
        Layout(
            "CMS practitioner edits, bare columns",
            _pair,
            {"column1": "column ?1( column 2 edits)?", "mark": ".*in existence.*|.*1996.*"},
            frozenset({"mark"}),
            positions={
                "column1": 0,
                "column2": 1,
                "effective_from": 3,
                "effective_to": 4,
                "indicator": 5,
                "rationale": 6,
            },
            ends=True,
        ),
    ),
    words="Which of two codes is denied when both are billed for one patient and day.",
)


def _units(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    mai = cells.text("mai")[:1]
    if mai and mai not in "123":
        raise RowError(f"“{mai}” is no adjudication indicator (1, 2 or 3).")
    yield {
        "code": cells.code("code"),
        "value": cells.integer("value", required=True),
        "mai": mai,
        "program": cells.choice("program", ("medicare", "medicaid"), default="medicare"),
        **dates(cells, options),
    }


def _units_sheet(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    """One row with up to three releases: 2024-07-01, the second quarter of 2026 (indicator 3 only),
    Medicaid 2026.
    """
    code = cells.code("code")
    first = cells.integer("first")
    second = cells.integer("second")
    medicaid = cells.integer("medicaid")
    mai = cells.text("mai")
    if first is not None:
        yield {
            "code": code,
            "value": first,
            "mai": mai,
            "program": "medicare",
            "effective_from": SHEET_FROM,
            "effective_to": None,
        }
    if second is not None:
        yield {
            "code": code,
            "value": second,
            "mai": "3",
            "program": "medicare",
            "effective_from": dt.date(2026, 4, 1),
            "effective_to": None,
        }
    if medicaid is not None:
        yield {
            "code": code,
            "value": medicaid,
            "mai": "",
            "program": "medicaid",
            "effective_from": dt.date(2026, 1, 1),
            "effective_to": None,
        }
    if first is None and second is None and medicaid is None:
        raise RowError(f"{code} has no limit in any release.")


MUE = Kind(
    "mue",
    "Unit limits (MUE)",
    MueEdit,
    ("code", "program"),
    (
        house(_units, "code value mai", optional="program effective_from effective_to"),
        Layout(
            "unit limit sheet",
            _units_sheet,
            {
                "code": "hcpcs",
                "first": "mue practitioner 20240701",
                "mai": "mai 20240701",
                "second": "mue practitioner 2026q2 mai3only",
                "medicaid": "mue medicaid practitioner 2026q1",
            },
        ),
        Layout(
            "CMS practitioner MUE",
            _units,
            {
                "code": "hcpcs ?cpt code|hcpcs|code",
                "value": ".*mue values?|mue",
                "mai": "mue adjudication indicator|mai",
            },
            frozenset({"mai"}),
        ),
    ),
    within=("program",),
    words="The most units of a code for one patient and day.",
)


def _addon(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    primary = cells.text("primary").upper()
    kind = cells.text("type")[:1]
    if kind not in ("1", "2", "3"):
        raise RowError(f"“{cells.text('type')[:12]}” is no type of add-on edit (1, 2 or 3).")
    yield {
        "addon": cells.code("addon"),
        "primary": "CCCCC" if primary in ("", "CCCCC") and kind != "1" else cells.code("primary"),
        "aoc_type": kind,
        **dates(cells, options, SHEET_FROM),
    }


ADDONS = Kind(
    "addons",
    "Add-on codes",
    AddOn,
    ("addon", "primary"),
    (
        Layout(
            "Isocenter sheet",
            _addon,
            {
                "addon": "addon( code)?",
                "primary": "primary( code)?",
                "type": "aoc type",
                "effective_from": "effective from",
                "effective_to": "effective to",
            },
            frozenset({"effective_from", "effective_to"}),
        ),
        Layout(
            "CMS add-on code edits",
            _addon,
            {
                "addon": "add on code|aoc",
                "primary": "primary code",
                "type": "aoc edit type|.*type.*",
                "effective_from": "aoc edit eff.*|.*effective date.*",
                "effective_to": "aoc edit del.*|.*deletion date.*",
            },
            frozenset({"effective_to"}),
            ends=True,
        ),
    ),
    words="Codes that are billed only beside their primary code.",
)


def _payers(options: Options) -> dict[str, int]:
    return dict(Payer.objects.values_list("code", "id"))


def _coverage(cells: Cells, options: Options, payers: dict[str, int]) -> Iterator[Values]:
    payer = cells.text("payer")
    if payer and payer not in payers:
        raise RowError(f"There is no payer {payer[:20]}: load payers first.")
    yield {
        "code": cells.code("code"),
        "diagnosis": cells.diagnosis("diagnosis"),
        "covered": cells.flag("covered", default=True),
        "policy": cells.cut("policy", 80),
        "contractor": cells.text("contractor", 20),
        "payer": payers.get(payer),
        "advisory": cells.flag("advisory", default=True),
        **dates(cells, options, dt.date(2025, 10, 1)),
    }


COVERAGE = Kind(
    "coverage",
    "Coverage lists (LCD, NCD, article)",
    CoverageRow,
    ("code", "diagnosis", "contractor", "payer"),
    (
        house(
            _coverage,
            "code diagnosis covered",
            optional="policy contractor payer advisory effective_from effective_to",
        ),
        Layout(
            "coverage sheet",
            _coverage,
            {
                "code": "hcpcs( code)?|cpt( code)?|hcpc code id",
                "diagnosis": "icd10cm|icd 10 code|icd10 code|icd10 code id|dx",
                "covered": "covered|coverage",
                "policy": "lcd ids?|policy|article id|lcd id",
                "contractor": "contractor|mac",
                "payer": "payer",
                "effective_from": "effective( date)?",
                "effective_to": "end date|retire.*",
            },
            frozenset(
                {"covered", "policy", "contractor", "payer", "effective_from", "effective_to"}
            ),
        ),
    ),
    prepare=_payers,
    words=(
        "Which diagnoses a policy accepts for a procedure. Rows without contractor, group and date"
        " only advise."
    ),
)

register(PTP, MUE, ADDONS, COVERAGE)
