"""An 835 of 10,000 claims × 3 lines, from bytes to posted, beside COPY of as many rows into tables
of the same shape.

    python bench/posting.py [CLAIMS]

A database of its own is made and dropped. Printed: claims a second for reading (stored bytes to
matched rows) and for posting (ledger, denials, variances, claim states, work items), the rows
written, and the ratio of the whole to COPY of the same number of rows.

Counted are the new rows of every table. Rows that are changed (claims, payments, balances) are
work of the product that COPY is not asked to do. What subscribers do later with the events that
posting publishes is in neither figure.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rcm.settings.test")
os.environ.setdefault("ISOCENTER_TEST_DB", "bench_posting")


def as_owner(owner: dict[str, str]):
    """A connection of the owner that sees every organization."""
    import psycopg2
    from django.db import connections

    now = connections["default"].settings_dict
    raw = psycopg2.connect(
        host=now["HOST"],
        port=now["PORT"] or None,
        dbname=now["NAME"],
        user=owner["USER"],
        password=owner["PASSWORD"],
    )
    with raw.cursor() as cursor:
        # row-level security binds the owner too: without a scope it would see nothing
        cursor.execute(
            "SELECT set_config('isocenter.orgs', string_agg(id::text, ','), false) FROM"
            " accounts_organization"
        )
    return raw


def counts(owner: dict[str, str]) -> dict[str, int]:
    """Rows of every table, so that none that posting writes can be left out of the comparison."""
    with contextlib.closing(as_owner(owner)) as raw, raw.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        found = {}
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT count(*) FROM {table}")
            found[table] = cursor.fetchone()[0]
        return found


def peak() -> float:
    """Most memory in MB since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM")) / 1024


def forget_peak() -> None:
    """What making the claims took is not the product's: it goes back to the system first."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def copy_floor(written: dict[str, int], owner: dict[str, str]) -> float:
    """Seconds for COPY of as many rows of each table, as PostgreSQL's owner, into plain tables with
    the same indexes, without triggers, keys or security.
    """
    spent = 0.0
    raw = as_owner(owner)
    with raw, raw.cursor() as cursor:
        for table, rows in written.items():
            if not rows:
                continue
            cursor.execute(f"CREATE TABLE bench_floor (LIKE {table} INCLUDING INDEXES)")
            data = io.StringIO()
            # the youngest rows; a table without a key of ours gives any
            cursor.execute(
                "SELECT 1 FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'id'",
                [table],
            )
            order = "ORDER BY id DESC" if cursor.fetchone() else ""
            cursor.copy_expert(f"COPY (SELECT * FROM {table} {order} LIMIT {rows}) TO STDOUT", data)
            data.seek(0)
            began = time.perf_counter()
            cursor.copy_expert("COPY bench_floor FROM STDIN", data)
            spent += time.perf_counter() - began
            assert cursor.rowcount == rows, f"{table}: {cursor.rowcount} of {rows} rows copied"
            cursor.execute("DROP TABLE bench_floor")
    raw.close()
    return spent


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    setup_test_environment()
    config = setup_databases(verbosity=0, interactive=False, serialized_aliases=())
    owner = {k: connection.settings_dict[k] for k in ("USER", "PASSWORD")}
    try:
        from tests.conftest import _as_app, make_cast

        _as_app(connection)
        with contextlib.redirect_stdout(io.StringIO()):
            call_command("load_starter", verbosity=0)
        from rcm.accounts.memory import settle
        from rcm.accounts.scope import scope
        from rcm.exchange.outbox import asleep
        from rcm.exchange.services import process, store_inbound
        from remittance.models import Remittance
        from remittance.services import remittance_post
        from tests.remittance import crowd

        settle()  # as a worker of the product does
        cast = make_cast()
        began = time.perf_counter()
        with asleep(), scope(cast.system):
            crowd.claims(cast.a, cast.north, number, actor=cast.system)
            content, total = crowd.advice(number)
            interchange, _ = store_inbound(
                organization_id=cast.a.pk,
                kind="835",
                content=content,
                at=crowd.AT,
                actor=cast.system,
            )
        before = counts(owner)
        print(
            f"{number:,} claims × 3 lines, 835 of {len(content) / 1e6:.1f} MB, ${total:,.2f} (made"
            f" in {time.perf_counter() - began:.0f} s)"
        )
        del content
        forget_peak()
        resting = peak()
        with asleep():
            began = time.perf_counter()
            process([interchange.pk], actor=cast.system, at=crowd.AT)
            read = time.perf_counter() - began
            with scope(cast.system):
                remittance = Remittance.objects.get()
                assert remittance.status == "ready", remittance.findings
            began = time.perf_counter()
            with scope(cast.system):
                posted = remittance_post(remittance=remittance, actor=cast.system, at=crowd.AT)
            post = time.perf_counter() - began
        most = peak()
        with scope(cast.system):
            assert crowd.broken() == {"Q1": 0, "Q2": 0, "Q3": 0, "Q4": 0}
        after = counts(owner)
        written = {t: n - before.get(t, 0) for t, n in after.items() if n > before.get(t, 0)}
        floor = copy_floor(written, owner)
        rows = sum(written.values())
        print(f"read and matched  {read:6.1f} s  {number / read:8,.0f} claims/s")
        print(
            f"posted            {post:6.1f} s  {number / post:8,.0f} claims/s "
            f" ({posted.transactions:,} transactions, {posted.denials:,} denials)"
        )
        print(
            f"whole             {read + post:6.1f} s  {number / (read + post):8,.0f} claims/s "
            f" {rows:,} rows, {rows / (read + post):,.0f} rows/s"
        )
        print(
            f"COPY of as many   {floor:6.1f} s  {rows / floor:8,.0f} rows/s  ratio"
            f" {(read + post) / floor:.1f} to 1"
        )
        print(
            f"memory            {most:6.0f} MB at most, {most - resting:,.0f} more than at rest; Q1 to"
            " Q4 empty"
        )
        for table, count in written.items():
            print(f"    {table:<28} {count:>9,}")
    finally:
        connection.close()
        connection.settings_dict.update(owner)
        teardown_databases(config, verbosity=0)


if __name__ == "__main__":
    main()
