"""HL7 v2 into the front end: ADT registers, ORM and OMI order, SIU schedules (rule
`exam-match-order`).

Each processor reads a whole stored message, maps it and calls services; the same content again
changes nothing. What the message leaves out is left as it is; what cannot be matched is refused in
a sentence, and the exchange makes a work item of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from intake.models import (
    Appointment,
    AppointmentStatus,
    Coverage,
    Order,
    OrderedExam,
    OrderStatus,
    Patient,
    Relationship,
)
from intake.services import (
    ExamAsk,
    accident_add,
    accident_kind,
    appointment_book,
    appointment_cancel,
    appointment_move,
    appointment_no_show,
    coverage_add,
    coverage_choose,
    order_cancel,
    order_change,
    order_place,
    patient_create,
    patient_merge,
    patient_update,
)
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization, Site
from rcm.accounts.problems import Refused
from rcm.accounts.together import asked_once
from rcm.exchange import hl7
from rcm.exchange.models import Interchange
from rcm.exchange.problems import ParseProblem
from rcm.reference.models import Payer, Provider

RELATIONS = {
    "SEL": Relationship.SELF,
    "18": Relationship.SELF,
    "SELF": Relationship.SELF,
    "": Relationship.SELF,
    "SPO": Relationship.SPOUSE,
    "01": Relationship.SPOUSE,
    "CHD": Relationship.CHILD,
    "19": Relationship.CHILD,
}
SIDES = {
    "R": "RT",
    "RT": "RT",
    "RIGHT": "RT",
    "L": "LT",
    "LT": "LT",
    "LEFT": "LT",
    "B": "50",
    "BIL": "50",
    "50": "50",
}
MODALITIES = {
    "MR": "MR",
    "CT": "CT",
    "PT": "PET",
    "NM": "NM",
    "US": "US",
    "CR": "XR",
    "DX": "XR",
    "DR": "XR",
    "XR": "XR",
    "MG": "MG",
    "RF": "FL",
}


def _place_of(organization_id: int) -> tuple[Organization, dict[str, Site]]:
    organization = Organization.objects.get(pk=organization_id)
    return organization, {s.code: s for s in Site.objects.filter(organization=organization)}


class _Reading:
    """One message with the organization, site and clock it is about."""

    def __init__(
        self, message: hl7.Message, interchange: Interchange, actor: Actor, at: datetime
    ) -> None:
        self.message = message
        self.organization, self.sites = asked_once(
            ("organization", interchange.organization_id),
            lambda: _place_of(interchange.organization_id),
        )
        self.actor, self.at = actor, at
        self.event = self.message.header.event or self.message.value("EVN-1")

    @property
    def own(self) -> frozenset[str]:
        """How our own organization and sites are named as owners of a number."""
        return frozenset({self.organization.code, *self.sites})

    def site(self, *places: tuple[str, int]) -> Site | None:
        """The site that a location field names, in whichever component a sender puts it; the only
        site when there is one.
        """
        for tag, field in places:
            segment = self.message.first(tag)
            for parts in segment.repeats(field) if segment else ():
                for part in parts:
                    if part in self.sites:
                        return self.sites[part]
        return next(iter(self.sites.values())) if len(self.sites) == 1 else None

    def zone(self, site: Site | None) -> ZoneInfo:
        known = site or next(iter(self.sites.values()), None)
        return ZoneInfo(known.time_zone if known else "UTC")


def _readings(interchange: Interchange, actor: Actor, at: datetime) -> list[_Reading]:
    """The message once for each of its patients."""
    message = hl7.parse(bytes(interchange.content))
    return [_Reading(one, interchange, actor, at) for one in message.by_patient()]


def _one_patient(interchange: Interchange, actor: Actor, at: datetime) -> _Reading:
    """The message of a kind that is about one patient; of several patients it is refused."""
    found = _readings(interchange, actor, at)
    if len(found) > 1:
        raise Refused(
            f"The message names {len(found)} patients (PID): whose it is, is not clear.",
            code="several_patients",
            field="PID",
            fix="Ask the sender for a message for each patient.",
        )
    return found[0]


def _patient(reading: _Reading, *, create: bool = True) -> Patient:
    """Find the patient by MRN and bring the chart up to date; open it when the message may."""
    pid = reading.message.need("PID")
    mrn = hl7.identifier(pid, 3, owners=reading.own)
    if not mrn:
        raise ParseProblem(
            "PID-3 holds no medical record number.", code="mrn_missing", field="PID-3"
        )
    name, address = hl7.name(pid, 5), hl7.address(pid, 11)
    sex = pid.value(8).upper()[:1]
    values: dict[str, Any] = {
        "last_name": _proper(name.last)[:60],
        "first_name": _proper(name.first)[:40],
        "middle_name": _proper(name.middle)[:40],
        "suffix": _proper(name.suffix)[:10],
        "other_names": _other_names(pid),
        "born_on": hl7.day(pid.value(7), field="PID-7"),
        "sex": sex if sex in ("F", "M") else "U",
        "address": _proper(address.line1)[:100],
        "city": _proper(address.city)[:60],
        "state": address.state,
        "zip": address.zip,
        "phone": hl7.phone(pid, 13),
        "deceased_on": hl7.day(pid.value(29), field="PID-29"),
    }
    given: dict[str, Any] = {k: v for k, v in values.items() if v and not (k == "sex" and v == "U")}
    known = (
        Patient.objects.filter(organization=reading.organization, mrn=mrn)
        .select_related("merged_into")
        .first()
    )
    if known is not None:
        known = known.merged_into or known
        return patient_update(patient=known, actor=reading.actor, at=reading.at, **given)
    if not create:
        raise Refused(
            f"No chart has the medical record number of this {reading.message.header.kind}"
            " message.",
            code="patient_unknown",
            field="PID-3",
        )
    for field, place in (("last_name", "PID-5"), ("first_name", "PID-5"), ("born_on", "PID-7")):
        if not values[field]:
            raise ParseProblem(
                f"{place} is empty: a chart needs it.", code="segment_incomplete", field=place
            )
    return patient_create(
        organization_id=reading.organization.pk,
        actor=reading.actor,
        at=reading.at,
        mrn=mrn,
        **{**given, "sex": values["sex"]},
    )


def _other_names(pid: hl7.Segment) -> list[dict[str, str]]:
    """The names of PID-5 beside the legal one, and the alias of PID-9, each with what it is."""
    legal = hl7.name(pid, 5)
    found = [
        {
            "kind": NAME_KINDS.get(one.kind, "other name"),
            "last": _proper(one.last)[:60],
            "first": _proper(one.first)[:40],
        }
        for one in (*hl7.names(pid, 5), *hl7.names(pid, 9))
        if (one.last, one.first) != (legal.last, legal.first)
    ]
    return [n for k, n in enumerate(found) if n not in found[:k]][:6]


NAME_KINDS = {
    "A": "alias",
    "N": "nickname",
    "M": "maiden name",
    "B": "name at birth",
    "C": "adopted name",
    "D": "display name",
    "P": "partner's name",
    "L": "legal name",
}


def _proper(text: str) -> str:
    """SAMPLE becomes Sample; a name written with small letters stays as it is."""
    return text.title() if text.isupper() else text


def _coverages(reading: _Reading, patient: Patient) -> list[str]:
    """The ranked policies of IN1 segments; returns the codes of payers we do not know. The policy
    of an accident is read by `_accident`.
    """
    unknown = []
    groups = [g for g in reading.message.groups("IN1") if not _of_accident(reading, g[0])]
    for number, group in enumerate(groups[:3], start=1):
        in1 = group[0]
        payer = _payer(in1)
        if payer is None:
            unknown.append(in1.value(3) or in1.value(2))
            continue
        early = _one_field_early(in1)
        member = in1.value(36 - early) or in1.value(49)
        rank = int(in1.value(1)) if in1.value(1) in ("1", "2", "3") else number
        relation = RELATIONS.get(in1.value(17 - early).upper(), Relationship.OTHER)
        values: dict[str, Any] = {
            "group_number": in1.value(8)[:30],
            "relationship": relation,
            "starts_on": hl7.day(in1.value(12), field="IN1-12"),
            "ends_on": hl7.day(in1.value(13), field="IN1-13"),
        }
        if relation != Relationship.SELF:
            name = hl7.name(in1, 16 - early)
            values |= {
                "subscriber_last_name": _proper(name.last)[:60],
                "subscriber_first_name": _proper(name.first)[:40],
                "subscriber_born_on": hl7.day(in1.value(18 - early), field="IN1-18"),
                "subscriber_sex": in1.value(43 - early)[:1],
            }
        if member or payer.kind == "self_pay":
            given = {k: v for k, v in values.items() if v}
            coverage_add(
                patient=patient,
                payer=payer,
                member_id=member,
                rank=rank,
                actor=reading.actor,
                at=reading.at,
                **given,
            )
    return unknown


ACCIDENT_PLANS = {"WC", "AM", "AUTO", "MVA"}
"""Plan types (IN1-15) of workers' compensation and auto insurance, as senders write them."""


