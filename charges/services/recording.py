"""Performed exams as they are told to us. What no order explains waits for a person and never
becomes a charge (rule `exam-match-order`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from charges import performed
from charges.models import EXAM_MOVES, Exam, ExamStatus, Unsolicited, UnsolicitedStatus
from charges.records import Keys, PerformedRecord, Recorded, ReportRecord
from charges.services.lines import CodedLine, OfExam, lines_require, notices_require
from charges.services.writing import update_rows
from intake.models import AppointmentStatus, OrderedExam, OrderStatus, Patient
from intake.services import appointment_complete
from rcm.accounts.actor import Actor
from rcm.accounts.clock import day_as_written
from rcm.accounts.models import Site
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.models import Interchange
from rcm.exchange.outbox import publish_many
from rcm.reference.clock import day_at
from rcm.worklist.services import ItemSpec, close_items, open_items

EVALUATE = "charges.evaluate"
UNSOLICITED = "unsolicited_results"
_TOLD_STATUS = {
    "in_progress": ExamStatus.IN_PROGRESS,
    "completed": ExamStatus.PERFORMED,
    "discontinued": ExamStatus.DISCONTINUED,
}
Record = PerformedRecord | ReportRecord


@dataclass(slots=True)
class Heard:
    """One record on its way: the exam it belongs to and what it changed, or why it has none."""

    record: Record
    exam: Exam | None
    new: bool = False
    changed: bool = False
    old: str = ""
    why: str = ""


@dataclass(slots=True)
class Place:
    """Where a record belongs: its exam, or the ordered exam that explains it, or why neither is
    known.
    """

    exam: Exam | None = None
    ordered: OrderedExam | None = None
    site: Site | None = None
    why: str = ""


class Finder:
    """Places many records in a fixed number of queries: accession, then filler number, then placer
    number with MRN, then, for a step that carries no number at all, patient, day and code (rule
    `exam-match-order`).
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.organization_id = records[0].organization_id
        if any(r.organization_id != self.organization_id for r in records):
            raise ValueError("records of one organization at a time")
        keys = [r.keys for r in records]
        accessions = {k.accession for k in keys} - {""}
        linked = self._linked(records)
        mrns = {k.mrn for k in keys} - {""}
        charts = Patient.objects.filter(organization_id=self.organization_id, mrn__in=mrns)
        self._charts = {p.mrn: p.merged_into_id or p.pk for p in charts}
        bare = [r for r in records if _numberless(r)]
        people = {self._charts[r.keys.mrn] for r in bare if r.keys.mrn in self._charts}
        rows = OrderedExam.objects.filter(
            Q(pk__in=linked.values())
            | Q(accession__in=accessions)
            | Q(filler_number__in={k.filler_number for k in keys} - {""})
            | Q(order__placer_number__in={k.placer_number for k in keys} - {""})
            | (
                (Q(patient_id__in=people) | Q(patient__merged_into_id__in=people))
                & Q(code__in={r.code for r in bare} - {""})
            ),
            organization_id=self.organization_id,
        ).select_related("order__site", "patient__merged_into", "appointment__site")
        ordered = list(rows.order_by("id"))
        self._by_id = {o.pk: o for o in ordered}
        self._linked_to = {key: self._by_id[pk] for key, pk in linked.items() if pk in self._by_id}
        self._accession = {o.accession: o for o in ordered if o.accession}
        self._filler: dict[str, list[OrderedExam]] = {}
        self._placer: dict[str, list[OrderedExam]] = {}
        for o in ordered:
            if o.filler_number:
                self._filler.setdefault(o.filler_number, []).append(o)
            if o.order.placer_number:
                self._placer.setdefault(o.order.placer_number, []).append(o)
        exams = Exam.objects.select_for_update(of=("self",)).filter(
            Q(accession__in=accessions | {o.accession for o in ordered} - {""})
            | Q(ordered_exam_id__in=self._by_id),
            organization_id=self.organization_id,
        )
        self._exams: dict[str, Exam] = {}
        self._performed: dict[int, Exam] = {}
        for exam in exams.select_related("site", "patient__merged_into").order_by("id"):
            self._exams[exam.accession] = exam
            if exam.ordered_exam_id:
                self._performed[exam.ordered_exam_id] = exam
        self._versions = {e.pk: e.version for e in self._exams.values()}
        self._fresh: list[Exam] = []
        self._sites = list(Site.objects.filter(organization_id=self.organization_id))

    def _linked(self, records: Sequence[Record]) -> dict[tuple[int, int], int]:
        ids = {r.interchange_id for r in records if r.interchange_id}
        if not ids:
            return {}
        rows = Unsolicited.objects.filter(interchange_id__in=ids, status=UnsolicitedStatus.LINKED)
        return {
            (u.interchange_id, u.position): u.ordered_exam_id for u in rows if u.ordered_exam_id
        }

    def keep(self, exam: Exam) -> Exam:
        """Remember a new exam, so that a later record of the same run finds it."""
        self._exams[exam.accession] = exam
        if exam.ordered_exam_id:
            self._performed[exam.ordered_exam_id] = exam
        self._fresh.append(exam)
        return exam

    def save(self) -> None:
        """Write new and changed exams."""
        Exam.objects.bulk_create(self._fresh, batch_size=500)
        self._fresh.clear()
        update_rows(
            [e for e in self._exams.values() if e.version != self._versions.get(e.pk, e.version)],
            TOLD_FIELDS,
        )

    def answer(self, heard: Sequence[Heard], *, actor: Actor, at: datetime) -> list[Recorded]:
        """What became of each record; what has no place waits for a person."""
        waiting = _settle_unsolicited(heard, self, actor=actor, at=at)
        return [
            (
                Recorded(h.exam.pk, h.new, h.changed)
                if h.exam is not None
                else Recorded(
                    None,
                    unsolicited_id=waiting.get((h.record.interchange_id or 0, h.record.position)),
                    sentence=h.why,
                )
            )
            for h in heard
        ]

    def patient_id(self, keys: Keys) -> int | None:
        return self._charts.get(keys.mrn)

    def place(self, record: Record) -> Place:
        """The exam or ordered exam of one record. A result that names another patient than its
        accession is nobody's.
        """
        keys = record.keys
        forced = self._linked_to.get((record.interchange_id or 0, record.position))
        exam = self._performed.get(forced.pk) if forced else self._exams.get(keys.accession)
        ordered = forced or self._accession.get(keys.accession)
        if exam is None and ordered is None:
            ordered, why = self._by_numbers(record)
            if ordered is None:
                return Place(why=why)
        if exam is None and ordered is not None:
            exam = self._performed.get(ordered.pk)
        patient = exam.patient if exam else ordered.patient if ordered else None
        if (
            forced is None
            and patient is not None
            and keys.mrn
            and not self._same_person(keys.mrn, patient)
        ):
            return Place(why="The accession belongs to another patient than the message names.")
        if exam is not None:
            return Place(exam, ordered, exam.site)
        assert ordered is not None
        if ordered.status == OrderStatus.CANCELLED:
            return Place(why="The order of this exam was cancelled.")
        site = self._site(record, ordered)
        return Place(
            None,
            ordered,
            site,
            "" if site else "The message does not say at which site the exam was done.",
        )

    def _by_numbers(self, record: Record) -> tuple[OrderedExam | None, str]:
        keys = record.keys
        if _numberless(record):
            return self._by_day(record)
        for found in (
            self._filler.get(keys.filler_number, []),
            self._placer.get(keys.placer_number, []) if keys.mrn else [],
        ):
            if keys.accession:
                found = [o for o in found if not o.accession or o.accession == keys.accession]
            mine = [o for o in found if not keys.mrn or self._same_person(keys.mrn, o.patient)]
            narrow = (
                [o for o in mine if o.code == record.code]
                or [o for o in mine if o.modality == record.modality]
                or mine
            )
            if len(narrow) == 1:
                return narrow[0], ""
            if len(narrow) > 1:
                return None, "The order holds several exams and the message does not say which."
        return None, "No order carries this accession, filler or placer number."

    def _by_day(self, record: Record) -> tuple[OrderedExam | None, str]:
        """The one exam of this patient and code that was scheduled, begun or ordered for that day.
        Two of a kind, or none, are for a person.
        """
        if not (record.keys.mrn and record.code and record.performed_at):
            return None, "The study carries no accession, and patient, day or code is missing."
        mine = [
            o
            for o in self._by_id.values()
            if o.code == record.code
            and o.status != OrderStatus.CANCELLED
            and self._same_person(record.keys.mrn, o.patient)
            and self._is_of_day(record.performed_at, o)
        ]
        if len(mine) == 1:
            return mine[0], ""
        if mine:
            return None, "The study carries no accession, and several exams of that day fit it."
        return None, "The study carries no accession, and no exam of this patient and day fits it."

    def _is_of_day(self, moment: datetime, ordered: OrderedExam) -> bool:
        exam = self._performed.get(ordered.pk)
        if exam is not None:
            return exam.service_date == _day_of(moment, exam.site)
        visit = ordered.appointment
        if visit is not None:
            return day_at(visit.site, visit.starts_at) == _day_of(moment, visit.site)
        site = ordered.order.site or (self._sites[0] if len(self._sites) == 1 else None)
        if site is None:
            return False
        return day_at(site, ordered.order.ordered_at) == _day_of(moment, site)

    def _same_person(self, mrn: str, patient: Patient) -> bool:
        chart = patient.merged_into_id or patient.pk
        return mrn == patient.mrn or self._charts.get(mrn) == chart

    def _site(self, record: Record, ordered: OrderedExam) -> Site | None:
        by_code = {s.code: s for s in self._sites}
        if record.site_code in by_code:
            return by_code[record.site_code]
        if ordered.appointment is not None:
            return ordered.appointment.site
        if ordered.order.site is not None:
            return ordered.order.site
        return self._sites[0] if len(self._sites) == 1 else None


