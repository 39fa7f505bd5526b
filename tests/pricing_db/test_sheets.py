"""Contract rates and list prices from sheets: what changes is shown before, bad rows are left out,
twice is once.
"""

from __future__ import annotations

import datetime as dt

import openpyxl
import pytest

from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.pricing.models import ContractRate, ListPrice
from rcm.pricing.services import prices_import, rates_import
from tests.pricing_db.test_tables import contract

pytestmark = pytest.mark.django_db
RATES = (
    "method,code,modality,component,modifier,amount,percent,carve_out,effective_from\n"
    "flat,70553,,global,,420.00,,Y,2026-01-01\nflat,70553,,26,,110,,,2026-01-01\npercent_of_medicare,,XR,,,,150,,\n"
)


@pytest.fixture
def inside(cast):
    with scope(cast.system):
        yield cast


def sheet(tmp_path, text: str, name: str = "rates.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_sheet_of_rates_is_previewed_applied_and_then_changes_nothing(inside, tmp_path):
    made, path = contract(inside), sheet(tmp_path, RATES)
    preview = rates_import(contract=made, path=path, actor=inside.system, preview=True)
    assert preview.summary == {"added": 3, "changed": 0, "unchanged": 0, "bad": 0}
    assert preview.rows[0].after == "$420.00 carve-out from 2026-01-01"
    assert not ContractRate.objects.exists()
    rates_import(contract=made, path=path, actor=inside.system)
    assert ContractRate.objects.filter(contract=made).count() == 3
    again = rates_import(contract=made, path=path, actor=inside.system)
    assert again.summary == {"added": 0, "changed": 0, "unchanged": 3, "bad": 0}
    assert not again.changes


def test_a_later_rate_closes_the_one_before(inside, tmp_path):
    made = contract(inside)
    rates_import(contract=made, path=sheet(tmp_path, RATES), actor=inside.system)
    later = sheet(
        tmp_path, "method,code,component,amount,effective_from\nflat,70553,26,120.00,2026-07-01\n"
    )
    result = rates_import(contract=made, path=later, actor=inside.system)
    assert (result.rows[0].act, result.rows[0].before, result.rows[0].after) == (
        "changed",
        "$110.00 from 2026-01-01",
        "$120.00 from 2026-07-01",
    )
    old, new = ContractRate.objects.filter(code="70553", mod="26").order_by("effective_from")
    assert (old.effective_to, new.effective_to) == (dt.date(2026, 6, 30), None)


def test_a_bad_row_names_its_line_and_leaves_the_others(inside, tmp_path):
    text = (
        "method,code,amount,percent,effective_from,effective_to\nflat,70553,400,,,\nflat,7055,400,,,\npercent_of_medicare,72148,,,,\n"
        "flat,,100,,,\nhalf,72148,1,,,\nflat,72148,200,,2026-05-01,2026-04-01\nflat,70553,401,,,\n"
    )
    result = rates_import(
        contract=contract(inside), path=sheet(tmp_path, text), actor=inside.system
    )
    assert result.summary == {"added": 1, "changed": 0, "unchanged": 0, "bad": 6}
    assert {row.line: row.sentence for row in result.rows if row.act == "bad"}[
        3
    ] == "code “7055” is not a procedure code of five characters."
    assert ContractRate.objects.count() == 1


def test_a_workbook_is_a_sheet_too_and_a_wrong_one_is_refused(inside, tmp_path):
    book = openpyxl.Workbook()
    for row in (["Code", "Method", "Amount"], ["70553", "flat", 420.5], [71046, "flat", 30]):
        book.active.append(row)
    book.save(tmp_path / "rates.xlsx")
    made = contract(inside)
    assert (
        rates_import(contract=made, path=tmp_path / "rates.xlsx", actor=inside.system).count(
            "added"
        )
        == 2
    )
    assert str(ContractRate.objects.get(code="70553").amount) == "420.50"
    with pytest.raises(Refused, match="needs a header line"):
        rates_import(
            contract=made, path=sheet(tmp_path, "bread,butter\n1,2\n"), actor=inside.system
        )


def test_list_prices_come_from_a_sheet(inside, tmp_path):
    path = sheet(tmp_path, "code,component,amount\n70553,,1500\n70553,26,400\nA9585,,4.5\nZZ,,1\n")
    result = prices_import(
        organization_id=inside.a.pk,
        path=path,
        actor=inside.system,
        effective_from=dt.date(2026, 1, 1),
    )
    assert result.summary == {"added": 3, "changed": 0, "unchanged": 0, "bad": 1}
    raised = sheet(tmp_path, "code,component,amount\n70553,,1600\n")
    result = prices_import(
        organization_id=inside.a.pk,
        path=raised,
        actor=inside.system,
        effective_from=dt.date(2027, 1, 1),
    )
    assert result.rows[0].before == "$1500.00 from 2026-01-01"
    assert list(
        ListPrice.objects.filter(code="70553", mod="")
        .order_by("effective_from")
        .values_list("amount", "effective_to")
    ) == [
        (1500, dt.date(2026, 12, 31)),
        (1600, None),
    ]


def test_only_who_may_edit_rules_imports(inside, tmp_path):
    from rcm.accounts.actor import PermissionRefused

    made = contract(inside)
    with pytest.raises(PermissionRefused):
        rates_import(contract=made, path=sheet(tmp_path, RATES), actor=inside.actor("ben"))


def verdicts(inside, tmp_path, text: str, name: str = "rates.csv"):
    result = rates_import(
        contract=contract(inside),
        path=sheet(tmp_path, text, name),
        actor=inside.system,
        preview=True,
    )
    return [(r.line, r.act, r.problem) for r in result.rows], result


def test_every_row_has_its_verdict_and_nothing_is_kept_before_the_confirmation(inside, tmp_path):
    rows, result = verdicts(
        inside,
        tmp_path,
        "method,code,component,amount,effective_from,effective_to\n"
        'flat,70553,26,"$1,110.50",2026-01-01,\n'
        "flat,99Z99,,10.00,,\n"
        "flat,A9585,26,10.00,,\n"
        "flat,70551,,400.00,2026-01-01,2026-06-30\n"
        "flat,70551,,420.00,2026-06-01,\n"
        "flat,70551,,430.00,2026-07-01,\n"
        "flat,72148,,400.00,2026-01-01,\n"
        "flat,72148,,500.00,2026-07-01,\n",
    )
    assert rows == [
        (2, "added", ""),
        (3, "bad", ""),
        (4, "bad", "FORM_ILLEGAL"),
        (5, "added", ""),
        (6, "bad", "OVERLAP"),
        (7, "added", ""),
        (8, "added", ""),
        (9, "bad", "OVERLAP"),
    ]
    assert result.rows[0].after == "$1110.50 from 2026-01-01"
    assert not ContractRate.objects.exists()


@pytest.mark.parametrize(
    "header", ["CPT Code,Mod,Allowed Amount,Eff Date", "HCPCS,Modifier 1,Rate,Effective Date"]
)
def test_a_payers_own_headers_are_read(inside, tmp_path, header):
    rows, result = verdicts(inside, tmp_path, f'{header}\n70553,TC,"$ 1,020.00",3/1/2026\n')
    assert rows == [(2, "added", "")]
    assert result.rows[0].after == "$1020.00 from 2026-03-01"


def test_an_unknown_code_is_named_and_ended_rates_are_counted(inside, tmp_path):
    made = contract(inside)
    first = sheet(tmp_path, "method,code,amount,effective_from\nflat,70553,400,2026-01-01\n")
    rates_import(contract=made, path=first, actor=inside.system)
    later = sheet(
        tmp_path, "method,code,amount,effective_from\nflat,70553,410,2026-07-01\nflat,70000,1,\n"
    )
    result = rates_import(contract=made, path=later, actor=inside.system, preview=True)
    assert (result.ended, result.rows[1].problem) == (1, "CODE_UNKNOWN")
    assert "70000 is neither in the procedure catalog" in result.rows[1].sentence


def test_a_workbook_is_read_like_a_sheet(inside, tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["CPT", "Component", "Fee", "Start Date"])
    book.active.append(["70553", "26", 110, dt.date(2026, 1, 1)])
    book.active.append(["A9585", "TC", 5, dt.date(2026, 1, 1)])
    path = tmp_path / "rates.xlsx"
    book.save(path)
    result = rates_import(contract=contract(inside), path=path, actor=inside.system, preview=True)
    assert [(r.act, r.problem) for r in result.rows] == [("added", ""), ("bad", "FORM_ILLEGAL")]
