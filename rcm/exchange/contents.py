"""What a received X12 file holds, set by set, whatever its first one is: clearinghouses put answers
of several kinds into one file, in one interchange or in several.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from rcm.exchange.models import Interchange, ReceivedSet, SetOutcome
from rcm.x12.document import Document
from rcm.x12.model import NotX12

TA1 = "TA1"
ELDER = {"997": "999"}
"""Sets that the reader of their successor reads."""
FIRST = 40
"""Bytes among which an X12 file begins, after a byte-order mark and blank lines."""


@dataclass(frozen=True, slots=True)
class SetFound:
    """One ST (or TA1) of a file. `position` is the number of its segment in the file, from 1."""

    position: int
    kind: str
    interchange_control: str
    group_control: str
    set_control: str


def is_x12(content: bytes) -> bool:
    """Whether bytes begin like X12; anything else holds no sets."""
    head = content[:FIRST].lstrip(b"\xef\xbb\xbf \t\r\n\0")
    return head.startswith(b"ISA") or (head[:2] in (b"GS", b"ST") and not head[2:3].isalnum())


def sets_in(content: bytes, *, sure: bool = False) -> list[SetFound]:
    """Every set of every group of every interchange, in order; empty when there is none. `sure`
    looks although the beginning is no X12.
    """
    if not sure and not is_x12(content):
        return []
    document = Document(io.BytesIO(content))
    found: list[SetFound] = []
    try:
        for current in document.sets():
            o = current.origin
            kind = ELDER.get(o.kind, o.kind) or o.st01 or "a set without a name"
            found.append(SetFound(current.start, kind[:20], o.isa13[:20], o.gs06[:20], o.st02[:20]))
    except NotX12:
        return []
    # a TA1 that acknowledges another interchange travels without a set of its own
    for position, segment in document.ta1:
        control = segment[1].strip() if len(segment) > 1 else ""
        found.append(SetFound(position, TA1, control[:20], "", ""))
    return sorted(found, key=lambda s: s.position)


def kinds_in(content: bytes) -> list[str]:
    """The kinds of sets in a file, each once, in the order of their first set."""
    return list(dict.fromkeys(s.kind for s in sets_in(content)))


def keep_outcomes(
    row: Interchange, found: Sequence[SetFound], outcomes: dict[int, tuple[str, str]]
) -> None:
    """Write what became of each set: (outcome, sentence) by position. A set without one was read by
    nobody. Doing it again replaces what was written.
    """
    ReceivedSet.objects.bulk_create(
        [
            ReceivedSet(
                organization_id=row.organization_id,
                interchange=row,
                position=s.position,
                kind=s.kind,
                interchange_control=s.interchange_control,
                group_control=s.group_control,
                set_control=s.set_control,
                outcome=outcomes.get(s.position, (SetOutcome.NOBODY, ""))[0],
                sentence=outcomes.get(s.position, (SetOutcome.NOBODY, ""))[1][:300],
            )
            for s in found
        ],
        batch_size=1000,
        update_conflicts=True,
        unique_fields=["interchange", "position"],
        update_fields=["outcome", "sentence"],
    )
