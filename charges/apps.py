from __future__ import annotations

from django.apps import AppConfig


class ChargesConfig(AppConfig):
    name = "charges"
    label = "charges"
    verbose_name = "Charge capture"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from charges import events, queues, search
        from charges.loading import readers_by_npi
        from charges.services import messages
        from rcm.exchange.services import register_processor, subscribe
        from rcm.network.parties import register_readers
        from rcm.web import nav

        register_readers(readers_by_npi)
        for kind, processor in messages.PROCESSORS.items():
            register_processor(
                kind,
                processor,
                queue="realtime",
                many=messages.OF_MANY[kind],
                correct="charges:message" if kind == "DFT" else "",
            )
        for topic, handler in (
            ("charges.evaluate", events.on_evaluate),
            ("coverage.changed", events.on_patient_facts),
            ("eligibility.answered", events.on_patient_facts),
            ("authorization.changed", events.on_authorization),
            ("order.placed", events.on_order),
            ("order.changed", events.on_order),
            ("patient.merged", events.on_merge),
        ):
            subscribe(topic, handler, name=f"charges.{topic}", queue="batch")
        nav.register(
            nav.Entry(
                "Charges",
                "Exams",
                "charges:exams",
                "exam.view",
                jump="e",
                order=10,
                words="performed accession thread",
            ),
            nav.Entry(
                "Charges",
                "Unsigned reports",
                "charges:unsigned",
                "exam.view",
                count=queues.unsigned_count,
                jump="u",
                order=20,
                words="radiologist backlog",
            ),
            nav.Entry(
                "Charges",
                "Charge review",
                "charges:review",
                "charge.view",
                count=queues.review_count,
                jump="c",
                order=30,
                words="coding coder",
            ),
            nav.Entry(
                "Charges",
                "Results without order",
                "charges:unsolicited",
                "exam.view",
                order=40,
                words="unsolicited ORU",
            ),
            nav.Entry(
                "Charges",
                "Accession control",
                "charges:control",
                "exam.view",
                order=50,
                words="proof invisible backlog",
            ),
            nav.Entry(
                "Manage",
                "Charge rules",
                "charges:arrangements",
                "rules.view",
                order=60,
                words="arrangement scanner reader stock policy",
            ),
        )
        nav.register_palette(search.palette)
