"""From what was performed to the code that says it (rule `code-from-performed`).

Facts are the family rows of the reference tables (contrast, views, extent, bilateral indicator) and
the performed exam as the modality, the technologist and the report tell it. A fact that is missing
or contradicted holds the charge.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from rcm.pricing.forms import Finding, Severity

from .components import order_modifiers


class Contrast(StrEnum):
    """Contrast level of an exam; only contrast in a vessel, a joint or the spinal canal counts
    (rule `contrast-as-given`).
    """

    WITHOUT = "without"
    WITH = "with"
    BOTH = "without_and_with"
    ANY = "any"


class Route(StrEnum):
    NONE = "none"
    INTRAVENOUS = "iv"
    ARTERIAL = "ia"
    ARTICULAR = "intra_articular"
    INTRATHECAL = "it"
    ORAL = "oral"
    RECTAL = "rectal"


class Side(StrEnum):
    RIGHT = "RT"
    LEFT = "LT"
    BOTH = "both"


_COUNTING_ROUTES = frozenset(
    {Route.INTRAVENOUS, Route.ARTERIAL, Route.ARTICULAR, Route.INTRATHECAL}
)


@dataclass(frozen=True, slots=True)
class FamilyRow:
    """One code of a family. `views_max` None is open-ended; blank `contrast` or `extent` means the
    family has none.
    """

    code: str
    family: str
    modality: str
    contrast: str = ""
    views_min: int | None = None
    views_max: int | None = None
    extent: str = ""
    bilateral: str = ""
    effective_from: dt.date | None = None
    effective_to: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Performed:
    """What was done. None is not recorded. `pre_contrast`/`post_contrast` say which series were
    acquired.
    """

    family: str
    modality: str
    date_of_service: dt.date
    routes: frozenset[Route] | None = None
    pre_contrast: bool | None = None
    post_contrast: bool | None = None
    views: int | None = None
    extent: str = ""
    side: Side | None = None
    session: str = ""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The code and modifiers of a performed exam, or None with the findings that hold it. `why` is
    for the coder.
    """

    code: str | None
    modifiers: tuple[str, ...] = ()
    why: str = ""
    findings: tuple[Finding, ...] = ()


def contrast_level(performed: Performed) -> Contrast | None:
    """without, with or both; None when the technologist's record is incomplete (rule
    `code-from-performed`).
    """
    if performed.routes is None:
        return None
    if not performed.routes & _COUNTING_ROUTES:
        return Contrast.WITHOUT
    if performed.pre_contrast is None:
        return None
    if performed.post_contrast is False:
        return None
    return Contrast.BOTH if performed.pre_contrast else Contrast.WITH


BILATERAL_FAMILY: Mapping[str, str] = {
    "XR_HIP_UNI": "XR_HIPS_BIL",
    "XR_RIBS_UNI": "XR_RIBS_BIL",
    "XR_RIBS_UNI_CHEST": "XR_RIBS_BIL_CHEST",
}
"""One-sided families whose both-sides exam has its own family."""


def resolve(performed: Performed, rows: Iterable[FamilyRow]) -> Resolution:
    """The code of one performed exam by its family's rows (rule `code-from-performed`)."""
    family = performed.family
    if performed.side is Side.BOTH:
        family = BILATERAL_FAMILY.get(family, family)
    choices = [
        row for row in rows if row.family == family and _in_force(row, performed.date_of_service)
    ]
    if not choices:
        return _held(
            "FAMILY_UNKNOWN",
            f"No codes are loaded for {family}.",
            "procedure",
            "Map the procedure to a code family.",
        )
    why: list[str] = []
    findings: list[Finding] = []
    if any(row.contrast for row in choices):
        kept = _by_contrast(performed, choices, why)
        if isinstance(kept, Finding):
            return Resolution(None, findings=(kept,))
        choices = kept
    if any(row.views_min is not None for row in choices):
        picked = _by_views(performed, choices, why, findings)
        if isinstance(picked, Finding):
            return Resolution(None, findings=(picked,))
        choices = picked
    if len({row.extent for row in choices}) > 1:
        same = [row for row in choices if row.extent == performed.extent]
        if not same:
            return _held(
                "EXTENT_UNKNOWN",
                f"{family}: complete or limited is not documented.",
                "extent",
                "Check which organs the report describes.",
            )
        choices = same
        why.append(f"{performed.extent} study")
    if len(choices) > 1 and {"2"} < {row.bilateral for row in choices}:
        if performed.side is None:
            return _held(
                "SIDE_UNKNOWN",
                f"{family}: one side or both is not recorded.",
                "laterality",
                "Record the side.",
            )
        choices = [
            row for row in choices if (row.bilateral == "2") == (performed.side is Side.BOTH)
        ]
        why.append("both sides" if performed.side is Side.BOTH else "one side")
    if len(choices) != 1:
        codes = ", ".join(sorted(row.code for row in choices))
        return _held(
            "CODE_AMBIGUOUS",
            f"{family} leaves {codes} to choose from.",
            "code",
            "Choose the code from the report.",
        )
    row = choices[0]
    modifiers = list(_side_modifiers(row, performed, findings))
    if any(f.code == "VIEWS_BELOW_CODE" for f in findings):
        modifiers.append("52")
    return Resolution(row.code, order_modifiers(modifiers), "; ".join(why), tuple(findings))


