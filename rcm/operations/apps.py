from __future__ import annotations

from django.apps import AppConfig


class OperationsConfig(AppConfig):
    name = "rcm.operations"
    label = "operations"
    verbose_name = "Running the product"
    default_auto_field = "django.db.models.BigAutoField"
