"""Screens of the front desk: the board of the day, search and register, chart, coverage with its
answer, order, visit, estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db import transaction
from django.db.models import Case, IntegerField, Prefetch, Q, Value, When
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from intake import present, sections, services
from intake.clearance import GateName, State
from intake.estimate import DISCLAIMER
from intake.filters import AppointmentFilter
from intake.forms import (
    BookForm,
    CoverageForm,
    DaysForm,
    MergeForm,
    OrderForm,
    PatientForm,
    ReasonForm,
)
from intake.models import (
    APPOINTMENT_MOVES,
    Appointment,
    AppointmentStatus,
    Coverage,
    EligibilityCheck,
    Estimate,
    GateDecision,
    Order,
    OrderedExam,
    OrderStatus,
    Patient,
)
from intake.pdf import estimate_pdf
from intake.tasks import reverify
from rcm.accounts.actor import Actor
from rcm.accounts.models import Site
from rcm.accounts.permissions import Role
from rcm.accounts.problems import Conflict, Refused
from rcm.jobs.models import JobRun, JobStatus
from rcm.reference.facts import current, procedure_versions
from rcm.reference.models import Provider
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import found, may
from rcm.web.forms import read_date
from rcm.web.lists import Column, ListPage, Tab
from rcm.web.lists import Order as ListOrder


def actor_of(request: HttpRequest) -> Actor:
    return request.actor  # type: ignore[attr-defined, no-any-return]


def refuse_into(form: Any, refusal: Refused) -> None:
    """A service's refusal beside the field it names, else above the form."""
    form.add_error(
        refusal.field if refusal.field in form.fields else None, f"{refusal} {refusal.fix}".strip()
    )


def say(
    request: HttpRequest, verb: Callable[[], Any], done: str, back: str
) -> HttpResponseRedirect:
    """Run a service from a button: its refusal or its success as a message, then back to the
    page.
    """
    try:
        verb()
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        messages.success(request, done)
    return redirect(back)


def form_page(
    request: HttpRequest,
    form: Any,
    *,
    title: str,
    back: str,
    status: int = 200,
    template: str = "components/form_page.html",
    **context: Any,
) -> HttpResponse:
    """The one-column form page; 422 when the form has errors."""
    shown = {"title": title, "form": form, "back_url": back, **context}
    return render(request, template, shown, status=422 if form.errors and status == 200 else status)


# --- Today ----------------------------------------------------------------------------------------


def _midnight(days: int) -> Any:
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(
        days=days
    )


def _between(first: int, last: int) -> Callable[[HttpRequest], Q]:
    return lambda request: Q(starts_at__gte=_midnight(first), starts_at__lt=_midnight(last))


def _summary(request: HttpRequest, rows: Any) -> str:
    """ "6 of 41 not ready, first at 9:40 AM"."""
    total = rows.count()
    if not total:
        return "No appointments."
    open_rows = rows.exclude(clearance=State.READY)
    count = open_rows.count()
    if not count:
        return f"All {fmt.plural(total, 'appointment')} ready."
    first = open_rows.select_related("site").order_by("starts_at").first()
    when = (
        present.local_moment(first)
        if first.starts_at >= _midnight(1)
        else present.local_time(first)
    )
    return f"{count} of {total} not ready, first at {when}."


def _board_actions(request: HttpRequest) -> Sequence[parts.Action]:
    actions = []
    if actor_of(request).can("eligibility.run"):
        actions.append(
            parts.Action("Verify the days ahead", reverse("intake:verify"), icon="refresh")
        )
    if actor_of(request).can("patient.edit"):
        actions.append(
            parts.Action("Register a patient", reverse("intake:patient_new"), icon="plus", key="r")
        )
    return actions


BOARD = ListPage(
    name="today",
    title="Today",
    noun=("appointment", "appointments"),
    columns=(
        Column(
            "time",
            "Time",
            lambda a: present.local_time(a),
            width="date",
            link=True,
            order="time",
            second=lambda a: (
                fmt.short_day(a.starts_at)
                if a.starts_at >= _midnight(1)
                else a.get_status_display()
            ),
        ),
        Column(
            "patient",
            "Patient",
            "patient.name",
            kind="strong",
            width="who",
            second=lambda a: f"{fmt.mdy(a.patient.born_on)} {a.patient.mrn}",
            second_kind="code",
        ),
        Column(
            "exam",
            "Exam",
            lambda a: " ".join(e.code for e in a.exam_rows) or "none",
            kind="code",
            width="exam",
            second=lambda a: f"{a.modality} {a.site.name}",
        ),
        *(
            Column(
                g.value,
                g.value.capitalize(),
                partial(present.gate_tag, gate=g),
                kind="tag",
                width="tag" if g == GateName.AUTHORIZATION else "word",
            )
            for g in GateName
        ),
        Column(
            "next",
            "First thing to do",
            lambda a: present.first_gate(a).get("sentence", ""),
            template="intake/cells/first.html",
            order="clearance",
        ),
    ),
    orders=(
        ListOrder("clearance", "stop first, then time", ("rank", "starts_at", "pk")),
        ListOrder("time", "time", ("starts_at", "pk")),
    ),
    tabs=(
        Tab("today", "Today", _between(0, 1)),
        Tab("tomorrow", "Tomorrow", _between(1, 2)),
        Tab("days3", "3 days", _between(0, 3)),
        Tab("days14", "14 days", _between(0, 14)),
    ),
    filterset=AppointmentFilter,
    detail=lambda a: reverse("intake:appointment", args=[a.public_id]),
    row_label=lambda a: f"appointment of {a.patient.name}",
    summary=_summary,
    actions=_board_actions,
    empty="No appointments here. Look at the days ahead.",
)


