from __future__ import annotations

from django.urls import path

from charges import views

app_name = "charges"
urlpatterns = [
    path("exams/", views.exams, name="exams"),
    path("exams/<uuid:public_id>/", views.exam, name="exam"),
    path("exams/<uuid:public_id>/release/", views.release, name="release"),
    path("exams/<uuid:public_id>/evaluate/", views.evaluate, name="evaluate"),
    path("exams/<uuid:public_id>/accept/", views.accept, name="accept"),
    path("exams/<uuid:public_id>/code/", views.code, name="code"),
    path("exams/<uuid:public_id>/diagnoses/", views.diagnoses, name="diagnoses"),
    path("exams/<uuid:public_id>/correct/", views.correct, name="correct"),
    path("exams/<uuid:public_id>/order-change/", views.order_change, name="order_change"),
    path("exams/<uuid:public_id>/waive/<str:hold>/", views.waive, name="waive"),
    path("exams/<uuid:public_id>/no-bill/", views.no_bill, name="no_bill"),
    path("exams/<uuid:public_id>/bill-again/", views.bill_again, name="bill_again"),
    path("unsigned/", views.unsigned, name="unsigned"),
    path("charge-review/", views.review, name="review"),
    path("results/", views.unsolicited, name="unsolicited"),
    path("results/<uuid:public_id>/", views.unsolicited_row, name="unsolicited_row"),
    path("accession-control/", views.control, name="control"),
    path("charge-rules/", views.arrangements, name="arrangements"),
    path("charge-rules/<str:kind>/", views.rules, name="rules"),
    path("charge-rules/<str:kind>/new/", views.rule_new, name="rule_new"),
    path("charge-rules/<str:kind>/<uuid:public_id>/", views.rule, name="rule"),
]
