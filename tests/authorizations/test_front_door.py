"""Required or not, asked by 278, decided, and what that does at the front door."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from authorizations import services
from authorizations.loading import ExamAsk, match_exams
from authorizations.models import Authorization, AuthorizedService, AuthRequest, AuthStatus
from authorizations.services import Use
from intake.models import Appointment, GateOverride
from intake.services import (
    appointment_book,
    appointment_check_in,
    appointment_confirm,
    coverage_add,
    gate_override,
)
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.audit.models import Event
from rcm.exchange.models import Interchange
from rcm.worklist.models import WorkItem
from rcm.x12 import read_278_requests, write_278_response
from rcm.x12.model import (
    AuthorizationResponse,
    AuthorizationService,
    Benefit,
    Decision,
    Procedure,
    Rejection,
    Trace,
)
from tests.intake.house import (
    NOW,
    active,
    exams_of,
    insured,
    moment,
    order,
    partner,
    patient,
    payer,
    run_all,
    site,
)

pytestmark = pytest.mark.django_db(transaction=True)
EXAM = moment("2026-03-12 10:00")  # a Thursday, eight business days ahead


def visit(cast, *codes: str, code: str = "PHP", starts=EXAM, at=NOW, **values) -> Appointment:
    who = patient(cast)
    insured(cast, who, code)
    with_order = order(cast, who, *codes)
    return appointment_book(
        patient=who,
        site=site(cast),
        starts_at=starts,
        exams=exams_of(with_order),
        actor=cast.system,
        at=at,
        **values,
    )


def record(of: Appointment) -> Authorization:
    return Authorization.objects.exclude(status="cancelled").get(appointment=of)


def gate(of: Appointment) -> str:
    of.refresh_from_db()
    return of.gates["authorization"]["state"]


def answer(
    payers,
    action: str,
    *,
    number: str = "",
    units: int = 1,
    code: str = "",
    reasons: tuple[str, ...] = (),
    refused: str = "",
) -> None:
    """The payer's answer to every 278 from now on."""

    def reply(body: bytes) -> bytes:
        made = []
        for request in read_278_requests(body):
            lines = tuple(
                AuthorizationService(
                    Procedure(code or s.procedure.code),
                    Decimal(units),
                    decision=Decision(action, number),
                )
                for s in request.services
            )
            made.append(
                AuthorizationResponse(
                    payer=request.payer,
                    provider=request.provider,
                    subscriber=request.subscriber,
                    trace=request.trace,
                    traces=(Trace(request.trace, request.trace_origin, "2"),),
                    category=request.category,
                    certification="I",
                    decision=None if refused else Decision(action, number, reasons),
                    valid_from=date(2026, 3, 2) if number else None,
                    valid_to=date(2026, 4, 15) if number else None,
                    services=() if refused else lines,
                    rejections=(Rejection(False, refused, "C", "subscriber"),) if refused else (),
                )
            )
        return write_278_response(payers.envelope(), made).data

    payers.answers[b"ST*278"] = reply


def ask(cast, row: Authorization, at=NOW, **values) -> AuthRequest:
    with scope(cast.system):
        return services.authorization_request(
            authorization=row, actor=cast.actor("ada"), at=at, **values
        )