def _numberless(record: Record) -> bool:
    """Whether a modality's step has no number that could name its exam."""
    keys = record.keys
    if not isinstance(record, PerformedRecord) or record.source != "mpps":
        return False
    return not (keys.accession or keys.filler_number or keys.placer_number)


def _day_of(moment: datetime, site: Site) -> date:
    return day_as_written(moment) if moment.tzinfo is None else day_at(site, moment)


def localize(moment: datetime | None, site: Site) -> datetime | None:
    """A naive moment is the wall clock of the site."""
    if moment is not None and moment.tzinfo is None:
        return moment.replace(tzinfo=ZoneInfo(site.time_zone))
    return moment


@transaction.atomic
def exams_record(
    *, records: Sequence[PerformedRecord], actor: Actor, at: datetime | None = None
) -> list[Recorded]:
    """Record performed exams. The same record again changes nothing; another source adds to what is
    known.

    A new or changed exam is evaluated by the batch workers ("charges.evaluate"). Set-based: the
    number of queries does not grow with the number of records. Records of one organization at a
    time. A code with modifiers that it cannot carry refuses them all, whatever the door.
    """
    at = at or timezone.now()
    if not records:
        return []
    for record in records:
        lines_require(coded_lines(record), day_as_written(record.performed_at or at))
    finder = Finder(records)
    heard: list[Heard] = []
    asked: list[OfExam] = []
    for record in records:
        place = finder.place(record)
        exam = place.exam
        ordered_id = exam.ordered_exam_id if exam is not None else None
        if place.ordered is not None:
            ordered_id = place.ordered.pk
        if ordered_id is not None:
            asked.append(OfExam(ordered_id, _began(record, place), coded_lines(record)))
        if place.why or place.site is None:
            heard.append(Heard(record, None, why=place.why))
        elif exam is None:
            assert place.ordered is not None
            exam = finder.keep(new_exam(record, place.ordered, place.site, at))
            heard.append(Heard(record, exam, new=True, changed=True))
        else:
            old = exam.status
            heard.append(Heard(record, exam, changed=tell(exam, record), old=old))
    notices_require(asked)
    finder.save()
    record_steps((_step(h) for h in heard if h.exam is not None and h.changed), actor=actor, at=at)
    out = finder.answer(heard, actor=actor, at=at)
    changed = {h.exam.pk: h.exam for h in heard if h.exam is not None and h.changed}
    complete_visits(changed.values(), at=at)
    wake(changed, organization_id=finder.organization_id, at=at)
    return out


