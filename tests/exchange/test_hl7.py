"""HL7 v2 as it really comes: any line end, any separators, any character set, and never an
exception of the reader's own.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcm.exchange import hl7
from rcm.exchange.problems import ParseProblem
from tests.exchange.conftest import adt

CHICAGO = ZoneInfo("America/Chicago")
NOW = datetime(2026, 9, 8, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_segments_may_end_with_any_line_end(end):
    message = hl7.parse(adt(7).replace(b"\r", end))
    assert message.value("PID-3.1") == "CANA-1"
    assert message.value("PID-5.2") == "DOROTHY"
    assert [s.tag for s in message.segments] == ["MSH", "EVN", "PID"]


def test_the_header_says_who_sends_what_to_whom():
    header = hl7.header(adt(7))
    assert (header.kind, header.event, header.sender, header.sender_facility) == (
        "ADT",
        "A04",
        "REG",
        "CANA-NORTH",
    )
    assert (header.control_number, header.ordering_key) == ("REG:M7", "MRN:CANA-1")


def test_other_separators_are_the_message_s_own():
    odd = b"MSH#@+$%#REG#A#RCM#CANA#20260904##ADT@A04#1#P#2.5.1\rPID#1##77@@@CANA@MR##DOE@J\x24F\x24##\r"
    message = hl7.parse(odd)
    assert message.value("PID-3.1") == "77"
    assert message.header.event == "A04"
    assert message.value("PID-5.2") == "J#"
    assert hl7.ack(message.header, "AA", at=NOW).startswith(b"MSH#@+$%#RCM#CANA#REG#A#")


@pytest.mark.parametrize(
    ("named", "codec"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("8859/1", "latin-1"),
        ("8859/2", "iso-8859-2"),
        ("", "utf-8"),
        ("", "latin-1"),
        ("ASCII", "latin-1"),
    ],
)
def test_msh_18_decides_the_character_set(named, codec):
    text = "MSH|^~\\&|R|A|B|CANA|1||ADT^A04|1|P|2.5.1||||||" + named + "\rPID|1||1||MÜLLER^JÖRG\r"
    assert hl7.parse(text.encode(codec)).value("PID-5") == "MÜLLER"


def test_an_unknown_character_set_is_a_sentence():
    with pytest.raises(ParseProblem, match="MSH-18"):
        hl7.parse(b"MSH|^~\\&|R|A|B|C|1||ADT^A04|1|P|2.5.1||||||KLINGON\r")


def test_composite_fields_become_plain_values():
    pid = (
        "PID|1||99^^^X^PI~MRN1^^^X^MR||DOE^JO^Q^JR||19520314|F|||1 ST^APT"
        " 2^TOWN^IL^62701-1234||^PRN^PH^^1^312^5550142"
    )
    obr = (
        "OBR|1|P1|F1|70551^MR^C4||||||||||||XX^A~1932102084^REFERRER^ANN^^^MD^^^NPI||ACC1"
        + "|" * 14
        + "1801889012&READER&IVAN"
    )
    message = hl7.parse(
        f"MSH|^~\\&|R|A|B|C|1||ORU^R01|1|P|2.5.1\r{pid}\r{obr}\rOBX|1|TX|A||line\\.br\\two \\T\\"
        " \\X41\\~three\r".encode()
    )
    person = message.need("PID")
    assert hl7.identifier(person, 3) == "MRN1"
    assert hl7.name(person, 5) == hl7.Name("DOE", "JO", "Q", "JR")
    assert hl7.address(person, 11) == hl7.Address("1 ST", "APT 2", "TOWN", "IL", "627011234")
    assert hl7.phone(person, 13) == "3125550142"
    assert hl7.day(person.value(7)) == date(1952, 3, 14)
    order = message.need("OBR")
    assert hl7.provider(order, 16).npi == "1932102084"
    assert hl7.provider(order, 32).last == "READER"
    assert message.need("OBX").text_of(5) == "line\ntwo & A\nthree"
    assert message.header.accession == "ACC1"


def test_times_without_offset_are_the_site_s_and_others_their_own():
    assert hl7.timestamp("20260908094500", CHICAGO) == datetime(2026, 9, 8, 9, 45, tzinfo=CHICAGO)
    assert hl7.timestamp("20260908094500+0000", CHICAGO) == datetime(2026, 9, 8, 9, 45, tzinfo=UTC)
    assert hl7.timestamp("", CHICAGO) is None
    with pytest.raises(ParseProblem, match="OBR-7"):
        hl7.timestamp("yesterday", CHICAGO, field="OBR-7")


def test_the_explicit_null_differs_from_an_absent_value():
    segment = hl7.parse(adt(1, DOROTHY='""')).need("PID")
    assert segment.value(5, 2) == ""
    assert not segment.is_null(5)
    assert hl7.Segment('PID|1||""', hl7.Marks()).is_null(3)


def test_groups_begin_at_each_order():
    message = hl7.parse(adt(1) + b"ORC|NW|1\rOBR|1\rORC|NW|2\rOBR|2\rDG1|1\r")
    assert [[s.tag for s in g] for g in message.groups("ORC")] == [
        ["ORC", "OBR"],
        ["ORC", "OBR", "DG1"],
    ]


def test_the_acknowledgement_echoes_the_control_number_and_carries_no_control_characters():
    header = hl7.header(adt("1\\F\\\\X0D\\2"))
    answer = hl7.parse(hl7.ack(header, "AE", "bad|field\rX", error="207", at=NOW))
    assert answer.value("MSA-1") == "AE"
    assert answer.value("MSA-2") == "M1|2"
    assert len(answer.segments) == 3


def test_a_twenty_megabyte_document_is_read_without_being_taken_apart():
    message = hl7.parse(adt(1) + b"OBX|1|ED|PDF||^AP^^Base64^" + b"QUJD" * 5_000_000 + b"\r")
    assert len(message.need("OBX").value(5, 5)) == 20_000_000


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_bytes_of_any_kind_are_read_or_refused_in_words(noise):
    for content in (noise, b"MSH" + noise, b"MSH|^~\\&|" + noise):
        try:
            message = hl7.parse(content)
            hl7.header(content)
        except ParseProblem:
            continue
        for segment in message.segments:
            (
                segment.value(3, 2, 2),
                segment.repeats(5),
                segment.text_of(5),
                hl7.provider(segment, 2),
                hl7.phone(segment, 4),
            )
        hl7.ack(message.header, "AA", at=NOW)


def test_two_thousand_mutations_of_a_real_message_are_read_or_refused_in_words():
    dice = random.Random(20260908)
    for _ in range(2000):
        content = bytearray(adt(1) + b"OBR|1|P|F|70551^MR||||||||||||1932102084^A^B~C^D||ACC|\r")
        for _ in range(dice.randint(1, 8)):
            content[dice.randrange(len(content))] = dice.choice(b"|^~\\&\r\n\x0b\x1cA\xff\x00")
        try:
            message = hl7.parse(bytes(content))
        except ParseProblem:
            continue
        hl7.ack(message.header, "AA", at=NOW)
