"""Whoever reads a source, a page or a screen can open what it cites: the rule book, a statute, a
manual, a guide. Nothing names papers that are not in the project, or their bare labels.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "Makefile",
    "pyproject.toml",
    "bench",
    "docs",
    "rcm",
    "intake",
    "authorizations",
    "charges",
    "claims",
    "remittance",
    "ar",
    "templates",
    "tests",
]
KINDS = {".py", ".md", ".html", ".csv", ".toml", ".css", ".js", ".yml", ".sh"}
LABEL = r"[A-Z]\d{1,2}(?:\.\d+)?"
PAPERS = re.compile(r"\b(?:DOM" r"AIN|FEAT" r"URES|RELIA" r"BILITY|(?:X12|UI)\.md)\s+[A-Z(]")
BARE = re.compile(rf"\((?:{LABEL})(?:[,;]? (?:and |to )?(?:{LABEL}|#\d))*\)|(?i:\binvariants? \d)")
CODES_OF_X12 = {"rcm/x12", "tests/x12", "docs/x12.md"}
"""Where A1, A3 and others are the status codes of a 277CA, written as such."""


def _tracked() -> list[str]:
    paths = [
        path
        for place in PLACES
        for path in sorted((ROOT / place).rglob("*") if (ROOT / place).is_dir() else [ROOT / place])
    ]
    return [
        str(path.relative_to(ROOT))
        for path in paths
        if path.is_file()
        and path.suffix in KINDS
        and not {"migrations", "__pycache__"} & set(path.parts)
        and path.name != "test_citations.py"
    ]


def _lines(wanted: re.Pattern[str], names: list[str]) -> list[str]:
    found = []
    for name in names:
        text = (ROOT / name).read_text("utf-8", errors="ignore")
        for number, line in enumerate(text.splitlines(), start=1):
            if wanted.search(line):
                found.append(f"{name}:{number}: {line.strip()[:120]}")
    return found


def test_nothing_cites_papers_outside_the_project():
    assert _lines(PAPERS, _tracked()) == []


def test_nothing_cites_a_bare_label():
    names = [
        name
        for name in _tracked()
        if Path(name).suffix in {".py", ".html", ".md"}
        and not any(name.startswith(place) for place in CODES_OF_X12)
    ]
    assert _lines(BARE, names) == []


@pytest.mark.parametrize("text", ["(A9)", "(B4, B5)", "(A1 to A7)", "(A8.1)", "invariant 3"])
def test_a_bare_label_would_be_found(text):
    assert BARE.search(f"As the rule says {text}.")
