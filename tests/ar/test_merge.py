"""Two charts become one with all that belongs to the person, and two again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from io import BytesIO

import pytest
from django.urls import reverse
from django.utils import timezone
from pypdf import PdfReader

from ar import services
from ar.models import PatientPayment, PaymentPlan, Statement
from charges.models import Charge
from claims.models import Claim
from intake.models import ChartMerge, Coverage, Patient
from intake.services import charts_settle, patient_merge, patient_unmerge
from rcm.accounts.charts import Follow, patient_keys
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.prove import prove
from rcm.worklist.models import WorkItem
from rcm.worklist.services import ItemSpec, open_items
from tests.ar.conftest import balance, bill, call, deny
from tests.ar.test_patient_money import on_account, pay, send
from tests.security.world import World

pytestmark = pytest.mark.django_db
D = Decimal


def merge(cast, keep: Patient, gone: Patient) -> ChartMerge:
    with scope(cast.actor("mia")):
        patient_merge(keep=keep, gone=gone, reason="Same person", actor=cast.actor("mia"))
        return ChartMerge.objects.get(gone=gone, undone_at__isnull=True)


def undo(cast, row: ChartMerge) -> Patient:
    with scope(cast.actor("mia")):
        return patient_unmerge(merge=row, reason="Two people", actor=cast.actor("mia"))


def left_on(cast, patient: Patient) -> set[str]:
    """The tables that still name this chart."""
    with scope(cast.system):
        return {
            model._meta.label
            for model, key in patient_keys(Follow.MOVES)
            if model.objects.filter(**{key.column: patient.pk}).exists()
        }


def broken(cast) -> list[tuple[int, str]]:
    (proof,) = [p for p in prove([cast.a]) if p.check.number == "19"]
    return proof.breaches


def test_every_row_of_every_table_goes_along_and_comes_back(cast) -> None:
    world = World(cast.a, cast.north, cast.user("ana"), "CANA").build()
    gone = world["intake.Patient"]
    with scope(cast.system):
        ChartMerge.objects.update(undone_at=timezone.now())
    before = left_on(cast, gone)
    assert {"claims.Claim", "charges.Charge", "ar.Refund", "ar.Statement"} <= before
    keep = bill(cast).patient
    mine = {"intake.Coverage", "charges.Exam", "charges.Charge", "claims.Claim"}
    assert left_on(cast, keep) == mine
    row = merge(cast, keep, gone)
    assert left_on(cast, gone) == set()
    assert before - {"intake.Patient"} <= left_on(cast, keep)
    assert broken(cast) == []
    undo(cast, row)
    assert left_on(cast, gone) == before
    assert left_on(cast, keep) == mine


def test_a_prepayment_is_used_on_the_chart_that_stays_and_statements_name_it(cast) -> None:
    stays = bill(cast, paid=80, contractual=100, copay=120, days_ago=60)
    went = bill(cast)
    pay(cast, went.patient, "50.00")
    with scope(cast.system):
        Coverage.objects.filter(pk=went.coverage.pk).update(active=False)
    merge(cast, stays.patient, went.patient)
    assert on_account(cast, went.patient) == 0
    assert on_account(cast, stays.patient) == D("50.00")
    with scope(cast.system):
        services.unapplied_apply(patient_ids=[stays.patient.pk], actor=cast.system)
    assert balance(cast, stays)[1] == D("70.00")
    assert broken(cast) == []
    send(cast)
    with scope(cast.system):
        sent = Statement.objects.get()
        assert sent.patient_id == stays.patient.pk
        text = "".join(page.extract_text() for page in PdfReader(BytesIO(sent.pdf)).pages)
    assert stays.patient.last_name in text
    assert went.patient.last_name not in text


def test_a_debt_of_the_chart_that_goes_is_asked_of_the_one_that_stays(cast) -> None:
    stays = bill(cast)
    went = bill(cast, paid=80, contractual=200, copay=20, days_ago=60)
    merge(cast, stays.patient, went.patient)
    send(cast)
    with scope(cast.system):
        assert Statement.objects.get().patient_id == stays.patient.pk
    pay(cast, stays.patient, "20.00")
    assert balance(cast, went)[1] == 0


def test_money_goes_back_less_what_paid_the_charges_that_go_back(cast) -> None:
    stays, went = bill(cast), bill(cast, paid=80, contractual=200, copay=20)
    pay(cast, went.patient, "50.00", charge_ids=[])
    row = merge(cast, stays.patient, went.patient)
    with scope(cast.system):
        services.unapplied_apply(patient_ids=[stays.patient.pk], actor=cast.system)
    assert balance(cast, went)[1] == 0
    assert on_account(cast, stays.patient) == D("30.00")
    undo(cast, row)
    assert on_account(cast, went.patient) == D("30.00")
    assert on_account(cast, stays.patient) == 0
    with scope(cast.system):
        assert PatientPayment.objects.get().patient_id == went.patient.pk


def test_what_was_made_from_a_row_that_goes_back_goes_with_it(cast) -> None:
    stays, went, late = bill(cast), bill(cast), bill(cast)
    row = merge(cast, stays.patient, went.patient)
    with scope(cast.system):  # charged and billed after the merge, for the exam that came
        Charge.objects.filter(pk=late.charge.pk).update(patient=stays.patient, exam=went.exam)
        Claim.objects.filter(pk=late.claim.pk).update(patient=stays.patient)
    undo(cast, row)
    with scope(cast.system):
        assert Charge.objects.get(pk=late.charge.pk).patient_id == went.patient.pk
        assert Claim.objects.get(pk=late.claim.pk).patient_id == went.patient.pk
        assert Claim.objects.get(pk=stays.claim.pk).patient_id == stays.patient.pk


def test_money_that_paid_the_other_ones_debt_holds_the_undoing_up(cast) -> None:
    stays = bill(cast, paid=80, contractual=200, copay=20)
    went = bill(cast)
    pay(cast, went.patient, "50.00")
    row = merge(cast, stays.patient, went.patient)
    with scope(cast.system):
        services.unapplied_apply(patient_ids=[stays.patient.pk], actor=cast.system)
    with pytest.raises(Refused, match=r"\$50.00 on account came with chart"):
        undo(cast, row)
    assert left_on(cast, went.patient) == set()


def test_of_two_policies_at_one_rank_and_two_plans_that_of_the_chart_that_stays_holds(cast) -> None:
    stays, went = bill(cast), bill(cast)
    today = timezone.localdate()
    with scope(cast.system):
        for b in (stays, went):
            PaymentPlan.objects.create(
                organization=cast.a,
                patient=b.patient,
                total=D(60),
                instalment=D(20),
                starts_on=today,
            )
    row = merge(cast, stays.patient, went.patient)

    def held() -> list[tuple[bool, str]]:
        with scope(cast.system):
            plans = PaymentPlan.objects.order_by("id").values_list("status", flat=True)
            policies = [Coverage.objects.get(pk=b.coverage.pk).active for b in (stays, went)]
            return list(zip(policies, plans, strict=True))

    assert held() == [(True, "active"), (False, "cancelled")]
    undo(cast, row)
    assert held() == [(True, "active"), (True, "active")]


def test_work_about_the_person_stands_once(cast) -> None:
    stays, went = bill(cast), bill(cast)

    def ask(b) -> None:
        with scope(cast.system):
            open_items(
                [
                    ItemSpec(
                        organization_id=cast.a.pk,
                        queue="patient_balance",
                        subject_type="patient_account",
                        subject_id=b.patient.pk,
                        cause="LATE",
                        title="Call the patient",
                        fix="Call.",
                        due_at=timezone.now() + timedelta(days=1),
                        patient_id=b.patient.pk,
                        patient_name=b.patient.name,
                    )
                ],
                actor=cast.system,
            )

    ask(stays)
    ask(went)
    row = merge(cast, stays.patient, went.patient)
    with scope(cast.system):
        items = WorkItem.objects.filter(subject_type="patient_account", status="open")
        assert [(i.subject_id, i.patient_name) for i in items] == [
            (stays.patient.pk, stays.patient.name)
        ]
    undo(cast, row)
    with scope(cast.system):
        back = WorkItem.objects.get(subject_id=went.patient.pk, subject_type="patient_account")
        assert back.patient_name == went.patient.name


def test_what_was_written_meanwhile_is_brought_along(cast) -> None:
    stays, went = bill(cast), bill(cast)
    row = merge(cast, stays.patient, went.patient)
    with scope(cast.system):
        Claim.objects.filter(pk=went.claim.pk).update(patient=went.patient)  # a late writer
    assert [words for _, words in broken(cast)] == ["claims_claim names a merged chart"]
    with scope(cast.system):
        assert charts_settle(gone_ids=[went.patient.pk], actor=cast.system) == 1
    assert broken(cast) == []
    undo(cast, row)
    with scope(cast.system):
        assert Claim.objects.get(pk=went.claim.pk).patient_id == went.patient.pk


def test_a_chain_of_merges_is_undone_from_either_end(cast) -> None:
    a, b, c = bill(cast), bill(cast), bill(cast)
    first = merge(cast, b.patient, a.patient)
    second = merge(cast, c.patient, b.patient)
    assert left_on(cast, b.patient) == set()
    undo(cast, second)
    with scope(cast.system):
        assert Claim.objects.get(pk=a.claim.pk).patient_id == b.patient.pk
        assert Patient.objects.get(pk=a.patient.pk).merged_into_id == b.patient.pk
    second = merge(cast, c.patient, b.patient)
    undo(cast, first)
    with scope(cast.system):
        assert Claim.objects.get(pk=a.claim.pk).patient_id == a.patient.pk
        assert Claim.objects.get(pk=b.claim.pk).patient_id == c.patient.pk
        assert Patient.objects.get(pk=a.patient.pk).merged_into_id is None


def test_a_call_to_the_other_chart_stands_behind_a_write_off(cast) -> None:
    stays, went = bill(cast), bill(cast)
    deny(cast, went, category="medical_necessity", status="upheld")
    call(cast, went)
    merge(cast, stays.patient, went.patient)
    with scope(cast.actor("ari")):
        asked = services.write_off_request(
            charge=Charge.objects.get(pk=went.charge.pk),
            reason="denial",
            amount=D("300.00"),
            note="Appeal refused, payer called",
            actor=cast.actor("ari"),
        )
    assert asked.status == "requested"


def test_the_page_merges_shows_and_undoes(cast, enter) -> None:
    stays, went = bill(cast), bill(cast)
    client = enter(cast, "mia")
    page = reverse("intake:patient", args=[stays.patient.public_id])
    client.post(
        reverse("intake:patient_merge", args=[stays.patient.public_id]),
        {"mrn": went.patient.mrn, "reason": "Same person"},
    )
    shown = client.get(page).content.decode()
    with scope(cast.system):
        row = ChartMerge.objects.get()
    link = reverse("intake:patient_unmerge", args=[row.public_id])
    assert link in shown
    assert client.get(link).status_code == 200
    assert client.post(link, {"reason": ""}).status_code == 422
    answer = client.post(link, {"reason": "Two people"})
    assert answer.url == reverse("intake:patient", args=[went.patient.public_id])
    assert link not in client.get(page).content.decode()
    assert client.get(link).status_code == 404
    with scope(cast.system):
        assert Claim.objects.get(pk=went.claim.pk).patient_id == went.patient.pk
