"""Denials from the queue to their end, and the domain's own remittance (rule `denial-deadline`)."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path

import pytest
from pypdf import PdfReader

from authorizations.models import Authorization, Reviewer
from claims.models import Claim, RecordsRequest
from claims.records import Changes
from intake.models import CheckStatus
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.services import drain
from rcm.worklist.models import WorkItem
from rcm.worklist.services import interaction_record
from remittance import tables
from remittance.deadlines import PayerClock, appeal_due, chance, correct_due, score
from remittance.models import Denial, DenialStatus, Remittance, Variance
from remittance.plan import Cas
from remittance.queues import denial_panel
from remittance.services import (
    appeal_draft,
    appeal_outcome,
    denial_appeal,
    denial_correct,
    denial_park,
    denials_group,
    denials_written_off,
    remittance_post,
    underpayments_refresh,
    upkeep,
    variance_dispute,
    variance_recovered,
)
from remittance.services.consequences.denials import own_outcomes
from remittance.services.packets import evidence
from remittance.variance import judge

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
    payer,
    receive,
)

DAY = dt.date(2026, 9, 25)


def denied(
    house,
    number="C1",
    reason="197",
    remark="",
    code="74177",
    charge="900",
    expected="300",
    trace="EFT1",
    control=101,
    group="CO",
    modifiers=(),
    **claim,
):
    row = claim_of(house, number, [(code, charge, expected, "", *modifiers)], **claim)
    body = f"""
        CLP*{number}*4*{charge}*0*{charge if group == "PR" else 0}*12*ICN{number}*11*1
        SVC*{":".join(["HC", code, *modifiers])}*{charge}*0**1
        CAS*{group}*{reason}*{charge}
        REF*6R*{number}L1
        {f"LQ*HE*{remark}" if remark else ""}
    """
    receive(house, era(head("0", trace=trace) + body, control=control))
    remittance_post(remittance=Remittance.objects.get(trace=trace), actor=house.actor("pia"), at=AT)
    return row, Denial.objects.get(claim=row)


# --- normalization --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "remark", "category"),
    [
        ("197", "", "prior_auth"),
        ("50", "N115", "medical_necessity"),
        ("97", "M15", "bundling"),
        ("4", "N519", "modifier"),
        ("18", "", "duplicate"),
        ("27", "", "eligibility"),
        ("22", "N4", "cob"),
        ("29", "", "timely_filing"),
        ("16", "M62", "prior_auth"),
        ("16", "", "missing_info"),
        ("ZZ9", "", "unclassified"),
    ],
)
def test_a_denial_is_normalized_by_its_reason_and_where_the_reason_leaves_it_open_by_its_remark(
    house, reason, remark, category
):
    assert denied(house, reason=reason, remark=remark)[1].category == category


# --- clocks ---------------------------------------------------------------------------------------


def test_original_medicare_counts_120_days_from_a_receipt_presumed_five_days_later():
    assert appeal_due(PayerClock("medicare", appeal_days=120), DAY) == DAY + dt.timedelta(days=125)
    assert appeal_due(PayerClock("medicare"), DAY, level=2) == DAY + dt.timedelta(days=180)
    assert appeal_due(PayerClock("medicare"), DAY, level=3, amount=Decimal("199.99")) is None
    assert appeal_due(
        PayerClock("medicare"), DAY, level=3, amount=Decimal("200.00")
    ) == DAY + dt.timedelta(days=60)
    assert appeal_due(PayerClock("medicare"), DAY, level=6) is None


def test_a_commercial_payers_own_windows_come_first_and_the_default_is_180_days():
    assert appeal_due(PayerClock("commercial", appeal_days=365), DAY) == DAY + dt.timedelta(
        days=365
    )
    assert appeal_due(PayerClock("commercial"), DAY) == DAY + dt.timedelta(days=180)
    assert correct_due(PayerClock("commercial", corrected_days=90), DAY) == DAY + dt.timedelta(
        days=90
    )
    assert correct_due(PayerClock("medicare", accepts_replacement=False), DAY) is None


def test_an_unprocessable_claim_has_no_appeal_and_goes_out_again_within_the_filing_limit(house):
    claim, row = denied(house, reason="16", remark="MA130", payers=[payer("MCR")])
    assert (row.appeal_by, row.correct_by) == (None, claim.filing_deadline)
    with pytest.raises(Refused, match="MA130"):
        denial_appeal(denial=row, letter="x", actor=house.actor("ben"), at=AT)


def test_the_score_shows_its_parts_and_doubles_and_trebles_near_the_limit():
    calm, parts = score(D("300"), D("0.35"), D("3"), 90)
    assert (calm, parts["urgency"]) == (D("35.00"), "1.00")
    assert score(D("300"), D("0.35"), D("3"), 0)[0] == D("105.00")
    assert score(D("300"), D("0.35"), D("3"), None)[1]["days_left"] == ""


# --- upstream, repeat -----------------------------------------------------------------------------


def test_a_denial_names_the_step_that_let_it_through(house):
    claim = claim_of(house, "C1", [("74177", "900", "300")])
    record_steps(
        [
            Step(
                house.a.pk,
                "gate.overridden",
                "Authorization overridden, $900.00 at risk",
                {"patient_id": claim.patient_id},
                data={"gate": "authorization"},
            )
        ],
        actor=house.actor("ada"),
        at=AT - dt.timedelta(days=20),
    )
    receive(
        house,
        era(
            head("0")
            + "CLP*C1*4*900*0*0*12*I*11*1\nSVC*HC:74177*900*0**1\nCAS*CO*197*900\nREF*6R*C1L1"
        ),
    )
    remittance_post(remittance=only(house), actor=house.actor("pia"), at=AT)
    row = Denial.objects.get()
    assert row.root_cause.startswith("The authorization gate was overridden before the exam")
    assert "Ada Authorizer" in row.root_cause
    assert (row.owner_stage, row.upstream_event_id is not None) == ("scheduling", True)


def stepped(house, claim, verb, who="ana", days=20, data=None, **keys):
    """A step of the past on the claim's thread."""
    keys = keys or {"claim_id": claim.pk}
    record_steps(
        [Step(house.a.pk, verb, verb, keys, data=data or {})],
        actor=house.actor(who),
        at=AT - dt.timedelta(days=days),
    )


