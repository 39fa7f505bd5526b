"""Medicare: order of steps, sessions, shares, and what stays unknown."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from rcm.pricing.facts import Benefits, Component, Locality, PriceStatus
from rcm.pricing.tables import shipped_terms

from .cast import IN_2025, TABLES, D, line, price


def test_readings_and_technical_parts_rank_apart() -> None:
    # 74177 has the higher technical fee, 70553 the higher reading fee.
    ct, mri = price(line("74177"), line("70553"))
    assert ct.technical == D("216.44")
    assert ct.professional == D("79.65")  # 83.84 × 95 %
    assert mri.professional == D("105.21")
    assert mri.technical == D("105.88")  # 211.76 × 50 %


def test_units_after_the_first_are_reduced() -> None:
    [two] = price(line("72148", units=2))
    assert two.allowed == D("191.72") + D("126.68")


def test_equal_fees_keep_the_first_line_whole() -> None:
    first, second = price(line("72148", line_id="1"), line("72148", "76", line_id="2"))
    assert (first.allowed, second.allowed) == (D("191.72"), D("126.68"))


def test_xe_makes_a_session_of_its_own() -> None:
    first, second = price(line("70553", session="A"), line("72148", "XE", session="B"))
    assert (first.allowed, second.allowed) == (D("316.97"), D("191.72"))


def test_59_does_not_escape_the_reduction_of_its_own_session() -> None:
    _, second = price(line("70553", session="A"), line("72148", "59", session="A"))
    assert second.allowed == D("126.68")


def test_sessions_that_differ_without_a_modifier_are_reduced_and_said() -> None:
    _, second = price(line("70553", session="A"), line("72148", session="B"))
    assert second.allowed == D("126.68")
    assert "without 59 or XE" in second.notes[0]


def test_the_reduction_comes_before_the_cap() -> None:
    [two] = price(line("71550", units=2))
    assert two.technical == D("243.83") + D(
        "133.27"
    )  # the second unit: half of the uncapped 266.54


def test_technical_part_reduced_by_equipment_then_by_rank() -> None:
    _, second = price(line("70553"), line("72148"), line("74177", "CT"))[1:]
    assert second.technical == D("91.99")  # 216.44 × 85 % = 183.97, × 50 %


@pytest.mark.parametrize(
    ("on", "cut"),
    [
        ("2018-06-01", "0.07"),
        ("2022-12-31", "0.07"),
        ("2023-01-01", "0.10"),
        ("2026-09-08", "0.10"),
    ],
)
def test_the_computed_radiography_reduction_is_dated(on: str, cut: str) -> None:
    terms = TABLES.terms(dt.date.fromisoformat(on))
    assert terms is not None
    assert terms.cut_computed == D(cut)


def test_sequestration_was_suspended_and_came_back() -> None:
    rates = {
        day: TABLES.terms(dt.date.fromisoformat(day))
        for day in ("2021-06-01", "2022-05-01", "2026-01-01")
    }
    assert [t.sequestration for t in rates.values() if t] == [D(0), D("0.01"), D("0.02")]
    assert all(row.source for row in shipped_terms())


def test_terms_before_the_first_row_are_unknown() -> None:
    assert TABLES.terms(dt.date(2001, 1, 1)) is None


def test_nonparticipating_is_95_percent_and_the_limiting_charge_is_shown() -> None:
    [assigned] = price(line("70553"), participating=False)
    [unassigned] = price(line("70553"), participating=False, assigned=False)
    assert assigned.allowed == D("301.12")
    assert assigned.limiting_charge is None
    assert unassigned.limiting_charge == D("346.29")  # 316.97 × 109.25 %


def test_the_charge_is_the_upper_limit() -> None:
    [cheap] = price(line("70553", charge=D(200)))
    assert cheap.allowed == D(200)
    assert cheap.cut("charge") == D("116.97")


def test_a_qualifying_participant_has_its_own_factor() -> None:
    [plain] = price(line("70553"))
    [qualifying] = price(line("70553"), qualifying_apm=True)
    assert qualifying.allowed == D("318.56")  # 9.49 × 33.5675
    assert plain.allowed is not None
    assert qualifying.allowed > plain.allowed
    [unknown] = price(line("93306"), qualifying_apm=True, date_of_service=IN_2025)
    assert unknown.reason_code == "NO_QUALIFYING_FACTOR"


def test_the_deductible_is_used_up_line_by_line() -> None:
    first, second = price(line("71046"), line("70553"), benefits=Benefits(D("40.00")))
    assert (first.deductible, first.coinsurance, first.payer_share) == (D("33.07"), D(0), D(0))
    assert second.deductible == D("6.93")
    assert second.coinsurance == D("62.01")  # 20 % of 310.04


def test_screening_has_no_cost_share_and_bone_density_depends_on_why() -> None:
    screen, tomo = price(line("77067"), line("77063"), benefits=Benefits(D("257.00")))
    assert screen.patient_share == tomo.patient_share == D(0)
    [unknown] = price(line("77080"))
    [preventive] = price(line("77080", preventive=True))
    [diagnostic] = price(line("77080", preventive=False))
    assert unknown.allowed is not None
    assert unknown.patient_share is None
    assert "preventive" in unknown.share_reason
    assert preventive.patient_share == D(0)
    assert diagnostic.patient_share == D("7.88")


def test_an_unknown_deductible_leaves_the_shares_unknown_but_not_the_amount() -> None:
    [priced] = price(line("70553"), benefits=Benefits())
    assert priced.allowed == D("316.97")
    assert (priced.patient_share, priced.payer_share) == (None, None)
    assert priced.share_reason == "The deductible still to be met is not known."


def test_a_purchased_reading_pays_at_most_its_price_and_never_global() -> None:
    [reading] = price(line("70553", "26", purchased_price=D(80)))
    [whole] = price(line("70553", purchased_price=D(80)))
    assert reading.allowed == D(80)
    assert whole.reason_code == "PURCHASED_GLOBAL"


@pytest.mark.parametrize(
    ("code", "modifiers", "context", "reason"),
    [
        ("99999", (), {}, "NO_FEE_SCHEDULE"),
        ("70553", (), {"date_of_service": dt.date(2024, 5, 5)}, "NO_FEE_SCHEDULE"),
        ("70553", (), {"date_of_service": dt.date(2027, 1, 1)}, "NO_FEE_SCHEDULE"),
        ("70553", (), {"locality": None}, "NO_LOCALITY"),
        ("70553", (), {"locality": Locality("99999", "99")}, "NO_GPCI"),
        ("70553", (), {"pos": "35"}, "POS_UNKNOWN"),
        ("70553", ("52",), {}, "REDUCED_SERVICE"),
        ("78815", (), {"date_of_service": IN_2025}, "CONTRACTOR_PRICED"),
        ("78815", ("TC",), {"date_of_service": IN_2025}, "CONTRACTOR_PRICED"),
        ("Q9967", (), {}, "NO_FEE_SCHEDULE"),
    ],
)
def test_what_is_missing_holds_the_line_and_is_never_zero(
    code: str, modifiers: tuple[str, ...], context: dict[str, object], reason: str
) -> None:
    [held] = price(line(code, *modifiers), **context)
    assert (held.status, held.reason_code, held.allowed) == (PriceStatus.HOLD, reason, None)
    assert held.reason


def test_a_held_line_does_not_stop_the_others() -> None:
    held, priced = price(line("99999"), line("70553"))
    assert held.allowed is None
    assert priced.allowed == D("316.97")


def test_the_reading_of_a_contractor_priced_scan_has_an_amount() -> None:
    [reading] = price(line("78815", "26"), date_of_service=IN_2025)
    assert reading.allowed == D("109.01")
    assert reading.component is Component.PROFESSIONAL


def test_gz_is_never_payable_and_the_patient_is_not_liable() -> None:
    [gz] = price(line("70553", "GZ"))
    assert gz.status is PriceStatus.NOT_PAYABLE
    assert gz.patient_share is None
    assert "not liable" in gz.reason


def test_a_physician_service_in_hospital_uses_the_facility_column() -> None:
    [office] = price(line("G0296"), date_of_service=IN_2025)
    [hospital] = price(line("G0296"), date_of_service=IN_2025, pos="22")
    assert office.allowed is not None
    assert hospital.allowed is not None
    assert hospital.allowed < office.allowed


def test_the_derivation_ends_with_who_pays_what() -> None:
    [priced] = price(line("70553"))
    assert priced.derivation[-1].words == "payer pays 248.51, patient owes 63.39"
    assert all(isinstance(step.amount, Decimal | None) for step in priced.derivation)
