from __future__ import annotations

from django.urls import path

from rcm.audit import views

app_name = "audit"
urlpatterns = [
    path("audit/reads/", views.reads, name="reads"),
    path("audit/changes/", views.changes, name="changes"),
    path("audit/changes/<int:pk>/", views.change, name="change"),
    path("audit/steps/", views.steps, name="steps"),
]
