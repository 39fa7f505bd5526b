"""Parts that later phases add to the front end's pages: the authorization box on an appointment,
claims and balance on a chart, what to know before a day is chosen beside the booking of an order.

    sections.register("patient", claims_of_patient, order=40)

A provider gets the request and the row, limits itself to what the actor may see, and answers a
Section or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and a template drawn with `part` as its facts."""

    title: str
    template: str
    part: Mapping[str, Any] = field(default_factory=dict)


Provider = Callable[[HttpRequest, Any], Section | None]
_PROVIDERS: dict[str, list[tuple[int, Provider]]] = {
    "patient": [],
    "appointment": [],
    "booking": [],
}


def register(page: str, provider: Provider, *, order: int = 50) -> None:
    if all(p is not provider for _, p in _PROVIDERS[page]):
        _PROVIDERS[page].append((order, provider))
        _PROVIDERS[page].sort(key=lambda entry: entry[0])


def of(page: str, request: HttpRequest, row: Any) -> list[Section]:
    """What the other phases have to say about this row, in order."""
    return [
        found for _, provider in _PROVIDERS[page] if (found := provider(request, row)) is not None
    ]
