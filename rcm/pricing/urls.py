from __future__ import annotations

from django.urls import path

from rcm.pricing import views

app_name = "pricing"
urlpatterns = [
    path("price/", views.quote, name="quote"),
    path("contracts/", views.contracts, name="contracts"),
    path("contracts/new/", views.contract_new, name="contract_new"),
    path("contracts/<uuid:public_id>/", views.contract, name="contract"),
    path("contracts/<uuid:public_id>/edit/", views.contract_edit, name="contract_edit"),
    path("contracts/<uuid:public_id>/rates/", views.rates_import, name="rates_import"),
    path("prices/", views.prices, name="prices"),
    path("prices/import/", views.prices_import, name="prices_import"),
]
