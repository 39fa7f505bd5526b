"""Sheets of the authorization phase: requirement rules and payers' family pairs, loaded like every
other reference file.
"""

from __future__ import annotations

from collections.abc import Iterator

from authorizations.models import AuthRule, Crosswalk
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

register(RULES, CROSSWALKS)
