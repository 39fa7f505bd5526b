"""837: claims of every shape pass the guide, come back as they went, and no data can break the
syntax.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcm.x12 import Document, guide, read_837, write_837i, write_837p
from rcm.x12.model import (
    Address,
    Claim,
    DatePeriod,
    Delimiters,
    Diagnosis,
    Party,
    Procedure,
    Reference,
    ServiceLine,
)

from .cast import (
    ACME,
    BILLING,
    CHILD,
    CLEAN,
    ENVELOPE,
    JANE,
    MEDICARE,
    RECEIVER,
    SERVICE,
    SUBMITTER,
    claim,
    line,
    variants,
)


def write(*claims: Claim, **more: Any) -> bytes:
    written = write_837p(ENVELOPE, claims, submitter=SUBMITTER, receiver=RECEIVER, **more)
    assert not written.findings
    return written.data


def test_the_clean_claim_is_written_byte_for_byte() -> None:
    assert write(claim(), reference="B000101") == CLEAN


def test_reading_and_writing_again_changes_nothing() -> None:
    (found,) = read_837(CLEAN)
    assert found == claim()
    assert found.submitter == SUBMITTER
    assert found.reference == "B000101"


@pytest.mark.parametrize(
    ("name", "one"), variants().items(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_claim_passes_the_guide_and_comes_back_as_it_went(name: str, one: Claim) -> None:
    data = write(one)
    result = guide.check(data)
    assert result.valid, result.findings
    assert list(read_837(data)) == [one]


def test_all_variants_in_one_file_pass_the_guide() -> None:
    many = [
        replace(
            one,
            claim_id=f"ACC{i:04d}",
            lines=tuple(replace(item, line_control=f"{i}-{n}") for n, item in enumerate(one.lines)),
        )
        for i, one in enumerate(variants().values())
    ]
    written = write_837p(ENVELOPE, many, submitter=SUBMITTER, receiver=RECEIVER)
    assert guide.check(written.data).valid
    assert {item.claim_id: item for item in read_837(written.data)} == {
        item.claim_id: item for item in many
    }


def test_an_institutional_claim_passes_the_guide_and_comes_back() -> None:
    one = Claim(
        claim_id="HOSP0001",
        charge=Decimal("900"),
        billing=replace(BILLING, taxonomy="282N00000X"),
        subscriber=JANE,
        payer=ACME,
        group_number="GRP1001",
        pos="13",
        facility_qualifier="A",
        assignment="A",
        institutional=True,
        diagnoses=(Diagnosis("R1031", "ABK"), Diagnosis("R109", "ABF")),
        dates=(DatePeriod("434", SERVICE, SERVICE),),
        admission=("3", "1", "01"),
        attending=Party("71", "REFER", "ANNA", person=True, id_qualifier="XX", id="1245319599"),
        lines=(
            ServiceLine(
                Procedure("74177"),
                Decimal("900"),
                "HOSP0001-1",
                revenue_code="0352",
                service_date=SERVICE,
                pointers=(),
            ),
        ),
    )
    written = write_837i(ENVELOPE, [one], submitter=SUBMITTER, receiver=RECEIVER)
    result = guide.check(written.data)
    assert result.valid, result.findings
    (found,) = read_837(written.data)
    assert replace(found, lines=(replace(found.lines[0], pointers=()),)) == replace(
        one, lines=(replace(one.lines[0], pointers=()),)
    )


def test_claims_are_grouped_by_provider_subscriber_and_patient() -> None:
    other = replace(BILLING, name="BAYSIDE READERS", id="1801889012")
    data = write(
        claim(claim_id="A"),
        claim(claim_id="B", billing=other),
        claim(claim_id="C"),
        claim(claim_id="D", patient=CHILD, patient_relationship="19"),
        claim(claim_id="E", payer=MEDICARE),
    )
    segments = data.decode().split("~")
    levels = [s.split("*")[1:] for s in segments if s.startswith("HL*")]
    assert levels == [
        ["1", "", "20", "1"],
        ["2", "1", "22", "1"],  # Jane at ACME: her own claims A and C
        ["3", "2", "23", "0"],  # and Tim's D
        ["4", "1", "22", "0"],  # Jane at Medicare: E
        ["5", "", "20", "1"],
        ["6", "5", "22", "0"],  # B of the other provider
    ]
    assert [s.split("*")[1] for s in segments if s.startswith("CLM*")] == ["A", "C", "D", "E", "B"]
    assert guide.check(data).valid


def test_long_batches_are_split_into_sets_and_the_sets_say_what_they_carry() -> None:
    many = [claim(claim_id=f"ACC{i:04d}") for i in range(5)]
    written = write_837p(ENVELOPE, many, submitter=SUBMITTER, receiver=RECEIVER, claims_per_set=2)
    assert [(item.st02, item.ids) for item in written.sets] == [
        ("0001", ("ACC0000", "ACC0001")),
        ("0002", ("ACC0002", "ACC0003")),
        ("0003", ("ACC0004",)),
    ]
    assert guide.check(written.data).valid
    document = Document(written.data)
    assert len(list(document.sets())) == 3
    assert document.envelope_errors == []


def test_the_first_diagnosis_becomes_the_principal_one() -> None:
    data = write(claim(diagnoses=(Diagnosis("M5416"), Diagnosis("R519"))))
    assert b"HI*ABK:M5416*ABF:R519~" in data


def test_delimiters_and_letters_that_x12_cannot_carry_are_replaced_and_reported() -> None:
    wild = replace(
        JANE,
        name="MÜLLER*~:^",
        first="ZOË\n",
        address=Address("5 ELM ST\t#2*", "", "SAN JOSE", "CA", "95112"),
    )
    written = write_837p(ENVELOPE, [claim(subscriber=wild)], submitter=SUBMITTER, receiver=RECEIVER)
    (found,) = read_837(written.data)
    assert (found.subscriber.name.strip(), found.subscriber.first.strip()) == ("MULLER", "ZOE")
    assert found.lines == claim().lines
    assert {item.code for item in written.findings} == {"character-replaced"}
    assert all("claim ACC0001-1" in item.where for item in written.findings)
    assert guide.check(written.data).valid


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=30), st.text(max_size=12), st.text(max_size=10))
def test_no_text_whatsoever_can_break_the_syntax(name: str, code: str, reference: str) -> None:
    wild = claim(
        subscriber=replace(JANE, name="A" + name, refs=(Reference("SY", "1" + reference),)),
        lines=(line("7" + code, "T" + reference),),
    )
    written = write_837p(ENVELOPE, [wild], submitter=SUBMITTER, receiver=RECEIVER)
    document = Document(written.data)
    assert sum(1 for current in document.sets() for _ in current) == 29
    assert document.envelope_errors == []
    assert written.data.isascii()


def test_other_delimiters_can_be_agreed_with_a_partner() -> None:
    envelope = replace(ENVELOPE, delimiters=Delimiters("|", ">", "!", "\n"))
    written = write_837p(envelope, [claim()], submitter=SUBMITTER, receiver=RECEIVER)
    assert list(read_837(written.data)) == [claim()]


def test_a_claim_total_that_is_not_the_sum_of_its_lines_is_a_finding_on_reading() -> None:
    (found,) = read_837(CLEAN.replace(b"*850***11", b"*851***11"))
    assert [item.code for item in found.findings] == ["claim-total"]


def test_what_a_payer_needs_to_adjudicate_is_read() -> None:
    (found,) = read_837(write(variants()["secondary after Medicare"]))
    (other,) = found.other_payers
    assert (other.payer.id, other.paid, other.payer_control) == (
        "04112",
        Decimal("300"),
        "ICN26090001",
    )
    (paid,) = found.lines[0].adjudications
    assert [(a.group, a.reason, a.amount) for a in paid.adjustments] == [
        ("CO", "45", Decimal("475")),
        ("PR", "2", Decimal("75")),
    ]
    assert found.who_is_patient is found.subscriber


# --- property -------------------------------------------------------------------------------------

NAME = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ '-", min_size=1, max_size=20).map(str.strip).filter(bool)
ID = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=2, max_size=12)
CHARGES = st.integers(0, 1_000_000).map(lambda n: Decimal(n) / 100)
DATES = st.dates(datetime.date(2020, 1, 1), datetime.date(2030, 12, 31))


@st.composite
def people(draw: Any, entity: str, with_id: bool = True) -> Party:
    return Party(
        entity,
        draw(NAME),
        draw(NAME),
        draw(st.just("") | NAME),
        person=True,
        id_qualifier="MI" if with_id else "",
        id=draw(ID) if with_id else "",
        sex=draw(st.sampled_from("FMU")),
        birth_date=draw(DATES),
        address=Address(draw(NAME), "", draw(NAME), "CA", "951281234"),
    )


@st.composite
def lines(draw: Any) -> ServiceLine:
    start = draw(DATES)
    later = draw(st.none() | st.integers(1, 30).map(lambda n: start + datetime.timedelta(n)))
    return ServiceLine(
        procedure=Procedure(
            draw(ID)[:5], tuple(draw(st.lists(ID.map(lambda t: t[:2]), max_size=4)))
        ),
        charge=draw(CHARGES),
        line_control=draw(st.just("") | ID),
        units=draw(st.integers(1, 99).map(Decimal)),
        service_date=start,
        service_end=later,
        pos=draw(st.sampled_from(["", "22", "49"])),
        pointers=tuple(draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))),
        emergency=draw(st.booleans()),
        authorization=draw(st.just("") | ID),
        mammography_certification=draw(st.just("") | ID),
    )


@st.composite
def claims(draw: Any) -> Claim:
    own_lines = tuple(draw(st.lists(lines(), min_size=1, max_size=4)))
    patient = draw(st.none() | people("QC", with_id=False))
    return Claim(
        claim_id=draw(ID),
        charge=sum((item.charge for item in own_lines), Decimal(0)),
        billing=BILLING,
        subscriber=draw(people("IL")),
        payer=draw(st.sampled_from([ACME, MEDICARE])),
        lines=own_lines,
        diagnoses=(
            Diagnosis(draw(ID), "ABK"),
            *(Diagnosis(code) for code in draw(st.lists(ID, max_size=11))),
        ),
        pos=draw(st.sampled_from(["11", "22", "49"])),
        frequency=draw(st.sampled_from("178")),
        patient=patient,
        patient_relationship="19" if patient else "",
        relationship="" if patient else "18",
        group_number=draw(st.just("") | ID),
        authorization=draw(st.just("") | ID),
        referral=draw(st.just("") | ID),
        payer_control=draw(st.just("") | ID),
        refs=draw(st.sampled_from([(), (Reference("EA", "MRN1"),)])),
        accident_date=draw(st.none() | DATES),
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(claims(), min_size=1, max_size=4, unique_by=lambda item: item.claim_id))
def test_any_claims_come_back_as_they_went(given_claims: list[Claim]) -> None:
    data = write(*given_claims)
    assert {item.claim_id: item for item in read_837(data)} == {
        item.claim_id: item for item in given_claims
    }
    document = Document(data)
    list(document.sets())
    assert document.envelope_errors == []


def test_a_dental_claim_is_read_with_its_charges() -> None:
    data = CLEAN.replace(b"005010X222A1", b"005010X224A2").replace(
        b"SV1*HC:72148:TC*850*UN*1***1~", b"SV3*AD:D0330*850****1~"
    )
    (found,) = read_837(data)
    assert found.origin.kind == "837D"
    assert (found.lines[0].procedure, found.line_total) == (
        Procedure("D0330", (), "AD"),
        Decimal("850"),
    )
