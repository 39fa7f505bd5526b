"""The edit catalogue: what an edit is, how one is registered, what it finds.

An edit is a generator over one `Subject` (a claim with its reference tables), registered with
everything a person needs to judge it: severity, sentence, field, fix, owner, rule, dates, payer
scope, and an example that is its test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from rcm.web.rulebook import authority

if TYPE_CHECKING:
    from claims.edits.facts import ClaimFacts
    from claims.edits.subject import Subject


class Severity(StrEnum):
    BLOCK = "B"
    WARN = "W"


BLOCK, WARN = Severity.BLOCK, Severity.WARN


class Owner(StrEnum):
    """The role that can put it right."""

    FRONT_DESK = "front_desk"
    AUTHORIZATION = "authorization"
    CODER = "coder"
    BILLER = "biller"
    MANAGER = "manager"
    COMPLIANCE = "compliance"
    CREDENTIALING = "credentialing"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one edit says about one claim. `line` is the line's number, None for the claim. `rule`
    is a slug of the rule book, `source` the authority in words.
    """

    edit_id: str
    severity: Severity
    sentence: str
    field: str
    fix: str
    owner: str
    line: int | None = None
    source: str = ""
    family: str = ""
    rule: str = ""
    carc: tuple[str, ...] = ()
    rarc: tuple[str, ...] = ()
    overridden_by: str = ""
    override_reason: str = ""

    @property
    def blocks(self) -> bool:
        return self.severity is Severity.BLOCK and not self.overridden_by

    def as_dict(self) -> dict[str, Any]:
        return {
            "edit": self.edit_id,
            "family": self.family,
            "severity": self.severity.value,
            "sentence": self.sentence,
            "field": self.field,
            "line": self.line,
            "fix": self.fix,
            "owner": self.owner,
            "rule": self.rule,
            "source": self.source,
            "carc": list(self.carc),
            "rarc": list(self.rarc),
            "blocks": self.blocks,
            "overridden_by": self.overridden_by,
            "override_reason": self.override_reason,
        }


class Hit(NamedTuple):
    """An edit's raw answer: the sentence with its values, and where."""

    sentence: str
    field: str = ""
    line: int | None = None
    severity: Severity | None = None


Check = Callable[["Subject"], Iterator[Hit]]


@dataclass(frozen=True, slots=True)
class Example:
    """A clean claim and one that the edit must stop; both are built, never stored, and walk through
    the whole engine.
    """

    fails: Callable[[], ClaimFacts]
    passes: Callable[[], ClaimFacts]


@dataclass(frozen=True, slots=True)
class Edit:
    """One row of the catalogue. Empty `products` means every line of business. `rule` is a slug of
    the rule book.
    """

    edit_id: str
    family: str
    severity: Severity
    sentence: str
    field: str
    fix: str
    owner: Owner
    rule: str
    check: Check
    example: Example
    products: frozenset[str] = frozenset()
    effective_from: date | None = None
    effective_to: date | None = None
    tables: tuple[str, ...] = ()
    carc: tuple[str, ...] = ()
    rarc: tuple[str, ...] = ()
    overridable: bool = True
    dated: bool = False

    @property
    def source(self) -> str:
        """What a payer would accept in a dispute: the authority of the edit's rule."""
        return authority(self.rule)

    def in_force(self, day: date | None) -> bool:
        """Whether the edit applies to a service of that day; a dated edit does not apply to an
        unknown day.
        """
        if day is None:
            return not self.dated
        return (self.effective_from is None or self.effective_from <= day) and (
            self.effective_to is None or day <= self.effective_to
        )


_CATALOGUE: dict[str, Edit] = {}


def catalogue() -> Mapping[str, Edit]:
    """Every registered edit by id, in registration order (importing `claims.edits` registers them
    all).
    """
    return _CATALOGUE


def edit(
    edit_id: str,
    severity: Severity,
    sentence: str,
    *,
    field: str,
    fix: str,
    owner: Owner,
    rule: str,
    fails: Callable[[], ClaimFacts],
    passes: Callable[[], ClaimFacts],
    products: frozenset[str] = frozenset(),
    effective_from: date | None = None,
    effective_to: date | None = None,
    tables: tuple[str, ...] = (),
    carc: tuple[str, ...] = (),
    rarc: tuple[str, ...] = (),
    overridable: bool = True,
) -> Callable[[Check], Check]:
    """Register the decorated generator. `tables` are the ReferenceFacts fields without which it
    cannot judge.
    """

    def register(check: Check) -> Check:
        if edit_id in _CATALOGUE:
            raise ValueError(f"edit {edit_id} is registered twice")
        _CATALOGUE[edit_id] = Edit(
            edit_id=edit_id,
            family=check.__module__.rpartition(".")[2],
            severity=severity,
            sentence=sentence,
            field=field,
            fix=fix,
            owner=owner,
            rule=rule,
            check=check,
            example=Example(fails, passes),
            products=products,
            effective_from=effective_from,
            effective_to=effective_to,
            tables=tables,
            carc=carc,
            rarc=rarc,
            overridable=overridable,
            dated=effective_from is not None or effective_to is not None,
        )
        return check

    return register


class OverrideAction(StrEnum):
    OFF = "off"
    WARN = "warn"
    BLOCK = "block"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class Override:
    """A dated change to one edit: for a payer (off, warn, block) or, by a person, for one claim
    (accept).

    `accept` keeps the finding and marks who took the decision and why; it needs a person and a
    reason.
    """

    edit_id: str
    action: OverrideAction
    reason: str
    by: str
    payer_id: str = ""
    claim_id: str = ""
    line: int | None = None
    effective_from: date | None = None
    effective_to: date | None = None


def money(amount: Decimal) -> str:
    return f"${amount:,.2f}"
