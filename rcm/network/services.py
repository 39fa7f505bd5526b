"""Verbs of the network: open a span, end it, withdraw it, lay a sheet over those that stand. Each
asks the right for the organization (or the site), keeps what was, and tells the phases whose gates
and claims rest on it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization, Site
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.outbox import publish
from rcm.network.models import PERSONS, NetworkSheet, NetworkSpan, Party, Standing
from rcm.network.parties import readers_of
from rcm.network.sheets import Named, Read, read_sheet
from rcm.network.spans import Kept, Laid, Piece, lay
from rcm.pricing.services import RowChange, SheetResult
from rcm.reference.models import Payer, PayerKind, Plan

CHANGED = "network.changed"


class Cell(NamedTuple):
    """One party with one payer, or with one plan of it."""

    kind: str
    site_id: int | None
    npi: str
    payer_id: int
    plan_id: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A piece that a person or a row of a sheet wants laid over one cell."""

    cell: Cell
    piece: Piece


@dataclass(frozen=True, slots=True)
class _Names:
    """What sentences call the parties and payers of an organization."""

    organization: Organization
    sites: Mapping[int, Site]
    readers: Mapping[str, str]
    payers: Mapping[int, Payer]
    plans: Mapping[int, Plan]

    def party(self, cell: Cell) -> str:
        if cell.site_id is not None:
            return self.sites[cell.site_id].name
        if cell.kind == Party.ORGANIZATION:
            return self.organization.name
        return self.readers.get(cell.npi, cell.npi)

    def whole(self, cell: Cell) -> str:
        plan = f" {self.plans[cell.plan_id].name}" if cell.plan_id else ""
        return f"{self.party(cell)} with {self.payers[cell.payer_id].name}{plan}"


# --- verbs of a person ----------------------------------------------------------------------------


@transaction.atomic
def span_open(
    *,
    organization: Organization,
    cell: Cell,
    piece: Piece,
    actor: Actor,
    seen: str | None = None,
    at: datetime | None = None,
) -> Laid:
    """Open a span; what stood on its days ends on the day before. `seen` is the cell's version that
    the person looked at. Raises `Refused`, and `Conflict` when somebody else was first.
    """
    at = at or timezone.now()
    require_edit(actor, organization.pk, [cell])
    _turn(organization.pk)
    names = _names(organization, [cell])
    _possible(cell, piece, names)
    _still(organization.pk, cell, seen)
    laid = _lay_all([Ask(cell, piece)], organization, actor=actor, at=at, names=names)[0]
    if laid.unchanged:
        raise Refused(
            f"{_words(Standing(piece.status))} is what already stands on that day.",
            code="unchanged",
            field="status",
        )
    return laid


@transaction.atomic
def span_end(
    *,
    span: NetworkSpan,
    last: dt.date,
    actor: Actor,
    seen: str | None = None,
    at: datetime | None = None,
) -> Laid:
    """Give a span its last day. One that has a last day is withdrawn and opened again with the
    other one, so that what was known stays readable.
    """
    piece = replace(_piece(span), last=last)
    if span.withdrawn_at is not None:
        raise Refused("This span was withdrawn.", code="withdrawn", status=409)
    return span_open(
        organization=span.organization,
        cell=cell_of(span),
        piece=piece,
        actor=actor,
        seen=seen,
        at=at,
    )


@transaction.atomic
def span_withdraw(
    *, span: NetworkSpan, reason: str, actor: Actor, at: datetime | None = None
) -> None:
    """Take back a span that was never true. It stays in the history with the reason."""
    at = at or timezone.now()
    cell = cell_of(span)
    require_edit(actor, span.organization_id, [cell])
    if not reason.strip():
        raise Refused("Say why the span was never true.", field="reason", code="missing")
    _turn(span.organization_id)
    live = NetworkSpan.objects.filter(pk=span.pk, withdrawn_at__isnull=True)
    if not live.update(
        withdrawn_at=at, withdrawn_by=actor.name[:120], withdrawn_reason=reason.strip()[:200]
    ):
        raise Conflict("Somebody else has withdrawn this span already.")
    names = _names(span.organization, [cell])
    sentence = f"{names.whole(cell)}: {_told(_piece(span))} withdrawn"
    record_steps(
        [Step(span.organization_id, "network.withdrawn", sentence, reason=reason.strip())],
        actor=actor,
        at=at,
    )
    _tell(span.organization_id, [cell], at)


