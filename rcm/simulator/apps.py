from __future__ import annotations

from django.apps import AppConfig


class SimulatorConfig(AppConfig):
    name = "rcm.simulator"
    label = "simulator"
    verbose_name = "Payers and clearinghouse that answer"
    default_auto_field = "django.db.models.BigAutoField"