def traced(house, reason, remark="") -> Denial:
    body = "CLP*C1*4*900*0*0*12*I*11*1\nSVC*HC:74177*900*0**1\nREF*6R*C1L1\n"
    body = body.replace("REF", f"CAS*CO*{reason}*900\nREF")
    receive(house, era(head("0") + body + (f"LQ*HE*{remark}" if remark else "")))
    remittance_post(remittance=only(house), actor=house.actor("pia"), at=AT)
    return Denial.objects.get()


@pytest.mark.parametrize(
    ("reason", "remark", "verb", "reach", "data", "stage"),
    [
        ("97", "", "charges.released", "exam", {}, "coding"),
        ("97", "", "claim.override", "claim", {"edit": "NCC-002"}, "billing"),
        ("4", "", "charge.coded", "exam", {}, "coding"),
        ("22", "", "coverage.changed", "patient", {}, "registration"),
        ("27", "", "eligibility.active", "patient", {}, "registration"),
        ("16", "N265", "order.placed", "ordered", {}, "ordering"),
        ("18", "", "claim.submitted", "claim", {}, "billing"),
        ("29", "", "claim.submitted", "claim", {}, "billing"),
        ("50", "", "gate.overridden", "patient", {"gate": "necessity"}, "ordering"),
        ("140", "", "patient.registered", "patient", {}, "registration"),
    ],
)
def test_every_category_finds_the_step_that_let_it_through(
    house, reason, remark, verb, reach, data, stage
):
    claim = claim_of(house, "C1", [("74177", "900", "300")])
    exam = claim.lines.get().charge.exam
    keys = {
        "claim": {"claim_id": claim.pk},
        "exam": {"exam_id": exam.pk},
        "ordered": {"ordered_exam_id": exam.ordered_exam_id},
        "patient": {"patient_id": claim.patient_id},
    }
    Claim.objects.filter(pk=claim.pk).update(first_submitted_at=AT - dt.timedelta(days=1))
    stepped(house, claim, verb, data=data, days=40, **keys[reach])
    # of another kind, and too late: neither let it through
    stepped(house, claim, "claim.override", data={"edit": "ZZZ-001"}, days=30)
    stepped(house, claim, verb, who="ben", data=data, days=0, **keys[reach])
    row = traced(house, reason, remark)
    assert row.upstream_event_id is not None, row.category
    assert row.owner_stage == stage
    assert "Ana" in row.root_cause


