"""What the shell offers: rail entries, `g` jumps and palette providers, registered in each app's
`ready()`.

    from rcm.web import nav

    nav.register(nav.Entry("Receivables", "Denials", "remittance:denials", "denials.view",
    count=open_denials, jump="d")) nav.register_palette(find_claims)

An entry shows when the actor holds its permission. Counts are never computed while a page is drawn:
the rail shows the cached figure and asks `/shell/counts/` afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

GROUPS = ("Front desk", "Charges", "Claims", "Receivables", "Manage", "System")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the rail. `count(actor)` is the number still to do; `jump` the letter after
    `g`; `queue` the code of the work queue that it stands for.
    """

    group: str
    label: str
    url_name: str
    permission: str = ""
    count: Callable[[Any], int] | None = None
    jump: str = ""
    order: int = 100
    words: str = ""
    queue: str = ""

    @property
    def url(self) -> str | None:
        try:
            return reverse(self.url_name)
        except NoReverseMatch:
            return None

    def covers(self, path: str) -> int:
        """How many characters of a page's address belong to this line: the longest is current."""
        own = (self.url, reverse("worklist:queue", args=[self.queue]) if self.queue else None)
        return max((len(url) for url in own if url and path.startswith(url)), default=0)


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of the palette. `detail` is a second line, `key` the shortcut shown beside it."""

    label: str
    url: str
    detail: str = ""
    group: str = ""
    key: str = ""


Provider = Callable[[HttpRequest, str], Iterable[Hit]]

_entries: dict[str, Entry] = {}
_providers: list[Provider] = []


def register(*entries: Entry) -> None:
    """Add rail entries. The same url name again replaces the first; a taken jump letter is
    refused.
    """
    for entry in entries:
        if entry.group not in GROUPS:
            raise ValueError(
                f"{entry.group} is no group of the rail; use one of {', '.join(GROUPS)}"
            )
        for other in _entries.values():
            if entry.jump and other.jump == entry.jump and other.url_name != entry.url_name:
                raise ValueError(f"g {entry.jump} already goes to {other.label}")
        _entries[entry.url_name] = entry


def register_palette(provider: Provider) -> None:
    """Add a search to the palette. It receives the request and the typed text and scopes its own
    query.
    """
    if provider not in _providers:
        _providers.append(provider)


def allowed(actor: Any, permission: str) -> bool:
    """Whether the actor may; an empty permission asks only for a sign-in."""
    if actor is None:
        return False
    return not permission or bool(actor.can_somewhere(permission))


def entries(actor: Any) -> list[Entry]:
    """The rail of this actor, in order."""
    shown = [e for e in _entries.values() if allowed(actor, e.permission) and e.url]
    return sorted(shown, key=lambda e: (GROUPS.index(e.group), e.order, e.label))


def counts(actor: Any) -> dict[str, int]:
    """The figure of every entry that has one."""
    return {
        e.url_name: e.count(actor.where(e.permission) if e.permission else actor)
        for e in entries(actor)
        if e.count is not None
    }


def search(request: HttpRequest, text: str, limit: int = 12) -> list[Hit]:
    """Pages whose words match, then what the providers find."""
    actor = getattr(request, "actor", None)
    wanted = text.casefold().split()
    hits = [
        Hit(e.label, e.url or "", e.group, "Go to", f"g {e.jump}" if e.jump else "")
        for e in entries(actor)
        if all(w in f"{e.label} {e.group} {e.words}".casefold() for w in wanted)
    ]
    if text.strip():
        for provider in _providers:
            if len(hits) >= limit * 2:
                break
            hits.extend(provider(request, text.strip()))
    return hits[: limit * 2]
