"""From what was performed to the code (rule `code-from-performed`), on family rows written out
here.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charges.capture import (
    Contrast,
    FamilyRow,
    Performed,
    Resolution,
    Route,
    Side,
    conflicts,
    contrast_level,
    discontinued,
    resolve,
    resolve_all,
)

DAY = dt.date(2026, 9, 8)


def xr(family: str, code: str, least: int, most: int | None, bilateral: str = "0") -> FamilyRow:
    return FamilyRow(code, family, "XR", views_min=least, views_max=most, bilateral=bilateral)


def levels(family: str, modality: str, *codes: str) -> list[FamilyRow]:
    kinds = (Contrast.WITHOUT, Contrast.WITH, Contrast.BOTH)
    return [
        FamilyRow(code, family, modality, contrast=kind, bilateral="0")
        for code, kind in zip(codes, kinds, strict=True)
    ]


ROWS = [
    *levels("MR_BRAIN", "MR", "70551", "70552", "70553"),
    *levels("CT_ABDOMEN", "CT", "74150", "74160", "74170"),
    *levels("CT_PELVIS", "CT", "72192", "72193", "72194"),
    FamilyRow("70496", "CTA_HEAD", "CTA", contrast="with", bilateral="0"),
    FamilyRow("70498", "CTA_NECK", "CTA", contrast="with", bilateral="0"),
    FamilyRow("71555", "MRA_CHEST", "MRA", contrast="any", bilateral="0"),
    xr("XR_KNEE", "73560", 1, 2, "3"),
    xr("XR_KNEE", "73562", 3, 3, "3"),
    xr("XR_KNEE", "73564", 4, None, "3"),
    xr("XR_KNEES_STANDING", "73565", 1, None, "2"),
    xr("XR_CHEST", "71045", 1, 1),
    xr("XR_CHEST", "71046", 2, 2),
    xr("XR_CHEST", "71047", 3, 3),
    xr("XR_CHEST", "71048", 4, None),
    xr("XR_ANKLE", "73600", 2, 2, "3"),
    xr("XR_ANKLE", "73610", 3, None, "3"),
    xr("XR_HIP_UNI", "73501", 1, 1),
    xr("XR_HIP_UNI", "73502", 2, 3),
    xr("XR_HIPS_BIL", "73521", 2, 2, "2"),
    FamilyRow("76700", "US_ABDOMEN", "US", extent="complete", bilateral="0"),
    FamilyRow("76705", "US_ABDOMEN", "US", extent="limited", bilateral="0"),
    FamilyRow("77046", "MR_BREAST", "MR", contrast="without", bilateral="0"),
    FamilyRow("77047", "MR_BREAST", "MR", contrast="without", bilateral="2"),
    FamilyRow("76641", "US_BREAST", "US", extent="complete", bilateral="1"),
]


def performed(family: str, modality: str = "XR", **facts: Any) -> Performed:
    return Performed(family, modality, facts.pop("on", DAY), **facts)


def code(family: str, modality: str = "XR", **facts: Any) -> Resolution:
    return resolve(performed(family, modality, **facts), ROWS)


IV = frozenset({Route.INTRAVENOUS})


@pytest.mark.parametrize(
    ("routes", "pre", "post", "expected"),
    [
        (frozenset({Route.NONE}), None, None, "70551"),
        (frozenset({Route.ORAL}), True, True, "70551"),
        (IV, False, True, "70552"),
        (IV, True, True, "70553"),
    ],
)
def test_contrast_route_and_phases_choose_the_code(
    routes: frozenset[Route], pre: bool, post: bool, expected: str
) -> None:
    found = code("MR_BRAIN", "MR", routes=routes, pre_contrast=pre, post_contrast=post)
    assert (found.code, found.modifiers, found.findings) == (expected, (), ())


def test_oral_contrast_alone_is_without_and_the_coder_is_told() -> None:
    found = code("CT_ABDOMEN", "CT", routes=frozenset({Route.ORAL, Route.RECTAL}))
    assert found.code == "74150"
    assert "does not count" in found.why


@pytest.mark.parametrize("route", [Route.ARTICULAR, Route.INTRATHECAL, Route.ARTERIAL])
def test_joint_spinal_and_arterial_contrast_count(route: Route) -> None:
    assert (
        contrast_level(performed("X", routes=frozenset({route}), pre_contrast=False))
        is Contrast.WITH
    )


def test_unrecorded_contrast_is_held_except_where_one_code_covers_all() -> None:
    assert code("MR_BRAIN", "MR").findings[0].code == "CONTRAST_UNKNOWN"
    assert code("MR_BRAIN", "MR", routes=IV).findings[0].code == "CONTRAST_UNKNOWN"
    assert code("MRA_CHEST", "MRA").code == "71555"


@pytest.mark.parametrize(
    ("views", "expected"), [(1, "73560"), (2, "73560"), (3, "73562"), (4, "73564"), (5, "73564")]
)
def test_knee_views(views: int, expected: str) -> None:
    found = code("XR_KNEE", views=views, side=Side.RIGHT)
    assert (found.code, found.modifiers) == (expected, ("RT",))


def test_j10_both_knees_are_billed_per_side() -> None:
    assert code("XR_KNEE", views=3, side=Side.BOTH).modifiers == ("50",)
    assert code("XR_KNEES_STANDING", views=1, side=Side.BOTH) == Resolution("73565", why="1 view")


def test_fewer_views_than_any_code_is_a_52_review() -> None:
    found = code("XR_ANKLE", views=1, side=Side.LEFT)
    assert (found.code, found.modifiers) == ("73600", ("52", "LT"))
    assert found.findings[0].code == "VIEWS_BELOW_CODE"


def test_missing_views_and_sides_are_held() -> None:
    assert code("XR_CHEST").findings[0].code == "VIEWS_UNKNOWN"
    assert code("XR_CHEST", views=0).findings[0].code == "VIEWS_UNKNOWN"
    assert code("XR_KNEE", views=3).findings[0].code == "SIDE_UNKNOWN"
    assert code("NOWHERE").findings[0].code == "FAMILY_UNKNOWN"


def test_extent_and_breast_sides() -> None:
    assert code("US_ABDOMEN", "US", extent="limited").code == "76705"
    assert code("US_ABDOMEN", "US").findings[0].code == "EXTENT_UNKNOWN"
    none = frozenset({Route.NONE})
    assert code("MR_BREAST", "MR", routes=none, side=Side.BOTH).code == "77047"
    left = code("MR_BREAST", "MR", routes=none, side=Side.LEFT)
    assert (left.code, left.modifiers) == ("77046", ("LT",))
    assert code("MR_BREAST", "MR", routes=none).findings[0].code == "SIDE_UNKNOWN"
    assert code("US_BREAST", "US", side=Side.BOTH).modifiers == ("50",)


def test_both_hips_have_their_own_family() -> None:
    assert code("XR_HIP_UNI", views=2, side=Side.BOTH).code == "73521"
    assert code("XR_HIP_UNI", views=2, side=Side.LEFT).code == "73502"


def ct(family: str, level: Contrast, **facts: Any) -> Performed:
    routes = frozenset({Route.NONE}) if level is Contrast.WITHOUT else IV
    return performed(
        family,
        "CT",
        routes=routes,
        pre_contrast=level is Contrast.BOTH,
        post_contrast=True,
        **facts,
    )


@pytest.mark.parametrize(
    ("abdomen", "pelvis", "expected"),
    [
        (Contrast.WITHOUT, Contrast.WITHOUT, "74176"),
        (Contrast.WITH, Contrast.WITH, "74177"),
        (Contrast.BOTH, Contrast.BOTH, "74178"),
        (Contrast.WITH, Contrast.WITHOUT, "74178"),
        (Contrast.BOTH, Contrast.WITH, "74178"),
    ],
)
def test_abdomen_and_pelvis_of_one_session_are_one_code(
    abdomen: Contrast, pelvis: Contrast, expected: str
) -> None:
    [(exams, found)] = resolve_all([ct("CT_ABDOMEN", abdomen), ct("CT_PELVIS", pelvis)], ROWS)
    assert (exams, found.code) == ((0, 1), expected)


def test_two_sessions_stay_two_codes() -> None:
    answers = resolve_all(
        [ct("CT_ABDOMEN", Contrast.WITH, session="A"), ct("CT_PELVIS", Contrast.WITH, session="B")],
        ROWS,
    )
    assert [found.code for _, found in answers] == ["74160", "72193"]


def test_head_and_neck_angiography_is_one_code_since_2026() -> None:
    def both(on: dt.date) -> list[str | None]:
        facts: dict[str, Any] = {"routes": IV, "pre_contrast": False, "on": on}
        exams = [performed("CTA_HEAD", "CTA", **facts), performed("CTA_NECK", "CTA", **facts)]
        return [found.code for _, found in resolve_all(exams, ROWS)]

    assert both(dt.date(2026, 1, 1)) == ["70471"]
    assert both(dt.date(2025, 12, 31)) == ["70496", "70498"]


def test_modality_and_report_that_disagree_are_held() -> None:
    machine = performed("MR_BRAIN", "MR", routes=IV, pre_contrast=True, views=3, side=Side.LEFT)
    text = performed("MR_BRAIN", "MR", routes=frozenset({Route.NONE}), views=2, side=Side.RIGHT)
    assert [f.code for f in conflicts(machine, text)] == [
        "CONTRAST_CONFLICT",
        "VIEWS_CONFLICT",
        "LATERALITY_CONFLICT",
    ]
    assert conflicts(machine, machine) == []
    assert conflicts(machine, performed("MR_BRAIN", "MR")) == []


def test_a_stopped_study() -> None:
    whole = code("MR_BRAIN", "MR", routes=IV, pre_contrast=True)
    assert discontinued(whole, started=False, for_safety=None).code is None
    assert discontinued(whole, started=True, for_safety=True).modifiers == ("53",)
    assert discontinued(whole, started=True, for_safety=None).findings[0].code == "DISCONTINUED_WHY"


@given(st.integers(1, 30))
def test_any_number_of_chest_views_has_exactly_one_code(views: int) -> None:
    found = code("XR_CHEST", views=views)
    assert found.code == {1: "71045", 2: "71046", 3: "71047"}.get(views, "71048")
    assert found.findings == ()
