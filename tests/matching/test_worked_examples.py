"""The four-way match by example, one sentence each."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from authorizations.clocks import Unit, Window
from authorizations.facts import (
    AuthorizedService,
    AuthStatus,
    BilledFact,
    MatchPolicy,
    MatchRequest,
    OrderedFact,
    Row,
    SiteMatch,
    Verdict,
)
from authorizations.families import Crosswalk, CrosswalkRow, CrosswalkVerdict
from authorizations.matching import KINDS, RULE_ORDER, as_dict, match_exam, match_many
from authorizations.ordering import ChangeEvidence, OrderVerdict, judge_change
from rcm.web import rulebook
from tests.matching.cast import CATALOG, CONTEXT, EXEMPT, SITE_B, approval, exam, performed

TODAY = date(2026, 10, 1)


def judge(request: MatchRequest, as_of: date = TODAY):
    return match_exam(request, CONTEXT, as_of=as_of)


# --- J5 -------------------------------------------------------------------------------------------


def test_the_last_day_of_the_authorization_is_inside_it():
    result = judge(exam(approval(), performed(day=date(2026, 9, 30))))
    assert (result.verdict, result.code) == (Verdict.MATCH, "OK")


def test_the_day_after_is_expired_and_denied_302():
    result = judge(exam(approval(), performed(day=date(2026, 10, 1))))
    assert (result.code, result.first.carc) == ("AUTH_EXPIRED", ("302",))
    assert (result.first.cell.row, result.first.cell.field) == (Row.AUTHORIZATION, "service_date")


def test_the_day_before_it_starts_is_not_yet():
    assert judge(exam(approval(), performed(day=date(2026, 8, 31)))).code == "AUTH_NOT_YET"


def test_another_site_is_denied_296():
    result = judge(exam(approval(), performed(site_npi=SITE_B)))
    assert (result.code, result.first.carc, result.first.cell.field) == (
        "AUTH_WRONG_SITE",
        ("296",),
        "site",
    )


def test_a_payer_that_matches_by_tax_number_accepts_the_other_site():
    policy = MatchPolicy(site_match=SiteMatch.TIN)
    assert judge(exam(approval(), performed(site_npi=SITE_B), policy=policy)).code == "OK"


def test_more_contrast_in_the_family_needs_an_update_within_two_business_days():
    result = judge(
        exam(approval("70551"), performed("70553", date(2026, 9, 4))), as_of=date(2026, 9, 4)
    )
    assert (result.verdict, result.code) == (Verdict.NEEDS_CHANGE, "UPDATE_REQUIRED")
    assert result.first.due == date(2026, 9, 9)  # Friday + 2 business days, over Labor Day


def test_another_family_needs_a_new_authorization():
    result = judge(exam(approval("70551"), performed("70544")))
    assert (result.code, result.first.carc, result.first.rarc) == (
        "NEW_AUTH_REQUIRED",
        ("284",),
        ("N54",),
    )


def test_a_second_exam_on_one_unit_exceeds_it():
    result = judge(exam(approval(units_used=1), performed()))
    assert (result.code, result.first.carc, result.first.cell.field) == (
        "AUTH_UNITS_EXCEEDED",
        ("198",),
        "units",
    )


def test_an_exam_already_counted_in_the_used_units_still_matches():
    assert judge(exam(approval(units_used=1), performed(units_counted=1))).code == "OK"


def test_two_exams_of_one_batch_cannot_share_the_last_unit():
    one = exam(approval(), performed(), key="A1")
    codes = [
        r.code
        for r in match_many([one, replace(one, key="A2")], CONTEXT, as_of=TODAY, consume=True)
    ]
    assert codes == ["OK", "AUTH_UNITS_EXCEEDED"]


# --- J6 -------------------------------------------------------------------------------------------


def test_less_than_authorized_is_covered_and_the_performed_code_is_billed():
    result = judge(exam(approval("70553"), performed("70551"), billed="70551"))
    assert (result.verdict, result.code) == (Verdict.COVERED_BY_FAMILY, "OK_FAMILY")
    assert "Bill 70551" in result.sentence


def test_billing_the_authorized_code_that_was_not_performed_is_held_for_compliance():
    result = judge(exam(approval("70553"), performed("70551"), billed="70553"))
    assert (result.code, result.first.cell.row, result.first.owner) == (
        "CODE_NOT_PERFORMED",
        Row.CLAIM,
        "coder",
    )


def test_a_code_not_performed_is_found_even_when_no_authorization_is_needed():
    assert (
        judge(exam(None, performed("71045"), billed="71046", requirement=EXEMPT)).code
        == "CODE_NOT_PERFORMED"
    )


# --- B3 in order ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorized", "code"),
    [
        (None, "AUTH_MISSING"),
        (approval(status=AuthStatus.PENDED), "AUTH_PENDING"),
        (approval(status=AuthStatus.REQUESTED), "AUTH_PENDING"),
        (approval(status=AuthStatus.DENIED), "AUTH_DENIED"),
        (approval(status=AuthStatus.CANCELLED), "AUTH_DENIED"),
        (approval(status=AuthStatus.NOT_REQUIRED), "AUTH_FACT_UNKNOWN"),
        (approval(patient_id="P2"), "AUTH_WRONG_MEMBER"),
        (approval(payer_id="87726"), "AUTH_WRONG_MEMBER"),
        (approval(member_id="W999"), "AUTH_WRONG_MEMBER"),
        (approval(effective_to=None), "AUTH_FACT_UNKNOWN"),
        (approval("99999"), "AUTH_CPT_MISMATCH"),
        (approval(services=()), "AUTH_CPT_MISMATCH"),
        (approval(requested_on=date(2026, 10, 1)), "AUTH_LATE"),
    ],
)
def test_each_failure_has_its_code(authorized, code):
    assert judge(exam(authorized, performed())).code == code


def test_the_first_failure_is_the_verdict_and_the_others_are_kept_in_order():
    result = judge(
        exam(approval("70544", site_npi=SITE_B, member_id="X"), performed(day=date(2026, 10, 5)))
    )
    assert [d.rule for d in result.deviations] == [
        "authorization-member",
        "authorization-dates",
        "authorization-site",
        "authorization-family",
    ]
    assert result.code == "AUTH_WRONG_MEMBER"


def test_a_member_number_is_the_same_with_and_without_its_dashes():
    assert judge(exam(approval(member_id="w12-345-6789"), performed())).code == "OK"


def test_without_a_rule_and_without_a_record_the_requirement_is_unknown_and_holds():
    result = judge(exam(None, performed(), requirement=None))
    assert (result.verdict, result.code) == (Verdict.UNKNOWN, "REQUIREMENT_UNKNOWN")


def test_a_stored_not_required_with_its_reference_passes_and_is_evidence():
    record = approval(status=AuthStatus.NOT_REQUIRED, reference="CALL 4711, Kim", number="")
    result = judge(exam(record, performed()))
    assert (result.verdict, "CALL 4711" in result.sentence) == (Verdict.NOT_REQUIRED, True)


def test_the_wrong_side_is_found():
    result = judge(exam(approval("73721", laterality="RT"), performed("73721", laterality="LT")))
    assert (result.code, result.first.cell.field) == ("AUTH_LATERALITY", "laterality")


def test_an_authorization_of_both_sides_covers_one():
    assert (
        judge(exam(approval("73721", laterality="50"), performed("73721", laterality="LT"))).code
        == "OK"
    )


def test_the_ordering_provider_counts_only_where_the_payer_says_so():
    request = exam(approval(ordering_npi="1"), performed(ordering_npi="2"))
    assert judge(request).code == "OK"
    assert (
        judge(replace(request, policy=MatchPolicy(match_ordering=True))).code
        == "AUTH_WRONG_PROVIDER"
    )


def test_a_late_request_inside_the_payers_window_passes():
    late = approval(requested_on=date(2026, 10, 2))
    window = MatchPolicy(retro_window=Window(2, Unit.BUSINESS_DAYS))
    assert judge(exam(late, performed(), policy=window)).code == "OK"
    closed = MatchPolicy(retro_window=Window(0))
    assert judge(exam(late, performed(), policy=closed)).code == "AUTH_LATE"


def test_an_unknown_window_is_not_a_zero_window_and_has_no_deadline():
    result = judge(exam(approval(requested_on=date(2026, 10, 1)), performed()))
    assert result.first.due is None
    assert "not known" in result.first.due_words


def test_a_line_the_payer_left_out_of_a_partial_approval_is_denied():
    lines = (AuthorizedService("70551", 1, approved=False), AuthorizedService("70544", 1))
    result = judge(
        exam(approval(status=AuthStatus.PARTIALLY_APPROVED, services=lines), performed())
    )
    assert result.code in {"AUTH_DENIED", "NEW_AUTH_REQUIRED"}
    alone = judge(exam(approval(services=lines[:1]), performed()))
    assert alone.code == "AUTH_DENIED"


def test_one_authorization_covers_the_technical_and_the_professional_part():
    for component in ("TC", "26", ""):
        request = exam(approval(), performed())
        billed = BilledFact(
            "70551", date(2026, 9, 30), component=component, auth_number="PA-99887766"
        )
        assert judge(replace(request, billed=billed)).code == "OK"


def test_another_number_on_the_claim_is_found():
    request = replace(exam(approval(), performed()), billed=BilledFact("70551", auth_number="ZZZ"))
    assert judge(request).code == "AUTH_NUMBER_DIFFERS"


def test_before_the_exam_the_order_is_matched_as_planned_and_due_on_the_business_day_before():
    order = OrderedFact(
        "70551",
        patient_id="P1",
        payer_id="60054",
        member_id="W123456789",
        planned_for=date(2026, 9, 8),
        site_npi=SITE_B,
    )
    from tests.matching.cast import REQUIRED

    result = judge(
        MatchRequest(ordered=order, authorized=approval(), requirement=REQUIRED),
        as_of=date(2026, 9, 1),
    )
    assert result.code == "AUTH_WRONG_SITE"
    assert result.first.due == date(2026, 9, 4)  # the Monday before is Labor Day


# --- B4 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorized", "done", "code"),
    [
        ("70553", "70552", "OK_FAMILY"),
        ("70551", "70552", "UPDATE_REQUIRED"),
        ("74160", "74177", "NEW_AUTH_REQUIRED"),
        ("77046", "77047", "NEW_AUTH_REQUIRED"),
        ("77047", "77046", "OK_FAMILY"),
        ("76700", "76705", "OK_FAMILY"),
        ("76705", "76700", "UPDATE_REQUIRED"),
        ("71046", "71045", "OK_FAMILY"),
        ("71045", "71046", "UPDATE_REQUIRED"),
        ("75557", "75559", "UPDATE_REQUIRED"),
        ("78816", "78815", "OK_FAMILY"),
    ],
)
def test_family_substitution(authorized, done, code):
    assert judge(exam(approval(authorized), performed(done))).code == code


def test_a_payers_crosswalk_beats_the_family_default_while_it_is_in_force():
    rows = [
        CrosswalkRow(
            "60054",
            "70551",
            "70553",
            CrosswalkVerdict.ALLOWED,
            effective_to=date(2026, 9, 29),
            source="grouping",
        ),
        CrosswalkRow("60054", "70553", "70551", CrosswalkVerdict.UPDATE),
    ]
    context = replace(CONTEXT, crosswalk=Crosswalk(rows))
    inside = match_exam(
        exam(approval(), performed("70553", date(2026, 9, 29))), context, as_of=TODAY
    )
    after = match_exam(
        exam(approval(), performed("70553", date(2026, 9, 30))), context, as_of=TODAY
    )
    stricter = match_exam(exam(approval("70553"), performed("70551")), context, as_of=TODAY)
    assert (inside.code, after.code, stricter.code) == (
        "OK_FAMILY",
        "UPDATE_REQUIRED",
        "UPDATE_REQUIRED",
    )


# --- B5, C12 --------------------------------------------------------------------------------------


def test_contrast_left_open_by_the_order_is_test_design():
    answer = judge_change(OrderedFact("70551", contrast_open=True), performed("70553"), CATALOG)
    assert answer.verdict is OrderVerdict.TEST_DESIGN


def test_contrast_named_by_the_order_needs_a_new_one():
    assert (
        judge_change(OrderedFact("70551"), performed("70553"), CATALOG).verdict
        is OrderVerdict.NEW_ORDER_REQUIRED
    )


def test_views_left_open_are_test_design():
    assert (
        judge_change(OrderedFact("71045", views_open=True), performed("71046"), CATALOG).verdict
        is OrderVerdict.TEST_DESIGN
    )


def test_a_wrong_side_may_be_corrected_only_as_a_documented_obvious_error():
    order, done = OrderedFact("73721", laterality="RT"), performed("73721", laterality="LT")
    assert judge_change(order, done, CATALOG).stops
    shown = ChangeEvidence(obvious_error=True, documented=True)
    assert (
        judge_change(order, done, CATALOG, evidence=shown).verdict is OrderVerdict.CORRECTED_ERROR
    )


def test_the_reader_may_order_the_diagnostic_mammogram():
    shown = ChangeEvidence(ordered_by_reader=True)
    answer = judge_change(OrderedFact("77067"), performed("77065"), CATALOG, evidence=shown)
    assert answer.verdict is OrderVerdict.ORDERED_BY_READER


def test_a_screening_mammogram_needs_no_order_and_an_mri_does():
    assert judge_change(None, performed("77067"), CATALOG).verdict is OrderVerdict.NO_ORDER_NEEDED
    assert judge_change(None, performed("70551"), CATALOG).verdict is OrderVerdict.ORDER_MISSING


def test_an_urgent_addition_needs_every_condition():
    everything = ChangeEvidence(
        ordered_test_done=True,
        result_abnormal=True,
        delay_harmful=True,
        orderer_unreachable=True,
        result_sent=True,
        documented=True,
    )
    order, done = OrderedFact("70551"), performed("70544")
    assert (
        judge_change(order, done, CATALOG, evidence=everything).verdict
        is OrderVerdict.URGENT_ADDITION
    )
    short = judge_change(order, done, CATALOG, evidence=replace(everything, result_sent=False))
    assert short.stops
    assert "the result was sent" in short.sentence


# --- the grid -------------------------------------------------------------------------------------


def test_the_grid_marks_the_cell_that_differs():
    grid = judge(exam(approval("70551"), performed("70553"), billed="70553")).grid
    assert [row.value for row in grid.cells] == ["order", "authorization", "performed", "claim"]
    assert grid.cells[Row.AUTHORIZATION]["code"].differs
    assert not grid.cells[Row.PERFORMED]["code"].differs
    assert not grid.cells[Row.CLAIM]["code"].differs
    assert grid.cells[Row.ORDER]["code"].value == ""


def test_every_failure_code_has_words_an_owner_and_no_retired_denial():
    assert set(RULE_ORDER) <= set(rulebook.rules())
    for code, kind in KINDS.items():
        assert kind.action, code
        assert kind.owner, code
        assert "15" not in kind.carc


def test_the_plain_answer_carries_everything_a_screen_needs():
    body = as_dict(judge(exam(approval(), performed(site_npi=SITE_B))))
    assert body["differs"] == {"row": "authorization", "field": "site"}
    assert body["expected_denial"] == {"carc": ["296"], "rarc": []}
    assert len(body["grid"]["rows"]) == 4
