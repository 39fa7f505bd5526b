"""What was performed, told by several sources: kept by source, merged by rank, read as the facts of
capture (rules `exam-match-order` and `code-from-performed`).

Pure. A source never loses what it said when it says something else later; what a higher source says
stands over the lower ones.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from charges.capture import Contrast, Performed, Route, Side
from charges.records import PerformedRecord, SupplyGiven
from charges.report_check import ReportReading

RANK = ("oru", "dft", "mpps", "api", "screen")
"""Sources from the weakest to the strongest word on what was done."""

TECHNICAL_SOURCES = ("mpps", "api", "screen")
"""Sources that record the acquisition itself; a report that contradicts them is a conflict."""

_ROUTES = {
    "iv": Route.INTRAVENOUS,
    "ia": Route.ARTERIAL,
    "it": Route.INTRATHECAL,
    "intra_articular": Route.ARTICULAR,
    "oral": Route.ORAL,
    "rectal": Route.RECTAL,
    "none": Route.NONE,
}
_SIDES = {"RT": Side.RIGHT, "LT": Side.LEFT, "50": Side.BOTH, "both": Side.BOTH}
ROUTES = tuple(_ROUTES)


def told(record: PerformedRecord) -> dict[str, Any]:
    """One record as JSON: only what it says."""
    out: dict[str, Any] = {
        "code": record.code,
        "modality": record.modality,
        "laterality": record.laterality,
        "station": record.station,
        "extent": record.extent,
        "views": record.views,
        "preventive": record.preventive,
        "for_safety": record.for_safety,
        "pet": dict(record.pet) if record.pet else None,
        "dose": dict(record.dose) if record.dose else None,
        "images": record.images,
    }
    if record.contrast is not None:
        given = record.contrast
        out["contrast"] = {
            "route": given.route,
            "agent": given.agent,
            "given_ml": _text(given.given_ml),
            "wasted_ml": _text(given.wasted_ml),
            "pre": given.pre,
            "post": given.post,
        }
        out["contrast"] = {k: v for k, v in out["contrast"].items() if v not in (None, "")}
    for name, items in (("supplies", record.supplies), ("addons", record.addons)):
        if items:
            out[name] = {
                "-".join((i.code, *i.modifiers)): None if i.credit else _supply(i) for i in items
            }
    return {k: v for k, v in out.items() if v not in (None, "")}


def merged(by: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Everything said, the stronger source over the weaker, contrast field by field, supplies code
    by code.
    """
    out: dict[str, Any] = {}
    for source in sorted(by, key=lambda s: RANK.index(s) if s in RANK else -1):
        for key, value in by[source].items():
            if isinstance(value, Mapping) and key in (
                "contrast",
                "supplies",
                "addons",
                "pet",
                "dose",
            ):
                out[key] = {**out.get(key, {}), **value}
            else:
                out[key] = value
    for name in ("supplies", "addons"):
        out[name] = {code: item for code, item in out.get(name, {}).items() if item}
    return out


def add(kept: Mapping[str, Any], record: PerformedRecord) -> dict[str, Any]:
    """The JSON of an exam with one more record in it."""
    by = {source: dict(said) for source, said in kept.get("by", {}).items()}
    said = by.setdefault(record.source, {})
    for key, value in told(record).items():
        said[key] = {**said.get(key, {}), **value} if isinstance(value, Mapping) else value
    return {**merged(by), "by": by, "sources": sorted(by)}


def of_sources(kept: Mapping[str, Any], sources: tuple[str, ...]) -> dict[str, Any]:
    """What only these sources say, merged."""
    return merged({s: said for s, said in kept.get("by", {}).items() if s in sources})


def side_of(laterality: str) -> Side | None:
    return _SIDES.get(laterality)


def facts(
    said: Mapping[str, Any], *, family: str, modality: str, on: dt.date, session: str = ""
) -> Performed:
    """The technologist's record as capture reads it; what was not recorded stays None."""
    contrast = said.get("contrast", {})
    route = _ROUTES.get(contrast.get("route", ""))
    return Performed(
        family=family,
        modality=modality,
        date_of_service=on,
        routes=None if route is None else frozenset({route}),
        pre_contrast=contrast.get("pre"),
        post_contrast=contrast.get("post"),
        views=said.get("views"),
        extent=said.get("extent", ""),
        side=side_of(said.get("laterality", "")),
        session=session,
    )


def reported(
    reading: ReportReading, *, family: str, modality: str, on: dt.date, session: str = ""
) -> Performed:
    """What the report says was done, as capture reads it."""
    routes, pre, post = None, None, None
    if reading.contrast is Contrast.WITHOUT:
        routes = frozenset({Route.NONE})
    elif reading.contrast in (Contrast.WITH, Contrast.BOTH):
        routes, pre, post = frozenset({Route.INTRAVENOUS}), reading.contrast is Contrast.BOTH, True
    return Performed(
        family=family,
        modality=modality,
        date_of_service=on,
        routes=routes,
        pre_contrast=pre,
        post_contrast=post,
        views=reading.views,
        side=reading.side,
        session=session,
    )


def as_coded(contrast: str) -> tuple[frozenset[Route] | None, bool | None, bool | None]:
    """Routes and phases that a code's own contrast level stands for: the weakest evidence, used
    when nobody else spoke.
    """
    if contrast == Contrast.WITHOUT:
        return frozenset({Route.NONE}), None, None
    if contrast in (Contrast.WITH, Contrast.BOTH):
        return frozenset({Route.INTRAVENOUS}), contrast == Contrast.BOTH, True
    return None, None, None


def _supply(item: SupplyGiven) -> dict[str, Any]:
    return {"code": item.code, "units": _text(item.units), "modifiers": list(item.modifiers)}


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value.normalize(), "f")
