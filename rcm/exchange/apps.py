from __future__ import annotations

from django.apps import AppConfig


class ExchangeConfig(AppConfig):
    name = "rcm.exchange"
    label = "exchange"
    verbose_name = "Partners and interchanges"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from rcm.exchange import health
        from rcm.exchange.batch import BATCH
        from rcm.exchange.receive import unpack
        from rcm.exchange.services import register_processor
        from rcm.web import nav

        register_processor(BATCH, unpack)
        nav.register(
            nav.Entry(
                "System",
                "Interchanges",
                "exchange:interchanges",
                "exchange.view",
                count=health.stopped,
                jump="i",
                order=10,
                words="HL7 DICOM MPPS X12 835 837 messages upload replay partners",
            ),
            nav.Entry(
                "System",
                "Connections",
                "exchange:connections",
                "exchange.view",
                order=20,
                words="partners MLLP AE title clearinghouse",
            ),
            nav.Entry(
                "System",
                "Backlog",
                "exchange:backlog",
                "exchange.view",
                order=30,
                words="outbox events parked queues workers health",
            ),
        )
