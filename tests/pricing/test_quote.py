"""The one adapter behind API, command and screen: JSON in, JSON out, field errors for bad input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcm.pricing.quote import quote

from .cast import FLAT, TABLES, ContractRate, D, contract, small_tables

ASKED: dict[str, Any] = {
    "payer": "medicare",
    "date_of_service": "2026-09-08",
    "zip": "60601",
    "pos": "11",
    "deductible_remaining": "0",
    "lines": [{"code": "70553", "charge": "1500.00"}, {"code": "72148", "charge": "1100.00"}],
}


def ask(**changes: Any) -> dict[str, Any]:
    return quote({**ASKED, **changes}, TABLES)


def test_a_session_comes_back_priced_with_its_derivation() -> None:
    answer = ask()
    assert answer["errors"] == []
    assert answer["locality"] == "06102-16"
    assert [line["allowed"] for line in answer["lines"]] == ["325.60", "131.11"]
    assert answer["totals"]["allowed"] == "456.71"
    texts = [step["text"] for step in answer["lines"][1]["derivation"]]
    assert "TC 124.73 × 50% multiple procedure, second by fee = 62.37" in texts
    assert answer["lines"][1]["reductions"][0]["carc"] == "59"
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize("place", ["national", "06102-16", {"carrier": "06102", "locality": "16"}])
def test_the_locality_may_be_given_in_place_of_a_zip(place: object) -> None:
    answer = ask(zip=None, locality=place)
    assert answer["lines"][0]["allowed"] == ("316.97" if place == "national" else "325.60")


def test_a_zip_that_is_not_loaded_holds_and_the_total_is_unknown() -> None:
    answer = ask(zip="99999")
    assert [line["status"] for line in answer["lines"]] == ["hold", "hold"]
    assert answer["lines"][0]["reason_code"] == "NO_LOCALITY"
    assert answer["totals"]["allowed"] is None
    assert answer["totals"]["held"] == 2


def test_a_reading_may_have_its_own_locality() -> None:
    lines = [
        {"code": "70553", "modifiers": ["TC"], "locality": "national"},
        {"code": "70553", "modifiers": "26"},
    ]
    answer = ask(lines=lines)
    assert [line["allowed"] for line in answer["lines"]] == ["211.76", "111.49"]


def test_the_equipment_record_puts_its_modifier_on_and_takes_others_off() -> None:
    film = ask(
        equipment={"film": True}, lines=[{"code": "71046"}, {"code": "71046", "modifiers": ["26"]}]
    )
    assert film["lines"][0]["modifiers"] == ["FX"]
    assert film["lines"][1]["modifiers"] == ["26"]
    digital = ask(
        equipment={"film": False, "computed_radiography": False},
        lines=[{"code": "71046", "modifiers": ["FX"]}],
    )
    assert digital["lines"][0]["modifiers"] == []
    assert "taken off" in digital["lines"][0]["notes"][0]
    ct = ask(equipment={"xr29": False}, locality="national", zip=None, lines=[{"code": "74177"}])
    assert ct["lines"][0]["allowed"] == "267.81"
    unknown = ask(equipment={"film": False}, lines=[{"code": "74177"}])
    assert "dose standard" in unknown["lines"][0]["notes"][0]


def test_laterality_becomes_a_modifier() -> None:
    answer = ask(lines=[{"code": "73562", "laterality": "both"}])
    assert answer["lines"][0]["modifiers"] == ["50"]
    assert answer["lines"][0]["units"] == 1


def test_a_contract_may_be_named_or_written_out() -> None:
    tables = small_tables(contract(ContractRate(FLAT, D(650), code="70553")))
    one = [{"code": "70553"}]
    named = quote(
        {**ASKED, "payer": "Acme", "contract": "C1", "coinsurance": "0.1", "lines": one}, tables
    )
    assert (named["payer"], named["lines"][0]["allowed"], named["lines"][0]["patient_share"]) == (
        "Acme Health",
        "650.00",
        "65.00",
    )
    written = {
        "rates": [{"method": "percent_of_medicare", "value": "1.2"}],
        "mppr": {"scope": "none"},
    }
    assert (
        ask(payer="Acme", contract=written, locality="national", zip=None)["lines"][0]["allowed"]
        == "380.36"
    )


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"date_of_service": None}, "date_of_service", "required"),
        ({"date_of_service": "9/8/2026"}, "date_of_service", "date"),
        ({"zip": "6060"}, "zip", "format"),
        ({"zip": None}, "zip", "required"),
        ({"locality": "Chicago"}, "locality", "format"),
        ({"pos": ""}, "pos", "required"),
        ({"payer": "Acme"}, "contract", "required"),
        ({"contract": "nope"}, "contract", "unknown"),
        ({"contract": {"rates": []}}, "contract.rates", "required"),
        (
            {"contract": {"rates": [{"method": "guess", "value": 1}]}},
            "contract.rates[0].method",
            "choice",
        ),
        ({"contract": {"rates": [{"method": "flat"}]}}, "contract.rates[0].value", "required"),
        ({"deductible_remaining": "-1"}, "deductible_remaining", "range"),
        ({"deductible_remaining": "NaN"}, "deductible_remaining", "range"),
        ({"coinsurance": "20"}, "coinsurance", "range"),
        ({"lines": []}, "lines", "required"),
        ({"lines": "70553"}, "lines", "required"),
        ({"lines": [7]}, "lines[0]", "type"),
        ({"lines": [{"code": ""}]}, "lines[0].code", "required"),
        ({"lines": [{"code": "7055"}]}, "lines[0].code", "format"),
        ({"lines": [{"code": "70553", "units": 0}]}, "lines[0].units", "range"),
        ({"lines": [{"code": "70553", "units": 1.5}]}, "lines[0].units", "range"),
        ({"lines": [{"code": "70553", "charge": "1.005"}]}, "lines[0].charge", "cents"),
        ({"lines": [{"code": "70553", "charge": "ten"}]}, "lines[0].charge", "number"),
        ({"lines": [{"code": "70553", "modifiers": ["2"]}]}, "lines[0].modifiers", "format"),
        (
            {"lines": [{"code": "70553", "modifiers": ["26", "26"]}]},
            "lines[0].modifiers",
            "duplicate",
        ),
        ({"lines": [{"code": "70553", "laterality": "up"}]}, "lines[0].laterality", "choice"),
        (
            {"lines": [{"code": "70553", "id": "a"}, {"code": "72148", "id": "a"}]},
            "lines",
            "duplicate_id",
        ),
        ({"equipment": {"film": "yes"}}, "equipment.film", "type"),
        ({"lines": [{"code": "70553"}] * 201}, "lines", "too_many"),
    ],
)
def test_bad_input_names_its_field_and_prices_nothing(
    changes: dict[str, Any], field: str, code: str
) -> None:
    answer = ask(**changes)
    assert (field, code) in {(e["field"], e["code"]) for e in answer["errors"]}
    assert all(e["message"] for e in answer["errors"])
    assert "lines" not in answer


def test_something_that_is_no_object_is_refused() -> None:
    assert quote([], TABLES)["errors"][0]["code"] == "type"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([*sorted(ASKED), "contract", "locality", "equipment", "coinsurance", "copay"]),
    _JSON,
)
def test_no_payload_raises(field: str, value: object) -> None:
    assert "errors" in ask(**{field: value})


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        ["code", "modifiers", "units", "charge", "laterality", "session", "zip", "locality"]
    ),
    _JSON,
)
def test_no_line_raises(field: str, value: object) -> None:
    assert "errors" in ask(lines=[{"code": "70553", field: value}])
