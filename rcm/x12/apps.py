from __future__ import annotations

from django.apps import AppConfig


class X12Config(AppConfig):
    name = "rcm.x12"
    label = "x12"
    verbose_name = "X12 reader, writer and guide check"
