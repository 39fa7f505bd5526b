"""HL7 v2 as text: header, segments, fields, the composite types that phases map from, and the
acknowledgement.

Fields are split when they are asked for, so a 20 MB document inside one OBX costs nothing. Nothing
here raises but ParseProblem. Segments may end with CR, LF or both; separators are the message's
own; MSH-18 decides the character set (UTF-8 when absent, Latin-1 when the bytes are no UTF-8).
Positions are written as in the standard: `value("PID-5.1")` is the first component of the fifth
field of PID.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from datetime import timezone as fixed
from functools import cached_property

import hl7 as library

from rcm.exchange.problems import ParseProblem

MOST_SEGMENTS = 100_000
MOST_HEADER = 4096
PEEK = 1 << 20
CHARSETS = {
    "": "utf-8",
    "ASCII": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
}
_ESCAPE = re.compile(r"\\([^\\\r]{0,80})\\")
_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})-(\d{1,3})(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?")
_NOT_ECHOED = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Marks:
    """The separators of one message, from its MSH-1 and MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    @property
    def encoding(self) -> str:
        return self.component + self.repetition + self.escape + self.subcomponent


@dataclass(frozen=True, slots=True)
class Header:
    """What a listener needs of a message: who, to whom, which, about which patient and
    accession.
    """

    kind: str
    event: str
    sender: str
    sender_facility: str
    receiver: str
    receiver_facility: str
    control_id: str
    version: str
    charset: str
    processing: str
    patient: str
    accession: str
    marks: Marks

    @property
    def control_number(self) -> str:
        """MSH-3 and MSH-10: one message of one sender (rule `exam-match-order`)."""
        return f"{self.sender}:{self.control_id}"[:80] if self.control_id else ""

    @property
    def ordering_key(self) -> str:
        """Messages of one patient stay in order, and so those of one accession do."""
        if self.patient:
            return f"MRN:{self.patient}"[:80]
        return f"ACC:{self.accession}"[:80] if self.accession else ""


class Segment:
    """One segment. Fields count from 1, MSH-1 being the separator itself."""

    __slots__ = ("_fields", "marks", "number", "text")

    def __init__(self, text: str, marks: Marks, number: int = 0) -> None:
        self.text, self.marks, self.number = text, marks, number
        fields = text.split(marks.field)
        self._fields = (
            [fields[0], marks.field, *fields[1:]] if fields[0] in ("MSH", "FHS", "BHS") else fields
        )

    @property
    def tag(self) -> str:
        return self._fields[0]

    def raw(self, field: int) -> str:
        """A field as it came, with its separators and escapes."""
        return self._fields[field] if 0 < field < len(self._fields) else ""

    def repeats(self, field: int) -> list[list[str]]:
        """The repetitions of a field, each as its components."""
        raw = self.raw(field)
        return (
            [
                [self._plain(c) for c in part.split(self.marks.component)]
                for part in raw.split(self.marks.repetition)
            ]
            if raw
            else []
        )

    def value(
        self, field: int, component: int = 1, subcomponent: int = 1, *, repetition: int = 1
    ) -> str:
        """One value, unescaped and stripped; "" when it is absent or the explicit null `""`."""
        raw = self.raw(field)
        if self.tag in ("MSH", "FHS", "BHS") and field <= 2:
            return raw
        part = _nth(
            _nth(_nth(raw, self.marks.repetition, repetition), self.marks.component, component),
            self.marks.subcomponent,
            subcomponent,
        )
        value = self._plain(part)
        return "" if value == '""' else value

    def text_of(self, field: int) -> str:
        """A whole field as running text: repetitions become lines."""
        return "\n".join(
            self._plain(part, strip=False) for part in self.raw(field).split(self.marks.repetition)
        )

    def is_null(self, field: int) -> bool:
        """The sender says "delete this value", which an absent field does not."""
        return self.raw(field).strip() == '""'

    def _plain(self, text: str, *, strip: bool = True) -> str:
        if self.marks.escape in text:
            text = unescape(text, self.marks)
        return text.strip() if strip else text

    def __repr__(self) -> str:
        return f"<Segment {self.tag}>"


