"""The engine: order, scope, overrides, and that nothing passes because something went wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from claims.edits import (
    Override,
    OverrideAction,
    Severity,
    catalogue,
    link_batch,
    scrub,
    scrub_iter,
    seed,
)
from claims.edits import engine as engine_module
from claims.edits.examples import (
    AS_OF,
    COMMERCIAL,
    READER,
    claim,
    line,
    mammogram,
    medicare,
    prior,
    reference,
)
from claims.edits.facts import Address
from claims.edits.reference import ReferenceFacts
from claims.edits.subject import full_months_between, luhn_npi


def ids(facts, tables=None, **options) -> list[str]:
    return [f.edit_id for f in scrub([facts], tables or reference(), as_of=AS_OF, **options)[0]]


# --- what the guide validator misses is caught here -----------------------------------------------


@pytest.mark.parametrize(
    ("facts", "edit_id"),
    [
        (lambda: claim(total=Decimal(1)), "FMT-001"),
        (lambda: claim(frequency="8"), "FMT-002"),
        (lambda: claim(line(pointers=(3,))), "FMT-004"),
        (lambda: claim(subscriber_dob=None), "FMT-017"),
        (lambda: claim(subscriber_sex=""), "FMT-017"),
        (lambda: claim(billing_npi="123456789"), "IDN-001"),
        (lambda: claim(rendering_npi="1234567890"), "IDN-002"),
        (lambda: claim(ordering_npi="1234567890"), "IDN-003"),
        (lambda: claim(diagnoses=("Q9999X",)), "COD-004"),
        (lambda: claim(line("99999")), "COD-001"),
        (lambda: claim(billing_taxonomy="NOTATAX"), "IDN-008"),
        (lambda: claim(line("72148", "Q9")), "COD-009"),
        (lambda: claim(diagnoses=("M54.16",)), "FMT-023"),
        (lambda: claim(billing_address=replace(claim().billing_address, zip="95128")), "FMT-009"),
        (lambda: claim(patient_last="DO~E"), "FMT-008"),
        (
            lambda: claim(patient_address=Address("5 ELM:ST", "", "SAN JOSE", "CA", "95112")),
            "FMT-008",
        ),
        (lambda: claim(line(service_date=date(2027, 1, 1))), "FMT-018"),
        (lambda: claim(patient_dob=date(2027, 1, 1)), "FMT-019"),
    ],
)
def test_every_gap_of_the_guide_validator_is_blocked(facts, edit_id):
    findings = {f.edit_id: f for f in scrub([facts()], reference(), as_of=AS_OF)[0]}
    assert findings[edit_id].blocks


# --- fail closed ----------------------------------------------------------------------------------


def test_an_edit_that_breaks_holds_the_claim(monkeypatch):
    def broken(subject) -> Iterator:
        raise ZeroDivisionError
        yield

    edit = catalogue()["FMT-001"]
    monkeypatch.setitem(catalogue(), "FMT-001", replace(edit, check=broken))
    found = scrub([claim()], reference(), as_of=AS_OF)[0]
    assert [(f.edit_id, f.blocks) for f in found] == [("SYS-001", True)]
    assert "FMT-001" in found[0].sentence


def test_tables_that_are_not_loaded_hold_every_claim():
    found = {
        f.edit_id: f for f in scrub([claim()], ReferenceFacts(**seed.tables()), as_of=AS_OF)[0]
    }
    assert found["REF-001"].blocks
    assert "ptp" in found["REF-001"].sentence
    assert "NCC-001" in found["REF-001"].sentence
    assert not found["REF-002"].blocks
    assert "licenses" in found["REF-002"].sentence
    assert "licenses" not in found["REF-001"].sentence


@pytest.mark.parametrize(
    "table", ["procedures", "ptp", "mue", "addons", "pos", "modifiers", "drugs", "taxonomies"]
)
def test_without_one_national_table_the_claim_is_held_for_review(table):
    found = scrub([claim()], replace(reference(), **{table: None}), as_of=AS_OF)[0]
    assert [(f.edit_id, f.blocks) for f in found] == [("REF-001", True)]
    assert table in found[0].sentence


@pytest.mark.parametrize("table", sorted(engine_module.MAY_BE_ABSENT))
def test_without_a_list_of_its_own_a_claim_goes_with_a_warning(table):
    found = scrub([claim()], replace(reference(), **{table: None}), as_of=AS_OF)[0]
    assert [(f.edit_id, f.blocks) for f in found] == [("REF-002", False)]


def test_an_unknown_table_passes_only_with_a_person_and_a_reason():
    tables = replace(reference(), ptp=None)
    facts = claim(claim_id="C1")
    accept = Override(
        "REF-001", OverrideAction.ACCEPT, reason="one line: no pair", by="mia", claim_id="C1"
    )
    kept = scrub([facts], tables, as_of=AS_OF, overrides=[accept])[0][0]
    assert (kept.blocks, kept.overridden_by) == (False, "mia")
    silent = replace(accept, reason="")
    assert scrub([facts], tables, as_of=AS_OF, overrides=[silent])[0][0].blocks


def test_an_unknown_code_holds():
    assert "COD-001" in ids(claim(line("79999")))


# --- overrides ------------------------------------------------------------------------------------


def override(action: OverrideAction, **scope) -> Override:
    return Override("TIM-003", action, reason="the contract says so", by="mia", **scope)


def test_a_payer_can_switch_an_edit_off_or_change_its_severity():
    facts = claim(payer_id="NEW99")
    assert "TIM-003" in ids(facts)
    assert "TIM-003" not in ids(facts, overrides=[override(OverrideAction.OFF, payer_id="NEW99")])
    assert "TIM-003" in ids(facts, overrides=[override(OverrideAction.OFF, payer_id=COMMERCIAL)])
    stricter = scrub(
        [facts],
        reference(),
        as_of=AS_OF,
        overrides=[override(OverrideAction.BLOCK, payer_id="NEW99")],
    )[0]
    assert {f.edit_id: f.severity for f in stricter}["TIM-003"] is Severity.BLOCK


def test_an_accepted_finding_stays_with_the_name_and_reason():
    facts = claim(line("77066", "50"), mammography_certificate="123456", claim_id="C1")
    accept = Override(
        "MOD-005", OverrideAction.ACCEPT, reason="payer asked for it", by="mia", claim_id="C1"
    )
    kept = {f.edit_id: f for f in scrub([facts], reference(), as_of=AS_OF, overrides=[accept])[0]}[
        "MOD-005"
    ]
    assert (kept.blocks, kept.overridden_by, kept.override_reason) == (
        False,
        "mia",
        "payer asked for it",
    )


def test_an_override_needs_a_person_a_reason_and_its_dates():
    facts = claim(payer_id="NEW99")
    for bad in (
        Override("TIM-003", OverrideAction.OFF, reason="", by="mia"),
        Override("TIM-003", OverrideAction.OFF, reason="x", by=""),
        override(OverrideAction.OFF, effective_to=date(2026, 1, 1)),
    ):
        assert "TIM-003" in ids(facts, overrides=[bad])


def test_what_may_never_be_overridden_cannot_be():
    off = Override("COV-001", OverrideAction.OFF, reason="x", by="mia")
    assert "COV-001" in ids(claim(restricted_from_plan=True), overrides=[off])


# --- batches --------------------------------------------------------------------------------------


def test_a_stream_is_judged_as_it_comes():
    endless = (claim() for _ in itertools.count())
    assert list(itertools.islice(scrub_iter(endless, reference(), as_of=AS_OF), 3)) == [[], [], []]


def test_claims_of_one_batch_see_each_other():
    first, again = claim(claim_id="A"), claim(claim_id="B")
    linked = link_batch([first, again])
    found = [{f.edit_id for f in findings} for findings in scrub(linked, reference(), as_of=AS_OF)]
    assert "DUP-001" not in found[0]
    assert "DUP-001" in found[1]


def test_blocking_findings_come_first():
    severities = [
        f.severity
        for f in scrub(
            [claim(line("72148", "FX", "ZZ"), total=Decimal(1))], reference(), as_of=AS_OF
        )[0]
    ]
    assert severities == sorted(severities, key=lambda s: s is Severity.WARN)


def test_edits_of_medicare_leave_other_payers_alone():
    assert "PET-001" not in ids(claim(line("78815"), line("A9552"), diagnoses=("C3490",)))
    assert "PET-001" in ids(medicare(line("78815"), line("A9552"), diagnoses=("C3490",)))


def test_a_dated_edit_applies_inside_its_dates_only(monkeypatch):
    edit = catalogue()["FMT-003"]
    monkeypatch.setitem(
        catalogue(), "FMT-003", replace(edit, effective_from=date(2026, 10, 29), dated=True)
    )
    assert "FMT-003" not in ids(claim(frequency="2"))
    monkeypatch.setitem(
        catalogue(), "FMT-003", replace(edit, effective_from=date(2026, 10, 28), dated=True)
    )
    assert "FMT-003" in ids(claim(frequency="2"))


def test_the_engine_knows_the_tables_of_its_edits():
    assert set(engine_module._tables()) >= {"procedures", "ptp", "mue", "addons", "icd"}


# --- worked rules ---------------------------------------------------------------------------------


def test_a_replacement_is_no_duplicate_of_the_claim_it_replaces():
    facts = claim(
        frequency="7", payer_icn="ICN1", adjudicated_on=date(2026, 11, 10), history=(prior(),)
    )
    assert ids(facts) == []


def test_another_entitys_reading_contradicts_our_global():
    theirs = prior(
        "72148",
        "26",
        entity="other",
        billing_npi="1689600009",
        payer_id="",
        claim_id="",
        status="sent",
    )
    assert "CMP-004" in ids(claim(history=(theirs,)))
    assert "CMP-004" not in ids(
        claim(line("72148", "TC", arrangement="tc_only"), history=(theirs,))
    )


def test_pairs_are_found_across_our_claims_of_the_day():
    facts = claim(line("70551", report_status="F"), history=(prior("70553", accession="ACC0009"),))
    assert "NCC-002" in ids(facts)


def test_a_void_prior_claim_counts_for_nothing():
    assert ids(claim(history=(prior(status="void"),))) == []


def test_eleven_full_months_pass_between_two_screenings():
    assert full_months_between(date(2025, 10, 31), date(2026, 10, 1)) == 11
    assert full_months_between(date(2025, 11, 1), date(2026, 10, 31)) == 10
    assert "NEC-011" in ids(
        mammogram(history=(prior("77067", service_date=date(2025, 11, 1), claim_id="OLD"),))
    )


@pytest.mark.parametrize("npi", ["1234567893", READER])
def test_a_true_npi_checks_and_no_single_wrong_digit_does(npi):
    assert luhn_npi(npi)
    for place, digit in itertools.product(range(1, 10), "0123456789"):
        wrong = npi[:place] + digit + npi[place + 1 :]
        assert luhn_npi(wrong) == (wrong == npi)
    assert not luhn_npi("3" + npi[1:])
    assert not luhn_npi("¹234567893")


def test_a_limit_that_was_not_loaded_holds_instead_of_passing():
    tables = replace(reference(), limits={})
    found = scrub([claim()], tables, as_of=AS_OF)[0]
    assert [(f.edit_id, f.blocks) for f in found] == [("SYS-001", True)]
