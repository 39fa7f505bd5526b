from __future__ import annotations

from django.urls import path

from ar import desk, figures, views
from ar.manage import accuracy, days, reports, states, targets, work
from ar.patient import holds

app_name = "ar"
urlpatterns = [
    # queues of this phase, at their own addresses
    path("follow-up/", views.followup, name="followup"),
    path("credits/", views.credits, name="credits"),
    path("approvals/", views.approvals, name="approvals"),
    # patients' accounts
    path("patient-accounts/", views.accounts, name="accounts"),
    path("patients/<uuid:public_id>/account/", views.account, name="account"),
    path("patients/<uuid:public_id>/account/payment/", views.payment_new, name="payment_new"),
    path("patients/<uuid:public_id>/account/hold/", holds.hold, name="hold"),
    path("account-holds/<uuid:public_id>/lift/", holds.lift, name="hold_lift"),
    path("patients/<uuid:public_id>/account/plan/", views.plan_new, name="plan_new"),
    path("patients/<uuid:public_id>/account/statement/", views.statement_now, name="statement_now"),
    path("patient-payments/<uuid:public_id>/void/", views.payment_void, name="payment_void"),
    path("patient-payments/<uuid:public_id>/receipt/", views.receipt, name="receipt"),
    path("patient-payments/<uuid:public_id>/refund/", desk.refund, name="payment_refund"),
    # the desk
    path("appointments/<uuid:public_id>/collect/", desk.collect, name="collect"),
    path("appointments/<uuid:public_id>/collect/waive/", desk.waive, name="waive"),
    path("appointments/<uuid:public_id>/collect/later/", desk.promise, name="promise"),
    path("appointments/<uuid:public_id>/collect/receipt/", desk.collected, name="collected"),
    path("visit-settlements/<uuid:public_id>/end/", desk.settlement_end, name="settlement_end"),
    path("charges/<uuid:public_id>/transfer/", views.transfer, name="transfer"),
    path("charges/<uuid:public_id>/refund/", views.refund_new, name="refund_new"),
    path("statements/", views.statements, name="statements"),
    path("statements/run/", views.statements_run, name="statements_run"),
    path("statements/<uuid:public_id>.pdf", views.statement_pdf, name="statement_pdf"),
    # write-offs and refunds
    path("write-offs/", views.write_offs, name="write_offs"),
    path("write-offs/<uuid:public_id>/", views.write_off, name="write_off"),
    path("claims/<uuid:public_id>/write-off/", views.write_off_new, name="write_off_new"),
    path("refunds/", views.refunds, name="refunds"),
    path("refunds/<uuid:public_id>/", views.refund, name="refund"),
    path("refunds/<uuid:public_id>/issue/", views.refund_issue, name="refund_issue"),
    # figures
    path("open-balances/", views.open_balances, name="open_balances"),
    path("aging/", figures.aging, name="aging"),
    path("aging/lines/", figures.aging_lines, name="aging_lines"),
    path("accuracy/", accuracy.samples, name="accuracy"),
    path("accuracy/new/", accuracy.sample_new, name="sample_new"),
    path("accuracy/<uuid:public_id>/", accuracy.sample, name="sample"),
    path("accuracy/cases/<uuid:public_id>/", accuracy.case, name="audit_case"),
    path("states/", states.states, name="states"),
    path("states/<slug:code>/", states.state, name="state"),
    path("states/<slug:code>/verify/", states.state_verify, name="state_verify"),
    path("prompt-pay/", states.prompt_pay, name="prompt_pay"),
    path(
        "prompt-pay/<uuid:payer>/<slug:code>.pdf",
        states.prompt_pay_letter,
        name="prompt_pay_letter",
    ),
    path("cost/", work.cost, name="cost"),
    path("cost/rate/", work.cost_rate, name="cost_rate"),
    path("cost/baseline/", work.baseline_new, name="baseline_new"),
    path("staff/", work.staff, name="staff"),
    path("staff/plan/", work.plan_place, name="plan_place"),
    path("staff/hours/", work.shift, name="shift"),
    path("reports/", reports.reports, name="reports"),
    path("reports/new/", reports.report_new, name="report_new"),
    path("reports/wanted/", reports.wanted, name="wanted"),
    path("reports/watch/", reports.threshold, name="threshold"),
    path("reports/<uuid:public_id>/", reports.report, name="report"),
    path("reports/<uuid:public_id>.pdf", reports.report_pdf, name="report_pdf"),
    path("reports/alerts/<uuid:public_id>/", reports.alert, name="alert"),
    path("months/<uuid:public_id>/<int:year>-<int:number>/", reports.month, name="month"),
    path("days/", days.day_list, name="days"),
    path("days/<uuid:public_id>/prove/", days.prove, name="prove"),
    path("days/<uuid:public_id>/<str:on>/", days.day, name="day"),
    path("performance/", figures.kpis, name="kpis"),
    path("performance/lag/", figures.lag, name="lag"),
    path("performance/lag/<slug:code>/", figures.lag_step, name="lag_step"),
    path("performance/<slug:code>/", figures.kpi, name="kpi"),
    path("performance/<slug:code>/target/", targets.kpi_target, name="kpi_target"),
]
