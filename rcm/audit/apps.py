from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "rcm.audit"
    label = "audit"
    verbose_name = "Who saw and changed what"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from rcm.web import nav

        nav.register(
            nav.Entry(
                "System",
                "Chart reads",
                "audit:reads",
                "audit.view",
                order=60,
                words="audit access disclosures exports",
            ),
            nav.Entry(
                "System",
                "Changes",
                "audit:changes",
                "audit.view",
                order=61,
                words="audit history before after",
            ),
            nav.Entry(
                "System",
                "Steps",
                "audit:steps",
                "audit.view",
                order=62,
                words="audit events timeline overrides",
            ),
        )
