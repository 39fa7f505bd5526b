"""Picking up what a clearinghouse has for us: fetch one file, store it, say that it is stored,
next.

A file is confirmed only after its bytes are committed; a repeat of the same file is the same
interchange. `config["mailbox"]` of an HTTP connection is the address.
"""

from __future__ import annotations

from datetime import date, datetime

import httpx

from rcm.accounts.actor import Actor
from rcm.accounts.scope import scope
from rcm.exchange import hold
from rcm.exchange.detect import detect
from rcm.exchange.models import Connection
from rcm.exchange.services import store_inbound
from rcm.exchange.transport import SECONDS, called, check_url, tls

MOST_FILES = 200


def pick_up(
    connection: Connection, *, actor: Actor, as_of: date | None = None, at: datetime | None = None
) -> list[int]:
    """Fetch and store every waiting file; returns the interchange ids in order. Call outside a
    transaction.
    """
    address = called(connection.config.get("mailbox", ""))
    if not address or hold.held() is not None:
        return []
    check_url(address)
    stored: list[int] = []
    with httpx.Client(
        timeout=SECONDS * 4, follow_redirects=False, trust_env=False, verify=tls()
    ) as client:
        for _ in range(MOST_FILES):
            response = client.get(address, params={"as_of": as_of.isoformat()} if as_of else None)
            if response.status_code != 200 or not response.content:
                break
            found = detect(response.content)
            with scope(actor):
                row, _new = store_inbound(
                    organization_id=connection.organization_id,
                    kind=found.kind,
                    content=response.content,
                    connection=connection,
                    control_number=found.control_number,
                    at=at,
                    actor=actor,
                )
            client.post(f"{address}/{response.headers['X-Mail-Id']}/taken").raise_for_status()
            stored.append(row.pk)
    return stored
