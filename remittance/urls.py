from __future__ import annotations

from django.urls import path

from remittance import views

app_name = "remittance"
urlpatterns = [
    path("remittances/", views.remittances, name="remittances"),
    path("remittances/upload/", views.upload, name="upload"),
    path("remittances/eob/", views.eob, name="eob"),
    path("remittances/<uuid:public_id>/", views.remittance, name="remittance"),
    path("remittances/<uuid:public_id>/post/", views.post, name="post"),
    path("remittances/<uuid:public_id>/progress/", views.progress, name="progress"),
    path("remittances/<uuid:public_id>/match/", views.match, name="match"),
    path("remittances/<uuid:public_id>/reverse/", views.reverse_all, name="reverse"),
    path("payments/<uuid:public_id>/", views.payment, name="payment"),
    path("unapplied/", views.unapplied, name="unapplied"),
    path("deposits/", views.deposits, name="deposits"),
    path("deposits/import/", views.deposits_import, name="deposits_import"),
    path("denials/", views.denials, name="denials"),
    path("denials/groups/", views.denial_groups, name="denial_groups"),
    path("denials/bulk/park/", views.denials_park, name="denials_park"),
    path("denials/<uuid:public_id>/", views.denial, name="denial"),
    path("denials/<uuid:public_id>/correct/", views.denial_correct, name="denial_correct"),
    path("denials/<uuid:public_id>/appeal/", views.denial_appeal, name="denial_appeal"),
    path("denials/<uuid:public_id>/park/", views.denial_park, name="denial_park"),
    path("denials/<uuid:public_id>/reopen/", views.denial_reopen, name="denial_reopen"),
    path("denials/<uuid:public_id>/packet.pdf", views.packet, name="packet"),
    path("appeals/<uuid:public_id>/packet.pdf", views.appeal_packet, name="appeal_packet"),
    path("appeals/<uuid:public_id>/outcome/", views.appeal_outcome, name="appeal_outcome"),
    path("underpayments/", views.underpayments, name="underpayments"),
    path("underpayments/<uuid:public_id>/", views.variance, name="variance"),
]
