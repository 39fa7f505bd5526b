"""Payers and their plans, state rules and holidays."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from rcm.reference.loaders.cells import Cells, RowError
from rcm.reference.loaders.codes import dates
from rcm.reference.loaders.kinds import Kind, Layout, Options, Values, house, register
from rcm.reference.models import Holiday, Payer, PayerKind, Plan, StateRule

KINDS = tuple(PayerKind.values)
_DAYS = [
    "filing_days",
    "secondary_filing_days",
    "corrected_days",
    "appeal_days",
    "retro_auth_days",
    "update_window_days",
    "peer_to_peer_days",
    "auth_decision_hours",
]
_FLAGS = {
    "accepts_replacement": True,
    "split_on_locality": False,
    "contrast_payable": True,
    "match_site_by_tin": False,
    "needs_ordering_match": False,
    "screening_needs_order": False,
    "wants_detailed_indication": True,
    "active": True,
}
_PATTERN = re.compile(r"[ANX][0-9]{1,2}( [ANX][0-9]{1,2})*")


def _service_types(text: str) -> dict[str, list[str]]:
    """`MR=62 4 30; CT=62 30` (or JSON) → service type codes to ask for, by modality."""
    if not text:
        return {}
    try:
        if text.startswith("{"):
            found: dict[str, list[str]] = json.loads(text)
            return found
        pairs = (part.split("=") for part in text.split(";") if part.strip())
        return {modality.strip(): codes.split() for modality, codes in pairs}
    except ValueError:
        raise RowError(
            f"service_types “{text[:30]}” is not written like MR=62 4; CT=62 4."
        ) from None


def _payer(cells: Cells, options: Options, taken: dict[str, str]) -> Iterator[Values]:
    code = cells.match("code", r"[0-9A-Z-]{1,20}", "a payer code of letters and digits")
    edi = cells.text("edi_id", 20, required=True)
    if taken.setdefault(edi, code) != code:
        raise RowError(f"The EDI id {edi} already belongs to payer {taken[edi]}.")
    pattern = cells.text("member_id_pattern", 80)
    if pattern and not _PATTERN.fullmatch(pattern):
        raise RowError(f"member_id_pattern “{pattern[:30]}” is not written like A3 N9.")
    response = cells.integer("response_days")
    yield {
        "code": code,
        "name": cells.text("name", 80, required=True),
        "edi_id": edi,
        "kind": cells.choice("kind", KINDS),
        "claim_filing": cells.text("claim_filing", 2) or "CI",
        **{
            n: cells.text(n, m)
            for n, m in (("address", 100), ("city", 60), ("state", 2), ("zip", 9), ("phone", 10))
        },
        **{n: cells.integer(n) for n in _DAYS},
        "response_days": 21 if response is None else response,
        **{n: cells.flag(n, default=d) for n, d in _FLAGS.items()},
        "member_id_pattern": pattern,
        "service_types": _service_types(cells.text("service_types")),
        "reviewer": cells.text("reviewer", 40),
        "source": cells.cut("source", 200),
    }


def _number(text: str) -> int | None:
    """The first number of a sentence about days (“180 from remit”), else none."""
    match = re.match(r"\s*(\d{1,4})\b", text)
    return int(match[1]) if match else None


_KIND_WORDS = (
    ("advantage", PayerKind.ADVANTAGE),
    ("medicare", PayerKind.MEDICARE),
    ("medicaid", PayerKind.MEDICAID),
    ("tricare", PayerKind.TRICARE),
    ("workers", PayerKind.WORKERS_COMP),
    ("auto", PayerKind.AUTO),
)


def _payer_rules(cells: Cells, options: Options, known: dict[str, str]) -> Iterator[Values]:
    """A sheet of filing and appeal limits by payer name.

    A payer of exactly that name gets the limits. An unknown name becomes an inactive payer, so that
    nothing is sent to it before someone enters its EDI id.
    """
    name = cells.text("payer", 80, required=True)
    code = known.get("name " + name.lower())
    source = "; ".join(
        filter(None, [cells.text("source"), cells.text("note"), cells.text("confidence")])
    )
    made = re.sub(r"[^A-Z0-9]+", "-", name.upper()).strip("-")[:16].strip("-")
    yield {
        "code": code or made,
        "name": name,
        "edi_id": known.get(f"edi {code}") or f"TBD-{made}",
        "kind": (
            known.get(f"kind {code}")
            or next((k for word, k in _KIND_WORDS if word in name.lower()), PayerKind.COMMERCIAL)
        ),
        "active": known.get(f"active {code}", "no") == "yes",
        "filing_days": cells.integer("filing"),
        "corrected_days": _number(cells.text("corrected")),
        "appeal_days": _number(cells.text("appeal")),
        "source": source[:200],
    }


def _taken(options: Options) -> dict[str, str]:
    found: dict[str, str] = {}
    for edi, code, name, kind, active in Payer.objects.values_list(
        "edi_id", "code", "name", "kind", "active"
    ):
        found[edi] = code
        found["name " + name.lower()] = code
        found[f"edi {code}"], found[f"kind {code}"], found[f"active {code}"] = (
            edi,
            kind,
            "yes" if active else "no",
        )
    return found


_PAYER_OPTIONAL = (
    f"claim_filing address city state zip phone {' '.join(_DAYS)} response_days {' '.join(_FLAGS)}"
    " member_id_pattern service_types reviewer source"
)

PAYERS = Kind(
    "payers",
    "Payers",
    Payer,
    ("code",),
    (
        house(_payer, "code name edi_id kind", optional=_PAYER_OPTIONAL),
        Layout(
            "payer rule sheet",
            _payer_rules,
            {
                "payer": "payer",
                "filing": "initial filing days",
                "corrected": "corrected claim rule",
                "appeal": "appeal days",
                "note": "note",
                "source": "source",
                "confidence": "confidence",
            },
            frozenset({"note", "confidence", "source", "corrected", "appeal"}),
            supplies=(
                "name",
                "edi_id",
                "kind",
                "active",
                "filing_days",
                "corrected_days",
                "appeal_days",
                "source",
            ),
        ),
    ),
    prepare=_taken,
    source_column="source",
    words="Payers with their limits, windows and habits.",
)


def _plan(cells: Cells, options: Options, payers: dict[str, tuple[int, str]]) -> Iterator[Values]:
    payer = payers.get(cells.text("payer", required=True))
    if payer is None:
        raise RowError(f"There is no payer {cells.text('payer')[:20]}: load payers first.")
    yield {
        "payer": payer[0],
        "code": cells.text("code", 30, required=True),
        "name": cells.text("name", 80, required=True),
        "kind": cells.choice("kind", KINDS, default=payer[1]),
        "self_funded": cells.flag("self_funded"),
    }


PLANS = Kind(
    "plans",
    "Plans",
    Plan,
    ("payer", "code"),
    (house(_plan, "payer code name", optional="kind self_funded"),),
    prepare=lambda options: {
        code: (pk, kind) for code, pk, kind in Payer.objects.values_list("code", "id", "kind")
    },
    words="Plans of payers.",
)


# --- states and holidays --------------------------------------------------------------------------

STATES: dict[str, str] = dict(
    pair.split("=")
    for pair in [
        "AL=Alabama",
        "AK=Alaska",
        "AZ=Arizona",
        "AR=Arkansas",
        "CA=California",
        "CO=Colorado",
        "CT=Connecticut",
        "DE=Delaware",
        "DC=District of Columbia",
        "FL=Florida",
        "GA=Georgia",
        "HI=Hawaii",
        "ID=Idaho",
        "IL=Illinois",
        "IN=Indiana",
        "IA=Iowa",
        "KS=Kansas",
        "KY=Kentucky",
        "LA=Louisiana",
        "ME=Maine",
        "MD=Maryland",
        "MA=Massachusetts",
        "MI=Michigan",
        "MN=Minnesota",
        "MS=Mississippi",
        "MO=Missouri",
        "MT=Montana",
        "NE=Nebraska",
        "NV=Nevada",
        "NH=New Hampshire",
        "NJ=New Jersey",
        "NM=New Mexico",
        "NY=New York",
        "NC=North Carolina",
        "ND=North Dakota",
        "OH=Ohio",
        "OK=Oklahoma",
        "OR=Oregon",
        "PA=Pennsylvania",
        "RI=Rhode Island",
        "SC=South Carolina",
        "SD=South Dakota",
        "TN=Tennessee",
        "TX=Texas",
        "UT=Utah",
        "VT=Vermont",
        "VA=Virginia",
        "WA=Washington",
        "WV=West Virginia",
        "WI=Wisconsin",
        "WY=Wyoming",
        "PR=Puerto Rico",
        "VI=Virgin Islands",
        "GU=Guam",
        "AS=American Samoa",
        "MP=Northern Mariana Islands",
    ]
)
_SIMPLE = re.compile(r"([0-9.]+)%\s*/\s*(year|yr|month)")


def yearly_interest(text: str) -> Decimal | None:
    """A simple yearly rate from words such as “1.5%/month” (18). Tiered or conditional rates are
    not reduced to one number.
    """
    match = _SIMPLE.fullmatch(text.strip())
    if match is None:
        return None
    return Decimal(match[1]) * (12 if match[2] == "month" else 1)


def _state_code(cells: Cells) -> str:
    state = cells.text("state", required=True).upper()
    if state not in STATES:
        raise RowError(f"“{state[:12]}” is no state.")
    return state


def _state(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    state = _state_code(cells)
    yield {
        "state": state,
        "name": STATES[state],
        "prompt_pay_days_electronic": cells.integer("prompt_pay_days_electronic"),
        "interest_pct": cells.decimal("interest_pct"),
        "medicaid_filing_days": cells.integer("medicaid_filing_days"),
        "mac": cells.text("mac", 40),
        "carrier": cells.text("carrier", 60),
        "confidence": cells.choice("confidence", ("", "low", "medium", "high"), default=""),
        "basis": cells.cut("basis", 200),
        "values": {},
        **dates(cells, options, dt.date(2025, 1, 1)),
    }


_STATE_SHEET = {
    "state": "state",
    "electronic": "prompt pay days electronic",
    "paper": "prompt pay days paper",
    "interest": "prompt pay interest",
    "citation": "citation",
    "basis": "prompt pay basis",
    "confidence": "prompt pay confidence",
    "medicaid": "medicaid ffs filing days",
    "medicaid_basis": "medicaid basis",
}


def _state_sheet(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    state = _state_code(cells)
    yield {
        "state": state,
        "name": STATES[state],
        "prompt_pay_days_electronic": cells.integer("electronic"),
        "interest_pct": yearly_interest(cells.text("interest")),
        "medicaid_filing_days": cells.integer("medicaid"),
        "confidence": cells.choice("confidence", ("", "low", "medium", "high"), default=""),
        "basis": f"{cells.text('citation')}; {cells.text('basis')}"[:200],
        "values": {name: cells.text(name) for name in _STATE_SHEET},
        **dates(cells, options, dt.date(2025, 1, 1)),
    }


def _contractor(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    state = _state_code(cells)
    yield {
        "state": state,
        "name": STATES[state],
        "mac": f"{cells.text('contractor')} ({cells.text('jurisdiction')})"[:40],
        "carrier": cells.text("carriers", 60),
        **dates(cells, options, dt.date(2025, 1, 1)),
    }


STATE_RULES = Kind(
    "states",
    "State rules",
    StateRule,
    ("state",),
    (
        Layout(
            "state rule sheet",
            _state_sheet,
            _STATE_SHEET,
            frozenset({"paper", "medicaid_basis", "citation"}),
            supplies=(
                "name",
                "prompt_pay_days_electronic",
                "interest_pct",
                "medicaid_filing_days",
                "confidence",
                "basis",
                "values",
            ),
        ),
        Layout(
            "Medicare contractors by state",
            _contractor,
            {
                "state": "state",
                "jurisdiction": "jurisdiction",
                "contractor": "contractor",
                "carriers": "part b carrier numbers.*",
            },
            supplies=("name", "mac", "carrier"),
        ),
        house(
            _state,
            "state",
            optional=(
                "prompt_pay_days_electronic interest_pct medicaid_filing_days mac carrier"
                " confidence basis effective_from effective_to"
            ),
            supplies=(
                "name prompt_pay_days_electronic interest_pct medicaid_filing_days mac carrier"
                " confidence basis"
            ),
        ),
    ),
    words=(
        "Prompt pay, interest, Medicaid limits and Medicare contractors, each with its confidence."
    ),
)


def _holiday(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    day = cells.date("day")
    if day is None:
        raise RowError("day is blank.")
    state = cells.text("state", 2).upper()
    if state and state not in STATES:
        raise RowError(f"“{state}” is no state.")
    yield {"day": day, "name": cells.text("name", 60, required=True), "state": state}


HOLIDAYS = Kind(
    "holidays",
    "Holidays",
    Holiday,
    ("day", "state"),
    (house(_holiday, "day name", optional="state"),),
    words="Days on which no business day counts.",
)

register(PAYERS, PLANS, STATE_RULES, HOLIDAYS)
