"""A real PostgreSQL and a real Redis for one checkout, run from Python wheels.

Works before Django is configured, so that settings can ask it where the servers are::

    endpoints = rcm.embedded.start(project_root)      # starts what is not running
    endpoints = rcm.embedded.endpoints(project_root)  # asks only, starts nothing
    rcm.embedded.stop(project_root)

Everything it refuses is an `EmbeddedError` whose text says what to do.
"""

from __future__ import annotations

from rcm.embedded.errors import EmbeddedError
from rcm.embedded.home import Endpoints
from rcm.embedded.server import Status, endpoints, held, start, status, stop, wipe

__all__ = [
    "EmbeddedError",
    "Endpoints",
    "Status",
    "endpoints",
    "held",
    "start",
    "status",
    "stop",
    "wipe",
]
