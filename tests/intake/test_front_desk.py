"""Patients, coverages, orders and appointments as the services promise them."""

from __future__ import annotations

import threading
from datetime import date

import pytest
from django.db import connection

from intake.models import Appointment, Coverage, Order, Patient
from intake.present import banner
from intake.services import (
    ExamAsk,
    appointment_book,
    appointment_cancel,
    appointment_check_in,
    appointment_complete,
    appointment_confirm,
    appointment_move,
    coverage_add,
    coverage_update,
    coverages_rank,
    order_change,
    order_place,
    patient_create,
    patient_duplicates,
    patient_update,
    patients_find,
)
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.worklist.models import WorkItem
from tests.intake.house import (
    NOW,
    exams_of,
    insured,
    moment,
    order,
    patient,
    payer,
    provider,
    run_all,
    site,
)


@pytest.fixture
def inside(cast):
    with scope(cast.system):
        yield cast


@pytest.mark.django_db
def test_a_chart_without_an_mrn_gets_the_next_one_and_a_taken_one_is_refused(inside):
    row = patient_create(
        organization_id=inside.a.pk,
        actor=inside.actor("ana"),
        last_name="Lopez",
        first_name="Maria",
        born_on=date(1980, 1, 2),
        sex="F",
    )
    assert row.mrn == f"P{row.pk:07d}"
    with pytest.raises(Refused) as refusal:
        patient_create(
            organization_id=inside.a.pk,
            actor=inside.actor("ana"),
            mrn=row.mrn,
            last_name="Other",
            first_name="A",
            born_on=date(1980, 1, 2),
            sex="F",
        )
    assert (refusal.value.field, refusal.value.code) == ("mrn", "mrn_taken")
    with pytest.raises(PermissionRefused):
        patient_create(
            organization_id=inside.a.pk,
            actor=inside.actor("cody"),
            last_name="X",
            first_name="Y",
            born_on=date(1980, 1, 2),
            sex="F",
        )


@pytest.mark.django_db
@pytest.mark.parametrize(
    "words",
    [
        "ibara",
        "IBARRA, Marisol",
        "marisol",
        "3/27/1958",
        "27-Mar-1958",
        "(312) 555-0142",
        "m880412",
        "ibarra 03271958",
    ],
)
def test_search_is_forgiving(inside, words):
    patient(inside)
    patient(inside, last="Zhang", first="Wei", born=date(1990, 5, 5), mrn="Z1", phone="2125550100")
    assert [p.mrn for p in patients_find(actor=inside.actor("ana"), text=words)] == ["M880412"]


@pytest.mark.django_db
def test_twins_are_alike_and_the_same_person_is_certain(inside):
    patient(inside)
    ana = inside.actor("ana")
    same = patient_duplicates(
        actor=ana, last_name="ibarra", first_name="marisol", born_on=date(1958, 3, 27)
    )
    assert [x.certain for x in same] == [True]
    twin = patient_duplicates(
        actor=ana, last_name="Ibarra", first_name="Rosa", born_on=date(1958, 3, 27)
    )
    assert [(x.certain, x.reasons) for x in twin] == [
        (False, ("same last name", "same birth date"))
    ]
    typo = patient_duplicates(
        actor=ana, last_name="Ibara", first_name="Marisol", born_on=date(1958, 3, 27)
    )
    assert [x.reasons for x in typo] == [("like name", "same birth date")]
    assert (
        patient_duplicates(actor=ana, last_name="Zhang", first_name="Wei", born_on=date(1990, 1, 1))
        == []
    )


@pytest.mark.django_db
def test_the_second_of_two_editors_is_told(inside):
    row = patient(inside)
    patient_update(patient=row, version=0, phone="3125550001", actor=inside.actor("ana"))
    with pytest.raises(Conflict):
        patient_update(patient=row, version=0, phone="3125550002", actor=inside.actor("mia"))
    before = row.version
    assert (
        patient_update(patient=row, phone="3125550001", actor=inside.actor("mia")).version == before
    )


