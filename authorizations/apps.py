from __future__ import annotations

from django.apps import AppConfig


class AuthorizationsConfig(AppConfig):
    name = "authorizations"
    label = "authorizations"
    verbose_name = "Authorizations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # importing it registers its kinds of files
        from authorizations import (
            events,
            loaders,  # noqa: F401
            pages,
            queues,
            services,
        )
        from intake import sections
        from intake.clearance import GateName
        from intake.services import provide
        from rcm.exchange.services import register_processor, subscribe
        from rcm.web import nav

        sections.register("patient", pages.of_patient, order=20)
        sections.register("appointment", pages.of_appointment, order=10)
        sections.register("booking", pages.of_booking, order=10)
        provide(GateName.AUTHORIZATION, services.gate_preview)
        register_processor("278", services.answer_278, queue="realtime")
        register_processor("PAS", services.answer_pas, queue="realtime")
        for topic, handler in (
            ("order.placed", events.on_order_placed),
            ("order.changed", events.on_order),
            ("order.cancelled", events.on_order_cancelled),
            ("appointment.booked", events.on_appointment),
            ("appointment.cancelled", events.on_appointment_gone),
            ("appointment.no_show", events.on_appointment_gone),
            ("coverage.changed", events.on_patient_facts),
            ("eligibility.answered", events.on_patient_facts),
            ("patient.merged", events.on_patient_facts),
            ("interchange.failed", events.on_exchange_failure),
        ):
            subscribe(topic, handler, name=f"authorizations.{topic}", queue="realtime")
        nav.register(
            nav.Entry(
                "Front desk",
                "Authorizations",
                "authorizations:list",
                "authorization.view",
                count=queues.open_authorizations,
                jump="a",
                order=30,
                words="prior auth 278",
            )
        )
