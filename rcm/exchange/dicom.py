"""DICOM Modality Performed Procedure Step: stored bytes to plain facts (rule `exam-match-order`).

A stored message is a DICOM file: the dataset exactly as it came, behind a file header that names
the transfer syntax, the SOP instance, the calling AE title and the operation (N-CREATE or N-SET).
So it can be read again at any time without the association it came on.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import dcmwrite, write_file_meta_info
from pydicom.uid import UID, ImplicitVRLittleEndian

from rcm.exchange.problems import ParseProblem

# the library prints what it finds odd, values included; what matters becomes a ParseProblem
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

MPPS_CLASS = "1.2.840.10008.3.1.2.3.3"
# marks the header's private note that carries the operation
NOTE_OWNER = "1.2.826.0.1.3680043.8.498.72020"
MOST_BYTES = 8 * 1024 * 1024
IN_PROGRESS, COMPLETED, DISCONTINUED = "IN PROGRESS", "COMPLETED", "DISCONTINUED"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded entry: value, scheme (L, C4, SRT, DCM …) and meaning."""

    value: str
    scheme: str = ""
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One performed series."""

    uid: str = ""
    protocol: str = ""
    description: str = ""
    images: int = 0
    performers: tuple[str, ...] = ()
    contrast: bool = False


@dataclass(frozen=True, slots=True)
class Mention:
    """One place of a step that speaks of contrast: the agent or item, its route and millilitres as
    they were sent. `given` False says in words that none was given.
    """

    agent: str = ""
    route: str = ""
    volume: str = ""
    given: bool = True


@dataclass(frozen=True, slots=True)
class Dose:
    """Radiation of a step. CTDIvol in mGy (the highest of its acquisitions), dose length product in
    mGy·cm, area dose product in dGy·cm²; None where the modality does not say.
    """

    ctdi_vol: Decimal | None = None
    dlp: Decimal | None = None
    area: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Supply:
    """A billable item: contrast, film, catheter; quantity as it was sent."""

    item: Code
    quantity: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class MppsFacts:
    """What one N-CREATE or N-SET says. An N-SET names only what changed, and never the accession:
    join on `sop_instance_uid`.

    Times are the modality's wall clock, naive: the site's zone is not in the message.
    """

    operation: str
    sop_instance_uid: str
    calling_ae: str = ""
    status: str = ""
    accession: str = ""
    accessions: tuple[str, ...] = ()
    patient_id: str = ""
    patient_name: str = ""
    birth_date: date | None = None
    sex: str = ""
    study_uid: str = ""
    modality: str = ""
    station_ae: str = ""
    location: str = ""
    step_id: str = ""
    description: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    discontinuation: Code | None = None
    protocols: tuple[Code, ...] = ()
    procedures: tuple[Code, ...] = ()
    scheduled_procedures: tuple[Code, ...] = ()
    series: tuple[Series, ...] = ()
    contrast: tuple[Mention, ...] = ()
    dose: Dose = field(default_factory=Dose)
    supplies: tuple[Supply, ...] = ()
    films: int = 0
    comments: str = ""
    present: frozenset[str] = field(default_factory=frozenset)

    @property
    def ordering_key(self) -> str:
        """The key of HL7 messages of the same patient, so that order and study stay in order."""
        if self.patient_id:
            return f"MRN:{self.patient_id}"[:80]
        return f"ACC:{self.accession}"[:80] if self.accession else ""

    @property
    def ended(self) -> bool:
        return self.status in (COMPLETED, DISCONTINUED)

    @property
    def contrast_agents(self) -> tuple[str, ...]:
        """Names of what was given, each once."""
        return tuple(dict.fromkeys(m.agent for m in self.contrast if m.given and m.agent))

    @property
    def images(self) -> int:
        return sum(s.images for s in self.series)


def wrap(
    dataset: bytes, *, operation: str, sop_instance_uid: str, transfer_syntax: str, calling_ae: str
) -> bytes:
    """The bytes of a dataset behind a file header of ours."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(MPPS_CLASS)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax or ImplicitVRLittleEndian)
    meta.ImplementationClassUID = UID(NOTE_OWNER)
    meta.SourceApplicationEntityTitle = calling_ae[:16]
    meta.PrivateInformationCreatorUID = UID(NOTE_OWNER)
    note = operation.encode("ascii")
    meta.PrivateInformation = note + b"\x00" * (len(note) % 2)
    out = io.BytesIO()
    out.write(b"\x00" * 128 + b"DICM")
    write_file_meta_info(DicomIO(out), meta, enforce_standard=True)
    out.write(dataset)
    return out.getvalue()


