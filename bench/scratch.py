"""What the benches share: a database of their own that is made and dropped, rows put in behind the
product's back, and medians.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median as middle
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def prepare(name: str) -> None:
    """Django with a database called `name`; call it before anything of the product is imported."""
    sys.path[:0] = [str(ROOT)]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rcm.settings.test")
    os.environ["ISOCENTER_TEST_DB"] = name
    import django

    django.setup()


@contextlib.contextmanager
def database() -> Iterator[tuple[Any, Callable[..., None]]]:
    """The suite's cast in an empty database, and `owner(*statements)`: SQL as the owner, with the
    product's own triggers off.
    """
    import psycopg2
    from django.core.management import call_command
    from django.db import connection
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    setup_test_environment()
    config = setup_databases(verbosity=0, interactive=False, serialized_aliases=())
    owner_is = {k: connection.settings_dict[k] for k in ("USER", "PASSWORD")}
    try:
        from tests.conftest import _as_app, make_cast

        _as_app(connection)
        with open(os.devnull, "w") as quiet:
            call_command("load_starter", verbosity=0, stdout=quiet)
        cast = make_cast()
        now = connection.settings_dict

        def owner(*statements: str) -> None:
            raw = psycopg2.connect(
                host=now["HOST"],
                port=now["PORT"] or None,
                dbname=now["NAME"],
                user=owner_is["USER"],
                password=owner_is["PASSWORD"],
            )
            raw.autocommit = True
            with contextlib.closing(raw), raw.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('isocenter.orgs', string_agg(id::text, ','), false) FROM"
                    " accounts_organization"
                )
                cursor.execute(
                    "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
                )
                filled = set(re.findall(r"INSERT INTO (\w+)", " ".join(statements)))
                guarded = [table for (table,) in cursor.fetchall() if table in filled]
                for table in guarded:
                    cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                try:
                    for statement in statements:
                        cursor.execute(statement)
                finally:
                    for table in guarded:
                        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")

        yield cast, owner
    finally:
        connection.close()
        connection.settings_dict.update(owner_is)
        teardown_databases(config, verbosity=0)


def median(work: Callable[[], object], times: int = 7) -> float:
    """Milliseconds, the median of so many runs after one that warms up."""
    work()
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append((time.perf_counter() - began) * 1000)
    return middle(spent)