def _began(record: PerformedRecord, place: Place) -> datetime | None:
    """When the exam of a record began, as known before the record is told."""
    if record.performed_at is not None and place.site is not None:
        return localize(record.performed_at, place.site)
    return place.exam.performed_at if place.exam is not None else None


def coded_lines(record: PerformedRecord) -> list[CodedLine]:
    """Every line that a record asks to bill, with the modifiers it came with."""
    items = [*record.supplies, *record.addons]
    return [*record.coded, *((i.code, i.modifiers) for i in items if not i.credit)]


def exam_record(*, record: PerformedRecord, actor: Actor, at: datetime | None = None) -> Recorded:
    """Record one performed exam; see `exams_record`. Raises Refused when no order explains it and
    no message can be kept for a person.
    """
    done = exams_record(records=[record], actor=actor, at=at)[0]
    if done.exam_id is None and done.unsolicited_id is None:
        raise Refused(
            done.sentence,
            code="no_order",
            field="accession",
            fix="Send the order first, or name the accession of the order.",
        )
    return done


TOLD_FIELDS = [
    "performed",
    "code",
    "modality",
    "laterality",
    "station",
    "study_uid",
    "diagnoses",
    "status",
    "performed_at",
    "service_date",
    "version",
]
_SOURCE_WORDS = {
    "mpps": "The modality",
    "oru": "The report message",
    "dft": "The charge message",
    "api": "A partner",
    "screen": "A person",
}


