"""Holds on a patient's account: dated, of a kind, asked in one place, lifted with a reason."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from ar import services
from ar.holding import RULES, Act
from ar.models import AccountHold, HoldKind, PaymentPlan
from ar.services.positions import positions
from intake.models import Patient
from intake.services import patient_merge
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.audit.models import Event
from rcm.exchange.outbox import deliver_due
from rcm.ledger.models import Account
from rcm.worklist.models import WorkItem
from tests.ar.conftest import bill, call

pytestmark = pytest.mark.django_db
D = Decimal


def hold(cast, b, kind, who="ari", **more):
    actor = cast.actor(who)
    with scope(actor):
        return services.hold_set(patient=b.patient, kind=kind, actor=actor, **more)


def lift(cast, row, reason="Settled", who="ari"):
    actor = cast.actor(who) if who else cast.system
    with scope(actor):
        return services.hold_lift(hold=row, reason=reason, actor=actor)


def owing(cast, **more):
    return bill(cast, paid=80, contractual=200, copay=20, **more)


def on_statement(cast) -> set[int]:
    """Charges that would go onto a statement today."""
    with scope(cast.system):
        due, _ = services.statements_preview(organization_id=cast.a.pk)
    return {c.charge_id for d in due for c in d.charges}


def test_every_kind_says_what_it_stops_and_what_to_do() -> None:
    assert set(RULES) == set(HoldKind.values)
    for rule in RULES.values():
        assert Act.STATEMENT in rule.stops
        assert Act.AGENCY in rule.stops
        assert rule.sentence
        assert rule.todo


def test_a_bankruptcy_needs_its_case_and_day_and_stays_until_a_person_lifts_it(cast) -> None:
    b = owing(cast)
    with pytest.raises(Refused, match="number of the bankruptcy case"):
        hold(cast, b, "bankruptcy")
    with pytest.raises(Refused, match="day of the filing"):
        hold(cast, b, "bankruptcy", case_number="26-10417")
    row = hold(cast, b, "bankruptcy", case_number="26-10417", event_on=timezone.localdate())
    assert on_statement(cast) == set()
    with pytest.raises(Refused, match="A person lifts"):
        lift(cast, row, who="")
    with pytest.raises(Refused, match="Say why"):
        lift(cast, row, reason=" ")
    assert on_statement(cast) == set()
    lift(cast, row, reason="Case dismissed")
    assert on_statement(cast) == {b.charge.pk}
    with pytest.raises(Conflict, match="lifted already"):
        lift(cast, row)
    with scope(cast.system):
        row.refresh_from_db()
    assert (row.lifted_by, row.lifted_reason) == (cast.actor("ari").name, "Case dismissed")


def test_a_dispute_of_one_exam_leaves_the_other_on_its_statement(cast) -> None:
    one = owing(cast)
    two = owing(cast, patient=one.patient)
    row = hold(cast, one, "dispute", charge=one.charge, note="Was billed for two sides")
    assert on_statement(cast) == {two.charge.pk}
    with pytest.raises(Conflict, match="on hold already"):
        hold(cast, one, "dispute", charge=one.charge, note="Again")
    lift(cast, row)
    assert on_statement(cast) == {one.charge.pk, two.charge.pk}


def test_returned_mail_ends_with_a_new_address_only_and_by_itself_when_it_comes(cast) -> None:
    b = owing(cast)
    row = hold(cast, b, "returned")
    with pytest.raises(Refused, match="ends with a new one"):
        lift(cast, row)
    with scope(cast.system):
        Patient.objects.filter(pk=b.patient.pk).update(address="1 ELM ST.")
    with pytest.raises(Refused, match="ends with a new one"):
        lift(cast, row)  # the same address in other letters
    with scope(cast.system):
        Patient.objects.filter(pk=b.patient.pk).update(address="9 Oak Ave")
        services.holds_refresh(organization_id=cast.a.pk, actor=cast.system)
        row.refresh_from_db()
        assert row.lifted_reason == "The chart has a new address"
        assert Patient.objects.get(pk=b.patient.pk).statement_hold == ""


def test_a_death_on_the_chart_is_a_hold_that_ends_with_the_chart_corrected(cast) -> None:
    b = owing(cast)
    today = timezone.localdate()
    with scope(cast.system):
        Patient.objects.filter(pk=b.patient.pk).update(deceased_on=today)
    assert on_statement(cast) == set()  # before any run
    with scope(cast.system):
        services.nightly(organization_id=cast.a.pk, actor=cast.system)
        services.nightly(organization_id=cast.a.pk, actor=cast.system)
        row = AccountHold.objects.get(patient=b.patient)
        assert (row.kind, row.event_on) == ("deceased", today)
        assert WorkItem.objects.get(queue="patient_balance").cause == "deceased"
    with pytest.raises(Refused, match="chart says that the patient has died"):
        lift(cast, row)
    with scope(cast.system):
        Patient.objects.filter(pk=b.patient.pk).update(deceased_on=None)
    lift(cast, row, reason="Another person of that name")
    assert on_statement(cast) == {b.charge.pk}


def test_an_event_of_the_chart_moves_holds(cast, transactional_db) -> None:
    b = owing(cast)
    actor = cast.actor("ana")
    with scope(actor):
        from intake.services import patient_update

        patient_update(patient=b.patient, deceased_on=timezone.localdate(), actor=actor)
    deliver_due(cast.a.pk)
    with scope(cast.system):
        assert AccountHold.objects.get(patient=b.patient).kind == "deceased"


def test_a_plan_is_refused_and_nothing_is_missed_while_nothing_may_be_collected(cast) -> None:
    b = owing(cast)
    today, now = timezone.localdate(), timezone.now()
    terms = {"total": D(20), "instalment": D(10), "starts_on": today, "actor": cast.system}
    with scope(cast.system):
        plan = services.plan_make(patient=b.patient, **terms)
    row = hold(cast, b, "bankruptcy", case_number="26-1", event_on=today)
    with scope(cast.system):
        assert (
            services.plans_review(
                organization_id=cast.a.pk, actor=cast.system, at=now + timedelta(days=90)
            )
            == 0
        )
        (place,) = [p for p in positions(cast.a.pk) if p.side == "patient"]
        assert (place.state, place.why) == (
            "nowhere",
            "The patient is in bankruptcy: nothing may be collected (case 26-1).",
        )
        PaymentPlan.objects.filter(pk=plan.pk).update(status="cancelled")
        with pytest.raises(Refused, match="bankruptcy"):
            services.plan_make(patient=b.patient, **terms)
    lift(cast, row)
    with scope(cast.system):
        services.plan_make(patient=b.patient, **terms)


def write_off(cast, b, reason):
    actor = cast.actor("ari")
    with scope(actor):
        return services.write_off_request(
            charge=b.charge,
            reason=reason,
            amount=D("20.00"),
            account=Account.AR_PATIENT,
            note="No answer",
            actor=actor,
        )


def test_bad_debt_waits_for_a_dispute_and_for_no_notice_to_the_dead(cast) -> None:
    disputed, dead = owing(cast), owing(cast)
    for b in (disputed, dead):
        call(cast, b, patient=True)
    hold(cast, disputed, "dispute", note="Not mine")
    with pytest.raises(Refused, match="disputes") as said:
        write_off(cast, disputed, "bad_debt")
    assert "Answer the dispute" in said.value.fix
    with pytest.raises(Refused, match="cycle of this charge has not ended"):
        write_off(cast, dead, "bad_debt")
    hold(cast, dead, "deceased", event_on=timezone.localdate())
    assert write_off(cast, dead, "bad_debt").status == "approved"


def test_holds_of_both_charts_hold_the_one_that_stays(cast) -> None:
    keep, gone = owing(cast), owing(cast)
    hold(cast, gone, "dispute", note="Not mine")
    actor = cast.actor("mia")
    with scope(actor):
        patient_merge(keep=keep.patient, gone=gone.patient, reason="One person", actor=actor)
    assert on_statement(cast) == set()
    with scope(cast.system):
        services.holds_follow_charts(
            patient_ids=[keep.patient.pk, gone.patient.pk], actor=cast.system
        )
        words = dict(Patient.objects.values_list("pk", "statement_hold"))
    assert (words[keep.patient.pk], words[gone.patient.pk]) == ("dispute", "")


def test_nobody_opens_by_hand_what_an_application_or_a_placement_opens(cast) -> None:
    b = owing(cast)
    for kind in ("charity", "agency", "because"):
        with pytest.raises(Refused, match="Choose the reason"):
            hold(cast, b, kind)


# --- screens --------------------------------------------------------------------------------------


def test_the_account_shows_its_holds_and_their_history(cast, enter) -> None:
    b = owing(cast)
    client = enter(cast, "ari")
    page = reverse("ar:hold", args=[b.patient.public_id])
    answer = client.post(page, {"kind": "bankruptcy"})
    assert answer.status_code == 422
    assert "number of the bankruptcy case" in answer.content.decode()
    answer = client.post(
        page, {"kind": "bankruptcy", "case_number": "26-10417", "event_on": "01/05/2026"}
    )
    assert answer.status_code == 302
    html = client.get(answer.url).content.decode()
    assert "26-10417" in html
    assert "On hold: bankruptcy" in html
    with scope(cast.system):
        row = AccountHold.objects.get()
    answer = client.post(
        reverse("ar:hold_lift", args=[row.public_id]), {"reason": "Case dismissed"}
    )
    html = client.get(answer.url).content.decode()
    assert "Case dismissed" in html
    with scope(cast.system):
        verbs = Event.objects.filter(patient_id=b.patient.pk, verb__startswith="hold.")
        assert sorted(verbs.values_list("verb", flat=True)) == ["hold.lifted", "hold.set"]


def test_the_lift_form_says_why_the_hold_stays(cast, enter) -> None:
    b = owing(cast)
    row = hold(cast, b, "returned")
    answer = enter(cast, "ari").post(
        reverse("ar:hold_lift", args=[row.public_id]), {"reason": "Called"}
    )
    assert answer.status_code == 422
    assert "ends with a new one" in answer.content.decode()


def test_a_stranger_finds_no_hold(cast, enter) -> None:
    b = owing(cast)
    row = hold(cast, b, "dispute", note="Not mine")
    page = reverse("ar:hold_lift", args=[row.public_id])
    assert enter(cast, "olga").get(page).status_code in (403, 404)
