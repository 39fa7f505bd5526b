"""Corrections by the payer's own way: in place, replacement, void, new claim, reopening; the next
payer.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from charges.models import Charge
from claims.coordination import Earlier, three_amounts
from claims.models import Claim, Submission
from claims.records import Adjudicated, Changes, LineDecision, Outcome, PayerDecision, Route
from claims.services import (
    ChargesChanged,
    charges_changed,
    claim_correct,
    claim_edit,
    claim_secondary,
    claim_void,
    claims_adjudicated,
    claims_close,
    claims_scrub,
    claims_submit,
    corrections_due,
)
from intake.models import Coverage
from rcm.accounts.problems import Conflict, Refused
from rcm.exchange.models import Interchange
from rcm.ledger.models import LedgerEntry
from rcm.worklist.models import WorkItem
from rcm.x12 import guide, read_837
from tests.claims.house import NOW, answer_277ca, blocks, inbound, payer, ready, sent

LATER = NOW + dt.timedelta(days=20)


def accepted(house, icn: str = "ICN1", **more) -> Claim:
    claim = sent(house, **more)
    inbound(house, "277CA", answer_277ca((claim.number, "A2:20:PR", icn)))
    claim.refresh_from_db()
    return claim


def decided(house, outcome: Outcome = Outcome.DENIED, **more) -> Claim:
    claim = accepted(house, **more)
    told = Adjudicated(claim.pk, outcome, LATER.date(), payer_control_number="ICN1")
    claims_adjudicated(items=[told], actor=house.actor, at=LATER)
    claim.refresh_from_db()
    return claim


def test_a_decision_keeps_number_day_and_window(house):
    claim = decided(house)
    assert claim.status == "denied"
    assert claim.decided_on == LATER.date()
    assert claim.corrected_deadline == LATER.date() + dt.timedelta(days=claim.payer.corrected_days)


def test_a_filed_claim_is_replaced_with_the_payers_number(house):
    claim = decided(house)
    made = claim_correct(
        claim=claim,
        reason="authorization found",
        changes=Changes(authorization_number="AUTH9"),
        actor=house.cast.actor("ben"),
        at=LATER,
    )
    assert made.route is Route.REPLACEMENT
    new = Claim.objects.get(pk=made.claim_id)
    assert (new.frequency, new.payer_control_number, new.replaces_id, new.authorization_number) == (
        "7",
        "ICN1",
        claim.pk,
        "AUTH9",
    )
    assert new.status == "ready", blocks(new)
    claim.refresh_from_db()
    assert claim.status == "denied"  # the original stands until the replacement is on its way
    again = claim_correct(
        claim=claim, reason="authorization found", actor=house.cast.actor("ben"), at=LATER
    )
    assert again.claim_id == new.pk
    claims_submit(claim_ids=[new.pk], actor=house.actor, at=LATER)
    claim.refresh_from_db()
    assert claim.status == "replaced"
    data = bytes(
        Interchange.objects.get(
            pk=Submission.objects.order_by("-id").first().interchange_id
        ).content
    )
    assert guide.check(data).valid
    (told,) = read_837(data)
    assert (told.frequency, told.payer_control, told.authorization) == ("7", "ICN1", "AUTH9")


def test_without_the_payers_number_a_replacement_is_refused(house):
    claim = decided(house)
    Claim.objects.filter(pk=claim.pk).update(payer_control_number="")
    with pytest.raises(Refused, match="payer's number") as refusal:
        claim_correct(claim=claim, reason="x", actor=house.cast.actor("ben"), at=LATER)
    assert refusal.value.field == "payer_control_number"


def test_original_medicare_is_reopened_not_replaced(house):
    """Medicare: frequency 7 and 8 are not taken; clerical errors go by reopening."""
    claim = decided(house, payer="MCR", auth=False)
    made = claim_correct(
        claim=claim, reason="wrong diagnosis", actor=house.cast.actor("ben"), at=LATER
    )
    assert (made.route, made.claim_id) == (Route.REOPENING, None)
    item = WorkItem.objects.get(queue="claim_corrections")
    assert "reopen" in item.fix
    assert Claim.objects.count() == 1


def test_medicares_unprocessable_claim_goes_as_a_new_original(house):
    """MA130: no appeal, a new claim."""
    claim = decided(house, payer="MCR", auth=False)
    made = claim_correct(
        claim=claim, reason="MA130", unprocessable=True, actor=house.cast.actor("ben"), at=LATER
    )
    assert made.route is Route.NEW_CLAIM
    new = Claim.objects.get(pk=made.claim_id)
    assert (new.frequency, new.payer_control_number, new.status) == ("1", "", "ready"), blocks(new)
    claim.refresh_from_db()
    assert claim.status == "replaced"


def test_a_rejected_claim_is_changed_in_place(house):
    claim = sent(house)
    inbound(house, "277CA", answer_277ca((claim.number, "A7:164:IL", "")))
    made = claim_correct(
        claim=claim,
        reason="card",
        changes=Changes(note="CARD ON FILE"),
        actor=house.cast.actor("ben"),
        at=NOW,
    )
    assert made.route is Route.EDITED
    claim.refresh_from_db()
    assert (claim.status, claim.note, claim.frequency) == ("ready", "CARD ON FILE", "1")


def test_an_edit_is_refused_after_filing_and_by_the_second_of_two(house):
    claim = ready(house)
    ben = house.cast.actor("ben")
    claim_edit(
        claim=claim,
        changes=Changes(diagnoses=["R51.9", "G43.909"]),
        reason="report",
        version=claim.version,
        actor=ben,
        at=NOW,
    )
    with pytest.raises(Conflict):
        claim_edit(
            claim=claim,
            changes=Changes(note="x"),
            reason="x",
            version=claim.version,
            actor=ben,
            at=NOW,
        )
    claim.refresh_from_db()
    assert claim.diagnoses == ["R519", "G43909"]
    with pytest.raises(Refused, match="check its ten digits"):
        claim_edit(
            claim=claim, changes=Changes(referring_npi="1234567890"), reason="x", actor=ben, at=NOW
        )
    claims_submit(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    with pytest.raises(Refused, match="corrected by a replacement"):
        claim_edit(claim=claim, changes=Changes(note="x"), reason="x", actor=ben, at=NOW)


def test_before_filing_a_void_frees_the_charges(house):
    claim = ready(house)
    made = claim_void(claim=claim, reason="wrong coverage", actor=house.cast.actor("ben"), at=NOW)
    claim.refresh_from_db()
    assert (made.route, claim.status) == (Route.VOID, "void")
    assert {c.status for c in Charge.objects.filter(claim_lines__claim=claim)} == {"released"}
    item = WorkItem.objects.get(subject_type="exam_claim")
    assert (item.queue, item.status, item.dollars) == ("off_claim", "open", claim.expected)


def test_after_filing_a_void_is_a_claim_of_frequency_8(house):
    claim = accepted(house)
    made = claim_void(
        claim=claim, reason="exam of another patient", actor=house.cast.actor("ben"), at=NOW
    )
    new = Claim.objects.get(pk=made.claim_id)
    assert (new.frequency, new.status, new.payer_control_number) == ("8", "ready", "ICN1"), blocks(
        new
    )
    claims_submit(claim_ids=[new.pk], actor=house.actor, at=NOW)
    claim.refresh_from_db()
    assert claim.status == "void"


def corrected_charges(claim: Claim) -> tuple[list[int], list[int]]:
    """70553 with its contrast becomes 70551: as the mid-cycle leaves it."""
    old = [x.charge for x in claim.lines.order_by("number")]
    new = Charge.objects.get(pk=old[0].pk)
    new.pk, new.public_id, new.code, new.amount, new.expected, new.status = (
        None,
        _uuid(),
        "70551",
        Decimal("900.00"),
        None,
        "released",
    )
    new._state.adding = True
    new.save()
    Charge.objects.filter(pk__in=[c.pk for c in old]).update(status="void")
    exam = old[0].exam
    type(exam).objects.filter(pk=exam.pk).update(
        code="70551", performed={"contrast": {"route": "none"}}
    )
    return [c.pk for c in old], [new.pk]


def change(house, claim: Claim, old: list[int], new: list[int], at=NOW):
    told = ChargesChanged(claim.lines.first().charge.exam_id, old, new, "corrected_report")
    return charges_changed(
        organization_id=house.cast.a.pk, changes=[told], actor=house.actor, at=at
    )


def test_j7_a_corrected_report_after_acceptance_sends_frequency_7_without_the_contrast(house):
    """A corrected report changes 70553 to 70551 after acceptance: corrected claim 7, the A9585 line
    is gone.
    """
    claim = accepted(house, code="70553", contrast=True)
    old, new = corrected_charges(claim)
    (made,) = change(house, claim, old, new)
    assert made.route is Route.REPLACEMENT
    corrected = Claim.objects.get(pk=made.claim_id)
    assert [x.code for x in corrected.lines.all()] == ["70551"]
    assert (corrected.frequency, corrected.total, corrected.payer_control_number) == (
        "7",
        Decimal("900.00"),
        "ICN1",
    )
    assert corrected.status == "ready", blocks(corrected)
    change(house, claim, old, new)
    assert Claim.objects.exclude(status__in=["void", "replaced"]).count() == 2


def test_j7_medicare_is_reopened_instead(house):
    claim = accepted(house, code="70553", contrast=True, payer="MCR", auth=False)
    old, new = corrected_charges(claim)
    made, *_ = change(house, claim, old, new)
    assert made.route is Route.REOPENING


def test_an_unsent_claim_is_rebuilt(house):
    claim = ready(house, code="70553", contrast=True)
    old, new = corrected_charges(claim)
    (made,) = change(house, claim, old, new)
    claim.refresh_from_db()
    assert made.route is Route.EDITED
    assert [x.code for x in claim.lines.all()] == ["70551"]
    assert (claim.status, claim.total) == ("ready", Decimal("900.00")), blocks(claim)


def test_a_claim_on_its_way_is_corrected_when_the_payer_answers(house):
    claim = sent(house, code="70553", contrast=True)
    old, new = corrected_charges(claim)
    (made,) = change(house, claim, old, new)
    assert made.route is Route.WAITING
    assert corrections_due(organization_id=house.cast.a.pk, actor=house.actor, at=NOW) == []
    inbound(house, "277CA", answer_277ca((claim.number, "A2:20:PR", "ICN1")))
    (made,) = corrections_due(organization_id=house.cast.a.pk, actor=house.actor, at=NOW)
    assert made.route is Route.REPLACEMENT
    assert [x.code for x in Claim.objects.get(pk=made.claim_id).lines.all()] == ["70551"]
    assert corrections_due(organization_id=house.cast.a.pk, actor=house.actor, at=NOW) == []


def test_nothing_left_to_bill_voids_the_filed_claim(house):
    claim = accepted(house)
    (charge,) = Charge.objects.filter(claim_lines__claim=claim)
    Charge.objects.filter(pk=charge.pk).update(status="void")
    (made,) = change(house, claim, [charge.pk], [])
    assert (made.route, Claim.objects.get(pk=made.claim_id).frequency) == (Route.VOID, "8")


def secondary_of(house, claim: Claim) -> Coverage:
    return Coverage.objects.create(
        organization=house.cast.a,
        patient=claim.patient,
        payer=payer("LBI"),
        member_id="XYZ123456789",
        rank=2,
        status="active",
        verified_at=NOW,
    )


def test_the_second_payer_hears_what_the_first_decided_line_by_line(house):
    claim = decided(house, Outcome.PAID)
    secondary_of(house, claim)
    line = claim.lines.get()
    told = PayerDecision(
        claim.pk,
        LATER.date(),
        Decimal("250.00"),
        [
            LineDecision(
                line.pk,
                Decimal("250.00"),
                [("CO", "45", Decimal("600.00")), ("PR", "2", Decimal("50.00"))],
            )
        ],
        payer_control_number="ICN1",
    )
    second = claim_secondary(decision=told, actor=house.actor, at=LATER)
    assert second is not None
    assert (second.rank, second.payer.code, second.primary_claim_id) == (2, "LBI", claim.pk)
    assert second.expected == Decimal("50.00")
    assert second.filing_deadline == LATER.date() + dt.timedelta(
        days=second.payer.secondary_filing_days
    )
    assert second.status == "ready", blocks(second)
    again = claim_secondary(decision=told, actor=house.actor, at=LATER)
    assert again is not None
    assert again.pk == second.pk
    result = claims_submit(claim_ids=[second.pk], actor=house.actor, at=LATER)
    assert result.claim_ids == [second.pk], result.held
    data = bytes(
        Interchange.objects.get(
            pk=Submission.objects.order_by("-id").first().interchange_id
        ).content
    )
    assert guide.check(data).valid
    (sent_claim,) = read_837(data)
    assert sent_claim.payer_sequence == "S"
    (other,) = sent_claim.other_payers
    assert (other.sequence, other.paid, other.payer.id) == ("P", Decimal("250.00"), "PRHP1")
    (adjudication,) = sent_claim.lines[0].adjudications
    assert [(a.group, a.reason, a.amount) for a in adjudication.adjustments] == [
        ("CO", "45", Decimal("600.00")),
        ("PR", "2", Decimal("50.00")),
    ]


def test_a_group_stands_once_and_the_next_payer_sees_only_its_own_authorization(house):
    claim = decided(house, Outcome.PAID)
    secondary_of(house, claim)
    line = claim.lines.get()
    told = PayerDecision(
        claim.pk,
        LATER.date(),
        Decimal("250.00"),
        [
            LineDecision(
                line.pk,
                Decimal("250.00"),
                [
                    ("CO", "45", Decimal("500.00")),
                    ("PR", "2", Decimal("50.00")),
                    ("CO", "253", Decimal("100.00")),
                ],
            )
        ],
    )
    second = claim_secondary(decision=told, actor=house.actor, at=LATER)
    assert second is not None
    assert (claim.authorization_number, second.authorization_number) == ("AUTHM1", "")
    assert second.status == "ready", blocks(second)
    result = claims_submit(claim_ids=[second.pk], actor=house.actor, at=LATER)
    assert result.claim_ids == [second.pk], result.held
    submission = Submission.objects.order_by("-id").first()
    data = bytes(Interchange.objects.get(pk=submission.interchange_id).content)
    assert guide.check(data).valid
    assert data.count(b"CAS*CO*45*500**253*100") == 1
    assert data.count(b"CAS*CO*") == 1
    (sent_claim,) = read_837(data)
    assert sent_claim.authorization == ""
    assert sent_claim.other_payers[0].authorization == "AUTHM1"


def test_medicare_second_is_expected_to_pay_the_lowest_of_three(house):
    claim = decided(house, Outcome.PAID)
    Coverage.objects.create(
        organization=house.cast.a,
        patient=claim.patient,
        payer=payer("MCR"),
        member_id="1EG4TE5MK73",
        rank=2,
        status="active",
        verified_at=NOW,
    )
    line = claim.lines.get()
    paid = line.amount - Decimal("100.00")
    told = PayerDecision(
        claim.pk,
        LATER.date(),
        paid,
        [
            LineDecision(
                line.pk,
                paid,
                [("CO", "45", Decimal("70.00")), ("PR", "2", Decimal("30.00"))],
            )
        ],
    )
    second = claim_secondary(decision=told, actor=house.actor, at=LATER)
    assert second is not None
    # accepted less paid, and the higher allowed less paid, are both 30.00
    assert second.expected == Decimal("30.00")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        # the provider must accept 100: 100 - 80
        (("150", "80", "50", "40", "130", "104"), "20"),
        # Medicare alone would pay 10
        (("150", "80", "0", "70", "12.50", "10"), "10"),
        # the higher allowed amount is Medicare's 90: 90 - 80
        (("150", "80", "30", "5", "90", "72"), "10"),
        # the earlier payer gave more than Medicare allows
        (("150", "120", "30", "0", "90", "72"), "0"),
    ],
)
def test_medicares_formula_takes_the_lowest_of_three(line, wanted):
    assert three_amounts(Earlier(*(Decimal(x) for x in line))).lowest == Decimal(wanted)


def test_without_a_second_coverage_there_is_no_second_claim(house):
    claim = decided(house, Outcome.PAID)
    assert (
        claim_secondary(
            decision=PayerDecision(claim.pk, LATER.date(), Decimal("1.00"), []),
            actor=house.actor,
            at=LATER,
        )
        is None
    )


def test_a_zero_balance_closes_the_claim_and_a_late_reversal_moves_nothing(house):
    claim = decided(house, Outcome.PAID)
    assert (
        claims_close(claim_ids=[claim.pk], reason="Balance zero", actor=house.actor, at=LATER) == 1
    )
    claims_adjudicated(
        items=[Adjudicated(claim.pk, Outcome.REVERSED, LATER.date())], actor=house.actor, at=LATER
    )
    claim.refresh_from_db()
    assert claim.status == "closed"


def test_claims_move_no_money(house):
    before = LedgerEntry.objects.count()
    claim = accepted(house)
    ledger = LedgerEntry.objects.count()
    claim_void(claim=claim, reason="x", actor=house.cast.actor("ben"), at=NOW)
    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    assert LedgerEntry.objects.count() == ledger
    assert ledger > before  # the release of the charges did


def _uuid():
    from rcm.accounts.tenancy import uuid7

    return uuid7()
