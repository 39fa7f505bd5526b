"""The starter set is complete in itself: every code has its fees or a reason, every word its
class.
"""

from __future__ import annotations

import csv
import re
from datetime import date
from decimal import Decimal

import pytest

from authorizations.models import AuthRule, Crosswalk
from rcm.pricing.models import FeeRow, Gpci, ZipLocality
from rcm.reference import facts
from rcm.reference.loaders.codes import KLASSES
from rcm.reference.models import (
    AdjustmentReason,
    CoverageRow,
    Diagnosis,
    Holiday,
    Modifier,
    MueEdit,
    Payer,
    Plan,
    Procedure,
    PtpEdit,
    Remark,
    StateRule,
)
from rcm.reference.services import starter_load
from rcm.reference.starter import FOLDER, ORDER

pytestmark = pytest.mark.django_db


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_each_sheet_is_loaded_without_a_bad_row():
    for name in ORDER:
        assert (FOLDER / f"{name}.csv").is_file()
    from rcm.reference.models import ReferenceLoad

    loads = ReferenceLoad.objects.filter(source__startswith="Isocenter starter set")
    assert {load.kind for load in loads} == set(ORDER)
    assert not [load.kind for load in loads if load.bad]


def test_loading_it_again_changes_nothing():
    assert all(outcome is None for _, outcome in starter_load())


def test_rows_that_someone_edited_or_loaded_stay_as_they_are():
    from rcm.reference.models import ReferenceLoad

    Payer.objects.filter(code="PHP").update(filing_days=77, source="contract of 2027")
    mine = ReferenceLoad.objects.create(kind="mue", source="CMS", sha256="x")
    MueEdit.objects.filter(code="70553", program="medicare").update(value=9, load=mine)
    ReferenceLoad.objects.filter(source__startswith="Isocenter").update(sha256="")
    outcomes = dict(starter_load())
    assert Payer.objects.get(code="PHP").filing_days == 77
    assert MueEdit.objects.get(code="70553", program="medicare").value == 9
    assert outcomes["payers"].kept == 1
    assert outcomes["mue"].kept == 1


def test_every_exam_has_fee_rows_of_2025_or_2026_and_every_supply_a_reason():
    known = set(FeeRow.objects.values_list("code", flat=True))
    for row in Procedure.objects.filter(load__source__startswith="Isocenter"):
        if row.kind in ("contrast", "radiopharm"):
            assert row.unit, (
                f"{row.code}: a supply is priced by contract or drug list, in its billing unit"
            )
        else:
            assert row.code in known, row.code


def test_parts_add_up_to_the_whole_exactly():
    by_key = {
        (r.year, r.code, r.mod): r
        for r in FeeRow.objects.filter(status__in="ART", load__source__startswith="Isocenter")
    }
    tested = 0
    for (year, code, mod), row in by_key.items():
        pc, tc = by_key.get((year, code, "26")), by_key.get((year, code, "TC"))
        if mod == "" and pc and tc:
            tested += 1
            assert row.work == pc.work + tc.work
            assert row.pe_nonfac == pc.pe_nonfac + tc.pe_nonfac
            assert row.mp == pc.mp + tc.mp
    assert tested > 200


def test_about_a_hundred_and_twenty_imaging_exams_and_their_supplies_are_there():
    kinds = [row["kind"] for row in rows("procedures")]
    assert kinds.count("exam") >= 120
    assert {"CT", "CTA", "MR", "MRA", "PET", "NM", "US", "XR", "MG", "DXA", "FL"} <= {
        row["modality"] for row in rows("procedures")
    }
    assert {
        "70551",
        "70553",
        "72148",
        "74177",
        "76700",
        "76705",
        "71046",
        "77067",
        "77063",
        "73721",
        "71550",
        "70496",
        "A9585",
    } <= {row["code"] for row in rows("procedures")}


def test_no_name_is_longer_than_a_line_or_an_official_text():
    for row in Procedure.objects.filter(load__source__startswith="Isocenter"):
        assert len(row.name) <= 60
        assert ";" not in row.name, "official descriptors have semicolons; ours are plain words"


