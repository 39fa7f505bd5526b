from __future__ import annotations

from django.apps import AppConfig


class ReferenceConfig(AppConfig):
    name = "rcm.reference"
    label = "reference"
    verbose_name = "Payers and code sets"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # importing them registers their kinds of files
        from rcm.reference.loaders import codes, edits, payers  # noqa: F401
        from rcm.web import nav

        nav.register(
            nav.Entry(
                "Manage",
                "Payers",
                "reference:payers",
                "rules.view",
                order=20,
                jump="y",
                words="rules limits contracts network",
            ),
            nav.Entry(
                "Manage",
                "Code sets",
                "reference:codes_first",
                "rules.view",
                order=30,
                words="CPT CARC RARC NCCI MUE diagnoses",
            ),
            nav.Entry(
                "System",
                "Reference files",
                "reference:loads",
                "rules.view",
                order=40,
                words="load fee schedule RVU upload",
            ),
        )
