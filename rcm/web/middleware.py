"""Narrows what a request sees to the organization and site its reader chose in the header.

Placed directly after `rcm.accounts.middleware.ScopeMiddleware`: the narrowed actor is then what
`visible_to`, the database's row-level security and every service receive. It can only take rows
away, never add them.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from rcm.accounts.actor import Actor
from rcm.web.context import SCOPE_ORGANIZATION, SCOPE_SITE, places


def narrowed(actor: Actor, organization: int | None, site: int | None) -> Actor:
    """The actor limited to one organization, or to one of its sites; unchanged when the choice is
    not theirs.
    """
    found = next((p for p in places(actor) if p.pk == organization), None)
    if found is None:
        return actor
    own = {pk for pk, _ in found.sites}
    return actor.within(found.pk, site if site in own else None)


class ChosenScopeMiddleware:
    """Replaces `request.actor` by the narrowed one and keeps the whole as `request.whole_actor`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        actor: Actor | None = getattr(request, "actor", None)
        request.whole_actor = actor  # type: ignore[attr-defined]
        organization = request.session.get(SCOPE_ORGANIZATION) if actor else None
        if actor is not None and organization is not None:
            request.actor = narrowed(actor, organization, request.session.get(SCOPE_SITE))  # type: ignore[attr-defined]
        # the rail shows what the reader may open, not what the page of the moment is limited to
        request.chosen_actor = request.actor if actor else None  # type: ignore[attr-defined]
        return self.get_response(request)
