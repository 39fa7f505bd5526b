"""270 out, 271 in, and what the desk sees."""

from __future__ import annotations

from decimal import Decimal

import pytest

from intake.models import Appointment, CheckStatus, Coverage, CoverageStatus, EligibilityCheck
from intake.services import (
    Ask,
    appointment_book,
    coverage_discover,
    coverage_end,
    difference_accept,
    eligibility_ask,
    reverify_run,
    reverify_start,
    sharing_of,
)
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.exchange.models import Interchange
from rcm.jobs.models import JobRun
from rcm.worklist.models import WorkItem
from rcm.x12 import read_270
from tests.intake.house import (
    NOW,
    active,
    exams_of,
    inactive,
    inbound,
    insured,
    moment,
    order,
    partner,
    patient,
    run_all,
    site,
    unknown_member,
)

pytestmark = pytest.mark.django_db(transaction=True)


def ask(cast, coverage, modality="MR", at=NOW):
    with scope(cast.system):
        return eligibility_ask(asks=[Ask(coverage, at.date(), modality)], actor=cast.system, at=at)[
            0
        ]


def test_an_mri_asks_for_the_benefit_that_pays_for_an_mri_and_the_answer_lands_on_the_chart(
    cast_committed, settings
):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(active)
        with scope(cast.system):
            coverage = insured(cast)
        check = ask(cast, coverage)
        run_all(cast)
        asked = next(iter(read_270(payers.received[0])))
        assert asked.service_types[0] == "62"
        assert asked.service_types[-1] == "30"
        assert asked.subscriber.id == "PRA123456789"
        with scope(cast.system):
            check.refresh_from_db()
            coverage.refresh_from_db()
            assert (check.status, check.plan_name) == (CheckStatus.ACTIVE, "Prairie PPO")
            assert coverage.status == CoverageStatus.ACTIVE
            assert coverage.verified_at == NOW
            share = sharing_of(check, "MR", coverage.payer.service_types)
            assert share.copay == Decimal("40.00")
            assert share.coinsurance == Decimal("0.2")
            assert share.deductible_remaining == Decimal("120.00")
            assert share.out_of_pocket_remaining == Decimal("2400.00")
            assert check.response.answer_to_id == check.request_id
            assert bytes(check.response.content).startswith(b"ISA")
            assert not WorkItem.objects.exists()


def test_the_same_271_again_changes_nothing(cast_committed, settings):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(active)
        with scope(cast.system):
            coverage = insured(cast)
        check = ask(cast, coverage)
        run_all(cast)
        with scope(cast.system):
            raw = bytes(Interchange.objects.get(kind="271").content)
            before = EligibilityCheck.objects.get(pk=check.pk).benefits.count()
        inbound(cast, "271", raw)
        inbound(cast, "271", raw.replace(b"900000001", b"900000777"))
        run_all(cast)
        with scope(cast.system):
            assert EligibilityCheck.objects.get(pk=check.pk).benefits.count() == before
            assert Interchange.objects.filter(kind="271").count() == 2


def test_an_inactive_coverage_opens_one_item_and_stops_the_visit(cast_committed, settings):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(inactive)
        with scope(cast.system):
            who = patient(cast)
            insured(cast, who)
            visit = appointment_book(
                patient=who,
                site=site(cast),
                starts_at=moment("2026-03-04 10:00"),
                exams=exams_of(order(cast, who, "71046")),
                actor=cast.system,
                at=NOW,
            )
        run_all(cast)
        with scope(cast.system):
            visit.refresh_from_db()
            assert visit.gates["eligibility"]["state"] == "stop"
            assert visit.clearance == "stop"
            item = WorkItem.objects.get(queue="eligibility")
            assert item.cause == "COVERAGE_INACTIVE"
            assert item.due_at == visit.starts_at
        payers.eligibility(active)
        with scope(cast.system):
            coverage = Coverage.objects.get()
        ask(cast, coverage, at=moment("2026-03-02 11:00"))
        run_all(cast, moment("2026-03-02 11:00"))
        with scope(cast.system):
            item.refresh_from_db()
            visit.refresh_from_db()
            assert item.status == "closed"
            assert visit.gates["eligibility"]["state"] == "ready"


