"""Versions of reports as they arrive: preliminary held, final and corrected judged, cancelled
withdraws (rules `exam-match-order` and `release`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from charges.loading import credentialed, last_reports
from charges.models import EXAM_MOVES, Exam, ExamStatus, Reader, Report, ReportStatus
from charges.records import PerformedRecord, Recorded, ReportRecord
from charges.services.recording import (
    Finder,
    Heard,
    complete_visits,
    keys_of,
    localize,
    new_exam,
    tell,
    wake,
)
from charges.services.writing import update_rows
from rcm.accounts.actor import Actor
from rcm.accounts.models import Site
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps

RELEASING = (ReportStatus.FINAL, ReportStatus.CORRECTED)
_VERBS = {
    ReportStatus.PRELIMINARY: ("report.preliminary", "Preliminary report"),
    ReportStatus.FINAL: ("report.final", "Final report"),
    ReportStatus.CORRECTED: ("report.corrected", "Corrected report"),
    ReportStatus.CANCELLED: ("report.cancelled", "Report withdrawn"),
}


@transaction.atomic
def reports_receive(
    *, reports: Sequence[ReportRecord], actor: Actor, at: datetime | None = None
) -> list[Recorded]:
    """Keep a new version of each report and have its exam evaluated.

    The same version again changes nothing. An older one, or a preliminary after the final, is not
    taken over what stands. A report of an exam that nobody recorded yet records it, when an order
    explains it; otherwise it waits for a person. An addendum is kept together with the text it
    amends, so that each version reads whole.
    """
    at = at or timezone.now()
    if not reports:
        return []
    finder = Finder(reports)
    heard: list[Heard] = []
    for record in reports:
        place = finder.place(record)
        exam = place.exam
        if place.why or place.site is None:
            heard.append(Heard(record, None, why=place.why))
            continue
        source = _performed(record)
        if exam is None:
            assert place.ordered is not None
            exam = finder.keep(new_exam(source, place.ordered, place.site, at))
            heard.append(Heard(record, exam, new=True))
        else:
            heard.append(Heard(record, exam, old=exam.status))
    finder.save()
    last = last_reports([h.exam.pk for h in heard if h.exam is not None])
    readers = _readers(reports)
    fresh: list[Report] = []
    steps: list[Step] = []
    for h in heard:
        if h.exam is None:
            continue
        assert isinstance(h.record, ReportRecord)
        version = _version(h.exam, h.record, last.get(h.exam.pk))
        if version is None:
            continue
        h.changed = True
        if not h.new:
            tell(h.exam, _performed(h.record))
        old = h.exam.status
        _follow(h.exam, h.record, readers)
        last[h.exam.pk] = version
        fresh.append(version)
        verb, words = _VERBS[ReportStatus(version.status)]
        by = (
            f" by {h.record.reader_name}"
            if h.record.reader_name and version.status in RELEASING
            else ""
        )
        steps.append(
            Step(
                h.exam.organization_id,
                verb,
                f"{words}{by}",
                keys_of(h.exam, h.record.interchange_id),
                old=old,
                new=h.exam.status,
                data={"version": version.version},
            )
        )
    Report.objects.bulk_create(fresh)
    touched = {h.exam.pk: h.exam for h in heard if h.exam is not None and h.changed}
    update_rows(
        touched.values(),
        [
            "performed",
            "code",
            "modality",
            "laterality",
            "status",
            "reader",
            "performed_at",
            "service_date",
            "version",
        ],
    )
    record_steps(steps, actor=actor, at=at)
    out = finder.answer(heard, actor=actor, at=at)
    complete_visits(touched.values(), at=at)
    wake(touched, organization_id=finder.organization_id, at=at)
    return out


def report_receive(*, report: ReportRecord, actor: Actor, at: datetime | None = None) -> Recorded:
    """Receive one report; see `reports_receive`. Raises Refused when no order explains it and no
    message can be kept for a person.
    """
    done = reports_receive(reports=[report], actor=actor, at=at)[0]
    if done.exam_id is None and done.unsolicited_id is None:
        raise Refused(
            done.sentence,
            code="no_order",
            field="accession",
            fix="Send the order first, or name the accession of the order.",
        )
    return done


def _performed(record: ReportRecord) -> PerformedRecord:
    """What the header of a report says was done: the weakest source."""
    return PerformedRecord(
        organization_id=record.organization_id,
        source="oru",
        keys=record.keys,
        performed_at=record.performed_at,
        site_code=record.site_code,
        modality=record.modality,
        code=record.code,
        laterality=record.laterality,
        station=record.station,
        study_uid=record.study_uid,
        interchange_id=record.interchange_id,
        position=record.position,
    )


def _version(exam: Exam, record: ReportRecord, before: Report | None) -> Report | None:
    """The row to keep, or None when this version adds nothing to what stands."""
    local = _localized(record, exam.site)
    sections = _whole(before.sections if before else {}, record)
    if before is not None:
        same = before.status == record.status and before.sections == sections
        older = local.reported_at < before.reported_at
        downgrade = record.status == ReportStatus.PRELIMINARY and before.status in RELEASING
        if same or older or downgrade:
            return None
    final = record.status in RELEASING
    return Report(
        organization_id=exam.organization_id,
        exam=exam,
        version=before.version + 1 if before else 1,
        status=record.status,
        sections=sections,
        reader_npi=record.reader_npi[:10],
        reader_name=record.reader_name[:80],
        signed_at=(local.signed_at or local.reported_at) if final else None,
        reported_at=local.reported_at,
        interchange_id=record.interchange_id,
    )


def _localized(record: ReportRecord, site: Site) -> ReportRecord:
    reported = localize(record.reported_at, site)
    assert reported is not None
    return replace(record, reported_at=reported, signed_at=localize(record.signed_at, site))


def _whole(before: Mapping[str, str], record: ReportRecord) -> dict[str, str]:
    """The text as it reads now: a correction keeps what it does not replace, addenda follow each
    other.
    """
    given = {name: text.strip() for name, text in record.sections.items() if text.strip()}
    if record.status != ReportStatus.CORRECTED:
        return given
    sections = {**before, **given}
    earlier, addendum = before.get("addendum", ""), given.get("addendum", "")
    if earlier and addendum and addendum != earlier:
        sections["addendum"] = (
            earlier if addendum in earlier.split("\n") else f"{addendum}\n{earlier}"
        )
    return sections


def _follow(exam: Exam, record: ReportRecord, readers: Mapping[str, Sequence[Reader]]) -> None:
    """Status and reader of the exam after this version; a released exam stays so until it is
    evaluated.
    """
    known = [r for r in readers.get(record.reader_npi, ()) if credentialed(r, exam)] or list(
        readers.get(record.reader_npi, ())
    )
    if known:
        exam.reader = known[0]
    elif record.status in RELEASING:
        exam.reader = None
    exam.version += 1
    wanted = {
        ReportStatus.PRELIMINARY: ExamStatus.PRELIMINARY,
        ReportStatus.FINAL: ExamStatus.FINAL,
        ReportStatus.CORRECTED: ExamStatus.FINAL,
        ReportStatus.CANCELLED: ExamStatus.PERFORMED,
    }[ReportStatus(record.status)]
    if exam.status != ExamStatus.RELEASED and wanted in EXAM_MOVES[exam.status]:
        exam.status = wanted


def _readers(reports: Sequence[ReportRecord]) -> dict[str, list[Reader]]:
    rows = Reader.objects.filter(
        organization_id=reports[0].organization_id,
        provider__npi__in={r.reader_npi for r in reports if r.reader_npi},
    ).select_related("group", "provider")
    found: dict[str, list[Reader]] = {}
    for row in rows.order_by("-credentialed_from"):
        found.setdefault(row.provider.npi, []).append(row)
    return found
