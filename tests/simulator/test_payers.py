"""The simulated payers over a real socket: every set asked and answered, twice is once, real faults
denied for real reasons.
"""

from __future__ import annotations

import threading
from datetime import date
from decimal import Decimal

import httpx
import pytest

from rcm.simulator.models import Received
from rcm.simulator.server import serve
from rcm.x12 import (
    Envelope,
    read_271,
    read_277,
    read_277ca,
    read_278_responses,
    read_835,
    read_999,
    write_270,
    write_276,
    write_278_request,
    write_837p,
)
from rcm.x12.model import (
    Address,
    AuthorizationRequest,
    AuthorizationService,
    Claim,
    Contact,
    Diagnosis,
    EligibilityRequest,
    Party,
    Procedure,
    Reference,
    ServiceLine,
    StatusRequest,
)

DAY = date(2026, 9, 8)
PAYER = Party(entity="PR", name="Prairie Health Plan", id_qualifier="PI", id="PRHP1")
HOME = Address("118 TEST ST", "", "SPRINGFIELD", "IL", "627010000")
CENTER = Party(
    entity="85",
    name="CANA IMAGING",
    id_qualifier="XX",
    id="1679576722",
    address=Address("100 MODALITY DR", "", "CHICAGO", "IL", "606011234"),
    taxonomy="261QR0200X",
    provider_role="BI",
    refs=(Reference("EI", "371234567"),),
)


def member(member_id: str) -> Party:
    return Party(
        entity="IL",
        name="SAMPLE",
        first="DOROTHY",
        person=True,
        id_qualifier="MI",
        id=member_id,
        birth_date=date(1952, 3, 14),
        sex="F",
        address=HOME,
    )


def file_of(control: int, claims: list[Claim], day: date = DAY) -> bytes:
    submitter = Party(
        entity="41",
        name="CANA IMAGING",
        id_qualifier="46",
        id="CANA",
        contacts=(Contact("BILLING", (("TE", "3125550100"),)),),
    )
    receiver = Party(entity="40", name="CLEARING HOUSE", id_qualifier="46", id="CLRHOUSE")
    return write_837p(envelope(control, day), claims, submitter=submitter, receiver=receiver).data


def envelope(control: int, day: date = DAY) -> Envelope:
    return Envelope(sender="CANA", receiver="CLRHOUSE", control=control, date=day, time="1000")


def claim(
    number: str,
    *lines: tuple[str, str],
    auth: str = "",
    day: date = DAY,
    member_id: str = "ABC123456780",
    frequency: str = "1",
    f8: str = "",
) -> Claim:
    rows = tuple(
        ServiceLine(Procedure(c), Decimal(a), f"{number}-{n}", service_date=day)
        for n, (c, a) in enumerate(lines, 1)
    )
    return Claim(
        number,
        sum((r.charge for r in rows), Decimal(0)),
        CENTER,
        member(member_id),
        PAYER,
        rows,
        (Diagnosis("R519", "ABK"),),
        authorization=auth,
        frequency=frequency,
        payer_control=f8,
    )


@pytest.fixture
def payer(transactional_db):
    server = serve("127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{server.server_address[1]}", timeout=60
    ) as client:
        yield client
    server.shutdown()
    server.server_close()


def mail(payer, as_of: str) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    while (r := payer.get("/x12/mailbox/CANA", params={"as_of": as_of})).status_code == 200:
        found.setdefault(r.headers["X-Mail-Kind"], []).append(r.content)
        payer.post(f"/x12/mailbox/CANA/{r.headers['X-Mail-Id']}/taken")
    return found


def test_a_270_is_answered_with_benefits_and_a_terminated_member_is_inactive(payer):
    def ask(member_id: str):
        request = EligibilityRequest(
            PAYER,
            Party(entity="1P", name="CANA IMAGING", id_qualifier="XX", id="1679576722"),
            member(member_id),
            f"T{member_id}",
            "9ISOCENTER",
            service_types=("62",),
            date_from=DAY,
        )
        return next(
            read_271(
                payer.post("/x12/realtime", content=write_270(envelope(1), [request]).data).content
            )
        )

    good = next(a for a in (ask(f"ABC12345678{n}") for n in range(9)) if a.active)
    assert any(b.code == "B" and b.amount == Decimal("50.00") for b in good.benefits)
    assert any(b.authorization == "Y" for b in good.benefits)
    assert ask("ABC123459990").inactive
    assert ask("ABC123459991").rejections[0].reason in {"72", "75"}


def authorize(payer, codes: list[str], trace: str = "AUTH1"):
    services = tuple(AuthorizationService(Procedure(c), trace=f"{trace}-{c}") for c in codes)
    request = AuthorizationRequest(
        Party(entity="X3", name="Prairie Health Plan", id_qualifier="PI", id="PRHP1"),
        Party(entity="1P", name="CANA IMAGING", id_qualifier="XX", id="1679576722"),
        member("ABC123456780"),
        trace,
        "9ISOCENTER",
        service_type="62",
        event_from=DAY,
        diagnoses=(Diagnosis("R519", "ABK"),),
        services=services,
    )
    return next(
        read_278_responses(
            payer.post(
                "/x12/realtime", content=write_278_request(envelope(2), [request]).data
            ).content
        )
    )