def _in_force(row: FamilyRow, on: dt.date) -> bool:
    return (row.effective_from is None or row.effective_from <= on) and (
        row.effective_to is None or on <= row.effective_to
    )


def _by_contrast(
    performed: Performed, choices: list[FamilyRow], why: list[str]
) -> list[FamilyRow] | Finding:
    if all(row.contrast == Contrast.ANY for row in choices):
        return choices
    level = contrast_level(performed)
    if level is None:
        return _hold(
            "CONTRAST_UNKNOWN",
            f"{performed.family}: contrast route or phases are not recorded.",
            "contrast",
            "Complete the technologist's contrast record.",
        )
    kept = [row for row in choices if row.contrast in {level, Contrast.ANY}]
    words = {
        Contrast.WITHOUT: "without contrast",
        Contrast.WITH: "with contrast",
        Contrast.BOTH: "without and with contrast",
    }
    if not kept:
        return _hold(
            "NO_CODE_FOR_CONTRAST",
            f"{performed.family} has no code for an exam {words[level]}.",
            "contrast",
            "Check the contrast record and the procedure.",
        )
    oral = performed.routes or frozenset()
    extra = (
        " (oral or rectal alone does not count)"
        if level is Contrast.WITHOUT and oral - {Route.NONE}
        else ""
    )
    why.append(words[level] + extra)
    return kept


def _by_views(
    performed: Performed, choices: list[FamilyRow], why: list[str], findings: list[Finding]
) -> list[FamilyRow] | Finding:
    views = performed.views
    if views is None or views < 1:
        return _hold(
            "VIEWS_UNKNOWN",
            f"{performed.family}: the number of views is not recorded.",
            "views",
            "Ask the technologist, or have the report name the views.",
        )
    words = "1 view" if views == 1 else f"{views} views"
    fitting = [
        r
        for r in choices
        if (r.views_min or 0) <= views and (r.views_max is None or views <= r.views_max)
    ]
    if fitting:
        why.append(words)
        return fitting
    below = [row for row in choices if row.views_max is not None and row.views_max < views]
    if below:  # a gap between two rows: the code of fewer views is the one fully performed
        top = max(row.views_max or 0 for row in below)
        why.append(f"{words}: no code for exactly that number")
        return [row for row in below if row.views_max == top]
    lowest = min(row.views_min or 0 for row in choices)
    findings.append(
        _hold(
            "VIEWS_BELOW_CODE",
            f"{words} of at least {lowest}: no lower code exists.",
            "views",
            "Review for 52, or have the missing view taken.",
        )
    )
    why.append(f"{words}, fewer than any code")
    return [row for row in choices if row.views_min == lowest]


def _side_modifiers(
    row: FamilyRow, performed: Performed, findings: list[Finding]
) -> tuple[str, ...]:
    if row.bilateral in {"1", "3"} and performed.side is None:
        findings.append(
            _hold(
                "SIDE_UNKNOWN",
                f"{row.code} needs a side and none is recorded.",
                "laterality",
                "Record right, left or both.",
            )
        )
        return ()
    if performed.side is None or row.bilateral in {"", "2", "9"}:
        return ()
    if performed.side is Side.BOTH:
        return ("50",) if row.bilateral in {"1", "3"} else ()
    return (performed.side.value,)


@dataclass(frozen=True, slots=True)
class Combination:
    """Families that one code reports together when done in one session, by contrast level (blank
    level: any).
    """

    families: frozenset[str]
    codes: Mapping[str, str]
    effective_from: dt.date
    words: str


