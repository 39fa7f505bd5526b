"""The automatic steps of the front desk."""

from __future__ import annotations

from decimal import Decimal

from rcm.jobs.robots import Robot
from rcm.jobs.robots import register as declare

ELIGIBILITY_BATCH = "eligibility_batch"


def register() -> None:
    """Declare them; called when the app is ready."""
    declare(
        Robot(
            ELIGIBILITY_BATCH,
            "Verify coverage ahead",
            "visits to verify",
            Decimal("4"),
            "Verify the visits of the next days from the day's board.",
            "intake:today",
            "clearance.view",
            order=10,
        )
    )
