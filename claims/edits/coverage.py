"""Coverage and its order: eligibility, other payers, restrictions (rules `coverage-active` and
`patient-restriction`; CARC 22).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from claims.edits.examples import DOS, MEDICAID, claim, medicare, secondary
from claims.edits.facts import OtherCoverage
from claims.edits.registry import BLOCK, WARN, Hit, Owner, edit
from claims.edits.subject import MEDICAID as MEDICAID_PRODUCTS
from claims.edits.subject import MEDICARE_B, Subject

FIRST = OtherCoverage("87726", 1)


@edit(
    "COV-001",
    BLOCK,
    "The patient asked that this plan is not told.",
    field="restricted_from_plan",
    fix="Bill the patient; nothing of this exam may go to the plan.",
    owner=Owner.COMPLIANCE,
    rule="patient-restriction",
    overridable=False,
    fails=lambda: claim(restricted_from_plan=True),
    passes=claim,
)
def restricted_exams_stay_home(s: Subject) -> Iterator[Hit]:
    if s.claim.restricted_from_plan:
        yield Hit(
            "The patient paid in full and asked that the plan is not told: this claim must never be"
            " sent."
        )


@edit(
    "COV-002",
    BLOCK,
    "The coverage is not active.",
    field="eligibility",
    fix="Verify again, find the right coverage, or bill the patient.",
    owner=Owner.FRONT_DESK,
    rule="coverage-active",
    carc=("27", "26", "200"),
    rarc=("N30",),
    fails=lambda: claim(eligibility="inactive"),
    passes=claim,
)
def coverage_is_active(s: Subject) -> Iterator[Hit]:
    if s.claim.eligibility == "inactive":
        yield Hit(
            "The payer says the coverage is not active (checked"
            f" {s.claim.eligibility_checked_on or 'on an unknown day'})."
        )


@edit(
    "COV-003",
    WARN,
    "Eligibility was never verified, or too long before the service.",
    field="eligibility_checked_on",
    fix="Send a 270 for the service date.",
    owner=Owner.FRONT_DESK,
    rule="eligibility-verified",
    carc=("27", "31"),
    fails=lambda: claim(eligibility="unknown", eligibility_checked_on=None),
    passes=claim,
)
def eligibility_is_fresh(s: Subject) -> Iterator[Hit]:
    checked = s.claim.eligibility_checked_on
    if s.claim.eligibility not in ("active", "inactive") or checked is None:
        yield Hit("Nobody verified the coverage.")
        return
    limit = s.payer.eligibility_days or s.ref.eligibility_days
    if s.first_day is not None and (s.first_day - checked).days > limit:
        yield Hit(
            f"Verified {checked}, {(s.first_day - checked).days} days before the service; {limit}"
            " is the limit."
        )


@edit(
    "COV-004",
    BLOCK,
    "The service is outside the coverage dates.",
    field="coverage_from",
    fix="Bill the coverage of that day.",
    owner=Owner.FRONT_DESK,
    rule="coverage-active",
    carc=("26", "27"),
    rarc=("N30",),
    fails=lambda: claim(coverage_from=date(2026, 11, 1)),
    passes=lambda: claim(coverage_from=DOS, coverage_to=DOS),
)
def service_is_inside_the_coverage(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if item.day is None:
            continue
        if s.claim.coverage_from is not None and item.day < s.claim.coverage_from:
            yield Hit(
                f"The coverage starts {s.claim.coverage_from}; the service was {item.day}.",
                line=item.number,
            )
        elif s.claim.coverage_to is not None and item.day > s.claim.coverage_to:
            yield Hit(
                f"The coverage ended {s.claim.coverage_to}; the service was {item.day}.",
                "coverage_to",
                item.number,
            )


@edit(
    "COV-005",
    BLOCK,
    "A self-pay exam is on a claim.",
    field="product",
    fix="Bill the patient.",
    owner=Owner.BILLER,
    rule="self-pay-no-claim",
    fails=lambda: claim(product="self_pay"),
    passes=claim,
)
def self_pay_makes_no_claim(s: Subject) -> Iterator[Hit]:
    if s.product == "self_pay":
        yield Hit("Self-pay has no payer to send this to.")


@edit(
    "COV-006",
    BLOCK,
    "The service is after the patient's death.",
    field="patient_died_on",
    fix="Check patient and date.",
    owner=Owner.FRONT_DESK,
    rule="claim-dates",
    carc=("13",),
    fails=lambda: claim(patient_died_on=date(2026, 10, 1)),
    passes=lambda: claim(patient_died_on=date(2026, 11, 1)),
)
def patient_was_alive(s: Subject) -> Iterator[Hit]:
    died = s.claim.patient_died_on
    if died is not None and s.last_day is not None and s.last_day > died:
        yield Hit(f"The patient died {died}; the service was {s.last_day}.")


@edit(
    "COB-001",
    WARN,
    "A coverage on file pays before this one and was not billed.",
    field="other_coverages",
    fix="Bill that payer first, or close the coverage.",
    owner=Owner.FRONT_DESK,
    rule="payer-order",
    carc=("22",),
    rarc=("MA04",),
    fails=lambda: claim(other_coverages=(FIRST,)),
    passes=lambda: claim(other_coverages=(replace(FIRST, rank=2),)),
)
def earlier_payers_come_first(s: Subject) -> Iterator[Hit]:
    if s.claim.coverage_rank > 1:
        return
    for other in s.claim.other_coverages:
        if (
            other.active != "no"
            and other.rank <= s.claim.coverage_rank
            and other.payer_id != s.claim.payer_id
            and other.adjudicated_on is None
        ):
            yield Hit(
                f"Payer {other.payer_id} is on file with rank {other.rank} and has not been billed."
            )


@edit(
    "COB-002",
    BLOCK,
    "A later payer is billed before the earlier one decided.",
    field="other_coverages",
    fix="Wait for the earlier payer's remittance.",
    owner=Owner.BILLER,
    rule="payer-order",
    carc=("22",),
    rarc=("MA04", "N4"),
    fails=lambda: secondary(other_coverages=(FIRST,)),
    passes=secondary,
)
def earlier_payers_have_decided(s: Subject) -> Iterator[Hit]:
    if s.claim.coverage_rank < 2:
        return
    earlier = [other for other in s.claim.other_coverages if other.rank < s.claim.coverage_rank]
    if not earlier:
        yield Hit(
            f"The claim is for payer number {s.claim.coverage_rank} and names no earlier payer."
        )
    for other in earlier:
        if other.adjudicated_on is None:
            yield Hit(f"Payer {other.payer_id} has not decided yet.")


@edit(
    "COB-003",
    BLOCK,
    "The earlier payer's decision is not on the lines.",
    field="other_coverages",
    fix="Add the line adjustments from its remittance.",
    owner=Owner.BILLER,
    rule="payer-order",
    carc=("16", "22"),
    rarc=("N4",),
    fails=lambda: secondary(other_coverages=(replace(FIRST, adjudicated_on=date(2026, 11, 10)),)),
    passes=secondary,
)
def decisions_are_by_line(s: Subject) -> Iterator[Hit]:
    if s.claim.coverage_rank < 2:
        return
    for other in s.claim.other_coverages:
        if (
            other.rank < s.claim.coverage_rank
            and other.adjudicated_on is not None
            and not other.line_adjudications
        ):
            yield Hit(
                f"Payer {other.payer_id} decided on {other.adjudicated_on}; its line adjustments"
                " are missing."
            )


@edit(
    "COB-004",
    BLOCK,
    "Medicare is second and the reason is missing.",
    field="msp_type",
    fix="Complete the Medicare secondary payer questionnaire.",
    owner=Owner.FRONT_DESK,
    rule="medicare-second",
    carc=("22",),
    rarc=("MA04", "MA92"),
    products=MEDICARE_B,
    fails=lambda: medicare(
        coverage_rank=2,
        primary_eob_on=date(2026, 11, 10),
        other_coverages=(
            replace(FIRST, adjudicated_on=date(2026, 11, 10), line_adjudications=True),
        ),
    ),
    passes=lambda: medicare(
        coverage_rank=2,
        msp_type="12",
        primary_eob_on=date(2026, 11, 10),
        other_coverages=(
            replace(FIRST, adjudicated_on=date(2026, 11, 10), line_adjudications=True),
        ),
    ),
)
def medicare_second_says_why(s: Subject) -> Iterator[Hit]:
    if s.claim.coverage_rank > 1 and s.claim.msp_type not in (
        "12",
        "13",
        "14",
        "15",
        "16",
        "41",
        "42",
        "43",
        "47",
    ):
        yield Hit("Medicare is billed second without its insurance type code.")


@edit(
    "COB-005",
    BLOCK,
    "Medicaid is billed before another active coverage.",
    field="other_coverages",
    fix="Bill the other coverage first: Medicaid pays last.",
    owner=Owner.BILLER,
    rule="medicaid-last",
    carc=("22",),
    products=MEDICAID_PRODUCTS,
    fails=lambda: claim(
        payer_id=MEDICAID,
        product="medicaid_ffs",
        referral_number="R",
        other_coverages=(replace(FIRST, rank=2),),
    ),
    passes=lambda: claim(payer_id=MEDICAID, product="medicaid_ffs", referral_number="R"),
)
def medicaid_pays_last(s: Subject) -> Iterator[Hit]:
    for other in s.claim.other_coverages:
        if (
            other.active == "yes"
            and other.adjudicated_on is None
            and other.product not in MEDICAID_PRODUCTS
            and other.payer_id != s.claim.payer_id
        ):
            yield Hit(f"Payer {other.payer_id} is active and has not paid; Medicaid is last.")


@edit(
    "COB-006",
    WARN,
    "An accident is named and a health plan is billed first.",
    field="related_cause",
    fix="Ask whether auto or workers' compensation pays first.",
    owner=Owner.FRONT_DESK,
    rule="accident",
    carc=("19", "20", "21"),
    fails=lambda: claim(related_cause="EM", accident_date=date(2026, 10, 1)),
    passes=lambda: claim(
        related_cause="EM", accident_date=date(2026, 10, 1), product="workers_comp"
    ),
)
def accidents_have_their_payer(s: Subject) -> Iterator[Hit]:
    if (
        s.claim.related_cause in ("AA", "EM")
        and s.claim.coverage_rank == 1
        and s.product not in ("workers_comp", "auto")
    ):
        yield Hit(
            f"Related cause {s.claim.related_cause}: another insurance may have to pay first."
        )


@edit(
    "COB-007",
    BLOCK,
    "An earlier payer's decision does not come to the charge of its line.",
    field="other_coverages",
    fix="Compare the remittance with the line; the missing adjustment belongs to it.",
    owner=Owner.BILLER,
    rule="earlier-decision-balances",
    carc=("16", "22"),
    rarc=("N4",),
    fails=lambda: secondary(
        other_coverages=(
            replace(
                FIRST,
                adjudicated_on=date(2026, 11, 10),
                line_adjudications=True,
                unbalanced_lines=(1,),
            ),
        )
    ),
    passes=secondary,
)
def earlier_decisions_balance(s: Subject) -> Iterator[Hit]:
    if s.claim.coverage_rank < 2:
        return
    for other in s.claim.other_coverages:
        for number in other.unbalanced_lines:
            yield Hit(
                f"Payer {other.payer_id}: payment and adjustments of line {number} are not its"
                " charge."
            )
