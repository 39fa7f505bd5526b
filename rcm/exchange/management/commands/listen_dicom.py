"""DICOM Modality Performed Procedure Step, as a process of its own with a memory limit."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections, connection

from rcm.exchange import mpps
from rcm.exchange.receive import known_callers, receive_mpps

MEMORY_BYTES = 1024 * 1024 * 1024
REMEMBERED_SECONDS = 5.0


class Callers:
    """The AE titles that may call, remembered for a moment; none when the database does not
    answer.
    """

    def __init__(self) -> None:
        self._asked, self._titles = 0.0, list[str]()

    def __call__(self) -> list[str]:
        if time.monotonic() - self._asked > REMEMBERED_SECONDS:
            close_old_connections()
            try:
                self._titles, self._asked = sorted(known_callers()), time.monotonic()
            except Exception:
                self._titles = []
            finally:
                connection.close()
        return self._titles


def store(dataset: bytes, **facts: Any) -> int:
    """One message, in the thread of its association, which ends with the association: so does its
    database connection.
    """
    close_old_connections()
    try:
        return receive_mpps(dataset, **facts)
    finally:
        connection.close()


class Command(BaseCommand):
    help = (
        "Listen for DICOM MPPS (N-CREATE, N-SET) and C-ECHO; store each message before it is"
        " answered."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.DICOM_HOST)
        parser.add_argument("--port", type=int, default=settings.DICOM_PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(
            resource.RLIMIT_DATA,
            (MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard), hard),
        )
        limits = mpps.Limits()
        server = mpps.start_provider(settings.DICOM_AE_TITLE, Callers(), store, limits)
        guard = mpps.Guard(server.socket.getsockname()[1], limits)

        def announce(port: int) -> None:
            self.stdout.write(f"DICOM listens on {options['host']}:{port}")
            self.stdout.flush()

        async def main() -> None:
            task = asyncio.create_task(
                guard.serve(options["host"], options["port"], ready=announce)
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await task

        try:
            asyncio.run(main())
        finally:
            server.shutdown()
