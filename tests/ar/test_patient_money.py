"""The patient's side: payments, prepayments, voids, transfers with their guard, statements, plans,
credits and refunds.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from io import BytesIO

import pytest
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from ar import rules, services
from ar.models import Refund, Statement
from ar.services.patients import plan_paid
from intake.models import Patient
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.ledger.models import Account, LedgerEntry
from rcm.worklist.models import WorkItem
from tests.ar.conftest import advice, balance, bill, call, deny

pytestmark = pytest.mark.django_db
D = Decimal


def pay(cast, patient, amount, who="ana", **more):
    with scope(cast.actor(who)):
        return services.payment_take(
            patient=patient, amount=D(amount), method="card", actor=cast.actor(who), **more
        )


def on_account(cast, patient) -> Decimal:
    with scope(cast.system):
        return services.unapplied_balances([patient.pk]).get(patient.pk, D(0))


def send(cast, **more):
    with scope(cast.system):
        return services.statements_send(organization_id=cast.a.pk, actor=cast.system, **more)


# --- payments ---


def test_a_payment_settles_the_oldest_exam_first_and_keeps_the_rest_on_account(cast) -> None:
    old = bill(cast, paid=80, contractual=200, copay=20, days_ago=60)
    new = bill(cast, paid=60, contractual=210, copay=30, days_ago=20, patient=old.patient)
    row = pay(cast, old.patient, "60.00")
    assert row.receipt.startswith("R")
    assert balance(cast, old)[1] == 0
    assert balance(cast, new)[1] == 0
    assert on_account(cast, old.patient) == D("10.00")


def test_money_paid_ahead_is_applied_when_the_payer_leaves_a_part_to_the_patient(cast) -> None:
    early = bill(cast, days_ago=1)
    pay(cast, early.patient, "25.00")
    assert on_account(cast, early.patient) == D("25.00")
    later = bill(cast, paid=80, contractual=200, copay=20, patient=early.patient)
    with scope(cast.system):
        assert services.unapplied_apply(patient_ids=[early.patient.pk], actor=cast.system) == 1
        assert services.unapplied_apply(patient_ids=[early.patient.pk], actor=cast.system) == 0
    assert balance(cast, later)[1] == 0
    assert on_account(cast, early.patient) == D("5.00")


def test_a_void_takes_everything_back_and_happens_once(cast) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20)
    row = pay(cast, b.patient, "50.00")
    later = bill(cast, paid=80, contractual=195, copay=25, patient=b.patient)
    with scope(cast.system):
        services.unapplied_apply(patient_ids=[b.patient.pk], actor=cast.system)
        services.payment_void(payment=row, reason="Card was charged back", actor=cast.system)
        with pytest.raises(Conflict):
            services.payment_void(payment=row, reason="again", actor=cast.system)
    assert (balance(cast, b)[1], balance(cast, later)[1], on_account(cast, b.patient)) == (
        D("20.00"),
        D("25.00"),
        D(0),
    )


@pytest.mark.parametrize("amount", ["0", "-1"])
def test_nothing_and_less_is_no_payment(cast, amount) -> None:
    b = bill(cast)
    with pytest.raises(Refused, match="above zero"):
        pay(cast, b.patient, amount)


def test_who_may_not_collect_is_refused(cast) -> None:
    b = bill(cast)
    for who in ("cody", "ari", "cleo"):
        with pytest.raises(PermissionRefused):
            pay(cast, b.patient, "5", who=who)


# --- transfers: hold harmless ---


def move(cast, b, amount):
    with scope(cast.actor("ari")):
        return services.transfer_to_patient(
            charge=b.charge, amount=D(amount), reason="Payer says patient", actor=cast.actor("ari")
        )


@pytest.mark.parametrize("category", ["prior_auth", "timely_filing"])
def test_an_authorization_or_filing_denial_never_becomes_the_patients_bill(cast, category) -> None:
    b = bill(cast)
    deny(cast, b, category=category, status="upheld")
    with pytest.raises(Refused, match="never the patient's bill"):
        move(cast, b, "300.00")
    assert balance(cast, b) == (D("300.00"), D(0))


def test_only_what_the_payer_called_the_patients_moves(cast) -> None:
    b = bill(cast)
    with scope(cast.system):
        advice(
            cast,
            b.claim,
            b.line,
            paid=0,
            contractual=0,
            copay=40,
            on=timezone.localdate(),
            org=cast.a,
        )
    with pytest.raises(Refused, match=r"called \$40.00"):
        move(cast, b, "40.01")
    move(cast, b, "40.00")
    assert balance(cast, b) == (D("260.00"), D("40.00"))
    with pytest.raises(Refused, match="is there already"):
        move(cast, b, "1.00")
    with scope(cast.actor("ari")):
        services.transfer_to_insurance(
            charge=b.charge,
            amount=D("40.00"),
            reason="Second coverage found",
            actor=cast.actor("ari"),
        )
    assert balance(cast, b) == (D("300.00"), D(0))


def test_a_contractual_rest_is_never_billed_to_the_patient(cast) -> None:
    b = bill(cast, paid=80, contractual=100)
    with pytest.raises(Refused, match="is there already"):
        move(cast, b, "120.00")


# --- statements ---


def test_statements_go_out_on_days_0_30_60_90_and_once(cast) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20)
    now = timezone.now()
    sent = []
    for day in range(0, 131, 5):
        sent += [(day, s.step) for s in send(cast, at=now + timedelta(days=day))]
        assert send(cast, at=now + timedelta(days=day)) == []
    assert sent == [(0, 1), (30, 2), (60, 3), (90, 4)]
    with scope(cast.system):
        pdf = bytes(Statement.objects.get(patient=b.patient, step=4).pdf)
    text = PdfReader(BytesIO(pdf)).pages[0].extract_text()
    assert "final notice" in text
    assert "$20.00" in text


def test_a_new_exam_after_all_was_paid_begins_a_new_cycle(cast) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20)
    now = timezone.now()
    send(cast, at=now)
    pay(cast, b.patient, "20.00")
    bill(cast, paid=80, contractual=200, copay=20, patient=b.patient)
    assert [s.step for s in send(cast, at=now + timedelta(days=35))] == [1]


def test_who_gets_no_statement_and_why(cast) -> None:
    held = bill(cast, paid=80, contractual=200, copay=20)
    dead = bill(cast, paid=80, contractual=200, copay=20)
    waiting = bill(cast, paid=50, contractual=200, copay=20)  # $30 still with insurance
    harmless = bill(cast, paid=80, contractual=200, copay=20)
    planned = bill(cast, paid=80, contractual=200, copay=20)
    clear = bill(cast, paid=80, contractual=200, copay=20)
    deny(cast, harmless, category="prior_auth")
    with scope(cast.system):
        services.hold_set(patient=held.patient, kind="dispute", note="Not mine", actor=cast.system)
        Patient.objects.filter(pk=dead.patient.pk).update(deceased_on=timezone.localdate())
        services.plan_make(
            patient=planned.patient,
            total=D("20"),
            instalment=D("10"),
            starts_on=timezone.localdate(),
            actor=cast.system,
        )
        due, none = services.statements_preview(organization_id=cast.a.pk)
    assert [x.patient.pk for x in due] == [clear.patient.pk]
    why = {p.pk: sentence for p, sentence in none}
    assert "disputes" in why[held.patient.pk]
    assert "died" in why[dead.patient.pk]
    assert "Insurance has not finished" in why[waiting.patient.pk]
    assert "never the patient's bill" in why[harmless.patient.pk]
    assert "payment plan" in why[planned.patient.pk]


def test_a_name_full_of_markup_stays_text_on_paper(cast) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20)
    with scope(cast.system):
        Patient.objects.filter(pk=b.patient.pk).update(
            last_name="<b>&lt;O'Brien</b>", address='<img src="file:///etc/passwd"/>'
        )
    (row,) = send(cast)
    text = PdfReader(BytesIO(bytes(row.pdf))).pages[0].extract_text()
    assert "<b>&lt;O'Brien</b>" in text


def test_the_number_of_queries_of_a_run_does_not_grow_with_patients(
    cast, django_assert_max_num_queries
) -> None:
    for _ in range(12):
        bill(cast, paid=80, contractual=200, copay=20)
    with django_assert_max_num_queries(36):
        assert len(send(cast)) == 12


# --- plans ---


@given(
    total=st.decimals("1", "5000", places=2),
    instalment=st.decimals("1", "500", places=2),
    paid=st.decimals("0", "6000", places=2),
)
def test_a_schedule_always_adds_up(total, instalment, paid) -> None:
    today = timezone.localdate()
    rows = rules.schedule(
        total=total,
        instalment=min(instalment, total),
        starts_on=today,
        grace_days=10,
        paid=paid,
        today=today,
    )
    assert sum(r.amount for r in rows) == total
    assert sum(r.paid for r in rows) == min(paid, total)
    assert not any(r.missed for r in rows if r.paid >= r.amount)


def test_a_plan_is_kept_broken_after_two_misses_or_done(cast) -> None:
    b = bill(cast, paid=80, contractual=160, copay=60)
    now = timezone.now()
    with scope(cast.system):
        plan = services.plan_make(
            patient=b.patient,
            total=D("60"),
            instalment=D("20"),
            starts_on=timezone.localdate(),
            actor=cast.system,
        )
        with pytest.raises(Conflict):
            services.plan_make(
                patient=b.patient,
                total=D("60"),
                instalment=D("20"),
                starts_on=timezone.localdate(),
                actor=cast.system,
            )
        assert (
            services.plans_review(
                organization_id=cast.a.pk, actor=cast.system, at=now + timedelta(days=15)
            )
            == 0
        )  # one miss is allowed
        assert (
            services.plans_review(
                organization_id=cast.a.pk, actor=cast.system, at=now + timedelta(days=50)
            )
            == 1
        )
        plan.refresh_from_db()
        assert plan.status == "default"
        other = services.plan_make(
            patient=b.patient,
            total=D("60"),
            instalment=D("60"),
            starts_on=timezone.localdate(),
            actor=cast.system,
        )
    pay(cast, b.patient, "60", for_plan=True)
    with scope(cast.system):
        assert services.plans_review(organization_id=cast.a.pk, actor=cast.system) == 1
        other.refresh_from_db()
        assert other.status == "done"


def planned(cast, b, total, instalment):
    with scope(cast.system):
        return services.plan_make(
            patient=b.patient,
            total=D(total),
            instalment=D(instalment),
            starts_on=timezone.localdate(),
            actor=cast.system,
        )


def paid_of(cast, plan) -> D:
    with scope(cast.system):
        return plan_paid([plan]).get(plan.pk, D(0))


def test_only_plan_payments_fill_instalments_and_they_pay_what_the_plan_covers(cast) -> None:
    old = bill(cast, paid=80, contractual=160, copay=60, days_ago=60)
    new = bill(cast, paid=60, contractual=210, copay=30, days_ago=5, patient=old.patient)
    plan = planned(cast, old, "60", "20")
    pay(cast, old.patient, "10", charge_ids=[new.charge.pk])
    assert paid_of(cast, plan) == 0
    row = pay(cast, old.patient, "20", for_plan=True)
    assert (paid_of(cast, plan), balance(cast, old)[1], balance(cast, new)[1]) == (20, 40, 20)
    with scope(cast.actor("ana")):
        services.payment_void(payment=row, reason="Card declined", actor=cast.actor("ana"))
    assert paid_of(cast, plan) == 0
    with pytest.raises(Refused, match=r"\$60.00 left"):
        pay(cast, old.patient, "60.01", for_plan=True)
    pay(cast, old.patient, "60", for_plan=True)
    with scope(cast.system):
        services.plans_review(organization_id=cast.a.pk, actor=cast.system)
    with pytest.raises(Refused, match="no active payment plan"):
        pay(cast, old.patient, "1", for_plan=True)


def test_an_exam_outside_the_plan_gets_its_statement(cast) -> None:
    old = bill(cast, paid=80, contractual=160, copay=60, days_ago=60)
    new = bill(cast, paid=60, contractual=210, copay=30, days_ago=40, patient=old.patient)
    planned(cast, old, "60", "20")
    (notice,) = send(cast)
    assert notice.balance == D("30.00")
    assert new.charge.code in str(notice.lines)


def test_the_account_offers_the_next_instalment(cast, enter) -> None:
    b = bill(cast, paid=80, contractual=160, copay=60)
    plan = planned(cast, b, "60", "20")
    ana = enter(cast, "ana")
    url = reverse("ar:payment_new", args=[b.patient.public_id])
    page = ana.get(url)
    assert D(page.context["form"]["amount"].value()) == D("20.00")
    form = {"amount": "20.00", "method": "card", "received_on": timezone.localdate().isoformat()}
    ana.post(url, form | {"key": "k1"})
    assert paid_of(cast, plan) == 0
    ana.post(url, form | {"key": "k2", "for_plan": "on"})
    assert paid_of(cast, plan) == D("20.00")


def test_the_31st_becomes_the_last_day_of_a_short_month() -> None:
    from datetime import date

    assert rules.month_later(date(2027, 1, 31), 1) == date(2027, 2, 28)
    assert rules.month_later(date(2027, 1, 31), 2) == date(2027, 3, 31)


# --- credits ---


def test_a_credit_is_found_at_the_first_cent_with_its_clock(cast) -> None:
    federal = bill(cast, payer_code="MCR", charged=300, paid=100.01, contractual=200)
    bill(cast, charged=300, paid=100, contractual=200)
    with scope(cast.system):
        assert services.credits_refresh(organization_id=cast.a.pk, actor=cast.system) == 1
        assert services.credits_refresh(organization_id=cast.a.pk, actor=cast.system) == 0
        item = WorkItem.objects.get(queue="credits")
        assert (item.dollars, item.subject_id) == (D("0.01"), federal.charge.pk)
        assert item.deadline_on == timezone.localdate() + timedelta(days=60)


def test_a_patients_credit_is_asked_for_by_one_approved_by_another_and_paid_once(cast) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20)
    pay(cast, b.patient, "20.00")
    from rcm.ledger.services import Leg, Posting, post

    with scope(cast.system):
        post(
            [
                Posting(
                    cast.a.pk,
                    "x",
                    "dup",
                    timezone.localdate(),
                    "Paid twice",
                    (
                        Leg(Account.CASH, D(20)),
                        Leg(
                            Account.AR_PATIENT,
                            D(-20),
                            charge_id=b.charge.pk,
                            patient_id=b.patient.pk,
                        ),
                    ),
                )
            ],
            actor=cast.system,
        )
        services.credits_refresh(organization_id=cast.a.pk, actor=cast.system)
        assert WorkItem.objects.get(queue="credits").cause == "duplicate_payment"
    with scope(cast.actor("ari")):
        with pytest.raises(Refused, match=r"is \$20.00"):
            services.refund_request(
                charge=b.charge,
                to="patient",
                amount=D("20.01"),
                cause="duplicate_payment",
                actor=cast.actor("ari"),
            )
        row = services.refund_request(
            charge=b.charge,
            to="patient",
            amount=D("20.00"),
            cause="duplicate_payment",
            actor=cast.actor("ari"),
        )
        with pytest.raises(PermissionRefused):
            services.refund_decide(refund=row, approve=True, actor=cast.actor("ari"))
    cast.users["ari"].memberships.create(organization=cast.a, role="manager")
    with scope(cast.actor("ari")), pytest.raises(Refused, match="does not approve"):
        services.refund_decide(refund=row, approve=True, actor=cast.actor("ari"))
    with scope(cast.actor("mia")):
        services.refund_decide(refund=row, approve=True, actor=cast.actor("mia"))
    assert balance(cast, b)[1] == 0
    with scope(cast.system):
        assert WorkItem.objects.filter(queue="credits", status="open").count() == 0
        services.refund_issue(refund=row, reference="CK 1001", actor=cast.system)
        with pytest.raises(Conflict):
            services.refund_issue(refund=row, reference="CK 1002", actor=cast.system)
        assert (
            sum(
                LedgerEntry.objects.filter(account=Account.REFUND_PAYABLE).values_list(
                    "amount", flat=True
                )
            )
            == 0
        )
        assert Refund.objects.get().issue_reference == "CK 1001"


# --- statements, charge by charge -----------------------------------------------------------------


def named(rows, b) -> list[int]:
    """The steps of those statements that name the bill's charge."""
    return [s.step for s in rows if any(x["charge_id"] == b.charge.pk for x in s.lines)]


