from __future__ import annotations

from django.urls import path

from rcm.jobs import automation, views

app_name = "jobs"
urlpatterns = [
    path("automation/", automation.ledger, name="automation"),
    path("automation/<uuid:public_id>/<slug:robot>/", automation.switch, name="switch"),
    path("jobs/", views.runs, name="runs"),
    path("jobs/<uuid:public_id>/", views.run, name="run"),
    path("jobs/<uuid:public_id>/progress/", views.progress, name="progress"),
    path("jobs/<uuid:public_id>/cancel/", views.cancel, name="cancel"),
    path("jobs/<uuid:public_id>/rerun/", views.rerun, name="rerun"),
]
