"""Plain facts that the services take and give back. Money is Decimal dollars, days are dates, ids
are internal keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

ZERO = Decimal("0.00")

CLEAN, EXCEPTION, DENIAL = "clean", "exception", "denial"
GROUPS = ((EXCEPTION, "Exceptions"), (DENIAL, "Denials"), (CLEAN, "Clean"))


@dataclass(frozen=True, slots=True)
class PostingLine:
    """One leg to be posted, in words. Debit positive, credit negative."""

    account: str
    amount: Decimal
    reason: str = ""
    charge_id: int | None = None


@dataclass(frozen=True, slots=True)
class PreviewClaim:
    """What posting will do with one CLP."""

    payment_id: int
    position: int
    group: str
    sentence: str
    paid: Decimal
    legs: Sequence[PostingLine] = ()
    denied: Decimal = ZERO
    patient: Decimal = ZERO
    exception: str = ""


@dataclass(slots=True)
class Preview:
    """All of it: the four groups with counts and dollars, the sums by account, and what keeps it
    from posting (empty: nothing).
    """

    amount: Decimal
    claims: list[PreviewClaim] = field(default_factory=list)
    provider: list[PostingLine] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    dollars: dict[str, Decimal] = field(default_factory=dict)
    accounts: dict[str, Decimal] = field(default_factory=dict)
    blocked: str = ""

    @property
    def posted(self) -> Decimal:
        """The cash that would stand in the ledger: it must equal `amount`."""
        return self.accounts.get("cash", ZERO)


@dataclass(slots=True)
class Posted:
    """What a posting did. `repeated` when it had been done before: then nothing was written now."""

    remittance_id: int
    claims: int = 0
    transactions: int = 0
    denials: int = 0
    variances: int = 0
    unapplied: int = 0
    patients: int = 0
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class KeyedAdjustment:
    group: str
    reason: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class KeyedLine:
    """One service line of a paper EOB as a person reads it."""

    code: str
    billed: Decimal
    paid: Decimal
    adjustments: Sequence[KeyedAdjustment] = ()
    modifiers: Sequence[str] = ()
    units: Decimal = Decimal(1)
    control: str = ""
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class KeyedClaim:
    claim_number: str
    lines: Sequence[KeyedLine]
    status: str = "1"
    payer_control_number: str = ""
    patient_name: str = ""
    service_date: date | None = None


@dataclass(frozen=True, slots=True)
class KeyedEob:
    """A paper EOB: the check and its claims. `withheld` are provider-level amounts (reason,
    reference, amount; positive reduces).
    """

    payer_id: int
    check_number: str
    paid_on: date
    amount: Decimal
    claims: Sequence[KeyedClaim]
    withheld: Sequence[tuple[str, str, Decimal]] = ()


@dataclass(frozen=True, slots=True)
class ScannedEob:
    """The paper of a keyed EOB as a file: PDF, JPEG or PNG."""

    content: bytes
    file_name: str = ""


@dataclass(slots=True)
class DepositResult:
    """A bank file read: lines taken, lines known before, lines matched to a remittance, and lines
    that could not be read.
    """

    added: int = 0
    repeated: int = 0
    matched: int = 0
    withdrawals: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EvidencePart:
    """One page of an appeal packet before it is drawn: a heading and its lines of plain text."""

    title: str
    lines: Sequence[str]
    facts: Sequence[tuple[str, str]] = ()
    more: dict[str, Any] = field(default_factory=dict)
