"""Worked examples, as a biller reads them on the EOB and then in the ledger."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from claims.models import ClaimStatus
from intake.services import patient_merge
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Refused
from rcm.exchange.models import Outbox
from rcm.ledger.models import LedgerEntry, LedgerTransaction
from rcm.worklist.models import WorkItem
from remittance.models import (
    ClaimPayment,
    Denial,
    DenialStatus,
    PaymentState,
    Remittance,
    RemittanceStatus,
    UnappliedCash,
    Variance,
)
from remittance.services import (
    payment_apply,
    remittance_post,
    remittance_preview,
    remittance_reverse,
)
from remittance.services.protection import patient_verdicts

from .house import (
    AT,
    D,
    booked,
    claim_of,
    era,
    head,
    insurance,
    only,
    owed_by_patient,
    patient_with,
    payer,
    receive,
)

CLEAN = """
    CLP*C1*1*500*150*50*12*ICN1*11*1
    NM1*QC*1*SAMPLE*ANN****MI*MEM1
    SVC*HC:70551*500*150**1
    DTM*472*20260908
    CAS*CO*45*300
    CAS*PR*2*50
    REF*6R*C1L1
"""


def posted(house, remittance=None):
    remittance = remittance or only(house)
    result = remittance_post(remittance=remittance, actor=house.actor("pia"), at=AT)
    return remittance, result


def test_a_clean_claim_pays_adjusts_and_moves_the_coinsurance_to_the_patient(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    remittance, result = posted(house)
    assert remittance.status == RemittanceStatus.POSTED
    assert (result.claims, result.denials, result.unapplied, result.patients) == (1, 0, 0, 1)
    assert insurance(claim) == 0
    assert owed_by_patient(claim) == D("50.00")
    assert booked("cash") == D("150.00") == remittance.amount
    assert booked("contractual") == D("300.00")
    claim.refresh_from_db()
    assert claim.status == ClaimStatus.PAID
    assert claim.payer_control_number == "ICN1"
    assert (
        LedgerTransaction.objects.get(source_type="claim_payment").effect_key
        == "835:EFT1:1512345678:1:0"
    )
    assert not Variance.objects.exists()


def test_sequestration_has_its_own_account_and_is_no_variance(house):
    claim = claim_of(house, "C1", [("70553", "1500", "316.97")], payers=[payer("MCR")])
    body = """
        CLP*C1*1*1500*248.51*63.39*MB*ICN1*11*1
        SVC*HC:70553*1500*248.51**1
        CAS*CO*45*1183.03**253*5.07
        CAS*PR*2*63.39
        REF*6R*C1L1
    """
    receive(house, era(head("248.51") + body))
    posted(house)
    assert booked("sequestration") == D("5.07")
    assert booked("contractual") == D("1183.03")
    assert owed_by_patient(claim) == D("63.39")
    assert not Variance.objects.exists()


def test_a_denial_keeps_the_balance_open_and_is_never_a_contractual_write_off(house):
    claim = claim_of(house, "C1", [("74177", "900", "300")])
    body = """
        CLP*C1*4*900*0*0*12*ICN2*11*1
        SVC*HC:74177*900*0**1
        CAS*CO*197*900
        REF*6R*C1L1
        LQ*HE*N54
    """
    receive(house, era(head("0") + body))
    _, result = posted(house)
    assert result.denials == 1
    assert insurance(claim) == D("900.00")
    assert booked("contractual") == 0
    denial = Denial.objects.get()
    assert (denial.category, denial.amount, denial.expected, denial.status) == (
        "prior_auth",
        D("900.00"),
        D("300.00"),
        DenialStatus.OPEN,
    )
    assert denial.appeal_by == dt.date(2026, 9, 25) + dt.timedelta(days=180)
    assert denial.correct_by == dt.date(2026, 9, 25) + dt.timedelta(days=180)
    claim.refresh_from_db()
    assert claim.status == ClaimStatus.DENIED
    item = WorkItem.objects.get(queue="denials")
    assert (item.dollars, item.subject_id, item.cause) == (D("300.00"), denial.pk, "CO-197")
    assert item.deadline_on == denial.appeal_by
    assert item.facts["score"]["odds"] == "0.35"


def test_an_authorization_denial_with_group_pr_does_not_become_the_patients(house):
    claim = claim_of(house, "C1", [("74177", "900", "300")])
    body = """
        CLP*C1*4*900*0*900*12*ICN2*11*1
        SVC*HC:74177*900*0**1
        CAS*PR*197*900
        REF*6R*C1L1
    """
    receive(house, era(head("0") + body))
    posted(house)
    assert owed_by_patient(claim) == 0
    assert insurance(claim) == D("900.00")
    assert Denial.objects.get().category == "prior_auth"


@pytest.mark.parametrize(
    ("modifiers", "group", "patient"),
    [(["GZ"], "CO", "0.00"), (["GA"], "PR", "100.00"), ([], "PR", "0.00")],
)
def test_a_medical_necessity_denial_is_the_patients_only_with_a_signed_notice(
    house, modifiers, group, patient
):
    claim = claim_of(house, "C1", [("77080", "100", None, "", *modifiers)], payers=[payer("MCR")])
    code = ":".join(["HC", "77080", *modifiers])
    body = f"""
        CLP*C1*1*100*0*{100 if group == "PR" else 0}*MB*ICN2*11*1
        SVC*{code}*100*0**1
        CAS*{group}*50*100
        REF*6R*C1L1
    """
    receive(house, era(head("0") + body))
    posted(house)
    assert owed_by_patient(claim) == D(patient)
    assert Denial.objects.exists() == (patient == "0.00")


@pytest.mark.parametrize("cas", ["CO*50*100", "PR*50*100", "PR*1*100", "PR*2*100"])
def test_a_line_without_a_notice_is_never_the_patients_bill(house, cas):
    """GZ: whatever group or reason the payer answers with, no statement is possible."""
    claim = claim_of(house, "C1", [("77080", "100", None, "", "GZ")], payers=[payer("MCR")])
    group = cas[:2]
    body = f"""
        CLP*C1*1*100*0*{100 if group == "PR" else 0}*MB*ICN2*11*1
        SVC*HC:77080:GZ*100*0**1
        CAS*{cas}
        REF*6R*C1L1
    """
    receive(house, era(head("0") + body))
    posted(house)
    assert owed_by_patient(claim) == 0
    charge = claim.lines.get().charge_id
    said = patient_verdicts([charge])[charge]
    assert (said.code, said.forever) == ("no_notice", True)


def test_a_denial_under_a_signed_notice_may_be_billed_to_the_patient(house):
    claim = claim_of(house, "C1", [("77080", "100", None, "", "GA")], payers=[payer("MCR")])
    body = """
        CLP*C1*1*100*0*100*MB*ICN2*11*1
        SVC*HC:77080:GA*100*0**1
        CAS*PR*50*100
        REF*6R*C1L1
    """
    receive(house, era(head("0") + body))
    posted(house)
    assert owed_by_patient(claim) == D("100.00")
    assert patient_verdicts([claim.lines.get().charge_id]) == {}


def test_a_beneficiary_whose_share_may_not_be_collected_owes_nothing(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")], payers=[payer("MCR")])
    body = """
        CLP*C1*1*500*160*40*MB*ICN1*11*1
        MOA***N782
        SVC*HC:70551*500*160**1
        CAS*CO*45*300
        CAS*PR*2*40
        REF*6R*C1L1
    """
    receive(house, era(head("160") + body))
    posted(house)
    assert owed_by_patient(claim) == 0
    assert insurance(claim) == 0
    assert booked("contractual") == D("340.00")


def test_the_patients_share_waits_while_another_line_of_the_claim_is_denied(house):
    claim = claim_of(house, "C1", [("70551", "500", "200"), ("72148", "400", "150")])
    body = """
        CLP*C1*1*900*150*50*12*ICN1*11*1
        SVC*HC:70551*500*150**1
        CAS*CO*45*300
        CAS*PR*2*50
        REF*6R*C1L1
        SVC*HC:72148*400*0**1
        CAS*CO*50*400
        REF*6R*C1L2
    """
    receive(house, era(head("150") + body))
    posted(house)
    claim.refresh_from_db()
    assert claim.status == ClaimStatus.PARTIAL
    assert owed_by_patient(claim) == 0
    assert insurance(claim) == D("450.00")
    # the denied line is paid on a corrected claim that keeps the control number: now everything is
    # final
    second = """
        CLP*C1*1*400*120*30*12*ICN9*11*7
        SVC*HC:72148*400*120**1
        CAS*CO*45*250
        CAS*PR*2*30
        REF*6R*C1L2
    """
    receive(house, era(head("120", trace="EFT2") + second, control=102))
    posted(house, Remittance.objects.get(trace="EFT2"))
    denial = Denial.objects.get()
    assert (denial.status, denial.recovered) == (DenialStatus.OVERTURNED, D("150.00"))
    assert WorkItem.objects.get(queue="denials").status == "closed"
    assert insurance(claim) == 0
    assert owed_by_patient(claim) == D("80.00")


def test_with_a_second_coverage_the_share_waits_for_it_and_a_secondary_claim_is_due(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")], payers=[payer("MCR"), payer("ESB")])
    receive(house, era(head("150") + CLEAN))
    posted(house)
    assert insurance(claim) == D("50.00")
    assert owed_by_patient(claim) == 0
    assert Outbox.objects.filter(topic="remittance.next_payer").count() == 1


def test_after_a_merge_the_second_payer_of_the_person_is_billed_and_not_the_patient(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")], payers=[payer("MCR"), payer("ESB")])
    keep = patient_with(house, payers=[])
    patient_merge(keep=keep, gone=claim.patient, reason="Same person", actor=house.actor("mia"))
    claim.refresh_from_db()
    assert claim.patient == keep
    receive(house, era(head("150") + CLEAN))
    posted(house)
    assert insurance(claim) == D("50.00")
    assert owed_by_patient(claim) == 0
    assert Outbox.objects.filter(topic="remittance.next_payer").count() == 1


def test_a_zero_payment_that_only_adjusts_and_moves_to_the_patient_is_no_denial(house):
    claim = claim_of(house, "C1", [("71046", "90", "34.11")])
    body = """
        CLP*C1*1*90*0*34.11*12*ICN1*11*1
        SVC*HC:71046*90*0**1
        CAS*CO*45*55.89
        CAS*PR*1*34.11
        REF*6R*C1L1
    """
    receive(house, era(head("0") + body))
    posted(house)
    assert not Denial.objects.exists()
    assert owed_by_patient(claim) == D("34.11")
    claim.refresh_from_db()
    assert claim.status == ClaimStatus.PAID


def test_a_missing_modifier_and_a_missing_control_number_still_match(house):
    claim_of(house, "C1", [("71046", "90", None, "", "TC"), ("71046", "60", None, "", "26")])
    body = """
        CLP*C1*1*150*70*0*12*ICN1*11*1
        SVC*HC:71046*60*30**1
        CAS*CO*45*30
        SVC*HC:71046*90*40**1
        CAS*CO*45*50
    """
    receive(house, era(head("70") + body))
    services = list(ClaimPayment.objects.get().services.order_by("position"))
    assert [s.line.modifiers for s in services] == [["26"], ["TC"]]


def test_a_claim_is_found_by_the_payers_number_and_then_by_member_day_charge_and_code(house):
    claim_of(house, "C1", [("70551", "500", "200")], icn="ICN77")
    other = claim_of(house, "C2", [("72148", "400", "150")])
    member = other.coverage.member_id
    body = f"""
        CLP*XXX*1*500*200*0*12*ICN77*11*1
        SVC*HC:70551*500*200**1
        CAS*CO*45*300
        CLP*0*1*400*150*0*12*ICN78*11*1
        NM1*QC*1*NOBODY*ANN****MI*{member}
        SVC*HC:72148*400*150**1
        DTM*472*20260908
        CAS*CO*45*250
    """
    receive(house, era(head("350") + body))
    assert [p.claim.number for p in ClaimPayment.objects.order_by("position")] == ["C1", "C2"]


def test_unmatched_money_is_unapplied_cash_with_candidates_and_is_applied_once_by_a_person(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    body = f"""
        CLP*ZZZ*1*480*150*50*12*ICN1*11*1
        NM1*QC*1*{claim.patient.last_name}*Pat****MI*{claim.coverage.member_id}
        SVC*HC:70551*480*150**1
        DTM*472*20260908
        CAS*CO*45*280
        CAS*PR*2*50
    """
    receive(house, era(head("150") + body))
    payment = ClaimPayment.objects.get()
    assert (payment.exception, payment.candidates[0]["number"]) == ("no_match", "C1")
    remittance, result = posted(house)
    assert (remittance.status, result.unapplied) == (RemittanceStatus.POSTED, 1)
    assert booked("unapplied") == D("-150.00")
    assert insurance(claim) == D("500.00")
    assert WorkItem.objects.filter(queue="unapplied_cash", status="open").count() == 1
    payment_apply(
        payment=payment,
        claim=claim,
        reason="Payer dropped our number",
        actor=house.actor("pia"),
        at=AT,
    )
    assert booked("unapplied") == 0
    assert booked("cash") == D("150.00")
    assert insurance(claim) == D("20.00")  # the payer saw a charge of 480
    assert UnappliedCash.objects.get().resolved_at is not None
    assert not WorkItem.objects.filter(queue="unapplied_cash", status="open").exists()
    with pytest.raises(Refused, match="on a claim already"):
        payment_apply(payment=payment, claim=claim, reason="again", actor=house.actor("pia"), at=AT)


def test_a_second_payment_of_the_same_claim_is_held_back_and_becomes_a_credit_only_by_a_person(
    house,
):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    posted(house)
    receive(house, era(head("150", trace="EFT2") + CLEAN, control=102))
    second = Remittance.objects.get(trace="EFT2")
    _, result = posted(house, second)
    payment = second.payments.get()
    assert (payment.exception, payment.state, result.unapplied) == (
        "duplicate",
        PaymentState.UNAPPLIED,
        1,
    )
    assert insurance(claim) == 0
    payment_apply(
        payment=payment, claim=claim, reason="Both were paid", actor=house.actor("pia"), at=AT
    )
    # the credit is the money alone: nothing is adjusted a second time
    assert (insurance(claim), owed_by_patient(claim)) == (D("-150.00"), D("50.00"))


def test_a_payment_above_what_is_open_is_held_back(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    posted(house)
    receive(
        house,
        era(
            head("160", trace="EFT2")
            + CLEAN.replace("ICN1", "ICN5")
            .replace("*150*", "*160*")
            .replace("*150**", "*160**")
            .replace("CO*45*300", "CO*45*290"),
            control=102,
        ),
    )
    second = Remittance.objects.get(trace="EFT2")
    preview = remittance_preview(remittance=second)
    assert preview.claims[0].exception == "over_posted"
    assert "credit of $500.00" in preview.claims[0].sentence
    posted(house, second)
    assert insurance(claim) == 0


def test_a_reversal_mirrors_the_earlier_payment_leg_by_leg_and_the_new_answer_is_posted_fresh(
    house,
):
    claim = claim_of(house, "C1", [("76700", "450", "150")])
    first = """
        CLP*C1*1*450*120*30*12*ICN26070900*11*1
        SVC*HC:76700*450*120**1
        CAS*CO*45*300
        CAS*PR*2*30
        REF*6R*C1L1
    """
    receive(house, era(head("120") + first))
    posted(house)
    assert (insurance(claim), owed_by_patient(claim)) == (D("0.00"), D("30.00"))
    again = """
        CLP*C1*22*-450*-120*-30*12*ICN26070900*11*1
        SVC*HC:76700*-450*-120**-1
        CAS*CO*45*-300
        CAS*PR*2*-30
        CLP*C1*1*450*100*30*12*ICN26090977*11*7
        REF*F8*ICN26070900
        SVC*HC:76705*450*100**1*HC:76700
        CAS*CO*45*320
        CAS*PR*2*30
    """
    receive(house, era(head("-20", trace="EFT2") + again, control=102))
    posted(house, Remittance.objects.get(trace="EFT2"))
    old, back, new = ClaimPayment.objects.order_by("id")
    assert (old.state, back.state, new.state) == (
        PaymentState.REVERSED,
        PaymentState.POSTED,
        PaymentState.POSTED,
    )
    assert back.reverses == old
    mirrored = LedgerTransaction.objects.get(source_id=back.pk, source_type="claim_payment")
    assert mirrored.reverses == LedgerTransaction.objects.get(
        source_id=old.pk, source_type="claim_payment"
    )
    assert (insurance(claim), owed_by_patient(claim)) == (D("0.00"), D("30.00"))
    assert booked("cash") == D("100.00")


def test_a_reversal_whose_original_is_not_here_stays_unposted_and_its_money_has_an_owner(house):
    claim = claim_of(house, "C1", [("76700", "450", "150")])
    back = """
        CLP*C1*22*-450*-120*-30*12*ICN26070900*11*1
        SVC*HC:76700*-450*-120**-1
        CAS*CO*45*-300
        CAS*PR*2*-30
    """
    receive(house, era(head("-120") + back))
    posted(house)
    assert ClaimPayment.objects.get().exception == "reversal_without_original"
    assert booked("unapplied") == D("120.00")
    assert insurance(claim) == D("450.00")


def test_a_takeback_goes_to_the_provider_account_and_to_its_claim_and_interest_to_income(house):
    paid = claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    posted(house)
    other = claim_of(house, "C2", [("71046", "90", "34")])
    body = """
        CLP*C2*1*90*34*0*12*ICN2*11*1
        SVC*HC:71046*90*34**1
        CAS*CO*45*56
        REF*6R*C2L1
        PLB*1679576722*20261231*WO:ICN1*20*L6:INT0926*-1.25
    """
    receive(house, era(head("15.25", trace="EFT2") + body, control=102))
    remittance, _ = posted(house, Remittance.objects.get(trace="EFT2"))
    assert booked("interest") == D("-1.25")
    assert booked("provider_level") == 0
    assert insurance(paid) == D("20.00")
    assert insurance(other) == 0
    assert booked("cash", remittance_id=remittance.pk) == D("15.25")
    assert WorkItem.objects.get(cause="takeback").dollars == D("20.00")


def test_a_forwarded_balance_waits_on_the_provider_account_until_a_later_remittance_takes_it(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("170") + CLEAN + "PLB*1679576722*20261231*FB:NEXT*-20"))
    posted(house)
    assert booked("provider_level") == D("-20.00")
    assert insurance(claim) == 0


def test_an_underpayment_is_a_variance_with_its_cause(house):
    claim_of(house, "C1", [("70551", "500", "230")])
    receive(house, era(head("150") + CLEAN))
    posted(house)
    v = Variance.objects.get()
    assert (v.expected, v.allowed, v.difference, v.cause) == (
        D("230.00"),
        D("200.00"),
        D("-30.00"),
        "contract_rate",
    )


def test_posting_again_writes_nothing(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    posted(house)
    count = LedgerEntry.objects.count()
    _, result = posted(house)
    assert result.repeated
    assert LedgerEntry.objects.count() == count


def test_a_biller_may_not_post(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    receive(house, era(head("150") + CLEAN))
    with pytest.raises(PermissionRefused):
        remittance_post(remittance=only(house), actor=house.actor("ben"), at=AT)


def test_the_preview_says_exactly_what_posting_does(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    claim_of(house, "C2", [("74177", "900", "300")])
    body = (
        CLEAN
        + """
        CLP*C2*4*900*0*0*12*ICN2*11*1
        SVC*HC:74177*900*0**1
        CAS*CO*197*900
        REF*6R*C2L1
        CLP*C9*1*100*60*0*12*ICN3*11*1
        SVC*HC:71046*100*60**1
        CAS*CO*45*40
        PLB*1679576722*20261231*L6*-2
    """
    )
    receive(house, era(head("212") + body))
    preview = remittance_preview(remittance=only(house))
    assert preview.counts == {"clean": 1, "denial": 1, "exception": 1, "plb": 1}
    assert (preview.posted, preview.blocked) == (D("212.00"), "")
    before = LedgerEntry.objects.count()
    posted(house)
    found: dict[str, Decimal] = {}
    for e in LedgerEntry.objects.filter(remittance_id=only(house).pk):
        found[e.account] = found.get(e.account, D(0)) + e.amount
    assert {k: v for k, v in preview.accounts.items() if v} == {k: v for k, v in found.items() if v}
    assert LedgerEntry.objects.count() > before


def test_reversing_a_remittance_mirrors_all_of_it_and_withdraws_its_denials(house):
    claim = claim_of(house, "C1", [("70551", "500", "200"), ("72148", "400", "150")])
    body = """
        CLP*C1*1*900*150*50*12*ICN1*11*1
        SVC*HC:70551*500*150**1
        CAS*CO*45*300
        CAS*PR*2*50
        REF*6R*C1L1
        SVC*HC:72148*400*0**1
        CAS*CO*50*400
        REF*6R*C1L2
        CLP*C9*1*100*60*0*12*ICN3*11*1
        SVC*HC:71046*100*60**1
        CAS*CO*45*40
        PLB*1679576722*20261231*L6*-2
    """
    receive(house, era(head("212") + body))
    remittance, _ = posted(house)
    count = remittance_reverse(
        remittance=remittance,
        reason="Posted to the wrong organization",
        actor=house.actor("mia"),
        at=AT,
    )
    assert count == 3
    assert remittance.status == RemittanceStatus.REVERSED
    assert insurance(claim) == D("900.00")
    for account in ("contractual", "interest", "ar_patient"):
        assert booked(account) == 0, account
    # its money is still in the bank: whole, on no claim, with the one who reversed it
    assert (booked("cash"), booked("unapplied")) == (D("212.00"), D("-212.00"))
    assert Denial.objects.get().status == DenialStatus.WITHDRAWN
    item = WorkItem.objects.get(status="open", queue__in=["denials", "unapplied_cash"])
    assert (item.cause, item.owner, item.dollars) == ("reversed", house.user("mia"), D("212.00"))
    assert (
        remittance_reverse(remittance=remittance, reason="again", actor=house.actor("mia"), at=AT)
        == 0
    )


def test_a_remittance_whose_payment_was_taken_back_later_is_not_reversed_first(house):
    claim_of(house, "C1", [("76700", "450", "150")])
    first = """
        CLP*C1*1*450*120*30*12*I1*11*1
        SVC*HC:76700*450*120**1
        CAS*CO*45*300
        CAS*PR*2*30
        REF*6R*C1L1
    """
    receive(house, era(head("120") + first))
    one, _ = posted(house)
    back = """
        CLP*C1*22*-450*-120*-30*12*I1*11*1
        SVC*HC:76700*-450*-120**-1
        CAS*CO*45*-300
        CAS*PR*2*-30
    """
    receive(house, era(head("-120", trace="EFT2") + back, control=102))
    two, _ = posted(house, Remittance.objects.get(trace="EFT2"))
    with pytest.raises(Refused, match="later remittance"):
        remittance_reverse(remittance=one, reason="x", actor=house.actor("pia"), at=AT)
    remittance_reverse(remittance=two, reason="Payer's mistake", actor=house.actor("pia"), at=AT)
    assert booked("cash") == D("120.00")
    assert ClaimPayment.objects.get(remittance=one).state == PaymentState.POSTED


def test_a_claim_level_answer_is_spread_over_our_lines(house):
    claim = claim_of(house, "C1", [("70551", "500", None), ("72148", "400", None)])
    body = """
        CLP*C1*1*900*300*100*12*ICN1*11*1
        CAS*CO*45*500
        CAS*PR*2*100
    """
    receive(house, era(head("300") + body))
    posted(house)
    assert insurance(claim) == 0
    assert owed_by_patient(claim) == D("100.00")
    assert booked("contractual") == D("500.00")


# --- what may not become the patient's ------------------------------------------------------------


def test_an_authorization_denial_that_comes_back_as_the_patients_share_stays_ours(house):
    """The payer (or a keyed paper EOB) turns CO-197 into PR-197 or a plain share, without
    paying.
    """
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    body = "\nCLP*C1*4*500*0*0*12*ICN1*11*1\nSVC*HC:70551*500*0**1\nCAS*CO*197*500"
    receive(house, era(head("0") + body))
    remittance_post(remittance=only(house), actor=house.actor("pia"), at=AT)
    body = "\nCLP*C1*1*500*0*60*12*ICN2*11*1\nSVC*HC:70551*500*0**1\nCAS*CO*45*440\nCAS*PR*3*60"
    receive(house, era(head("0", trace="EFT2") + body, control=102))
    second = Remittance.objects.get(trace="EFT2")
    remittance_post(remittance=second, actor=house.actor("pia"), at=AT)
    assert (insurance(claim), owed_by_patient(claim)) == (D("60.00"), D("0.00"))


@pytest.mark.parametrize("remark", ["N781", "M39"])
def test_what_an_earlier_answer_forbade_a_later_one_does_not_bill(house, remark):
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    body = f"\nCLP*C1*1*500*100*0*12*ICN1*11*1\nSVC*HC:70551*500*100**1\nCAS*CO*45*300\nCAS*OA*23*100\nLQ*HE*{remark}"
    receive(house, era(head("100") + body))
    remittance_post(remittance=only(house), actor=house.actor("pia"), at=AT)
    body = "\nCLP*C1*2*500*0*60*12*ICN2*11*1\nSVC*HC:70551*500*0**1\nCAS*OA*23*440\nCAS*PR*2*60"
    receive(house, era(head("0", trace="EFT2") + body, control=102))
    second = Remittance.objects.get(trace="EFT2")
    remittance_post(remittance=second, actor=house.actor("pia"), at=AT)
    assert (insurance(claim), owed_by_patient(claim)) == (D("40.00"), D("0.00"))


INCENTIVE = """
    CLP*C1*1*575*150.12*36.28*MB*ICN1*11*1
    SVC*HC:72148*575*150.12**1
    CAS*CO*45*393.6**{0}*-5
    CAS*PR*2*36.28
