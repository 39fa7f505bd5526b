"""The three messages of one exam's story: register, order, schedule; twice changes nothing (rule
`exam-match-order`).
"""

from __future__ import annotations

import pytest

from intake.models import Appointment, Coverage, Estimate, Order, OrderedExam, Patient
from rcm.accounts.models import Organization, Site
from rcm.accounts.scope import scope
from rcm.audit.models import Event
from rcm.exchange.models import Interchange
from rcm.exchange.services import drain
from tests.intake.house import inbound, moment

pytestmark = pytest.mark.django_db(transaction=True)
AT = moment("2026-09-04 10:30")

HEAD = "MSH|^~\\&|REG|CANA|RCM|CANA|20260904100000||{kind}|{control}|P|2.5.1"
PID = (
    "PID|1||M100^^^CANA^MR||IBARRA^MARISOL^Q||19580327|F|||118 TEST"
    " ST^^SPRINGFIELD^IL^62701||^PRN^PH^^^217^5550142"
)
PV1 = "PV1|1|O|MR1^^^CANA-NORTH||||1932102084^REFERRER^ANN^^^MD^^^NPI|1932102084^REFERRER^ANN^^^MD^^^NPI"
IN1 = "|".join(
    [
        "IN1",
        "1",
        "PHP^PRAIRIE",
        "PRHP1",
        "PRAIRIE HEALTH PLAN",
        *[""] * 11,
        "IBARRA^MARISOL^Q",
        "SEL",
        "19580327",
        *[""] * 17,
        "PRA123456789",
    ]
)
ORC = "ORC|{control}|ORD1^EMR|FIL1^RIS||SC||||20260904101500|||1932102084^REFERRER^ANN^^^MD^^^NPI"
OBR = (
    "OBR|1|ORD1^EMR|FIL1^RIS|70551^MR BRAIN WO^C4|||||||||^headache, new focal"
    " weakness|||1932102084^REFERRER^ANN^^^MD^^^NPI||ACC1|RP1||CANA|||MR|S"
)
DG1 = "DG1|1||R51.9^Headache^I10|||W"


def message(kind: str, control: str, *segments: str) -> bytes:
    return "\r".join((HEAD.format(kind=kind, control=control), *segments)).encode() + b"\r"


def adt(event: str = "A04", control: str = "M1", pid: str = PID, *more: str) -> bytes:
    return message(f"ADT^{event}", control, f"EVN|{event}|20260904100000", pid, PV1, *more)


def orm(control: str = "NW", number: str = "M2", obr: str = OBR) -> bytes:
    return message("ORM^O01", number, PID, PV1, IN1, ORC.format(control=control), obr, DG1)


def siu(event: str = "S12", control: str = "M4", start: str = "20260908093000") -> bytes:
    return message(
        f"SIU^{event}",
        control,
        f"SCH|ORD1|FIL1||||NEW^New^HL70276|HEADACHE|MR^MR brain|45|min|^^45^{start}^20260908101500",
        PID,
        PV1,
        "RGS|1",
        f"AIS|1|A|70551^MR BRAIN WO^C4|{start}||||45|min",
        "AIL|1|A|CANA-NORTH^MR1",
    )


def receive(cast, kind: str, content: bytes):
    row = inbound(cast, kind, content, AT)
    drain([cast.a.pk], at=AT)
    with scope(cast.system):
        return Interchange.objects.get(pk=row.pk)


def counts() -> tuple[int, ...]:
    return tuple(
        m.objects.count()
        for m in (Patient, Coverage, Order, OrderedExam, Appointment, Estimate, Event)
    )


def test_register_order_and_schedule_make_one_thread(cast_committed):
    cast = cast_committed
    for kind, content in (("ADT", adt("A04", "M1", PID, IN1)), ("ORM", orm()), ("SIU", siu())):
        row = receive(cast, kind, content)
        assert (row.status, row.error) == ("processed", "")
    with scope(cast.system):
        who = Patient.objects.get()
        assert (who.name, who.mrn, who.phone, who.address) == (
            "Ibarra, Marisol",
            "M100",
            "2175550142",
            "118 Test St",
        )
        coverage = Coverage.objects.get()
        assert (coverage.payer.code, coverage.member_id, coverage.rank) == (
            "PHP",
            "PRA123456789",
            1,
        )
        order = Order.objects.get()
        assert (order.placer_number, order.signed, order.diagnoses, order.indication) == (
            "ORD1",
            True,
            ["R519"],
            "headache, new focal weakness",
        )
        assert order.ordering.npi == "1932102084"
        exam = OrderedExam.objects.get()
        assert (exam.code, exam.accession, exam.filler_number, exam.modality) == (
            "70551",
            "ACC1",
            "FIL1",
            "MR",
        )
        visit = Appointment.objects.get()
        assert exam.appointment == visit
        assert visit.starts_at == moment("2026-09-08 09:30")
        assert (visit.site.code, visit.resource, visit.minutes) == ("CANA-NORTH", "MR1", 45)
        assert visit.gates["order"]["state"] == "ready"
        # Monday is Labor Day: this Friday is the last business day before the exam, and nothing has
        # been requested
        assert visit.gates["authorization"]["state"] == "stop"


