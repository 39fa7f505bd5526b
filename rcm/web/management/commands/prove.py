"""Prove the invariants on the live database; exit 1 when one is broken."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    help = "Check every invariant of ARCHITECTURE.md by plain SQL and print each with its count."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON list instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        # the checks name tables of every phase: composition, above this room
        proofs = import_module("rcm.prove").prove()
        broken = sum(p.total for p in proofs)
        if options["json"]:
            rows = [
                {
                    "organization": p.organization,
                    "invariant": p.check.number,
                    "promise": p.check.promise,
                    "looked": p.looked,
                    "breaches": p.total,
                }
                for p in proofs
            ]
            self.stdout.write(json.dumps(rows, indent=1))
        else:
            for p in proofs:
                mark = self.style.SUCCESS("holds ") if not p.total else self.style.ERROR("BROKEN")
                self.stdout.write(
                    f"{mark} {p.organization:<10} {p.check.number:>3}  {p.looked:>9,} looked at "
                    f" {p.total:>6,} breaches  {p.check.promise}"
                )
                for key, words in p.breaches:
                    self.stdout.write(f"          row {key}: {words}")
            self.stdout.write(f"{len(proofs)} proofs, {broken} breaches")
        if broken:
            raise SystemExit(1)
