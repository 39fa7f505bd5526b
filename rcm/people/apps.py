from __future__ import annotations

from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "rcm.people"
    label = "people"
    verbose_name = "Users and partner systems"

    def ready(self) -> None:
        from rcm.web import nav

        nav.register(
            nav.Entry(
                "System",
                "Users",
                "people:people",
                "users.manage",
                order=60,
                words="accounts roles sign-in sessions disable invite",
            ),
            nav.Entry(
                "System",
                "Partner systems",
                "people:partners",
                "users.manage",
                order=61,
                words="api clients scopes oauth secrets",
            ),
        )
