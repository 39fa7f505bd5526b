"""Let go what a restore holds back. Only who has the servers' shell can: no screen gives it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.exchange import hold
from rcm.exchange.models import Direction, Interchange, InterchangeStatus


class Command(BaseCommand):
    help = "After a restore: say what waits to be sent, and let everything go again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--by", default="", help="who lets it go")
        parser.add_argument("--reason", default="")
        parser.add_argument("--check", action="store_true", help="only say what waits")

    def handle(self, *args: Any, **options: Any) -> None:
        everywhere = Actor.system("release", Organization.objects.values_list("pk", flat=True))
        with scope(everywhere):
            waits = Interchange.objects.filter(
                direction=Direction.OUT,
                status__in=[InterchangeStatus.STORED, InterchangeStatus.SENDING],
            ).exclude(connection=None)
            kinds = sorted(waits.values_list("kind", flat=True))
        named = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        standing = hold.held()
        held = f"Held since {standing.at:%Y-%m-%d %H:%M} UTC: {standing}." if standing else ""
        self.stdout.write(f"{held or 'Nothing is held.'} Waiting to be sent: {named or 'nothing'}.")
        if options["check"]:
            return
        try:
            hold.release(by=options["by"], reason=options["reason"])
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write("Sending goes on.")