def test_every_step_of_the_table_is_one_that_the_product_takes():
    """A verb that nobody writes would never be found."""
    root = Path(__file__).parents[2]
    apps = ("intake", "authorizations", "charges", "claims")
    source = "\n".join(f.read_text() for app in apps for f in (root / app).rglob("*.py"))
    verbs = {up.verb for rows in tables._upstream().values() for up in rows}
    spelled = {v for v in verbs if f'"{v}"' in source}
    assert {v for v in verbs - spelled if not v.startswith("eligibility.")} == set()
    assert {v.partition(".")[2] for v in verbs - spelled} <= set(CheckStatus.values)


def test_the_same_cause_again_on_the_same_line_is_a_repeat_and_escalated(house):
    _, first = denied(house)
    receive(
        house,
        era(
            head("0", trace="EFT2")
            + "CLP*C1*4*900*0*0*12*I2*11*1\nSVC*HC:74177*900*0**1\nCAS*CO*197*900\nREF*6R*C1L1",
            control=102,
        ),
    )
    remittance_post(
        remittance=Remittance.objects.get(trace="EFT2"), actor=house.actor("pia"), at=AT
    )
    first.refresh_from_db()
    second = Denial.objects.exclude(pk=first.pk).get()
    assert (first.status, second.repeat) == (DenialStatus.UPHELD, True)
    assert (
        WorkItem.objects.get(subject_type="denial", subject_id=second.pk).escalated_at is not None
    )


# --- verbs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["ben", "ari"])
def test_correcting_opens_a_replacement_claim_and_its_payment_overturns_the_denial(house, who):
    claim, row = denied(house)
    correction = denial_correct(
        denial=row,
        changes=Changes(authorization_number="A-123"),
        reason="Number was missing",
        actor=house.actor(who),
        submit=False,
        at=AT,
    )
    row.refresh_from_db()
    new = Claim.objects.get(pk=correction.claim_id)
    assert (row.status, row.next_claim, new.frequency, new.authorization_number) == (
        DenialStatus.CORRECTED,
        new,
        "7",
        "A-123",
    )
    assert not WorkItem.objects.filter(queue="denials", status="open").exists()
    line = new.lines.get()
    receive(
        house,
        era(
            head("250", trace="EFT2")
            + f"CLP*{new.number}*1*900*250*50*12*I9*11*7\nSVC*HC:74177*900*250**1\nCAS*CO*45*600\nCAS*PR*2*50\nREF*6R*{line.control}",
            control=102,
        ),
    )
    remittance_post(
        remittance=Remittance.objects.get(trace="EFT2"), actor=house.actor("pia"), at=AT
    )
    row.refresh_from_db()
    assert (row.status, row.recovered) == (DenialStatus.OVERTURNED, D("300.00"))
    assert (insurance(claim), owed_by_patient(claim)) == (D("0.00"), D("50.00"))


@pytest.mark.parametrize("together", [True, False], ids=["in one file", "in an earlier file"])
def test_a_payer_that_takes_its_denial_back_before_it_pays_the_replacement_overturns_the_denial(
    house, together
):
    _, row = denied(house)
    correction = denial_correct(
        denial=row,
        changes=Changes(authorization_number="A-123"),
        reason="Number was missing",
        actor=house.actor("ari"),
        submit=False,
        at=AT,
    )
    new = Claim.objects.get(pk=correction.claim_id)
    line = new.lines.get()
    back = "CLP*C1*22*-900*0**12*I*11*1\nSVC*HC:74177*-900*0**-1\nCAS*CO*197*-900\nREF*6R*C1L1\n"
    pays = f"CLP*{new.number}*1*900*250*50*12*I9*11*7\nSVC*HC:74177*900*250**1\nCAS*CO*45*600\nCAS*PR*2*50\nREF*6R*{line.control}"
    if not together:
        receive(house, era(head("0", trace="EFT2") + back.strip(), control=102))
        remittance_post(
            remittance=Remittance.objects.get(trace="EFT2"), actor=house.actor("pia"), at=AT
        )
        row.refresh_from_db()
        assert row.status == DenialStatus.CORRECTED
    receive(house, era(head("250", trace="EFT3") + (back if together else "") + pays, control=103))
    remittance_post(
        remittance=Remittance.objects.get(trace="EFT3"), actor=house.actor("pia"), at=AT
    )
    row.refresh_from_db()
    assert (row.status, row.recovered) == (DenialStatus.OVERTURNED, D("300.00"))


