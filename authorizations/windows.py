"""What may still be asked of a payer after the exam, until when, and what is left when it takes
nothing: pure rules over a payer's terms.

A change of the approved code, a request for another exam than the approved one and a request after
the fact are three things with windows of their own. Each runs in business or calendar days from its
own starting event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from authorizations.clocks import Window
from rcm.accounts.clock import SiteClock


class Path(StrEnum):
    """What is asked for after the exam."""

    UPDATE = "update"
    NEW = "new"
    RETRO = "retro"


class Start(StrEnum):
    """The event from which a window runs; each is a day local to the site."""

    SERVICE = "service"
    APPROVAL = "approval"
    REPORT = "report"
    DENIAL = "denial"


START_WORDS: Mapping[Start, str] = {
    Start.SERVICE: "the exam",
    Start.APPROVAL: "the approval",
    Start.REPORT: "the signed report",
    Start.DENIAL: "the claim's denial",
}
PATH_WORDS: Mapping[Path, str] = {
    Path.UPDATE: "update window",
    Path.NEW: "window for a new request",
    Path.RETRO: "retroactive window",
}


@dataclass(frozen=True, slots=True)
class Term:
    """One window of a payer. `taken` False: the payer takes no such request at all, which is not
    the same as a window that nobody knows (`window` None).
    """

    window: Window | None = None
    starts: Start = Start.SERVICE
    taken: bool = True


UNKNOWN = Term()


@dataclass(frozen=True, slots=True)
class Deadline:
    """The last day, inclusive, and the words that say why; `over` when it has passed or nothing is
    taken.
    """

    due: date | None
    words: str
    over: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Events:
    """The days from which windows may run; None when the event has not happened or is not known."""

    service: date | None = None
    approval: date | None = None
    report: date | None = None
    denial: date | None = None

    def day(self, start: Start) -> date | None:
        return getattr(self, start.value)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Remedies:
    """What a payer's terms and the law leave open when no request is taken any more."""

    appeal: str = "Appeal when the claim is denied"
    peer_to_peer_days: int | None = None
    patient: str = "Bill the patient only where contract and law allow it"
    write_off: str = "Write it off under the office's policy"

    def options(self) -> tuple[str, ...]:
        found = [self.appeal]
        if self.peer_to_peer_days is not None:
            days = "day" if self.peer_to_peer_days == 1 else "days"
            found.append(
                f"Ask for a peer-to-peer call within {self.peer_to_peer_days} {days} of the denial"
            )
        return (*found, self.write_off, self.patient)


@dataclass(frozen=True, slots=True)
class Terms:
    """A payer's windows after the exam, by what is asked for."""

    by_path: Mapping[Path, Term] = field(default_factory=dict)

    def term(self, path: Path) -> Term:
        """The payer's own term; a new request after the exam is a retroactive one where the payer
        has no window of its own for it.
        """
        if path is Path.NEW and path not in self.by_path:
            return self.by_path.get(Path.RETRO, UNKNOWN)
        return self.by_path.get(path, UNKNOWN)


def deadline(path: Path, term: Term, events: Events, clock: SiteClock, *, as_of: date) -> Deadline:
    """Until when this request is taken.

    A payer that takes none is closed. A window nobody knows has no day, nor has one whose starting
    event has not happened.
    """
    words = PATH_WORDS[path]
    if not term.taken:
        return Deadline(None, f"the payer has no {words}", over=True, closed=True)
    if term.window is None:
        return Deadline(None, f"the payer's {words} is not known: ask today")
    said = f"{words} of {term.window} from {START_WORDS[term.starts]}"
    start = events.day(term.starts)
    if start is None:
        return Deadline(None, f"{said}, which is not there yet")
    last = term.window.last_day(start, clock)
    if as_of > last:
        return Deadline(last, f"{said}, over", over=True)
    return Deadline(last, said)
