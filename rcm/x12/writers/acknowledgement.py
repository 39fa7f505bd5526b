"""999 and TA1 writers, and the 999 that a received file deserves by its envelope."""

from __future__ import annotations

from collections.abc import Iterable

from rcm.x12.document import GROUP_OF_SET, Document, Source
from rcm.x12.emit import Emitter, composite
from rcm.x12.model import (
    Acknowledgement,
    Envelope,
    InterchangeAcknowledgement,
    SetAcknowledgement,
    Written,
)

GUIDE_999 = "005010X231A1"

# IK502 for what the envelope of a set can have wrong with it.
_FAULTS = {"missing-se": "2", "se-control": "3", "se-count": "4"}


def write_999(envelope: Envelope, acknowledgements: Iterable[Acknowledgement]) -> Written:
    """One ST for each functional group that is answered."""
    out = Emitter(envelope, "FA", GUIDE_999)
    for item in acknowledgements:
        out.context = f"group {item.group_control}"
        out.begin("999")
        out.carries(item.group_control)
        out.put("AK1", item.group_code, item.group_control, item.group_version)
        for one in item.sets:
            _set(out, one)
        out.put(
            "AK9",
            item.code,
            str(item.included),
            str(item.received),
            str(item.accepted_count),
            *item.reasons[:5],
        )
        out.end()
    return out.written()


def _set(out: Emitter, one: SetAcknowledgement) -> None:
    out.put("AK2", one.st01, one.st02, one.version)
    for error in one.errors:
        out.put("IK3", error.segment, str(error.segment_position), error.loop, error.code)
        for context in error.contexts:
            out.put("CTX", composite(*context.split(":")))
        for element in error.elements:
            place = composite(
                str(element.element), str(element.component) if element.component else ""
            )
            out.put("IK4", place, element.reference, element.code, element.bad_data[:99])
    out.put("IK5", one.code, *one.reasons[:5])


def write_ta1(
    envelope: Envelope, acknowledgements: Iterable[InterchangeAcknowledgement]
) -> Written:
    """TA1 segments in an interchange without a group."""
    out = Emitter(envelope, "", "")
    for item in acknowledgements:
        out.put("TA1", item.control, item.date, item.time, item.code, item.note)
    return out.written()


def acknowledge(
    source: Source, errors: dict[str, SetAcknowledgement] | None = None
) -> list[Acknowledgement]:
    """The 999s for a received file: one for each group, by its counts, control numbers and
    ``errors`` by ST02.

    A set with a wrong count, number or version is rejected; ``errors`` (from a guide check)
    replaces the verdict of a set.
    """
    document = Document(source)
    groups: dict[tuple[str, str, str, str], list[SetAcknowledgement]] = {}
    for current in document.sets():
        origin = current.origin
        for _ in current:
            pass
        reasons = [] if origin.st01 in GROUP_OF_SET else ["1"]
        reasons += [code for fault, code in _FAULTS.items() if fault in current.faults]
        if origin.refusal:
            reasons.append("I5")
        verdict = SetAcknowledgement(
            origin.st01, origin.st02, current.st03, "R" if reasons else "A", tuple(reasons)
        )
        if errors and not reasons:
            verdict = errors.get(origin.st02, verdict)
        groups.setdefault((origin.isa13, origin.gs01, origin.gs06, origin.gs08), []).append(verdict)
    return [
        Acknowledgement(
            group_code=gs01,
            group_control=gs06,
            group_version=gs08,
            sets=tuple(sets),
            code=_group_code(sets),
            included=len(sets),
            received=len(sets),
            accepted_count=sum(one.accepted for one in sets),
        )
        for (_, gs01, gs06, gs08), sets in groups.items()
    ]


def _group_code(sets: list[SetAcknowledgement]) -> str:
    accepted = sum(one.accepted for one in sets)
    if accepted == len(sets):
        return "E" if any(one.code == "E" for one in sets) else "A"
    return "P" if accepted else "R"
