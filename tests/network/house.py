"""Short words for the tests of the network: who stands how with which payer."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from rcm.accounts.scope import scope
from rcm.network import services
from rcm.network.models import NetworkSpan, Party, Standing
from rcm.network.services import Cell
from rcm.network.spans import Laid, Piece
from rcm.reference.models import Payer

JAN, JUN = dt.date(2026, 1, 1), dt.date(2026, 6, 1)
IVAN, RITA = "1801889012", "1245319599"


@dataclass
class House:
    cast: Any
    payer: Payer
    now: dt.datetime

    def site(self, site: Any = None, payer: Payer | None = None) -> Cell:
        return Cell(Party.SITE, (site or self.cast.north).pk, "", (payer or self.payer).pk)

    def reader(self, npi: str = IVAN, payer: Payer | None = None) -> Cell:
        return Cell(Party.READER, None, npi, (payer or self.payer).pk)

    def biller(self, payer: Payer | None = None) -> Cell:
        return Cell(Party.ORGANIZATION, None, self.cast.a.npi, (payer or self.payer).pk)

    def open(
        self,
        cell: Cell,
        status: str = Standing.IN,
        first: dt.date = JAN,
        last: dt.date | None = None,
        *,
        who: str = "mia",
        note: str = "",
        **more: Any,
    ) -> Laid:
        return services.span_open(
            organization=self.cast.a,
            cell=cell,
            piece=Piece(status, first, last, note),
            actor=self.cast.actor(who),
            at=more.pop("at", self.now),
            **more,
        )

    def told(self, cell: Cell) -> list[tuple[str, str, str]]:
        """The spans that stand in a cell, oldest first."""
        rows = NetworkSpan.objects.filter(
            organization=self.cast.a,
            kind=cell.kind,
            site_id=cell.site_id,
            npi=cell.npi,
            payer_id=cell.payer_id,
            withdrawn_at__isnull=True,
        ).order_by("effective_from")
        return [
            (r.status, r.effective_from.isoformat(), str(r.effective_to or "open")) for r in rows
        ]

    def scope(self) -> Any:
        return scope(self.cast.system)