def test_an_appeal_keeps_letter_and_packet_as_sent_and_an_upheld_one_opens_the_next_level(house):
    _, row = denied(house, payers=[payer("MCR")])
    draft = appeal_draft(denial=row, at=AT)
    for words in (
        "Redetermination",
        "CO-197",
        "74177",
        "$900.00",
        row.claim.number,
        "No authorization number",
    ):
        assert words in draft, words
    appeal = denial_appeal(denial=row, actor=house.actor("ben"), at=AT)
    assert (appeal.level, appeal.due_on, len(appeal.packet_sha256)) == (
        1,
        DAY + dt.timedelta(days=125),
        64,
    )
    pages = PdfReader(io.BytesIO(bytes(appeal.packet))).pages
    text = "".join(p.extract_text() for p in pages)
    for words in ("Order", "Signed report", "Remittance", "No acute finding"):
        assert words in text, words
    assert WorkItem.objects.get(queue="denials").status == "pended"
    with pytest.raises(Refused, match="no outcome yet"):
        denial_appeal(denial=row, actor=house.actor("ben"), at=AT)
    appeal_outcome(
        appeal=appeal,
        outcome="upheld",
        actor=house.actor("ben"),
        on=DAY + dt.timedelta(days=40),
        at=AT + dt.timedelta(days=40),
    )
    row.refresh_from_db()
    assert (row.status, row.appeal_by) == (DenialStatus.UPHELD, DAY + dt.timedelta(days=220))


def test_an_appeal_after_the_last_day_is_refused(house):
    _, row = denied(house)
    with pytest.raises(Refused, match="The last day to appeal"):
        denial_appeal(
            denial=row,
            letter="x",
            sent_on=row.appeal_by + dt.timedelta(days=1),
            actor=house.actor("ben"),
            at=AT,
        )


def test_names_with_markup_print_literally_in_the_packet(house):
    claim, row = denied(house)
    claim.patient.last_name = "<img src='file:///etc/passwd'> a<b &amp; \u202eRTL"
    claim.patient.save()
    row = Denial.objects.select_related("claim__patient").get(pk=row.pk)
    appeal = denial_appeal(denial=row, actor=house.actor("ben"), at=AT)
    text = "".join(p.extract_text() for p in PdfReader(io.BytesIO(bytes(appeal.packet))).pages)
    assert "<img src='file:///etc/passwd'>" in text
    assert b"root:" not in bytes(appeal.packet)


def test_a_parked_denial_comes_back_on_its_day_and_never_after_its_deadline(house):
    _, row = denied(house)
    denial_park(
        denial=row,
        reason="Portal is down",
        review_on=DAY + dt.timedelta(days=400),
        actor=house.actor("ben"),
        at=AT,
    )
    assert row.review_on == row.correct_by  # the nearest limit
    assert WorkItem.objects.get(queue="denials").status == "pended"
    upkeep(organization_id=house.a.pk, actor=house.system, at=AT + dt.timedelta(days=10))
    row.refresh_from_db()
    assert row.status == DenialStatus.PARKED
    upkeep(
        organization_id=house.a.pk,
        actor=house.system,
        at=dt.datetime.combine(row.review_on, dt.time(18), tzinfo=dt.UTC),
    )
    row.refresh_from_db()
    assert row.status == DenialStatus.OPEN
    assert WorkItem.objects.get(queue="denials").status == "open"


def test_an_old_version_is_a_conflict(house):
    _, row = denied(house)
    denial_park(denial=row, reason="x", actor=house.actor("ben"), version=0, at=AT)
    with pytest.raises(Conflict):
        denial_park(denial=row, reason="x", actor=house.actor("ben"), version=0, at=AT)


def test_a_group_is_worked_as_one_and_what_fails_is_named(house):
    _, first = denied(house)
    _, second = denied(house, number="C2", trace="EFT2", control=102)
    denial_park(denial=first, reason="x", actor=house.actor("ben"), at=AT)
    result = denials_group(
        denial_ids=[first.pk, second.pk],
        act=lambda d: denial_park(
            denial=d, reason="Payer's system change", actor=house.actor("ben"), at=AT
        ),
        actor=house.actor("ben"),
    )
    assert (result.done, [title for title, _ in result.refused]) == (1, ["Claim C1"])