class Message:
    """A parsed message: its segments in order."""

    def __init__(self, segments: list[Segment], header: Header) -> None:
        self.header = header
        self.segments = segments

    def by_patient(self) -> list[Message]:
        """The message once for each of its patients: a result or a merge may repeat the group that
        begins with PID. What stands before the first PID belongs to all.
        """
        starts = [n for n, segment in enumerate(self.segments) if segment.tag == "PID"]
        if len(starts) < 2:
            return [self]
        shared = self.segments[: starts[0]]
        ends = [*starts[1:], len(self.segments)]
        return [
            Message([*shared, *self.segments[start:end]], self.header)
            for start, end in zip(starts, ends, strict=True)
        ]

    @cached_property
    def _by_tag(self) -> dict[str, list[Segment]]:
        found: dict[str, list[Segment]] = {}
        for segment in self.segments:
            found.setdefault(segment.tag, []).append(segment)
        return found

    def all(self, tag: str) -> list[Segment]:
        return self._by_tag.get(tag, [])

    def first(self, tag: str) -> Segment | None:
        rows = self._by_tag.get(tag)
        return rows[0] if rows else None

    def need(self, tag: str) -> Segment:
        """The first segment of this name, or ParseProblem."""
        segment = self.first(tag)
        if segment is None:
            raise ParseProblem(
                f"The message has no {tag} segment.", code="segment_missing", field=tag
            )
        return segment

    def value(self, place: str) -> str:
        """The value at "PID-5.1" of the first such segment; "" when absent."""
        match = _PLACE.fullmatch(place)
        if match is None:
            raise ValueError(f"{place} is no position")
        segment = self.first(match[1])
        return (
            segment.value(int(match[2]), int(match[3] or 1), int(match[4] or 1)) if segment else ""
        )

    def groups(self, start: str) -> list[list[Segment]]:
        """The segments from each `start` to the next one: orders by ORC or OBR, insurances by IN1,
        services by AIS.
        """
        found: list[list[Segment]] = []
        for segment in self.segments:
            if segment.tag == start:
                found.append([])
            if found:
                found[-1].append(segment)
        return found

    def __repr__(self) -> str:
        return f"<Message {self.header.kind}>"


# --- reading --------------------------------------------------------------------------------------


def charset_of(content: bytes) -> str:
    """MSH-18, upper case, its first repetition."""
    line = re.split(rb"[\r\n]", content[:MOST_HEADER].lstrip(), maxsplit=1)[0]
    if len(line) < 5:
        return ""
    fields = line.split(line[3:4])
    return fields[17].split(b"~")[0].strip().decode("latin-1").upper() if len(fields) > 17 else ""


def decode(content: bytes) -> str:
    """Bytes to text by MSH-18. UTF-8 that is none is read as Latin-1; a charset we do not know is a
    ParseProblem.
    """
    named = charset_of(content)
    codec = CHARSETS.get(named)
    if codec is None and (match := re.fullmatch(r"8859/(\d{1,2})", named)):
        codec = f"iso-8859-{match[1]}"
    if codec is None:
        raise ParseProblem(
            "MSH-18 names a character set that is not read here.",
            code="charset",
            field="MSH-18",
            fix="Send UNICODE UTF-8.",
        )
    try:
        return content.decode(codec)
    except UnicodeDecodeError:
        return content.decode("latin-1")
    except LookupError:
        raise ParseProblem(
            "MSH-18 names a character set that is not read here.",
            code="charset",
            field="MSH-18",
            fix="Send UNICODE UTF-8.",
        ) from None


def header(content: bytes) -> Header:
    """Read who and which from a message, without reading it all. ParseProblem when it does not
    begin with a usable MSH.
    """
    if len(content) > PEEK:
        cut = max(content.rfind(b"\r", 0, PEEK), content.rfind(b"\n", 0, PEEK))
        content = content[: cut if cut > 0 else PEEK]
    return _header(decode(content))


def parse(content: bytes) -> Message:
    """Read one whole message. The one way by which phases get at HL7; several messages in a row are
    cut before they are kept (`rcm.exchange.batch`), and refused here.
    """
    text = decode(bytes(content))
    head = _header(text)
    segments = [Segment(line, head.marks, n) for n, line in enumerate(_lines(text), start=1)]
    if len(segments) > MOST_SEGMENTS:
        raise ParseProblem(
            f"The message has more than {MOST_SEGMENTS:,} segments.", code="too_long"
        )
    if sum(1 for segment in segments if segment.tag == "MSH") > 1:
        raise ParseProblem(
            "This holds more than one message; each is read for itself.",
            code="several_messages",
            field="MSH",
        )
    return Message(segments, head)


