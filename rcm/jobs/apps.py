from __future__ import annotations

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "rcm.jobs"
    label = "jobs"
    verbose_name = "Batch runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from rcm.web import nav

        nav.register(
            nav.Entry(
                "Manage",
                "Automation",
                "jobs:automation",
                "automation.view",
                order=40,
                words="robots switch off touches saved",
            ),
            nav.Entry(
                "System",
                "Jobs",
                "jobs:runs",
                "jobs.view",
                order=20,
                words="batch runs progress errors",
            ),
        )
