"""Code sets: procedures, modifiers, places of service, adjustment and remark codes, diagnoses,
taxonomies, HCPCS Level II.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from rcm.reference.loaders.cells import CODE, Cells, RowError
from rcm.reference.loaders.kinds import Kind, Layout, Options, Values, house, register
from rcm.reference.models import (
    AdjustmentReason,
    Diagnosis,
    Modifier,
    PlaceOfService,
    Procedure,
    Remark,
    Taxonomy,
)

KLASSES = ("contractual", "patient_resp", "denial", "cob", "info", "other")
CONTRASTS = ("without", "with", "without_and_with", "any")
_MODALITY = {"PT": "PET", "BMD": "DXA"}
_CONTRAST_WORDS = {
    "without": "without contrast",
    "with": "with contrast",
    "without_and_with": "without then with contrast",
}
_LATERALITY = {"1": "required", "2": "bilateral", "3": "required"}


def dates(cells: Cells, options: Options, fallback: dt.date | None = None) -> Values:
    """The dates of a row: its own, else what the loader was told."""
    return {
        "effective_from": cells.date("effective_from") or options.first_day(fallback),
        "effective_to": cells.date("effective_to"),
    }


# --- procedures -----------------------------------------------------------------------------------


def _procedure(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    yield {
        "code": cells.code("code"),
        "name": cells.text("name", 60, required=True),
        "modality": cells.text("modality", 6, required=True).upper(),
        "body_part": cells.text("body_part", 40),
        "family": cells.text("family", 40),
        "contrast": cells.choice("contrast", CONTRASTS, default="any"),
        "extent": cells.text("extent", 24),
        "views_min": cells.integer("views_min"),
        "views_max": cells.integer("views_max"),
        "laterality": cells.choice("laterality", ("", "required", "bilateral", "none")),
        "unit": cells.text("unit", 20),
        "unit_size": cells.decimal("unit_size"),
        "kind": cells.choice(
            "kind", ("exam", "addon", "contrast", "radiopharm", "guidance", "other"), default="exam"
        ),
        "sex": cells.choice("sex", ("", "F", "M")),
        "age_min": cells.integer("age_min"),
        "age_max": cells.integer("age_max"),
        "auth_default": cells.flag("auth_default"),
        **dates(cells, options),
    }


def _family(cells: Cells, options: Options, known: dict[str, tuple[str, str]]) -> Iterator[Values]:
    code = cells.code("code")
    modality = cells.text("modality", required=True).upper()
    modality = _MODALITY.get(modality, modality)
    body = cells.text("body_part", 40)
    contrast = cells.choice("contrast", CONTRASTS, default="any")
    made = " ".join(
        filter(
            None,
            [
                modality,
                body.replace("_", " "),
                cells.text("extent"),
                _CONTRAST_WORDS.get(contrast, ""),
            ],
        )
    )
    name, kind = known.get(code, ("", ""))
    yield {
        "code": code,
        "name": name or made[:60],
        "kind": (
            kind or ("addon" if "add-on" in cells.text("note") or modality == "POST" else "exam")
        ),
        "modality": modality,
        "body_part": body,
        "family": cells.text("family", 40, required=True),
        "contrast": contrast,
        "extent": cells.text("extent", 24),
        "views_min": cells.integer("views_min"),
        "views_max": cells.integer("views_max"),
        "laterality": (
            "required"
            if "unilateral; needs" in cells.text("note")
            else _LATERALITY.get(cells.text("bilat"), "none")
        ),
        "auth_default": cells.flag("auth"),
        **dates(cells, options, dt.date(2025, 1, 1)),
    }


def _drug(cells: Cells, options: Options, known: dict[str, tuple[str, str]]) -> Iterator[Values]:
    code = cells.code("code")
    kind = cells.text("kind")
    if "contrast" not in kind and "radio" not in kind:
        raise RowError(f"kind “{kind[:20]}” is neither contrast nor radiopharmaceutical.")
    contrast = "contrast" in kind
    modality = {"mr": "MR", "io": "CT", "ul": "US"}.get(kind[:2], "DRUG") if contrast else "NM"
    yield {
        "code": code,
        "name": (known.get(code, ("", ""))[0] or cells.text("name"))[:60],
        "modality": modality,
        "family": "CONTRAST" if contrast else "RADIOPHARM",
        "kind": "contrast" if contrast else "radiopharm",
        "laterality": "none",
        **dates(cells, options, dt.date(2025, 1, 1)),
    }


def _level_two(
    cells: Cells, options: Options, known: dict[str, tuple[str, str]]
) -> Iterator[Values]:
    """Imaging supplies and services of HCPCS Level II. Record 3 begins a procedure; 4, 7 and 8
    continue or are modifiers.
    """
    code = cells.text("code").upper()
    if (
        cells.text("record") not in ("", "3")
        or not CODE.fullmatch(code)
        or code[0] not in "ACGJQRS"
    ):
        return
    name, kind = known.get(code, ("", ""))
    yield {
        "code": code,
        "name": name or cells.cut("short", 60) or cells.cut("long", 60),
        "kind": kind or "other",
        "modality": known.get(f"{code} modality", ("", ""))[0] or "OTHER",
        "effective_from": cells.date("added") or options.first_day(dt.date(2025, 1, 1)),
        "effective_to": cells.date("ended"),
    }


def _known_procedures(options: Options) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for code, name, kind, modality in Procedure.objects.order_by("effective_from").values_list(
        "code", "name", "kind", "modality"
    ):
        found[code] = (name, kind)
        found[f"{code} modality"] = (modality, "")
    return found


PROCEDURES = Kind(
    "procedures",
    "Procedures",
    Procedure,
    ("code",),
    (
        house(
            _procedure,
            "code name modality kind",
            optional=(
                "body_part family contrast extent views_min views_max laterality unit unit_size sex"
                " age_min age_max auth_default effective_from effective_to"
            ),
        ),
        Layout(
            "code families",
            _family,
            {
                "code": "hcpcs|code",
                "family": "family id",
                "modality": "modality",
                "body_part": "body region",
                "contrast": "contrast",
                "views_min": "views min",
                "views_max": "views max",
                "extent": "extent",
                "auth": "typical prior auth",
                "bilat": "bilat ind",
                "note": "note",
            },
            frozenset({"note", "bilat", "views_min", "views_max", "extent"}),
            supplies=(
                "name",
                "kind",
                "modality",
                "body_part",
                "family",
                "contrast",
                "extent",
                "views_min",
                "views_max",
                "laterality",
                "auth_default",
            ),
        ),
        Layout(
            "contrast and radiopharmaceuticals",
            _drug,
            {"code": "hcpcs", "name": "cms short descriptor", "kind": "kind"},
            supplies=("name", "modality", "family", "kind", "laterality"),
        ),
    ),
    prepare=_known_procedures,
    words=(
        "Imaging exams, add-ons, contrast and radiopharmaceuticals with what charge capture needs."
    ),
)

LEVEL_TWO = Kind(
    "hcpcs",
    "HCPCS Level II",
    Procedure,
    ("code",),
    (
        Layout(
            "CMS alpha-numeric sheet",
            _level_two,
            {
                "code": "hcpc|hcpcs|hcpcs code",
                "record": "recid|record id.*",
                "long": "long descrip.*",
                "short": "short descrip.*",
                "added": "add dt|code added date|add date",
                "ended": "term dt|termination date|term date",
            },
            frozenset({"record", "added", "ended", "long"}),
            supplies=("name", "kind", "modality"),
            ends=True,
        ),
        Layout(
            "CMS alpha-numeric fixed width",
            _level_two,
            fixed={
                "code": (1, 5),
                "record": (11, 11),
                "long": (12, 91),
                "short": (92, 119),
                "added": (269, 276),
                "ended": (285, 292),
            },
            shape=r"[A-Z][0-9]{4}[ 0-9]{5}[3478]",
            supplies=("name", "kind", "modality"),
            ends=True,
        ),
    ),
    prepare=_known_procedures,
    words="Supply and service codes with their public short names.",
)


# --- modifiers, places, taxonomies ----------------------------------------------------------------

_RANKS = {
    "component": 10,
    "equipment": 20,
    "laterality": 30,
    "ncci": 40,
    "repeat": 45,
    "reduced": 50,
}


def _modifier(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    yield {
        "code": cells.match("code", "[0-9A-Z]{2}", "a modifier of two characters"),
        "name": cells.text("name", 80, required=True),
        "kind": cells.text("kind", 20),
        "rank": cells.integer("rank", required=True),
        "effect": cells.text("effect", 120),
        **dates(cells, options),
    }


def _modifier_sheet(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    group = cells.text("group")
    yield {
        "code": cells.match("code", "[0-9A-Z]{2}", "a modifier of two characters"),
        "name": cells.cut("meaning", 80),
        "kind": group[:20],
        "rank": _RANKS.get(group, 60),
        "effect": cells.cut("effect", 120),
        **dates(cells, options, dt.date(2025, 1, 1)),
    }


MODIFIERS = Kind(
    "modifiers",
    "Modifiers",
    Modifier,
    ("code",),
    (
        house(_modifier, "code name rank", optional="kind effect effective_from effective_to"),
        Layout(
            "modifier sheet",
            _modifier_sheet,
            {
                "code": "modifier",
                "group": "group",
                "meaning": "meaning own words",
                "effect": "payment effect",
            },
        ),
    ),
    words="Modifiers with their order on the line.",
)


def _place(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    yield {
        "code": cells.match("code", "[0-9]{2}", "a place of service of two digits"),
        "name": cells.text("name", 80, required=True),
        "facility": cells.flag("facility"),
        "tc_billable": cells.flag("tc_billable"),
        **dates(cells, options),
    }


def _place_sheet(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    setting = cells.text("setting").lower()
    if "unassigned" in setting or "unassigned" in cells.text("name").lower():
        return
    facility = {
        "facility": True,
        "non-facility": False,
        "nonfacility": False,
        "f": True,
        "nf": False,
    }.get(setting)
    if facility is None:
        raise RowError(f"“{setting[:20]}” is neither facility nor non-facility.")
    yield {
        "code": cells.text("code", 2, required=True).zfill(2),
        "name": cells.cut("name", 80),
        "facility": facility,
        **dates(cells, options, dt.date(2024, 1, 1)),
    }


PLACES = Kind(
    "pos",
    "Places of service",
    PlaceOfService,
    ("code",),
    (
        house(_place, "code name facility", optional="tc_billable effective_from effective_to"),
        Layout(
            "CMS place of service list",
            _place_sheet,
            {
                "code": "pos|pos code|place of service code s?",
                "name": "name|pos name|place of service name",
                "setting": "mpfs rate setting|payment rate|facility non facility.*|rate",
            },
            supplies=("name", "facility"),
        ),
    ),
    words="Place of service codes and the fee column each one uses.",
)


def _taxonomy(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    name = (
        cells.cut("name", 120)
        or " ".join(filter(None, [cells.text("class"), cells.text("special")]))[:120]
    )
    yield {
        "code": cells.match("code", "[0-9A-Z]{9}X", "a taxonomy code of ten characters"),
        "name": name,
        **dates(cells, options, dt.date(2024, 1, 1)),
    }


TAXONOMIES = Kind(
    "taxonomies",
    "Taxonomies",
    Taxonomy,
    ("code",),
    (
        house(_taxonomy, "code name", optional="effective_from effective_to"),
        Layout("taxonomy sheet", _taxonomy, {"code": "taxonomy", "name": "label own words"}),
        Layout(
            "NUCC list",
            _taxonomy,
            {
                "code": "code",
                "name": "display name",
                "class": "classification",
                "special": "specialization",
            },
            frozenset({"name", "special"}),
        ),
    ),
    words="Provider taxonomy codes.",
)


# --- adjustment and remark codes ------------------------------------------------------------------

_CARC = r"[0-9]{1,3}|[A-Z][0-9]{1,2}|W[0-9]{1,2}"
_RARC = r"M[0-9]{1,3}|MA[0-9]{1,3}|N[0-9]{1,3}"
_FIRST = dt.date(1995, 1, 1)
ACTIONS = {
    "n": "",
    "correct": "Correct the claim and send it again",
    "appeal": "Appeal with records",
    "appeal_with_proof": "Appeal with proof of timely filing",
    "review": "Review the line against the payer's rule",
    "rebill_other": "Bill the payer that is responsible",
    "patient": "Bill the patient when the notice allows it",
    "verify": "Compare with the expected payment",
    "verify_mppr": "Verify the multiple-procedure arithmetic",
    "track": "Track until it is settled",
    "followup": "Follow up with the payer",
    "send_records": "Send the requested records",
    "retro_auth_or_appeal": "Ask for a retroactive authorization, else appeal",
    "auth_update_or_correct": "Update the authorization or correct the claim",
    "dispute": "Dispute under the contract",
    "contact_patient": "Ask the patient for the information",
    "collect_patient": "Collect from the patient who was paid",
    "escalate": "Escalate to compliance",
    "next_level": "Take the appeal to the next level",
}


def _carc(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    yield {
        "code": cells.match("code", _CARC, "an adjustment reason code"),
        "words": cells.text("words", 160),
        "klass": cells.choice("klass", KLASSES),
        "category": cells.text("category", 30),
        "owner_stage": cells.text("owner_stage", 30),
        "preventable": cells.flag("preventable"),
        "first_action": cells.text("first_action", 160),
        **dates(cells, options, _FIRST),
    }


def _carc_sheet(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    owner = cells.text("owner", 30)
    klass = cells.choice("klass", ("", *KLASSES))
    action = cells.text("action")
    yield {
        "code": cells.match("code", _CARC, "an adjustment reason code"),
        "words": cells.cut("words", 160),
        "klass": klass,
        "category": cells.text("category", 30),
        "owner_stage": "" if owner == "none" else owner,
        "preventable": (owner not in ("", "none")) if klass == "denial" else None,
        "first_action": ACTIONS.get(action, action.replace("_", " ").capitalize()),
        **dates(cells, options, _FIRST),
    }


def _list_only(pattern: str, words: str) -> Any:
    def read(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
        yield {"code": cells.match("code", pattern, words), **dates(cells, options, _FIRST)}

    return read


_LIST = {
    "code": "code",
    "words": "description",
    "effective_from": "start( date)?",
    "effective_to": "stop( date)?",
}

ADJUSTMENTS = Kind(
    "carc",
    "Adjustment reasons (CARC)",
    AdjustmentReason,
    ("code",),
    (
        house(
            _carc,
            "code words klass",
            optional="category owner_stage preventable first_action effective_from effective_to",
            ends=True,
        ),
        Layout(
            "adjustment reason sheet",
            _carc_sheet,
            {
                "code": "carc",
                "klass": "class",
                "category": "denial category",
                "words": "paraphrase",
                "owner": "owner stage",
                "action": "default action",
                "effective_from": "start date",
                "effective_to": "stop date",
            },
            ends=True,
        ),
        # the published list: codes and dates only, its words are licensed
        Layout(
            "published list (codes and dates)",
            _list_only(_CARC, "an adjustment reason code"),
            _LIST,
            frozenset({"words", "effective_to"}),
            supplies=(),
            ends=True,
        ),
    ),
    words="Claim adjustment reason codes with class, owner and first action.",
)


def _rarc(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    yield {
        "code": cells.match("code", _RARC, "a remark code"),
        "words": cells.cut("words", 160),
        "category": cells.text("category", 30),
        **dates(cells, options, _FIRST),
    }


REMARKS = Kind(
    "rarc",
    "Remarks (RARC)",
    Remark,
    ("code",),
    (
        house(_rarc, "code words", optional="category effective_from effective_to", ends=True),
        Layout(
            "remark sheet",
            _rarc,
            {
                "code": "rarc",
                "words": "paraphrase",
                "category": "category",
                "effective_from": "start date",
                "effective_to": "stop date",
            },
            ends=True,
        ),
        Layout(
            "published list (codes and dates)",
            _list_only(_RARC, "a remark code"),
            _LIST,
            frozenset({"words", "effective_to"}),
            supplies=(),
            ends=True,
        ),
    ),
    words="Remittance advice remark codes.",
)


# --- diagnoses ------------------------------------------------------------------------------------


def _fiscal(options: Options) -> dt.date:
    """ICD-10-CM lists begin on October 1; `--year 2026` is fiscal year 2026."""
    if options.effective is not None:
        return options.effective
    if options.year is not None:
        return dt.date(options.year - 1, 10, 1)
    raise RowError("The list does not say its fiscal year: give --year or --effective.")


def _diagnosis(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    yield {
        "code": cells.diagnosis("code"),
        "name": cells.cut("name", 240),
        "effective_from": cells.date("effective_from") or _fiscal(options),
        "effective_to": cells.date("effective_to"),
    }


def _order_line(cells: Cells, options: Options, _: Any) -> Iterator[Values]:
    if cells.text("billable") == "1":
        yield {
            "code": cells.diagnosis("code"),
            "name": cells.cut("long", 240) or cells.text("short"),
            "effective_from": _fiscal(options),
            "effective_to": None,
        }


DIAGNOSES = Kind(
    "diagnoses",
    "Diagnoses (ICD-10-CM)",
    Diagnosis,
    ("code",),
    (
        Layout(
            "CMS order file",
            _order_line,
            fixed={
                "order": (1, 5),
                "code": (7, 13),
                "billable": (15, 15),
                "short": (17, 76),
                "long": (78, 400),
            },
            shape=r"[0-9]{5} [A-Z][0-9][0-9A-Z]\S* +[01] ",
        ),
        house(_diagnosis, "code name", optional="effective_from effective_to"),
        Layout(
            "code list", _diagnosis, {"code": "code", "name": "description|long description|title"}
        ),
    ),
    yearly=True,
    words="Billable diagnosis codes of one fiscal year (from October 1).",
)

register(PROCEDURES, LEVEL_TWO, MODIFIERS, PLACES, TAXONOMIES, ADJUSTMENTS, REMARKS, DIAGNOSES)
