from __future__ import annotations

from django.apps import AppConfig


class RemittanceConfig(AppConfig):
    name = "remittance"
    label = "remittance"
    verbose_name = "Remittance and denials"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from claims import outcomes
        from rcm.exchange.services import register_processor, subscribe
        from rcm.jobs import kinds
        from rcm.web import nav
        from remittance import automation, events, queues, search
        from remittance.services import runs
        from remittance.services.consequences.denials import denied_amounts
        from remittance.services.posting import KIND
        from remittance.services.receiving import receive_835

        automation.register()
        kinds.register(KIND, runs.posting_again)
        outcomes.register(denied_amounts)

        register_processor("835", receive_835, queue="posting")
        subscribe("remittance.ready", events.on_ready, name="remittance.post", queue="posting")
        subscribe(
            "remittance.next_payer",
            events.on_next_payer,
            name="remittance.next_payer",
            queue="batch",
        )
        subscribe(
            "interchange.failed",
            events.on_exchange_failure,
            name="remittance.interchange.failed",
            queue="batch",
        )
        subscribe(
            "interchange.recovered",
            events.on_exchange_recovery,
            name="remittance.interchange.recovered",
            queue="batch",
        )
        nav.register(
            nav.Entry(
                "Claims",
                "Remittance",
                "remittance:remittances",
                "remittance.view",
                count=queues.to_post,
                jump="r",
                order=60,
                words="835 ERA EOB posting check",
            ),
            nav.Entry(
                "Claims",
                "Unapplied cash",
                "remittance:unapplied",
                "remittance.view",
                count=queues.open_cash,
                order=70,
                words="unposted money",
                queue="unapplied_cash",
            ),
            nav.Entry(
                "Claims",
                "Deposits",
                "remittance:deposits",
                "remittance.view",
                order=80,
                words="bank EFT reconciliation",
                queue="bank",
            ),
            nav.Entry(
                "Receivables",
                "Denials",
                "remittance:denials",
                "denial.view",
                count=queues.open_denials,
                jump="d",
                order=10,
                words="CARC appeal",
                queue="denials",
            ),
            nav.Entry(
                "Receivables",
                "Underpayments",
                "remittance:underpayments",
                "denial.view",
                count=queues.open_underpayments,
                order=20,
                words="variance contract",
                queue="underpayments",
            ),
        )
        nav.register_palette(search.palette)
