"""Several HL7 messages in one frame or file: each is stored, answered and worked for itself."""

from __future__ import annotations

import pytest

from rcm.accounts.scope import scope
from rcm.exchange import batch, hl7
from rcm.exchange.detect import detect
from rcm.exchange.models import Interchange
from rcm.exchange.problems import ParseProblem
from rcm.exchange.receive import receive_hl7, unpack
from rcm.exchange.services import drain, register_processor, store_inbound
from tests.exchange.conftest import adt

BHS = b"FHS|^~\\&|REG|CANA-NORTH|RCM|CANA|20260904||||F1\rBHS|^~\\&|REG|CANA-NORTH|RCM|CANA|20260904||||B77\r"


def other(number: int) -> bytes:
    """The same message kind of another patient."""
    return adt(number, **{"CANA-1^": "CANA-2^", "DOROTHY": "BORIS"})


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
@pytest.mark.parametrize("between", [b"", b"\r", b"\n\n", b"\x0b", b" \r\n"])
def test_a_file_is_cut_at_each_msh(end, between):
    content = (adt(1) + between + other(2)).replace(b"\r", end)
    cut = batch.split(content)
    assert [hl7.header(m).control_id for m in cut.messages] == ["M1", "M2"]
    assert [hl7.parse(m).value("PID-3") for m in cut.messages] == ["CANA-1", "CANA-2"]
    assert not cut.problem


def test_each_message_keeps_its_own_separators():
    odd = b"MSH#@+$%#REG#A#RCM#CANA#20260904##ADT@A04#M9#P#2.5.1\rPID#1##77@@@CANA@MR\r"
    cut = batch.split(adt(1) + odd)
    assert [hl7.header(m).control_id for m in cut.messages] == ["M1", "M9"]


def test_the_envelope_of_a_batch_belongs_to_no_message():
    content = BHS + adt(1) + other(2) + b"BTS|2\rFTS|1\r"
    cut = batch.split(content)
    assert [hl7.parse(m).segments[-1].tag for m in cut.messages] == ["PID", "PID"]
    assert (cut.control_id, cut.problem) == ("F1", "")
    assert detect(content).kind == batch.BATCH


@pytest.mark.parametrize("trailer", [b"BTS|3\r", b"BTS|2\rFTS|4\r"])
def test_a_batch_that_lost_a_part_says_so(trailer):
    cut = batch.split(BHS + adt(1) + other(2) + trailer)
    assert "lost on the way" in cut.problem


def test_text_that_only_looks_like_a_header_cuts_nothing():
    report = adt(1) + b"OBX|1|TX|A||see MSH|^~\\&| above\rNTE|1||MSHA was called\r"
    assert not batch.several(report)
    assert len(batch.split(report).messages) == 1


def test_the_reader_of_one_message_refuses_two():
    with pytest.raises(ParseProblem, match="more than one message"):
        hl7.parse(adt(1) + other(2))


def test_a_result_may_repeat_its_patient():
    message = hl7.parse(adt(1) + b"OBR|1||A1\rPID|1||CANA-2^^^CANA^MR||SAMPLE^BORIS\rOBR|1||A2\r")
    parts = message.by_patient()
    assert [p.value("PID-3") for p in parts] == ["CANA-1", "CANA-2"]
    assert [[s.value(3) for s in p.all("OBR")] for p in parts] == [["A1"], ["A2"]]


def test_of_several_numbers_ours_is_taken_or_none():
    def pid(field: str) -> hl7.Segment:
        return hl7.parse(adt(1, **{"CANA-1^^^CANA^MR": field})).need("PID")

    ours = frozenset({"CANA"})
    assert hl7.identifier(pid("9^^^OTHER^MR~7^^^CANA^MR"), 3, owners=ours) == "7"
    assert hl7.identifier(pid("123456789^^^USA^SS~7^^^X^PI"), 3, owners=ours) == "7"
    assert hl7.identifier(pid("7"), 3, owners=ours) == "7"
    with pytest.raises(ParseProblem, match="none is marked as ours"):
        hl7.identifier(pid("9^^^OTHER^MR~7^^^THIRD^MR"), 3, owners=ours)


