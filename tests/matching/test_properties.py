"""What must hold of every match, whatever the facts: generosity never hurts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authorizations.clocks import Window
from authorizations.facts import AuthorizedService, AuthStatus, BilledFact, MatchPolicy
from authorizations.matching import RULE_ORDER, as_dict, match_exam
from authorizations.payload import match
from tests.matching.cast import CATALOG, CONTEXT, SITE_A, SITE_B, approval, exam, performed

CODES = st.sampled_from([*sorted(CATALOG), "99999"])
SIDES = st.sampled_from(["", "RT", "LT", "50"])
DAYS = st.dates(date(2026, 8, 20), date(2026, 10, 10))
SERVICES = st.builds(
    AuthorizedService,
    code=CODES,
    units=st.integers(0, 3),
    units_used=st.integers(0, 2),
    laterality=SIDES,
    approved=st.booleans(),
)


@st.composite
def requests(draw):
    auth = approval(
        services=tuple(draw(st.lists(SERVICES, max_size=4))),
        status=draw(st.sampled_from([AuthStatus.APPROVED] * 4 + list(AuthStatus))),
        site_npi=draw(st.sampled_from([SITE_A, SITE_A, SITE_B, ""])),
        effective_from=draw(DAYS),
        effective_to=draw(DAYS),
        requested_on=draw(st.none() | DAYS),
        reference=draw(st.sampled_from(["", "CALL 1"])),
    )
    done = performed(draw(CODES), draw(DAYS), units=draw(st.integers(1, 2)), laterality=draw(SIDES))
    billed = draw(st.none() | st.builds(BilledFact, code=st.just(done.code) | CODES))
    policy = MatchPolicy(retro_window=draw(st.none() | st.builds(Window, st.integers(0, 10))))
    return replace(exam(draw(st.just(auth) | st.none()), done, policy=policy), billed=billed)


def still_passes(before, after) -> bool:
    one = match_exam(before, CONTEXT, as_of=date(2026, 9, 20))
    return not one.passes or match_exam(after, CONTEXT, as_of=date(2026, 9, 20)).passes


@given(requests(), st.integers(1, 5))
def test_more_units_never_lose_a_match(request, more):
    if request.authorized:
        richer = tuple(replace(s, units=s.units + more) for s in request.authorized.services)
        assert still_passes(
            request, replace(request, authorized=replace(request.authorized, services=richer))
        )


@given(requests(), st.integers(0, 30), st.integers(0, 30))
def test_wider_dates_never_lose_a_match(request, before, after):
    auth = request.authorized
    if auth:
        wider = replace(
            auth,
            effective_from=auth.effective_from - timedelta(before),
            effective_to=auth.effective_to + timedelta(after),
        )
        assert still_passes(request, replace(request, authorized=wider))


@given(requests(), SERVICES)
def test_one_more_authorized_line_never_loses_a_match(request, extra):
    auth = request.authorized
    if auth:
        for services in ((extra, *auth.services), (*auth.services, extra)):
            assert still_passes(
                request, replace(request, authorized=replace(auth, services=services))
            )


@given(requests(), st.integers(0, 20))
def test_a_longer_retro_window_never_loses_a_match(request, more):
    window = request.policy.retro_window
    if window:
        longer = replace(request.policy, retro_window=Window(window.amount + more, window.unit))
        assert still_passes(request, replace(request, policy=longer))


@given(requests(), st.integers(0, 30))
def test_an_earlier_request_never_loses_a_match(request, days):
    auth = request.authorized
    if auth and auth.requested_on:
        earlier = replace(auth, requested_on=auth.requested_on - timedelta(days))
        assert still_passes(request, replace(request, authorized=earlier))


@given(requests())
def test_a_result_passes_exactly_when_nothing_failed_and_is_ordered_by_rule(request):
    result = match_exam(request, CONTEXT, as_of=date(2026, 9, 20))
    assert result.passes == (not result.deviations)
    numbers = [RULE_ORDER[item.rule] for item in result.deviations]
    assert numbers == sorted(numbers)
    for item in result.deviations:
        assert item.owner
        assert item.sentence.endswith(".")
        assert item.due is not None or item.due_words


@given(requests())
def test_the_answer_is_plain_json_and_the_same_twice(request):
    answers = [as_dict(match_exam(request, CONTEXT, as_of=date(2026, 9, 20))) for _ in range(2)]
    assert json.loads(json.dumps(answers[0])) == answers[1]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text("ab-0 \u00fc", max_size=6)
    | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab-0 \u00fc", max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["code", "units", "service_date", "services", "status", "laterality", "retro_window", "verdict"]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "ordered",
                "authorized",
                "performed",
                "billed",
                "requirement",
                "policy",
                "query",
                "change",
                "as_of",
                "x",
            ]
        ),
        JSON | st.dictionaries(FIELDS, JSON, max_size=4),
    )
)
def test_no_payload_breaks_the_adapter(payload):
    answer = match(payload, context=CONTEXT, today=date(2026, 9, 20))
    assert ("errors" in answer) != ("verdict" in answer)
    json.dumps(answer)


def test_not_required_without_a_procedure_proves_nothing_about_an_exam():
    said = replace(approval(services=()), status=AuthStatus.NOT_REQUIRED, reference="CALL 1")
    found = match_exam(
        exam(said, performed("70553", date(2026, 9, 1))), CONTEXT, as_of=date(2026, 9, 20)
    )
    assert not found.passes
    assert "AUTH_CPT_MISMATCH" in {d.code for d in found.deviations}
    named = replace(said, services=(AuthorizedService(code="70553", units=1),))
    assert match_exam(
        exam(named, performed("70553", date(2026, 9, 1))), CONTEXT, as_of=date(2026, 9, 20)
    ).passes
