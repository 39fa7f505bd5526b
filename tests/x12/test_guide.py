"""The guide check finds what the guide forbids, names the claim, and never raises."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from rcm.x12 import guide, write_837p

from .cast import CLEAN, ENVELOPE, JANE, RECEIVER, SUBMITTER, claim


def test_a_clean_claim_is_valid() -> None:
    assert guide.check(CLEAN) == guide.GuideResult(True)


def test_a_finding_names_claim_loop_segment_and_element() -> None:
    good, bad = claim(claim_id="GOOD"), claim(claim_id="BAD", authorization="", frequency="XX")
    written = write_837p(ENVELOPE, [good, bad], submitter=SUBMITTER, receiver=RECEIVER)
    result = guide.check(written.data)
    assert not result.valid
    assert {item.claim_id for item in result.findings} == {"BAD"}
    finding = result.findings[0]
    assert (finding.loop, finding.segment, finding.element) == ("2300", "CLM", 5)


def test_a_missing_subscriber_name_is_found() -> None:
    written = write_837p(
        ENVELOPE, [claim(subscriber=replace(JANE, name=""))], submitter=SUBMITTER, receiver=RECEIVER
    )
    findings = guide.check(written.data).findings
    assert [(item.segment, item.loop) for item in findings] == [("NM1", "2010BA")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        CLEAN[:200],
        CLEAN.replace(b"X222A1", b"X999A1"),
        CLEAN.replace(b"005010X222A1", b"004010X098A1"),
        CLEAN.replace(b"00501", b"00601"),
        CLEAN[: CLEAN.index(b"SE*")],
        CLEAN.replace(b"HL*2*1", b"HL*9*9"),
    ],
)
def test_what_cannot_be_valid_is_refused_with_a_reason_and_without_a_sound(
    data: bytes, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        result = guide.check(data)
    assert not result.valid
    assert result.findings
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_threads_share_the_maps() -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(guide.check, [CLEAN, CLEAN.replace(b"*F~NM1", b"*Q~NM1")] * 10))
    assert [item.valid for item in results] == [True, False] * 10
