"""Make or unmake a platform administrator. Only who has the servers' shell can: no screen gives it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rcm.accounts.models import User
from rcm.accounts.problems import Refused
from rcm.people import platform


class Command(BaseCommand):
    help = "Make a person a platform administrator (accounts and their sign-in), or unmake them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--reason", required=True)
        parser.add_argument("--revoke", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        account = User.objects.filter(email=options["email"].strip().lower()).first()
        if account is None:
            raise CommandError("Nobody signs in with this address.")
        try:
            platform.platform_role_set(
                account=account, on=not options["revoke"], reason=options["reason"]
            )
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal
        now = "no platform administrator" if options["revoke"] else "a platform administrator"
        self.stdout.write(f"{account.email} is {now} now.")
