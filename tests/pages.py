"""What tests read of a page: its words and tags, whatever the templates' line breaks."""

from __future__ import annotations

import re


def one_line(html: str) -> str:
    """The page on one line, without the white space at the edges of tags and between attributes."""
    return re.sub(r" ?(<[^<>]*>) ?", r"\1", re.sub(r"\s+", " ", html))