def _header(text: str) -> Header:
    body = text.lstrip("\ufeff\x0b \t\r\n")
    if not body.startswith("MSH"):
        what = "a batch of messages" if body.startswith(("FHS", "BHS")) else "no HL7 message"
        raise ParseProblem(f"This is {what}: it does not begin with MSH.", code="not_hl7")
    if len(body) < 9 or body[3].isalnum() or body[3].isspace():
        raise ParseProblem("The MSH segment names no separators.", code="not_hl7", field="MSH-1")
    field = body[3]
    line = re.split(r"[\r\n]", body[:MOST_HEADER], maxsplit=1)[0]
    encoding = line[4:].split(field, 1)[0]
    if (
        not 1 <= len(encoding) <= 5
        or len({field, *encoding}) != len(encoding) + 1
        or any(c.isalnum() or c.isspace() for c in encoding)
    ):
        raise ParseProblem(
            "MSH-2 does not name four different separators.", code="not_hl7", field="MSH-2"
        )
    usual = Marks()
    marks = Marks(field, *(encoding[:4] + usual.encoding[len(encoding[:4]) :]))
    msh = Segment(line, marks)
    patient = accession = ""
    for tag, rest in _peek(body, field):
        if tag == "PID" and not patient:
            patient = Segment(rest, marks).value(3) or Segment(rest, marks).value(2)
        elif tag == "OBR" and not accession:
            accession = Segment(rest, marks).value(18)
        elif tag == "IPC" and not accession:
            accession = Segment(rest, marks).value(1)

    def said(field: int, component: int = 1, most: int = 180) -> str:
        return _clean(msh.value(field, component))[:most]

    return Header(
        kind=said(9, 1, 20).upper(),
        event=said(9, 2, 20).upper(),
        sender=said(3),
        sender_facility=said(4),
        receiver=said(5),
        receiver_facility=said(6),
        control_id=said(10, 1, 199),
        version=said(12, 1, 20),
        charset=said(18, 1, 40),
        processing=said(11, 1, 3),
        patient=_clean(patient),
        accession=_clean(accession),
        marks=marks,
    )


def _clean(value: str) -> str:
    """Without control characters: no table takes NUL, and no answer may carry a mark of the
    frame.
    """
    return _NOT_ECHOED.sub("", value)


def _peek(body: str, field: str) -> Iterator[tuple[str, str]]:
    """The few short segments a header is taken from."""
    for match in re.finditer(
        r"(?:^|[\r\n])(PID|OBR|IPC)(?=" + re.escape(field) + r")([^\r\n]{0,4000})", body[:PEEK]
    ):
        yield match[1], match[1] + match[2]


def _lines(text: str) -> list[str]:
    normal = text.lstrip("\ufeff\x0b \t\r\n").replace("\r\n", "\r").replace("\n", "\r")
    return [line for line in (raw.strip(" \t\x1c\x0b") for raw in normal.split("\r")) if line]


def _nth(text: str, separator: str, number: int) -> str:
    if number == 1:
        return text.split(separator, 1)[0]
    parts = text.split(separator, number)
    return parts[number - 1] if number <= len(parts) else ""


def unescape(text: str, marks: Marks) -> str:
    """Resolve the escapes of separators, line breaks and hexadecimal bytes; drop formatting; keep
    what is unknown.
    """
    plain = {
        "F": marks.field,
        "S": marks.component,
        "T": marks.subcomponent,
        "R": marks.repetition,
        "E": marks.escape,
        "H": "",
        "N": "",
    }

    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code in plain:
            return plain[code]
        if code.startswith((".br", ".sp")):
            return "\n"
        if code.startswith("X") and len(code) % 2:
            try:
                return bytes.fromhex(code[1:]).decode("latin-1")
            except ValueError:
                return match[0]
        return "" if code.startswith(".") else match[0]

    if marks.escape != "\\":
        return re.sub(
            re.escape(marks.escape) + r"([^\r]{0,80}?)" + re.escape(marks.escape), one, text
        )
    return _ESCAPE.sub(one, text)