def _of_accident(reading: _Reading, in1: hl7.Segment) -> bool:
    """Whether a policy pays for one accident: its payer's kind, and a plan type or an ACC segment
    that says so.
    """
    payer = _payer(in1)
    if payer is None or not accident_kind(payer):
        return False
    return in1.value(15).upper() in ACCIDENT_PLANS or reading.message.first("ACC") is not None


def _accident(reading: _Reading, patient: Patient) -> Coverage | None:
    """The policy of the accident that an order's message is about: IN1 with plan type WC or auto,
    the accident in ACC, the adjuster in IN1-6 and IN1-7, the employer in IN1-11.
    """
    in1 = next((s for s in reading.message.all("IN1") if _of_accident(reading, s)), None)
    payer = _payer(in1) if in1 else None
    if in1 is None or payer is None:
        return None
    acc = reading.message.first("ACC")
    happened = hl7.day(acc.value(1)[:8], field="ACC-1") if acc else None
    if happened is None:
        raise Refused(
            f"The order is for {payer.name} and names no day of the accident (ACC-1).",
            code="accident_day_missing",
            field="ACC-1",
            fix="Ask the sender for the ACC segment, or enter the order by hand.",
        )
    contact = hl7.name(in1, 6)
    given = {
        "accident_state": (acc.value(4) if acc else "")[:2].upper(),
        "adjuster_name": _proper(" ".join(p for p in (contact.first, contact.last) if p))[:60],
        "adjuster_phone": hl7.phone(in1, 7),
        "employer": _proper(in1.value(11))[:60],
    }
    return accident_add(
        patient=patient,
        payer=payer,
        accident_on=happened,
        claim_number=in1.value(36)[:30],
        member_id=in1.value(49)[:30],
        actor=reading.actor,
        at=reading.at,
        **{k: v for k, v in given.items() if v},
    )


