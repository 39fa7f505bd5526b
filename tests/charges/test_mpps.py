"""What the modality says: N-CREATE begins an exam, N-SET ends it, contrast and supplies included
(rule `exam-match-order`).
"""

from __future__ import annotations

import datetime as dt

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from charges.models import Exam, Unsolicited
from charges.present import accept_words
from charges.present import told as told_by
from charges.services import exam_accept, unsolicited_link
from intake.models import Order
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
    ended = step(
        status="DISCONTINUED",
        contrast=(False,),
        PerformedProcedureStepDiscontinuationReasonCodeSequence=reason,
    )
    ended.PerformedSeriesSequence[0].ReferencedImageSequence = Sequence([Dataset(), Dataset()])
    receive(house, ended, "N-SET")
    exam = Exam.objects.get()
    assert exam.status == "discontinued"
    assert "DISCONTINUED_REVIEW" in holds_of(exam)
    assert exam.suggestion["modifiers"] == ["52"]


def test_a_step_stopped_before_any_image_is_proposed_not_to_be_billed(house, ordered):
    receive(house, step(accession="AM11", status="IN PROGRESS"))
    receive(house, step(status="DISCONTINUED", PerformedSeriesSequence=Sequence([])), "N-SET")
    exam = Exam.objects.get()
    assert exam.status == "discontinued"
    assert exam.suggestion["no_bill"] == ("The exam was discontinued before any image was made.")
    assert (exam.suggestion["code"], exam.suggestion["modifiers"]) == ("", [])
    assert "DISCONTINUED_REVIEW" in holds_of(exam)
    assert accept_words(exam) == "no bill"
    exam_accept(exam=exam, actor=house.actor, at=DONE)
    exam = fresh(exam.pk)
    assert (exam.status, exam.no_bill_reason) == ("no_bill", exam.suggestion["no_bill"])


def item(name: str, value: str, *, unit: str = "", coded: bool = False) -> Dataset:
    """A content item of a protocol's context."""
    found = Dataset()
    found.ConceptNameCodeSequence = Sequence([code("X1", "99VENDOR", name)])
    if unit:
        found.NumericValue = value
        found.MeasurementUnitsCodeSequence = Sequence([code(unit, "UCUM")])
    elif coded:
        found.ConceptCodeSequence = Sequence([code("X2", "99VENDOR", value)])
    else:
        found.TextValue = value
    return found


def with_context(*items: Dataset, in_series: bool = False) -> Dataset:
    ds = step(accession="AM11", contrast=(False,))
    protocol = code("P1", "99VENDOR", "Brain")
    protocol.ProtocolContextSequence = Sequence(items)
    holder = ds.PerformedSeriesSequence[0] if in_series else ds
    holder.PerformedProtocolCodeSequence = Sequence([protocol])
    return ds


def at_study(**more) -> Dataset:
    return step(accession="AM11", contrast=(False,), **more)


def coded_at_study() -> Dataset:
    return at_study(ContrastBolusAgentSequence=Sequence([code("C1", "SRT", "gadobutrol")]))


def supplied(value: str) -> Dataset:
    return step(accession="AM11", supply=value)


@pytest.mark.parametrize(
    ("told", "agent"),
    [
        (at_study(ContrastBolusAgent="gadobutrol"), "gadobutrol"),
        (coded_at_study(), "gadobutrol"),
        (with_context(item("Contrast agent", "gadobutrol")), "gadobutrol"),
        (with_context(item("Contrast agent", "gadobutrol", coded=True)), "gadobutrol"),
        (with_context(item("Contrast administered", "YES"), in_series=True), ""),
        (with_context(item("Contrast volume", "8", unit="mL")), ""),
        (supplied("A9585"), ""),
    ],
)
def test_contrast_is_read_wherever_a_modality_puts_it(house, ordered, told, agent):
    receive(house, told)
    given = Exam.objects.get().performed["by"]["mpps"]["contrast"]
    assert (given["route"], given["post"], given.get("agent", "")) == ("iv", True, agent)


