"""What the screens of this phase share."""

from __future__ import annotations

from decimal import Decimal

SHOWN = 200
"""Claims of one group drawn on the posting screen; the rest is reached by the filter of the
list.
"""
EXACT = 1000
"""Up to so many claims the posting screen computes the exact postings while it is drawn."""
ZERO = Decimal("0.00")
