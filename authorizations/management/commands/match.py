"""manage.py match FILE.json: the four-way match of one exam, by the loaded rules, families and
crosswalks; nothing is changed.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from authorizations import payload
from authorizations.loading import catalog, crosswalk, requirement_rules
from authorizations.matching import MatchContext
from rcm.accounts.clock import office_day

MOST_BYTES = 5_000_000


class Command(BaseCommand):
    help = (
        "Match ordered, authorized, performed and billed (the body of POST /api/v1/match). Exit"
        " status 1 when it does not pass."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file",
            type=Path,
            help='JSON: {"ordered": {…}, "authorized": {…}, "performed": {…}, "billed": {…}}',
        )
        parser.add_argument("--json", action="store_true", help="the whole answer as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            if path.stat().st_size > MOST_BYTES:
                raise CommandError(f"{path} is larger than one question can be.")
            question = json.loads(path.read_text())
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
        except ValueError:
            raise CommandError(f"{path} is not JSON.") from None
        today = office_day()
        known = catalog(today)
        answer = payload.match(
            question,
            context=MatchContext(known, crosswalk()),
            today=today,
            rules=requirement_rules(known),
        )
        if answer.get("errors"):
            raise CommandError("; ".join(f"{e['field']}: {e['message']}" for e in answer["errors"]))
        if options["json"]:
            self.stdout.write(json.dumps(answer, indent=2, default=str))
        else:
            self.stdout.write(f"{answer['code']}: {answer.get('sentence', '')}")
        if not answer.get("passes"):
            raise SystemExit(1)
