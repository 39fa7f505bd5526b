"""Pricing from the database gives the golden amounts, in a few queries, and sees what
was loaded last.
"""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal

import pytest
from django.core.management import call_command

from rcm.accounts.models import Site
from rcm.accounts.scope import scope
from rcm.pricing import db_tables
from rcm.pricing.expected import price_session
from rcm.pricing.facts import NATIONAL, BilledLine, Locality, PriceStatus, PricingContext
from rcm.pricing.models import Contract, ContractRate, FeeRow, ZipLocality
from rcm.pricing.services import contract_change, contract_create, list_prices, quote
from rcm.reference.models import Payer, ReferenceLoad

pytestmark = pytest.mark.django_db
DAY = dt.date(2026, 9, 8)
CHICAGO = Locality("06102", "16")


def allowed(*lines: str, locality: Locality = NATIONAL, day: dt.date = DAY) -> list[str]:
    tables = db_tables.reference_tables()
    billed = [BilledLine(str(n), *_split(line)) for n, line in enumerate(lines)]
    return [
        str(p.allowed)
        for p in price_session(billed, context=PricingContext(day, "11", locality), tables=tables)
    ]


def _split(line: str) -> tuple[str, tuple[str, ...]]:
    code, *mods = line.split("-")
    return code, tuple(mods)


@pytest.mark.parametrize(
    ("code", "national", "chicago"),
    [
        ("70553", ("316.97", "105.21", "211.76"), ("325.60", "111.49", "214.11")),
        ("72148", ("191.72", "68.47", "123.25"), ("197.08", "72.36", "124.73")),
        ("71046", ("33.07", "10.02", "23.05"), ("34.11", "10.52", "23.59")),
        ("77063", ("51.10", "27.72", "23.38"), ("52.69", "29.19", "23.50")),
        ("73721", ("204.41", "62.79", "141.62"), ("209.40", "66.21", "143.19")),
        ("71550", ("310.29", "66.47", "243.83"), ("316.25", "69.91", "246.34")),
        ("70496", ("259.52", "80.16", "179.36"), ("266.11", "84.56", "181.55")),
    ],
)
def test_golden_amounts_come_out_of_the_starter_set(code, national, chicago):
    forms = (code, f"{code}-26", f"{code}-TC")
    assert tuple(allowed(form)[0] for form in forms) == national
    assert tuple(allowed(form, locality=CHICAGO)[0] for form in forms) == chicago


def test_two_exams_of_one_session_are_reduced_part_by_part():
    assert allowed("70553", "72148") == ["316.97", "126.68"]


def test_years_are_never_mixed():
    assert allowed("70553", day=dt.date(2025, 9, 8)) != allowed("70553")
    tables = db_tables.reference_tables()
    priced = price_session(
        [BilledLine("1", "70553")],
        context=PricingContext(dt.date(2027, 2, 1), "11", NATIONAL),
        tables=tables,
    )[0]
    assert (priced.status, priced.reason_code) == (PriceStatus.HOLD, "NO_FEE_SCHEDULE")


def test_a_whole_service_row_prices_the_whole_and_holds_its_parts():
    assert allowed("78012") == ["80.16"]
    assert allowed("78012-26") == ["None"]
    assert allowed("78306") == ["None"], "its outpatient cap of 2026 is not known"


def test_tables_are_kept_until_a_file_is_loaded(django_assert_num_queries):
    first = db_tables.reference_tables()
    with django_assert_num_queries(1):
        assert db_tables.reference_tables() is first
    FeeRow.objects.filter(code="71046", year=2026, mod="").update(work=Decimal("1.21"))
    ReferenceLoad.objects.create(kind="fees", source="test", sha256="x")
    assert allowed("71046") == ["66.47"]


# --- a ZIP in two localities ----------------------------------------------------------------------


@pytest.fixture
def divided():
    """60601 lies in Chicago; its extension 0042 in the suburbs; 0043 says again what the whole ZIP
    says.
    """
    for plus4, locality in (("0042", "15"), ("0043", "16")):
        ZipLocality.objects.create(
            zip5="60601",
            plus4=plus4,
            carrier="06102",
            locality=locality,
            state="IL",
            effective_from=dt.date(2026, 1, 1),
        )
    ReferenceLoad.objects.create(kind="zips", source="test", sha256="divided")


