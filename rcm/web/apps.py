from __future__ import annotations

from django.apps import AppConfig


class WebConfig(AppConfig):
    """Layout, components, static files and the helpers every screen is made with."""

    name = "rcm.web"
    label = "web"
    verbose_name = "Screens"

    def ready(self) -> None:
        from rcm.accounts.middleware import answer_errors
        from rcm.web import nav
        from rcm.web.views import refused

        answer_errors(refused)
        nav.register(
            nav.Entry(
                "System",
                "Rule book",
                "web:rule_book",
                order=95,
                words="rules help authority statute manual",
            )
        )
