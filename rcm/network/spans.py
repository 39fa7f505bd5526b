"""How a new span is laid over the spans that stand: pure, dates inclusive, no last day is open.

Nothing is overwritten. What stood before ends on the day before; a span that the new one covers is
withdrawn; what reached past the new one goes on behind it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

ONE = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Piece:
    """A standing for a range of days."""

    status: str
    first: dt.date
    last: dt.date | None = None
    note: str = ""

    def reaches(self, day: dt.date) -> bool:
        return self.last is None or day <= self.last

    def covers(self, day: dt.date) -> bool:
        return self.first <= day and self.reaches(day)


@dataclass(frozen=True, slots=True)
class Kept:
    """A span that stands, by its key."""

    key: int
    piece: Piece


@dataclass(frozen=True, slots=True)
class Laid:
    """What has to be done: spans that get their last day, spans withdrawn, pieces opened."""

    ends: tuple[tuple[int, dt.date], ...] = ()
    withdrawn: tuple[int, ...] = ()
    opened: tuple[Piece, ...] = ()
    before: Piece | None = None
    after: Piece | None = None

    @property
    def unchanged(self) -> bool:
        return not (self.ends or self.withdrawn or self.opened)


@dataclass(slots=True)
class _Cut:
    ends: list[tuple[int, dt.date]] = field(default_factory=list)
    withdrawn: list[int] = field(default_factory=list)
    opened: list[Piece] = field(default_factory=list)


def lay(kept: Sequence[Kept], new: Piece) -> Laid:
    """Lay one piece over those that stand (which do not overlap each other). A new piece without a
    last day holds until the next one that stands begins.
    """
    last = new.last or _until_next(kept, new.first)
    wanted = Piece(new.status, new.first, last, new.note)
    now = next((k for k in kept if k.piece.covers(new.first)), None)
    if now is not None and _says_so(now.piece, wanted, explicit=new.last is not None):
        return Laid(before=now.piece, after=now.piece)
    before = now.piece if now else None
    if now is not None and _only_ends(now.piece, wanted):
        assert last is not None
        return Laid(ends=((now.key, last),), before=before, after=wanted)
    cut = _Cut()
    for other in kept:
        if _meet(other.piece, wanted):
            _give_way(other, wanted, cut)
    return Laid(
        tuple(cut.ends), tuple(cut.withdrawn), (wanted, *cut.opened), before=before, after=wanted
    )


def _until_next(kept: Iterable[Kept], first: dt.date) -> dt.date | None:
    later = min((k.piece.first for k in kept if k.piece.first > first), default=None)
    return later - ONE if later is not None else None


def _says_so(now: Piece, wanted: Piece, *, explicit: bool) -> bool:
    """Whether what stands says the same already."""
    if now.status != wanted.status or wanted.note not in ("", now.note):
        return False
    if now.first == wanted.first:
        return now.last == wanted.last or not explicit
    return now.last is None or (wanted.last is not None and wanted.last <= now.last)


def _only_ends(now: Piece, wanted: Piece) -> bool:
    """The same span, which only gets its last day."""
    same = (now.first, now.status) == (wanted.first, wanted.status)
    return same and now.last is None and wanted.last is not None and wanted.note in ("", now.note)


def _meet(one: Piece, other: Piece) -> bool:
    return one.reaches(other.first) and other.reaches(one.first)


def _give_way(other: Kept, wanted: Piece, cut: _Cut) -> None:
    was = other.piece
    begins = was.first < wanted.first
    if begins and was.last is None:
        cut.ends.append((other.key, wanted.first - ONE))
    else:
        cut.withdrawn.append(other.key)
        if begins:
            cut.opened.append(Piece(was.status, was.first, wanted.first - ONE, was.note))
    same = (was.first, was.status) == (wanted.first, wanted.status)
    if wanted.last is not None and was.reaches(wanted.last + ONE) and not same:
        cut.opened.append(Piece(was.status, wanted.last + ONE, was.last, was.note))