def from_dataset(
    dataset: Dataset, *, operation: str, sop_instance_uid: str, calling_ae: str = ""
) -> bytes:
    """A dataset made in this program as a stored message; for the simulator and for tests."""
    out = io.BytesIO()
    dcmwrite(out, dataset, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return wrap(
        out.getvalue(),
        operation=operation,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax=ImplicitVRLittleEndian,
        calling_ae=calling_ae,
    )


def read(content: bytes) -> MppsFacts:
    """Facts of a stored message. ParseProblem for anything that is none, whatever pydicom makes of
    it.
    """
    content = bytes(content)
    if len(content) > MOST_BYTES:
        raise ParseProblem(
            f"A performed procedure step of {len(content) / 1e6:.0f} MB is not read.",
            code="too_large",
        )
    try:
        return _facts(pydicom.dcmread(io.BytesIO(content)))
    except ParseProblem:
        raise
    except Exception as error:
        raise ParseProblem(
            f"The DICOM dataset cannot be read ({type(error).__name__}).", code="not_dicom"
        ) from None


def lines(content: bytes) -> list[str]:
    """The elements of a stored message, one a line, for the raw view."""
    try:
        return str(pydicom.dcmread(io.BytesIO(bytes(content)))).splitlines()[:5000]
    except Exception as error:
        raise ParseProblem(
            f"The DICOM dataset cannot be read ({type(error).__name__}).", code="not_dicom"
        ) from None


def _facts(ds: Dataset) -> MppsFacts:
    meta: Any = ds.file_meta
    if str(meta.get("MediaStorageSOPClassUID", "")) != MPPS_CLASS:
        raise ParseProblem("This DICOM object is no performed procedure step.", code="not_mpps")
    steps = list(ds.get("ScheduledStepAttributesSequence") or [])
    first = steps[0] if steps else Dataset()
    accessions = tuple(
        dict.fromkeys(a for a in (_text(s, "AccessionNumber") for s in [*steps, ds]) if a)
    )
    series = tuple(
        Series(
            uid=_text(s, "SeriesInstanceUID"),
            protocol=_text(s, "ProtocolName"),
            description=_text(s, "SeriesDescription"),
            images=len(s.get("ReferencedImageSequence") or [])
            + len(s.get("ReferencedNonImageCompositeSOPInstanceSequence") or []),
            performers=tuple(
                str(p) for p in _many(s, "OperatorsName") + _many(s, "PerformingPhysicianName")
            ),
            contrast=any(m.given and not enteral(m.route, m.agent) for m in _mentions(s)),
        )
        for s in ds.get("PerformedSeriesSequence") or []
    )
    return MppsFacts(
        operation=bytes(meta.get("PrivateInformation", b""))
        .rstrip(b"\x00")
        .decode("ascii", "replace")
        or "N-CREATE",
        sop_instance_uid=str(meta.get("MediaStorageSOPInstanceUID", "")),
        calling_ae=str(meta.get("SourceApplicationEntityTitle", "")).strip(),
        status=_text(ds, "PerformedProcedureStepStatus").upper(),
        accession=accessions[0] if accessions else "",
        accessions=accessions,
        patient_id=_text(ds, "PatientID"),
        patient_name=_text(ds, "PatientName"),
        birth_date=_day(_text(ds, "PatientBirthDate")),
        sex=_text(ds, "PatientSex"),
        study_uid=_text(first, "StudyInstanceUID") or _text(ds, "StudyInstanceUID"),
        modality=_text(ds, "Modality"),
        station_ae=_text(ds, "PerformedStationAETitle"),
        location=_text(ds, "PerformedLocation"),
        step_id=_text(ds, "PerformedProcedureStepID"),
        description=_text(ds, "PerformedProcedureStepDescription"),
        started_at=_moment(
            _text(ds, "PerformedProcedureStepStartDate"),
            _text(ds, "PerformedProcedureStepStartTime"),
        ),
        ended_at=_moment(
            _text(ds, "PerformedProcedureStepEndDate"), _text(ds, "PerformedProcedureStepEndTime")
        ),
        discontinuation=next(
            iter(_codes(ds, "PerformedProcedureStepDiscontinuationReasonCodeSequence")), None
        ),
        protocols=_codes(ds, "PerformedProtocolCodeSequence"),
        procedures=_codes(ds, "ProcedureCodeSequence"),
        scheduled_procedures=tuple(
            c
            for s in steps
            for c in _codes(s, "RequestedProcedureCodeSequence")
            + _codes(s, "ScheduledProtocolCodeSequence")
        ),
        series=series,
        contrast=tuple(dict.fromkeys(_mentions(ds))),
        dose=_dose(ds),
        supplies=tuple(_supply(s) for s in ds.get("BillingSuppliesAndDevicesSequence") or []),
        films=sum(_count(s.get("NumberOfFilms")) for s in ds.get("FilmConsumptionSequence") or []),
        comments=_text(ds, "CommentsOnThePerformedProcedureStep"),
        present=frozenset(e.keyword for e in ds if e.keyword),
    )


_PLANNED = "ScheduledStepAttributesSequence"
_NOT_GIVEN = re.compile(
    r"(?:no|none|not given|nil|n/?a|without|false|non[- ]?contrast|no contrast|0+(?:\.0*)?)\W*",
    re.I,
)
_ENTERAL = re.compile(r"\b(?:oral\w*|by mouth|p\.?o|rectal\w*|enema|barium)\b", re.I)
_CONTRAST = re.compile(r"\bcontrast\b", re.I)
_NOT_AGENT = re.compile(
    r"\b(?:time|delay|phase|duration|rate|flow|pressure|allerg\w*|consent|creatinine)\b", re.I
)
_DLP = re.compile(
    r"\b(total\s*)?(?:DLP|dose[\s-]*length[\s-]*product)(?:\s*total)?\s*(?:\([^)]*\)|\[[^\]]*\])?"
    r"\s*[:=]?\s*(\d+(?:\.\d+)?)",
    re.I,
)
_CTDI = re.compile(r"\bCTDI\s*vol\s*(?:\([^)]*\)|\[[^\]]*\])?\s*[:=]?\s*(\d+(?:\.\d+)?)", re.I)


def enteral(*words: str) -> bool:
    """Whether a route or an agent is one of the gut: drunk or by enema."""
    return any(_ENTERAL.search(w) for w in words)


def _parts(ds: Dataset) -> Iterator[Dataset]:
    """A dataset and all items inside it, at any depth; what was only scheduled is no evidence."""
    yield ds
    for element in ds:
        if element.VR != "SQ" or element.keyword == _PLANNED:
            continue
        for item in element.value or []:
            yield from _parts(item)


def _mentions(ds: Dataset) -> list[Mention]:
    """Every place that speaks of contrast: the step, its series, the context of their protocols."""
    found: list[Mention] = []
    for part in _parts(ds):
        found += _agents(part)
        for item in part.get("ProtocolContextSequence") or []:
            found += _in_context(item)
    return found


def _agents(ds: Dataset) -> list[Mention]:
    routes = _codes(ds, "ContrastBolusAdministrationRouteSequence")
    for agent in ds.get("ContrastBolusAgentSequence") or []:
        routes += _codes(agent, "ContrastBolusAdministrationRouteSequence")
    route = _text(ds, "ContrastBolusRoute") or " ".join(r.meaning or r.value for r in routes)
    volume = _text(ds, "ContrastBolusVolume") or _text(ds, "ContrastBolusTotalDose")
    names = [c.meaning or c.value for c in _codes(ds, "ContrastBolusAgentSequence")]
    names.append(_text(ds, "ContrastBolusAgent"))
    names = [n for n in names if n]
    if not names and (number(volume) or _text(ds, "ContrastBolusIngredient")):
        names = [_text(ds, "ContrastBolusIngredient")]
    return [Mention(n, route, volume, given=not _NOT_GIVEN.fullmatch(n)) for n in names]


def _in_context(item: Dataset) -> list[Mention]:
    """A content item of a protocol's context that names contrast, with what modifies it."""
    name = " ".join(c.meaning for c in _codes(item, "ConceptNameCodeSequence"))
    if not _CONTRAST.search(name) or _NOT_AGENT.search(name):
        return []
    modifiers = list(item.get("ContentItemModifierSequence") or [])
    route = next((_said(m) for m in modifiers if "route" in _named(m)), "")
    amount = next((_said(m) for m in modifiers if "volume" in _named(m)), "")
    said = _said(item)
    if "route" in name.lower():
        return [Mention("", said, amount)] if said else []
    if _text(item, "NumericValue"):
        volume = number(said)
        return [Mention("", route, said, given=volume is not None)]
    yes = said.lower() in ("yes", "y", "true", "given", "with", "with contrast")
    if not said:
        return []
    return [Mention("" if yes else said, route, amount, given=not _NOT_GIVEN.fullmatch(said))]


def _named(item: Dataset) -> str:
    return " ".join(c.meaning for c in _codes(item, "ConceptNameCodeSequence")).lower()


def _said(item: Dataset) -> str:
    codes = _codes(item, "ConceptCodeSequence")
    words = codes[0].meaning or codes[0].value if codes else ""
    return _text(item, "TextValue") or words or _text(item, "NumericValue")


def number(text: str) -> Decimal | None:
    """A quantity above zero, or None."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() and 0 < found < 1_000_000 else None


def _dose(ds: Dataset) -> Dose:
    """The dose where modalities put it: the step, its exposures, its comments, the context."""
    ctdi: list[Decimal] = []
    lengths: list[Decimal] = []
    totals: list[Decimal] = []
    step_area = number(_text(ds, "ImageAndFluoroscopyAreaDoseProduct"))
    areas: list[Decimal] = []
    for part in _parts(ds):
        ctdi += _positive(_text(part, "CTDIvol"))
        if part is not ds:
            areas += _positive(_text(part, "ImageAndFluoroscopyAreaDoseProduct"))
        comment = _text(part, "CommentsOnRadiationDose")
        ctdi += [v for m in _CTDI.finditer(comment) for v in _positive(m[1])]
        for match in _DLP.finditer(comment):
            (totals if "total" in match[0].lower() else lengths).extend(_positive(match[2]))
        for item in part.get("ProtocolContextSequence") or []:
            name, values = _named(item), _positive(_said(item))
            if "ctdi" in name:
                ctdi += values
            elif "dlp" in name or "dose length" in name:
                (totals if "total" in name else lengths).extend(values)
            elif "area" in name and "dose" in name:
                areas += [_in_dgycm2(v, item) for v in values]
    return Dose(
        ctdi_vol=max(ctdi, default=None),
        dlp=max(totals) if totals else sum(lengths) or None,
        area=step_area or sum(areas) or None,
    )


_DGYCM2 = {"gy.m2": Decimal(100_000), "gy.cm2": Decimal(10), "cgy.cm2": Decimal("0.1")} | {
    "ugy.m2": Decimal("0.1"),
    "mgy.cm2": Decimal("0.01"),
}


def _in_dgycm2(value: Decimal, item: Dataset) -> Decimal:
    unit = next(iter(_codes(item, "MeasurementUnitsCodeSequence")), Code("")).value.lower()
    return value * _DGYCM2.get(unit, Decimal(1))


def _positive(text: str) -> list[Decimal]:
    value = number(text)
    return [] if value is None else [value]


def _text(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    return "" if value is None else str(value).strip()[:400]


def _many(ds: Dataset, keyword: str) -> list[Any]:
    value = ds.get(keyword)
    if not value:
        return []
    return (
        list(value)
        if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue"
        else [value]
    )


def _codes(ds: Dataset, keyword: str) -> tuple[Code, ...]:
    return tuple(
        Code(
            _text(c, "CodeValue") or _text(c, "LongCodeValue"),
            _text(c, "CodingSchemeDesignator"),
            _text(c, "CodeMeaning"),
        )
        for c in ds.get(keyword) or []
    )


def _supply(ds: Dataset) -> Supply:
    item = next(iter(_codes(ds, "BillingItemSequence")), Code(""))
    amount = next(iter(ds.get("QuantitySequence") or []), Dataset())
    unit = next(iter(_codes(amount, "MeasuringUnitsSequence")), Code(""))
    return Supply(item, _text(amount, "Quantity"), unit.value)


def _count(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _day(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None


def _moment(day: str, clock: str) -> datetime | None:
    found = _day(day)
    if found is None:
        return None
    digits = (clock.split(".")[0].replace(":", "") + "000000")[:6]
    try:
        return datetime.combine(found, time(int(digits[:2]), int(digits[2:4]), int(digits[4:6])))
    except ValueError:
        return datetime.combine(found, time())
