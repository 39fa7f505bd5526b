"""Papers that a payer asks for: the request with its item, and the signed report sent as 275 or by
hand, under the control number that the claim's PWK carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from charges.models import Report, ReportStatus
from claims.facts import Sheet, load_sheets
from claims.models import RECORDS_MOVES, Claim, ClaimLine, RecordsRequest, RecordsStatus
from claims.services.steps import RECORDS, item, step
from claims.sheets import policies
from claims.x12_837p import payer_party
from intake.services import connection_for, envelope_for
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock, office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import record_steps
from rcm.exchange.models import WorkQueue
from rcm.exchange.services import next_control_number, store_outbound
from rcm.exchange.transitions import Machine, advance
from rcm.worklist.services import close_items, open_items
from rcm.x12.model import Attached, Party
from rcm.x12.writers.attachment import write_275

SUBJECT = "records_request"
ANSWER_DAYS = 30
"""Days that payers commonly leave to answer; the payer's own letter counts."""
CHANNELS = (("275", "Electronically (275)"), ("fax", "Fax"), ("mail", "Mail"))
MACHINE = Machine(
    noun="a request for papers",
    verb="records",
    moves=RECORDS_MOVES,
    keys=lambda rows: {
        r.pk: [{"claim_id": r.claim_id, "patient_id": r.claim.patient_id}] for r in rows
    },
)
SIGNED = (ReportStatus.FINAL, ReportStatus.CORRECTED)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a payer asks for, as one message says it."""

    claim: Claim
    source: str
    code: str
    words: str
    trace: str = ""
    payer_control: str = ""


@transaction.atomic
def records_asked(
    asked: Iterable[Asked], *, actor: Actor, at: datetime, with_items: bool = True
) -> list[RecordsRequest]:
    """Keep each request once and open its item. A denial has its item already (`with_items`
    false).
    """
    today = office_day(at)
    wanted = _unheard(list(asked), today)
    if not wanted:
        return []
    organization_id = wanted[0].claim.organization_id
    first = next_control_number(organization_id, "attachment", count=len(wanted))
    made = RecordsRequest.objects.bulk_create(
        [
            RecordsRequest(
                organization_id=organization_id,
                claim=one.claim,
                source=one.source,
                code=one.code[:20],
                trace=one.trace[:50],
                payer_control=(one.payer_control or one.claim.payer_control_number)[:50],
                words=one.words[:300],
                control=f"ATT{n:08d}",
                asked_on=today,
                due_on=today + timedelta(days=ANSWER_DAYS),
            )
            for n, one in enumerate(wanted, start=first)
        ],
        batch_size=500,
    )
    record_steps(
        (
            step(r.claim, "claim.records_asked", f"The payer asks for papers: {r.words}")
            for r in made
        ),
        actor=actor,
        at=at,
    )
    if with_items:
        _open_items(made, actor=actor, at=at)
    return made


def _unheard(asked: Sequence[Asked], today: date) -> list[Asked]:
    """Without what is asked already: under the payer's own number it is the same request for ever,
    without one as long as it is open, and on the same day. The claims are locked, so that two files
    at once make one.
    """
    claims = sorted({one.claim.pk for one in asked})
    list(
        Claim.objects.select_for_update()
        .filter(pk__in=claims)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    known = RecordsRequest.objects.filter(claim_id__in=claims).filter(
        ~Q(trace="") | Q(status=RecordsStatus.OPEN) | Q(asked_on=today)
    )
    heard = set(known.values_list("claim_id", "source", "code", "trace"))
    fresh: list[Asked] = []
    for one in asked:
        key = (one.claim.pk, one.source, one.code[:20], one.trace[:50])
        if key not in heard:
            heard.add(key)
            fresh.append(one)
    return fresh


def _open_items(rows: Sequence[RecordsRequest], *, actor: Actor, at: datetime) -> None:
    if not rows:
        return
    policy = policies([rows[0].organization_id], office_day(at))[rows[0].organization_id]
    lines: dict[int, list[ClaimLine]] = {}
    for line in ClaimLine.objects.filter(claim_id__in={r.claim_id for r in rows}).select_related(
        "charge"
    ):
        lines.setdefault(line.claim_id, []).append(line)
    specs = []
    for row in rows:
        spec = item(
            row.claim,
            RECORDS,
            row.code,
            f"{row.claim.payer.name} asks for papers: {row.words}",
            fix="Send the signed report.",
            at=at,
            policy=policy,
            lines=lines.get(row.claim_id, ()),
            facts={"asked": row.asked_on.isoformat(), "control": row.control},
        )
        specs.append(replace(spec, subject_type=SUBJECT, subject_id=row.pk, deadline_on=row.due_on))
    open_items(specs, actor=actor, at=at)


def report_of(row: RecordsRequest) -> Report | None:
    """The newest signed report of the claim's exams."""
    exams = ClaimLine.objects.filter(claim_id=row.claim_id).values("charge__exam_id")
    reports = Report.objects.filter(exam_id__in=exams, status__in=SIGNED)
    return reports.order_by("-signed_at", "-version").select_related("exam").first()


