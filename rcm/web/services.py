"""Verbs for what a reader keeps."""

from __future__ import annotations

from django.http import QueryDict

from rcm.accounts.actor import Actor
from rcm.accounts.models import User
from rcm.web.context import DENSITIES, THEMES
from rcm.web.models import SavedView

NEVER_SAVED = ("q", "cursor", "open", "export")


def saved_view_save(*, path: str, name: str, query: str, shared: bool, actor: Actor) -> SavedView:
    """Keep a list's query string under a name; the same name again replaces the reader's own
    view.
    """
    kept = QueryDict(query, mutable=True)
    for key in NEVER_SAVED:
        kept.pop(key, None)
    view, _ = SavedView.objects.update_or_create(
        owner_id=actor.user_id,
        path=path[:200],
        name=name[:60],
        defaults={"query": kept.urlencode()[:1000], "shared": shared},
    )
    return view


def saved_view_delete(*, pk: int, actor: Actor) -> str:
    """Delete one of the reader's own views and answer the list it belonged to; empty when it is not
    theirs.
    """
    view = SavedView.objects.filter(pk=pk, owner_id=actor.user_id).first()
    if view is None:
        return ""
    view.delete()
    return view.path


def preferences_save(*, user: User, theme: str = "", density: str = "", hotkeys: str = "") -> None:
    """Keep how a reader likes the pages; anything that is not an offered choice is left as it
    was.
    """
    changed = []
    if theme in THEMES:
        user.theme = theme
        changed.append("theme")
    if density in DENSITIES:
        user.density = density
        changed.append("density")
    if hotkeys in ("on", "off"):
        user.hotkeys = hotkeys == "on"
        changed.append("hotkeys")
    if changed:
        user.save(update_fields=changed)
