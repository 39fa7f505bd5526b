"""Files of several kinds: every set of every group of every interchange has an outcome, and what
nobody reads is somebody's work.
"""

from __future__ import annotations

import pytest

from claims.models import Submission, SubmissionStatus
from rcm.exchange.contents import kinds_in
from rcm.exchange.detect import detect
from rcm.exchange.models import Interchange, InterchangeStatus, ReceivedSet
from rcm.exchange.services import drain, process, replay, store_inbound, store_outbound
from rcm.worklist.models import WorkItem
from remittance.models import Remittance
from remittance.services import advice_upload

from .house import AT, D, claim_of, era, head
from .test_posting import CLEAN

ENDS = "~\n"


def isa(control: int, *groups: str) -> str:
    return (
        "ISA*00*          *00*          *ZZ*CLRHOUSE       *ZZ*CANA          "
        f" *260925*0800*^*00501*{control:09d}*0*T*:{ENDS}{''.join(groups)}"
        f"IEA*{len(groups)}*{control:09d}{ENDS}"
    )


def group(code: str, control: int, version: str, *sets: str) -> str:
    parts = [f"GS*{code}*CLRHOUSE*CANA*20260925*0800*{control}*X*{version}"]
    for n, body in enumerate(sets, 1):
        kind, *lines = [line.strip() for line in body.strip().splitlines() if line.strip()]
        parts += [f"ST*{kind}*{n:04d}", *lines, f"SE*{len(lines) + 2}*{n:04d}"]
    parts.append(f"GE*{len(sets)}*{control}")
    return "".join(part + ENDS for part in parts)


def accepted(number: int) -> str:
    return f"999\nAK1*HC*{number}*005010X222A1\nAK2*837*0001*005010X222A1\nIK5*A\nAK9*A*1*1*1"


def paid(claim: str = "C1", icn: str = "ICN1", trace: str = "EFT1") -> str:
    return "835\n" + head("150", trace=trace) + CLEAN.replace("C1", claim).replace("ICN1", icn)


def acknowledging(number: int, control: int = 1) -> str:
    return group("FA", control, "005010X231A1", accepted(number))


def paying(*sets: str, control: int = 2) -> str:
    return group("HP", control, "005010X221A1", *sets)


@pytest.fixture
def sent(house) -> Submission:
    """A file of claims that went out as group 387."""
    interchange = store_outbound(
        organization_id=house.a.pk,
        kind="837P",
        content=b"ISA",
        connection=None,
        control_number="000000387",
        at=AT,
        actor=house.system,
    )
    return Submission.objects.create(
        organization=house.a,
        number="F1",
        interchange=interchange,
        group_control="387",
        built_at=AT,
        sent_at=AT,
        status=SubmissionStatus.SENT,
        claims_count=0,
        total=D(0),
    )


def take(house, text: str) -> Interchange:
    content = text.encode()
    found = detect(content)
    row, _ = store_inbound(
        organization_id=house.a.pk,
        kind=found.kind,
        content=content,
        control_number=found.control_number,
        at=AT,
        actor=house.system,
    )
    process([row.pk], actor=house.system, at=AT)
    row.refresh_from_db()
    return row


def outcomes(row: Interchange) -> list[tuple[str, str]]:
    return list(row.sets.order_by("position").values_list("kind", "outcome"))


@pytest.mark.parametrize(
    "text",
    [
        isa(1, acknowledging(387)) + isa(2, paying(paid())),
        isa(1, acknowledging(387), paying(paid())),
        isa(1, paying(paid()), acknowledging(387)),
        isa(1, paying(paid())) + isa(2, acknowledging(387)),
    ],
)
def test_a_999_and_an_835_in_one_file_are_both_read_in_any_order(house, sent, text):
    claim_of(house, "C1", [("70551", "500", "200")])
    row = take(house, text)
    assert row.status == InterchangeStatus.PROCESSED
    assert sorted(outcomes(row)) == [("835", "read"), ("999", "read")]
    assert (row.summary["remittances"], row.summary["accepted"]) == (1, 1)
    sent.refresh_from_db()
    assert sent.status == SubmissionStatus.ACCEPTED
    assert Remittance.objects.get().amount == D("150.00")