# --- a sheet --------------------------------------------------------------------------------------


@dataclass(slots=True)
class SpanSheet(SheetResult):
    """A sheet read against what stands; `before` says when the same bytes were loaded already."""

    before: NetworkSheet | None = None
    asks: list[Ask] = field(default_factory=list)


@transaction.atomic
def sheet_load(
    *,
    organization: Organization,
    path: Path,
    actor: Actor,
    preview: bool = False,
    at: datetime | None = None,
) -> SpanSheet:
    """Lay a sheet of spans (CSV or XLSX) over those that stand; a bad row is reported by column and
    left out. The bytes are kept. The same sheet again changes nothing. `preview` writes nothing.
    Raises `Refused` when the file as a whole cannot be used.
    """
    at = at or timezone.now()
    actor.require("rules.edit", organization.pk, entire=True)
    _turn(organization.pk)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    kept = NetworkSheet.objects.filter(organization=organization, sha256=digest).first()
    result = SpanSheet(before=kept)
    read = read_sheet(path, organization, readers_of(organization.pk))
    asks = [_ask(row) for row in read if not row.faults]
    names = _names(organization, [a.cell for a in asks])
    laid = iter(
        _lay_all(asks, organization, actor=actor, at=at, names=names, dry=True) if asks else ()
    )
    for row in read:
        result.rows.append(_verdict(row, None if row.faults else next(laid), names))
    result.asks = asks
    if preview:
        return result
    if kept is None:
        kept = NetworkSheet.objects.create(
            organization=organization,
            name=path.name[:80],
            sha256=digest,
            content=content,
            loaded_by=actor.name[:120],
            loaded_at=at,
            rows=len(result.rows),
            added=result.count("added"),
            changed=result.count("changed"),
            refused=result.count("bad"),
        )
    if asks:
        _lay_all(asks, organization, actor=actor, at=at, names=names, sheet=kept)
    return result


def _ask(row: Read) -> Ask:
    assert row.named is not None
    assert row.piece is not None
    named: Named = row.named
    return Ask(Cell(named.kind, named.site_id, named.npi, named.payer_id, named.plan_id), row.piece)


def _verdict(row: Read, laid: Laid | None, names: _Names) -> RowChange:
    if laid is None:
        return RowChange(row.line, "bad", row.label, sentence=" ".join(row.faults))
    before = _told(laid.before) if laid.before else "nothing known"
    after = _told(laid.after) if laid.after else before
    label = names.whole(_ask(row).cell)
    if laid.unchanged:
        return RowChange(row.line, "unchanged", label, before=before, after=before)
    act = "changed" if laid.before is not None or laid.withdrawn else "added"
    return RowChange(
        row.line, act, label, before=before, after=after, ends=bool(laid.ends or laid.withdrawn)
    )