def report_text(report: Report) -> str:
    """The report as it is sent: head, sections, signature."""
    head = [
        f"Accession {report.exam.accession}, performed {report.exam.service_date:%m/%d/%Y}",
        f"Read by {report.reader_name}",
    ]
    if report.signed_at:
        signed = office_clock().local(report.signed_at)
        head.append(f"Signed {signed:%m/%d/%Y %H:%M}, version {report.version}")
    body = [f"{name.upper()}\n{text}" for name, text in report.sections.items() if text]
    return "\n".join([*head, "", "\n\n".join(body)])


@transaction.atomic
def records_send(
    *, row: RecordsRequest, channel: str, actor: Actor, at: datetime | None = None
) -> RecordsRequest:
    """Send the signed report: as 275 at once, or note that it went by fax or mail. Once."""
    actor.require("claim.submit", row.claim)
    at = at or timezone.now()
    row = _open(row)
    if channel not in dict(CHANNELS):
        raise Refused("Choose how it is sent.", code="channel", field="channel")
    report = report_of(row)
    if report is None:
        raise Refused(
            "There is no signed report of this exam yet.",
            code="unsigned",
            fix="Have it signed first; the request waits.",
        )
    file = _send_275(row, report, actor=actor, at=at) if channel == "275" else None
    advance(
        MACHINE,
        [row],
        RecordsStatus.SENT,
        sentence=f"Signed report sent ({dict(CHANNELS)[channel].lower()}), number {row.control}",
        actor=actor,
        at=at,
        changes={
            "channel": channel,
            "sent_at": at,
            "sent_by": actor.name[:120],
            "report_version": report.version,
            "interchange_id": file,
        },
    )
    # the claim's next version names the paper too
    extra = {**row.claim.extra, "attachment_control": row.control}
    Claim.objects.filter(pk=row.claim_id).update(extra=extra)
    close_items(SUBJECT, [row.pk], actor=actor, at=at, outcome=f"Sent, {row.control}")
    return row


def _open(row: RecordsRequest) -> RecordsRequest:
    """The request, locked, while it waits for its answer."""
    row = (
        RecordsRequest.objects.select_for_update(of=("self",))
        .select_related("claim__payer")
        .get(pk=row.pk)
    )
    if row.status != RecordsStatus.OPEN:
        raise Conflict("This request is answered already.", code="answered")
    return row


@transaction.atomic
def records_needless(
    *, row: RecordsRequest, note: str, actor: Actor, at: datetime | None = None
) -> RecordsRequest:
    """The payer has it, or asks by mistake: nothing is sent, with a word why."""
    actor.require("claim.submit", row.claim)
    at = at or timezone.now()
    if not note.strip():
        raise Refused("Say why nothing is sent.", code="missing", field="note")
    row = _open(row)
    advance(
        MACHINE,
        [row],
        RecordsStatus.NEEDLESS,
        sentence="No paper is sent",
        reason=note,
        actor=actor,
        at=at,
        changes={"note": note.strip()[:200]},
    )
    close_items(SUBJECT, [row.pk], actor=actor, at=at, outcome="Not needed")
    return row


def _send_275(row: RecordsRequest, report: Report, *, actor: Actor, at: datetime) -> int:
    claim = row.claim
    connection = connection_for(row.organization_id, "275", claim.payer)
    envelope = envelope_for(claim.organization, connection, at=at)
    (sheet,) = load_sheets([claim.pk])
    paper = _attached(sheet, row, report, envelope.sender)
    written = write_275(envelope, [paper])
    stored = store_outbound(
        organization_id=row.organization_id,
        kind="275",
        content=written.data,
        connection=connection,
        control_number=f"{envelope.control:09d}",
        queue=WorkQueue.BATCH,
        at=at,
        actor=actor,
    )
    return int(stored.pk)


def _attached(sheet: Sheet, row: RecordsRequest, report: Report, submitter: str) -> Attached:
    facts, payer = sheet.facts, payer_party(sheet.claim.payer)
    days: list[date] = [line.service_date for line in facts.lines if line.service_date]
    return Attached(
        control=row.control,
        payer=Party("PR", payer.name, id_qualifier="PI", id=payer.id),
        submitter=Party("41", facts.billing_name, id_qualifier="46", id=submitter),
        provider=Party("1P", facts.billing_name, id_qualifier="XX", id=facts.billing_npi),
        patient=Party(
            "QC",
            facts.patient_last,
            facts.patient_first,
            person=True,
            id_qualifier="MI",
            id=facts.member_id,
        ),
        claim_id=facts.claim_id,
        content=report_text(report).encode(),
        payer_control=row.payer_control,
        asked_trace=row.trace,
        service_from=min(days, default=None),
        service_to=max(days, default=None),
    )
