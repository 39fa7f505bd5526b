"""Bytes to transaction sets, streaming: the tokeniser and the envelope (ISA, GS, ST) with its
counts and numbers.

Memory does not grow with the file. What real files force (odd terminators, byte-order marks,
indentation, several interchanges with different delimiters, missing trailers) is read; what is
wrong with the envelope is kept as a sentence and never stops the reading. Only bytes that are no
X12 at all raise, and then only ``NotX12``.
"""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from rcm.x12.model import Delimiters, Finding, NotX12, Origin

Source = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]
Segment = list[str]

CHUNK = 1 << 17
LONGEST_SEGMENT = 1 << 20
MOST_NOTES = 1000

GROUP_OF_SET = {
    "270": "HS",
    "271": "HB",
    "276": "HR",
    "277": "HN",
    "278": "HI",
    "820": "RA",
    "834": "BE",
    "835": "HP",
    "837": "HC",
    "997": "FA",
    "999": "FA",
}
_CONTROL = frozenset(("SE", "ST", "GE", "GS", "IEA", "ISA"))


def _keep_stray_bytes(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are no UTF-8 are read as Latin-1, so that no name is lost and no file is refused
    for one letter.
    """
    if isinstance(error, UnicodeDecodeError):
        return error.object[error.start : error.end].decode("latin-1"), error.end
    raise error


codecs.register_error("x12-latin-1", _keep_stray_bytes)


def open_source(source: Source) -> tuple[IO[bytes], bool]:
    """A binary stream over ``source`` (bytes, a path or an open binary file) and whether it is ours
    to close.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source), True
    if isinstance(source, (str, os.PathLike)):
        return open(source, "rb"), True
    return source, False


@dataclass(slots=True)
class Interchange:
    """What an ISA said, and how many groups it held."""

    isa06: str | None = None
    isa08: str | None = None
    isa12: str | None = None
    isa13: str | None = None
    isa15: str | None = None
    isa_date: str = ""
    isa_time: str = ""
    delimiters: Delimiters = field(default_factory=Delimiters)
    crlf: bool = False
    groups: list[dict[str, str]] = field(default_factory=list)
    n_groups: int = 0
    n_group_ends: int = 0

    def as_facts(self) -> dict[str, Any]:
        marks = self.delimiters
        return {
            "isa13": self.isa13,
            "isa06": self.isa06,
            "isa08": self.isa08,
            "isa12": self.isa12,
            "isa15": self.isa15,
            "elem": marks.element,
            "comp": marks.component,
            "rep": marks.repetition or None,
            "term": "\r\n" if self.crlf else marks.terminator,
            "groups": self.groups,
        }


class TransactionSet:
    """One ST to SE. Iterate it once for its segments (lists of elements, ``segment[0]`` the id, ST
    and SE left out).
    """

    __slots__ = (
        "_document",
        "_done",
        "complete",
        "delimiters",
        "faults",
        "first",
        "gs08",
        "origin",
        "st03",
        "start",
    )

    def __init__(
        self, document: Document, origin: Origin, delimiters: Delimiters, start: int
    ) -> None:
        self._document = document
        self._done = False
        self.origin = origin
        self.delimiters = delimiters
        self.start = start
        self.complete = False
        self.faults: list[str] = []
        self.first: Segment | None = None
        self.st03 = ""
        self.gs08: str | None = None

    @property
    def cut_off(self) -> bool:
        """The set had no SE; known once it has been read."""
        return "missing-se" in self.faults

    @property
    def position(self) -> int:
        """Ordinal number, in the file, of the segment read last."""
        return self._document.position

    def __iter__(self) -> Iterator[Segment]:
        if self._done:
            return
        self._done = True
        document = self._document
        control = _CONTROL
        if self.first is not None:
            first, self.first = self.first, None
            if first[0] not in control:
                yield first
            else:
                document.pending.append(first)
        while document.pending:
            segment = document.pending.pop()
            if segment[0] in control:
                self._close(segment)
                return
            yield segment
        for segment in document.flow:
            if segment[0] in control:
                self._close(segment)
                return
            yield segment
        self._close(None)

    def drain(self) -> None:
        if not self._done:
            for _ in self:
                pass
        elif not self.complete:
            # A reader that stopped early left the rest on the wire.
            document = self._document
            while not self.complete and document.open_set is self:
                segment = document.take()
                if segment is None or segment[0] in _CONTROL:
                    self._close(segment)

    def _close(self, segment: Segment | None) -> None:
        document = self._document
        if document.open_set is not self:
            return
        document.open_set = None
        self.complete = True
        st02 = self.origin.st02
        if segment is None or segment[0] != "SE":
            self.faults.append("missing-se")
            document.note(
                2, "missing-se", f"missing SE for ST02 {st02}", "Ask the sender for the whole file."
            )
            if segment is not None:
                document.pending.append(segment)
            return
        stated = segment[1] if len(segment) > 1 else ""
        counted = document.position - self.start + 1
        if _count(stated) != counted:
            self.faults.append("se-count")
            document.note(2, "se-count", f"SE01 {stated} != {counted} (ST02 {st02})")
        control = segment[2] if len(segment) > 2 else ""
        if control.strip() != st02.strip():
            self.faults.append("se-control")
            document.note(2, "se-control", f"SE02 {control} != ST02 {st02}")


