"""Run the simulated payers and clearinghouse at SIMULATOR_URL."""

from __future__ import annotations

import signal
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from rcm.simulator.connections import connections_named
from rcm.simulator.server import serve


class Command(BaseCommand):
    help = "Answer 270, 276, 278 and 837 over HTTP like payers do."

    def handle(self, *args: Any, **options: Any) -> None:
        address = urlsplit(settings.SIMULATOR_URL)
        try:
            server = serve(address.hostname or "127.0.0.1", address.port or 8010)
        except OSError as error:
            raise CommandError(
                f"The simulator cannot listen on {address.netloc}: {error.strerror}. Set"
                " SIMULATOR_PORT to a free port."
            ) from None
        named = connections_named()
        if named:
            self.stdout.write(f"{named} connections now know the simulator by its name")
        signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        self.stdout.write(f"Payers answer on {address.netloc}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.server_close()
