"""The collection agency: what may go there, the file that leaves once, what calls it back, the money
less the fee.
"""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from ar import services
from ar.models import Agency, AgencyBatch, AgencyPayment, Placement, Statement
from ar.services.agency import agency_candidates
from ar.services.positions import positions
from intake.models import Patient
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.exchange.models import Interchange
from rcm.exchange.outbox import deliver_due
from rcm.ledger.models import Account, LedgerEntry
from rcm.prove import prove
from tests.ar.conftest import balance, bill

pytestmark = pytest.mark.django_db
D = Decimal


def unanswered(cast, *, copay=60, final=40, first=130, patient=None):
    """A bill whose four notices went out in vain, the last `final` days ago."""
    b = bill(cast, paid=80, contractual=220 - copay, copay=copay, days_ago=200, patient=patient)
    today = timezone.localdate()
    with scope(cast.system):
        for step, ago in ((1, first), (2, 100), (3, 70), (4, final)):
            Statement.objects.create(
                organization=cast.a,
                patient=b.patient,
                number=f"S{b.charge.pk}-{step}",
                step=step,
                balance=copay,
                sent_on=today - timedelta(days=ago),
                lines=[{"charge_id": b.charge.pk}],
            )
    return b


def agency(cast, percent="25") -> Agency:
    actor = cast.actor("mia")
    with scope(actor):
        return services.agency_set(
            organization_id=cast.a.pk,
            name="Fair Collections",
            percent=D(percent),
            effective_from=timezone.localdate() - timedelta(days=365),
            actor=actor,
        )


def propose(cast, who="ari") -> AgencyBatch:
    actor = cast.actor(who)
    with scope(actor):
        return services.placement_propose(agency=Agency.objects.get(), actor=actor)


def send(cast, batch, who="mia", approve=True, **more) -> AgencyBatch:
    actor = cast.actor(who)
    with scope(actor):
        return services.placement_decide(batch=batch, approve=approve, actor=actor, **more)


def placed(cast, b) -> Placement:
    with scope(cast.system):
        return Placement.objects.get(charge=b.charge)


def may_go(cast) -> tuple[set[int], dict[int, str]]:
    with scope(cast.system):
        may, why = agency_candidates(cast.a.pk, timezone.now())
    return {c.charge_id for c in may}, why


def test_only_what_the_final_notice_asked_for_in_vain_may_go(cast) -> None:
    ready = unanswered(cast)
    fresh = unanswered(cast, final=10)
    soon = unanswered(cast, first=119)
    unbilled = bill(cast, paid=80, contractual=200, copay=20)
    held, planned = unanswered(cast), unanswered(cast)
    with scope(cast.system):
        services.hold_set(patient=held.patient, kind="dispute", note="Not mine", actor=cast.system)
        services.plan_make(
            patient=planned.patient,
            total=D(60),
            instalment=D(30),
            starts_on=timezone.localdate(),
            actor=cast.system,
        )
    may, why = may_go(cast)
    assert may == {ready.charge.pk}
    assert why[fresh.charge.pk] == "Its final notice may still be answered."
    assert why[soon.charge.pk] == "Its days before collection have not passed."
    assert why[unbilled.charge.pk] == "Its final notice was not sent yet."
    assert why[held.charge.pk] == "The patient disputes it."
    assert why[planned.charge.pk] == "A payment plan is being kept."


def test_a_second_person_sends_the_batch_and_its_file_leaves_once(cast) -> None:
    b = unanswered(cast)
    agency(cast)
    batch = propose(cast)
    with pytest.raises(Refused, match="No charge may go"):
        propose(cast)
    with scope(cast.system):
        AgencyBatch.objects.update(requested_by=cast.user("mia"))
    with pytest.raises(Refused, match="Another person"):
        send(cast, batch)
    with scope(cast.system):
        AgencyBatch.objects.update(requested_by=cast.user("ari"))
    send(cast, batch)
    with pytest.raises(Conflict, match="decided this batch already"):
        send(cast, batch)
    with scope(cast.system):
        (file,) = Interchange.objects.filter(kind="AGENCY-PLACE")
        (line,) = csv.DictReader(io.StringIO(bytes(file.content).decode()))
        assert (file.control_number, line["balance"]) == (batch.number, "60.00")
        assert "code" not in line
        (place,) = [p for p in positions(cast.a.pk) if p.side == "patient"]
        assert place.state == "agency"
        due, none = services.statements_preview(organization_id=cast.a.pk)
        assert (due, none[0][1]) == ([], "It is with the collection agency.")
    assert balance(cast, b) == (D("0.00"), D("60.00"))  # as placed


