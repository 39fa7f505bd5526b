"""Families of imaging procedures and what an approval for one code says about another (rule
`authorization-family`).

Inside a family the codes differ in intensity only: contrast (without < with < both), extent
(limited < complete), views (fewer < more). Whatever cannot be ranked from the catalog is never
guessed: it is `UNRANKED` or `UNKNOWN`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

CONTRAST_RANK: Mapping[str, int] = {"without": 0, "with": 1, "without_and_with": 2}
EXTENT_RANK: Mapping[str, int] = {
    "limited": 0,
    "skull base to mid-thigh": 1,
    "complete": 2,
    "whole body": 2,
}
BILATERAL = "2"


@dataclass(frozen=True, slots=True)
class Procedure:
    """One row of the procedure catalog; a blank attribute means the code does not vary by it."""

    code: str
    family: str
    modality: str = ""
    body_region: str = ""
    contrast: str = ""
    extent: str = ""
    views_min: int | None = None
    views_max: int | None = None
    bilat_ind: str = ""
    typical_prior_auth: str = ""


Catalog = Mapping[str, Procedure]


class Relation(StrEnum):
    """How the performed code stands to the authorized one."""

    SAME = "same"
    LOWER = "lower"
    ALLOWED = "allowed"
    HIGHER = "higher"
    UNRANKED = "unranked"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


COVERED = frozenset({Relation.SAME, Relation.LOWER, Relation.ALLOWED})


class CrosswalkVerdict(StrEnum):
    ALLOWED = "allowed"
    UPDATE = "update"
    NEW_AUTH = "new_auth"


_CROSSWALK_RELATION = {
    CrosswalkVerdict.ALLOWED: Relation.ALLOWED,
    CrosswalkVerdict.UPDATE: Relation.HIGHER,
    CrosswalkVerdict.NEW_AUTH: Relation.DIFFERENT,
}


@dataclass(frozen=True, slots=True)
class CrosswalkRow:
    """A payer's own word on one pair of codes; it beats the family default while it is in force."""

    payer_id: str
    authorized_code: str
    performed_code: str
    verdict: CrosswalkVerdict
    plan_id: str = ""
    effective_from: date | None = None
    effective_to: date | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Related:
    """A relation and the words that explain it."""

    relation: Relation
    because: str


class Crosswalk:
    """Payer pairs, looked up by (payer, authorized, performed); a plan's row beats its payer's
    row.
    """

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[CrosswalkRow] = ()) -> None:
        self._rows: dict[tuple[str, str, str], list[CrosswalkRow]] = {}
        for row in rows:
            self._rows.setdefault(
                (row.payer_id, row.authorized_code, row.performed_code), []
            ).append(row)

    def find(
        self, *, payer_id: str, plan_id: str, authorized: str, performed: str, on: date
    ) -> CrosswalkRow | None:
        live = [
            row
            for row in self._rows.get((payer_id, authorized, performed), ())
            if row.plan_id in ("", plan_id)
            and (row.effective_from is None or row.effective_from <= on)
            and (row.effective_to is None or on <= row.effective_to)
        ]
        return max(
            live, key=lambda row: (row.plan_id != "", row.effective_from or date.min), default=None
        )


EMPTY_CROSSWALK = Crosswalk()


def relate(
    authorized: str,
    performed: str,
    catalog: Catalog,
    *,
    crosswalk: Crosswalk = EMPTY_CROSSWALK,
    payer_id: str = "",
    plan_id: str = "",
    on: date = date.max,
) -> Related:
    """Say what an approval of `authorized` means for `performed` on that day (rule
    `authorization-family`).
    """
    if authorized == performed:
        return Related(Relation.SAME, f"{performed} is the authorized code")
    row = crosswalk.find(
        payer_id=payer_id, plan_id=plan_id, authorized=authorized, performed=performed, on=on
    )
    if row is not None:
        source = f" ({row.source})" if row.source else ""
        return Related(
            _CROSSWALK_RELATION[row.verdict],
            f"the payer's crosswalk {authorized} to {performed}{source}",
        )
    ours, theirs = catalog.get(performed), catalog.get(authorized)
    if ours is None or theirs is None:
        missing = performed if ours is None else authorized
        return Related(Relation.UNKNOWN, f"{missing} is not in the procedure catalog")
    if ours.family != theirs.family:
        return Related(
            Relation.DIFFERENT,
            f"{performed} is another exam than {authorized}",
        )
    return compare(theirs, ours)


def compare(authorized: Procedure, performed: Procedure) -> Related:
    """How the performed code of a family stands to the authorized (or ordered) one."""
    steps: list[tuple[int, str]] = []
    for attribute, ranks in (("contrast", CONTRAST_RANK), ("extent", EXTENT_RANK)):
        before, after = getattr(authorized, attribute), getattr(performed, attribute)
        if before == after:
            continue
        if before not in ranks or after not in ranks:
            return Related(
                Relation.UNRANKED,
                f"{attribute} of {authorized.code} and {performed.code} cannot be ranked",
            )
        steps.append(
            (ranks[after] - ranks[before], f"{attribute} {before} to {after}".replace("_", " "))
        )
    if authorized.views_min is not None and performed.views_min is not None:
        steps.append(
            (
                performed.views_min - authorized.views_min,
                f"{authorized.views_min} to {performed.views_min} views",
            )
        )
    sided = _bilateral_step(authorized, performed)
    if sided > 0 and not any(step for step, _ in steps):
        return Related(
            Relation.DIFFERENT, f"{performed.code} is bilateral, {authorized.code} is one side"
        )
    steps.append((sided, "bilateral to one side" if sided < 0 else "one side to bilateral"))
    moved = [(step, words) for step, words in steps if step]
    words = ", ".join(text for _, text in moved)
    if not moved:
        return Related(
            Relation.UNRANKED,
            f"{authorized.code} and {performed.code} are siblings without a known order",
        )
    if all(step < 0 for step, _ in moved):
        return Related(Relation.LOWER, f"less than authorized: {words}")
    if all(step > 0 for step, _ in moved):
        return Related(Relation.HIGHER, f"more than authorized: {words}")
    return Related(Relation.UNRANKED, f"partly more and partly less than authorized: {words}")


def _bilateral_step(authorized: Procedure, performed: Procedure) -> int:
    return (performed.bilat_ind == BILATERAL) - (authorized.bilat_ind == BILATERAL)