def test_every_adjustment_reason_has_a_class_and_every_denial_a_category_owner_and_action():
    assert AdjustmentReason.objects.count() >= 90
    for row in AdjustmentReason.objects.filter(load__source__startswith="Isocenter"):
        assert row.klass in KLASSES, row.code
        assert row.words, row.code
        if row.klass == "denial":
            assert row.category, row.code
            assert row.owner_stage, row.code
            assert row.first_action, row.code
            assert row.preventable is not None, row.code


def test_the_retired_authorization_code_is_known_as_retired():
    assert AdjustmentReason.objects.get(code="15").effective_to == date(2018, 5, 1)


def test_the_reasons_of_the_sample_remittance_are_classified():
    assert {code: facts.adjustment_class(code) for code in ("45", "253", "2", "59", "197")} == {
        "45": "contractual",
        "253": "contractual",
        "2": "patient_resp",
        "59": "contractual",
        "197": "denial",
    }
    assert facts.adjustment_reason("197").category == "prior_auth"
    assert facts.remarks()["N361"].category == "mppr"


def test_every_remark_has_own_words():
    assert Remark.objects.filter(load__source__startswith="Isocenter").count() >= 60
    assert not Remark.objects.filter(load__source__startswith="Isocenter", words="").exists()


def test_payers_really_differ():
    payers = list(Payer.objects.filter(source__startswith="Isocenter").exclude(kind="self_pay"))
    assert len(payers) >= 9
    assert len({p.filing_days for p in payers}) >= 5
    assert len({p.response_days for p in payers}) >= 8
    assert len({p.member_id_pattern for p in payers}) >= 7
    assert {p.kind for p in payers} >= {
        "medicare",
        "advantage",
        "medicaid",
        "commercial",
        "workers_comp",
    }
    assert (
        {p.accepts_replacement for p in payers}
        == {p.split_on_locality for p in payers}
        == {p.contrast_payable for p in payers}
        == {True, False}
    )
    assert Plan.objects.count() >= 15


def test_the_sample_messages_find_their_payer():
    book = facts.payer_book()
    for asked in (
        {"code": "MCR"},
        {"edi_id": "06102"},
        {"name": "MEDICARE PART B"},
        {"code": "06102"},
    ):
        payer = book.find(**asked)
        assert payer is not None
        assert (payer.code, payer.kind, payer.accepts_replacement) == ("MCR", "medicare", False)
    assert book.find(code="NOBODY") is None


def member_fits(pattern: str, member: str) -> bool:
    classes = {"A": "[A-Z]", "N": "[0-9]", "X": "[A-Z0-9]"}
    return (
        re.fullmatch("".join(f"{classes[p[0]]}{{{p[1:]}}}" for p in pattern.split()), member)
        is not None
    )


def test_the_sample_member_number_fits_the_payers_shape():
    assert member_fits(Payer.objects.get(code="MCR").member_id_pattern, "1EG4TE5MK73")


def test_each_zip_has_its_locality_and_each_locality_its_indices():
    places = {(g.year, g.carrier, g.locality) for g in Gpci.objects.all()}
    for row in ZipLocality.objects.filter(load__source__startswith="Isocenter"):
        assert (2025, row.carrier, row.locality) in places
        assert (2026, row.carrier, row.locality) in places
    chicago = ZipLocality.objects.get(zip5="60611")
    assert (chicago.carrier, chicago.locality) == ("06102", "16")


def test_edits_speak_only_of_known_codes():
    known = set(Procedure.objects.values_list("code", flat=True))
    for row in PtpEdit.objects.filter(load__source__startswith="Isocenter"):
        assert {row.column1, row.column2} <= known
        assert row.modifier_indicator in "019"
    assert (
        set(
            MueEdit.objects.filter(load__source__startswith="Isocenter").values_list(
                "code", flat=True
            )
        )
        <= known
    )
    assert (
        set(
            CoverageRow.objects.filter(load__source__startswith="Isocenter").values_list(
                "code", flat=True
            )
        )
        <= known
    )
    assert not CoverageRow.objects.filter(
        load__source__startswith="Isocenter", advisory=False
    ).exists()