@pytest.mark.parametrize(
    ("zip_code", "locality", "amount"),
    [
        ("60601", "06102-16", "197.08"),
        ("606010042", "06102-15", "198.42"),
        ("60601-0042", "06102-15", "198.42"),
        ("60601-0043", "06102-16", "197.08"),
        ("60601-9999", "06102-16", "197.08"),
    ],
)
def test_the_zip_plus_four_decides_where_a_zip_is_divided(
    cast, divided, zip_code, locality, amount
):
    with scope(cast.system):
        answer = ask(cast, "72148", payer="", locality=None, zip=zip_code)
    assert (answer["locality"], answer["lines"][0]["allowed"]) == (locality, amount)


def test_only_the_parts_that_differ_are_kept(divided, django_assert_num_queries):
    with django_assert_num_queries(1):
        zips = db_tables._zips()
    assert "606010042" in zips
    assert "606010043" not in zips


def test_a_part_that_returns_to_its_zip_is_forgotten(divided):
    ZipLocality.objects.create(
        zip5="60601",
        plus4="0042",
        carrier="06102",
        locality="16",
        state="IL",
        effective_from=dt.date(2026, 7, 1),
    )
    assert "606010042" not in db_tables._zips()


def test_a_site_with_nine_digits_is_priced_where_it_stands(cast, divided):
    Site.objects.filter(pk=cast.south.pk).update(zip="606010042")
    with scope(cast.system):
        answer = ask(cast, "72148", payer="", locality=None, site="CANA-SOUTH")
    assert answer["locality"] == "06102-15"


def test_the_command_takes_nine_digits(cast, divided):
    for zip_code in ("606010042", "60601-0042"):
        out = io.StringIO()
        call_command("price", "72148", "--zip", zip_code, "--date", "2026-09-08", stdout=out)
        assert "locality 06102-15" in out.getvalue()
        assert "72148 x1: 198.42" in out.getvalue()


# --- contracts ------------------------------------------------------------------------------------


@pytest.fixture
def inside(cast):
    with scope(cast.system):
        yield cast


def contract(cast, payer="PHP", **given) -> Contract:
    values = {
        "organization_id": cast.a.pk,
        "payer": Payer.objects.get(code=payer),
        "name": "Prairie 2026",
        "method": "percent_of_medicare",
        "terms": {
            "percent": "120",
            "year": 2026,
            "mppr_scope": "group",
            "mppr_pc_pct": "95",
            "mppr_tc_pct": "50",
        },
        "effective_from": dt.date(2026, 1, 1),
        "actor": cast.system,
    }
    return contract_create(**{**values, **given})


def ask(cast, *lines, **given):
    payload = {
        "date_of_service": "2026-09-08",
        "pos": "11",
        "locality": "national",
        "payer": "PHP",
        "lines": [{"code": c} for c in lines],
        **given,
    }
    return quote(payload=payload, actor=cast.system)


def test_a_payer_without_contract_is_not_guessed(inside):
    answer = ask(inside, "70553")
    assert answer["errors"][0]["code"] == "no_contract"


def test_a_percent_of_medicare_contract_prices_with_its_reductions(inside):
    contract(inside)
    answer = ask(inside, "70553", "72148")
    assert [line["allowed"] for line in answer["lines"]] == ["380.36", "152.00"]
    assert answer["contract"] == "Prairie 2026"
    assert answer["payer"] == "Prairie Health Plan"


def test_the_payer_is_found_by_code_edi_id_or_name_and_medicare_needs_no_contract(inside):
    for name in ("MCR", "06102", "Medicare Part B"):
        assert ask(inside, "70553", payer=name)["lines"][0]["allowed"] == "316.97"
    assert ask(inside, "70553", payer="nobody")["errors"][0]["code"] == "unknown"


