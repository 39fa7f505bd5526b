"""J7: one exam by the messages of its information system, first with our own bytes, then with the
shared samples.
"""

from __future__ import annotations

import datetime as dt
import re

import pytest

from charges.models import Charge, Exam, Report, Unsolicited
from charges.services import (
    exam_accept,
    order_change_document,
    unsolicited_dismiss,
    unsolicited_link,
)
from intake.models import Coverage, OrderedExam, Patient
from rcm.accounts.models import Site
from rcm.exchange import outbox
from rcm.exchange.models import Interchange, Outbox
from rcm.exchange.outbox import Subscription
from rcm.exchange.services import deliver_due, process, replay, store_inbound
from rcm.ledger.models import LedgerEntry
from rcm.worklist.models import WorkItem
from tests.charges.house import DONE, codes_of, fresh, holds_of

HEAD = "MSH|^~\\&|RIS|CANA|RCM|CANA|{at}||{kind}|{control}|P|2.5.1\rPID|1||{mrn}^^^CANA^MR||CANARY^CORA||19620314|F\rPV1|1|O|MR1^^^CANA-NORTH\r"
ORU = (
    HEAD + "ORC|RE|P{mrn}^EMR|F{mrn}1^RIS||CM\r"
    "OBR|1|P{mrn}^EMR|F{mrn}1^RIS|{code}^MR^C4|||20260908094500|||||||||||{accession}||||{at}||MR|{status}|||||||1801889012&READER&IVAN&&&MD\r{obx}"
)
FINAL = (
    "OBX|1|TX|IND^Clinical indication^L||Headache with new right arm weakness.||||||F\r"
    "OBX|2|TX|TECH^Technique^L||Multiplanar sequences before and after 8 mL gadobutrol IV.||||||F\r"
    "OBX|3|TX|COMP^Comparison^L||None.||||||F\r"
    "OBX|4|TX|FIND^Findings^L||No acute infarct. No enhancing mass.||||||F\r"
    "OBX|5|TX|IMP^Impression^L||No acute intracranial abnormality.||||||F\r"
    "OBX|6|TX|SIG^Signature^L||Electronically signed by Ivan Reader MD 2026-09-08 14:29||||||F\r"
)
ADDENDUM = (
    "OBX|1|TX|ADD^Addendum^L||CORRECTION: contrast was not given; examination was without"
    " contrast.||||||C\rOBX|2|TX|SIG^Signature^L||Electronically signed by Ivan Reader MD"
    " 2026-09-10 08:58||||||C\r"
)


def oru(
    status="F",
    code="70553",
    obx=FINAL,
    *,
    mrn="M1",
    accession="AM11",
    at="20260908143000",
    control="C1",
) -> bytes:
    return ORU.format(
        kind="ORU^R01^ORU_R01",
        status=status,
        code=code,
        obx=obx,
        mrn=mrn,
        accession=accession,
        at=at,
        control=control,
    ).encode()


def receive(house, content: bytes, at: dt.datetime) -> Interchange:
    """Store and process bytes, then let the batch workers evaluate."""
    kind = re.search(rb"\|([A-Z]{3})\^", content)[1].decode()
    row, _ = store_inbound(
        organization_id=house.cast.a.pk, kind=kind, content=content, at=at, actor=house.actor
    )
    process([row.pk], actor=house.actor, at=at)
    deliver_due(house.cast.a.pk, at=at)
    row.refresh_from_db()
    assert row.status in ("processed", "failed", "quarantined"), (row.status, row.error)
    return row


@pytest.fixture
def ordered(house):
    patient = house.patient()
    (exam,) = house.order(patient, "70553")
    house.authorize(patient, exam)
    return exam


