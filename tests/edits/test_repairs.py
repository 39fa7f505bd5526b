"""Format repairs: recorded, idempotent, and never a change of content."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims.edits import repair, scrub
from claims.edits.examples import AS_OF, HOME, SITE, claim, line, reference
from claims.edits.repairs import plain_diagnosis, plain_member, plain_ndc, plain_text, plain_zip


def test_a_clean_claim_is_left_alone():
    facts = claim()
    mended, done = repair(facts)
    assert mended is facts
    assert done == ()


def test_a_badly_written_claim_becomes_clean_and_every_change_is_recorded():
    bad = claim(
        line("72148", "76", "26"),
        patient_last="Müller*",
        subscriber_last=" doe ",
        diagnoses=("m54.16",),
        billing_address=replace(SITE, zip="95128-1234", state="ca"),
        patient_address=replace(HOME, line1="5 Elm St: rear"),
        billing_tin="94-1234567",
        member_id="w123 456 789",
        rendering_npi="1245319599 ",
    )
    mended, done = repair(bad)
    assert mended.patient_last == "MULLER"
    assert mended.diagnoses == ("M5416",)
    assert mended.billing_address.zip == "951281234"
    assert mended.member_id == "W123456789"
    assert mended.lines[0].modifiers == ("26", "76")
    assert {item.field for item in done} >= {
        "patient_last",
        "diagnoses[1]",
        "billing_tin",
        "member_id",
        "lines.modifiers",
    }
    assert {f.edit_id for f in scrub([mended], reference(), as_of=AS_OF)[0]} == {"DUP-006"}


def test_what_is_wrong_in_content_stays_wrong():
    facts = claim(
        line("72148", "RT", "RT"),
        diagnoses=("M54",),
        ordering_npi="1234567890",
        billing_tin="ABC",
        member_id="",
    )
    mended, done = repair(facts)
    assert mended == facts
    assert done == ()


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("50419-325-02", "50419032502"),
        ("5041-0325-02", "05041032502"),
        ("50419-0325-2", "50419032502"),
        ("50419032502", "50419032502"),
        ("5-4-2", "5-4-2"),
        ("bad", "bad"),
    ],
)
def test_drug_codes_get_their_eleven_digits(written, plain):
    assert plain_ndc(written) == plain


@given(st.text(max_size=40))
def test_writing_again_changes_nothing_more(value):
    for how in (plain_text, plain_diagnosis, plain_member, plain_zip, plain_ndc):
        assert how(how(value)) == how(value)


@given(st.text("ABCDEFabcdef0123456789. -", max_size=12))
def test_letters_and_digits_are_never_lost(value):
    def content(text: str) -> str:
        return "".join(ch for ch in text.upper() if ch.isalnum())

    for how in (plain_text, plain_diagnosis, plain_member, plain_zip):
        assert content(how(value)) == content(value)


@given(st.lists(st.sampled_from(["26", "RT", "76", "KX", "59", "LT", "26"]), max_size=5))
def test_modifiers_are_only_reordered(mods):
    mended, _ = repair(claim(line("73562", *mods)))
    assert sorted(mended.lines[0].modifiers) == sorted(mods)
    assert repair(mended)[1] == ()
