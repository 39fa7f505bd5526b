"""What the modality says: N-CREATE begins an exam, N-SET ends it, contrast and supplies included
(rule `exam-match-order`).
"""

from __future__ import annotations

import datetime as dt

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from charges.models import Exam, Unsolicited
from rcm.exchange.dicom import from_dataset
from rcm.exchange.services import deliver_due, process, store_inbound
from tests.charges.house import DONE, fresh, holds_of

UID = "1.2.826.0.1.3680043.8.498.90001"


def code(value: str, scheme: str = "C4", meaning: str = "") -> Dataset:
    found = Dataset()
    found.CodeValue, found.CodingSchemeDesignator, found.CodeMeaning = (
        value,
        scheme,
        meaning or value,
    )
    return found


def step(
    *,
    accession: str = "",
    mrn: str = "M1",
    status: str = "COMPLETED",
    contrast: tuple[bool, ...] = (),
    supply: str = "",
    **more,
) -> Dataset:
    ds = Dataset()
    ds.PerformedProcedureStepStatus = status
    if accession:
        planned = Dataset()
        planned.AccessionNumber, planned.StudyInstanceUID = accession, "1.2.3.4"
        ds.ScheduledStepAttributesSequence = Sequence([planned])
        ds.PatientID = mrn
        ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = (
            "20260908",
            "094500",
        )
        ds.Modality, ds.PerformedStationAETitle = "MR", "MR1STATION"
        ds.ProcedureCodeSequence = Sequence([code("70551")])
    series = []
    for given in contrast:
        one = Dataset()
        one.SeriesInstanceUID = f"1.2.3.{len(series)}"
        if given:
            one.ContrastBolusAgent = "gadobutrol"
        series.append(one)
    if series:
        ds.PerformedSeriesSequence = Sequence(series)
    if supply:
        item, amount = Dataset(), Dataset()
        item.BillingItemSequence = Sequence([code(supply, "HCPCS")])
        amount.Quantity = "80"
        item.QuantitySequence = Sequence([amount])
        ds.BillingSuppliesAndDevicesSequence = Sequence([item])
    for name, value in more.items():
        setattr(ds, name, value)
    return ds


def receive(
    house, ds: Dataset, operation: str = "N-CREATE", *, uid: str = UID, at: dt.datetime = DONE
):
    content = from_dataset(ds, operation=operation, sop_instance_uid=uid, calling_ae="MR1STATION")
    row, _ = store_inbound(
        organization_id=house.cast.a.pk,
        kind="MPPS",
        content=content,
        control_number=uid,
        at=at,
        actor=house.actor,
    )
    process([row.pk], actor=house.actor, at=at)
    deliver_due(house.cast.a.pk, at=at)
    row.refresh_from_db()
    return row


@pytest.fixture
def ordered(house):
    patient = house.patient()
    (exam,) = house.order(patient, "70551")
    house.authorize(patient, exam)
    return exam


def test_a_step_that_begins_and_ends_is_one_exam_with_its_contrast(house, ordered):
    receive(house, step(accession="AM11", status="IN PROGRESS"))
    exam = Exam.objects.get()
    assert (exam.status, exam.accession, exam.station) == ("in_progress", "AM11", "MR1STATION")
    assert exam.performed_at == DONE  # the modality's wall clock is Chicago's
    receive(house, step(contrast=(False, True), supply="A9585"), "N-SET")
    exam = fresh(exam.pk)
    assert exam.status == "performed"
    assert exam.code == "70553"
    assert exam.performed["contrast"] == {
        "route": "iv",
        "agent": "gadobutrol",
        "pre": True,
        "post": True,
    }
    assert [c.code for c in exam.charges.order_by("id")] == ["70553", "A9585"]
    assert "NO_FINAL_REPORT" in holds_of(exam)


def test_no_word_on_contrast_is_not_no_contrast(house, ordered):
    receive(house, step(accession="AM11", contrast=(False, False)))
    assert "contrast" not in Exam.objects.get().performed["by"]["mpps"]


def test_an_end_without_a_beginning_is_kept_and_fails(house, ordered):
    row = receive(house, step(), "N-SET", uid="1.2.9.9")
    assert (row.status, "beginning" in row.error) == ("failed", True)
    assert not Exam.objects.exists()


def test_a_step_of_an_unknown_accession_waits_for_a_person(house, ordered):
    receive(house, step(accession="NOBODY"))
    assert Unsolicited.objects.get().accession == "NOBODY"


def test_a_discontinued_step_is_reviewed_never_billed_by_itself(house, ordered):
    receive(house, step(accession="AM11", status="IN PROGRESS"))
    reason = Sequence([code("110501", "DCM", "Equipment failure")])
    receive(
        house,
        step(status="DISCONTINUED", PerformedProcedureStepDiscontinuationReasonCodeSequence=reason),
        "N-SET",
    )
    exam = Exam.objects.get()
    assert exam.status == "discontinued"
    assert "DISCONTINUED_REVIEW" in holds_of(exam)
    assert exam.suggestion["modifiers"] == ["52"]