def _one_field_early(in1: hl7.Segment) -> int:
    """1 for senders that leave out the plan type (IN1-15), so that the insured's fields stand one
    place early; else 0.
    """
    return int(
        in1.value(16).upper() in RELATIONS and in1.value(16) != "" and in1.value(17)[:8].isdigit()
    )


def _payer(in1: hl7.Segment) -> Payer | None:
    """By our code in IN1-2, the partner's id in IN1-3, or the payer's EDI id."""
    wanted = [v for v in (in1.value(2), in1.value(3)) if v]
    rows = asked_once("payers by their names", _payers_by_name)
    return next((rows[w] for w in wanted if w in rows), None)


def _payers_by_name() -> dict[str, Payer]:
    rows = list(Payer.objects.all())
    return {p.code: p for p in rows} | {p.edi_id: p for p in rows}


def _provider(segment: hl7.Segment | None, field: int) -> Provider | None:
    """The ordering or referring practitioner; a new NPI is added to the registry, a wrong one stays
    with the order.
    """
    found = hl7.provider(segment, field)
    if not found.npi:
        return None
    row, made = Provider.objects.get_or_create(
        npi=found.npi,
        defaults={
            "last_name": _proper(found.last)[:60] or found.npi,
            "first_name": _proper(found.first)[:40],
            "credentials": found.degree,
        },
    )
    if not made and found.degree and not row.credentials:
        Provider.objects.filter(pk=row.pk, credentials="").update(credentials=found.degree)
        row.credentials = found.degree
    return row


