"""What real files do to the envelope, and what the reader makes of it."""

from __future__ import annotations

import io
import tracemalloc

import pytest

from rcm.x12 import Document, NotX12, WrongSet, raw_segments, read_835, read_837
from rcm.x12.document import detect_delimiters
from rcm.x12.facts import describe
from rcm.x12.model import Delimiters

from .cast import CLEAN


def kinds(data: bytes, chunk_size: int = 1 << 17) -> tuple[list[str], list[str]]:
    document = Document(data, chunk_size)
    found = []
    for current in document.sets():
        found.append(current.origin.kind)
    return found, document.envelope_errors


def test_the_clean_file_has_a_clean_envelope() -> None:
    assert kinds(CLEAN) == (["837P"], [])


@pytest.mark.parametrize("size", [1, 2, 7, 106, 107, 4096])
def test_the_size_of_the_pieces_read_makes_no_difference(size: int) -> None:
    document = Document(CLEAN, size)
    counts = [sum(1 for _ in current) for current in document.sets()]
    assert (counts, document.position, document.envelope_errors) == ([28], 34, [])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("byte-order mark", b"\xef\xbb\xbf" + CLEAN),
        ("line after line", CLEAN.replace(b"~", b"~\r\n")),
        ("indented", CLEAN.replace(b"~", b"~\r\n   \t")),
        ("line feed ends segments", CLEAN.replace(b"~", b"\n")),
        ("carriage return and line feed end segments", CLEAN.replace(b"~", b"\r\n")),
        ("0x1D ends segments", CLEAN.replace(b"~", b"\x1d")),
        ("underscore ends segments", CLEAN.replace(b"~", b"_")),
        (
            "wrapped at eighty columns",
            b"\r\n".join(CLEAN[i : i + 80] for i in range(0, len(CLEAN), 80)),
        ),
        ("tilde between elements", CLEAN.replace(b"~", b"'").replace(b"*", b"~")),
        (
            "trimmed header",
            CLEAN.replace(b"*          *", b"**").replace(b"IMGCTR01       *", b"IMGCTR01*", 1),
        ),
        ("sixteen bits a letter", CLEAN.decode().encode("utf-16")),
        ("no terminator at the end", CLEAN[:-1]),
        ("mail text before the header", b"Dear biller,\r\nplease find\r\n" + CLEAN),
        (
            "header without its sixteenth element",
            CLEAN.replace(b"*T*:~", b"*T*~\r\n", 1)
            .replace(b"~", b"~\r\n")
            .replace(b"\r\n\r\n", b"\r\n"),
        ),
    ],
)
def test_odd_wrappings_of_the_same_claim_read_the_same(name: str, data: bytes) -> None:
    assert kinds(data)[0] == ["837P"], name
    (claim,) = read_837(data)
    assert (claim.claim_id, len(claim.lines), claim.subscriber.name) == ("ACC0001-1", 1, "DOE")


def test_the_delimiters_are_found_by_counting_elements() -> None:
    head = "ISA*00* *00* *30*560891234 *30*566012345*030813*1505*U*00401*000000007*1*P*:~\nTA1*1~"
    assert detect_delimiters(head) == (Delimiters("*", ":", "", "~"), False)


def test_a_file_may_start_at_its_transaction_set() -> None:
    data = CLEAN[CLEAN.index(b"ST*") : CLEAN.index(b"GE*")]
    document = Document(data)
    assert [current.origin.kind for current in document.sets()] == ["837P"]
    assert [item.code for item in document.findings] == ["no-isa"]


def test_several_interchanges_with_different_delimiters_in_one_file() -> None:
    other = CLEAN.replace(b"*", b"|").replace(b"~", b"'").replace(b":", b">")
    for joint in (b"", b"\r\n", b"\n \n"):
        data = CLEAN + joint + other + joint + CLEAN
        assert kinds(data) == (["837P"] * 3, [])
        assert [claim.lines[0].procedure.modifiers for claim in read_837(data)] == [("TC",)] * 3


def test_an_interchange_that_lacks_its_last_terminator_does_not_swallow_the_next() -> None:
    assert kinds(CLEAN[:-1] + CLEAN) == (["837P", "837P"], [])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ((b"SE*30*", b"SE*31*"), "SE01 31 != 30 (ST02 0001)"),
        ((b"SE*30*0001", b"SE*30*0009"), "SE02 0009 != ST02 0001"),
        ((b"GE*1*101", b"GE*2*101"), "GE01 2 != 1"),
        ((b"GE*1*101", b"GE*1*102"), "GE02 102 != GS06 101"),
        ((b"IEA*1*", b"IEA*3*"), "IEA01 3 != groups 1"),
        ((b"IEA*1*000000101", b"IEA*1*000000100"), "IEA02 000000100 != ISA13 000000101"),
        ((b"GS*HC*", b"GS*HP*"), "GS01 HP does not fit ST01 837"),
        ((b"IEA*1*000000101~", b""), "missing IEA"),
        ((b"GE*1*101~", b""), "GS 1 vs GE 0"),
        ((b"SE*30*0001~", b""), "missing SE for ST02 0001"),
    ],
)
def test_wrong_counts_and_numbers_are_findings_and_the_claim_is_still_read(
    damage: tuple[bytes, bytes], sentence: str
) -> None:
    data = CLEAN.replace(*damage)
    assert kinds(data) == (["837P"], [sentence])
    assert len(list(read_837(data))) == 1


