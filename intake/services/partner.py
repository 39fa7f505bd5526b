"""How a transaction set of ours leaves: which connection takes it, under which envelope."""

from __future__ import annotations

from datetime import datetime

from rcm.accounts.clock import office_clock, office_day
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.exchange.models import Connection, ConnectionKind
from rcm.exchange.services import next_control_number
from rcm.reference.models import Payer
from rcm.x12 import Envelope


def connection_for(organization_id: int, kind: str, payer: Payer) -> Connection:
    """The HTTP partner that takes this set for this payer: one that names the payer, else one that
    takes all. Raises Refused without one.

    `config` of a connection may limit it: {"sets": ["270"], "payers": ["MCR"]}.
    """
    rows = Connection.objects.filter(
        organization_id=organization_id, kind=ConnectionKind.HTTP, active=True
    ).order_by("id")
    fits = [
        c
        for c in rows
        if kind in c.config.get("sets", [kind])
        and payer.code in c.config.get("payers", [payer.code])
    ]
    if not fits:
        raise Refused(
            f"No connection is set up that takes a {kind} for {payer.name}.",
            code="no_connection",
            fix="Add one under Connections, or ask by phone or portal.",
        )
    return max(fits, key=lambda c: "payers" in c.config)


def envelope_for(organization: Organization, connection: Connection, *, at: datetime) -> Envelope:
    """ISA and GS of one interchange, with a fresh control number."""
    local = office_clock().local(at)
    return Envelope(
        sender=str(connection.config.get("submitter") or organization.code),
        receiver=str(connection.config.get("receiver") or connection.sender or "CLEARINGHOUSE"),
        control=next_control_number(organization.pk, "ISA"),
        date=office_day(at),
        time=f"{local:%H%M}",
        usage=str(connection.config.get("usage", "P")),
    )
