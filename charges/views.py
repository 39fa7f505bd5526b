"""Screens of the mid-cycle: the exam as one thread, unsigned reports, charge review, results
without order, control totals, rules.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db.models import Count, Max, Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from charges import forms, present, sections, services
from charges.assembly import CONFLICT, REVIEW
from charges.filters import ExamFilter, UnsolicitedFilter
from charges.loading import Policies
from charges.models import (
    AccessionProof,
    BillingArrangement,
    ContrastStock,
    Exam,
    ExamStatus,
    Reader,
    ReadingGroup,
    ReleasePolicy,
    Scanner,
    Unsolicited,
    UnsolicitedStatus,
)
from charges.services.clocks import UNEXPLAINED, WAITING, explained
from intake import present as front
from intake.models import OrderedExam
from rcm.accounts.actor import Actor
from rcm.accounts.models import Site
from rcm.accounts.problems import Conflict, Refused
from rcm.web import charts, parts
from rcm.web import format as fmt
from rcm.web.access import found, may
from rcm.web.keyset import Key
from rcm.web.lists import Column, ListPage, Order, Tab, panel_html
from rcm.web.views import safe_path

THREAD = (
    "patient",
    "site__organization",
    "coverage__payer",
    "coverage__plan",
    "authorization",
    "reader__provider",
    "reader__group",
    "ordered_exam__order__ordering",
)


def actor_of(request: HttpRequest) -> Actor:
    return request.actor  # type: ignore[attr-defined, no-any-return]


def _rows(request: HttpRequest) -> QuerySet[Exam]:
    return Exam.objects.visible_to(actor_of(request)).select_related(*THREAD)


# --- lists ----------------------------------------------------------------------------------------


def _first_hold(exam: Exam) -> str:
    return exam.holds[0]["sentence"] if exam.holds else exam.no_bill_reason


PATIENT = Column(
    "patient",
    "Patient",
    "patient.name",
    kind="strong",
    width="who",
    link=True,
    second=lambda e: f"{fmt.mdy(e.patient.born_on)} {e.patient.mrn}",
    second_kind="code",
)
EXAM = Column(
    "exam", "Exam", "code", kind="code", width="acc", second="accession", second_kind="code"
)
PAYER = Column(
    "payer",
    "Payer",
    lambda e: e.coverage.payer.name if e.coverage else "none",
    width="payer",
    fold=True,
    second="site.name",
)
STATUS = Column(
    "status",
    "Status",
    lambda e: (e.get_status_display(), present.TONES[ExamStatus(e.status)]),
    kind="tag",
    width="tag",
)
EXPECTED = Column("expected", "Expected", "expected", kind="money", width="money", order="expected")
LIMIT = Column(
    "limit", "File by", "filing_deadline", kind="deadline", width="moment", order="deadline"
)
ORDERS = (
    Order("deadline", "filing limit", (Key("filing_deadline", nulls="last"), "pk")),
    Order("day", "newest exam first", ("-service_date", "-pk")),
    Order("expected", "expected payment", (Key("expected", descending=True, nulls="last"), "pk")),
)


def _link(exam: Exam) -> str:
    return reverse("charges:exam", args=[exam.public_id])


EXAMS = ListPage(
    name="exams",
    title="Exams",
    noun=("exam", "exams"),
    columns=(
        PATIENT,
        EXAM,
        Column(
            "day",
            "Performed",
            "service_date",
            kind="day",
            width="date",
            second="modality",
            order="day",
        ),
        PAYER,
        STATUS,
        EXPECTED,
        Column("why", "Stopped by", _first_hold),
        LIMIT,
    ),
    orders=(ORDERS[1], ORDERS[0], ORDERS[2]),
    tabs=(
        Tab(
            "open",
            "Not released",
            Q(status__in=[*WAITING, ExamStatus.FINAL, ExamStatus.CODED, ExamStatus.DISCONTINUED]),
            order="deadline",
        ),
        Tab(
            "held",
            "Read and held",
            Q(status__in=[ExamStatus.FINAL, ExamStatus.CODED]),
            order="deadline",
        ),
        Tab("released", "Released", Q(status=ExamStatus.RELEASED)),
        Tab("no_bill", "No bill", Q(status=ExamStatus.NO_BILL)),
        Tab("all", "All"),
    ),
    filterset=ExamFilter,
    detail=_link,
    row_label=lambda e: f"exam {e.accession}",
    amount="expected",
    empty="Every performed exam is released or explained.",
)


@require_GET
@may("exam.view")
def exams(request: HttpRequest) -> HttpResponseBase:
    return EXAMS.respond(request, _rows(request))


def _age(exam: Exam) -> str:
    hours = int((timezone.now() - exam.performed_at).total_seconds() // 3600)
    return f"{hours} h" if hours < 72 else f"{hours // 24} d"


def _level(exam: Exam, policies: Policies | None = None) -> tuple[str, str]:
    """Which clock of the missing report has run out (DOMAIN D5)."""
    policy = (policies or Policies([exam.organization_id])).of(exam.site, exam.service_date)
    hours = (timezone.now() - exam.performed_at).total_seconds() / 3600
    if hours >= policy.director_hours:
        return "Director", "bad"
    if hours >= policy.escalate_hours:
        return "Escalate", "bad"
    return ("Late", "warn") if hours >= policy.warn_hours else ("In time", "")


def _unsigned_list(policies: Policies) -> ListPage:
    return ListPage(
        name="unsigned-reports",
        title="Unsigned reports",
        noun=("exam", "exams"),
        template="charges/unsigned.html",
        columns=(
            PATIENT,
            EXAM,
            Column(
                "reader",
                "Reader",
                lambda e: str(e.reader.provider) if e.reader else "not named yet",
                second=lambda e: e.get_status_display(),
            ),
            PAYER,
            Column(
                "age",
                "Age",
                _age,
                width="date",
                second=lambda e: fmt.short_day(e.service_date),
                order="age",
            ),
            Column("level", "Clock", lambda e: _level(e, policies), kind="tag", width="tag"),
            EXPECTED,
            LIMIT,
        ),
        orders=(ORDERS[0], Order("age", "oldest first", ("performed_at", "pk")), ORDERS[2]),
        filterset=ExamFilter,
        detail=_link,
        row_label=lambda e: f"exam {e.accession}",
        amount="expected",
        summary=_unsigned_line,
        empty="Every exam is signed.",
    )


def _unsigned_line(request: HttpRequest, rows: QuerySet[Exam]) -> str:
    total = rows.order_by().aggregate(n=Count("pk"), dollars=Sum("expected"))
    near = rows.filter(filing_deadline__lte=timezone.localdate() + dt.timedelta(days=15)).count()
    words = (
        f"{fmt.plural(total['n'], 'exam')} without a final report,"
        f" {fmt.money(total['dollars'] or 0, cents=False)} expected"
    )
    return words + (f", {near} within 15 days of the filing limit." if near else ".")


@require_GET
@may("exam.view")
def unsigned(request: HttpRequest) -> HttpResponseBase:
    """Completed exams without a final report by radiologist and payer, in dollars and days left
    (FEATURES C6).
    """
    rows = _rows(request).filter(status__in=WAITING)
    return _unsigned_list(Policies(actor_of(request).organizations)).respond(
        request, rows, chart=_unsigned_chart(rows)
    )


def _unsigned_chart(rows: QuerySet[Exam]) -> Any:
    """Expected dollars by reader, stacked by payer."""
    found = list(
        rows.order_by()
        .values("reader__provider__last_name", "coverage__payer__name")
        .annotate(dollars=Sum("expected"), n=Count("pk"))
        .order_by("-dollars")
    )
    if not found:
        return None
    readers = list(
        dict.fromkeys(r["reader__provider__last_name"] or "Not named yet" for r in found)
    )[:12]
    payers = list(dict.fromkeys(r["coverage__payer__name"] or "No coverage" for r in found))
    amounts = {
        (
            r["reader__provider__last_name"] or "Not named yet",
            r["coverage__payer__name"] or "No coverage",
        ): (r["dollars"] or Decimal(0))
        for r in found
    }
    series = [
        (payer, [amounts.get((reader, payer), Decimal(0)) for reader in readers])
        for payer in payers[:8]
    ]
    return charts.stacked(
        "Expected dollars without a signature, by reader and payer",
        readers,
        series,
        words=lambda v: fmt.money(v, cents=False),
    )


REVIEWS = ListPage(
    name="charge-review",
    title="Charge review",
    noun=("exam", "exams"),
    columns=(
        PATIENT,
        EXAM,
        Column(
            "suggested",
            "Suggested",
            forms.accept_words,
            kind="code",
            second=lambda e: e.suggestion.get("why", "")[:60],
        ),
        PAYER,
        Column("why", "Why it stopped", _first_hold),
        EXPECTED,
        LIMIT,
    ),
    orders=ORDERS,
    tabs=(
        Tab("coder", "To code", Q(holds__contains=[{"queue": REVIEW}])),
        Tab("reader", "At the reader", Q(holds__contains=[{"queue": CONFLICT}])),
        Tab("all", "Both"),
    ),
    filterset=ExamFilter,
    panel=lambda request, pk: review_panel(request, pk),
    row_label=lambda e: f"exam {e.accession}",
    amount="expected",
    empty="Every charge is coded.",
)


@require_GET
@may("charge.view")
def review(request: HttpRequest) -> HttpResponseBase:
    """Exams a coder must look at: suggestion, evidence, accept or change in one key (FEATURES
    C9).
    """
    wanted = Q(holds__contains=[{"queue": REVIEW}]) | Q(holds__contains=[{"queue": CONFLICT}])
    return REVIEWS.respond(
        request, _rows(request).filter(wanted).exclude(status__in=[*WAITING, ExamStatus.NO_BILL])
    )


def review_panel(request: HttpRequest, pk: str) -> str | None:
    exam = _rows(request).filter(pk=pk).first() if pk.isdecimal() else None
    if exam is None:
        return None
    front.chart_read(request, [exam.patient], "charge review")
    actor = actor_of(request)
    report = exam.reports.order_by("-version").first() if actor.can("report.view") else None
    return panel_html(
        request,
        "charges/review_panel.html",
        {
            "exam": exam,
            "accept": forms.accept_words(exam),
            "evidence": present.evidence(exam),
            "holds": exam.holds,
            "report": present.report_parts(report, exam.findings) if report else [],
            "charges": list(exam.charges.exclude(status="void").order_by("id")),
            "may_review": actor.can("charge.review"),
        },
    )


# --- the exam -------------------------------------------------------------------------------------


def _exam(request: HttpRequest, public_id: str) -> Exam:
    return found(_rows(request), public_id=public_id)


def _actions(exam: Exam, actor: Actor) -> list[parts.Action]:
    def url(name: str, *more: str) -> str:
        return reverse(f"charges:{name}", args=[exam.public_id, *more])

    version = (("version", str(exam.version)),)
    if not actor.can("charge.review"):
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
    if exam.suggestion.get("code") and doubt and exam.status != ExamStatus.RELEASED:
        actions.append(
            parts.Action(
                f"Accept {forms.accept_words(exam)}", url("accept"), "post", key="a", fields=version
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
    row = _exam(request, public_id)
    actor = actor_of(request)
    front.chart_read(request, [row.patient], "exam")
    charges = list(row.charges.order_by("id")) if actor.can("charge.view") else []
    live = [c for c in charges if c.status != "void"]
    reports = list(row.reports.order_by("-version")) if actor.can("report.view") else []
    chosen = next(
        (r for r in reports if str(r.version) == request.GET.get("report")),
        reports[0] if reports else None,
    )
    last = bool(reports) and chosen is reports[0]
    waivable = [h for h in row.holds if h.get("waive") and actor.can(h["waive"])]
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
            "may_report": actor.can("report.view"),
            "may_charge": actor.can("charge.view"),
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


def _posted(
    request: HttpRequest, public_id: str, verb: Callable[[Exam, int | None], Any], done: str
) -> HttpResponseBase:
    """A button that is one service call: back to where it was pressed, with what came of it."""
    row = _exam(request, public_id)
    front.chart_read(request, [row.patient], "exam decision")
    version = request.POST.get("version", "")
    back = safe_path(request.POST.get("back", ""), reverse("charges:exam", args=[row.public_id]))
    try:
        verb(row, int(version) if version.isdecimal() else None)
    except Refused as refusal:
        if request.headers.get("HX-Request"):
            return HttpResponse(f"{refusal} {refusal.fix}".strip(), status=refusal.status)
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        if request.headers.get("HX-Request"):
            response = HttpResponse(review_panel(request, str(row.pk)) or "")
            response["HX-Trigger"] = json.dumps({"toast": {"text": done}})
            return response
        messages.success(request, done)
    return redirect(back)


@require_POST
@may("charge.review")
def release(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _posted(
        request,
        public_id,
        lambda row, _: services.charges_release(exam_ids=[row.pk], actor=actor_of(request)),
        "Released.",
    )


@require_POST
@may("charge.review")
def evaluate(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _posted(
        request,
        public_id,
        lambda row, _: services.exams_evaluate(exam_ids=[row.pk], actor=actor_of(request)),
        "Evaluated.",
    )


@require_POST
@may("charge.review")
def accept(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _posted(
        request,
        public_id,
        lambda row, version: services.exam_accept(
            exam=row, actor=actor_of(request), version=version
        ),
        "Suggestion accepted.",
    )


def _act(
    request: HttpRequest,
    public_id: str,
    title: str,
    make: Callable[[Exam], Any],
    verb: Callable[[Exam, Any], Any],
    *,
    text: str = "",
    button: str = "Save",
) -> HttpResponseBase:
    """A form page that ends in one service call."""
    row = _exam(request, public_id)
    front.chart_read(request, [row.patient], "exam decision")
    back = reverse("charges:exam", args=[row.public_id])
    form = make(row)
    status = 422 if request.method == "POST" else 200
    if request.method == "POST" and form.is_valid():
        try:
            verb(row, form)
        except Refused as refusal:
            form.add_error(
                refusal.field if refusal.field in form.fields else None,
                f"{refusal} {refusal.fix}".strip(),
            )
            status = 409 if isinstance(refusal, Conflict) else 422
        else:
            messages.success(request, "Saved.")
            return redirect(back)
    context = {
        "title": title,
        "text": text,
        "form": form,
        "verb": button,
        "back_url": back,
        "exam": row,
        "patient": front.banner(row.patient),
        "evidence": present.evidence(row),
        "blockers": present.blockers(row),
        "crumbs": [parts.Crumb(f"Exam {row.accession}", back)],
    }
    return render(request, "charges/act.html", context, status=status)


def _start(request: HttpRequest, row: Exam, **more: Any) -> dict[str, Any]:
    return {
        "data": request.POST if request.method == "POST" else None,
        "initial": {"version": row.version, **more},
    }


@require_http_methods(["GET", "POST"])
@may("charge.review")
def code(request: HttpRequest, public_id: str) -> HttpResponseBase:
    def make(row: Exam) -> forms.CodeForm:
        chosen = row.decision or row.suggestion
        return forms.CodeForm(
            **_start(
                request,
                row,
                code=chosen.get("code", row.code),
                modifiers=" ".join(chosen.get("modifiers", ())),
            )
        )

    return _act(
        request,
        public_id,
        "Code of the exam",
        make,
        lambda row, form: services.exam_code(
            exam=row,
            code=form.cleaned_data["code"],
            modifiers_=form.own_modifiers(),
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            version=form.cleaned_data["version"],
        ),
        text="Bill what was performed and documented. The suggestion and your reason are kept.",
    )


@require_http_methods(["GET", "POST"])
@may("charge.review")
def diagnoses(request: HttpRequest, public_id: str) -> HttpResponseBase:
    def make(row: Exam) -> forms.DiagnosesForm:
        codes = row.diagnoses or (row.ordered_exam.order.diagnoses if row.ordered_exam else [])
        return forms.DiagnosesForm(**_start(request, row, codes=" ".join(codes)))

    return _act(
        request,
        public_id,
        "Diagnoses",
        make,
        lambda row, form: services.diagnoses_set(
            exam=row,
            codes=form.listed(),
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            version=form.cleaned_data["version"],
        ),
        text=(
            "Code the confirmed finding of the signed report; when normal or uncertain, the sign or"
            " symptom of the order."
        ),
    )


@require_http_methods(["GET", "POST"])
@may("charge.review")
def correct(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _act(
        request,
        public_id,
        "Technologist's record",
        lambda row: forms.CorrectForm(**_start(request, row)),
        lambda row, form: services.exam_correct(
            exam=row, actor=actor_of(request), version=form.cleaned_data["version"], **form.facts()
        ),
        text=(
            "What the technologist did. What is left empty stays as it was told; nothing that was"
            " said is lost."
        ),
    )


@require_http_methods(["GET", "POST"])
@may("exam.view")
def order_change(request: HttpRequest, public_id: str) -> HttpResponseBase:
    actor = actor_of(request)
    if not (actor.can("order.edit") or actor.can("charge.review")):
        actor.require("order.edit")

    def verb(row: Exam, form: forms.OrderChangeForm) -> Any:
        data = form.cleaned_data
        return services.order_change_document(
            exam=row,
            evidence=dict.fromkeys(data["evidence"], True),
            new_order=data["new_order"],
            reason=data["reason"],
            actor=actor,
            version=data["version"],
        )

    return _act(
        request,
        public_id,
        "Performed differently than ordered",
        lambda row: forms.OrderChangeForm(**_start(request, row)),
        verb,
        text=(
            "A testing facility may not change a test without a new order, except in what the order"
            " left open (42 CFR 410.32)."
        ),
    )


@require_http_methods(["GET", "POST"])
@may("exam.view")
def waive(request: HttpRequest, public_id: str, hold: str) -> HttpResponseBase:
    row = _exam(request, public_id)
    one = next((h for h in row.holds if h["code"] == hold), None)
    if one is None:
        raise Http404
    actor_of(request).require(one["waive"] or "charge.review")
    return _act(
        request,
        public_id,
        "Waive with a reason",
        lambda exam: forms.ReasonForm(**_start(request, exam)),
        lambda exam, form: services.finding_waive(
            exam=exam,
            code=hold,
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            version=form.cleaned_data["version"],
        ),
        text=(
            f"{one['sentence']} It will not stop the charge for this report version; a later"
            " version asks again."
        ),
        button="Waive",
    )


@require_http_methods(["GET", "POST"])
@may("charge.review")
def no_bill(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _act(
        request,
        public_id,
        "No bill",
        lambda row: forms.ReasonForm(**_start(request, row)),
        lambda row, form: services.exam_no_bill(
            exam=row,
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            version=form.cleaned_data["version"],
        ),
        text=(
            "The exam ends without a charge. Released charges become void, and their claims are"
            " voided."
        ),
        button="Mark no-bill",
    )


@require_http_methods(["GET", "POST"])
@may("charge.review")
def bill_again(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _act(
        request,
        public_id,
        "Bill it after all",
        lambda row: forms.ReasonForm(**_start(request, row)),
        lambda row, form: services.exam_bill_again(
            exam=row,
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            version=form.cleaned_data["version"],
        ),
        button="Take the no-bill back",
    )


# --- results without order ------------------------------------------------------------------------

UNSOLICITED = ListPage(
    name="unsolicited",
    title="Results without order",
    noun=("result", "results"),
    columns=(
        Column(
            "accession",
            "Accession",
            lambda u: u.accession or u.filler_number or "none",
            kind="code",
            width="id",
            link=True,
            second="kind",
        ),
        Column(
            "patient",
            "Patient",
            lambda u: u.patient.name if u.patient else "not known here",
            width="who",
            second="mrn",
            second_kind="code",
        ),
        Column("exam", "Exam", "code", kind="code", width="exam", second="modality"),
        Column("why", "Why it waits", "why"),
        Column("received", "Received", "received_at", kind="moment", width="moment"),
    ),
    orders=(Order("old", "oldest first", ("received_at", "pk")),),
    tabs=(
        Tab("waiting", "Waiting", Q(status=UnsolicitedStatus.WAITING)),
        Tab("linked", "Linked", Q(status=UnsolicitedStatus.LINKED)),
        Tab("dismissed", "Dismissed", Q(status=UnsolicitedStatus.DISMISSED)),
    ),
    filterset=UnsolicitedFilter,
    detail=lambda u: reverse("charges:unsolicited_row", args=[u.public_id]),
    row_label=lambda u: f"result {u.accession}",
    empty="Every result belongs to an order.",
)


@require_GET
@may("exam.view")
def unsolicited(request: HttpRequest) -> HttpResponseBase:
    return UNSOLICITED.respond(
        request, Unsolicited.objects.visible_to(actor_of(request)).select_related("patient")
    )


@require_http_methods(["GET", "POST"])
@may("exam.view")
def unsolicited_row(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One result without order: link it to an ordered exam of its patient, or dismiss it."""
    actor = actor_of(request)
    row = found(
        Unsolicited.objects.visible_to(actor).select_related("patient", "exam"), public_id=public_id
    )
    if row.patient is not None:
        front.chart_read(request, [row.patient], "result without order")
    near = (
        list(
            OrderedExam.objects.visible_to(actor)
            .filter(patient_id=row.patient_id)
            .select_related("order")
            .order_by("-id")[:12]
        )
        if row.patient_id
        else []
    )
    choices = [
        (
            str(o.public_id),
            (
                f"{o.code} {o.description}, ordered {fmt.short_day(o.order.ordered_at)}, accession"
                f" {o.accession or 'none'}"
            ),
        )
        for o in near
    ]
    dismissing = request.POST.get("do") == "dismiss"
    posted = request.POST if request.method == "POST" else None
    link = forms.LinkForm(posted if not dismissing else None, choices=choices)
    dismiss = forms.ReasonForm(posted if dismissing else None, initial={"version": 0})
    form: Any = dismiss if dismissing else link
    may_act = actor.can("charge.review") or actor.can("order.edit")
    if posted is not None:
        if not may_act:
            actor.require("order.edit")
        if form.is_valid():
            try:
                if dismissing:
                    services.unsolicited_dismiss(
                        unsolicited=row, reason=form.cleaned_data["reason"], actor=actor
                    )
                else:
                    chosen = next(
                        o for o in near if str(o.public_id) == form.cleaned_data["ordered_exam"]
                    )
                    services.unsolicited_link(unsolicited=row, ordered_exam=chosen, actor=actor)
            except Refused as refusal:
                form.add_error(
                    refusal.field if refusal.field in form.fields else None,
                    f"{refusal} {refusal.fix}".strip(),
                )
            else:
                messages.success(request, "Saved.")
                return redirect("charges:unsolicited")
    context = {
        "row": row,
        "patient": front.banner(row.patient) if row.patient else None,
        "form": form,
        "link": link,
        "dismiss": dismiss,
        "choices": choices,
        "may_act": may_act and row.status == UnsolicitedStatus.WAITING,
        "crumbs": [parts.Crumb("Results without order", reverse("charges:unsolicited"))],
    }
    return render(
        request, "charges/unsolicited_row.html", context, status=422 if form.errors else 200
    )


