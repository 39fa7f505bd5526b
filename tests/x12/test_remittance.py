"""835: a remittance a biller can read, the three balances, and what breaks them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcm.x12 import balance_835, read_835, stream_835, write_835
from rcm.x12.facts import describe
from rcm.x12.model import (
    Address,
    Adjustment,
    ClaimPayment,
    Contact,
    Money,
    Party,
    Procedure,
    ProviderAdjustment,
    Reference,
    Remittance,
    RemittanceHeader,
    RemittanceTrailer,
    ServicePayment,
)

from .cast import ENVELOPE, SAMPLES

# A lumbar MRI cut for being the second, a CT denied for want of authorization, an ultrasound taken
# back and paid anew as a smaller one, an old overpayment recovered and interest added.
REMITTANCE = (
    "ISA*00*          *00*          *ZZ*PAYERID01      *ZZ*IMGCTR01      "
    " *260925*0800*^*00501*000000101*0*T*:~"
    "GS*HP*PAYERID01*IMGCTR01*20260925*0800*101*X*005010X221A1~"
    "ST*835*0001~"
    "BPR*I*279.07*C*ACH*CCP*01*011000015*DA*0001*1512345678**01*071000013*DA*9988*20260925~"
    "TRN*1*EFT20260925001*1512345678~DTM*405*20260925~"
    "N1*PR*SAMPLE PART B PAYER~N3*PO BOX 1~N4*MADISON*WI*53708~PER*BL*EDI*TE*8005550100~"
    "N1*PE*SAMPLE IMAGING CENTER*XX*1679576722~REF*TJ*371234567~"
    "LX*1~"
    "CLP*IMG1001*1*2600*347.82*88.72*MB*ICN26090001*11*1~"
    "NM1*QC*1*SAMPLE*DOROTHY*Q***MI*1EG4TE5MK73~NM1*82*1*READER*IVAN****XX*1801889012~DTM*050*20260912~"
    "SVC*HC:70553*1500*248.51**1~DTM*472*20260908~CAS*CO*45*1183.03**253*5.07~CAS*PR*2*63.39~REF*6R*1001L1~AMT*B6*316.97~"
    "SVC*HC:72148*1100*99.31**1~DTM*472*20260908~CAS*CO*45*908.28**59*65.05**253*2.03~CAS*PR*2*25.33~REF*6R*1001L2~"
    "AMT*B6*126.67~LQ*HE*N361~"
    "CLP*IMG1002*4*900*0*0*MB*ICN26090002*11*1~NM1*QC*1*SAMPLE*HENRY****MI*2EG4TE5MK74~"
    "SVC*HC:74177*900*0**1~DTM*472*20260909~CAS*CO*197*900~REF*6R*1002L1~LQ*HE*N54~"
    "CLP*IMG0977*22*-450*-120*-30*MB*ICN26070900*11*1~NM1*QC*1*SAMPLE*MARIA****MI*3EG4TE5MK75~"
    "SVC*HC:76700*-450*-120**-1~DTM*472*20260702~CAS*CO*45*-300~CAS*PR*2*-30~"
    "CLP*IMG0977*1*450*100*30*MB*ICN26090977*11*7~NM1*QC*1*SAMPLE*MARIA****MI*3EG4TE5MK75~REF*F8*ICN26070900~"
    "SVC*HC:76705*450*100**1*HC:76700~DTM*472*20260702~CAS*CO*45*320~CAS*PR*2*30~"
    "PLB*1679576722*20261231*WO:ICN26050001*50*L6:INT0926*-1.25~"
    "SE*50*0001~GE*1*101~IEA*1*000000101~"
)


def read(text: str) -> Remittance:
    (remittance,) = read_835(text.encode())
    return remittance


def codes(remittance: Remittance) -> list[str]:
    return [item.code for item in remittance.findings]


def test_the_worked_remittance_balances_to_the_cent() -> None:
    remittance = read(REMITTANCE)
    trailer = remittance.trailer
    assert trailer.sum_paid == Decimal("327.82")
    assert trailer.sum_provider_adjustments == Decimal("48.75")
    assert (
        remittance.header.amount
        == Decimal("279.07")
        == trailer.sum_paid - trailer.sum_provider_adjustments
    )
    assert remittance.postable
    assert not remittance.findings


def test_the_header_names_payer_payee_and_payment() -> None:
    header = read(REMITTANCE).header
    assert (header.method, header.trace, header.trace_payer) == (
        "ACH",
        "EFT20260925001",
        "1512345678",
    )
    assert header.payment_date == header.production_date == datetime.date(2026, 9, 25)
    assert header.payer.name == "SAMPLE PART B PAYER"
    assert header.payer.address == Address("PO BOX 1", "", "MADISON", "WI", "53708")
    assert header.payer.contacts == (Contact("EDI", (("TE", "8005550100"),), "BL"),)
    assert (header.payee.npi, header.payee.tax_id) == ("1679576722", "371234567")
    assert (header.origin.isa13, header.origin.sender, header.origin.usage) == (
        "000000101",
        "PAYERID01",
        "T",
    )


def test_a_line_carries_its_reductions_remarks_and_our_line_number() -> None:
    claim = read(REMITTANCE).claims[0]
    second = claim.services[1]
    assert second.procedure == Procedure("72148")
    assert second.adjustments == (
        Adjustment("CO", "45", Decimal("908.28")),
        Adjustment("CO", "59", Decimal("65.05")),
        Adjustment("CO", "253", Decimal("2.03")),
        Adjustment("PR", "2", Decimal("25.33")),
    )
    assert (second.line_control, second.remarks, second.allowed) == (
        "1001L2",
        ("N361",),
        Decimal("126.67"),
    )
    assert second.service_date == datetime.date(2026, 9, 8)
    assert claim.rendering is not None
    assert claim.rendering.npi == "1801889012"
    assert claim.received == datetime.date(2026, 9, 12)


def test_a_denial_for_missing_authorization_is_read_whole() -> None:
    denied = read(REMITTANCE).claims[1]
    assert (denied.status, denied.paid, denied.payer_control) == ("4", Decimal("0"), "ICN26090002")
    assert denied.services[0].adjustments == (Adjustment("CO", "197", Decimal("900")),)


def test_a_reversal_and_its_correction_are_two_payments_under_one_claim_number() -> None:
    reversal, correction = read(REMITTANCE).claims[2:]
    assert reversal.claim_id == correction.claim_id == "IMG0977"
    assert reversal.is_reversal
    assert (reversal.paid, correction.paid) == (Decimal("-120"), Decimal("100"))
    assert correction.original_control == reversal.payer_control == "ICN26070900"
    assert correction.services[0].original_procedure == Procedure("76700")
    assert (reversal.index, correction.index) == (2, 3)


def test_provider_adjustments_carry_reason_reference_and_sign() -> None:
    assert read(REMITTANCE).trailer.provider_adjustments == (
        ProviderAdjustment(
            "1679576722", datetime.date(2026, 12, 31), "WO", "ICN26050001", Decimal("50")
        ),
        ProviderAdjustment(
            "1679576722", datetime.date(2026, 12, 31), "L6", "INT0926", Decimal("-1.25")
        ),
    )


@pytest.mark.parametrize(
    ("was", "becomes", "caught"),
    [
        ("SVC*HC:70553*1500*248.51", "SVC*HC:70553*1500*248.52", {"line-unbalanced"}),
        ("SVC*HC:70553*1500*", "SVC*HC:70553*1500.01*", {"line-unbalanced", "line-charges"}),
        ("CAS*CO*197*900", "CAS*CO*197*899.99", {"line-unbalanced", "claim-unbalanced"}),
        ("*347.82*88.72*", "*347.83*88.72*", {"claim-unbalanced", "transaction-unbalanced"}),
        ("CLP*IMG1002*4*900*", "CLP*IMG1002*4*900.01*", {"claim-unbalanced", "line-charges"}),
        ("BPR*I*279.07", "BPR*I*279.08", {"transaction-unbalanced"}),
        ("WO:ICN26050001*50*", "WO:ICN26050001*49.99*", {"transaction-unbalanced"}),
    ],
)
def test_one_cent_is_caught_at_its_level(was: str, becomes: str, caught: set[str]) -> None:
    damaged = read(REMITTANCE.replace(was, becomes, 1))
    assert set(codes(damaged)) == caught
    assert not damaged.postable


def test_the_figures_are_in_the_finding() -> None:
    damaged = read(REMITTANCE.replace("BPR*I*279.07", "BPR*I*279.08"))
    (finding,) = damaged.trailer.findings
    assert "327.82" in finding.message
    assert "48.75" in finding.message
    assert "279.08" in finding.message
    assert finding.todo


def test_patient_responsibility_that_differs_only_warns() -> None:
    remittance = read(REMITTANCE.replace("*347.82*88.72*", "*347.82*88.70*"))
    assert codes(remittance) == ["patient-share"]
    assert remittance.postable


def test_a_debit_takes_the_amount_back() -> None:
    text = REMITTANCE.replace("BPR*I*279.07*C*", "BPR*I*48.75*D*")
    start, end = text.index("LX*1~"), text.index("PLB*")
    remittance = read(text[:start] + text[end:])
    assert remittance.header.amount == Decimal("-48.75")
    assert remittance.trailer.balanced


def test_adjustments_go_by_place_so_an_empty_quantity_shifts_nothing() -> None:
    text = REMITTANCE.replace("CAS*CO*45*1183.03**253*5.07~", "CAS*CO*45*1183.03*****253*5.07~")
    line = read(text).claims[0].services[0]
    assert line.adjustments[:2] == (
        Adjustment("CO", "45", Decimal("1183.03")),
        Adjustment("CO", "253", Decimal("5.07")),
    )


def test_six_adjustments_fit_in_one_segment_and_six_pairs_in_one_plb() -> None:
    text = REMITTANCE.replace(
        "CAS*CO*197*900~", "CAS*CO*197*100*1*45*200*2*16*300*3*18*100*4*22*100*5*29*100*6~"
    ).replace("*50*L6:INT0926*-1.25~", "*10*WO:B*10*WO:C*10*WO:D*10*WO:E*10*L6:INT0926*-1.25~")
    remittance = read(text)
    assert [a.quantity for a in remittance.claims[1].services[0].adjustments] == [
        Decimal(i) for i in range(1, 7)
    ]
    assert len(remittance.trailer.provider_adjustments) == 6
    assert remittance.postable


@pytest.mark.parametrize(
    "text",
    ["NaN", "1E5", "Infinity", "1_000", "１２", "12,5", "1.005", "99999999999999", "--1", "x"],
)
def test_an_amount_that_is_none_is_refused_and_nothing_is_posted(text: str) -> None:
    damaged = read(REMITTANCE.replace("CAS*CO*197*900~", f"CAS*CO*197*{text}~"))
    assert "bad-amount" in codes(damaged)
    assert not damaged.postable
    assert not damaged.trailer.readable


def test_a_file_cut_off_before_its_end_is_never_postable() -> None:
    text = REMITTANCE[: REMITTANCE.index("SE*50")]
    remittance = read(text)
    assert "cut-off" in codes(remittance)
    assert not remittance.postable


def test_version_4010_balances_but_is_not_postable() -> None:
    remittance = read(REMITTANCE.replace("005010X221A1", "004010X091A1"))
    assert remittance.balanced
    assert not remittance.postable
    assert "004010" in remittance.header.refusal


def test_an_unknown_segment_is_a_finding_and_loses_nothing() -> None:
    remittance = read(REMITTANCE.replace("REF*6R*1001L1~", "ZZZ*1~REF*6R*1001L1~"))
    assert codes(remittance) == ["unknown-segment"]
    assert remittance.claims[0].services[0].line_control == "1001L1"
    assert remittance.postable


def test_the_same_trace_may_stand_in_two_sets() -> None:
    one_set = REMITTANCE[REMITTANCE.index("ST*835") : REMITTANCE.index("GE*1")]
    text = REMITTANCE.replace("GE*1*101", one_set.replace("*0001~", "*0002~") + "GE*2*101")
    remittances = list(read_835(text.encode()))
    assert [(item.header.trace, item.header.origin.st02) for item in remittances] == [
        ("EFT20260925001", "0001"),
        ("EFT20260925001", "0002"),
    ]
    assert all(item.postable for item in remittances)


def test_streaming_gives_the_same_parts_one_by_one() -> None:
    whole = read(REMITTANCE)
    header, *claims, trailer = stream_835(REMITTANCE.encode())
    assert (header, tuple(claims), trailer) == (whole.header, whole.claims, whole.trailer)
    ((_, balance),) = balance_835(REMITTANCE.encode())
    assert (balance.n_claims, balance.n_services, balance.n_reversals, balance.balanced) == (
        4,
        5,
        1,
        True,
    )


def test_the_facts_of_the_worked_remittance() -> None:
    (facts,) = describe(REMITTANCE.encode())["transactions"]
    assert (facts["bpr02"], facts["sum_clp04"], facts["sum_plb"]) == ("279.07", "327.82", "48.75")
    assert facts["cas_by_reason"]["CO-59"] == "65.05"
    assert (facts["n_reversals_clp02_22"], facts["balanced"]) == (1, True)


def test_the_made_sample_is_the_worked_example() -> None:
    path = SAMPLES / "made" / "835_mppr_denial_reversal_plb.edi"
    if not path.exists():
        pytest.skip("the reference samples are not beside this checkout")
    (remittance,) = read_835(path)
    assert remittance.postable
    assert remittance == read(REMITTANCE)


# --- properties -----------------------------------------------------------------------------------

CENTS = st.integers(-10_000_000, 10_000_000).map(lambda n: Decimal(n) / 100)
WORD = (
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -./&'#", min_size=1, max_size=20)
    .map(str.strip)
    .filter(bool)
)
CODE = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=5)
DAYS = st.dates(datetime.date(1990, 1, 1), datetime.date(2099, 12, 31))
ADJUSTMENTS = st.lists(
    st.builds(
        Adjustment,
        st.sampled_from(["CO", "PR", "OA", "PI"]),
        CODE,
        CENTS,
        st.none() | st.integers(0, 99).map(Decimal),
    ),
    max_size=8,
).map(tuple)
PROCEDURES = st.builds(Procedure, CODE, st.lists(CODE.map(lambda c: c[:2]), max_size=4).map(tuple))
REFS = st.lists(
    st.builds(Reference, st.sampled_from(["F8", "1L", "CE", "LU"]), WORD), max_size=3
).map(tuple)
PEOPLE = st.none() | st.builds(
    Party, st.just("QC"), WORD, WORD, WORD, st.just(""), st.just(True), st.just("MI"), CODE
)


@st.composite
def services(draw: Any) -> ServicePayment:
    adjustments = draw(ADJUSTMENTS)
    paid = draw(CENTS)
    start = draw(st.none() | DAYS)
    return ServicePayment(
        procedure=draw(PROCEDURES),
        charge=paid + sum((a.amount for a in adjustments), Decimal(0)),
        paid=paid,
        units=draw(st.none() | st.integers(-9, 99).map(Decimal)),
        original_procedure=draw(st.none() | PROCEDURES),
        service_date=start,
        service_end=draw(st.none() | DAYS) if start else None,
        adjustments=adjustments,
        line_control=draw(st.just("") | WORD),
        refs=draw(REFS),
        amounts=draw(
            st.lists(st.builds(Money, st.sampled_from(["B6", "AU"]), CENTS), max_size=2).map(tuple)
        ),
        remarks=draw(st.lists(CODE, max_size=3).map(tuple)),
    )


@st.composite
def payments(draw: Any) -> ClaimPayment:
    lines = draw(st.lists(services(), max_size=3).map(tuple))
    adjustments = draw(ADJUSTMENTS) if not lines else ()
    paid = sum((line.paid for line in lines), Decimal(0)) if lines else draw(CENTS)
    every = [*adjustments, *(a for line in lines for a in line.adjustments)]
    return ClaimPayment(
        claim_id=draw(WORD),
        status=draw(st.sampled_from(["1", "2", "4", "19", "22"])),
        charge=paid + sum((a.amount for a in every), Decimal(0)),
        paid=paid,
        patient_responsibility=sum((a.amount for a in every if a.group == "PR"), Decimal(0)),
        filing_code="MB",
        payer_control=draw(WORD),
        pos="11",
        frequency="1",
        patient=draw(PEOPLE),
        statement_from=draw(st.none() | DAYS),
        received=draw(st.none() | DAYS),
        adjustments=adjustments,
        moa=draw(st.lists(CODE, max_size=5).map(tuple)),
        refs=draw(REFS),
        services=lines,
    )


@st.composite
def remittances(draw: Any) -> Remittance:
    claims = draw(st.lists(payments(), max_size=4).map(tuple))
    withheld = draw(
        st.lists(
            st.builds(
                ProviderAdjustment,
                st.sampled_from(["1679576722", "1234567893"]),
                st.just(datetime.date(2026, 12, 31)),
                st.sampled_from(["WO", "FB", "L6"]),
                WORD,
                CENTS,
            ),
            max_size=8,
        ).map(tuple)
    )
    total = sum((c.paid for c in claims), Decimal(0)) - sum(
        (a.amount for a in withheld), Decimal(0)
    )
    return Remittance(
        RemittanceHeader(
            amount=total,
            handling="I",
            method="ACH",
            payment_date=draw(DAYS),
            trace=draw(CODE),
            trace_payer="1512345678",
            production_date=draw(st.none() | DAYS),
            payer=Party("PR", draw(WORD)),
            payee=Party("PE", draw(WORD), id_qualifier="XX", id="1679576722"),
        ),
        claims,
        RemittanceTrailer(withheld),
    )


def by_group(adjustments: Sequence[Adjustment]) -> tuple[Adjustment, ...]:
    """A group stands once in what is written, where it stood first."""
    order = list(dict.fromkeys(a.group for a in adjustments))
    return tuple(sorted(adjustments, key=lambda a: order.index(a.group)))


def grouped(given: Remittance) -> Remittance:
    """The same remittance as its 835 says it."""
    claims = [
        replace(
            claim,
            adjustments=by_group(claim.adjustments),
            services=tuple(
                replace(line, adjustments=by_group(line.adjustments)) for line in claim.services
            ),
        )
        for claim in given.claims
    ]
    return replace(given, claims=tuple(claims))


@settings(max_examples=60, deadline=None)
@given(st.lists(remittances(), min_size=1, max_size=2))
def test_what_is_written_is_read_back_and_balances(given_remittances: list[Remittance]) -> None:
    written = write_835(ENVELOPE, given_remittances)
    assert not written.findings
    found = list(read_835(written.data))
    assert found == [grouped(item) for item in given_remittances]
    assert all(item.trailer.balanced_lines and item.trailer.balanced_claims for item in found)
    assert all(item.trailer.balanced_transaction for item in found)


@settings(max_examples=60, deadline=None)
@given(remittances(), st.data())
def test_a_cent_moved_anywhere_is_always_caught(remittance: Remittance, data: Any) -> None:
    segments = write_835(ENVELOPE, [remittance]).data.decode().split("~")
    places = [
        (i, element)
        for i, segment in enumerate(segments)
        for element in {"BPR": (2,), "CLP": (3, 4), "SVC": (2, 3), "CAS": (3,), "PLB": (4,)}.get(
            segment.split("*")[0], ()
        )
        if len(segment.split("*")) > element and segment.split("*")[element]
    ]
    i, element = data.draw(st.sampled_from(places))
    parts = segments[i].split("*")
    parts[element] = str(Decimal(parts[element]) + Decimal("0.01"))
    segments[i] = "*".join(parts)
    (damaged,) = read_835("~".join(segments).encode())
    assert not damaged.trailer.balanced
