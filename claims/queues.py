"""The queues of the claim phase: edits, rejections, corrections, missing acknowledgements, silent
payers, filing limits.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from charges import present
from charges.models import Charge, Exam
from claims.models import (
    Acknowledgement,
    Claim,
    ClaimLine,
    RecordsRequest,
    ScrubFinding,
    Submission,
)
from claims.services.fixing import FIELDS
from claims.services.papers import report_of
from claims.services.rebilling import reopenable
from claims.services.steps import (
    CORRECTIONS,
    EDITS,
    FILING,
    MISSING,
    OFF_CLAIM_QUEUE,
    RECORDS,
    REJECTIONS,
    SILENT,
    SUBMISSION,
)
from claims.services.submitting import proofs
from rcm.accounts.actor import Actor
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.registry import Fix, Panel, Queue, register


def claim_grid(claim: Claim) -> list[dict[str, Any]]:
    """The exams behind a claim as ordered, authorized, performed, and the lines as they stand on
    the claim.
    """
    lines = list(
        ClaimLine.objects.filter(claim=claim)
        .select_related(
            "charge__exam__ordered_exam__order",
            "charge__exam__authorization",
            "charge__exam__patient",
        )
        .order_by("number")
    )
    grid: list[dict[str, Any]] = []
    for exam in {line.charge.exam_id: line.charge.exam for line in lines}.values():
        grid += [row for row in present.panel_grid(exam) if row["cell"] != present.LABELS["claim"]]
    for line in lines:
        words = f"{line.units.normalize():f} × ${line.amount:,.2f}"
        grid.append(
            {
                "cell": f"Claim line {line.number}",
                "code": " ".join([line.code, *line.modifiers]),
                "text": words,
                "more": "",
                "differs": False,
            }
        )
    return grid


def _claim(item: Any, actor: Actor) -> Claim | None:
    if item.claim_id is None:
        return None
    return (
        Claim.objects.visible_to(actor)
        .filter(pk=item.claim_id)
        .select_related("patient", "payer")
        .first()
    )


def _links(claim: Claim) -> list[tuple[str, str]]:
    return [
        (f"Claim {claim.number}", reverse("claims:claim", args=[claim.public_id])),
        ("Patient chart", reverse("intake:patient", args=[claim.patient.public_id])),
    ]


def edits_panel(item: Any, actor: Actor) -> Panel:
    """What stops the claim, finding by finding."""
    claim = _claim(item, actor)
    if claim is None:
        return Panel(why=item.title)
    findings = list(
        ScrubFinding.objects.filter(claim=claim, cleared_at__isnull=True)
        .select_related("line")
        .order_by("severity", "edit")
    )
    page = reverse("claims:claim", args=[claim.public_id])
    return Panel(
        why=item.title,
        grid=claim_grid(claim),
        fixes=[
            Fix("Open the claim", page, permission="claim.view", primary=True),
            Fix(
                "Scrub again", reverse("claims:scrub", args=[claim.public_id]), "post", "claim.edit"
            ),
            Fix(
                "Change the claim",
                reverse("claims:edit", args=[claim.public_id]),
                permission="claim.edit",
            ),
        ],
        links=_links(claim),
        event_keys={"claim_id": claim.pk},
        extra_template="claims/findings_panel.html",
        extra={"findings": findings},
    )


def rejection_panel(item: Any, actor: Actor) -> Panel:
    """What clearinghouse or payer said, and the field to fix."""
    if item.subject_type == SUBMISSION:
        return file_panel(item, actor)
    claim = _claim(item, actor)
    if claim is None:
        return Panel(why=item.title)
    said = Acknowledgement.objects.filter(claim=claim).order_by("-id")[:3]
    grid = [
        {
            "cell": a.kind,
            "code": f"{a.category} {a.status_code}".strip(),
            "text": a.sentence,
            "more": a.field,
            "differs": a.accepted is False,
        }
        for a in said
    ]
    return Panel(
        why=item.title,
        grid=[*grid, *claim_grid(claim)],
        fixes=[
            _field_fix(item),
            Fix(
                "Change the claim",
                reverse("claims:edit", args=[claim.public_id]),
                permission="claim.edit",
            ),
            Fix(
                "Scrub again", reverse("claims:scrub", args=[claim.public_id]), "post", "claim.edit"
            ),
            Fix(
                "Open the claim",
                reverse("claims:claim", args=[claim.public_id]),
                permission="claim.view",
            ),
        ],
        links=_links(claim),
        event_keys={"claim_id": claim.pk},
    )


def _field_fix(item: Any) -> Fix:
    """The page with exactly the field at fault, for this claim and all that share the cause."""
    asked = {
        "cause": item.cause,
        "reason": item.facts.get("reason") or "",
        "field": item.facts.get("field") or "",
        "payer": item.payer_id or "",
    }
    query = urlencode({name: value for name, value in asked.items() if value})
    field = FIELDS.get(asked["field"])
    return Fix(
        f"Correct the {field.label.lower()}" if field else "Correct the record",
        f"{reverse('claims:fix', args=[item.queue])}?{query}",
        permission="claim.edit",
        primary=True,
    )


def file_panel(item: Any, actor: Actor) -> Panel:
    """The control proof of one file."""
    submission = Submission.objects.visible_to(actor).filter(pk=item.subject_id).first()
    if submission is None:
        return Panel(why=item.title)
    proof = proofs([submission.pk]).get(submission.pk)
    page = reverse("claims:submission", args=[submission.public_id])
    grid = []
    if proof is not None:
        for label, count in (
            ("Out", proof.out),
            ("Accepted", proof.accepted),
            ("Rejected", proof.rejected),
            ("Missing", proof.missing),
        ):
            grid.append(
                {
                    "cell": label,
                    "code": str(count),
                    "text": "claims",
                    "more": "",
                    "differs": label == "Missing" and count > 0,
                }
            )
    return Panel(
        why=item.title,
        grid=grid,
        fixes=[Fix("Open the file", page, permission="claim.view", primary=True)],
        links=[(f"File {submission.number}", page)],
        event_keys={"interchange_id": submission.interchange_id},
    )


def off_claim_panel(item: Any, actor: Actor) -> Panel:
    """The exam as ordered, performed and billed, and what may become of its charges."""
    exam = (
        Exam.objects.visible_to(actor)
        .select_related("patient", "ordered_exam__order", "authorization", "reader__provider")
        .filter(pk=item.exam_id)
        .first()
    )
    if exam is None:
        return Panel(why=item.title)
    charges = Charge.objects.filter(exam=exam, status="released").order_by("id")
    grid = [row for row in present.panel_grid(exam) if row["cell"] != present.LABELS["claim"]]
    grid += [
        {
            "cell": "On no claim",
            "code": " ".join([c.code, *c.modifiers]),
            "text": f"{c.units.normalize():f} × ${c.amount:,.2f}",
            "more": "",
            "differs": True,
        }
        for c in charges
    ]
    page = reverse("charges:exam", args=[exam.public_id])
    name, words = "bill_again", "Bill again"
    if reopenable(exam) is not None:
        name, words = "reopened", "Taken by reopening"
    return Panel(
        why=item.title,
        grid=grid,
        fixes=[
            Fix(
                words,
                reverse(f"claims:{name}", args=[exam.public_id]),
                "post",
                "claim.edit",
                primary=True,
            ),
            Fix(
                "No bill",
                reverse("charges:no_bill", args=[exam.public_id]),
                permission="charge.review",
            ),
            Fix("Open the exam", page, permission="exam.view"),
        ],
        links=[
            ("Exam", page),
            ("Patient chart", reverse("intake:patient", args=[exam.patient.public_id])),
        ],
        event_keys={"exam_id": exam.pk},
    )


def silent_panel(item: Any, actor: Actor) -> Panel:
    """What was asked and what the payer answered."""
    claim = _claim(item, actor)
    if claim is None:
        return Panel(why=item.title)
    said = Acknowledgement.objects.filter(claim=claim).order_by("-id")[:5]
    grid = [
        {
            "cell": a.kind,
            "code": a.category,
            "text": a.sentence,
            "more": a.payer_control_number,
            "differs": False,
        }
        for a in said
    ]
    return Panel(
        why=item.title,
        grid=grid or claim_grid(claim),
        fixes=[
            Fix(
                "Ask again (276)",
                reverse("claims:ask", args=[claim.public_id]),
                "post",
                "claim.submit",
                primary=True,
            ),
            Fix(
                "Open the claim",
                reverse("claims:claim", args=[claim.public_id]),
                permission="claim.view",
            ),
        ],
        links=_links(claim),
        event_keys={"claim_id": claim.pk},
    )


def records_panel(item: Any, actor: Actor) -> Panel:
    """What the payer asks, and the signed report that answers it."""
    row = (
        RecordsRequest.objects.visible_to(actor)
        .select_related("claim__patient", "claim__payer")
        .filter(pk=item.subject_id)
        .first()
    )
    if row is None:
        return Panel(why=item.title)
    report = report_of(row)
    signed = {
        "cell": "Signed report",
        "code": f"version {report.version}" if report else "",
        "text": report.reader_name if report else "No report is signed yet",
        "more": row.control,
        "differs": report is None,
        "missing": report is None,
    }
    return Panel(
        why=item.title,
        grid=[signed, *claim_grid(row.claim)],
        fixes=[
            Fix(
                "Send the signed report",
                reverse("claims:records", args=[row.public_id]),
                permission="claim.submit",
                primary=True,
            )
        ],
        links=_links(row.claim),
        event_keys={"claim_id": row.claim_id},
    )


_CLAIM_FACTS = (("claim", "Claim"), ("service_date", "Service date"), ("exam", "Exam"))

register(
    Queue(
        code=EDITS,
        label="Scrub edits",
        group="Claims",
        permission="claim.view",
        rank=50,
        empty="Every claim passes its edits.",
        deadline_word="File by",
        facts=(*_CLAIM_FACTS, ("edit", "Edit"), ("role", "Owner")),
        panel=edits_panel,
        work_permission="claim.edit",
        fix_together="claims:fix",
    ),
    Queue(
        code=REJECTIONS,
        label="Rejections",
        group="Claims",
        permission="claim.view",
        rank=51,
        empty="No claim is rejected.",
        deadline_word="File by",
        facts=(*_CLAIM_FACTS, ("by", "Said by"), ("field", "Field to fix")),
        panel=rejection_panel,
        work_permission="claim.edit",
        fix_together="claims:fix",
    ),
    Queue(
        code=CORRECTIONS,
        label="Reopenings",
        group="Claims",
        permission="claim.view",
        rank=52,
        empty="No correction waits outside.",
        deadline_word="Correct by",
        facts=(*_CLAIM_FACTS, ("route", "Way")),
        panel=edits_panel,
        work_permission="claim.edit",
    ),
    Queue(
        code=OFF_CLAIM_QUEUE,
        label="Charges without a claim",
        group="Claims",
        permission="claim.view",
        rank=49,
        empty="Every released charge is on a claim.",
        deadline_word="File by",
        facts=(("accession", "Accession"), ("service_date", "Service date"), ("exam", "Exam")),
        panel=off_claim_panel,
        work_permission="claim.edit",
    ),
    Queue(
        code=MISSING,
        label="Missing acknowledgements",
        group="Claims",
        permission="claim.view",
        rank=53,
        empty="Every claim that was sent is accepted or rejected.",
        deadline_word="File by",
        facts=(("file", "File"), ("sent", "Sent"), ("claims", "Claims")),
        panel=file_panel,
        work_permission="claim.submit",
    ),
    Queue(
        code=SILENT,
        label="Silent payers",
        group="Claims",
        permission="claim.view",
        rank=54,
        empty="Every payer answers in its time.",
        deadline_word="File by",
        facts=(*_CLAIM_FACTS, ("answer", "Answer"), ("days", "Days silent")),
        panel=silent_panel,
        work_permission="followup.work",
    ),
    Queue(
        code=RECORDS,
        label="Papers wanted",
        group="Claims",
        permission="claim.view",
        rank=55,
        empty="No payer waits for papers.",
        deadline_word="Answer by",
        facts=(*_CLAIM_FACTS, ("asked", "Asked"), ("control", "Attachment")),
        panel=records_panel,
        work_permission="claim.submit",
    ),
    Queue(
        code=FILING,
        label="Filing limits",
        group="Claims",
        permission="claim.view",
        rank=58,
        empty="No unsent claim is near its filing limit.",
        deadline_word="File by",
        facts=(*_CLAIM_FACTS, ("status", "Status")),
        panel=edits_panel,
        work_permission="claim.edit",
    ),
)


def _open(actor: Actor, *queues: str) -> int:
    return (
        WorkItem.objects.visible_to(actor).filter(queue__in=queues, status=ItemStatus.OPEN).count()
    )


def open_edits(actor: Actor) -> int:
    """Open items of the scrub queue, for the rail."""
    return _open(actor, EDITS)


def open_rejections(actor: Actor) -> int:
    """Open rejections, for the rail."""
    return _open(actor, REJECTIONS)


def open_missing(actor: Actor) -> int:
    """Files with missing claims, for the rail."""
    return _open(actor, MISSING)
