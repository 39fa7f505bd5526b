"""HL7 v2 results and charges as records: ORU^R01 reports, DFT^P03 charges (rule
`exam-match-order`). Pure reading; times stay as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from charges.records import (
    CANCELLED,
    CORRECTED,
    FINAL,
    PRELIMINARY,
    Keys,
    PerformedRecord,
    ReportRecord,
    SupplyGiven,
)
from charges.report_check import sections_of
from intake.hl7 import MODALITIES
from rcm.exchange import hl7
from rcm.exchange.hl7 import Message, Segment
from rcm.exchange.problems import ParseProblem

STATUS = {
    "P": PRELIMINARY,
    "R": PRELIMINARY,
    "A": PRELIMINARY,
    "F": FINAL,
    "C": CORRECTED,
    "X": CANCELLED,
}
"""OBR-25 to the version it makes; O, S and I say nothing about a report yet."""

SECTIONS = {
    "IND": "indication",
    "HX": "indication",
    "TECH": "technique",
    "PROC": "technique",
    "COMP": "comparison",
    "FIND": "findings",
    "IMP": "impression",
    "SIG": "signature",
    "ADD": "addendum",
    "TITLE": "title",
    "EXAM": "title",
}
_NAMES = (
    ("indication", "indication"),
    ("history", "indication"),
    ("technique", "technique"),
    ("comparison", "comparison"),
    ("finding", "findings"),
    ("impression", "impression"),
    ("conclusion", "impression"),
    ("signature", "signature"),
    ("addendum", "addendum"),
    ("correction", "addendum"),
    ("title", "title"),
)
CodedLine = tuple[str, tuple[str, ...]]
_TEXT = {"TX", "FT", "ST", "CWE", "CE", ""}
_OFFSET = re.compile(r"[+-]\d{4}$")
_SIGNED_AT = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2}))?")
_CODE = re.compile(r"[0-9A-Z]\d{3}[0-9A-Z]")
_DIAGNOSIS = re.compile(r"[A-Z]\d[0-9A-Z]{1,5}")


def reports(
    message: Message,
    organization_id: int,
    *,
    interchange_id: int | None = None,
    owners: frozenset[str] = frozenset(),
) -> list[ReportRecord]:
    """Every report of an ORU, one for each OBR of each patient. ParseProblem when an OBR names no
    exam at all.
    """
    found: list[ReportRecord] = []
    seen = 0
    for one in message.by_patient():
        found += _reports_of(
            one, organization_id, interchange_id=interchange_id, owners=owners, first=seen
        )
        seen += len(one.all("OBR"))
    return found


def _reports_of(
    message: Message,
    organization_id: int,
    *,
    interchange_id: int | None,
    owners: frozenset[str],
    first: int,
) -> list[ReportRecord]:
    """The reports of one patient; `first` is the position of the first of them in the message."""
    message.need("PID")
    mrn = hl7.identifier(message.first("PID"), 3, owners=owners)
    groups = message.groups("OBR")
    if not groups:
        raise ParseProblem(
            "The result names no exam: there is no OBR segment.",
            code="segment_missing",
            field="OBR",
        )
    found: list[ReportRecord] = []
    for position, group in enumerate(groups, start=first):
        obr = group[0]
        orc = _order_of(message, obr)
        status = STATUS.get(obr.value(25).upper())
        if status is None:
            if obr.value(25).upper() in {"O", "S", "I", "Y", "Z", "N"}:
                continue
            raise ParseProblem(
                "OBR-25 does not say what kind of result this is.",
                code="result_status",
                field="OBR-25",
            )
        sections = _sections(group)
        reader = hl7.provider(obr, 32)
        reported = _moment(obr.value(22), "OBR-22") or _moment(message.value("MSH-7"), "MSH-7")
        if reported is None:
            raise ParseProblem(
                "Neither OBR-22 nor MSH-7 says when the result was made.",
                code="bad_time",
                field="OBR-22",
            )
        found.append(
            ReportRecord(
                organization_id=organization_id,
                keys=_keys(obr, orc, mrn),
                status=status,
                sections=sections,
                reported_at=reported,
                signed_at=_signed(sections.get("signature", "")),
                reader_npi=reader.npi or reader.id[:10],
                reader_name=" ".join(p for p in (reader.first.title(), reader.last.title()) if p),
                code=_code(obr.value(4)),
                modality=MODALITIES.get(obr.value(24).upper(), obr.value(24).upper())[:6],
                site_code=_site(message),
                performed_at=_moment(obr.value(7), "OBR-7"),
                laterality=_laterality(obr),
                interchange_id=interchange_id,
                position=position,
            )
        )
    return found


def _order_of(message: Message, obr: Segment) -> Segment | None:
    """The ORC that an OBR stands under: the last one before it."""
    before = [s for s in message.all("ORC") if s.number < obr.number]
    return before[-1] if before else None


def charges(
    message: Message,
    organization_id: int,
    *,
    supply_kinds: dict[str, str],
    interchange_id: int | None = None,
    owners: frozenset[str] = frozenset(),
    corrected: Mapping[int, CodedLine] | None = None,
) -> list[PerformedRecord]:
    """Every exam of a DFT for one patient: FT1 rows of one transaction id together. `supply_kinds`:
    code → kind of the procedure catalog; codes of the kinds contrast and radiopharm are supplies,
    of the kind addon or guidance add-ons, all others the exam itself. `corrected`: what a person put in place
    of the code and modifiers of an FT1, by its place in the message.
    """
    if len(message.by_patient()) > 1:
        raise ParseProblem(
            "The charge message names more than one patient.",
            code="several_patients",
            field="PID",
            fix="Send a message for each patient.",
        )
    message.need("PID")
    mrn = hl7.identifier(message.first("PID"), 3, owners=owners)
    rows = message.all("FT1")
    if not rows:
        raise ParseProblem(
            "The charge message holds no FT1 segment.", code="segment_missing", field="FT1"
        )
    lines_of = {id(row): line for row, line in zip(rows, coded(message, corrected), strict=True)}
    groups: dict[str, list[Segment]] = {}
    for row in rows:
        groups.setdefault(row.value(2) or row.value(23), []).append(row)
    found: list[PerformedRecord] = []
    for position, (key, lines) in enumerate(groups.items()):
        exam_code, side = "", ""
        supplies: list[SupplyGiven] = []
        addons: list[SupplyGiven] = []
        for line in lines:
            code, modifiers = lines_of[id(line)]
            item = SupplyGiven(
                code, _units(line.value(10)), modifiers, credit=line.value(6).upper() == "CD"
            )
            kind = supply_kinds.get(code, "")
            if kind in ("contrast", "radiopharm"):
                supplies.append(item)
            elif kind in ("addon", "guidance"):
                addons.append(item)
            elif not exam_code and not item.credit:
                exam_code = code
                side = next((m for m in modifiers if m in ("RT", "LT", "50")), "")
        first = lines[0]
        moments = [m for m in (_moment(line.value(4), "FT1-4") for line in lines) if m]
        found.append(
            PerformedRecord(
                organization_id=organization_id,
                source="dft",
                keys=Keys(
                    accession=key,
                    filler_number=first.value(23),
                    placer_number=first.value(23),
                    mrn=mrn,
                ),
                performed_at=moments[0] if moments else None,
                site_code=_site(message) or first.value(16, 4) or first.value(16, 1),
                code=exam_code,
                laterality=side,
                supplies=tuple(supplies),
                addons=tuple(addons),
                coded=tuple(
                    lines_of[id(line)]
                    for line in lines
                    if line.value(6).upper() != "CD" and lines_of[id(line)][0]
                ),
                diagnoses=tuple(_diagnoses(lines)),
                interchange_id=interchange_id,
                position=position,
            )
        )
    return found


def coded(message: Message, corrected: Mapping[int, CodedLine] | None = None) -> list[CodedLine]:
    """Code and modifiers of every FT1 in order, as a person corrected them where one did."""
    said = corrected or {}
    return [
        said.get(n)
        or (
            _code(line.value(25)) or _code(line.value(7)),
            tuple(m[0].upper() for m in line.repeats(26) if m and m[0]),
        )
        for n, line in enumerate(message.all("FT1"))
    ]


def _keys(obr: Segment, orc: Segment | None, mrn: str) -> Keys:
    return Keys(
        accession=obr.value(18),
        filler_number=(orc.value(3) if orc else "") or obr.value(3),
        placer_number=(orc.value(2) if orc else "") or obr.value(2),
        mrn=mrn,
    )


def _sections(group: Sequence[Segment]) -> dict[str, str]:
    """Sectioned text of the OBX of one report: by code, by the code's name, else by the headings of
    the text itself.
    """
    parts: dict[str, list[str]] = {}
    loose: list[str] = []
    for obx in group:
        if obx.tag != "OBX" or obx.value(2).upper() not in _TEXT:
            continue
        text = obx.text_of(5).strip()
        if not text:
            continue
        names = [obx.value(3, 1).upper(), obx.value(3, 1, 2).upper()]
        section = next((SECTIONS[n] for n in names if n in SECTIONS), "")
        if not section:
            words = obx.value(3, 2).lower()
            section = next((target for word, target in _NAMES if word in words), "")
        if section:
            parts.setdefault(section, []).append(text)
        else:
            loose.append(text)
    found = {name: "\n".join(texts) for name, texts in parts.items()}
    for name, text in sections_of("\n".join(loose)).items() if loose else ():
        found.setdefault(name, text)
    return found


def _site(message: Message) -> str:
    """The facility of PV1-3, else its point of care."""
    pv1 = message.first("PV1")
    return (pv1.value(3, 4) or pv1.value(3, 1)) if pv1 else ""


def _code(text: str) -> str:
    code = text.strip().upper()
    return code if _CODE.fullmatch(code) else ""


def _laterality(obr: Segment) -> str:
    """RT, LT or 50 from the procedure code's modifiers (OBR-45 of later versions) or the body site
    (OBR-15).
    """
    for parts in obr.repeats(45) + obr.repeats(44):
        if parts and parts[0].upper() in ("RT", "LT", "50"):
            return parts[0].upper()
    words = f"{obr.value(15, 5)} {obr.value(15, 1, 2)}".lower()
    if "right" in words:
        return "RT"
    return "LT" if "left" in words else ""


def _diagnoses(lines: Sequence[Segment]) -> list[str]:
    """ICD-10-CM codes of FT1-19; senders that count fields from one less put them into FT1-18."""
    found: list[str] = []
    for line in lines:
        for field in (19, 18):
            codes = [parts[0].replace(".", "").upper() for parts in line.repeats(field) if parts]
            found += [c for c in codes if _DIAGNOSIS.fullmatch(c)]
    return list(dict.fromkeys(found))[:12]


def _units(text: str) -> Decimal:
    try:
        units = Decimal(text or "1")
    except InvalidOperation:
        raise ParseProblem("FT1-10 holds no quantity.", code="bad_number", field="FT1-10") from None
    if not units.is_finite() or units <= 0 or units > 99_999:
        raise ParseProblem("FT1-10 holds no usable quantity.", code="bad_number", field="FT1-10")
    return units


def _moment(text: str, field: str) -> datetime | None:
    """A time with its own offset is aware; without one it stays the wall clock of a site not yet
    known.
    """
    found = hl7.timestamp(text, UTC, field=field)
    return found if found is None or _OFFSET.search(text) else found.replace(tzinfo=None)


def _signed(text: str) -> datetime | None:
    """The moment a signature line names, on the wall clock."""
    match = _SIGNED_AT.search(text)
    if match is None:
        return None
    year, month, day, hour, minute = (int(g or 0) for g in match.groups())
    try:
        return datetime(year, month, day, hour, minute)  # noqa: DTZ001  the site's zone is not in the text
    except ValueError:
        return None
