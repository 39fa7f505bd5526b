from __future__ import annotations

from django.apps import AppConfig


class PricingConfig(AppConfig):
    name = "rcm.pricing"
    label = "pricing"
    verbose_name = "Fee schedules and contracts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from rcm.pricing import loaders  # noqa: F401  registers its kinds of files
        from rcm.web import nav

        nav.register(
            nav.Entry(
                "Manage",
                "Contracts",
                "pricing:contracts",
                "rules.view",
                order=22,
                words="rates payer percent of Medicare",
            ),
            nav.Entry(
                "Manage",
                "List prices",
                "pricing:prices",
                "price.view",
                order=24,
                words="chargemaster charges",
            ),
            nav.Entry(
                "Manage",
                "Expected payment",
                "pricing:quote",
                "price.view",
                order=26,
                words="quote price fee schedule MPPR derivation",
            ),
        )
