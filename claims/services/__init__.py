"""The verbs of the claim phase. Keyword-only, set-based, each one transaction, with an actor and a
business time `at` (default now).

From charge to file
    claims_build(charge_ids=, exam_ids=, actor, at) -> list[int]        ids of draft claims (new, or grown by the charges)
    claims_scrub(claim_ids, actor, at) -> Scrubbed                      facts, repairs, edits, findings, status, work items
    scrub_start(organization_id, claim_ids=None, actor, at) -> JobRun   the same as a batch with progress (None: all unsent)
    scrub_run(run_id, organization_id, at) -> counts                    the worker's side of it
    finding_override(finding, reason, actor, at) · finding_restore(finding, actor, at)
    claims_submit(claim_ids, actor, at) -> Submitted                    files of at most 5,000, each through the guide check; leaves by outbox
    claims_submit_ready(organization_id, actor, at) -> Submitted        everything that is ready, where the policy says so
    submit_preview(claim_ids) -> list[Preview]                          what goes where, and what changed since it was last sent

What comes back
    ta1_receive · a999_receive · a277ca_receive · a277_receive (interchange, actor, at) -> summary       processors of the exchange room
    submissions_refresh(organization_id, actor, at) -> int              sent? answered? claims that are missing get an item
    status_ask(claim_ids, actor, at) -> list[StatusInquiry]             276
    silent_refresh(organization_id, actor, at) -> int                   payers that are silent past their time: asked, then an item
    filing_refresh(organization_id, actor, at) -> int                   claims that near their filing limit unsent

    records_asked(asked: [Asked], actor, at) -> [RecordsRequest]        a payer wants papers: kept once, with its item
    records_send(row, channel, actor, at) · records_needless(row, note, actor, at)   the signed report as 275, fax or mail; or nothing

What changes
    claim_edit(claim, changes, reason, version, actor, at) -> Claim     only what has not been filed
    field_fix(claims, field, values, reason, actor, at) -> Fixed        one field on all claims of a cause, the refused ones named
    claim_correct(claim, reason, changes=, unprocessable=False, actor, at) -> Correction     frequency 7, new claim, or reopening (rule `replacement-or-void`)
    claim_void(claim, reason, again=False, actor, at) -> Correction     frequency 8, or void before filing; its charges get an item or a new claim
    exam_bill_again(exam, actor, at) -> list[int]                       released charges that stand on no claim go on one
    exam_reopened(exam, actor, at) -> Claim                             late charges that the payer took by reopening stand on its claim
    off_claim_refresh(organization_id, actor, at) -> (made, opened)     charges that fell off their claim, or never reached one
    claim_secondary(decision, actor, at) -> Claim | None                next payer in rank with the earlier one's decision
    claims_adjudicated(items: [Adjudicated], actor, at) -> int          paid, partial, denied, closed: status, payer's number, deadlines, events
    claims_close(claim_ids, reason, actor, at) -> int                   zero balance
    charges_changed(organization_id, changes, actor, at)                edits what is unsent, corrects what was sent
    corrections_due(organization_id, actor, at)                         corrections that waited for the payer's number

Rules by users
    rule_save(organization_id, definition, name, payer, actor, number=None, at) -> PayerRule   a new version, switched off
    rule_propose(organization_id, payer, lines, cause, words, fix, actor, at) -> PayerRule     from denied lines
    rule_backtest(rule, actor, at) -> dict · rule_switch(rule, on, actor, at) · rules_worth(rules, at)
    printer_save(organization, name, right, down, actor, active=True, printer=None, version=None) -> PaperPrinter

Records are in `claims.records`. Domain events published (ids only): "claims.rejected"
{"claim_ids"}, "claims.accepted" {"claim_ids"}.
"""

from __future__ import annotations

from claims.services.acknowledging import (
    a277_receive,
    a277ca_receive,
    a999_receive,
    silent_refresh,
    status_ask,
    ta1_receive,
)
from claims.services.building import claims_build
from claims.services.correcting import (
    ChargesChanged,
    charges_changed,
    claim_correct,
    claim_edit,
    claim_secondary,
    claim_void,
    corrections_due,
)
from claims.services.deciding import claims_adjudicated, claims_close
from claims.services.enrolling import enrollments_changed
from claims.services.fixing import Fixed, field_fix
from claims.services.papers import (
    CHANNELS,
    Asked,
    records_asked,
    records_needless,
    records_send,
    report_of,
    report_text,
)
from claims.services.printing import printer_save
from claims.services.rebilling import exam_bill_again, exam_reopened, off_claim_refresh
from claims.services.rules import (
    RuleProblems,
    rule_backtest,
    rule_propose,
    rule_save,
    rule_switch,
    rules_worth,
)
from claims.services.scrubbing import (
    claims_scrub,
    finding_override,
    finding_restore,
    scrub_run,
    scrub_start,
)
from claims.services.submitting import (
    Preview,
    Proof,
    claims_submit,
    claims_submit_ready,
    filing_refresh,
    proofs,
    submissions_refresh,
    submit_preview,
)

__all__ = [
    "CHANNELS",
    "Asked",
    "ChargesChanged",
    "Fixed",
    "Preview",
    "Proof",
    "RuleProblems",
    "a277_receive",
    "a277ca_receive",
    "a999_receive",
    "charges_changed",
    "claim_correct",
    "claim_edit",
    "claim_secondary",
    "claim_void",
    "claims_adjudicated",
    "claims_build",
    "claims_close",
    "claims_scrub",
    "claims_submit",
    "claims_submit_ready",
    "corrections_due",
    "enrollments_changed",
    "exam_bill_again",
    "exam_reopened",
    "field_fix",
    "filing_refresh",
    "finding_override",
    "finding_restore",
    "off_claim_refresh",
    "printer_save",
    "proofs",
    "records_asked",
    "records_needless",
    "records_send",
    "report_of",
    "report_text",
    "rule_backtest",
    "rule_propose",
    "rule_save",
    "rule_switch",
    "rules_worth",
    "scrub_run",
    "scrub_start",
    "silent_refresh",
    "status_ask",
    "submissions_refresh",
    "submit_preview",
    "ta1_receive",
]
