"""Loaders of reference data: official layouts and the product's own sheets, dated, set-based, row
by row fault-tolerant.
"""

from __future__ import annotations

from rcm.reference.loaders.cells import Cells, RowError
from rcm.reference.loaders.kinds import (
    Kind,
    Layout,
    Options,
    Values,
    house,
    kind_of,
    kinds,
    register,
)

__all__ = [
    "Cells",
    "Kind",
    "Layout",
    "Options",
    "RowError",
    "Values",
    "house",
    "kind_of",
    "kinds",
    "register",
]
