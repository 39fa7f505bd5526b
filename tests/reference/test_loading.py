"""Files into dated tables: what a load adds, changes, closes, refuses; and that twice is once."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import date
from pathlib import Path

import openpyxl
import pytest
from django.core.management import call_command

from rcm.pricing.models import FeeRow, Gpci, LocalityCounty, OppsCap, ZipLocality
from rcm.reference.loaders import Options, kinds
from rcm.reference.loaders.load import FileRefused, load_file
from rcm.reference.loaders.sheets import Limits, open_rows
from rcm.reference.models import (
    AddOn,
    AdjustmentReason,
    Diagnosis,
    MueEdit,
    Payer,
    Procedure,
    PtpEdit,
    ReferenceLoad,
    StateRule,
)

pytestmark = pytest.mark.django_db
DAY = date(2026, 1, 1)


def load(tmp_path: Path, kind: str, text: str, name: str = "sheet.csv", **options):
    path = tmp_path / name
    path.write_text(text)
    given = Options(options.pop("effective", None), options.pop("year", None))
    return load_file(kind=kind, path=path, options=given, **options)


def fee(code: str, mod: str = "", **where) -> FeeRow:
    return FeeRow.objects.get(code=code, mod=mod, **where)


# --- twice is once, change closes and opens -------------------------------------------------------


def test_a_sheet_loaded_twice_changes_nothing(tmp_path):
    sheet = "code,value,mai,effective_from\nZZ999,2,3,2026-01-01\n".replace("ZZ999", "70999")
    record, first = load(tmp_path, "mue", sheet)
    assert (first.added, first.changed, record.rows) == (1, 0, 1)
    again, second = load(tmp_path, "mue", sheet)
    assert again is None
    assert second.added == second.changed == 0


def test_the_same_rows_in_another_file_change_nothing(tmp_path):
    load(tmp_path, "mue", "code,value,mai,effective_from\n70999,2,3,2026-01-01\n")
    record, outcome = load(tmp_path, "mue", "mai,code,effective_from,value\n3,70999,2026-01-01,2\n")
    assert (outcome.added, outcome.changed, outcome.unchanged) == (0, 0, 1)
    assert record is not None, "the file is another one, so its load is kept"


def test_a_changed_row_closes_the_old_one_and_opens_a_new_one(tmp_path):
    load(tmp_path, "mue", "code,value,mai,effective_from\n70999,2,3,2026-01-01\n")
    _, outcome = load(tmp_path, "mue", "code,value,mai,effective_from\n70999,1,2,2026-07-01\n")
    assert outcome.changed == 1
    old, new = MueEdit.objects.filter(code="70999").order_by("effective_from")
    assert (old.value, old.effective_to) == (2, date(2026, 6, 30))
    assert (new.value, new.effective_from, new.effective_to) == (1, date(2026, 7, 1), None)


def test_an_older_release_loaded_later_fits_in_before_the_newer_one(tmp_path):
    load(tmp_path, "mue", "code,value,mai,effective_from\n70999,1,2,2026-07-01\n")
    load(tmp_path, "mue", "code,value,mai,effective_from\n70999,2,3,2026-01-01\n")
    rows = (
        MueEdit.objects.filter(code="70999")
        .order_by("effective_from")
        .values_list("value", "effective_to")
    )
    assert list(rows) == [(2, date(2026, 6, 30)), (1, None)]


def test_a_row_corrected_for_the_same_day_stays_one_row(tmp_path):
    load(tmp_path, "mue", "code,value,mai,effective_from\n70999,2,3,2026-01-01\n")
    _, outcome = load(tmp_path, "mue", "code,value,mai,effective_from\n70999,4,3,2026-01-01\n")
    assert outcome.changed == 1
    assert MueEdit.objects.get(code="70999").value == 4


def test_several_versions_of_one_key_in_one_file_follow_each_other(tmp_path):
    load(
        tmp_path,
        "mue",
        "code,value,mai,effective_from\n70999,3,3,2026-04-01\n70999,2,3,2026-01-01\n",
    )
    rows = (
        MueEdit.objects.filter(code="70999")
        .order_by("effective_from")
        .values_list("value", "effective_to")
    )
    assert list(rows) == [(2, date(2026, 3, 31)), (3, None)]


def test_a_whole_list_closes_what_it_lacks(tmp_path):
    load(
        tmp_path,
        "mue",
        "code,value,mai,effective_from\n70999,2,3,2025-01-01\n70998,2,3,2025-01-01\n",
    )
    everything = list(
        MueEdit.objects.filter(program="medicare").values_list("code", "value", "mai")
    )
    sheet = "code,value,mai\n" + "".join(f"{c},{v},{m}\n" for c, v, m in everything if c != "70998")
    _, outcome = load(tmp_path, "mue", sheet, effective=DAY, complete=True)
    assert outcome.closed == 1
    assert MueEdit.objects.get(code="70998").effective_to == date(2025, 12, 31)
    assert MueEdit.objects.get(code="70999").effective_to is None
    assert not MueEdit.objects.filter(program="medicaid", effective_to__isnull=False).exists(), (
        "another program is another list"
    )


def test_a_stop_date_in_the_file_closes_the_row(tmp_path):
    head = "carc,class,denial_category,paraphrase,owner_stage,default_action,start_date,stop_date\n"
    load(tmp_path, "carc", head + "Z98,denial,other,Own words,coding,correct,2020-01-01,\n")
    _, outcome = load(
        tmp_path, "carc", head + "Z98,denial,other,Own words,coding,correct,2020-01-01,2026-06-01\n"
    )
    assert (outcome.closed, outcome.changed) == (1, 0)
    assert AdjustmentReason.objects.get(code="Z98").effective_to == date(2026, 6, 1)


def test_the_published_list_brings_dates_and_keeps_our_own_words(tmp_path):
    before = AdjustmentReason.objects.get(code="197")
    sheet = (
        'Code,Description,Start Date,Last Modified,Stop Date,Notes\n197,"licensed'
        ' words",10/31/2006,,,\nZ97,other,1/1/2026,,,\n'
    )
    _, outcome = load(tmp_path, "carc", sheet)
    assert (outcome.added, outcome.changed) == (1, 0)
    assert AdjustmentReason.objects.get(code="197").words == before.words
    new = AdjustmentReason.objects.get(code="Z97")
    assert (new.words, new.klass) == (
        "",
        "",
    ), "a code nobody has classified is unknown, not harmless"


# --- bad rows -------------------------------------------------------------------------------------


def test_a_bad_row_is_reported_with_its_line_and_a_sentence_and_spoils_nothing(tmp_path):
    sheet = "code,value,mai,effective_from\n70999,2,3,2026-01-01\n7O998,2,3,2026-01-01\n70997,two,3,2026-01-01\n70996,1,3,2026-13-01\n70995,1,3,2026-01-01\n"
    record, outcome = load(tmp_path, "mue", sheet)
    assert (outcome.added, outcome.bad_count) == (2, 3)
    assert [(b["line"], b["sentence"]) for b in record.bad] == [
        (3, "code “7O998” is not a procedure code of five characters."),
        (4, "value “two” is not a number."),
        (5, "“2026-13-01” is not a date."),
    ]


def test_a_key_given_twice_with_other_values_keeps_the_first(tmp_path):
    _, outcome = load(
        tmp_path,
        "mue",
        "code,value,mai,effective_from\n70999,2,3,2026-01-01\n70999,5,3,2026-01-01\n70999,2,3,2026-01-01\n",
    )
    assert outcome.bad == [
        {
            "line": 3,
            "sentence": "The same key stands on line 2 with other values; the first one was kept.",
        }
    ]
    assert MueEdit.objects.get(code="70999").value == 2


def test_a_row_that_ends_before_it_begins_is_refused(tmp_path):
    _, outcome = load(
        tmp_path,
        "mue",
        "code,value,mai,effective_from,effective_to\n70999,2,3,2026-01-01,2025-01-01\n",
    )
    assert outcome.bad_count == 1
    assert "before it begins" in outcome.bad[0]["sentence"]


def test_a_file_of_another_kind_is_refused_as_a_whole(tmp_path):
    with pytest.raises(FileRefused, match="No line of the file is the header"):
        load(tmp_path, "mue", "name,price\nbread,2\n")


def test_a_file_without_dates_asks_for_one(tmp_path):
    _, outcome = load(
        tmp_path,
        "mue",
        "HCPCS/CPT Code,Practitioner Services MUE Values,MUE Adjudication Indicator,MUE"
        " Rationale\n70999,2,3 Date of Service Edit: Clinical,Data\n",
    )
    assert "give --effective" in outcome.bad[0]["sentence"]
    _, outcome = load(
        tmp_path,
        "mue",
        "HCPCS/CPT Code,Practitioner Services MUE Values,MUE Adjudication Indicator,MUE"
        " Rationale\n70999,2,3 Date of Service Edit: Clinical,Data\n",
        effective=DAY,
    )
    assert outcome.added == 1


def test_a_preview_shows_what_would_change_and_changes_nothing(tmp_path):
    load(tmp_path, "mue", "code,value,mai,effective_from\n70999,2,3,2026-01-01\n")
    loads = ReferenceLoad.objects.count()
    record, outcome = load(
        tmp_path,
        "mue",
        "code,value,mai,effective_from\n70999,1,3,2026-07-01\n70998,1,3,2026-07-01\n",
        preview=True,
    )
    assert record is None
    assert (outcome.added, outcome.changed) == (1, 1)
    assert outcome.changes[0] == {
        "line": 2,
        "act": "changed",
        "key": "70999 medicare",
        "from": "2026-07-01",
        "to": None,
        "before": {"value": 2},
        "after": {"value": 1},
    }
    assert MueEdit.objects.get(code="70999").value == 2
    assert ReferenceLoad.objects.count() == loads


# --- official layouts, small ----------------------------------------------------------------------


def test_the_official_fee_schedule_is_read_below_its_notices(tmp_path):
    notices = [
        ",,2027 National Physician Fee Schedule Relative Value File April Release" + "," * 28,
        ",,notice" + "," * 28,
        ",,,,NOT USED" + "," * 26,
        (
            "HCPCS,MOD,DESCRIPTION,CODE,PAYMENT,RVU,PE RVU,INDICATOR,PE"
            " RVU,INDICATOR,RVU,TOTAL,TOTAL,IND,DAYS,OP,OP,OP,PROC,SURG,SURG,SURG,SURG,BASE,FACTOR,PROCEDURES,FLAG,INDICATOR,AMOUNT,AMOUNT,AMOUNT"
        ),
    ]
    rows = [
        "70999,,,A,,1.19,3.66,,3.66,NA,0.06,4.91,4.91,1,XXX,0.00,0.00,0.00,4,3,0,0,0,,34.0000,09,0,88,24.79,24.79,0.13",
        "70999,26,,A,,1.19,0.44,,0.44,,0.05,1.68,1.68,1,XXX,0.00,0.00,0.00,4,3,0,0,0,,34.0000,09,0,88,0.00,0.00,0.00",
        "70999,TC,,A,,bad,3.22,,3.22,NA,0.01,3.23,3.23,1,XXX,0.00,0.00,0.00,4,3,0,0,0,,34.0000,03,0,88,24.35,24.35,0.08",
    ]
    _, outcome = load(tmp_path, "fees", "\n".join(notices + rows))
    assert (outcome.added, outcome.bad_count) == (2, 1)
    assert outcome.bad[0]["line"] == 7
    whole = fee("70999")
    assert (whole.year, whole.effective_from, whole.effective_to) == (
        2027,
        date(2027, 4, 1),
        date(2027, 12, 31),
    )
    assert (
        whole.fac_na,
        whole.nonfac_na,
        whole.pctc,
        whole.mult_proc,
        whole.bilat,
        whole.family,
    ) == (
        True,
        False,
        "1",
        "4",
        "3",
        "88",
    )
    assert (str(whole.opps_cap_pe), str(whole.opps_cap_mp), str(whole.conversion_factor)) == (
        "24.7900",
        "0.1300",
        "34.0000",
    )


def test_geographic_indices_take_their_year_from_the_heading(tmp_path):
    sheet = (
        "ADDENDUM E. FINAL CY 2027 GEOGRAPHIC PRACTICE COST INDICES,,,,,,\n,,,,,,\nMedicare"
        " Administrative Contractor (MAC),State,Locality Number,Locality Name,2027 PW GPCI (with"
        " 1.0 Floor),2027 PE GPCI,2027 MP GPCI\n6102,IL,16,CHICAGO,1.007,1.005,2.295\n*"
        " note,,,,,,\n"
    )
    _, outcome = load(tmp_path, "gpci", sheet)
    assert (outcome.added, outcome.bad_count) == (1, 0)
    row = Gpci.objects.get(year=2027)
    assert (row.carrier, row.locality, str(row.mp)) == ("06102", "16", "2.295")


def test_zip_files_of_fixed_width_are_read_with_their_quarter(tmp_path):
    zip5 = "IL62799" + "06102" + "99" + " " * 6 + "1" + " " * 54 + "20271\n"
    assert len(zip5.rstrip()) == 80
    _, outcome = load(tmp_path, "zips", zip5 * 1, name="ZIP5.txt")
    assert (outcome.added, outcome.bad_count) == (1, 0)
    row = ZipLocality.objects.get(zip5="62799")
    assert (row.state, row.carrier, row.locality, row.plus4, row.effective_from) == (
        "IL",
        "06102",
        "99",
        "",
        date(2027, 1, 1),
    )
    zip9 = "IL62799" + "06102" + "16" + " " * 6 + "1" + "0042" + " " * 50 + "20271\n"
    load(tmp_path, "zips", zip9, name="ZIP9.txt")
    assert ZipLocality.objects.get(zip5="62799", plus4="0042").locality == "16"


COUNTIES = """COUNTIES INCLUDED IN 2027 LOCALITIES. (ALPHABETICALLY BY STATE AND LOCALITY NAME WITHIN STATE),,,,
,,,,
Medicare Adminstrative Contractor,Locality Number,State ,Fee Schedule Area ,Counties
6102,16,ILLINOIS ,CHICAGO,COOK
6102,12,,EAST ST. LOUIS,"BOND, MADISON AND ST. CLAIR"
6102,99,,REST OF STATE*,ALL OTHER COUNTIES
 , , , ,
