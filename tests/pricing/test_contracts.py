"""Contracts: every method, which rate wins, what the paper does not say."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from rcm.pricing.contracts import contract_of_terms, percent
from rcm.pricing.facts import (
    NATIONAL,
    Benefits,
    BilledLine,
    Component,
    Contract,
    ContractRate,
    MpprScope,
    MpprTerms,
    PricedLine,
    PriceStatus,
)

from .cast import (
    CHICAGO,
    FLAT,
    LIKE_MEDICARE,
    NO_MPPR,
    OF_CHARGE,
    OF_MEDICARE,
    D,
    contract,
    line,
    price,
)

PLAN = Benefits(D(0), coinsurance=D("0.10"))


def pay(terms: Contract, *lines: BilledLine, **context: Any) -> list[PricedLine]:
    return price(*lines, contract=terms, **{"benefits": PLAN, **context})


def test_percent_of_medicare() -> None:
    [priced] = pay(contract(ContractRate(OF_MEDICARE, D("1.20"))), line("70553"))
    assert priced.allowed == D("380.36")  # 316.97 × 120 %
    assert (priced.professional, priced.technical) == (D("126.25"), D("254.11"))


def test_a_pinned_year_keeps_its_own_schedule() -> None:
    pinned = contract(ContractRate(OF_MEDICARE, D("1.00"), medicare_year=2025))
    [priced] = pay(pinned, line("93306"), date_of_service=dt.date(2026, 9, 8))
    assert priced.allowed == D("187.93")
    assert any("Medicare 2025" in step.words for step in priced.derivation)
    [unknown] = pay(
        contract(ContractRate(OF_MEDICARE, D("1.00"), medicare_year=2019)), line("70553")
    )
    assert unknown.reason_code == "NO_FEE_SCHEDULE"


def test_percent_of_medicare_can_pin_the_locality() -> None:
    here = contract(ContractRate(OF_MEDICARE, D(1)), medicare_locality=CHICAGO)
    assert pay(here, line("70553"), locality=NATIONAL)[0].allowed == D("325.60")


def test_percent_of_charge_is_for_the_whole_line() -> None:
    terms = contract(ContractRate(OF_CHARGE, D("0.55")))
    [priced] = pay(terms, line("70553", units=2, charge=D(2000)))
    assert priced.allowed == D(1100)
    [held] = pay(terms, line("70553"))
    assert held.reason_code == "NO_CHARGE"


def test_flat_by_code_beats_flat_by_modality() -> None:
    terms = contract(
        ContractRate(FLAT, D(400), modality="MR"),
        ContractRate(FLAT, D(650), code="70553"),
        mppr=NO_MPPR,
    )
    mri, spine = pay(terms, line("70553"), line("72148"))
    assert (mri.allowed, spine.allowed) == (D(650), D(400))


def test_a_flat_rate_for_the_whole_says_nothing_about_the_reading() -> None:
    [held] = pay(contract(ContractRate(FLAT, D(650), code="70553")), line("70553", "26"))
    assert (held.status, held.reason_code) == (PriceStatus.HOLD, "CONTRACT_SILENT")


def test_per_component_rates_add_up_to_the_whole() -> None:
    terms = contract(
        ContractRate(FLAT, D(90), code="70553", component=Component.PROFESSIONAL),
        ContractRate(FLAT, D(310), code="70553", component=Component.TECHNICAL),
    )
    whole, reading, technical = (pay(terms, line("70553", *m))[0] for m in ((), ("26",), ("TC",)))
    assert (whole.allowed, reading.allowed, technical.allowed) == (D(400), D(90), D(310))


def test_lesser_of_charge_and_carve_out() -> None:
    rate = ContractRate(FLAT, D(650), code="70553")
    assert pay(contract(rate), line("70553", charge=D(500)))[0].allowed == D(500)
    assert pay(contract(rate, lesser_of_charge=False), line("70553", charge=D(500)))[
        0
    ].allowed == D(650)
    carved = ContractRate(FLAT, D(650), code="70553", carve_out=True)
    first, second = pay(
        contract(ContractRate(OF_MEDICARE, D(1)), carved, mppr=LIKE_MEDICARE),
        line("72148"),
        line("70553", charge=D(500)),
    )
    assert (first.allowed, second.allowed) == (D("191.72"), D(650))


def test_medicare_like_terms_give_the_medicare_reduction() -> None:
    terms = contract(ContractRate(OF_MEDICARE, D(1)), mppr=LIKE_MEDICARE)
    assert [p.allowed for p in pay(terms, line("70553"), line("72148"))] == [
        D("316.97"),
        D("126.68"),
    ]


def test_a_contract_may_reduce_only_the_technical_part_or_nothing() -> None:
    technical_only = contract(
        ContractRate(OF_MEDICARE, D(1)), mppr=MpprTerms(MpprScope.GROUP, paid_tc=D("0.50"))
    )
    assert pay(technical_only, line("70553"), line("72148"))[1].allowed == D(
        "130.10"
    )  # 68.47 + 61.63
    nothing = contract(ContractRate(OF_MEDICARE, D(1)), mppr=NO_MPPR)
    assert pay(nothing, line("70553"), line("72148"))[1].allowed == D("191.72")


def test_scope_decides_who_ranks_together() -> None:
    two_readers = (line("70553", rendering="1"), line("72148", rendering="2"))
    for scope, second in ((MpprScope.PHYSICIAN, D("191.72")), (MpprScope.GROUP, D("126.68"))):
        terms = contract(
            ContractRate(OF_MEDICARE, D(1)), mppr=MpprTerms(scope, D("0.95"), D("0.50"))
        )
        assert pay(terms, *two_readers)[1].allowed == second
    apart = (line("70553", session="A"), line("72148", "XE", session="B"))
    for scope, second in ((MpprScope.GROUP, D("191.72")), (MpprScope.DAY, D("126.68"))):
        terms = contract(
            ContractRate(OF_MEDICARE, D(1)), mppr=MpprTerms(scope, D("0.95"), D("0.50"))
        )
        assert pay(terms, *apart)[1].allowed == second


def test_a_contract_silent_about_several_procedures_holds_that_session_only() -> None:
    silent = contract(ContractRate(OF_MEDICARE, D(1)))
    assert [p.reason_code for p in pay(silent, line("70553"), line("72148"))] == [
        "CONTRACT_SILENT_MULTIPLE"
    ] * 2
    assert pay(silent, line("70553"), line("71046"))[0].allowed == D("316.97")


def test_flat_rates_without_parts_need_a_percentage_for_the_whole() -> None:
    rates = (ContractRate(FLAT, D(650), code="70553"), ContractRate(FLAT, D(400), code="72148"))
    unknown = contract(*rates, mppr=LIKE_MEDICARE)
    assert {p.reason_code for p in pay(unknown, line("70553"), line("72148"))} == {"PARTS_UNKNOWN"}
    known = contract(*rates, mppr=MpprTerms(MpprScope.GROUP, paid_global=D("0.50")))
    assert [p.allowed for p in pay(known, line("70553"), line("72148"))] == [D(650), D(200)]


def test_dates_of_contract_and_rate_count() -> None:
    old = contract(ContractRate(FLAT, D(650), code="70553"), effective_to=dt.date(2026, 6, 30))
    assert pay(old, line("70553"))[0].reason_code == "CONTRACT_NOT_IN_FORCE"
    raised = contract(
        ContractRate(FLAT, D(650), code="70553", effective_to=dt.date(2026, 6, 30)),
        ContractRate(FLAT, D(700), code="70553", effective_from=dt.date(2026, 7, 1)),
    )
    assert pay(raised, line("70553"))[0].allowed == D(700)
    assert pay(raised, line("70553"), date_of_service=dt.date(2026, 6, 30))[0].allowed == D(650)


def test_site_and_plan_narrow_a_rate() -> None:
    terms = contract(
        ContractRate(FLAT, D(600), code="70553"),
        ContractRate(FLAT, D(700), code="70553", plan="GOLD"),
        ContractRate(FLAT, D(800), code="70553", site="NORTH"),
    )
    assert pay(terms, line("70553"), plan="GOLD")[0].allowed == D(700)
    assert pay(terms, line("70553"), plan="GOLD", site="NORTH")[0].allowed == D(800)
    assert pay(terms, line("70553"), plan="BRONZE")[0].allowed == D(600)


def test_two_equal_rates_that_differ_are_not_chosen_between() -> None:
    twice = contract(
        ContractRate(FLAT, D(600), code="70553"), ContractRate(FLAT, D(610), code="70553")
    )
    assert pay(twice, line("70553"))[0].reason_code == "CONTRACT_AMBIGUOUS"


def test_a_rate_for_modifier_52_prices_the_reduced_service() -> None:
    terms = contract(
        ContractRate(FLAT, D(650), code="70553"),
        ContractRate(FLAT, D(325), code="70553", modifier="52"),
    )
    assert pay(terms, line("70553", "52"))[0].allowed == D(325)
    only = contract(ContractRate(FLAT, D(650), code="70553"))
    assert pay(only, line("70553", "52"))[0].reason_code == "REDUCED_SERVICE"


def test_contrast_has_a_flat_price_per_unit_without_a_fee_schedule_row() -> None:
    terms = contract(
        ContractRate(FLAT, D("0.35"), code="Q9967"),
        ContractRate(OF_MEDICARE, D(1)),
        mppr=LIKE_MEDICARE,
    )
    scan, agent = pay(terms, line("74177"), line("Q9967", units=100))
    assert (scan.allowed, agent.allowed) == (D("300.27"), D(35))


def test_both_sides_under_a_flat_contract_need_its_word() -> None:
    rate = ContractRate(FLAT, D(100), code="76641")
    assert pay(contract(rate), line("76641", "50"))[0].reason_code == "CONTRACT_SILENT_BILATERAL"
    assert pay(contract(rate, bilateral=D("1.5")), line("76641", "50"))[0].allowed == D(150)


def test_a_commercial_contract_takes_no_equipment_reduction_unless_it_says_so() -> None:
    plain = contract(ContractRate(OF_MEDICARE, D(1)))
    strict = contract(ContractRate(OF_MEDICARE, D(1)), equipment_reductions=True)
    assert pay(plain, line("71046", "FX"))[0].allowed == D("33.07")
    assert pay(strict, line("71046", "FX"))[0].allowed == D("28.46")


def test_cost_sharing_of_a_plan() -> None:
    terms = contract(ContractRate(FLAT, D(600)), mppr=NO_MPPR)
    benefits = Benefits(D(100), coinsurance=D("0.10"), copay=D(50), out_of_pocket_remaining=D(170))
    first, second = pay(terms, line("70553"), line("72148"), benefits=benefits)
    assert (first.deductible, first.copay, first.coinsurance) == (
        D(100),
        D(50),
        D(20),
    )  # 45 limited by what is left
    assert first.patient_share == D(170)
    assert second.patient_share == D(0)
    assert second.payer_share == D(600)
    assert first.sequestration == D(0)


def test_medicare_advantage_may_sequester() -> None:
    terms = contract(ContractRate(OF_MEDICARE, D(1)), sequestration=True)
    [priced] = pay(terms, line("70553"), benefits=Benefits(D(0), coinsurance=D("0.20")))
    assert (priced.sequestration, priced.payer_share) == (D("5.07"), D("248.51"))


def test_a_stored_contract_reads_its_terms() -> None:
    terms = contract_of_terms(
        key="7",
        name="Acme",
        method="percent_of_medicare",
        terms={
            "percent": "120",
            "year": 2026,
            "mppr_pc_pct": 95,
            "mppr_tc_pct": 50,
            "lesser_of": False,
        },
        rates=[ContractRate(FLAT, D(700), code="70553", carve_out=True)],
        effective_from=dt.date(2026, 1, 1),
    )
    assert terms.mppr == MpprTerms(MpprScope.GROUP, D("0.95"), D("0.5"))
    assert [p.allowed for p in pay(terms, line("70553"), line("71046"))] == [D(700), D("39.68")]
    assert terms.lesser_of_charge is False


@pytest.mark.parametrize(
    ("method", "terms"),
    [
        ("percent_of_medicare", {"percent": "lots"}),
        ("by_the_moon", {}),
        ("flat", {"mppr_scope": "always"}),
    ],
)
def test_a_stored_contract_names_the_setting_it_cannot_read(
    method: str, terms: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=next(iter(terms), "method")):
        contract_of_terms(
            key="7",
            name="A",
            method=method,
            terms=terms,
            rates=[],
            effective_from=dt.date(2026, 1, 1),
        )


def test_percentages_read_as_people_write_them() -> None:
    assert [percent(Decimal(v)) for v in ("0.95", "1.20", "1", "1.125", "0.5")] == [
        "95%",
        "120%",
        "100%",
        "112.5%",
        "50%",
    ]
