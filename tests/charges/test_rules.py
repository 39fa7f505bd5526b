"""Who bills what, which code, which modifiers, what it should pay, and what stops it: worked
examples through the services.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from charges.models import (
    AccessionProof,
    BillingArrangement,
    ContrastStock,
    Exam,
    ReleasePolicy,
    Scanner,
)
from charges.records import ContrastGiven, SupplyGiven
from charges.services import (
    accession_control,
    accession_proof,
    charges_release,
    diagnoses_set,
    exam_accept,
    exam_bill_again,
    exam_code,
    exam_correct,
    exam_no_bill,
    exam_record,
    exams_evaluate,
    finding_waive,
    report_receive,
    unsigned_refresh,
)
from intake.models import Coverage
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Conflict, Refused
from rcm.ledger.models import LedgerEntry
from rcm.pricing.models import ListPrice
from rcm.reference.models import Payer
from rcm.worklist.models import WorkItem
from tests.charges.house import (
    BRAIN,
    DONE,
    DOS,
    GADOBUTROL,
    JAN,
    PLAIN_BRAIN,
    READ,
    codes_of,
    fresh,
    holds_of,
)

CHEST = {
    "title": "Chest X-ray, two views",
    "indication": "Cough for two weeks.",
    "technique": "PA and lateral views of the chest.",
    "comparison": "None.",
    "findings": "Lungs are clear.",
    "impression": "No acute disease.",
    "signature": "Electronically signed by Ivan Reader MD 2026-09-08 14:29",
}
KNEE = {
    **CHEST,
    "title": "Left knee X-ray",
    "technique": "Three views of the left knee.",
    "findings": "No fracture of the left knee.",
    "impression": "Normal left knee.",
}
MAMMO = {
    **CHEST,
    "title": "Screening mammogram",
    "technique": "Digital views with tomosynthesis.",
    "impression": "BI-RADS 1, negative.",
}


def run(house, patient, code, sections, *, at=READ, ordered=None, authorize=True, **more) -> Exam:
    """Order, authorize, perform, read, evaluate."""
    ordered = ordered or house.order(patient, code)[0]
    if authorize:
        house.authorize(patient, ordered, number=f"AUTH{ordered.pk}")
    done = exam_record(
        record=house.done(ordered, **({"code": code} | more)), actor=house.actor, at=DONE
    )
    if sections:
        report_receive(
            report=house.report(ordered, sections, code=more.get("code", code)),
            actor=house.actor,
            at=READ,
        )
    exams_evaluate(exam_ids=[done.exam_id], actor=house.actor, at=at)
    return fresh(done.exam_id)


def arrange(house, **facts) -> None:
    BillingArrangement.objects.all().update(**facts)


# --- who bills what -------------------------------------------------------------------------------


def test_independent_readers_leave_us_the_technical_part(house):
    arrange(house, reader_relation="independent")
    ListPrice.objects.create(
        organization=house.cast.a, code="70551", mod="TC", amount=700, effective_from=JAN
    )
    exam = run(house, house.patient(), "70551", PLAIN_BRAIN)
    assert codes_of(exam) == [("70551", ("TC",), 1, "released")]
    assert exam.form["others"] == [["26", "reading group"]]


def test_a_technical_part_waits_for_the_report_unless_the_site_says_otherwise(house):
    arrange(house, reader_relation="independent")
    ListPrice.objects.create(
        organization=house.cast.a, code="70551", mod="TC", amount=700, effective_from=JAN
    )
    exam = run(house, house.patient(), "70551", None)
    assert holds_of(exam) == ["NO_FINAL_REPORT"]
    policy(house, tc_without_report=True)
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    assert codes_of(fresh(exam.pk)) == [("70551", ("TC",), 1, "released")]


def policy(house, **facts) -> None:
    given = {
        "warn_hours": 24,
        "escalate_hours": 72,
        "director_hours": 168,
        "tc_without_report": False,
        "auto_release": True,
        "effective_from": JAN,
    } | facts
    ReleasePolicy.objects.create(organization=house.cast.a, **given)


def test_at_a_hospital_we_bill_the_reading_only(house):
    arrange(house, equipment_owner="hospital", tech_employer="hospital")
    type(house.site).objects.filter(pk=house.site.pk).update(pos="22")
    exam = run(house, house.patient(), "71046", CHEST, station="XR1")
    assert codes_of(exam) == [("71046", ("26",), 1, "released")]
    assert exam.charges.get().service_zip == "606011234"


def test_when_the_hospital_bills_both_parts_the_exam_ends_reasoned(house):
    arrange(
        house, equipment_owner="hospital", tech_employer="hospital", force="pc_bundled_to_hospital"
    )
    type(house.site).objects.filter(pk=house.site.pk).update(pos="22")
    exam = run(house, house.patient(), "71046", CHEST, station="XR1")
    assert (exam.status, exam.no_bill_reason) == (
        "no_bill",
        "The facility bills both parts and pays us by contract.",
    )
    assert not exam.charges.exists()


def test_read_in_another_medicare_locality_it_is_split_with_its_own_place(house):
    house.group.zip = "627010001"  # Springfield: another locality than Chicago
    house.group.save(update_fields=["zip"])
    exam = run(house, house.patient(payer="MCR"), "71046", CHEST, station="XR1", authorize=False)
    ListPrice.objects.create(
        organization=house.cast.a, code="71046", mod="TC", amount=60, effective_from=JAN
    )
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    exam = fresh(exam.pk)
    assert holds_of(exam) == []
    assert [(c.component, c.service_zip) for c in exam.charges.order_by("component")] == [
        ("26", "627010001"),
        ("TC", "606011234"),
    ]


def test_without_an_arrangement_or_a_price_nothing_leaves(house):
    BillingArrangement.objects.all().delete()
    exam = run(house, house.patient(), "70551", PLAIN_BRAIN)
    assert holds_of(exam) == ["ARRANGEMENT_UNKNOWN"]
    BillingArrangement.objects.create(
        organization=house.cast.a, site=house.site, reader_relation="employee", effective_from=JAN
    )
    ListPrice.objects.filter(code="70551").delete()
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    assert holds_of(fresh(exam.pk)) == ["LIST_PRICE_MISSING"]
    assert WorkItem.objects.get(exam_id=exam.pk, status="open").cause == "LIST_PRICE_MISSING"


# --- code and modifiers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("film", "cr", "modifiers"),
    [(True, False, ("FX",)), (False, True, ("FY",)), (False, False, ())],
)
def test_the_machine_puts_its_modifier_on(house, film, cr, modifiers):
    Scanner.objects.filter(station="XR1").update(film=film, computed_radiography=cr)
    exam = run(house, house.patient(payer="MCR"), "71046", CHEST, station="XR1", authorize=False)
    assert codes_of(exam) == [("71046", modifiers, 1, "released")]


def test_an_unknown_machine_holds(house):
    Scanner.objects.filter(modality="XR").delete()
    exam = run(house, house.patient(), "71046", CHEST, station="XR1")
    assert holds_of(exam) == ["MACHINE_UNKNOWN"]


def test_views_in_the_report_decide_the_code(house):
    exam = run(house, house.patient(), "73560", KNEE, station="XR1", modality="XR", laterality="LT")
    assert exam.code == "73562"  # three views
    assert exam.charges.get().modifiers == ["LT"]


def test_what_was_performed_beats_the_code_of_the_message(house):
    exam = run(house, house.patient(), "70551", BRAIN, contrast=GADOBUTROL)
    assert exam.code == "70553"
    assert "without and with" in exam.suggestion["why"]


def test_modality_and_report_that_disagree_go_to_the_reader(house):
    exam = run(house, house.patient(), "70553", PLAIN_BRAIN, contrast=GADOBUTROL)
    assert "CONTRAST_CONFLICT" in holds_of(exam)
    item = WorkItem.objects.get(subject_type="exam", subject_id=exam.pk, status="open")
    assert item.queue == "report_conflict"
    finding = next(f for f in exam.findings if f["code"] == "CONTRAST_CONFLICT")
    assert finding["quote"] == "Multiplanar sequences without contrast."


def test_abdomen_and_pelvis_of_one_session_are_one_code(house):
    patient = house.patient()
    abdomen, pelvis = house.order(patient, "74160", "72193")
    house.authorize(patient, abdomen, "74177")
    text = {
        **BRAIN,
        "technique": "CT after 100 mL iohexol 350 IV.",
        "findings": "Normal.",
        "indication": "Abdominal pain for a week.",
    }
    given = ContrastGiven("iv", "iohexol 350", Decimal(100), pre=False, post=True)
    ids = []
    for ordered in (abdomen, pelvis):
        ids.append(
            exam_record(
                record=house.done(ordered, station="CT1", contrast=given),
                actor=house.actor,
                at=DONE,
            ).exam_id
        )
        report_receive(report=house.report(ordered, text), actor=house.actor, at=READ)
    exams_evaluate(exam_ids=ids, actor=house.actor, at=READ)
    first, second = fresh(ids[0]), fresh(ids[1])
    assert first.code == "74177"
    assert second.status == "no_bill"
    assert second.no_bill_reason.startswith("Part of 74177")
    assert sorted(c[0] for c in codes_of(first)) == ["74177", "Q9967"]
    assert not codes_of(second)


def test_tomosynthesis_rides_on_the_screening_mammogram(house):
    exam = run(
        house,
        house.patient(),
        "77067",
        MAMMO,
        station="MG1",
        modality="MG",
        addons=(SupplyGiven("77063"),),
    )
    assert [c[0] for c in codes_of(exam)] == ["77067", "77063"]


@pytest.mark.parametrize(
    ("single", "wasted", "lines"),
    [
        (False, None, [("A9585", (), 80)]),
        (True, Decimal(0), [("A9585", ("JZ",), 80)]),
        (True, Decimal("1.5"), [("A9585", (), 80), ("A9585", ("JW",), 15)]),
    ],
)
def test_contrast_of_single_dose_vials_says_what_was_wasted(house, single, wasted, lines):
    ContrastStock.objects.update(single_dose=single)
    given = ContrastGiven("iv", "gadobutrol", Decimal(8), wasted, True, True)
    exam = run(house, house.patient(payer="MCR"), "70553", BRAIN, contrast=given, authorize=False)
    assert [
        (code, mods, units) for code, mods, units, _ in codes_of(exam) if code == "A9585"
    ] == lines
    assert holds_of(exam) == []


def test_waste_that_the_charge_message_tells_is_taken_as_told(house):
    ContrastStock.objects.update(single_dose=None)
    told = (SupplyGiven("A9585", Decimal(80)), SupplyGiven("A9585", Decimal(15), ("JW",)))
    exam = run(
        house,
        house.patient(payer="MCR"),
        "70553",
        BRAIN,
        source="dft",
        supplies=told,
        authorize=False,
    )
    assert [c[:3] for c in codes_of(exam)] == [
        ("70553", (), 1),
        ("A9585", (), 80),
        ("A9585", ("JW",), 15),
    ]
    assert holds_of(exam) == []


def test_contrast_that_nobody_wrote_down_is_held_and_completed(house):
    text = {**BRAIN, "technique": "Multiplanar sequences before and after contrast."}
    exam = run(
        house, house.patient(), "70553", text, contrast=ContrastGiven("iv", pre=True, post=True)
    )
    assert "CONTRAST_NOT_RECORDED" in holds_of(exam)
    exam_correct(
        exam=exam,
        contrast=ContrastGiven(agent="gadobutrol", given_ml=Decimal(8)),
        reason="From the injector log",
        actor=house.actor,
        at=READ,
    )
    exam = fresh(exam.pk)
    assert ("A9585", (), 80) in [c[:3] for c in codes_of(exam)]
    assert exam.performed["by"]["mpps"]["contrast"]["pre"] is True


# --- money ----------------------------------------------------------------------------------------


def test_two_exams_of_one_session_are_reduced_and_the_reduction_can_be_read(house):
    patient = house.patient(payer="MCR")
    brain, spine = house.order(patient, "70551", "72148")
    ids = []
    for ordered in (brain, spine):
        ids.append(exam_record(record=house.done(ordered), actor=house.actor, at=DONE).exam_id)
        report_receive(report=house.report(ordered, PLAIN_BRAIN), actor=house.actor, at=READ)
    exams_evaluate(exam_ids=ids, actor=house.actor, at=READ)
    first, second = (fresh(i).charges.get() for i in ids)
    words = " ".join(s["words"] for c in (first, second) for s in c.derivation)
    assert "50%" in words
    assert "95%" in words
    assert fresh(ids[1]).expected < Decimal("197.08")  # the full price of 72148 in Chicago


def test_a_payer_without_a_contract_is_unknown_not_zero(house):
    exam = run(house, house.patient(payer="CFH"), "71046", CHEST, station="XR1")
    charge = exam.charges.get()
    assert charge.expected is None
    assert "No contract" in charge.derivation[0]["words"]


def test_self_pay_goes_to_the_patient(house):
    exam = run(house, house.patient(payer="SELF"), "70551", PLAIN_BRAIN, authorize=False)
    assert codes_of(exam) == [("70551", (), 1, "self_pay")]
    assert {e.account for e in LedgerEntry.objects.all()} == {"ar_patient", "revenue"}


# --- what stops -----------------------------------------------------------------------------------


def test_a_signer_without_credentials_does_not_release(house):
    type(house.reader).objects.update(credentialed_to=dt.date(2026, 8, 31))
    exam = run(house, house.patient(), "70551", PLAIN_BRAIN)
    assert holds_of(exam) == ["READER_NOT_CREDENTIALED"]


def test_unverified_or_inactive_coverage_holds(house):
    exam = run(house, house.patient(verified=False), "70551", PLAIN_BRAIN)
    assert holds_of(exam) == ["ELIGIBILITY_NOT_VERIFIED"]
    Coverage.objects.update(status="inactive", verified_at=DONE)
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    assert holds_of(fresh(exam.pk)) == ["COVERAGE_INACTIVE"]
    Coverage.objects.update(active=False)
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    assert holds_of(fresh(exam.pk)) == ["COVERAGE_MISSING"]


def test_no_authorization_holds_until_somebody_with_the_right_waives_it(house):
    exam = run(house, house.patient(), "70551", PLAIN_BRAIN, authorize=False)
    assert holds_of(exam) == ["AUTH_MISSING"]
    assert (
        WorkItem.objects.get(subject_type="exam_authorization", subject_id=exam.pk).queue
        == "auth_update"
    )
    with pytest.raises(PermissionRefused):
        finding_waive(
            exam=exam,
            code="AUTH_MISSING",
            reason="Try anyway",
            actor=house.cast.actor("cody"),
            at=READ,
        )
    finding_waive(
        exam=exam,
        code="AUTH_MISSING",
        reason="Payer system was down",
        actor=house.cast.actor("ada"),
        at=READ,
    )
    assert fresh(exam.pk).status == "released"
    assert not WorkItem.objects.filter(subject_type="exam_authorization", status="open").exists()


def test_what_cannot_be_waived_stays(house):
    exam = run(house, house.patient(), "70551", None)
    with pytest.raises(Refused, match="cannot be waived"):
        finding_waive(
            exam=exam, code="NO_FINAL_REPORT", reason="Please", actor=house.actor, at=READ
        )


def test_a_later_report_asks_again_what_was_waived(house):
    text = {**PLAIN_BRAIN, "comparison": ""}
    exam = run(house, house.patient(), "70551", text)
    assert holds_of(exam) == ["MISSING_COMPARISON"]
    finding_waive(
        exam=exam,
        code="MISSING_COMPARISON",
        reason="First study ever",
        actor=house.cast.actor("cody"),
        at=READ,
    )
    assert fresh(exam.pk).status == "released"
    later = READ + dt.timedelta(days=1)
    report_receive(
        report=house.report(
            exam.ordered_exam, {**text, "findings": "No infarct at all."}, "F", at=later
        ),
        actor=house.actor,
        at=later,
    )
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=later)
    exam = fresh(exam.pk)
    assert (exam.status, holds_of(exam)) == ("released", ["MISSING_COMPARISON"])
    assert (
        WorkItem.objects.get(subject_type="exam", subject_id=exam.pk, status="open").queue
        == "late_charges"
    )


def test_the_coder_decides_and_may_take_it_back(house):
    exam = run(
        house,
        house.patient(),
        "71046",
        {**CHEST, "title": "Chest X-ray", "technique": "Chest."},
        station="XR1",
    )
    assert "VIEWS_NOT_STATED" in holds_of(exam)
    coder = house.cast.actor("cody")
    with pytest.raises(Refused, match="not in the procedure catalog"):
        exam_code(exam=exam, code="00000", reason="Wrong one", actor=coder, at=READ)
    with pytest.raises(Refused, match="put theirs on"):
        exam_code(
            exam=exam, code="71045", modifiers_=["26"], reason="Wrong one", actor=coder, at=READ
        )
    exam_code(
        exam=exam,
        code="71045",
        reason="One view as documented",
        evidence="chest.",
        actor=coder,
        version=fresh(exam.pk).version,
        at=READ,
    )
    assert fresh(exam.pk).code == "71045"
    with pytest.raises(Conflict):
        exam_code(
            exam=exam, code="71046", reason="Stale page", actor=coder, version=exam.version, at=READ
        )
    exam_code(exam=exam, code="", reason="", actor=coder, at=READ)
    assert fresh(exam.pk).decision == {}
    exam_accept(exam=fresh(exam.pk), actor=coder, at=READ)
    assert fresh(exam.pk).decision["code"] == "71046"


def test_diagnoses_come_from_the_coder_or_the_order(house):
    exam = run(house, house.patient(), "70551", PLAIN_BRAIN)
    assert exam.charges.get().diagnoses == ["R519"]
    diagnoses_set(
        exam=exam,
        codes=["I63.9", "R51.9"],
        reason="Infarct confirmed",
        actor=house.cast.actor("cody"),
        at=READ,
    )
    assert fresh(exam.pk).charges.get(status="released").diagnoses == ["I639", "R519"]


# --- after release --------------------------------------------------------------------------------


def test_contrast_that_is_charged_late_is_added_not_billed_apart(house):
    exam = run(
        house,
        house.patient(),
        "70553",
        {**BRAIN, "technique": "Before and after contrast."},
        contrast=ContrastGiven("iv", pre=True, post=True),
    )
    finding_waive(
        exam=exam, code="CONTRAST_NOT_RECORDED", reason="Log not found", actor=house.actor, at=READ
    )
    assert [c[0] for c in codes_of(fresh(exam.pk))] == ["70553"]
    exam_record(
        record=house.done(
            exam.ordered_exam, source="dft", supplies=(SupplyGiven("A9585", Decimal(80)),)
        ),
        actor=house.actor,
        at=READ,
    )
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    exam = fresh(exam.pk)
    assert codes_of(exam) == [("70553", (), 1, "released"), ("A9585", (), 80, "released")]
    assert not exam.charges.filter(status="void").exists()


def test_a_report_withdrawn_after_release_takes_everything_back(house):
    exam = run(house, house.patient(), "70551", PLAIN_BRAIN)
    later = READ + dt.timedelta(days=1)
    report_receive(
        report=house.report(exam.ordered_exam, {"findings": "Withdrawn"}, "X", at=later),
        actor=house.actor,
        at=later,
    )
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=later)
    exam = fresh(exam.pk)
    assert exam.status == "performed"
    assert holds_of(exam) == ["NO_FINAL_REPORT", "REPORT_WITHDRAWN"]
    assert {c.status for c in exam.charges.all()} == {"void", "held"}
    assert sum(e.amount for e in LedgerEntry.objects.filter(account="ar_insurance")) == 0


def test_no_bill_after_release_and_back(house):
    exam = run(house, house.patient(), "70551", PLAIN_BRAIN)
    coder = house.cast.actor("cody")
    with pytest.raises(Refused, match="Say why"):
        exam_no_bill(exam=exam, reason=" ", actor=coder, at=READ)
    with pytest.raises(PermissionRefused):
        exam_no_bill(exam=exam, reason="Repeat for motion", actor=house.cast.actor("ben"), at=READ)
    exam_no_bill(exam=exam, reason="Repeat for motion", actor=coder, at=READ)
    assert sum(e.amount for e in LedgerEntry.objects.filter(account="ar_insurance")) == 0
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    assert fresh(exam.pk).status == "no_bill"  # evaluation does not overrule a person
    exam_bill_again(exam=fresh(exam.pk), reason="It was a second study", actor=coder, at=READ)
    assert fresh(exam.pk).status == "released"


def test_a_site_that_releases_by_hand_has_its_item(house):
    policy(house, auto_release=False)
    exam = run(house, house.patient(), "70551", PLAIN_BRAIN)
    assert (exam.status, holds_of(exam)) == ("coded", [])
    item = WorkItem.objects.get(subject_type="exam", subject_id=exam.pk, status="open")
    assert (item.queue, item.cause) == ("charge_review", "READY_TO_RELEASE")
    (total,) = accession_control(actor=house.actor, first=DOS, last=DOS)
    assert (total.held, total.unexplained) == (1, 0)
    assert len(charges_release(exam_ids=[exam.pk], actor=house.cast.actor("cody"), at=READ)) == 1
    item.refresh_from_db()
    assert item.status in ("closed", "done")


# --- clocks and control totals --------------------------------------------------------------------


def test_unsigned_reports_alarm_by_their_clocks(house):
    exam = run(house, house.patient(), "70551", None)
    assert not WorkItem.objects.filter(subject_type="exam").exists()  # in time
    assert unsigned_refresh(actor=house.actor, at=DONE + dt.timedelta(hours=25)) == 1
    item = WorkItem.objects.get(subject_type="exam", subject_id=exam.pk)
    assert (item.queue, item.escalated_at, item.deadline_on) == (
        "unsigned_reports",
        None,
        DOS + dt.timedelta(days=90),
    )
    unsigned_refresh(actor=house.actor, at=DONE + dt.timedelta(hours=73))
    item.refresh_from_db()
    assert item.escalated_at is not None
    report_receive(report=house.report(exam.ordered_exam, PLAIN_BRAIN), actor=house.actor, at=READ)
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=DONE + dt.timedelta(hours=74))
    item.refresh_from_db()
    assert item.status == "closed"


def test_the_filing_limit_is_the_payers(house):
    Payer.objects.filter(code="PHP").update(filing_days=None)
    exam = run(house, house.patient(), "70551", None)
    assert exam.filing_deadline == DOS + dt.timedelta(
        days=90
    )  # unknown counts as the shortest usual limit
    Payer.objects.filter(code="PHP").update(filing_days=180)
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    assert fresh(exam.pk).filing_deadline == DOS + dt.timedelta(days=180)
    Payer.objects.filter(code="PHP").update(filing_days=90)


def test_every_completed_exam_is_explained_in_the_control_total(house):
    run(house, house.patient("C1"), "70551", PLAIN_BRAIN)
    run(house, house.patient("C2", payer="SELF"), "70551", PLAIN_BRAIN, authorize=False)
    run(house, house.patient("C3"), "70551", None)
    run(house, house.patient("C4"), "70551", PLAIN_BRAIN, authorize=False)
    gone = run(house, house.patient("C5"), "70551", PLAIN_BRAIN)
    exam_no_bill(exam=gone, reason="Equipment failure", actor=house.actor, at=READ)
    (total,) = accession_control(actor=house.actor, first=DOS, last=DOS)
    assert (
        total.performed,
        total.claimed,
        total.self_pay,
        total.no_bill,
        total.waiting,
        total.held,
        total.unexplained,
    ) == (5, 1, 1, 1, 1, 1, 0)
    Exam.objects.filter(patient__mrn="C4").update(
        holds=[], status="final"
    )  # what no rule of ours leaves behind
    (total,) = accession_control(actor=house.actor, first=DOS, last=DOS)
    assert total.unexplained == 1
    (proof,) = accession_proof(day=DOS, actor=house.actor, at=READ)
    assert proof.unexplained == 0  # looked at again, it is held by name
    assert AccessionProof.objects.count() == 1
