"""What every reader needs: elements by number, parties built segment by segment, the findings of
one set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from rcm.x12 import values
from rcm.x12.document import MOST_NOTES, Document, Segment, Source, TransactionSet
from rcm.x12.model import (
    ZERO,
    Address,
    Contact,
    DatePeriod,
    Finding,
    Party,
    Procedure,
    Reference,
    WrongSet,
)


def at(segment: Segment, index: int) -> str:
    return segment[index] if len(segment) > index else ""


def sets_of(source: Source | Document, *kinds: str) -> Iterator[TransactionSet]:
    """The sets of ``source`` whose ST01 is one of ``kinds``; raises ``WrongSet`` when a file holds
    none of them.
    """
    document = source if isinstance(source, Document) else Document(source)
    found = False
    others: dict[str, None] = {}
    for current in document.sets():
        if current.origin.st01 in kinds:
            found = True
            yield current
        elif len(others) < 10:
            others[current.origin.kind or "a set without a name"] = None
    if not found:
        wanted = " or ".join(kinds)
        held = ", ".join(others) or ("TA1" if document.ta1 else "no transaction set")
        raise WrongSet(f"No {wanted} in this file: it holds {held}.")


class Notes:
    """Findings of one set, bounded, each with the position of the segment being read."""

    __slots__ = ("_set", "items")

    def __init__(self, current: TransactionSet) -> None:
        self._set = current
        self.items: list[Finding] = []

    def add(self, code: str, level: str, where: str, message: str, todo: str = "") -> None:
        if len(self.items) < MOST_NOTES:
            self.items.append(Finding(code, level, where, message, self._set.position, todo))

    def money(self, text: str, where: str) -> Decimal:
        value = values.money(text)
        if value is None:
            self.add(
                "bad-amount",
                "error",
                where,
                f"“{text[:30]}” is no amount of money; it was read as 0.",
            )
            return ZERO
        return value

    def optional_money(self, text: str, where: str) -> Decimal | None:
        return self.money(text, where) if text.strip() else None

    def number(self, text: str, where: str) -> Decimal | None:
        value = values.number(text)
        if value is None and text.strip():
            self.add(
                "bad-number", "warning", where, f"“{text[:30]}” is no number; it was left out."
            )
        return value

    def day(self, text: str, where: str) -> date | None:
        value = values.day(text)
        if value is None and text.strip():
            self.add("bad-date", "warning", where, f"“{text[:30]}” is no date; it was left out.")
        return value

    def period(self, segment: Segment, where: str) -> DatePeriod:
        """A DTP segment."""
        text = at(segment, 3)
        start, end = values.period(text)
        if start is None and text.strip():
            self.add("bad-date", "warning", where, f"“{text[:30]}” is no date; it was left out.")
        return DatePeriod(at(segment, 1), start, end)

    def unknown(self, segment: Segment, where: str) -> None:
        self.add(
            "unknown-segment",
            "info",
            where,
            f"Segment {segment[0][:20]} is not expected here; it was passed over.",
        )

    def take(self) -> tuple[Finding, ...]:
        if not self.items:
            return ()
        taken = tuple(self.items)
        self.items.clear()
        return taken


Loop = dict[str, "Callable[[Any, Segment], Any]"]


class Loops:
    """One engine for every set: a loop is a table from segment id to the method that takes it; a
    method that begins or ends a loop changes `loop`, and what a method returns is a part that is
    complete.
    """

    def __init__(self, current: TransactionSet, loop: Loop) -> None:
        self.current = current
        self.notes = Notes(current)
        self.loop = loop

    def read(self, segments: Iterable[Segment]) -> Iterator[Any]:
        unknown: Callable[[Any, Segment], Any] = type(self).on_unknown
        for segment in segments:
            part = self.loop.get(segment[0], unknown)(self, segment)
            if part is not None:
                yield part

    def on_quiet(self, segment: Segment) -> None:
        """Known, and nothing that anybody asks for."""

    def on_unknown(self, segment: Segment) -> Any:
        self.notes.unknown(segment, "")


class PartyBuilder:
    """Collects the segments that describe one party (NM1 or N1, then N3, N4, REF, PER, DMG,
    PRV).
    """

    __slots__ = (
        "_built",
        "address",
        "birth_date",
        "contacts",
        "head",
        "provider_role",
        "refs",
        "sex",
        "taxonomy",
    )

    def __init__(self, head: Segment) -> None:
        self.head = head
        self.address: list[str] | None = None
        self.birth_date: date | None = None
        self.sex = ""
        self.taxonomy = ""
        self.provider_role = ""
        self.refs: list[Reference] = []
        self.contacts: list[Contact] = []
        self._built: Party | None = None

    def take(self, segment: Segment) -> bool:
        """True when ``segment`` belongs to the party."""
        tag = segment[0]
        if tag == "REF":
            self.refs.append(reference(segment))
        elif tag == "N3":
            address = self._address()
            address[0], address[1] = at(segment, 1), at(segment, 2)
        elif tag == "N4":
            address = self._address()
            address[2:] = [at(segment, 1), at(segment, 2), at(segment, 3), at(segment, 4)]
        elif tag == "DMG":
            self.birth_date = values.day(at(segment, 2))
            self.sex = at(segment, 3)
        elif tag == "PRV":
            self.provider_role = at(segment, 1)
            self.taxonomy = at(segment, 3)
        elif tag == "PER":
            self.contacts.append(contact(segment))
        else:
            return False
        return True

    def _address(self) -> list[str]:
        if self.address is None:
            self.address = [""] * 6
        return self.address

    def build_once(self) -> Party:
        """The party, built on first asking and then shared by all that stand under it."""
        if self._built is None:
            self._built = self.build()
        return self._built

    def build(self) -> Party:
        head = self.head
        n = len(head)
        if head[0] == "N1":
            return Party(
                entity=at(head, 1),
                name=at(head, 2),
                id_qualifier=at(head, 3),
                id=at(head, 4),
                address=Address(*self.address) if self.address else None,
                taxonomy=self.taxonomy,
                provider_role=self.provider_role,
                refs=tuple(self.refs),
                contacts=tuple(self.contacts),
            )
        return Party(
            head[1] if n > 1 else "",
            head[3] if n > 3 else "",
            head[4] if n > 4 else "",
            head[5] if n > 5 else "",
            head[7] if n > 7 else "",
            n > 2 and head[2] == "1",
            head[8] if n > 8 else "",
            head[9] if n > 9 else "",
            Address(*self.address) if self.address else None,
            self.taxonomy,
            self.provider_role,
            self.birth_date,
            self.sex,
            tuple(self.refs),
            tuple(self.contacts),
            head[6] if n > 6 else "",
        )


def party(segment: Segment) -> Party:
    """The party of an NM1 that nothing else describes."""
    n = len(segment)
    return Party(
        segment[1] if n > 1 else "",
        segment[3] if n > 3 else "",
        segment[4] if n > 4 else "",
        segment[5] if n > 5 else "",
        segment[7] if n > 7 else "",
        n > 2 and segment[2] == "1",
        segment[8] if n > 8 else "",
        segment[9] if n > 9 else "",
        prefix=segment[6] if n > 6 else "",
    )


def reference(segment: Segment) -> Reference:
    n = len(segment)
    return Reference(
        segment[1] if n > 1 else "", segment[2] if n > 2 else "", segment[3] if n > 3 else ""
    )


def contact(segment: Segment) -> Contact:
    numbers = tuple(
        (segment[i], at(segment, i + 1))
        for i in range(3, min(len(segment), 9), 2)
        if segment[i] or at(segment, i + 1)
    )
    return Contact(at(segment, 2), numbers, at(segment, 1))


def procedure(text: str, component: str) -> Procedure:
    """``HC:70553:26:59`` with up to four modifiers and the description in the seventh place."""
    parts = text.split(component)
    n = len(parts)
    if n == 1:
        # Some payers send the bare code.
        return Procedure(parts[0], (), "") if parts[0] else Procedure("", (), "")
    return Procedure(
        parts[1],
        tuple([m for m in parts[2:6] if m]) if n > 2 else (),
        parts[0],
        parts[6] if n > 6 else "",
    )


class Levels(Loops):
    """The HL levels of a set with the party that each names; a new one ends those below it.

    `order`: the levels from the top down. `levels`: which of them an HL03 opens.
    """

    order: ClassVar[tuple[str, ...]] = ()
    levels: ClassVar[Mapping[str, str]] = {}

    def __init__(self, current: TransactionSet, *, loop: Loop) -> None:
        super().__init__(current, loop=loop)
        self.level = self.reference = self.relationship = ""
        self.parties: dict[str, PartyBuilder] = {}
        self.party: PartyBuilder | None = None

    def open_level(self, hl: Segment) -> None:
        self.level = self.levels.get(at(hl, 3), "")
        self.party = None
        for below in self.from_here():
            self.parties.pop(below, None)

    def from_here(self) -> tuple[str, ...]:
        """This level and those below it."""
        return self.order[self.order.index(self.level) :] if self.level in self.order else ()

    def on_beginning(self, bht: Segment) -> None:
        self.reference = at(bht, 3)

    def on_name(self, nm1: Segment) -> None:
        self.party = self.parties[self.level] = PartyBuilder(nm1)

    def on_insured(self, ins: Segment) -> None:
        if self.level == "dependent":
            self.relationship = at(ins, 2)

    def on_detail(self, segment: Segment) -> None:
        """What describes the party named last."""
        if self.party is not None:
            self.party.take(segment)

    def on_party_reference(self, ref: Segment) -> None:
        if self.party is None or not self.party.take(ref):
            self.on_unknown(ref)

    def on_unknown(self, segment: Segment) -> None:
        self.notes.unknown(segment, self.level or "header")

    def named(self, level: str) -> Party | None:
        builder = self.parties.get(level)
        return builder.build() if builder is not None else None