def test_a_written_off_denial_lets_the_patients_share_of_the_other_lines_go(house):
    claim = claim_of(house, "C1", [("70551", "500", "200"), ("72148", "400", "150")])
    body = """
        CLP*C1*1*900*150*50*12*ICN1*11*1
        SVC*HC:70551*500*150**1
        CAS*CO*45*300
        CAS*PR*2*50
        REF*6R*C1L1
        SVC*HC:72148*400*0**1
        CAS*CO*97*400
        REF*6R*C1L2
    """
    receive(house, era(head("150") + body))
    remittance_post(remittance=only(house), actor=house.actor("pia"), at=AT)
    assert owed_by_patient(claim) == 0
    assert (
        denials_written_off(
            denial_ids=Denial.objects.values_list("id", flat=True), actor=house.actor("mia"), at=AT
        )
        == 1
    )
    assert (insurance(claim), owed_by_patient(claim)) == (D("400.00"), D("50.00"))


def test_underpayments_become_cases_and_close_when_they_are_recovered(house):
    claim_of(house, "C1", [("70551", "500", "230")])
    receive(
        house,
        era(
            head("150")
            + "CLP*C1*1*500*150*50*12*I*11*1\nSVC*HC:70551*500*150**1\nCAS*CO*45*300\nCAS*PR*2*50\nREF*6R*C1L1"
        ),
    )
    remittance_post(remittance=only(house), actor=house.actor("pia"), at=AT)
    assert underpayments_refresh(organization_id=house.a.pk, actor=house.system, at=AT) == 1
    item = WorkItem.objects.get(queue="underpayments")
    assert item.dollars == D("30.00")
    v = Variance.objects.get()
    variance_dispute(variance=v, note="Contract, page 4", actor=house.actor("ari"), at=AT)
    variance_recovered(
        variance=v, amount=D("30.00"), note="Paid on EFT9", actor=house.actor("ari"), at=AT
    )
    item.refresh_from_db()
    assert (v.status, item.status) == ("recovered", "done")


# --- coordination of benefits ---------------------------------------------------------------------


def test_after_the_primary_the_secondary_pays_its_part_and_the_rest_is_the_patients(house):
    claim = claim_of(house, "C1", [("70551", "500", "200")], payers=[payer("MCR"), payer("ESB")])
    receive(
        house,
        era(
            head("157.68")
            + "CLP*C1*1*500*157.68*40*MB*I*11*1\nSVC*HC:70551*500*157.68**1\nCAS*CO*45*299.10**253*3.22\nCAS*PR*2*40\nREF*6R*C1L1"
        ),
    )
    remittance_post(remittance=only(house), actor=house.actor("pia"), at=AT)
    assert (insurance(claim), owed_by_patient(claim)) == (D("40.00"), D("0.00"))
    drain_events(house)
    second = Claim.objects.get(primary_claim=claim)
    assert (second.rank, second.payer) == (2, payer("ESB"))
    line = second.lines.get()
    receive(
        house,
        era(
            head("30", trace="EFT2")
            + f"CLP*{second.number}*2*500*30*10*12*I2*11*1\nSVC*HC:70551*500*30**1\nCAS*OA*23*460\nCAS*PR*3*10\nREF*6R*{line.control}",
            control=102,
        ),
    )
    remittance_post(
        remittance=Remittance.objects.get(trace="EFT2"), actor=house.actor("pia"), at=AT
    )
    assert (insurance(claim), owed_by_patient(claim)) == (D("0.00"), D("10.00"))
    assert not Denial.objects.exists()