12202,1,DISTRICT OF COLUMBIA ,DC + MD/VA SUBURBS,"DISTRICT OF COLUMBIA; ALEXANDRIA CITY, FAIRFAX IN VIRGINIA; MONTGOMERY AND PRINCE GEORGE'S IN MARYLAND"
12302,99,MARYLAND,REST OF STATE,ALL OTHER COUNTIES EXCEPT MONTGOMERY AND PRINCE GEORGE'S
,,,,
*  Payment locality is serviced by two carriers.,,,,
"""


def test_the_counties_of_a_locality_are_a_row_each(tmp_path):
    _, outcome = load(tmp_path, "counties", COUNTIES, name="27LOCCO.csv")
    assert (outcome.added, outcome.bad_count) == (11, 0)
    rows = LocalityCounty.objects.filter(year=2027)
    assert list(
        rows.filter(carrier="06102")
        .order_by("locality", "county")
        .values_list("locality", "state", "county")
    ) == [
        ("12", "ILLINOIS", "BOND"),
        ("12", "ILLINOIS", "MADISON"),
        ("12", "ILLINOIS", "ST. CLAIR"),
        ("16", "ILLINOIS", "COOK"),
        ("99", "ILLINOIS", ""),
    ]
    suburbs = (
        rows.filter(carrier="12202").order_by("state", "county").values_list("state", "county")
    )
    assert list(suburbs) == [
        ("DISTRICT OF COLUMBIA", "DISTRICT OF COLUMBIA"),
        ("MARYLAND", "MONTGOMERY"),
        ("MARYLAND", "PRINCE GEORGE'S"),
        ("VIRGINIA", "ALEXANDRIA CITY"),
        ("VIRGINIA", "FAIRFAX"),
    ]
    rest = rows.get(carrier="12302")
    assert (rest.county, rest.words) == (
        "",
        "ALL OTHER COUNTIES EXCEPT MONTGOMERY AND PRINCE GEORGE'S",
    )
    assert (rest.effective_from, rest.effective_to) == (date(2027, 1, 1), date(2027, 12, 31))
    again = COUNTIES.replace("COOK", '"COOK, DUPAGE"')
    _, second = load(tmp_path, "counties", again, name="27LOCCO.csv")
    assert (second.added, second.changed, second.unchanged) == (1, 0, 11)


def test_a_county_line_without_counties_is_reported_and_leaves_the_others(tmp_path):
    _, outcome = load(
        tmp_path, "counties", COUNTIES.replace("CHICAGO,COOK", "CHICAGO,"), name="27LOCCO.csv"
    )
    assert (outcome.added, outcome.bad_count) == (10, 1)
    assert "counties are missing" in str(outcome.bad[0])


def test_the_pair_table_keeps_effective_and_deletion_dates(tmp_path):
    sheet = (
        "CPT only copyright\t\t\t\t\t\t\nColumn 1\tColumn 2\t*=in existence prior to"
        " 1996\tEffective Date\tDeletion Date *=no data\tModifier 0=not allowed 1=allowed 9=not"
        " applicable\tPTP Edit Rationale\n70999\t70998\t \t20260101\t*\t1\tMore extensive"
        " procedure\n70999\t70997\t \t20200101\t20260331\t0\tMisuse\n"
    )
    _, outcome = load(tmp_path, "ptp", sheet, name="ccipra.txt")
    assert (outcome.added, outcome.bad_count) == (2, 0)
    assert PtpEdit.objects.get(column2="70997", column1="70999").effective_to == date(2026, 3, 31)
    assert PtpEdit.objects.get(column2="70998", column1="70999").effective_to is None


def test_the_add_on_list_knows_contractor_decided_primaries(tmp_path):
    sheet = (
        "add_on_code,aoc_del_dt,primary_code,primary_code_del_dt,aoc_edit_eff_dt,aoc_edit_del_dt,aoc_edit_type,special_instruction_notes\n"
        "77999,,77998,,20260101,,1,\n77997,,CCCCC,,20260101,,2,\n"
    )
    _, outcome = load(tmp_path, "addons", sheet)
    assert outcome.added == 2
    assert AddOn.objects.get(addon="77997").primary == "CCCCC"


def test_the_diagnosis_order_file_gives_only_billable_codes(tmp_path):
    lines = [
        f"{1:05d} {'Z99':<7} 0 {'Dependence':<60} Dependence, of some kind, on something",
        (
            f"{2:05d} {'Z9999':<7} 1 {'Dependence on other':<60} Dependence on other things,"
            " machines, and devices"
        ),
    ]
    _, outcome = load(tmp_path, "diagnoses", "\n".join(lines), name="icd10cm-order-2027.txt")
    assert (outcome.read, outcome.added) == (2, 1)
    row = Diagnosis.objects.get(code="Z9999")
    assert (row.effective_from, row.name) == (
        date(2026, 10, 1),
        "Dependence on other things, machines, and devices",
    )


def test_level_two_codes_bring_their_public_names_and_keep_what_we_know(tmp_path):
    before = Procedure.objects.get(code="A9585")
    sheet = (
        "HCPC,SEQNUM,RECID,LONG DESCRIPTION,SHORT DESCRIPTION,ADD DT,TERM DT\nA9585,100,3,Injection"
        " gadobutrol,Gadobutrol injection,20110101,\nA9999,100,3,Other supply,Other"
        " supply,20200101,20260630\n"
    )
    _, outcome = load(tmp_path, "hcpcs", sheet)
    assert outcome.bad_count == 0
    assert Procedure.objects.get(code="A9999").effective_to == date(2026, 6, 30)
    now = Procedure.objects.filter(code="A9585").order_by("-effective_from")[0]
    assert (now.name, now.unit_size) == (before.name, before.unit_size)


def test_a_payer_sheet_updates_by_name_and_never_activates_an_unknown_payer(tmp_path):
    sheet = (
        "payer,initial_filing_days,clock,note,source,corrected_claim_rule,appeal_days,appeal_clock,confidence\nPrairie"
        " Health Plan,120,dos,note,contract 2027,180 from remit,200,remit,high\nUnheard"
        " Mutual,75,dos,,a web page,plan,,remit,low\n"
    )
    _, outcome = load(tmp_path, "payers", sheet)
    assert (outcome.added, outcome.changed) == (1, 1)
    prairie = Payer.objects.get(code="PHP")
    assert (prairie.filing_days, prairie.appeal_days, prairie.edi_id, prairie.active) == (
        120,
        200,
        "PRHP1",
        True,
    )
    new = Payer.objects.get(name="Unheard Mutual")
    assert (new.active, new.filing_days, new.edi_id) == (False, 75, "TBD-UNHEARD-MUTUAL")


def test_two_payers_never_share_an_edi_id(tmp_path):
    _, outcome = load(tmp_path, "payers", "code,name,edi_id,kind\nNEW1,New One,06102,commercial\n")
    assert outcome.bad[0]["sentence"] == "The EDI id 06102 already belongs to payer MCR."


def test_interest_in_words_becomes_a_yearly_rate_only_when_it_is_simple(tmp_path):
    head = "state,prompt_pay_days_electronic,prompt_pay_days_paper,prompt_pay_interest,citation,prompt_pay_basis,prompt_pay_confidence,medicaid_ffs_filing_days,medicaid_basis\n"
    load(
        tmp_path,
        "states",
        head
        + "AL,30,45,1.5%/month,x,y,medium,365,z\nTX,30,45,tiered penalty + 18%/yr,x,y,low,95,z\n",
    )
    alabama = StateRule.objects.filter(state="AL").order_by("-effective_from")[0]
    texas = StateRule.objects.filter(state="TX").order_by("-effective_from")[0]
    assert (alabama.interest_pct, texas.interest_pct, texas.confidence) == (18, None, "low")
    assert texas.values["interest"] == "tiered penalty + 18%/yr"
    assert texas.mac == "Novitas (JH)", "what the sheet does not know stays"


# --- containers and bombs -------------------------------------------------------------------------


def test_workbooks_and_packed_files_read_like_plain_ones(tmp_path):
    book = openpyxl.Workbook()
    for row in (
        ["code", "value", "mai", "effective_from"],
        [70999, 2, 3, date(2026, 1, 1)],
        ["70998", 1.0, 2, "2026-01-01"],
    ):
        book.active.append(row)
    book.save(tmp_path / "mue.xlsx")
    _, outcome = load_file(kind="mue", path=tmp_path / "mue.xlsx")
    assert (outcome.added, outcome.bad_count) == (2, 0)
    text = "code,value,mai,effective_from\n70997,2,3,2026-01-01\n"
    (tmp_path / "mue.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert load_file(kind="mue", path=tmp_path / "mue.csv.gz")[1].added == 1
    with zipfile.ZipFile(tmp_path / "mue.zip", "w") as archive:
        archive.writestr("inner/mue.csv", text.replace("70997", "70996"))
    assert load_file(kind="mue", path=tmp_path / "mue.zip")[1].added == 1


def test_a_packed_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"code,value,mai\n" + b"70999,2,3\n" * 4_000_000))
    with pytest.raises(FileRefused, match="unpacks to far more"), open_rows(path) as rows:
        for _ in rows:
            pass


def test_a_workbook_with_too_many_rows_is_refused(tmp_path):
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for n in range(60):
        sheet.append(["x", n])
    book.save(tmp_path / "long.xlsx")
    with (
        pytest.raises(FileRefused, match="more than 50 rows"),
        open_rows(tmp_path / "long.xlsx", limits=Limits(sheet_rows=50)) as rows,
    ):
        list(rows)


def test_binary_and_endless_lines_are_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"code,value\n\x00\x01\x02,1\n")
    with pytest.raises(FileRefused, match="binary"), open_rows(tmp_path / "a.csv") as rows:
        list(rows)
    (tmp_path / "b.csv").write_bytes(b"x" * 200_000)
    with pytest.raises(FileRefused, match="longer than"), open_rows(tmp_path / "b.csv") as rows:
        list(rows)


def test_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / "bad.xlsx").write_bytes(b"PK\x03\x04" + b"garbage" * 50)
    with pytest.raises(FileRefused), open_rows(tmp_path / "bad.xlsx") as rows:
        list(rows)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_says_what_it_did(tmp_path):
    path = tmp_path / "mue.csv"
    path.write_text("code,value,mai,effective_from\n70999,2,3,2026-01-01\nbad,1,1,2026-01-01\n")
    out = io.StringIO()
    call_command("load_reference", "mue", str(path), stdout=out)
    assert "2 rows read, 1 added, 0 changed, 0 closed, 0 as before, 1 bad" in out.getvalue()
    assert "line 3: code “BAD” is not a procedure code" in out.getvalue()
    out = io.StringIO()
    call_command("load_reference", "mue", str(path), stdout=out)
    assert "already loaded. Nothing changed." in out.getvalue()
    out = io.StringIO()
    call_command("load_reference", "mue", str(path), "--json", stdout=out)
    assert '"nothing_changed": true' in out.getvalue()


# --- the real files -------------------------------------------------------------------------------

REAL = [
    ("fees", "samples/cms/PPRRVU2025_Oct_head.csv", 154, 0),
    ("gpci", "samples/cms/GPCI2025.csv", 109, 0),
    ("fees", "data/pprrvu_imaging.csv", 2390, 0),
    ("fees", "data/pprrvu_2026_imaging_pctc.csv", 819, 0),
    ("gpci", "data/gpci.csv", 218, 0),
    ("procedures", "data/code_family.csv", 275, 0),
    ("procedures", "data/hcpcs_contrast_radiopharm.csv", 124, 0),
    ("carc", "data/carc.csv", 405, 0),
    ("rarc", "data/rarc.csv", 1171, 0),
    ("coverage", "data/lcd_dx_imaging.csv", 11319, 0),
    ("modifiers", "data/modifiers_imaging.csv", 42, 0),
    ("ptp", "data/ncci_ptp_imaging.csv", 10320, 0),
    ("addons", "data/addon_imaging.csv", 422, 0),
    ("pos", "data/pos_codes.csv", 52, 0),
    ("states", "data/state_rules.csv", 51, 0),
    ("states", "data/mac_jurisdiction.csv", 56, 0),
    ("taxonomies", "data/taxonomy_imaging.csv", 21, 0),
    ("zips", "data/zip5_locality.csv", 42956, 0),
    ("counties", "samples/cms/25LOCCO.csv", 208, 0),
    ("payers", "data/payer_rules_seed.csv", 15, 0),
]


@pytest.mark.parametrize(
    ("kind", "name", "rows", "bad"), REAL, ids=[name for _, name, _, _ in REAL]
)
def test_the_real_files_load_and_a_second_time_change_nothing(shared, kind, name, rows, bad):
    _, outcome = load_file(kind=kind, path=shared / name)
    assert outcome.bad_count == bad, outcome.bad[:3]
    assert outcome.added + outcome.changed + outcome.unchanged + outcome.closed == rows
    record, _ = load_file(kind=kind, path=shared / name)
    assert record is None
    # the same rows without the shortcut of the digest
    ReferenceLoad.objects.filter(kind=kind).update(sha256="")
    _, third = load_file(kind=kind, path=shared / name)
    assert (third.added, third.changed, third.closed) == (0, 0, 0)


def test_real_cap_amounts_load_when_told_their_year(shared):
    _, outcome = load_file(
        kind="opps-caps", path=shared / "samples/cms/OPPSCAP_head.csv", options=Options(year=2025)
    )
    assert (outcome.added, outcome.bad_count) == (690, 0)
    row = OppsCap.objects.get(code="70496", mod="", carrier="01112", locality="05")
    assert str(row.nonfac) == "343.62"
    assert load_file(kind="opps-caps", path=shared / "data/opps_2026_imaging.csv")[1].added == 712


def test_real_whole_service_rows_take_their_indicators_from_the_year_before(shared):
    load_file(kind="fees", path=shared / "data/pprrvu_imaging.csv")
    load_file(kind="fees", path=shared / "data/pprrvu_2026_imaging_pctc.csv")
    _, outcome = load_file(kind="fees", path=shared / "data/pprrvu_2026_global_imaging.csv")
    row = fee("78306", year=2026)
    assert (row.global_only, row.status, row.pctc) == (True, "A", "1")
    assert not fee("70553", year=2026).global_only, (
        "full rows are not replaced by whole-service ones"
    )
    assert all("no usable row" in bad["sentence"] for bad in outcome.bad)


def test_the_real_diagnosis_list_says_what_is_invalid(shared):
    from rcm.reference import facts

    assert facts.diagnosis_validity(["R51"], date(2026, 3, 1)) == {"R51": None}, (
        "a short list says nothing about codes it lacks"
    )
    _, outcome = load_file(
        kind="diagnoses", path=shared / "data/icd10cm_billable.csv.gz", options=Options(year=2026)
    )
    assert outcome.bad_count == 12, "headings such as C00-C96"
    assert facts.diagnosis_validity(["R51", "R51.9"], date(2026, 3, 1)) == {
        "R51": False,
        "R519": True,
    }
    assert facts.diagnosis_validity(["R51"], date(2026, 11, 1)) == {"R51": None}, (
        "the next fiscal year is not loaded"
    )


def test_every_kind_says_what_it_is_for():
    for kind in kinds():
        assert kind.words.endswith("."), kind.name
        assert kind.layouts