def new_exam(record: PerformedRecord, ordered: OrderedExam, site: Site, at: datetime) -> Exam:
    """An exam row for a record that an order explains (not saved)."""
    moment = localize(record.performed_at, site) or at
    exam = Exam(
        organization_id=record.organization_id,
        patient_id=ordered.patient.merged_into_id or ordered.patient_id,
        ordered_exam=ordered,
        site=site,
        accession=record.keys.accession
        or ordered.accession
        or record.keys.filler_number
        or f"{ordered.order.placer_number}-{ordered.pk}",
        modality=record.modality or ordered.modality,
        performed_at=moment,
        service_date=day_at(site, moment),
        status=_TOLD_STATUS[record.status],
    )
    tell(exam, record, first=True)
    return exam


def tell(exam: Exam, record: PerformedRecord, *, first: bool = False) -> bool:
    """Let an exam know one more record, in memory; True when that changed anything."""
    before = {name: getattr(exam, name) for name in TOLD_FIELDS}
    exam.performed = performed.add(exam.performed, record)
    said = exam.performed
    if first or not exam.code:  # afterwards capture says which code it is
        exam.code, exam.laterality = said.get("code", ""), said.get("laterality", "")
    exam.modality = said.get("modality", "") or exam.modality
    exam.station = said.get("station", "")
    exam.study_uid = record.study_uid or exam.study_uid
    if record.diagnoses:
        exam.diagnoses = list(dict.fromkeys(record.diagnoses))[:12]
    wanted = _TOLD_STATUS[record.status]
    if exam.status == ExamStatus.IN_PROGRESS and wanted in EXAM_MOVES[exam.status]:
        exam.status = wanted
    moment = localize(record.performed_at, exam.site)
    strongest = max(
        said["sources"], key=lambda s: performed.RANK.index(s) if s in performed.RANK else -1
    )
    if (
        moment is not None
        and not first
        and record.source == strongest
        and moment != exam.performed_at
    ):
        exam.performed_at = moment
        exam.service_date = day_at(exam.site, exam.performed_at)
    changed = any(getattr(exam, name) != value for name, value in before.items())
    if changed:
        exam.version += 1
    return changed


def _step(heard: Heard) -> Step:
    exam, record = heard.exam, heard.record
    assert exam is not None
    assert isinstance(record, PerformedRecord)
    source = _SOURCE_WORDS[record.source]
    if exam.status == heard.old:
        verb, sentence = "exam.told", f"{source} added to what was performed"
    else:
        words = {
            ExamStatus.IN_PROGRESS: "Exam started",
            ExamStatus.DISCONTINUED: "Exam discontinued",
        }
        verb = f"exam.{exam.status}"
        sentence = (
            f"{words.get(ExamStatus(exam.status), 'Exam performed')}: {exam.code or exam.modality}"
            f" ({source.lower()})"
        )
    return Step(
        exam.organization_id,
        verb,
        sentence,
        keys_of(exam, record.interchange_id),
        old=heard.old,
        new=exam.status,
    )


