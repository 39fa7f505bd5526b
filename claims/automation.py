"""The automatic steps of claims."""

from __future__ import annotations

from decimal import Decimal

from rcm.jobs.robots import Robot
from rcm.jobs.robots import register as declare

REPAIRS, AUTO_SUBMIT, STATUS_INQUIRY = "repairs", "auto_submit", "status_inquiry"


def register() -> None:
    """Declare them; called when the app is ready."""
    declare(
        Robot(
            REPAIRS,
            "Write fields as the file needs them",
            "fields to rewrite",
            Decimal("1"),
            "Claims with a field to rewrite stop in the edits queue: look, then check them again.",
            "claims:edits_queue",
            "claim.view",
            order=40,
        )
    )
    declare(
        Robot(
            AUTO_SUBMIT,
            "Submit clean claims",
            "clean claims to submit",
            Decimal("0.5"),
            "Choose the clean claims under Ready and press Submit.",
            "claims:claims",
            "claim.view",
            order=45,
        )
    )
    declare(
        Robot(
            STATUS_INQUIRY,
            "Ask silent payers",
            "claims to ask about",
            Decimal("8"),
            "Claims of silent payers stand in their queue: ask by portal or telephone.",
            "claims:claims",
            "claim.view",
            order=55,
        )
    )
