"""Verify the audit log: exit code 1 and the broken links by name when it is not what was sealed."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from rcm.audit import chain


class Command(BaseCommand):
    help = (
        "Verify the audit log: each organization's chain, every sealed row, what lies between, the"
        " database's own guards, and the anchors outside the database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--organization", action="append", default=[], help="only this code; repeatable"
        )
        parser.add_argument("--anchors", help="folder of anchors; the configured one by default")
        parser.add_argument("--public-key", default="", help="of the anchors, base64")
        parser.add_argument("--seal", action="store_true", help="seal what is settled first")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["seal"]:
            self.stdout.write(f"{chain.seal():,} rows sealed")
        folder = Path(options["anchors"] or settings.AUDIT_ANCHORS)
        begun = time.monotonic()
        verdict = chain.verify(
            organizations=options["organization"],
            anchors=chain.anchors_in(folder),
            key=options["public_key"],
        )
        seconds = time.monotonic() - begun
        self.stdout.write(
            f"{verdict.rows:,} sealed rows in {verdict.seals:,} links, {verdict.anchors:,} anchors,"
            f" {seconds:.1f} s ({verdict.rows / max(seconds, 0.001):,.0f} rows a second)"
        )
        if not verdict.breaks:
            self.stdout.write("The log is what was sealed.")
            return
        for found in verdict.breaks:
            self.stdout.write(str(found))
        raise CommandError(f"First broken link: {verdict.breaks[0]}")