class Document:
    """A file as a stream of transaction sets. Read ``sets()`` to the end, then ask for what the
    envelope said.
    """

    def __init__(self, source: Source, chunk_size: int = CHUNK) -> None:
        self._stream, self._owned = open_source(source)
        self._chunk_size = chunk_size
        self._decode: Any = None
        self._at_end = False
        self.position = 0
        self.pending: list[Segment] = []
        self.open_set: TransactionSet | None = None
        self.interchanges: list[Interchange] = []
        self.n_interchanges = 0
        self.n_transactions = 0
        self.ta1: list[tuple[int, Segment]] = []
        self.findings: list[Finding] = []
        self._notes: list[tuple[int, str]] = []
        self._group: dict[str, str] | None = None
        self._sets_in_group = 0
        self._interchange = Interchange()
        self._closed = True
        self._marks = Delimiters()
        self._crlf = False
        self.flow = self._segments()

    # -- what the reader of a set may ask ----------------------------------------------------------

    @property
    def envelope_errors(self) -> list[str]:
        """Sentences about ISA to IEA in the order interchange, group count, set, group."""
        return [text for _, text in sorted(self._notes, key=lambda item: item[0])]

    def note(self, rank: int, code: str, text: str, todo: str = "") -> None:
        if len(self._notes) < MOST_NOTES:
            self._notes.append((rank, text))
            self.findings.append(Finding(code, "warning", "envelope", text, self.position, todo))

    def find(self, code: str, level: str, where: str, message: str, todo: str = "") -> None:
        if len(self.findings) < MOST_NOTES:
            self.findings.append(Finding(code, level, where, message, self.position, todo))

    def take(self) -> Segment | None:
        return self.pending.pop() if self.pending else next(self.flow, None)

    # -- sets --------------------------------------------------------------------------------------

    def sets(self) -> Iterator[TransactionSet]:
        """Each transaction set in turn; what the caller does not read of one is passed over before
        the next.
        """
        try:
            while (segment := self.take()) is not None:
                tag = segment[0]
                if tag == "ST":
                    current = self._open(segment)
                    yield current
                    current.drain()
                elif tag == "ISA":
                    self._open_interchange(segment)
                elif tag == "GS":
                    self._open_group(segment)
                elif tag == "GE":
                    self._close_group(segment)
                elif tag == "IEA":
                    self._close_interchange(segment)
                elif tag == "TA1":
                    if len(self.ta1) < 10 * MOST_NOTES:
                        self.ta1.append((self.position, segment))
                else:
                    self.find(
                        "stray-segment",
                        "warning",
                        "envelope",
                        f"Segment {tag[:20]} stands outside any transaction set.",
                    )
            self._end_interchange()
        finally:
            if self._owned:
                self._stream.close()

    def _open(self, segment: Segment) -> TransactionSet:
        self.n_transactions += 1
        self._sets_in_group += 1
        st01 = _at(segment, 1).strip()
        st02 = _at(segment, 2)
        st03 = _at(segment, 3)
        group = self._group
        gs08 = group["gs08"] if group else ""
        version = (st03 if st03[:1].isdigit() else gs08).strip()
        start = self.position
        first = self.take()
        bht = first if first is not None and first[0] == "BHT" else []
        interchange = self._interchange
        kind = kind_of(st01, version, gs08, _at(bht, 1))
        origin = Origin(
            kind=kind,
            st01=st01,
            st02=st02,
            version=version,
            gs01=group["gs01"] if group else "",
            gs06=group["gs06"] if group else "",
            gs08=gs08,
            group_sender=group["gs02"] if group else "",
            group_receiver=group["gs03"] if group else "",
            isa13=interchange.isa13 or "",
            sender=interchange.isa06 or "",
            receiver=interchange.isa08 or "",
            isa_date=interchange.isa_date,
            isa_time=interchange.isa_time,
            usage=interchange.isa15 or "",
            purpose=_at(bht, 2),
            refusal=refusal_of(st01, version),
            position=start,
        )
        if origin.refusal:
            self.find(
                "version-refused",
                "error",
                f"ST {st02}",
                origin.refusal,
                "Ask the sender for version 005010.",
            )
        elif not version.startswith("005010") and version != "5010":
            self.find(
                "version-unknown",
                "warning",
                f"ST {st02}",
                f"Version {version or '(none)'} is not known; read as 005010.",
            )
        fits = GROUP_OF_SET.get(st01)
        if fits is None:
            self.find(
                "set-unknown",
                "error",
                f"ST {st02}",
                f"Transaction set {st01 or '(none)'} is not one this product reads; it was passed"
                " over.",
                "Move it to the system it belongs to.",
            )
        elif group and group["gs01"] != fits:
            self.note(4, "gs-set", f"GS01 {group['gs01']} does not fit ST01 {st01}")
        current = TransactionSet(self, origin, self._marks, start)
        current.first = first
        current.st03 = st03
        current.gs08 = group["gs08"] if group else None
        self.open_set = current
        return current

    def _open_interchange(self, segment: Segment) -> None:
        self._end_interchange()
        self.n_interchanges += 1
        self._interchange = Interchange(
            isa06=_at(segment, 6).strip(),
            isa08=_at(segment, 8).strip(),
            isa12=_at(segment, 12).strip(),
            isa13=_at(segment, 13).strip(),
            isa15=_at(segment, 15).strip(),
            isa_date=_at(segment, 9),
            isa_time=_at(segment, 10),
            delimiters=self._marks,
            crlf=self._crlf,
        )
        if len(self.interchanges) < MOST_NOTES:
            self.interchanges.append(self._interchange)
        self._closed = False

    def _end_interchange(self) -> None:
        """Say what is missing when an interchange ends without its IEA, or with open groups."""
        interchange = self._interchange
        if self.n_interchanges == 0:
            if self.n_transactions and not self.interchanges:
                interchange.delimiters = self._marks
                interchange.crlf = self._crlf
                self.interchanges.append(interchange)
                self.find(
                    "no-isa",
                    "warning",
                    "envelope",
                    "The file has no ISA header; sender and delimiters are assumed.",
                )
            return
        if not self._closed:
            self.note(0, "missing-iea", "missing IEA", "Ask the sender for the whole file.")
            self._group_balance()
        self._closed = True
        self._group = None

    def _group_balance(self) -> None:
        interchange = self._interchange
        if interchange.n_groups != interchange.n_group_ends:
            self.note(1, "gs-ge", f"GS {interchange.n_groups} vs GE {interchange.n_group_ends}")

    def _open_group(self, segment: Segment) -> None:
        self._group = {
            "gs01": _at(segment, 1),
            "gs02": _at(segment, 2),
            "gs03": _at(segment, 3),
            "gs06": _at(segment, 6),
            "gs08": _at(segment, 8),
        }
        self._sets_in_group = 0
        self._interchange.n_groups += 1
        if len(self._interchange.groups) < MOST_NOTES:
            self._interchange.groups.append(self._group)

    def _close_group(self, segment: Segment) -> None:
        self._interchange.n_group_ends += 1
        stated = _at(segment, 1)
        if _count(stated) != self._sets_in_group:
            self.note(3, "ge-count", f"GE01 {stated} != {self._sets_in_group}")
        control = _at(segment, 2)
        if self._group and control.strip() != self._group["gs06"].strip():
            self.note(3, "ge-control", f"GE02 {control} != GS06 {self._group['gs06']}")
        self._group = None
        self._sets_in_group = 0

    def _close_interchange(self, segment: Segment) -> None:
        interchange = self._interchange
        if self._closed and self.n_interchanges:
            self.find(
                "stray-segment",
                "warning",
                "envelope",
                "An IEA stands where no interchange is open.",
            )
            return
        stated = _at(segment, 1)
        if _count(stated) != interchange.n_groups:
            self.note(0, "iea-count", f"IEA01 {stated} != groups {interchange.n_groups}")
        control = _at(segment, 2).strip()
        if interchange.isa13 is not None and control != interchange.isa13:
            self.note(0, "iea-control", f"IEA02 {control} != ISA13 {interchange.isa13}")
        self._group_balance()
        self._closed = True
        self._group = None

    # -- tokeniser ---------------------------------------------------------------------------------

    def _read(self) -> str:
        """The next text of the file, ``""`` at its end."""
        while not self._at_end:
            chunk: Any = self._stream.read(self._chunk_size)
            if isinstance(chunk, str):
                chunk = chunk.encode("utf-8", "replace")
            if self._decode is None:
                wide = chunk[:2] in (b"\xff\xfe", b"\xfe\xff")
                codec = codecs.getincrementaldecoder("utf-16" if wide else "utf-8")
                self._decode = codec("replace" if wide else "x12-latin-1")
            if not chunk:
                self._at_end = True
            text: str = self._decode.decode(chunk, not chunk)
            if text:
                return text
        return ""

    def _segments(self) -> Iterator[Segment]:
        tail = self._beginning()
        while tail:
            headless = not tail.startswith("ISA")
            while len(tail) < 4096 and (more := self._read()):
                tail += more
            try:
                self._marks, self._crlf = detect_delimiters(tail)
            except NotX12 as damage:
                if not self.n_interchanges:
                    raise
                self.find(
                    "isa-damaged",
                    "error",
                    "envelope",
                    f"{damage} The delimiters before it are kept.",
                )
            element, terminator = self._marks.element, self._marks.terminator
            next_isa = _next_isa(element, terminator)
            newline = terminator == "\n"
            begun = headless
            skipping = False
            while True:
                follows = next_isa.search(tail, 0 if begun else 4) if "ISA" in tail else None
                if follows is not None:
                    cut = follows.end()
                    text, tail = tail[:cut], tail[cut:].lstrip()
                else:
                    cut = tail.rfind(terminator) + 1
                    if not cut and self._at_end:
                        cut = len(tail)
                    text, tail = tail[:cut], tail[cut:]
                if text:
                    begun = True
                    if "\r" in text and terminator != "\r":
                        text = text.replace("\r", "")
                    if not newline and "\n" in text:
                        text = text.replace("\n", "")
                    if "\0" in text and terminator != "\0":
                        text = text.replace("\0", "")
                    for piece in text.split(terminator):
                        piece = piece.lstrip()
                        if not piece:
                            continue
                        if skipping:
                            skipping = False
                            continue
                        self.position += 1
                        yield piece.split(element)
                if follows is not None:
                    break
                if len(tail) > LONGEST_SEGMENT:
                    if not skipping:
                        self.position += 1
                        self.find(
                            "segment-too-long",
                            "error",
                            f"segment {self.position}",
                            "A segment is longer than a megabyte; its end was passed over.",
                        )
                        yield tail[:1000].lstrip().split(element)
                    skipping = True
                    tail = ""
                more = self._read()
                if more:
                    tail += more
                elif not tail:
                    break

    def _beginning(self) -> str:
        """The text from the first ISA (or, without one, GS or ST) on."""
        text = self._read()
        while text and len(text) < 4096 and (more := self._read()):
            text += more
        text = text.lstrip("\ufeff \t\r\n\0")
        if _HEAD.match(text):
            return text
        junk = _ANY_ISA.search(text)
        if junk is not None:
            self.find(
                "junk-before-isa",
                "warning",
                "envelope",
                "Text stands before the ISA header; it was passed over.",
            )
            return text[junk.start() :]
        raise NotX12(what_it_is(text))


