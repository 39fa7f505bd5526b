"""Every code of the full files, where they are present beside the checkout."""

from __future__ import annotations

import csv
import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from rcm.pricing.expected import price_sessions
from rcm.pricing.facts import (
    NATIONAL,
    Benefits,
    BilledLine,
    Component,
    Locality,
    PriceStatus,
    PricingContext,
)
from rcm.pricing.fees import USABLE
from rcm.pricing.tables import MemoryTables, csv_tables

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / "pprrvu_imaging.csv").exists(),
    reason="the full fee schedule files are not beside this checkout",
)
D = Decimal
JAN_2025, JAN_2026 = dt.date(2025, 1, 2), dt.date(2026, 1, 2)
BINDING_2026 = [
    "70473",
    "70496",
    "70498",
    "71275",
    "71550",
    "71552",
    "72191",
    "72194",
    "73200",
    "73202",
    "73206",
    "73706",
    "74170",
    "74175",
    "76800",
    "76885",
]
PARTS = {Component.GLOBAL: (), Component.PROFESSIONAL: ("26",), Component.TECHNICAL: ("TC",)}


@pytest.fixture(scope="module")
def tables() -> MemoryTables:
    return csv_tables(DATA)


def split_codes(tables: MemoryTables, on: dt.date) -> list[str]:
    codes = []
    for code in sorted({code for code, _ in tables.rvus}):
        rows = [tables.rvu(code, part, on) for part in Component]
        if all(row is not None and row.status in USABLE for row in rows):
            codes.append(code)
    return codes


@pytest.mark.parametrize(("on", "count"), [(JAN_2025, 575), (JAN_2026, 273)])
def test_the_whole_is_the_sum_of_its_parts_for_every_split_code(
    tables: MemoryTables, on: dt.date, count: int
) -> None:
    codes = split_codes(tables, on)
    assert len(codes) == count
    for code in codes:
        whole, reading, technical = (tables.rvu(code, part, on) for part in Component)
        assert whole is not None
        assert reading is not None
        assert technical is not None
        assert technical.work == 0
        assert whole.work == reading.work
        assert (
            whole.practice_nonfacility
            == reading.practice_nonfacility + technical.practice_nonfacility
        )
        assert whole.malpractice == reading.malpractice + technical.malpractice


def price_alone(
    tables: MemoryTables, codes: list[str], on: dt.date, part: Component, place: Locality
) -> dict[str, Decimal]:
    context = PricingContext(on, "11", place, benefits=Benefits(D(0)))
    sessions = [(context, [BilledLine(code, code, PARTS[part])]) for code in codes]
    priced = [line for session in price_sessions(sessions, tables=tables) for line in session]
    assert {p.status for p in priced} == {PriceStatus.PRICED}
    return {p.code: p.allowed for p in priced if p.allowed is not None}


def rounded(amount: Decimal) -> Decimal:
    return amount.quantize(D("0.01"), "ROUND_HALF_UP")


@pytest.mark.parametrize("place", [NATIONAL, Locality("06102", "16")])
def test_every_2026_code_agrees_with_an_independent_calculation(
    tables: MemoryTables, place: Locality
) -> None:
    gpci = tables.gpci(place, JAN_2026)
    assert gpci is not None
    expected: dict[tuple[str, str], Decimal] = {}
    with (DATA / "pprrvu_2026_imaging_pctc.csv").open(newline="") as handle:
        for r in csv.DictReader(handle):
            n = {
                k: D(r[k])
                for k in (
                    "work_rvu",
                    "pe_rvu_nonfac",
                    "mp_rvu",
                    "conv_factor",
                    "opps_cap_pe",
                    "opps_cap_mp",
                )
            }
            work = n["work_rvu"] * gpci.work
            fee = rounded(
                (work + n["pe_rvu_nonfac"] * gpci.practice + n["mp_rvu"] * gpci.malpractice)
                * n["conv_factor"]
            )
            if n["opps_cap_pe"]:
                cap = (
                    work + n["opps_cap_pe"] * gpci.practice + n["opps_cap_mp"] * gpci.malpractice
                ) * n["conv_factor"]
                fee = min(fee, rounded(cap))
            expected[(r["hcpcs"], r["mod"])] = fee
    for part, modifiers in PARTS.items():
        codes = sorted({code for code, _ in expected})
        amounts = price_alone(tables, codes, JAN_2026, part, place)
        mod = modifiers[0] if modifiers else ""
        assert amounts == {code: expected[(code, mod)] for code in codes}
        assert sum(amounts.values()) == sum(v for (_, m), v in expected.items() if m == mod)


def test_the_outpatient_cap_binds_for_the_listed_codes_only(tables: MemoryTables) -> None:
    context = PricingContext(JAN_2026, "11", NATIONAL, benefits=Benefits(D(0)))
    sessions = [(context, [BilledLine(code, code)]) for code in split_codes(tables, JAN_2026)]
    bound = [p.code for [p] in price_sessions(sessions, tables=tables) if p.cut("outpatient_cap")]
    assert bound == BINDING_2026


@pytest.mark.parametrize("on", [JAN_2025, JAN_2026])
def test_parts_sum_to_the_whole_within_a_cent_for_every_code(
    tables: MemoryTables, on: dt.date
) -> None:
    codes = split_codes(tables, on)
    whole, reading, technical = (
        price_alone(tables, codes, on, part, NATIONAL) for part in Component
    )
    off = {code: whole[code] - reading[code] - technical[code] for code in codes}
    assert {code: gap for code, gap in off.items() if abs(gap) > D("0.01")} == {}


def test_every_billable_technical_row_is_refused_in_a_facility(tables: MemoryTables) -> None:
    context = PricingContext(JAN_2025, "22", NATIONAL, benefits=Benefits(D(0)))
    sessions = [
        (context, [BilledLine(code, code, ("TC",))]) for code in split_codes(tables, JAN_2025)
    ]
    assert {p.reason_code for [p] in price_sessions(sessions, tables=tables)} == {
        "TECHNICAL_IN_FACILITY"
    }


def test_codes_of_2026_without_parts_hold_when_parts_are_needed(tables: MemoryTables) -> None:
    context = PricingContext(JAN_2026, "11", NATIONAL, benefits=Benefits(D(0)))
    [[reading], [whole]] = price_sessions(
        [(context, [BilledLine("", "93306", ("26",))]), (context, [BilledLine("", "93306")])],
        tables=tables,
    )
    assert reading.reason_code == "NO_COMPONENT_FEE"
    assert whole.reason_code == "CAP_UNKNOWN"


def test_zip_codes_lead_to_localities(tables: MemoryTables) -> None:
    assert tables.locality_of_zip("60601") == Locality("06102", "16")
    assert tables.locality_of_zip("00000") is None
