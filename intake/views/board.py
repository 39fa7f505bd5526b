"""Screens of the day: the clearance board, the verification of the days ahead, the overrides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Case, IntegerField, Prefetch, Q, Value, When
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from intake import present, services
from intake.clearance import GateName, State
from intake.filters import AppointmentFilter
from intake.forms import (
    DaysForm,
)
from intake.models import (
    Appointment,
    AppointmentStatus,
    GateOverride,
    OrderedExam,
    OrderStatus,
)
from intake.tasks import reverify
from intake.views.base import form_page, midnight
from rcm.jobs.models import JobRun, JobStatus
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Tab
from rcm.web.lists import Order as ListOrder


def _between(first: int, last: int) -> Callable[[HttpRequest], Q]:
    return lambda request: Q(starts_at__gte=midnight(first), starts_at__lt=midnight(last))


def _summary(request: HttpRequest, rows: Any) -> str:
    """ "6 of 41 not ready, first at 9:40 AM"."""
    total = rows.count()
    if not total:
        return "No appointments."
    # who has arrived needs nothing more from the desk
    to_do = [AppointmentStatus.BOOKED, AppointmentStatus.CONFIRMED]
    open_rows = rows.filter(status__in=to_do).exclude(clearance=State.READY)
    count = open_rows.count()
    if not count:
        return f"All {fmt.plural(total, 'appointment')} ready."
    first = open_rows.select_related("site").order_by("starts_at").first()
    when = (
        present.local_moment(first) if first.starts_at >= midnight(1) else present.local_time(first)
    )
    return f"{count} of {total} not ready, first at {when}."


def _board_actions(request: HttpRequest) -> Sequence[parts.Action]:
    actions = []
    if actor_of(request).can_somewhere("eligibility.run"):
        actions.append(
            parts.Action("Verify the days ahead", reverse("intake:verify"), icon="refresh")
        )
    if actor_of(request).can_somewhere("patient.edit"):
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
                fmt.short_day(a.starts_at) if a.starts_at >= midnight(1) else a.get_status_display()
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
                width="tag" if g in (GateName.AUTHORIZATION, GateName.MONEY) else "word",
                template="intake/cells/money.html" if g == GateName.MONEY else "",
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
    """The clearance board: every visit as one row of six words, Stop first."""
    rank = Case(
        When(clearance="stop", then=Value(0)),
        When(clearance="check", then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    exams = OrderedExam.objects.exclude(status=OrderStatus.CANCELLED).order_by("id")
    rows = (
        Appointment.objects.visible_to(actor_of(request))
        .filter(status__in=services.LIVE, starts_at__gte=midnight(0), starts_at__lt=midnight(14))
        .select_related("patient", "site")
        .annotate(rank=rank)
        .prefetch_related(Prefetch("ordered_exams", queryset=exams, to_attr="exam_rows"))
    )
    return BOARD.respond(request, rows)


@require_http_methods(["GET", "POST"])
@may("eligibility.run", money=True)
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
    """Every override ever given, whether it still holds or not: who, why, dollars at risk."""
    rows = GateOverride.objects.visible_to(actor_of(request)).select_related(
        "appointment__patient", "appointment__site", "end"
    )
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
            second=lambda d: (
                f"{fmt.mdy(d.appointment.patient.born_on)} {d.appointment.patient.mrn}"
            ),
            second_kind="code",
        ),
        Column(
            "visit",
            "Visit",
            lambda d: present.local_moment(d.appointment),
            width="moment",
            second="appointment.site.name",
        ),
        Column(
            "gate",
            "Gate",
            lambda d: d.gate.capitalize(),
            kind="tag",
            width="tag",
            second=present.override_state,
        ),
        Column("what", "What it said", "sentence"),
        Column("reason", "Reason", "reason", second="actor_name"),
        Column("dollars", "At risk", "dollars", kind="money", width="money", order="dollars"),
        Column("at", "When", "at", kind="moment", width="moment", order="at"),
    ),
    orders=(
        ListOrder("at", "newest first", ("-at", "pk")),
        ListOrder("dollars", "dollars at risk", ("-dollars", "pk")),
    ),
    tabs=(
        Tab("all", "All"),
        Tab("holding", "Holding", Q(end__isnull=True)),
        Tab("ended", "Ended", Q(end__isnull=False)),
    ),
    detail=lambda d: reverse("intake:appointment", args=[d.appointment.public_id]),
    row_label=lambda d: f"override for {d.appointment.patient.name}",
    amount="dollars",
    empty="Nobody has overridden a gate.",
)
