"""What becomes of a visit's authorization records when the requirement was answered anew: pure
rules.

A record belongs to patient, payer and kind of exam. So an order that was cancelled and sent again
finds the record of the first one; only what no record carries is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authorizations.families import COVERED, Catalog, Crosswalk, relate
from authorizations.models import GRANTED, AuthStatus

UNASKED = frozenset({AuthStatus.DRAFT, AuthStatus.NOT_REQUIRED})
FINDABLE = frozenset({AuthStatus.REQUESTED, AuthStatus.PENDED, *GRANTED})
"""States in which a record may serve an order sent again; a refusal is not found again, it was of
that order.
"""


@dataclass(frozen=True, slots=True)
class Held:
    """One live record as planning sees it. `exams` are the ordered exams its lines name."""

    id: int
    status: str
    coverage_id: int
    exams: frozenset[int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: drop unasked records of another coverage, take off a draft whose exams other
    records carry, join the asked ones to the visit, and keep one record open for what is left.

    `current` is that record when it exists; `status` None leaves everything as it is.
    """

    drop: tuple[int, ...] = ()
    carried: tuple[int, ...] = ()
    join: tuple[int, ...] = ()
    current: int | None = None
    open_exams: tuple[int, ...] = ()
    status: AuthStatus | None = None


def plan(
    held: Sequence[Held],
    *,
    coverage_id: int,
    needed: Sequence[int],
    carried: frozenset[int],
    self_pay: bool = False,
) -> Plan:
    """`needed` are the exams that need (or may need) an authorization, `carried` those that a
    record of another order already covers.
    """
    drop = tuple(h.id for h in held if h.coverage_id != coverage_id and h.status in UNASKED)
    if self_pay:
        return Plan(drop=drop)
    own = [h for h in held if h.coverage_id == coverage_id and h.status != AuthStatus.CANCELLED]
    current = next((h for h in own if h.status in UNASKED), None)
    asked = [h for h in own if h is not current]
    covered = {e for h in asked for e in h.exams} | carried
    open_exams = tuple(e for e in needed if e not in covered)
    join = tuple(h.id for h in asked)
    if needed and not open_exams and (current is None or current.status == AuthStatus.DRAFT):
        gone = (current.id,) if current else ()
        return Plan(drop=drop, carried=gone, join=join)
    if current is None and not open_exams and asked:
        return Plan(drop=drop, join=join)
    status = AuthStatus.DRAFT if open_exams else AuthStatus.NOT_REQUIRED
    return Plan(
        drop=drop,
        join=join,
        current=current.id if current else None,
        open_exams=open_exams,
        status=status,
    )


@dataclass(frozen=True, slots=True)
class FreeLine:
    """A line of a record with units that no live order waits for: its own order was cancelled, or
    more units were granted than that one takes.
    """

    id: int
    authorization_id: int
    patient_id: int
    payer_id: int
    member_id: str
    code: str
    laterality: str
    spare: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """An ordered exam that no record names."""

    id: int
    patient_id: int
    payer_id: int
    payer_code: str
    member_id: str
    code: str
    laterality: str


def found_again(
    wanted: Sequence[Wanted], free: Sequence[FreeLine], *, known: Catalog, pairs: Crosswalk
) -> dict[int, int]:
    """Which free line serves which exam: exam id → line id, the same code before one its family
    covers, no line more often than it has units to spare.
    """
    found: dict[int, int] = {}
    left = {line.id: line.spare for line in free}
    for exam in wanted:
        fitting = [line for line in free if left[line.id] > 0 and _serves(line, exam, known, pairs)]
        best = min(fitting, key=lambda line: (line.code != exam.code, line.id), default=None)
        if best is not None:
            left[best.id] -= 1
            found[exam.id] = best.id
    return found


def _serves(line: FreeLine, exam: Wanted, known: Catalog, pairs: Crosswalk) -> bool:
    if (line.patient_id, line.payer_id, line.member_id) != (
        exam.patient_id,
        exam.payer_id,
        exam.member_id,
    ):
        return False
    if line.laterality and line.laterality not in (exam.laterality, "50"):
        return False
    related = relate(line.code, exam.code, known, crosswalk=pairs, payer_id=exam.payer_code)
    return related.relation in COVERED
