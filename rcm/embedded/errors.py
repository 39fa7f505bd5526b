"""The one error of this room."""

from __future__ import annotations


class EmbeddedError(Exception):
    """A server could not be started or stopped; the text is a sentence that says what to do."""
