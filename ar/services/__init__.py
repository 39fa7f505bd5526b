"""The verbs of receivables. Keyword-only, set-based, each one transaction, with an actor and a
business time `at` (default now).

Write-offs write_off_request(charge, reason, amount, note, account,
    claim=None, contact=None, actor, at) -> WriteOffRequest
    write_off_decide(request, approve, note, actor, at) -> WriteOffRequest       a second person, never the requester
    small_balances_write_off(organization_id, actor, at) -> int                 by rule, after the statement cycle

The patient's side payment_take(patient, amount, method, actor, received_on=None, charge_ids=None,
    note="", at) -> PatientPayment payment_void(payment, reason, actor, at) -> PatientPayment
    unapplied_apply(patient_ids, actor, at) -> int                              prepayments onto open balances
    transfer_to_patient(charge, amount, reason, actor, at)                      guarded; transfer_to_insurance puts it back
    statements_send(organization_id, actor, at, patient_ids=None) -> list[Statement]
    channel_choose · mail_batch_make · mails_send (outside a transaction) · delivery_returned
    hold_set(patient, kind, actor, charge=None, note="", case_number="", event_on=None, at)
    hold_lift(hold, reason, actor, at) · plan_make(patient, total, instalment, starts_on,
    actor, at) · plan_cancel(plan, reason, actor, at)
    plans_review(organization_id, actor, at) -> int                             done, or broken

Assistance assistance_ask(patient, household_size, income, actor, note, at) -> Assistance ·
    assistance_paper · assistance_submit · assistance_decide (a second person) · assistance_apply
    to new balances · assistance_withdraw · scale_set(organization_id, effective_from, bands, actor)

Agency agency_set · placement_propose(agency, actor, at) -> AgencyBatch · placement_decide (a
    second person; the file) · placement_accepted · placement_recall · agency_recalls by cause ·
    agency_payment(placement, collected, reference, received_on, actor, at) less its fee

Credits credits_refresh(organization_id, actor, at) -> int refund_request(charge, to, amount, cause,
    actor, at) -> Refund · refund_decide(refund, approve, note, actor, at) · refund_issue(refund,
    reference, actor, at)

Follow-up
    followup_refresh(organization_id, actor, at) -> (opened, closed)
    patient_balance_refresh(organization_id, actor, at) -> int
    nightly(organization_id, actor, at)                                         all refreshes, statements excluded

Figures ar.aging.aging(organization_ids, on, basis, …) -> [Cell] · ar.aging.lines(…) ·
    aging_snapshot(organization_id, day, actor) ar.kpi.engine.values(…) ·
    kpi_snapshot(organization_id, day, actor)
"""

from __future__ import annotations

from ar.services.agency import (
    agency_payment,
    agency_recalls,
    agency_set,
    placement_accepted,
    placement_decide,
    placement_propose,
    placement_recall,
)
from ar.services.assistance import (
    assistance_apply,
    assistance_ask,
    assistance_decide,
    assistance_paper,
    assistance_submit,
    assistance_withdraw,
    scale_set,
)
from ar.services.credits import (
    credits_refresh,
    refund_decide,
    refund_issue,
    refund_request,
    refunds_stop,
)
from ar.services.delivery import (
    channel_choose,
    delivery_returned,
    mail_batch_make,
    mails_send,
)
from ar.services.followup import followup_refresh, homes_refresh, nightly, patient_balance_refresh
from ar.services.holds import (
    hold_lift,
    hold_set,
    holds_follow_charts,
    holds_of,
    holds_refresh,
)
from ar.services.patients import (
    open_patient_charges,
    payment_refund,
    payment_take,
    payment_void,
    plan_cancel,
    plan_make,
    plans_review,
    transfer_to_insurance,
    transfer_to_patient,
    unapplied_apply,
    unapplied_balances,
)
from ar.services.snapshots import aging_snapshot, day_end, kpi_snapshot
from ar.services.statements import (
    statements_batch,
    statements_preview,
    statements_send,
)
from ar.services.writeoffs import small_balances_write_off, write_off_decide, write_off_request

__all__ = [
    "agency_payment",
    "agency_recalls",
    "agency_set",
    "aging_snapshot",
    "assistance_apply",
    "assistance_ask",
    "assistance_decide",
    "assistance_paper",
    "assistance_submit",
    "assistance_withdraw",
    "channel_choose",
    "credits_refresh",
    "day_end",
    "delivery_returned",
    "followup_refresh",
    "hold_lift",
    "hold_set",
    "holds_follow_charts",
    "holds_of",
    "holds_refresh",
    "homes_refresh",
    "kpi_snapshot",
    "mail_batch_make",
    "mails_send",
    "nightly",
    "open_patient_charges",
    "patient_balance_refresh",
    "payment_refund",
    "payment_take",
    "payment_void",
    "placement_accepted",
    "placement_decide",
    "placement_propose",
    "placement_recall",
    "plan_cancel",
    "plan_make",
    "plans_review",
    "refund_decide",
    "refund_issue",
    "refund_request",
    "refunds_stop",
    "scale_set",
    "small_balances_write_off",
    "statements_batch",
    "statements_preview",
    "statements_send",
    "transfer_to_insurance",
    "transfer_to_patient",
    "unapplied_apply",
    "unapplied_balances",
    "write_off_decide",
    "write_off_request",
]
