"""Back up the product to a new folder."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rcm.operations import backup
from rcm.operations.models import Backup
from rcm.operations.places import Refusal, place_of_settings


class Command(BaseCommand):
    help = (
        "Write the database, the stored files and a manifest of one moment to a new folder, while"
        " people work. Keys are not in it. The folder holds patients' data: keep it encrypted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="a folder that does not exist yet")

    def handle(self, *args: Any, **options: Any) -> None:
        begun = time.monotonic()
        try:
            made = backup.make(options["folder"].absolute(), place_of_settings())
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        seconds = time.monotonic() - begun
        rows, size = sum(t.rows for t in made.tables.values()), sum(p.size for p in made.pieces)
        Backup.objects.create(
            at=made.made_at, size=size, rows=rows, seconds=Decimal(f"{seconds:.1f}")
        )
        self.stdout.write(
            f"{options['folder']}: {len(made.tables)} tables with {rows:,} rows"
            f" ({made.ledger_rows:,} of the ledger), {len(made.pieces)} files of {size:,} bytes,"
            f" {len(made.heads)} audit chains, {seconds:.1f} s."
        )
