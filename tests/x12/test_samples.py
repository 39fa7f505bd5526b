"""Every published sample gives the facts that were computed for it independently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rcm.x12.facts import describe

from .cast import SAMPLES

EXPECTED = sorted((SAMPLES / "x12").rglob("*.expected.json"))
ABOUT_THE_SAMPLE = {
    "file",
    "source_repo",
    "source_path",
    "source_commit",
    "bytes",
    "sha256",
    "lexical_notes",
    "tags",
    "transactions",
}


def test_the_samples_are_here() -> None:
    if not EXPECTED:
        pytest.skip(
            "the reference samples are not beside this checkout; the worked examples stand for them"
        )
    assert len(EXPECTED) >= 90


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: f"{path.parent.name}/{path.name[:-14]}")
def test_a_sample_gives_its_facts(path: Path) -> None:
    expected: dict[str, Any] = json.loads(path.read_text())
    facts = describe(str(path)[: -len(".expected.json")])
    json.dumps(facts)
    for key in expected.keys() - ABOUT_THE_SAMPLE:
        assert facts[key] == expected[key], key
    assert len(facts["transactions"]) == len(expected["transactions"])
    for found, wanted in zip(facts["transactions"], expected["transactions"], strict=True):
        for key, value in wanted.items():
            assert found[key] == value, key


@pytest.mark.parametrize(
    "path",
    [path for path in EXPECTED if path.parent.name == "legacy4010"],
    ids=lambda path: path.name,
)
def test_version_4010_is_read_but_refused_in_words(path: Path) -> None:
    facts = describe(str(path)[: -len(".expected.json")])
    refusals = [item for item in facts["findings"] if item["code"] == "version-refused"]
    assert len(refusals) == len(facts["transactions"]) > 0
    assert all("004010" in item["message"] and item["level"] == "error" for item in refusals)
