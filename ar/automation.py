"""The automatic steps of receivables."""

from __future__ import annotations

from decimal import Decimal

from rcm.jobs.robots import Robot
from rcm.jobs.robots import register as declare

STATEMENTS, SMALL_BALANCES = "statements", "small_balances"


def register() -> None:
    """Declare them; called when the app is ready."""
    declare(
        Robot(
            STATEMENTS,
            "Send patient statements",
            "statements to send",
            Decimal("2"),
            "Look at who gets which statement today, then send them.",
            "ar:statements_run",
            "statement.send",
            order=70,
        )
    )
    declare(
        Robot(
            SMALL_BALANCES,
            "Write off small balances",
            "small balances to write off",
            Decimal("2"),
            "Ask for each write-off by hand from the patient's account.",
            "ar:accounts",
            "account.view",
            order=75,
        )
    )
