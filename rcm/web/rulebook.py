"""The rule book: `docs/rules/*.md` as rules that the product cites and serves (no Django).

Findings, edits, steps of a price, gates, figures and denial categories carry the slug of a rule;
screens turn it into the authority and a link. `docs/rules/README.md` says how a rule is written.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType

FOLDER = Path(__file__).parents[2] / "docs" / "rules"
_HEADING = re.compile(r"## (?P<title>.+) \{#(?P<slug>[a-z0-9]+(?:-[a-z0-9]+)*)\}")
_FIELD = re.compile(r"- (?P<name>Authority|Kind|Since|Until): (?P<value>.+)")
_EXAMPLE = "Example: "


class Kind(StrEnum):
    """Where a rule comes from, strongest first."""

    LAW = "law"
    MANUAL = "manual"
    STANDARD = "standard"
    PAYER = "payer practice"
    HOUSE = "house policy"


class BadRule(ValueError):
    """A page of the rule book is not written as `docs/rules/README.md` asks."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `since` and `until` are the first and last day of service it applies to, None when
    open. `example` is one worked case.
    """

    slug: str
    title: str
    subject: str
    subject_title: str
    authority: str
    kind: Kind
    paragraphs: tuple[str, ...]
    example: str
    since: dt.date | None = None
    until: dt.date | None = None

    @property
    def words(self) -> str:
        """Everything a search looks at, in lower case."""
        parts = (self.title, self.slug, self.authority, *self.paragraphs, self.example)
        return " ".join(parts).lower()


@dataclass(frozen=True, slots=True)
class Subject:
    """One page: its title, what stands before the first rule, and its rules in order."""

    name: str
    title: str
    introduction: str
    rules: tuple[Rule, ...]


@cache
def subjects() -> tuple[Subject, ...]:
    """Every page by title."""
    pages = [page for page in sorted(FOLDER.glob("*.md")) if page.name != "README.md"]
    read = [read_subject(page.stem, page.read_text(encoding="utf-8")) for page in pages]
    return tuple(sorted(read, key=lambda subject: subject.title))


@cache
def rules() -> Mapping[str, Rule]:
    """Every rule by slug. Raises `BadRule` when two pages claim one slug."""
    found: dict[str, Rule] = {}
    for subject in subjects():
        for rule in subject.rules:
            if rule.slug in found:
                raise BadRule(
                    f"{rule.slug} stands in {found[rule.slug].subject} and {subject.name}"
                )
            found[rule.slug] = rule
    return MappingProxyType(found)


def find(slug: str) -> Rule | None:
    """The rule of a slug; None for a slug that has no page (texts stored by older versions)."""
    return rules().get(slug)


def authority(slug: str) -> str:
    """What a payer would accept as the source; the text itself when it is no slug."""
    rule = find(slug)
    return rule.authority if rule else slug


def search(text: str) -> tuple[Subject, ...]:
    """The subjects with only those rules that contain every word of `text`."""
    wanted = text.lower().split()
    narrowed = (
        Subject(
            subject.name,
            subject.title,
            introduction=subject.introduction,
            rules=tuple(r for r in subject.rules if all(word in r.words for word in wanted)),
        )
        for subject in subjects()
    )
    return tuple(subject for subject in narrowed if subject.rules)


@dataclass(frozen=True, slots=True)
class Mention:
    """Something of the product that rests on a rule: an edit, a figure. Its page opens for whoever
    holds `permission`.
    """

    words: str
    url: str = ""
    permission: str = ""


Mentions = Callable[[str], Iterable[Mention]]
_mentions: dict[str, Mentions] = {}


def register_mentions(title: str, of_rule: Mentions) -> None:
    """Show on a rule's page what rests on it. `of_rule(slug)` reads no database."""
    _mentions[title] = of_rule


def mentions(slug: str) -> list[tuple[str, list[Mention]]]:
    """What rests on a rule, by title; titles without any are left out."""
    found = [(title, list(of_rule(slug))) for title, of_rule in sorted(_mentions.items())]
    return [(title, rows) for title, rows in found if rows]


def read_subject(name: str, text: str) -> Subject:
    """One page. Raises `BadRule` with the page and the rule at fault."""
    head, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    first, _, introduction = head.strip().partition("\n")
    if not first.startswith("# "):
        raise BadRule(f"{name}: the page has no title")
    title = first.removeprefix("# ").strip()
    return Subject(
        name,
        title,
        introduction=_joined(introduction),
        rules=tuple(_rule(section, subject=name, subject_title=title) for section in sections),
    )


def _rule(section: str, *, subject: str, subject_title: str) -> Rule:
    heading, _, body = section.partition("\n")
    match = _HEADING.fullmatch(heading.strip())
    if match is None:
        raise BadRule(f"{subject}: “{heading.strip()}” has no slug")
    where = f"{subject}: {match['slug']}"
    fields: dict[str, str] = {}
    texts: list[str] = []
    for block in _blocks(body):
        if block.startswith("- "):
            fields |= dict(_fields(block, where))
        else:
            texts.append(_joined(block))
    examples = [text for text in texts if text.startswith(_EXAMPLE)]
    paragraphs = tuple(text for text in texts if not text.startswith(_EXAMPLE))
    if len(examples) != 1 or not paragraphs:
        raise BadRule(f"{where} needs its words and one example")
    if "Authority" not in fields or fields.get("Kind") not in set(Kind):
        raise BadRule(f"{where} needs its authority and its kind")
    return Rule(
        match["slug"],
        match["title"],
        subject=subject,
        subject_title=subject_title,
        authority=fields["Authority"],
        kind=Kind(fields["Kind"]),
        paragraphs=paragraphs,
        example=examples[0].removeprefix(_EXAMPLE),
        since=_day(fields.get("Since"), where),
        until=_day(fields.get("Until"), where),
    )


def _blocks(body: str) -> Iterator[str]:
    return (block.strip() for block in body.split("\n\n") if block.strip())


def _fields(block: str, where: str) -> Iterator[tuple[str, str]]:
    for line in block.splitlines():
        match = _FIELD.fullmatch(line.strip())
        if match is None:
            raise BadRule(f"{where}: “{line.strip()}” is no field of a rule")
        yield match["name"], match["value"].strip()


def _day(text: str | None, where: str) -> dt.date | None:
    if text is None:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BadRule(f"{where}: {text} is no date") from None


def _joined(text: str) -> str:
    return " ".join(text.split())
