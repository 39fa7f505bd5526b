from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "rcm.accounts"
    label = "accounts"
    verbose_name = "Organizations, sites, users"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from rcm.accounts import (
            checks,  # noqa: F401  registers itself
            lookups,
        )
        from rcm.accounts.database import install

        lookups.install()
        post_migrate.connect(install, dispatch_uid="isocenter.database")
