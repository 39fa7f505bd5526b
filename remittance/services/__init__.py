"""The verbs of the remittance phase. Keyword-only, set-based, each one transaction, with an actor
and a business time `at` (default now).

What arrives
    receive_835(interchange, actor, at) -> dict                 processor of "835": one Remittance per ST, READY, or QUARANTINED with its figures
    advice_upload(organization_id, content, file_name, actor, at) -> (Interchange, bool)   store an 835; `process` or a worker reads it
    eob_agree(remittance, actor, at) -> Remittance              a second person, where denied amounts become the patient's
    eob_key(organization_id, eob: KeyedEob, document, actor, at) -> Remittance   a paper EOB through the same gate
    remittance_read_again(remittance, actor, at) -> Remittance  a held one, once its cause is gone
    remittance_date(remittance, paid_on, actor, at)             the date that the file lacks
    remittance_match(remittance, actor, at) -> int              look again for claims that were not found

Posting
    remittance_preview(remittance, positions=None) -> Preview   the exact postings, nothing written
    remittance_post(remittance, actor, at) -> Posted            whole, in one transaction; a second call posts nothing
    posting_start(remittance, actor, at) -> JobRun              the same in chunks on the posting workers, with progress
    posting_run(run_id, organization_id) · posting_resume(actor)   the worker's side; survives kill -9
    remittance_reverse(remittance, reason, actor, at) -> int    counter-entries for all of it; its money is unapplied
    remittance_reopen(remittance, actor, at) -> Remittance      a reversed one, to correct and post again
    payment_apply(payment, claim, lines=None, reason, actor, at) -> ClaimPayment   unapplied cash or an exception to a claim, by a person
    return_request(cash, reason, actor, at) -> CashReturn       back to the payer; return_decide(row, approve, reference, note, actor, at) by a second person
    cash_to_patient(cash, patient, reason, actor, at) -> CashReturn   it was the patient's own payment

Denials
    denial_correct(denial, changes, reason, submit=True, actor, at) -> Correction   claims.claim_correct, scrub, submit in one flow
    denial_appeal(denial, letter=None, sent_on=None, actor, at) -> Appeal           letter and packet PDF kept as sent
    appeal_draft(denial, at) -> str · appeal_outcome(appeal, outcome, recovered, on, actor, at) ->
    Appeal denial_park(denial, reason, review_on=None, actor, at) · denial_reopen(denial, reason,
    actor, at)
    denials_written_off(denial_ids, actor, at) -> int           told by A/R when a write-off was approved
    denials_accepted(denial_ids, sentence, actor, at) -> int    the denial stands, its balance went to the patient
    denials_group(denial_ids, act, …) -> BulkResult             payer × reason as one work

Underpayments and the bank variance_dispute(variance, note, actor, at) · variance_accept(variance,
    note, actor, at) · variance_recovered(variance, amount, note, actor, at)
    deposits_import(organization_id, content, actor, at) -> DepositResult
    responsibility_release(claim_ids, actor, at) -> int         next payer or patient, once every line is final
    upkeep(organization_id, actor, at) · underpayments_refresh(organization_id, actor, at)   parked denials back, clocks and scores fresh

Records are in `remittance.records`. Domain events published (ids only): "remittance.ready"
{"remittance_id"}, "remittance.posted" {"remittance_id"}, "patient.responsible" {"claim_id",
"patient_id"}, "denial.opened" {"denial_id", "claim_id"}.
"""

from __future__ import annotations

from remittance.services.applying import payment_apply
from remittance.services.bank import bank_heads, deposit_join, deposits_import, deposits_match
from remittance.services.clocks import underpayments_refresh, upkeep
from remittance.services.denials import (
    appeal_draft,
    appeal_outcome,
    denial_appeal,
    denial_correct,
    denial_park,
    denial_reopen,
    denials_accepted,
    denials_group,
    denials_written_off,
    variance_accept,
    variance_dispute,
    variance_recovered,
)
from remittance.services.doors import advice_upload, remittance_match
from remittance.services.held import remittance_date, remittance_read_again
from remittance.services.members import member_correct
from remittance.services.paper import eob_agree, eob_key
from remittance.services.planning import remittance_preview
from remittance.services.posting import remittance_post, remittance_reverse
from remittance.services.receiving import receive_835
from remittance.services.reopening import remittance_reopen
from remittance.services.responsibility import responsibility_release
from remittance.services.returning import (
    cash_to_patient,
    open_return,
    return_decide,
    return_request,
)
from remittance.services.runs import posting_resume, posting_run, posting_start

__all__ = [
    "advice_upload",
    "appeal_draft",
    "appeal_outcome",
    "bank_heads",
    "cash_to_patient",
    "denial_appeal",
    "denial_correct",
    "denial_park",
    "denial_reopen",
    "denials_accepted",
    "denials_group",
    "denials_written_off",
    "deposit_join",
    "deposits_import",
    "deposits_match",
    "eob_agree",
    "eob_key",
    "member_correct",
    "open_return",
    "payment_apply",
    "posting_resume",
    "posting_run",
    "posting_start",
    "receive_835",
    "remittance_date",
    "remittance_match",
    "remittance_post",
    "remittance_preview",
    "remittance_read_again",
    "remittance_reopen",
    "remittance_reverse",
    "responsibility_release",
    "return_decide",
    "return_request",
    "underpayments_refresh",
    "upkeep",
    "variance_accept",
    "variance_dispute",
    "variance_recovered",
]
