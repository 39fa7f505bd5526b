"""The actor: who does something, on whose rows, and with which right in which organization.

Every service takes an actor; nothing happens anonymously. A right belongs to a place: an
organization, or one of its sites. So it is asked for the row that is touched
(`actor.require("denial.work", denial)`), and roles of two organizations never add up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any


class PermissionRefused(Exception):
    """The actor lacks a permission. `code` is the permission, the text is a sentence for the
    screen.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(
            f"Your role there does not include “{code}”. Ask a manager or an administrator."
        )


@dataclass(frozen=True, slots=True)
class Place:
    """An organization, or one of its sites."""

    organization_id: int
    site_id: int | None = None

    def within(self, other: Place) -> Place | None:
        """What both have in common; None when nothing."""
        if self.organization_id != other.organization_id:
            return None
        if self.site_id is None or self.site_id == other.site_id:
            return other
        return self if other.site_id is None else None


@dataclass(frozen=True, slots=True)
class Grant:
    """What one membership gives: permissions in one place."""

    place: Place
    permissions: frozenset[str]
    role: str = ""


def place_of(row: Any, *, sites: bool = True) -> Place:
    """Where a row belongs: its organization, and its site by the model's `site_path` (which may
    cost a query, so that `sites` asks for it). Also takes a Place, or the id of an organization.
    """
    if isinstance(row, Place):
        return row
    if isinstance(row, int):
        return Place(row)
    path = getattr(row, "site_path", None)
    if not path or not sites:
        return Place(row.organization_id)
    site: Any = row
    for name in path.split("__"):
        site = getattr(site, name, None)
    return Place(row.organization_id, site)


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, a partner system or a named automatic step.

    `sites` empty means every site of the organizations. `known_sites` are the sites of all the
    organizations, filled where a membership is limited to a site. `name` is frozen into each event
    and audit row beside the id. An automatic step has no grants: it may do everything on the rows
    of its organizations.
    """

    name: str
    kind: str  # person | partner | system
    organizations: frozenset[int]
    sites: frozenset[int] = frozenset()
    user_id: int | None = None
    grants: frozenset[Grant] = frozenset()
    known_sites: frozenset[Place] = frozenset()

    @classmethod
    def system(cls, name: str, organizations: Iterable[int]) -> Actor:
        """An automatic step such as `eligibility`; may do everything on the named organizations'
        rows.
        """
        return cls(name=name, kind="system", organizations=frozenset(organizations))

    @classmethod
    def holding(
        cls,
        grants: Iterable[Grant],
        *,
        name: str,
        kind: str,
        user_id: int | None = None,
        known_sites: Iterable[Place] = (),
    ) -> Actor:
        """A person or partner with these grants; organizations and sites follow from them."""
        held, known = frozenset(grants), frozenset(known_sites)
        reach = _widest(g.place for g in held)
        whole = {p.organization_id for p in reach if p.site_id is None}
        sites = {p.site_id for p in reach if p.site_id is not None}
        if sites:
            # a list that is limited to sites names those of the whole organizations as well
            sites |= {p.site_id for p in known if p.site_id and p.organization_id in whole}
        return cls(
            name=name,
            kind=kind,
            organizations=frozenset(p.organization_id for p in reach),
            sites=frozenset(sites),
            user_id=user_id,
            grants=held,
            known_sites=known,
        )

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(g.role for g in self.grants)

    def can(self, code: str, of: Any = None, *, entire: bool = False) -> bool:
        """Whether the actor holds a permission for a row, for every row of an iterable, or for an
        organization id. A row without a site (a patient) is worked on by the people of each site;
        `entire` asks for a right in the whole organization instead.

        Without `of`: whether it holds in every place that the actor reaches. Whether it holds in
        some place is another question, `can_somewhere`, and decides on no row.
        """
        if of is None:
            return all(self._holds(code, place, entire=True) for place in self._reach())
        sites = any(g.place.site_id for g in self.grants)
        places = {place_of(row, sites=sites) for row in (of if isinstance(of, Iterable) else [of])}
        if not places:
            return self.can_somewhere(code)
        return all(self._holds(code, place, entire=entire) for place in places)

    def can_somewhere(self, code: str) -> bool:
        """Whether a list or a rail entry can show anything at all; its rows come by `where`."""
        return self.kind == "system" or any(code in g.permissions for g in self.grants)

    def require(self, code: str, of: Any = None, *, entire: bool = False) -> None:
        """Raise PermissionRefused unless the actor holds the permission, asked as by `can`."""
        if not self.can(code, of, entire=entire):
            raise PermissionRefused(code)

    def where(self, *codes: str) -> Actor:
        """The actor limited to the places where all of these permissions hold: what a list of them
        may show.
        """
        actor = self
        for code in codes:
            actor = actor._where(code)
        return actor

    def within(self, organization_id: int, site_id: int | None = None) -> Actor:
        """The actor limited to one organization, or to one of its sites."""
        if self.kind != "system":
            return self._limited({Place(organization_id, site_id)})
        return replace(
            self,
            organizations=self.organizations & {organization_id},
            sites=self.sites if site_id is None else frozenset({site_id}),
        )

    @property
    def tag(self) -> str:
        """What the database triggers write as the author of a change."""
        return f"{self.kind}:{self.user_id or ''}:{self.name}"

    def _where(self, code: str) -> Actor:
        if self.kind == "system":
            return self
        return self._limited({g.place for g in self.grants if code in g.permissions})

    def _reach(self) -> set[Place]:
        if self.kind == "system":
            return {Place(o) for o in self.organizations}
        return _widest(g.place for g in self.grants)

    def _holds(self, code: str, place: Place, *, entire: bool) -> bool:
        if self.kind == "system":
            return place.organization_id in self.organizations
        covers = {place.site_id, None}
        return any(
            code in g.permissions
            and g.place.organization_id == place.organization_id
            and (g.place.site_id in covers or (place.site_id is None and not entire))
            for g in self.grants
        )

    def _limited(self, places: Iterable[Place]) -> Actor:
        shared = ((g, g.place.within(p)) for p in _widest(places) for g in self.grants)
        grants = frozenset(replace(g, place=place) for g, place in shared if place is not None)
        if grants == self.grants:
            return self
        return Actor.holding(
            grants,
            name=self.name,
            kind=self.kind,
            user_id=self.user_id,
            known_sites=self.known_sites,
        )


def _widest(places: Iterable[Place]) -> set[Place]:
    """The places without those that lie in another of them."""
    found = set(places)
    return {p for p in found if p.site_id is None or Place(p.organization_id) not in found}