def test_a_cell_is_never_a_formula(cast) -> None:
    b = unanswered(cast)
    with scope(cast.system):
        Patient.objects.filter(pk=b.patient.pk).update(last_name="=cmd|' /C calc'!A0")
    agency(cast)
    send(cast, propose(cast))
    with scope(cast.system):
        content = bytes(Interchange.objects.get(kind="AGENCY-PLACE").content).decode()
    assert "'=cmd" in content


def test_what_changed_since_the_proposal_stays_here(cast) -> None:
    one, two = unanswered(cast), unanswered(cast)
    agency(cast)
    batch = propose(cast)
    with scope(cast.system):
        services.hold_set(
            patient=one.patient,
            kind="bankruptcy",
            case_number="26-1",
            event_on=timezone.localdate(),
            actor=cast.system,
        )
    send(cast, batch)
    assert (placed(cast, one).status, placed(cast, two).status) == ("left_out", "placed")
    assert "bankruptcy" in placed(cast, one).why


def test_a_dispute_a_payment_a_plan_and_a_death_call_it_back_with_one_file(cast) -> None:
    bills = [unanswered(cast) for _ in range(5)]
    disputed, paid, planned, dead, stays = bills
    agency(cast)
    send(cast, propose(cast))
    with scope(cast.system):
        services.hold_set(
            patient=disputed.patient, kind="dispute", note="Not mine", actor=cast.system
        )
        services.payment_take(patient=paid.patient, amount=D(10), method="card", actor=cast.system)
        services.plan_make(
            patient=planned.patient,
            total=D(60),
            instalment=D(30),
            starts_on=timezone.localdate(),
            actor=cast.system,
        )
        Patient.objects.filter(pk=dead.patient.pk).update(deceased_on=timezone.localdate())
        done = services.nightly(organization_id=cast.a.pk, actor=cast.system)
        assert done["recalled"] == 4
        assert services.agency_recalls(organization_id=cast.a.pk, actor=cast.system) == 0
        (file,) = Interchange.objects.filter(kind="AGENCY-RECALL")
        lines = list(csv.DictReader(io.StringIO(bytes(file.content).decode())))
        assert len(lines) == 4
        assert set(lines[0]) == {"placement", "batch", "recalled_on"}  # and not why
    assert [placed(cast, b).status for b in bills] == ["recalled"] * 4 + ["placed"]
    assert "paid here" in placed(cast, paid).why
    with scope(cast.system):
        (proof,) = [p for p in prove([cast.a]) if p.check.number == "9c"]
        assert proof.total == 0
        due, _ = services.statements_preview(organization_id=cast.a.pk)
        assert stays.charge.pk not in {c.charge_id for x in due for c in x.charges}


def test_an_event_calls_it_back_without_waiting_for_the_night(cast, transactional_db) -> None:
    b = unanswered(cast)
    agency(cast)
    send(cast, propose(cast))
    actor = cast.actor("ana")
    with scope(actor):
        services.payment_take(patient=b.patient, amount=D(60), method="cash", actor=actor)
    deliver_due(cast.a.pk)
    assert placed(cast, b).status == "recalled"


def pay(cast, b, collected="60", reference="FC-1", who="pia"):
    actor = cast.actor(who)
    with scope(actor):
        return services.agency_payment(
            placement=placed(cast, b),
            collected=D(collected),
            reference=reference,
            received_on=timezone.localdate(),
            actor=actor,
        )


