"""What must hold for any session."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from rcm.pricing.expected import price_sessions
from rcm.pricing.facts import (
    NATIONAL,
    Benefits,
    BilledLine,
    MpprScope,
    MpprTerms,
    PriceStatus,
    PricingContext,
)

from .cast import (
    CHICAGO,
    FLAT,
    IN_2026,
    OF_CHARGE,
    OF_MEDICARE,
    TABLES,
    ContractRate,
    D,
    contract,
    price,
)

CODES = ("70553", "72148", "71550", "74177", "73721", "70551", "71046", "76641", "77067")
PARTS = ((), ("26",), ("TC",))
money = st.decimals(D("0.01"), D(3000), places=2)
lines = st.lists(
    st.builds(
        BilledLine,
        line_id=st.just(""),
        code=st.sampled_from(CODES),
        modifiers=st.sampled_from(PARTS),
        units=st.integers(1, 3),
        charge=st.none() | money,
        session=st.sampled_from(("", "A")),
    ),
    min_size=1,
    max_size=5,
)
places = st.sampled_from((NATIONAL, CHICAGO))
share = st.decimals(D(0), D(1), places=2)


@settings(max_examples=120, deadline=None)
@given(lines, places, money)
def test_allowed_never_exceeds_the_charge_and_shares_add_up(
    session: list[BilledLine], place: object, deductible: Decimal
) -> None:
    for asked, got in zip(
        session, price(*session, locality=place, benefits=Benefits(deductible)), strict=True
    ):
        assert got.status is PriceStatus.PRICED
        assert got.allowed is not None
        assert got.allowed >= 0
        assert asked.charge is None or got.allowed <= asked.charge
        assert got.patient_share is not None
        assert got.payer_share is not None
        assert got.sequestration is not None
        assert got.patient_share + got.payer_share + got.sequestration == got.allowed
        assert min(got.patient_share, got.payer_share, got.sequestration) >= 0


@settings(max_examples=120, deadline=None)
@given(lines)
def test_a_session_never_pays_more_than_its_lines_alone(session: list[BilledLine]) -> None:
    together = price(*session)
    alone = [price(one)[0] for one in session]
    for joint, single in zip(together, alone, strict=True):
        assert joint.allowed is not None
        assert single.allowed is not None
        assert joint.allowed <= single.allowed + D("0.02")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(CODES), min_size=2, max_size=4), st.sampled_from(PARTS))
def test_the_total_does_not_depend_on_the_order_of_lines(
    codes: list[str], part: tuple[str, ...]
) -> None:
    totals = {
        sum(
            (p.allowed or D(0) for p in price(*(BilledLine(str(i), c, part) for i, c in order))),
            D(0),
        )
        for order in permutations(enumerate(codes))
    }
    assert len(totals) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(CODES), min_size=2, max_size=4, unique=True), share, share)
def test_a_lower_percentage_never_pays_more(codes: list[str], one: Decimal, two: Decimal) -> None:
    low, high = sorted((one, two))
    asked = [BilledLine(c, c) for c in codes]

    def total(paid: Decimal) -> Decimal:
        terms = contract(
            ContractRate(OF_MEDICARE, D(1)), mppr=MpprTerms(MpprScope.GROUP, paid, paid)
        )
        return sum((p.allowed or D(0) for p in price(*asked, contract=terms)), D(0))

    # At exactly 100 % the whole keeps its own rounding, which may differ by a cent from the sum of
    # its parts.
    assert total(low) <= total(high) + D("0.01") * len(codes)


@given(st.sampled_from(CODES), places)
def test_parts_sum_to_the_whole_within_a_cent(code: str, place: object) -> None:
    whole, reading, technical = (
        price(BilledLine("", code, part), locality=place)[0].allowed for part in PARTS
    )
    assert whole is not None
    assert reading is not None
    assert technical is not None
    assert abs(whole - reading - technical) <= D("0.01")


@settings(max_examples=60, deadline=None)
@given(
    lines, st.sampled_from((FLAT, OF_CHARGE, OF_MEDICARE)), st.decimals(D("0.01"), D(2), places=2)
)
def test_lesser_of_holds_for_every_contract_method(
    session: list[BilledLine], method: object, value: Decimal
) -> None:
    terms = contract(
        ContractRate(method, value), mppr=MpprTerms(MpprScope.NONE), bilateral=D("1.5")
    )  # type: ignore[arg-type]
    for asked, got in zip(session, price(*session, contract=terms), strict=True):
        if got.allowed is not None and asked.charge is not None:
            assert got.allowed <= asked.charge
        if got.status is PriceStatus.HOLD:
            assert got.allowed is None
            assert got.reason


@settings(max_examples=40, deadline=None)
@given(st.lists(lines, min_size=1, max_size=4))
def test_pricing_in_bulk_is_pricing_one_by_one(sessions: list[list[BilledLine]]) -> None:
    context = PricingContext(IN_2026, "11", NATIONAL, benefits=Benefits(D(0)))
    bulk = list(price_sessions([(context, session) for session in sessions], tables=TABLES))
    assert bulk == [price(*session) for session in sessions]


@given(st.dates(dt.date(2017, 1, 1), dt.date(2035, 1, 1)))
def test_medicare_terms_are_known_on_every_day_since_2018(on: dt.date) -> None:
    assert (TABLES.terms(on) is not None) == (on >= dt.date(2018, 1, 1))
