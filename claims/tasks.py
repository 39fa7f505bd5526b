"""Background work of claims: load by id, call a service, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import shared_task
from celery.schedules import crontab
from django.utils import timezone

from claims import services
from claims.services.scrubbing import RUN_KIND
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.exchange.models import WorkQueue
from rcm.exchange.tasks import scoped_task
from rcm.jobs.models import JobRun, JobStatus
from rcm.jobs.services import watched

BEAT: dict[str, dict[str, Any]] = {
    "claims-submit-ready": {
        "task": "claims.tasks.submit_ready",
        "schedule": 300.0,
        "options": {"queue": WorkQueue.BATCH, "expires": 300},
    },
    "claims-files": {
        "task": "claims.tasks.refresh_files",
        "schedule": 300.0,
        "options": {"queue": WorkQueue.BATCH, "expires": 300},
    },
    "claims-runs": {
        "task": "claims.tasks.pick_up_runs",
        "schedule": 30.0,
        "options": {"queue": WorkQueue.BATCH, "expires": 30},
    },
    "claims-clocks": {
        "task": "claims.tasks.refresh_clocks",
        "schedule": crontab(hour="11", minute="20"),
        "options": {"queue": WorkQueue.BATCH},
    },
}


@scoped_task(queue="batch", own_transactions=True)
def scrub(run_id: int, *, actor: Actor) -> None:
    organization_id = min(actor.organizations)
    with watched(organization_id):
        services.scrub_run(run_id, organization_id=organization_id)


@shared_task(name="claims.tasks.pick_up_runs")
def pick_up_runs() -> None:
    """Runs whose wake-up call was lost, or whose worker died, are called again; a finished one is
    not.
    """
    for pk in Organization.objects.filter(active=True).values_list("id", flat=True):
        with scope(Actor.system("scrub", [pk])):
            waiting = JobRun.objects.filter(
                organization_id=pk, kind=RUN_KIND, status__in=[JobStatus.QUEUED, JobStatus.RUNNING]
            )
            runs = list(
                waiting.exclude(lease_until__gte=timezone.now()).values_list("id", flat=True)
            )
        for run_id in runs:
            scrub.delay(pk, run_id)


def _each(name: str, work: Callable[[int, Actor], object]) -> None:
    for pk in Organization.objects.filter(active=True).values_list("id", flat=True):
        actor = Actor.system(name, [pk])
        with scope(actor):
            work(pk, actor)


@shared_task(name="claims.tasks.submit_ready")
def submit_ready() -> None:
    """Clean claims leave by themselves where the policy says so."""
    _each(
        "submission",
        lambda pk, actor: services.claims_submit_ready(organization_id=pk, actor=actor),
    )


@shared_task(name="claims.tasks.refresh_files")
def refresh_files() -> None:
    """Sent? answered? Claims without an answer past their time stand in a queue."""
    _each(
        "control proof",
        lambda pk, actor: services.submissions_refresh(organization_id=pk, actor=actor),
    )
    _each(
        "corrections", lambda pk, actor: services.corrections_due(organization_id=pk, actor=actor)
    )
    _each(
        "charges without a claim",
        lambda pk, actor: services.off_claim_refresh(organization_id=pk, actor=actor),
    )


@shared_task(name="claims.tasks.refresh_clocks")
def refresh_clocks() -> None:
    """Every morning: filing limits that near, payers that are silent."""
    _each("clocks", lambda pk, actor: services.filing_refresh(organization_id=pk, actor=actor))
    _each("clocks", lambda pk, actor: services.silent_refresh(organization_id=pk, actor=actor))
