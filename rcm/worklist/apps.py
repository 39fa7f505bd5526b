from __future__ import annotations

from django.apps import AppConfig


class WorklistConfig(AppConfig):
    name = "rcm.worklist"
    label = "worklist"
    verbose_name = "Work queues"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from rcm.exchange.services import subscribe
        from rcm.web import nav
        from rcm.worklist import messages, registry, search

        registry.register(messages.MESSAGES)
        subscribe("interchange.failed", messages.open_failed, name="worklist.interchange_failed")
        subscribe(
            "interchange.recovered", messages.close_recovered, name="worklist.interchange_recovered"
        )
        subscribe("delivery.parked", messages.open_parked, name="worklist.delivery_parked")
        subscribe("delivery.retried", messages.close_retried, name="worklist.delivery_retried")
        nav.register(
            nav.Entry(
                "Front desk",
                "Work",
                "worklist:overview",
                "work.view",
                count=search.due_for,
                jump="w",
                order=15,
                words="queues items mine due",
            )
        )
