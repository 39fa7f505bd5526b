from __future__ import annotations

from django.urls import path

from claims import views

app_name = "claims"
urlpatterns = [
    path("claims/", views.claims, name="claims"),
    path("claims/scrub/", views.scrub_many, name="scrub_many"),
    path("claims/scrub-all/", views.scrub_all, name="scrub_all"),
    path("claims/submit/", views.submit_many, name="submit_many"),
    path("claims/submit-ready/", views.submit_ready, name="submit_ready"),
    path("claims/scrub-runs/", views.scrub_runs, name="scrub_runs"),
    path("claims/scrub-runs/<uuid:public_id>/", views.scrub_run, name="scrub_run"),
    path("claims/<uuid:public_id>/", views.claim, name="claim"),
    path("claims/<uuid:public_id>/scrub/", views.scrub, name="scrub"),
    path("claims/<uuid:public_id>/submit/", views.submit, name="submit"),
    path("claims/<uuid:public_id>/edit/", views.edit, name="edit"),
    path("claims/<uuid:public_id>/correct/", views.correct, name="correct"),
    path("claims/<uuid:public_id>/void/", views.void, name="void"),
    path("claims/<uuid:public_id>/ask/", views.ask, name="ask"),
    path("claims/<uuid:public_id>/compare/", views.compare, name="compare"),
    path("claims/<uuid:public_id>/print/", views.print_claim, name="print"),
    path(
        "claims/<uuid:public_id>/findings/<uuid:finding_id>/accept/",
        views.override,
        name="override",
    ),
    path(
        "claims/<uuid:public_id>/findings/<uuid:finding_id>/restore/", views.restore, name="restore"
    ),
    path("claims/scrub-edits/", views.edits_queue, name="edits_queue"),
    path("claims/rejections/", views.rejections, name="rejections"),
    path("batches/", views.batches, name="batches"),
    path("batches/<uuid:public_id>/", views.submission, name="submission"),
    path("edits/", views.edits, name="edits"),
    path("edits/<str:edit_id>/", views.edit_page, name="edit_page"),
    path("payer-rules/", views.rules, name="rules"),
    path("payer-rules/new/", views.rule_new, name="rule_new"),
    path("payer-rules/<uuid:public_id>/", views.rule, name="rule"),
    path("payer-rules/<uuid:public_id>/edit/", views.rule_edit, name="rule_edit"),
    path("payer-rules/<uuid:public_id>/test/", views.rule_backtest, name="rule_backtest"),
    path("payer-rules/<uuid:public_id>/switch/", views.rule_switch, name="rule_switch"),
]
