"""Work that many calls repeat, done once at their end.

A verb that refreshes something for the rows it touched (gates, work items, events) costs the same
for one row as for fifty. Inside `together()` such verbs only note their rows; when the block ends,
still in its transaction, each is called once with all of them:

    def clearance_refresh(ids, *, actor, at):
        if later(_refresh, ids, turn=GATES, actor=actor, at=at):
            return 0
        ...

Outside a block nothing changes: `later` answers False and the verb does its work at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Flush = Callable[..., Any]
T = TypeVar("T")
DECIDE, REVIEW, GATES, WRITE = 10, 20, 30, 90


class Noted:
    """What is to be done at the end of a block: (turn, verb, row, keyword arguments), in the order
    of the calls; and what was asked.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[int, Flush, Any, dict[str, Any]]] = []
        self.known: dict[Any, Any] = {}

    def mark(self) -> int:
        return len(self.calls)

    def forget_since(self, mark: int) -> None:
        """Drop what was noted since `mark`: the rows it speaks of were rolled back."""
        del self.calls[mark:]

    def flush(self) -> None:
        """Call each verb once with all its rows, the lowest turn first; verbs may note more."""
        while self.calls:
            verb = min(self.calls, key=lambda c: c[0])[1]
            mine = [c for c in self.calls if c[1] is verb]
            self.calls = [c for c in self.calls if c[1] is not verb]
            verb([c[2] for c in mine], **mine[-1][3])


_noted: ContextVar[Noted | None] = ContextVar("noted", default=None)


@contextmanager
def together() -> Iterator[Noted]:
    """Collect what `later` notes and do it at the end of the block; an inner block belongs to the
    outer one.
    """
    outer = _noted.get()
    if outer is not None:
        yield outer
        return
    noted = Noted()
    token = _noted.set(noted)
    try:
        yield noted
        noted.flush()
    finally:
        _noted.reset(token)


def later(verb: Flush, rows: Iterable[Any], *, turn: int, **arguments: Any) -> bool:
    """Note rows for `verb(rows, **arguments)` at the end of the block; False when there is no
    block. The last call's arguments hold.

    Turns: what decides comes before what shows the decision, and what is only written comes last.
    """
    noted = _noted.get()
    if noted is None:
        return False
    noted.calls.extend((turn, verb, row, arguments) for row in rows)
    return True


def asked_once(question: Any, answer: Callable[[], T]) -> T:
    """The answer to a question that cannot change within a block; outside of one it is asked each
    time.
    """
    noted = _noted.get()
    if noted is None:
        return answer()
    if question not in noted.known:
        noted.known[question] = answer()
    return noted.known[question]  # type: ignore[no-any-return]


@contextmanager
def at_once() -> Iterator[None]:
    """In this block verbs work at once although an outer block collects: what comes next reads
    their effect.
    """
    token = _noted.set(None)
    try:
        yield
    finally:
        _noted.reset(token)


__all__ = [
    "DECIDE",
    "GATES",
    "REVIEW",
    "WRITE",
    "Noted",
    "asked_once",
    "at_once",
    "later",
    "together",
]
