"""276, 277 and 277CA: where is the claim, and was it let in at all."""

from __future__ import annotations

import datetime
from dataclasses import replace
from decimal import Decimal

from rcm.x12 import Document, read_276, read_277, write_276, write_277, write_277ca
from rcm.x12.model import (
    ClaimStatus,
    LineStatus,
    Party,
    Procedure,
    Reference,
    StatusCode,
    StatusInfo,
    StatusRequest,
)

from .cast import ACME, BILLING, CHILD, ENVELOPE, JANE, SERVICE, SUBMITTER

RECEIVER = replace(SUBMITTER, contacts=())
PROVIDER = Party("1P", BILLING.name, id_qualifier="XX", id=BILLING.id)
MEMBER = replace(JANE, address=None)
QUESTION = StatusRequest(
    payer=ACME,
    receiver=RECEIVER,
    provider=PROVIDER,
    subscriber=MEMBER,
    trace="S0001",
    claim_id="ACC0001-1",
    payer_control="ICN1",
    charge=Decimal("850"),
    service_from=SERVICE,
    reference="Q1",
)
NAMED_ONLY = replace(MEMBER, birth_date=None, sex="")
PAID = ClaimStatus(
    level="claim",
    trace="S0001",
    payer=ACME,
    receiver=RECEIVER,
    provider=PROVIDER,
    subscriber=NAMED_ONLY,
    claim_id="ACC0001-1",
    payer_control="ICN1",
    service_from=SERVICE,
    reference="Q1",
    statuses=(
        StatusInfo(
            (StatusCode("F1", "65"),),
            datetime.date(2026, 11, 1),
            "",
            Decimal("850"),
            Decimal("300"),
            datetime.date(2026, 11, 1),
            "",
            datetime.date(2026, 11, 1),
            "EFT1",
        ),
    ),
    lines=(
        LineStatus(
            Procedure("72148", ("TC",)),
            Decimal("850"),
            Decimal("300"),
            Decimal("1"),
            (StatusInfo((StatusCode("F1", "65"),), datetime.date(2026, 11, 1)),),
            "ACC0001-1-1",
            SERVICE,
        ),
    ),
)


def answer(trace: str, category: str, status: str, action: str, charge: str = "850") -> ClaimStatus:
    return ClaimStatus(
        level="claim",
        trace=trace,
        payer=ACME,
        receiver=RECEIVER,
        provider=replace(PROVIDER, entity="85"),
        subscriber=replace(NAMED_ONLY, entity="QC"),
        claim_id=trace,
        payer_control=f"ICN{trace}",
        service_from=SERVICE,
        reference="R1",
        refs=(Reference("D9", "CH1"),),
        statuses=(
            StatusInfo(
                (StatusCode(category, status, "85"),),
                datetime.date(2026, 11, 2),
                action,
                Decimal(charge),
            ),
        ),
    )


def test_a_question_is_written_and_read_back() -> None:
    data = write_276(ENVELOPE, [QUESTION]).data
    assert list(read_276(data)) == [QUESTION]
    assert b"DTP*472*RD8*20261028-20261028~" in data


def test_a_question_about_a_childs_claim() -> None:
    question = replace(QUESTION, subscriber=NAMED_ONLY, dependent=replace(CHILD, address=None))
    assert list(read_276(write_276(ENVELOPE, [question]).data)) == [question]


def test_an_answer_with_its_lines_is_written_and_read_back() -> None:
    (found,) = read_277(write_277(ENVELOPE, [PAID]).data)
    assert found == PAID
    assert found.origin.kind == "277"
    assert found.statuses[0].check_number == "EFT1"


def test_a_clearinghouse_says_which_claims_it_took_and_which_not() -> None:
    given = [answer("ACC1", "A2", "20", "WQ"), answer("ACC2", "A7", "562", "U", "100")]
    written = write_277ca(ENVELOPE, given, reference="R1", batch_trace="B000101")
    found = list(read_277(written.data))
    assert [item.level for item in found] == ["source", "receiver", "provider", "claim", "claim"]
    batch = found[1]
    assert batch.trace == "B000101"
    assert batch.statuses[0].charge == Decimal("950")
    assert [(q.qualifier, q.quantity) for q in batch.quantities] == [
        ("90", Decimal("1")),
        ("AA", Decimal("1")),
    ]
    claims = [item for item in found if item.level == "claim"]
    assert claims == given
    assert [(item.claim_id, item.accepted, item.rejected) for item in claims] == [
        ("ACC1", True, False),
        ("ACC2", False, True),
    ]
    assert all(item.origin.kind == "277CA" for item in found)
    document = Document(written.data)
    list(document.sets())
    assert document.envelope_errors == []


def test_several_reasons_and_a_message_of_one_status() -> None:
    info = StatusInfo(
        (StatusCode("A7", "562", "85"), StatusCode("A7", "128"), StatusCode("A3", "21")),
        None,
        "U",
        None,
        message="CALL US",
    )
    (found,) = read_277(write_277(ENVELOPE, [replace(PAID, statuses=(info,), lines=())]).data)
    assert found.statuses == (info,)
    assert found.rejected


def test_a_status_without_a_trace_is_not_lost() -> None:
    data = write_277(ENVELOPE, [PAID]).data.replace(b"TRN*2*S0001~", b"")
    (found,) = read_277(data)
    assert (found.trace, found.statuses[0].paid) == ("", Decimal("300"))
