"""No open dollar without an owner, a next action and a date."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ar import rules, services
from ar.models import Statement
from ar.services.positions import positions
from claims.models import ClaimLine
from rcm.accounts.scope import scope
from rcm.worklist.models import WorkItem
from rcm.worklist.services import ItemSpec, open_items
from tests.ar.conftest import bill, call, deny

pytestmark = pytest.mark.django_db


def refresh(cast, **more) -> tuple[int, int]:
    with scope(cast.system):
        return services.followup_refresh(organization_id=cast.a.pk, actor=cast.system, **more)


def items(cast) -> dict[int, WorkItem]:
    with scope(cast.system):
        return {
            i.claim_id: i
            for i in WorkItem.objects.filter(queue="followup", status__in=["open", "pended"])
        }


def test_a_silent_payer_gets_an_item_with_owner_action_and_date(cast) -> None:
    silent = bill(cast, days_ago=60)
    fresh = bill(cast, days_ago=5)
    assert refresh(cast) == (1, 0)
    item = items(cast)[silent.claim.pk]
    assert fresh.claim.pk not in items(cast)  # still in the payer's hands
    assert item.cause == "silent"
    assert "Silent for 58 days" in item.title
    assert (item.owner_id, item.next_action, item.next_action_on) == (
        cast.user("ari").pk,
        "Ask for the claim status",
        timezone.localdate(),
    )
    assert item.dollars == Decimal("100.00")  # what is expected, not what was billed
    assert refresh(cast) == (0, 0)


def test_what_stays_open_after_a_payment_is_followed_up(cast) -> None:
    short = bill(cast, paid=60, contractual=200, status="partial", days_ago=25)
    refresh(cast)
    assert items(cast)[short.claim.pk].cause == "open_after_payment"


def test_a_claim_in_another_queue_is_left_there_and_comes_back_when_it_leaves(cast) -> None:
    b = bill(cast, days_ago=60)
    spec = ItemSpec(
        organization_id=cast.a.pk,
        queue="denials",
        subject_type="denial",
        subject_id=1,
        cause="x",
        title="A denial",
        due_at=timezone.now(),
        claim_id=b.claim.pk,
    )
    refresh(cast)
    with scope(cast.system):
        open_items([spec], actor=cast.system)
    assert refresh(cast) == (0, 1)
    with scope(cast.system):
        WorkItem.objects.filter(queue="denials").update(status="done")
    assert refresh(cast) == (1, 0)


def test_an_appealed_denial_is_at_home_and_one_nobody_works_is_not(cast) -> None:
    appealed, forgotten = bill(cast, days_ago=60), bill(cast, days_ago=60)
    deny(cast, appealed, status="appealed")
    deny(cast, forgotten)
    refresh(cast)
    assert set(items(cast)) == {forgotten.claim.pk}
    assert items(cast)[forgotten.claim.pk].cause == "denied_without_work"


def test_it_closes_by_itself_when_the_dollars_are_gone(cast) -> None:
    b = bill(cast, days_ago=60)
    deny(cast, b, category="medical_necessity", status="upheld")
    call(cast, b)
    refresh(cast)
    with scope(cast.actor("ari")):
        row = services.write_off_request(
            charge=b.charge,
            reason="denial",
            amount=Decimal("300.00"),
            note="Upheld twice",
            actor=cast.actor("ari"),
        )
    with scope(cast.actor("mia")):
        services.write_off_decide(request=row, approve=True, actor=cast.actor("mia"))
    refresh(cast)
    assert items(cast) == {}


def test_the_run_is_set_based(cast, django_assert_max_num_queries) -> None:
    for _ in range(15):
        bill(cast, days_ago=60)
    with django_assert_max_num_queries(24):
        assert refresh(cast) == (15, 0)


def test_patients_accounts_that_statements_cannot_settle_come_to_a_person(cast) -> None:
    held = bill(cast, paid=80, contractual=200, copay=20)
    last = bill(cast, paid=80, contractual=200, copay=20)
    now = timezone.now()
    with scope(cast.system):
        for day in (0, 30, 60, 90):
            services.statements_send(
                organization_id=cast.a.pk,
                actor=cast.system,
                at=now + timedelta(days=day),
                patient_ids=[last.patient.pk],
            )
        services.hold_set(patient=held.patient, kind="returned", actor=cast.system)
        assert (
            services.patient_balance_refresh(
                organization_id=cast.a.pk, actor=cast.system, at=now + timedelta(days=121)
            )
            == 2
        )
        causes = dict(
            WorkItem.objects.filter(queue="patient_balance").values_list("patient_id", "cause")
        )
    assert causes == {held.patient.pk: "held", last.patient.pk: "final_notice"}


def test_money_paid_ahead_that_nobody_bills_comes_to_a_person(cast) -> None:
    b = bill(cast)
    with scope(cast.system):
        services.payment_take(
            patient=b.patient, amount=Decimal("40.00"), method="card", actor=cast.system
        )
        now = timezone.now()
        assert (
            services.patient_balance_refresh(
                organization_id=cast.a.pk, actor=cast.system, at=now + timedelta(days=59)
            )
            == 0
        )
        assert (
            services.patient_balance_refresh(
                organization_id=cast.a.pk, actor=cast.system, at=now + timedelta(days=61)
            )
            == 1
        )
        assert WorkItem.objects.get(queue="patient_balance").cause == "money_on_account"


def test_the_score_shows_its_parts() -> None:
    scored = rules.score(expected=Decimal("200.00"), odds=Decimal("0.5"), days_left=15)
    assert scored.urgency == Decimal("2.00")
    assert scored.value == Decimal("200.00")
    assert rules.score(expected=Decimal(100), odds=Decimal(1), days_left=None).urgency == 1
    assert rules.score(expected=Decimal(100), odds=Decimal(1), days_left=-3).urgency == 3


def test_the_night_leaves_every_dollar_at_home(cast) -> None:
    bill(cast, days_ago=60)
    bill(cast, charged=300, paid=110, contractual=200)
    with scope(cast.system):
        done = services.nightly(organization_id=cast.a.pk, actor=cast.system)
        assert (done["opened"], done["credits"]) == (1, 1)


# --- every open balance has one place -------------------------------------------------------------


def places(cast, *bills) -> list[list[tuple[str, str]]]:
    """(side, state) of each bill's charge."""
    with scope(cast.system):
        rows = positions(cast.a.pk)
    return [sorted((p.side, p.state) for p in rows if p.charge_id == b.charge.pk) for b in bills]


