"""Walk the catalogue: the example of every edit is its test."""

from __future__ import annotations

import pytest

from claims.edits import Severity, catalogue, scrub
from claims.edits.examples import AS_OF, claim, mammogram, medicare, reference, scan, secondary

EDITS = list(catalogue().values())
FAMILIES = {
    "format",
    "identity",
    "codes",
    "modifiers",
    "component",
    "ncci",
    "duplicates",
    "modality",
    "necessity",
    "authorization",
    "coverage",
    "enrollment",
    "documentation",
    "timely",
}


def found(facts):
    return {finding.edit_id: finding for finding in scrub([facts], reference(), as_of=AS_OF)[0]}


@pytest.mark.parametrize("build", [claim, medicare, mammogram, scan, secondary])
def test_the_clean_claims_have_no_finding(build):
    assert found(build()) == {}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.edit_id)
def test_the_failing_example_is_found(edit):
    finding = found(edit.example.fails()).get(edit.edit_id)
    assert finding is not None
    assert finding.severity is edit.severity
    assert finding.sentence.endswith(".")
    assert finding.field


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.edit_id)
def test_the_passing_example_is_left_alone(edit):
    assert edit.edit_id not in found(edit.example.passes())


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.edit_id)
def test_every_edit_says_what_a_person_needs(edit):
    assert edit.sentence.endswith(".")
    assert edit.fix.endswith(".")
    assert edit.source
    assert edit.owner
    assert "15" not in edit.carc  # retired 2018-05-01
    assert edit.family in FAMILIES
    assert not any("SYS" in finding for finding in found(edit.example.fails()))


@pytest.mark.parametrize(
    "edit", [e for e in EDITS if e.severity is Severity.BLOCK], ids=lambda edit: edit.edit_id
)
def test_a_blocking_edit_blocks_its_example(edit):
    assert found(edit.example.fails())[edit.edit_id].blocks


def test_the_catalogue_covers_its_families():
    assert {edit.family for edit in EDITS} == FAMILIES
    assert len(EDITS) >= 120