@pytest.mark.parametrize(
    "left",
    ["CAS*PR*2*40\nLQ*HE*N782", "CAS*OA*209*40", "CAS*PR*2*40\nLQ*HE*M27"],
    ids=["coinsurance of a beneficiary", "209", "owes nothing"],
)
def test_medicaid_behind_medicare_is_billed_for_what_the_patient_may_not_be_asked(house, left):
    """A beneficiary of both: the claim goes on, and nothing of it ever reaches the patient."""
    claim = claim_of(house, "C1", [("70551", "500", "200")], payers=[payer("MCR"), payer("ESB")])
    body = f"CLP*C1*1*500*157.68*0*MB*I*11*1\nSVC*HC:70551*500*157.68**1\nCAS*CO*45*299.10**253*3.22\n{left}"
    receive(house, era(head("157.68") + body))
    remittance_post(remittance=only(house), actor=house.actor("pia"), at=AT)
    assert (insurance(claim), owed_by_patient(claim)) == (D("40.00"), D("0.00"))
    drain_events(house)
    second = Claim.objects.get(primary_claim=claim)
    assert second.payer == payer("ESB")
    line = second.lines.get()
    answer = f"CLP*{second.number}*2*500*0*0*12*I2*11*1\nSVC*HC:70551*500*0**1\nCAS*OA*23*460\nCAS*CO*45*40\nREF*6R*{line.control}"
    receive(house, era(head("0", trace="EFT2") + answer, control=102))
    last = Remittance.objects.get(trace="EFT2")
    remittance_post(remittance=last, actor=house.actor("pia"), at=AT)
    assert (insurance(claim), owed_by_patient(claim)) == (D("0.00"), D("0.00"))


def drain_events(house):
    """Hand this phase's waiting events to their handlers, inside the test's transaction."""
    from rcm.exchange.models import Outbox
    from rcm.exchange.services import Event
    from remittance import events

    rows = list(Outbox.objects.filter(topic="remittance.next_payer", delivered_at__isnull=True))
    events.on_next_payer(
        [Event(r.pk, r.topic, r.organization_id, r.payload) for r in rows],
        actor=house.system,
        at=AT,
    )


# --- the domain's own sample ----------------------------------------------------------------------

J8 = """
    CLP*IMG1001*1*2600*347.82*88.72*MB*ICN26090001*11*1
    NM1*QC*1*SAMPLE*DOROTHY*Q***MI*1EG4TE5MK73
    SVC*HC:70553*1500*248.51**1
    DTM*472*20260908
    CAS*CO*45*1183.03**253*5.07
    CAS*PR*2*63.39
    REF*6R*1001L1
    AMT*B6*316.97
    SVC*HC:72148*1100*99.31**1
    DTM*472*20260908
    CAS*CO*45*908.28**59*65.05**253*2.03
    CAS*PR*2*25.33
    REF*6R*1001L2
    AMT*B6*126.67
    LQ*HE*N361
    CLP*IMG1002*4*900*0*0*MB*ICN26090002*11*1
    NM1*QC*1*SAMPLE*HENRY****MI*2EG4TE5MK74
    SVC*HC:74177*900*0**1
    DTM*472*20260909
    CAS*CO*197*900
    REF*6R*1002L1
    LQ*HE*N54
    CLP*IMG0977*22*-450*-120*-30*MB*ICN26070900*11*1
    NM1*QC*1*SAMPLE*MARIA****MI*3EG4TE5MK75
    SVC*HC:76700*-450*-120**-1
    DTM*472*20260702
    CAS*CO*45*-300
    CAS*PR*2*-30
    CLP*IMG0977*1*450*100*30*MB*ICN26090977*11*7
    NM1*QC*1*SAMPLE*MARIA****MI*3EG4TE5MK75
    REF*F8*ICN26070900
    SVC*HC:76705*450*100**1*HC:76700
    DTM*472*20260702
    CAS*CO*45*320
    CAS*PR*2*30
    PLB*1679576722*20261231*WO:ICN26050001*50*L6:INT0926*-1.25
"""