def _orderer_written(places: Sequence[tuple[hl7.Segment | None, int]]) -> dict[str, str]:
    """The orderer as the sender wrote it, where no place holds a valid NPI: number and name."""
    for segment, field in places:
        found = hl7.provider(segment, field)
        if found.id or found.last:
            name = ", ".join(p for p in (_proper(found.last), _proper(found.first)) if p)
            return {"ordering_npi": found.id[:20], "ordering_name": name}
    return {}


_LEFT_TO_READER = re.compile(
    r"(?P<what>contrast|views?|projections?)\b[^.;|]{0,60}?"
    r"\b(radiologist|reader|protocol|discretion)|"
    r"\b(?:radiologist|reader)\b[^.;|]{0,40}?\b(?P<which>contrast|views?|projections?)",
    re.IGNORECASE,
)


def _latitude(group: list[hl7.Segment]) -> dict[str, bool]:
    """What the order leaves to the radiologist: said in OBR-46 or OBR-47 (CONTRAST_OPEN,
    VIEWS_OPEN), or in words in the procedure's text, the reason or a note.
    """
    obr = next(s for s in group if s.tag == "OBR")
    coded = {parts[0].upper() for field in (46, 47) for parts in obr.repeats(field) if parts}
    fields = (4, 13, 31, 39, 46, 47)
    words = [obr.text_of(f).replace("^", " ") for f in fields]
    words += [s.text_of(3) for s in group if s.tag == "NTE"]
    said = {
        (match["what"] or match["which"]).lower()
        for text in words
        for match in _LEFT_TO_READER.finditer(text)
    }
    return {
        "contrast_open": "CONTRAST_OPEN" in coded or "contrast" in said,
        "views_open": "VIEWS_OPEN" in coded or bool(said - {"contrast"}),
    }


# --- ADT ------------------------------------------------------------------------------------------


def adt(interchange: Interchange, *, actor: Actor, at: datetime) -> Mapping[str, Any]:
    """A04/A01/A28 register, A08/A31 update, A40 merge (PID stays, MRG goes); for each patient of
    the message.
    """
    readings = _readings(interchange, actor, at)
    event = readings[0].event
    if event not in ("A01", "A04", "A05", "A08", "A28", "A31", "A40"):
        return {"event": event, "ignored": True}
    summary: dict[str, Any] = {"event": event, "patients": len(readings)}
    unknown: list[str] = []
    for reading in readings:
        patient = _patient(reading)
        if event == "A40":
            summary["merged"] = summary.get("merged", 0) + _merge(reading, patient)
        else:
            unknown += _coverages(reading, patient)
    if unknown:
        summary["unknown_payers"] = len(unknown)
        raise_unknown(unknown)
    return summary


def _merge(reading: _Reading, patient: Patient) -> int:
    """Merge every chart that MRG names into the patient's; returns how many were."""
    reading.message.need("MRG")
    merged = 0
    for mrg in reading.message.all("MRG"):
        old = hl7.identifier(mrg, 1, owners=reading.own)
        gone = Patient.objects.filter(organization=reading.organization, mrn=old).first()
        if gone is None or gone.merged_into_id is not None or gone.pk == patient.pk:
            continue
        patient_merge(
            keep=patient,
            gone=gone,
            reason="Merged by the sending system",
            actor=reading.actor,
            at=reading.at,
        )
        merged += 1
    return merged


def raise_unknown(codes: list[str]) -> None:
    """A payer we do not know: refuse the message, so that somebody maps it and replays."""
    raise Refused(
        f"We know no payer {', '.join(codes)[:60]} (IN1-2, IN1-3).",
        code="payer_unknown",
        field="IN1-2",
        fix="Add the payer, then replay the message.",
    )


# --- ORM, OMI -------------------------------------------------------------------------------------