@pytest.mark.parametrize(
    ("told", "route"),
    [
        (at_study(ContrastBolusAgent="NONE"), "none"),
        (with_context(item("Contrast administered", "No")), "none"),
        (with_context(item("Contrast volume", "0", unit="mL")), "none"),
        (at_study(ContrastBolusAgent="barium sulfate", ContrastBolusRoute="ORAL"), "oral"),
    ],
)
def test_words_that_say_none_or_oral_are_no_contrast_of_the_code(house, ordered, told, route):
    receive(house, told)
    assert Exam.objects.get().performed["by"]["mpps"]["contrast"]["route"] == route


def test_what_was_only_scheduled_is_no_contrast(house, ordered):
    ds = step(accession="AM11", contrast=(False,))
    ds.ScheduledStepAttributesSequence[0].ContrastBolusAgent = "gadobutrol"
    receive(house, ds)
    assert "contrast" not in Exam.objects.get().performed["by"]["mpps"]


def exposure(**more) -> Dataset:
    found = Dataset()
    for name, value in more.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("more", "dose"),
    [
        (
            {
                "ExposureDoseSequence": Sequence(
                    [
                        exposure(CTDIvol=12.4, CommentsOnRadiationDose="DLP=300.5"),
                        exposure(CTDIvol=31.25, CommentsOnRadiationDose="DLP=99.5"),
                    ]
                )
            },
            {"ctdi_vol": "31.25", "dlp": "400"},
        ),
        ({"CommentsOnRadiationDose": "Total DLP: 452.3 mGy.cm"}, {"dlp": "452.3"}),
        ({"ImageAndFluoroscopyAreaDoseProduct": "1.75"}, {"area": "1.75"}),
    ],
)
def test_the_dose_is_kept_and_shown(house, ordered, more, dose):
    receive(house, step(accession="AM11", **more))
    exam = Exam.objects.get()
    assert exam.performed["dose"] == dose
    words = told_by(exam)[0]["words"]
    assert all(value in words for value in dose.values())


def walk_in(mrn: str = "M1", day: str = "20260908", exam: str = "70551", **more) -> Dataset:
    ds = step(accession="GONE", mrn=mrn, **more)
    ds.ScheduledStepAttributesSequence = Sequence([])
    ds.PerformedProcedureStepStartDate = day
    ds.ProcedureCodeSequence = Sequence([code(exam)])
    return ds


def test_a_walk_in_without_accession_waits_for_a_person_who_links_the_whole_step(house, ordered):
    begun = receive(house, walk_in(status="IN PROGRESS"))
    ended = receive(house, step(contrast=(False, True)), "N-SET")
    assert [begun.status, ended.status] == ["processed", "processed"]
    first, second = Unsolicited.objects.order_by("id")
    assert (first.mrn, first.code, first.status) == ("M1", "70551", "waiting")
    assert not Exam.objects.exists()
    unsolicited_link(unsolicited=first, ordered_exam=ordered, actor=house.actor, at=DONE)
    second.refresh_from_db()
    assert (second.status, Exam.objects.get().status) == ("linked", "performed")


def test_a_step_after_the_link_of_its_beginning_finds_the_exam(house, ordered):
    receive(house, walk_in(status="IN PROGRESS"))
    unsolicited_link(
        unsolicited=Unsolicited.objects.get(), ordered_exam=ordered, actor=house.actor, at=DONE
    )
    receive(house, step(contrast=(False, True)), "N-SET")
    assert (Unsolicited.objects.count(), Exam.objects.get().status) == (1, "performed")


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({}, True),
        ({"mrn": "M2"}, False),
        ({"day": "20260909"}, False),
        ({"exam": "72148"}, False),
    ],
)
def test_without_accession_patient_day_and_code_find_the_exam(house, ordered, told, found):
    Order.objects.filter(pk=ordered.order_id).update(ordered_at=DONE - dt.timedelta(hours=2))
    receive(house, walk_in(**told))
    assert Exam.objects.filter(ordered_exam=ordered).exists() is found
    assert Unsolicited.objects.exists() is not found


def test_two_exams_of_that_day_and_code_are_for_a_person(house, ordered):
    (other,) = house.order(ordered.patient, "70551", accession="AM99", placer="PM99")
    Order.objects.filter(pk__in=[ordered.order_id, other.order_id]).update(ordered_at=DONE)
    receive(house, walk_in())
    assert "several exams" in Unsolicited.objects.get().why