def test_where_insurance_balances_rest_and_until_when(cast) -> None:
    flying, silent, parked = bill(cast, days_ago=5), bill(cast, days_ago=60), bill(cast)
    row = deny(cast, parked, category="medical_necessity", status="parked")
    with scope(cast.system):
        type(row).objects.filter(pk=row.pk).update(
            review_on=timezone.localdate() + timedelta(days=9)
        )
        (place,) = [p for p in positions(cast.a.pk) if p.charge_id == flying.charge.pk]
    assert place.until == timezone.localdate() - timedelta(days=3) + timedelta(days=21 + 7)
    assert places(cast, flying, silent, parked) == [
        [("insurance", "payer")],
        [("insurance", "nowhere")],
        [("insurance", "parked")],
    ]
    refresh(cast)
    assert places(cast, silent) == [[("insurance", "queue")]]


def test_a_charge_on_no_claim_gets_an_item_with_an_owner_and_loses_it_with_its_claim(cast) -> None:
    b = bill(cast, days_ago=30)
    with scope(cast.system):
        b.line.delete()
        assert services.homes_refresh(organization_id=cast.a.pk, actor=cast.system) == 1
        item = WorkItem.objects.get(subject_type="charge")
        assert (item.cause, item.queue, item.dollars) == (
            "never_billed",
            "followup",
            Decimal("300.00"),
        )
        assert item.owner_id == cast.user("ari").pk
        assert item.next_action_on is not None
        assert services.homes_refresh(organization_id=cast.a.pk, actor=cast.system) == 0
        ClaimLine.objects.create(
            organization=cast.a,
            claim=b.claim,
            charge=b.charge,
            number=1,
            control="again",
            code="74178",
            units=1,
            amount=300,
            service_date=b.charge.service_date,
        )
        type(b.claim).objects.filter(pk=b.claim.pk).update(last_submitted_at=timezone.now())
        services.homes_refresh(organization_id=cast.a.pk, actor=cast.system)
        item.refresh_from_db()
        assert item.status == "closed"


