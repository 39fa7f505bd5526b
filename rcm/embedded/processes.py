"""The processes of the running product: one table for `make run`, docker-compose.yml and the tests
of both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from rcm.embedded.errors import EmbeddedError
from rcm.embedded.home import port_is_free

WORKER = (
    "celery",
    "--quiet",
    "-A",
    "rcm",
    "worker",
    "--loglevel",
    "warning",
    "--without-gossip",
    "--without-mingle",
)

COMMANDS: Mapping[str, tuple[str, ...]] = {
    # --preload loads the product once and forks it; two processes of four threads serve one office
    # on two cores.
    "web": (
        "gunicorn",
        "rcm.wsgi:application",
        "--preload",
        "--workers",
        "2",
        "--threads",
        "4",
        "--log-level",
        "warning",
    ),
    # One queue a worker, so that ten thousand batch jobs never stand before an eligibility check.
    "realtime": (*WORKER, "-Q", "realtime", "-n", "realtime@%h", "-c", "2"),
    "batch": (*WORKER, "-Q", "batch", "-n", "batch@%h", "-c", "2"),
    "posting": (*WORKER, "-Q", "posting", "-n", "posting@%h", "-c", "2"),
    "beat": ("celery", "--quiet", "-A", "rcm", "beat", "--loglevel", "warning", "--pidfile="),
    "mllp": ("python", "manage.py", "listen_mllp"),
    "dicom": ("python", "manage.py", "listen_dicom"),
    "simulator": ("python", "manage.py", "run_simulator"),
}


@dataclass(frozen=True, slots=True)
class Ports:
    """The loopback ports of a running product."""

    web: int
    simulator: int
    mllp: int
    dicom: int

    def as_environment(self) -> dict[str, str]:
        """Under the names that settings and gunicorn read."""
        return {
            "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{self.web}",
            "SIMULATOR_URL": f"http://127.0.0.1:{self.simulator}",
            "MLLP_PORT": str(self.mllp),
            "DICOM_PORT": str(self.dicom),
        }


DEFAULT_PORTS = Ports(web=8000, simulator=8010, mllp=2575, dicom=11112)


def free_ports() -> Ports:
    """The usual ports, each replaced by the next free one; WEB_PORT, SIMULATOR_PORT, MLLP_PORT and
    DICOM_PORT are binding.
    """
    taken: set[int] = set()

    def choose(name: str, usual: int) -> int:
        variable = f"{name.upper()}_PORT"
        asked = os.environ.get(variable)
        if asked and not (asked.isdigit() and 0 < int(asked) < 65536):
            raise EmbeddedError(f"{variable}={asked} is not a port number.")
        candidates = [int(asked)] if asked else range(usual, usual + 200)
        for port in candidates:
            if port not in taken and port_is_free(port):
                taken.add(port)
                return port
        if asked:
            raise EmbeddedError(
                f"Port {asked} ({variable}) is in use by another program. Free it or name another"
                " port."
            )
        raise EmbeddedError(
            f"No port from {usual} to {usual + 199} is free for {name}. Name one with {variable}."
        )

    return Ports(
        web=choose("web", DEFAULT_PORTS.web),
        simulator=choose("simulator", DEFAULT_PORTS.simulator),
        mllp=choose("mllp", DEFAULT_PORTS.mllp),
        dicom=choose("dicom", DEFAULT_PORTS.dicom),
    )
