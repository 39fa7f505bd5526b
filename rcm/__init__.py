"""Isocenter: platform rooms and the composition of the whole product."""

from __future__ import annotations

from rcm.celery import app as celery_app

__all__ = ["celery_app"]
