"""The living demo, built into a database of its own: seconds, exams a second, and what it holds.

    python bench/demo.py [EXAMS] [MONTHS]        # 2000 and 6 without arguments, as `make run` builds it

Printed beside it: the rows it wrote, rows a second, and the ratio to COPY of as many rows of the
same tables.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rcm.settings.test")
os.environ["ISOCENTER_TEST_DB"] = "bench_demo"


def written() -> dict[str, int]:
    """Rows of every table of the product, over all organizations."""
    from django.db import connection

    from rcm.accounts.scope import scope
    from rcm.demo.build import everyone

    with scope(everyone()), connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace ="
            " 'public'::regnamespace"
        )
        found = {}
        for (table,) in cursor.fetchall():
            if not table.startswith(
                ("django_", "reference_", "pricing_", "account_", "auth_", "oauth2_", "mfa_")
            ):
                cursor.execute(f'SELECT count(*) FROM "{table}"')
                found[table] = cursor.fetchone()[0]
        return {t: n for t, n in found.items() if n}


def main() -> None:
    exams = sys.argv[1] if len(sys.argv) > 1 else "2000"
    months = sys.argv[2] if len(sys.argv) > 2 else "6"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    from bench.posting import copy_floor

    setup_test_environment()
    config = setup_databases(verbosity=0, interactive=False, serialized_aliases=())
    owner = {k: connection.settings_dict[k] for k in ("USER", "PASSWORD")}
    try:
        from tests.conftest import _as_app

        _as_app(connection)
        with contextlib.redirect_stdout(io.StringIO()):
            call_command("load_starter", verbosity=0)
        now = connection.settings_dict
        place = f"{now['HOST']}:{now['PORT']}/{now['NAME']}"
        environment = {
            **{k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
            "DATABASE_URL": f"postgresql://{now['USER']}:{now['PASSWORD']}@{place}",
            "DATABASE_OWNER_URL": f"postgresql://{owner['USER']}:{owner['PASSWORD']}@{place}",
            "ISOCENTER_DEMO": "yes",
        }
        connection.close()
        manage = [sys.executable, "manage.py"]
        began = time.perf_counter()
        subprocess.run(
            [*manage, "build_demo", "--exams", exams, "--months", months],
            cwd=ROOT,
            env=environment,
            check=True,
        )
        seconds = time.perf_counter() - began
        rows = written()
        from charges.models import Exam
        from rcm.accounts.scope import scope
        from rcm.demo.build import everyone

        with scope(everyone()):
            made = Exam.objects.count()
        floor = copy_floor(rows, owner)
        total = sum(rows.values())
        print(f"{made:,} exams in {seconds:.0f} s: {made / seconds:.1f} exams/s")
        print(
            f"{total:,} rows of {len(rows)} tables, {total / made:.0f} an exam,"
            f" {total / seconds:,.0f} rows/s"
        )
        print(f"COPY of as many rows {floor:.2f} s: {seconds / floor:,.0f} x the floor")
        subprocess.run([*manage, "prove"], cwd=ROOT, env=environment, check=False)
    finally:
        connection.close()
        connection.settings_dict.update(owner)
        teardown_databases(config, verbosity=0)


if __name__ == "__main__":
    main()
