from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from rcm.reference import views

app_name = "reference"
urlpatterns = [
    path("payers/", views.payers, name="payers"),
    path("payers/<uuid:public_id>/", views.payer, name="payer"),
    path("payers/<uuid:public_id>/edit/", views.payer_edit, name="payer_edit"),
    path("codes/", RedirectView.as_view(pattern_name="reference:codes_first"), name="codes_index"),
    path("codes/procedures/", views.codes, {"name": "procedures"}, name="codes_first"),
    path("codes/<slug:name>/", views.codes, name="codes"),
    path("reference/", views.loads, name="loads"),
    path("reference/kinds/", views.kinds_page, name="kinds"),
    path("reference/new/", views.load_new, name="load_new"),
    path("reference/<int:pk>/", views.load, name="load"),
]