def test_a_charge_is_never_billed_for_the_first_time_by_a_final_notice(cast) -> None:
    old = bill(cast, paid=80, contractual=200, copay=20)
    now = timezone.now()
    for day in (0, 30, 60):
        send(cast, at=now + timedelta(days=day))
    new = bill(cast, paid=70, contractual=200, copay=30, patient=old.patient)
    rows = send(cast, at=now + timedelta(days=90))
    assert (named(rows, old), named(rows, new)) == ([4], [1])
    assert sorted((s.step, s.balance) for s in rows) == [(1, D("30.00")), (4, D("20.00"))]
    words = {s.step: PdfReader(BytesIO(bytes(s.pdf))).pages[0].extract_text() for s in rows}
    assert "final notice" in words[4]
    assert "final notice" not in words[1].lower()
    assert named(send(cast, at=now + timedelta(days=120)), new) == [2]


def test_a_payment_on_the_charge_answers_its_notices(cast) -> None:
    b = bill(cast, paid=80, contractual=180, copay=40)
    now = timezone.now()
    send(cast, at=now)
    send(cast, at=now + timedelta(days=30))
    pay(cast, b.patient, "10.00", at=now + timedelta(days=40))
    assert named(send(cast, at=now + timedelta(days=70)), b) == [1]