def orm(interchange: Interchange, *, actor: Actor, at: datetime) -> Mapping[str, Any]:
    """Orders: ORC-1 NW places (again: changes), XO changes, CA and DC cancel, SC and others report
    a status and change nothing. Each OBR is an exam of its own, also the second one under an ORC.
    """
    summary: dict[str, Any] = {"orders": 0, "exams": 0, "placed": 0, "changed": 0, "cancelled": 0}
    for reading in _readings(interchange, actor, at):
        patient = _patient(reading)
        unknown = _coverages(reading, patient)
        if unknown:
            raise_unknown(unknown)
        accident = _accident(reading, patient)
        asked = _asked_orders(reading)
        summary["orders"] += len(asked)
        for order in asked:
            _work_order(reading, patient, order, accident, summary)
    return summary


@dataclass(frozen=True, slots=True)
class _AskedOrder:
    """One order of a message: its control code, and for each exam the ORC with the OBR and what
    belongs to it.
    """

    control: str
    exams: tuple[list[hl7.Segment], ...]


def _asked_orders(reading: _Reading) -> list[_AskedOrder]:
    """The orders of a message. Groups that carry the same placer number and control code are one
    order of several exams.
    """
    groups = reading.message.groups("ORC")
    if not groups:
        raise ParseProblem("The message has no ORC segment.", code="segment_missing", field="ORC")
    found: dict[tuple[str, str, int], list[list[hl7.Segment]]] = {}
    for number, group in enumerate(groups):
        control = group[0].value(1).upper()
        for exam in _exams_of(group):
            placer = _placer(exam)
            key = (control, placer, 0 if placer else number)
            found.setdefault(key, []).append(exam)
    return [_AskedOrder(control, tuple(exams)) for (control, _, _), exams in found.items()]


def _exams_of(group: list[hl7.Segment]) -> list[list[hl7.Segment]]:
    """One group of ORC cut at each OBR: what stands before the first OBR belongs to all."""
    starts = [n for n, segment in enumerate(group) if segment.tag == "OBR"]
    if len(starts) < 2:
        return [group]
    ends = [*starts[1:], len(group)]
    return [
        [*group[: starts[0]], *group[start:end]] for start, end in zip(starts, ends, strict=True)
    ]


def _work_order(
    reading: _Reading,
    patient: Patient,
    asked: _AskedOrder,
    accident: Coverage | None,
    summary: dict[str, Any],
) -> None:
    if asked.control in ("NW", "XO", "RO"):
        before = _known_order(reading, asked.exams)
        order = _place(reading, patient, asked, before, accident)
        if before is not None:
            summary["changed"] += 1
        elif order is not None:
            summary["placed"] += 1
        summary["exams"] += len(asked.exams)
    elif asked.control in ("CA", "DC", "OC"):
        order = _known_order(reading, asked.exams)
        if order is None:
            raise Refused("The order to cancel is not known.", code="order_unknown", field="ORC-2")
        reason = asked.exams[0][0].value(16, 2)
        order_cancel(
            order=order,
            reason=reason or f"Cancelled by the sending system ({asked.control})",
            actor=reading.actor,
            at=reading.at,
        )
        summary["cancelled"] += 1


def _known_order(reading: _Reading, exams: Sequence[list[hl7.Segment]]) -> Order | None:
    """By placer number, else by accession, else by filler number."""
    rows = OrderedExam.objects.filter(organization=reading.organization).select_related("order")
    for group in exams:
        placer = _placer(group)
        found = (
            Order.objects.filter(organization=reading.organization, placer_number=placer).first()
            if placer
            else None
        )
        if found is not None:
            return found
        accession, filler = _accession(group), group[0].value(3)
        exam = rows.filter(accession=accession).first() if accession else None
        if exam is None and filler:
            exam = rows.filter(filler_number=filler).first()
        if exam is not None:
            return exam.order
    return None


def _placer(group: list[hl7.Segment]) -> str:
    obr = next((s for s in group if s.tag == "OBR"), None)
    return group[0].value(2)[:40] or (obr.value(2)[:40] if obr else "")


