from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from rcm.reference.services import starter_load


class Command(BaseCommand):
    help = (
        "Load the product's own starter set of payers, codes, edits and fees. Loading it again"
        " changes nothing."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        changed = 0
        for kind, outcome in starter_load():
            if outcome is None:
                continue
            changed += outcome.added + outcome.changed + outcome.closed
            self.stdout.write(
                f"{kind}: {outcome.added} added, {outcome.changed} changed, {outcome.closed}"
                f" closed, {outcome.unchanged} as before, {outcome.kept} kept as you have them,"
                f" {outcome.bad_count} bad"
            )
            for bad in outcome.bad:
                self.stdout.write(f"  line {bad['line']}: {bad['sentence']}")
        if not changed:
            self.stdout.write("The starter set is loaded already. Nothing changed.")
