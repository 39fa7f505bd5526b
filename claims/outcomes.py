"""What became of claims, told by the app that reads the payers' answers.

Claims know that they were paid or denied; which lines were denied, and for how much, is known only
to the app above this one. It registers its answer here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

DeniedLines = Mapping[int, Decimal]
"""Dollars denied by claim line."""
Source = Callable[[Iterable[int]], DeniedLines]

_sources: list[Source] = []


def register(source: Source) -> None:
    """`source` takes claim ids and gives the denied lines among theirs, won appeals included."""
    if source not in _sources:
        _sources.append(source)


def denied_lines(claim_ids: Iterable[int]) -> dict[int, Decimal]:
    """Lines of these claims that a payer has denied, with the dollars. One query a source."""
    ids = list(claim_ids)
    return {line: amount for source in _sources for line, amount in source(ids).items()}
