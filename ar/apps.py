from __future__ import annotations

from django.apps import AppConfig


class ArConfig(AppConfig):
    name = "ar"
    label = "ar"
    verbose_name = "Receivables"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from ar import automation, desk, events, queues, tasks
        from ar.kpi.book import figures_of_rule
        from intake import collecting, sections
        from rcm.exchange.services import subscribe
        from rcm.jobs import kinds
        from rcm.web import nav
        from rcm.web.rulebook import register_mentions

        automation.register()
        register_mentions("Figures it defines", figures_of_rule)

        subscribe(
            "patient.responsible",
            events.on_patient_responsible,
            name="ar.patient_responsible",
            queue="batch",
        )
        subscribe("remittance.posted", events.on_posted, name="ar.remittance_posted", queue="batch")
        subscribe("patient.changed", events.on_chart, name="ar.patient_changed", queue="batch")
        subscribe("patient.merged", events.on_chart, name="ar.patient_merged", queue="batch")
        subscribe("account.held", events.on_held, name="ar.account_held", queue="batch")
        collecting.register("ar:collect")
        sections.register("appointment", desk.of_appointment, order=20)
        kinds.register("ar.snapshots", tasks.start_snapshot)
        nav.register(
            nav.Entry(
                "Receivables",
                "Follow-up",
                "ar:followup",
                "followup.view",
                count=queues.open_followups,
                jump="f",
                order=40,
                words="silent payers aging",
                queue="followup",
            ),
            nav.Entry(
                "Receivables",
                "Credits",
                "ar:credits",
                "account.view",
                count=queues.open_credits,
                order=50,
                words="refunds overpayment",
                queue="credits",
            ),
            nav.Entry(
                "Receivables",
                "Approvals",
                "ar:approvals",
                "writeoff.approve",
                count=queues.open_approvals,
                order=55,
                words="write-off refund second person",
            ),
            nav.Entry(
                "Receivables",
                "Patient accounts",
                "ar:accounts",
                "account.view",
                jump="o",
                order=60,
                words="statements payments plans balance",
            ),
            nav.Entry(
                "Receivables",
                "Collection agency",
                "ar:agencies",
                "account.view",
                order=65,
                words="placement recall bad debt fee",
            ),
            nav.Entry(
                "Receivables",
                "Aging",
                "ar:aging",
                "kpi.view",
                order=70,
                words="receivables buckets payer",
            ),
            nav.Entry(
                "Manage",
                "Accuracy",
                "ar:accuracy",
                "accuracy.view",
                order=20,
                words="audit sample quality wilson interval coder",
            ),
            nav.Entry(
                "Manage",
                "States",
                "ar:states",
                "states.view",
                order=30,
                words="fifty states prompt pay interest law map",
            ),
            nav.Entry(
                "Manage",
                "Cost",
                "ar:cost",
                "cost.view",
                order=35,
                words="minutes baseline touchless cost to collect",
            ),
            nav.Entry(
                "Manage",
                "People",
                "ar:staff",
                "staff.view",
                order=36,
                words="staffing plan hours shifts vacancies clients",
            ),
            nav.Entry(
                "Receivables",
                "Days",
                "ar:days",
                "day.close",
                order=60,
                words="day close drawer cash count end proof deposits ties",
            ),
            nav.Entry(
                "Manage",
                "Reports",
                "ar:reports",
                "kpi.view",
                order=15,
                words="weekly month end board book alert threshold close mail pdf",
            ),
            nav.Entry(
                "Receivables",
                "Open balances",
                "ar:open_balances",
                "kpi.view",
                order=75,
                words="nowhere breach resting place owner",
            ),
            nav.Entry(
                "Manage",
                "Performance",
                "ar:kpis",
                "kpi.view",
                jump="k",
                order=10,
                words="kpi dashboard figures targets",
            ),
        )
