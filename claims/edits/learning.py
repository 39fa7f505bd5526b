"""What denied claims share and paid ones do not: the condition of a proposed rule.

Every field that a rule may ask is tried as one condition. The one that keeps nearly all denied
lines and lets the most paid claims go is taken, then the next, until no further one helps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from claims.edits.subject import Line, Subject
from claims.edits.userrules import FIELDS, RuleField

ASKED = (
    "line.code",
    "line.modifiers",
    "line.component",
    "line.modality",
    "line.family",
    "line.contrast",
    "line.pos",
    "line.auth_number",
    "line.auth_verdict",
    "line.report_status",
    "line.ndc",
    "line.diagnoses",
    "claim.form",
    "claim.first_diagnosis",
    "claim.prior_auth_number",
    "claim.referral_number",
    "claim.attachment_control",
    "claim.related_cause",
    "payer.plan",
    "payer.product",
    "payer.rank",
    "member.group",
    "ordering.npi",
    "rendering.npi",
    "rendering.taxonomy",
    "facility.npi",
    "facility.state",
    "eligibility.status",
)
"""Fields that can be the cause of a denial; what names one patient or one claim is not asked."""

SHARED = Decimal("0.9")
"""Part of the denied lines that a condition must keep."""
MOST = 3
"""Conditions of a proposal at most: more would describe these claims, not their cause."""
HELPS = Decimal("0.1")
"""Part of the paid claims still hit that a further condition must let go."""


@dataclass(frozen=True, slots=True)
class Case:
    """A claim with the lines that count: the denied ones of a denied claim, all of a paid one."""

    subject: Subject
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Shared:
    """One condition with how many denied and paid claims meet it."""

    node: dict[str, Any]
    denied: int
    paid: int


@dataclass(frozen=True, slots=True)
class Learned:
    """Conditions that together tell `denied` of `all_denied` claims from all but `paid` of
    `all_paid`.
    """

    conditions: tuple[Shared, ...]
    denied: int
    all_denied: int
    paid: int
    all_paid: int

    @property
    def when(self) -> dict[str, Any]:
        """As a rule's condition: those on lines stand together, one line must meet them all."""
        nodes = [c.node for c in self.conditions if not FIELDS[c.node["field"]].of_line]
        lines = [c.node for c in self.conditions if FIELDS[c.node["field"]].of_line]
        return {"all": [*nodes, *([{"any_line": {"all": lines}}] if lines else [])]}


Feature = tuple[str, str, str]
"""Field, operator and value of one condition."""
Told = list[frozenset[Feature]]
"""Per line of a case the conditions that it meets, those of its claim with it."""


def learn(denied: Iterable[Case], paid: Iterable[Case]) -> Learned:
    """The fewest conditions that nearly all denied claims share and most paid ones do not; none
    when they share nothing of that kind.
    """
    denied, paid = list(denied), list(paid)
    modifiers = frozenset(m for case in (*denied, *paid) for x in case.lines for m in x.mods)
    bad = [_features(case, modifiers) for case in denied]
    good = [_features(case, modifiers) for case in paid]
    chosen: list[Shared] = []
    left_bad, left_good = bad, good
    while len(chosen) < MOST:
        best = _best(bad, left_bad, left_good, {c.node["field"] for c in chosen})
        if best is None:
            break
        feature, kept_bad, kept_good = best
        gain = len(left_good) - len(kept_good)
        # the first may gain nothing where no paid claim is known: then it only describes
        if chosen and gain <= len(left_good) * HELPS:
            break
        if not chosen and good and gain == 0:
            break
        chosen.append(Shared(_node(feature), len(kept_bad), len(kept_good)))
        left_bad, left_good = kept_bad, kept_good
    return Learned(tuple(chosen), len(left_bad), len(bad), len(left_good), len(good))


def _best(
    bad: Sequence[Told], left_bad: Sequence[Told], left_good: Sequence[Told], taken: set[str]
) -> tuple[Feature, list[Told], list[Told]] | None:
    """The condition that keeps nearly all denied and hits the fewest paid, with what it keeps."""
    counts = Counter(f for case in left_bad for f in set().union(*case))
    wanted = [
        f for f, n in counts.items() if f[0] not in taken and n >= len(bad) * SHARED and n > 1
    ]
    if not wanted:
        return None
    hit = Counter(f for case in left_good for f in set().union(*case))
    order = {name: n for n, name in enumerate(ASKED)}
    best = min(wanted, key=lambda f: (hit[f], -counts[f], order[f[0]], f))
    return best, _keep(left_bad, best), _keep(left_good, best)


def _keep(cases: Sequence[Told], feature: Feature) -> list[Told]:
    """The cases with the lines of theirs that meet the condition."""
    kept = ([line for line in case if feature in line] for case in cases)
    return [case for case in kept if case]


def _features(case: Case, modifiers: frozenset[str]) -> Told:
    whole = {
        f for name in ASKED if not FIELDS[name].of_line for f in _told(FIELDS[name], case.subject)
    }
    return [
        frozenset(
            whole
            | {
                f
                for name in ASKED
                if FIELDS[name].of_line
                for f in _told(FIELDS[name], case.subject, line)
            }
            | {("line.modifiers", "ne", m) for m in modifiers.difference(line.mods)}
        )
        for line in case.lines
    ]


def _told(field: RuleField, subject: Subject, line: Line | None = None) -> Iterator[Feature]:
    value: Any = field.read(subject, line) if field.of_line else field.read(subject)  # type: ignore[call-arg,arg-type]
    if value is None or value == "" or value == ():
        yield field.name, "absent", ""
        return
    if field.kind == "list":
        for word in value:
            yield field.name, "eq", str(word)
    elif field.kind == "number":
        yield field.name, "eq", f"{value:f}"
    else:
        yield field.name, "eq", str(value)
        if field.name == "claim.first_diagnosis":
            yield field.name, "starts_with", str(value)[:3]


def _node(feature: Feature) -> dict[str, Any]:
    name, op, value = feature
    return {"field": name, "op": op} | ({} if op == "absent" else {"value": value})
