"""What is in a database, in one line for each table: equal lines, equal rows.

The digest of a table is the sum of the hashes of its rows as text, so that their order says
nothing. It finds what differs; against whoever forges on purpose stands the audit log's chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# the text of a row must not depend on who looks
PLAIN = (
    "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle ="
    " 'postgres'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1;"
    " SET LOCAL statement_timeout = 0; SET LOCAL row_security = off"
)

TABLES = """
SELECT c.relname FROM pg_class c
 WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1
"""

OF_TABLE = """
SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM public."{}" t
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one table and their digest."""

    rows: int
    digest: str


def tables(cursor: Any) -> list[str]:
    """Every table of the product, in the order of names."""
    cursor.execute(TABLES)
    return [name for (name,) in cursor.fetchall()]


def of_database(cursor: Any) -> dict[str, Table]:
    """Each table with its digest. In the caller's transaction, by which it sees one moment."""
    cursor.execute(PLAIN)
    return {name: _of_table(cursor, name) for name in tables(cursor)}


def _of_table(cursor: Any, name: str) -> Table:
    cursor.execute(OF_TABLE.format(name))
    return Table(*cursor.fetchone())


def differences(kept: dict[str, Table], found: dict[str, Table]) -> list[str]:
    """What is not the same, a sentence for each table."""
    out = []
    for name in sorted(kept.keys() | found.keys()):
        was, now = kept.get(name), found.get(name)
        if was is None or now is None:
            out.append(f"{name} is {'not in the backup' if was is None else 'missing'}")
        elif was.rows != now.rows:
            out.append(f"{name} has {now.rows:,} rows, the backup {was.rows:,}")
        elif was != now:
            out.append(f"{name} has other values than the backup")
    return out