def _accession(group: list[hl7.Segment]) -> str:
    obr = next((s for s in group if s.tag == "OBR"), None)
    ipc = next((s for s in group if s.tag == "IPC"), None)
    return (ipc.value(1) if ipc else "")[:40] or (obr.value(18)[:40] if obr else "")


def _exam_ask(group: list[hl7.Segment], *, alone: bool) -> ExamAsk:
    """One exam as the message asks for it. The filler number of ORC is an exam's own only when it
    is `alone` under that ORC.
    """
    orc = group[0]
    obr = next((s for s in group if s.tag == "OBR"), None)
    if obr is None or not obr.value(4):
        raise ParseProblem(
            "The order names no procedure (OBR-4).", code="segment_missing", field="OBR-4"
        )
    ipc = next((s for s in group if s.tag == "IPC"), None)
    modality = (ipc.value(5) if ipc else "") or obr.value(24)
    side = SIDES.get(obr.value(15, 5).upper(), "") or next(
        (SIDES[m] for m in (p[0].upper() for p in obr.repeats(44)) if m in SIDES), ""
    )
    filler = orc.value(3) or obr.value(3) if alone else obr.value(3) or orc.value(3)
    return ExamAsk(
        code=obr.value(4).upper(),
        description=obr.value(4, 2)[:80],
        modality=MODALITIES.get(modality.upper(), modality.upper())[:6],
        laterality=side,
        accession=_accession(group),
        filler_number=filler[:40],
        **_latitude(group),
    )


def _reason(group: list[hl7.Segment]) -> str:
    """Why the exam is asked for: every reason of OBR-31, else OBR-13."""
    obr = next(s for s in group if s.tag == "OBR")
    for field in (31, 13):
        said = [
            (parts[1] if len(parts) > 1 and parts[1] else parts[0]) for parts in obr.repeats(field)
        ]
        words = "; ".join(dict.fromkeys(s for s in said if s and s != '""'))
        if words:
            return words
    return ""


def _place(
    reading: _Reading,
    patient: Patient,
    asked: _AskedOrder,
    known: Order | None,
    accident: Coverage | None,
) -> Order | None:
    orc = asked.exams[0][0]
    under = Counter(id(group[0]) for group in asked.exams)
    asks = [_exam_ask(group, alone=under[id(group[0])] == 1) for group in asked.exams]
    obr = next(s for s in asked.exams[0] if s.tag == "OBR")
    site = reading.site(("PV1", 3), ("OBR", 21))
    places = ((orc, 12), (obr, 16), (reading.message.first("PV1"), 8))
    ordering = next((p for p in (_provider(s, f) for s, f in places) if p is not None), None)
    reasons = dict.fromkeys(r for r in map(_reason, asked.exams) if r)
    diagnoses = [s.value(3) for group in asked.exams for s in group if s.tag == "DG1"] or [
        s.value(3) for s in reading.message.all("DG1")
    ]
    ordered_at = hl7.timestamp(orc.value(9), reading.zone(site), field="ORC-9")
    # an electronic order that names who ordered it counts as signed
    common: dict[str, Any] = {
        "ordering": ordering,
        "signed": ordering is not None,
        "indication": "; ".join(reasons),
        "diagnoses": diagnoses,
        "site": site,
        "actor": reading.actor,
        "at": reading.at,
    }
    if ordering is None:
        common |= _orderer_written(places)
    if known is not None:
        if known.status in (OrderStatus.CANCELLED, OrderStatus.COMPLETED):
            return None
        if accident is not None:
            coverage_choose(order=known, coverage=accident, actor=reading.actor, at=reading.at)
        return order_change(order=known, exams=asks, **common)
    return order_place(
        patient=patient,
        exams=asks,
        ordered_at=ordered_at,
        placer_number=_placer(asked.exams[0]),
        source="hl7",
        coverage=accident,
        **common,
    )


# --- SIU ------------------------------------------------------------------------------------------


