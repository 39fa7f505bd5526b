"""``manage.py x12``: one JSON object a file, sentences for a person, exit 2 for what is no X12,
never a traceback.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from rcm.x12.management.commands.x12 import Command

from .cast import CLEAN
from .test_remittance import REMITTANCE


def run(*files: Path, **options: bool) -> tuple[int, str]:
    out = io.StringIO()
    command = Command(stdout=out, no_color=True)
    code = 0
    try:
        command.handle(
            files=[str(path) for path in files], **{"json": False, "check": False, **options}
        )
    except SystemExit as leaving:
        code = int(str(leaving.code))
    return code, out.getvalue()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, data in {
        "claims.837": CLEAN,
        "paid.835": REMITTANCE.encode(),
        "old.837": CLEAN.replace(b"005010X222A1", b"004010X098A1"),
        "bad.837": CLEAN.replace(b"*F~NM1", b"*Q~NM1"),
        "message.hl7": b"MSH|^~\\&|RIS",
        "empty": b"",
    }.items():
        found[name] = tmp_path / name
        found[name].write_bytes(data)
    return found


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_gives_one_object_a_file(files: dict[str, Path]) -> None:
    code, text = run(files["paid.835"], files["claims.837"], json=True)
    paid, sent = objects(text)
    assert code == 0
    assert (paid["kind"], paid["n_interchanges"], paid["n_transactions"]) == ("835", 1, 1)
    assert paid["transactions"][0]["balanced"] is True
    assert (sent["kind"], sent["transactions"][0]["sum_clm02"]) == ("837P", "850.00")
    assert sent["envelope_errors"] == sent["findings"] == []


def test_sentences_for_a_person(files: dict[str, Path]) -> None:
    code, text = run(files["paid.835"])
    assert code == 0
    assert "4 claims, 5 lines, paid 327.82, provider adjustments 48.75: balanced" in text


@pytest.mark.parametrize(("name", "word"), [("message.hl7", "HL7"), ("empty", "empty")])
def test_what_is_no_x12_ends_with_2_and_a_sentence(
    files: dict[str, Path], name: str, word: str
) -> None:
    code, text = run(files[name])
    assert (code, word in text) == (2, True)
    code, text = run(files["claims.837"], files[name], json=True)
    assert code == 2
    assert objects(text)[1]["kind"] is None
    assert word in objects(text)[1]["findings"][0]["message"]


def test_a_missing_file_is_a_sentence_too(tmp_path: Path) -> None:
    code, text = run(tmp_path / "nowhere")
    assert code == 2
    assert "cannot be read" in text
    assert run(tmp_path)[0] == 2


def test_version_4010_is_shown_and_refused(files: dict[str, Path]) -> None:
    code, text = run(files["old.837"], json=True)
    (facts,) = objects(text)
    assert (code, facts["transactions"][0]["n_claims"]) == (0, 1)
    assert "refused" in facts["transactions"][0]["refused"]
    assert [item["code"] for item in facts["findings"]] == ["version-refused"]


def test_check_adds_what_the_guide_says(files: dict[str, Path]) -> None:
    _, text = run(files["claims.837"], files["bad.837"], files["paid.835"], json=True, check=True)
    good, bad, paid = objects(text)
    assert (good["guide_valid"], good["findings"]) == (True, [])
    assert bad["guide_valid"] is False
    assert bad["findings"][0]["code"] == "guide-7"
    assert [item["code"] for item in paid["findings"]] == ["guide-not-applied"]


def test_what_a_file_holds_cannot_drive_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "evil.835"
    path.write_bytes(REMITTANCE.replace("CAS*CO*197*900~", "CAS*CO*197*\x1b[31m9~").encode())
    _, text = run(path)
    assert "\x1b" not in text
    assert "is no amount of money" in text
