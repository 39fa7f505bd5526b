from __future__ import annotations

from django.urls import path

from rcm.setup import views

app_name = "setup"
urlpatterns = [
    path("setup/", views.guide, name="guide"),
    path("setup/site/", views.site, name="site"),
]