# A letter, digit or space cannot delimit; \x1c to \x1f can, though \s would take them for blanks.
_MARK = r"[^0-9A-Za-z \t\r\n]"
_HEAD = re.compile(rf"ISA(?={_MARK})|(?:GS|ST)({_MARK})[A-Z0-9]{{2,3}}\1")
_ANY_ISA = re.compile(rf"ISA({_MARK})[^\r\n]{{0,4}}?\1[^\r\n]{{0,14}}?\1[^\r\n]{{0,4}}?\1")


def _next_isa(element: str, terminator: str) -> re.Pattern[str]:
    """Ends where the next interchange begins: after a terminator, or right after an IEA that lacks
    one.
    """
    e, t = re.escape(element), re.escape(terminator)
    return re.compile(
        rf"(?:\A|{t})\s*(?=ISA{_MARK})|IEA{e}[0-9 ]{{0,10}}{e}[0-9 ]{{0,12}}\s*(?=ISA{_MARK})"
    )


def detect_delimiters(text: str) -> tuple[Delimiters, bool]:
    """The delimiters of the interchange ``text`` begins with, and whether the terminator is CR LF.

    Found by counting the sixteen elements of ISA, not by offset: padded, trimmed and tabulated
    headers all occur.
    """
    if not text.startswith("ISA"):
        return _guess_delimiters(text)
    element = text[3]
    at = 2
    for _ in range(16):
        at = text.find(element, at + 1)
        if at < 0 or at > 2000:
            raise NotX12(
                "The ISA header is cut off or damaged: it has fewer than sixteen elements."
            )
    fields = text[:at].split(element)
    isa11 = fields[11].strip()
    # Before 00402 the eleventh element named a standards body ("U"), not the repetition separator.
    names_body = fields[12].strip()[:4] in ("0020", "0030", "0040") and fields[12].strip() < "00402"
    repetition = isa11 if len(isa11) == 1 and not isa11.isalnum() and not names_body else ""
    rest = text[at + 1 : at + 400]
    component, after = rest[:1], rest[1:]
    if component in ("\r", "\n", ""):
        return Delimiters(element, ":", repetition, "\n"), component == "\r"
    trimmed = after.lstrip(" \t")
    if component.isalnum() or trimmed[:1].isalnum() or trimmed[:1] == element:
        # Fewer than sixteen elements before the next segment began: its id shows where the header
        # ended.
        found = re.search(rf"(.?)({_MARK})\s*(?:GS|TA1|ST){re.escape(element)}", text[:600])
        if found is None:
            raise NotX12("The ISA header is damaged: no segment terminator can be found.")
        mark = found.group(1)
        component = mark if mark and not mark.isalnum() and mark != element else ":"
        return Delimiters(element, component, repetition, found.group(2)), False
    if trimmed[:1] in ("\r", "\n", ""):
        first_line = trimmed.lstrip("\r\n \t").splitlines()[:1]
        line = first_line[0].rstrip() if first_line else ""
        if line.endswith(component) and not line.endswith(element + component):
            # ISA16 was left out, and what stands in its place ends every line.
            return Delimiters(element, ":", repetition, component), False
        if trimmed[:2] == "\r\n":
            return Delimiters(element, component, repetition, "\n"), True
        return Delimiters(element, component, repetition, trimmed[:1] or "~"), False
    return Delimiters(element, component, repetition, trimmed[:1]), False