@pytest.mark.django_db(transaction=True)
def test_of_two_editors_at_the_same_moment_exactly_one_saves(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        row = patient(cast)
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def edit(phone: str) -> None:
        barrier.wait()
        try:
            with scope(cast.system):
                patient_update(
                    patient=Patient.objects.get(pk=row.pk),
                    version=0,
                    phone=phone,
                    actor=cast.actor("ana"),
                )
            outcomes.append("saved")
        except Conflict:
            outcomes.append("conflict")
        finally:
            connection.close()

    threads = [threading.Thread(target=edit, args=(f"312555020{n}",)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(outcomes) == ["conflict", "conflict", "conflict", "saved"]


@pytest.mark.django_db
def test_coverages_are_ranked_replaced_and_come_back(inside):
    who, ana = patient(inside), inside.actor("ana")
    first = insured(inside, who)
    second = coverage_add(patient=who, payer=payer("LBI"), member_id="LB 123", rank=2, actor=ana)
    coverages_rank(patient=who, ordered=[second, first], actor=ana)
    assert list(
        Coverage.objects.filter(active=True).order_by("rank").values_list("payer__code", flat=True)
    ) == [
        "LBI",
        "PHP",
    ]
    coverage_add(patient=who, payer=payer("SMB"), member_id="S1", rank=1, actor=ana)
    assert Coverage.objects.get(payer__code="LBI").active is False
    back = coverage_add(patient=who, payer=payer("LBI"), member_id="LB123", rank=1, actor=ana)
    assert (back.pk, back.active, back.rank) == (second.pk, True, 1)
    assert Coverage.objects.count() == 3


@pytest.mark.django_db
def test_another_member_id_must_be_verified_again(inside):
    row = insured(inside)
    Coverage.objects.filter(pk=row.pk).update(status="active", verified_at=NOW)
    row.refresh_from_db()
    assert (
        coverage_update(coverage=row, group_number="G1", actor=inside.actor("ana")).status
        == "active"
    )
    assert (
        coverage_update(coverage=row, member_id="pra 999", actor=inside.actor("ana")).status
        == "unverified"
    )
    with pytest.raises(Refused, match="subscriber's last name"):
        coverage_update(coverage=row, relationship="19", actor=inside.actor("ana"))


@pytest.mark.django_db
def test_an_incomplete_order_is_one_item_with_whom_to_call_and_closes_when_complete(inside):
    who = patient(inside)
    row = order_place(
        patient=who,
        exams=[ExamAsk("73721")],
        ordering=provider(),
        indication="pain",
        actor=inside.actor("ana"),
        at=NOW,
    )
    item = WorkItem.objects.get(queue="order_completeness")
    assert item.fix.startswith("Call Referrer Clinic 3125550199")
    assert {item.cause, *item.tags} == {
        "ORDER_NOT_SIGNED",
        "ORDER_NO_DIAGNOSIS",
        "ORDER_VAGUE_INDICATION",
        "ORDER_NO_SIDE",
    }
    order_change(
        order=row,
        signed=True,
        indication="pain after fall, locked knee",
        diagnoses=["M25.561"],
        exams=[ExamAsk("73721", laterality="RT")],
        actor=inside.actor("ana"),
        at=NOW,
    )
    item.refresh_from_db()
    assert item.status == "done"


@pytest.mark.django_db
def test_the_same_placer_number_is_the_same_order(inside):
    who = patient(inside)
    one = order(inside, who, placer_number="E1")
    two = order(inside, who, placer_number="E1", indication="seizure")
    assert (one.pk, Order.objects.count(), two.indication) == (two.pk, 1, "seizure")


@pytest.mark.django_db
def test_a_visit_walks_its_states_and_the_order_follows(inside):
    who = patient(inside)
    insured(inside, who)
    Coverage.objects.update(status="active", verified_at=NOW)
    row = order(inside, who, "71046")
    ana = inside.actor("ana")
    visit = appointment_book(
        patient=who,
        site=site(inside),
        starts_at=moment("2026-03-03 09:30"),
        exams=exams_of(row),
        actor=ana,
        at=NOW,
    )
    row.refresh_from_db()
    assert (visit.status, row.status) == ("booked", "scheduled")
    visit = appointment_confirm(appointment=visit, actor=ana, at=NOW)
    with pytest.raises(Conflict):
        appointment_check_in(appointment=visit, version=0, actor=ana, at=NOW)
    visit = appointment_check_in(appointment=visit, version=visit.version, actor=ana, at=NOW)
    with pytest.raises(Refused, match="cannot be moved"):
        appointment_move(appointment=visit, starts_at=moment("2026-03-04 09:30"), actor=ana, at=NOW)
    visit = appointment_complete(appointment=visit, actor=inside.system, at=NOW)
    row.refresh_from_db()
    assert (visit.status, row.status) == ("completed", "completed")
    with pytest.raises(Refused):
        appointment_cancel(appointment=visit, reason="late", actor=ana, at=NOW)


@pytest.mark.django_db
def test_booking_another_persons_exam_or_another_organizations_site_is_refused(inside):
    who = patient(inside)
    other = patient(inside, last="Zhang", mrn="Z1")
    exams = exams_of(order(inside, other, "71046"))
    with pytest.raises(Refused, match="another patient"):
        appointment_book(
            patient=who, site=site(inside), starts_at=NOW, exams=exams, actor=inside.actor("ana")
        )
    with pytest.raises(Refused, match="one of your sites"):
        appointment_book(
            patient=other, site=inside.b_site, starts_at=NOW, exams=exams, actor=inside.actor("ana")
        )


@pytest.mark.django_db(transaction=True)
def test_no_coverage_is_an_item_until_a_card_is_entered(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        who = patient(cast)
        appointment_book(
            patient=who,
            site=site(cast),
            starts_at=moment("2026-03-03 09:30"),
            exams=exams_of(order(cast, who, "71046")),
            actor=cast.system,
            enforce=False,
            at=NOW,
        )
    run_all(cast)
    with scope(cast.system):
        assert WorkItem.objects.get(queue="eligibility").cause == "COVERAGE_MISSING"
        assert Appointment.objects.get().clearance == "stop"
        insured(cast, who)
    run_all(cast)
    with scope(cast.system):
        assert WorkItem.objects.get(queue="eligibility").status == "closed"
        assert Appointment.objects.get().gates["eligibility"]["state"] == "check"


@pytest.mark.django_db
def test_another_person_of_the_same_name_needs_a_reason_and_both_charts_warn(inside):
    first = patient(inside)
    same = {
        "organization_id": inside.a.pk,
        "actor": inside.actor("ana"),
        "confirmed_new": False,
        "last_name": first.last_name,
        "first_name": first.first_name,
        "born_on": first.born_on,
        "sex": "F",
    }
    with pytest.raises(Refused) as refusal:
        patient_create(**same)
    assert "say why" in refusal.value.fix
    twin = patient_create(**same, another_because="Cousins of one name")
    first.refresh_from_db()
    assert [x["mrn"] for x in first.look_alikes] == [twin.mrn]
    assert [x["mrn"] for x in twin.look_alikes] == [first.mrn]
    warned = " ".join(banner(twin).alerts)
    assert first.mrn in warned
    assert "same name, same birth date" in warned
    assert "Cousins" in warned