def test_preliminary_waits_final_releases_correction_takes_the_contrast_back(
    house, ordered, monkeypatch
):
    receive(
        house,
        oru(
            "P",
            obx="OBX|1|TX|GDT^Report^L||PRELIMINARY - not for billing||||||P\r",
            at="20260908104000",
        ),
        DONE,
    )
    exam = Exam.objects.get(accession="AM11")
    assert (exam.status, holds_of(exam)) == ("preliminary", ["NO_FINAL_REPORT"])

    read = DONE + dt.timedelta(hours=5)
    receive(house, oru(control="C2"), read)
    exam = fresh(exam.pk)
    assert codes_of(exam) == [("70553", (), 1, "released"), ("A9585", (), 80, "released")]
    assert exam.reader == house.reader
    assert exam.reports.get(version=2).signed_at == dt.datetime(2026, 9, 8, 19, 29, tzinfo=dt.UTC)

    told: list = []
    heard = Subscription(
        "charges.changed", "test.changed", lambda events, *, actor, at: told.extend(events), "batch"
    )
    monkeypatch.setitem(outbox._SUBSCRIPTIONS, heard.name, heard)
    corrected = DONE + dt.timedelta(days=2)
    receive(house, oru("C", "70551", ADDENDUM, at="20260910090000", control="C3"), corrected)
    exam = fresh(exam.pk)
    assert (exam.status, holds_of(exam)) == (
        "released",
        ["LESS_THAN_ORDERED"],
    )  # less than ordered: somebody must say why
    assert (
        WorkItem.objects.get(subject_type="exam", subject_id=exam.pk, status="open").queue
        == "late_charges"
    )
    coder = house.cast.actor("cody")
    exam_accept(exam=exam, actor=coder, version=exam.version, at=corrected)
    deliver_due(house.cast.a.pk, at=corrected)
    exam = fresh(exam.pk)
    assert not WorkItem.objects.filter(
        subject_type="exam", subject_id=exam.pk, status="open"
    ).exists()
    assert codes_of(exam) == [("70551", (), 1, "released")]
    assert sorted(exam.charges.filter(status="void").values_list("code", flat=True)) == [
        "70553",
        "A9585",
    ]
    assert told[0].payload["reason"] == "corrected_report"
    assert (len(told[0].payload["old"]), len(told[0].payload["new"])) == (2, 1)
    open_ar = sum(e.amount for e in LedgerEntry.objects.filter(account="ar_insurance"))
    assert open_ar == exam.charges.exclude(status="void").get().amount
    last = exam.reports.order_by("-version").first()
    assert last.sections["technique"].startswith(
        "Multiplanar"
    )  # an addendum does not lose the text it amends
    assert Report.objects.filter(exam=exam).count() == 3


def test_the_same_message_again_and_a_replay_change_nothing(house, ordered):
    read = DONE + dt.timedelta(hours=5)
    row = receive(house, oru(), read)
    before = (Report.objects.count(), Charge.objects.count(), LedgerEntry.objects.count())
    receive(house, oru(), read)
    replay(row, actor=house.actor, at=read)
    process([row.pk], actor=house.actor, at=read)
    deliver_due(house.cast.a.pk, at=read)
    assert (Report.objects.count(), Charge.objects.count(), LedgerEntry.objects.count()) == before


def test_a_preliminary_that_comes_after_the_final_is_not_taken(house, ordered):
    receive(house, oru(), DONE + dt.timedelta(hours=5))
    receive(
        house,
        oru("P", obx="OBX|1|TX|GDT^Report^L||Draft||||||P\r", at="20260908104000", control="C9"),
        DONE + dt.timedelta(hours=6),
    )
    exam = Exam.objects.get()
    assert (exam.status, exam.reports.count()) == ("released", 1)


def test_a_result_without_an_order_waits_for_a_person_and_never_charges(house):
    house.patient()
    receive(house, oru(), DONE)
    row = Unsolicited.objects.get()
    assert (row.status, row.accession, row.patient.mrn) == ("waiting", "AM11", "M1")
    assert WorkItem.objects.get(subject_type="unsolicited").queue == "unsolicited_results"
    assert not Exam.objects.exists()


def test_an_order_that_comes_later_takes_its_result(house):
    patient = house.patient()
    receive(house, oru(), DONE)
    (exam,) = house.order(patient, "70553")
    house.authorize(patient, exam)
    deliver_due(house.cast.a.pk, at=DONE + dt.timedelta(hours=1))
    deliver_due(house.cast.a.pk, at=DONE + dt.timedelta(hours=1))
    assert Unsolicited.objects.get().status == "linked"
    assert Exam.objects.get().status == "released"
    assert not WorkItem.objects.filter(subject_type="unsolicited", status="open").exists()