# --- control totals -------------------------------------------------------------------------------

CONTROL_DAYS = 14


@require_GET
@may("exam.view")
def control(request: HttpRequest) -> HttpResponseBase:
    """The accession control total: every completed exam ends as claim, self-pay or reasoned
    no-bill; the rest is named (FEATURES C7).
    """
    actor = actor_of(request)
    last = timezone.localdate()
    try:
        last = dt.date.fromisoformat(request.GET.get("to", "")) if request.GET.get("to") else last
    except ValueError:
        messages.error(request, "A day is written as 2026-11-23.")
    first = last - dt.timedelta(days=CONTROL_DAYS - 1)
    sites = {s.pk: s for s in Site.objects.filter(organization_id__in=actor.organizations)}
    rows = services.accession_control(actor=actor, first=first, last=last)
    proofs = {
        (p["site_id"], p["day"]): p["at"]
        for p in (
            AccessionProof.objects.visible_to(actor)
            .filter(day__range=(first, last))
            .values("site_id", "day")
            .annotate(at=Max("proven_at"))
        )
    }
    stray = explained(
        _rows(request)
        .filter(service_date__range=(first, last))
        .exclude(status=ExamStatus.IN_PROGRESS)
    ).filter(UNEXPLAINED)[:50]
    names = ("performed", "claimed", "self_pay", "no_bill", "waiting", "held", "unexplained")
    total = {name: sum(getattr(r, name) for r in rows) for name in names}
    return render(
        request,
        "charges/control.html",
        {
            "rows": [
                {
                    "control": r,
                    "site": sites.get(r.site_id),
                    "proven": proofs.get((r.site_id, r.day)),
                }
                for r in rows
            ],
            "total": total,
            "stray": stray,
            "first": first,
            "last": last,
            "earlier": (first - dt.timedelta(days=1)).isoformat(),
            "later": (
                (last + dt.timedelta(days=CONTROL_DAYS)).isoformat()
                if last < timezone.localdate()
                else ""
            ),
        },
    )


