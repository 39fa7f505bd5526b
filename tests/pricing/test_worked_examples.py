"""The published worked examples of the domain document, part J, on rows written out in `cast`."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rcm.pricing.facts import NATIONAL, PriceStatus

from .cast import CHICAGO, IN_2025, D, line, price

TABLE = """
70553 316.97 105.21 211.76 325.60 111.49 214.11
72148 191.72 68.47 123.25 197.08 72.36 124.73
71046 33.07 10.02 23.05 34.11 10.52 23.59
77067 126.26 35.07 91.18 129.09 37.02 92.07
77063 51.10 27.72 23.38 52.69 29.19 23.50
73721 204.41 62.79 141.62 209.40 66.21 143.19
71550 310.29 66.47 243.83 316.25 69.91 246.34
70496 259.52 80.16 179.36 266.11 84.56 181.55
"""
CASES = [
    (code, modifier, place, D(amount))
    for code, *amounts in (row.split() for row in TABLE.strip().splitlines())
    for (place, modifier), amount in zip(
        [(p, m) for p in (NATIONAL, CHICAGO) for m in ("", "26", "TC")], amounts, strict=True
    )
]


@pytest.mark.parametrize(("code", "modifier", "place", "amount"), CASES)
def test_2026_amounts_of_the_table(
    code: str, modifier: str, place: object, amount: Decimal
) -> None:
    [priced] = price(line(code, *([modifier] if modifier else [])), locality=place)
    assert priced.allowed == amount


def test_capped_codes_say_what_the_cap_took_off() -> None:
    mr, ct = price(line("71550")), price(line("70496"))
    assert mr[0].cut("outpatient_cap") == D("333.01") - D("310.29")
    assert ct[0].cut("outpatient_cap") == D("273.89") - D("259.52")


def test_j1_second_mri_of_a_session_is_reduced_part_by_part() -> None:
    first, second = price(line("70553"), line("72148"))
    assert first.allowed == D("316.97")
    assert (second.professional, second.technical) == (D("65.05"), D("61.63"))
    assert second.allowed == D("126.68")
    assert second.cut("multiple") in {D("65.04"), D("65.05")}
    words = [step.words for step in second.derivation]
    assert "TC 123.25 × 50% multiple procedure, second by fee = 61.63" in words
    assert "26 68.47 × 95% multiple procedure, second by fee = 65.05" in words


def test_j2_equipment_reductions_touch_only_the_technical_part() -> None:
    film, computed, ct = (
        price(line("71046", "FX")),
        price(line("71046", "FY")),
        price(line("74177", "CT")),
    )
    assert (film[0].technical, film[0].allowed) == (D("18.44"), D("28.46"))
    assert (computed[0].technical, computed[0].allowed) == (D("20.75"), D("30.77"))
    assert (ct[0].technical, ct[0].allowed) == (D("183.97"), D("267.81"))
    assert price(line("71046", "26", "FX"))[0].allowed == D("10.02")


def test_j3_two_cardiovascular_studies_reduce_the_lower_technical_part_to_75_percent() -> None:
    echo, carotid = price(line("93306"), line("93880"), date_of_service=IN_2025)
    assert carotid.cuts == ()
    assert echo.technical == D("91.94")  # 122.59 × 75 %
    assert echo.professional == D("65.34")


def test_j4_illegal_forms_are_blocked_and_the_reading_in_hospital_is_paid() -> None:
    technical, reading = price(line("71046", "TC"), line("71046", "26"), pos="22")
    assert (technical.status, technical.reason_code) == (
        PriceStatus.BLOCKED,
        "TECHNICAL_IN_FACILITY",
    )
    assert reading.allowed == D("10.02")
    for code, modifier in (("77090", "26"), ("G0296", "TC")):
        [refused] = price(line(code, modifier), date_of_service=IN_2025)
        assert (refused.status, refused.reason_code) == (PriceStatus.BLOCKED, "FORM_ILLEGAL")


def test_j8_the_remittance_of_two_mris_agrees_with_our_shares() -> None:
    first, second = price(line("70553", charge=D(1500)), line("72148", charge=D(1100)))
    assert (first.patient_share, first.sequestration, first.payer_share) == (
        D("63.39"),
        D("5.07"),
        D("248.51"),
    )
    assert (second.sequestration, second.payer_share) == (D("2.03"), D("99.31"))
    assert abs(second.cut("multiple") - D("65.05")) <= D("0.02")


def test_j10_sides_follow_the_bilateral_indicator() -> None:
    right, left = price(line("73562", "RT"), line("73562", "LT"))
    [both] = price(line("73562", "50"))
    assert right.allowed == left.allowed
    assert both.allowed == right.allowed + left.allowed
    [breast] = price(line("76641", "50"))
    assert breast.allowed == D("150.30")  # 100.20 × 150 %
    [mammogram] = price(line("77066", "50"))
    assert mammogram.status is PriceStatus.BLOCKED


def test_breast_ultrasound_on_two_lines_pays_like_one_line_with_50() -> None:
    right, left = price(line("76641", "RT"), line("76641", "LT"))
    assert (right.allowed, left.allowed) == (D("100.20"), D("50.10"))


def test_two_sides_on_one_line_pay_like_two_lines_also_under_the_reduction() -> None:
    right, left = price(line("73721", "RT"), line("73721", "LT"))
    [both] = price(line("73721", "50"))
    assert both.allowed == right.allowed + left.allowed == D("334.87")
