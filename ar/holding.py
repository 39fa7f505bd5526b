"""What each kind of hold on a patient's account stops, and what a person does about it (rule
`account-hold`). Pure: the rows are asked in `ar.services.holds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ar.models import HoldKind


class Act(StrEnum):
    """What a hold can stop."""

    STATEMENT = "statement"
    PLAN = "plan"
    AGENCY = "agency"
    BAD_DEBT = "bad debt"
    SMALL_BALANCE = "small balance"


A = Act


@dataclass(frozen=True, slots=True)
class HoldRule:
    """One kind of hold. `by_hand`: a person sets it; else another act does. `by_person`: only a
    person lifts it. `for_good`: no notice can ever go out, so that nothing waits for the last one.
    """

    kind: str
    sentence: str
    todo: str
    stops: frozenset[Act]
    by_hand: bool = True
    by_person: bool = True
    for_good: bool = False


EVERYTHING = frozenset(Act)
NO_CONTACT = frozenset({A.STATEMENT, A.PLAN, A.AGENCY, A.SMALL_BALANCE})

RULES: Mapping[str, HoldRule] = {
    rule.kind: rule
    for rule in (
        HoldRule(
            HoldKind.DECEASED,
            "The patient has died",
            "Ask the estate, or write it off",
            NO_CONTACT,
            for_good=True,
        ),
        HoldRule(
            HoldKind.BANKRUPTCY,
            "The patient is in bankruptcy: nothing may be collected",
            "File a claim with the court or wait for its order",
            NO_CONTACT,
            for_good=True,
        ),
        HoldRule(
            HoldKind.DISPUTE,
            "The patient disputes it",
            "Answer the dispute, then lift the hold",
            EVERYTHING,
        ),
        HoldRule(
            HoldKind.RETURNED,
            "Mail came back from the address",
            "Ask for the address and change it on the chart",
            frozenset({A.STATEMENT, A.AGENCY}),
            by_person=False,
        ),
        HoldRule(
            HoldKind.CHARITY,
            "Financial assistance is being decided",
            "Get the papers, then decide the application",
            EVERYTHING,
            by_hand=False,
            by_person=False,
        ),
        HoldRule(
            HoldKind.AGENCY,
            "It is with the collection agency",
            "Recall it from the agency first",
            EVERYTHING - {A.PLAN},  # a plan is made with the patient, and recalls it
            by_hand=False,
            by_person=False,
        ),
        HoldRule(
            HoldKind.SILENCE,
            "The patient asked for no mail",
            "Reach the patient another way, then lift the hold",
            frozenset({A.STATEMENT, A.AGENCY}),
        ),
    )
}
BY_HAND = [(rule.kind, HoldKind(rule.kind).label) for rule in RULES.values() if rule.by_hand]
