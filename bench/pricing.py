"""Lines priced per second on one core, beside bare Decimal arithmetic and beside pricing one
session at a time.

    python bench/pricing.py [LINES] [DATA-FOLDER]

Without a data folder it prices the rows written out in the tests.
"""

from __future__ import annotations

import datetime as dt
import resource
import sys
import time
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from pricing.cast import (  # noqa: E402
    LIKE_MEDICARE,
    NO_MPPR,
    OF_MEDICARE,
    ContractRate,
    contract,
    small_tables,
)

from rcm.pricing.expected import price_sessions  # noqa: E402
from rcm.pricing.facts import Benefits, BilledLine, Component, PricingContext  # noqa: E402
from rcm.pricing.tables import MemoryTables, csv_tables  # noqa: E402

CENT = Decimal("0.01")


def sessions(tables: MemoryTables, wanted: int) -> list[tuple[PricingContext, list[BilledLine]]]:
    """A year of sessions of one to three lines over all codes with parts and all localities of the
    tables.
    """
    on = dt.date(2026, 1, 1)
    codes = [
        c
        for c, p in tables.rvus
        if p is Component.TECHNICAL and tables.rvu(c, Component.GLOBAL, on)
    ]
    codes = [c for c in codes if all(tables.rvu(c, p, on) for p in Component)]
    places = [place for place in tables.gpcis if tables.gpci(place, on)]
    terms = [
        None,
        contract(ContractRate(OF_MEDICARE, Decimal("1.20")), mppr=LIKE_MEDICARE),
        contract(ContractRate(OF_MEDICARE, Decimal("1.35")), mppr=NO_MPPR),
    ]
    modifiers: list[tuple[str, ...]] = [(), ("26",), ("TC",)]
    benefits = Benefits(Decimal(0), coinsurance=Decimal("0.20"))
    out, made = [], 0
    while made < wanted:
        n = len(out)
        size = min(1 + n % 3, wanted - made)
        context = PricingContext(
            on + dt.timedelta(n % 300), "11", places[n % len(places)], terms[n % 3], benefits
        )
        lines = [
            BilledLine(
                str(i),
                codes[(n * 7 + i * 3) % len(codes)],
                modifiers[(n // 3) % 3],
                1,
                Decimal(900),
            )
            for i in range(size)
        ]
        out.append((context, lines))
        made += size
    return out


def floor(tables: MemoryTables, work: list[tuple[PricingContext, list[BilledLine]]]) -> Decimal:
    """The least any program must do: fetch three relative values and three indices, multiply, add,
    round, compare.
    """
    total = Decimal(0)
    for context, lines in work:
        assert context.locality is not None
        gpci = tables.gpcis[context.locality][-1]
        for line in lines:
            row = tables.rvus[(line.code, Component.GLOBAL)][-1]
            units = (
                row.work * gpci.work
                + row.practice_nonfacility * gpci.practice
                + row.malpractice * gpci.malpractice
            )
            amount = (units * row.factor).quantize(CENT, ROUND_HALF_UP)
            assert line.charge is not None
            total += min(amount, line.charge)
    return total


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    start = time.perf_counter()
    tables = csv_tables(folder) if folder else small_tables()
    print(f"tables loaded in {time.perf_counter() - start:.2f} s ({len(tables.rvus)} code parts)")
    work = sessions(tables, wanted)
    start = time.process_time()
    floor(tables, work)
    bare = time.process_time() - start
    start = time.process_time()
    priced = held = 0
    for answer in price_sessions(work, tables=tables):
        priced += len(answer)
        held += sum(line.allowed is None for line in answer)
    full = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"bare arithmetic  {wanted / bare:>10,.0f} lines/s  {bare:.2f} s")
    print(
        f"priced           {priced / full:>10,.0f} lines/s  {full:.2f} s for {priced:,} lines,"
        f" {held} held"
    )
    print(
        f"ratio to floor   {full / bare:.1f}×   100,000 lines in {full / priced * 100_000:.2f} s  "
        f" peak {peak} MB"
    )


if __name__ == "__main__":
    main()