def test_what_nobody_reads_is_said_and_costs_the_rest_nothing(house, sent):
    claim_of(house, "C1", [("70551", "500", "200")])
    other = group("RA", 3, "005010X218", "820\nBPR*I*10*C*NON\nTRN*1*X")
    row = take(house, isa(1, other, paying(paid()), acknowledging(387)))
    assert row.status == InterchangeStatus.QUARANTINED
    assert row.error == "1 of the kind 820 in this file: nobody here reads it."
    assert outcomes(row) == [("820", "nobody"), ("835", "read"), ("999", "read")]
    assert Remittance.objects.get().status == "ready"
    drain([house.a.pk], at=AT)
    assert WorkItem.objects.filter(queue="messages", subject_id=row.pk).exists()


def test_a_part_that_does_not_fit_leaves_the_other_read_and_is_a_persons_work(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    row = take(house, isa(1, acknowledging(999), paying(paid())))
    assert row.status == InterchangeStatus.QUARANTINED
    assert row.error == "999: This 999 answers a file that was not sent from here."
    assert outcomes(row) == [("999", "refused"), ("835", "read")]
    assert Remittance.objects.count() == 1


def test_one_answer_of_a_999_that_is_ours_counts_although_another_is_not(house, sent):
    both = group("FA", 1, "005010X231A1", accepted(387), accepted(555))
    row = take(house, isa(1, both))
    sent.refresh_from_db()
    assert sent.status == SubmissionStatus.ACCEPTED
    assert row.status == InterchangeStatus.QUARANTINED
    assert row.error == "It also answers groups that were not sent from here: 555."


def test_a_999_for_no_group_of_ours_and_a_277_that_answers_nothing_are_said(house):
    strange = group("FA", 1, "005010X231A1", accepted(12).replace("HC*12", "HI*12"))
    assert "not sent from here" in take(house, isa(1, strange)).error
    body = """277
        BHT*0010*08*X*20260925*0800*DG
        HL*1**20*1
        NM1*PR*2*PRAIRIE*****PI*PRHP1
        HL*2*1*21*1
        NM1*41*2*CANA*****46*CANA
        HL*3*2*19*1
        NM1*1P*2*CANA*****XX*1679576722
        HL*4*3*22*0
        NM1*IL*1*SAMPLE*PAT****MI*M1
        TRN*2*NEVERASKED
        STC*F1:65*20260925**500*150
    """
    row = take(house, isa(2, group("HN", 1, "005010X212", body)))
    assert row.status == InterchangeStatus.QUARANTINED
    assert row.error == "This 277 answers no question that was asked from here."


def test_copies_held_sets_and_repeats_are_told_apart(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    stranger = paid(trace="E9").replace("1679576722", "1003000126")
    row = take(house, isa(1, paying(paid(), paid(), stranger)))
    assert outcomes(row) == [("835", "read"), ("835", "repeated"), ("835", "held")]
    biller = house.actor("ben")
    process([replay(row, actor=biller, at=AT).pk], actor=house.system, at=AT)
    assert outcomes(row) == [("835", "read"), ("835", "repeated"), ("835", "held")]
    assert Remittance.objects.count() == 2


def test_an_upload_takes_the_835_that_stands_behind_another_set(house, sent):
    claim_of(house, "C1", [("70551", "500", "200")])
    content = (isa(1, acknowledging(387)) + isa(2, paying(paid()))).encode()
    assert kinds_in(content) == ["999", "835"]
    row, _ = advice_upload(
        organization_id=house.a.pk,
        content=content,
        file_name="mixed.edi",
        actor=house.actor("pia"),
        at=AT,
    )
    process([row.pk], actor=house.system, at=AT)
    assert Remittance.objects.count() == 1
    # the same payment alone, by another door
    take(house, era(head("150") + CLEAN, control=77).decode())
    assert Remittance.objects.count() == 1
    assert ReceivedSet.objects.filter(outcome="repeated").count() == 1
