from __future__ import annotations

from django.urls import path

from charges.views import control, decisions, exam, lists, messages, review, rules, unsolicited

app_name = "charges"
urlpatterns = [
    path("exams/", lists.exams, name="exams"),
    path("exams/<uuid:public_id>/", exam.exam, name="exam"),
    path("exams/<uuid:public_id>/release/", decisions.release, name="release"),
    path("exams/<uuid:public_id>/evaluate/", decisions.evaluate, name="evaluate"),
    path("exams/<uuid:public_id>/accept/", decisions.accept, name="accept"),
    path("exams/<uuid:public_id>/code/", decisions.code, name="code"),
    path("exams/<uuid:public_id>/second-look/", decisions.second_look, name="second_look"),
    path("exams/<uuid:public_id>/diagnoses/", decisions.diagnoses, name="diagnoses"),
    path("exams/<uuid:public_id>/correct/", decisions.correct, name="correct"),
    path("exams/<uuid:public_id>/order-change/", decisions.order_change, name="order_change"),
    path("exams/<uuid:public_id>/waive/<str:hold>/", decisions.waive, name="waive"),
    path("exams/<uuid:public_id>/no-bill/", decisions.no_bill, name="no_bill"),
    path("exams/<uuid:public_id>/bill-again/", decisions.bill_again, name="bill_again"),
    path("unsigned/", lists.unsigned, name="unsigned"),
    path("charge-review/", review.review, name="review"),
    path("results/", unsolicited.unsolicited, name="unsolicited"),
    path("results/<uuid:public_id>/", unsolicited.unsolicited_row, name="unsolicited_row"),
    path("charge-messages/<uuid:public_id>/", messages.message, name="message"),
    path("accession-control/", control.control, name="control"),
    path("charge-rules/", rules.arrangements, name="arrangements"),
    path("charge-rules/<str:kind>/", rules.rules, name="rules"),
    path("charge-rules/<str:kind>/new/", rules.rule_new, name="rule_new"),
    path("charge-rules/<str:kind>/<uuid:public_id>/", rules.rule, name="rule"),
]
