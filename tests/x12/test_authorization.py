"""278: asking leave for Jane's MRI, and the answers a payer may give."""

from __future__ import annotations

import datetime
from dataclasses import replace
from decimal import Decimal

from rcm.x12 import (
    Document,
    read_278_requests,
    read_278_responses,
    write_278_request,
    write_278_response,
)
from rcm.x12.model import (
    Attachment,
    AuthorizationRequest,
    AuthorizationResponse,
    AuthorizationService,
    Contact,
    Decision,
    Diagnosis,
    Party,
    Procedure,
    Rejection,
    Trace,
)

from .cast import ANNA, BILLING, CHILD, ENVELOPE, JANE, NORTH

PAYER = Party("X3", "ACME HEALTH PLAN", id_qualifier="PI", id="60054")
PROVIDER = Party(
    "1P",
    BILLING.name,
    id_qualifier="XX",
    id=BILLING.id,
    contacts=(Contact("DESK", (("TE", "4085550100"),)),),
)
FIRST, LAST = datetime.date(2026, 11, 5), datetime.date(2026, 12, 5)
REQUEST = AuthorizationRequest(
    payer=PAYER,
    provider=PROVIDER,
    subscriber=JANE,
    trace="R0001",
    trace_origin="9123456789",
    service_type="62",
    pos="11",
    level_of_service="E",
    release="Y",
    event_from=FIRST,
    event_to=LAST,
    diagnoses=(Diagnosis("M5416", "ABK"),),
    attachments=(Attachment("OB", "EL", "ATT1"),),
    messages=("SIX WEEKS OF THERAPY FAILED",),
    providers=(replace(ANNA, entity="DK"), replace(NORTH, entity="FA")),
    services=(
        AuthorizationService(
            Procedure("72148"),
            Decimal("1"),
            charge=Decimal("850"),
            category="HS",
            service_type="62",
            service_from=FIRST,
        ),
    ),
    reference="R0001",
)
APPROVAL = AuthorizationResponse(
    payer=PAYER,
    provider=PROVIDER,
    subscriber=JANE,
    trace="R0001",
    traces=(Trace("R0001", "9123456789"),),
    category="HS",
    certification="I",
    service_type="62",
    pos="11",
    decision=Decision("A1", "PA99887766"),
    valid_from=FIRST,
    valid_to=LAST,
    issued=datetime.date(2026, 11, 2),
    expires=LAST,
    payer_control="NT1",
    services=(AuthorizationService(Procedure("72148"), decision=Decision("A1", "PA99887766")),),
    reference="R0001",
)


def ask(request: AuthorizationRequest) -> AuthorizationRequest:
    data = write_278_request(ENVELOPE, [request]).data
    document = Document(data)
    list(document.sets())
    assert document.envelope_errors == []
    (found,) = read_278_requests(data)
    return found


def tell(response: AuthorizationResponse) -> AuthorizationResponse:
    (found,) = read_278_responses(write_278_response(ENVELOPE, [response]).data)
    return found


def test_a_request_is_written_and_read_back() -> None:
    assert ask(REQUEST) == REQUEST


def test_a_request_for_a_child_and_a_change_of_an_earlier_one() -> None:
    request = replace(
        REQUEST,
        dependent=CHILD,
        relationship="19",
        certification="S",
        previous_number="PA1",
        payer_control="NT1",
    )
    assert ask(request) == request


def test_an_approval_is_written_and_read_back() -> None:
    assert tell(APPROVAL) == APPROVAL


def test_a_request_in_review_names_its_reasons() -> None:
    pended = replace(
        APPROVAL,
        decision=Decision("A4", "", ("0U", "0P")),
        services=(),
        valid_from=None,
        valid_to=None,
    )
    assert tell(pended) == pended


def test_a_partial_approval_decides_service_by_service() -> None:
    partial = replace(
        APPROVAL,
        decision=Decision("A2", "PA1"),
        services=(
            AuthorizationService(Procedure("72148"), decision=Decision("A1", "PA1")),
            AuthorizationService(
                Procedure("72149"),
                decision=Decision("A3", "", ("0A",)),
                rejections=(Rejection(False, "AG", "C", "service"),),
            ),
        ),
    )
    assert tell(partial) == partial


def test_a_member_not_found_leaves_no_decision() -> None:
    refused = AuthorizationResponse(
        payer=PAYER,
        provider=PROVIDER,
        subscriber=JANE,
        rejections=(Rejection(False, "75", "C", "subscriber"),),
        reference="R1",
    )
    assert tell(refused) == refused


def test_two_patients_of_one_set_keep_their_own_names() -> None:
    """Each event is complete before the next patient's level begins."""
    other = replace(JANE, name="SECOND", id="ZZ000000001")
    one = write_278_request(ENVELOPE, [REQUEST]).data.decode()
    two = write_278_request(ENVELOPE, [replace(REQUEST, subscriber=other)]).data.decode()
    head, _, rest = one.partition("~SE*")
    levels = two[two.index("~HL*3*") : two.index("~SE*")]
    both = (head + levels + "~SE*" + rest).encode()
    found = list(read_278_requests(both))
    assert [r.subscriber.id for r in found] == [JANE.id, "ZZ000000001"]
    assert [r.payer for r in found] == [PAYER, PAYER]
