"""Whether an amount may become the patient's: the one rule that screens, paper, statements, batch
runs and the API ask. Facts in, verdict out.

Two kinds of no. "Never": the payer, the law or our own duty forbids it for good. "Not yet": somebody
else still has to answer first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from remittance import tables

# states of a denial: those that give the money back, and those that still wait for somebody
WON = frozenset({"overturned", "partial", "withdrawn"})
UNDECIDED = frozenset({"open", "corrected", "appealed", "parked"})
NO_NOTICE = "GZ"
"""Says that no advance notice was signed before the exam: the denial is the provider's for good
(Medicare Claims Processing Manual, chapter 30, section 50)."""
ELIGIBILITY, NONCOVERED = "eligibility", "noncovered"


@dataclass(frozen=True, slots=True)
class Denied:
    """A denial that stands on a charge."""

    category: str
    group: str
    reason: str
    status: str

    @property
    def words(self) -> str:
        return self.category.replace("_", " ")

    @property
    def patients(self) -> bool:
        """Whether it may make the patient the payer: no coverage on the day, or a service that the
        policy does not cover and the payer calls the patient's.
        """
        return patients_denial(self)


def patients_denial(denial: Any) -> bool:
    """Whether a denial may make the patient the payer."""
    if denial.category == ELIGIBILITY:
        return True
    return bool(denial.category == NONCOVERED and denial.group == "PR")


@dataclass(frozen=True, slots=True)
class Further:
    """A coverage behind the claim's own that has not answered for the charge."""

    payer: str
    billed: bool


@dataclass(frozen=True, slots=True)
class ChargeFacts:
    """What is known about one charge when somebody wants to bill the patient for it."""

    denials: Sequence[Denied] = ()
    remarks: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    other_lines_open: bool = False
    further: Further | None = None
    in_plan: bool = False
    no_notice: bool = False
    injured_worker: bool = False
    """The claim that stands is with workers' compensation."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the patient is not billed. `forever` is false where somebody else must answer first."""

    code: str
    sentence: str
    forever: bool = False


@dataclass(frozen=True, slots=True)
class Proofs:
    """What must be on file before a denial for coverage becomes the patient's bill, all of it later
    than the denial: the payer's answer that the patient was not covered, a search of other
    coverage, a contact with the patient.
    """

    not_covered: bool = False
    searched: bool = False
    contacted: bool = False

    @property
    def missing(self) -> list[str]:
        wanted = (
            (self.not_covered, "a fresh eligibility answer that says not covered"),
            (self.searched, "a search for other coverage"),
            (self.contacted, "a contact with the patient"),
        )
        return [words for there, words in wanted if not there]


def payer_forbids(remarks: Iterable[str], reasons: Iterable[str]) -> str:
    """The remark or reason code by which a payer says that nothing may be collected from the
    patient; empty when there is none.
    """
    said = tables.never_patient_remarks() & set(remarks)
    said |= {code for code in reasons if tables.treatments().get(code) == "never_patient"}
    return min(said, default="")


def never(facts: ChargeFacts) -> Verdict | None:
    """What forbids the patient's bill for good."""
    if facts.no_notice:
        return Verdict(
            "no_notice",
            "The claim says that no advance notice was signed (GZ): it is never the patient's bill.",
            forever=True,
        )
    if facts.injured_worker:
        return Verdict(
            "workers_comp",
            "Workers' compensation pays for this exam: the injured worker is not billed.",
            forever=True,
        )
    for denial in facts.denials:
        if denial.category in tables.hold_harmless() and denial.status not in WON:
            return Verdict(
                "hold_harmless",
                f"The payer denied it as “{denial.words}”: that is our duty, never the patient's"
                " bill.",
                forever=True,
            )
    code = payer_forbids(facts.remarks, facts.reasons)
    if code:
        return Verdict(
            "payer_forbids",
            f"The payer forbids billing the patient ({code}).",
            forever=True,
        )
    if facts.in_plan and any(
        d.category == ELIGIBILITY and d.status not in WON for d in facts.denials
    ):
        return Verdict(
            "in_plan",
            "The patient was covered on the day of the exam: the denial is the payer's to correct.",
            forever=True,
        )
    return None


def not_yet(facts: ChargeFacts) -> Verdict | None:
    """What must be answered before the patient is billed."""
    undecided = [d for d in facts.denials if d.status in UNDECIDED and not d.patients]
    if undecided:
        first = undecided[0]
        return Verdict(
            "denial_open",
            f"The denial {first.group}-{first.reason} of this charge is not settled.",
        )
    if facts.other_lines_open:
        return Verdict("claim_open", "Another line of the same claim is still open.")
    if facts.further is not None:
        state = "has not answered" if facts.further.billed else "was not billed"
        return Verdict("further_coverage", f"{facts.further.payer} comes next and {state} yet.")
    return None


def verdict(facts: ChargeFacts) -> Verdict | None:
    """Why a charge is not the patient's now; None when it may be."""
    return never(facts) or not_yet(facts)


__all__ = [
    "ChargeFacts",
    "Denied",
    "Further",
    "Proofs",
    "Verdict",
    "never",
    "not_yet",
    "patients_denial",
    "payer_forbids",
    "verdict",
]
