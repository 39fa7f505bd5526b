"""Which forms of a code may be billed, where, and what the machine adds to the line (rules
`component-form`, `technical-part-at-facility` and `equipment-record`).

A form is the whole test, the reading (26) or the technical part (TC). The fee schedule's component
indicator decides which exist; the place of service decides which of them a professional claim may
carry.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from .facts import Component, PosSetting

_ALL = frozenset(Component)
_WHOLE = frozenset({Component.GLOBAL})

LEGAL_FORMS: dict[str, frozenset[Component]] = {
    "0": _WHOLE,
    "1": _ALL,
    "2": _WHOLE,
    "3": _WHOLE,
    "4": _WHOLE,
    "5": _WHOLE,
    "6": frozenset({Component.GLOBAL, Component.PROFESSIONAL}),
    "7": _WHOLE,
    "8": _WHOLE,
    "9": _WHOLE,
}
"""Component indicator to legal forms (rule `component-form`)."""

INDICATOR_WORDS: dict[str, str] = {
    "0": "a physician service that cannot be split",
    "1": "a test with a professional and a technical part",
    "2": "a reading with its own code",
    "3": "a technical part with its own code",
    "4": "a whole test whose parts have their own codes",
    "5": "a service incident to a physician's",
    "6": "a laboratory test with a physician's interpretation",
    "7": "a therapist's service",
    "8": "a smear interpretation for inpatients",
    "9": "a code to which components do not apply",
}

DISTINCT_ENCOUNTER = frozenset({"59", "XE"})
"""Modifiers that say a line belongs to another session (rule `mppr-technical`)."""

DISTINCT_SERVICE = frozenset({"59", "XE", "XS", "XP", "XU", "76", "77"})
"""Modifiers that say two lines of one code are two services."""

EQUIPMENT_MODIFIERS = frozenset({"CT", "FX", "FY"})


class Severity(StrEnum):
    BLOCK = "block"
    HOLD = "hold"
    WARN = "warn"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, in plain words, on which field, and what to do. `denials` are the codes a
    payer would answer with.
    """

    code: str
    severity: Severity
    sentence: str
    field: str
    fix: str
    denials: tuple[str, ...] = ()
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Equipment:
    """The asset record of the machine used; None is not recorded. `xr29` is the CT dose standard
    NEMA XR-29-2013.
    """

    film: bool | None = None
    computed_radiography: bool | None = None
    xr29: bool | None = None


def component_of(modifiers: Iterable[str]) -> Component:
    """The form a line bills. With both 26 and TC present the line is not one form: `form_finding`
    says so.
    """
    mods = tuple(modifiers)
    if "26" in mods:
        return Component.PROFESSIONAL
    return Component.TECHNICAL if "TC" in mods else Component.GLOBAL


def is_supply(code: str) -> bool:
    """Contrast, radiopharmaceuticals and drugs: never part of a component split or a
    multiple-procedure ranking.
    """
    return code[:1] in {"A", "J", "Q"} and code != "Q0092"


def carries_technical(pctc: str, component: Component) -> bool:
    """Whether a line contains machine and technologist, which a facility bills itself (rules
    `technical-part-at-facility` and `written-report`).
    """
    if pctc in {"1", "6"}:
        return component is not Component.PROFESSIONAL
    return pctc in {"3", "4", "5"}


def form_finding(code: str, pctc: str, modifiers: Iterable[str]) -> Finding | None:
    """An illegal combination of code and component modifier, or None (rule `component-form`)."""
    mods = tuple(modifiers)
    if "26" in mods and "TC" in mods:
        return Finding(
            "COMPONENT_BOTH",
            Severity.BLOCK,
            f"{code} carries 26 and TC on one line.",
            "modifiers",
            "Send no component modifier for the whole test, or two lines.",
            ("4", "N519"),
            "component-form",
        )
    legal = LEGAL_FORMS.get(pctc)
    if legal is None:
        return Finding(
            "INDICATOR_UNKNOWN",
            Severity.HOLD,
            f"The component indicator of {code} is not known.",
            "code",
            "Load the fee schedule release for the date of service.",
            (),
            "component-form",
        )
    component = component_of(mods)
    if component in legal:
        return None
    return Finding(
        "FORM_ILLEGAL",
        Severity.BLOCK,
        f"{code} is {INDICATOR_WORDS[pctc]} (indicator {pctc}): {component.value} does not exist"
        " for it.",
        "modifiers",
        _form_fix(pctc),
        ("4", "N519", "N822", "N823"),
        "component-form",
    )


def _form_fix(pctc: str) -> str:
    if pctc == "4":
        return "Bill the whole test without modifier, or the codes of its parts."
    if pctc in {"2", "3"}:
        return "Remove the modifier: the code itself says which part it is."
    return "Remove the component modifier."


def place_finding(
    code: str, pctc: str, component: Component, pos: str, setting: PosSetting | None
) -> Finding | None:
    """A component that a professional claim may not carry at this place of service, or None (rules
    `technical-part-at-facility` and `duplicate-service`).
    """
    if setting is None:
        return Finding(
            "POS_UNKNOWN",
            Severity.HOLD,
            f"Place of service {pos or '(blank)'} is not a place in the loaded list.",
            "pos",
            "Choose the place where the patient was examined.",
            ("5",),
            "place-of-service",
        )
    if setting is PosSetting.NON_FACILITY or not carries_technical(pctc, component):
        return None
    form = "The technical part" if component is Component.TECHNICAL else f"The whole test {code}"
    return Finding(
        "TECHNICAL_IN_FACILITY",
        Severity.BLOCK,
        f"{form} cannot be billed on a professional claim at place of service {pos}.",
        "pos",
        _place_fix(pos, pctc),
        ("5", "58", "97", "190") if pos == "31" else ("5", "58", "97"),
        "technical-part-at-facility",
    )


def _place_fix(pos: str, pctc: str) -> str:
    reading = " Bill the reading with 26." if pctc in {"1", "6"} else ""
    if pos == "31":
        return "Invoice the nursing facility for the technical part." + reading
    if pos == "24":
        return "The surgery center bills the technical part itself." + reading
    return "The facility bills the technical part on its own claim." + reading


def equipment_modifiers(
    code: str, modality: str | None, equipment: Equipment, *, dose_listed: bool
) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """The modifiers a machine puts on a line, from its record and never from the user (rule
    `equipment-record`).

    `dose_listed` is whether the code is on the CT dose-standard list. An unrecorded machine gives a
    hold, not silence.
    """
    if dose_listed:
        if equipment.xr29 is None:
            return (), (_unrecorded(code, "whether the scanner meets the CT dose standard"),)
        return ((), ()) if equipment.xr29 else (("CT",), ())
    if modality != "XR":
        return (), ()
    if equipment.film:
        return ("FX",), ()
    if equipment.computed_radiography:
        return ("FY",), ()
    if equipment.film is None or equipment.computed_radiography is None:
        return (), (_unrecorded(code, "whether the room is film, computed or digital"),)
    return (), ()


def _unrecorded(code: str, what: str) -> Finding:
    return Finding(
        "EQUIPMENT_UNKNOWN",
        Severity.HOLD,
        f"{code}: the equipment record does not say {what}.",
        "equipment",
        "Complete the equipment record of the room.",
        (),
        "equipment-record",
    )
