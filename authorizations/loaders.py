"""Sheets of the authorization phase: requirement rules and payers' family pairs, loaded like every
other reference file.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time

from authorizations.clocks import Unit
from authorizations.models import AuthRule, AuthWindow, Crosswalk, Reviewer
from authorizations.windows import Path, Start
from rcm.reference.loaders.cells import Cells, RowError
from rcm.reference.loaders.codes import dates
from rcm.reference.loaders.kinds import Kind, Options, Values, house, register
from rcm.reference.models import Payer, PayerKind, Plan

VERDICTS = ("covered", "update", "new")


def _payers(options: Options) -> dict[str, int]:
    return dict(Payer.objects.values_list("code", "id"))


def _payers_and_plans(options: Options) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    return _payers(options), {
        (payer, code): pk
        for payer, code, pk in Plan.objects.values_list("payer__code", "code", "id")
    }


def _payer(cells: Cells, known: dict[str, int]) -> int | None:
    code = cells.text("payer")
    if code and code not in known:
        raise RowError(f"There is no payer {code[:20]}: load payers first.")
    return known.get(code)


def _rule(
    cells: Cells, options: Options, known: tuple[dict[str, int], dict[tuple[str, str], int]]
) -> Iterator[Values]:
    payers, plans = known
    payer, plan = _payer(cells, payers), cells.text("plan")
    if plan and (cells.text("payer"), plan) not in plans:
        raise RowError(f"The payer has no plan {plan[:30]}: load plans first.")
    required = cells.flag("required")
    if required is None:
        raise RowError("required says neither Y nor N.")
    kind = cells.text("payer_kind")
    if kind and kind not in PayerKind.values:
        raise RowError(f"“{kind[:20]}” is no kind of payer.")
    yield {
        "payer": payer,
        "plan": plans.get((cells.text("payer"), plan)),
        "payer_kind": kind,
        "state": cells.text("state", 2),
        "code": cells.code("code", required=False),
        "modality": cells.text("modality", 6),
        "pos": cells.text("pos", 2),
        "required": required,
        "reviewer": cells.text("reviewer", 40),
        "source": cells.cut("source", 200),
        **dates(cells, options),
    }


RULES = Kind(
    "auth_rules",
    "Authorization rules",
    AuthRule,
    ("payer", "plan", "payer_kind", "state", "code", "modality", "pos"),
    (
        house(
            _rule,
            "required",
            optional=(
                "payer plan payer_kind state code modality pos reviewer source effective_from"
                " effective_to"
            ),
        ),
    ),
    prepare=_payers_and_plans,
    source_column="source",
    words=(
        "Is an authorization required: the most specific row in force wins; a row without payer"
        " holds for all."
    ),
)


def _pair(cells: Cells, options: Options, known: dict[str, int]) -> Iterator[Values]:
    yield {
        "payer": _payer(cells, known),
        "authorized": cells.code("authorized"),
        "performed": cells.code("performed"),
        "verdict": cells.choice("verdict", VERDICTS),
        "source": cells.cut("source", 200),
        **dates(cells, options),
    }


CROSSWALKS = Kind(
    "crosswalks",
    "Authorization family pairs",
    Crosswalk,
    ("payer", "authorized", "performed"),
    (
        house(
            _pair,
            "authorized performed verdict",
            optional="payer source effective_from effective_to",
        ),
    ),
    prepare=_payers,
    source_column="source",
    words="A payer's own word on which performed code an authorized code covers.",
)


def _window(cells: Cells, options: Options, known: dict[str, int]) -> Iterator[Values]:
    payer = _payer(cells, known)
    if payer is None:
        raise RowError("A window belongs to a payer: give its code.")
    taken = cells.flag("taken")
    amount = cells.integer("amount", least=1)
    if amount is not None and amount > 365:
        raise RowError("amount is a number of days from 1 to 365; write taken N where none is.")
    yield {
        "payer": payer,
        "path": cells.choice("path", tuple(Path)),
        "taken": taken is not False,
        "amount": amount,
        "unit": cells.choice("unit", tuple(Unit), default=Unit.CALENDAR_DAYS),
        "starts": cells.choice("starts", tuple(Start), default=Start.SERVICE),
        "source": cells.cut("source", 200),
        **dates(cells, options),
    }


WINDOWS = Kind(
    "auth_windows",
    "Authorization windows after the exam",
    AuthWindow,
    ("payer", "path"),
    (
        house(
            _window,
            "payer path",
            optional="taken amount unit starts source effective_from effective_to",
        ),
    ),
    prepare=_payers,
    source_column="source",
    words=(
        "Until when a payer takes a change of the code, a new request or a retroactive one: each in"
        " business or calendar days from its own event."
    ),
)


def _reviewer(cells: Cells, options: Options, known: dict[str, int]) -> Iterator[Values]:
    yield {
        "name": cells.text("name", 40),
        "payer": _payer(cells, known),
        "phone": _phone(cells, "phone"),
        "fax": _phone(cells, "fax"),
        "portal": cells.text("portal", 200),
        "opens": _hour(cells, "opens"),
        "closes": _hour(cells, "closes"),
        "weekdays": cells.text("weekdays", 7) or "12345",
        "time_zone": cells.text("time_zone", 40) or "America/New_York",
        "appeal_address": cells.cut("appeal_address", 200),
        "appeal_fax": _phone(cells, "appeal_fax"),
        "peer_phone": _phone(cells, "peer_phone"),
        "source": cells.cut("source", 200),
        **dates(cells, options),
    }


def _phone(cells: Cells, name: str) -> str:
    digits = "".join(c for c in cells.text(name) if c.isdigit())
    if digits and len(digits) != 10:
        raise RowError(f"{name} is a phone number of ten digits.")
    return digits


def _hour(cells: Cells, name: str) -> time | None:
    text = cells.text(name)
    if not text:
        return None
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise RowError(f"{name} is an hour as 08:00.") from None


REVIEWERS = Kind(
    "reviewers",
    "Authorization reviewers",
    Reviewer,
    ("name", "payer"),
    (
        house(
            _reviewer,
            "name",
            optional=(
                "payer phone fax portal opens closes weekdays time_zone appeal_address appeal_fax"
                " peer_phone source effective_from effective_to"
            ),
        ),
    ),
    prepare=_payers,
    source_column="source",
    words="How a reviewer is reached: phone, portal, hours, where an appeal goes.",
)

register(RULES, CROSSWALKS, WINDOWS, REVIEWERS)
