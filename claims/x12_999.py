"""999 and TA1 ↔ a file's fate, in plain words with the place at fault. No
database.
"""

from __future__ import annotations

from rcm.x12 import words
from rcm.x12.model import (
    Acknowledgement,
    InterchangeAcknowledgement,
    SegmentError,
    SetAcknowledgement,
)


def group_sentence(answer: Acknowledgement) -> str:
    verdict = words.words(words.SET_VERDICT, answer.code)
    return (
        f"File {verdict}: {answer.accepted_count} of {answer.received or answer.included} sets"
        " taken."
    )


def set_sentence(one: SetAcknowledgement) -> str:
    reasons = ", ".join(words.words(words.SET_ERROR, code) for code in one.reasons)
    verdict = words.words(words.SET_VERDICT, one.code)
    return f"Set {one.st02} {verdict}" + (f": {reasons}." if reasons else ".")


def error_sentence(error: SegmentError) -> tuple[str, str]:
    """(sentence, field) of one segment at fault; the bad value itself is left out."""
    where = f"{error.segment} (segment {error.segment_position}" + (
        f", loop {error.loop})" if error.loop else ")"
    )
    if error.elements:
        first = error.elements[0]
        place = f"{error.segment}{first.element:02d}" + (
            f"-{first.component}" if first.component else ""
        )
        return (
            (
                f"{place} at segment {error.segment_position}:"
                f" {words.words(words.ELEMENT_ERROR, first.code)}."
            ),
            place,
        )
    return f"{where}: {words.words(words.SEGMENT_ERROR, error.code)}.", error.segment


def interchange_sentence(answer: InterchangeAcknowledgement) -> str:
    verdict = {"A": "accepted", "E": "accepted with errors", "R": "rejected"}.get(
        answer.code, answer.code
    )
    return (
        f"Interchange {answer.control} {verdict}:"
        f" {words.words(words.INTERCHANGE_NOTE, answer.note)}."
    )
