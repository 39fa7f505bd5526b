"""The guide check of what leaves: pyx12 behind one door (segments, order, required elements, code
sets: SNIP 1 and 2).

Only outbound claims are checked (its maps for 837P X222A1 and 837I X223A2 are sound; its code lists
are too old to judge what comes in). Its maps are read once per process. What it cannot see (totals,
pointers, NPI digits, dates in the future) is for the claim edits.
"""

from __future__ import annotations

import bisect
import functools
import io
import json
import logging
import threading
from dataclasses import dataclass
from typing import Any

import pyx12.map_if
import pyx12.map_index
import pyx12.params
import pyx12.x12n_document
from pyx12.errors import EngineError, X12Error

_log = logging.getLogger("pyx12")
_log.addHandler(logging.NullHandler())
_log.propagate = False
_log.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class GuideFinding:
    """One thing the guide forbids. ``segment_position`` counts segments of the interchange from ISA
    = 1.

    ``element`` and ``component`` are 0 when the segment as a whole is at fault; ``claim_id`` is ""
    above the claims.
    """

    code: str
    message: str
    claim_id: str = ""
    loop: str = ""
    segment: str = ""
    segment_position: int = 0
    element: int = 0
    component: int = 0
    value: str = ""


@dataclass(frozen=True, slots=True)
class GuideResult:
    """``valid`` only when the validator said so and found nothing."""

    valid: bool
    findings: tuple[GuideFinding, ...] = ()


# The validator reads its maps (megabytes of XML) anew at each call; they do not change within a
# process.
_lock = threading.Lock()
_read_map = pyx12.map_if.load_map_file
_read_index = pyx12.map_index.map_index


@functools.cache
def _map(name: str, folder: str | None) -> Any:
    return _read_map(name, _params(), folder)


@functools.cache
def _index(folder: str | None) -> Any:
    return _read_index(folder)


@functools.cache
def _params() -> Any:
    return pyx12.params.ParamsBase()


def _cached_map(map_file: str, param: Any, map_path: str | None = None) -> Any:
    with _lock:
        return _map(map_file, map_path)


def _cached_index(base_path: str | None = None) -> Any:
    with _lock:
        return _index(base_path)


pyx12.map_if.load_map_file = _cached_map
pyx12.map_index.map_index = _cached_index


def warm() -> None:
    """Read the maps now, so that the first claim of a worker is as fast as the next."""
    for name in ("x12.control.00501.xml", "837.5010.X222.A1.xml", "837Q3.I.5010.X223.A1.xml"):
        _cached_map(name, _params())
    _cached_index()


def check(data: bytes) -> GuideResult:
    """Whether ``data`` (a whole interchange of 837P or 837I) keeps the guide, and where it does
    not. Never raises.
    """
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        return _failed("not-ascii", f"Byte {error.start + 1} is not plain ASCII.")
    claims = _ClaimTrail()
    answer = io.StringIO()
    try:
        valid = pyx12.x12n_document.x12n_document(
            _params(), io.StringIO(text), None, None, fd_json=answer, callback=claims.see
        )
    except EngineError as error:
        return _failed(
            "guide-not-available", f"There is no guide for this set and version: {str(error)[:200]}"
        )
    except X12Error as error:
        return _failed(
            "not-x12", f"The validator could not read the interchange: {str(error)[:200]}"
        )
    except (
        Exception
    ) as error:  # the validator raises whatever its walk runs into; a claim must not stop the batch
        return _failed(
            "guide-check-failed",
            f"The validator stopped with {type(error).__name__}: {str(error)[:200]}",
        )
    findings = tuple(_findings(answer.getvalue(), claims))
    if not valid and not findings:
        return _failed("guide-refused", "The validator refuses the interchange without saying why.")
    return GuideResult(valid and not findings, findings)


def _failed(code: str, message: str) -> GuideResult:
    return GuideResult(False, (GuideFinding(code, message),))


class _ClaimTrail:
    """Remembers at which segment each claim began and in which loop each segment stood."""

    __slots__ = ("ids", "loops", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ids: list[str] = []
        self.loops: dict[int, str] = {}

    def see(self, segment: Any, source: Any, node: Any, valid: bool) -> None:
        line = source.get_cur_line()
        kind = segment.get_seg_id()
        if kind == "CLM":
            self.starts.append(line)
            self.ids.append(segment.get_value("CLM01") or "")
        elif kind in ("HL", "SE"):
            self.starts.append(line)
            self.ids.append("")
        if not valid:
            parent = getattr(node, "parent", None)
            self.loops[line] = str(getattr(parent, "id", "") or "")

    def claim_at(self, line: int) -> str:
        i = bisect.bisect_right(self.starts, line) - 1
        return self.ids[i] if i >= 0 else ""


def _findings(text: str, claims: _ClaimTrail) -> list[GuideFinding]:
    try:
        document = json.loads(text) if text else {}
    except ValueError:
        return []
    found: list[GuideFinding] = []

    def add(
        item: dict[str, Any],
        error: dict[str, Any],
        segment: str = "",
        element: dict[str, Any] | None = None,
    ) -> None:
        line = int(item.get("cur_line") or 0)
        found.append(
            GuideFinding(
                code=str(error.get("err_cde") or ""),
                message=str(error.get("err_str") or "")[:400],
                claim_id=claims.claim_at(line),
                loop=claims.loops.get(line, ""),
                segment=segment,
                segment_position=line,
                element=_place((element or {}).get("ele_pos")),
                component=_place((element or {}).get("subele_pos")),
                value=str(error.get("err_val") or "")[:100],
            )
        )

    for interchange in document.get("interchanges", ()):
        for error in interchange.get("errors", ()):
            add(interchange, error, "ISA")
        for group in interchange.get("groups", ()):
            for error in group.get("errors", ()):
                add(group, error, "GS")
            for one in group.get("transactions", ()):
                for error in one.get("errors", ()):
                    add(one, error, "ST")
                for segment in one.get("segments", ()):
                    name = str(segment.get("seg_id") or "")
                    for error in segment.get("errors", ()):
                        add(segment, error, name)
                    for element in segment.get("elements", ()):
                        for error in element.get("errors", ()):
                            add(segment, error, name, element)
    return found


def _place(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