def siu(interchange: Interchange, *, actor: Actor, at: datetime) -> Mapping[str, Any]:
    """S12 books, S13 and S14 move or change, S15 and S17 cancel, S26 did not come. The other
    scheduler has decided: gates are shown, not enforced.
    """
    reading = _one_patient(interchange, actor, at)
    message = reading.message
    sch = message.need("SCH")
    patient = _patient(reading)
    number = (sch.value(2) or sch.value(1))[:40]
    if not number:
        raise ParseProblem("SCH names no appointment.", code="segment_missing", field="SCH-2")
    known = (
        Appointment.objects.filter(organization=reading.organization, number=number)
        .select_related("site", "patient")
        .first()
    )
    if reading.event in ("S15", "S17", "S26"):
        if known is None:
            raise Refused(
                "The appointment is not known.", code="appointment_unknown", field="SCH-2"
            )
        if known.status in (AppointmentStatus.CANCELLED, AppointmentStatus.NO_SHOW):
            return {"event": reading.event, "repeated": 1}
        if reading.event == "S26":
            appointment_no_show(appointment=known, actor=actor, at=at)
        else:
            appointment_cancel(
                appointment=known,
                reason=sch.value(6, 2) or "Cancelled by the scheduling system",
                actor=actor,
                at=at,
            )
        return {"event": reading.event, "cancelled": 1}
    if reading.event not in ("S12", "S13", "S14"):
        return {"event": reading.event, "ignored": True}
    site = reading.site(("AIL", 3), ("PV1", 3))
    if site is None:
        raise Refused(
            "The message names no site of ours (AIL-3, PV1-3).",
            code="site_unknown",
            field="AIL-3",
            fix="Enter the partner's location code at the site.",
        )
    ais, ail = message.first("AIS"), message.first("AIL")
    starts = hl7.timestamp(
        (ais.value(4) if ais else "") or sch.value(11, 4), reading.zone(site), field="AIS-4"
    )
    if starts is None:
        raise ParseProblem(
            "The appointment has no start time (AIS-4, SCH-11).",
            code="segment_incomplete",
            field="AIS-4",
        )
    minutes = (ais.value(7) if ais else "") or sch.value(9)
    room = next(
        (
            p
            for parts in (ail.repeats(3) if ail else ())
            for p in parts
            if p and p not in reading.sites
        ),
        "",
    )
    exams = _scheduled_exams(reading, patient, sch)
    common: dict[str, Any] = {
        "starts_at": starts,
        "exams": exams,
        "minutes": int(minutes) if minutes.isdigit() else 30,
        "resource": room[:40],
        "actor": actor,
        "enforce": False,
        "at": at,
    }
    if known is not None:
        if known.status in (AppointmentStatus.ARRIVED, AppointmentStatus.COMPLETED):
            return {"event": reading.event, "repeated": 1}
        before = known.version
        moved = appointment_move(appointment=known, site=site, reason=sch.value(6, 2), **common)
        return {"event": reading.event, "moved": int(moved.version != before)}
    codes = [s.value(3).upper()[:10] for s in message.all("AIS") if s.value(3)]
    appointment_book(
        patient=patient,
        site=site,
        number=number,
        scheduled_codes=[] if exams else codes,
        **common,
    )
    return {"event": reading.event, "booked": 1, "exams": len(exams)}


def _scheduled_exams(reading: _Reading, patient: Patient, sch: hl7.Segment) -> list[OrderedExam]:
    """Ordered exams of the patient that the message means: by filler, by placer, then by the
    procedure of each AIS (rule `exam-match-order`).
    """
    rows = list(
        OrderedExam.objects.filter(
            organization=reading.organization,
            patient=patient,
            status__in=[OrderStatus.OPEN, OrderStatus.SCHEDULED],
        )
        .select_related("order")
        .order_by("id")
    )
    numbers = {v for v in (sch.value(26), sch.value(27), sch.value(1), sch.value(2)) if v}
    found = [
        e
        for e in rows
        if (e.filler_number and e.filler_number in numbers)
        or (e.order.placer_number and e.order.placer_number in numbers)
    ]
    if found:
        return found
    codes = [s.value(3).upper() for s in reading.message.all("AIS")]
    return [e for code in codes for e in rows if e.code == code and e.status == OrderStatus.OPEN][
        : len(codes)
    ]
