"""An authorization belongs to patient, payer and kind of exam: an order sent again finds it, units
are counted by exam and given back, and units used up are said to be so.
"""

from __future__ import annotations

from datetime import date

import pytest

from authorizations import services
from authorizations.models import Authorization, AuthorizedService, AuthStatus
from authorizations.services import Use
from intake.models import Appointment, OrderedExam
from intake.services import appointment_book, coverage_update, order_cancel
from rcm.accounts.scope import scope
from rcm.audit.models import Event
from rcm.worklist.models import WorkItem
from tests.authorizations.test_front_door import EXAM, NOW, ask, gate, record, visit
from tests.intake.house import exams_of, moment, order, run_all, site

pytestmark = pytest.mark.django_db(transaction=True)


def grant(cast, row: Authorization, number: str = "A-44", units: int = 1, **values) -> None:
    with scope(cast.system):
        services.authorization_decide(
            authorization=row,
            status="approved",
            number=number,
            effective_from=date(2026, 3, 1),
            effective_to=date(2026, 4, 30),
            actor=cast.actor("ada"),
            at=NOW,
            **values,
        )
        AuthorizedService.objects.filter(authorization=row).update(units=units)


def again(cast, first: Appointment, *codes: str, starts=EXAM) -> Appointment:
    """A new order of the same patient, booked."""
    with scope(cast.system):
        who = first.patient
        placed = order(cast, who, *codes)
        booked = appointment_book(
            patient=who,
            site=site(cast),
            starts_at=starts,
            exams=exams_of(placed),
            actor=cast.system,
            at=NOW,
            enforce=False,
        )
    run_all(cast)
    return booked


def cancel(cast, of: Appointment) -> None:
    with scope(cast.system):
        exam = OrderedExam.objects.select_related("order").filter(appointment=of).first()
        order_cancel(order=exam.order, reason="sent twice", actor=cast.system, at=NOW)
    run_all(cast)


def test_an_order_cancelled_and_sent_again_finds_its_authorization(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        first = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        kept = record(first)
    grant(cast, kept)
    cancel(cast, first)
    second = again(cast, first, "70551")
    with scope(cast.system):
        assert gate(second) == "ready"
        assert record(second).pk == kept.pk
        assert not Authorization.objects.filter(status=AuthStatus.DRAFT).exists()
        found = Event.objects.get(verb="authorization.found_again")
        assert found.sentence == "Authorization A-44 found again for the new order of 70551"


def test_a_request_under_way_is_not_sent_a_second_time(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        first = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        row = record(first)
    ask(cast, row, channel="phone", reference="R-1")
    cancel(cast, first)
    second = again(cast, first, "70551")
    with scope(cast.system):
        assert record(second).pk == row.pk
        assert Authorization.objects.exclude(status="cancelled").count() == 1


def test_the_family_that_the_record_covers_is_found_too(cast_committed):
    """Granted with and without contrast, sent again without: the payer's pair covers it."""
    cast = cast_committed
    with scope(cast.system):
        first = visit(cast, "70553")
    run_all(cast)
    with scope(cast.system):
        kept = record(first)
    grant(cast, kept)
    cancel(cast, first)
    second = again(cast, first, "70551")
    with scope(cast.system):
        assert gate(second) == "ready"
        assert record(second).pk == kept.pk


@pytest.mark.parametrize("code", ["73721", "70544"])
def test_another_kind_of_exam_asks_for_itself(cast_committed, code):
    cast = cast_committed
    with scope(cast.system):
        first = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        kept = record(first)
    grant(cast, kept)
    cancel(cast, first)
    second = again(cast, first, code)
    with scope(cast.system):
        assert record(second).status == AuthStatus.DRAFT
        assert record(second).pk != kept.pk


def test_another_member_id_does_not_find_the_old_members_authorization(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        first = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        kept = record(first)
    grant(cast, kept)
    cancel(cast, first)
    with scope(cast.system):
        coverage_update(coverage=kept.coverage, actor=cast.system, at=NOW, member_id="PRA999999999")
    second = again(cast, first, "70551")
    with scope(cast.system):
        assert record(second).pk != kept.pk
        assert gate(second) == "check"


def test_units_used_up_are_said_to_be_so_and_a_new_authorization_is_asked_for(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        first = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        kept = record(first)
    grant(cast, kept)
    with scope(cast.system):
        line = kept.services.get()
        services.authorization_use(uses=[Use(line.pk, 901)], actor=cast.system, at=NOW)
    second = again(cast, first, "70551", starts=moment("2026-03-20 10:00"))
    with scope(cast.system):
        assert gate(second) == "check"
        said = second.gates["authorization"]["sentence"]
        assert said.startswith("The units for 70551 are used up: 1 authorized, 1 taken")
        draft = record(second)
        item = WorkItem.objects.get(subject_type="authorization", subject_id=draft.pk)
        assert "used up" in item.title
        assert "A-44" in item.title


def test_a_unit_given_back_serves_the_next_order(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        first = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        kept = record(first)
    grant(cast, kept)
    with scope(cast.system):
        line = kept.services.get()
        services.authorization_use(uses=[Use(line.pk, 901)], actor=cast.system, at=NOW)
        services.authorization_unuse(exam_ids=[901], actor=cast.system, at=NOW)
    cancel(cast, first)
    second = again(cast, first, "70551")
    with scope(cast.system):
        assert gate(second) == "ready"


def test_a_second_unit_serves_a_second_order_but_a_waiting_order_keeps_its_own(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        first = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        kept = record(first)
    grant(cast, kept, units=2)
    second = again(cast, first, "70551", starts=moment("2026-03-20 10:00"))
    third = again(cast, first, "70551", starts=moment("2026-03-27 10:00"))
    with scope(cast.system):
        services.authorizations_review(
            appointment_ids=[first.pk, second.pk, third.pk], actor=cast.system, at=NOW
        )
        assert gate(first) == "ready"
        assert gate(second) == "ready"
        assert gate(third) == "check"


def test_an_ended_coverage_leaves_no_authorization_green(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        first = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        kept = record(first)
    grant(cast, kept)
    with scope(cast.system):
        assert gate(first) == "ready"
        coverage_update(
            coverage=kept.coverage, actor=cast.system, at=NOW, ends_on=date(2026, 3, 10)
        )
    run_all(cast)
    with scope(cast.system):
        assert gate(first) == "stop"
        assert "ended Mar 10, 2026" in first.gates["authorization"]["sentence"]


def test_an_exam_that_needs_none_is_not_green_under_an_ended_coverage(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        first = visit(cast, "71046")
    run_all(cast)
    with scope(cast.system):
        coverage_update(
            coverage=record(first).coverage, actor=cast.system, at=NOW, ends_on=date(2026, 3, 10)
        )
    run_all(cast)
    with scope(cast.system):
        assert gate(first) == "stop"
