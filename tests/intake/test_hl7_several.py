"""Files, frames and messages that hold more than one patient, order or exam: nothing is read for
another's.
"""

from __future__ import annotations

import pytest

from intake.models import Coverage, Order, OrderedExam, Patient
from rcm.accounts.scope import scope
from rcm.exchange.models import Interchange
from rcm.exchange.services import drain
from tests.intake.house import inbound
from tests.intake.test_hl7 import AT, DG1, IN1, OBR, ORC, PID, PV1, adt, message, orm, receive, siu

pytestmark = pytest.mark.django_db(transaction=True)

PID2 = PID.replace("M100^", "M200^").replace("IBARRA^MARISOL^Q", "SECONDONE^BORIS")
IN1_2 = IN1.replace("PRA123456789", "PRA700001011").replace("IBARRA^MARISOL^Q", "SECONDONE^BORIS")


def second_order() -> bytes:
    orc = ORC.format(control="NW").replace("ORD1", "ORD2").replace("FIL1", "FIL2")
    obr = (
        OBR.replace("ORD1", "ORD2")
        .replace("FIL1", "FIL2")
        .replace("ACC1", "ACC2")
        .replace("70551^MR BRAIN WO", "72148^MR LUMBAR WO")
    )
    return message("ORM^O01", "M22", PID2, PV1, IN1_2, orc, obr, DG1)


@pytest.mark.parametrize("kind", ["ORM", "HL7-BATCH"])
def test_two_orders_of_two_patients_in_one_file_go_to_two_charts(cast_committed, kind):
    cast = cast_committed
    inbound(cast, kind, orm() + second_order(), AT)
    drain([cast.a.pk], at=AT)
    with scope(cast.system):
        first, second = Patient.objects.order_by("mrn")
        assert [e.code for e in first.ordered_exams.all()] == ["70551"]
        assert [e.code for e in second.ordered_exams.all()] == ["72148"]
        assert [c.member_id for c in first.coverages.all()] == ["PRA123456789"]
        assert [c.member_id for c in second.coverages.all()] == ["PRA700001011"]
        assert set(Interchange.objects.values_list("kind", "status")) == {
            ("HL7-BATCH", "processed"),
            ("ORM", "processed"),
        }


def test_one_bad_order_of_a_file_does_not_hold_the_other(cast_committed):
    cast = cast_committed
    bad = orm().replace(b"M100^", b"^")
    inbound(cast, "ORM", bad + second_order(), AT)
    drain([cast.a.pk], at=AT)
    with scope(cast.system):
        assert Order.objects.get().placer_number == "ORD2"
        assert sorted(Interchange.objects.filter(kind="ORM").values_list("status", flat=True)) == [
            "failed",
            "processed",
        ]


def test_the_second_exam_under_one_order_is_its_own(cast_committed):
    cast = cast_committed
    second = (
        OBR.replace("OBR|1|", "OBR|2|").replace("70551^MR BRAIN WO", "70544^MRA HEAD WO")
    ).replace("ACC1", "ACC2")
    content = message(
        "ORM^O01", "M2", PID, PV1, IN1, ORC.format(control="NW"), OBR, DG1, second, DG1
    )
    row = receive(cast, "ORM", content)
    assert (row.status, row.error) == ("processed", "")
    with scope(cast.system):
        order = Order.objects.get()
        exams = order.exams.order_by("id")
        assert [(e.code, e.accession) for e in exams] == [("70551", "ACC1"), ("70544", "ACC2")]
        assert order.diagnoses == ["R519"]
        assert order.indication == "headache, new focal weakness"
    # the same order again changes nothing
    receive(cast, "ORM", content.replace(b"|M2|", b"|M3|"))
    with scope(cast.system):
        assert OrderedExam.objects.count() == 2


def test_two_groups_with_one_placer_number_are_one_order_of_two_exams(cast_committed):
    cast = cast_committed
    second = OBR.replace("70551^MR BRAIN WO", "70544^MRA HEAD WO").replace("ACC1", "ACC2")
    orc = ORC.format(control="NW")
    receive(
        cast,
        "ORM",
        message(
            "ORM^O01",
            "M2",
            PID,
            PV1,
            IN1,
            orc,
            OBR,
            DG1,
            orc.replace("FIL1", "FIL2"),
            second.replace("FIL1", "FIL2"),
            DG1,
        ),
    )
    with scope(cast.system):
        assert [e.code for e in Order.objects.get().exams.order_by("id")] == ["70551", "70544"]


def test_a_merge_message_may_merge_several_charts(cast_committed):
    cast = cast_committed
    for number, mrn in enumerate(("M100", "M101", "M200", "M201")):
        receive(cast, "ADT", adt("A04", f"R{number}", PID.replace("M100^", f"{mrn}^")))
    content = message(
        "ADT^A40",
        "M9",
        "EVN|A40|20260904100000",
        PID,
        "MRG|M101^^^CANA^MR",
        PID.replace("M100^", "M200^"),
        "MRG|M201^^^CANA^MR",
    )
    row = receive(cast, "ADT", content)
    assert row.summary["merged"] == 2
    with scope(cast.system):
        merged = Patient.objects.filter(merged_into__isnull=False)
        assert {(p.mrn, p.merged_into.mrn) for p in merged} == {("M101", "M100"), ("M201", "M200")}


def test_a_schedule_for_two_patients_is_refused_in_a_sentence(cast_committed):
    cast = cast_committed
    receive(cast, "ORM", orm())
    content = siu().replace(b"RGS|1", PID2.encode() + b"\rRGS|1")
    row = receive(cast, "SIU", content)
    assert row.status == "quarantined"
    assert "names 2 patients" in row.error


def test_the_insurance_of_one_patient_never_lands_on_another(cast_committed):
    cast = cast_committed
    receive(cast, "ADT", adt("A04", "M1", PID, IN1))
    inbound(
        cast,
        "ADT",
        adt("A08", "M5", PID, IN1) + adt("A04", "M6", PID2, IN1_2),
        AT,
    )
    drain([cast.a.pk], at=AT)
    with scope(cast.system):
        owners = {c.member_id: c.patient.mrn for c in Coverage.objects.all()}
        assert owners == {"PRA123456789": "M100", "PRA700001011": "M200"}
