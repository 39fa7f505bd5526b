"""The DICOM listener with a real modality client and raw sockets, as its own process."""

from __future__ import annotations

import contextlib
import random
import socket
import struct

import psutil
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import ModalityPerformedProcedureStep, Verification

from rcm.accounts.scope import scope
from rcm.exchange import dicom, services
from rcm.exchange.models import Connection, Interchange
from rcm.exchange.problems import ParseProblem

pytestmark = [pytest.mark.processes, pytest.mark.filterwarnings("ignore::UserWarning:pydicom")]


def code(value: str, scheme: str = "L", meaning: str = "") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning or value
    return item


def begun(accession: str = "ACC1", patient: str = "CANA-1") -> Dataset:
    step = Dataset()
    step.AccessionNumber, step.StudyInstanceUID = accession, "1.2.3"
    ds = Dataset()
    ds.ScheduledStepAttributesSequence = [step]
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = (
        "SAMPLE^DOROTHY",
        patient,
        "19520314",
        "F",
    )
    ds.PerformedProcedureStepID, ds.PerformedStationAETitle, ds.Modality = "PPS1", "MR1AE", "MR"
    ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = "20260908", "094500"
    ds.PerformedProcedureStepStatus = "IN PROGRESS"
    ds.PerformedSeriesSequence = []
    return ds


def ended(status: str = "COMPLETED") -> Dataset:
    series = Dataset()
    series.ProtocolName, series.SeriesInstanceUID, series.ContrastBolusAgent = (
        "T1 POST",
        "1.2.3.4",
        "gadobutrol",
    )
    series.ReferencedImageSequence = [Dataset(), Dataset()]
    ds = Dataset()
    ds.PerformedProcedureStepStatus = status
    ds.PerformedProcedureStepEndDate, ds.PerformedProcedureStepEndTime = "20260908", "101500"
    ds.PerformedProtocolCodeSequence = [code("MRBRAINWWO", "L", "MR brain without and with")]
    ds.PerformedSeriesSequence = [series]
    return ds


@pytest.fixture
def modality(cast_committed):
    with scope(cast_committed.system):
        Connection.objects.create(
            organization_id=cast_committed.a.pk, kind="dicom", name="MR 1", sender="MR1AE"
        )

    def associate(port: int, title: str = "MR1AE"):
        entity = AE(ae_title=title)
        entity.add_requested_context(ModalityPerformedProcedureStep)
        entity.add_requested_context(Verification)
        entity.acse_timeout = entity.dimse_timeout = 20
        return entity.associate("127.0.0.1", port, ae_title="ISOCENTER")

    return associate


@pytest.fixture
def rows(cast_committed):
    def found() -> list[Interchange]:
        with scope(cast_committed.system):
            return list(Interchange.objects.order_by("id"))

    return found


def create(association, uid: str, ds: Dataset) -> int:
    return association.send_n_create(ds, ModalityPerformedProcedureStep, uid)[0].Status


def change(association, uid: str, ds: Dataset) -> int:
    return association.send_n_set(ds, ModalityPerformedProcedureStep, uid)[0].Status


def test_a_study_begun_and_completed_is_two_messages_in_order(modality, rows, listener):
    uid = generate_uid()
    with listener("listen_dicom") as (_, port):
        association = modality(port)
        assert association.is_established
        assert association.send_c_echo().Status == 0
        assert create(association, uid, begun()) == 0
        assert change(association, uid, ended()) == 0
        association.release()
    first, second = rows()
    assert (first.kind, first.file_name, first.control_number, first.ordering_key) == (
        "MPPS",
        "N-CREATE",
        uid,
        "MRN:CANA-1",
    )
    assert (second.file_name, second.ordering_key, second.status) == (
        "N-SET",
        "MRN:CANA-1",
        "stored",
    )
    facts = dicom.read(first.content)
    assert (facts.operation, facts.accession, facts.modality, facts.status, facts.calling_ae) == (
        "N-CREATE",
        "ACC1",
        "MR",
        "IN PROGRESS",
        "MR1AE",
    )
    done = dicom.read(second.content)
    assert done.ended
    assert done.images == 2
    assert done.contrast_agents == ("gadobutrol",)
    assert done.protocols == (dicom.Code("MRBRAINWWO", "L", "MR brain without and with"),)
    assert done.sop_instance_uid == uid
    assert done.accession == ""


