"""The bytes that a center's systems would send: ADT, ORM, SIU, MPPS, DFT and ORU of one visit."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime, timedelta

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from rcm.demo.scenario import Item, Person, Visit
from rcm.reference.models import Provider

CR = "\r"


def _stamp(moment: datetime, visit: Visit) -> str:
    return moment.astimezone(visit.zone).strftime("%Y%m%d%H%M%S")


class Writer:
    """Writes the messages of one organization. `control` is the control number of the next one: the
    same message written again is the same to the byte.
    """

    def __init__(self, organization: str) -> None:
        self._organization, self.control = organization, ""

    def _message(
        self,
        kind: str,
        structure: str,
        sender: str,
        at: datetime,
        visit: Visit,
        segments: Sequence[str],
    ) -> bytes:
        head = (
            f"MSH|^~\\&|{sender}|{self._organization}|RCM|{self._organization}|{_stamp(at, visit)}||{kind}^{structure}|{self.control}|P|2.5.1|||||||UNICODE"
            " UTF-8"
        )
        return (CR.join([head, *segments]) + CR).encode()

    # --- front end ---

    def register(self, visit: Visit, at: datetime) -> bytes:
        return self._message(
            "ADT^A04",
            "ADT_A04",
            "RIS",
            at,
            visit,
            [f"EVN|A04|{_stamp(at, visit)}", _pid(visit.person), _pv1(visit), *_in1(visit.person)],
        )

    def order(self, visit: Visit, at: datetime, orderer: Provider) -> bytes:
        """ORM: every exam of the visit as an order of its own."""
        who = f"{orderer.npi}^{orderer.last_name.upper()}^{orderer.first_name.upper()}^^^MD^^^NPI"
        segments = [_pid(visit.person), _pv1(visit)]
        for n, item in enumerate(visit.items, 1):
            source = f"^^^^{item.side}" if item.side else ""
            segments += [
                (
                    f"ORC|NW|{item.placer}^EMR|{item.filler}^RIS||SC||^^^{_stamp(visit.start, visit)}^^R||{_stamp(at, visit)}|||{who}"
                ),
                f"OBR|{n}|{item.placer}^EMR|{item.filler}^RIS|{item.study.code}^{item.study.name}^C4|||||||||^{item.words}||{source}|{who}||{item.accession}|RP1||{visit.place.code}|||{_hl7_modality(item.study.modality)}|S",
                f"DG1|1||{item.dotted}^{item.words}^I10|||W",
            ]
        return self._message("ORM^O01", "ORM_O01", "RIS", at, visit, segments)

    def schedule(
        self, visit: Visit, at: datetime, *, event: str = "S12", reason: str = ""
    ) -> bytes:
        start = _stamp(visit.start, visit)
        end = _stamp(visit.start + timedelta(minutes=visit.minutes), visit)
        segments = [
            (
                f"SCH|{visit.number}|{visit.number}||||{event}^{reason or 'New'}^HL70276|EXAM|{visit.items[0].study.modality}|{visit.minutes}|min|^^{visit.minutes}^{start}^{end}|||||||||SCHED1|||||Booked"
            ),
            _pid(visit.person),
            _pv1(visit),
            "RGS|1",
            *(
                f"AIS|{n}|A|{item.study.code}^{item.study.name}^C4|{start}||||{visit.minutes}|min"
                for n, item in enumerate(visit.items, 1)
            ),
            f"AIL|1|A|{visit.place.code}^{visit.items[0].study.room}",
        ]
        return self._message(f"SIU^{event}", "SIU_S12", "RIS", at, visit, segments)

    # --- what was done ---

    def charge(self, visit: Visit, item: Item, at: datetime, reader: Provider) -> bytes:
        """DFT: the exam with its add-on or tracer, where no modality step tells of them."""
        who = f"{reader.npi}^{reader.last_name.upper()}^{reader.first_name.upper()}^^^MD^^^NPI"
        lines = [
            item.done.code,
            *([item.done.addon] if item.done.addon else []),
            *([item.done.tracer] if item.done.tracer else []),
        ]
        rows = [
            f"FT1|{n}|{item.accession}|B1|{_stamp(item.began, visit)}|{_stamp(at, visit)}|CG|{code}^{code}^C4|||1|||||{visit.place.code}^^^^^^^^{visit.place.pos}|||{item.dotted}^{item.words}^I10|{who}||||{item.placer}||{code}^{code}^C4"
            for n, code in enumerate(lines, 1)
        ]
        return self._message(
            "DFT^P03",
            "DFT_P03",
            "RIS",
            at,
            visit,
            [f"EVN|P03|{_stamp(at, visit)}", _pid(visit.person), _pv1(visit), *rows],
        )

    def report(
        self,
        visit: Visit,
        item: Item,
        at: datetime,
        reader: Provider,
        status: str,
        sections: Sequence[tuple[str, str]],
    ) -> bytes:
        """ORU: P, F or C with its sections."""
        study = item.corrected if status == "C" and item.corrected else item.done
        who = f"{reader.npi}&{reader.last_name.upper()}&{reader.first_name.upper()}&&&MD"
        rows = [
            f"OBX|{n}|TX|{code}^{code.title()}^L||{text}||||||{status}"
            for n, (code, text) in enumerate(sections, 1)
        ]
        source = f"^^^^{item.side}" if item.side else ""
        segments = [
            _pid(visit.person),
            _pv1(visit),
            f"ORC|RE|{item.placer}^EMR|{item.filler}^RIS||CM",
            (
                f"OBR|1|{item.placer}^EMR|{item.filler}^RIS|{study.code}^{study.name}^C4|||{_stamp(item.began, visit)}||||||^{item.words}||{source}|||{item.accession}|RP1||{visit.place.code}|{_stamp(at, visit)}||{_hl7_modality(study.modality)}|{status}|||||||{who}"
            ),
            *rows,
        ]
        return self._message("ORU^R01", "ORU_R01", "RIS", at, visit, segments)


def _pid(p: Person) -> str:
    return (
        f"PID|1||{p.mrn}^^^{p.organization}^MR||{p.last.upper()}^{p.first.upper()}||{p.born:%Y%m%d}|{p.sex}|||"
        f"{p.address.upper()}^^{p.city.upper()}^{p.state}^{p.zip}||^PRN^PH^^^{p.phone[:3]}^{p.phone[3:]}"
    )


def _pv1(visit: Visit) -> str:
    return f"PV1|1|O|{visit.items[0].study.room}^^^{visit.place.code}"


def _in1(p: Person) -> list[str]:
    rows = []
    for rank, (payer, member) in enumerate(p.policies, 1):
        fields = [""] * 50
        fields[1], fields[2], fields[3] = str(rank), payer, payer
        fields[16], fields[17], fields[18] = (
            f"{p.last.upper()}^{p.first.upper()}",
            "SEL",
            f"{p.born:%Y%m%d}",
        )
        fields[36] = member
        rows.append("IN1|" + "|".join(fields[1:37]))
    return rows


def _hl7_modality(modality: str) -> str:
    return {"PET": "PT", "XR": "DX"}.get(modality, modality)


# --- MPPS -----------------------------------------------------------------------------------------


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def step_begun(visit: Visit, item: Item) -> bytes:
    """The dataset of an N-CREATE: which step, on which machine, since when."""
    ds = Dataset()
    scheduled = Dataset()
    scheduled.AccessionNumber, scheduled.StudyInstanceUID = item.accession, item.study_uid
    ds.ScheduledStepAttributesSequence = [scheduled]
    ds.PatientID, ds.PatientName = visit.person.mrn, f"{visit.person.last}^{visit.person.first}"
    ds.PatientBirthDate, ds.PatientSex = f"{visit.person.born:%Y%m%d}", visit.person.sex
    ds.PerformedStationAETitle, ds.PerformedLocation = item.station, visit.place.code
    local = item.began.astimezone(visit.zone)
    ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = (
        f"{local:%Y%m%d}",
        f"{local:%H%M%S}",
    )
    ds.PerformedProcedureStepStatus, ds.PerformedProcedureStepID = "IN PROGRESS", item.filler
    ds.Modality = _hl7_modality(item.done.modality)
    ds.PerformedSeriesSequence = []
    return _bytes(ds)


def step_ended(visit: Visit, item: Item) -> bytes:
    """The dataset of an N-SET: completed, its series, the contrast and its volume."""
    ds = Dataset()
    local = item.ended.astimezone(visit.zone)
    ds.PerformedProcedureStepEndDate, ds.PerformedProcedureStepEndTime = (
        f"{local:%Y%m%d}",
        f"{local:%H%M%S}",
    )
    ds.PerformedProcedureStepStatus = "COMPLETED"
    ds.PerformedProtocolCodeSequence = [_code(item.done.code, "C4", item.done.name)]
    both = "WO W" in item.done.name
    series = []
    for n, contrast in enumerate((False, True) if both else (bool(item.done.agent),), 1):
        row = Dataset()
        row.SeriesInstanceUID, row.ProtocolName = f"{item.study_uid}.{n}", item.done.name
        if contrast:
            row.ContrastBolusAgent = item.done.agent
        series.append(row)
    ds.PerformedSeriesSequence = series
    if item.done.agent:
        supply, amount = Dataset(), Dataset()
        supply.BillingItemSequence = [_code(item.done.agent[:16], "99LOCAL", item.done.agent)]
        amount.Quantity = str(item.done.ml)
        amount.MeasuringUnitsSequence = [_code("ml", "UCUM", "millilitre")]
        supply.QuantitySequence = [amount]
        ds.BillingSuppliesAndDevicesSequence = [supply]
    return _bytes(ds)


def _bytes(ds: Dataset) -> bytes:
    out = io.BytesIO()
    dcmwrite(out, ds, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return out.getvalue()
