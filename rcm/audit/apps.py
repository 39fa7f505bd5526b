from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AuditConfig(AppConfig):
    name = "rcm.audit"
    label = "audit"
    verbose_name = "Who saw and changed what"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from rcm.accounts import reading
        from rcm.audit.database import install
        from rcm.audit.services import log_charts
        from rcm.web import nav

        reading.logged_by(log_charts)
        post_migrate.connect(install, dispatch_uid="isocenter.audit")
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
