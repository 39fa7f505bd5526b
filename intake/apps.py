from __future__ import annotations

from django.apps import AppConfig


class IntakeConfig(AppConfig):
    name = "intake"
    label = "intake"
    verbose_name = "Front end"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from intake import automation, events, hl7, queues, search, tasks
        from intake.services import answer_271
        from rcm.exchange.services import register_processor, subscribe
        from rcm.jobs import kinds
        from rcm.web import nav

        automation.register()
        kinds.register("eligibility.reverify", tasks.start_reverify)

        for kind, processor in (
            ("ADT", hl7.adt),
            ("ORM", hl7.orm),
            ("OMI", hl7.orm),
            ("SIU", hl7.siu),
            ("271", answer_271),
        ):
            register_processor(kind, processor, queue="realtime")
        for topic, handler in (
            ("appointment.booked", events.on_appointment),
            ("appointment.arrived", events.on_arrival),
            ("coverage.changed", events.on_coverage),
            ("eligibility.answered", events.on_answer),
            ("patient.changed", events.on_patient),
            ("patient.merged", events.on_merge),
            ("order.changed", events.on_order),
            ("order.cancelled", events.on_order),
            ("network.changed", events.on_network),
            ("interchange.failed", events.on_exchange_failure),
        ):
            subscribe(topic, handler, name=f"intake.{topic}", queue="realtime")
        nav.register(
            nav.Entry(
                "Front desk",
                "Today",
                "intake:today",
                "clearance.view",
                count=queues.not_ready_today,
                jump="t",
                order=10,
                words="clearance board",
            ),
            nav.Entry(
                "Front desk",
                "Patients",
                "intake:patients",
                "patient.view",
                jump="p",
                order=20,
                words="register search",
            ),
        )
        nav.register_palette(search.palette)
