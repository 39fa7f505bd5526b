"""What may still be asked of a payer after the exam, until when, and what is left when it takes
nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from authorizations.clocks import Unit, Window
from authorizations.facts import BilledFact, MatchPolicy, MatchRequest
from authorizations.matching import as_dict, match_exam
from authorizations.windows import Start
from tests.matching.cast import CONTEXT, REQUIRED, SITE_B, approval, performed

FRIDAY = date(2026, 9, 25)
MONDAY, TUESDAY = date(2026, 9, 28), date(2026, 9, 29)
TERMS = MatchPolicy(
    update_window=Window(2, Unit.BUSINESS_DAYS),
    new_window=Window(1, Unit.BUSINESS_DAYS),
    retro_window=Window(10),
)


def judge(authorized, done, *, policy=TERMS, as_of=FRIDAY, billed=None):
    request = MatchRequest(
        authorized=authorized, performed=done, requirement=REQUIRED, policy=policy, billed=billed
    )
    return match_exam(request, CONTEXT, as_of=as_of).first


def test_a_change_of_the_code_a_new_exam_and_a_missing_number_have_three_windows():
    """The exam is on a Friday: two business days end on Tuesday, one on Monday, ten days in
    October.
    """
    more = judge(approval("70551"), performed("70553", FRIDAY))
    other = judge(approval("70551"), performed("70544", FRIDAY))
    none = judge(None, performed("70551", FRIDAY))
    assert (more.code, more.due) == ("UPDATE_REQUIRED", TUESDAY)
    assert more.due_words == "update window of 2 business days from the exam"
    assert (other.code, other.due) == ("NEW_AUTH_REQUIRED", MONDAY)
    assert other.due_words == "window for a new request of 1 business day from the exam"
    assert (none.code, none.due) == ("AUTH_MISSING", date(2026, 10, 5))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"site_npi": SITE_B}, "AUTH_WRONG_SITE"),
        ({"effective_to": date(2026, 9, 24)}, "AUTH_EXPIRED"),
        ({"units_used": 1}, "AUTH_UNITS_EXCEEDED"),
    ],
)
def test_what_a_granted_record_lacks_is_a_change_and_has_the_update_window(change, code):
    found = judge(approval(**change), performed(day=FRIDAY))
    assert (found.code, found.due) == (code, TUESDAY)


@pytest.mark.parametrize(
    ("start", "due"),
    [
        (Start.SERVICE, TUESDAY),
        (Start.APPROVAL, date(2026, 9, 22)),
        (Start.REPORT, date(2026, 9, 30)),
        (Start.DENIAL, date(2026, 10, 7)),
    ],
)
def test_each_window_runs_from_its_own_event(start, due):
    found = judge(
        approval(decided_on=date(2026, 9, 18)),
        performed("70553", FRIDAY, reported_on=MONDAY),
        policy=replace(TERMS, update_from=start),
        as_of=date(2026, 9, 25),
        billed=BilledFact("70553", FRIDAY, denied_on=date(2026, 10, 5)),
    )
    assert found.due == due


def test_an_event_that_has_not_happened_gives_no_day_but_says_which():
    found = judge(
        approval(),
        performed("70553", FRIDAY),
        policy=replace(TERMS, update_from=Start.REPORT),
    )
    assert found.due is None
    assert found.due_words == (
        "update window of 2 business days from the signed report, which is not there yet"
    )


def test_a_payer_without_a_retro_path_says_so_and_gives_what_is_left():
    closed = replace(
        TERMS,
        retro_window=Window(0),
        new_window=None,
        peer_to_peer_days=7,
        patient_words="The patient may not be billed (42 CFR 447.15)",
    )
    found = judge(None, performed(day=FRIDAY), policy=closed)
    assert (found.due, found.due_words) == (None, "the payer has no retroactive window")
    assert found.options == (
        "Appeal when the claim is denied",
        "Ask for a peer-to-peer call within 7 days of the denial",
        "Write it off under the office's policy",
        "The patient may not be billed (42 CFR 447.15)",
    )
    assert found.action.startswith("Appeal when the claim is denied; ")
    assert "retroactively" not in found.action


def test_a_window_that_is_over_gives_what_is_left_too_and_an_unknown_one_does_not():
    over = judge(None, performed(day=FRIDAY), as_of=date(2026, 10, 6))
    assert over.due_words.endswith(", over")
    assert over.options
    unknown = judge(None, performed(day=FRIDAY), policy=MatchPolicy())
    assert unknown.options == ()
    assert "not known: ask today" in unknown.due_words


def test_an_approved_update_asked_for_in_time_is_not_judged_by_the_retro_window():
    """Asked on the Tuesday after a Friday exam: inside the update window, though the payer takes no
    retroactive request.
    """
    policy = replace(TERMS, retro_window=Window(0), new_window=None)
    changed = approval("70553", requested_on=TUESDAY, kind="update")
    assert judge(changed, performed("70553", FRIDAY), policy=policy, as_of=TUESDAY) is None
    late = replace(changed, requested_on=date(2026, 9, 30))
    found = judge(late, performed("70553", FRIDAY), policy=policy, as_of=date(2026, 9, 30))
    assert (found.code, found.sentence) == (
        "AUTH_LATE",
        "Requested 2026-09-30; the payer's update window ended 2026-09-29.",
    )
    retro = judge(
        replace(changed, kind="retro"), performed("70553", FRIDAY), policy=policy, as_of=TUESDAY
    )
    assert "the payer has no retroactive window" in retro.sentence


def test_before_the_exam_nothing_is_over_whatever_the_payer_takes_afterwards():
    request = MatchRequest(
        ordered=None,
        authorized=None,
        performed=performed(day=FRIDAY),
        requirement=REQUIRED,
        policy=replace(TERMS, retro_window=Window(0), new_window=None),
    )
    found = match_exam(request, CONTEXT, as_of=date(2026, 9, 20)).first
    assert found.options == ()
    assert found.due == date(2026, 9, 24)


def test_the_options_are_in_what_the_api_answers():
    request = MatchRequest(
        performed=performed(day=FRIDAY),
        requirement=REQUIRED,
        policy=replace(TERMS, retro_window=Window(0), new_window=None),
    )
    answer = as_dict(match_exam(request, CONTEXT, as_of=FRIDAY))
    assert answer["options"][0] == "Appeal when the claim is denied"
    assert answer["deviations"][0]["options"] == answer["options"]
