from __future__ import annotations

from django.urls import path

from intake import views

app_name = "intake"
urlpatterns = [
    path("today/", views.today, name="today"),
    path("today/verify/", views.verify, name="verify"),
    path("today/verify/<uuid:public_id>/", views.verify_run, name="verify_run"),
    path("today/overrides/", views.overrides, name="overrides"),
    path("patients/", views.patients, name="patients"),
    path("patients/new/", views.patient_new, name="patient_new"),
    path("patients/alike/", views.alike, name="alike"),
    path("patients/<uuid:public_id>/", views.patient, name="patient"),
    path("patients/<uuid:public_id>/edit/", views.patient_edit, name="patient_edit"),
    path("patients/<uuid:public_id>/merge/", views.patient_merge, name="patient_merge"),
    path("patients/<uuid:public_id>/coverages/new/", views.coverage_new, name="coverage_new"),
    path(
        "patients/<uuid:public_id>/coverages/discover/",
        views.coverage_discover,
        name="coverage_discover",
    ),
    path("patients/<uuid:public_id>/orders/new/", views.order_new, name="order_new"),
    path("coverages/<uuid:public_id>/", views.coverage, name="coverage"),
    path("coverages/<uuid:public_id>/answer/", views.coverage_answer, name="coverage_answer"),
    path("coverages/<uuid:public_id>/check/", views.coverage_check, name="coverage_check"),
    path("coverages/<uuid:public_id>/end/", views.coverage_end, name="coverage_end"),
    path("coverages/<uuid:public_id>/use/", views.coverage_use, name="coverage_use"),
    path("eligibility/<uuid:public_id>/seen/", views.check_seen, name="check_seen"),
    path("eligibility/<uuid:public_id>/accept/", views.check_accept, name="check_accept"),
    path("eligibility/<uuid:public_id>/<str:side>/", views.check_raw, name="check_raw"),
    path("orders/<uuid:public_id>/", views.order, name="order"),
    path("orders/<uuid:public_id>/cancel/", views.order_cancel, name="order_cancel"),
    path("orders/<uuid:public_id>/book/", views.book, name="book"),
    path("appointments/<uuid:public_id>/", views.appointment, name="appointment"),
    path("appointments/<uuid:public_id>/confirm/", views.confirm, name="confirm"),
    path("appointments/<uuid:public_id>/check-in/", views.check_in, name="check_in"),
    path("appointments/<uuid:public_id>/no-show/", views.no_show, name="no_show"),
    path("appointments/<uuid:public_id>/cancel/", views.cancel, name="cancel"),
    path("appointments/<uuid:public_id>/move/", views.move, name="move"),
    path("appointments/<uuid:public_id>/override/<str:gate>/", views.override, name="override"),
    path("appointments/<uuid:public_id>/verify/", views.verify_visit, name="verify_visit"),
    path("appointments/<uuid:public_id>/estimate/", views.estimate_make, name="estimate_make"),
    path("estimates/<uuid:public_id>/", views.estimate, name="estimate"),
    path("estimates/<uuid:public_id>/pdf/", views.estimate_file, name="estimate_pdf"),
]
