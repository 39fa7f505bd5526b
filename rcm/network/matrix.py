"""The network matrix as a page shows it: some rows, some payers, one day."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.urls import reverse

from rcm.accounts.models import Organization
from rcm.network.models import NetworkSpan, Party, Standing
from rcm.network.parties import Row, rows_of
from rcm.reference.facts import in_force
from rcm.reference.models import Payer, PayerKind

PAYERS, ROWS = 8, 40
"""Columns and rows of one page: what 1280 points of width and two screens of height hold."""
SOON = dt.timedelta(days=60)
WORDS = {
    Standing.IN: "In",
    Standing.OUT: "Out",
    Standing.PENDING: "Pending",
    Standing.NONE: "Not enrolled",
}


@dataclass(frozen=True, slots=True)
class Square:
    """One cell: its word, when it ends or began, and where it is changed."""

    url: str
    label: str
    word: str = ""
    tone: str = ""
    second: str = ""
    soon: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    row: Row
    squares: tuple[Square, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page is asked for."""

    on: dt.date
    kind: str = ""
    who: str = ""
    payer: str = ""
    status: str = ""
    page: int = 1
    below: int = 1


@dataclass(frozen=True, slots=True)
class Matrix:
    payers: Sequence[Payer]
    lines: Sequence[Line]
    payers_total: int
    rows_total: int
    first_payer: int
    first_row: int

    @property
    def last_payer(self) -> int:
        return self.first_payer + len(self.payers) - 1

    @property
    def page(self) -> int:
        return max(self.first_payer - 1, 0) // PAYERS + 1

    @property
    def below(self) -> int:
        return (self.first_row - 1) // ROWS + 1

    @property
    def last_row(self) -> int:
        return self.first_row + len(self.lines) - 1


def payers_with_network(text: str = "") -> QuerySet[Payer]:
    """The payers that can have a network, by name."""
    rows = Payer.objects.filter(active=True).exclude(kind=PayerKind.SELF_PAY)
    if text:
        rows = rows.filter(Q(name__icontains=text) | Q(code__iexact=text) | Q(edi_id__iexact=text))
    return rows.order_by("name", "pk")


def standing_rows(organization: Organization, on: dt.date) -> QuerySet[NetworkSpan]:
    """The spans of an organization that hold on the day."""
    return NetworkSpan.objects.filter(
        in_force(on), organization=organization, withdrawn_at__isnull=True
    )


def cell_url(organization: Organization, row: Row, payer: Payer, *, name: str = "cell") -> str:
    asked = {
        "organization": organization.public_id,
        "kind": row.kind,
        "who": row.key,
        "payer": payer.code,
    }
    return f"{reverse(f'network:{name}')}?{urlencode(asked)}"


def rows_asked(organization: Organization, asked: Asked, sites: frozenset[int]) -> list[Row]:
    text = asked.who.casefold()
    return [
        row
        for row in rows_of(organization, sites=sites)
        if asked.kind in ("", row.kind) and (text in row.name.casefold() or text == row.npi)
    ]


def matrix(organization: Organization, asked: Asked, *, sites: frozenset[int]) -> Matrix:
    """One page of the matrix. A filter by status keeps the rows and payers that have it on the
    day. A fixed number of queries.
    """
    rows = rows_asked(organization, asked, sites)
    payers = payers_with_network(asked.payer)
    if asked.status:
        holding = standing_rows(organization, asked.on).filter(status=asked.status)
        held = set(holding.values_list("kind", "site_id", "npi"))
        rows = [r for r in rows if (r.kind, r.site.pk if r.site else None, r.spans[2]) in held]
        payers = payers.filter(pk__in=holding.values("payer"))
    total = payers.count()
    first, below = _start(asked.page, PAYERS, total), _start(asked.below, ROWS, len(rows))
    shown = list(payers[first : first + PAYERS])
    part = rows[below : below + ROWS]
    spans: dict[tuple[str, int, str, int], list[NetworkSpan]] = defaultdict(list)
    for span in standing_rows(organization, asked.on).filter(payer__in=shown):
        spans[(span.kind, span.site_id or 0, span.npi, span.payer_id)].append(span)
    lines = [
        Line(
            row,
            tuple(
                _square(organization, row, payer, spans[(*row.spans, payer.pk)], asked.on)
                for payer in shown
            ),
        )
        for row in part
    ]
    return Matrix(shown, lines, total, len(rows), first + 1 if shown else 0, below + 1)


def _start(page: int, size: int, total: int) -> int:
    last = max((total - 1) // size, 0)
    return min(max(page - 1, 0), last) * size


def _square(
    organization: Organization, row: Row, payer: Payer, spans: Sequence[NetworkSpan], on: dt.date
) -> Square:
    url = cell_url(organization, row, payer)
    every = next((s for s in spans if s.plan_id is None), None)
    plans = [s for s in spans if s.plan_id is not None]
    more = f" +{len(plans)} {'plan' if len(plans) == 1 else 'plans'}" if plans else ""
    who = f"{row.name}, {payer.name}"
    if every is None:
        return Square(url, f"{who}: not known{more}", "", "", more.strip())
    word, tone = WORDS[Standing(every.status)], every.tone
    until = every.effective_to
    since = f"{every.effective_from:%m/%d/%y}"
    days = f"to {until:%m/%d/%y}" if until else f"from {since}"
    label = f"{who}: {Standing(every.status).label} {days}{more}"
    second = days if until else since
    soon = until is not None and until - on <= SOON
    return Square(url, label, word, tone, f"{second}{more}", soon)


KINDS = [("", "Sites and readers"), *((k.value, f"{k.label}s") for k in (Party.SITE, Party.READER))]
