"""A small fee schedule: the few published rows that the worked examples need, and short ways to ask
for prices.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from rcm.pricing.expected import price_session
from rcm.pricing.facts import (
    NATIONAL,
    Benefits,
    BilledLine,
    Component,
    Contract,
    ContractRate,
    Gpci,
    Locality,
    MpprScope,
    MpprTerms,
    PosSetting,
    PricedLine,
    PricingContext,
    RateMethod,
    RvuRow,
)
from rcm.pricing.tables import MemoryTables

D = Decimal
CHICAGO = Locality("06102", "16")
IN_2025, IN_2026 = dt.date(2025, 5, 5), dt.date(2026, 9, 8)
DEDUCTIBLE_MET = Benefits(D(0))

# year code part status work practice(nonfac) practice(fac) malpractice pctc multiple bilateral
# cap-practice cap-malpractice
_ROWS = """
2026 70496 - A 1.71 6.37 6.37 0.12 1 4 0 5.94 0.12
2026 70496 26 A 1.71 0.60 0.60 0.09 1 4 0 0 0
2026 70496 TC A 0.00 5.77 5.77 0.03 1 4 0 5.34 0.03
2026 70551 - A 1.44 4.31 4.31 0.10 1 4 0 7.77 0.12
2026 70551 26 A 1.44 0.51 0.51 0.08 1 4 0 0 0
2026 70551 TC A 0.00 3.80 3.80 0.02 1 4 0 7.26 0.04
2026 70553 - A 2.23 7.10 7.10 0.16 1 4 0 11.41 0.18
2026 70553 26 A 2.23 0.79 0.79 0.13 1 4 0 0 0
2026 70553 TC A 0.00 6.31 6.31 0.03 1 4 0 10.62 0.05
2026 71046 - A 0.21 0.76 0.76 0.02 1 0 0 2.70 0.05
2026 71046 26 A 0.21 0.08 0.08 0.01 1 0 0 0 0
2026 71046 TC A 0.00 0.68 0.68 0.01 1 0 0 2.62 0.04
2026 71550 - A 1.42 8.45 8.45 0.10 1 4 0 7.77 0.10
2026 71550 26 A 1.42 0.50 0.50 0.07 1 4 0 0 0
2026 71550 TC A 0.00 7.95 7.95 0.03 1 4 0 7.27 0.03
2026 72148 - A 1.44 4.20 4.20 0.10 1 4 0 7.79 0.12
2026 72148 26 A 1.44 0.53 0.53 0.08 1 4 0 0 0
2026 72148 TC A 0.00 3.67 3.67 0.02 1 4 0 7.26 0.04
2026 73562 - A 0.18 1.07 1.07 0.02 1 0 3 2.72 0.04
2026 73562 26 A 0.18 0.09 0.09 0.01 1 0 3 0 0
2026 73562 TC A 0.00 0.98 0.98 0.01 1 0 3 2.63 0.03
2026 73721 - A 1.32 4.71 4.71 0.09 1 4 3 7.75 0.10
2026 73721 26 A 1.32 0.49 0.49 0.07 1 4 3 0 0
2026 73721 TC A 0.00 4.22 4.22 0.02 1 4 3 7.26 0.03
2026 74177 - A 1.77 7.09 7.09 0.13 1 4 0 11.27 0.14
2026 74177 26 A 1.77 0.63 0.63 0.11 1 4 0 0 0
2026 74177 TC A 0.00 6.46 6.46 0.02 1 4 0 10.64 0.03
2026 76641 - A 0.71 2.24 2.24 0.05 1 0 1 3.44 0.06
2026 76641 26 A 0.71 0.26 0.26 0.04 1 0 1 0 0
2026 76641 TC A 0.00 1.98 1.98 0.01 1 0 1 3.18 0.02
2026 77063 - A 0.59 0.91 0.91 0.03 1 0 2 0 0
2026 77063 26 A 0.59 0.21 0.21 0.03 1 0 2 0 0
2026 77063 TC A 0.00 0.70 0.70 0.00 1 0 2 0 0
2026 77066 - A 0.98 3.64 3.64 0.08 1 0 2 0 0
2026 77066 26 A 0.98 0.35 0.35 0.06 1 0 2 0 0
2026 77066 TC A 0.00 3.29 3.29 0.02 1 0 2 0 0
2026 77067 - A 0.74 2.99 2.99 0.05 1 0 2 0 0
2026 77067 26 A 0.74 0.27 0.27 0.04 1 0 2 0 0
2026 77067 TC A 0.00 2.72 2.72 0.01 1 0 2 0 0
2026 77080 - A 0.20 0.96 0.96 0.02 1 0 0 3.23 0.05
2026 77080 26 A 0.20 0.07 0.07 0.01 1 0 0 0 0
2026 77080 TC A 0.00 0.89 0.89 0.01 1 0 0 3.16 0.04
2025 77090 - A 0.00 0.08 0.08 0.01 3 0 0 2.42 0.30
2025 78815 - C 0.00 0.00 0.00 0.00 1 0 0 45.89 0.13
2025 78815 26 A 2.44 0.81 0.81 0.12 1 0 0 0 0
2025 78815 TC C 0.00 0.00 0.00 0.00 1 0 0 45.08 0.01
2025 93306 - A 1.46 4.28 4.28 0.07 1 6 0 17.34 0.17
2025 93306 26 A 1.46 0.52 0.52 0.04 1 6 0 0 0
2025 93306 TC A 0.00 3.76 3.76 0.03 1 6 0 16.82 0.13
2025 93880 - A 0.80 4.73 4.73 0.09 1 6 2 7.68 0.11
2025 93880 26 A 0.80 0.26 0.26 0.06 1 6 2 0 0
2025 93880 TC A 0.00 4.47 4.47 0.03 1 6 2 7.42 0.05
2025 G0296 - A 0.52 0.28 0.20 0.03 0 0 0 0 0
"""
_PARTS = {"-": Component.GLOBAL, "26": Component.PROFESSIONAL, "TC": Component.TECHNICAL}
_FACTORS = {2025: (D("32.3465"), None), 2026: (D("33.4009"), D("33.5675"))}


def _row(text: str) -> RvuRow:
    year, code, part, status, work, pe, pe_fac, mp, pctc, multiple, bilateral, cap_pe, cap_mp = (
        text.split()
    )
    factor, qualifying = _FACTORS[int(year)]
    return RvuRow(
        code,
        _PARTS[part],
        status,
        D(work),
        D(pe),
        D(pe_fac),
        D(mp),
        pctc,
        multiple,
        bilateral,
        factor,
        dt.date(int(year), 1, 1),
        dt.date(int(year), 12, 31),
        qualifying,
        D(cap_pe),
        D(cap_mp),
        facility_na=part != "26" and pctc == "1",
    )


def small_tables(*contracts: Contract) -> MemoryTables:
    year = (dt.date(2026, 1, 1), dt.date(2026, 12, 31))
    return MemoryTables.build(
        rvus=[_row(line) for line in _ROWS.strip().splitlines()],
        gpcis=[Gpci(CHICAGO, D("1.007"), D("1.005"), D("2.295"), *year)],
        zips={"60601": CHICAGO},
        settings={
            "11": PosSetting.NON_FACILITY,
            "15": PosSetting.NON_FACILITY,
            "21": PosSetting.FACILITY,
            "22": PosSetting.FACILITY,
            "24": PosSetting.FACILITY,
            "31": PosSetting.FACILITY,
        },
        modalities={
            "71046": "XR",
            "73562": "XR",
            "74177": "CT",
            "70553": "MR",
            "72148": "MR",
            "73721": "MR",
            "70551": "MR",
        },
        contracts=contracts,
    )


TABLES = small_tables()


def line(code: str, *modifiers: str, **facts: Any) -> BilledLine:
    return BilledLine(facts.pop("line_id", code), code, tuple(modifiers), **facts)


def price(*lines: BilledLine, tables: MemoryTables = TABLES, **context: Any) -> list[PricedLine]:
    """Price at the national amount in an imaging center, deductible met, unless told otherwise."""
    asked: dict[str, Any] = {
        "date_of_service": IN_2026,
        "pos": "11",
        "locality": NATIONAL,
        "benefits": DEDUCTIBLE_MET,
        **context,
    }
    return price_session(lines, context=PricingContext(**asked), tables=tables)


def contract(*rates: ContractRate, **terms: Any) -> Contract:
    return Contract(
        "C1", "Acme Health", rates, terms.pop("effective_from", dt.date(2025, 1, 1)), **terms
    )


FLAT, OF_MEDICARE, OF_CHARGE = (
    RateMethod.FLAT,
    RateMethod.PERCENT_OF_MEDICARE,
    RateMethod.PERCENT_OF_CHARGE,
)
NO_MPPR = MpprTerms(MpprScope.NONE)
LIKE_MEDICARE = MpprTerms(MpprScope.GROUP, D("0.95"), D("0.50"))
