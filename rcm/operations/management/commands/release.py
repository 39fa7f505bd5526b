"""Let go what a restore holds back. Only who has the servers' shell can: no screen gives it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.exchange import hold
from rcm.exchange.models import Direction, Interchange, InterchangeStatus
from rcm.exchange.services import mark


class Command(BaseCommand):
    help = "After a restore: say what waits to be sent, and let everything go again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--by", default="", help="who lets it go")
        parser.add_argument("--reason", default="")
        parser.add_argument("--check", action="store_true", help="only list what waits")
        parser.add_argument(
            "--sent",
            action="append",
            default=[],
            type=UUID,
            metavar="ID",
            help="the partner has this one already: it counts as sent; repeatable",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        standing = hold.held()
        self.stdout.write(
            f"Held since {standing.at:%Y-%m-%d %H:%M} UTC: {standing}."
            if standing
            else "Nothing is held."
        )
        everywhere = Actor.system("release", Organization.objects.values_list("pk", flat=True))
        with scope(everywhere):
            self._sent_already(options["sent"], everywhere)
            self._list(everywhere)
        if options["check"]:
            return
        try:
            hold.release(by=options["by"], reason=options["reason"])
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write("Sending goes on.")

    def _sent_already(self, ids: list[UUID], actor: Actor) -> None:
        found = {row.public_id: row for row in _waiting(actor).filter(public_id__in=ids)}
        if missing := set(ids) - found.keys():
            raise CommandError(f"{min(missing)} does not wait to be sent.")
        for row in found.values():
            if row.status == InterchangeStatus.STORED:
                mark(row, status=InterchangeStatus.SENDING, actor=actor)
            mark(row, status=InterchangeStatus.SENT, actor=actor)

    def _list(self, actor: Actor) -> None:
        rows = _waiting(actor).select_related("connection", "organization").order_by("id")
        self.stdout.write(f"Waiting to be sent: {len(rows)}.")
        for row in rows:
            self.stdout.write(
                f"{row.public_id}  {row.kind}  {row.control_number}  {row.organization.code} to"
                f" {row.connection.name}, {row.received_at:%Y-%m-%d %H:%M}"
            )


def _waiting(actor: Actor) -> Any:
    return (
        Interchange.objects.visible_to(actor)
        .filter(
            direction=Direction.OUT,
            status__in=[InterchangeStatus.STORED, InterchangeStatus.SENDING],
        )
        .exclude(connection=None)
        .defer("content")
    )
