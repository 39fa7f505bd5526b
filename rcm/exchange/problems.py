"""What goes wrong with what a partner sent."""

from __future__ import annotations

from rcm.accounts.problems import Refused


class ParseProblem(Refused):
    """The bytes cannot be read as what they claim to be. The text is a sentence for the screen and
    holds no value of a patient.
    """

    def __init__(
        self, sentence: str, *, code: str = "unreadable", field: str = "", fix: str = ""
    ) -> None:
        super().__init__(
            sentence, code=code, field=field, fix=fix or "Ask the sender for a corrected message."
        )
