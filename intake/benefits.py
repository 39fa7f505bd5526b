"""The exam's own benefit out of a payer's answer: which service type decides, what it says about
authorization, and what changed since the answer before.

Pure: benefit rows in, facts out. An answer speaks about many service types at once; only the type
that pays for the exam decides on it, with the payer's own fall-backs in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from intake.estimate import BenefitFact, cost_sharing

ESTIMATE, AUTHORIZATION, COVERAGE = "estimate", "authorization", "coverage"


@dataclass(frozen=True, slots=True)
class AuthFlag:
    """What the answer says about an authorization for one exam. `required` None: nothing;
    `service_type` is the type that said so, blank when a row about the procedure itself did.
    """

    required: bool | None = None
    service_type: str = ""


def auth_flag(
    benefits: Sequence[BenefitFact],
    service_types: Sequence[str],
    *,
    code: str = "",
    in_network: bool = True,
) -> AuthFlag:
    """The flag that decides on an exam: a row about the procedure itself, else the first service
    type of the exam that has a flag. Rows of other types say nothing about it. Of two rows that
    differ, the one that asks for an authorization counts.
    """
    said = [
        b for b in benefits if b.authorization is not None and b.in_network is not (not in_network)
    ]
    own = [b for b in said if code and b.procedure == code]
    if own:
        return AuthFlag(any(b.authorization for b in own))
    general = [b for b in said if not b.procedure]
    for wanted in (*service_types, "30"):
        here = [b for b in general if wanted in b.service_types]
        if here:
            return AuthFlag(any(b.authorization for b in here), wanted)
    bare = [b for b in general if not b.service_types]
    return AuthFlag(any(b.authorization for b in bare)) if bare else AuthFlag()


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """One answer of a payer as the comparison sees it."""

    active: bool
    plan: str
    ends_on: date | None
    benefits: Sequence[BenefitFact]


def other_payers(benefits: Iterable[BenefitFact]) -> tuple[str, ...]:
    """Other payers that the answer names, sorted."""
    return tuple(sorted({b.text for b in benefits if b.kind == "other_payer" and b.text}))


def changes(
    before: AnswerFacts, after: AnswerFacts, service_types: Sequence[str]
) -> list[dict[str, str]]:
    """What changed since the answer before (rule `coverage-drift`), for the exam's own benefit:
    field, before, after, and what depends on it (`touches`).
    """
    if not after.active:
        ended = {"field": "coverage", "before": "active", "after": "not active"}
        return [ended | {"touches": COVERAGE}]
    old, new = (cost_sharing(a.benefits, service_types) for a in (before, after))
    flags = [auth_flag(a.benefits, service_types).required for a in (before, after)]
    rows: list[tuple[str, Any, Any, str]] = [
        ("plan", before.plan, after.plan, AUTHORIZATION),
        ("end of coverage", before.ends_on, after.ends_on, COVERAGE),
        (
            "other payer",
            ", ".join(other_payers(before.benefits)),
            ", ".join(other_payers(after.benefits)),
            COVERAGE,
        ),
        ("authorization flag", _flag(flags[0]), _flag(flags[1]), AUTHORIZATION),
        ("copay", _money(old.copay), _money(new.copay), ESTIMATE),
        ("coinsurance", _percent(old.coinsurance), _percent(new.coinsurance), ESTIMATE),
        ("deductible", _money(old.deductible_total), _money(new.deductible_total), ESTIMATE),
        (
            "deductible left",
            _money(old.deductible_remaining),
            _money(new.deductible_remaining),
            ESTIMATE,
        ),
        (
            "out of pocket",
            _money(old.out_of_pocket_total),
            _money(new.out_of_pocket_total),
            ESTIMATE,
        ),
        (
            "out of pocket left",
            _money(old.out_of_pocket_remaining),
            _money(new.out_of_pocket_remaining),
            ESTIMATE,
        ),
    ]
    return [
        {"field": name, "before": _text(was), "after": _text(now), "touches": touches}
        for name, was, now, touches in rows
        if _text(was) != _text(now)
    ]


QUIET = frozenset({"deductible left", "out of pocket left"})
"""Changes that the estimate follows by itself: money spent elsewhere is no news to a person."""


def news(found: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """The changes that a person hears of."""
    return [c for c in found if c["field"] not in QUIET]


def _flag(value: bool | None) -> str:
    if value is None:
        return "not said"
    return "required" if value else "not required"


def _money(amount: Decimal | None) -> str:
    return "" if amount is None else f"${amount:,.2f}"


def _percent(share: Decimal | None) -> str:
    return "" if share is None else f"{(share * 100).normalize():f}%"


def _text(value: object) -> str:
    return "" if value is None else str(value)