def _guess_delimiters(text: str) -> tuple[Delimiters, bool]:
    """For a file that starts at GS or ST: the terminator is what stands before the second segment
    id.
    """
    element = text[2]
    e = re.escape(element)
    second = re.search(rf"([^0-9A-Za-z \t{e}])\s*[A-Z][A-Z0-9]{{1,2}}{e}", text[3:1000])
    terminator = second.group(1) if second else "~"
    composite = re.search(
        rf"(?:SVC|SV1){e}(?:HC|AD|ER|N4|NU)({_MARK})|HI{e}A?B[KF]({_MARK})", text[:20000]
    )
    component = (composite.group(1) or composite.group(2)) if composite else ":"
    if terminator in "\r\n":
        return Delimiters(element, component, "", "\n"), terminator == "\r"
    return Delimiters(element, component if component != element else ":", "", terminator), False


def what_it_is(text: str) -> str:
    """A sentence saying why ``text`` is refused."""
    if not text.strip("\0 \t\r\n"):
        return "The file is empty: there is no X12 interchange in it."
    head = text[:200]
    if head.startswith(("MSH|", "\x0bMSH", "FHS|", "BHS|")):
        return "This is an HL7 v2 message, not X12: it begins with MSH. Send it to the HL7 inbox."
    if head.startswith(("UNA", "UNB")):
        return "This is EDIFACT, not X12: it begins with UNA or UNB."
    if head.startswith("%PDF"):
        return "This is a PDF document, not X12. Ask the payer for the electronic remittance (835)."
    if head.startswith("PK\x03\x04"):
        return "This is a ZIP archive, not X12: unpack it and load the files inside."
    if head.startswith("\x1f\x8b") or head.startswith("\x1f"):
        return "This is compressed data, not X12: unpack it first."
    if head.lstrip().startswith("<"):
        return "This is XML or HTML, not X12."
    if head.lstrip().startswith(("{", "[")):
        return "This is JSON, not X12."
    if head.startswith("ISA"):
        return (
            "The file begins with ISA but not with an interchange header: no delimiter follows it."
        )
    shown = "".join(c if c.isprintable() else "." for c in head[:20])
    return f"This is no X12 interchange: it begins with “{shown}”, not with ISA, GS or ST."


