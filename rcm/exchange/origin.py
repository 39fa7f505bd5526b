"""Where a message came from, for the listener that hears it and the store that judges it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message came from: the network address, and the name in the client certificate."""

    address: str = ""
    certificate: str = ""
