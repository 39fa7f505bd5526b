"""The five gates as facts and words, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intake.clearance import (
    ClearanceFacts,
    CoverageFacts,
    Decision,
    EstimateFacts,
    Gate,
    GateName,
    Override,
    OverrideEnd,
    State,
    Verb,
    blocking,
    clear,
    override_ends,
    worst,
)
from intake.completeness import ExamFacts, OrderFacts, order_gaps
from intake.estimate import BenefitFact, cost_sharing, good_faith_due
from rcm.accounts.clock import SiteClock

DAY, TODAY = date(2026, 3, 12), date(2026, 3, 2)
COVERED = CoverageFacts("Prairie", "active", verified_on=TODAY)
READY = ClearanceFacts(
    day=DAY,
    today=TODAY,
    coverage=COVERED,
    estimate=EstimateFacts(Decimal("0.00")),
    decisions={"authorization": Decision(State.READY, "Authorization A-1 until Apr 15.")},
)


def states(facts: ClearanceFacts) -> dict[str, str]:
    return {name.value: gate.state.value for name, gate in clear(facts).items()}


def test_a_visit_with_everything_in_order_is_ready():
    assert set(states(READY).values()) == {"ready"}
    assert worst(clear(READY)) is State.READY
    assert blocking(clear(READY), Verb.CHECK_IN) == []


@pytest.mark.parametrize(
    ("change", "gate", "state"),
    [
        ({"identity_gaps": ("phone",)}, "identity", "check"),
        ({"has_order": False}, "order", "stop"),
        ({"order_gaps": ("the order is not signed",)}, "order", "check"),
        (
            {
                "order_gaps": ("the order is not signed",),
                "today": date(2026, 3, 11),
                "coverage": replace(COVERED, verified_on=date(2026, 3, 11)),
            },
            "order",
            "stop",
        ),
        ({"coverage": None}, "eligibility", "stop"),
        (
            {"coverage": replace(COVERED, status="unverified", verified_on=None)},
            "eligibility",
            "check",
        ),
        ({"network": "out"}, "eligibility", "stop"),
        ({"coverage": replace(COVERED, drift=("copay",))}, "eligibility", "check"),
        ({"today": date(2026, 3, 9)}, "eligibility", "check"),
        ({"decisions": {}}, "authorization", "check"),
        ({"decisions": {"authorization": Decision(State.STOP, "denied")}}, "authorization", "stop"),
        ({"estimate": None}, "money", "check"),
        ({"estimate": EstimateFacts(Decimal("64.00"))}, "money", "check"),
    ],
)
def test_what_is_missing_is_its_own_gate(change, gate, state):
    found = states(replace(READY, **change))
    assert found[gate] == state
    assert {v for k, v in found.items() if k != gate} == {"ready"}


def test_verified_at_t_minus_3_is_asked_again_at_t_minus_1():
    at_t3 = replace(
        READY, coverage=replace(COVERED, verified_on=date(2026, 3, 9)), today=date(2026, 3, 10)
    )
    assert states(at_t3)["eligibility"] == "ready"
    at_t1 = replace(at_t3, today=date(2026, 3, 11))
    assert (
        clear(at_t1)[GateName.ELIGIBILITY].sentence
        == "Verified Mar 9: verify again before the exam."
    )
    assert (
        states(replace(at_t1, coverage=replace(COVERED, verified_on=date(2026, 3, 11))))[
            "eligibility"
        ]
        == "ready"
    )


def test_an_open_authorization_lets_book_but_neither_confirm_nor_check_in():
    facts = replace(READY, decisions={"authorization": Decision(State.CHECK, "requested")})
    assert blocking(clear(facts), Verb.BOOK) == []
    assert [name for name, _ in blocking(clear(facts), Verb.CONFIRM)] == [GateName.AUTHORIZATION]


def test_an_override_holds_while_what_it_overrode_stands_whatever_the_wording():
    denied = Decision(State.STOP, "denied", cause="AUTH_DENIED:70551:PHP/1")
    kept = Override(denied.cause, date(2026, 3, 12), "patient pays", "Ada")
    facts = replace(READY, decisions={"authorization": denied}, overrides={"authorization": kept})
    overridden = clear(facts)
    assert blocking(overridden, Verb.CHECK_IN) == []
    assert overridden[GateName.AUTHORIZATION].sentence == "Overridden by Ada: patient pays"
    reworded = replace(denied, sentence="not approved")
    assert clear(replace(facts, decisions={"authorization": reworded}))[
        GateName.AUTHORIZATION
    ].overridden
    other = replace(denied, cause="AUTH_EXPIRED:70551:PHP/1")
    assert [
        name
        for name, _ in blocking(
            clear(replace(facts, decisions={"authorization": other})), Verb.CHECK_IN
        )
    ] == [GateName.AUTHORIZATION]


def test_an_override_ends_on_its_own_date_and_when_the_gate_is_ready():
    gate = Gate(State.STOP, "denied", cause="x")
    kept = Override("x", date(2026, 3, 11), "patient pays", "Ada")
    assert override_ends(kept, gate, date(2026, 3, 11)) is None
    assert override_ends(kept, gate, date(2026, 3, 12)) is OverrideEnd.DATE
    assert override_ends(kept, replace(gate, cause="y"), date(2026, 3, 11)) is OverrideEnd.CHANGED
    ready = Gate(State.READY, "Authorization A-1.")
    assert override_ends(kept, ready, date(2026, 3, 11)) is OverrideEnd.CLEARED


@pytest.mark.parametrize("ended", [{"status": "inactive"}, {"covers_day": False}])
def test_a_coverage_that_ended_takes_what_was_settled_with_it(ended):
    found = states(replace(READY, coverage=replace(COVERED, **ended)))
    assert found == {
        "identity": "ready",
        "order": "ready",
        "eligibility": "stop",
        "authorization": "check",
        "necessity": "ready",
        "money": "check",
    }


@pytest.mark.parametrize("gate", ["eligibility", "order", "identity", "money"])
def test_every_gate_says_what_stands_in_the_way_beside_its_wording(gate):
    facts = replace(
        READY,
        identity_gaps=("phone",),
        order_gaps=("signature",),
        coverage=replace(COVERED, status="inactive"),
        estimate=None,
    )
    found = clear(facts)[GateName(gate)]
    assert found.cause and found.state is not State.READY
    kept = {gate: Override(found.cause, facts.day, "the physician insists", "Ada")}
    assert clear(replace(facts, overrides=kept))[GateName(gate)].overridden


@given(
    st.sampled_from(["active", "inactive", "rejected", "unverified"]),
    st.booleans(),
    st.sampled_from(["", "in", "out", "pending"]),
    st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    st.dates(date(2026, 1, 1), date(2026, 12, 31)),
)
def test_every_gate_that_is_not_ready_says_who_and_why(status, has_order, network, day, today):
    facts = replace(
        READY,
        coverage=replace(COVERED, status=status),
        has_order=has_order,
        network=network,
        day=day,
        today=today,
    )
    for gate in clear(facts).values():
        assert gate.sentence
        assert (gate.owner == "") == (gate.state is State.READY)


COMPLETE = OrderFacts(
    True,
    "headache, new focal weakness",
    ("R519",),
    (),
    "1932102084",
    True,
    (ExamFacts("70551", modality="MR", contrast="without"),),
)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"signed": False}, "ORDER_NOT_SIGNED"),
        ({"indication": ""}, "ORDER_NO_INDICATION"),
        ({"indication": "Pain."}, "ORDER_VAGUE_INDICATION"),
        ({"diagnoses": ()}, "ORDER_NO_DIAGNOSIS"),
        ({"unknown_diagnoses": ("R51",)}, "ORDER_DIAGNOSIS_UNKNOWN"),
        ({"ordering_npi": ""}, "ORDER_NO_PROVIDER"),
        ({"npi_valid": False}, "ORDER_NPI_WRONG"),
        (
            {"exams": (ExamFacts("73721", needs_side=True, modality="MR", contrast="without"),)},
            "ORDER_NO_SIDE",
        ),
        ({"exams": (ExamFacts("74150", modality="CT", contrast="any"),)}, "ORDER_NO_CONTRAST"),
        ({"exams": (ExamFacts("99999", known=False),)}, "ORDER_CODE_UNKNOWN"),
    ],
)
def test_an_incomplete_order_says_what_to_ask(change, code):
    assert order_gaps(COMPLETE) == []
    gaps = order_gaps(replace(COMPLETE, **change))
    assert [g.code for g in gaps] == [code]
    assert gaps[0].fix


@pytest.mark.parametrize(
    ("scheduled", "service", "due"),
    [
        (date(2026, 3, 2), date(2026, 3, 4), None),  # two business days ahead: only on request
        (date(2026, 3, 2), date(2026, 3, 5), date(2026, 3, 3)),  # three: one business day
        (date(2026, 3, 6), date(2026, 3, 12), date(2026, 3, 9)),  # a Friday: Monday
        (date(2026, 3, 2), date(2026, 3, 16), date(2026, 3, 5)),  # ten: three business days
        (
            date(2026, 7, 1),
            date(2026, 7, 20),
            date(2026, 7, 7),
        ),  # Independence Day, observed on Friday the 3rd, does not count
    ],
)
def test_the_good_faith_estimate_has_its_legal_day(scheduled, service, due):
    assert good_faith_due(scheduled_on=scheduled, service_on=service, clock=SiteClock()) == due


def test_on_request_it_is_due_in_three_business_days():
    assert good_faith_due(
        scheduled_on=date(2026, 3, 2),
        service_on=date(2026, 3, 3),
        requested_on=date(2026, 3, 2),
        clock=SiteClock(),
    ) == date(2026, 3, 5)


def test_benefits_of_the_asked_type_come_first_and_met_is_taken_off_the_total():
    rows = [
        BenefitFact("copay", "B", "IND", ("30",), amount=Decimal("25.00")),
        BenefitFact("copay", "B", "IND", ("62",), amount=Decimal("150.00"), in_network=True),
        BenefitFact("copay", "B", "IND", ("62",), amount=Decimal("400.00"), in_network=False),
        BenefitFact("deductible", "C", "IND", ("30",), "23", Decimal("500.00")),
        BenefitFact("deductible", "C", "IND", ("30",), "24", Decimal("380.00")),
        BenefitFact("coinsurance", "A", "IND", ("62",), percent=Decimal("20.00")),
    ]
    found = cost_sharing(rows, ("62", "4", "30"))
    assert (found.copay, found.deductible_remaining, found.coinsurance) == (
        Decimal("150.00"),
        Decimal("120.00"),
        Decimal("0.20"),
    )
    assert found.out_of_pocket_remaining is None
    assert cost_sharing(rows, ("62",), in_network=False).copay == Decimal("400.00")