COMBINATIONS: tuple[Combination, ...] = (
    Combination(
        frozenset({"CT_ABDOMEN", "CT_PELVIS"}),
        {Contrast.WITHOUT: "74176", Contrast.WITH: "74177", Contrast.BOTH: "74178"},
        dt.date(2011, 1, 1),
        "abdomen and pelvis CT of one session are one code",
    ),
    Combination(
        frozenset({"CTA_ABDOMEN", "CTA_PELVIS"}),
        {"": "74174"},
        dt.date(2012, 1, 1),
        "abdomen and pelvis CT angiography of one session are one code",
    ),
    Combination(
        frozenset({"CTA_HEAD", "CTA_NECK"}),
        {"": "70471"},
        dt.date(2026, 1, 1),
        "head and neck CT angiography of one session are one code",
    ),
)
"""Combined codes (D3; the 2026 head-and-neck code replaced two)."""


def resolve_all(
    exams: Sequence[Performed], rows: Iterable[FamilyRow]
) -> list[tuple[tuple[int, ...], Resolution]]:
    """Resolve a patient's exams of one day together; each answer names the exams it stands for."""
    table = list(rows)
    sessions: dict[str, list[int]] = defaultdict(list)
    for index, exam in enumerate(exams):
        sessions[exam.session].append(index)
    out: list[tuple[tuple[int, ...], Resolution]] = []
    for indices in sessions.values():
        left = list(indices)
        for rule in COMBINATIONS:
            parts = [i for i in left if exams[i].family in rule.families]
            if {exams[i].family for i in parts} != rule.families or len(parts) != len(
                rule.families
            ):
                continue
            if exams[parts[0]].date_of_service < rule.effective_from:
                continue
            out.append((tuple(parts), _combined([exams[i] for i in parts], rule)))
            left = [i for i in left if i not in parts]
        out.extend(((i,), resolve(exams[i], table)) for i in left)
    return sorted(out, key=lambda item: item[0])


def _combined(parts: Sequence[Performed], rule: Combination) -> Resolution:
    if "" in rule.codes:
        return Resolution(rule.codes[""], why=rule.words)
    levels = [contrast_level(part) for part in parts]
    if None in levels:
        return _held(
            "CONTRAST_UNKNOWN",
            f"{rule.words}: the contrast of one part is not recorded.",
            "contrast",
            "Complete the technologist's contrast record.",
        )
    kinds = set(levels)
    level = levels[0] if len(kinds) == 1 else Contrast.BOTH
    assert level is not None
    return Resolution(
        rule.codes[level], why=f"{rule.words}; {level.value.replace('_', ' ')} contrast"
    )


def conflicts(modality: Performed, report: Performed) -> list[Finding]:
    """Where the modality's record and the report disagree: held for the reader's addendum (rule
    `source-conflict`).
    """
    found: list[Finding] = []

    def differ(code: str, what: str, ours: object, theirs: object, field: str) -> None:
        found.append(
            _hold(
                code,
                f"The modality recorded {what} {ours}; the report says {theirs}.",
                field,
                "Send it to the reader for an addendum, or correct the technologist's record.",
            )
        )

    one, two = contrast_level(modality), contrast_level(report)
    if one is not None and two is not None and one is not two:
        differ(
            "CONTRAST_CONFLICT",
            "contrast",
            one.value.replace("_", " "),
            two.value.replace("_", " "),
            "contrast",
        )
    if modality.views is not None and report.views is not None and modality.views != report.views:
        differ("VIEWS_CONFLICT", "views", modality.views, report.views, "views")
    if modality.side is not None and report.side is not None and modality.side is not report.side:
        differ("LATERALITY_CONFLICT", "side", modality.side.value, report.side.value, "laterality")
    return found


def discontinued(performed: Resolution, *, started: bool, for_safety: bool | None) -> Resolution:
    """A study stopped before its end: no charge before the start, 53 for the patient's safety, else
    a coder decides (rule `exam-not-completed`).
    """
    if not started:
        return Resolution(None, why="cancelled before the start: no charge")
    if for_safety is None:
        return _held(
            "DISCONTINUED_WHY",
            "The study was discontinued and the reason is not recorded.",
            "discontinuation",
            "Record whether it was stopped for the patient's safety.",
        )
    modifier = "53" if for_safety else "52"
    return replace(
        performed,
        modifiers=order_modifiers((*performed.modifiers, modifier)),
        why=f"{performed.why}; discontinued",
    )


def _hold(code: str, sentence: str, field: str, fix: str) -> Finding:
    return Finding(code, Severity.HOLD, sentence, field, fix, (), "code-from-performed")


def _held(code: str, sentence: str, field: str, fix: str) -> Resolution:
    return Resolution(None, findings=(_hold(code, sentence, field, fix),))
