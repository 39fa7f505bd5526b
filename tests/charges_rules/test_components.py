"""Who bills what, what may not stand together, modifiers, contrast, mammography, PET (rules
`component-form` and `contrast-as-given`).
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from charges.components import (
    Arrangement,
    BillingForm,
    ClaimedService,
    ExamToBill,
    Force,
    Owner,
    ReaderRelation,
    SupplyLine,
    anti_markup_applies,
    contradictions,
    contrast_lines,
    contrast_units,
    decide,
    mammography,
    modifier_findings,
    order_modifiers,
    pet_modifiers,
    resolve_arrangement,
)
from rcm.pricing.facts import Component, Locality, PosSetting
from rcm.pricing.forms import (
    LEGAL_FORMS,
    Equipment,
    Finding,
    Severity,
    equipment_modifiers,
    form_finding,
    place_finding,
)

CHICAGO, REST = Locality("06102", "16"), Locality("06102", "99")
DAY = dt.date(2026, 9, 8)
OURS, HOSPITAL = Owner.OURS, Owner.HOSPITAL
EMPLOYEE, INDEPENDENT, PURCHASED = (
    ReaderRelation.EMPLOYEE,
    ReaderRelation.INDEPENDENT,
    ReaderRelation.PURCHASED,
)


def exam(**facts: Any) -> ExamToBill:
    given: dict[str, Any] = {
        "code": "70553",
        "pctc": "1",
        "pos": "11",
        "pos_setting": PosSetting.NON_FACILITY,
        "medicare": True,
        "tc_locality": CHICAGO,
        "pc_locality": CHICAGO,
        "report_final": True,
    }
    if facts.get("pos") in {"21", "22", "31"}:
        given["pos_setting"] = PosSetting.FACILITY
    return ExamToBill(**{**given, **facts})


def row(machine: Owner = OURS, reader: ReaderRelation = EMPLOYEE, **facts: Any) -> Arrangement:
    return Arrangement(
        "NORTH", machine, facts.pop("tech_employer", machine), reader, dt.date(2026, 1, 1), **facts
    )


def parts(decision: Any) -> list[Component]:
    return [line.component for line in decision.lines]


# --- A1, A2 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pctc", "modifier", "legal"),
    [
        ("0", "", True),
        ("0", "26", False),
        ("0", "TC", False),
        ("1", "", True),
        ("1", "26", True),
        ("1", "TC", True),
        ("2", "26", False),
        ("3", "26", False),
        ("3", "TC", False),
        ("4", "TC", False),
        ("5", "26", False),
        ("6", "26", True),
        ("6", "TC", False),
        ("7", "26", False),
        ("8", "TC", False),
        ("9", "", True),
        ("9", "26", False),
    ],
)
def test_legal_forms_by_indicator(pctc: str, modifier: str, legal: bool) -> None:
    finding = form_finding("70553", pctc, [modifier] if modifier else [])
    assert (finding is None) is legal
    if finding is not None:
        assert finding.severity is Severity.BLOCK
        assert "4" in finding.denials


def test_an_unknown_indicator_holds_and_every_known_one_allows_the_whole() -> None:
    unknown = form_finding("12345", "", [])
    assert unknown is not None
    assert unknown.severity is Severity.HOLD
    assert all(Component.GLOBAL in forms for forms in LEGAL_FORMS.values())


def test_26_and_tc_on_one_line_is_no_form() -> None:
    finding = form_finding("70553", "1", ["26", "TC"])
    assert finding is not None
    assert finding.code == "COMPONENT_BOTH"


@pytest.mark.parametrize("pos", ["19", "21", "22", "23", "24", "31"])
def test_a_facility_takes_the_reading_and_refuses_the_machine(pos: str) -> None:
    forms = {
        part: place_finding("70553", "1", part, pos, PosSetting.FACILITY) for part in Component
    }
    assert forms[Component.PROFESSIONAL] is None
    assert forms[Component.GLOBAL] is not None
    technical = forms[Component.TECHNICAL]
    assert technical is not None
    assert technical.code == "TECHNICAL_IN_FACILITY"
    assert ("nursing" in technical.fix) is (pos == "31")


def test_the_scanner_record_decides_the_equipment_modifier() -> None:
    assert equipment_modifiers("71046", "XR", Equipment(film=True), dose_listed=False)[0] == ("FX",)
    assert equipment_modifiers("71046", "XR", Equipment(False, True), dose_listed=False)[0] == (
        "FY",
    )
    assert equipment_modifiers("71046", "XR", Equipment(False, False), dose_listed=False) == (
        (),
        (),
    )
    assert equipment_modifiers("74177", "CT", Equipment(xr29=False), dose_listed=True)[0] == ("CT",)
    assert equipment_modifiers("74177", "CT", Equipment(xr29=True), dose_listed=True) == ((), ())
    assert equipment_modifiers("70553", "MR", Equipment(film=True), dose_listed=False) == ((), ())
    unknown = equipment_modifiers("74177", "CT", Equipment(), dose_listed=True)[1]
    assert [f.code for f in unknown] == ["EQUIPMENT_UNKNOWN"]


# --- A3: the table, row by row --------------------------------------------------------------------


def test_1_our_scanner_and_reader_in_one_locality_is_global() -> None:
    decision = decide(exam(), row())
    assert (decision.form, decision.rule, parts(decision)) == (
        BillingForm.GLOBAL,
        "arrangement",
        [Component.GLOBAL],
    )
    assert decision.releasable


def test_2_a_reading_in_another_locality_splits_for_medicare_only() -> None:
    apart = {"pc_locality": REST}
    medicare = decide(exam(**apart), row())
    assert (medicare.form, medicare.rule) == (BillingForm.SPLIT, "global-one-locality")
    assert [(line.component, line.locality) for line in medicare.lines] == [
        (Component.TECHNICAL, CHICAGO),
        (Component.PROFESSIONAL, REST),
    ]
    assert decide(exam(medicare=False, **apart), row()).form is BillingForm.GLOBAL
    assert (
        decide(exam(medicare=False, split_on_locality=True, **apart), row()).form
        is BillingForm.SPLIT
    )


def test_3_an_independent_group_leaves_us_the_technical_part() -> None:
    decision = decide(exam(report_final=False), row(reader=INDEPENDENT))
    assert (decision.form, decision.rule) == (BillingForm.TECHNICAL, "arrangement")
    assert decision.others == (("26", "reading group"),)
    assert decision.releasable


def test_4_another_partys_scanner_leaves_us_the_reading() -> None:
    assert decide(exam(pos="22"), row(HOSPITAL)).form is BillingForm.PROFESSIONAL
    elsewhere = decide(exam(), row(Owner.OTHER))
    assert (elsewhere.form, elsewhere.rule, elsewhere.others) == (
        BillingForm.PROFESSIONAL,
        "arrangement",
        (("TC", "other"),),
    )


def test_5_a_purchased_reading_under_anti_markup_is_split_and_needs_its_price() -> None:
    priced = decide(exam(anti_markup=True, purchase_price=Decimal(60)), row(reader=PURCHASED))
    assert (priced.form, priced.rule) == (BillingForm.SPLIT, "anti-markup")
    assert [line.purchased for line in priced.lines] == [False, True]
    unpriced = decide(exam(anti_markup=True), row(reader=PURCHASED))
    assert [f.code for f in unpriced.findings] == ["PURCHASE_PRICE_MISSING"]
    unknown = decide(exam(), row(reader=PURCHASED))
    assert unknown.findings[0].code == "ANTI_MARKUP_UNKNOWN"
    assert decide(exam(anti_markup=False), row(reader=PURCHASED)).form is BillingForm.GLOBAL


def test_6_under_arrangement_we_bill_the_reading_and_invoice_the_hospital() -> None:
    decision = decide(exam(pos="22"), row(under_arrangement=True))
    assert (decision.form, decision.rule, decision.invoice) == (
        BillingForm.PROFESSIONAL,
        "arrangement",
        "hospital",
    )
    without = decide(exam(pos="22"), row())
    assert without.findings[0].code == "FACILITY_WITHOUT_ARRANGEMENT"


def test_7_a_late_report_holds_the_global_and_never_makes_it_technical() -> None:
    decision = decide(exam(report_final=False), row())
    assert decision.form is BillingForm.GLOBAL
    assert not decision.releasable
    assert decision.findings[0].code == "NO_FINAL_REPORT"


def test_what_the_table_cannot_decide_is_held() -> None:
    cases = {
        "ARRANGEMENT_UNKNOWN": decide(exam(), None),
        "LOCALITY_UNKNOWN": decide(exam(pc_locality=None), row()),
        "POS_UNKNOWN": decide(exam(pos_setting=None), row()),
        "INDICATOR_UNKNOWN": decide(exam(pctc=""), row()),
        "TECHNICAL_OWNER_MIXED": decide(exam(), row(tech_employer=HOSPITAL)),
        "GLOBAL_ACROSS_LOCALITIES": decide(exam(pc_locality=REST), row(force=Force.GLOBAL_ONLY)),
    }
    for code, decision in cases.items():
        assert decision.form is BillingForm.HOLD
        assert [f.code for f in decision.findings] == [code]
        assert not decision.releasable


def test_forced_forms() -> None:
    assert decide(exam(), row(force=Force.SPLIT_REQUIRED)).form is BillingForm.SPLIT
    bundled = decide(exam(), row(force=Force.PC_BUNDLED_TO_HOSPITAL))
    assert (bundled.form, bundled.invoice) == (BillingForm.TECHNICAL, "hospital")
    assert decide(exam(), row(force=Force.CAPITATED)).capitated
    idtf = decide(exam(idtf=True), row(force=Force.SPLIT_REQUIRED))
    assert [f.code for f in idtf.findings] == ["IDTF_SPLIT"]


def test_a_reading_abroad_is_blocked_for_medicare() -> None:
    assert [f.code for f in decide(exam(read_in_us=False), row()).findings] == ["READ_ABROAD"]
    assert decide(exam(read_in_us=False, medicare=False), row()).findings == ()


def test_codes_without_parts_go_to_whoever_furnishes_them() -> None:
    assert decide(exam(pctc="3"), row(reader=INDEPENDENT)).form is BillingForm.GLOBAL
    assert decide(exam(pctc="2"), row(reader=INDEPENDENT)).form is BillingForm.NOTHING
    assert decide(exam(pctc="4"), row(reader=INDEPENDENT)).form is BillingForm.HOLD
    assert decide(exam(pctc="9", report_final=False), row()).releasable
    assert decide(exam(pctc="3", pos="22"), row(HOSPITAL)).form is BillingForm.NOTHING


def test_no_decision_ever_bills_the_machine_in_a_facility_or_someone_elses_part() -> None:
    for machine, reader, pos, medicare, pctc, under in product(
        (OURS, HOSPITAL), ReaderRelation, ("11", "22"), (True, False), "0123456789", (True, False)
    ):
        decision = decide(
            exam(
                pos=pos, medicare=medicare, pctc=pctc, anti_markup=True, purchase_price=Decimal(1)
            ),
            row(machine, reader, under_arrangement=under),
        )
        for line in decision.lines:
            assert (
                form_finding(
                    "x", pctc, [line.component.value] if line.component != "global" else []
                )
                is None
            )
            technical = line.component is not Component.PROFESSIONAL and pctc in "13456"
            assert not (technical and (pos == "22" or machine is not OURS))
            assert not (reader is INDEPENDENT and line.component is Component.PROFESSIONAL)


def test_the_narrowest_arrangement_in_force_wins() -> None:
    rows = [
        row(),
        row(reader=INDEPENDENT, payer="MEDICARE"),
        row(HOSPITAL, modality="MR"),
        row(reader=PURCHASED, payer="MEDICARE", effective_to=dt.date(2026, 3, 31), group="G1"),
    ]

    def found(
        payer: str, modality: str = "CT", on: dt.date = DAY, site: str = "NORTH"
    ) -> Arrangement | None:
        return resolve_arrangement(
            rows, site=site, modality=modality, group="G1", payer=payer, on=on
        )

    assert found("ACME") is rows[0]
    assert found("MEDICARE") is rows[1]
    assert found("ACME", "MR") is rows[2]
    assert found("MEDICARE", on=dt.date(2026, 3, 31)) is rows[3]
    assert found("ACME", site="SOUTH") is None
    assert found("ACME", on=dt.date(2025, 12, 31)) is None


def test_anti_markup_needs_our_order_and_a_reader_outside_our_practice() -> None:
    def asked(ordered: bool | None, share: str | None, building: bool | None) -> bool | None:
        return anti_markup_applies(
            ordered_by_us=ordered,
            share_of_services=Decimal(share) if share else None,
            same_building=building,
            threshold=Decimal("0.75"),
        )

    assert asked(False, None, None) is False
    assert asked(True, "0.75", None) is False
    assert asked(True, "0.10", True) is False
    assert asked(True, "0.10", False) is True
    assert asked(True, None, False) is None
    assert asked(None, "0.10", False) is None


# --- A5 -------------------------------------------------------------------------------------------


def service(line: str, code: str, *modifiers: str, **facts: Any) -> ClaimedService:
    given: dict[str, Any] = {
        "claim": f"claim-{line}",
        "patient": "P",
        "payer": "MEDICARE",
        "date_of_service": DAY,
        "locality": CHICAGO,
    }
    return ClaimedService(line=line, code=code, modifiers=tuple(modifiers), **{**given, **facts})


def ids(*services: ClaimedService) -> list[str]:
    return [c.id for c in contradictions(services)]


def test_d1_d2_d3_and_plain_duplicates() -> None:
    assert ids(service("1", "70553"), service("2", "70553", "26")) == ["global_and_reading"]
    assert ids(service("1", "70553"), service("2", "70553", "26", entity="1932102084")) == [
        "global_and_reading"
    ]
    assert ids(service("1", "70553"), service("2", "70553", "TC")) == ["global_and_technical"]
    assert ids(service("1", "70553", "26"), service("2", "70553", "26", entity="1932102084")) == [
        "component_twice"
    ]
    assert ids(service("1", "70553", "26"), service("2", "70553", "26", "77")) == []
    assert ids(service("1", "70553", "TC"), service("2", "70553", "TC", "76")) == []
    assert ids(service("1", "70553", status="paid"), service("2", "70553", "59")) == []


def test_d4_our_own_parts_in_one_locality_are_offered_for_merging() -> None:
    both = (service("1", "70553", "TC"), service("2", "70553", "26"))
    [found] = contradictions(both)
    assert (found.id, found.action) == ("parts_to_merge", "offer_merge")
    assert ids(both[0], service("2", "70553", "26", locality=REST)) == []
    assert ids(both[0], service("2", "70553", "26", split_rule=True)) == []
    assert ids(both[0], service("2", "70553", "26", entity="1932102084")) == []


def test_d5_d6_stand_alone() -> None:
    assert ids(service("1", "70553", reader_bills_own=True)) == ["reader_bills_own"]
    hospital = {"pos": "22", "pos_setting": PosSetting.FACILITY}
    assert ids(service("1", "71046", "TC", **hospital)) == ["technical_at_facility"]
    assert ids(service("1", "71046", "26", **hospital)) == []


def test_d7_whole_tests_and_their_parts() -> None:
    assert ids(service("1", "77089", pctc="4"), service("2", "77091", pctc="3")) == [
        "whole_and_part"
    ]
    assert ids(service("1", "93018", pctc="2"), service("2", "93015", pctc="4")) == [
        "whole_and_part"
    ]


def test_d8_two_contrast_levels_of_one_session() -> None:
    plain = service("1", "70551", family="MR_BRAIN", contrast="without", session="A")
    full = service("2", "70553", family="MR_BRAIN", contrast="without_and_with", session="A")
    assert ids(plain, full) == ["contrast_levels"]
    later = service("2", "70553", "XE", family="MR_BRAIN", contrast="without_and_with", session="B")
    assert ids(plain, later) == []


def test_d9_an_accepted_claim_is_not_sent_again_as_an_original() -> None:
    first = service("1", "70553", status="accepted")
    again = service("2", "70553")
    [found] = contradictions([first, again])
    assert (found.id, found.action) == ("accepted_repeated", "convert_to_replacement")
    assert ids(first, service("2", "70553", frequency="7", replaces="claim-1")) == []


def test_other_days_payers_sides_and_dead_lines_do_not_contradict() -> None:
    one = service("1", "73562", "RT", pctc="1")
    assert ids(one, service("2", "73562", "LT")) == []
    assert ids(one, service("2", "73562", "50")) == ["duplicate"]
    assert ids(one, service("2", "73562", "RT", date_of_service=DAY + dt.timedelta(1))) == []
    assert ids(one, service("2", "73562", "RT", payer="ACME")) == []
    assert ids(one, service("2", "73562", "RT", patient="Q")) == []
    assert ids(one, service("2", "73562", "RT", status="denied")) == []
    assert ids(one, service("2", "73562", "RT", status="void")) == []


def test_the_verdict_does_not_depend_on_order() -> None:
    services = [service("1", "70553"), service("2", "70553", "26"), service("3", "70553", "TC")]
    assert (
        sorted(ids(*services))
        == sorted(ids(*reversed(services)))
        == ["global_and_reading", "global_and_technical", "parts_to_merge"]
    )


# --- A6 -------------------------------------------------------------------------------------------


def test_modifiers_stand_in_payment_order() -> None:
    assert order_modifiers(["GA", "LT", "59", "FX", "TC"]) == ("TC", "FX", "LT", "59", "GA")
    assert order_modifiers(["77", "26", "26"]) == ("26", "77")


def said(code: str, *modifiers: str, **facts: Any) -> set[str]:
    given: dict[str, Any] = {"pctc": "1", "bilateral": "0", "medicare": True, **facts}
    return {f.code for f in modifier_findings(code, modifiers, **given)}


def test_modifier_findings() -> None:
    assert said("70553", "26") == set()
    assert said("70553", "51") == {"MODIFIER_51"}
    assert said("70553", "51", medicare=False) == set()
    assert said("77066", "50", bilateral="2") == {"BILATERAL_ILLEGAL"}
    assert said("73562", "50", bilateral="3") == set()
    assert said("76641", "50", bilateral="1") == set()
    assert said("70553", "50") == {"BILATERAL_NO_EFFECT"}
    assert said("73562", "RT", "50", bilateral="3") >= {"SIDES_TWICE"}
    assert said("70553", "PI", "PS") == {"MODIFIERS_EXCLUDE"}
    assert said("70553", "GA", "GZ") == {"MODIFIERS_EXCLUDE"}
    assert said("70553", "26", "TC") == {"COMPONENT_BOTH"}
    assert said("70553", "26", "59", "77", "GA", "KX") == {"MODIFIERS_TOO_MANY"}
    assert said("70553", "GA", "26") == {"MODIFIER_ORDER"}


def test_the_line_must_agree_with_the_scanner() -> None:
    film = frozenset({"FX"})
    assert said("71046", equipment=film) == {"EQUIPMENT_MODIFIER_MISSING"}
    assert said("71046", "FX", equipment=film) == set()
    assert said("71046", "FX", equipment=frozenset()) == {"EQUIPMENT_MODIFIER_UNSUPPORTED"}
    assert said("71046", "26", equipment=film) == set()


# --- A7 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "ml", "units"),
    [
        ("A9585", "8", 80),
        ("A9575", "7.5", 75),
        ("Q9967", "100", 100),
        ("A9579", "14.5", 15),
        ("A9585", "8.05", 81),
        ("Q9967", "0", 0),
    ],
)
def test_contrast_units_follow_the_descriptor(code: str, ml: str, units: int) -> None:
    assert contrast_units(code, Decimal(ml)) == units


def test_an_agent_whose_unit_is_not_known_is_held() -> None:
    assert contrast_units("A9700", Decimal(3)) is None
    lines, findings = contrast_lines(
        "A9700", given=Decimal(3), discarded=None, single_dose=True, medicare=True
    )
    assert lines == ()
    assert findings[0].code == "CONTRAST_UNIT_UNKNOWN"


def test_single_dose_vials_say_what_was_wasted() -> None:
    def told(
        discarded: str | None, single: bool | None = True, medicare: bool = True
    ) -> tuple[SupplyLine, ...]:
        wasted = Decimal(discarded) if discarded is not None else None
        return contrast_lines(
            "A9585", given=Decimal(8), discarded=wasted, single_dose=single, medicare=medicare
        )[0]

    assert told("0") == (SupplyLine("A9585", 80, ("JZ",)),)
    assert told("2") == (SupplyLine("A9585", 80), SupplyLine("A9585", 20, ("JW",)))
    assert told(None, single=False) == (SupplyLine("A9585", 80),)
    assert told(None, medicare=False) == (SupplyLine("A9585", 80),)
    findings: tuple[Finding, ...] = contrast_lines(
        "A9585", given=Decimal(8), discarded=None, single_dose=True, medicare=True
    )[1]
    assert findings[0].code == "WASTE_UNKNOWN"


def test_j11_screening_and_diagnostic_mammograms_of_one_day() -> None:
    day = [
        SupplyLine("77067", 1),
        SupplyLine("77063", 1),
        SupplyLine("77065", 1, ("LT",)),
        SupplyLine("77061", 1, ("LT",)),
    ]
    lines, findings = mammography(day, medicare=True)
    assert [(line.code, line.modifiers) for line in lines] == [
        ("77067", ()),
        ("77063", ()),
        ("77065", ("LT", "GG")),
        ("G0279", ("GG",)),
    ]
    assert [f.code for f in findings] == ["TOMO_CODE_FOR_MEDICARE"]
    kept, _ = mammography(day, medicare=False)
    assert kept[3].code == "77061"


def test_tomosynthesis_is_never_billed_alone() -> None:
    for code in ("77063", "G0279"):
        assert [f.code for f in mammography([SupplyLine(code, 1)], medicare=True)[1]] == [
            "ADD_ON_ALONE"
        ]


def test_oncologic_pet_says_which_strategy() -> None:
    def told(
        strategy: str | None, prior: int | None = None, code: str = "78815"
    ) -> tuple[tuple[str, ...], list[str]]:
        mods, findings = pet_modifiers(
            code, strategy=strategy, prior_subsequent=prior, oncologic=True
        )
        return mods, [f.code for f in findings]

    assert told("initial") == (("PI",), [])
    assert told("subsequent", 2) == (("PS",), [])
    assert told("subsequent", 3) == (("PS", "KX"), [])
    assert told(None) == ((), ["PET_STRATEGY_UNKNOWN"])
    assert told("subsequent") == (("PS",), ["PET_COUNT_UNKNOWN"])
    assert told(None, code="70553") == ((), [])