# --- laying in bulk -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Work:
    """What the asks of one transaction do to the table."""

    ends: dict[int, dt.date] = field(default_factory=dict)
    withdrawn: set[int] = field(default_factory=set)
    opened: list[tuple[Cell, Piece, int]] = field(default_factory=list)
    touched: list[Cell] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def _lay_all(
    asks: Sequence[Ask],
    organization: Organization,
    *,
    actor: Actor,
    at: datetime,
    names: _Names,
    sheet: NetworkSheet | None = None,
    dry: bool = False,
) -> list[Laid]:
    """Every ask in its order, each over what the ones before it left. A fixed number of queries."""
    standing = _standing(organization.pk, {a.cell for a in asks})
    work = _Work()
    fresh = 0
    found: list[Laid] = []
    for ask in asks:
        kept = standing[ask.cell]
        laid = lay([Kept(k, p) for k, p in kept.items()], ask.piece)
        found.append(laid)
        if laid.unchanged:
            continue
        work.touched.append(ask.cell)
        work.steps += _steps(organization.pk, names.whole(ask.cell), laid)
        for key, last in laid.ends:
            kept[key] = replace(kept[key], last=last)
            work.ends[key] = last
        for key in laid.withdrawn:
            del kept[key]
            work.withdrawn.add(key)
        for piece in laid.opened:
            fresh -= 1  # rows that the table does not know yet have keys below zero
            kept[fresh] = piece
            work.opened.append((ask.cell, piece, fresh))
    if not dry and work.touched:
        _write(work, organization, actor=actor, at=at, sheet=sheet)
        _tell(organization.pk, work.touched, at)
    return found


def _write(
    work: _Work,
    organization: Organization,
    *,
    actor: Actor,
    at: datetime,
    sheet: NetworkSheet | None,
) -> None:
    who = actor.name[:120]
    NetworkSpan.objects.filter(pk__in=[k for k in work.withdrawn if k > 0]).update(
        withdrawn_at=at, withdrawn_by=who, withdrawn_reason="Replaced by another span"
    )
    ended = [k for k in work.ends if k > 0 and k not in work.withdrawn]
    rows = list(NetworkSpan.objects.filter(pk__in=ended))
    for row in rows:
        row.effective_to, row.ended_by, row.ended_at = work.ends[row.pk], who, at
    NetworkSpan.objects.bulk_update(rows, ["effective_to", "ended_by", "ended_at"], batch_size=500)
    NetworkSpan.objects.bulk_create(
        (
            NetworkSpan(
                organization=organization,
                kind=cell.kind,
                site_id=cell.site_id,
                npi=cell.npi,
                payer_id=cell.payer_id,
                plan_id=cell.plan_id,
                status=piece.status,
                effective_from=piece.first,
                effective_to=work.ends.get(key, piece.last),
                note=piece.note,
                sheet=sheet,
                recorded_by=who,
                recorded_at=at,
            )
            for cell, piece, key in work.opened
            if key not in work.withdrawn
        ),
        batch_size=500,
    )
    record_steps(work.steps, actor=actor, at=at)


def _steps(organization_id: int, whole: str, laid: Laid) -> list[Step]:
    assert laid.after is not None
    verb = "network.opened" if laid.opened else "network.ended"
    was = f", was {_told(laid.before)}" if laid.before else ""
    sentence = f"{whole}: {_told(laid.after)}{was}"
    return [Step(organization_id, verb, sentence, reason=laid.after.note)]


def _tell(organization_id: int, cells: Iterable[Cell], at: datetime) -> None:
    """Wake the phases: site standings decide gates, enrollments decide claims."""
    sites: dict[int, set[int]] = defaultdict(set)
    npis: dict[int, set[str]] = defaultdict(set)
    for cell in cells:
        if cell.site_id is not None:
            sites[cell.payer_id].add(cell.site_id)
        else:
            npis[cell.payer_id].add(cell.npi)
    payload: dict[str, Any] = {
        "sites": [[payer, sorted(found)] for payer, found in sorted(sites.items())],
        "enrollments": [[payer, sorted(found)] for payer, found in sorted(npis.items())],
    }
    publish(CHANGED, organization_id=organization_id, payload=payload, due_at=at)


# --- what stands ----------------------------------------------------------------------------------


def cell_of(span: NetworkSpan) -> Cell:
    return Cell(span.kind, span.site_id, span.npi, span.payer_id, span.plan_id)


def _piece(span: NetworkSpan) -> Piece:
    return Piece(span.status, span.effective_from, span.effective_to, span.note)


