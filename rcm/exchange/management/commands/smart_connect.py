from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.exchange import smart
from rcm.exchange.models import Connection, ConnectionKind


class Command(BaseCommand):
    help = (
        "Set up a payer's FHIR prior-authorization service for an organization, with a fresh signing"
        " key; prints the public key to register with the payer."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="Code of the organization")
        parser.add_argument("url", help="Base address of the FHIR service")
        parser.add_argument("token_url", help="Address of its token endpoint")
        parser.add_argument("client_id", help="As the payer registered us")
        parser.add_argument("--payers", nargs="*", default=[], help="Our payer codes; none: all")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization.objects.filter(code=options["organization"]).first()
        if organization is None:
            raise CommandError("There is no organization with this code.")
        sealed, public = smart.new_key()
        config: dict[str, Any] = {
            "sets": ["PAS"],
            "paths": {"PAS": "/Claim/$submit", "PAS_INQUIRY": "/Claim/$inquire"},
            "smart": {
                "token_url": options["token_url"],
                "client_id": options["client_id"],
                "kid": public["kid"],
                "key": sealed,
            },
        }
        if options["payers"]:
            config["payers"] = options["payers"]
        with scope(Actor.system("set-up", [organization.pk])):
            Connection.objects.create(
                organization=organization,
                kind=ConnectionKind.HTTP,
                name=f"FHIR {options['client_id']}"[:80],
                url=options["url"],
                config=config,
            )
        self.stdout.write(json.dumps({"keys": [public]}, indent=1))
