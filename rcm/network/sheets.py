"""A sheet of network and enrollment spans: one row says how one site, reader or the organization
stands with one payer from a day on. Every fault of a row is told with its column.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rcm.accounts.models import Organization, Site
from rcm.network.models import NetworkSpan, Party, Standing
from rcm.network.spans import Piece
from rcm.pricing.services import sheet_cells
from rcm.reference.facts import PayerBook, payer_book
from rcm.reference.loaders import Cells, Layout, RowError
from rcm.reference.models import Payer, PayerKind, Plan

T = TypeVar("T")
COLUMNS = ("site", "npi", "payer", "plan", "status", "effective_from", "effective_to", "note")
NEEDS = "payer, status, effective_from, and site or npi"

STATUS = {
    "in": Standing.IN,
    "in network": Standing.IN,
    "participating": Standing.IN,
    "par": Standing.IN,
    "active": Standing.IN,
    "enrolled": Standing.IN,
    "out": Standing.OUT,
    "out of network": Standing.OUT,
    "non par": Standing.OUT,
    "nonparticipating": Standing.OUT,
    "pending": Standing.PENDING,
    "in process": Standing.PENDING,
    "none": Standing.NONE,
    "not enrolled": Standing.NONE,
    "denied": Standing.NONE,
    "terminated": Standing.NONE,
}
"""What payers and credentialing sheets call a standing."""


def _nothing(cells: Cells, options: object, context: object) -> tuple[()]:
    return ()


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "network spans",
        _nothing,
        {
            "site": r"site( code)?|location( code)?",
            "npi": r"npi|reader( npi)?|provider( npi)?|rendering( npi)?",
            "payer": r"payer( code| id| name)?|health plan|insurer",
            "plan": r"plan( code)?|product|network name",
            "status": r"status|network( status)?|standing|enrollment( status)?",
            "effective_from": r"effective from|effective( date)?|eff( date)?|start( date)?|from",
            "effective_to": r"effective to|end( date)?|term(ination)?( date)?|thru|through|to",
            "note": r"note|notes|comment|comments|remark",
        },
        frozenset({"site", "npi", "plan", "effective_to", "note"}),
    ),
)


@dataclass(frozen=True, slots=True)
class Named:
    """The party and payer of a row."""

    kind: str
    site_id: int | None
    npi: str
    payer_id: int
    plan_id: int | None


@dataclass(frozen=True, slots=True)
class Read:
    """One row: what it says, or its faults."""

    line: int
    label: str
    named: Named | None
    piece: Piece | None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _World:
    organization: Organization
    sites: Mapping[str, Site]
    readers: Mapping[str, str]
    book: PayerBook
    plans: Mapping[int, Mapping[str, Plan]]


class _Row:
    """One row being read: each column for itself, so that every fault is told at once."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.faults: list[str] = []

    def take(self, column: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except RowError as error:
            words = str(error)
            named = words.startswith(column)
            self.faults.append(words if named else f"{column}: {words}")
            return None


def read_sheet(path: Path, organization: Organization, readers: Mapping[str, str]) -> list[Read]:
    """Every row below the header. Raises `Refused` when the file cannot be used at all."""
    plans: dict[int, dict[str, Plan]] = defaultdict(dict)
    for plan in Plan.objects.all():
        plans[plan.payer_id][plan.code.casefold()] = plan
        plans[plan.payer_id].setdefault(plan.name.casefold(), plan)
    sites = Site.objects.filter(organization=organization)
    world = _World(
        organization,
        {name.casefold(): s for s in sites for name in (s.name, s.code)},
        readers,
        payer_book(),
        plans,
    )
    found: list[Read] = []
    said: dict[Named, list[tuple[int, Piece]]] = defaultdict(list)
    for cells in sheet_cells(path, LAYOUTS, NEEDS):
        row = _read(cells, world)
        named, piece = row.named, row.piece
        if named is not None and piece is not None:
            fault = _against(said[named], piece)
            if fault:
                row = Read(row.line, row.label, None, None, (fault,))
            else:
                said[named].append((row.line, piece))
        found.append(row)
    return found


def _read(cells: Cells, world: _World) -> Read:
    row = _Row(cells)
    party = row.take("site" if cells.text("site") else "npi", lambda: _party(cells, world))
    payer = row.take("payer", lambda: _payer(cells, world.book))
    plan = row.take("plan", lambda: _plan(cells, payer, world))
    status = row.take("status", lambda: _status(cells))
    first = row.take("effective_from", lambda: _first(cells))
    last = row.take("effective_to", lambda: cells.date("effective_to"))
    note = row.take("note", lambda: cells.text("note", 200)) or ""
    if first and last and last < first:
        row.faults.append(
            f"effective_to {last:%m/%d/%Y} is before effective_from {first:%m/%d/%Y}."
        )
    label = " ".join(filter(None, (cells.text("site") or cells.text("npi"), cells.text("payer"))))
    if row.faults or party is None or payer is None or status is None or first is None:
        return Read(cells.line, label, None, None, tuple(row.faults))
    kind, site_id, npi = party
    return Read(
        cells.line,
        label,
        Named(kind, site_id, npi, payer.pk, plan.pk if plan else None),
        Piece(status, first, last, note),
    )


def _party(cells: Cells, world: _World) -> tuple[str, int | None, str]:
    site, npi = cells.text("site"), cells.text("npi")
    if site:
        row = world.sites.get(site.casefold())
        if row is None:
            raise RowError(f"“{site[:30]}” is no site of {world.organization.name}.")
        return Party.SITE, row.pk, ""
    if not npi:
        raise RowError("is blank, and so is site: one of the two says whose standing it is.")
    if npi == world.organization.npi:
        return Party.ORGANIZATION, None, npi
    if npi not in world.readers:
        raise RowError(
            f"“{npi[:12]}” is neither {world.organization.name} nor one of its readers. Add the"
            " reader first."
        )
    return Party.READER, None, npi


def _payer(cells: Cells, book: PayerBook) -> Payer:
    text = cells.text("payer", required=True)
    payer = book.find(code=text, edi_id=text, name=text)
    if payer is None:
        raise RowError(f"“{text[:30]}” is no payer's code, EDI id or name.")
    if payer.kind == PayerKind.SELF_PAY:
        raise RowError(f"{payer.name} has no network.")
    return payer


def _plan(cells: Cells, payer: Payer | None, world: _World) -> Plan | None:
    text = cells.text("plan")
    if not text or payer is None:
        return None
    plan = world.plans.get(payer.pk, {}).get(text.casefold())
    if plan is None:
        raise RowError(f"“{text[:30]}” is no plan of {payer.name}.")
    return plan


def _status(cells: Cells) -> Standing:
    text = cells.text("status", required=True)
    found = STATUS.get(" ".join(text.casefold().replace("-", " ").replace("_", " ").split()))
    if found is None:
        raise RowError(
            f"“{text[:20]}” is none of: in network, out of network, pending, not enrolled."
        )
    return found


def _first(cells: Cells) -> dt.date:
    cells.text("effective_from", required=True)
    day = cells.date("effective_from")
    if day is None:
        raise RowError(f"“{cells.text('effective_from')[:20]}” is not a day.")
    return day


def _against(said: Iterable[tuple[int, Piece]], piece: Piece) -> str:
    """Two rows that say something about the same days: the first one counts. A row without a last
    day gives way to a later one.
    """
    for line, other in said:
        if other.first == piece.first:
            return f"effective_from: line {line} begins on the same day; the first one was kept."
        earlier, later = (other, piece) if other.first < piece.first else (piece, other)
        if earlier.last is not None and earlier.last >= later.first:
            return f"effective_from: line {line} holds on the same days."
    return ""


def written(rows: Iterable[NetworkSpan]) -> Iterator[Sequence[Any]]:
    """Spans as rows of a sheet that can be loaded again."""
    for row in rows:
        yield (
            row.site.code if row.site else "",
            row.npi,
            row.payer.code,
            row.plan.code if row.plan else "",
            Standing(row.status).label,
            row.effective_from.isoformat(),
            row.effective_to.isoformat() if row.effective_to else "",
            row.note,
        )