def test_worked_examples_of_the_edits_are_there():
    assert facts.pairs(["70551", "70553"], date(2026, 9, 8), date(2026, 9, 8))[0][:3] == (
        "70553",
        "70551",
        "1",
    )
    assert facts.pairs(["71275", "76376"], date(2026, 9, 8), date(2026, 9, 8))[0][:3] == (
        "71275",
        "76376",
        "0",
    )
    day = date(2026, 9, 8)
    limits = facts.unit_limits(["70553", "77067", "A9585"], day, day)
    assert {code: [told.rows for told in versions] for code, versions in limits.items()} == {
        "70553": [[(2, "3")]],
        "77067": [[(1, "2")]],
        "A9585": [[(300, "3")]],
    }
    assert facts.addon_primaries(["77063"], day, day) == {"77063": [(None, None, [("1", "77067")])]}


def test_dated_rows_become_periods_in_which_the_same_ones_hold():
    june, july, august = date(2026, 6, 1), date(2026, 7, 1), date(2026, 8, 1)
    rows = [
        (june, date(2026, 6, 30), "old"),
        (july, None, "new"),
        (june, None, "both"),
        (date(2026, 9, 1), None, "later"),
    ]
    assert facts.periods(rows, june, august) == [
        (None, date(2026, 6, 30), ["old", "both"]),
        (july, None, ["new", "both"]),
    ]
    assert facts.periods(rows, july, august) == [(None, None, ["new", "both"])]
    assert facts.periods([(july, date(2026, 7, 31), "july")], june, august) == [
        (july, date(2026, 7, 31), ["july"])
    ]
    assert facts.periods([(july, date.max, "always")], july, date.max) == [(None, None, ["always"])]


def test_supplies_bill_in_their_unit():
    gadobutrol = facts.procedure("A9585", date(2026, 9, 8))
    assert (gadobutrol.unit, gadobutrol.unit_size, facts.drug_kind(gadobutrol)) == (
        "0.1 mL",
        Decimal("0.1"),
        "mr_contrast",
    )
    assert facts.procedure("A9585", date(2020, 1, 1)) is None, (
        "before its first day nothing is known"
    )


def test_modifiers_are_ranked_payment_first():
    rank = {m.code: m.rank for m in Modifier.objects.all()}
    assert rank["26"] == rank["TC"] < rank["CT"] < rank["RT"] < rank["59"] < rank["76"] < rank["GA"]


def test_diagnoses_of_the_samples_are_there():
    assert facts.diagnosis_validity(["R51.9", "R53.1"], date(2026, 9, 8)) == {
        "R519": True,
        "R531": True,
    }
    assert Diagnosis.objects.count() >= 300


def test_federal_holidays_of_four_years_with_observed_days():
    days = facts.holidays()
    assert Holiday.objects.filter(state="").count() >= 44
    assert {date(2026, 7, 3), date(2026, 11, 26), date(2027, 12, 24), date(2027, 12, 31)} <= days
    assert facts.holidays_known_until() == date(2028, 12, 31)


def test_all_states_are_there_and_unsourced_figures_are_unknown():
    states = StateRule.objects.all()
    assert len({s.state for s in states} - {"PR", "GU", "VI", "AS", "MP"}) == 51
    assert all(s.prompt_pay_days_electronic is None for s in states if s.confidence == "")
    assert facts.state_rules(date(2026, 9, 8))["IL"].prompt_pay_days_electronic == 30


def test_authorization_rules_name_what_is_reviewed():
    assert AuthRule.objects.filter(payer_kind="commercial", modality="MR", required=True).exists()
    assert AuthRule.objects.filter(payer_kind="medicare", required=False).exists()
    assert AuthRule.objects.filter(pos="23", required=False).exists()
    assert not AuthRule.objects.filter(source="").exists()
    assert set(Crosswalk.objects.values_list("verdict", flat=True)) == {"covered", "update", "new"}


def test_answers_are_kept_until_something_is_loaded(django_assert_num_queries):
    facts.payer_book()
    with django_assert_num_queries(1):
        facts.payer_book()