def kind_of(st01: str, version: str, gs08: str = "", bht01: str = "") -> str:
    """The set by its own name: 837P and 837I, 277 and 277CA apart, by ST03, else GS08, else
    BHT01.
    """
    if st01 == "837":
        for guide, kind in (
            ("X222", "837P"),
            ("X098", "837P"),
            ("X223", "837I"),
            ("X096", "837I"),
            ("X224", "837D"),
            ("X097", "837D"),
        ):
            if guide in version or (not version and guide in gs08):
                return kind
        return "837P"
    if st01 == "277":
        if "X214" in version or bht01 == "0085":
            return "277CA"
        return "277"
    return st01


def refusal_of(st01: str, version: str) -> str:
    """Why a set of this version must not be worked on, or ``""`` (4010 is recognised and
    refused).
    """
    if version[:3] in ("002", "003", "004") and version[:6].isdigit():
        return (
            f"This {st01} is version {version[:6]}, which ended in 2012; it is shown for"
            " information and is refused for work: nothing of it is posted or answered."
        )
    return ""


def _at(segment: Segment, index: int) -> str:
    return segment[index] if len(segment) > index else ""


def _count(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1


def raw_segments(source: Source, first: int, last: int | None = None) -> list[str]:
    """The segments numbered ``first`` to ``last`` as they stood in the file, for a screen that
    shows its source.
    """
    last = first if last is None else last
    document = Document(source)
    shown: list[str] = []
    for segment in document.flow:
        if document.position > last:
            break
        if document.position >= first:
            shown.append(document._marks.element.join(segment))
    if document._owned:
        document._stream.close()
    return shown