def keys_of(exam: Exam, interchange_id: int | None = None) -> dict[str, int | None]:
    """The rows of the thread that an event of an exam belongs to."""
    return {
        "patient_id": exam.patient_id,
        "ordered_exam_id": exam.ordered_exam_id,
        "authorization_id": exam.authorization_id,
        "exam_id": exam.pk,
        "interchange_id": interchange_id,
    }


def complete_visits(exams: Iterable[Exam], *, at: datetime) -> None:
    """The visit of a performed exam is over: the front end's own verb says so."""
    done = [
        e.ordered_exam_id for e in exams if e.ordered_exam_id and e.status != ExamStatus.IN_PROGRESS
    ]
    rows = OrderedExam.objects.filter(
        pk__in=done, appointment__status=AppointmentStatus.ARRIVED
    ).select_related("appointment")
    visits = {o.appointment_id: o.appointment for o in rows}
    for visit in visits.values():
        if visit is not None:
            appointment_complete(
                appointment=visit,
                actor=Actor.system("exam performed", [visit.organization_id]),
                at=at,
            )


def wake(exam_ids: Iterable[int | None], *, organization_id: int, at: datetime) -> None:
    """Have exams evaluated by the batch workers, many at a time, after this transaction."""
    payloads = [{"exam_id": pk} for pk in sorted(pk for pk in exam_ids if pk)]
    publish_many(EVALUATE, organization_id=organization_id, payloads=payloads, due_at=at)


# --- what no order explains -----------------------------------------------------------------------


def _settle_unsolicited(
    heard: Sequence[Heard], finder: Finder, *, actor: Actor, at: datetime
) -> dict[tuple[int, int], int]:
    """Open a waiting row and its item for each record without a place; close those that have found
    theirs. Returns rows by message place.
    """
    ids = {h.record.interchange_id for h in heard if h.record.interchange_id}
    known = (
        {
            (u.interchange_id, u.position): u
            for u in Unsolicited.objects.filter(interchange_id__in=ids)
        }
        if ids
        else {}
    )
    kinds = (
        dict(Interchange.objects.filter(pk__in=ids).values_list("pk", "kind"))
        if any(h.exam is None for h in heard)
        else {}
    )
    fresh: dict[tuple[int, int], Unsolicited] = {}
    landed: list[Unsolicited] = []
    for h in heard:
        record = h.record
        if not record.interchange_id:
            continue
        place = (record.interchange_id, record.position)
        row = known.get(place)
        if h.exam is None and row is None:
            keys = record.keys
            fresh[place] = Unsolicited(
                organization_id=record.organization_id,
                interchange_id=record.interchange_id,
                position=record.position,
                kind=kinds.get(record.interchange_id, "")[:6],
                accession=keys.accession[:40],
                filler_number=keys.filler_number[:40],
                placer_number=keys.placer_number[:40],
                mrn=keys.mrn[:30],
                patient_id=finder.patient_id(keys),
                code=record.code[:5],
                modality=record.modality[:6],
                why=h.why[:200],
                received_at=at,
            )
        elif h.exam is not None and row is not None and row.exam_id is None:
            row.status, row.exam_id = UnsolicitedStatus.LINKED, h.exam.pk
            landed.append(row)
    if fresh:
        Unsolicited.objects.bulk_create(fresh.values())
        names = {
            p.pk: p.name
            for p in Patient.objects.filter(
                pk__in={u.patient_id for u in fresh.values() if u.patient_id}
            )
        }
        open_items([_item(u, names, at) for u in fresh.values()], actor=actor, at=at)
    if landed:
        update_rows(landed, ["status", "exam"])
        close_items(
            "unsolicited",
            [u.pk for u in landed],
            actor=actor,
            at=at,
            outcome="The exam is known now",
        )
    return {place: u.pk for place, u in {**known, **fresh}.items()}


def _item(row: Unsolicited, names: Mapping[int, str], at: datetime) -> ItemSpec:
    return ItemSpec(
        organization_id=row.organization_id,
        queue=UNSOLICITED,
        subject_type="unsolicited",
        subject_id=row.pk,
        cause="NO_ORDER",
        title=row.why,
        fix="Find the order and link it, or dismiss with a reason.",
        due_at=at,
        patient_id=row.patient_id,
        patient_name=names.get(row.patient_id or 0, ""),
        facts={
            "accession": row.accession,
            "kind": row.kind,
            "code": row.code,
            "modality": row.modality,
        },
    )