@require_GET
@may("clearance.view")
def today(request: HttpRequest) -> HttpResponseBase:
    """The clearance board: every visit as one row of five words, Stop first."""
    rank = Case(
        When(clearance="stop", then=Value(0)),
        When(clearance="check", then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    exams = OrderedExam.objects.exclude(status=OrderStatus.CANCELLED).order_by("id")
    rows = (
        Appointment.objects.visible_to(actor_of(request))
        .filter(status__in=services.LIVE, starts_at__gte=_midnight(0), starts_at__lt=_midnight(14))
        .select_related("patient", "site")
        .annotate(rank=rank)
        .prefetch_related(Prefetch("ordered_exams", queryset=exams, to_attr="exam_rows"))
    )
    return BOARD.respond(request, rows)


@require_http_methods(["GET", "POST"])
@may("eligibility.run")
def verify(request: HttpRequest) -> HttpResponseBase:
    """Ask the payers of every visit of the days ahead; the run shows its progress."""
    form = DaysForm(request.POST or None)
    actor = actor_of(request)
    if request.method == "POST" and form.is_valid():
        for organization_id in sorted(actor.organizations):
            run = services.reverify_start(
                organization_id=organization_id, days=form.cleaned_data["days"], actor=actor
            )
            # a broker that is down delays the run: `pick_up_runs` calls it again
            transaction.on_commit(partial(reverify.delay, organization_id, run.pk), robust=True)
        return redirect("intake:verify")
    runs = (
        JobRun.objects.visible_to(actor)
        .filter(kind="eligibility.reverify")
        .prefetch_related("errors")
        .order_by("-id")[:5]
    )
    return form_page(
        request,
        form,
        title="Verify the days ahead",
        back=reverse("intake:today"),
        template="intake/verify.html",
        verb="Ask the payers",
        text=(
            "Every active coverage of every visit is asked again. Only what changed comes back to"
            " you."
        ),
        jobs=[(r, _job(r)) for r in runs],
    )


def _job(run: JobRun) -> parts.Progress:
    finished = run.status in (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)
    words = ", ".join(f"{value} {name}" for name, value in run.result.items()) if finished else ""
    return parts.Progress(
        run.title,
        run.done,
        run.total,
        finished,
        run.failed,
        reverse("intake:verify_run", args=[run.public_id]),
        words,
    )


@require_GET
@may("eligibility.run")
def verify_run(request: HttpRequest, public_id: str) -> HttpResponseBase:
    run = found(
        JobRun.objects.visible_to(actor_of(request)).filter(kind="eligibility.reverify"),
        public_id=public_id,
    )
    return render(request, "components/progress.html", {"job": _job(run), "id": f"run-{run.pk}"})


@require_GET
@may("clearance.view")
def overrides(request: HttpRequest) -> HttpResponseBase:
    """Every gate that somebody overrode: who, why, how many dollars at risk (FEATURES B6)."""
    rows = (
        GateDecision.objects.visible_to(actor_of(request))
        .filter(overridden=True)
        .select_related("appointment__patient", "appointment__site")
    )
    if actor_of(request).sites:
        rows = rows.filter(appointment__site_id__in=actor_of(request).sites)
    return OVERRIDES.respond(request, rows)


OVERRIDES = ListPage(
    name="overrides",
    title="Overrides",
    noun=("override", "overrides"),
    columns=(
        Column(
            "patient",
            "Patient",
            "appointment.patient.name",
            kind="strong",
            width="who",
            link=True,
            second="appointment.patient.mrn",
            second_kind="code",
        ),
        Column(
            "visit",
            "Visit",
            lambda d: present.local_moment(d.appointment),
            width="moment",
            second="appointment.site.name",
        ),
        Column("gate", "Gate", lambda d: d.gate.capitalize(), kind="tag", width="tag"),
        Column("what", "What it said", "sentence"),
        Column("reason", "Reason", "reason", second="actor_name"),
        Column("dollars", "At risk", "dollars", kind="money", width="money", order="dollars"),
        Column("at", "When", "at", kind="moment", width="moment", order="at"),
    ),
    orders=(
        ListOrder("at", "newest first", ("-at", "pk")),
        ListOrder("dollars", "dollars at risk", ("-dollars", "pk")),
    ),
    detail=lambda d: reverse("intake:appointment", args=[d.appointment.public_id]),
    row_label=lambda d: f"override for {d.appointment.patient.name}",
    amount="dollars",
    empty="Nobody has overridden a gate.",
)


# --- patients -------------------------------------------------------------------------------------


@require_GET
@may("patient.view")
def patients(request: HttpRequest) -> HttpResponseBase:
    """Search first: by any words of name, birth date, phone or MRN, misspelled too."""
    text = request.GET.get("q", "").strip()[:80]
    rows = services.patients_find(actor=actor_of(request), text=text) if len(text) > 1 else []
    present.chart_read(request, rows, "patient search")
    primary = services.primary_coverages([p.pk for p in rows])
    context = {
        "q": text,
        "rows": [(p, primary.get(p.pk)) for p in rows],
        "may_register": actor_of(request).can("patient.edit"),
    }
    return render(
        request,
        (
            "intake/patients.html#hits"
            if request.headers.get("HX-Target") == "hits"
            else "intake/patients.html"
        ),
        context,
    )


@require_http_methods(["GET", "POST"])
@may("patient.edit")
def patient_new(request: HttpRequest) -> HttpResponseBase:
    """Register: possible duplicates stand beside the form before anything is saved."""
    actor = actor_of(request)
    form = PatientForm(
        request.POST or None,
        initial=_typed(request.GET.get("q", "")),
        confirm="confirmed" in request.POST,
    )
    if request.method == "POST" and form.is_valid():
        try:
            row = services.patient_create(
                organization_id=_organization(actor),
                actor=actor,
                confirmed_new=bool(form.cleaned_data.get("confirmed")),
                **form.values(),
            )
        except Refused as refusal:
            if refusal.code == "duplicate":
                form = PatientForm(request.POST, confirm=True)
                form.is_valid()
            refuse_into(form, refusal)
        else:
            messages.success(request, f"Registered {row.name}.")
            return redirect("intake:coverage_new", row.public_id)
    return form_page(
        request,
        form,
        title="Register a patient",
        back=reverse("intake:patients"),
        template="intake/register.html",
        verb="Save and enter the coverage",
        alike=_alike(request, request.POST if request.method == "POST" else {}),
    )


def _typed(text: str) -> dict[str, Any]:
    """What was searched for fills the form: it is never asked twice."""
    found: dict[str, Any] = {}
    names = []
    for word in text.replace(",", " ").split():
        day = read_date(word, past=True)
        digits = "".join(c for c in word if c.isdigit())
        if day:
            found["born_on"] = day
        elif len(digits) == 10:
            found["phone"] = digits
        elif word.isalpha():
            names.append(word.title())
    found |= dict(zip(("last_name", "first_name"), names, strict=False))
    return found


def _organization(actor: Actor) -> int:
    if len(actor.organizations) != 1:
        raise Refused("Choose one organization in the header first.", code="organization")
    return min(actor.organizations)


def _alike(
    request: HttpRequest, values: Any, exclude: int | None = None
) -> list[services.Likeness]:
    rows = services.patient_duplicates(
        actor=actor_of(request),
        last_name=values.get("last_name", ""),
        first_name=values.get("first_name", ""),
        born_on=read_date(values.get("born_on", ""), past=True) if values.get("born_on") else None,
        phone="".join(c for c in values.get("phone", "") if c.isdigit())[-10:],
        exclude=exclude,
    )
    present.chart_read(request, [x.patient for x in rows], "possible duplicates")
    return rows


@require_GET
@may("patient.edit")
def alike(request: HttpRequest) -> HttpResponseBase:
    """Charts that may be the same person as what is being typed."""
    return render(request, "intake/alike.html", {"alike": _alike(request, request.GET)})


def _patient(request: HttpRequest, public_id: str) -> Patient:
    return found(
        Patient.objects.visible_to(actor_of(request)).select_related("merged_into"),
        public_id=public_id,
    )


@require_GET
@may("patient.view")
def patient(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The chart: who, coverages, orders, visits, what other phases know, and one timeline."""
    row = _patient(request, public_id)
    if row.merged_into is not None:
        messages.info(request, f"Chart {row.mrn} was merged into this one.")
        return redirect("intake:patient", row.merged_into.public_id)
    actor = actor_of(request)
    present.chart_read(request, [row], "patient chart")
    coverages = list(
        Coverage.objects.filter(patient=row)
        .select_related("payer", "plan")
        .order_by("-active", "rank", "-id")
    )
    orders = (
        Order.objects.filter(patient=row)
        .select_related("ordering")
        .prefetch_related("exams")
        .order_by("-ordered_at", "-id")[:20]
    )
    visits = (
        Appointment.objects.visible_to(actor)
        .filter(patient=row)
        .select_related("site")
        .prefetch_related("ordered_exams")
        .order_by("-starts_at")[:20]
    )
    actions = []
    if actor.can("patient.edit"):
        actions += [
            parts.Action("Edit", reverse("intake:patient_edit", args=[row.public_id]), key="m"),
            parts.Action("Add a coverage", reverse("intake:coverage_new", args=[row.public_id])),
        ]
    if actor.can("order.edit"):
        actions.append(
            parts.Action(
                "New order",
                reverse("intake:order_new", args=[row.public_id]),
                primary=True,
                key="o",
            )
        )
    if actor.can("patient.merge"):
        actions.append(
            parts.Action("Merge a duplicate", reverse("intake:patient_merge", args=[row.public_id]))
        )
    return render(
        request,
        "intake/patient.html",
        {
            "row": row,
            "patient": present.banner(row),
            "active": [c for c in coverages if c.active],
            "older": [c for c in coverages if not c.active],
            "ranks": present.RANKS,
            "orders": orders,
            "visits": visits,
            "actions": actions,
            "sections": sections.of("patient", request, row),
            "events": present.patient_timeline(row),
            "crumbs": [parts.Crumb("Patients", reverse("intake:patients"))],
            "may_edit": actor.can("patient.edit"),
            "may_run": actor.can("eligibility.run"),
        },
    )


@require_http_methods(["GET", "POST"])
@may("patient.edit")
def patient_edit(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _patient(request, public_id)
    present.chart_read(request, [row], "patient edit")
    back = reverse("intake:patient", args=[row.public_id])
    names = [f for f in PatientForm.base_fields if f not in ("version", "confirmed")]
    form = PatientForm(
        request.POST or None, initial={f: getattr(row, f) for f in names} | {"version": row.version}
    )
    conflicts: list[parts.Conflict] = []
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            services.patient_update(
                patient=row,
                version=form.cleaned_data["version"],
                actor=actor_of(request),
                **form.values(),
            )
        except Conflict:
            row.refresh_from_db()
            conflicts, status = _conflicts(form, row, names), 409
            form.data = _fresh(request, row.version)
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            messages.success(request, "Saved.")
            return redirect(back)
    return form_page(
        request, form, title=f"Edit {row.name}", back=back, status=status, conflicts=conflicts
    )


def _fresh(request: HttpRequest, version: int) -> Any:
    """What was typed, against the version that stands now, so that saving again is a decision and
    no second race.
    """
    data = request.POST.copy()
    data["version"] = str(version)
    return data


def _conflicts(form: Any, row: Any, names: Sequence[str]) -> list[parts.Conflict]:
    """Theirs beside mine for the fields that differ; what was typed stays in the form."""
    found_rows = []
    for name in names:
        theirs, mine = getattr(row, name), form.cleaned_data.get(name)
        left, right = (
            fmt.mdy(v) if hasattr(v, "isoformat") else str(v if v is not None else "")
            for v in (theirs, mine)
        )
        if left.replace("-", "") != right.replace("-", ""):
            found_rows.append(parts.Conflict(str(form.fields[name].label), left, right, name))
    return found_rows


@require_http_methods(["GET", "POST"])
@may("patient.merge")
def patient_merge(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _patient(request, public_id)
    back = reverse("intake:patient", args=[row.public_id])
    form = MergeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        gone = (
            Patient.objects.visible_to(actor_of(request))
            .filter(organization_id=row.organization_id, mrn=form.cleaned_data["mrn"].strip())
            .first()
        )
        if gone is None:
            form.add_error("mrn", "No chart has this MRN")
        else:
            try:
                services.patient_merge(
                    keep=row, gone=gone, reason=form.cleaned_data["reason"], actor=actor_of(request)
                )
            except Refused as refusal:
                refuse_into(form, refusal)
            else:
                messages.success(request, f"Chart {gone.mrn} was merged into this one.")
                return redirect(back)
    return form_page(
        request,
        form,
        title=f"Merge a duplicate into {row.name}",
        back=back,
        verb="Merge",
        text=(
            "Orders, visits and coverages move here; the other chart stays readable and leads here."
        ),
    )


# --- coverage and its answer ----------------------------------------------------------------------


def _coverage(request: HttpRequest, public_id: str) -> Coverage:
    rows = Coverage.objects.visible_to(actor_of(request)).select_related("patient", "payer", "plan")
    return found(rows, public_id=public_id)


def _ask(request: HttpRequest, coverage: Coverage) -> None:
    """Ask the payer for the patient's next visit, or for today."""
    visit = (
        Appointment.objects.filter(
            patient_id=coverage.patient_id, status__in=services.LIVE, starts_at__gte=_midnight(0)
        )
        .select_related("site")
        .order_by("starts_at")
        .first()
    )
    day = services.local_day(visit.starts_at, visit.site) if visit else timezone.localdate()
    services.eligibility_ask(
        asks=[services.Ask(coverage, day, visit.modality if visit else "")], actor=actor_of(request)
    )


@require_http_methods(["GET", "POST"])
@may("patient.edit")
def coverage_new(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _patient(request, public_id)
    taken = set(Coverage.objects.filter(patient=row, active=True).values_list("rank", flat=True))
    form = CoverageForm(
        request.POST or None,
        initial={"rank": next((r for r in (1, 2, 3) if r not in taken), 3), "relationship": "18"},
    )
    if request.method == "POST" and form.is_valid():
        try:
            coverage = services.coverage_add(patient=row, actor=actor_of(request), **form.values())
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            _ask_softly(request, coverage)
            return redirect(f"{reverse('intake:coverage', args=[coverage.public_id])}#answer")
    return form_page(
        request,
        form,
        title="Add a coverage",
        back=reverse("intake:patient", args=[row.public_id]),
        verb="Save and check eligibility",
        template="intake/coverage.html",
        patient=present.banner(row),
        may_run=False,
    )


def _ask_softly(request: HttpRequest, coverage: Coverage) -> None:
    """Ask after saving; that the payer cannot be asked is a message, not a failure of saving."""
    if coverage.payer.kind == "self_pay" or not actor_of(request).can("eligibility.run"):
        messages.success(request, "Saved.")
        return
    try:
        _ask(request, coverage)
    except Refused as refusal:
        messages.warning(request, f"Saved, but not verified: {refusal} {refusal.fix}")
    else:
        messages.success(request, f"Saved. Asking {coverage.payer.name}.")


def _last_check(coverage: Coverage) -> EligibilityCheck | None:
    return (
        EligibilityCheck.objects.filter(coverage=coverage)
        .select_related("request", "response")
        .prefetch_related("benefits")
        .order_by("-id")
        .first()
    )


@require_http_methods(["GET", "POST"])
@may("patient.view")
def coverage(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Edit a policy; the payer's answer lands beside the form by itself."""
    row = _coverage(request, public_id)
    actor = actor_of(request)
    present.chart_read(request, [row.patient], "coverage")
    names = [f for f in CoverageForm.base_fields if f != "version"]
    form = CoverageForm(
        request.POST or None,
        initial={f: getattr(row, f"{f}_id" if f in ("payer", "plan") else f) for f in names}
        | {"version": row.version},
    )
    conflicts: list[parts.Conflict] = []
    status = 200
    if request.method == "POST":
        actor.require("patient.edit")
        if form.is_valid():
            try:
                before = row.status
                saved = services.coverage_update(
                    coverage=row, version=form.cleaned_data["version"], actor=actor, **form.values()
                )
            except Conflict:
                row.refresh_from_db()
                conflicts, status = _conflicts(form, row, names), 409
                form.data = _fresh(request, row.version)
            except Refused as refusal:
                refuse_into(form, refusal)
            else:
                if saved.status != before and saved.status == "unverified":
                    _ask_softly(request, saved)
                else:
                    messages.success(request, "Saved.")
                return redirect(f"{reverse('intake:coverage', args=[row.public_id])}#answer")
    return form_page(
        request,
        form,
        title=f"{row.payer.name}, {present.RANKS[row.rank].lower()}",
        back=reverse("intake:patient", args=[row.patient.public_id]),
        status=status,
        conflicts=conflicts,
        template="intake/coverage.html",
        patient=present.banner(row.patient),
        verb="Save and check eligibility",
        **present.answer_context(row, _last_check(row), actor),
    )


@require_GET
@may("patient.view")
def coverage_answer(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The answer alone: asked every two seconds while the payer thinks."""
    row = _coverage(request, public_id)
    present.chart_read(request, [row.patient], "eligibility answer")
    return render(
        request,
        "intake/answer.html",
        present.answer_context(row, _last_check(row), actor_of(request)),
    )


@require_POST
@may("eligibility.run")
def coverage_check(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _coverage(request, public_id)
    return say(
        request,
        lambda: _ask(request, row),
        f"Asking {row.payer.name}.",
        f"{reverse('intake:coverage', args=[row.public_id])}#answer",
    )


@require_POST
@may("patient.edit")
def coverage_end(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _coverage(request, public_id)
    back = reverse("intake:patient", args=[row.patient.public_id])
    return say(
        request,
        lambda: services.coverage_end(coverage=row, actor=actor_of(request)),
        f"{row.payer.name} was taken off the chart.",
        back,
    )


@require_POST
@may("patient.edit")
def coverage_use(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _coverage(request, public_id)
    back = reverse("intake:patient", args=[row.patient.public_id])
    return say(
        request,
        lambda: services.coverage_reuse(coverage=row, actor=actor_of(request)),
        f"{row.payer.name} is the primary coverage again.",
        back,
    )


@require_POST
@may("eligibility.run")
def coverage_discover(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _patient(request, public_id)
    return say(
        request,
        lambda: services.coverage_discover(
            patient=row, service_date=timezone.localdate(), actor=actor_of(request)
        ),
        "Asking the payers of the former coverages.",
        reverse("intake:patient", args=[row.public_id]),
    )


def _check(request: HttpRequest, public_id: str) -> EligibilityCheck:
    rows = EligibilityCheck.objects.visible_to(actor_of(request)).select_related(
        "coverage__payer", "coverage__patient", "patient", "request", "response"
    )
    return found(rows, public_id=public_id)


@require_POST
@may("eligibility.run")
def check_seen(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _check(request, public_id)
    back = reverse("intake:coverage", args=[row.coverage.public_id])
    return say(
        request,
        lambda: services.eligibility_seen(check=row, actor=actor_of(request)),
        "The changes were looked at.",
        back,
    )


@require_POST
@may("patient.edit")
def check_accept(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """ "Use payer's value" for one field."""
    row = _check(request, public_id)
    field = request.POST.get("field", "")
    back = f"{reverse('intake:coverage', args=[row.coverage.public_id])}#answer"
    return say(
        request,
        lambda: services.difference_accept(check=row, field=field, actor=actor_of(request)),
        "Took over the payer's value.",
        back,
    )


@require_GET
@may("eligibility.run")
def check_raw(request: HttpRequest, public_id: str, side: str) -> HttpResponseBase:
    """The 270 or 271 byte for byte."""
    row = _check(request, public_id)
    interchange = row.request if side == "270" else row.response
    if interchange is None:
        raise Http404
    present.chart_read(request, [row.patient], f"raw {side}")
    return render(
        request,
        "intake/raw.html",
        {
            "title": f"{side} of {fmt.moment(interchange.received_at)}",
            "caption": f"{interchange.kind}, control number {interchange.control_number}",
            "lines": parts.raw_lines(bytes(interchange.content).decode("latin-1")),
            "patient": present.banner(row.patient),
            "crumbs": [
                parts.Crumb("Coverage", reverse("intake:coverage", args=[row.coverage.public_id]))
            ],
        },
    )


# --- orders ---------------------------------------------------------------------------------------


def _order(request: HttpRequest, public_id: str) -> Order:
    return found(
        Order.objects.visible_to(actor_of(request)).select_related("patient", "ordering", "site"),
        public_id=public_id,
    )


def _procedures() -> list[tuple[str, str]]:
    today = timezone.localdate()
    rows = (current(versions, today) for versions in procedure_versions().values())
    return sorted((r.code, r.name) for r in rows if r is not None and r.kind == "exam")


def _provider(form: OrderForm) -> Provider | None:
    npi = form.cleaned_data["ordering_npi"]
    if not npi:
        return None
    row = Provider.objects.filter(npi=npi).first()
    if row is None:
        if not form.cleaned_data["ordering_name"]:
            raise Refused(
                "This NPI is new here: enter the physician's last name.",
                field="ordering_name",
                code="missing",
            )
        row = Provider.objects.create(npi=npi, last_name=form.cleaned_data["ordering_name"])
    return row


@require_http_methods(["GET", "POST"])
@may("order.edit")
def order_new(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _patient(request, public_id)
    actor = actor_of(request)
    form = OrderForm(request.POST or None, actor=actor, organization_id=row.organization_id)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            placed = services.order_place(
                patient=row,
                exams=form.asks(),
                ordering=_provider(form),
                signed=data["signed"],
                indication=data["indication"],
                diagnoses=form.codes(),
                site=data["site"],
                actor=actor,
            )
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            messages.success(request, "The order was placed.")
            return redirect("intake:book", placed.public_id)
    return form_page(
        request,
        form,
        title="New order",
        back=reverse("intake:patient", args=[row.public_id]),
        verb="Place the order and book",
        template="intake/order.html",
        patient=present.banner(row),
        procedures=_procedures(),
    )


@require_http_methods(["GET", "POST"])
@may("patient.view")
def order(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """An order with what it lacks; completing it closes its item."""
    row = _order(request, public_id)
    actor = actor_of(request)
    present.chart_read(request, [row.patient], "order")
    form = OrderForm(
        request.POST or None,
        initial=OrderForm.initial_of(row),
        actor=actor,
        organization_id=row.organization_id,
    )
    if request.method == "POST":
        actor.require("order.edit")
        if form.is_valid():
            data = form.cleaned_data
            try:
                services.order_change(
                    order=row,
                    exams=form.asks(),
                    ordering=_provider(form),
                    signed=data["signed"],
                    indication=data["indication"],
                    diagnoses=form.codes(),
                    site=data["site"],
                    actor=actor,
                )
            except Refused as refusal:
                refuse_into(form, refusal)
            else:
                messages.success(request, "Saved.")
                return redirect("intake:order", row.public_id)
    gaps = (
        services.orders_gaps([row], on=timezone.localdate())[row.pk]
        if row.status in (OrderStatus.OPEN, OrderStatus.SCHEDULED)
        else []
    )
    office = row.ordering
    actions = []
    if actor.can("appointment.edit") and row.status == OrderStatus.OPEN:
        actions.append(
            parts.Action(
                "Book", reverse("intake:book", args=[row.public_id]), primary=True, key="b"
            )
        )
    if actor.can("order.edit") and row.status in (OrderStatus.OPEN, OrderStatus.SCHEDULED):
        actions.append(
            parts.Action(
                "Cancel the order",
                reverse("intake:order_cancel", args=[row.public_id]),
                danger=True,
            )
        )
    return form_page(
        request,
        form,
        title=f"Order of {fmt.short_day(row.ordered_at)}",
        back=reverse("intake:patient", args=[row.patient.public_id]),
        template="intake/order.html",
        patient=present.banner(row.patient),
        procedures=_procedures(),
        order=row,
        actions=actions,
        blockers=[
            parts.Blocker(g.sentence.capitalize() + ".", g.fix.capitalize() + ".", code=g.code)
            for g in gaps
        ],
        call=(
            f"Call {office.practice or office} {fmt.phone(office.phone)}".strip()
            if office and gaps
            else ""
        ),
    )


@require_http_methods(["GET", "POST"])
@may("order.edit")
def order_cancel(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _order(request, public_id)
    back = reverse("intake:order", args=[row.public_id])
    return _with_reason(
        request,
        "Cancel the order",
        back,
        lambda reason: services.order_cancel(order=row, reason=reason, actor=actor_of(request)),
        danger=True,
    )


def _with_reason(
    request: HttpRequest,
    title: str,
    back: str,
    verb: Callable[[str], Any],
    *,
    text: str = "",
    danger: bool = False,
) -> HttpResponseBase:
    """A confirmation that asks for a reason."""
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            verb(form.cleaned_data["reason"])
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            messages.success(request, f"{title}: done.")
            return redirect(back)
    shown = {
        "title": title,
        "text": text,
        "form": form,
        "verb": title,
        "back_url": back,
        "danger": danger,
    }
    return render(request, "components/confirm.html", shown, status=422 if form.errors else 200)


# --- visits ---------------------------------------------------------------------------------------


def _appointment(request: HttpRequest, public_id: str) -> Appointment:
    return found(
        Appointment.objects.visible_to(actor_of(request)).select_related("patient", "site"),
        public_id=public_id,
    )


def _stops(refusal: Refused) -> list[parts.Blocker]:
    return [parts.Blocker(str(refusal), refusal.fix, code=refusal.code)]


@require_http_methods(["GET", "POST"])
@may("appointment.edit")
def book(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Book the open exams of an order (and of the patient's other open orders)."""
    row = _order(request, public_id)
    actor = actor_of(request)
    exams = OrderedExam.objects.filter(patient=row.patient, status=OrderStatus.OPEN).order_by("id")
    sites = list(
        Site.objects.filter(organization_id=row.organization_id).values_list("id", flat=True)
    )
    initial = {
        "exams": list(exams.filter(order=row)),
        "site": row.site_id or (sites[0] if len(sites) == 1 else None),
        "minutes": 30,
    }
    form = BookForm(
        request.POST or None,
        initial=initial,
        actor=actor,
        exams=exams,
        organization_id=row.organization_id,
        may_override=actor.can("authorization.override"),
    )
    blockers: list[parts.Blocker] = []
    status = 200
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            visit = services.appointment_book(
                patient=row.patient,
                site=data["site"],
                starts_at=form.starts_at(),
                exams=list(data["exams"]),
                minutes=data["minutes"],
                resource=data["resource"],
                override_reason=data.get("override_reason", ""),
                actor=actor,
            )
        except Refused as refusal:
            if refusal.code == "gate_stop":
                blockers, status = _stops(refusal), 409
            else:
                refuse_into(form, refusal)
        else:
            messages.success(request, f"Booked for {present.local_moment(visit)}.")
            return redirect("intake:appointment", visit.public_id)
    return form_page(
        request,
        form,
        title="Book",
        back=reverse("intake:order", args=[row.public_id]),
        verb="Book",
        status=status,
        template="intake/book.html",
        patient=present.banner(row.patient),
        blockers=blockers,
    )


@require_http_methods(["GET", "POST"])
@may("appointment.edit")
def move(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _appointment(request, public_id)
    actor = actor_of(request)
    local = row.starts_at.astimezone(ZoneInfo(row.site.time_zone))
    exams = (
        OrderedExam.objects.filter(
            Q(appointment=row) | Q(patient=row.patient, status=OrderStatus.OPEN)
        )
        .exclude(status=OrderStatus.CANCELLED)
        .order_by("id")
    )
    initial = {
        "site": row.site_id,
        "day": local.date(),
        "at": f"{local:%H:%M}",
        "minutes": row.minutes,
        "resource": row.resource,
        "exams": list(row.ordered_exams.all()),
        "version": row.version,
    }
    form = BookForm(
        request.POST or None,
        initial=initial,
        actor=actor,
        exams=exams,
        organization_id=row.organization_id,
        may_override=actor.can("authorization.override"),
    )
    blockers: list[parts.Blocker] = []
    status = 200
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            services.appointment_move(
                appointment=row,
                starts_at=form.starts_at(),
                site=data["site"],
                minutes=data["minutes"],
                resource=data["resource"],
                exams=list(data["exams"]),
                override_reason=data.get("override_reason", ""),
                version=data["version"],
                actor=actor,
            )
        except Conflict as conflict:
            form.add_error(None, str(conflict))
            status = 409
        except Refused as refusal:
            if refusal.code == "gate_stop":
                blockers, status = _stops(refusal), 409
            else:
                refuse_into(form, refusal)
        else:
            messages.success(request, "Moved.")
            return redirect("intake:appointment", row.public_id)
    return form_page(
        request,
        form,
        title="Move the appointment",
        back=reverse("intake:appointment", args=[row.public_id]),
        verb="Move",
        status=status,
        template="intake/book.html",
        patient=present.banner(row.patient),
        blockers=blockers,
    )


@require_GET
@may("patient.view")
def appointment(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One visit: its five gates with who does what, its exams, its estimate, and what can be
    done.
    """
    row = _appointment(request, public_id)
    actor = actor_of(request)
    present.chart_read(request, [row.patient], "appointment")
    estimate = Estimate.objects.filter(appointment=row).order_by("-id").first()
    decisions = {d.gate: d for d in GateDecision.objects.filter(appointment=row)}
    gates = [
        {
            "name": name.value,
            "part": part,
            "owner": (
                Role(row.gates[name.value]["owner"]).label
                if row.gates.get(name.value, {}).get("owner")
                else ""
            ),
            "due": (
                date.fromisoformat(row.gates[name.value]["due"])
                if row.gates.get(name.value, {}).get("due")
                else None
            ),
            "decision": decisions.get(name.value),
            "override": (
                actor.can("authorization.override")
                and row.status in services.LIVE
                and row.gates.get(name.value, {}).get("state") in ("stop", "check")
                and not row.gates.get(name.value, {}).get("overridden")
                and (
                    name is GateName.AUTHORIZATION
                    or row.gates.get(name.value, {}).get("state") == "stop"
                )
            ),
        }
        for name, part in zip(GateName, present.gate_parts(row), strict=True)
    ]
    primary = services.primary_coverages([row.patient_id]).get(row.patient_id)
    return render(
        request,
        "intake/appointment.html",
        {
            "row": row,
            "patient": present.banner(row.patient),
            "when": present.local_moment(row),
            "gates": gates,
            "exams": row.ordered_exams.select_related("order__ordering").order_by("id"),
            "estimate": estimate,
            "coverage": primary,
            "actions": _visit_actions(row, actor),
            "sections": sections.of("appointment", request, row),
            "events": present.patient_timeline(row.patient)[:25],
            "crumbs": [parts.Crumb("Today", reverse("intake:today"))],
            "may_edit": actor.can("appointment.edit"),
            "may_run": actor.can("eligibility.run"),
            "may_price": actor.can("price.view") and row.status in services.LIVE,
        },
    )


def _visit_actions(row: Appointment, actor: Actor) -> list[parts.Action]:
    if not actor.can("appointment.edit"):
        return []
    page = [row.public_id]
    allowed = APPOINTMENT_MOVES[row.status]
    version = (("version", str(row.version)),)
    actions = []
    if AppointmentStatus.CONFIRMED in allowed:
        actions.append(
            parts.Action(
                "Confirm",
                reverse("intake:confirm", args=page),
                "post",
                primary=row.status == AppointmentStatus.BOOKED,
                key="c",
                fields=version,
            )
        )
    if AppointmentStatus.ARRIVED in allowed:
        actions.append(
            parts.Action(
                "Check in",
                reverse("intake:check_in", args=page),
                "post",
                primary=row.status == AppointmentStatus.CONFIRMED,
                key="i",
                fields=version,
            )
        )
    if row.status in (
        AppointmentStatus.BOOKED,
        AppointmentStatus.CONFIRMED,
        AppointmentStatus.CANCELLED,
        AppointmentStatus.NO_SHOW,
    ):
        again = row.status in (AppointmentStatus.CANCELLED, AppointmentStatus.NO_SHOW)
        actions.append(
            parts.Action(
                "Book again" if again else "Move", reverse("intake:move", args=page), key="m"
            )
        )
    if AppointmentStatus.NO_SHOW in allowed:
        actions.append(
            parts.Action(
                "Did not come", reverse("intake:no_show", args=page), "post", fields=version
            )
        )
    if AppointmentStatus.CANCELLED in allowed:
        actions.append(parts.Action("Cancel", reverse("intake:cancel", args=page), danger=True))
    return actions


def _version(request: HttpRequest) -> int | None:
    text = request.POST.get("version", "")
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _status_button(
    request: HttpRequest, public_id: str, verb: Callable[..., Any], done: str
) -> HttpResponseBase:
    row = _appointment(request, public_id)
    back = reverse("intake:appointment", args=[row.public_id])
    return say(
        request,
        lambda: verb(appointment=row, actor=actor_of(request), version=_version(request)),
        done,
        back,
    )


@require_POST
@may("appointment.edit")
def confirm(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _status_button(request, public_id, services.appointment_confirm, "Confirmed.")


@require_POST
@may("appointment.edit")
def check_in(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _status_button(request, public_id, services.appointment_check_in, "Checked in.")


@require_POST
@may("appointment.edit")
def no_show(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _status_button(request, public_id, services.appointment_no_show, "Kept as not come.")


@require_http_methods(["GET", "POST"])
@may("appointment.edit")
def cancel(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _appointment(request, public_id)
    back = reverse("intake:appointment", args=[row.public_id])
    return _with_reason(
        request,
        "Cancel the appointment",
        back,
        lambda reason: services.appointment_cancel(
            appointment=row, reason=reason, actor=actor_of(request)
        ),
        danger=True,
    )


@require_http_methods(["GET", "POST"])
@may("authorization.override")
def override(request: HttpRequest, public_id: str, gate: str) -> HttpResponseBase:
    """Let the visit pass one gate: the reason is kept with name and dollars at risk."""
    row = _appointment(request, public_id)
    if gate not in {g.value for g in GateName}:
        raise Http404
    back = reverse("intake:appointment", args=[row.public_id])
    dollars = services.dollars_at_risk([row.pk])[row.pk]
    sentence = row.gates.get(gate, {}).get("sentence", "")
    return _with_reason(
        request,
        f"Override {gate}",
        back,
        lambda reason: services.gate_override(
            appointment=row, gate=gate, reason=reason, actor=actor_of(request)
        ),
        text=(
            f"{sentence} {fmt.money(dollars)} is at risk if the payer does not pay. Managers see"
            " every override."
        ),
        danger=True,
    )


@require_POST
@may("eligibility.run")
def verify_visit(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _appointment(request, public_id)
    back = reverse("intake:appointment", args=[row.public_id])
    return say(
        request,
        lambda: services.appointments_verify(appointments=[row], actor=actor_of(request)),
        "Asking the payer.",
        back,
    )


@require_POST
@may("price.view")
def estimate_make(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _appointment(request, public_id)
    try:
        made = services.estimate_make(appointment=row, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
        return redirect("intake:appointment", row.public_id)
    return redirect("intake:estimate", made.public_id)


def _estimate(request: HttpRequest, public_id: str) -> Estimate:
    rows = Estimate.objects.visible_to(actor_of(request)).select_related(
        "patient", "appointment__site__organization"
    )
    return found(rows, public_id=public_id)


@require_GET
@may("price.view")
def estimate(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """An estimate as it was given: printable."""
    row = _estimate(request, public_id)
    present.chart_read(request, [row.patient], "estimate")
    return render(
        request,
        "intake/estimate.html",
        {
            "row": row,
            "patient": present.banner(row.patient),
            "when": present.local_moment(row.appointment),
            "crumbs": [
                parts.Crumb(
                    "Appointment", reverse("intake:appointment", args=[row.appointment.public_id])
                )
            ],
            "orders": Order.objects.filter(exams__appointment=row.appointment).distinct(),
            "disclaimer": DISCLAIMER,
        },
    )


@require_GET
@may("price.view")
def estimate_file(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _estimate(request, public_id)
    present.chart_read(request, [row.patient], "estimate PDF")
    response = HttpResponse(estimate_pdf(row), content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="estimate-{row.pk}.pdf"'
    return response
