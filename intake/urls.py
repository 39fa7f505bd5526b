from __future__ import annotations

from django.urls import path

from intake.views import board, coverages, estimates, network, notices, orders, patients, visits

app_name = "intake"
urlpatterns = [
    path("today/", board.today, name="today"),
    path("today/verify/", board.verify, name="verify"),
    path("today/verify/<uuid:public_id>/", board.verify_run, name="verify_run"),
    path("today/overrides/", board.overrides, name="overrides"),
    path("patients/", patients.patients, name="patients"),
    path("patients/new/", patients.patient_new, name="patient_new"),
    path("patients/alike/", patients.alike, name="alike"),
    path("patients/<uuid:public_id>/", patients.patient, name="patient"),
    path("patients/<uuid:public_id>/edit/", patients.patient_edit, name="patient_edit"),
    path("patients/<uuid:public_id>/merge/", patients.patient_merge, name="patient_merge"),
    path("merges/<uuid:public_id>/undo/", patients.patient_unmerge, name="patient_unmerge"),
    path("patients/<uuid:public_id>/coverages/new/", coverages.coverage_new, name="coverage_new"),
    path(
        "patients/<uuid:public_id>/coverages/discover/",
        coverages.coverage_discover,
        name="coverage_discover",
    ),
    path("patients/<uuid:public_id>/orders/new/", orders.order_new, name="order_new"),
    path("coverages/<uuid:public_id>/", coverages.coverage, name="coverage"),
    path("coverages/<uuid:public_id>/answer/", coverages.coverage_answer, name="coverage_answer"),
    path("coverages/<uuid:public_id>/check/", coverages.coverage_check, name="coverage_check"),
    path("coverages/<uuid:public_id>/end/", coverages.coverage_end, name="coverage_end"),
    path("coverages/<uuid:public_id>/use/", coverages.coverage_use, name="coverage_use"),
    path("eligibility/<uuid:public_id>/seen/", coverages.check_seen, name="check_seen"),
    path("eligibility/<uuid:public_id>/accept/", coverages.check_accept, name="check_accept"),
    path("eligibility/<uuid:public_id>/<str:side>/", coverages.check_raw, name="check_raw"),
    path("orders/<uuid:public_id>/", orders.order, name="order"),
    path("orders/<uuid:public_id>/cancel/", orders.order_cancel, name="order_cancel"),
    path("orders/<uuid:public_id>/book/", visits.book, name="book"),
    path("orders/<uuid:public_id>/network/", network.booking, name="network"),
    path("appointments/<uuid:public_id>/", visits.appointment, name="appointment"),
    path("appointments/<uuid:public_id>/confirm/", visits.confirm, name="confirm"),
    path("appointments/<uuid:public_id>/check-in/", visits.check_in, name="check_in"),
    path("appointments/<uuid:public_id>/no-show/", visits.no_show, name="no_show"),
    path("appointments/<uuid:public_id>/cancel/", visits.cancel, name="cancel"),
    path("appointments/<uuid:public_id>/move/", visits.move, name="move"),
    path("appointments/<uuid:public_id>/site/", network.change_site, name="change_site"),
    path("appointments/<uuid:public_id>/override/<str:gate>/", visits.override, name="override"),
    path("appointments/<uuid:public_id>/verify/", visits.verify_visit, name="verify_visit"),
    path("appointments/<uuid:public_id>/estimate/", estimates.estimate_make, name="estimate_make"),
    path("appointments/<uuid:public_id>/notice/", notices.notice_new, name="notice_new"),
    path("notices/<uuid:public_id>/", notices.notice, name="notice"),
    path("notices/<uuid:public_id>/pdf/", notices.notice_file, name="notice_pdf"),
    path("estimates/<uuid:public_id>/", estimates.estimate, name="estimate"),
    path("estimates/<uuid:public_id>/pdf/", estimates.estimate_file, name="estimate_pdf"),
]