def test_a_person_links_a_result_to_its_order(house):
    patient = house.patient()
    (exam,) = house.order(patient, "70553", accession="OTHER", placer="PX")
    OrderedExam.objects.filter(pk=exam.pk).update(filler_number="FX")
    receive(house, oru(), DONE)
    row = unsolicited_link(
        unsolicited=Unsolicited.objects.get(), ordered_exam=exam, actor=house.actor, at=DONE
    )
    assert row.status == "linked"
    assert Exam.objects.get().ordered_exam == exam


def test_a_result_that_names_another_patient_than_its_accession_is_nobodys(house, ordered):
    house.patient("M2")
    receive(house, oru(mrn="M2"), DONE)
    row = Unsolicited.objects.get()
    assert "another patient" in row.why
    unsolicited_dismiss(
        unsolicited=row, reason="Sent for the wrong chart", actor=house.actor, at=DONE
    )
    assert not Exam.objects.exists()


def test_a_message_that_cannot_be_read_is_kept_and_fails(house):
    row = receive(house, oru(status="7"), DONE)
    assert (row.status, row.error) == ("failed", "OBR-25 does not say what kind of result this is.")


def test_nothing_about_patients_is_in_an_event(house, ordered):
    receive(house, oru(), DONE + dt.timedelta(hours=5))
    assert "Canary" not in str(list(Outbox.objects.values_list("payload", flat=True)))


def test_the_shared_samples_tell_j7(house, shared):
    """Samples 01 to 08: order 70551 for a Medicare patient, 70553 performed, later corrected to
    70551.
    """
    Site.objects.create(
        organization=house.cast.a,
        code="IMGCTR01-MAIN",
        name="Main",
        npi="1993999998",
        address="1 Main",
        city="Springfield",
        state="IL",
        zip="627010001",
    )
    site = Site.objects.get(code="IMGCTR01-MAIN")
    type(house.arrangement).objects.create(
        organization=house.cast.a,
        site=site,
        reader_relation="employee",
        effective_from=dt.date(2026, 1, 1),
    )
    house.group.zip = "627010001"
    house.group.save(update_fields=["zip"])
    made = shared / "samples" / "made"
    for name in ("01_adt_a04", "02_orm_o01_new", "03_omi_o23_new", "04_siu_s12"):
        receive(house, (made / f"{name}.hl7").read_bytes(), DONE - dt.timedelta(days=4))
    patient = Patient.objects.get(mrn="MRN100234")
    Coverage.objects.filter(patient=patient).update(status="active", verified_at=DONE)
    receive(house, (made / "05_oru_r01_prelim.hl7").read_bytes(), DONE)
    exam = Exam.objects.get(accession="ACC2609080117")
    assert holds_of(exam) == ["NO_FINAL_REPORT", "ORDER_CHANGE"]
    receive(house, (made / "08_dft_p03.hl7").read_bytes(), DONE + dt.timedelta(hours=5))
    receive(house, (made / "06_oru_r01_final.hl7").read_bytes(), DONE + dt.timedelta(hours=5))
    exam = fresh(exam.pk)
    assert holds_of(exam) == [
        "ORDER_CHANGE"
    ]  # performed is more than ordered: the order must follow
    assert codes_of(exam) == [("70553", (), 1, "held"), ("A9585", (), 80, "held")]
    order_change_document(
        exam=exam,
        evidence={},
        new_order=True,
        reason="New order received by phone",
        actor=house.actor,
        at=DONE + dt.timedelta(hours=6),
    )
    exam = fresh(exam.pk)
    assert codes_of(exam) == [("70553", (), 1, "released"), ("A9585", (), 80, "released")]
    assert exam.diagnoses == ["R519", "R531"]
    receive(house, (made / "07_oru_r01_corrected.hl7").read_bytes(), DONE + dt.timedelta(days=2))
    exam = fresh(exam.pk)
    assert codes_of(exam) == [("70551", (), 1, "released")]
