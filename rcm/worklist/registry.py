"""Queues as the phases declare them. A queue is a place where somebody can finish work; the
waterfall decides an item's one home.

A phase app declares its queues in `queues.py` and registers them in `apps.py` ready(). When two
causes stop the same subject, the queue with the lower `rank` (earlier in the thread) is home and
the other cause becomes a tag.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rcm.accounts.actor import Actor


@dataclass(frozen=True, slots=True)
class Fix:
    """A button of the evidence panel: a link to the page that fixes, or a POST to a service's
    route. `permission` gates it.
    """

    label: str
    url: str
    method: str = "get"
    permission: str = ""
    primary: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """What the evidence panel shows for one item: why in one sentence, four-way grid, fixes,
    history.

    `grid` is what `authorizations.matching` returns for the screen: a list of rows (cell, code,
    text, more, differs).
    """

    why: str
    grid: list[dict[str, Any]] = field(default_factory=list)
    fixes: list[Fix] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    event_keys: dict[str, int] = field(default_factory=dict)
    extra_template: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    """One declared queue.

    `rank`: place in the waterfall, low first. `deadline_word`: head of the deadline column ("Appeal
    by", "File by"). `facts`: keys of WorkItem.facts shown as columns, with their heads.
    `panel(item, actor)` builds the evidence panel. `views`: saved views that everyone has, name →
    query string. `pages`: further pages on the same subject, label → name of the URL.
    `fix_together`: name of the URL where all items of one cause are put right at once.
    """

    code: str
    label: str
    group: str
    permission: str
    rank: int
    empty: str
    deadline_word: str = "Due"
    facts: tuple[tuple[str, str], ...] = ()
    panel: Callable[[Any, Actor], Panel] | None = None
    views: tuple[tuple[str, str], ...] = ()
    work_permission: str = "work.touch"
    payer_next_action_days: int = 5
    pages: tuple[tuple[str, str], ...] = ()
    fix_together: str = ""


_QUEUES: dict[str, Queue] = {}


def register(*queues: Queue) -> None:
    for queue in queues:
        _QUEUES[queue.code] = queue


def get(code: str) -> Queue | None:
    return _QUEUES.get(code)


def all_queues() -> list[Queue]:
    """Every declared queue in waterfall order."""
    return sorted(_QUEUES.values(), key=lambda q: (q.rank, q.code))


def rank(code: str) -> int:
    queue = _QUEUES.get(code)
    return queue.rank if queue else 999
