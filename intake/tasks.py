"""Background work of the front end: load by id, call a service, nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from celery import shared_task
from celery.schedules import crontab
from django.utils import timezone

from intake import services
from intake.automation import ELIGIBILITY_BATCH
from intake.models import CheckStatus, EligibilityCheck
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.exchange.models import WorkQueue
from rcm.exchange.tasks import scoped_task
from rcm.jobs import robots
from rcm.jobs.models import JobRun, JobStatus
from rcm.jobs.services import watched
from rcm.worklist.robots import hand_over, take_back

SILENT_AFTER = timedelta(minutes=15)
AHEAD_DAYS = 3

BEAT: dict[str, dict[str, Any]] = {
    "intake-verify-ahead": {
        "task": "intake.tasks.verify_ahead",
        "schedule": crontab(hour="10", minute="10"),
        "options": {"queue": WorkQueue.BATCH},
    },
    "intake-silent": {
        "task": "intake.tasks.end_silent",
        "schedule": 300.0,
        "options": {"queue": WorkQueue.REALTIME, "expires": 300},
    },
    "intake-retry": {
        "task": "intake.tasks.retry_silent",
        "schedule": 300.0,
        "options": {"queue": WorkQueue.REALTIME, "expires": 300},
    },
    "intake-overrides": {
        "task": "intake.tasks.end_overrides",
        "schedule": crontab(minute="20"),
        "options": {"queue": WorkQueue.BATCH},
    },
    "intake-runs": {
        "task": "intake.tasks.pick_up_runs",
        "schedule": 30.0,
        "options": {"queue": WorkQueue.BATCH, "expires": 30},
    },
}


@scoped_task(queue="batch", own_transactions=True)
def reverify(run_id: int, *, actor: Actor) -> None:
    organization_id = min(actor.organizations)
    with watched(organization_id):
        services.reverify_run(run_id, organization_id=organization_id)


def start_reverify(run: JobRun) -> None:
    """Send a run to the workers (used by rerun)."""
    reverify.apply_async((run.organization_id, run.pk), retry=False)


@shared_task(name="intake.tasks.verify_ahead")
def verify_ahead() -> None:
    """Every morning: the visits of the next three days."""
    for pk in Organization.objects.filter(active=True).values_list("id", flat=True):
        verify_days_ahead(pk)


@shared_task(name="intake.tasks.end_overrides")
def end_overrides() -> None:
    """Every hour, as the sites' days end at different hours: overrides past their own date."""
    for pk in Organization.objects.filter(active=True).values_list("id", flat=True):
        actor = Actor.system("overrides", [pk])
        with scope(actor):
            services.overrides_end(actor=actor)


def verify_days_ahead(
    organization_id: int, *, days: int = AHEAD_DAYS, at: datetime | None = None
) -> dict[str, int]:
    """Start the run of one organization and do it here."""
    actor = Actor.system("eligibility", [organization_id])
    moment = at or timezone.now()
    with scope(actor):
        if not robots.is_on(ELIGIBILITY_BATCH, organization_id):
            due = services.due_appointments(
                organization_id, first=moment, last=moment + timedelta(days=days)
            )
            hand_over(ELIGIBILITY_BATCH, organization_id, waiting=len(due), actor=actor, at=moment)
            return {}
        take_back(ELIGIBILITY_BATCH, organization_id, actor=actor, at=moment)
        run = services.reverify_start(
            organization_id=organization_id, days=days, actor=actor, at=at
        )
    counts = services.reverify_run(run.pk, organization_id=organization_id, at=at)
    with scope(actor):
        failed = counts.get("failed", 0)
        robots.count_run(
            ELIGIBILITY_BATCH,
            organization_id,
            done=counts.get("asked", 0) - failed,
            errors=failed,
            problem="The payer could not be asked." if failed else "",
            at=moment,
        )
    return counts


@shared_task(name="intake.tasks.pick_up_runs")
def pick_up_runs() -> None:
    """Runs whose wake-up call was lost, or whose worker died, are called again; a finished one is
    not.
    """
    for pk in Organization.objects.filter(active=True).values_list("id", flat=True):
        with scope(Actor.system("eligibility", [pk])):
            waiting = JobRun.objects.filter(
                organization_id=pk,
                kind="eligibility.reverify",
                status__in=[JobStatus.QUEUED, JobStatus.RUNNING],
            )
            runs = list(
                waiting.exclude(lease_until__gte=timezone.now()).values_list("id", flat=True)
            )
        for run_id in runs:
            reverify.delay(pk, run_id)


@shared_task(name="intake.tasks.end_silent")
def end_silent() -> None:
    """Questions that a payer has left unanswered end as "no answer", so that a person sees them."""
    for pk in Organization.objects.filter(active=True).values_list("id", flat=True):
        actor = Actor.system("eligibility", [pk])
        with scope(actor):
            now = timezone.now()
            rows = EligibilityCheck.objects.filter(
                organization_id=pk, status=CheckStatus.WAITING, asked_at__lt=now - SILENT_AFTER
            )
            services.asks_failed(
                interchange_ids=list(rows.values_list("request_id", flat=True)[:500]),
                actor=actor,
                at=now,
            )


@shared_task(name="intake.tasks.retry_silent")
def retry_silent() -> None:
    """Payers that were silent, or said "try again", are asked again when their next try is due."""
    for pk in Organization.objects.filter(active=True).values_list("id", flat=True):
        services.eligibility_retry(organization_id=pk, actor=Actor.system("eligibility", [pk]))
