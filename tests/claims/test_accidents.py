"""One patient, two injuries: each order goes to the policy chosen for it, from order to claim, at
screen, message and API.
"""

from __future__ import annotations

import datetime as dt
import json

import pytest
from django.urls import reverse

from charges.services import exam_record, exams_evaluate, report_receive
from claims.facts import load_sheets
from claims.models import Claim
from claims.services import claims_build
from claims.x12_837p import claim_of
from intake.models import Coverage, Order
from intake.services import ExamAsk as Ask
from intake.services import (
    accident_add,
    coverage_choose,
    coverage_for,
    order_place,
)
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.reference.facts import forget
from rcm.reference.models import Payer
from remittance.services.planning import _with_next_payer
from tests.charges.house import DONE, PLAIN_BRAIN, READ, fresh
from tests.claims.house import MEMBER, NOW
from tests.intake.house import insured, patient
from tests.intake.test_api import ORDER, api, post  # noqa: F401
from tests.intake.test_hl7 import DG1, IN1, OBR, ORC, PID, PV1, message, receive
from tests.intake.test_screens import door  # noqa: F401

INJURY = dt.date(2026, 9, 1)


def comp(kind: str = "workers_comp") -> Payer:
    row, made = Payer.objects.get_or_create(
        code="WCX",
        defaults={"name": "State Comp Fund", "edi_id": "WCX01", "kind": kind, "claim_filing": "WC"},
    )
    if made:
        forget()  # the process keeps the payers of the suite's other tests
    return row


def injury(who, actor, **more) -> Coverage:
    given = {
        "accident_on": INJURY,
        "claim_number": "WC-2026-77",
        "adjuster_name": "Ada Just",
        "adjuster_phone": "3125550177",
        "employer": "Prairie Foods",
    } | more
    return accident_add(patient=who, payer=comp(), actor=actor, **given)


def test_the_injury_at_work_goes_to_comp_alone_and_the_other_exam_to_health(house):
    who = house.patient("M1", "PHP")
    who.address, who.city, who.state, who.zip = "5 Elm St", "Chicago", "IL", "60601"
    who.save()
    Coverage.objects.filter(patient=who).update(member_id=MEMBER["PHP"])
    policy = injury(who, house.actor)
    Coverage.objects.filter(pk=policy.pk).update(status="active", verified_at=DONE)
    (health,) = house.order(who, "70551")
    (work,) = house.order(who, "71046", accession="AWORK", placer="PWORK")
    coverage_choose(order=work.order, coverage=policy, actor=house.actor)
    assert coverage_for(health).payer.code == "PHP"
    assert coverage_for(Order.objects.get(pk=work.order_id)) == policy
    house.authorize(who, health, number="AUTHM1")
    chest = {**PLAIN_BRAIN, "technique": "PA and lateral, 2 views of the chest."}
    made = []
    for ordered, more, sections in (
        (health, {}, PLAIN_BRAIN),
        (work, {"station": "XR1", "views": 2}, chest),
    ):
        ordered.refresh_from_db()
        record = house.done(ordered, **more)
        made.append(exam_record(record=record, actor=house.actor, at=DONE).exam_id)
        report_receive(report=house.report(ordered, sections), actor=house.actor, at=READ)
    exams_evaluate(exam_ids=made, actor=house.actor, at=READ)
    for pk in made:
        assert fresh(pk).status == "released", fresh(pk).holds
    pks = claims_build(exam_ids=made, actor=house.actor, at=NOW)
    by_payer = {c.payer.code: c for c in Claim.objects.filter(pk__in=pks)}
    assert set(by_payer) == {"PHP", "WCX"}
    sheets = {s.claim.payer.code: s for s in load_sheets(pks)}
    written = claim_of(sheets["WCX"])
    assert written.related_causes == ("EM",)
    assert written.accident_date == INJURY
    assert [(r.qualifier, r.value) for r in written.subscriber.refs] == [("Y4", "WC-2026-77")]
    assert sheets["WCX"].facts.other_coverages == ()
    assert written.payer_sequence == "P"
    plain = claim_of(sheets["PHP"])
    assert (plain.related_causes, plain.accident_date, plain.subscriber.refs) == ((), None, ())
    Coverage.objects.create(
        organization=who.organization,
        patient=who,
        payer=Payer.objects.get(code="LBI"),
        member_id="SECOND1",
        rank=2,
        status="active",
    )
    told = [
        Claim.objects.filter(pk=c.pk)
        .values("id", "patient_id", "rank", "service_date", "coverage__rank")
        .get()
        for c in by_payer.values()
    ]
    assert _with_next_payer(told) == {by_payer["PHP"].pk}


