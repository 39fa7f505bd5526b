from __future__ import annotations

from django.urls import path

from claims.views import catalogue, changes, claim, files, fixing, lists, paper, papers, rules, runs

app_name = "claims"
urlpatterns = [
    path("claims/", lists.claims, name="claims"),
    path("claims/scrub/", lists.scrub_many, name="scrub_many"),
    path("claims/scrub-all/", runs.scrub_all, name="scrub_all"),
    path("work/<slug:code>/fix/", fixing.fix, name="fix"),
    path("claims/submit/", lists.submit_many, name="submit_many"),
    path("claims/submit-ready/", lists.submit_ready, name="submit_ready"),
    path("claims/scrub-runs/", runs.scrub_runs, name="scrub_runs"),
    path("claims/scrub-runs/<uuid:public_id>/", runs.scrub_run, name="scrub_run"),
    path("claims/<uuid:public_id>/", claim.claim, name="claim"),
    path("claims/<uuid:public_id>/scrub/", claim.scrub, name="scrub"),
    path("claims/<uuid:public_id>/submit/", claim.submit, name="submit"),
    path("claims/<uuid:public_id>/edit/", changes.edit, name="edit"),
    path("claims/<uuid:public_id>/correct/", changes.correct, name="correct"),
    path("claims/<uuid:public_id>/void/", changes.void, name="void"),
    path("claims/exams/<uuid:public_id>/reopened/", changes.reopened, name="reopened"),
    path("claims/exams/<uuid:public_id>/bill/", changes.bill_again, name="bill_again"),
    path("claims/<uuid:public_id>/ask/", claim.ask, name="ask"),
    path("claims/<uuid:public_id>/compare/", claim.compare, name="compare"),
    path("claims/records/<uuid:public_id>/", papers.records, name="records"),
    path("claims/<uuid:public_id>/paper/", paper.paper, name="paper"),
    path("claims/<uuid:public_id>/print/", paper.print_claim, name="print"),
    path("claims/printers/", paper.printers, name="printers"),
    path("claims/printers/new/", paper.printer_new, name="printer_new"),
    path("claims/printers/<uuid:public_id>/", paper.printer, name="printer"),
    path("claims/printers/<uuid:public_id>/trial/", paper.printer_trial, name="printer_trial"),
    path(
        "claims/<uuid:public_id>/findings/<uuid:finding_id>/accept/",
        changes.override,
        name="override",
    ),
    path(
        "claims/<uuid:public_id>/findings/<uuid:finding_id>/restore/",
        changes.restore,
        name="restore",
    ),
    path("claims/scrub-edits/", lists.edits_queue, name="edits_queue"),
    path("claims/rejections/", lists.rejections, name="rejections"),
    path("batches/", files.batches, name="batches"),
    path("batches/<uuid:public_id>/", files.submission, name="submission"),
    path("edits/", catalogue.edits, name="edits"),
    path("edits/<str:edit_id>/", catalogue.edit_page, name="edit_page"),
    path("payer-rules/", rules.rules, name="rules"),
    path("payer-rules/new/", rules.rule_new, name="rule_new"),
    path("payer-rules/<uuid:public_id>/", rules.rule, name="rule"),
    path("payer-rules/<uuid:public_id>/edit/", rules.rule_edit, name="rule_edit"),
    path("payer-rules/<uuid:public_id>/test/", rules.rule_backtest, name="rule_backtest"),
    path("payer-rules/<uuid:public_id>/switch/", rules.rule_switch, name="rule_switch"),
]
