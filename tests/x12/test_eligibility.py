"""270 and 271: the question about Jane, and what her plan says about an MRI."""

from __future__ import annotations

import datetime
from dataclasses import replace
from decimal import Decimal

from rcm.x12 import Document, read_270, read_271, write_270, write_271
from rcm.x12.model import (
    Address,
    Benefit,
    Contact,
    DatePeriod,
    EligibilityRequest,
    EligibilityResponse,
    Party,
    Procedure,
    Reference,
    Rejection,
    Trace,
)

from .cast import ACME, BILLING, CHILD, ENVELOPE, JANE

PROVIDER = replace(BILLING, entity="1P", address=None, refs=(), taxonomy="", provider_role="")
QUESTION = EligibilityRequest(
    payer=ACME,
    provider=PROVIDER,
    subscriber=replace(JANE, address=None),
    trace="T0001",
    trace_origin="9123456789",
    service_types=("30", "4", "62"),
    date_from=datetime.date(2026, 11, 3),
    reference="Q1",
)
ANSWER = EligibilityResponse(
    payer=replace(ACME, contacts=(Contact("PROVIDER LINE", (("TE", "8005550100"),)),)),
    provider=PROVIDER,
    subscriber=replace(JANE, refs=(Reference("6P", "GRP1001", "BIG EMPLOYER"),)),
    traces=(Trace("T0001", "9123456789"),),
    dates=(DatePeriod("346", datetime.date(2026, 1, 1), datetime.date(2026, 1, 1)),),
    benefits=(
        Benefit("1", "IND", ("30",), "PR", "GOLD PPO"),
        Benefit("C", "IND", ("30",), time_period="23", amount=Decimal("1500"), in_network="Y"),
        Benefit("C", "IND", ("30",), time_period="29", amount=Decimal("420.5"), in_network="Y"),
        Benefit("B", "", ("4", "62"), time_period="27", amount=Decimal("50"), in_network="Y"),
        Benefit(
            "A",
            "IND",
            ("62",),
            percent=Decimal("0.2"),
            in_network="N",
            messages=("OUT OF NETWORK",),
        ),
        Benefit(
            "CB",
            "",
            ("62",),
            authorization="Y",
            in_network="Y",
            procedure=Procedure("72148"),
            delivery=(("VS", "1"),),
            dates=(DatePeriod("348", datetime.date(2026, 1, 1), datetime.date(2026, 12, 31)),),
        ),
        Benefit(
            "R",
            parties=(
                Party(
                    "PRP",
                    "SAMPLE PART B PAYER",
                    id_qualifier="PI",
                    id="04112",
                    address=Address("PO BOX 1", "", "MADISON", "WI", "53708"),
                ),
            ),
        ),
    ),
    reference="Q1",
)


def test_a_question_is_written_and_read_back() -> None:
    data = write_270(ENVELOPE, [QUESTION]).data
    assert list(read_270(data)) == [QUESTION]
    assert b"ST*270*0001*005010X279A1~BHT*0022*13*Q1*20261102*1015~HL*1**20*1~" in data


def test_a_question_about_a_child_goes_into_its_own_level() -> None:
    child = replace(CHILD, entity="03", address=None)
    question = replace(QUESTION, dependent=child, relationship="19", procedure=Procedure("72148"))
    assert list(read_270(write_270(ENVELOPE, [question]).data)) == [question]


def test_many_questions_share_their_payer_and_provider() -> None:
    many = [replace(QUESTION, trace=f"T{i}") for i in range(3)]
    data = write_270(ENVELOPE, many).data
    assert data.count(b"*20*1~") == 1
    assert list(read_270(data)) == many


def test_an_answer_is_written_and_read_back() -> None:
    written = write_271(ENVELOPE, [ANSWER])
    assert list(read_271(written.data)) == [ANSWER]
    document = Document(written.data)
    list(document.sets())
    assert document.envelope_errors == []


def test_the_answer_says_active_and_that_the_mri_needs_authorization() -> None:
    (answer,) = read_271(write_271(ENVELOPE, [ANSWER]).data)
    assert answer.active
    assert not answer.inactive
    mri = [benefit for benefit in answer.benefits if "62" in benefit.service_types]
    assert [benefit.authorization for benefit in mri] == ["", "", "Y"]
    assert [benefit.amount for benefit in answer.benefits if benefit.code == "C"] == [
        Decimal("1500"),
        Decimal("420.5"),
    ]


def test_inactive_coverage_is_said() -> None:
    (answer,) = read_271(
        write_271(ENVELOPE, [replace(ANSWER, benefits=(Benefit("6", "", ("30",)),))]).data
    )
    assert answer.inactive


def test_a_member_not_found_is_a_rejection_of_that_level() -> None:
    refused = replace(ANSWER, benefits=(), rejections=(Rejection(False, "75", "C", "subscriber"),))
    (answer,) = read_271(write_271(ENVELOPE, [refused]).data)
    assert answer == refused
    assert not answer.active


def test_a_payer_that_is_down_gives_one_answer_without_a_person() -> None:
    refused = EligibilityResponse(
        payer=ACME, rejections=(Rejection(True, "42", "P", "source"),), reference="Q1"
    )
    (answer,) = read_271(write_271(ENVELOPE, [refused]).data)
    assert answer == refused


def test_the_answer_about_a_child_carries_what_was_said_above() -> None:
    child = replace(CHILD, entity="03")
    family = replace(
        ANSWER,
        dependent=child,
        relationship="19",
        rejections=(
            Rejection(True, "42", "P", "source"),
            Rejection(False, "72", "C", "subscriber"),
        ),
    )
    assert list(read_271(write_271(ENVELOPE, [family]).data)) == [family]


def test_bad_money_in_a_benefit_is_a_finding() -> None:
    data = write_271(ENVELOPE, [ANSWER]).data.replace(b"*1500*", b"*lots*")
    (answer,) = read_271(data)
    assert [item.code for item in answer.findings] == ["bad-amount"]