def test_what_an_accident_lacks_is_said(cast):
    with scope(cast.system):
        who = patient(cast)
        with pytest.raises(Refused, match="day of the accident"):
            injury(who, cast.system, accident_on=None)
        with pytest.raises(Refused, match="claim number"):
            injury(who, cast.system, claim_number="")
        with pytest.raises(Refused, match="neither workers' compensation nor auto"):
            accident_add(
                patient=who,
                payer=Payer.objects.get(code="PHP"),
                accident_on=INJURY,
                claim_number="1",
                actor=cast.system,
            )
        first = injury(who, cast.system)
        assert injury(who, cast.system, employer="Other Foods").pk == first.pk
        stranger = patient(cast, last="Other", mrn="M2", born=dt.date(1980, 1, 1))
        with pytest.raises(Refused, match="patient's own coverages"):
            order_place(
                patient=stranger,
                exams=[Ask("70551")],
                ordering=None,
                coverage=first,
                actor=cast.system,
            )


def test_the_screen_adds_the_accident_and_chooses_it(door, cast):  # noqa: F811
    with scope(cast.system):
        who = insured(cast).patient
        payer = comp()
    client = door("ana")
    added = client.post(
        reverse("intake:coverage_new", args=[who.public_id]),
        {
            "payer": payer.pk,
            "rank": "0",
            "relationship": "18",
            "accident_on": "09/01/2026",
            "claim_number": "wc 77",
            "employer": "Prairie Foods",
        },
    )
    assert added.status_code == 302, added.content.decode()[:3000]
    with scope(cast.system):
        policy = Coverage.objects.get(patient=who, rank=0)
        assert (policy.claim_number, policy.member_id) == ("WC77", "WC77")
        assert Coverage.objects.get(patient=who, rank=1).active
    chart = client.get(reverse("intake:patient", args=[who.public_id])).content.decode()
    assert "Accident of Sep 1, 2026" in chart
    placed = client.post(
        reverse("intake:order_new", args=[who.public_id]),
        {"code1": "70551", "side1": "", "coverage": policy.pk},
    )
    assert placed.status_code == 302
    with scope(cast.system):
        order = Order.objects.latest("id")
        assert coverage_for(order) == policy
    client.post(reverse("intake:order", args=[order.public_id]), {"code1": "70551", "coverage": ""})
    with scope(cast.system):
        assert coverage_for(Order.objects.get(pk=order.pk)).payer.code == "PHP"


def test_the_message_of_the_order_names_the_accident(cast):
    with scope(cast.system):
        comp()
    fields = [""] * 37
    fields[0:3] = ["IN1", "1", "WCX^STATE COMP"]
    fields[6], fields[7], fields[11] = "JUST^ADA", "^PRN^PH^^^312^5550177", "PRAIRIE FOODS"
    fields[15], fields[36] = "WC", "WC-77"
    order = (PID, PV1, "|".join(fields), ORC.format(control="NW"), OBR, DG1)
    health = (
        PID,
        PV1,
        IN1,
        ORC.format(control="NW").replace("ORD1", "ORD2").replace("FIL1", "FIL2"),
        OBR.replace("ORD1", "ORD2").replace("FIL1", "FIL2").replace("ACC1", "ACC2"),
        DG1,
    )
    refused = receive(cast, "ORM", message("ORM^O01", "W0", *order))
    assert refused.status != "done"
    with_day = (*order[:3], "ACC|20260901|||IL|Y", *order[3:])
    receive(cast, "ORM", message("ORM^O01", "W1", *with_day))
    receive(cast, "ORM", message("ORM^O01", "W2", *health))
    with scope(cast.system):
        work = Order.objects.get(placer_number="ORD1")
        assert work.coverage.accident_on == INJURY
        assert work.coverage.employer == "Prairie Foods"
        assert work.coverage.adjuster_name == "Ada Just"
        assert coverage_for(Order.objects.get(placer_number="ORD2")).payer.code == "PHP"


def test_a_partner_sends_the_accident_and_changes_the_choice(cast, api):  # noqa: F811
    with scope(cast.system):
        comp()
    client = api()
    accident = {"payer": "WCX", "accident_on": "2026-09-01", "claim_number": "WC77"}
    made = post(client, "orders", ORDER | {"accident": accident})
    assert made.status_code == 201, made.content
    assert made.json()["coverage"]["claim_number"] == "WC77"
    path = f"/api/v1/orders/{made.json()['id']}/coverage"
    back = client.post(path, json.dumps({"coverage": None}), content_type="application/json")
    assert back.json()["coverage"] is None
    wrong = client.post(
        path, json.dumps({"coverage": made.json()["id"]}), content_type="application/json"
    )
    assert wrong.status_code in (400, 409, 422)
