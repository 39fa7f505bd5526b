"""The verbs of the mid-cycle. Each is one transaction, keyword-only, idempotent, with an actor and
a business time.

What arrives
    exams_record(records, actor, at) -> list[Recorded]        performed exams (MPPS, ORU, DFT, API); never creates what no order explains
    exam_record(record, actor, at) -> Recorded
    reports_receive(reports, actor, at) -> list[Recorded]     versions of reports; P held, F and C judged, X withdraws
    report_receive(report, actor, at) -> Recorded
    unsolicited_link, unsolicited_dismiss, unsolicited_retry  results that no order explained

What is decided
    exams_evaluate(exam_ids, actor, at) -> list[Evaluated]    code, form, lines, price, expected payment, match, holds; releases what is clean
    charges_release(exam_ids, actor, at) -> list[int]         ids of charges released now; ledger posted once, "charges.released"
    exam_code, exam_accept, diagnoses_set                     the coder's decision, kept with its reason over capture's suggestion
    finding_waive, order_change_document, exam_correct        why a hold does not stop, why the exam differs from its order, what was done
    exam_no_bill, exam_bill_again                             the reasoned end without a charge, and back

Clocks and proofs
    unsigned_refresh(actor, at) -> int                        items for reports that are late (rule `unsigned-clock`)
    accession_control(actor, first, last), accession_proof    every completed exam explained

Domain events published (payload is ids only):
    "charges.evaluate"  {"exam_id"}                           subscribed here: evaluated in bulk by the batch workers
    "charges.released"  {"exam_ids": […], "charge_ids": […]}  build claims of these charges;
    self-pay ones are not among them
    "charges.changed"   {"exam_id", "old": […], "new": […], "reason"}   after release: old charges void, new ones released (frequency 7 or 8);
                        reason is late_charge, corrected_report, changed, report_withdrawn or
                        no_bill
"""

from __future__ import annotations

from charges.services.clocks import Control, accession_control, accession_proof, unsigned_refresh
from charges.services.evaluation import Evaluated, exams_evaluate
from charges.services.recording import exam_record, exams_record
from charges.services.release import charges_release, exam_no_bill
from charges.services.reports import report_receive, reports_receive
from charges.services.review import (
    contrast_given,
    diagnoses_set,
    exam_accept,
    exam_bill_again,
    exam_code,
    exam_code_confirm,
    exam_correct,
    finding_waive,
    order_change_document,
)
from charges.services.settings import rule_save
from charges.services.succession import money_follows
from charges.services.unsolicited import unsolicited_dismiss, unsolicited_link, unsolicited_retry

__all__ = [
    "Control",
    "Evaluated",
    "accession_control",
    "accession_proof",
    "charges_release",
    "contrast_given",
    "diagnoses_set",
    "exam_accept",
    "exam_bill_again",
    "exam_code",
    "exam_code_confirm",
    "exam_correct",
    "exam_no_bill",
    "exam_record",
    "exams_evaluate",
    "exams_record",
    "finding_waive",
    "money_follows",
    "order_change_document",
    "report_receive",
    "reports_receive",
    "rule_save",
    "unsigned_refresh",
    "unsolicited_dismiss",
    "unsolicited_link",
    "unsolicited_retry",
]
