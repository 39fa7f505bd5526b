"""Scrub 10,000 claims of 3 lines against full reference tables: processor seconds, memory,
findings.

    python bench/scrub.py [FOLDER] [--claims N]

FOLDER holds full national tables as CSV files (`claims.edits.csvload`); without it the small tables
of the examples are used, which is quicker and says less.
The limit is 20 s on one core; the goal is 5 s.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from claims.edits import ClaimFacts, scrub_iter  # noqa: E402
from claims.edits.csvload import load  # noqa: E402
from claims.edits.examples import claim, line, medicare, prior, reference  # noqa: E402

AS_OF = date(2026, 9, 25)


def made(count: int, tables, seed: int = 7) -> Iterator[ClaimFacts]:
    """Claims of three lines with real codes, some history, and the errors that chance brings."""
    dice = random.Random(seed)
    codes = sorted(
        code for code, row in tables.procedures.items() if row.modality and row.pctc_ind == "1"
    )
    listed = sorted(tables.icd[0].codes)
    diagnoses = sorted(dice.sample(listed, min(500, len(listed))))
    for n in range(count):
        day = AS_OF - timedelta(days=dice.randrange(1, 120))
        lines = tuple(
            line(
                code,
                *dice.choice([(), (), ("26",), ("TC",), ("RT",), ("59",)]),
                service_date=day,
                charge=Decimal(dice.randrange(50, 2000)),
                accession=f"A{n}-{k}",
                report_signed_on=day,
            )
            for k, code in enumerate(dice.sample(codes, 3))
        )
        build = medicare if n % 3 == 0 else claim
        history = tuple(
            prior(dice.choice(codes), service_date=day, claim_id=f"H{n}")
            for _ in range(dice.randrange(3))
        )
        yield replace(
            build(*lines),
            claim_id=f"C{n}",
            patient_id=f"P{n}",
            diagnoses=tuple(dice.sample(diagnoses, 2)),
            eligibility_checked_on=day,
            history=history,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--claims", type=int, default=10_000)
    asked = parser.parse_args()

    start = time.process_time()
    small = reference()
    tables = load(asked.folder, payers=small.payers) if asked.folder else small
    tables = replace(
        tables,
        enrollments=small.enrollments,
        licenses=small.licenses,
        mammography_certificates=small.mammography_certificates,
        ordering_npis=small.ordering_npis,
    )
    loaded = time.process_time()
    sizes = {
        "procedures": len(tables.procedures or ()),
        "ptp": sum(map(len, (tables.ptp or {}).values())),
        "mue": len(tables.mue or ()),
        "icd": len(tables.icd[0].codes) if tables.icd else 0,
        "lcd": sum(len(row.covered) for rows in (tables.coverage or {}).values() for row in rows),
    }
    print(f"tables {loaded - start:.2f} s: {sizes}")

    for _ in made(asked.claims, tables):
        pass
    built = time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hits: Counter[str] = Counter()
    blocked = 0
    for findings in scrub_iter(made(asked.claims, tables), tables, as_of=AS_OF):
        hits.update(finding.edit_id for finding in findings)
        blocked += any(finding.blocks for finding in findings)
    done = time.process_time()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    making = built - loaded
    total = done - built
    print(
        f"{asked.claims} claims x 3 lines: {total:.2f} s with building, {total - making:.2f} s"
        " scrubbing alone"
    )
    print(
        f"memory peak {after / 1024:.0f} MB, grown by {(after - before) / 1024:.1f} MB while"
        " scrubbing"
    )
    print(f"{blocked} blocked, {sum(hits.values())} findings; most frequent {hits.most_common(8)}")


if __name__ == "__main__":
    main()
