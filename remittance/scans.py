"""Scanned paper: what a file is, is read from its bytes, never from its name."""

from __future__ import annotations

MOST_BYTES = 20 * 1024 * 1024
KINDS = (
    # how it begins, what stands near its end, its media type, the ending of its name
    (b"%PDF-", b"%%EOF", "application/pdf", "pdf"),
    (b"\xff\xd8\xff", b"\xff\xd9", "image/jpeg", "jpg"),
    (b"\x89PNG\r\n\x1a\n", b"IEND", "image/png", "png"),
)
TAIL = 2048


def kind_of(content: bytes) -> tuple[str, str] | None:
    """(media type, ending of the name) of a whole PDF, JPEG or PNG; None for anything else."""
    for begins, ends, media_type, ending in KINDS:
        if content.startswith(begins) and ends in content[-TAIL:]:
            return media_type, ending
    return None


def fault_of(content: bytes) -> str:
    """Why a scan is not taken, in a sentence; empty when it is."""
    if not content:
        return "The file is empty."
    if len(content) > MOST_BYTES:
        return "A scan may have 20 MB."
    begins = next((row for row in KINDS if content.startswith(row[0])), None)
    if begins is None:
        return "The scan is neither PDF, JPEG nor PNG."
    if kind_of(content) is None:
        return "The scan is cut off: its end is missing."
    return ""
