from __future__ import annotations

from django.urls import path

from rcm.exchange import views, webhook_views

app_name = "exchange"
urlpatterns = [
    path("interchanges/", views.interchanges, name="interchanges"),
    path("interchanges/upload/", views.upload, name="upload"),
    path("interchanges/backlog/", views.backlog, name="backlog"),
    path("interchanges/backlog/retry/", views.retry, name="retry"),
    path("interchanges/webhooks/", webhook_views.webhook_list, name="webhooks"),
    path("interchanges/webhooks/new/", webhook_views.webhook_new, name="webhook_new"),
    path(
        "interchanges/webhooks/<uuid:public_id>/<slug:act>/",
        webhook_views.webhook_act,
        name="webhook_act",
    ),
    path("interchanges/connections/", views.connections, name="connections"),
    path("interchanges/<uuid:public_id>/", views.interchange, name="interchange"),
    path("interchanges/<uuid:public_id>/content/", views.content, name="content"),
    path("interchanges/<uuid:public_id>/replay/", views.replay, name="replay"),
]
