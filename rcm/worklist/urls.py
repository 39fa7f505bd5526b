from __future__ import annotations

from django.urls import path

from rcm.worklist import views

app_name = "worklist"
urlpatterns = [
    path("work/", views.overview, name="overview"),
    path("work/bulk/act/", views.bulk_act, name="bulk_act"),
    path("work/bulk/pend/", views.bulk_pend, name="bulk_pend"),
    path("work/bulk/assign/", views.bulk_assign, name="bulk_assign"),
    path("work/owners/", views.owners, name="owners"),
    path("work/owners/<uuid:public_id>/end/", views.owner_end, name="owner_end"),
    path("work/undo/", views.undo, name="undo"),
    path("work/items/<uuid:public_id>/", views.item, name="item"),
    path("work/items/<uuid:public_id>/<slug:verb>/", views.touch, name="touch"),
    path("work/<slug:code>/", views.queue, name="queue"),
    path("work/<slug:code>/causes/", views.causes, name="causes"),
    path("work/<slug:code>/next/", views.next_item, name="next"),
]
