"""The set of key figures, front to back (HFMA MAP keys and RBMA measures where they exist)."""

from __future__ import annotations

from ar.kpi import back, front, middle, work
from ar.kpi.base import COUNT, DAYS, GROUPS, HOURS, MINUTES, MONEY, PERCENT, Kpi

KPIS: tuple[Kpi, ...] = (*front.KPIS, *middle.KPIS, *back.KPIS, *work.KPIS)
BY_CODE = {k.code: k for k in KPIS}

__all__ = [
    "BY_CODE",
    "COUNT",
    "DAYS",
    "GROUPS",
    "HOURS",
    "KPIS",
    "MINUTES",
    "MONEY",
    "PERCENT",
    "Kpi",
]
