from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.pricing.services import quote


class Command(BaseCommand):
    help = (
        "Say what a payer is expected to pay for one session, with the derivation. A line is"
        " CODE[-MOD[-MOD]][xUNITS], such as 70553 72148-26 A9585x80; or give --file with a quote in"
        " JSON."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("lines", nargs="*", metavar="LINE")
        parser.add_argument("--file", type=Path, help="a quote in JSON; - reads standard input")
        parser.add_argument(
            "--date", type=date.fromisoformat, default=None, help="date of service (default today)"
        )
        parser.add_argument("--pos", default="11")
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--zip", help="five digits, or nine where a ZIP lies in two localities")
        where.add_argument("--locality", help='such as 06102-16, or "national"')
        where.add_argument("--site", help="code of one of our sites")
        parser.add_argument(
            "--org", default="", help="code of the organization whose contracts and prices are used"
        )
        parser.add_argument(
            "--payer", default="", help="payer code, EDI id or name; without it Medicare prices"
        )
        parser.add_argument("--plan", default="")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        payload = self._payload(options)
        found = (
            Organization.objects.filter(code=options["org"])
            if options["org"]
            else Organization.objects.all()
        )
        organizations = list(found.values_list("id", flat=True))
        if options["org"] and not organizations:
            raise CommandError(f"There is no organization {options['org']}.")
        actor = Actor.system("price command", organizations)
        with scope(actor):
            answer = quote(payload=payload, actor=actor)
        if options["json"]:
            self.stdout.write(json.dumps(answer, indent=1))
        elif not answer["errors"]:
            self._print(answer)
        if answer["errors"]:
            if not options["json"]:
                for error in answer["errors"]:
                    self.stderr.write(f"{error['field']}: {error['message']}")
            sys.exit(2)

    def _payload(self, options: dict[str, Any]) -> Any:
        if options["file"]:
            text = sys.stdin.read() if str(options["file"]) == "-" else options["file"].read_text()
            try:
                return json.loads(text)
            except ValueError as error:
                raise CommandError(f"The quote is not JSON: {error}.") from None
        if not options["lines"]:
            raise CommandError("Give at least one line, such as 70553, or --file.")
        payload: dict[str, Any] = {
            "date_of_service": ((options["date"] or office_day()).isoformat()),
            "payer": options["payer"],
            "plan": options["plan"],
            "lines": [_line(text) for text in options["lines"]],
        }
        if options["site"]:
            payload["site"] = options["site"]
        else:
            payload["pos"] = options["pos"]
            payload["zip" if options["zip"] else "locality"] = (
                options["zip"] or options["locality"] or "national"
            )
        return payload

    def _print(self, answer: dict[str, Any]) -> None:
        self.stdout.write(
            f"{answer['payer']}, {answer['date_of_service']}, locality {answer['locality']}"
        )
        for line in answer["lines"]:
            name = "-".join([line["code"], *line["modifiers"]])
            self.stdout.write(
                f"\n{name} x{line['units']}: {line['allowed'] or line['status']}  {line['reason']}".rstrip()
            )
            for step in line["derivation"]:
                self.stdout.write(f"    {step['text']}  [{step['rule']}]")
            for note in line["notes"]:
                self.stdout.write(f"    note: {note}")
        totals = answer["totals"]
        self.stdout.write(
            f"\nallowed {totals['allowed'] or 'not known'}, patient"
            f" {totals['patient_share'] or 'not known'}, payer"
            f" {totals['payer_share'] or 'not known'}"
        )


def _line(text: str) -> dict[str, Any]:
    form, _, units = text.partition("x")
    code, *modifiers = form.split("-")
    if units and not units.isdecimal():
        raise CommandError(f"{text}: units are a number, such as A9585x80.")
    return {"code": code.upper(), "modifiers": modifiers, "units": int(units or 1)}
