from __future__ import annotations

from django.urls import path

from rcm.exchange import views

app_name = "exchange"
urlpatterns = [
    path("interchanges/", views.interchanges, name="interchanges"),
    path("interchanges/upload/", views.upload, name="upload"),
    path("interchanges/backlog/", views.backlog, name="backlog"),
    path("interchanges/backlog/retry/", views.retry, name="retry"),
    path("interchanges/connections/", views.connections, name="connections"),
    path("interchanges/<uuid:public_id>/", views.interchange, name="interchange"),
    path("interchanges/<uuid:public_id>/content/", views.content, name="content"),
    path("interchanges/<uuid:public_id>/replay/", views.replay, name="replay"),
]
