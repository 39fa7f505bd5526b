"""Build the living demo into an empty database (rcm.demo)."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rcm.accounts.problems import Refused


class Command(BaseCommand):
    help = (
        "Two imaging groups, twenty people, six months of exams and money, made by the product's"
        " own services."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--exams", type=int, default=2000)
        parser.add_argument("--months", type=float, default=6)
        parser.add_argument(
            "--state", type=Path, help="Build the newest days only, and keep here how to go on"
        )
        parser.add_argument(
            "--grow", type=Path, metavar="STATE", help="Go on with the months before them"
        )
        parser.add_argument(
            "--one-process", action="store_true", help="One group after the other, for profiling"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # the demo knows every phase, this room none: it is called by name
        demo = import_module("rcm.demo.build")
        together = not options["one_process"]
        try:
            if options["grow"]:
                demo.main_grow(options["grow"], together)
            else:
                size = demo.Size(options["exams"], options["months"])
                demo.main(size, together, options["state"])
        except Refused as refusal:
            raise CommandError(f"{refusal} {refusal.fix}") from refusal
