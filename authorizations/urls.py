from __future__ import annotations

from django.urls import path

from authorizations import views

app_name = "authorizations"
urlpatterns = [
    path("authorizations/", views.listing, name="list"),
    path("authorizations/turnaround/", views.turnaround, name="turnaround"),
    path("authorizations/<uuid:public_id>/", views.detail, name="detail"),
    path("authorizations/<uuid:public_id>/request/", views.request_278, name="request"),
    path("authorizations/<uuid:public_id>/inquire/", views.inquire, name="inquire"),
    path("authorizations/<uuid:public_id>/ask/", views.ask, name="ask"),
    path("authorizations/<uuid:public_id>/decide/", views.decide, name="decide"),
    path("authorizations/<uuid:public_id>/hear/", views.hear, name="hear"),
    path("authorizations/<uuid:public_id>/peer/", views.peer, name="peer"),
    path("authorizations/<uuid:public_id>/change/", views.change, name="change"),
    path("authorizations/requests/<uuid:public_id>/<str:side>/", views.raw, name="raw"),
]
