from __future__ import annotations

from django.urls import path

from rcm.network import views

app_name = "network"
urlpatterns = [
    path("network/", views.matrix_page, name="matrix"),
    path("network/export/", views.export, name="export"),
    path("network/cell/", views.cell, name="cell"),
    path("network/cell/open/", views.span_open, name="span_open"),
    path("network/spans/<uuid:public_id>/end/", views.span_end, name="span_end"),
    path("network/spans/<uuid:public_id>/withdraw/", views.span_withdraw, name="span_withdraw"),
    path("network/import/", views.load, name="load"),
    path("network/sheets/<uuid:public_id>/", views.sheet, name="sheet"),
]
