"""The exam as one thread: what was ordered, authorized, performed and billed, and what stops it."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from charges import present, sections
from charges.assembly import CONFLICT, REVIEW
from charges.models import (
    Exam,
    ExamStatus,
)
from charges.views.common import exam_of
from intake import present as front
from rcm.accounts.actor import Actor
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, may


def _actions(exam: Exam, actor: Actor) -> list[parts.Action]:
    def url(name: str, *more: str) -> str:
        return reverse(f"charges:{name}", args=[exam.public_id, *more])

    version = (("version", str(exam.version)),)
    if not actor.can("charge.review", exam):
        return []
    actions = []
    if exam.status == ExamStatus.NO_BILL:
        return [parts.Action("Bill it after all", url("bill_again"))]
    if exam.status in (ExamStatus.FINAL, ExamStatus.CODED):
        reason = exam.holds[0]["sentence"] if exam.holds else ""
        actions.append(
            parts.Action(
                "Release",
                url("release"),
                "post",
                primary=True,
                key="r",
                disabled_reason=reason,
                fields=version,
            )
        )
    doubt = any(h["queue"] in (REVIEW, CONFLICT) for h in exam.holds)
    if present.accept_words(exam) and doubt and exam.status != ExamStatus.RELEASED:
        actions.append(
            parts.Action(
                f"Accept {present.accept_words(exam)}",
                url("accept"),
                "post",
                key="a",
                fields=version,
            )
        )
    actions.append(parts.Action("Change code", url("code"), key="c"))
    actions.append(parts.Action("Diagnoses", url("diagnoses")))
    actions.append(parts.Action("Correct record", url("correct")))
    actions.append(parts.Action("Evaluate again", url("evaluate"), "post"))
    actions.append(
        parts.Action("No bill", url("no_bill"), danger=exam.status == ExamStatus.RELEASED)
    )
    return actions


@require_GET
@may("exam.view")
def exam(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The thread of one exam: what was ordered, authorized, performed and billed, what stops it,
    and everything that happened.
    """
    row = exam_of(request, public_id)
    actor = actor_of(request)
    front.chart_read(request, [row.patient], "exam")
    charges = list(row.charges.order_by("id")) if actor.can("charge.view", row) else []
    live = [c for c in charges if c.status != "void"]
    reports = list(row.reports.order_by("-version")) if actor.can("report.view", row) else []
    chosen = next(
        (r for r in reports if str(r.version) == request.GET.get("report")),
        reports[0] if reports else None,
    )
    last = bool(reports) and chosen is reports[0]
    waivable = [h for h in row.holds if h.get("waive") and actor.can(h["waive"], row)]
    return render(
        request,
        "charges/exam.html",
        {
            "exam": row,
            "patient": front.banner(row.patient),
            "tone": present.TONES[ExamStatus(row.status)],
            "performed": f"{fmt.mdy(row.service_date)}, {fmt.clock(row.performed_local.time())}",
            "blockers": present.blockers(row),
            "waivable": waivable,
            "evidence": present.evidence(row),
            "grid": present.full_grid(row),
            "charges": live,
            "void": [c for c in charges if c.status == "void"],
            "totals": present.totals(charges),
            "reports": [(r, *present.report_status(r)) for r in reports],
            "chosen": chosen,
            "report": present.report_parts(chosen, row.findings if last else []) if chosen else [],
            "remarks": [f for f in row.findings if f["start"] is None] if last else [],
            "told": present.told(row),
            "waivers": list(row.waivers.order_by("-id")),
            "actions": _actions(row, actor),
            "sections": sections.of(request, row),
            "events": present.timeline(row, actor),
            "may_report": actor.can("report.view", row),
            "may_charge": actor.can("charge.view", row),
            "crumbs": [parts.Crumb("Exams", reverse("charges:exams"))],
            "ready": _ready(row),
        },
    )


def _ready(exam: Exam) -> str:
    if exam.status == ExamStatus.RELEASED:
        return "Nothing stops it: the charges are released."
    if exam.status == ExamStatus.NO_BILL:
        return f"No bill: {exam.no_bill_reason}"
    return "Nothing stops the charges." if exam.charges.exists() else "Not evaluated yet."
