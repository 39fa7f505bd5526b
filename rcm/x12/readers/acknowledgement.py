"""999 and TA1 readers: was the file taken in, and if not, which segment of which set was at
fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rcm.x12.document import Document, Segment, Source, TransactionSet
from rcm.x12.model import (
    Acknowledgement,
    ElementError,
    InterchangeAcknowledgement,
    SegmentError,
    SetAcknowledgement,
    WrongSet,
)
from rcm.x12.readers.common import Notes, at, sets_of
from rcm.x12.values import whole


def read_999(source: Source | Document) -> Iterator[Acknowledgement]:
    """Each 999 (or its elder, 997) of the file. Raises ``NotX12`` or ``WrongSet`` and nothing
    else.
    """
    for current in sets_of(source, "999", "997"):
        yield read_999_set(current)


def read_ta1(source: Source | Document) -> Iterator[InterchangeAcknowledgement]:
    """Each TA1 of the file, whatever else is in it. Raises ``NotX12`` or ``WrongSet`` and nothing
    else.
    """
    document = source if isinstance(source, Document) else Document(source)
    for _ in document.sets():
        pass
    if not document.ta1:
        raise WrongSet("No TA1 in this file.")
    for position, segment in document.ta1:
        yield interchange_acknowledgement(segment, position)


def interchange_acknowledgement(segment: Segment, position: int) -> InterchangeAcknowledgement:
    return InterchangeAcknowledgement(
        at(segment, 1), at(segment, 2), at(segment, 3), at(segment, 4), at(segment, 5), position
    )


def read_999_set(current: TransactionSet) -> Acknowledgement:
    """The acknowledgement in one 999 set."""
    notes = Notes(current)
    component = current.delimiters.component
    ak1: Segment = []
    ak9: Segment = []
    sets: list[dict[str, Any]] = []
    error: dict[str, Any] | None = None
    for segment in current:
        tag = segment[0]
        if tag == "AK1":
            ak1 = segment
        elif tag == "AK2":
            error = None
            sets.append({"ak2": segment, "errors": [], "ik5": []})
        elif tag in ("IK3", "AK3"):
            error = {"head": segment, "contexts": [], "elements": []}
            if sets:
                sets[-1]["errors"].append(error)
        elif tag in ("IK4", "AK4"):
            if error is not None:
                error["elements"].append(_element_error(segment, component))
        elif tag == "CTX":
            if error is not None:
                error["contexts"].append(component.join(segment[1:2]))
        elif tag in ("IK5", "AK5"):
            if sets:
                sets[-1]["ik5"] = segment
        elif tag == "AK9":
            ak9 = segment
        else:
            notes.unknown(segment, "999")
    if not ak1:
        notes.add(
            "missing-ak1",
            "error",
            "999",
            "The acknowledgement does not say which group it answers (AK1).",
        )
    if not ak9:
        notes.add(
            "missing-ak9",
            "warning",
            "999",
            "The acknowledgement does not say how the group fared (AK9).",
        )
    return Acknowledgement(
        group_code=at(ak1, 1),
        group_control=at(ak1, 2),
        group_version=at(ak1, 3),
        sets=tuple([_set(found) for found in sets]),
        code=at(ak9, 1),
        included=whole(at(ak9, 2)),
        received=whole(at(ak9, 3)),
        accepted_count=whole(at(ak9, 4)),
        reasons=tuple([code for code in ak9[5:10] if code]),
        origin=current.origin,
        position=current.start,
        findings=notes.take(),
    )


def _element_error(segment: Segment, component: str) -> ElementError:
    place = at(segment, 1).split(component)
    return ElementError(
        element=whole(place[0]),
        code=at(segment, 3),
        component=whole(place[1]) if len(place) > 1 else 0,
        reference=at(segment, 2),
        bad_data=at(segment, 4),
    )


def _set(found: dict[str, Any]) -> SetAcknowledgement:
    ak2, ik5 = found["ak2"], found["ik5"]
    return SetAcknowledgement(
        st01=at(ak2, 1),
        st02=at(ak2, 2),
        version=at(ak2, 3),
        code=at(ik5, 1),
        reasons=tuple([code for code in ik5[2:7] if code]),
        errors=tuple(
            [
                SegmentError(
                    segment=at(error["head"], 1),
                    segment_position=whole(at(error["head"], 2)),
                    loop=at(error["head"], 3),
                    code=at(error["head"], 4),
                    contexts=tuple(error["contexts"]),
                    elements=tuple(error["elements"]),
                )
                for error in found["errors"]
            ]
        ),
    )
