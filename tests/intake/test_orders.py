"""Orders as they come: with holes, from people who may not order, changed later, with latitude."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.urls import reverse

from intake.completeness import (
    ExamFacts,
    OrdererFacts,
    OrderFacts,
    PayerRules,
    order_gaps,
    says_nothing,
)
from intake.models import Coverage, Order, OrderedExam
from intake.services import (
    ExamAsk,
    appointment_book,
    appointment_confirm,
    order_change,
    orders_gaps,
)
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.reference.models import Payer, Provider
from tests.intake.house import NOW, exams_of, insured, moment, order, patient, provider, site
from tests.intake.test_hl7 import DG1, IN1, OBR, ORC, PID, PV1, message, receive

SCREENING = ExamFacts("77067", modality="MG", family="MG_SCREEN")
DIAGNOSTIC = ExamFacts("77066", modality="MG", family="MG_DX")
COMPLETE = OrderFacts(
    True,
    "headache, new focal weakness",
    ("R519",),
    (),
    "1932102084",
    True,
    (ExamFacts("70551", modality="MR", contrast="without"),),
    OrdererFacts("Referrer, Ann", credentials="MD"),
    PayerRules("Medicare Part B", "medicare"),
)


def codes(facts: OrderFacts) -> list[str]:
    return [g.code for g in order_gaps(facts)]


@pytest.mark.parametrize(
    "words",
    ["Pain", "eval", "eval for pain", "R/O", "PAIN - LEFT", "see attached notes", "f/u exam", "?"],
)
def test_an_indication_of_empty_words_says_nothing(words):
    assert says_nothing(words)
    assert codes(replace(COMPLETE, indication=words)) == ["ORDER_VAGUE_INDICATION"]
    lenient = replace(COMPLETE.payer, wants_detailed_indication=False)
    assert codes(replace(COMPLETE, indication=words, payer=lenient)) == []


@pytest.mark.parametrize(
    "words", ["knee pain after fall", "seizure", "r/o stroke", "follow up of pulmonary nodule"]
)
def test_a_sign_a_question_or_a_place_is_a_reason(words):
    assert not says_nothing(words)


@pytest.mark.parametrize(
    "orderer",
    [
        OrdererFacts("Spine, Al", credentials="DC"),
        OrdererFacts("Spine, Al", credentials="D.C."),
        OrdererFacts("Spine, Al", taxonomy="111N00000X"),
        OrdererFacts("Spine, Al", taxonomy="111NR0200X"),
        OrdererFacts("Move, Pat", taxonomy="225100000X"),
        OrdererFacts("Herb, Nat", credentials="ND"),
    ],
)
def test_medicare_takes_no_order_of_a_chiropractor(orderer):
    assert codes(replace(COMPLETE, orderer=orderer)) == ["ORDER_MAY_NOT_ORDER"]
    commercial = PayerRules("Prairie Health Plan", "commercial")
    assert codes(replace(COMPLETE, orderer=orderer, payer=commercial)) == []


def test_a_chiropractor_who_is_a_physician_may_order():
    assert codes(replace(COMPLETE, orderer=OrdererFacts("Both, Al", credentials="DC, MD"))) == []


def test_no_organization_orders_and_not_the_center_itself():
    assert codes(replace(COMPLETE, orderer=OrdererFacts("Center", own=True))) == ["ORDER_NPI_OWN"]
    clinic = OrdererFacts("Clinic", taxonomy="261QR0200X")
    assert codes(replace(COMPLETE, orderer=clinic)) == ["ORDER_NPI_ORGANIZATION"]


def test_screening_mammography_needs_no_order_and_diagnostic_does():
    bare = replace(
        COMPLETE,
        signed=False,
        indication="",
        diagnoses=("Z1231",),
        ordering_npi="",
        exams=(SCREENING,),
    )
    assert codes(bare) == []
    assert codes(replace(bare, exams=(DIAGNOSTIC,))) == [
        "ORDER_NO_PROVIDER",
        "ORDER_NOT_SIGNED",
        "ORDER_NO_INDICATION",
    ]
    assert "ORDER_NO_PROVIDER" in codes(replace(bare, exams=(SCREENING, DIAGNOSTIC)))
    strict = replace(COMPLETE.payer, screening_needs_order=True)
    assert "ORDER_NOT_SIGNED" in codes(replace(bare, payer=strict))


def test_contrast_left_to_the_radiologist_is_no_hole():
    unclear = ExamFacts("74150", modality="CT", contrast="any")
    assert codes(replace(COMPLETE, exams=(unclear,))) == ["ORDER_NO_CONTRAST"]
    assert codes(replace(COMPLETE, exams=(replace(unclear, contrast_open=True),))) == []


@pytest.fixture
def inside(cast):
    with scope(cast.system):
        yield cast


def booked(cast, **values):
    who = patient(cast)
    insured(cast, who)
    Coverage.objects.update(status="active", verified_at=NOW)
    row = order(cast, who, "71046", **values)
    return row, appointment_book(
        patient=who,
        site=site(cast),
        starts_at=moment("2026-03-20 10:00"),
        exams=exams_of(row),
        actor=cast.actor("ana"),
        at=NOW,
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"signed": False}, "not signed"),
        ({"indication": ""}, "no indication"),
        ({"indication": "eval"}, "says only “eval”"),
        ({"ordering": None}, "no ordering provider"),
        ({"ordering": None, "ordering_npi": "1932102085", "ordering_name": "Doe"}, "wrong digit"),
        ({"diagnoses": []}, "no diagnosis"),
    ],
)
def test_an_order_with_a_hole_is_not_confirmed_long_before_the_day_either(inside, values, sentence):
    row, visit = booked(inside, **values)
    with pytest.raises(Refused, match=sentence):
        appointment_confirm(appointment=visit, actor=inside.actor("ana"), at=NOW)
    whole = {
        "signed": True,
        "indication": "cough with fever",
        "diagnoses": ["R05.9"],
        "ordering": provider(),
    }
    order_change(order=row, actor=inside.actor("ana"), at=NOW, **whole)
    visit.refresh_from_db()
    done = appointment_confirm(appointment=visit, actor=inside.actor("ana"), at=NOW)
    assert done.status == "confirmed"


@pytest.mark.django_db
def test_the_center_s_own_number_is_no_orderer(inside):
    own = Provider.objects.create(npi=inside.a.npi, last_name="Center")
    row = order(inside, patient(inside), ordering=own)
    assert [g.code for g in orders_gaps([row], on=NOW.date())[row.pk]] == ["ORDER_NPI_OWN"]


@pytest.mark.django_db
def test_editing_an_order_changes_the_exam_instead_of_adding_one(inside):
    row = order(inside, patient(inside), "70551")
    before, description = row.exams.values_list("id", "description").get()
    order_change(order=row, exams=[ExamAsk("70553")], actor=inside.actor("ana"), at=NOW)
    exam = row.exams.get()
    assert (exam.pk, exam.code) == (before, "70553")
    assert exam.description != description


@pytest.mark.django_db
def test_two_sides_stay_two_exams_and_a_new_one_is_added(inside):
    row = order(inside, patient(inside))
    row.exams.all().delete()
    sides = [ExamAsk("73721", laterality="RT"), ExamAsk("73721", laterality="LT")]
    order_change(order=row, exams=sides, actor=inside.actor("ana"), at=NOW)
    order_change(order=row, exams=list(reversed(sides)), actor=inside.actor("ana"), at=NOW)
    assert sorted(row.exams.values_list("code", "laterality")) == [("73721", "LT"), ("73721", "RT")]
    order_change(order=row, exams=[*sides, ExamAsk("70551")], actor=inside.actor("ana"), at=NOW)
    assert row.exams.count() == 3


@pytest.mark.django_db
def test_a_performed_exam_is_not_changed_by_its_order(inside):
    row = order(inside, patient(inside), "70551", "71046")
    OrderedExam.objects.filter(code="70551").update(status="completed")
    exam = OrderedExam.objects.get(code="70551")
    with pytest.raises(Refused, match="was performed"):
        order_change(
            order=row,
            exams=[ExamAsk("70553", exam_id=exam.pk), ExamAsk("71046")],
            complete=True,
            actor=inside.actor("ana"),
            at=NOW,
        )


@pytest.mark.django_db
def test_the_order_form_changes_takes_off_and_keeps_what_it_showed(cast, client):
    with scope(cast.system):
        row = order(cast, patient(cast), "70551", "71046")
        brain, chest = exams_of(row)
    client.force_login(cast.users["ana"])
    values = {
        "ordering_npi": "1932102084",
        "signed": "on",
        "indication": "headache, new focal weakness",
        "diagnoses": "R51.9",
        "code1": "70553",
        "exam1": brain.pk,
        "open1": "contrast",
        "code2": "",
        "exam2": chest.pk,
    }
    page = reverse("intake:order", args=[row.public_id])
    assert client.post(page, values).status_code == 302
    with scope(cast.system):
        brain.refresh_from_db()
        chest.refresh_from_db()
        assert (brain.code, brain.contrast_open, brain.views_open) == ("70553", True, False)
        assert chest.status == "cancelled"
        assert Order.objects.get().exams.count() == 2


ORM = ("ORM^O01", "M2", PID, PV1, IN1)


@pytest.mark.django_db(transaction=True)
def test_a_wrong_npi_is_kept_with_its_name(cast_committed):
    cast = cast_committed
    wrong = {"1932102084": "1932102085"}
    segments = [PV1, IN1, ORC.format(control="NW"), OBR, DG1]
    segments = [s.replace(*next(iter(wrong.items()))) for s in segments]
    receive(cast, "ORM", message("ORM^O01", "M2", PID, *segments))
    with scope(cast.system):
        row = Order.objects.get()
        assert (row.ordering, row.ordering_npi, row.ordering_name) == (
            None,
            "1932102085",
            "Referrer, Ann",
        )
        (gap,) = [g for g in orders_gaps([row], on=NOW.date())[row.pk] if g.field == "ordering"]
        assert gap.sentence == "the NPI 1932102085 of Referrer, Ann has a wrong digit"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("obr", "note", "contrast", "views"),
    [
        (OBR, "", False, False),
        (OBR + "|" * 21 + "CONTRAST_OPEN^left open~VIEWS_OPEN", "", True, True),
        (OBR, "NTE|1||Contrast as the radiologist decides", True, False),
        (OBR, "NTE|1||Radiologist may choose the views", False, True),
        (OBR.replace("MR BRAIN WO", "MR BRAIN, contrast per protocol"), "", True, False),
        (OBR, "NTE|1||Patient refuses contrast", False, False),
    ],
)
def test_the_latitude_of_a_message_reaches_the_exam(cast_committed, obr, note, contrast, views):
    cast = cast_committed
    more = [note] if note else []
    receive(cast, "ORM", message(*ORM, ORC.format(control="NW"), obr, *more, DG1))
    with scope(cast.system):
        exam = OrderedExam.objects.get()
        assert (exam.contrast_open, exam.views_open) == (contrast, views)


@pytest.mark.django_db
def test_a_payer_may_want_an_order_for_screening(inside):
    Payer.objects.filter(code="PHP").update(screening_needs_order=True)
    who = patient(inside)
    insured(inside, who)
    row = order(
        inside, who, "77067", ordering=None, signed=False, indication="", diagnoses=["Z12.31"]
    )
    assert "ORDER_NO_PROVIDER" in [g.code for g in orders_gaps([row], on=NOW.date())[row.pk]]
    Payer.objects.filter(code="PHP").update(screening_needs_order=False)
    assert orders_gaps([row], on=NOW.date())[row.pk] == []