# --- composite types ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Name:
    """XPN: a person's name in parts, as written. `kind` is the name type (table 0200): L legal, A
    alias, M maiden, N nickname …; blank when the sender gives none.
    """

    last: str = ""
    first: str = ""
    middle: str = ""
    suffix: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """XCN: `npi` only when it is one (ten digits with a right check digit); `degree` such as MD or
    DC, from whichever place the sender puts it.
    """

    id: str = ""
    last: str = ""
    first: str = ""
    npi: str = ""
    degree: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """XAD."""

    line1: str = ""
    line2: str = ""
    city: str = ""
    state: str = ""
    zip: str = ""


def timestamp(text: str, zone: tzinfo, *, field: str = "") -> datetime | None:
    """A TS as an aware time; without an offset of its own it is local to `zone` (the site's). None
    when empty, ParseProblem when it is none.
    """
    if not text:
        return None
    try:
        found: datetime = library.parse_datetime(text)
        if found.tzinfo is None:
            return found.replace(tzinfo=zone)
        return found.astimezone(fixed(found.utcoffset() or timedelta()))
    except Exception:
        raise ParseProblem(
            f"{field or 'A time'} holds no date or time.", code="bad_time", field=field
        ) from None


def day(text: str, *, field: str = "") -> date | None:
    """The calendar day of a TS or DT. None when empty, ParseProblem when it is none."""
    if not text:
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        raise ParseProblem(
            f"{field or 'A date'} holds no date.", code="bad_date", field=field
        ) from None


def names(segment: Segment | None, field: int) -> list[Name]:
    """Every name of an XPN field, in the order of the message; empty repetitions left out."""
    found = []
    count = len(segment.repeats(field)) if segment else 0
    for number in range(1, count + 1):
        assert segment is not None
        parts = [segment.value(field, part, repetition=number) for part in (1, 2, 3, 4, 7)]
        if parts[0] or parts[1]:
            found.append(Name(parts[0], parts[1], parts[2], parts[3], parts[4].upper()))
    return found


NOT_A_LEGAL_NAME = frozenset({"A", "N", "S", "BAD", "NAV", "NB", "NOUSE", "TEMP"})
"""Name types that never stand on a claim: alias, nickname, pseudonym, and names not to be used."""
FORMER_NAMES = frozenset({"M", "B", "C", "F"})


def name(segment: Segment | None, field: int) -> Name:
    """The legal name of an XPN field: type L, else one without a special type, else a former one,
    else whatever name there is.
    """
    found = names(segment, field)

    def standing(one: Name) -> int:
        if one.kind == "L":
            return 0
        if one.kind in NOT_A_LEGAL_NAME:
            return 3
        return 2 if one.kind in FORMER_NAMES else 1

    return min(found, key=standing, default=Name())


def address(segment: Segment | None, field: int) -> Address:
    """The first address of an XAD field; the ZIP as digits only."""
    if segment is None:
        return Address()
    zip_code = re.sub(r"\D", "", segment.value(field, 5))[:9]
    return Address(
        segment.value(field, 1),
        segment.value(field, 2),
        segment.value(field, 3),
        segment.value(field, 4).upper()[:2],
        zip_code,
    )


def phone(segment: Segment | None, field: int) -> str:
    """Ten digits of the first telephone of an XTN field, or ""."""
    if segment is None:
        return ""
    for parts in segment.repeats(field):
        split = "".join(parts[5:7]) if len(parts) > 6 else ""
        for candidate in (split, parts[11] if len(parts) > 11 else "", parts[0]):
            digits = re.sub(r"\D", "", candidate)
            digits = digits[1:] if len(digits) == 11 and digits.startswith("1") else digits
            if len(digits) == 10:
                return digits
    return ""


OTHER_NUMBERS = frozenset({"SS", "DL", "PPN", "AN", "VN", "MC", "MA", "NPI", "XX", "MB", "HC"})
"""Types of identifiers that are no medical record number: social security, driver's licence,
passport, account, visit, Medicare, Medicaid, provider and member numbers (table 0203).
"""


def identifier(
    segment: Segment | None, field: int, kind: str = "MR", *, owners: frozenset[str] = frozenset()
) -> str:
    """The identifier of one type (CX-5) of a CX field. Of several, that of an assigning authority
    in `owners`; without a type, the only one that can be meant. ParseProblem when it is unclear
    which one is meant.
    """
    if segment is None:
        return ""
    rows = [parts + [""] * (6 - len(parts)) for parts in segment.repeats(field) if parts[0]]
    usable = [parts for parts in rows if parts[4].upper() not in OTHER_NUMBERS]
    typed = [parts for parts in rows if parts[4].upper() == kind]
    patient_ids = [parts for parts in usable if parts[4].upper() in ("PI", "PT")]
    candidates = typed or patient_ids or usable
    own = [parts for parts in candidates if {_authority(parts[3]), _authority(parts[5])} & owners]
    values = {parts[0] for parts in own or candidates}
    if len(values) > 1:
        raise ParseProblem(
            f"{segment.tag}-{field} holds {len(values)} numbers and none is marked as ours.",
            code="identifier_unclear",
            field=f"{segment.tag}-{field}",
            fix="Send our number with the type MR and our facility as its authority.",
        )
    return values.pop() if values else ""


