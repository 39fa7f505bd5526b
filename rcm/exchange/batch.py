"""HL7 files and frames that carry more than one message, with or without the batch envelope.

Each message begins at its own MSH. FHS, BHS, BTS and FTS are the envelope: they belong to no
message, and the counts of BTS-1 and FTS-1 are held against what really came (HL7 v2.5.1, chapter
2.10.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BATCH = "HL7-BATCH"
"""The kind of an interchange that is cut into messages, each an interchange of its own."""

BLANK = b"\xef\xbb\xbf\x0b \t\r\n"
_BEGIN = re.compile(
    rb"(?:\A|(?<=[\r\n]))[\x0b\x1c \t]*"
    rb"(?:(MSH)(?=([^\w\s])[^\w\s]{1,5}\2)|(FHS|BHS|BTS|FTS)(?=[^\w\s]|[\r\n]|\Z))"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of one delivery, byte for byte. `problem` says that the envelope and the
    content disagree.
    """

    messages: tuple[bytes, ...]
    control_id: str = ""
    problem: str = ""


def several(content: bytes) -> bool:
    """Whether this is HL7 that must be cut: an envelope, or a second MSH."""
    body = content.lstrip(BLANK)
    if body.startswith((b"FHS", b"BHS")):
        return True
    if not body.startswith(b"MSH") or body.find(b"MSH", 3) < 0:
        return False
    return sum(1 for match in _BEGIN.finditer(body) if match[1]) > 1


def split(content: bytes) -> Batch:
    """Cut at each MSH. A message ends where the next one, or a segment of the envelope, begins."""
    body = content.lstrip(BLANK)
    marks = list(_BEGIN.finditer(body))
    messages: list[bytes] = []
    control = ""
    problems: list[str] = []
    in_batch = batches = 0
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        piece = body[mark.start() : after.start() if after else len(body)]
        if mark[1]:
            messages.append(piece.strip(b"\x0b\x1c \t"))
            in_batch += 1
            continue
        tag = mark[3]
        if tag in (b"FHS", b"BHS"):
            control = control or _field(piece, 10)
        if tag == b"BHS":
            in_batch, batches = 0, batches + 1
        elif tag == b"BTS":
            problems.append(_count(piece, in_batch, "message"))
            in_batch = 0
        elif tag == b"FTS":
            problems.append(_count(piece, batches, "batch"))
    if not messages:
        problems.append("The batch holds no message.")
    return Batch(tuple(messages), control[:60], next((p for p in problems if p), ""))


def _field(segment: bytes, number: int) -> str:
    """A field of an envelope's segment by its place behind the name: BHS-11 is the tenth piece."""
    line = segment.strip(BLANK)
    separator = line[3:4] or b"|"
    parts = re.split(rb"[\r\n]", line)[0].split(separator)
    return parts[number].decode("latin-1").strip() if len(parts) > number else ""


def _count(segment: bytes, found: int, noun: str) -> str:
    """What is wrong with a trailer's count; a trailer that states none is right."""
    stated = _field(segment, 1)
    if not stated.isdecimal() or int(stated) == found or not found:
        return ""
    plural = {"message": "messages", "batch": "batches"}[noun]
    return (
        f"The trailer counts {int(stated):,} {noun if int(stated) == 1 else plural},"
        f" {found:,} came: a part was lost on the way. Ask for the whole file again."
    )