def test_a_closed_claim_with_open_dollars_is_not_forgotten(cast) -> None:
    b = bill(cast, paid=60, contractual=200, status="closed", days_ago=25)
    with scope(cast.system):
        services.nightly(organization_id=cast.a.pk, actor=cast.system)
    assert places(cast, b) == [[("insurance", "queue")]]


def test_where_patient_balances_rest(cast) -> None:
    fresh = bill(cast, paid=80, contractual=200, copay=20)
    planned = bill(cast, paid=80, contractual=200, copay=20)
    held = bill(cast, paid=80, contractual=200, copay=20)
    forbidden = bill(cast, paid=80, contractual=200, copay=20)
    deny(cast, forbidden, category="prior_auth", status="upheld")
    with scope(cast.system):
        services.plan_make(
            patient=planned.patient,
            total=Decimal("20"),
            instalment=Decimal("10"),
            starts_on=timezone.localdate() + timedelta(days=4),
            actor=cast.system,
        )
        services.hold_set(patient=held.patient, kind="dispute", note="Not mine", actor=cast.system)
    assert places(cast, fresh, planned, held, forbidden) == [
        [("patient", "statement")],
        [("patient", "plan")],
        [("patient", "nowhere")],
        [("patient", "nowhere")],
    ]
    with scope(cast.system):
        services.nightly(organization_id=cast.a.pk, actor=cast.system)
        assert all(p.state != "nowhere" for p in positions(cast.a.pk))
        item = WorkItem.objects.get(subject_type="patient_account", subject_id=forbidden.patient.pk)
        assert "never the patient's bill" in item.title
        services.nightly(organization_id=cast.a.pk, actor=cast.system)
        item.refresh_from_db()
        assert item.status == "open"  # and it does not come and go


def test_a_final_notice_of_one_exam_is_not_forgotten_behind_a_new_one(cast) -> None:
    old = bill(cast, paid=80, contractual=200, copay=20, days_ago=300)
    today = timezone.localdate()
    with scope(cast.system):
        for step, ago in ((1, 140), (2, 110), (3, 80), (4, 50)):
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
    with scope(cast.system):
        services.statements_send(organization_id=cast.a.pk, actor=cast.system)
        services.patient_balance_refresh(organization_id=cast.a.pk, actor=cast.system)
        item = WorkItem.objects.get(subject_type="patient_account")
        assert "final notice" in item.title
    assert places(cast, new) == [[("patient", "queue")]]


def test_the_managers_page_shows_what_is_nowhere_in_dollars(cast) -> None:
    b = bill(cast, days_ago=30)
    with scope(cast.system):
        b.line.delete()
    client = Client()
    client.force_login(
        cast.user("mia"), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    page = client.get(reverse("ar:open_balances")).content.decode()
    assert "$300.00 on 1 balance is nowhere" in " ".join(page.split())
    with scope(cast.system):
        services.homes_refresh(organization_id=cast.a.pk, actor=cast.system)
    assert "No balance is nowhere" in client.get(reverse("ar:open_balances")).content.decode()


def test_money_on_no_claim_belongs_to_who_posts_this_payer(cast) -> None:
    b = bill(cast)
    spec = ItemSpec(
        organization_id=cast.a.pk,
        queue="unapplied_cash",
        subject_type="claim_payment",
        subject_id=7,
        cause="no_match",
        title="$50.00 is on no claim",
        fix="Find the claim",
        due_at=timezone.now(),
        payer_id=b.claim.payer_id,
    )
    with scope(cast.system):
        open_items([spec], actor=cast.system)
        services.homes_refresh(organization_id=cast.a.pk, actor=cast.system)
        item = WorkItem.objects.get(queue="unapplied_cash")
        assert item.owner_id == cast.user("pia").pk
        assert (item.next_action, item.next_action_on) == ("Find the claim", timezone.localdate())