def test_the_same_content_in_a_new_message_changes_nothing(cast_committed):
    cast = cast_committed
    for kind, content in (("ADT", adt("A04", "M1", PID, IN1)), ("ORM", orm()), ("SIU", siu())):
        receive(cast, kind, content)
    with scope(cast.system):
        before = counts()
    for kind, content in (
        ("ADT", adt("A08", "M11", PID, IN1)),
        ("ORM", orm(number="M12")),
        ("SIU", siu("S14", "M14")),
        ("ORM", orm()),
    ):
        assert receive(cast, kind, content).status == "processed"
    with scope(cast.system):
        assert counts() == before


def test_an_order_can_change_and_be_cancelled(cast_committed):
    cast = cast_committed
    receive(cast, "ORM", orm())
    receive(
        cast, "ORM", orm("XO", "M3", OBR.replace("70551^MR BRAIN WO", "70553^MR BRAIN WO AND W"))
    )
    with scope(cast.system):
        assert OrderedExam.objects.get().code == "70553"
    receive(cast, "ORM", orm("CA", "M5"))
    with scope(cast.system):
        assert Order.objects.get().status == "cancelled"
        assert OrderedExam.objects.get().status == "cancelled"


def test_a_visit_moves_is_cancelled_and_the_order_is_open_again(cast_committed):
    cast = cast_committed
    receive(cast, "ORM", orm())
    receive(cast, "SIU", siu())
    receive(cast, "SIU", siu("S13", "M6", "20260909140000"))
    with scope(cast.system):
        visit = Appointment.objects.get()
        assert visit.starts_at == moment("2026-09-09 14:00")
    receive(cast, "SIU", siu("S15", "M7"))
    with scope(cast.system):
        visit.refresh_from_db()
        assert visit.status == "cancelled"
        assert OrderedExam.objects.get().status == "open"
    receive(cast, "SIU", siu("S12", "M8", "20260910080000"))
    with scope(cast.system):
        visit.refresh_from_db()
        assert visit.status == "booked"
        assert OrderedExam.objects.get().appointment == visit


def test_a_merge_keeps_both_histories_under_the_chart_that_stays(cast_committed):
    from intake.services import chart_ids

    cast = cast_committed
    receive(cast, "ADT", adt("A04", "M1", PID))
    receive(cast, "ADT", adt("A04", "M2", PID.replace("M100", "M200")))
    receive(cast, "ORM", orm().replace(b"M100", b"M200"))
    receive(cast, "ADT", adt("A40", "M3", PID, "MRG|M200^^^CANA^MR"))
    with scope(cast.system):
        keep, gone = Patient.objects.get(mrn="M100"), Patient.objects.get(mrn="M200")
        assert gone.merged_into == keep
        assert Order.objects.get().patient == keep
        assert (
            Event.objects.filter(
                patient_id__in=chart_ids(keep.pk), verb="patient.registered"
            ).count()
            == 2
        )
    receive(
        cast, "ADT", adt("A08", "M4", PID.replace("M100", "M200").replace("5550142", "5550177"))
    )
    with scope(cast.system):
        keep.refresh_from_db()
        assert keep.phone == "2175550177"


@pytest.mark.parametrize(
    ("kind", "content", "status", "words"),
    [
        (
            "ADT",
            adt("A04", "M1", PID.replace("M100^^^CANA^MR", "")),
            "failed",
            "PID-3 holds no medical record number.",
        ),
        (
            "ADT",
            adt("A04", "M1", PID.replace("19580327", "")),
            "failed",
            "PID-7 is empty: a chart needs it.",
        ),
        (
            "ADT",
            adt("A04", "M1", PID, IN1.replace("PHP^PRAIRIE|PRHP1", "XYZ|99999")),
            "quarantined",
            "We know no payer 99999 (IN1-2, IN1-3).",
        ),
        ("ORM", orm("CA", "M9"), "quarantined", "The order to cancel is not known."),
        ("SIU", siu("S15"), "quarantined", "The appointment is not known."),
        (
            "SIU",
            siu().replace(b"CANA-NORTH", b"ELSEWHERE"),
            "quarantined",
            "The message names no site of ours (AIL-3, PV1-3).",
        ),
    ],
)
def test_what_cannot_be_applied_says_why(cast_committed, kind, content, status, words):
    row = receive(cast_committed, kind, content)
    assert (row.status, row.error) == (status, words)


def test_the_made_samples_go_through(cast_committed, shared):
    cast = cast_committed
    with scope(cast.system):
        Organization.objects.filter(pk=cast.a.pk).update(code="IMGCTR01")
        Site.objects.filter(pk=cast.north.pk).update(code="IMGCTR01-MAIN")
    for name, kind in (
        ("01_adt_a04", "ADT"),
        ("02_orm_o01_new", "ORM"),
        ("03_omi_o23_new", "OMI"),
        ("04_siu_s12", "SIU"),
    ):
        content = (shared / "samples" / "made" / f"{name}.hl7").read_bytes()
        row = receive(cast, kind, content)
        assert (row.status, row.error) == ("processed", "")
        assert receive(cast, kind, content).deliveries == 2
    with scope(cast.system):
        visit = Appointment.objects.get()
        exam = OrderedExam.objects.get()
        assert (visit.patient.mrn, visit.starts_at) == ("MRN100234", moment("2026-09-08 09:30"))
        assert (exam.accession, exam.order.placer_number, exam.appointment) == (
            "ACC2609080117",
            "ORD55501",
            visit,
        )
        assert Coverage.objects.get().payer.code == "MCR"
        assert visit.gates["authorization"]["state"] == "ready"
