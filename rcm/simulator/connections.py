"""Connections of an older demo to the simulator: they kept its port of the day they were made."""

from __future__ import annotations

import re

from django.conf import settings

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.exchange.models import Connection, ConnectionKind
from rcm.exchange.transport import SIMULATOR

STORED = re.compile(r"^http://(127\.0\.0\.1|localhost):\d+(?=/x12/)")


def connections_named() -> int:
    """Give connections that keep a port of this machine's simulator its name instead. Only in a
    demonstration. Returns how many were changed.
    """
    if not settings.DEMO:
        return 0
    everyone = Actor.system("demo", Organization.objects.values_list("id", flat=True))
    changed = 0
    with scope(everyone):
        for row in Connection.objects.filter(kind=ConnectionKind.HTTP):
            before = row.url, row.config.get("mailbox", "")
            after = tuple(STORED.sub(f"http://{SIMULATOR}", text) for text in before)
            if before == after:
                continue
            row.url = after[0]
            if after[1]:
                row.config = {**row.config, "mailbox": after[1]}
            row.save(update_fields=["url", "config"])
            changed += 1
    return changed
