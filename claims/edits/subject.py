"""One claim with its tables at hand, prepared once and read by every edit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from charges.components import Contradiction
from claims.edits.facts import ClaimFacts, LineFacts, PriorLine
from claims.edits.reference import IcdRelease, PayerRow, ProcedureRow, ReferenceFacts

COMPONENTS = ("26", "TC")
MEDICARE_B = frozenset({"medicare_b"})
MEDICARE = frozenset({"medicare_b", "medicare_advantage"})
MEDICAID = frozenset({"medicaid_ffs", "medicaid_mco"})
REPEATS = frozenset({"76", "77"})
DISTINCT = frozenset({"59", "XE", "XS", "XP", "XU"})
SIDES = frozenset({"RT", "LT", "50"})
DEAD = frozenset({"void", "rejected"})
_NO_PAYER = PayerRow("")
_NO_PROCEDURE = ProcedureRow("")


class Line:
    """A service line with its procedure row, component, effective date and place."""

    __slots__ = ("code", "component", "day", "facts", "known", "mods", "number", "pos", "row")

    def __init__(self, facts: LineFacts, claim_pos: str, row: ProcedureRow | None) -> None:
        self.facts = facts
        self.code = facts.code
        self.number = facts.number
        self.mods = facts.modifiers
        self.component = component(facts.modifiers)
        self.day = facts.service_date
        self.pos = facts.pos or claim_pos
        self.known = row is not None
        self.row = row or _NO_PROCEDURE

    @property
    def technical(self) -> bool:
        """The line pays for the machine: TC or global."""
        return self.component != "26"

    @property
    def side(self) -> str:
        return next((mod for mod in self.mods if mod in SIDES), "")

    def has(self, mods: Iterable[str]) -> bool:
        return any(mod in mods for mod in self.mods)


class Subject:
    """What an edit reads: `claim`, `lines`, `ref`, `payer` terms, `as_of`."""

    __slots__ = (
        "as_of",
        "claim",
        "codes",
        "contradictions",
        "first_day",
        "last_day",
        "lines",
        "payer",
        "product",
        "ref",
        "same_day",
    )

    def __init__(self, claim: ClaimFacts, ref: ReferenceFacts, as_of: date) -> None:
        procedures = ref.procedures or {}
        self.claim, self.ref, self.as_of = claim, ref, as_of
        self.lines = [Line(line, claim.pos, procedures.get(line.code)) for line in claim.lines]
        self.codes = {line.code for line in self.lines}
        days = [line.day for line in self.lines if line.day is not None]
        self.first_day = min(days, default=None)
        self.last_day = max(days, default=None)
        self.payer = ref.payers.get(claim.payer_id) or ref.products.get(claim.product) or _NO_PAYER
        self.product = claim.product or self.payer.product
        self.same_day: list[PriorLine] = [
            prior
            for prior in claim.history
            if prior.service_date in days
            and prior.status not in DEAD
            and not _is_corrected(claim, prior)
        ]
        self.contradictions: list[Contradiction] | None = (
            None  # filled by the component edits, once
        )

    def group(self, name: str) -> frozenset[str]:
        return self.ref.groups.get(name, frozenset())

    def limit(self, name: str) -> int:
        """A limit by name; one that was not loaded raises, and the engine then holds the claim."""
        return self.ref.limits[name]

    def in_group(self, name: str) -> list[Line]:
        codes = self.group(name)
        return [line for line in self.lines if line.code in codes]

    def age_on(self, day: date | None) -> int | None:
        """Whole years on that day; None when birth date or day is unknown."""
        born = self.claim.patient_dob
        if born is None or day is None or day < born:
            return None
        return day.year - born.year - ((day.month, day.day) < (born.month, born.day))

    def icd_release(self) -> IcdRelease | None:
        """The diagnosis list in force on the first service day; None when none covers it."""
        day = self.first_day
        if day is None or self.ref.icd is None:
            return None
        return next((release for release in self.ref.icd if release.covers(day)), None)

    def pointed(self, line: Line) -> list[str]:
        """The line's diagnoses, without dots; pointers outside the list are left out (FMT-004 finds
        them).
        """
        count = len(self.claim.diagnoses)
        return [
            plain_icd(self.claim.diagnoses[p - 1]) for p in line.facts.pointers if 1 <= p <= count
        ]


def _is_corrected(claim: ClaimFacts, prior: PriorLine) -> bool:
    """The prior line is this very claim, or the one that this replacement or void takes the place
    of.
    """
    if prior.entity != "ours":
        return False
    return prior.claim_id == claim.claim_id or (
        claim.frequency in ("7", "8")
        and bool(claim.payer_icn)
        and prior.payer_icn == claim.payer_icn
    )


def component(modifiers: Iterable[str]) -> str:
    """26, TC, or blank for the global service."""
    return next((mod for mod in modifiers if mod in COMPONENTS), "")


def plain_icd(code: str) -> str:
    return code.replace(".", "").strip().upper()


def full_months_between(earlier: date, later: date) -> int:
    """Full calendar months between the month of the first day and the month of the second (rule
    `exam-frequency`).
    """
    return (later.year - earlier.year) * 12 + later.month - earlier.month - 1


def luhn_npi(npi: str) -> bool:
    """Ten digits whose check digit holds with the prefix 80840."""
    if len(npi) != 10 or not npi.isascii() or not npi.isdigit() or npi[0] not in "12":
        return False
    total = 24
    for place, char in enumerate(reversed(npi)):
        digit = int(char)
        if place % 2:
            digit = digit * 2 - 9 if digit > 4 else digit * 2
        total += digit
    return total % 10 == 0
