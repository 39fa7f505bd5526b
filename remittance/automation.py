"""The automatic steps of remittances."""

from __future__ import annotations

from decimal import Decimal

from rcm.jobs.robots import Robot
from rcm.jobs.robots import register as declare

AUTO_POST, SECONDARY = "auto_post", "secondary"


def register() -> None:
    """Declare them; called when the app is ready."""
    declare(
        Robot(
            AUTO_POST,
            "Post remittances",
            "remittances to post",
            Decimal("1.5"),
            "Open each remittance that is ready, look at its exceptions, and press Post.",
            "remittance:remittances",
            "remittance.view",
            order=60,
        )
    )
    declare(
        Robot(
            SECONDARY,
            "Claims to the next payer",
            "claims to the next payer to check",
            Decimal("6"),
            "Each claim to the next payer is a draft: check it, then send it.",
            "claims:claims",
            "claim.view",
            order=65,
        )
    )
