"""manage.py scrub FILE.json | --claim NUMBER: judge claims from a file, or one claim of the
database, without changing anything.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from claims.edits import scrub
from claims.edits.payload import scrub_payload
from claims.facts import load_reference, load_sheets, reference_of_payload
from claims.models import Claim
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope

MOST_BYTES = 50_000_000


class Command(BaseCommand):
    help = (
        "Scrub claims from a JSON file (the body of POST /api/v1/scrub), or one claim by its"
        " number. Exit status 1 when one is blocked."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help='JSON: {"claims": [...]}')
        parser.add_argument("--claim", help="Number of a claim in the database")
        parser.add_argument(
            "--organization", help="Code of its organization, when the number is not unique"
        )
        parser.add_argument("--json", action="store_true", help="Answer as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["file"]) == bool(options["claim"]):
            raise CommandError("Give a file or --claim, not both.")
        results = (
            self._file(options["file"])
            if options["file"]
            else self._claim(options["claim"], options["organization"])
        )
        if options["json"]:
            self.stdout.write(json.dumps(results, indent=2, default=str))
        else:
            for result in results:
                self._write(result)
        if not all(result["passes"] for result in results):
            raise SystemExit(1)

    def _write(self, result: dict[str, Any]) -> None:
        self.stdout.write(
            f"{result['claim_id'] or 'claim'}: {'passes' if result['passes'] else 'blocked'}"
        )
        for found in result["findings"]:
            where = f" line {found['line']}" if found["line"] else ""
            self.stdout.write(
                f"  {found['severity']} {found['edit']}{where}: {found['sentence']} {found['fix']}"
            )
        for mended in result["repairs"]:
            self.stdout.write(f"  repaired {mended['field']}")

    def _file(self, path: Path) -> list[dict[str, Any]]:
        try:
            if path.stat().st_size > MOST_BYTES:
                raise CommandError("The file is too large.")
            payload = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
        answer = scrub_payload(payload, reference_of_payload(payload), today=office_day())
        if answer.get("errors"):
            raise CommandError("; ".join(f"{e['field']}: {e['message']}" for e in answer["errors"]))
        return list(answer["claims"])

    def _claim(self, number: str, code: str | None) -> list[dict[str, Any]]:
        organizations = (
            Organization.objects.filter(code=code) if code else Organization.objects.all()
        )
        with scope(Actor.system("scrub command", organizations.values_list("id", flat=True))):
            ids = list(Claim.objects.filter(number=number).values_list("id", flat=True)[:2])
            if not ids:
                raise CommandError(f"There is no claim {number}.")
            if len(ids) > 1:
                raise CommandError(
                    f"Several organizations have a claim {number}; name one with --organization."
                )
            sheets = load_sheets(ids)
            findings = scrub((s.facts for s in sheets), load_reference(sheets), as_of=office_day())
            return [
                {
                    "claim_id": s.facts.claim_id,
                    "passes": not any(f.blocks for f in found),
                    "findings": [f.as_dict() for f in found],
                    "repairs": [r.as_dict() for r in s.repairs],
                }
                for s, found in zip(sheets, findings, strict=True)
            ]
