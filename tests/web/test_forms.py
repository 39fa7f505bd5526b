from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django import forms
from hypothesis import given
from hypothesis import strategies as st

from rcm.web import forms as house

TODAY = dt.date(2026, 11, 23)


@pytest.mark.parametrize(
    "text",
    [
        "03271958",
        "032758",
        "3/27/58",
        "03/27/1958",
        "3-27-1958",
        "3.27.1958",
        "1958-03-27",
        "27-Mar-1958",
        "27 march 1958",
        "Mar 27, 1958",
        " 03/27/1958 ",
    ],
)
def test_a_birth_date_may_be_typed_in_any_usual_way(text: str) -> None:
    assert house.read_date(text, past=True, today=TODAY) == dt.date(1958, 3, 27)


@pytest.mark.parametrize(
    "text",
    [
        "13/40/1958",
        "0",
        "27/03/1958",
        "3/27",
        "０３/２７/１９５８",
        "02301958",
        "1/1/0001",
        "31-Foo-1958",
        "",
        "3/27-1958",
        "1e3",
        "99999999",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    assert house.read_date(text, today=TODAY) is None


def test_two_digit_years_lie_near_today_and_never_ahead_for_a_birth() -> None:
    assert house.read_date("1/2/31", today=TODAY) == dt.date(2031, 1, 2)
    assert house.read_date("1/2/31", past=True, today=TODAY) == dt.date(1931, 1, 2)
    assert house.read_date("1/2/50", today=TODAY) == dt.date(1950, 1, 2)


@given(st.dates(dt.date(1900, 1, 1), dt.date(2100, 12, 31)))
def test_a_written_date_reads_back(day: dt.date) -> None:
    for shape in ("%m%d%Y", "%m/%d/%Y", "%Y-%m-%d", "%d-%b-%Y", "%b %d, %Y"):
        assert house.read_date(day.strftime(shape)) == day


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1284", "1284.00"),
        ("1,284.00", "1284.00"),
        ("$12.4", "12.40"),
        ("0", "0.00"),
        ("9999999999.99", "9999999999.99"),
        ("-5", "-5.00"),
        (" 12 ", "12.00"),
    ],
)
def test_an_amount_is_read_as_people_write_it(text: str, amount: str) -> None:
    assert house.read_money(text) == Decimal(amount)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NaN",
        "Infinity",
        "-Infinity",
        "1E5",
        "1e-2",
        "-0",
        "-0.00",
        "１２",
        "٣",
        "12345678901234",
        "99999999999.00",
        "1.234",
        "1,23",
        "1,2345",
        ",5",
        "1.",
        ".5",
        "--1",
        "1 000",
        "0x10",
        "1_000",
        "$",
        "5\n",
        "+5",
        "1,000,00",
    ],
)
def test_hostile_amounts_are_refused(text: str) -> None:
    assert house.read_money(text) is None
    assert not house.MoneyField().run_validators(None)
    with pytest.raises(forms.ValidationError):
        house.MoneyField(label="Copay").clean(text)


@given(st.text(max_size=24))
def test_no_text_makes_the_amount_or_date_reader_fail(text: str) -> None:
    amount = house.read_money(text)
    assert amount is None or (amount.is_finite() and amount == amount.quantize(Decimal("0.01")))
    assert house.read_date(text) is None or isinstance(house.read_date(text), dt.date)


@given(st.decimals(0, house.MONEY_MAX, places=2))
def test_a_written_amount_reads_back(amount: Decimal) -> None:
    assert house.read_money(f"{amount:,.2f}") == amount
    assert house.read_money(f"{amount}") == amount


class CoverageForm(house.HouseForm):
    sections = (("Card", ("member_id", "copay")),)
    member_id = house.MemberIdField()
    copay = house.MoneyField(label="Copay")
    born = house.DateField(label="Date of birth", past=True)
    npi = house.NpiField(label="Referring NPI")
    phone = house.PhoneField(label="Phone", required=False)
    zip = house.ZipField(required=False)
    kind = forms.ChoiceField(label="Plan type", choices=[("hmo", "HMO")])


def good(**changes: str) -> dict[str, str]:
    return {
        "member_id": "w22 39-88120",
        "copay": "45",
        "born": "3/27/58",
        "npi": "1234567893",
        "phone": "+1 (205) 555-0142",
        "zip": "352031234",
        "kind": "hmo",
    } | changes


def test_clean_values_are_kept_in_one_written_form() -> None:
    form = CoverageForm(good())
    assert form.is_valid(), form.errors
    assert form.cleaned_data == {
        "member_id": "W2239-88120",
        "copay": Decimal("45.00"),
        "born": dt.date(1958, 3, 27),
        "npi": "1234567893",
        "phone": "2055550142",
        "zip": "35203-1234",
        "kind": "hmo",
    }


def test_what_was_typed_is_echoed_in_the_house_form() -> None:
    form = CoverageForm(good())
    assert form["born"].value() == "03/27/1958"
    assert form["copay"].value() == "45.00"


def test_each_empty_field_says_what_to_enter() -> None:
    form = CoverageForm({})
    assert [text for _, text in form.first_errors()] == [
        "Enter the member ID",
        "Enter the copay",
        "Enter the date of birth",
        "Enter the referring NPI",
        "Choose the plan type",
    ]
    assert "This field is required" not in str(form)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("npi", "1234567890", "Referring NPI has a wrong digit; check it against the order"),
        ("npi", "123", "Referring NPI must be 10 digits"),
        ("npi", "１２３４５６７８９３", "Referring NPI must be 10 digits"),
        ("born", "11/24/2126", "Date of birth must be today or earlier, not in the future"),
        ("born", "01/01/2990", "Date of birth must be today or earlier, not in the future"),
        ("born", "yesterday", "Date of birth must be a real date, such as 03/27/1958"),
        ("phone", "555-0142", "Phone must be 10 digits with the area code, such as (205) 555-0142"),
        ("zip", "3520", "ZIP code must be 5 digits, or 9 with the extension, such as 35203"),
        (
            "member_id",
            "W<b>",
            "Member ID has only letters, digits and hyphens; copy it from the card",
        ),
        ("copay", "-1", "Copay must be zero or more"),
        ("kind", "ppo", "Choose the plan type from the list"),
    ],
)
def test_a_wrong_value_gets_its_own_sentence(field: str, value: str, sentence: str) -> None:
    assert CoverageForm(good(**{field: value})).errors[field] == [sentence]


def test_the_error_summary_links_to_the_inputs_and_the_input_names_its_error() -> None:
    html = str(CoverageForm(good(npi="1")))
    assert '<a href="#id_npi">' in html
    assert 'aria-invalid="true"' in html
    assert 'aria-describedby="id_npi_error"' in html
    assert 'id="id_npi_error"' in html


def test_patient_fields_leave_nothing_in_the_browser() -> None:
    html = str(CoverageForm())
    assert html.count('autocomplete="off"') == len(CoverageForm().fields)
    assert " required" not in html.replace('class="required"', "").replace(' required"', "")
    assert " style=" not in html
