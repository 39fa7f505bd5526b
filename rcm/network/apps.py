from __future__ import annotations

from django.apps import AppConfig


class NetworkConfig(AppConfig):
    name = "rcm.network"
    label = "network"
    verbose_name = "Payer network and enrollment"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from rcm.web import nav

        nav.register(
            nav.Entry(
                "Manage",
                "Payer network",
                "network:matrix",
                "rules.view",
                order=23,
                words="enrollment credentialing in out of network site reader payer",
            ),
        )