def test_an_mri_for_a_commercial_payer_is_to_be_authorized_and_the_rule_is_cited(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        row = record(booked)
        assert row.status == AuthStatus.DRAFT
        assert [s.code for s in row.services.all()] == ["70551"]
        assert row.evidence["codes"][0]["sources"][0]["who"].startswith("Isocenter starter set")
        assert gate(booked) == "check"
        item = WorkItem.objects.get(queue="authorization_needed")
        assert (item.cause, item.deadline_on) == ("AUTH_MISSING", date(2026, 3, 11))


def test_not_required_is_kept_with_its_evidence_too(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "71046")
    run_all(cast)
    with scope(cast.system):
        row = record(booked)
        assert row.status == AuthStatus.NOT_REQUIRED
        assert row.reference.startswith("R")
        assert row.evidence["verdict"] == "not_required"
        assert gate(booked) == "ready"
        assert not WorkItem.objects.filter(subject_type="authorization").exists()


def test_original_medicare_needs_none(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551", code="MCR")
    run_all(cast)
    with scope(cast.system):
        assert gate(booked) == "ready"
        assert record(booked).evidence["codes"][0]["verdict"] == "not_required"


def test_a_code_that_no_rule_speaks_of_is_asked_and_never_taken_as_allowed(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "99998")
    run_all(cast)
    with scope(cast.system):
        assert record(booked).status == AuthStatus.DRAFT
        assert WorkItem.objects.get(subject_type="authorization").cause == "REQUIREMENT_UNKNOWN"
        assert gate(booked) == "check"


def test_another_primary_coverage_asks_the_question_again(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551", code="MCR")
    run_all(cast)
    with scope(cast.system):
        coverage_add(
            patient=booked.patient,
            payer=payer("PHP"),
            member_id="PRA123456789",
            actor=cast.system,
            at=NOW,
        )
    run_all(cast)
    with scope(cast.system):
        assert record(booked).payer.code == "PHP"
        assert record(booked).status == AuthStatus.DRAFT
        assert gate(booked) == "check"


def test_a_278_goes_out_and_the_approval_opens_the_door(cast_committed, settings):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(active)
        answer(payers, "A1", number="A-44")
        with scope(cast.system):
            booked = visit(cast, "70551")
        run_all(cast)
        with scope(cast.system):
            row = record(booked)
            with pytest.raises(Refused) as stop:
                appointment_confirm(appointment=booked, actor=cast.actor("ana"), at=NOW)
            assert (stop.value.code, stop.value.field) == ("gate_stop", "authorization")
        ask(cast, row)
        with scope(cast.system):
            row.refresh_from_db()
            assert row.status == AuthStatus.REQUESTED
            assert row.decision_due_at is not None
        run_all(cast)
        sent = next(iter(read_278_requests(next(b for b in payers.received if b"ST*278" in b))))
        assert [s.procedure.code for s in sent.services] == ["70551"]
        assert sent.diagnoses[0].code == "R519"
        assert {p.entity for p in sent.providers} == {"SJ", "DK"}
        with scope(cast.system):
            row.refresh_from_db()
            assert (row.status, row.number, row.effective_to) == (
                AuthStatus.APPROVED,
                "A-44",
                date(2026, 4, 15),
            )
            assert row.services.get().status == "approved"
            assert gate(booked) == "ready"
            assert booked.gates["authorization"]["sentence"] == "Authorization A-44 until Apr 15."
            assert not WorkItem.objects.filter(subject_type="authorization", status="open").exists()
            confirmed = appointment_confirm(appointment=booked, actor=cast.actor("ana"), at=NOW)
            assert confirmed.status == "confirmed"
            raw = bytes(Interchange.objects.get(kind="278", direction="in").content)
            events = Event.objects.filter(authorization_id=row.pk).count()
        from tests.intake.house import inbound

        inbound(cast, "278", raw)
        run_all(cast)
        with scope(cast.system):
            assert Event.objects.filter(authorization_id=row.pk).count() == events


@pytest.mark.parametrize(
    ("action", "status", "queue", "state"),
    [
        ("A4", AuthStatus.PENDED, "authorization_pended", "check"),
        ("A3", AuthStatus.DENIED, "peer_to_peer", "stop"),
        ("A6", AuthStatus.MODIFIED, "auth_update", "stop"),
        ("NA", AuthStatus.NOT_REQUIRED, None, "ready"),
    ],
)
def test_every_answer_of_the_payer_lands(cast_committed, settings, action, status, queue, state):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(active)
        # the payer approves less than was asked for: without contrast instead of without and with
        answer(
            payers,
            action,
            number="A-9" if action in ("A6", "NA") else "",
            code="70551" if action == "A6" else "",
            reasons=("0V",),
        )
        with scope(cast.system):
            booked = visit(cast, "70553" if action == "A6" else "70551", code="LBI")
        run_all(cast)
        with scope(cast.system):
            row = record(booked)
        ask(cast, row)
        run_all(cast)
        with scope(cast.system):
            row.refresh_from_db()
            assert row.status == status
            assert gate(booked) == state
            open_queues = list(
                WorkItem.objects.filter(subject_type="authorization", status="open").values_list(
                    "queue", flat=True
                )
            )
            assert open_queues == ([queue] if queue else [])


def test_a_request_the_payer_does_not_take_is_a_draft_again_with_the_reason(
    cast_committed, settings
):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(active)
        answer(payers, "", refused="72")
        with scope(cast.system):
            booked = visit(cast, "70551")
        run_all(cast)
        with scope(cast.system):
            row = record(booked)
        ask(cast, row)
        run_all(cast)
        with scope(cast.system):
            row.refresh_from_db()
            assert row.status == AuthStatus.DRAFT
            item = WorkItem.objects.get(subject_type="authorization", status="open")
            assert item.cause == "REQUEST_REFUSED"
            assert "the member ID is wrong" in item.title


def test_a_phone_request_keeps_reference_and_promise_and_a_decision_by_hand_needs_its_number(
    cast_committed,
):
    cast = cast_committed
    ada = cast.actor("ada")
    with scope(cast.system):
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        row = record(booked)
        with pytest.raises(Refused, match="reference number"):
            services.authorization_request(authorization=row, channel="phone", actor=ada, at=NOW)
        services.authorization_request(
            authorization=row,
            channel="phone",
            reference="REF-1",
            contact="Kim",
            promised_on=date(2026, 3, 5),
            actor=ada,
            at=NOW,
        )
        assert row.decision_due_at.date() >= date(2026, 3, 5)
        item = WorkItem.objects.get(queue="authorization_pended")
        assert item.interactions.get().promised_on == date(2026, 3, 5)
        for wrong in (
            {},
            {"number": "A1"},
            {"number": "A1", "effective_from": date(2026, 3, 5), "effective_to": date(2026, 3, 1)},
        ):
            with pytest.raises(Refused):
                services.authorization_decide(
                    authorization=row, status="approved", actor=ada, at=NOW, **wrong
                )
        services.authorization_decide(
            authorization=row,
            status="approved",
            number="A1",
            effective_from=date(2026, 3, 1),
            effective_to=date(2026, 3, 31),
            actor=ada,
            at=NOW,
        )
        assert gate(booked) == "ready"
        with pytest.raises(PermissionRefused):
            services.authorization_decide(
                authorization=row, status="cancelled", actor=cast.actor("ana"), at=NOW
            )


def test_two_people_decide_at_once_and_the_second_sees_a_conflict(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        row = record(booked)
    outcomes: list[str] = []
    barrier = threading.Barrier(2)

    def decide(number: str) -> None:
        barrier.wait()
        try:
            with scope(cast.system):
                services.authorization_decide(
                    authorization=row,
                    status="approved",
                    number=number,
                    effective_from=date(2026, 3, 1),
                    effective_to=date(2026, 3, 31),
                    version=row.version,
                    actor=cast.actor("ada"),
                    at=NOW,
                )
            outcomes.append("done")
        except Conflict:
            outcomes.append("conflict")
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=(n,)) for n in ("A1", "A2")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(outcomes) == ["conflict", "done"]


def test_an_override_needs_the_role_and_a_reason_shows_the_dollars_and_ends_when_things_change(
    cast_committed,
):
    from rcm.pricing.models import ListPrice

    cast = cast_committed
    with scope(cast.system):
        ListPrice.objects.create(
            organization=cast.a,
            code="70551",
            amount=Decimal("1284.00"),
            effective_from=date(2026, 1, 1),
        )
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        row = record(booked)
        with pytest.raises(PermissionRefused):
            gate_override(
                appointment=booked,
                gate="authorization",
                reason="Physician insists",
                actor=cast.actor("ana"),
                at=NOW,
            )
        with pytest.raises(Refused, match="Say why"):
            gate_override(
                appointment=booked,
                gate="authorization",
                reason=" ",
                actor=cast.actor("ada"),
                at=NOW,
            )
        kept = gate_override(
            appointment=booked,
            gate="authorization",
            reason="Stat read, payer closed today",
            actor=cast.actor("ada"),
            at=NOW,
        )
        assert kept.dollars == Decimal("1284.00")
        assert Event.objects.get(verb="gate.overridden").reason == "Stat read, payer closed today"
        booked.refresh_from_db()
        assert booked.gates["authorization"]["overridden"] is True
        appointment_confirm(appointment=booked, actor=cast.actor("ana"), at=NOW)
        services.authorization_decide(
            authorization=row, status="denied", reason="not proven", actor=cast.actor("ada"), at=NOW
        )
        booked.refresh_from_db()
        assert booked.gates["authorization"]["state"] == "stop"
        kept.refresh_from_db()
        assert kept.end.why == "changed"
        assert GateOverride.objects.get(appointment=booked).dollars == Decimal("1284.00")
        with pytest.raises(Refused):
            appointment_check_in(appointment=booked, actor=cast.actor("ana"), at=EXAM)


def test_booking_outside_the_authorization_stops_and_an_override_at_booking_is_kept(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        services.authorization_decide(
            authorization=record(booked),
            status="approved",
            number="A1",
            effective_from=date(2026, 3, 1),
            effective_to=date(2026, 3, 31),
            actor=cast.actor("ada"),
            at=NOW,
        )
        from intake.services import appointment_move

        with pytest.raises(Refused, match="The authorization ended 2026-03-31"):
            appointment_move(
                appointment=booked,
                starts_at=moment("2026-04-02 10:00"),
                actor=cast.actor("ana"),
                at=NOW,
            )
        moved = appointment_move(
            appointment=booked,
            starts_at=moment("2026-04-02 10:00"),
            override_reason="Extension is on its way",
            actor=cast.actor("ada"),
            at=NOW,
        )
        assert moved.gates["authorization"]["overridden"] is True
    run_all(cast)
    with scope(cast.system):
        assert WorkItem.objects.get(queue="auth_update", status="open").cause == "AUTH_MISFIT"


def test_another_site_than_authorized_is_a_stop(cast_committed):
    from intake.services import appointment_move

    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        services.authorization_decide(
            authorization=record(booked),
            status="approved",
            number="A1",
            effective_from=date(2026, 3, 1),
            effective_to=date(2026, 3, 31),
            actor=cast.actor("ada"),
            at=NOW,
        )
        with pytest.raises(Refused, match="Authorized for facility"):
            appointment_move(appointment=booked, site=cast.south, actor=cast.actor("ana"), at=NOW)


def film_flag(request):
    """An answer that asks for an authorization for plain films, the service type of a chest film."""
    told = active(request)
    film = Benefit("1", "IND", ("4",), authorization="Y", in_network="Y")
    return replace(told, benefits=(*told.benefits, film))


def test_the_flag_of_the_271_asks_for_an_authorization_that_no_rule_asks_for(
    cast_committed, settings
):
    cast = cast_committed
    with partner(settings, cast) as payers:
        payers.eligibility(film_flag)
        with scope(cast.system):
            booked = visit(cast, "71046")
        run_all(cast)
        with scope(cast.system):
            assert gate(booked) == "check"
            row = record(booked)
            assert row.status == AuthStatus.DRAFT
            services.requirement_hear(
                authorization=row,
                required=False,
                channel="phone",
                reference="CALL-7",
                contact="Kim",
                actor=cast.actor("ada"),
                at=NOW,
            )
            assert gate(booked) == "ready"
        run_all(cast)
        with scope(cast.system):
            row.refresh_from_db()
            assert (row.status, row.reference) == (AuthStatus.NOT_REQUIRED, "CALL-7")


def test_units_are_taken_once_by_an_exam_and_never_beyond_what_was_granted(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        services.authorization_decide(
            authorization=record(booked),
            status="approved",
            number="A1",
            effective_from=date(2026, 3, 1),
            effective_to=date(2026, 3, 31),
            actor=cast.actor("ada"),
            at=NOW,
        )
        line = AuthorizedService.objects.get()
        assert (
            services.authorization_use(uses=[Use(line.pk, 71), Use(line.pk, 71)], actor=cast.system)
            == 1
        )
        assert services.authorization_use(uses=[Use(line.pk, 71)], actor=cast.system) == 0
        with pytest.raises(Refused, match="0 of 1 units left"):
            services.authorization_use(uses=[Use(line.pk, 72)], actor=cast.system)
        services.authorization_unuse(exam_ids=[71], actor=cast.system)
        line.refresh_from_db()
        assert line.used == 0


def test_what_was_performed_is_matched_for_the_charge_phase(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551", code="LBI")
    run_all(cast)
    with scope(cast.system):
        services.authorization_decide(
            authorization=record(booked),
            status="approved",
            number="A1",
            effective_from=date(2026, 3, 1),
            effective_to=date(2026, 3, 31),
            actor=cast.actor("ada"),
            at=NOW,
        )
        exam = booked.ordered_exams.get()
        asks = [
            ExamAsk(
                "as",
                exam,
                exam.patient_id,
                site(cast),
                EXAM.date(),
                performed_code="70551",
                exam_id=1,
            ),
            ExamAsk(
                "more",
                exam,
                exam.patient_id,
                site(cast),
                EXAM.date(),
                performed_code="70553",
                exam_id=2,
            ),
        ]
        found = match_exams(asks, at=EXAM)
        assert found["as"].result.passes
        assert found["more"].result.code == "UPDATE_REQUIRED"
        assert services.update_needed(matched={2: found["more"]}, actor=cast.system, at=EXAM) == 1
        item = WorkItem.objects.get(queue="auth_update")
        assert (item.exam_id, item.subject_type) == (2, "exam_authorization")
        assert (
            services.update_needed(matched={2: replace(found["as"])}, actor=cast.system, at=EXAM)
            == 0
        )
        item.refresh_from_db()
        assert item.status == "closed"


def test_a_record_that_ends_expires_and_a_silent_payer_is_named(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        row = record(booked)
        services.authorization_request(
            authorization=row,
            channel="phone",
            reference="R",
            promised_on=date(2026, 3, 3),
            actor=cast.actor("ada"),
            at=NOW,
        )
        services.reminders(actor=cast.system, at=NOW + timedelta(days=2))
        assert (
            WorkItem.objects.get(subject_type="authorization", status="open").cause == "AUTH_SILENT"
        )
        services.authorization_decide(
            authorization=row,
            status="approved",
            number="A1",
            effective_from=date(2026, 3, 1),
            effective_to=date(2026, 3, 8),
            actor=cast.actor("ada"),
            at=NOW,
        )
        assert services.expiry_guard(actor=cast.system, at=moment("2026-03-09 04:00")) == 1
        row.refresh_from_db()
        assert row.status == AuthStatus.EXPIRED
        assert gate(booked) == "stop"
