"""Parts that later phases add to the exam page: its claims, its payments. Same form as
`intake.sections`.

sections.register("exam", claims_of_exam, order=40)
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest

from charges.models import Exam
from intake.sections import Section

Provider = Callable[[HttpRequest, Exam], Section | None]
_PROVIDERS: list[tuple[int, Provider]] = []


def register(page: str, provider: Provider, *, order: int = 50) -> None:
    """Add a part to the exam page, in its place."""
    if page != "exam":
        raise ValueError(page)
    if all(p is not provider for _, p in _PROVIDERS):
        _PROVIDERS.append((order, provider))
        _PROVIDERS.sort(key=lambda entry: entry[0])


def of(request: HttpRequest, exam: Exam) -> list[Section]:
    """What the other phases have to say about this exam, in order."""
    return [found for _, provider in _PROVIDERS if (found := provider(request, exam)) is not None]


__all__ = ["Section", "of", "register"]
