"""What every page knows: the rail, the reader's preferences, the chosen scope and the environment
banner.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization, Site
from rcm.embedded import growth
from rcm.web import nav

PREFERENCE_CHOICES = {
    "theme": (("auto", "System"), ("light", "Light"), ("dark", "Dark")),
    "density": (("regular", "Regular"), ("compact", "Compact")),
}
THEMES = tuple(value for value, _ in PREFERENCE_CHOICES["theme"])
DENSITIES = tuple(value for value, _ in PREFERENCE_CHOICES["density"])
COUNTS_SECONDS = 60
PLACES_SECONDS = 300
SCOPE_ORGANIZATION = "scope_organization"
SCOPE_SITE = "scope_site"


@dataclass(frozen=True, slots=True)
class Preferences:
    """How this reader likes the pages: kept with the user, and in cookies for the pages before
    sign-in.
    """

    theme: str = "auto"
    density: str = "regular"
    hotkeys: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """An organization the reader may see, with its sites as (id, name)."""

    pk: int
    name: str
    sites: tuple[tuple[int, str], ...] = ()


def preferences(request: HttpRequest) -> Preferences:
    """The user's own, else the cookies; anything that is not an offered choice is ignored."""
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        theme, density, hotkeys = user.theme, user.density, user.hotkeys
    else:
        theme, density, hotkeys = request.COOKIES.get("theme"), request.COOKIES.get("density"), True
    return Preferences(
        theme if theme in THEMES else "auto",
        density if density in DENSITIES else "regular",
        hotkeys,
    )


def places(actor: Actor) -> list[Place]:
    """The organizations and sites of an actor by name. Two queries, then remembered for five
    minutes.
    """
    scope = f"{sorted(actor.organizations)}{sorted(actor.sites)}"
    key = f"shell:places:{hashlib.sha256(scope.encode()).hexdigest()[:24]}"
    found: list[Place] | None = cache.get(key)
    if found is None:
        sites = Site.objects.filter(organization_id__in=actor.organizations)
        if actor.sites:
            sites = sites.filter(pk__in=actor.sites)
        by_organization: dict[int, list[tuple[int, str]]] = {}
        for pk, name, organization in sites.order_by("name").values_list(
            "pk", "name", "organization_id"
        ):
            by_organization.setdefault(organization, []).append((pk, name))
        rows = (
            Organization.objects.filter(pk__in=actor.organizations)
            .order_by("name")
            .values_list("pk", "name")
        )
        found = [Place(pk, name, tuple(by_organization.get(pk, ()))) for pk, name in rows]
        cache.set(key, found, PLACES_SECONDS)
    return found


def chosen_place(request: HttpRequest) -> str:
    """The name of the organization or site that the page is narrowed to; empty when it shows
    all.
    """
    actor: Actor | None = getattr(request, "whole_actor", None)
    organization = request.session.get(SCOPE_ORGANIZATION) if actor else None
    if actor is None or organization is None:
        return ""
    for place in places(actor):
        if place.pk == organization:
            sites = dict(place.sites)
            return sites.get(request.session.get(SCOPE_SITE) or 0, place.name)
    return ""


def counts_key(request: HttpRequest) -> str:
    """Where this reader's rail figures are cached."""
    session = request.session
    scope = f"{session.get(SCOPE_ORGANIZATION, '')}:{session.get(SCOPE_SITE, '')}"
    return f"shell:counts:{request.user.pk}:{scope}"


def _rail(request: HttpRequest) -> list[dict[str, Any]]:
    actor = getattr(request, "chosen_actor", None) or getattr(request, "actor", None)
    entries = nav.entries(actor)
    known = cache.get(counts_key(request)) or {}
    here = max(entries, key=lambda e: e.covers(request.path), default=None)
    if here is not None and not here.covers(request.path):
        here = None
    groups: list[dict[str, Any]] = []
    for entry in entries:
        if not groups or groups[-1]["name"] != entry.group:
            groups.append({"name": entry.group, "entries": []})
        groups[-1]["entries"].append(
            {
                "entry": entry,
                "url": entry.url,
                "count": known.get(entry.url_name),
                "current": entry is here,
            }
        )
    return groups


def growing() -> str:
    """How far the demo has grown, while it grows. Reads a small file, no table."""
    if not settings.DEMO_PROGRESS:
        return ""
    still = growth.growing(Path(settings.DEMO_PROGRESS))
    return f"{still.sentence}." if still else ""


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context processor. All of it is lazy: a fragment that draws no rail pays for none."""
    user = getattr(request, "user", None)
    signed_in = user is not None and user.is_authenticated
    whole: Actor | None = getattr(request, "whole_actor", None) or getattr(request, "actor", None)
    return {
        "product": "Isocenter",
        "preference_choices": PREFERENCE_CHOICES,
        "preferences": SimpleLazyObject(lambda: preferences(request)),
        "rail": SimpleLazyObject(lambda: _rail(request)) if signed_in else (),
        "counts_fresh": (
            SimpleLazyObject(lambda: cache.get(counts_key(request)) is not None)
            if signed_in
            else True
        ),
        "places": SimpleLazyObject(lambda: places(whole)) if whole else (),
        "chosen_place": SimpleLazyObject(lambda: chosen_place(request)) if whole else "",
        "growing": SimpleLazyObject(growing),
        "environment_banner": "Demo: invented patients" if getattr(settings, "DEMO", False) else "",
    }
