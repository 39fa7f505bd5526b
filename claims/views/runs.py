"""Scrub runs with their progress."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Count
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from claims import services
from claims.edits import catalogue
from claims.models import (
    ScrubFinding,
)
from claims.services.scrubbing import RUN_KIND
from claims.tasks import scrub as scrub_task
from rcm.jobs.models import JobRun, JobStatus
from rcm.web import parts
from rcm.web.access import actor_of, found, may


@require_POST
@may("claim.edit")
def scrub_all(request: HttpRequest) -> HttpResponseBase:
    """Scrub every unsent claim of each organization as a batch; the page shows its progress."""
    runs = []
    for organization_id in sorted(actor_of(request).organizations):
        run = services.scrub_start(organization_id=organization_id, actor=actor_of(request))
        start_run(run)
        runs.append(run)
    return (
        redirect("claims:scrub_run", public_id=runs[-1].public_id)
        if len(runs) == 1
        else redirect("claims:scrub_runs")
    )


def start_run(run: JobRun) -> None:
    """Send a scrub to the workers on commit; a lost call is found by the beat."""
    transaction.on_commit(
        lambda: scrub_task.apply_async((run.organization_id, run.pk), retry=False), robust=True
    )


@require_GET
@may("claim.view")
def scrub_runs(request: HttpRequest) -> HttpResponseBase:
    rows = JobRun.objects.visible_to(actor_of(request)).filter(kind=RUN_KIND).order_by("-id")[:50]
    return render(
        request,
        "claims/scrub_runs.html",
        {"runs": list(rows), "crumbs": [parts.Crumb("Claims", reverse("claims:claims"))]},
    )


@require_GET
@may("claim.view")
def scrub_run(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One run with its progress; htmx asks again every two seconds until it has ended."""
    run = found(
        JobRun.objects.visible_to(actor_of(request)).filter(kind=RUN_KIND), public_id=public_id
    )
    ended = run.status in (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)
    result = run.result
    words = (
        f"{result.get('ready', 0):,} ready, {result.get('blocked', 0):,} blocked"
        if result
        else run.get_status_display()
    )
    job = parts.Progress(
        run.title,
        run.done,
        run.total,
        finished=ended,
        failed=run.failed,
        url=reverse("claims:scrub_run", args=[run.public_id]),
        message=words,
    )
    if request.headers.get("HX-Request"):
        return render(request, "components/progress.html", {"job": job, "id": "scrub-run"})
    hits = (
        ScrubFinding.objects.visible_to(actor_of(request))
        .filter(cleared_at__isnull=True, severity="B", overridden_by="")
        .values("edit")
        .annotate(n=Count("claim_id", distinct=True))
        .order_by("-n", "edit")[:15]
    )
    return render(
        request,
        "claims/scrub_run.html",
        {
            "run": run,
            "job": job,
            "hits": [
                (
                    h["edit"],
                    h["n"],
                    catalogue()[h["edit"]].sentence if h["edit"] in catalogue() else "",
                )
                for h in hits
            ],
            "not_loaded": result.get("not_loaded", []),
            "crumbs": [parts.Crumb("Scrub runs", reverse("claims:scrub_runs"))],
        },
    )