def test_a_rejection_says_in_plain_words_which_field_to_fix(cast_committed, settings):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(unknown_member)
        with scope(cast.system):
            coverage = insured(cast)
        check = ask(cast, coverage)
        run_all(cast)
        with scope(cast.system):
            check.refresh_from_db()
            assert check.status == CheckStatus.REJECTED
            assert check.rejection == [
                {
                    "code": "72",
                    "sentence": "The member ID is wrong or missing.",
                    "field": "member_id",
                    "fix": "Correct the member id and ask again.",
                }
            ]
            assert WorkItem.objects.get().title == "The member ID is wrong or missing."


def test_use_the_payers_value_sets_our_field(cast_committed, settings):
    from dataclasses import replace

    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(
            lambda r: replace(active(r), subscriber=replace(r.subscriber, name="IBARRA-LOPEZ"))
        )
        with scope(cast.system):
            coverage = insured(cast)
        check = ask(cast, coverage)
        run_all(cast)
        with scope(cast.system):
            check.refresh_from_db()
            assert check.differences == [
                {"field": "last_name", "ours": "Ibarra", "theirs": "IBARRA-LOPEZ"}
            ]
            difference_accept(check=check, field="last_name", actor=cast.actor("ana"), at=NOW)
            coverage.patient.refresh_from_db()
            assert coverage.patient.last_name == "Ibarra-Lopez"
            assert check.differences == []
            with pytest.raises(Refused):
                difference_accept(check=check, field="last_name", actor=cast.actor("ana"), at=NOW)


def test_only_what_changed_since_the_last_answer_reaches_a_person(cast_committed, settings):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(active)
        with scope(cast.system):
            who = patient(cast)
            coverage = insured(cast, who)
            appointment_book(
                patient=who,
                site=site(cast),
                starts_at=moment("2026-03-05 10:00"),
                exams=exams_of(order(cast, who, "70551")),
                actor=cast.system,
                at=NOW,
            )
        run_all(cast)
        for hour, copay in ((10, "40.00"), (11, "75.00")):
            payers.eligibility(lambda r, copay=copay: active(r, copay=Decimal(copay)))
            at = moment(f"2026-03-03 {hour}:00")
            with scope(cast.system):
                run = reverify_start(organization_id=cast.a.pk, days=3, actor=cast.system, at=at)
            counts = reverify_run(run.pk, organization_id=cast.a.pk, at=at)
            run_all(cast, at)
            with scope(cast.system):
                run = JobRun.objects.get(pk=run.pk)
                assert (run.status, run.done, run.total) == ("done", 1, 1)
                assert counts["changed"] == int(copay == "75.00")
                assert WorkItem.objects.filter(cause="COVERAGE_CHANGED").count() == int(
                    copay == "75.00"
                )
        with scope(cast.system):
            visit = Appointment.objects.get()
            assert visit.gates["eligibility"]["sentence"] == "Changed since the last check: copay."
            coverage.refresh_from_db()
            assert coverage.verified_at == moment("2026-03-03 11:00")
        assert reverify_run(run.pk, organization_id=cast.a.pk, at=at) == {}


def test_a_partner_that_cannot_be_reached_ends_as_no_answer(cast_committed, settings):
    from rcm.exchange.models import Connection

    cast = cast_committed
    with partner(settings, cast):
        with scope(cast.system):
            Connection.objects.update(url="http://10.0.0.1/x12")
            coverage = insured(cast)
        check = ask(cast, coverage)
        run_all(cast)
        with scope(cast.system):
            check.refresh_from_db()
            assert check.status == CheckStatus.FAILED
            assert WorkItem.objects.get(queue="eligibility").cause == "PAYER_SILENT"


def test_a_former_policy_that_verifies_is_offered(cast_committed, settings):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(active)
        with scope(cast.system):
            old = insured(cast)
            coverage_end(coverage=old, actor=cast.system, at=NOW)
            coverage_discover(
                patient=old.patient, service_date=NOW.date(), actor=cast.actor("ana"), at=NOW
            )
        run_all(cast)
        with scope(cast.system):
            old.refresh_from_db()
            assert (old.status, old.active) == (CoverageStatus.ACTIVE, False)


def test_without_a_connection_the_question_is_refused_in_a_sentence(cast):
    with scope(cast.system):
        coverage = insured(cast)
        with pytest.raises(Refused) as refusal:
            eligibility_ask(asks=[Ask(coverage, NOW.date())], actor=cast.actor("ana"), at=NOW)
        assert refusal.value.code == "no_connection"