def test_bad_debt_waits_for_the_charges_own_cadence(cast) -> None:
    old = bill(cast, paid=80, contractual=200, copay=20, days_ago=300)
    today = timezone.localdate()
    with scope(cast.system):
        for step, ago in ((1, 160), (2, 130), (3, 100), (4, 70)):
            Statement.objects.create(
                organization=cast.a,
                patient=old.patient,
                number=f"S{step}",
                step=step,
                balance=20,
                sent_on=today - timedelta(days=ago),
                lines=[{"charge_id": old.charge.pk}],
            )
    new = bill(cast, paid=80, contractual=200, copay=20, patient=old.patient)
    call(cast, new, patient=True)
    for b, refused in ((new, True), (old, False)):
        with scope(cast.actor("ari")):
            ask = {
                "charge": b.charge,
                "reason": "bad_debt",
                "amount": D("20.00"),
                "account": Account.AR_PATIENT,
                "note": "No answer",
                "actor": cast.actor("ari"),
            }
            if refused:
                with pytest.raises(Refused, match="cycle of this charge has not ended"):
                    services.write_off_request(**ask)
            else:
                assert services.write_off_request(**ask).status == "approved"


def test_who_has_no_insurance_is_not_told_that_it_has_finished(cast) -> None:
    own = bill(cast, paid=0, contractual=200, copay=100, payer_code="SELF")
    with scope(cast.system):
        type(own.claim.payer).objects.filter(pk=own.claim.payer_id).update(kind="self_pay")
        (row,) = send(cast)
    text = PdfReader(BytesIO(bytes(row.pdf))).pages[0].extract_text()
    assert "Your insurance" not in text
    assert "No insurance was billed" in text
