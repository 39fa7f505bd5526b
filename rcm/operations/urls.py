from __future__ import annotations

from django.urls import path

from rcm.operations import views

app_name = "operations"
urlpatterns = [
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.figures, name="metrics"),
]
