"""The exam's own benefit decides; what changed re-opens what depended on it; silent payers are asked
again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from django.urls import reverse

from authorizations.loading import ExamAsk as MatchAsk
from authorizations.loading import match_exams
from intake.benefits import AnswerFacts, auth_flag, changes, news
from intake.estimate import BenefitFact
from intake.models import Appointment, CheckStatus, Coverage, EligibilityCheck, Estimate
from intake.services import (
    Ask,
    appointment_book,
    coverage_add,
    eligibility_ask,
    eligibility_retry,
    estimate_make,
    exam_benefit,
)
from rcm.accounts.scope import scope
from rcm.worklist.models import WorkItem
from rcm.x12.model import Benefit, Rejection
from tests.intake.house import (
    NOW,
    active,
    exams_of,
    inactive,
    insured,
    moment,
    order,
    partner,
    patient,
    payer,
    run_all,
    site,
)


def row(flag: bool | None, *types: str, **more) -> BenefitFact:
    return BenefitFact("active", "1", "IND", types, authorization=flag, **more)


MR, FILM = ("62", "4", "30"), ("4", "30")


@pytest.mark.parametrize(
    ("rows", "types", "code", "required"),
    [
        ([row(True, "62"), row(False, "4")], MR, "", True),
        ([row(True, "62"), row(False, "4")], FILM, "", False),
        ([row(True, "62")], FILM, "", None),
        ([row(True, "30"), row(False, "4")], FILM, "", False),
        ([row(False, "30"), row(None, "62")], MR, "", False),
        ([row(True, "98", "48")], MR, "", None),
        ([row(False, "62"), row(True, "62")], MR, "", True),
        ([row(False, "62"), row(True, "62", in_network=False)], MR, "", False),
        ([row(True, "62"), row(False, "62", procedure="70551")], MR, "70551", False),
        ([row(True, "62"), row(False, "62", procedure="70553")], MR, "70551", True),
        ([row(True)], MR, "", True),
    ],
)
def test_only_the_exam_s_own_service_type_decides(rows, types, code, required):
    assert auth_flag(rows, types, code=code).required is required


def answer(**more) -> AnswerFacts:
    rows = (
        BenefitFact("copay", "B", "IND", ("62",), amount=Decimal("40.00")),
        BenefitFact("coinsurance", "A", "IND", ("62",), percent=Decimal("20.00")),
        BenefitFact("deductible", "C", "IND", ("30",), "29", Decimal("120.00")),
        row(False, "62"),
    )
    return replace(AnswerFacts(True, "PPO", None, rows), **more)


def other(old: BenefitFact, new: BenefitFact) -> AnswerFacts:
    rows = tuple(new if b == old else b for b in answer().benefits)
    return answer(benefits=rows)


COPAY, SHARE, LEFT, FLAG = answer().benefits


@pytest.mark.parametrize(
    ("after", "field", "touches"),
    [
        (answer(active=False), "coverage", "coverage"),
        (answer(plan="HMO"), "plan", "authorization"),
        (answer(ends_on=date(2026, 3, 1)), "end of coverage", "coverage"),
        (
            answer(benefits=(*answer().benefits, BenefitFact("other_payer", "R", text="Medicare"))),
            "other payer",
            "coverage",
        ),
        (other(COPAY, replace(COPAY, amount=Decimal("75.00"))), "copay", "estimate"),
        (other(SHARE, replace(SHARE, percent=Decimal("30.00"))), "coinsurance", "estimate"),
        (other(LEFT, replace(LEFT, amount=Decimal("80.00"))), "deductible left", "estimate"),
        (other(FLAG, row(True, "62")), "authorization flag", "authorization"),
    ],
)
def test_every_kind_of_change_is_told_with_what_depends_on_it(after, field, touches):
    (found,) = changes(answer(), after, MR)
    assert (found["field"], found["touches"]) == (field, touches)
    assert found["before"] != found["after"]


def test_what_did_not_change_for_this_exam_is_no_news():
    assert changes(answer(), answer(), MR) == []
    elsewhere = answer(benefits=(*answer().benefits, row(True, "98")))
    assert changes(answer(), elsewhere, MR) == []
    spent = other(LEFT, replace(LEFT, amount=Decimal("80.00")))
    assert news(changes(answer(), spent, MR)) == []


def flagged(request):
    """Type 62 asks for an authorization, type 4 does not."""
    told = active(request)
    rows = (
        Benefit("1", "IND", ("62",), authorization="Y", in_network="Y"),
        Benefit("1", "IND", ("4",), authorization="N", in_network="Y"),
        Benefit("F", "IND", ("33",), quantity_qualifier="VS", quantity=Decimal("20")),
    )
    return replace(told, benefits=(*told.benefits, *rows))


@pytest.mark.django_db(transaction=True)
def test_a_flag_for_an_mri_does_not_stop_a_chest_film(cast_committed, settings):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(flagged)
        with scope(cast.system):
            who = patient(cast)
            coverage = insured(cast, who)
            eligibility_ask(asks=[Ask(coverage, NOW.date(), "MR")], actor=cast.system, at=NOW)
        run_all(cast)
    with scope(cast.system):
        check = EligibilityCheck.objects.get()
        assert check.auth_required is True
        limit = check.benefits.get(kind="limitation")
        assert limit.quantity == "20 visits"
        table = coverage.payer.service_types
        assert exam_benefit(check, modality="MR", table=table).auth_required is True
        film = exam_benefit(check, modality="XR", table=table)
        assert (film.auth_required, film.service_type) == (False, "4")
        (chest,) = exams_of(order(cast, who, "71046"))
        (brain,) = exams_of(order(cast, who, "70551"))
        asks = [
            MatchAsk(e.code, e, who.pk, site(cast), NOW.date(), coverage) for e in (chest, brain)
        ]
        found = match_exams(asks, at=NOW)
        assert found["71046"].requirement.verdict == "not_required"
        assert found["70551"].requirement.verdict == "required"


def visit_of(cast, who) -> Appointment:
    return appointment_book(
        patient=who,
        site=site(cast),
        starts_at=moment("2026-03-05 10:00"),
        exams=exams_of(order(cast, who, "71046")),
        actor=cast.system,
        enforce=False,
        at=NOW,
    )


@pytest.mark.django_db(transaction=True)
def test_an_ended_coverage_leaves_neither_authorization_nor_money_ready(cast_committed, settings):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(active)
        with scope(cast.system):
            who = patient(cast)
            coverage = insured(cast, who)
            visit = visit_of(cast, who)
        run_all(cast)
        with scope(cast.system):
            Estimate.objects.create(
                organization=cast.a,
                appointment=visit,
                patient=who,
                as_of=NOW,
                patient_share=Decimal("0.00"),
                allowed=Decimal("50.00"),
                coverage=coverage,
                member_id=coverage.member_id,
                lines=[],
                actor_name="Ana",
            )
        payers.eligibility(inactive)
        later = moment("2026-03-03 10:00")
        with scope(cast.system):
            eligibility_ask(
                asks=[Ask(coverage, date(2026, 3, 5), "XR")], actor=cast.system, at=later
            )
        run_all(cast, later)
    with scope(cast.system):
        visit.refresh_from_db()
        assert visit.gates["eligibility"]["state"] == "stop"
        assert visit.gates["authorization"]["state"] != "ready"
        assert visit.gates["money"]["state"] != "ready"
        check = EligibilityCheck.objects.order_by("-id").first()
        assert check.changes == [
            {
                "field": "coverage",
                "before": "active",
                "after": "not active",
                "touches": "coverage",
            }
        ]


@pytest.mark.django_db(transaction=True)
def test_an_estimate_follows_the_policy_and_the_answer(cast_committed, settings):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(active)
        with scope(cast.system):
            who = patient(cast)
            insured(cast, who)
            visit = visit_of(cast, who)
        run_all(cast)
        with scope(cast.system):
            first = estimate_make(appointment=visit, actor=cast.system, at=NOW)
            assert first.member_id == "PRA123456789"
        run_all(cast)
        with scope(cast.system):
            assert Estimate.objects.count() == 1
            coverage_add(
                patient=who, payer=payer("LBI"), member_id="LB1234567", actor=cast.system, at=NOW
            )
            visit.refresh_from_db()
        run_all(cast)
    with scope(cast.system):
        last = Estimate.objects.order_by("-id").first()
        assert (last.pk != first.pk, last.member_id) == (True, "LB1234567")


def try_again(request):
    told = inactive(request)
    return replace(told, benefits=(), rejections=(Rejection(False, "42", "R", "subscriber"),))


@pytest.mark.django_db(transaction=True)
def test_a_payer_that_says_try_again_is_asked_again_by_itself(cast_committed, settings, client):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(try_again)
        with scope(cast.system):
            coverage = insured(cast)
            eligibility_ask(asks=[Ask(coverage, NOW.date(), "MR")], actor=cast.system, at=NOW)
        run_all(cast)
        with scope(cast.system):
            check = EligibilityCheck.objects.get()
            assert (check.status, check.attempt) == (CheckStatus.FAILED, 1)
            assert check.retry_at == moment("2026-03-02 09:15")
            item = WorkItem.objects.get(cause="PAYER_SILENT")
            assert "9:15" in item.fix or "10:15" in item.fix
        client.force_login(cast.users["ana"])
        page = client.get(reverse("intake:coverage", args=[coverage.public_id]))
        assert "It is asked again by itself" in page.content.decode()
        early = eligibility_retry(
            organization_id=cast.a.pk, actor=cast.system, at=moment("2026-03-02 09:10")
        )
        assert early == 0
        payers.eligibility(active)
        at = moment("2026-03-02 09:16")
        assert eligibility_retry(organization_id=cast.a.pk, actor=cast.system, at=at) == 1
        run_all(cast, at)
        with scope(cast.system):
            last = EligibilityCheck.objects.order_by("-id").first()
            assert (last.status, last.attempt, last.retry_at) == ("active", 2, None)
            assert Coverage.objects.get().status == "active"
        assert eligibility_retry(organization_id=cast.a.pk, actor=cast.system, at=at) == 0