# --- rules ----------------------------------------------------------------------------------------


def _span(row: Any) -> str:
    return f"{fmt.mdy(row.effective_from)} to {fmt.mdy(row.effective_to) or 'open'}"


def _machine_words(scanner: Scanner) -> str:
    puts = (
        ("FX", scanner.film),
        ("FY", scanner.computed_radiography),
        ("CT", scanner.modality == "CT" and not scanner.xr29),
    )
    return " ".join(modifier for modifier, on in puts if on) or "nothing"


def _rule_list(
    name: str,
    title: str,
    noun: tuple[str, str],
    columns: tuple[Column, ...],
    order: tuple[str, ...],
) -> ListPage:
    return ListPage(
        name=name,
        title=title,
        noun=noun,
        columns=columns,
        orders=(Order("default", "name", order),),
        detail=lambda row: reverse("charges:rule", args=[name, row.public_id]),
        actions=lambda request: (
            [parts.Action(f"Add {noun[0]}", reverse("charges:rule_new", args=[name]), primary=True)]
            if actor_of(request).can("rules.edit")
            else []
        ),
        template="charges/rules.html",
        saved=False,
        empty=f"No {noun[0]} is entered yet.",
    )


SITE = Column(
    "site", "Site", lambda r: r.site.name if r.site else "All sites", kind="strong", link=True
)
SPAN = Column("span", "In force", _span)
RULES: dict[str, tuple[type, type[forms.RuleForm], ListPage, tuple[str, ...]]] = {
    "arrangements": (
        BillingArrangement,
        forms.ArrangementForm,
        _rule_list(
            "arrangements",
            "Billing arrangements",
            ("arrangement", "arrangements"),
            (
                SITE,
                Column("modality", "Modality", lambda r: r.modality or "any", kind="code"),
                Column("group", "Reading group", lambda r: r.group.name if r.group else "any"),
                Column("payer", "Payer", lambda r: r.payer.name if r.payer else "any"),
                Column(
                    "machine",
                    "Scanner and technologist",
                    lambda r: f"{r.equipment_owner}, {r.tech_employer}",
                ),
                Column(
                    "reader",
                    "Reader",
                    lambda r: r.reader_relation.replace("_", " "),
                    second=lambda r: r.force.replace("_", " "),
                ),
                SPAN,
            ),
            ("site__name", "modality", "pk"),
        ),
        ("site", "group", "payer"),
    ),
    "scanners": (
        Scanner,
        forms.ScannerForm,
        _rule_list(
            "scanners",
            "Scanners",
            ("scanner", "scanners"),
            (
                SITE,
                Column("name", "Name", "name", second="station", second_kind="code"),
                Column("modality", "Modality", "modality", kind="code"),
                Column("puts", "Puts on the line", _machine_words, kind="code"),
                SPAN,
            ),
            ("site__name", "name", "pk"),
        ),
        ("site",),
    ),
    "groups": (
        ReadingGroup,
        forms.GroupForm,
        _rule_list(
            "groups",
            "Reading groups",
            ("reading group", "reading groups"),
            (
                Column(
                    "name",
                    "Name",
                    "name",
                    kind="strong",
                    link=True,
                    second="npi",
                    second_kind="code",
                ),
                Column("relation", "Relation", lambda g: g.relation.replace("_", " ")),
                Column(
                    "where",
                    "Reads in",
                    lambda g: f"{g.city} {g.state} {g.zip}".strip(),
                    second="country",
                ),
            ),
            ("name", "pk"),
        ),
        (),
    ),
    "readers": (
        Reader,
        forms.ReaderForm,
        _rule_list(
            "readers",
            "Readers",
            ("reader", "readers"),
            (
                Column(
                    "name",
                    "Physician",
                    lambda r: str(r.provider),
                    kind="strong",
                    link=True,
                    second="provider.npi",
                    second_kind="code",
                ),
                Column("group", "Reading group", "group.name"),
                Column(
                    "span",
                    "Credentialed",
                    lambda r: (
                        f"{fmt.mdy(r.credentialed_from)} to {fmt.mdy(r.credentialed_to) or 'open'}"
                    ),
                ),
            ),
            ("provider__last_name", "pk"),
        ),
        ("provider", "group"),
    ),
    "stock": (
        ContrastStock,
        forms.StockForm,
        _rule_list(
            "stock",
            "Contrast stock",
            ("agent", "agents"),
            (
                SITE,
                Column("agent", "Agent", "agent"),
                Column("code", "Billing code", "code", kind="code"),
                Column(
                    "packed",
                    "Single-dose",
                    lambda s: {None: "not known", True: "yes, JZ or JW", False: "no"}[
                        s.single_dose
                    ],
                ),
                SPAN,
            ),
            ("agent", "pk"),
        ),
        ("site",),
    ),
    "policies": (
        ReleasePolicy,
        forms.PolicyForm,
        _rule_list(
            "policies",
            "Release policies",
            ("policy", "policies"),
            (
                SITE,
                Column(
                    "clocks",
                    "Report clocks",
                    lambda p: f"{p.warn_hours} h, {p.escalate_hours} h, {p.director_hours} h",
                ),
                Column(
                    "eligibility",
                    "Eligibility within",
                    lambda p: (
                        f"{p.eligibility_days} days" if p.eligibility_days else "not demanded"
                    ),
                ),
                Column("tc", "TC before report", "tc_without_report", kind="yes"),
                Column("auto", "Automatic release", "auto_release", kind="yes"),
                SPAN,
            ),
            ("-effective_from", "pk"),
        ),
        ("site",),
    ),
}


