"""The written table of routes (routes.csv) and what it says of each actor.

Columns: `route` the name to reverse; one column a method: `-` the method is refused (405), `open`
needs no sign-in, `signed-in` any person, else a permission code of rcm.accounts.permissions (`a &
b|c` is a and one of b, c) or, on the API, an OAuth2 scope; `object` the model whose row the address
names (`#` a special one of it); `more` further parts of the address as name=value, `@` a row's id.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.urls import URLPattern, URLResolver, get_resolver, reverse

TABLE = Path(__file__).with_name("routes.csv")
METHODS = ("get", "post", "patch", "delete")
RANDOM_ID, RANDOM_KEY = UUID("0190a6f0-0000-7000-8000-00000000abcd"), 987_654_321
SHARED = {"reference.Payer", "reference.ReferenceLoad"}


@dataclass(frozen=True)
class Route:
    name: str
    pattern: str
    view: Any
    needs: dict[str, str] = field(default_factory=dict)
    object: str = ""
    more: tuple[tuple[str, str], ...] = ()

    @property
    def api(self) -> bool:
        return self.pattern.startswith("api/v1/")

    @property
    def owned(self) -> bool:
        """Whether the address names a row of one organization."""
        return bool(self.object) and self.object not in SHARED

    def parameters(self) -> list[str]:
        found = re.findall(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>", self.pattern)
        return [a or b for a, b in found]

    def url(self, row: Any, world: Any = None) -> str:
        """The address for one row of a world; `row` None asks for one that exists nowhere."""
        if self.name == "api-not-found":
            return "/api/v1/nowhere"

        def key(name: str, of: Any) -> Any:
            plain = name in {"pk", "id"}
            return (
                (RANDOM_KEY if plain else RANDOM_ID)
                if of is None
                else (of.pk if plain else of.public_id)
            )

        kwargs: dict[str, Any] = {
            n: key(n, world[v[1:]] if world else None) if v.startswith("@") else v
            for n, v in self.more
        }
        for name in self.parameters():
            if name not in kwargs:
                kwargs[name] = key(name, row)
        return reverse(self.name, kwargs=kwargs)


def walk(
    resolver: Any = None, before: str = "", spaces: tuple[str, ...] = ()
) -> Iterator[tuple[str, str, Any]]:
    """(name, pattern, view) of every address the product answers."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from walk(
                entry,
                before + str(entry.pattern),
                (*spaces, entry.namespace) if entry.namespace else spaces,
            )
        elif isinstance(entry, URLPattern):
            yield ":".join((*spaces, entry.name or "")), before + str(entry.pattern), entry.callback


def written() -> dict[str, dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["route"]: row for row in csv.DictReader(file)}


def routes() -> list[Route]:
    """Every route that is both in the product and in the table."""
    table, out, seen = written(), [], set()
    for name, pattern, view in walk():
        if name in table and name not in seen:
            seen.add(name)
            row = table[name]
            more = tuple(tuple(part.split("=", 1)) for part in row["more"].split(";") if part)
            out.append(
                Route(name, pattern, view, {m: row[m] or "-" for m in METHODS}, row["object"], more)
            )  # type: ignore[arg-type]
    return out
