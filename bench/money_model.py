"""The book kept by hand against the product, many sequences long (tests/money/book.py).

    python bench/money_model.py [--sequences 2000] [--steps 40] [--first 0]

Prints the first seed, sequences, steps, seconds, and every seed whose books differ.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rcm.settings.test")
os.environ["ISOCENTER_TEST_DB"] = "bench_money_model"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequences", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args()
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    setup_test_environment()
    config = setup_databases(verbosity=0, interactive=False, serialized_aliases=())
    owner = {k: connection.settings_dict[k] for k in ("USER", "PASSWORD")}
    differ: list[int] = []
    try:
        from tests.conftest import _as_app, make_cast

        _as_app(connection)
        with open(os.devnull, "w") as quiet:
            call_command("load_starter", verbosity=0, stdout=quiet)
        from rcm.accounts.scope import scope
        from tests.money.book import run

        cast = make_cast()
        begun, done = time.monotonic(), 0
        for seed in range(chosen.first, chosen.first + chosen.sequences):
            try:
                with scope(cast.system):
                    done += len(run(cast, seed, chosen.steps))
            except Exception as error:
                differ.append(seed)
                print(f"seed {seed}: {error}\n{getattr(error, '__notes__', '')}", flush=True)
            if (seed + 1) % 100 == 0:
                print(f"to seed {seed}: {done} steps, {len(differ)} differ", flush=True)
        took = time.monotonic() - begun
        print(
            f"seeds {chosen.first} to {chosen.first + chosen.sequences - 1}, {chosen.steps} steps "
            f"each: {done} steps agree, {len(differ)} sequences differ {differ}, {took:.0f} s"
        )
    finally:
        connection.close()
        connection.settings_dict.update(owner)
        teardown_databases(config, verbosity=0)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