def test_the_agencys_money_is_posted_whole_less_its_fee_and_once(cast) -> None:
    b = unanswered(cast)
    agency(cast)
    send(cast, propose(cast))
    with pytest.raises(Refused, match=r"Only \$60.00"):
        pay(cast, b, "60.01")
    first = pay(cast, b, "20")
    assert pay(cast, b, "20").pk == first.pk  # twice is once
    with pytest.raises(Conflict, match="stands already"):
        pay(cast, b, "30")
    assert (first.percent, first.fee) == (D("25.00"), D("5.00"))
    with scope(cast.system):
        services.agency_recalls(organization_id=cast.a.pk, actor=cast.system)
    assert placed(cast, b).status == "placed"  # its own money calls nothing back
    pay(cast, b, "40", "FC-2")
    assert placed(cast, b).status == "paid"
    assert balance(cast, b) == (D("0.00"), D("0.00"))
    with scope(cast.system):
        legs = LedgerEntry.objects.filter(transaction__kind="agency.payment")
        sums = {
            account: sum(e.amount for e in legs if e.account == account)
            for account in (Account.CASH, Account.COLLECTION_FEE, Account.AR_PATIENT)
        }
        assert list(sums.values()) == [D("45.00"), D("15.00"), D("-60.00")]
        assert AgencyPayment.objects.count() == 2


def test_a_fee_is_of_its_day(cast) -> None:
    b = unanswered(cast)
    row = agency(cast, "25")
    actor = cast.actor("mia")
    with scope(actor):
        services.agency_set(
            organization_id=cast.a.pk,
            name=row.name,
            percent=D(20),
            effective_from=timezone.localdate() + timedelta(days=1),
            actor=actor,
        )
    send(cast, propose(cast))
    assert pay(cast, b).percent == D("25.00")


def test_a_charge_with_the_agency_is_not_written_off_here(cast) -> None:
    b = unanswered(cast)
    agency(cast)
    send(cast, propose(cast))
    actor = cast.actor("ari")
    ask = {
        "charge": b.charge,
        "reason": "charity",
        "amount": D(60),
        "account": Account.AR_PATIENT,
        "note": "Hardship",
        "actor": actor,
    }
    with scope(actor):
        with pytest.raises(Refused, match="with the collection agency"):
            services.write_off_request(**ask)
        services.placement_recall(placement=placed(cast, b), reason="Hardship", actor=actor)
        assert services.write_off_request(**ask).status == "approved"


def test_the_way_of_a_batch_on_screen(cast, enter) -> None:
    b = unanswered(cast)
    manager, ari, pia = enter(cast, "mia"), enter(cast, "ari"), enter(cast, "pia")
    today = timezone.localdate().strftime("%m/%d/%Y")
    made = manager.post(
        reverse("ar:agency_new"),
        {
            "organization": cast.a.pk,
            "name": "Fair Collections",
            "percent": "25",
            "effective_from": today,
        },
    )
    assert made.status_code == 302
    assert "Fair Collections" in ari.get(reverse("ar:agencies")).content.decode()
    with scope(cast.system):
        row = Agency.objects.get()
    page = ari.post(reverse("ar:agency_propose", args=[row.public_id])).url
    html = ari.get(page).content.decode()
    assert "another person decides" in html
    assert "Fair Collections" in manager.get(reverse("ar:approvals")).content.decode()
    with scope(cast.system):
        batch = AgencyBatch.objects.get()
    answer = manager.post(reverse("ar:agency_decide", args=[batch.public_id]), {"decision": "drop"})
    assert "Say why it is dropped" in answer.content.decode()
    manager.post(reverse("ar:agency_decide", args=[batch.public_id]), {"decision": "send"})
    ari.post(reverse("ar:agency_accepted", args=[batch.public_id]), {"on": today})
    assert "Accepted" in ari.get(page).content.decode()
    one = placed(cast, b)
    pia.post(
        reverse("ar:placement_payment", args=[one.public_id]),
        {"collected": "20", "reference": "FC-1", "received_on": today},
    )
    ari.post(reverse("ar:placement_recall", args=[one.public_id]), {"reason": "Patient called"})
    html = ari.get(page).content.decode()
    assert "Patient called" in html
    assert "$20.00" in html
