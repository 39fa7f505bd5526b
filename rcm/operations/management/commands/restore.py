"""Restore a backup into an empty database, and prove it."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rcm.operations import restore
from rcm.operations.places import Refusal, place_of_settings


class Command(BaseCommand):
    help = (
        "Restore a backup into the EMPTY database of the settings: every piece and every table is"
        " compared, older schemas are migrated, the proofs are run. Nothing is sent afterwards"
        " until `manage.py release`."
    )

    # the database is empty: nothing of it can be checked
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--check", action="store_true", help="only whether the backup is whole and fits"
        )
        parser.add_argument(
            "--keys-lost",
            action="store_true",
            help="restore although the keys of encrypted fields are gone",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        begun = time.monotonic()
        folder, keys_lost = options["folder"].absolute(), options["keys_lost"]
        try:
            if options["check"]:
                found = restore.check(folder, keys_lost=keys_lost)
                self.stdout.write(f"The backup of {found.made_at} is whole and fits this release.")
                return
            done = restore.restore(
                folder, place_of_settings(), keys_lost=keys_lost, tell=self.stdout.write
            )
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        self._report(done, time.monotonic() - begun)
        if not done.whole:
            raise CommandError(
                "The rows are those of the backup, but a proof is broken: see `manage.py prove` and"
                " `manage.py verify_audit`."
            )

    def _report(self, done: restore.Outcome, seconds: float) -> None:
        if done.migrated:
            self.stdout.write(f"Migrated to this release: {', '.join(done.migrated)}.")
        self.stdout.write(
            f"{done.manifest.ledger_rows:,} rows of the ledger as in the backup;"
            f" {done.proofs} proofs, {done.breaches} breaches; {done.audit_rows:,} sealed rows of"
            f" the audit log, {len(done.breaks)} breaks. {seconds:.1f} s."
        )
        for words in done.breaks:
            self.stdout.write(words)
        if done.newer_anchors:
            self.stdout.write(
                f"{done.newer_anchors} anchors are newer than the backup: they witness the links"
                " that are lost. docs/runbook.md says how they are set aside."
            )
        self.stdout.write(
            "Nothing is sent or fetched until `manage.py release --by NAME --reason WHY`."
        )
