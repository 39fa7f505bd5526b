from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from rcm.web.assets import build_font


class Command(BaseCommand):
    help = "Build the files that are not in the repository: the web font."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        path = build_font()
        self.stdout.write(f"{path.name} {path.stat().st_size:,} bytes")
