"""What follows from posting, in its transaction: states, denials and their clocks, recoveries,
variances, unapplied cash, claims, patients, next payers. Set-based per chunk.
"""

from __future__ import annotations

from remittance.services.consequences.following import finished, follow, undone

__all__ = ["finished", "follow", "undone"]