def test_the_legal_name_stands_before_the_alias():
    pid = hl7.parse(
        adt(1, **{"SAMPLE^DOROTHY^Q": "QUINT^DOT^^^^^A~SAMPLE^DOROTHY^Q^II^^^L~OLD^DOROTHY^^^^^M"})
    ).need("PID")
    assert hl7.name(pid, 5) == hl7.Name("SAMPLE", "DOROTHY", "Q", "II", "L")
    assert [n.last for n in hl7.names(pid, 5)] == ["QUINT", "SAMPLE", "OLD"]


@pytest.mark.django_db(transaction=True)
def test_a_frame_of_two_messages_gets_two_answers_and_two_interchanges(
    cast_committed, known, quiet
):
    answers = batch.split(receive_hl7(adt(1) + other(2))).messages
    told = [hl7.parse(a) for a in answers]
    assert [(t.value("MSA-1"), t.value("MSA-2")) for t in told] == [("AA", "M1"), ("AA", "M2")]
    with scope(cast_committed.system):
        rows = Interchange.objects.order_by("id")
        assert [(r.kind, r.ordering_key) for r in rows] == [
            ("ADT", "MRN:CANA-1"),
            ("ADT", "MRN:CANA-2"),
        ]


@pytest.mark.django_db(transaction=True)
def test_one_bad_message_of_a_frame_is_answered_for_itself(cast_committed, known, quiet):
    bad = other(2).replace(b"ADT^A04^ADT_A01", b"XYZ^A04")
    told = [hl7.parse(a) for a in batch.split(receive_hl7(adt(1) + bad + adt(3))).messages]
    assert [t.value("MSA-1") for t in told] == ["AA", "AR", "AA"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["ADT", "ORM", "OMI", "SIU", "ORU", "DFT"])
def test_a_file_of_two_messages_is_worked_one_by_one(cast_committed, processors, kind):
    seen: list[str] = []

    def work(row, *, actor, at):
        seen.append(hl7.parse(bytes(row.content)).value("PID-3"))
        return {}

    register_processor(kind, work)
    register_processor(batch.BATCH, unpack)
    content = (adt(1) + other(2)).replace(b"ADT^A04", f"{kind}^A04".encode())
    cast = cast_committed
    with scope(cast.system):
        row, fresh = store_inbound(
            organization_id=cast.a.pk, kind=kind, content=content, actor=cast.system
        )
        assert (row.kind, fresh) == (batch.BATCH, True)
    drain([cast.a.pk])
    assert seen == ["CANA-1", "CANA-2"]
    with scope(cast.system):
        row.refresh_from_db()
        assert row.summary == {"messages": 2, "fresh": 2, "repeated": 0, "for_a_person": 0}
        assert [p.control_number for p in row.parts.order_by("id")] == ["REG:M1", "REG:M2"]
        # the same file again, and one of its messages alone, add nothing
        store_inbound(organization_id=cast.a.pk, kind=kind, content=content, actor=cast.system)
    drain([cast.a.pk])
    assert len(seen) == 2


@pytest.mark.django_db(transaction=True)
def test_a_file_that_lost_a_part_works_nothing_and_waits_for_a_person(cast_committed, processors):
    register_processor("ADT", lambda row, *, actor, at: {})
    register_processor(batch.BATCH, unpack)
    cast = cast_committed
    with scope(cast.system):
        row, _ = store_inbound(
            organization_id=cast.a.pk,
            kind=batch.BATCH,
            content=BHS + adt(1) + b"BTS|2\r",
            actor=cast.system,
        )
    drain([cast.a.pk])
    with scope(cast.system):
        row.refresh_from_db()
        assert row.status == "quarantined"
        assert "2 messages, 1 came" in row.error
        assert not row.parts.exists()
