"""Claims to the next payer on the wire and on the page: every earlier payer with its own decision,
one segment for each group, and what Medicare is expected to pay when it comes second.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
import time_machine
from django.urls import reverse

from claims import events, guide
from claims.coordination import Earlier, earlier_line, three_amounts
from claims.facts import load_sheets
from claims.models import Claim, ClaimLine
from claims.records import Adjudicated, LineDecision, Outcome, PayerDecision
from claims.services import claim_secondary, claims_adjudicated, claims_scrub, claims_submit
from claims.services.coordinating import decisions_carry
from claims.x12_837p import adjustments
from intake.models import Coverage
from intake.services import coverage_update
from rcm.accounts.scope import scope
from rcm.exchange.models import Interchange, Outbox
from rcm.exchange.outbox import Event
from rcm.x12 import guide as x12_guide
from rcm.x12 import read_837
from rcm.x12.writers.claim import write_adjustments
from tests.claims.house import NOW, as_, blocks, built, envelope, payer, released
from tests.claims.test_correcting import LATER, decided

D = Decimal
Reasons = list[tuple[str, str, Decimal]]


def covered(house, claim: Claim, code: str, rank: int, **more) -> Coverage:
    members = {"MCR": "1EG4TE5MK73", "LBI": "XYZ123456789", "ESB": "EV12345678"}
    return Coverage.objects.create(
        organization=house.cast.a,
        patient=claim.patient,
        payer=payer(code),
        member_id=members[code],
        rank=rank,
        status="active",
        verified_at=NOW,
        **more,
    )


def told(claim: Claim, paid: str, reasons: Reasons, *, at: dt.datetime = LATER) -> PayerDecision:
    line = claim.lines.get()
    return PayerDecision(
        claim.pk,
        at.date(),
        D(paid),
        [LineDecision(line.pk, D(paid), reasons)],
        payer_control_number=f"ICN{claim.rank}",
    )


FIRST = [("CO", "45", D("600.00")), ("PR", "2", D("50.00"))]


def next_claim(house, decision: PayerDecision) -> Claim:
    made = claim_secondary(decision=decision, actor=house.actor, at=LATER)
    assert made is not None
    return made


def on_the_wire(house, claim: Claim) -> tuple[str, object]:
    """The claim's own file: its text and what a reader makes of it. The guide must have no word
    against it.
    """
    (sheet,) = load_sheets([claim.pk])
    data = guide.write([sheet], envelope(), connection=None).data
    result = x12_guide.check(data)
    assert result.valid, result.findings
    (read,) = read_837(data)
    return data.decode(), read


# --- segments -------------------------------------------------------------------------------------


def test_a_group_has_one_segment_of_six_reasons_and_a_second_only_for_the_seventh():
    rows = [("CO", str(n), f"{n}.00") for n in range(1, 8)]
    mixed = [rows[0], ("PR", "2", "50"), *rows[1:], ("OA", "23", "10")]
    written: list[tuple[str, ...]] = []
    write_adjustments(lambda *parts: written.append(parts), adjustments(mixed))
    assert [(part[1], (len(part) - 2) // 3) for part in written] == [
        ("CO", 6),
        ("CO", 1),
        ("PR", 1),
        ("OA", 1),
    ]


def test_a_reason_told_twice_is_told_once_with_its_sum_and_nothing_is_not_told():
    rows = [("CO", "45", "10"), ("CO", "45", "5.50"), ("PR", "2", "3"), ("PR", "2", "-3")]
    assert [(a.group, a.reason, a.amount) for a in adjustments(rows)] == [("CO", "45", D("15.50"))]


@pytest.mark.parametrize("form", ["837P", "837I"])
def test_lines_and_claim_carry_one_segment_for_each_group_in_both_forms(house, form):
    claim = decided(house, Outcome.PAID)
    covered(house, claim, "LBI", 2)
    line = claim.lines.get()
    decision = PayerDecision(
        claim.pk,
        LATER.date(),
        D("250.00"),
        [
            LineDecision(
                line.pk,
                D("280.00"),
                [("CO", "45", D(500)), ("PR", "2", D(50)), ("CO", "253", D(70))],
            )
        ],
        [("CO", "104", D(20)), ("OA", "100", D(4)), ("CO", "B4", D(6))],
    )
    second = next_claim(house, decision)
    Claim.objects.filter(pk=second.pk).update(form=form)
    text, read = on_the_wire(house, second)
    assert text.count("CAS*CO*104*20**B4*6~") == 1
    assert text.count("CAS*CO*45*500**253*70~") == 1
    assert (text.count("CAS*CO*"), text.count("CAS*PR*"), text.count("CAS*OA*")) == (2, 1, 1)
    (other,) = read.other_payers
    (own,) = read.lines[0].adjudications
    assert (other.paid, own.paid, own.paid_date) == (D("250.00"), D("280.00"), LATER.date())
    assert own.payer_id == other.payer.id
    if form == "837I":
        assert own.revenue_code == read.lines[0].revenue_code != ""


@pytest.mark.parametrize("form", ["837P", "837I"])
def test_a_decision_on_the_whole_claim_has_its_day_and_what_is_left_with_the_payer(house, form):
    claim = decided(house, Outcome.PAID)
    covered(house, claim, "LBI", 2)
    decision = PayerDecision(claim.pk, LATER.date(), D("250.00"), [], FIRST)
    second = next_claim(house, decision)
    Claim.objects.filter(pk=second.pk).update(form=form)
    text, read = on_the_wire(house, second)
    (other,) = read.other_payers
    assert (other.paid_date, other.remaining) == (LATER.date(), D("50.00"))
    assert read.lines[0].adjudications == ()
    assert second.expected == D("50.00")
    assert text.count("DTP*573*") == 1


def test_a_decision_that_does_not_come_to_the_charge_is_stopped_here_not_by_the_payer(house):
    first = decided(house, Outcome.PAID)
    covered(house, first, "LBI", 2)
    short = [("CO", "45", D("600.00")), ("PR", "2", D("49.00"))]
    second = next_claim(house, told(first, "250.00", short))
    assert "COB-007" in blocks(second)
    whole = next_claim(house, told(first, "250.00", FIRST))
    assert (whole.pk, whole.status) == (second.pk, "ready"), blocks(whole)


# --- three payers ---------------------------------------------------------------------------------


def third_claim(house) -> tuple[Claim, Claim, Claim]:
    """First paid 250.00, second 30.00 of the 50.00 that were left; 20.00 for the third."""
    first = decided(house, Outcome.PAID)
    covered(house, first, "LBI", 2)
    covered(house, first, "ESB", 3)
    second = next_claim(house, told(first, "250.00", FIRST))
    result = claims_submit(claim_ids=[second.pk], actor=house.actor, at=LATER)
    assert result.claim_ids == [second.pk], (result.held, blocks(second))
    day = LATER + dt.timedelta(days=14)
    decided_on = Adjudicated(
        second.pk, Outcome.PAID, day.date(), D(30), payer_control_number="ICN2"
    )
    claims_adjudicated(items=[decided_on], actor=house.actor, at=day)
    second.refresh_from_db()
    reasons = [("OA", "23", D("850.00")), ("PR", "3", D("20.00"))]
    third = claim_secondary(
        decision=told(second, "30.00", reasons, at=day), actor=house.actor, at=day
    )
    assert third is not None
    return first, second, third


def test_a_third_payer_hears_both_earlier_ones_by_line(house):
    _, _, third = third_claim(house)
    assert (third.rank, third.expected) == (3, D("20.00"))
    text, read = on_the_wire(house, third)
    assert read.payer_sequence == "T"
    assert [(o.sequence, o.payer.id, o.paid) for o in read.other_payers] == [
        ("P", payer("PHP").edi_id, D("250.00")),
        ("S", payer("LBI").edi_id, D("30.00")),
    ]
    one, two = read.lines[0].adjudications
    assert (one.payer_id, one.paid, one.paid_date) == (
        payer("PHP").edi_id,
        D("250.00"),
        LATER.date(),
    )
    assert (two.payer_id, two.paid) == (payer("LBI").edi_id, D("30.00"))
    assert two.paid_date == LATER.date() + dt.timedelta(days=14)
    for item in (one, two):
        assert item.paid + sum(a.amount for a in item.adjustments) == read.lines[0].charge
    # each payer's own number stands with it; this one has given none
    assert read.authorization == ""
    assert [o.authorization for o in read.other_payers] == ["AUTHM1", ""]
    assert [o.payer_control for o in read.other_payers] == ["ICN1", "ICN2"]
    assert text.count("SVD*") == text.count("DTP*573*") == 2


def test_a_third_payer_hears_both_on_an_institutional_claim(house):
    _, _, third = third_claim(house)
    Claim.objects.filter(pk=third.pk).update(form="837I")
    _, read = on_the_wire(house, third)
    assert [o.sequence for o in read.other_payers] == ["P", "S"]
    assert len(read.lines[0].adjudications) == 2


def test_a_rank_that_nobody_holds_leaves_no_gap_on_the_wire(house):
    first = decided(house, Outcome.PAID)
    covered(house, first, "LBI", 3)
    second = next_claim(house, told(first, "250.00", FIRST))
    assert second.rank == 3
    _, read = on_the_wire(house, second)
    assert read.payer_sequence == "S"
    assert [o.sequence for o in read.other_payers] == ["P"]


def test_a_payer_that_has_left_the_chart_since_is_still_told(house):
    first = decided(house, Outcome.PAID)
    covered(house, first, "LBI", 2)
    second = next_claim(house, told(first, "250.00", FIRST))
    Coverage.objects.filter(pk=first.coverage_id).update(active=False)
    claims_scrub(claim_ids=[second.pk], actor=house.actor, at=LATER)
    second.refresh_from_db()
    assert second.status == "ready", blocks(second)
    _, read = on_the_wire(house, second)
    assert [o.payer.id for o in read.other_payers] == [payer("PHP").edi_id]


def test_a_number_of_another_payer_does_not_go_on_the_first_claim_either(house):
    exam = released(house)
    assert exam.authorization is not None
    type(exam.authorization).objects.filter(pk=exam.authorization_id).update(payer=payer("LBI"))
    claim = built(house, exam)
    assert claim.authorization_number == ""
    assert all("authorization" not in line.extra for line in claim.lines.all())


def test_a_later_payers_replacement_keeps_each_decision_on_its_own_service(house):
    """Lines that stay get new numbers; what the first payer decided goes with the service."""
    first = decided(house, Outcome.PAID)
    covered(house, first, "LBI", 2)
    second = next_claim(house, told(first, "250.00", FIRST))
    line = second.lines.get()
    line.number = 3
    gone = ClaimLine(number=1, charge_id=line.charge_id + 1)
    second.extra["cob"][0]["lines"] = {
        "3": second.extra["cob"][0]["lines"]["1"],
        "1": {"paid": "1.00", "adjustments": []},
    }
    second.extra["expected_parts"] = [{"line": "3", "left": "50.00"}, {"line": "1", "left": "7"}]
    moved = ClaimLine(number=1, charge_id=line.charge_id)
    decisions_carry(second, [gone, line], [moved])
    (one,) = second.extra["cob"]
    assert {n: x["paid"] for n, x in one["lines"].items()} == {"1": "250.00"}
    assert second.extra["expected_parts"] == [{"line": "1", "left": "50.00"}]
    assert second.expected == D("50.00")
    decisions_carry(second, [moved], [moved, gone])
    assert second.expected is None


# --- Medicare second ------------------------------------------------------------------------------


def test_the_regulations_own_example():
    """42 CFR 411.33(e), example 1: charged 175, the first plan allowed 150 and paid 120, Medicare's
    schedule says 125. Medicare pays 30.
    """
    line = Earlier(D(175), D(120), D(0), D(30), D(125), D(100))
    three = three_amounts(line)
    assert (three.accepted, three.alone, three.allowed) == (D(55), D(100), D(30))
    assert three.lowest == D(30)


def test_what_the_first_payer_denied_binds_nobody_and_medicare_pays_as_if_alone(house):
    denied = {"paid": "0.00", "adjustments": [["CO", "96", "175.00"]]}
    three = three_amounts(earlier_line(D(175), [denied], D(125), D(100)))
    assert (three.accepted, three.allowed, three.lowest) == (D(175), D(125), D(100))
    to_patient = {"paid": "0.00", "adjustments": [["PR", "96", "175.00"]]}
    three = three_amounts(earlier_line(D(175), [to_patient], D(125), D(100)))
    assert three.lowest == D(100)


def test_after_two_payers_both_payments_count_and_the_higher_allowed_amount(house):
    one = {"paid": "80.00", "adjustments": [["CO", "45", "25.00"], ["PR", "2", "70.00"]]}
    two = {"paid": "40.00", "adjustments": [["OA", "23", "105.00"], ["PR", "2", "30.00"]]}
    three = three_amounts(earlier_line(D(175), [one, two], D(125), D(100)))
    # 175 less 25 that must be written off, less 120 paid; the first payer allowed 150
    assert (three.accepted, three.alone, three.allowed) == (D(30), D(100), D(30))


def test_medicare_second_says_why_and_without_a_reason_it_is_held(house):
    first = decided(house, Outcome.PAID)
    medicare = covered(house, first, "MCR", 2)
    second = next_claim(house, told(first, "250.00", FIRST))
    assert "COB-004" in blocks(second)
    coverage_update(coverage=medicare, second_reason="12", actor=house.actor, at=LATER)
    rows = Outbox.objects.filter(topic="coverage.changed", payload__coverage_id=medicare.pk)
    told_events = [Event(r.pk, r.topic, r.organization_id, r.payload) for r in rows]
    assert told_events
    events.on_coverage_changed(told_events, actor=house.actor, at=LATER)
    second.refresh_from_db()
    assert second.status == "ready", blocks(second)
    text, read = on_the_wire(house, second)
    assert (read.payer_sequence, read.insurance_type) == ("S", "12")
    assert "SBR*S*18***12****MB~" in text


def test_a_third_payer_hears_why_medicare_was_second(house):
    first = decided(house, Outcome.PAID)
    covered(house, first, "MCR", 2, second_reason="43")
    covered(house, first, "ESB", 3)
    second = next_claim(house, told(first, "250.00", FIRST))
    left = [("CO", "45", D(600)), ("OA", "23", D(250)), ("PR", "2", D(20))]
    third = next_claim(house, told(second, "30.00", left))
    _, read = on_the_wire(house, third)
    assert [(o.sequence, o.insurance_type) for o in read.other_payers] == [("P", ""), ("S", "43")]


def test_a_hospitals_claim_tells_medicare_by_value_codes(house):
    first = decided(house, Outcome.PAID)
    covered(house, first, "MCR", 2, second_reason="12")
    second = next_claim(house, told(first, "250.00", FIRST))
    Claim.objects.filter(pk=second.pk).update(form="837I")
    text, read = on_the_wire(house, second)
    assert "HI*BE:12:::250*BE:44:::300~" in text
    assert read.insurance_type == ""


def test_what_medicare_pays_a_hospital_is_not_guessed(house):
    first = decided(house, Outcome.PAID)
    covered(house, first, "MCR", 2, second_reason="12")
    Claim.objects.filter(pk=first.pk).update(form="837I")
    assert next_claim(house, told(first, "250.00", FIRST)).expected is None


def test_the_sum_by_line_is_the_claims_expected_payment_and_its_parts_are_kept(house):
    first = decided(house, Outcome.PAID)
    covered(house, first, "MCR", 2, second_reason="12")
    second = next_claim(house, told(first, "250.00", FIRST))
    (part,) = second.extra["expected_parts"]
    three = [D(part[name]) for name in ("accepted", "alone", "allowed")]
    assert three[0] == D("50.00")
    assert second.expected == D(part["expected"]) == max(D(0), min(three))


def test_the_claims_page_shows_earlier_payers_and_the_three_amounts(house_committed):
    house = house_committed
    with scope(house.actor):
        first = decided(house, Outcome.PAID)
        covered(house, first, "MCR", 2, second_reason="12")
        second = next_claim(house, told(first, "250.00", FIRST))
    with time_machine.travel(LATER, tick=True):
        ben = as_(house, "ben")
        page = ben.get(reverse("claims:claim", args=[second.public_id])).content.decode()
        plain = ben.get(reverse("claims:claim", args=[first.public_id])).content.decode()
    assert "Earlier payers, and what is expected now" in page
    assert "CO-45 $600.00, PR-2 $50.00" in page
    (part,) = second.extra["expected_parts"]
    for name in ("accepted", "alone", "allowed", "expected"):
        assert f"${D(part[name]):,.2f}" in page
    assert "Earlier payers, and what is expected now" not in plain


# --- the file that leaves -------------------------------------------------------------------------


def test_seven_reasons_on_three_lines_leave_through_the_whole_check(house):
    """As a file that is sent: every line with its own decision, and each balances."""
    first = decided(house, Outcome.PAID)
    line = first.lines.get()
    more = []
    for n in (2, 3):
        copy = ClaimLine.objects.get(pk=line.pk)
        copy.pk, copy.public_id, copy.number = None, ClaimLine().public_id, n
        copy.control = f"{first.number}-{n}"
        copy._state.adding = True
        copy.save()
        more.append(copy)
    first.total = line.amount * 3
    first.save()
    covered(house, first, "LBI", 2)
    reasons = [("CO", code, D(10)) for code in ("45", "131", "59", "94", "104", "B4", "P12")]
    reasons.append(("PR", "2", line.amount - D(70) - D(100)))
    lines = [LineDecision(x.pk, D(100), reasons) for x in (line, *more)]
    second = next_claim(house, PayerDecision(first.pk, LATER.date(), D(300), lines))
    text, read = on_the_wire(house, second)
    assert [len(x.adjudications) for x in read.lines] == [1, 1, 1]
    assert text.count("CAS*CO*") == 6
    assert text.count("CAS*PR*") == 3
    for x in read.lines:
        (own,) = x.adjudications
        assert own.paid + sum(a.amount for a in own.adjustments) == x.charge


def test_what_is_written_reads_back_as_it_was(house):
    _, _, third = third_claim(house)
    result = claims_submit(claim_ids=[third.pk], actor=house.actor, at=LATER)
    assert result.claim_ids == [third.pk], (result.held, blocks(third))
    data = bytes(Interchange.objects.order_by("-id").first().content)
    (sheet,) = load_sheets([third.pk])
    (read,) = read_837(data)
    wire = guide.as_claim(sheet)
    assert read.other_payers == wire.other_payers
    assert read.lines[0].adjudications == wire.lines[0].adjudications