def _standing(organization_id: int, cells: set[Cell]) -> dict[Cell, dict[int, Piece]]:
    """The spans that stand in these cells, by key. One query."""
    found: dict[Cell, dict[int, Piece]] = {cell: {} for cell in cells}
    rows = NetworkSpan.objects.filter(
        organization_id=organization_id,
        payer_id__in={c.payer_id for c in cells},
        withdrawn_at__isnull=True,
    )
    for row in rows.order_by("effective_from"):
        if cell_of(row) in found:
            found[cell_of(row)][row.pk] = _piece(row)
    return found


def version_of(spans: Iterable[NetworkSpan]) -> str:
    """What a person has seen of a party with a payer: it changes with every span of it."""
    told = sorted((s.pk, str(s.effective_to), str(s.withdrawn_at)) for s in spans)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def spans_of(organization_id: int, cell: Cell) -> list[NetworkSpan]:
    """Every span of a party with a payer and its plans, withdrawn ones too, newest first."""
    whose = Q(site_id=cell.site_id) if cell.site_id is not None else Q(site__isnull=True)
    rows = NetworkSpan.objects.filter(
        whose,
        organization_id=organization_id,
        kind=cell.kind,
        npi=cell.npi,
        payer_id=cell.payer_id,
    ).select_related("plan", "sheet")
    return list(rows.defer("sheet__content").order_by("-effective_from", "-pk"))


def _still(organization_id: int, cell: Cell, seen: str | None) -> None:
    if seen is not None and version_of(spans_of(organization_id, cell)) != seen:
        raise Conflict("Somebody else has changed this in the meantime. Compare, then save again.")


# --- rights and refusals --------------------------------------------------------------------------


def require_edit(actor: Actor, organization_id: int, cells: Iterable[Cell]) -> None:
    """A site's row is the site's people's; organization and readers belong to the whole."""
    asked = list(cells)
    sites = {c.site_id for c in asked if c.site_id is not None}
    if any(c.site_id is None for c in asked):
        actor.require("rules.edit", organization_id, entire=True)
    places = list(Site.objects.filter(pk__in=sites, organization_id=organization_id))
    if len(places) != len(sites):
        raise Refused("This site is not yours.", code="not_found", field="site", status=404)
    if places:
        actor.require("rules.edit", places)


def _turn(organization_id: int) -> None:
    """One change of an organization's network at a time, until commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 73))",
            [f"network {organization_id}"],
        )


def _names(organization: Organization, cells: Sequence[Cell]) -> _Names:
    return _Names(
        organization,
        Site.objects.filter(organization=organization).in_bulk(),
        readers_of(organization.pk) if any(c.kind == Party.READER for c in cells) else {},
        Payer.objects.in_bulk({c.payer_id for c in cells}),
        Plan.objects.in_bulk({c.plan_id for c in cells if c.plan_id}),
    )


def _possible(cell: Cell, piece: Piece, names: _Names) -> None:
    payer = names.payers.get(cell.payer_id)
    if payer is None or payer.kind == PayerKind.SELF_PAY:
        raise Refused("Choose a payer that has a network.", code="payer", field="payer")
    if cell.plan_id and names.plans[cell.plan_id].payer_id != payer.pk:
        raise Refused("The plan belongs to another payer.", code="plan", field="plan")
    if cell.kind in PERSONS and cell.npi not in {names.organization.npi, *names.readers}:
        raise Refused(
            "This NPI is neither the organization's nor one of its readers'.",
            code="npi",
            field="npi",
        )
    if piece.last is not None and piece.last < piece.first:
        raise Refused("The span ends before it begins.", code="dates", field="effective_to")


# --- words ----------------------------------------------------------------------------------------


def _words(status: str) -> str:
    return str(Standing(status).label)


def _told(piece: Piece) -> str:
    """A piece as its sentence names it."""
    until = f" to {piece.last:%m/%d/%Y}" if piece.last else ""
    return f"{_words(piece.status)} from {piece.first:%m/%d/%Y}{until}"
