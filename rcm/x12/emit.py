"""Writing segments: the envelope, the counts, and data that can never break the syntax.

A delimiter, a line break or a letter outside printable ASCII inside data would corrupt the
interchange; each is replaced (letters by their plain form, the rest by a blank) and reported as a
finding, never sent and never silently lost.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from rcm.x12 import values
from rcm.x12.model import (
    Contact,
    Delimiters,
    Envelope,
    Finding,
    Party,
    Procedure,
    Reference,
    Written,
    WrittenSet,
)

# Composites are joined by this while a segment is checked, so that a component separator in data
# still shows.
JOIN = "\x1f"
# Likewise the repetition separator.
AGAIN = "\x1e"

_ASCII_TWINS = str.maketrans(
    {
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "–": "-",
        "—": "-",
        "ß": "ss",
        "Ø": "O",
        "ø": "o",
        "Æ": "AE",
        "æ": "ae",
        "Œ": "OE",
        "œ": "oe",
        "Ł": "L",
        "ł": "l",
        "Đ": "D",
        "đ": "d",
    }
)


@lru_cache(maxsize=16)
def _unsafe(marks: Delimiters) -> re.Pattern[str]:
    banned = re.escape(marks.component + marks.repetition + marks.terminator)
    # A blank at the end of an element breaks the guide's rules; it is dropped without a word.
    return re.compile(rf"[{banned}\x00-\x1d]|[^\x00-\x7e]| (?:{re.escape(marks.element)}|$)")


class Emitter:
    """Collects the segments of one interchange. ``begin`` and ``end`` frame a set; ``written`` is
    the result.
    """

    __slots__ = (
        "_component",
        "_element",
        "_envelope",
        "_findings",
        "_group_open",
        "_guide",
        "_ids",
        "_n_sets",
        "_out",
        "_sets",
        "_start",
        "_unsafe",
        "context",
    )

    def __init__(self, envelope: Envelope, group_code: str, guide: str) -> None:
        self._envelope = envelope
        marks = envelope.delimiters
        self._element = marks.element
        self._component = marks.component
        self._unsafe = _unsafe(marks)
        self._out: list[str] = []
        self._findings: list[Finding] = []
        self._sets: list[WrittenSet] = []
        self._ids: list[str] = []
        self._n_sets = 0
        self._start = 0
        self._guide = guide
        self.context = "envelope"
        self._isa()
        self._group_open = bool(group_code)
        if group_code:
            e = envelope
            self.put(
                "GS",
                group_code,
                e.group_sender or e.sender,
                e.group_receiver or e.receiver,
                values.day_text(e.date),
                e.time,
                str(e.group_control or e.control),
                "X",
                guide,
            )

    def _isa(self) -> None:
        e = self._envelope
        marks = e.delimiters
        clean = self._clean
        fields = (
            "ISA",
            "00",
            " " * 10,
            "00",
            " " * 10,
            clean(e.sender_qualifier)[:2].ljust(2),
            clean(e.sender)[:15].ljust(15),
            clean(e.receiver_qualifier)[:2].ljust(2),
            clean(e.receiver)[:15].ljust(15),
            values.day_text(e.date)[2:],
            (e.time + "0000")[:4],
            marks.repetition,
            "00501",
            f"{e.control % 10**9:09d}",
            "1" if e.acknowledgement_requested else "0",
            clean(e.usage)[:1] or "P",
            marks.component,
        )
        self._out.append(marks.element.join(fields))

    def begin(self, st01: str, with_guide: bool = True) -> str:
        """ST; returns its control number."""
        control = f"{self._envelope.set_control + self._n_sets:04d}"
        self._n_sets += 1
        self._start = len(self._out)
        self._ids = []
        self.put("ST", st01, control, self._guide if with_guide else "")
        return control

    def end(self) -> None:
        """SE with its count."""
        control = f"{self._envelope.set_control + self._n_sets - 1:04d}"
        self.put("SE", str(len(self._out) - self._start + 1), control)
        self._sets.append(WrittenSet(control, tuple(self._ids)))

    def carries(self, identifier: str) -> None:
        """Note that the set being written holds this claim or trace."""
        self._ids.append(identifier)

    def put(self, *elements: str) -> None:
        """One segment; empty elements at its end are left out."""
        n = len(elements)
        if not elements[-1]:
            while n > 1 and not elements[n - 1]:
                n -= 1
            elements = elements[:n]
        element = self._element
        line = element.join(elements)
        if line.count(element) != n - 1 or self._unsafe.search(line):
            elements = tuple([self._clean(text) for text in elements])
            line = element.join(elements)
        if JOIN in line or AGAIN in line:
            # Only composites made here may bring these two along; in data they are strays like any
            # other.
            marks = line.count(JOIN) + line.count(AGAIN)
            for text in elements:
                if type(text) is Composite:
                    marks -= text.count(JOIN) + text.count(AGAIN)
            if marks:
                line = element.join(
                    [text if type(text) is Composite else _without_marks(text) for text in elements]
                )
            line = line.replace(JOIN, self._component)
            if AGAIN in line:
                line = line.replace(AGAIN, self._envelope.delimiters.repetition)
        self._out.append(line)

    def _clean(self, text: str) -> str:
        """``text`` without anything that would break the syntax; what changed is reported."""
        marks = self._envelope.delimiters
        if type(text) is not Composite:
            text = text.strip(" ")
        if self._element not in text and not self._unsafe.search(text):
            return text
        plain = unicodedata.normalize("NFKD", text.translate(_ASCII_TWINS))
        kept = []
        for letter in plain:
            if unicodedata.combining(letter):
                continue
            if letter in (JOIN, AGAIN):
                kept.append(letter)
            elif (
                letter in (marks.element, marks.component, marks.repetition, marks.terminator)
                or not " " <= letter <= "~"
            ):
                kept.append(" ")
            else:
                kept.append(letter)
        clean = "".join(kept)
        clean = Composite(clean) if type(text) is Composite else " ".join(clean.split())
        if len(self._findings) < 1000:
            shown = text.replace(JOIN, ":").replace(AGAIN, "^")
            self._findings.append(
                Finding(
                    "character-replaced",
                    "warning",
                    self.context,
                    f"“{shown[:60]}” holds a character that X12 cannot carry; it was sent as"
                    f" “{clean[:60]}”.",
                    len(self._out) + 1,
                    "Correct the text in the record it comes from.",
                )
            )
        return clean

    def written(self) -> Written:
        """Close the group and the interchange."""
        e = self._envelope
        marks = e.delimiters
        self.context = "envelope"
        if self._group_open:
            self.put("GE", str(self._n_sets), str(e.group_control or e.control))
        self._out.append(
            marks.element.join(
                ("IEA", "1" if self._group_open else "0", f"{e.control % 10**9:09d}")
            )
        )
        end = marks.terminator + ("\n" if e.line_breaks else "")
        data = (end.join(self._out) + end).encode("ascii", "replace")
        return Written(data, tuple(self._sets), tuple(self._findings))

    # -- segments that several sets share ----------------------------------------------------------

    def nm1(self, party: Party, entity: str = "") -> None:
        """NM1 alone: name and identification."""
        self.put(
            "NM1",
            entity or party.entity,
            "1" if party.person or party.first else "2",
            party.name,
            party.first,
            party.middle,
            party.prefix,
            party.suffix,
            party.id_qualifier if party.id else "",
            party.id,
        )

    def n3_n4(self, party: Party) -> None:
        address = party.address
        if address is None:
            return
        if address.line1 or address.line2:
            self.put("N3", address.line1, address.line2)
        self.put("N4", address.city, address.state, address.zip, address.country)

    def ref(self, qualifier: str, value: str, description: str = "") -> None:
        if value:
            self.put("REF", qualifier, value, description)

    def refs(self, refs: Iterable[Reference]) -> None:
        for ref in refs:
            self.ref(ref.qualifier, ref.value, ref.description)

    def per(self, contact: Contact) -> None:
        numbers = [part for pair in contact.numbers[:3] for part in pair]
        self.put("PER", contact.function, contact.name, *numbers)

    def dmg(self, party: Party) -> None:
        if party.birth_date is not None:
            self.put("DMG", "D8", values.day_text(party.birth_date), party.sex)

    def dtp(self, qualifier: str, start: object, end: object = None) -> None:
        """DTP of a day or a period; nothing when ``start`` is None."""
        if start is not None:
            self.put("DTP", qualifier, *values.period_text(start, end))  # type: ignore[arg-type]

    def party(self, party: Party, entity: str = "", provider_role: str = "") -> None:
        """NM1 with everything known: N3, N4, DMG, PRV, REF, PER in the order most loops take."""
        self.nm1(party, entity)
        if party.taxonomy and provider_role:
            self.put("PRV", provider_role, "PXC", party.taxonomy)
        self.n3_n4(party)
        self.refs(party.refs)


def _without_marks(text: str) -> str:
    return text.replace(JOIN, " ").replace(AGAIN, " ")


class Composite(str):
    """An element made of components or repetitions."""

    __slots__ = ()


def composite(*parts: str) -> str:
    """Components as one element, without the empty ones at its end."""
    n = len(parts)
    if n and not parts[-1]:
        while n and not parts[n - 1]:
            n -= 1
        parts = parts[:n]
    joined = JOIN.join(parts)
    if n > 1 and joined.count(JOIN) != n - 1:
        joined = JOIN.join([part.replace(JOIN, " ") for part in parts])
    return Composite(joined)


def repeated(parts: Iterable[str]) -> str:
    """Repetitions of one element."""
    return Composite(AGAIN.join(part.replace(AGAIN, " ") for part in parts))


def procedure_text(procedure: Procedure) -> str:
    """The composite medical procedure: qualifier, code, up to four modifiers, description in the
    seventh place.
    """
    if not procedure.qualifier:
        return procedure.code
    modifiers = procedure.modifiers
    if procedure.description:
        padded = (*modifiers[:4], "", "", "", "")[:4]
        return composite(procedure.qualifier, procedure.code, *padded, procedure.description)
    return composite(procedure.qualifier, procedure.code, *modifiers[:4])
