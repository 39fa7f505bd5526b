from __future__ import annotations

from django.urls import path

from remittance.views import (
    appeals,
    denial,
    denials,
    deposits,
    payments,
    posting,
    remittances,
    underpayments,
)

app_name = "remittance"
urlpatterns = [
    path("remittances/", remittances.remittances, name="remittances"),
    path("remittances/upload/", remittances.upload, name="upload"),
    path("remittances/eob/", remittances.eob, name="eob"),
    path("remittances/<uuid:public_id>/", posting.remittance, name="remittance"),
    path("remittances/<uuid:public_id>/post/", posting.post, name="post"),
    path("remittances/<uuid:public_id>/progress/", posting.progress, name="progress"),
    path("remittances/<uuid:public_id>/date/", posting.dated, name="dated"),
    path("remittances/<uuid:public_id>/again/", posting.read_again, name="read_again"),
    path("remittances/<uuid:public_id>/reopen/", posting.reopen, name="reopen"),
    path("remittances/<uuid:public_id>/agree/", posting.agree, name="agree"),
    path("remittances/<uuid:public_id>/scan/", posting.scan, name="scan"),
    path("remittances/<uuid:public_id>/match/", posting.match, name="match"),
    path("remittances/<uuid:public_id>/reverse/", posting.reverse_all, name="reverse"),
    path("payments/<uuid:public_id>/", payments.payment, name="payment"),
    path("payments/<uuid:public_id>/member/", payments.take_member, name="take_member"),
    path("unapplied/", payments.unapplied, name="unapplied"),
    path("deposits/", deposits.deposits, name="deposits"),
    path("deposits/<uuid:public_id>/", deposits.deposit, name="deposit"),
    path("deposits/import/", deposits.deposits_import, name="deposits_import"),
    path("denials/", denials.denials, name="denials"),
    path("denials/all/", denials.denials_all, name="denials_all"),
    path("denials/groups/", denials.denial_groups, name="denial_groups"),
    path("denials/origins/", denials.denial_origins, name="denial_origins"),
    path("denials/groups/rule/", denials.denial_group_rule, name="denial_group_rule"),
    path("denials/bulk/park/", denials.denials_park, name="denials_park"),
    path("denials/<uuid:public_id>/", denial.denial, name="denial"),
    path("denials/<uuid:public_id>/correct/", denial.denial_correct, name="denial_correct"),
    path("denials/<uuid:public_id>/appeal/", denial.denial_appeal, name="denial_appeal"),
    path("denials/<uuid:public_id>/park/", denial.denial_park, name="denial_park"),
    path("denials/<uuid:public_id>/reopen/", denial.denial_reopen, name="denial_reopen"),
    path("denials/<uuid:public_id>/packet.pdf", appeals.packet, name="packet"),
    path("appeals/<uuid:public_id>/packet.pdf", appeals.appeal_packet, name="appeal_packet"),
    path("appeals/<uuid:public_id>/outcome/", appeals.appeal_outcome, name="appeal_outcome"),
    path("underpayments/", underpayments.underpayments, name="underpayments"),
    path("underpayments/<uuid:public_id>/", underpayments.variance, name="variance"),
]
