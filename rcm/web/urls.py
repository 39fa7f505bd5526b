from __future__ import annotations

from django.urls import path

from rcm.web import views

app_name = "web"
urlpatterns = [
    path("", views.home, name="home"),
    path("palette/", views.palette, name="palette"),
    path("shell/growing/", views.growing, name="growing"),
    path("shell/counts/", views.counts, name="counts"),
    path("shell/preferences/", views.preferences, name="preferences"),
    path("shell/place/", views.place, name="place"),
    path("shell/views/", views.saved_view, name="saved_view"),
    path("shell/views/<int:pk>/delete/", views.saved_view_delete, name="saved_view_delete"),
    path("style/", views.style, name="style"),
    path("rules/", views.rule_book, name="rule_book"),
    path("rules/<slug:slug>/", views.rule, name="rule"),
    path("healthz", views.healthz, name="healthz"),
    path("ready", views.ready, name="ready"),
]
