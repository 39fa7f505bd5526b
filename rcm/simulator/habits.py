"""How each simulated payer behaves: prices, delays, and the share of each mishap. Invented payers,
invented habits.

Shares are chances in a thousand per claim (or exam, member, request), drawn from a hash of its
number: the same claim always fares the same. What a payer can see for itself is not drawn: a
missing authorization, a late claim and a duplicate are denied because they are so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Habit:
    """One payer. `percent` of the physician fee schedule it pays; days are calendar days."""

    percent: Decimal = Decimal("1.30")
    ack_days: int = 1
    pay_days: int = 14
    filing_days: int = 180
    medicare: bool = False
    needs_auth: frozenset[str] = frozenset({"CT", "MR", "PET", "NM"})
    auth: dict[str, int] = field(default_factory=lambda: {"A1": 820, "A4": 110, "A6": 30, "A3": 40})
    inactive: int = 30
    unknown_member: int = 20
    copay: Decimal = Decimal("0.00")
    coinsurance: Decimal = Decimal("0.20")
    deductible: Decimal = Decimal("500.00")
    reject: int = 25
    deny: dict[str, int] = field(default_factory=dict)
    underpay: int = 30
    takeback: int = 4
    correct: int = 6
    no_mppr: bool = False
    forwards: bool = False


_USUAL = {
    "50": 6,
    "97": 3,
    "4": 3,
    "16": 5,
    "22": 3,
    "11": 2,
    "252": 2,
    "96": 2,
    "26": 2,
    "B7": 2,
    "18": 0,
    "58": 2,
    "89": 2,
    "112": 2,
    "204": 2,
    "9": 2,
}

HABITS: dict[str, Habit] = {
    "06102": Habit(
        percent=Decimal("1.00"),
        pay_days=14,
        filing_days=365,
        medicare=True,
        needs_auth=frozenset(),
        deductible=Decimal("257.00"),
        deny={"50": 10, "16": 7, "4": 5, "96": 3, "22": 6},
        underpay=5,
        forwards=True,
        inactive=10,
    ),
    "GMADV": Habit(
        percent=Decimal("1.05"),
        pay_days=21,
        filing_days=365,
        copay=Decimal("40.00"),
        coinsurance=Decimal(0),
        deductible=Decimal(0),
        deny=_USUAL,
        auth={"A1": 760, "A4": 150, "A6": 40, "A3": 50},
    ),
    "ILMCD": Habit(
        percent=Decimal("0.78"),
        pay_days=28,
        filing_days=180,
        coinsurance=Decimal(0),
        deductible=Decimal(0),
        deny=_USUAL | {"31": 7},
        inactive=60,
    ),
    "HARBR": Habit(
        percent=Decimal("0.82"),
        pay_days=24,
        filing_days=95,
        coinsurance=Decimal(0),
        deductible=Decimal(0),
        deny=_USUAL | {"27": 8},
        inactive=60,
        reject=45,
    ),
    "PRHP1": Habit(
        percent=Decimal("1.35"),
        pay_days=14,
        filing_days=90,
        copay=Decimal("50.00"),
        deny=_USUAL,
        underpay=110,
    ),
    "LKBRG": Habit(
        percent=Decimal("1.25"),
        pay_days=21,
        filing_days=180,
        deductible=Decimal("1500.00"),
        deny=_USUAL,
        takeback=12,
        correct=14,
    ),
    "SUMMB": Habit(
        percent=Decimal("1.40"),
        pay_days=30,
        filing_days=365,
        deductible=Decimal("750.00"),
        deny=_USUAL | {"252": 11},
        underpay=20,
    ),
    "CASC1": Habit(
        percent=Decimal("1.15"),
        pay_days=18,
        filing_days=120,
        copay=Decimal("30.00"),
        deny=_USUAL | {"4": 11, "16": 14},
    ),
    "EVGSB": Habit(
        percent=Decimal("1.00"),
        pay_days=25,
        filing_days=365,
        needs_auth=frozenset(),
        coinsurance=Decimal(0),
        deductible=Decimal(0),
        deny={},
        underpay=0,
        reject=10,
        inactive=10,
    ),
    "KEYWC": Habit(
        percent=Decimal("1.20"),
        pay_days=45,
        filing_days=95,
        coinsurance=Decimal(0),
        deductible=Decimal(0),
        deny=_USUAL | {"252": 33},
        no_mppr=True,
    ),
}
USUAL = Habit(deny=_USUAL)


def habit(payer: str) -> Habit:
    return HABITS.get(payer, USUAL)


FATES = {
    "9990": "inactive",
    "9991": "unknown",
    "9992": "pended",
    "9993": "refused",
    "9994": "rejected",
    "9995": "incomplete",
    "9996": "unnecessary",
    "9997": "short",
    "9999": "plain",
}
"""Test members, by the end of their member ID: nothing is drawn for them. 9990 is not covered, 9991
not on file; 9992's authorization is pended, 9993's refused; the first claim of 9994 is rejected, of
9995 denied for missing information, of 9996 as not necessary (an appeal wins), of 9997 paid short.
Everything else of theirs goes well, and all of 9999.
"""


def fate(member_id: str) -> str:
    """What happens to a test member, or "" for everybody else."""
    return FATES.get(member_id[-4:], "")


def draw(*parts: object) -> int:
    """A number from 0 to 999 that the same parts always give."""
    digest = hashlib.sha256("|".join(str(p) for p in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") % 1000


def pick(shares: dict[str, int], *parts: object) -> str:
    """The name whose share the draw falls into, or "" when it falls past all of them."""
    number = draw(*parts)
    for name, share in shares.items():
        if number < share:
            return name
        number -= share
    return ""