def test_narrower_rates_win_and_a_carve_out_is_paid_as_written(inside):
    made = contract(inside)
    common = {"organization": inside.a, "contract": made, "effective_from": made.effective_from}
    ContractRate.objects.create(
        code="70553", mod="global", method="flat", amount="400.00", carve_out=True, **common
    )
    ContractRate.objects.create(
        modality="XR", method="percent_of_medicare", percent="150", **common
    )
    answer = ask(inside, "70553", "71046")
    assert [line["allowed"] for line in answer["lines"]] == ["400.00", "49.61"]


def test_the_contract_of_a_site_or_plan_comes_before_the_general_one(inside):
    contract(inside)
    plan = Payer.objects.get(code="PHP").plans.get(code="CITY")
    contract(inside, name="City plan", plan=plan, terms={"percent": "100", "mppr_scope": "none"})
    contract(
        inside, name="North only", site=inside.north, terms={"percent": "90", "mppr_scope": "none"}
    )
    assert ask(inside, "71046", plan="CITY")["contract"] == "City plan"
    assert ask(inside, "71046", site="CANA-NORTH", locality="national")["contract"] == "North only"
    assert (
        ask(inside, "71046", site="CANA-SOUTH", locality="national")["contract"] == "Prairie 2026"
    )
    answer = ask(inside, "71046", site="CANA-SOUTH", locality=None)
    assert answer["locality"] == "06102-16", "the site's ZIP gives the locality"


def test_a_new_contract_ends_the_one_before_it(inside):
    old = contract(inside)
    contract(inside, name="Prairie 2027", effective_from=dt.date(2027, 1, 1))
    old.refresh_from_db()
    assert old.effective_to == dt.date(2026, 12, 31)


def test_a_corrected_contract_prices_at_once(inside):
    made = contract(inside)
    assert ask(inside, "71046")["lines"][0]["allowed"] == "39.68"
    contract_change(
        contract=made,
        name=made.name,
        method=made.method,
        terms={"percent": "100"},
        actor=inside.system,
    )
    assert ask(inside, "71046")["lines"][0]["allowed"] == "33.07"


def test_a_silent_contract_holds_a_session_that_needs_its_word(inside):
    contract(inside, terms={"percent": "120"})
    answer = ask(inside, "70553", "72148")
    assert {line["status"] for line in answer["lines"]} == {"hold"}
    assert answer["totals"]["allowed"] is None


def test_terms_nobody_knows_are_refused(inside):
    from rcm.accounts.problems import Refused

    for terms in (
        {"percnt": "120"},
        {"percent": "-1"},
        {"mppr_scope": "sometimes"},
        {"year": "2026"},
        {"locality": "Chicago"},
        {"opps_cap": "yes"},
    ):
        with pytest.raises(Refused) as refusal:
            contract(inside, terms=terms)
        assert refusal.value.field in {*terms}


def test_lines_without_charge_take_the_list_price_times_units(inside):
    from rcm.pricing.models import ListPrice

    contract(inside, terms={"percent": "120", "lesser_of": True})
    ListPrice.objects.create(
        organization=inside.a, code="71046", amount="30.00", effective_from=dt.date(2026, 1, 1)
    )
    answer = ask(inside, "71046", site="CANA-SOUTH", locality="national")
    assert (answer["lines"][0]["charge"], answer["lines"][0]["allowed"]) == (
        "30.00",
        "30.00",
    ), "never more than the charge"
    assert list_prices(organization_id=inside.a.pk, codes=["71046", "70553"], on=DAY) == {
        ("71046", ""): Decimal("30.00")
    }


def test_another_organization_sees_neither_contract_nor_price(inside):
    contract(inside)
    with scope(inside.system_b):
        answer = quote(
            payload={
                "date_of_service": "2026-09-08",
                "pos": "11",
                "locality": "national",
                "payer": "PHP",
                "lines": [{"code": "71046"}],
            },
            actor=inside.system_b,
        )
        assert answer["errors"][0]["code"] == "no_contract"
        assert db_tables.contract_book([inside.a.pk]).refs == {}
    with scope(inside.system):
        assert len(db_tables.contract_book([inside.a.pk]).refs) == 1


def test_a_quote_needs_few_queries_however_many_lines(inside, django_assert_max_num_queries):
    contract(inside)
    ask(inside, "71046")
    with django_assert_max_num_queries(8):
        ask(inside, *(["71046"] * 60), site="CANA-SOUTH", locality="national")
