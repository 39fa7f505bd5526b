"""999 and TA1: was our file taken in, and if not, which segment of which claim was at fault."""

from __future__ import annotations

import pytest

from rcm.x12 import Document, WrongSet, acknowledge, read_999, read_ta1, write_999, write_ta1
from rcm.x12.model import (
    Acknowledgement,
    ElementError,
    InterchangeAcknowledgement,
    SegmentError,
    SetAcknowledgement,
)

from .cast import CLEAN, ENVELOPE

REFUSAL = SetAcknowledgement(
    "837",
    "0002",
    "005010X222A1",
    "R",
    ("5",),
    (
        SegmentError(
            "CLM", 22, "8", "2300", ("CLM01:ACC0001-1",), (ElementError(5, "7", 1, "1331", "99"),)
        ),
    ),
)
PARTLY = Acknowledgement(
    "HC",
    "101",
    "005010X222A1",
    (SetAcknowledgement("837", "0001", "005010X222A1", "A"), REFUSAL),
    "P",
    2,
    2,
    1,
)


def test_a_999_is_written_and_read_back() -> None:
    (found,) = read_999(write_999(ENVELOPE, [PARTLY]).data)
    assert found == PARTLY
    assert not found.accepted
    assert [one.accepted for one in found.sets] == [True, False]
    assert found.sets[1].errors[0].claim_id == "ACC0001-1"


def test_a_ta1_is_written_and_read_back() -> None:
    given = [InterchangeAcknowledgement("000000101", "261102", "1015", "R", "006")]
    data = write_ta1(ENVELOPE, given).data
    assert list(read_ta1(data)) == given
    document = Document(data)
    list(document.sets())
    assert document.envelope_errors == []


def test_a_file_without_ta1_says_so() -> None:
    with pytest.raises(WrongSet, match="No TA1"):
        list(read_ta1(CLEAN))


def test_a_good_file_is_acknowledged() -> None:
    (found,) = acknowledge(CLEAN)
    assert (found.group_code, found.group_control, found.code, found.accepted_count) == (
        "HC",
        "101",
        "A",
        1,
    )


@pytest.mark.parametrize(
    ("was", "becomes", "reason"),
    [
        (b"SE*30*", b"SE*29*", "4"),
        (b"SE*30*0001", b"SE*30*0002", "3"),
        (b"SE*30*0001~", b"", "2"),
        (b"ST*837", b"ST*850", "1"),
    ],
)
def test_a_file_with_a_broken_set_is_refused_with_the_reason(
    was: bytes, becomes: bytes, reason: str
) -> None:
    (found,) = acknowledge(CLEAN.replace(was, becomes))
    assert (found.code, found.sets[0].code, found.sets[0].reasons) == ("R", "R", (reason,))


def test_a_guide_check_can_refuse_a_set() -> None:
    (found,) = acknowledge(CLEAN, {"0001": REFUSAL})
    assert (found.code, found.sets) == ("R", (REFUSAL,))


def test_an_acknowledgement_without_its_group_is_a_finding() -> None:
    data = write_999(ENVELOPE, [PARTLY]).data.replace(b"AK1*", b"AKX*")
    (found,) = read_999(data)
    assert "missing-ak1" in [item.code for item in found.findings]