def test_st01_is_believed_before_gs01() -> None:
    assert kinds(CLEAN.replace(b"GS*HC*", b"GS*HP*"))[0] == ["837P"]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"   \r\n", "empty"),
        (b"MSH|^~\\&|RIS|SITE|", "HL7"),
        (b"UNA:+.? 'UNB+UNOA:1", "EDIFACT"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04aaaa", "ZIP"),
        (b"\x1f\x8b\x08aaa", "compressed"),
        (b"<?xml version='1.0'?>", "XML"),
        (b'{"a": 1}', "JSON"),
        (b"claim,paid\n1,2\n", "begins with"),
        (b"ISA", "ISA"),
        (b"ISA*00*~GS*HC~", "fewer than sixteen"),
        (b"\x00\xff\xfe\x80" * 50, "no X12"),
    ],
)
def test_what_is_no_x12_is_refused_with_a_sentence(data: bytes, word: str) -> None:
    with pytest.raises(NotX12, match=word):
        list(read_835(data))
    facts = describe(data)
    assert facts["kind"] is None
    assert [item["code"] for item in facts["findings"]] == ["not-x12"]


def test_asking_for_the_wrong_set_says_what_the_file_holds() -> None:
    with pytest.raises(WrongSet, match=r"No 835 in this file: it holds 837P\."):
        list(read_835(CLEAN))


def test_an_interchange_without_sets_is_never_silently_empty() -> None:
    data = CLEAN[: CLEAN.index(b"GS*")] + b"IEA*0*000000101~"
    with pytest.raises(WrongSet, match="no transaction set"):
        list(read_835(data))
    assert [item["code"] for item in describe(data)["findings"]] == ["no-transactions"]


def test_a_set_of_another_trade_is_named_and_passed_over() -> None:
    facts = describe(CLEAN.replace(b"ST*837*", b"ST*850*"))
    assert (facts["kind"], facts["n_transactions"]) == ("850", 1)
    assert "set-unknown" in [item["code"] for item in facts["findings"]]


def test_version_4010_is_refused_for_work() -> None:
    (claim,) = read_837(CLEAN.replace(b"005010X222A1", b"004010X098A1"))
    assert "refused" in claim.origin.refusal


def test_neighbouring_versions_are_read() -> None:
    for version in (b"005010X222", b"005010X222A2"):
        (claim,) = read_837(CLEAN.replace(b"005010X222A1", version))
        assert (claim.origin.refusal, claim.origin.kind) == ("", "837P")


def test_a_letter_in_another_encoding_is_kept() -> None:
    (claim,) = read_837(CLEAN.replace(b"DOE", b"M\xdcLLER"))
    assert claim.subscriber.name == "MÜLLER"
    (claim,) = read_837(CLEAN.replace(b"DOE", "MÜLLER".encode()))
    assert claim.subscriber.name == "MÜLLER"


def test_a_segment_without_end_does_not_fill_the_memory() -> None:
    class Endless(io.RawIOBase):
        """Sixty megabytes without a terminator, after a good header."""

        def __init__(self) -> None:
            self.left = 60
            self.head = CLEAN[: CLEAN.index(b"HL*")]

        def read(self, size: int = -1) -> bytes:
            if self.head:
                head, self.head = self.head, b""
                return head
            self.left -= 1
            return b"A" * 1_000_000 if self.left > 0 else b""

    tracemalloc.start()
    document = Document(Endless())  # type: ignore[arg-type]
    for _ in document.sets():
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    assert "segment-too-long" in [item.code for item in document.findings]


def test_the_raw_segments_of_a_finding_can_be_shown() -> None:
    (claim,) = read_837(CLEAN)
    assert raw_segments(CLEAN, claim.position) == ["CLM*ACC0001-1*850***11:B:1*Y*A*Y*Y"]
    assert raw_segments(CLEAN, claim.lines[0].position, claim.lines[0].position + 1)[0] == "LX*1"


def test_a_set_left_half_read_does_not_spoil_the_next() -> None:
    document = Document(CLEAN + CLEAN)
    seen = []
    for current in document.sets():
        seen.append(next(iter(current))[0])
    assert (seen, document.envelope_errors) == (["BHT", "BHT"], [])
