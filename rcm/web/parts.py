"""The facts each component is drawn from. Views build these; templates/components/ draw them.

They are plain values without behaviour, so that a phase app can prepare a whole screen in one
function and a test can read what will be shown. `tone` is one of "", "info", "good", "warn", "bad".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

READY, CHECK, STOP = "Ready", "Check", "Stop"
GATE_TONES = {READY: "good", CHECK: "warn", STOP: "bad"}
GATE_ICONS = {READY: "check", CHECK: "clock", STOP: "stop"}


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done: a link (`method="get"`) or a form button (`method="post"`).

    `key` is the single-key shortcut; `disabled_reason` shows the action switched off with its
    reason.
    """

    label: str
    url: str = ""
    method: str = "get"
    primary: bool = False
    danger: bool = False
    key: str = ""
    icon: str = ""
    disabled_reason: str = ""
    fields: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row of the evidence grid: what one source says. `differs` marks the cell that
    disagrees.
    """

    label: str
    code: str = ""
    text: str = ""
    more: str = ""
    differs: bool = False
    missing: bool = False
    url: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a timeline. `actor` is a person's name, or the machine that acted
    (`machine=True`).
    """

    at: dt.datetime | dt.date
    text: str
    actor: str = ""
    kind: str = ""
    tone: str = ""
    machine: bool = False
    detail: str = ""
    url: str = ""
    url_label: str = "Raw"


@dataclass(frozen=True, slots=True)
class Gate:
    """One of the words of the clearance row: Ready, Check or Stop, who does what by when."""

    name: str
    state: str
    reason: str = ""
    url: str = ""
    rule: str = ""

    @property
    def tone(self) -> str:
        return GATE_TONES.get(self.state, "")

    @property
    def icon(self) -> str:
        return GATE_ICONS.get(self.state, "dot")


@dataclass(frozen=True, slots=True)
class Blocker:
    """What stops the next step: a finding's sentence, what to do, where, and the rule it comes
    from.
    """

    text: str
    fix: str = ""
    url: str = ""
    code: str = ""
    rule: str = ""
    tone: str = "bad"


@dataclass(frozen=True, slots=True)
class Stat:
    """One figure with its definition. `spark` is an SVG from `rcm.web.charts.sparkline`."""

    label: str
    value: str
    target: str = ""
    tone: str = ""
    change: str = ""
    definition: str = ""
    url: str = ""
    spark: str = ""
    as_of: str = ""


@dataclass(frozen=True, slots=True)
class Tie:
    """The three-way tie of a payment: money that arrived, what the 835 says, what is posted."""

    arrived: Decimal | None
    advised: Decimal
    posted: Decimal
    arrived_label: str = "EFT or check"
    advised_label: str = "Sum of 835"
    posted_label: str = "Posted"

    @property
    def differences(self) -> list[tuple[str, Decimal]]:
        """What keeps the three apart, in words; empty when they tie."""
        found: list[tuple[str, Decimal]] = []
        if self.arrived is None:
            found.append(("No deposit matched yet", self.advised))
        elif self.arrived != self.advised:
            found.append(("835 and deposit differ by", self.advised - self.arrived))
        if self.posted != self.advised:
            found.append(("Not posted yet", self.advised - self.posted))
        return found

    @property
    def ties(self) -> bool:
        return not self.differences


@dataclass(frozen=True, slots=True)
class Progress:
    """A batch run while it works. `url` answers the same component again; polling stops when
    `finished`.
    """

    label: str
    done: int
    total: int
    finished: bool = False
    failed: int = 0
    url: str = ""
    message: str = ""
    tone: str = "info"


@dataclass(frozen=True, slots=True)
class Conflict:
    """One field of a lost race: what they saved beside what was typed here."""

    label: str
    theirs: str
    mine: str
    name: str = ""

    @property
    def differs(self) -> bool:
        return self.theirs != self.mine


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a preview or of a version comparison: before and after."""

    label: str
    before: str = ""
    after: str = ""

    @property
    def differs(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class RawLine:
    """One segment of a received text; `marked` is the one a finding points at."""

    number: int
    text: str
    marked: bool = False

    @property
    def tag(self) -> str:
        """The segment's name: letters and digits before the first separator."""
        return self.text[
            : next((i for i, c in enumerate(self.text) if not c.isalnum()), len(self.text))
        ]

    @property
    def rest(self) -> str:
        return self.text[len(self.tag) :]


@dataclass(frozen=True, slots=True)
class Crumb:
    """A step back towards the list the reader came from."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class PatientBanner:
    """Who this page is about; on every page with a patient's facts (NHS CUI PAB-0035..0047)."""

    family: str
    given: str
    born: dt.date | None
    mrn: str
    sex: str = ""
    url: str = ""
    alerts: Sequence[str] = field(default_factory=tuple)


def raw_lines(text: str, *, marked: Sequence[int] = (), separator: str = "") -> list[RawLine]:
    """Split an X12 interchange or HL7 message into numbered segments (from 1).

    The X12 terminator is read from the ISA header (position 106) when `separator` is empty.
    """
    if not separator:
        separator = text[105] if text.startswith("ISA") and len(text) > 105 else "\r"
    normal = text.replace("\r\n", "\r").replace("\n", "\r") if separator in "\r\n" else text
    parts = normal.split("\r" if separator in "\r\n" else separator)
    segments = [part.strip("\r\n") for part in parts]
    wanted = set(marked)
    return [
        RawLine(i, seg, i in wanted) for i, seg in enumerate((s for s in segments if s), start=1)
    ]