def _the_claims_of_j8(house):
    mcr = payer("MCR")
    first = claim_of(
        house,
        "IMG1001",
        [("70553", "1500", "316.97", "1001L1"), ("72148", "1100", "126.67", "1001L2")],
        payers=[mcr],
    )
    claim_of(
        house,
        "IMG1002",
        [("74177", "900", "267.00", "1002L1")],
        payers=[mcr],
        dos=dt.date(2026, 9, 9),
    )
    claim_of(house, "IMG0977", [("76700", "450", None)], payers=[mcr], dos=dt.date(2026, 7, 2))
    claim_of(
        house,
        "IMG0555",
        [("71046", "90", None)],
        payers=[mcr],
        icn="ICN26050001",
        dos=dt.date(2026, 5, 1),
    )
    receive(
        house,
        era(
            head("120", trace="OLD1", payer_name="SAMPLE PART B PAYER", payer_id="06102")
            + "CLP*IMG0977*1*450*120*30*MB*ICN26070900*11*1\nSVC*HC:76700*450*120**1\nCAS*CO*45*300\nCAS*PR*2*30",
            control=7,
        ),
    )
    remittance_post(
        remittance=Remittance.objects.get(trace="OLD1"), actor=house.actor("pia"), at=AT
    )
    second = first.lines.get(number=2).charge
    second.derivation = [
        {"words": "schedule", "amount": "191.72", "kind": "price"},
        {"words": "26 + TC = 126.67", "amount": "126.67", "kind": "multiple"},
        {"words": "allowed", "amount": "126.67", "kind": "price"},
    ]
    second.save(update_fields=["derivation"])


def _check_j8(house, remittance):
    assert (remittance.amount, remittance.claims_total, remittance.plb_total) == (
        D("279.07"),
        D("327.82"),
        D("48.75"),
    )
    remittance_post(remittance=remittance, actor=house.actor("pia"), at=AT)
    assert booked("cash", remittance_id=remittance.pk) == D("279.07")
    denial = Denial.objects.get()
    assert (denial.category, denial.amount, denial.claim.number) == (
        "prior_auth",
        D("900.00"),
        "IMG1002",
    )
    assert booked("sequestration") == D("7.10")
    assert booked("interest") == D("-1.25")
    claim = Claim.objects.get(number="IMG0977")
    assert (insurance(claim), owed_by_patient(claim)) == (D("0.00"), D("30.00"))
    assert insurance(Claim.objects.get(number="IMG0555")) == D(
        "140.00"
    )  # 90 open and 50 taken back
    # the multiple-procedure reduction is ours to the cent, and so is what was allowed
    assert not Variance.objects.exists()


def test_the_sample_remittance_ties_denies_reverses_and_takes_back(house):
    _the_claims_of_j8(house)
    receive(
        house,
        era(
            head(
                "279.07", trace="EFT20260925001", payer_name="SAMPLE PART B PAYER", payer_id="06102"
            )
            + J8
        ),
    )
    _check_j8(house, Remittance.objects.get(trace="EFT20260925001"))


def test_the_sample_file_itself(house, shared):
    _the_claims_of_j8(house)
    receive(house, (shared / "samples/made/835_mppr_denial_reversal_plb.edi").read_bytes())
    _check_j8(house, Remittance.objects.get(trace="EFT20260925001"))


def test_another_split_of_the_same_reduction_moves_no_money_and_is_no_case(house):
    _the_claims_of_j8(house)
    receive(house, era(head("279.07") + J8.replace("908.28**59*65.05", "888.33**59*85.00")))
    remittance_post(
        remittance=Remittance.objects.get(trace="EFT1"), actor=house.actor("pia"), at=AT
    )
    assert not Variance.objects.exists()


def _judged(expected, allowed, ours, *cas):
    found = judge(
        expected=D(expected),
        allowed=D(allowed),
        adjustments=[Cas(*c[:2], D(c[2])) for c in cas],
        our_reduction=None if ours is None else D(ours),
        dollars=D("5.00"),
        percent=D("2.00"),
    )
    return (found.difference, found.cause) if found else None


def test_a_multiple_procedure_reduction_beyond_ours_is_the_cause_even_of_a_small_difference():
    assert _judged("126.67", "126.67", "65.05", ("CO", "59", "65.05")) is None
    assert (
        _judged("126.67", "126.65", "65.05", ("CO", "59", "65.07")) is None
    )  # two cents are rounding
    assert _judged("126.67", "122.67", "65.05", ("CO", "59", "69.05")) == (D("-4.00"), "mppr")
    assert _judged("191.72", "126.67", "0.00", ("CO", "59", "65.05")) == (D("-65.05"), "mppr")


def test_a_difference_counts_above_five_dollars_and_above_two_percent():
    assert _judged("200", "195", None) is None
    assert _judged("200", "194.99", None) == (D("-5.01"), "contract_rate")
    assert _judged("1000", "980", None) is None
    assert _judged("1000", "979.99", None) == (D("-20.01"), "contract_rate")
    assert _judged("200", "210", None) == (D("10.00"), "paid_above")
    assert _judged("300", "255", "0.00", ("CO", "237", "45.00")) == (D("-45.00"), "equipment")
    assert _judged("300", "294", "0.00", ("CO", "253", "6.00")) is None  # exactly two percent
    assert _judged("300", "0", "0.00") == (D("-300.00"), "not_paid")


