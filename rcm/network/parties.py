"""Who has a row in the network matrix. Readers belong to a later phase, which registers them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rcm.accounts.models import Organization, Site
from rcm.network.models import Party

Readers = Callable[[int], Mapping[str, str]]
_readers: list[Readers] = []


@dataclass(frozen=True, slots=True)
class Row:
    """One party of an organization: a site by its row, an organization or a reader by NPI."""

    kind: Party
    name: str
    npi: str
    site: Site | None = None
    second: str = ""

    @property
    def key(self) -> str:
        """How an address names it."""
        return str(self.site.public_id) if self.site is not None else self.npi

    @property
    def spans(self) -> tuple[str, int, str]:
        """How its spans name it: kind, site, NPI."""
        if self.site is not None:
            return (self.kind, self.site.pk, "")
        return (self.kind, 0, self.npi)


def register_readers(readers: Readers) -> None:
    """`readers(organization_id)` answers NPI → name of those who read for it."""
    if readers not in _readers:
        _readers.append(readers)


def readers_of(organization_id: int) -> dict[str, str]:
    return {npi: name for ask in _readers for npi, name in ask(organization_id).items()}


def rows_of(organization: Organization, *, sites: frozenset[int] = frozenset()) -> list[Row]:
    """The organization, its sites (only some, where a person works at some) and its readers."""
    places = Site.objects.filter(organization=organization).order_by("name")
    if sites:
        places = places.filter(pk__in=sites)
    return [
        Row(Party.ORGANIZATION, organization.name, organization.npi),
        *(
            Row(Party.SITE, site.name, site.npi, site, f"{site.city} {site.state}".strip())
            for site in places
        ),
        *(
            Row(Party.READER, name, npi)
            for npi, name in sorted(readers_of(organization.pk).items(), key=lambda r: r[1])
        ),
    ]
