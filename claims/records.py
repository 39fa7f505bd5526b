"""What remittance, charges and people tell about claims: plain facts that `claims.services` takes
and gives back.

Money is Decimal dollars, days are dates; ids are internal keys. Nothing here touches the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

ZERO = Decimal("0.00")


# --- what a payer decided (told by remittance) ----------------------------------------------------


class Outcome(StrEnum):
    """What became of a claim. CLOSED is zero balance by any way; REVERSED takes an earlier payment
    back and moves nothing.
    """

    PAID = "paid"
    PARTIAL = "partial"
    DENIED = "denied"
    CLOSED = "closed"
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True)
class Adjudicated:
    """One payer decision on one claim. `sentence` is for the timeline: words and dollars, no
    clinical detail.
    """

    claim_id: int
    outcome: Outcome
    decided_on: date
    paid: Decimal = ZERO
    patient: Decimal = ZERO
    payer_control_number: str = ""
    remittance_id: int | None = None
    interchange_id: int | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class LineDecision:
    """What the earlier payer decided on one line; `adjustments` are (group, reason, amount) as in
    its CAS.
    """

    line_id: int
    paid: Decimal
    adjustments: Sequence[tuple[str, str, Decimal]] = ()
    code: str = ""
    modifiers: Sequence[str] = ()
    units: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class PayerDecision:
    """An earlier payer's whole decision: what the next payer is told in loops 2320, 2330 and
    2430.
    """

    claim_id: int
    paid_on: date
    paid: Decimal
    lines: Sequence[LineDecision]
    adjustments: Sequence[tuple[str, str, Decimal]] = ()
    payer_control_number: str = ""


# --- corrections ----------------------------------------------------------------------------------


class Route(StrEnum):
    """How a payer takes a correction (rule `replacement-or-void`)."""

    EDITED = "edited"  # it had not been filed: the claim itself was changed
    REPLACEMENT = "replacement"  # frequency 7 with the payer's number
    VOID = "void"  # frequency 8 with the payer's number
    NEW_CLAIM = "new_claim"  # the payer never processed it (MA130): a new original
    REOPENING = "reopening"  # Original Medicare: by telephone or portal; nothing is sent from here
    WAITING = "waiting"  # the payer has not answered yet: done when its number is known


@dataclass(frozen=True, slots=True)
class Correction:
    """What a correction came to. `claim_id` is the claim to work on now; None when the way leads
    outside (reopening).
    """

    route: Route
    claim_id: int | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What a person changes on a claim. None leaves as it is. `lines` maps a line number to
    modifiers and pointers.
    """

    authorization_number: str | None = None
    referring_npi: str | None = None
    diagnoses: Sequence[str] | None = None
    note: str | None = None
    attachment_control: str | None = None
    referral_number: str | None = None
    delay_reason: str | None = None
    lines: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.lines) or any(
            value is not None
            for value in (
                self.authorization_number,
                self.referring_npi,
                self.diagnoses,
                self.note,
                self.attachment_control,
                self.referral_number,
                self.delay_reason,
            )
        )


# --- results of the batches -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """A claim that did not go on, with the sentence that says why."""

    claim_id: int
    number: str
    sentence: str


@dataclass(slots=True)
class Scrubbed:
    """Counts of one scrub, and the tables that were not loaded, so that edits could not run."""

    ready: int = 0
    blocked: int = 0
    findings: int = 0
    repairs: int = 0
    missing_tables: tuple[str, ...] = ()
    ready_ids: list[int] = field(default_factory=list)
    blocked_ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Submitted:
    """Files made by one submit, and the claims that stayed behind."""

    submission_ids: list[int] = field(default_factory=list)
    claim_ids: list[int] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