@pytest.mark.parametrize(
    ("won", "n", "expected"),
    [
        (0, 0, "0.35"),  # the seed alone
        (0, 34, "0.16"),  # never zero
        (12, 30, "0.38"),  # as many as the seed weighs: the middle of 0.35 and 0.40
        (1200, 3000, "0.40"),  # the own rate
        (5, 5, "0.44"),
    ],
)
def test_own_outcomes_are_mixed_with_the_seed_by_weight(won, n, expected):
    found = chance(D("0.35"), won, n)
    assert found.odds == D(expected)
    assert 0 < found.low < found.odds < found.high < 1


def test_won_and_decided_are_counted_by_category(house):
    claim, row = denied(house)
    Denial.objects.bulk_create(
        [
            Denial(
                organization=house.a,
                claim=claim,
                payment=row.payment,
                payer=row.payer,
                group="CO",
                reason=f"X{n}",
                category="prior_auth",
                amount=D(1),
                status=DenialStatus.OVERTURNED if n < 12 else DenialStatus.UPHELD,
                denied_on=DAY,
            )
            for n in range(30)
        ]
    )
    assert own_outcomes(house.a.pk) == {"prior_auth": (12, 30)}


def test_drain_is_the_same_as_workers(cast_committed):
    cast = cast_committed
    from rcm.accounts.scope import scope
    from rcm.exchange.services import store_inbound

    with scope(cast.system):
        claim_of(cast, "C1", [("70551", "500", "200")], payers=[payer("MCR"), payer("ESB")])
        store_inbound(
            organization_id=cast.a.pk,
            kind="835",
            at=AT,
            actor=cast.system,
            content=era(
                head("160")
                + "CLP*C1*1*500*160*40*MB*I*11*1\nSVC*HC:70551*500*160**1\nCAS*CO*45*300\nCAS*PR*2*40\nREF*6R*C1L1"
            ),
        )
    drain([cast.a.pk], at=AT)
    with scope(cast.system):
        assert Remittance.objects.get().status == "posted"
        assert Claim.objects.filter(rank=2, primary_claim__number="C1").count() == 1


def test_a_denial_for_lack_of_papers_has_the_signed_report_ready(house):
    claim, row = denied(house, reason="252")
    asked = RecordsRequest.objects.get()
    assert (asked.claim_id, asked.source, asked.code) == (claim.pk, "835", "CO-252")
    item = WorkItem.objects.get(subject_type="denial", subject_id=row.pk)
    panel = denial_panel(item, house.actor("mia"))
    assert panel.fixes[0].label == "Send the signed report"
    assert [f.primary for f in panel.fixes] == [True, *[False] * (len(panel.fixes) - 1)]
    assert not WorkItem.objects.filter(queue="records_wanted").exists()


def test_an_appeal_encloses_the_calls_about_its_claim_and_goes_to_who_denied(house):
    claim, row = denied(house)
    item = WorkItem.objects.get(subject_type="denial", subject_id=row.pk)
    interaction_record(
        organization_id=house.a.pk,
        item=item,
        channel="phone",
        contact="Ms. Roe",
        reference="CALL77",
        note="Asked why",
        outcome="In process",
        actor=house.actor("ari"),
        at=AT,
    )
    titles = {p.title: p for p in evidence(row)}
    assert "CALL77" in titles["Contacts about this claim"].lines[0]
    Reviewer.objects.create(
        name="Radiant", appeal_address="PO Box 7, Dover", source="x", effective_from=DAY
    )
    Authorization.objects.create(
        organization=house.a,
        patient=claim.patient,
        coverage=claim.coverage,
        site=claim.site,
        payer=row.payer,
        number="A77",
        reviewer="Radiant",
        status="denied",
    )
    Claim.objects.filter(pk=claim.pk).update(authorization_number="A77")
    row.claim.refresh_from_db()
    letter = appeal_draft(denial=row, at=AT)
    assert "Radiant, for" in letter
    assert "PO Box 7, Dover" in letter
