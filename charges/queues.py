"""The mid-cycle's work queues. What the authorization phase must repair is in its own queue
("auth_update").
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.urls import reverse

from charges import present
from charges.assembly import CONFLICT, LATE, MACHINES, MISMATCH, REVIEW, UNSIGNED
from charges.models import Exam, ExamStatus, MachineQuestion, Unsolicited
from charges.services.clocks import WAITING
from charges.services.recording import UNSOLICITED
from intake.models import OrderedExam
from rcm.accounts.actor import Actor
from rcm.web import format as fmt
from rcm.worklist.registry import Fix, Panel, Queue, register


def exam_panel(item: Any, actor: Actor) -> Panel:
    """Why the exam stopped, the four-way evidence, and the fixes that fit its cause."""
    exam = (
        Exam.objects.visible_to(actor)
        .select_related("patient", "ordered_exam__order", "authorization", "reader__provider")
        .filter(pk=item.subject_id)
        .first()
        if item.subject_type == "exam"
        else None
    )
    if exam is None:
        return Panel(why=item.title)
    page = reverse("charges:exam", args=[exam.public_id])
    holds = {h["code"]: h for h in exam.holds}
    hold = holds.get(item.cause, {})
    fixes = []
    if (
        present.accept_words(exam)
        and item.queue in (REVIEW, CONFLICT)
        and actor.can("charge.review", item)
    ):
        fixes.append(
            Fix(
                f"Accept {present.accept_words(exam)}",
                reverse("charges:accept", args=[exam.public_id]),
                "post",
                "charge.review",
                primary=True,
            )
        )
        fixes.append(
            Fix(
                "Change the code",
                reverse("charges:code", args=[exam.public_id]),
                permission="charge.review",
            )
        )
    url = present.fix_url(exam, hold) if hold else ""
    if url:
        fixes.append(Fix(hold["fix"].rstrip("."), url, primary=not fixes))
    if hold.get("waive"):
        fixes.append(
            Fix(
                "Waive with a reason",
                reverse("charges:waive", args=[exam.public_id, item.cause]),
                permission=hold["waive"],
            )
        )
    if item.queue == UNSIGNED:
        fixes.append(
            Fix(
                "All reports of this reader",
                f"{reverse('charges:unsigned')}?q={item.facts.get('reader', '')}",
                permission="exam.view",
                primary=not fixes,
            )
        )
    fixes.append(
        Fix(
            "No bill", reverse("charges:no_bill", args=[exam.public_id]), permission="charge.review"
        )
    )
    links = [
        ("Exam", page),
        ("Patient chart", reverse("intake:patient", args=[exam.patient.public_id])),
    ]
    others = [h["sentence"] for code, h in holds.items() if code != item.cause]
    extra: dict[str, Any] = {
        "others": others,
        "quotes": _quotes(exam, item.cause) if actor.can("report.view", item) else [],
    }
    return Panel(
        why=item.title,
        grid=present.panel_grid(exam),
        fixes=fixes,
        links=links,
        event_keys={"exam_id": exam.pk},
        extra_template="charges/panel_extra.html" if others or extra["quotes"] else "",
        extra=extra,
    )


def _quotes(exam: Exam, cause: str) -> list[dict[str, str]]:
    return [
        {"section": f["section"], "quote": f["quote"]}
        for f in exam.findings
        if f["code"] == cause and f["quote"]
    ]


def unsolicited_panel(item: Any, actor: Actor) -> Panel:
    """What the message says, and the orders it may belong to."""
    row = (
        Unsolicited.objects.visible_to(actor)
        .select_related("patient")
        .filter(pk=item.subject_id)
        .first()
    )
    if row is None:
        return Panel(why=item.title)
    page = reverse("charges:unsolicited_row", args=[row.public_id])
    grid: list[dict[str, Any]] = [
        {
            "cell": "Result",
            "code": row.code,
            "text": f"{row.kind} {row.accession}".strip(),
            "more": fmt.moment(row.received_at),
            "differs": False,
        }
    ]
    near = (
        OrderedExam.objects.visible_to(actor).filter(patient_id=row.patient_id).order_by("-id")[:3]
        if row.patient_id
        else ()
    )
    grid += [
        {
            "cell": "Order",
            "code": o.code,
            "text": o.description,
            "more": f"accession {o.accession or 'none'}",
            "differs": o.accession != row.accession,
        }
        for o in near
    ]
    if not near:
        grid.append({"cell": "Order", "text": "no order of this patient", "missing": True})
    return Panel(
        why=row.why,
        grid=grid,
        fixes=[Fix("Find its order", page, primary=True), Fix("Dismiss", f"{page}#dismiss")],
        event_keys={"patient_id": row.patient_id} if row.patient_id else {},
    )


def machine_panel(item: Any, actor: Actor) -> Panel:
    """Which station is asked about, and which exams wait for the answer."""
    question = (
        MachineQuestion.objects.visible_to(actor)
        .select_related("site")
        .filter(pk=item.subject_id)
        .first()
    )
    if question is None:
        return Panel(why=item.title)
    exams = Exam.objects.visible_to(actor).filter(
        site_id=question.site_id,
        station__iexact=question.station,
        holds__contains=[{"code": "MACHINE_UNKNOWN"}],
    )
    grid: list[dict[str, Any]] = [
        {
            "cell": "Waiting exam",
            "code": exam.code,
            "text": exam.accession,
            "more": fmt.mdy(exam.service_date),
            "differs": False,
        }
        for exam in exams.order_by("service_date", "pk")[:8]
    ]
    told = urlencode(
        {
            "site": question.site_id,
            "station": question.station,
            "name": question.station,
            "modality": question.modality,
            "effective_from": question.first_day.isoformat(),
        }
    )
    return Panel(
        why=item.title,
        grid=grid,
        fixes=[
            Fix(
                "Enter the machine",
                f"{reverse('charges:rule_new', args=['scanners'])}?{told}",
                permission="rules.edit",
                primary=True,
            ),
            Fix(
                "Machines on record",
                reverse("charges:rules", args=["scanners"]),
                permission="rules.view",
            ),
        ],
        links=[],
        event_keys={},
    )


FACTS = (("exam", "Exam"), ("accession", "Accession"), ("reader", "Reader"))

register(
    Queue(
        UNSOLICITED,
        "Results without order",
        "Charges",
        "exam.view",
        30,
        "Every result belongs to an order.",
        deadline_word="Since",
        facts=(("kind", "Message"), ("accession", "Accession"), ("code", "Exam")),
        panel=unsolicited_panel,
    ),
    Queue(
        MACHINES,
        "Unknown machines",
        "Charges",
        "exam.view",
        31,
        "Every station has its record.",
        deadline_word="File by",
        facts=(("station", "Station"), ("modality", "Modality"), ("count", "Exams waiting")),
        panel=machine_panel,
        work_permission="rules.edit",
    ),
    Queue(
        MISMATCH,
        "Order and authorization mismatch",
        "Charges",
        "exam.view",
        32,
        "Every exam fits its order and authorization.",
        deadline_word="Settle by",
        facts=FACTS,
        panel=exam_panel,
        views=(("Order changed", "cause=ORDER_CHANGE"),),
    ),
    Queue(
        CONFLICT,
        "Report to reader",
        "Charges",
        "report.view",
        34,
        "No report waits for an addendum.",
        deadline_word="File by",
        facts=FACTS,
        panel=exam_panel,
    ),
    Queue(
        REVIEW,
        "Charge review",
        "Charges",
        "charge.view",
        36,
        "Every charge is coded.",
        deadline_word="File by",
        facts=FACTS,
        panel=exam_panel,
    ),
    Queue(
        LATE,
        "Changed after release",
        "Charges",
        "charge.view",
        38,
        "No released charge waits for a correction.",
        deadline_word="File by",
        facts=FACTS,
        panel=exam_panel,
    ),
    Queue(
        UNSIGNED,
        "Unsigned reports",
        "Charges",
        "exam.view",
        40,
        "Every exam older than a day is signed.",
        deadline_word="File by",
        facts=FACTS,
        panel=exam_panel,
    ),
)


def unsigned_count(actor: Actor) -> int:
    """Exams that wait for a final report, for the rail."""
    return (
        Exam.objects.visible_to(actor)
        .filter(status__in=[ExamStatus.PERFORMED, ExamStatus.PRELIMINARY])
        .count()
    )


TO_CODE = Q(holds__contains=[{"queue": REVIEW}])
AT_READER = Q(holds__contains=[{"queue": CONFLICT}])


def for_review(actor: Actor) -> QuerySet[Exam]:
    """Exams that stopped at a coder or a reader: the rows of the page and what the rail counts."""
    rows = Exam.objects.visible_to(actor).filter(TO_CODE | AT_READER)
    return rows.exclude(status__in=[*WAITING, ExamStatus.NO_BILL])


def review_count(actor: Actor) -> int:
    """Exams to code, for the rail: the first tab of the page."""
    return for_review(actor).filter(TO_CODE).count()
