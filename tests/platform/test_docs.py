"""Pages name files, links and rules that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rcm.web import rulebook

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "rules" not in path.parts),
]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
NAMED = re.compile(
    r"`((?:rcm|intake|authorizations|charges|claims|remittance|ar|tests|docs|bench)/[\w./*-]+)`"
)
RULE = re.compile(r"\brule `([a-z0-9-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_leads_to_what_exists(page):
    text = page.read_text("utf-8")
    links = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    files = [name for name in NAMED.findall(text) if not list(ROOT.glob(name.rstrip("/")))]
    rules = [slug for slug in RULE.findall(text) if slug not in rulebook.rules()]
    assert (links, files, rules) == ([], [], [])


def test_the_promises_of_the_readme_are_kept():
    readme = (ROOT / "README.md").read_text("utf-8")
    for name in ("CHANGELOG.md", "SECURITY.md", "docs/decisions", "docs/glossary.md", "docs/rules"):
        assert name in readme
        assert (ROOT / name).exists()
