from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rcm.reference.loaders import Options, kinds
from rcm.reference.loaders.load import FileRefused, load_file


class Command(BaseCommand):
    help = (
        "Load a reference file (official layout or the product's own sheet) into its dated table."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        names = [kind.name for kind in kinds()]
        parser.add_argument(
            "kind", choices=sorted(names), metavar="KIND", help=", ".join(sorted(names))
        )
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--effective", type=date.fromisoformat, help="first service date the file holds for"
        )
        parser.add_argument(
            "--year", type=int, help="fee schedule year, or fiscal year of a diagnosis list"
        )
        parser.add_argument(
            "--complete",
            action="store_true",
            help="the file is the whole list: rows it lacks are closed",
        )
        parser.add_argument(
            "--preview", action="store_true", help="show what would change and change nothing"
        )
        parser.add_argument("--source", default="", help="where the file comes from")
        parser.add_argument(
            "--json", action="store_true", help="print the summary as one JSON object"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"There is no file {path}.")
        if options["complete"] and not (options["effective"] or options["year"]):
            raise CommandError(
                "--complete needs --effective: the day from which missing rows no longer hold."
            )
        loud = not options["json"] and sys.stderr.isatty()

        def progress(rows: int) -> None:
            if loud:
                self.stderr.write(f"\r{rows:,} rows", ending="")

        begun = time.monotonic()
        try:
            record, outcome = load_file(
                kind=options["kind"],
                path=path,
                options=Options(options["effective"], options["year"]),
                complete=options["complete"],
                source=options["source"],
                actor_name="command line",
                preview=options["preview"],
                progress=progress,
            )
        except FileRefused as error:
            raise CommandError(str(error)) from None
        same = record is None and not options["preview"]
        summary = {
            "kind": options["kind"],
            "file": path.name,
            "load": record.pk if record else None,
            "nothing_changed": same or not (outcome.added or outcome.changed or outcome.closed),
            "rows": outcome.read,
            "added": outcome.added,
            "changed": outcome.changed,
            "closed": outcome.closed,
            "unchanged": outcome.unchanged,
            "kept": outcome.kept,
            "bad": outcome.bad_count,
            "bad_rows": outcome.bad,
            "seconds": round(time.monotonic() - begun, 2),
        }
        if options["json"]:
            if options["preview"]:
                summary["changes"] = outcome.changes
            self.stdout.write(json.dumps(summary, indent=1))
            return
        if loud:
            self.stderr.write("")
        if same:
            self.stdout.write(f"{path.name}: this file is already loaded. Nothing changed.")
            return
        self.stdout.write(
            f"{path.name}: {outcome.read:,} rows read, {outcome.added:,} added, {outcome.changed:,}"
            f" changed, {outcome.closed:,} closed, {outcome.unchanged:,} as before,"
            f" {outcome.bad_count:,} bad, {summary['seconds']} s"
        )
        if options["preview"]:
            for change in outcome.changes:
                self.stdout.write(
                    f"  {change['act']} {change['key']} from {change['from']}: {change['before']}"
                    f" -> {change['after']}"
                )
        for bad in outcome.bad[:50]:
            self.stdout.write(f"  line {bad['line']}: {bad['sentence']}")
        if outcome.bad_count > 50:
            self.stdout.write(f"  and {outcome.bad_count - 50:,} more bad rows")
