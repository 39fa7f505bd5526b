"""Screens of the batches: what runs, how far it is, what could not be done, start again, stop."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from rcm.accounts.problems import Refused
from rcm.jobs import kinds, services
from rcm.jobs.filters import RunFilter
from rcm.jobs.models import OPEN, JobRun, JobStatus
from rcm.web import format as fmt
from rcm.web import keyset, parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab

UNITS = (("days", 86_400), ("h", 3600), ("min", 60))
TONES = {
    JobStatus.QUEUED: "",
    JobStatus.RUNNING: "info",
    JobStatus.DONE: "good",
    JobStatus.FAILED: "bad",
    JobStatus.CANCELLED: "warn",
}


def tag_of(run: JobRun) -> tuple[str, str]:
    """The state in a word with its tone; a finished run with errors says so."""
    if run.status == JobStatus.DONE and run.failed:
        return ("Done with errors", "warn")
    if (
        run.status == JobStatus.RUNNING
        and run.lease_until is not None
        and run.lease_until < timezone.now()
    ):
        return ("Silent, will be taken over", "warn")
    if run.status == JobStatus.QUEUED and run.problem:
        return ("Waits for its next try", "warn")
    return (run.get_status_display(), TONES[JobStatus(run.status)])


def took(run: JobRun) -> str:
    """How long it ran, runs, or waits already."""
    if run.started_at is None:
        return f"waits {_span(run.created_at, timezone.now())}" if run.status in OPEN else ""
    return _span(run.started_at, run.ended_at or timezone.now())


def _span(first: datetime, last: datetime) -> str:
    seconds = max(int((last - first).total_seconds()), 0)
    return next(
        (f"{seconds // size:,} {unit}" for unit, size in UNITS if seconds >= 2 * size),
        f"{seconds} s",
    )


RUNS = ListPage(
    name="jobs",
    title="Jobs",
    noun=("run", "runs"),
    columns=(
        Column(
            "title", "Run", "title", link=True, second=lambda r: r.kind.replace("_", " "), width=""
        ),
        Column("status", "State", tag_of, kind="tag", width="tag", second=lambda r: r.problem),
        Column(
            "done",
            "Done",
            lambda r: f"{r.done:,} of {r.total:,}" if r.total else f"{r.done:,}",
            width="money",
        ),
        Column("failed", "Errors", lambda r: r.failed or None, kind="number", width="num"),
        Column("tries", "Tries", lambda r: r.tries or None, kind="number", width="num"),
        Column(
            "started",
            "Started",
            lambda r: fmt.moment(r.started_at or r.created_at),
            second=took,
            width="moment",
        ),
        Column("by", "By", "actor_name", width="payer"),
    ),
    orders=(Order("recent", "start, newest first", ("-pk",)),),
    tabs=(
        Tab("all", "All"),
        Tab("waiting", "Waiting", Q(status=JobStatus.QUEUED)),
        Tab("open", "Running", Q(status=JobStatus.RUNNING)),
        Tab("failed", "Failed", Q(status=JobStatus.FAILED)),
        Tab("errors", "With errors", Q(status=JobStatus.FAILED) | Q(failed__gt=0)),
        Tab("mine", "Mine", lambda request: Q(user_id=actor_of(request).user_id)),
    ),
    filterset=RunFilter,
    detail=lambda r: reverse("jobs:run", args=[r.public_id]),
    row_label="title",
    empty="Nothing was run yet.",
)


@require_safe
@may("jobs.view")
def runs(request: HttpRequest) -> HttpResponseBase:
    return RUNS.respond(request, JobRun.objects.visible_to(actor_of(request)))


def progress_of(run: JobRun) -> parts.Progress:
    """The live component: it asks its own address until the run has ended."""
    finished = run.status not in OPEN
    message = took(run)
    if run.status == JobStatus.RUNNING and run.done and run.total and run.started_at:
        left = (timezone.now() - run.started_at) * ((run.total - run.done) / run.done)
        message = f"about {max(int(left / timedelta(minutes=1)), 0) + 1} min left"
    return parts.Progress(
        run.title,
        run.done,
        run.total,
        finished,
        run.failed,
        reverse("jobs:progress", args=[run.public_id]),
        message,
    )


@require_safe
@may("jobs.view")
def run(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One run: progress, result, errors with the sentence to act on."""
    actor = actor_of(request)
    row = found(JobRun.objects.visible_to(actor).select_related("rerun_of"), public_id=public_id)
    try:
        errors = keyset.page(
            row.errors.all(), ("pk",), cursor=request.GET.get("cursor", ""), size=50
        )
    except keyset.BadCursor:
        errors = keyset.page(row.errors.all(), ("pk",), size=50)
    may_run = actor.can("jobs.run", row)
    actions: list[parts.Action] = []
    if may_run and row.status in OPEN:
        actions.append(
            parts.Action(
                "Cancel", reverse("jobs:cancel", args=[row.public_id]), method="post", danger=True
            )
        )
    if may_run and row.status not in OPEN:
        reason = "" if kinds.can_rerun(row.kind) else "Started from its own page"
        actions.append(
            parts.Action(
                "Run again",
                reverse("jobs:rerun", args=[row.public_id]),
                method="post",
                primary=True,
                disabled_reason=reason,
            )
        )
    return render(
        request,
        "jobs/run.html",
        {
            "run": row,
            "tag": tag_of(row),
            "took": took(row),
            "job": progress_of(row),
            "errors": errors,
            "result": [
                (k.replace("_", " ").capitalize(), _plain(v)) for k, v in row.result.items()
            ],
            "params": [
                (k.replace("_", " ").capitalize(), _plain(v)) for k, v in row.params.items()
            ],
            "reruns": row.reruns.order_by("-pk")[:10],
            "actions": actions,
            "crumbs": [parts.Crumb("Jobs", reverse("jobs:runs"))],
        },
    )


def _plain(value: Any) -> str:
    """A value of a JSON field in short words: long lists are counted."""
    if isinstance(value, list):
        return ", ".join(str(v) for v in value) if len(value) <= 8 else f"{len(value):,} entries"
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in list(value.items())[:8])
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@require_safe
@may("jobs.view")
def progress(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The progress component alone; when the run has ended, the page is asked to draw itself
    anew.
    """
    row = found(JobRun.objects.visible_to(actor_of(request)), public_id=public_id)
    if not request.headers.get("HX-Request"):
        return redirect("jobs:run", public_id=row.public_id)
    response = render(request, "components/progress.html", {"job": progress_of(row)})
    if row.status not in OPEN:
        response["HX-Refresh"] = "true"
    return response


@require_POST
@may("jobs.run")
def cancel(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(JobRun.objects.visible_to(actor_of(request)), public_id=public_id)
    if services.run_cancel(row, actor=actor_of(request)):
        messages.success(request, "Cancelled. What was done stays done.")
    else:
        messages.info(request, "It had ended already.")
    return redirect("jobs:run", public_id=row.public_id)


@require_POST
@may("jobs.run")
def rerun(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(JobRun.objects.visible_to(actor_of(request)), public_id=public_id)
    try:
        fresh = kinds.run_again(row, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("jobs:run", public_id=row.public_id)
    messages.success(request, "Started again.")
    return redirect("jobs:run", public_id=fresh.public_id)
