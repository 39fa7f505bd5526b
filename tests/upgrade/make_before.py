"""Back up the embedded database of another checkout, cut down to what a test can carry.

`python -m tests.upgrade.make_before CHECKOUT`, after a small `build_demo` there.
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
from pathlib import Path

LARGE = (
    "pricing_feerow",
    "pricing_gpci",
    "pricing_ziplocality",
    "pricing_oppscap",
)
TARGET = Path(__file__).with_name("before.tar.xz")


def main(checkout: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rcm.settings")
    import django

    django.setup()
    from rcm import embedded
    from rcm.audit import chain
    from rcm.operations import backup
    from rcm.operations.places import Place, roles

    place = Place(embedded.endpoints(checkout).superuser_url)
    with place.lent_to_django(roles()[1]):
        print(chain.seal(), "rows sealed")
    with place.cursor() as cursor:
        for table in LARGE:
            cursor.execute(f"DELETE FROM {table}")
    with tempfile.TemporaryDirectory() as folder:
        made = backup.make(Path(folder) / "before", place)
        with tarfile.open(TARGET, "w:xz", preset=9) as packed:
            packed.add(Path(folder) / "before", "before")
    for name, table in sorted(made.tables.items(), key=lambda item: -item[1].rows)[:12]:
        print(name, table.rows)


if __name__ == "__main__":
    main(sys.argv[1])