"""


@pytest.mark.parametrize(("reason", "asked"), [("144", 0), ("ZZ9", 1), ("16", 1)])
def test_a_reason_that_adds_money_balances_and_leaves_the_patients_share_alone(
    house, reason, asked
):
    claim = claim_of(house, "C1", [("72148", "575", "186.40")], payers=[payer("MCR")])
    receive(house, era(head("150.12") + INCENTIVE.format(reason)))
    remittance, result = posted(house)
    assert (result.unapplied, result.denials) == (0, 0)
    assert (insurance(claim), owed_by_patient(claim)) == (D("0.00"), D("36.28"))
    assert booked("other_adjustment") == D("-5.00")
    assert remittance.payments.get().services.get().allowed == D("181.40")
    assert WorkItem.objects.filter(cause="unknown_reason").count() == asked


def test_a_reason_that_adds_money_changes_nothing_when_a_person_applies_the_payment(house):
    claim = claim_of(house, "C1", [("72148", "575", "186.40")], payers=[payer("MCR")])
    body = INCENTIVE.format("144").replace("C1", "NOSUCH")
    receive(house, era(head("150.12") + body))
    posted(house)
    payment_apply(
        payment=ClaimPayment.objects.get(),
        claim=claim,
        reason="same patient and day",
        actor=house.actor("pia"),
        at=AT,
    )
    assert (insurance(claim), owed_by_patient(claim)) == (D("0.00"), D("36.28"))


def test_a_claim_that_the_payer_denied_is_denied_although_part_is_contractual(house):
    claim = claim_of(house, "C1", [("71045", "76", "30.16")])
    body = "CLP*C1*4*76*0*0*12*ICN1*11*1\nSVC*HC:71045*76*0**1\nCAS*CO*45*45.84**197*30.16"
    receive(house, era(head("0") + body))
    posted(house)
    claim.refresh_from_db()
    assert claim.status == ClaimStatus.DENIED
    assert Denial.objects.get().amount == D("30.16")


@pytest.mark.parametrize("remark", ["MA18", "N89"])
def test_a_remark_that_the_claim_was_sent_on_makes_no_second_claim(house, remark):
    claim = claim_of(house, "C1", [("74018", "89", "28.10")], payers=[payer("MCR"), payer("PHP")])
    body = f"""
        CLP*C1*1*89*22.48*5.62*MB*ICN1*11*1
        MOA***{remark}*MA07
        SVC*HC:74018*89*22.48**1
        CAS*CO*45*60.9
        CAS*PR*2*5.62
    """
    receive(house, era(head("22.48") + body))
    posted(house)
    assert not Outbox.objects.filter(topic="remittance.next_payer").exists()
    assert (insurance(claim), owed_by_patient(claim)) == (D("5.62"), D("0.00"))


def test_an_answer_under_the_old_number_is_followed_to_the_corrected_claim(house):
    old = claim_of(house, "C1", [("70551", "500", "200")], icn="ICN1")
    new = claim_of(house, "C2", [("70553", "700", "260")], patient=old.patient)
    type(old).objects.filter(pk=old.pk).update(status=ClaimStatus.REPLACED)
    type(new).objects.filter(pk=new.pk).update(replaces=old, frequency="7")
    body = "\nCLP*C1*1*700*200*60*12*ICN2*11*7\nSVC*HC:70553*700*200**1\nCAS*CO*45*440\nCAS*PR*2*60"
    receive(house, era(head("200") + body))
    _, result = posted(house)
    assert result.unapplied == 0
    assert ClaimPayment.objects.get().claim_id == new.pk
    assert (insurance(new), owed_by_patient(new)) == (D("0.00"), D("60.00"))


def test_the_old_answer_is_taken_back_on_the_old_claim(house):
    old = claim_of(house, "C1", [("70551", "500", "200")], icn="ICN1")
    receive(house, era(head("150") + CLEAN))
    posted(house)
    new = claim_of(house, "C2", [("70551", "500", "200")], patient=old.patient)
    type(old).objects.filter(pk=old.pk).update(status=ClaimStatus.REPLACED)
    type(new).objects.filter(pk=new.pk).update(replaces=old, frequency="7")
    body = """
        CLP*C1*22*-500*-150*-50*12*ICN1*11*7
        SVC*HC:70551*-500*-150**-1
        CAS*CO*45*-300
        CAS*PR*2*-50
        CLP*C1*1*500*150*50*12*ICN2*11*7
        SVC*HC:70551*500*150**1
        CAS*CO*45*300
        CAS*PR*2*50
    """
    receive(house, era(head("0", trace="EFT2") + body, control=102))
    remittance = Remittance.objects.get(trace="EFT2")
    remittance_post(remittance=remittance, actor=house.actor("pia"), at=AT)
    rows = ClaimPayment.objects.filter(remittance=remittance).order_by("position")
    assert [r.claim_id for r in rows] == [old.pk, new.pk]
