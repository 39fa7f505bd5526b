"""The four facts of an exam, the payer's matching policy, and the result of the match: the contract
others code against.

A blank string or None means unknown. Dates are local to the site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from authorizations.clocks import Unit, Window
from authorizations.requirement import RequirementAnswer
from authorizations.windows import Path, Remedies, Start, Term, Terms


@dataclass(frozen=True, slots=True)
class OrderedFact:
    """What the treating practitioner asked for. Before the exam its planned place and day stand in
    for the performed ones.
    """

    code: str = ""
    units: int = 1
    laterality: str = ""
    patient_id: str = ""
    payer_id: str = ""
    plan_id: str = ""
    member_id: str = ""
    ordering_npi: str = ""
    ordered_on: date | None = None
    planned_for: date | None = None
    site_npi: str = ""
    site_tin: str = ""
    rendering_npi: str = ""
    body_part: str = ""
    contrast_open: bool = False
    views_open: bool = False


@dataclass(frozen=True, slots=True)
class AuthorizedService:
    """One approved line. `units_used` counts exams already taken from it; `line` tells lines of one
    code apart.
    """

    code: str
    units: int
    units_used: int = 0
    laterality: str = ""
    body_part: str = ""
    approved: bool = True
    line: str = ""


class AuthStatus(StrEnum):
    REQUESTED = "requested"
    PENDED = "pended"
    APPROVED = "approved"
    PARTIALLY_APPROVED = "partially_approved"
    MODIFIED = "modified"
    DENIED = "denied"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    NOT_REQUIRED = "not_required"


@dataclass(frozen=True, slots=True)
class AuthorizedFact:
    """An authorization record (rule `authorization-on-record`). A stored "not required" is one too,
    with its call reference.
    """

    status: AuthStatus
    number: str = ""
    services: tuple[AuthorizedService, ...] = ()
    patient_id: str = ""
    payer_id: str = ""
    plan_id: str = ""
    member_id: str = ""
    effective_from: date | None = None
    effective_to: date | None = None
    site_npi: str = ""
    site_tin: str = ""
    ordering_npi: str = ""
    rendering_npi: str = ""
    requested_on: date | None = None
    reference: str = ""
    decided_on: date | None = None
    kind: str = "initial"


@dataclass(frozen=True, slots=True)
class PerformedFact:
    """What the modality and the report say was done. `units_counted` of it are already in the
    record's units_used.
    """

    code: str
    service_date: date
    units: int = 1
    laterality: str = ""
    patient_id: str = ""
    payer_id: str = ""
    plan_id: str = ""
    member_id: str = ""
    site_npi: str = ""
    site_tin: str = ""
    ordering_npi: str = ""
    rendering_npi: str = ""
    body_part: str = ""
    units_counted: int = 0
    reported_on: date | None = None


@dataclass(frozen=True, slots=True)
class BilledFact:
    """What the claim line says. 26, TC and global of one code use the same authorization (B3
    component note).
    """

    code: str
    service_date: date | None = None
    units: int = 1
    laterality: str = ""
    component: str = ""
    auth_number: str = ""
    denied_on: date | None = None


class SiteMatch(StrEnum):
    NPI = "npi"
    TIN = "tin"
    NONE = "none"


UPDATE_WINDOW = Window(2, Unit.BUSINESS_DAYS)
"""The window to change an approved code after the exam (rule `authorization-update-window`), unless
the payer's row says otherwise.
"""


@dataclass(frozen=True, slots=True)
class MatchPolicy:
    """A payer's terms (dated rows of data). A window of None is not known, which is not zero; a
    retroactive window of zero means that the payer takes no such request.
    """

    site_match: SiteMatch = SiteMatch.NPI
    match_ordering: bool = False
    match_rendering: bool = False
    retro_window: Window | None = None
    retro_from: Start = Start.SERVICE
    update_window: Window = UPDATE_WINDOW
    update_from: Start = Start.SERVICE
    update_taken: bool = True
    new_window: Window | None = None
    new_from: Start = Start.SERVICE
    peer_to_peer_days: int | None = None
    patient_words: str = ""
    appeal_words: str = ""
    source: str = "the product's defaults"

    @property
    def terms(self) -> Terms:
        retro = Term(self.retro_window, self.retro_from, taken=_taken(self.retro_window))
        found = {
            Path.UPDATE: Term(self.update_window, self.update_from, taken=self.update_taken),
            Path.RETRO: retro,
        }
        if self.new_window is not None:
            found[Path.NEW] = Term(self.new_window, self.new_from, taken=_taken(self.new_window))
        return Terms(found)

    @property
    def remedies(self) -> Remedies:
        base = Remedies(peer_to_peer_days=self.peer_to_peer_days)
        return Remedies(
            self.appeal_words or base.appeal,
            self.peer_to_peer_days,
            self.patient_words or base.patient,
        )


def _taken(window: Window | None) -> bool:
    return window is None or window.amount > 0


@dataclass(frozen=True, slots=True)
class MatchRequest:
    """Up to four facts about one exam; `key` comes back with the result (an accession, a line
    id).
    """

    ordered: OrderedFact | None = None
    authorized: AuthorizedFact | None = None
    performed: PerformedFact | None = None
    billed: BilledFact | None = None
    requirement: RequirementAnswer | None = None
    policy: MatchPolicy = MatchPolicy()
    key: str = ""


class Row(StrEnum):
    ORDER = "order"
    AUTHORIZATION = "authorization"
    PERFORMED = "performed"
    CLAIM = "claim"


class Verdict(StrEnum):
    """Match, covered by family, not required; or needs change, mismatch, pending,
    unknown (all four hold).
    """

    MATCH = "match"
    COVERED_BY_FAMILY = "covered_by_family"
    NOT_REQUIRED = "not_required"
    NEEDS_CHANGE = "needs_change"
    MISMATCH = "mismatch"
    PENDING = "pending"
    UNKNOWN = "unknown"


PASSING = frozenset({Verdict.MATCH, Verdict.COVERED_BY_FAMILY, Verdict.NOT_REQUIRED})


@dataclass(frozen=True, slots=True)
class Cell:
    """Where the facts part: a row and a field of the evidence grid."""

    row: Row
    field: str


@dataclass(frozen=True, slots=True)
class Deviation:
    """One failed rule. `due` is the last day to act (None: no window is known or left, `due_words`
    says which); `options` are what is left when the payer takes no request any more.
    """

    rule: str
    code: str
    verdict: Verdict
    cell: Cell
    sentence: str
    action: str
    owner: str
    due: date | None = None
    due_words: str = ""
    carc: tuple[str, ...] = ()
    rarc: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GridCell:
    value: str
    differs: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """Four rows side by side: `cells[row][field]`, every row with every field; a blank value means
    "not given".
    """

    fields: tuple[str, ...]
    cells: Mapping[Row, Mapping[str, GridCell]]

    def as_dict(self) -> dict[str, Any]:
        return {
            "fields": list(self.fields),
            "rows": [
                {
                    "row": row.value,
                    "cells": [
                        {"field": f, "value": cells[f].value, "differs": cells[f].differs}
                        for f in self.fields
                    ],
                }
                for row, cells in self.cells.items()
            ],
        }