def test_a_claim_without_authorization_is_denied_197_and_with_it_is_paid_and_balances(payer):
    answer = next(
        a
        for a in (authorize(payer, ["70551"], f"AUTH{n}") for n in range(20))
        if a.decision.action == "A1"
    )
    numbers = [f"P{n}" for n in range(30)]
    batch = [
        claim(n, ("70551", "900.00"), auth=answer.decision.number, member_id=f"ABC1{i:08d}")
        for i, n in enumerate(numbers)
    ]
    batch.append(claim("NOAUTH", ("70551", "900.00"), member_id="ABC777777777"))
    assert payer.post("/x12/batch", content=file_of(3, batch)).status_code == 202
    first = mail(payer, "2026-09-09")
    assert next(read_999(first["999"][0])).accepted
    answers = {c.claim_id: c for c in read_277ca(first["277CA"][0]) if c.level == "claim"}
    assert set(answers) == {*numbers, "NOAUTH"}
    assert all(a.accepted or a.rejected for a in answers.values())
    paid = {}
    for content in mail(payer, "2026-10-20")["835"]:
        for remittance in read_835(content):
            assert remittance.balanced, remittance.findings
            paid |= {c.claim_id: c for c in remittance.claims}
    if answers["NOAUTH"].accepted:
        assert paid["NOAUTH"].status == "4"
        assert paid["NOAUTH"].services[0].adjustments[0].reason == "197"
    assert sum(1 for c in paid.values() if c.status == "1" and c.paid > 0) > 15


def test_the_same_file_twice_is_one_file(payer):
    data = file_of(4, [claim("TWICE", ("71046", "120.00"))])
    for _ in range(3):
        assert (
            payer.post("/x12/batch", content=data, headers={"Idempotency-Key": "k1"}).status_code
            == 202
        )
    assert Received.objects.filter(claim_id="TWICE").count() == 1
    other = file_of(5, [claim("OTHER", ("71046", "120.00"))])
    assert (
        payer.post("/x12/batch", content=other, headers={"Idempotency-Key": "k1"}).status_code
        == 422
    )


def test_a_second_first_claim_is_a_duplicate_and_a_late_one_is_past_the_limit(payer):
    same = [
        claim("D1", ("71046", "120.00")),
        claim("D2", ("71046", "120.00")),
        claim("LATE", ("71046", "120.00"), day=date(2026, 1, 5), member_id="ABC999999999"),
    ]
    payer.post("/x12/batch", content=file_of(6, same))
    rows = {r.claim_id: r for r in Received.objects.all()}
    if not rows["D1"].rejected and not rows["D2"].rejected:
        assert rows["D2"].decision["lines"][0]["cas"][0][1] == "18"
    assert rows["LATE"].rejected or rows["LATE"].decision["lines"][0]["cas"][0][1] == "29"


def test_a_276_is_answered_with_the_payers_own_number(payer):
    payer.post("/x12/batch", content=file_of(7, [claim("ASK", ("71046", "120.00"))]))
    request = StatusRequest(
        PAYER,
        Party(entity="41", name="CANA IMAGING", id_qualifier="46", id="CANA"),
        Party(entity="1P", name="CANA IMAGING", id_qualifier="XX", id="1679576722"),
        member("ABC123456780"),
        "T1",
        claim_id="ASK",
        charge=Decimal("120.00"),
        service_from=DAY,
        service_to=DAY,
    )
    answer = next(
        s
        for s in read_277(
            payer.post("/x12/realtime", content=write_276(envelope(8), [request]).data).content
        )
        if s.level == "claim"
    )
    assert answer.payer_control == Received.objects.get(claim_id="ASK").icn


def test_a_replaced_claim_comes_back_as_reversal_and_new_payment(payer):
    payer.post("/x12/batch", content=file_of(9, [claim("OLD", ("76705", "400.00"))]))
    old = Received.objects.get(claim_id="OLD")
    if old.rejected:
        pytest.skip("the payer's habit rejects this claim number")
    mail(payer, "2026-10-20")
    payer.post(
        "/x12/batch",
        content=file_of(
            10, [claim("NEW", ("76705", "400.00"), frequency="7", f8=old.icn)], date(2026, 10, 21)
        ),
    )
    claims = [
        c
        for content in mail(payer, "2026-11-30")["835"]
        for r in read_835(content)
        for c in r.claims
    ]
    assert [c.status for c in claims if c.claim_id == "OLD"] == ["22"]
    assert any(c.claim_id == "NEW" and c.original_control == old.icn for c in claims)


def test_what_is_no_x12_is_refused_with_a_sentence(payer):
    answer = payer.post("/x12/batch", content=b"hello")
    assert answer.status_code == 400
    assert answer.text