def test_repeats_and_impossible_orders_are_answered_as_the_standard_says(modality, rows, listener):
    uid = generate_uid()
    with listener("listen_dicom") as (_, port):
        association = modality(port)
        assert change(association, uid, ended()) == 0x0112  # never begun: kept for a person
        assert create(association, uid, begun()) == 0
        assert create(association, uid, begun()) == 0  # the same bytes again
        assert create(association, uid, begun(accession="ACC2")) == 0x0111
        assert (
            create(association, uid, begun(accession="ACC2")) == 0x0111
        )  # a repeat hears the same
        assert (
            change(association, uid, ended()) == 0
        )  # what came too early comes again, and now it fits
        other = ended()
        other.CommentsOnThePerformedProcedureStep = "after the end"
        assert change(association, uid, other) == 0x0110
        assert change(association, uid, other) == 0x0110
        association.release()
    assert sorted(r.status for r in rows()) == ["quarantined"] * 2 + ["stored"] * 2


def test_an_unknown_caller_is_turned_away(modality, rows, listener):
    with listener("listen_dicom") as (_, port):
        assert modality(port, "STRANGER").is_rejected
        assert modality(port).is_established
    assert rows() == []


def test_a_pdu_of_four_gigabytes_is_cut_off_at_its_header(modality, rows, listener):
    with listener("listen_dicom") as (process, port):
        before = psutil.Process(process.pid).memory_info().rss
        raw = socket.create_connection(("127.0.0.1", port), timeout=20)
        raw.sendall(b"\x01\x00" + struct.pack(">I", 0xFFFFFFFF))
        sent = 0
        try:
            for _ in range(64):
                raw.sendall(b"x" * 1_000_000)
                sent += 1_000_000
        except OSError:
            pass
        assert sent < 64_000_000
        # the same inside an association that began well
        association = modality(port)
        association.dul.socket.socket.sendall(
            b"\x04\x00" + struct.pack(">I", 0x7FFFFFFF) + b"x" * 500_000
        )
        assert psutil.Process(process.pid).memory_info().rss - before < 50_000_000
        assert modality(port).send_c_echo().Status == 0


def test_two_hundred_idle_connections_leave_room_for_a_modality(modality, rows, listener):
    with listener("listen_dicom") as (process, port):
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
        for one in idle[:100]:
            one.sendall(b"\x01\x00\x00\x00\x01\x00half")
        association = modality(port)
        assert create(association, generate_uid(), begun()) == 0
        assert psutil.Process(process.pid).memory_info().rss < 300 * 1024 * 1024
        for one in idle:
            one.close()
    assert len(rows()) == 1


def test_answered_with_success_means_stored_although_the_listener_is_killed_at_once(
    modality, rows, listener
):
    with listener("listen_dicom") as (process, port):
        association = modality(port)
        assert create(association, generate_uid(), begun()) == 0
        process.kill()
        process.wait()
    assert len(rows()) == 1


def test_a_thousand_mutated_datasets_are_read_or_refused_in_words():
    whole = dicom.from_dataset(
        begun(), operation="N-CREATE", sop_instance_uid="1.2.3.4", calling_ae="MR1AE"
    )
    dice = random.Random(7)
    for _ in range(1000):
        content = bytearray(whole)
        for _ in range(dice.randint(1, 10)):
            content[dice.randrange(132, len(content))] = dice.randrange(256)
        with contextlib.suppress(ParseProblem):
            dicom.read(bytes(content))


def test_a_quarantined_step_can_be_replayed_once_its_beginning_has_come(cast, processors):
    done: list[str] = []

    def handler(row, *, actor, at):
        done.append(dicom.read(row.content).operation)
        return {}

    services.register_processor("MPPS", handler)
    content = dicom.from_dataset(
        ended(), operation="N-SET", sop_instance_uid="1.2.3", calling_ae="MR1AE"
    )
    with scope(cast.system):
        row, _ = services.store_inbound(
            organization_id=cast.a.pk, kind="MPPS", content=content, actor=cast.system
        )
        services.mark(row, status="quarantined", error="never begun", actor=cast.system)
    with scope(cast.actor("mia")):
        services.replay(Interchange.objects.get(pk=row.pk), actor=cast.actor("mia"))
    services.drain([cast.a.pk])
    assert done == ["N-SET"]