def _authority(component: str) -> str:
    """The name of an assigning authority, the first part of an HD."""
    return component.split("&", 1)[0]


def provider(segment: Segment | None, field: int) -> Provider:
    """A person of an XCN field, the repetition with an NPI first. NDL fields (OBR-32) put the parts
    into subcomponents.
    """
    if segment is None:
        return Provider()
    best = Provider()
    for parts in segment.repeats(field):
        if segment.marks.subcomponent in parts[0]:
            parts = parts[0].split(segment.marks.subcomponent)
        parts += [""] * (7 - len(parts))
        npi = parts[0] if is_npi(parts[0]) else ""
        degree = next((p for p in (parts[6], parts[5], parts[4]) if p), "")
        found = Provider(parts[0], parts[1], parts[2], npi, degree[:20])
        if found.npi:
            return found
        best = best if best.id or best.last else found
    return best


def is_npi(text: str) -> bool:
    """Ten digits beginning with 1 or 2 whose check digit is right (Luhn over 80840 and the
    number).
    """
    if len(text) != 10 or not text.isascii() or not text.isdigit() or text[0] not in "12":
        return False
    total = 24
    for index, character in enumerate(reversed(text)):
        digit = int(character) * (2 if index % 2 else 1)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


# --- answering ------------------------------------------------------------------------------------


def ack(
    to: Header | None, code: str, sentence: str = "", *, error: str = "", at: datetime
) -> bytes:
    """An acknowledgement: AA stored, AE stored but not usable, AR not taken. Echoes MSH-10 in
    MSA-2, with the sender's own separators.
    """
    marks = to.marks if to else Marks()
    f, c = marks.field, marks.component
    clean = "".join(ch for ch in sentence if ch not in marks.encoding + f and ch.isprintable())[
        :200
    ]
    stamp = at.strftime("%Y%m%d%H%M%S%z")
    own = _text(to.receiver if to else "", marks) or "ISOCENTER"
    parts = [
        (
            f"MSH{f}{marks.encoding}{f}{own}{f}{_text(to.receiver_facility if to else '', marks)}{f}{_text(to.sender if to else '', marks)}"
            f"{f}{_text(to.sender_facility if to else '', marks)}{f}{stamp}{f}{f}ACK{c}{_text(to.event if to else '', marks)}{c}ACK"
            f"{f}A{at.strftime('%Y%m%d%H%M%S%f')}{f}{_text(to.processing if to else '', marks) or 'P'}{f}{_text(to.version if to else '', marks) or '2.5.1'}"
        ),
        f"MSA{f}{code}{f}{_text(to.control_id if to else '', marks)}{f}{clean}",
    ]
    if to and to.charset:
        parts[0] += f * 6 + _text(to.charset, marks)
    if code != "AA":
        parts.append(f"ERR{f}{f}{f}{error or '207'}{f}E{f}{f}{f}{f}{clean}")
    return ("\r".join(parts) + "\r").encode(_codec(to), "replace")


def _codec(to: Header | None) -> str:
    named = to.charset.upper() if to else ""
    match = re.fullmatch(r"8859/(\d{1,2})", named)
    return (
        f"iso-8859-{match[1]}"
        if match and 1 <= int(match[1]) <= 15 and match[1] != "12"
        else "utf-8"
    )


def _text(value: str, marks: Marks) -> str:
    """A value as it may stand in a field of the answer."""
    value = _clean(value)
    if not any(ch in value for ch in marks.field + marks.encoding):
        return value
    e = marks.escape
    table = {
        e: f"{e}E{e}",
        marks.field: f"{e}F{e}",
        marks.component: f"{e}S{e}",
        marks.repetition: f"{e}R{e}",
        marks.subcomponent: f"{e}T{e}",
    }
    return "".join(table.get(ch, ch) for ch in value)
