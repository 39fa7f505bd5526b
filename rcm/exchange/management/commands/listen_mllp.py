"""HL7 v2 over MLLP, as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections

from rcm.exchange import mllp
from rcm.exchange.origin import Origin
from rcm.exchange.receive import receive_hl7


def store(content: bytes, fault: str, origin: Origin) -> bytes:
    """One message, in a thread of the listener."""
    close_old_connections()
    return receive_hl7(content, framing=fault, origin=origin)


class Command(BaseCommand):
    help = "Listen for HL7 v2 messages over MLLP; store each before it is acknowledged."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.MLLP_HOST)
        parser.add_argument("--port", type=int, default=settings.MLLP_PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(
            resource.RLIMIT_NOFILE,
            (
                min(hard, max(soft, 8192)) if hard != resource.RLIM_INFINITY else max(soft, 8192),
                hard,
            ),
        )
        tls = None
        if settings.MLLP_TLS_CERTIFICATE:
            tls = mllp.tls_context(
                settings.MLLP_TLS_CERTIFICATE,
                settings.MLLP_TLS_KEY,
                settings.MLLP_TLS_CLIENT_AUTHORITY,
            )
        limits = mllp.Limits(
            message_bytes=settings.MLLP_MAX_BYTES, total_bytes=3 * settings.MLLP_MAX_BYTES
        )
        listener = mllp.Listener(store, limits=limits)

        def announce(port: int) -> None:
            self.stdout.write(f"MLLP listens on {options['host']}:{port}")
            self.stdout.flush()

        async def main() -> None:
            task = asyncio.create_task(
                listener.serve(options["host"], options["port"], tls=tls, ready=announce)
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await task

        asyncio.run(main())