def _rule(kind: str) -> tuple[type, type[forms.RuleForm], ListPage, tuple[str, ...]]:
    if kind not in RULES:
        raise Http404
    return RULES[kind]


@require_GET
@may("rules.view")
def arrangements(request: HttpRequest) -> HttpResponseBase:
    return redirect("charges:rules", "arrangements")


@require_GET
@may("rules.view")
def rules(request: HttpRequest, kind: str) -> HttpResponseBase:
    model, _, page, joined = _rule(kind)
    rows = model.objects.visible_to(actor_of(request)).select_related(*joined)  # type: ignore[attr-defined]
    kinds = [
        {"name": name, "title": entry[2].title, "current": name == kind}
        for name, entry in RULES.items()
    ]
    return page.respond(request, rows, kinds=kinds)


@require_http_methods(["GET", "POST"])
@may("rules.edit")
def rule_new(request: HttpRequest, kind: str) -> HttpResponseBase:
    return _rule_page(request, kind, None)


@require_http_methods(["GET", "POST"])
@may("rules.edit")
def rule(request: HttpRequest, kind: str, public_id: str) -> HttpResponseBase:
    model, _, _, _ = _rule(kind)
    return _rule_page(
        request,
        kind,
        found(model.objects.visible_to(actor_of(request)), public_id=public_id),  # type: ignore[attr-defined]
    )


def _rule_page(request: HttpRequest, kind: str, row: Any) -> HttpResponseBase:
    _, form_class, page, _ = _rule(kind)
    actor = actor_of(request)
    form = form_class(request.POST or None, instance=row, actor=actor)
    back = reverse("charges:rules", args=[kind])
    if request.method == "POST" and form.is_valid():
        try:
            services.rule_save(row=form.save(commit=False), actor=actor)
        except Refused as refusal:
            form.add_error(
                refusal.field if refusal.field in form.fields else None,
                f"{refusal} {refusal.fix}".strip(),
            )
        else:
            messages.success(request, "Saved. Held exams are evaluated again.")
            return redirect(back)
    title = f"{'Change' if row else 'Add'} {page.noun[0]}"
    context = {
        "title": title,
        "form": form,
        "back_url": back,
        "crumbs": [parts.Crumb(page.title, back)],
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)
