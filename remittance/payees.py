"""Whose money a payment is: the payee of an 835 against our own numbers. Facts in, a sentence out; no
database.

N1*PE names the payee by NPI (XX) or tax number (FI), REF*TJ adds the tax number. What the file gives
must be ours; a number that is not ours makes the whole payment somebody else's, and a payee that is
not named at all is nobody's until the payer says whose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """An organization of this office with the numbers it is paid under."""

    organization_id: int
    name: str
    npis: frozenset[str]
    tins: frozenset[str]


@dataclass(frozen=True, slots=True)
class Payee:
    """The payee as the file names it; a number that is not given is empty."""

    name: str = ""
    npi: str = ""
    tin: str = ""

    @property
    def words(self) -> str:
        """Name and number for a sentence."""
        number = f"NPI {self.npi}" if self.npi else ""
        if not number and self.tin:
            number = f"tax number {self.tin}"
        named = self.name.title() if self.name.isupper() else self.name
        if named and number:
            return f"{named} ({number})"
        return named or number


def digits(number: str) -> str:
    """A tax number or NPI as it is compared: digits only."""
    return "".join(c for c in number if c.isdecimal())


def why_not_ours(payee: Payee, own: Owner, others: Sequence[Owner]) -> str:
    """Why the payment is not ours, with whose it is; empty when it is ours."""
    if not payee.npi and not payee.tin:
        return "The file names no payee by NPI or tax number, so nobody can tell whose money it is."
    theirs = _owner(payee, others)
    if payee.npi and payee.npi not in own.npis:
        if theirs is not None:
            return f"It pays {theirs.name} (NPI {payee.npi}), not {own.name}."
        return f"It pays {payee.words}, which is neither {own.name} nor one of its sites."
    if payee.tin and payee.tin not in own.tins:
        if theirs is not None:
            return f"It pays under the tax number of {theirs.name}, not that of {own.name}."
        return f"It pays under the tax number {payee.tin}, which is not that of {own.name}."
    return ""


def _owner(payee: Payee, others: Sequence[Owner]) -> Owner | None:
    """The other organization that the payee's NPI names, or its tax number where the NPI names
    none.
    """
    by_npi = next((o for o in others if payee.npi and payee.npi in o.npis), None)
    return by_npi or next((o for o in others if payee.tin and payee.tin in o.tins), None)
